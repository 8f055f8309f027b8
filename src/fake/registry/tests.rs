//! The registry, asked over plain sockets, so that every byte it sends is seen.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

/// As long as any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

const ALL: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json\r\n";

fn image() -> Image {
    Image::single("one")
}

fn start() -> Registry {
    Registry::builder()
        .image("library/one", "1", &image())
        .start()
        .unwrap()
}

/// Everything that is answered to a request until the connection ends, as bytes that may be no text.
async fn ask(registry: &Registry, request: &str, headers: &str) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(registry.address()).await?;
    ask_over(stream, request, headers).await
}

async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    headers: &str,
) -> io::Result<Vec<u8>> {
    let text =
        format!("{request} HTTP/1.1\r\nHost: registry.test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the answer does not end");
    // An answer that breaks off is an answer.
    if answer.is_empty() {
        read.map(|_| answer)
    } else {
        Ok(answer)
    }
}

async fn text(registry: &Registry, request: &str, headers: &str) -> String {
    String::from_utf8(ask(registry, request, headers).await.unwrap()).unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n")?.0;
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_digest_and_blob() {
    let (registry, image) = (start(), image());
    assert!(
        text(&registry, "GET /v2/", "")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    let head = text(
        &registry,
        "HEAD /v2/library/one/manifests/1?ns=docker.io",
        ALL,
    )
    .await;
    assert_eq!(header(&head, "docker-content-digest"), Some(image.digest()));
    assert_eq!(body(&head), "");
    let path = format!("GET /v2/library/one/manifests/{}", image.digest());
    let manifest = text(&registry, &path, ALL).await;
    assert_eq!(body(&manifest).as_bytes(), image.top.bytes);
    for blob in &image.blobs {
        let answer = ask(
            &registry,
            &format!("GET /v2/library/one/blobs/{}", blob.digest),
            "",
        )
        .await
        .unwrap();
        assert!(answer.ends_with(&blob.bytes));
    }
    let range = format!("GET /v2/library/one/blobs/{}", image.blobs[0].digest);
    let part = text(&registry, &range, "Range: bytes=0-0\r\n").await;
    assert_eq!(
        (body(&part), header(&part, "content-length")),
        ("{", Some("1"))
    );
    assert!(
        text(&registry, "GET /v2/library/one/tags/list", "")
            .await
            .ends_with(r#"{"name":"library/one","tags":["1"]}"#)
    );

    let requests = registry.requests();
    assert_eq!(
        requests[1].to_string(),
        "HEAD /v2/library/one/manifests/1?ns=docker.io"
    );
    assert_eq!(requests[1].ns().as_deref(), Some("docker.io"));
    assert_eq!(requests[0].ns(), None);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let registry = start();
    for (path, code) in [
        ("/v2/library/one/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/library/two/manifests/1", "MANIFEST_UNKNOWN"),
        ("/v2/library/one/blobs/sha256:0", "BLOB_UNKNOWN"),
        ("/v2/library/two/tags/list", "NAME_UNKNOWN"),
        ("/library/one", "404 page not found"),
    ] {
        let answer = text(&registry, &format!("GET {path}"), ALL).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && body(&answer).contains(code),
            "{path}: {answer}"
        );
    }
    // OCI goes only to those who name it.
    let answer = text(
        &registry,
        "GET /v2/library/one/manifests/1",
        "Accept: */*\r\n",
    )
    .await;
    assert!(
        answer.contains("accept header does not support OCI"),
        "{answer}"
    );
    let answer = text(&registry, "DELETE /v2/library/one/manifests/1", "").await;
    assert!(answer.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn connections_are_used_again() {
    let registry = start();
    let mut stream = TcpStream::connect(registry.address()).await.unwrap();
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let answer = ask_over(stream, "GET /v2/", "").await.unwrap();
    assert_eq!(
        String::from_utf8(answer)
            .unwrap()
            .matches("HTTP/1.1 200 OK")
            .count(),
        2
    );
}

#[tokio::test]
async fn basic_authentication_wants_the_password() {
    let auth = Auth::Basic {
        user: "tester".into(),
        password: "s3cret".into(),
    };
    let registry = Registry::builder()
        .image("a", "1", &image())
        .auth(auth)
        .start()
        .unwrap();
    let refused = text(&registry, "GET /v2/", "").await;
    assert_eq!(
        header(&refused, "www-authenticate"),
        Some("Basic realm=\"fake registry\"")
    );
    let login = |pair: &str| format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(pair));
    assert!(
        text(&registry, "GET /v2/", &login("tester:wrong"))
            .await
            .starts_with("HTTP/1.1 401 ")
    );
    assert!(
        text(&registry, "GET /v2/", &login("tester:s3cret"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let seen: Vec<_> = registry
        .requests()
        .iter()
        .map(|request| request.credentials)
        .collect();
    assert_eq!(
        seen,
        [
            Credentials::None,
            Credentials::WrongBasic,
            Credentials::Basic
        ]
    );
    let recorded = format!("{:?}", registry.requests());
    assert!(
        !recorded.contains(&BASE64_STANDARD.encode("tester:s3cret")),
        "secrets are not recorded: {recorded}"
    );
}

#[tokio::test]
async fn bearer_authentication_gives_tokens_per_repository() {
    let auth = Auth::Bearer {
        login: Some(("tester".into(), "s3cret".into())),
        realm: None,
    };
    let registry = Registry::builder()
        .image("a", "1", &image())
        .image("b", "1", &image())
        .auth(auth)
        .start()
        .unwrap();
    let refused = text(&registry, "GET /v2/a/manifests/1", ALL).await;
    let challenge = header(&refused, "www-authenticate").unwrap();
    let expected = format!(
        "Bearer realm=\"{}/token\",service=\"fake registry\",scope=\"repository:a:pull\"",
        registry.url()
    );
    assert_eq!(challenge, expected);

    let query = "service=fake%20registry&scope=repository%3Aa%3Apull";
    let get = format!("GET /token?{query}");
    assert!(text(&registry, &get, "").await.starts_with("HTTP/1.1 401 "));
    let login = format!(
        "Authorization: Basic {}\r\n",
        BASE64_STANDARD.encode("tester:s3cret")
    );
    let granted = text(&registry, &get, &login).await;
    let form = format!("grant_type=password&username=tester&password=s3cret&{query}");
    let posted = text(
        &registry,
        "POST /token",
        &format!("Content-Length: {}\r\n\r\n{form}", form.len()),
    )
    .await;
    assert_eq!(body(&granted), body(&posted));

    let token = serde_json::from_str::<serde_json::Value>(body(&granted)).unwrap();
    let bearer = format!(
        "{ALL}Authorization: Bearer {}\r\n",
        token["token"].as_str().unwrap()
    );
    assert!(
        text(&registry, "GET /v2/a/manifests/1", &bearer)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        text(&registry, "GET /v2/b/manifests/1", &bearer)
            .await
            .starts_with("HTTP/1.1 401 "),
        "another repository"
    );
}

#[tokio::test]
async fn answers_are_made_wrong() {
    let image = Image::sized("one", 5000);
    let manifest = "GET /v2/a/manifests/1";
    let start = |fault| {
        Registry::builder()
            .image("a", "1", &image)
            .fault(On::Manifest, fault)
            .start()
            .unwrap()
    };
    let honest = image.top.bytes.len();
    type Check = fn(&str, usize) -> bool;
    let cases: [(Fault, Check); 19] = [
        (
            Fault::Headers(vec![("Ratelimit-Remaining".into(), "3;w=21600".into())]),
            |answer, _| header(answer, "ratelimit-remaining") == Some("3;w=21600"),
        ),
        (Fault::Unauthorized, |answer, _| {
            answer.starts_with("HTTP/1.1 401 ") && answer.contains("Www-Authenticate: Basic")
        }),
        (Fault::UnauthorizedMute, |answer, _| {
            !answer.contains("Www-Authenticate")
        }),
        (Fault::BrokenRealm, |answer, _| {
            answer.contains("realm=\"null://")
        }),
        (Fault::Forbidden, |answer, _| {
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("DENIED")
        }),
        (Fault::NotFound, |answer, _| {
            answer.contains("MANIFEST_UNKNOWN")
        }),
        (Fault::HeadNotFound, |answer, _| {
            answer.starts_with("HTTP/1.1 200 ")
        }),
        (Fault::TooMany(30), |answer, _| {
            header(answer, "retry-after") == Some("30")
        }),
        (Fault::Status(500), |answer, _| {
            answer.starts_with("HTTP/1.1 500 ")
        }),
        (Fault::Portal, |answer, _| {
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("text/html")
        }),
        (Fault::Redirect("https://x.test/".into()), |answer, _| {
            header(answer, "location") == Some("https://x.test/")
        }),
        (Fault::RedirectLoop, |answer, _| {
            answer.contains("/v2/a/manifests/1\r\n")
        }),
        (Fault::RedirectNowhere, |answer, _| {
            answer.starts_with("HTTP/1.1 302 ") && header(answer, "location").is_none()
        }),
        (Fault::WrongDigest, |answer, _| {
            answer.matches("Docker-Content-Digest").count() == 1
        }),
        (Fault::NoDigest, |answer, _| {
            !answer.contains("Docker-Content-Digest")
        }),
        (Fault::Truncated, |answer, length| {
            body(answer).len() == length / 2
        }),
        (Fault::WrongLength(7), |answer, length| {
            header(answer, "content-length") == Some(&(length + 7).to_string())
                && body(answer).len() == length
        }),
        (Fault::HugeHeader(100_000), |answer, _| {
            header(answer, "x-fill").is_some_and(|fill| fill.len() == 100_000)
        }),
        (Fault::Empty, |answer, _| {
            header(answer, "content-length") == Some("0") && body(answer).is_empty()
        }),
    ];
    for (fault, check) in cases {
        let registry = start(fault.clone());
        let answer = text(&registry, manifest, ALL).await;
        assert!(check(&answer, honest), "{fault:?}: {answer:.500}");
    }

    let registry = start(Fault::Corrupt);
    let answer = text(&registry, manifest, ALL).await;
    assert_ne!(
        Blob::new(image.top.media_type, body(&answer).to_owned().into()).digest,
        image.digest()
    );
    assert_eq!(body(&answer).len(), honest);
    let registry = start(Fault::HeadNotFound);
    assert!(
        text(&registry, "HEAD /v2/a/manifests/1", ALL)
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    let registry = start(Fault::Escapes);
    let answer = text(&registry, manifest, ALL).await;
    let error: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert!(
        error["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("\u{1b}[2J")
    );
    let registry = start(Fault::GzipBomb(10_000_000));
    let answer = ask(&registry, manifest, ALL).await.unwrap();
    assert!(answer.len() < 100_000 && answer.windows(3).any(|window| window == [0x1f, 0x8b, 8]));
    let registry = start(Fault::Garbage);
    assert!(
        !ask(&registry, manifest, ALL)
            .await
            .unwrap()
            .starts_with(b"HTTP")
    );
}

#[tokio::test]
async fn answers_break_off_hang_or_never_end() {
    let registry = start();
    let manifest = "GET /v2/library/one/manifests/1";
    registry.fault_times(On::Manifest, Fault::Close, 1);
    assert!(ask(&registry, manifest, ALL).await.unwrap().is_empty());
    for fault in [
        Fault::Hang,
        Fault::HangInHead,
        Fault::HangInBody,
        Fault::Endless,
        Fault::EndlessHead,
    ] {
        registry.fault_times(On::Manifest, fault.clone(), 1);
        let mut stream = TcpStream::connect(registry.address()).await.unwrap();
        stream
            .write_all(format!("{manifest} HTTP/1.1\r\nHost: h\r\n{ALL}\r\n").as_bytes())
            .await
            .unwrap();
        let enough = match fault {
            Fault::Hang => 0,
            Fault::Endless | Fault::EndlessHead => 1_000_000,
            _ => 50,
        };
        let mut answer = vec![0; enough];
        stream.read_exact(&mut answer).await.unwrap();
        let complete = String::from_utf8(answer).unwrap().contains("\r\n\r\n");
        assert!(!complete || fault == Fault::Endless, "{fault:?}");
        if fault == Fault::Hang {
            assert_eq!(
                stream.try_read(&mut [0]).unwrap_err().kind(),
                io::ErrorKind::WouldBlock
            );
        }
    }
    registry.fault_times(On::Manifest, Fault::Drip(Duration::from_micros(1)), 1);
    assert!(
        text(&registry, manifest, ALL).await.ends_with('}'),
        "a drip ends in the whole truth"
    );
    assert!(
        text(&registry, manifest, ALL)
            .await
            .starts_with("HTTP/1.1 200 "),
        "all faults are used up"
    );
}

#[tokio::test]
async fn blobs_come_out_of_the_storage() {
    let (registry, image) = (start(), image());
    registry.fault(On::Blob, Fault::RedirectToStorage);
    let blob = image.smallest_blob().unwrap();
    let moved = text(
        &registry,
        &format!("GET /v2/library/one/blobs/{}", blob.digest),
        "",
    )
    .await;
    let place = header(&moved, "location")
        .unwrap()
        .strip_prefix(registry.url())
        .unwrap()
        .to_owned();
    assert!(
        ask(&registry, &format!("GET {place}"), "")
            .await
            .unwrap()
            .ends_with(&blob.bytes)
    );
    registry.clear_faults();
    registry.lose_blobs("library/one");
    assert!(
        text(&registry, &format!("GET {place}"), "")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    assert!(
        text(&registry, "GET /v2/library/one/manifests/1", ALL)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_mirror_of_several_registries_looks_at_the_namespace() {
    let (hub, quay) = (Image::single("hub"), Image::single("quay"));
    let builder = Registry::builder().image_of("docker.io", "acme/tool", "1", &hub);
    let registry = builder
        .image_of("quay.io", "acme/tool", "1", &quay)
        .start()
        .unwrap();
    for (namespace, image) in [("docker.io", &hub), ("quay.io", &quay)] {
        let head = text(
            &registry,
            &format!("HEAD /v2/acme/tool/manifests/1?ns={namespace}"),
            ALL,
        )
        .await;
        assert_eq!(header(&head, "docker-content-digest"), Some(image.digest()));
        let blob = image.smallest_blob().unwrap();
        let path = format!("GET /v2/acme/tool/blobs/{}?ns={namespace}", blob.digest);
        assert!(
            ask(&registry, &path, "")
                .await
                .unwrap()
                .ends_with(&blob.bytes)
        );
    }
    assert!(
        text(&registry, "HEAD /v2/acme/tool/manifests/1", ALL)
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn the_entrance_can_be_shut() {
    let registry = start();
    registry.entrance(Entrance::Closes);
    let mut stream = TcpStream::connect(registry.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    registry.entrance(Entrance::Resets);
    // The reset can be faster than the end of connecting.
    let reset = async {
        TcpStream::connect(registry.address())
            .await?
            .read(&mut [0])
            .await
    };
    assert_eq!(
        reset.await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    registry.entrance(Entrance::Silent);
    let mut stream = TcpStream::connect(registry.address()).await.unwrap();
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.read(&mut [0]).await.unwrap(),
        0,
        "closed without a word once the client is done"
    );
    registry.entrance(Entrance::Open);
    assert!(
        text(&registry, "GET /v2/", "")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

/// An authority, and what it signs: certificate and key in PEM.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

async fn over_tls(
    registry: &Registry,
    authority: &Authority,
    client: Option<(String, String)>,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(registry.address()).await?;
    let stream = connector
        .connect(ServerName::try_from("registry.test").unwrap(), stream)
        .await?;
    Ok(String::from_utf8(ask_over(stream, "GET /v2/", "").await?).unwrap())
}

#[tokio::test]
async fn tls_with_and_without_client_certificates() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (certificate, key) = ours.sign("registry.test");
    let registry = Registry::builder().tls(&certificate, &key).start().unwrap();
    assert!(registry.url().starts_with("https://"));
    assert!(
        over_tls(&registry, &ours, None)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200 ")
    );
    let refused = over_tls(&registry, &other, None).await.unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let plain = text(&registry, "GET /v2/", "").await;
    assert!(
        plain.ends_with("Client sent an HTTP request to an HTTPS server.\n"),
        "{plain}"
    );

    let builder = Registry::builder()
        .tls(&certificate, &key)
        .client_authorities(&ours.pem);
    let mutual = builder.start().unwrap();
    over_tls(&mutual, &ours, None).await.unwrap_err();
    let client = Some(ours.sign("client.test"));
    assert!(
        over_tls(&mutual, &ours, client)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_tls_client_on_a_plain_port_hears_http() {
    let registry = start();
    let refused = over_tls(&registry, &Authority::new("ours"), None)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("corrupt message"), "{refused}");
}

#[tokio::test]
async fn a_registry_can_live_below_another_path() {
    let registry = Registry::builder()
        .image("p/one", "1", &image())
        .root("/proxy/v2")
        .start()
        .unwrap();
    assert!(
        text(&registry, "GET /proxy/v2/p/one/manifests/1", ALL)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        text(&registry, "GET /v2/p/one/manifests/1", ALL)
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[test]
fn what_cannot_start_says_why() {
    let registry = start();
    let taken = Registry::builder()
        .address(registry.address())
        .start()
        .err()
        .unwrap();
    assert!(matches!(taken, Error::Address { .. }), "{taken}");
    let refused = Registry::builder()
        .tls("no certificate", "no key")
        .start()
        .err()
        .unwrap();
    assert!(matches!(refused, Error::Pem(_)), "{refused}");
}
