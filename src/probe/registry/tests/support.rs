//! A scripted HTTP server, an image, certificates, and a probe with short deadlines.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::probe::registry::*;
use crate::registry::plan::{
    AuthPolicy, AuthSource, Method, Phase, RouteEndpoint, Source, TlsPolicy,
};

/// What the server does with a request.
pub enum Act {
    /// Writes this and waits for the next request.
    Say(Vec<u8>),
    /// Writes this and closes.
    SayAndClose(Vec<u8>),
    /// Writes this and never goes on.
    SayAndHang(Vec<u8>),
}

/// A scripted server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server that asks `script` for each request; the script is given method and path, and the whole head.
    pub async fn start(script: impl Fn(&str, &str) -> Act + Send + Sync + 'static) -> Server {
        Self::start_with(None, script).await
    }

    /// The same behind TLS.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&str, &str) -> Act + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (requests.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script, tls) = (log.clone(), script.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, &log, &*script).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &log, &*script).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Server { address, requests }
    }

    /// Starts a server that writes `bytes` as soon as a client has said anything, whatever it was.
    pub async fn blurt(bytes: &'static [u8]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        Server::at(address)
    }

    /// A server that somebody else runs.
    pub fn at(address: SocketAddr) -> Server {
        Server {
            address,
            requests: Arc::default(),
        }
    }

    /// Heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// First lines of the requests so far, without the protocol version.
    pub fn lines(&self) -> Vec<String> {
        let line = |head: &String| {
            head.lines()
                .next()
                .unwrap()
                .trim_end_matches(" HTTP/1.1")
                .to_owned()
        };
        self.requests().iter().map(line).collect()
    }

    /// A URL there.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<String>>,
    script: &(impl Fn(&str, &str) -> Act + ?Sized),
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let mut head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let length = name.eq_ignore_ascii_case("content-length");
            length.then(|| value.parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.ok()?;
        head.push_str(&String::from_utf8(body).unwrap());
        log.lock().unwrap().push(head.clone());
        let line = head
            .lines()
            .next()
            .unwrap()
            .trim_end_matches(" HTTP/1.1")
            .to_owned();
        match script(&line, &head) {
            Act::Say(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::SayAndClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return stream.shutdown().await.ok();
            }
            Act::SayAndHang(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.flush().await.ok()?;
                std::future::pending().await
            }
        }
    }
}

/// A whole answer.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Act {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    Act::Say([bytes.as_bytes(), body].concat())
}

/// The same to HEAD: length without body.
pub fn head_answer(status: &str, headers: &[(&str, &str)]) -> Act {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    Act::Say(format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes())
}

pub fn sha256(content: &[u8]) -> String {
    format!(
        "sha256:{}",
        Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    )
}

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An image that a script can serve.
#[derive(Clone)]
pub struct Image {
    pub config: Vec<u8>,
    pub layer: Vec<u8>,
    pub manifest: Vec<u8>,
    pub media_type: &'static str,
    /// What an index wraps, if the reference means one.
    pub child: Option<Vec<u8>>,
}

impl Image {
    pub fn new(text: &str) -> Image {
        let (config, layer) = (
            format!("{{\"os\":\"{text}\"}}").into_bytes(),
            text.repeat(1000).into_bytes(),
        );
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": "c", "digest": sha256(&config), "size": config.len()},
            "layers": [
                {"mediaType": "l", "digest": sha256(b"huge"), "size": 1u64 << 40},
                {"mediaType": "l", "digest": sha256(&layer), "size": layer.len()},
            ],
        });
        Image {
            config,
            layer,
            manifest: manifest.to_string().into_bytes(),
            media_type: MANIFEST_TYPE,
            child: None,
        }
    }

    /// The same image inside an index, for a platform.
    pub fn in_index(self, os: &str, architecture: &str) -> Image {
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST_TYPE, "digest": sha256(&self.manifest), "size": self.manifest.len(),
                "platform": {"os": os, "architecture": architecture},
            }],
        });
        let manifest = index.to_string().into_bytes();
        Image {
            child: Some(self.manifest.clone()),
            manifest,
            media_type: INDEX_TYPE,
            ..self
        }
    }

    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// A faultless registry's answer.
    pub fn serve(&self, line: &str) -> Act {
        let (method, path) = line.split_once(' ').unwrap();
        // A proxy is told the whole URL.
        let path = path
            .find("/v2/")
            .map_or(path, |at| &path[at..])
            .split('?')
            .next()
            .unwrap();
        let digest = self.digest();
        let manifest: &[(&str, &str)] = &[
            ("Content-Type", self.media_type),
            ("Docker-Content-Digest", &digest),
        ];
        let last = path.rsplit('/').next().unwrap();
        if path == "/v2/" {
            return answer(
                "200 OK",
                &[("Docker-Distribution-Api-Version", "registry/2.0")],
                b"{}",
            );
        }
        if last == "1" || last == digest {
            return match method {
                "HEAD" => head_answer("200 OK", manifest),
                _ => answer("200 OK", manifest, &self.manifest),
            };
        }
        if let Some(child) = self.child.as_ref().filter(|child| sha256(child) == last) {
            return answer("200 OK", &[("Content-Type", MANIFEST_TYPE)], child);
        }
        for blob in [&self.config, &self.layer] {
            if sha256(blob) == last {
                return answer("200 OK", &[], blob);
            }
        }
        let error = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        if method == "HEAD" {
            return head_answer("404 Not Found", &[("Content-Type", "application/json")]);
        }
        answer(
            "404 Not Found",
            &[("Content-Type", "application/json")],
            error,
        )
    }
}

/// The path of the image that all tests ask for.
pub const PATH: &str = "/v2/lab/app/manifests/1";

pub fn endpoint(url: &str) -> RouteEndpoint {
    RouteEndpoint {
        method: Method::Head,
        url: url.to_owned(),
        phases: vec![Phase::Resolve, Phase::Fetch],
        tls: TlsPolicy {
            verify: true,
            ca: Vec::new(),
            client_cert: None,
        },
        fallback: None,
        auth: AuthPolicy {
            source: AuthSource::None,
        },
        headers: Vec::new(),
        why: String::new(),
        source: Source::Builtin,
    }
}

/// Deadlines long enough for a busy machine where an answer comes, and short where none will.
pub fn options() -> Options {
    let root = std::path::PathBuf::from("/nonexistent");
    Options {
        limits: Limits {
            dns: Duration::from_secs(20),
            connect: Duration::from_secs(20),
            tls: Duration::from_secs(20),
            answer: Duration::from_secs(20),
            stall: Duration::from_secs(20),
            total: Duration::from_secs(50),
            blob: 1 << 20,
        },
        host: HostFiles {
            root,
            ssl_cert_file: None,
            ssl_cert_dir: None,
        },
        platform: Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: None,
        },
        ..Options::default()
    }
}

pub const CONTAINERD: RuntimeName = RuntimeName::Containerd;

pub async fn probe(endpoint: RouteEndpoint, options: &Options) -> EndpointProbe {
    probe_as(CONTAINERD, endpoint, options).await
}

pub async fn probe_as(
    runtime: RuntimeName,
    endpoint: RouteEndpoint,
    options: &Options,
) -> EndpointProbe {
    let mut probes = probe_endpoints(&[endpoint], runtime, options, &|_| {}).await;
    probes.remove(0)
}

/// Fails with everything that is known.
#[track_caller]
pub fn assert_verdict(probe: &EndpointProbe, verdict: Verdict, at: Stage) {
    assert_eq!(
        (probe.verdict, probe.failed_at),
        (verdict, Some(at)),
        "{probe:#?}"
    );
}

#[track_caller]
pub fn assert_serves(probe: &EndpointProbe) {
    assert_eq!(probe.verdict, Verdict::Serves, "{probe:#?}");
}

/// A certificate authority of the tests.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

impl Authority {
    pub fn new(change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Lab CA");
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { params, key, pem }
    }

    /// A certificate for 127.0.0.1, changed as wished.
    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "127.0.0.1");
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Leaf {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }
}

/// A certificate with its key.
pub struct Leaf {
    pub pem: String,
    pub der: CertificateDer<'static>,
    pub key: KeyPair,
}

impl Leaf {
    pub fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Leaf {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }

    /// A server that shows this certificate, and wants one of `clients` when that is given.
    pub fn acceptor(&self, clients: Option<&Authority>) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = tokio_rustls::rustls::RootCertStore::empty();
                let der = authority
                    .params
                    .self_signed(&authority.key)
                    .unwrap()
                    .der()
                    .clone();
                roots.add(der).unwrap();
                let provider = Arc::new(ring::default_provider());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        // Taken as it is: rustls would refuse to serve a certificate of version 1.
        let signer = ring::sign::any_supported_type(&key).unwrap();
        let identity = SingleCertAndKey::from(CertifiedKey::new(vec![self.der.clone()], signer));
        let config = builder.with_cert_resolver(Arc::new(identity));
        TlsAcceptor::from(Arc::new(config))
    }
}
