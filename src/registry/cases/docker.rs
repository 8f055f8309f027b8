//! dockerd: one line per rule.

use super::super::declared::Declared;
use super::super::plan::{Fallback, Method, Route, route};
use super::{contacted, tree};

const FILE: &str = "/etc/docker/daemon.json";

fn plan(files: &[(&str, &str)], image: &str) -> Route {
    route(
        &Declared::new(tree(files)),
        &"docker@20.10.24".parse().unwrap(),
        &image.parse().unwrap(),
    )
}

#[test]
fn mirrors_are_for_docker_hub_only() {
    let json = r#"{"registry-mirrors": ["https://m.test/", "http://n.test:5000"], "insecure-registries": ["m.test"]}"#;
    let hub = plan(&[(FILE, json)], "nginx:1");
    assert_eq!(
        contacted(&hub),
        [
            "https://m.test/v2/library/nginx/manifests/1",
            "http://n.test:5000/v2/library/nginx/manifests/1",
            "https://registry-1.docker.io/v2/library/nginx/manifests/1",
        ]
    );
    assert_eq!(
        (hub.endpoints[0].tls.verify, hub.endpoints[0].fallback),
        (false, None)
    );
    assert!(hub.endpoints[2].tls.verify);
    assert_eq!(
        contacted(&plan(&[(FILE, json)], "quay.io/a:1")),
        ["https://quay.io/v2/a/manifests/1"]
    );
}

#[test]
fn insecure_registries() {
    let json = r#"{"insecure-registries": ["reg:5000", "10.0.0.0/8"]}"#;
    for (image, insecure) in [
        ("reg:5000/a", true),
        ("10.1.1.1/a", true),
        ("127.0.0.1:5000/a", true),
        ("localhost/a", true),
        ("quay.io/a", false),
    ] {
        let first = &plan(&[(FILE, json)], image).endpoints[0];
        assert_eq!(first.fallback == Some(Fallback::Http), insecure, "{image}");
        assert_eq!(first.tls.verify, !insecure, "{image}");
    }
}

#[test]
fn methods() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_eq!(plan(&[], "nginx").endpoints[0].method, Method::Head);
    assert_eq!(
        plan(&[], &format!("nginx@{digest}")).endpoints[0].method,
        Method::Get
    );
}

#[test]
fn what_stops_dockerd_or_a_pull() {
    let fatal = plan(
        &[(FILE, r#"{"registry-mirrors": ["https://m.test/v2"]}"#)],
        "nginx",
    )
    .fatal
    .unwrap();
    assert!(
        fatal.contains("dockerd does not start: invalid mirror: path, query, or fragment"),
        "{fatal}"
    );
    let lone = plan(
        &[(FILE, "{}"), ("/etc/docker/certs.d/reg:5000/ca.cert", "x")],
        "reg:5000/a",
    )
    .fatal
    .unwrap();
    assert!(lone.contains("missing key ca.key"), "{lone}");
    let ca = "/etc/docker/certs.d/reg:5000/ca.crt";
    let planned = plan(&[(FILE, "{}"), (ca, "x")], "reg:5000/a");
    assert_eq!(planned.endpoints[0].tls.ca, [std::path::PathBuf::from(ca)]);
    // Certificates are not consulted for Docker Hub itself.
    let hub = plan(
        &[
            (FILE, "{}"),
            ("/etc/docker/certs.d/docker.io/ca.crt", "x"),
            ("/etc/docker/certs.d/registry-1.docker.io/ca.crt", "x"),
        ],
        "nginx",
    );
    assert!(hub.endpoints[0].tls.ca.is_empty());
}
