//! TLS with an endpoint: the handshake under a policy, everything recorded that explains how it ended.
//!
//! With `verify = false` the handshake goes on whatever the certificate is, but what verification would have said is
//! recorded all the same.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{ResolvesClientCert, Resumption};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    SignatureScheme,
};
use x509_cert::Certificate as X509;
use x509_cert::der::{Decode, Encode};

use super::certificate::Certificate;
use super::judge::{Judge, identifier};
use super::outcome::Fault;
use super::trust::Trust;
use super::verdict::{Stage, Verdict};

/// What was seen of the peer during the handshake; it grows afterwards too, because TLS 1.3 servers judge the client's
/// certificate when the client thinks that all is done.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub certificate: Option<Certificate>,
    /// Whether the server asked for a client certificate.
    pub asked: bool,
    /// Whether one was shown.
    pub shown: bool,
    /// Whether one is configured and was held back, because the server names other authorities.
    pub withheld: bool,
}

/// [`Seen`], shared with the callbacks of the handshake.
pub(super) type SharedSeen = Arc<Mutex<Seen>>;

pub(super) fn with_seen<T>(seen: &SharedSeen, look: impl FnOnce(&mut Seen) -> T) -> T {
    look(&mut seen.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes the handshake over an open connection.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    trust: &Trust,
    verify: bool,
    seen: &SharedSeen,
) -> Result<TlsStream<S>, io::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Recorder {
        provider: provider.clone(),
        trust: trust.clone(),
        verify,
        host: host.to_owned(),
        seen: seen.clone(),
    };
    let client = Client {
        key: trust.client.clone(),
        seen: seen.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(client));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Verifies like the runtimes do and keeps what it found.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    trust: Trust,
    verify: bool,
    host: String,
    seen: SharedSeen,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let judge = Judge {
            store: &self.trust.store,
            roots: &self.trust.roots,
            algorithms: self.provider.signature_verification_algorithms,
            now: SystemTime::now(),
        };
        let certificate = judge.judge(leaf, others, &self.host);
        let good = certificate.faults.is_empty();
        with_seen(&self.seen, |seen| seen.certificate = Some(certificate));
        if good || !self.verify {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl Recorder {
    /// Checks that the peer holds the certificate's key. Done here and not by webpki, which does not read version 1
    /// certificates; Go does. Without verification anybody may be the peer, so there is nothing to check.
    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if !self.verify {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let bad = || TlsError::InvalidCertificate(CertificateError::BadSignature);
        let x509 = X509::from_der(certificate).map_err(|_| bad())?;
        let key = x509.tbs_certificate().subject_public_key_info();
        let key_id = identifier(&key.algorithm).ok_or_else(bad)?;
        let bits = key.subject_public_key.as_bytes().ok_or_else(bad)?;
        let schemes = self.provider.signature_verification_algorithms.mapping;
        let named = schemes
            .iter()
            .filter(|(scheme, _)| *scheme == signature.scheme);
        let mut fitting = named
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key_id);
        if fitting.any(|algorithm| {
            algorithm
                .verify_signature(bits, message, signature.signature())
                .is_ok()
        }) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }
}

/// Shows the client certificate, if there is one, and notes that it was asked for.
#[derive(Debug)]
struct Client {
    key: Option<Arc<CertifiedKey>>,
    seen: SharedSeen,
}

impl ResolvesClientCert for Client {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let key = self.key.as_ref();
        let fitting = key.filter(|key| authorities.is_empty() || issued_by(key, authorities));
        with_seen(&self.seen, |seen| {
            seen.asked = true;
            seen.shown = fitting.is_some();
            seen.withheld = key.is_some() && fitting.is_none();
        });
        fitting.cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether a chain leads to one of the authorities that a server names. If not, Go sends no certificate at all.
fn issued_by(key: &CertifiedKey, authorities: &[&[u8]]) -> bool {
    key.cert.iter().any(|certificate| {
        let x509 = X509::from_der(certificate);
        let issuer = x509.and_then(|x509| x509.tbs_certificate().issuer().to_der());
        issuer.is_ok_and(|issuer| authorities.contains(&issuer.as_slice()))
    })
}

/// Explains why a handshake did not come about. `first` are the first bytes that the peer sent.
pub(super) fn explain(error: &io::Error, first: &[u8], host: &str, seen: &SharedSeen) -> Fault {
    if first.starts_with(b"HTTP/") {
        return Fault::new(
            Verdict::PlainHttp,
            Stage::Tls,
            "it answers the TLS handshake in plain HTTP",
        )
        .in_go("http: server gave HTTP response to HTTPS client");
    }
    // A TLS record: handshake, alert or change of cipher, and the major version.
    if first.len() >= 2 && !(matches!(first[0], 20..=23) && first[1] == 3) {
        let shown = first.escape_ascii().to_string();
        let shown = shown.get(..60).unwrap_or(&shown);
        return Fault::new(
            Verdict::TlsOther,
            Stage::Tls,
            format!("it answers the TLS handshake with `{shown}`"),
        )
        .in_go("tls: first record does not look like a TLS handshake");
    }
    match tls_error(error) {
        Some(TlsError::InvalidCertificate(error)) => {
            with_seen(seen, |seen| refused_certificate(seen, host))
                .unwrap_or_else(|| Fault::new(Verdict::TlsOther, Stage::Tls, error.to_string()))
        }
        Some(error) => explain_tls(error, seen),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::new(
                Verdict::Closed,
                Stage::Tls,
                "it closes the connection during the TLS handshake",
            )
            .in_go("EOF"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Fault::new(
                Verdict::Closed,
                Stage::Tls,
                "it resets the connection during the TLS handshake",
            )
            .in_go("connection reset by peer"),
            _ => Fault::new(Verdict::TlsOther, Stage::Tls, error.to_string()),
        },
    }
}

/// The fault of a certificate that verification turned down.
fn refused_certificate(seen: &Seen, host: &str) -> Option<Fault> {
    let certificate = seen.certificate.as_ref()?;
    let first = certificate.faults.first()?;
    let all: Vec<String> = certificate
        .faults
        .iter()
        .map(|fault| fault.to_string())
        .collect();
    Some(
        Fault::new(
            first.verdict(),
            Stage::Tls,
            format!("the certificate of {host} {}", all.join(", and ")),
        )
        .in_go(first.in_go()),
    )
}

/// Explains an error of TLS itself. It may come to light with the first request: a TLS 1.3 server judges the client's
/// certificate when the client thinks that all is done.
pub(super) fn explain_tls(error: &TlsError, seen: &SharedSeen) -> Fault {
    let at = Stage::Tls;
    let (asked, shown, withheld) = with_seen(seen, |seen| (seen.asked, seen.shown, seen.withheld));
    let TlsError::AlertReceived(alert) = error else {
        return Fault::new(Verdict::TlsOther, at, error.to_string());
    };
    use AlertDescription::*;
    let in_go = format!("remote error: tls: {}", alert_in_go(*alert));
    let about_client = matches!(
        alert,
        CertificateRequired
            | BadCertificate
            | UnknownCA
            | CertificateUnknown
            | AccessDenied
            | HandshakeFailure
            | UnsupportedCertificate
            | CertificateExpired
            | CertificateRevoked
            | DecryptError
    );
    if withheld && about_client {
        let detail =
            "the configured client certificate is from none of the authorities that it accepts";
        return Fault::new(Verdict::TlsClientCertRejected, at, detail).in_go(in_go);
    }
    if *alert == CertificateRequired || (asked && !shown && about_client) {
        return Fault::new(
            Verdict::TlsClientCertRequired,
            at,
            format!("it wants a client certificate ({alert:?})"),
        )
        .in_go(in_go);
    }
    if asked && shown && about_client {
        return Fault::new(
            Verdict::TlsClientCertRejected,
            at,
            format!("it refuses the client certificate ({alert:?})"),
        )
        .in_go(in_go);
    }
    Fault::new(
        Verdict::TlsOther,
        at,
        format!("it ends TLS with the alert {alert:?}"),
    )
    .in_go(in_go)
}

/// The TLS error inside an I/O error, or inside whatever wraps one.
pub(super) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<TlsError>() {
            return Some(found);
        }
        // `io::Error::source` skips the error that it wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// An alert as Go names it, where the names are known to differ.
fn alert_in_go(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "certificate required".to_owned(),
        AlertDescription::BadCertificate => "bad certificate".to_owned(),
        AlertDescription::UnknownCA => "unknown certificate authority".to_owned(),
        AlertDescription::CertificateUnknown => "unknown certificate".to_owned(),
        AlertDescription::HandshakeFailure => "handshake failure".to_owned(),
        AlertDescription::AccessDenied => "access denied".to_owned(),
        AlertDescription::ProtocolVersion => "protocol version not supported".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized name".to_owned(),
        AlertDescription::InternalError => "internal error".to_owned(),
        other => format!("{other:?}"),
    }
}
