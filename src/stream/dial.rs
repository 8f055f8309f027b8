//! From a target to an open connection: TCP or a unix socket, TLS where the URL says https.
//!
//! A runtime that serves its streams with TLS makes up a certificate at every start (containerd:
//! `enable_tls_streaming`) unless it is given one, and hands out the URL over a socket that only root reads. So the
//! certificate is verified where an authority is given, and otherwise taken as it is, as crictl does.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::Error;
use super::url::{Place, Target};
use crate::files;

/// No file of certificates or keys is larger.
const LARGEST_FILE: u64 = 1 << 20;

/// What can be known of a connection here: bytes go in and come out.
pub trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin + Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + Debug> Bytestream for T {}

/// An open connection, whatever it is made of.
pub type Stream = Box<dyn Bytestream>;

/// What is set about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The name that the certificate has to have.
    pub server_name: String,
    /// The authority; without one nothing is verified.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What connects: TLS is read once, the deadline is that of connecting and of upgrading.
#[derive(Clone)]
pub struct Dialer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: Duration,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("name", &self.name)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::TlsFile`].
    pub fn new(tls: &Tls, deadline: Duration) -> Result<Self, Error> {
        let name =
            ServerName::try_from(tls.server_name.clone()).map_err(|error| Error::TlsFile {
                path: tls.server_name.clone(),
                reason: error.to_string(),
            })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(Path::new("TLS"), &error))?;
        let builder = match &tls.ca {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| unusable(path, &error))?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AsItIs(provider))),
        };
        let config = match &tls.client {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let pem = read(key)?;
                let pem =
                    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(key, &error))?;
                builder
                    .with_client_auth_cert(chain, pem)
                    .map_err(|error| unusable(certificate, &error))?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self {
            config: Arc::new(config),
            name,
            deadline,
        })
    }

    /// How long connecting may take, and upgrading after it.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Handshake`], [`Error::Deadline`].
    pub async fn dial(&self, target: &mut Target) -> Result<Stream, Error> {
        match tokio::time::timeout(self.deadline, self.connect(target)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Deadline {
                address: target.address(),
                deadline: self.deadline,
            }),
        }
    }

    async fn connect(&self, target: &mut Target) -> Result<Stream, Error> {
        let failed = |address: String| |source| Error::Connect { address, source };
        let stream = match &target.place {
            Place::Unix(path) => {
                let (socket, rest) = socket_in(path);
                let stream = UnixStream::connect(&socket)
                    .await
                    .map_err(failed(socket.display().to_string()))?;
                *target = target.below(socket, rest);
                return Ok(Box::new(stream));
            }
            Place::Tcp(host, port) => TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(failed(target.address()))?,
        };
        // Keys are typed one by one, and each is to arrive at once. A socket that does not know the option is slower.
        let _ = stream.set_nodelay(true);
        if !target.tls {
            return Ok(Box::new(stream));
        }
        let stream = TlsConnector::from(self.config.clone())
            .connect(self.name.clone(), stream)
            .await
            .map_err(|source| Error::Handshake {
                address: target.address(),
                source,
            })?;
        Ok(Box::new(stream))
    }
}

/// Where the socket ends in `/run/x.sock/exec/token`: at the first file that is no directory.
fn socket_in(path: &Path) -> (PathBuf, String) {
    let mut socket = PathBuf::new();
    let mut steps = path.components();
    for step in steps.by_ref() {
        socket.push(step);
        if std::fs::metadata(&socket).is_ok_and(|found| !found.is_dir()) {
            break;
        }
    }
    (socket, format!("/{}", steps.as_path().display()))
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::TlsFile {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    files::read::bytes(path, LARGEST_FILE).map_err(|error| unusable(path, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, &"no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Takes any certificate, but wants the peer to have its key.
#[derive(Debug)]
struct AsItIs(Arc<CryptoProvider>);

impl ServerCertVerifier for AsItIs {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
