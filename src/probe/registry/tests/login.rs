//! Logging in: tokens, Basic, configured headers, and how often a password goes out.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::*;
use super::support::*;

fn with_credentials(server: &Server) -> Options {
    let mut options = options();
    let host = server.address.to_string();
    options.credentials.push(Credential {
        host,
        login: Login::Password {
            user: "u".into(),
            password: Secret::new("hunter2"),
        },
    });
    options
}

/// `u:hunter2`.
const BASIC: &str = "authorization: Basic dTpodW50ZXIy";

/// A registry that wants a token of its own token server.
async fn token_registry(realm: impl Fn(&Server) -> String, tokens: Server) -> (Server, Server) {
    let image = Image::new("token");
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"lab registry\"",
        realm(&tokens)
    );
    let server = Server::start(move |line, head| {
        if head.contains("authorization: Bearer good") {
            return image.serve(line);
        }
        answer("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"")
    })
    .await;
    (server, tokens)
}

fn token_url(server: &Server) -> String {
    server.url("http", "/token?a=1")
}

#[tokio::test]
async fn an_anonymous_token() {
    let tokens = Server::start(|_, _| answer("200 OK", &[], br#"{"access_token":"good"}"#)).await;
    let (server, tokens) = token_registry(token_url, tokens).await;
    let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
    assert_serves(&probe);
    assert_eq!(
        tokens.lines(),
        ["GET /token?a=1&service=lab%20registry&scope=repository%3Alab%2Fapp%3Apull"]
    );
    let token = probe.token.unwrap();
    assert_eq!(
        (token.verdict, token.with_credentials),
        (Verdict::Serves, false)
    );
    assert!(
        matches!(&probe.challenge[0], Challenge::Bearer { service: Some(service), .. } if service == "lab registry")
    );
}

#[tokio::test]
async fn credentials_go_to_the_token_server_and_not_to_the_registry() {
    let tokens = Server::start(|_, _| answer("200 OK", &[], br#"{"token":"good"}"#)).await;
    let (server, tokens) = token_registry(token_url, tokens).await;
    let probe = probe(
        endpoint(&server.url("http", PATH)),
        &with_credentials(&server),
    )
    .await;
    assert_serves(&probe);
    assert!(tokens.requests()[0].contains(BASIC));
    assert!(server.requests().iter().all(|head| !head.contains("Basic")));
    assert!(!format!("{probe:?}").contains("hunter2") && !format!("{probe:?}").contains("good"));
}

#[tokio::test]
async fn an_identity_token_is_exchanged_and_goes_nowhere_else() {
    let with_identity = |server: &Server| {
        let mut options = with_credentials(server);
        options.credentials[0].login = Login::IdentityToken(Secret::new("hunter2+"));
        options
    };
    let tokens = Server::start(|_, _| answer("200 OK", &[], br#"{"access_token":"good"}"#)).await;
    let (server, tokens) = token_registry(token_url, tokens).await;
    let found = probe(endpoint(&server.url("http", PATH)), &with_identity(&server)).await;
    assert_serves(&found);
    let asked = &tokens.requests()[0];
    assert!(asked.starts_with("POST /token?a=1 HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.ends_with("grant_type=refresh_token&client_id=criscope&refresh_token=hunter2%2B&service=lab%20registry&scope=repository%3Alab%2Fapp%3Apull"),
        "{asked}"
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|head| !head.contains("hunter2"))
    );
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    // A registry that wants a password has no use for it.
    let basic = Server::start(|_, _| {
        answer(
            "401 Unauthorized",
            &[("WWW-Authenticate", "Basic realm=\"r\"")],
            b"",
        )
    })
    .await;
    let found = probe(endpoint(&basic.url("http", PATH)), &with_identity(&basic)).await;
    assert_verdict(&found, Verdict::Unauthorized, Stage::Manifest);
    assert!(found.detail.contains("identity token"), "{}", found.detail);
    assert!(
        basic
            .requests()
            .iter()
            .all(|head| !head.contains("hunter2"))
    );
}

#[tokio::test]
async fn token_servers_that_give_none() {
    for (act, verdict, token_verdict) in [
        (
            "401 Unauthorized",
            Verdict::Unauthorized,
            Verdict::Unauthorized,
        ),
        ("404 Not Found", Verdict::TokenFailed, Verdict::NotFound),
        (
            "500 Internal Server Error",
            Verdict::TokenFailed,
            Verdict::ServerError,
        ),
        ("200 OK", Verdict::TokenFailed, Verdict::BadResponse),
    ] {
        let tokens = Server::start(move |_, _| answer(act, &[], b"{}")).await;
        let (server, _tokens) = token_registry(token_url, tokens).await;
        let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
        assert_verdict(&probe, verdict, Stage::Token);
        assert_eq!(probe.token.unwrap().verdict, token_verdict);
    }
}

#[tokio::test]
async fn realms_that_lead_nowhere() {
    for (realm, verdict) in [
        ("null://registry/token", Verdict::BadUrl),
        ("https://registry:5000:5000/token", Verdict::BadUrl),
        ("", Verdict::BadUrl),
        ("http://127.0.0.1:1/token", Verdict::Refused),
    ] {
        let tokens = Server::start(|_, _| answer("200 OK", &[], b"")).await;
        let (server, _tokens) = token_registry(|_| realm.to_owned(), tokens).await;
        let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
        assert_verdict(&probe, Verdict::TokenFailed, Stage::Token);
        let token = probe.token.unwrap();
        assert_eq!((token.realm.as_str(), token.verdict), (realm, verdict));
    }
}

#[tokio::test]
async fn a_token_that_is_not_enough() {
    let tokens = Server::start(|_, _| answer("200 OK", &[], br#"{"token":"poor"}"#)).await;
    let (server, tokens) = token_registry(token_url, tokens).await;
    let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
    assert_verdict(&probe, Verdict::Unauthorized, Stage::Manifest);
    assert_eq!(tokens.lines().len(), 1);
}

/// A registry with a password.
async fn basic_registry() -> Server {
    let image = Image::new("basic");
    Server::start(move |line, head| {
        if head.contains(BASIC) {
            return image.serve(line);
        }
        answer(
            "401 Unauthorized",
            &[("WWW-Authenticate", "Basic realm=\"Lab\"")],
            b"",
        )
    })
    .await
}

#[tokio::test]
async fn a_password() {
    let server = basic_registry().await;
    assert_serves(
        &probe(
            endpoint(&server.url("http", PATH)),
            &with_credentials(&server),
        )
        .await,
    );
    let none = probe(endpoint(&server.url("http", PATH)), &options()).await;
    assert_verdict(&none, Verdict::Unauthorized, Stage::Manifest);
    assert_eq!(none.error.as_deref(), Some("no basic auth credentials"));
}

#[tokio::test]
async fn a_wrong_password_goes_out_once() {
    let server = basic_registry().await;
    let mut options = with_credentials(&server);
    options.credentials[0].login = Login::Password {
        user: "u".into(),
        password: Secret::new("wrong"),
    };
    let url = server.url("http", PATH);
    let twice = [endpoint(&url), endpoint(&url), endpoint(&url)];
    let probes = probe_endpoints(&twice, CONTAINERD, &options, &|_| {}).await;
    assert!(
        probes
            .iter()
            .all(|probe| probe.verdict == Verdict::Unauthorized),
        "{probes:#?}"
    );
    let sent = server
        .requests()
        .iter()
        .filter(|head| head.contains("authorization"))
        .count();
    assert_eq!(sent, 1);
    assert!(
        probes
            .iter()
            .all(|probe| !format!("{probe:?}").contains("wrong"))
    );
}

#[tokio::test]
async fn a_wrong_password_goes_to_the_token_server_once() {
    let tokens = Server::start(|_, _| answer("401 Unauthorized", &[], b"")).await;
    let (server, tokens) = token_registry(token_url, tokens).await;
    let url = server.url("http", PATH);
    let twice = [endpoint(&url), endpoint(&url)];
    let probes = probe_endpoints(&twice, CONTAINERD, &with_credentials(&server), &|_| {}).await;
    assert!(
        probes
            .iter()
            .all(|probe| probe.verdict == Verdict::Unauthorized),
        "{probes:#?}"
    );
    assert_eq!(tokens.lines().len(), 1);
}

#[tokio::test]
async fn a_configured_header() {
    let server = basic_registry().await;
    let mut options = options();
    let header = (
        "Authorization".to_owned(),
        Secret::new("Basic dTpodW50ZXIy"),
    );
    options.headers.insert(
        server.address.to_string(),
        vec![header, ("X-Lab".to_owned(), Secret::new("1"))],
    );
    assert_serves(&probe(endpoint(&server.url("http", PATH)), &options).await);
    assert!(
        server
            .requests()
            .iter()
            .all(|head| head.contains("x-lab: 1"))
    );
    // A header that cannot be sent is no panic and is not repeated.
    options.headers.insert(
        server.address.to_string(),
        vec![("X".to_owned(), Secret::new("secret\n"))],
    );
    let probe = probe(endpoint(&server.url("http", PATH)), &options).await;
    assert_eq!(probe.verdict, Verdict::BadUrl);
    assert!(!format!("{probe:?}").contains("secret"));
}

/// A proxy that tunnels and forwards to one address, and answers `status` to `CONNECT`.
async fn proxy(to: std::net::SocketAddr, status: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                client
                    .write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())
                    .await?;
                if !status.starts_with("200") {
                    return Ok(());
                }
                let mut server = tokio::net::TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .map(drop)
            });
        }
    });
    Server::at(address)
}

fn through(proxy: &Server) -> Options {
    let url = Secret::new(format!("http://me:hunter2@{}", proxy.address));
    let env = ProxyEnv {
        http: url.clone(),
        https: url,
        no_proxy: String::new(),
    };
    Options {
        proxy: env,
        ..options()
    }
}

#[tokio::test]
async fn proxies() {
    let authority = Authority::new(|_| {});
    let leaf = authority.issue(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName(
            "mirror.lab.test".try_into().unwrap(),
        )];
    });
    let image = Image::new("far");
    let server =
        Server::start_with(Some(leaf.acceptor(None)), move |line, _| image.serve(line)).await;
    let mut endpoint = endpoint(&format!("https://mirror.lab.test{PATH}"));
    endpoint.tls.verify = false;
    let good = proxy(server.address, "200 Connection established").await;
    let probe_good = probe(endpoint.clone(), &through(&good)).await;
    assert_serves(&probe_good);
    assert_eq!(probe_good.certificate.unwrap().names, ["mirror.lab.test"]);
    let bad = proxy(server.address, "407 Proxy Authentication Required").await;
    let probe_bad = probe(endpoint.clone(), &through(&bad)).await;
    assert_verdict(&probe_bad, Verdict::ProxyFailed, Stage::Proxy);
    assert_eq!(
        probe_bad.error.as_deref(),
        Some("Proxy Authentication Required")
    );
    assert!(!format!("{probe_bad:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_dead_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let env = ProxyEnv {
        http: Secret::new(address.to_string()),
        ..ProxyEnv::default()
    };
    let options = Options {
        proxy: env,
        ..options()
    };
    let probe = probe(endpoint(&format!("http://mirror.lab.test{PATH}")), &options).await;
    assert_verdict(&probe, Verdict::ProxyFailed, Stage::Proxy);
    assert!(
        probe
            .error
            .unwrap()
            .starts_with("proxyconnect tcp: dial tcp")
    );
}

#[tokio::test]
async fn plain_requests_through_a_proxy_name_their_target() {
    let image = Image::new("far");
    let forward = Server::start(move |line, _| image.serve(line)).await;
    let probe = probe(
        endpoint(&format!("http://mirror.lab.test{PATH}")),
        &through(&forward),
    )
    .await;
    assert_serves(&probe);
    assert_eq!(forward.lines()[0], "GET http://mirror.lab.test/v2/");
    assert!(forward.requests()[0].contains("proxy-authorization: Basic"));
}
