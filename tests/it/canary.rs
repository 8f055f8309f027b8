//! No secret in any output: words are planted wherever people put passwords into files about registries, and must not
//! come out of any command in any format. Each planted word contains `CANARY`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::fixture::write;
use crate::support::{Outcome, criscope, demo_node};

/// An image whose registry refuses at once.
const IMAGE: &str = "127.0.0.1:9/a/b:1";

#[track_caller]
fn clean(outcome: &Outcome, arguments: &[&str]) {
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains("CANARY"), "{arguments:?}\n{outcome}");
    }
}

/// Asks everything about a node's files, in every format.
fn everything(node: &Path, runtime: &str) {
    let root = node.to_str().unwrap();
    let lint = ["text", "json", "ndjson", "yaml", "junit", "sarif", "github"];
    let list = ["text", "json", "ndjson", "yaml"];
    let ask = |command: &[&str]| {
        let arguments: Vec<&str> = ["registry"]
            .iter()
            .chain(command)
            .chain(&["--host-root", root, "--as", runtime])
            .copied()
            .collect();
        let outcome = criscope(&arguments).outcome();
        clean(&outcome, &arguments);
        assert!(outcome.code < 4, "{outcome}");
    };
    ask(&["lint", "--diff"]);
    for format in lint {
        ask(&["lint", "-o", format]);
    }
    for format in list {
        ask(&["route", IMAGE, "nginx:1", "-o", format]);
        ask(&["probe", IMAGE, "--no-namespace-test", "-o", format]);
    }
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let node = tempfile::tempdir().unwrap();
    for (place, text) in files {
        write(node.path(), place, text);
    }
    node
}

#[test]
fn mirrors_of_containerd() {
    for endpoint in [
        "https://us:p@CANARYa@m2/x",
        "https://CANARY@m3/x",
        "https://m4/x?sig=CANARY",
        "https://m4/x?CANARY",
        "u:CANARY@m5/x",
        "https://u:CANARY@m6",
        "https://u:CANARY@m6/",
        "http://u:CAN/CANARY@m7",
        "htp://u:CANARY@m8",
        "http://u:CANARY\\u0040m9/x",
    ] {
        let text = format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"127.0.0.1:9\"]\nendpoint = [\"{endpoint}\"]\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m\".auth]\npassword = \"123CANARY\"\npasswort = 'CANARY\n"
        );
        let node = tree(&[("etc/containerd/config.toml", text.as_str())]);
        everything(node.path(), "containerd@1.7.27");
    }
}

#[test]
fn hosts_files() {
    for host in [
        "ht tp://a:CANARY@h",
        "http://a:CANARY@[::1",
        "http://us@er:CANARY@h",
        "user:CANARY@h",
        "http://CANARY@h",
        "http://h/x?sig=CANARY",
    ] {
        let hosts = format!(
            "server = \"https://u:CANARY@127.0.0.1:9\"\n[host.\"{host}\"]\ncapabilities = [\"pull\"]\n[host.\"{host}\".header]\nX-Corp-Key = [\"CANARY\", 5]\n"
        );
        let node = tree(&[
            (
                "etc/containerd/config.toml",
                "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
            ),
            ("etc/containerd/certs.d/127.0.0.1:9/hosts.toml", &hosts),
        ]);
        everything(node.path(), "containerd@1.7.27");
        everything(node.path(), "containerd@2.1.4");
    }
}

#[test]
fn files_of_docker_and_crio() {
    let node = tree(&[(
        "etc/docker/daemon.json",
        r#"{"registry-mirror":["https://CANARY@m"],"registry-mirrors":["https://u:CANARY@m","https://m/?k=CANARY"],"insecure-registries":["u:CANARY@r"],"proxies":{"https-proxy":"u:CANARY@proxy"}}"#,
    )]);
    everything(node.path(), "docker@20.10.24");
    everything(node.path(), "containerd@1.7.27");
    let node = tree(&[(
        "etc/containers/registries.conf",
        "unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nprefix = \"127.0.0.1:9\"\nlocation = \"https://u:CANARY@m\"\ninsecur = \"CANARY\"\n\
         [[registry.mirror]]\nlocation = \"CANARY@m\"\n",
    )]);
    everything(node.path(), "crio@1.37.0");
}

#[test]
fn saved_facts_are_private() {
    let node = tree(&[
        (
            "etc/containerd/config.toml",
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m\".auth]\npassword = \"123456CANARY\n",
        ),
        (
            "etc/containerd/certs.d/m/hosts.toml",
            "[host.\"https://us:p@CANARY@m\"]\n[host.\"https://m\".header]\nX-Corp-Key = [\"CANARY\"]\n",
        ),
    ]);
    let file = node.path().join("facts.json");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let arguments = [
        "doctor",
        "--host-root",
        node.path().to_str().unwrap(),
        "--as",
        "containerd@1.7.27",
        "--save-facts",
        file.to_str().unwrap(),
        "-o",
        "json",
        "--all",
    ];
    clean(&criscope(arguments).outcome(), &arguments);
    let saved = fs::read_to_string(&file).unwrap();
    assert!(saved.contains("X-Corp-Key"), "{saved}");
    assert!(!saved.contains("CANARY"), "{saved}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn files_that_cannot_be_read_are_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pod = file("pod.yaml", "metadata: {name: a, namespace: b}\n");
    let bad = file(
        "bad.yaml",
        "metadata: {name: a}\nenvs:\n- key: A\n  value: \"CANARY\n- key: PASSWORD\n  value: CANARY\n",
    );
    let node = demo_node();
    let arguments = ["run", &bad, &pod, "--dry-run"];
    let outcome = criscope(arguments).on(&node).outcome();
    clean(&outcome, &arguments);
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(outcome.stderr.contains("line "), "{outcome}");

    for text in ["a: [CANARY\n", "CANARY and nothing else"] {
        let config = file("crictl.yaml", text);
        let arguments = ["--config", &config, "version"];
        let outcome = criscope(arguments).outcome();
        clean(&outcome, &arguments);
        assert_eq!(outcome.code, 2, "{outcome}");
    }
}

#[test]
fn what_was_typed_is_not_repeated_with_its_password() {
    let node = demo_node();
    for arguments in [
        &["pull", "https://u:CANARY@h/a:1"][..],
        &[
            "registry",
            "route",
            "https://u:CANARY@h/a:1",
            "--as",
            "containerd@1.7.27",
        ],
        &[
            "registry",
            "probe",
            "a",
            "--endpoint",
            "https://u:CANARY@h",
            "--as",
            "containerd@1.7.27",
        ],
        &[
            "registry",
            "route",
            "u:CANARY@h/a:1",
            "--as",
            "containerd@1.7.27",
        ],
    ] {
        let outcome = criscope(arguments).on(&node).outcome();
        clean(&outcome, arguments);
    }
}
