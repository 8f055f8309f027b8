//! The registry's identity, from PEM.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::fake::Error;

/// A certificate chain, its key, and whose clients are let in.
pub(super) struct Identity {
    certificates: String,
    key: String,
    pub(super) client_authorities: Option<String>,
}

/// Leaves the key out.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn new(certificates: &str, key: &str) -> Self {
        Self {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
            client_authorities: None,
        }
    }

    pub(super) fn acceptor(self) -> Result<TlsAcceptor, Error> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(Error::Pem)?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Certificate)?;
        let config = match self.client_authorities {
            None => config.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(&authorities)? {
                    roots.add(authority).map_err(Error::Certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config
                    .with_client_cert_verifier(verifier.build().map_err(Error::ClientAuthorities)?)
            }
        };
        let config = config
            .with_single_cert(certificates(&self.certificates)?, key)
            .map_err(Error::Certificate)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(Error::Pem)
}
