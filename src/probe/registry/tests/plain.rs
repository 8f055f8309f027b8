//! Over plain HTTP: connections, statuses, redirects, broken protocol.

use std::time::Duration;

use tokio::net::TcpListener;

use super::super::*;
use super::support::*;

async fn probe_script(
    script: impl Fn(&str, &str) -> Act + Send + Sync + 'static,
) -> (EndpointProbe, Server) {
    let server = Server::start(script).await;
    let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
    (probe, server)
}

#[tokio::test]
async fn a_good_mirror_is_asked_as_containerd_asks() {
    let image = Image::new("good");
    let digest = image.digest();
    let server = Server::start(move |line, _| image.serve(line)).await;
    let probe = probe(
        endpoint(&server.url("http", &format!("{PATH}?ns=registry.lab.test"))),
        &options(),
    )
    .await;
    assert_serves(&probe);
    assert_eq!(probe.digest.as_deref(), Some(digest.as_str()));
    assert_eq!(probe.over, Some(Scheme::Http));
    let manifest = probe.manifest.unwrap();
    assert_eq!(
        (manifest.media_type.as_str(), manifest.layers),
        (MANIFEST_TYPE, Some(2))
    );
    assert_eq!(
        probe.ping.unwrap().api_version.as_deref(),
        Some("registry/2.0")
    );
    let expected = [
        "GET /v2/".to_owned(),
        format!("HEAD {PATH}?ns=registry.lab.test"),
        format!("GET /v2/lab/app/manifests/{digest}?ns=registry.lab.test"),
    ];
    assert_eq!(server.lines(), expected);
    let head = &server.requests()[1];
    assert!(
        head.contains(concat!("user-agent: criscope/", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
    assert!(
        head.contains("application/vnd.oci.image.index.v1+json"),
        "{head}"
    );
    assert!(!head.contains("accept-encoding"), "{head}");
    // One connection carries all three.
    assert_eq!(
        probe
            .steps
            .iter()
            .filter(|step| step.what == Stage::Connect)
            .count(),
        1
    );
}

#[tokio::test]
async fn events_tell_who_and_what() {
    let image = Image::new("good");
    let server = Server::start(move |line, _| image.serve(line)).await;
    let events = std::sync::Mutex::new(Vec::new());
    let endpoints = [endpoint("nonsense"), endpoint(&server.url("http", PATH))];
    let keep = |event: Event| events.lock().unwrap().push(event);
    let probes = probe_endpoints(&endpoints, CONTAINERD, &options(), &keep).await;
    assert_verdict(&probes[0], Verdict::BadUrl, Stage::Trust);
    assert_serves(&probes[1]);
    let events = events.into_inner().unwrap();
    assert!(events.iter().all(|event| event.endpoint == 1));
    assert_eq!(
        (events[0].what, events[0].state),
        (Stage::Connect, EventState::Begun)
    );
    assert_eq!(events.last().unwrap().state, EventState::Ended(None));
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    drop(listener);
    let probe = probe(endpoint(&url), &options()).await;
    assert_verdict(&probe, Verdict::Refused, Stage::Connect);
    assert!(
        probe
            .error
            .unwrap()
            .ends_with("connect: connection refused")
    );
}

#[tokio::test]
async fn names() {
    let mut options = options();
    let image = Image::new("good");
    let server = Server::start(move |line, _| image.serve(line)).await;
    options
        .resolve
        .insert("mirror.lab.test".into(), vec![[127, 0, 0, 1].into()]);
    options.resolve.insert("empty.lab.test".into(), vec![]);
    let port = server.address.port();
    assert_serves(
        &probe(
            endpoint(&format!("http://mirror.lab.test:{port}{PATH}")),
            &options,
        )
        .await,
    );
    assert!(server.requests()[0].contains(&format!("host: mirror.lab.test:{port}")));
    let gone = probe(
        endpoint(&format!("http://empty.lab.test:{port}{PATH}")),
        &options,
    )
    .await;
    assert_verdict(&gone, Verdict::NoSuchHost, Stage::Dns);
    assert_eq!(gone.error.as_deref(), Some("no such host"));
}

#[tokio::test]
async fn a_dead_address_is_passed_over() {
    let mut options = options();
    let image = Image::new("good");
    let server = Server::start(move |line, _| image.serve(line)).await;
    options.resolve.insert(
        "two.lab.test".into(),
        vec![[127, 0, 0, 9].into(), [127, 0, 0, 1].into()],
    );
    let probe = probe(
        endpoint(&format!(
            "http://two.lab.test:{}{PATH}",
            server.address.port()
        )),
        &options,
    )
    .await;
    assert_serves(&probe);
    assert_eq!(probe.steps[0].failed, Some(Verdict::Refused));
    assert_eq!(probe.steps[1].failed, None);
}

#[tokio::test]
async fn statuses() {
    for (status, verdict) in [
        ("401 Unauthorized", Verdict::Unauthorized),
        ("403 Forbidden", Verdict::Forbidden),
        ("404 Not Found", Verdict::NotFound),
        ("418 I'm a teapot", Verdict::Rejected),
        ("429 Too Many Requests", Verdict::RateLimited),
        ("500 Internal Server Error", Verdict::ServerError),
        ("503 Service Unavailable", Verdict::ServerError),
        ("204 No Content", Verdict::Truncated),
        ("302 Found", Verdict::BadRedirect),
    ] {
        let script = move |line: &str, _: &str| match line.split(' ').next().unwrap() {
            "HEAD" => head_answer(
                status,
                &[("Retry-After", "7"), ("RateLimit-Remaining", "0;w=21600")],
            ),
            _ => answer(
                status,
                &[("Retry-After", "7")],
                br#"{"errors":[{"code":"WHY","message":"so"}]}"#,
            ),
        };
        let (probe, _server) = probe_script(script).await;
        assert_verdict(&probe, verdict, Stage::Manifest);
        assert_eq!(
            probe.rate_limit.unwrap().retry_seconds(),
            Some(7),
            "{status}"
        );
    }
}

#[tokio::test]
async fn the_body_says_why() {
    let image = Image::new("other");
    let server = Server::start(move |line, _| image.serve(line)).await;
    let probe = probe(
        endpoint(&server.url("http", "/v2/lab/none/manifests/2")),
        &options(),
    )
    .await;
    assert_verdict(&probe, Verdict::NotFound, Stage::Manifest);
    assert_eq!(
        probe.detail,
        "it answers 404 Not Found (MANIFEST_UNKNOWN: manifest unknown)"
    );
}

#[tokio::test]
async fn a_cache_that_only_get_fills() {
    let image = Image::new("cache");
    let (probe, server) = probe_script(move |line, _| {
        if line.starts_with("HEAD") {
            head_answer("404 Not Found", &[])
        } else {
            image.serve(line)
        }
    })
    .await;
    assert_verdict(&probe, Verdict::HeadNotFound, Stage::Manifest);
    // CRI-O does not ask HEAD.
    let mut endpoint = endpoint(&server.url("http", PATH));
    endpoint.method = crate::registry::plan::Method::Get;
    assert_serves(&probe_as(RuntimeName::Crio, endpoint, &options()).await);
}

#[tokio::test]
async fn get_where_head_is_not_allowed() {
    let image = Image::new("no-head");
    let (probe, _server) = probe_script(move |line, _| {
        if line.starts_with("HEAD") {
            head_answer("405 Method Not Allowed", &[])
        } else {
            image.serve(line)
        }
    })
    .await;
    assert_serves(&probe);
}

#[tokio::test]
async fn crio_insists_on_ping() {
    let image = Image::new("prefixed");
    let server = Server::start(move |line, _| {
        if line == "GET /v2/" {
            answer("404 Not Found", &[], b"")
        } else {
            image.serve(line)
        }
    })
    .await;
    let endpoint = endpoint(&server.url("http", PATH));
    assert_serves(&probe(endpoint.clone(), &options()).await);
    assert_verdict(
        &probe_as(RuntimeName::Crio, endpoint, &options()).await,
        Verdict::NotFound,
        Stage::Ping,
    );
}

#[tokio::test]
async fn only_a_ping() {
    let options = Options {
        depth: Depth::Ping,
        ..options()
    };
    let image = Image::new("ping");
    let good = Server::start(move |line, _| image.serve(line)).await;
    let answers = probe(endpoint(&good.url("http", "/")), &options).await;
    assert_eq!(
        (answers.verdict, good.lines()),
        (Verdict::Answers, vec!["GET /v2/".to_owned()])
    );
    let closed = Server::start(|_, _| {
        answer(
            "401 Unauthorized",
            &[("WWW-Authenticate", "Basic realm=r")],
            b"",
        )
    })
    .await;
    assert_eq!(
        probe(endpoint(&closed.url("http", "/")), &options)
            .await
            .verdict,
        Verdict::Answers
    );
    let portal = Server::start(|_, _| {
        answer(
            "200 OK",
            &[("Content-Type", "text/html; charset=utf-8")],
            b"<p>",
        )
    })
    .await;
    assert_verdict(
        &probe(endpoint(&portal.url("http", "/")), &options).await,
        Verdict::NotARegistry,
        Stage::Ping,
    );
    let none = Server::start(|_, _| answer("404 Not Found", &[], b"")).await;
    assert_verdict(
        &probe(endpoint(&none.url("http", "/")), &options).await,
        Verdict::NotARegistry,
        Stage::Ping,
    );
}

#[tokio::test]
async fn a_portal() {
    let page = |line: &str, _: &str| match line.split(' ').next().unwrap() {
        "HEAD" => head_answer("200 OK", &[("Content-Type", "text/html")]),
        _ => answer("200 OK", &[("Content-Type", "text/html")], b"<html>"),
    };
    let (probe, server) = probe_script(page).await;
    assert_verdict(&probe, Verdict::NotARegistry, Stage::Manifest);
    let mut get = endpoint(&server.url("http", PATH));
    get.method = crate::registry::plan::Method::Get;
    assert_verdict(
        &probe_as(RuntimeName::Docker, get, &options()).await,
        Verdict::NotARegistry,
        Stage::Ping,
    );
}

#[tokio::test]
async fn silence() {
    let server = Server::start(|_, _| Act::SayAndHang(Vec::new())).await;
    let mut short = options();
    short.limits.answer = Duration::from_millis(100);
    let probe = probe(endpoint(&server.url("http", PATH)), &short).await;
    assert_verdict(&probe, Verdict::Timeout, Stage::Manifest);
    assert_eq!(
        probe.error.as_deref(),
        Some("net/http: timeout awaiting response headers")
    );
}

#[tokio::test]
async fn the_whole_probe_has_an_end() {
    let server = Server::start(|_, _| Act::SayAndHang(Vec::new())).await;
    let mut short = options();
    short.limits.total = Duration::from_millis(100);
    let probe = probe(endpoint(&server.url("http", PATH)), &short).await;
    assert_verdict(&probe, Verdict::Timeout, Stage::Ping);
    assert_eq!(probe.steps.len(), 2);
}

#[tokio::test]
async fn a_body_that_stops() {
    let server = Server::start(|line, _| match line.split(' ').next().unwrap() {
        "HEAD" => head_answer("200 OK", &[("Content-Type", MANIFEST_TYPE)]),
        _ => Act::SayAndHang(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()),
    })
    .await;
    let mut short = options();
    short.limits.stall = Duration::from_millis(100);
    assert_verdict(
        &probe(endpoint(&server.url("http", PATH)), &short).await,
        Verdict::Stalled,
        Stage::Manifest,
    );
}

#[tokio::test]
async fn redirects() {
    let image = Image::new("moved");
    let target = {
        let image = image.clone();
        Server::start(move |line, _| image.serve(line)).await
    };
    let to = target.url("http", "");
    let (probe, _server) = probe_script(move |line, _| {
        let path = line.split(' ').nth(1).unwrap();
        let location = format!("{to}{path}?X-Amz-Signature=secret");
        head_answer(
            "307 Temporary Redirect",
            &[("Location", &location), ("Content-Length", "0")],
        )
    })
    .await;
    assert_serves(&probe);
    let redirect = &probe.redirects[0];
    assert!(
        redirect.other_host && redirect.status == 307,
        "{redirect:?}"
    );
    assert!(redirect.to.ends_with(&format!("{PATH}?…")), "{redirect:?}");
    assert!(!serde_json::to_string(&probe).unwrap().contains("secret"));
}

#[tokio::test]
async fn bad_redirects() {
    let moved = |location: &str| {
        let location = location.to_owned();
        move |_: &str, _: &str| {
            head_answer(
                "302 Found",
                &[("Location", &location), ("Content-Length", "0")],
            )
        }
    };
    assert_verdict(
        &probe_script(moved(PATH)).await.0,
        Verdict::RedirectLoop,
        Stage::Manifest,
    );
    assert_verdict(
        &probe_script(moved("gopher://x/")).await.0,
        Verdict::RedirectBroken,
        Stage::Manifest,
    );
    // What is not ASCII is there all the same.
    let probe = probe_script(moved("gopher://ü/")).await.0;
    assert!(!probe.detail.contains("without saying"), "{}", probe.detail);
    let endless = |line: &str, _: &str| {
        let location = format!("{}x", line.split(' ').nth(1).unwrap());
        head_answer(
            "302 Found",
            &[("Location", &location), ("Content-Length", "0")],
        )
    };
    let (probe, _server) = probe_script(endless).await;
    assert_verdict(&probe, Verdict::RedirectLoop, Stage::Manifest);
    assert_eq!(probe.redirects.len(), 11);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (probe, _server) = probe_script(moved(&dead)).await;
    assert_verdict(&probe, Verdict::RedirectBroken, Stage::Manifest);
    assert_eq!(probe.redirects[0].failed, Some(Verdict::Refused));
    assert!(probe.error.unwrap().contains("connection refused"));
}

#[tokio::test]
async fn headers_in_latin_1_are_there_all_the_same() {
    let image = Image::new("umlaut");
    let (probe, server) = probe_script(move |line, _| {
        if line == format!("HEAD {PATH}") {
            let mut moved =
                b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: /\xfc".to_vec();
            moved.extend_from_slice(PATH.as_bytes());
            moved.extend_from_slice(b"\r\n\r\n");
            return Act::Say(moved);
        }
        image.serve(&line.replace("/%FC", ""))
    })
    .await;
    assert_serves(&probe);
    assert!(
        server.lines().contains(&format!("HEAD /%FC{PATH}")),
        "{:?}",
        server.lines()
    );
}

#[tokio::test]
async fn answers_that_are_promised_for_ever() {
    let promise = |_: &str, _: &str| Act::SayAndHang(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(200));
    let (probe, _server) = probe_script(promise).await;
    assert_verdict(&probe, Verdict::NotHttp, Stage::Manifest);
    assert!(probe.detail.contains("informational"), "{}", probe.detail);
    // One or two of them are no fault.
    let image = Image::new("continued");
    let (probe, _server) = probe_script(move |line, _| match image.serve(line) {
        Act::Say(bytes) => Act::Say([b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), &bytes].concat()),
        other => other,
    })
    .await;
    assert_serves(&probe);
}

#[tokio::test]
async fn announcements_that_end_a_pull() {
    let announcing = |status: &'static str, headers: &'static [(&str, &str)]| {
        let image = Image::new("announced");
        probe_script(move |line, _| match line.split(' ').next() {
            Some("HEAD") => head_answer(status, headers),
            _ => image.serve(line),
        })
    };
    let long = &[
        ("Content-Type", MANIFEST_TYPE),
        ("Content-Length", "5000000"),
    ];
    let (probe, _server) = announcing("200 OK", long).await;
    assert_verdict(&probe, Verdict::ManifestTooLarge, Stage::Manifest);
    assert_eq!(
        probe.error.as_deref(),
        Some("rejecting 5000000 byte manifest")
    );
    let odd = &[
        ("Content-Type", MANIFEST_TYPE),
        ("Content-Length", "10"),
        ("Docker-Content-Digest", "sha256:xyz"),
    ];
    let (probe, _server) = announcing("200 OK", odd).await;
    assert_verdict(&probe, Verdict::BadResponse, Stage::Manifest);
    // Every success is one.
    let partial = &[("Content-Type", MANIFEST_TYPE)];
    let (probe, _server) = announcing("206 Partial Content", partial).await;
    assert_serves(&probe);
}

#[tokio::test]
async fn what_is_not_http() {
    for (bytes, verdict) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(), Verdict::NotHttp),
        (b"", Verdict::Closed),
        (b"HTTP/1.1 abc\r\n\r\n", Verdict::NotHttp),
        // A TLS alert.
        (b"\x15\x03\x01\x00\x02\x02\x16", Verdict::TlsOnHttpPort),
    ] {
        let server = Server::blurt(bytes).await;
        let probe = probe(endpoint(&server.url("http", PATH)), &options()).await;
        assert_eq!(probe.verdict, verdict, "{probe:#?}");
    }
}

#[tokio::test]
async fn hostile_sizes() {
    let heads = Image::new("heads");
    // Go takes header blocks of up to 10 MiB.
    let (probe, _server) = probe_script(move |line, _| {
        if line.starts_with("HEAD") {
            let long = "x".repeat(1 << 20);
            return head_answer("200 OK", &[("Content-Type", MANIFEST_TYPE), ("X", &long)]);
        }
        heads.serve(line)
    })
    .await;
    assert_serves(&probe);
    let huge_head = |_: &str, _: &str| {
        Act::SayAndClose(
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(11 << 20)).into_bytes(),
        )
    };
    let (probe, _server) = probe_script(huge_head).await;
    assert_verdict(&probe, Verdict::NotHttp, Stage::Manifest);
    let huge_body = |line: &str, _: &str| match line.split(' ').next().unwrap() {
        "HEAD" => head_answer("200 OK", &[("Content-Type", MANIFEST_TYPE)]),
        _ => answer(
            "200 OK",
            &[("Content-Type", MANIFEST_TYPE)],
            &vec![b' '; (8 << 20) + 1],
        ),
    };
    let (probe, _server) = probe_script(huge_body).await;
    assert_verdict(&probe, Verdict::Oversized, Stage::Manifest);
    assert!(probe.detail.contains("8 MiB"), "{}", probe.detail);
}
