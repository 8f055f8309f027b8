//! Manifests and blobs: present, cut, wrong, elsewhere.

use super::super::*;
use super::support::*;

fn deep() -> Options {
    Options {
        depth: Depth::Blobs,
        ..options()
    }
}

/// Probes to the bottom; `twist` may answer instead of the faultless registry.
async fn probe_blobs(
    image: Image,
    twist: impl Fn(&str) -> Option<Act> + Send + Sync + 'static,
) -> EndpointProbe {
    let server =
        Server::start(move |line, _| twist(line).unwrap_or_else(|| image.serve(line))).await;
    probe(endpoint(&server.url("http", PATH)), &deep()).await
}

#[tokio::test]
async fn to_the_bottom() {
    let image = Image::new("whole");
    let probe = probe_blobs(image.clone(), |_| None).await;
    assert_serves(&probe);
    let digests: Vec<&str> = probe
        .blobs
        .iter()
        .map(|blob| blob.digest.as_str())
        .collect();
    assert_eq!(digests, [sha256(&image.config), sha256(&image.layer)]);
    assert!(
        probe
            .blobs
            .iter()
            .all(|blob| blob.verdict == Some(Verdict::Serves))
    );
    assert_eq!(
        probe.manifest.unwrap().layer_bytes,
        Some((1 << 40) + image.layer.len() as u64)
    );
}

#[tokio::test]
async fn through_an_index() {
    let image = Image::new("whole").in_index("linux", "amd64");
    let probe = probe_blobs(image.clone(), |_| None).await;
    assert_serves(&probe);
    let manifest = probe.manifest.unwrap();
    assert_eq!(manifest.platforms, ["linux/amd64"]);
    assert_eq!(manifest.chosen, Some(sha256(&image.child.unwrap())));
    assert_eq!((manifest.layers, probe.blobs.len()), (Some(2), 2));
}

#[tokio::test]
async fn no_platform() {
    let probe = probe_blobs(Image::new("arm").in_index("linux", "arm64"), |_| None).await;
    assert_verdict(&probe, Verdict::NoPlatform, Stage::Manifest);
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_digest_says() {
    let (image, other) = (Image::new("one"), Image::new("two"));
    let probe = probe_blobs(image, move |line| {
        let get = line.starts_with("GET") && line.contains("/manifests/");
        get.then(|| {
            answer(
                "200 OK",
                &[("Content-Type", MANIFEST_TYPE)],
                &other.manifest,
            )
        })
    })
    .await;
    assert_verdict(&probe, Verdict::Corrupt, Stage::Manifest);
}

#[tokio::test]
async fn bodies_that_are_no_manifest() {
    for (media_type, body, verdict) in [
        (MANIFEST_TYPE, b"".as_slice(), Verdict::Truncated),
        (MANIFEST_TYPE, b"{\"schemaVersion\":2", Verdict::BadResponse),
        (MANIFEST_TYPE, b"\x1f\x8b\x08\x00", Verdict::BadResponse),
        (MANIFEST_TYPE, b"<html>", Verdict::NotARegistry),
        (
            "application/octet-stream",
            b"{\"schemaVersion\":2,\"manifests\":[]}",
            Verdict::BadResponse,
        ),
    ] {
        let probe = probe_blobs(Image::new("x"), move |line| {
            match line.split(' ').next().unwrap() {
                "HEAD" => Some(head_answer("200 OK", &[("Content-Type", media_type)])),
                _ if line.contains("/manifests/") => {
                    Some(answer("200 OK", &[("Content-Type", media_type)], body))
                }
                _ => None,
            }
        })
        .await;
        assert_verdict(&probe, verdict, Stage::Manifest);
    }
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for() {
    let image = Image::new("zipped");
    let body = image.manifest.clone();
    let probe = probe_blobs(image, move |line| {
        let headers = [
            ("Content-Type", MANIFEST_TYPE),
            ("Content-Encoding", "gzip"),
        ];
        (line.starts_with("GET") && line.contains("/manifests/"))
            .then(|| answer("200 OK", &headers, &body))
    })
    .await;
    assert_verdict(&probe, Verdict::BadResponse, Stage::Manifest);
}

#[tokio::test]
async fn a_digest_that_is_a_path() {
    let manifest = br#"{"schemaVersion":2,"config":{"digest":"sha256:../../../etc","size":1}}"#;
    let probe = probe_blobs(Image::new("x"), move |line| {
        match line.split(' ').next().unwrap() {
            "HEAD" => Some(head_answer("200 OK", &[("Content-Type", MANIFEST_TYPE)])),
            _ if line.contains("/manifests/") => Some(answer(
                "200 OK",
                &[("Content-Type", MANIFEST_TYPE)],
                manifest,
            )),
            _ => None,
        }
    })
    .await;
    assert_verdict(&probe, Verdict::BadResponse, Stage::Blob);
}

#[tokio::test]
async fn bad_blobs() {
    let image = Image::new("blobs");
    let whole = image.layer.clone();
    let wrong = vec![b'x'; whole.len()];
    let half = whole[..whole.len() / 2].to_vec();
    let long = [whole.as_slice(), b"more"].concat();
    let mut cut =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len()).into_bytes();
    cut.extend_from_slice(&half);
    let cases: Vec<(Box<dyn Fn() -> Act + Send + Sync>, Verdict)> = vec![
        (
            Box::new(|| answer("404 Not Found", &[], b"")),
            Verdict::BlobMissing,
        ),
        (
            Box::new(|| answer("503 Service Unavailable", &[], b"")),
            Verdict::ServerError,
        ),
        (Box::new(|| answer("200 OK", &[], b"")), Verdict::Truncated),
        (
            Box::new(move || answer("200 OK", &[], &half)),
            Verdict::Truncated,
        ),
        (
            Box::new(move || Act::SayAndClose(cut.clone())),
            Verdict::Truncated,
        ),
        (
            Box::new(move || answer("200 OK", &[], &wrong)),
            Verdict::Corrupt,
        ),
        (
            Box::new(move || answer("200 OK", &[], &long)),
            Verdict::Corrupt,
        ),
    ];
    for (bad, verdict) in cases {
        let layer = sha256(&image.layer);
        let probe = probe_blobs(image.clone(), move |line| {
            line.ends_with(&layer).then(&*bad)
        })
        .await;
        assert_verdict(&probe, verdict, Stage::Blob);
        assert_eq!(probe.blobs[0].verdict, Some(Verdict::Serves));
        assert_eq!(probe.blobs[1].verdict, Some(verdict));
        // The manifest was there all the same.
        assert_eq!(probe.digest, Some(image.digest()));
    }
}

#[tokio::test]
async fn blobs_are_followed_to_storage_without_credentials() {
    let image = Image::new("stored");
    let storage = {
        let image = image.clone();
        Server::start(move |line, _| image.serve(line)).await
    };
    let to = storage.url("http", "");
    let server = Server::start(move |line, head| {
        let path = line.split(' ').nth(1).unwrap();
        if !head.contains("authorization: Basic dTpw") {
            return answer(
                "401 Unauthorized",
                &[("WWW-Authenticate", "Basic realm=r")],
                b"",
            );
        }
        if line.contains("/blobs/") {
            let location = format!("{to}{path}");
            return answer("307 Temporary Redirect", &[("Location", &location)], b"");
        }
        image.serve(line)
    })
    .await;
    let mut options = deep();
    let host = server.address.to_string();
    options.credentials.push(Credential {
        host,
        login: Login::Password {
            user: "u".into(),
            password: crate::secret::Secret::new("p"),
        },
    });
    let probe = probe(endpoint(&server.url("http", PATH)), &options).await;
    assert_serves(&probe);
    assert_eq!(storage.lines().len(), 2);
    assert!(
        storage
            .requests()
            .iter()
            .all(|head| !head.contains("authorization"))
    );
    // The same name on another port: Go would send them.
    assert!(
        probe
            .redirects
            .iter()
            .all(|redirect| redirect.other_host && redirect.go_sends_credentials)
    );
}

#[tokio::test]
async fn storage_that_says_no() {
    let image = Image::new("stored");
    let storage = Server::start(|_, _| {
        answer(
            "403 Forbidden",
            &[],
            b"<Error><Code>AccessDenied</Code></Error>",
        )
    })
    .await;
    let to = storage.url("http", "");
    let probe = probe_blobs(image, move |line| {
        let path = line.split(' ').nth(1).unwrap();
        let location = format!("{to}{path}");
        line.contains("/blobs/")
            .then(|| answer("307 Temporary Redirect", &[("Location", &location)], b""))
    })
    .await;
    assert_verdict(&probe, Verdict::RedirectBroken, Stage::Blob);
    assert_eq!(probe.redirects[0].failed, Some(Verdict::Forbidden));
}

#[tokio::test]
async fn only_the_head() {
    let image = Image::new("head");
    let digest = image.digest();
    let server = Server::start(move |line, _| image.serve(line)).await;
    let options = Options {
        depth: Depth::Resolve,
        ..options()
    };
    for runtime in [RuntimeName::Containerd, RuntimeName::Crio] {
        let mut endpoint = endpoint(&server.url("http", PATH));
        if runtime == RuntimeName::Crio {
            endpoint.method = crate::registry::plan::Method::Get;
        }
        let probe = probe_as(runtime, endpoint, &options).await;
        assert_serves(&probe);
        assert_eq!(probe.digest.as_deref(), Some(digest.as_str()));
    }
    assert!(
        server
            .lines()
            .iter()
            .all(|line| line == "GET /v2/" || line.starts_with("HEAD"))
    );
}

#[tokio::test]
async fn whose_image_a_catch_all_mirror_serves() {
    let image = Image::new("dockers");
    let careless = {
        let image = image.clone();
        Server::start(move |line, _| image.serve(line)).await
    };
    let careful = Server::start(move |line, _| match line.rsplit_once("?ns=") {
        Some((_, "criscope-probe.invalid")) => answer("404 Not Found", &[], b""),
        _ => image.serve(line),
    })
    .await;
    let ask = async |server: &Server, query: &str| {
        let endpoint = endpoint(&server.url("http", &format!("{PATH}{query}")));
        probe_namespace(&endpoint, &options(), &|_| {}).await
    };
    assert_eq!(
        ask(&careless, "?ns=quay.io").await.unwrap().ignored(),
        Some(true)
    );
    let heeded = ask(&careful, "?ns=quay.io").await.unwrap();
    assert_eq!(
        (heeded.ignored(), heeded.without.verdict),
        (Some(false), Verdict::Serves)
    );
    assert_eq!(ask(&careless, "").await, None);
    let dead = ask(&Server::at(([127, 0, 0, 1], 1).into()), "?ns=quay.io")
        .await
        .unwrap();
    assert_eq!(dead.ignored(), None);
}

#[tokio::test]
async fn a_length_that_promises_more_than_the_blob() {
    let image = Image::new("promise");
    let (digest, layer) = (sha256(&image.layer), image.layer.clone());
    let server = Server::start(move |line, _| {
        if !line.ends_with(&digest) {
            return image.serve(line);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            layer.len() + 10
        );
        Act::SayAndClose([head.as_bytes(), &layer].concat())
    })
    .await;
    let endpoint = endpoint(&server.url("http", PATH));
    // Seen: containerd has read what the manifest declares, and is content.
    assert_serves(&probe(endpoint.clone(), &deep()).await);
    let crio = probe_as(RuntimeName::Crio, endpoint, &deep()).await;
    assert_verdict(&crio, Verdict::Truncated, Stage::Blob);
}
