//! Verifies a server's certificate in the way of Go's `crypto/x509`, because the runtimes are Go programs.
//!
//! Dates and names of the leaf first, then the chain; a certificate that is itself among the trusted ones needs no
//! issuer; common names do not count; an expired authority vouches for nobody. All faults are found in one pass, in
//! Go's order. webpki, which rustls would use, differs in each of these points; it is asked about name constraints.

use std::net::IpAddr;
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, Error as TlsError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor, crypto::WebPkiSupportedAlgorithms,
    server::ParsedCertificate,
};
use x509_cert::Certificate as X509;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Header, Reader, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::certificate::{Certificate, CertificateFault, matches};

/// Everything that verification needs beside the certificate.
pub(super) struct Judge<'a> {
    /// The trusted authorities for webpki.
    pub store: &'a RootCertStore,
    /// The same, as they were read.
    pub roots: &'a [CertificateDer<'static>],
    pub algorithms: WebPkiSupportedAlgorithms,
    pub now: SystemTime,
}

impl Judge<'_> {
    /// Reads and verifies a certificate shown by `host`.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &str,
    ) -> Certificate {
        let Ok(x509) = X509::from_der(leaf) else {
            return unreadable(1 + others.len());
        };
        let names = names(&x509);
        let validity = x509.tbs_certificate().validity();
        let mut certificate = Certificate {
            subject: x509.tbs_certificate().subject().to_string(),
            issuer: x509.tbs_certificate().issuer().to_string(),
            names: names.clone().unwrap_or_default(),
            not_before: validity.not_before.to_string(),
            not_after: validity.not_after.to_string(),
            chain: 1 + others.len(),
            self_signed: x509.tbs_certificate().subject() == x509.tbs_certificate().issuer(),
            faults: Vec::new(),
        };
        certificate.faults.extend(self.out_of_date(&x509));
        certificate.faults.extend(wrong_name(&x509, names, host));
        certificate
            .faults
            .extend(self.untrusted(&x509, leaf, others));
        certificate
    }

    fn out_of_date(&self, x509: &X509) -> Option<CertificateFault> {
        let validity = x509.tbs_certificate().validity();
        if self.now > validity.not_after.to_system_time() {
            Some(CertificateFault::Expired {
                not_after: validity.not_after.to_string(),
            })
        } else if self.now < validity.not_before.to_system_time() {
            Some(CertificateFault::NotYetValid {
                not_before: validity.not_before.to_string(),
            })
        } else {
            None
        }
    }

    /// Whether no chain leads from the leaf to a trusted certificate.
    fn untrusted(
        &self,
        x509: &X509,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Option<CertificateFault> {
        if self.roots.iter().any(|root| root.as_ref() == leaf.as_ref()) {
            return None;
        }
        if let Ok(Some((_, usage))) = x509.tbs_certificate().get_extension::<ExtendedKeyUsage>()
            && !usage
                .0
                .iter()
                .any(|usage| [SERVER_AUTH, ANY_USAGE].contains(usage))
        {
            return Some(CertificateFault::Other {
                reason: "certificate specifies an incompatible key usage".to_owned(),
            });
        }
        let mut search = Search {
            judge: self,
            others,
            signatures_left: 100,
            because: None,
        };
        let by_webpki = || self.webpki(leaf, others);
        if search.chain(x509, leaf, 0) {
            // webpki also knows about name constraints; its other objections are its own, not Go's.
            return match by_webpki() {
                Err(TlsError::InvalidCertificate(CertificateError::Other(error)))
                    if error.to_string().contains("NameConstraint") =>
                {
                    let reason = "a root or intermediate certificate is not authorized to sign for this name";
                    Some(CertificateFault::Other {
                        reason: reason.to_owned(),
                    })
                }
                _ => None,
            };
        }
        // A root that only webpki can read counts as well, unless the one that fits was turned down for a reason.
        if search.because.is_none() && by_webpki().is_ok() {
            return None;
        }
        let issuer = x509.tbs_certificate().issuer().to_string();
        Some(CertificateFault::UnknownCa {
            issuer,
            because: search.because,
        })
    }

    fn webpki(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), TlsError> {
        let since_epoch = self
            .now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            self.store,
            others,
            UnixTime::since_unix_epoch(since_epoch),
            self.algorithms.all,
        )
    }
}

const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// The way from a leaf up to a trusted certificate.
struct Search<'a> {
    judge: &'a Judge<'a>,
    others: &'a [CertificateDer<'a>],
    /// Bounds the work that a hostile chain can cause, as Go's own budget does.
    signatures_left: usize,
    because: Option<String>,
}

impl Search<'_> {
    fn chain(&mut self, x509: &X509, der: &[u8], depth: usize) -> bool {
        if depth > 8 {
            return false;
        }
        let (roots, others) = (self.judge.roots, self.others);
        let candidates = roots
            .iter()
            .map(|root| (root, true))
            .chain(others.iter().map(|other| (other, false)));
        for (candidate, trusted) in candidates {
            let Ok(issuer) = X509::from_der(candidate) else {
                continue;
            };
            if issuer.tbs_certificate().subject() != x509.tbs_certificate().issuer()
                || self.signatures_left == 0
            {
                continue;
            }
            self.signatures_left -= 1;
            let refusal = if !signed_by(der, x509, &issuer, self.judge.algorithms) {
                Some("its key did not sign the certificate".to_owned())
            } else if let Some(fault) = self.judge.out_of_date(&issuer) {
                Some(format!("it {fault}"))
            } else if !may_sign(&issuer) {
                Some("it is not authorized to sign other certificates".to_owned())
            } else {
                None
            };
            match refusal {
                None if trusted || self.chain(&issuer, candidate, depth + 1) => return true,
                None => {}
                Some(reason) => {
                    let name = issuer.tbs_certificate().subject();
                    self.because
                        .get_or_insert_with(|| format!("authority `{name}`: {reason}"));
                }
            }
        }
        false
    }
}

/// Whether an authority may vouch: version 1 certificates have no way to say so, and Go takes them.
fn may_sign(x509: &X509) -> bool {
    match x509.tbs_certificate().get_extension::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca,
        Ok(None) => x509.tbs_certificate().version() != Version::V3,
        Err(_) => false,
    }
}

/// Whether the key of `issuer` made the signature on the certificate `der`.
fn signed_by(
    der: &[u8],
    x509: &X509,
    issuer: &X509,
    algorithms: WebPkiSupportedAlgorithms,
) -> bool {
    let signed = || {
        let mut reader = SliceReader::new(der).ok()?;
        Header::decode(&mut reader).ok()?;
        reader.tlv_bytes().ok()
    };
    let key = issuer.tbs_certificate().subject_public_key_info();
    let (Some(message), Some(signature), Some(key_bits), Some(key_id), Some(signature_id)) = (
        signed(),
        x509.signature().as_bytes(),
        key.subject_public_key.as_bytes(),
        identifier(&key.algorithm),
        identifier(x509.signature_algorithm()),
    ) else {
        return false;
    };
    let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        algorithm.public_key_alg_id().as_ref() == key_id
            && algorithm.signature_alg_id().as_ref() == signature_id
    };
    let mut fitting = algorithms.all.iter().filter(fits);
    fitting.any(|algorithm| {
        algorithm
            .verify_signature(key_bits, message, signature)
            .is_ok()
    })
}

/// The inside of an algorithm identifier, which is how rustls names algorithms.
pub(super) fn identifier(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    let mut reader = SliceReader::new(&der).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    let length = usize::try_from(header.length()).ok()?;
    Some(der[der.len().checked_sub(length)?..].to_vec())
}

/// The subject alternative names that matter to TLS, or `None` when the extension is missing.
fn names(x509: &X509) -> Option<Vec<String>> {
    let (_, SubjectAltName(all)) = x509
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .ok()??;
    let names = all.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes().len() {
            4 => <[u8; 4]>::try_from(bytes.as_bytes())
                .ok()
                .map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(bytes.as_bytes())
                .ok()
                .map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    });
    Some(names.collect())
}

fn wrong_name(x509: &X509, names: Option<Vec<String>>, host: &str) -> Option<CertificateFault> {
    let Some(names) = names else {
        let common_name = common_name(x509).unwrap_or_default();
        return Some(CertificateFault::NoSan {
            wanted: host.to_owned(),
            common_name,
        });
    };
    if names.iter().any(|name| matches(name, host)) {
        return None;
    }
    Some(CertificateFault::WrongName {
        wanted: host.to_owned(),
        names,
    })
}

fn common_name(x509: &X509) -> Option<String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let found = x509
        .tbs_certificate()
        .subject()
        .iter()
        .find(|attribute| attribute.oid == COMMON_NAME)?;
    Some(String::from_utf8_lossy(found.value.value()).into_owned())
}

fn unreadable(chain: usize) -> Certificate {
    Certificate {
        subject: String::new(),
        issuer: String::new(),
        names: Vec::new(),
        not_before: String::new(),
        not_after: String::new(),
        chain,
        self_signed: false,
        faults: vec![CertificateFault::Other {
            reason: "malformed certificate".to_owned(),
        }],
    }
}
