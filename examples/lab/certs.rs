//! Certificates of the lab's registries: a CA that the node is told about, one that it is not, and faulty ones.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::error::{Doing, Result};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a server's certificate is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For 127.0.0.1 and localhost, valid for decades.
    Good,
    /// The same, but it ended in 2025.
    Expired,
    /// For another host.
    WrongHost,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
        })
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes a server's certificate and key into `dir` and returns where they are.
    ///
    /// # Errors
    /// No key can be made, or the files cannot be written.
    pub fn issue(&self, kind: Kind, name: &str, dir: &Path) -> Result<(PathBuf, PathBuf)> {
        let names: &[&str] = match kind {
            Kind::WrongHost => &["elsewhere.lab.test"],
            Kind::Good | Kind::Expired => &["127.0.0.1", "localhost"],
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if kind == Kind::Expired {
            params.not_before = date_time_ymd(2024, 1, 1);
            params.not_after = date_time_ymd(2025, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let paths = (
            dir.join(format!("{name}.crt")),
            dir.join(format!("{name}.key")),
        );
        for (path, text) in [
            (&paths.0, certificate.pem()),
            (&paths.1, key.serialize_pem()),
        ] {
            fs::write(path, text).doing(|| format!("write {}", path.display()))?;
        }
        Ok(paths)
    }
}
