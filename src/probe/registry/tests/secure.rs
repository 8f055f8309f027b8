//! Over TLS: whom we trust, whom the server trusts, and what is not TLS at all.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use tokio::net::TcpListener;

use super::super::*;
use super::support::*;
use crate::registry::plan::{ClientCert, Fallback};

/// A registry behind TLS.
async fn secure_registry(leaf: &Leaf, clients: Option<&Authority>) -> Server {
    let image = Image::new("secure");
    Server::start_with(Some(leaf.acceptor(clients)), move |line, _| {
        image.serve(line)
    })
    .await
}

/// Probes it with `ca` as the configured authority, and perhaps a client certificate.
async fn probe_with(
    server: &Server,
    verify: bool,
    ca: &str,
    client: Option<&Leaf>,
) -> EndpointProbe {
    let root = tempfile::tempdir().unwrap();
    let mut options = options();
    options.host.root = root.path().to_owned();
    let put = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
    let mut endpoint = endpoint(&server.url("https", PATH));
    endpoint.tls.verify = verify;
    if !ca.is_empty() {
        put("ca.crt", ca);
        endpoint.tls.ca.push("/ca.crt".into());
    }
    if let Some(client) = client {
        put("client.crt", &client.pem);
        put("client.key", &client.key.serialize_pem());
        endpoint.tls.client_cert = Some(ClientCert {
            cert: "/client.crt".into(),
            key: "/client.key".into(),
        });
    }
    probe(endpoint, &options).await
}

async fn probe_leaf(change: impl FnOnce(&mut CertificateParams)) -> EndpointProbe {
    let authority = Authority::new(|_| {});
    let leaf = authority.issue(change);
    probe_with(
        &secure_registry(&leaf, None).await,
        true,
        &authority.pem,
        None,
    )
    .await
}

#[track_caller]
fn assert_error(probe: &EndpointProbe, words: &str) {
    assert!(
        probe.error.as_deref().unwrap_or_default().contains(words),
        "{probe:#?}"
    );
}

#[tokio::test]
async fn a_private_authority() {
    let probe = probe_leaf(|_| {}).await;
    assert_serves(&probe);
    let certificate = probe.certificate.unwrap();
    assert_eq!(certificate.names, ["127.0.0.1"]);
    assert!(certificate.issuer.contains("CN=Lab CA"), "{certificate:?}");
    assert_eq!(
        (
            certificate.chain,
            certificate.self_signed,
            certificate.faults.len()
        ),
        (1, false, 0)
    );
}

#[tokio::test]
async fn an_unknown_authority() {
    let authority = Authority::new(|_| {});
    let server = secure_registry(&authority.issue(|_| {}), None).await;
    let probe = probe_with(&server, true, "", None).await;
    assert_verdict(&probe, Verdict::TlsUnknownCa, Stage::Tls);
    assert_error(&probe, "x509: certificate signed by unknown authority");
    assert!(probe.detail.contains("Lab CA"), "{}", probe.detail);
    // Another authority of the same name is no better.
    let namesake = Authority::new(|_| {});
    let probe = probe_with(&server, true, &namesake.pem, None).await;
    assert_verdict(&probe, Verdict::TlsUnknownCa, Stage::Tls);
    assert!(probe.detail.contains("did not sign"), "{}", probe.detail);
}

#[tokio::test]
async fn without_verification_it_is_recorded_all_the_same() {
    let authority = Authority::new(|_| {});
    let leaf = authority.issue(|params| {
        params.not_after = date_time_ymd(2020, 1, 1);
        params.subject_alt_names = vec![rcgen::SanType::DnsName("other.test".try_into().unwrap())];
    });
    let probe = probe_with(&secure_registry(&leaf, None).await, false, "", None).await;
    assert_serves(&probe);
    let faults = probe.certificate.unwrap().faults;
    let verdicts: Vec<Verdict> = faults.iter().map(CertificateFault::verdict).collect();
    assert_eq!(
        verdicts,
        [
            Verdict::TlsExpired,
            Verdict::TlsWrongName,
            Verdict::TlsUnknownCa
        ]
    );
}

#[tokio::test]
async fn dates() {
    let probe = probe_leaf(|params| params.not_after = date_time_ymd(2020, 1, 1)).await;
    assert_verdict(&probe, Verdict::TlsExpired, Stage::Tls);
    assert_error(&probe, "x509: certificate has expired or is not yet valid");
    assert!(
        probe.detail.contains("expired at 2020-01-01T00:00:00Z"),
        "{}",
        probe.detail
    );
    let probe = probe_leaf(|params| params.not_before = date_time_ymd(2090, 1, 1)).await;
    assert_verdict(&probe, Verdict::TlsNotYetValid, Stage::Tls);
}

#[tokio::test]
async fn names() {
    let probe = probe_leaf(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("mirror.test".try_into().unwrap())];
    })
    .await;
    assert_verdict(&probe, Verdict::TlsWrongName, Stage::Tls);
    assert!(
        probe
            .detail
            .contains("is for mirror.test, not for 127.0.0.1"),
        "{}",
        probe.detail
    );
    assert_error(
        &probe,
        "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
    );
    let probe = probe_leaf(|params| params.subject_alt_names.clear()).await;
    assert_verdict(&probe, Verdict::TlsNoSan, Stage::Tls);
    assert_error(&probe, "certificate relies on legacy Common Name field");
}

#[tokio::test]
async fn an_expired_authority_vouches_for_nobody() {
    let authority = Authority::new(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let server = secure_registry(&authority.issue(|_| {}), None).await;
    let probe = probe_with(&server, true, &authority.pem, None).await;
    assert_verdict(&probe, Verdict::TlsUnknownCa, Stage::Tls);
    assert!(probe.detail.contains("expired at 2020"), "{}", probe.detail);
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    for is_ca in [false, true] {
        let leaf = Leaf::self_signed(|params| {
            if is_ca {
                params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }
        });
        let server = secure_registry(&leaf, None).await;
        assert_serves(&probe_with(&server, true, &leaf.pem, None).await);
        assert_verdict(
            &probe_with(&server, true, "", None).await,
            Verdict::TlsUnknownCa,
            Stage::Tls,
        );
    }
}

#[tokio::test]
async fn a_leaf_that_is_marked_as_authority_is_good_enough_for_go() {
    assert_serves(
        &probe_leaf(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)).await,
    );
}

#[tokio::test]
async fn a_certificate_for_clients_only() {
    let probe =
        probe_leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
            .await;
    assert_verdict(&probe, Verdict::TlsOther, Stage::Tls);
    assert_error(&probe, "incompatible key usage");
}

#[tokio::test]
async fn client_certificates() {
    let authority = Authority::new(|_| {});
    let server = secure_registry(&authority.issue(|_| {}), Some(&authority)).await;
    let client = authority.issue(|_| {});
    assert_serves(&probe_with(&server, true, &authority.pem, Some(&client)).await);
    let without = probe_with(&server, true, &authority.pem, None).await;
    assert_eq!(
        without.verdict,
        Verdict::TlsClientCertRequired,
        "{without:#?}"
    );
    let stranger = Authority::new(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Strangers");
    });
    let refused = probe_with(&server, true, &authority.pem, Some(&stranger.issue(|_| {}))).await;
    assert_eq!(
        refused.verdict,
        Verdict::TlsClientCertRejected,
        "{refused:#?}"
    );
    assert!(
        refused.detail.contains("none of the authorities"),
        "{}",
        refused.detail
    );
    // Another authority of the right name: the certificate is shown and refused.
    let namesake = Authority::new(|_| {}).issue(|_| {});
    let refused = probe_with(&server, true, &authority.pem, Some(&namesake)).await;
    assert_eq!(
        refused.verdict,
        Verdict::TlsClientCertRejected,
        "{refused:#?}"
    );
    assert!(
        refused.detail.contains("refuses the client certificate"),
        "{}",
        refused.detail
    );
}

#[tokio::test]
async fn a_server_that_asks_politely_for_a_client_certificate() {
    let authority = Authority::new(|_| {});
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    // The acceptor of the tests insists; nginx takes the connection and says 400 afterwards.
    let verifier = {
        let mut roots = tokio_rustls::rustls::RootCertStore::empty();
        use tokio_rustls::rustls::pki_types::pem::PemObject;
        roots
            .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
            .unwrap();
        tokio_rustls::rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        )
        .allow_unauthenticated()
        .build()
        .unwrap()
    };
    let leaf = authority.issue(|_| {});
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf.der.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start_with(Some(acceptor), |_, _| {
        answer("400 Bad Request", &[], b"no certificate")
    })
    .await;
    let probe = probe_with(&server, true, &authority.pem, None).await;
    assert_eq!(probe.verdict, Verdict::TlsClientCertRequired, "{probe:#?}");
}

#[tokio::test]
async fn files_that_cannot_be_read() {
    let mut endpoint = endpoint("https://127.0.0.1:1/v2/a/manifests/1");
    endpoint.tls.ca.push("/gone.crt".into());
    let root = tempfile::tempdir().unwrap();
    let mut options = options();
    options.host.root = root.path().to_owned();
    let gone = probe(endpoint.clone(), &options).await;
    assert_verdict(&gone, Verdict::CaUnreadable, Stage::Trust);
    assert_eq!(
        gone.error.as_deref(),
        Some("unable to read CA cert \"/gone.crt\"")
    );
    endpoint.tls.ca.clear();
    endpoint.tls.client_cert = Some(ClientCert {
        cert: "/c".into(),
        key: "/k".into(),
    });
    assert_verdict(
        &probe(endpoint, &options).await,
        Verdict::ClientCertUnreadable,
        Stage::Trust,
    );
    assert!(Path::new("/").exists());
}

#[tokio::test]
async fn what_is_not_tls() {
    for (bytes, verdict) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(),
            Verdict::PlainHttp,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Verdict::TlsOther),
        (b"", Verdict::Closed),
        // A fatal alert: handshake failure.
        (b"\x15\x03\x03\x00\x02\x02\x28", Verdict::TlsOther),
    ] {
        let server = Server::blurt(bytes).await;
        let probe = probe(endpoint(&server.url("https", PATH)), &options()).await;
        assert_verdict(&probe, verdict, Stage::Tls);
    }
}

#[tokio::test]
async fn tls_on_the_plain_port() {
    let authority = Authority::new(|_| {});
    let server = secure_registry(&authority.issue(|_| {}), None).await;
    let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
    assert_eq!(probe.verdict, Verdict::TlsOnHttpPort, "{probe:#?}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_handshake_that_never_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut short = options();
    short.limits.tls = Duration::from_millis(100);
    let url = format!("https://{}{PATH}", listener.local_addr().unwrap());
    let probe = probe(endpoint(&url), &short).await;
    assert_verdict(&probe, Verdict::Timeout, Stage::Tls);
    assert_eq!(
        probe.error.as_deref(),
        Some("net/http: TLS handshake timeout")
    );
}

#[tokio::test]
async fn plain_http_where_the_runtime_would_try_it() {
    let image = Image::new("plain");
    let server = Server::start(move |line, _| image.serve(line)).await;
    let mut endpoint = endpoint(&server.url("https", PATH));
    // The hello is not HTTP, so the scripted server waits for its end for ever.
    let mut options = options();
    options.limits.tls = Duration::from_millis(100);
    let strict = probe(endpoint.clone(), &options).await;
    assert_verdict(&strict, Verdict::Timeout, Stage::Tls);
    endpoint.fallback = Some(Fallback::Http);
    let fallen = probe(endpoint, &options).await;
    assert_serves(&fallen);
    assert_eq!(fallen.over, Some(Scheme::Http));
    assert!(fallen.url.starts_with("https://"));
}

#[tokio::test]
async fn containerd_does_not_fall_back_after_a_bad_certificate() {
    let authority = Authority::new(|_| {});
    let server = secure_registry(&authority.issue(|_| {}), None).await;
    let mut endpoint = endpoint(&server.url("https", PATH));
    endpoint.fallback = Some(Fallback::Http);
    assert_verdict(
        &probe(endpoint, &options()).await,
        Verdict::TlsUnknownCa,
        Stage::Tls,
    );
}

/// A self-signed certificate of version 1 for 127.0.0.1, as `openssl x509 -req` makes them without `-extfile`; valid
/// for this whole century. It protects nothing.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBETCBuAIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwIBcN
MDAwMTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBQxEjAQBgNVBAMMCTEyNy4w
LjAuMTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOEB+cDn0zCURESPC5ytaV1N
+wUcPo+QI4iPcDfbkgC2hBt9/gHv5dwUpCs+bkIXvn3iOEuApbFQrSJM/zUZZEQw
CgYIKoZIzj0EAwIDSAAwRQIgRfOhOIFz4gd1ZtAX523Jn0Ht+pgTIwx2n1uQCN/p
uhoCIQCRTVxqy6+q+3EkxbWouRfi+abHgvQ71xPtQsv6yR62TQ==
-----END CERTIFICATE-----
";
const VERSION_1_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6tI/y2MTXvEyAzYE
OOr+qSaP4HIIllN2XBwGParj4JmhRANCAAThAfnA59MwlEREjwucrWldTfsFHD6P
kCOIj3A325IAtoQbff4B7+XcFKQrPm5CF7594jhLgKWxUK0iTP81GWRE
-----END PRIVATE KEY-----
";

#[tokio::test]
async fn version_1_is_read_as_go_reads_it() {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let key = rcgen::KeyPair::from_pem(VERSION_1_KEY).unwrap();
    let leaf = Leaf {
        pem: VERSION_1.to_owned(),
        der,
        key,
    };
    let image = Image::new("version 1");
    let acceptor = leaf.acceptor(None);
    let server = Server::start_with(Some(acceptor), move |line, _| image.serve(line)).await;
    // As client certificate as well: rustls alone would take neither.
    let lenient = probe_with(&server, false, "", Some(&leaf)).await;
    assert_serves(&lenient);
    assert_eq!(lenient.certificate.unwrap().faults.len(), 2);
    let strict = probe_with(&server, true, &leaf.pem, None).await;
    assert_verdict(&strict, Verdict::TlsNoSan, Stage::Tls);
    assert_error(&strict, "relies on legacy Common Name field");
}
