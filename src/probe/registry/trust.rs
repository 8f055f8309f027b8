//! The authorities and client certificates with which a runtime meets a registry, read below a host root.
//!
//! The system's authorities are found as Go's `crypto/x509` finds them on Linux: the first of a list of bundle files,
//! and every file of a list of folders, each list replaced by `SSL_CERT_FILE` and `SSL_CERT_DIR` of the daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_cert::Certificate as X509;
use x509_cert::der::{Decode, Encode};

use crate::probe::host_files;
use crate::registry::plan::{ClientCert, TlsPolicy};

/// No bundle or key is larger: a full system bundle has a quarter of a megabyte.
const MAX_FILE: u64 = 8 << 20;

const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Where the files of the node are, and which variables of the daemon move its authorities.
#[derive(Debug, Clone)]
pub struct HostFiles {
    /// The root below which all paths are read; `/` on a live node.
    pub root: PathBuf,
    /// The daemon's `SSL_CERT_FILE`.
    pub ssl_cert_file: Option<PathBuf>,
    /// The daemon's `SSL_CERT_DIR`, folders separated by colons.
    pub ssl_cert_dir: Option<String>,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            ssl_cert_file: None,
            ssl_cert_dir: None,
        }
    }
}

/// A configured file that cannot be used, in the words of Go where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TrustError {
    #[error("unable to read CA cert \"{}\": {reason}", path.display())]
    CaUnreadable { path: PathBuf, reason: String },
    #[error("unable to load CA cert: no PEM certificate in \"{}\"", path.display())]
    CaEmpty { path: PathBuf },
    #[error("failed to load X509 key pair: \"{}\": {reason}", path.display())]
    ClientCert { path: PathBuf, reason: String },
}

/// What is trusted at one endpoint, and what is shown there.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    pub store: Arc<RootCertStore>,
    pub roots: Arc<Vec<CertificateDer<'static>>>,
    pub client: Option<Arc<CertifiedKey>>,
}

/// The system's authorities. What cannot be read is left out, as Go leaves it out.
pub(super) fn system_roots(host: &HostFiles) -> Vec<CertificateDer<'static>> {
    let mut roots = Vec::new();
    let bundles: Vec<&Path> = match &host.ssl_cert_file {
        Some(file) => vec![file],
        None => BUNDLES.iter().map(Path::new).collect(),
    };
    if let Some(pem) = bundles.iter().find_map(|path| read(&host.root, path).ok()) {
        roots.extend(certificates(&pem));
    }
    let folders: Vec<&str> = match &host.ssl_cert_dir {
        Some(list) => list.split(':').collect(),
        None => FOLDERS.to_vec(),
    };
    for folder in folders.into_iter().map(Path::new) {
        let names = host_files::names(&host.root, folder).unwrap_or_default();
        for name in names {
            if let Ok(pem) = read(&host.root, &folder.join(name)) {
                roots.extend(certificates(&pem));
            }
        }
    }
    roots.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
    roots.dedup();
    roots
}

impl Trust {
    /// Reads the files of a policy on top of the system's authorities. One bad file spoils everything, as it does in
    /// the runtimes, even where verification is off.
    pub fn load(
        policy: &TlsPolicy,
        system: &[CertificateDer<'static>],
        root: &Path,
    ) -> Result<Trust, TrustError> {
        let mut roots = system.to_vec();
        for path in &policy.ca {
            let pem = read(root, path).map_err(|error| TrustError::CaUnreadable {
                path: path.clone(),
                reason: reason(&error),
            })?;
            let found = certificates(&pem);
            if found.is_empty() {
                return Err(TrustError::CaEmpty { path: path.clone() });
            }
            roots.extend(found);
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let client = match &policy.client_cert {
            Some(pair) => Some(Arc::new(client(pair, root)?)),
            None => None,
        };
        Ok(Trust {
            store: Arc::new(store),
            roots: Arc::new(roots),
            client,
        })
    }
}

fn client(pair: &ClientCert, root: &Path) -> Result<CertifiedKey, TrustError> {
    let fault = |path: &Path, reason: String| TrustError::ClientCert {
        path: path.to_owned(),
        reason,
    };
    let pem = |path: &Path| read(root, path).map_err(|error| fault(path, reason(&error)));
    let chain = certificates(&pem(&pair.cert)?);
    if chain.is_empty() {
        return Err(fault(
            &pair.cert,
            "failed to find any PEM data in certificate input".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem(&pair.key)?).map_err(|_| {
        fault(
            &pair.key,
            "failed to find any PEM data in key input".to_owned(),
        )
    })?;
    let key = any_supported_type(&key).map_err(|error| fault(&pair.key, error.to_string()))?;
    // rustls would compare the two with webpki, which does not read version 1 certificates; Go does.
    let ours = key.public_key();
    let named = X509::from_der(&chain[0])
        .and_then(|x509| x509.tbs_certificate().subject_public_key_info().to_der())
        .map_err(|error| fault(&pair.cert, format!("malformed certificate: {error}")))?;
    if ours.is_some_and(|ours| ours.as_ref() != named) {
        let reason = "private key does not match public key";
        return Err(fault(&pair.key, reason.to_owned()));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// All certificates of a PEM file; other blocks and malformed ones are skipped, as in Go.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn read(root: &Path, path: &Path) -> io::Result<Vec<u8>> {
    host_files::read_bytes(root, path, MAX_FILE)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_daemon_moves_its_authorities() {
        let root = tempfile::tempdir().unwrap();
        let pem = |name: &str| {
            rcgen::generate_simple_self_signed([name.to_owned()])
                .unwrap()
                .cert
                .pem()
        };
        let put = |path: &str, text: String| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("etc/ssl/cert.pem", pem("last"));
        put(
            "etc/ssl/ca-bundle.pem",
            format!("{}\n{}", pem("one"), pem("two")),
        );
        put("etc/ssl/certs/more.pem", pem("more"));
        put("etc/ssl/certs/readme", "no certificate".into());
        put("own/ca.pem", pem("own"));
        let mut host = HostFiles {
            root: root.path().into(),
            ..HostFiles::default()
        };
        assert_eq!(system_roots(&host).len(), 3);
        host.ssl_cert_file = Some("/own/ca.pem".into());
        host.ssl_cert_dir = Some("/nowhere:/own".into());
        assert_eq!(system_roots(&host).len(), 1);
    }

    #[test]
    fn files_that_cannot_be_used() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("empty.crt"), "").unwrap();
        let pair = rcgen::generate_simple_self_signed(["c".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["c".to_owned()]).unwrap();
        fs::write(root.path().join("c.crt"), pair.cert.pem()).unwrap();
        fs::write(root.path().join("c.key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(
            root.path().join("other.key"),
            other.signing_key.serialize_pem(),
        )
        .unwrap();
        let load = |ca: &[&str], client: Option<(&str, &str)>| {
            let policy = TlsPolicy {
                verify: true,
                ca: ca.iter().map(PathBuf::from).collect(),
                client_cert: client.map(|(cert, key)| ClientCert {
                    cert: cert.into(),
                    key: key.into(),
                }),
            };
            Trust::load(&policy, &[], root.path())
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let fails =
            |result: Result<(), String>, words: &str| assert!(result.unwrap_err().contains(words));
        fails(
            load(&["/gone.crt"], None),
            "unable to read CA cert \"/gone.crt\": no such file",
        );
        fails(load(&["/empty.crt"], None), "unable to load CA cert");
        fails(load(&[], Some(("/c.crt", "/gone"))), "no such file");
        fails(
            load(&[], Some(("/c.crt", "/empty.crt"))),
            "failed to find any PEM data in key",
        );
        fails(
            load(&[], Some(("/c.crt", "/other.key"))),
            "private key does not match public key",
        );
        assert_eq!(load(&["/c.crt"], Some(("/c.crt", "/c.key"))), Ok(()));
    }
}
