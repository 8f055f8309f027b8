//! Certificates of the node: the kubelet's client certificate, and those that hosts.toml gives to the runtime. Only the
//! certificate in a file is kept; the key that may stand beside it is not.

use std::collections::BTreeMap;
use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;

use crate::facts::{Certificate, Fact, Files, Source};
use crate::probe::host_files;
use crate::registry::tree::Entry;

/// Where kubelets keep theirs.
pub const KUBELET: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// No certificate is so long.
const LONGEST: u64 = 256 << 10;
const MOST: usize = 200;

/// Reads the certificates below `root`: the kubelet's, and those in files that may hold keys.
pub(super) fn look(root: &Path, files: &Files) -> BTreeMap<String, Fact<Certificate>> {
    let mut paths = vec![KUBELET.to_owned()];
    let sealed = files.tree.iter().filter(|(_, entry)| {
        matches!(entry, Entry::Sealed { blocks } if blocks.iter().any(|block| block == "CERTIFICATE"))
    });
    paths.extend(
        sealed
            .map(|(path, _)| path.display().to_string())
            .take(MOST),
    );
    paths
        .into_iter()
        .map(|path| {
            let fact = one(root, &path);
            (path, fact)
        })
        .collect()
}

fn one(root: &Path, path: &str) -> Fact<Certificate> {
    let bytes = match host_files::read_bytes(root, Path::new(path), LONGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Fact::absent(format!("there is no `{path}`"));
        }
        Err(error) => return Fact::unknown(format!("`{path}`: {error}")),
    };
    match first(&bytes) {
        Some(certificate) => Fact::known(certificate, Source::file(path)),
        None => Fact::unknown(format!("`{path}` holds no certificate that can be read")),
    }
}

/// The first certificate of a PEM text.
fn first(text: &[u8]) -> Option<Certificate> {
    let der = CertificateDer::pem_slice_iter(text).next()?.ok()?;
    let certificate = X509::from_der(&der).ok()?;
    let tbs = certificate.tbs_certificate();
    let time = |time: &x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
        Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
    };
    Some(Certificate {
        subject: tbs.subject().to_string(),
        not_before: time(&tbs.validity().not_before)?,
        not_after: time(&tbs.validity().not_after)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_kept_and_the_key_is_not() {
        let made = rcgen::generate_simple_self_signed(["node".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        let text = format!("{}{key}", made.cert.pem());
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(KUBELET.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
        let found = look(root.path(), &Files::default());
        let certificate = found[KUBELET].value().unwrap();
        assert!(
            certificate.not_after > certificate.not_before,
            "{certificate:?}"
        );
        let saved = serde_json::to_string(&found).unwrap();
        assert!(!saved.contains("PRIVATE"));
    }

    #[test]
    fn what_is_no_certificate_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(one(root.path(), "/x"), Fact::Absent { .. }));
        std::fs::write(
            root.path().join("x"),
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(matches!(one(root.path(), "/x"), Fact::Unknown { .. }));
    }
}
