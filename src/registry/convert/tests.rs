//! Each conversion on files as they are in the field, and that no route changes that does not have to.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::registry::plan::Route;
use crate::registry::tree::{Entry, Tree};

const CONFIG: &str = "/etc/containerd/config.toml";

fn node(files: &[(&str, &str)]) -> Declared {
    let mut tree = Tree::new();
    tree.insert("/", Entry::Directory { names: Vec::new() });
    for (path, text) in files {
        tree.add_text(*path, *text);
    }
    Declared::new(tree)
}

fn runtime(text: &str) -> RuntimeId {
    text.parse().unwrap()
}

#[track_caller]
fn converted(files: &[(&str, &str)], on: &str, from: Origin, to: Target) -> Conversion {
    convert(&node(files), &runtime(on), from, to).unwrap()
}

/// The text of a file that would be written.
#[track_caller]
fn file<'c>(conversion: &'c Conversion, path: &str) -> &'c str {
    let found = conversion
        .files
        .iter()
        .find(|file| file.path == Path::new(path));
    let paths: Vec<_> = conversion.files.iter().map(|file| &file.path).collect();
    &found
        .unwrap_or_else(|| panic!("{path} is not among {paths:?}"))
        .text
}

#[track_caller]
fn same(conversion: &Conversion) {
    for comparison in &conversion.comparisons {
        assert_eq!(
            comparison.verdict,
            Verdict::Same,
            "{:#?}",
            comparison.changes
        );
    }
}

const MIRRORS: &str = r#"version = 2
# ours
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.9"
  [plugins."io.containerd.grpc.v1.cri".registry]
    [plugins."io.containerd.grpc.v1.cri".registry.mirrors]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
        endpoint = ["https://mirror.corp:5000", "https://harbor.corp/v2/hub", "https://registry-1.docker.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]
        endpoint = ["http://cache.corp:8080"]
    [plugins."io.containerd.grpc.v1.cri".registry.configs]
      [plugins."io.containerd.grpc.v1.cri".registry.configs."mirror.corp:5000".tls]
        insecure_skip_verify = true
      [plugins."io.containerd.grpc.v1.cri".registry.configs."harbor.corp".auth]
        username = "u"
        password = "hunter2"

# behind
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
"#;

#[test]
fn mirrors_become_hosts() {
    for on in ["containerd@1.6.20", "containerd@1.7.34"] {
        let conversion = converted(
            &[(CONFIG, MIRRORS)],
            on,
            Origin::Containerd,
            Target::HostsToml,
        );
        assert_eq!(
            file(&conversion, "/etc/containerd/certs.d/docker.io/hosts.toml"),
            "server = \"https://registry-1.docker.io\"\n\
             \n[host.\"https://mirror.corp:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n  skip_verify = true\n\
             \n[host.\"https://harbor.corp/v2/hub\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
        );
        assert_eq!(
            file(&conversion, "/etc/containerd/certs.d/_default/hosts.toml"),
            "\n[host.\"http://cache.corp:8080\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        // It is asked by its own name too, and then needs the option as well.
        assert!(
            file(
                &conversion,
                "/etc/containerd/certs.d/mirror.corp:5000/hosts.toml"
            )
            .contains("skip_verify = true")
        );
        let config = file(&conversion, CONFIG);
        assert!(
            config.contains("config_path = \"/etc/containerd/certs.d\"")
                && config.contains("hunter2")
                && config.contains("# behind\n[plugins.")
                && !config.contains("mirrors")
                && !config.contains("tls"),
            "{config}"
        );
        same(&conversion);
        let shown = serde_json::to_string(&conversion).unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(conversion.restart, Some("containerd"));
    }
}

#[test]
fn what_is_not_in_force_was_meant_all_the_same() {
    let conversion = converted(
        &[
            (
                CONFIG,
                "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry.configs.\"reg.corp:8443\".tls]\n  ca_file = \"/etc/ca.pem\"\n  cert_file = \"/etc/c.pem\"\n",
            ),
            (
                "/etc/ca.pem",
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            ),
        ],
        "containerd@2.1.9",
        Origin::Containerd,
        Target::HostsToml,
    );
    assert_eq!(
        file(
            &conversion,
            "/etc/containerd/certs.d/reg.corp:8443/hosts.toml"
        ),
        "server = \"https://reg.corp:8443\"\nca = [\"/etc/ca.pem\"]\n\n[host]\n"
    );
    assert_eq!(
        file(&conversion, CONFIG),
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n"
    );
    assert_eq!(conversion.comparisons[0].verdict, Verdict::Changed);
    assert!(
        conversion
            .left
            .iter()
            .any(|left| left.what == "`cert_file` of `reg.corp:8443`")
    );
}

#[test]
fn what_cannot_be_carried_over_is_named() {
    let conversion = converted(
        &[(
            CONFIG,
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri".registry.mirrors]
"https://docker.io".endpoint = ["https://m"]
"docker.io".endpoint = ["https://HostIP1:Port1", "https://u:hunter2@m/", "https://n/path"]
"#,
        )],
        "containerd@1.7.34",
        Origin::Containerd,
        Target::HostsToml,
    );
    assert_eq!(
        file(&conversion, "/etc/containerd/certs.d/docker.io/hosts.toml"),
        "server = \"https://registry-1.docker.io\"\n\
         \n[host.\"https://m\"]\n  capabilities = [\"pull\", \"resolve\"]\n\
         \n[host.\"https://n/path\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
    );
    let what: Vec<&str> = conversion.left.iter().map(|left| &*left.what).collect();
    for expected in [
        "the mirror entry `https://docker.io`",
        "an endpoint of `docker.io`",
        "user and password in an endpoint of `docker.io`",
        "the slash at the end of `https://m/`",
        "the path `/path` of https://n",
    ] {
        assert!(what.contains(&expected), "{expected} is not in {what:?}");
    }
    let shown = serde_json::to_string(&conversion).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_section_that_lines_cannot_reach_is_left_to_hands() {
    let conversion = converted(
        &[(
            CONFIG,
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry = { mirrors = { \"docker.io\" = { endpoint = [\"https://m\"] } }, headers = { X = [\"a\"] } }\n",
        )],
        "containerd@1.7.34",
        Origin::Containerd,
        Target::HostsToml,
    );
    assert!(
        conversion
            .left
            .iter()
            .any(|left| left.why.contains("by hand")),
        "{:?}",
        conversion.left
    );
}

const DAEMON: &str = r#"{
  "registry-mirrors": ["https://mirror.corp", "http://old.corp:5000"],
  "insecure-registries": ["reg.corp:5000", "10.0.0.0/8"]
}"#;

#[test]
fn dotted_keys_and_tables_in_one_line_go_too() {
    #[track_caller]
    fn case(before: &str, after: &str) {
        let conversion = converted(
            &[(CONFIG, before)],
            "containerd@1.7.34",
            Origin::Containerd,
            Target::HostsToml,
        );
        same(&conversion);
        let edited = conversion
            .files
            .iter()
            .find(|file| file.path == Path::new(CONFIG));
        assert_eq!(edited.unwrap().text, after);
        assert!(
            !conversion
                .left
                .iter()
                .any(|left| left.why.contains("by hand")),
            "{:?}",
            conversion.left
        );
    }
    case(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  registry = { mirrors = { \"docker.io\" = { endpoint = [\"https://m.test\"] } } }\n  sandbox_image = \"p:1\"\n[debug]\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  registry.config_path = \"/etc/containerd/certs.d\"\n  sandbox_image = \"p:1\"\n[debug]\n",
    );
    case(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  mirrors.\"docker.io\".endpoint = [\n    \"https://m.test\",\n  ]\n  # the last word\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n  # the last word\n",
    );
    case(
        "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\".endpoint = [\"https://m.test\"]\nplugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m.test\".tls = { insecure_skip_verify = true }\n",
        "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".registry.config_path = \"/etc/containerd/certs.d\"\n",
    );
}

#[test]
fn daemon_json_becomes_hosts() {
    let conversion = converted(
        &[
            (docker_daemon::FILE, DAEMON),
            ("/etc/docker/certs.d/safe.corp/ca.crt", "x"),
        ],
        "containerd@1.7.34",
        Origin::Docker,
        Target::HostsToml,
    );
    assert_eq!(
        file(&conversion, "/etc/containerd/certs.d/docker.io/hosts.toml"),
        "server = \"https://registry-1.docker.io\"\n\
         \n[host.\"https://mirror.corp\"]\n  capabilities = [\"pull\", \"resolve\"]\n\
         \n[host.\"http://old.corp:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    );
    assert_eq!(
        file(
            &conversion,
            "/etc/containerd/certs.d/reg.corp:5000/hosts.toml"
        ),
        "server = \"http://reg.corp:5000\"\n\
         \n[host.\"https://reg.corp:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n  skip_verify = true\n"
    );
    assert!(
        file(&conversion, "/etc/containerd/certs.d/safe.corp/hosts.toml")
            .contains("ca = [\"/etc/docker/certs.d/safe.corp/ca.crt\"]")
    );
    assert!(file(&conversion, CONFIG).contains("config_path"));
    let what: Vec<&str> = conversion.left.iter().map(|left| &*left.what).collect();
    assert!(
        what.contains(&"the insecure network 10.0.0.0/8"),
        "{what:?}"
    );
    let docker = conversion
        .comparisons
        .iter()
        .find(|comparison| comparison.reference.starts_with("docker.io/"))
        .unwrap();
    assert_eq!(docker.verdict, Verdict::Same, "{:#?}", docker.changes);
}

#[test]
fn daemon_json_becomes_registries_conf() {
    let conversion = converted(
        &[(docker_daemon::FILE, DAEMON)],
        "crio@1.37.0",
        Origin::Docker,
        Target::RegistriesConf,
    );
    assert_eq!(
        file(&conversion, registries::FILE),
        "# docker completes short names with docker.io; CRI-O only if it is told so.\n\
         unqualified-search-registries = [\"docker.io\"]\n\
         \n[[registry]]\nlocation = \"docker.io\"\n\
         \n[[registry.mirror]]\nlocation = \"mirror.corp\"\n\
         \n[[registry.mirror]]\nlocation = \"old.corp:5000\"\ninsecure = true\n\
         \n[[registry]]\nlocation = \"reg.corp:5000\"\ninsecure = true\n"
    );
    assert!(!conversion.loses());
    let insecure = conversion
        .comparisons
        .iter()
        .find(|comparison| comparison.reference.starts_with("reg.corp"))
        .unwrap();
    assert_eq!(insecure.verdict, Verdict::Same, "{:#?}", insecure.changes);
}

#[test]
fn registries_yaml_becomes_hosts() {
    let conversion = converted(
        &[(
            "/etc/rancher/k3s/registries.yaml",
            r#"
mirrors:
  docker.io:
    endpoint: ["https://m.corp:5000"]
    rewrite: {"^(.*)$": "hub/$1"}
  quay.io:
    endpoint: ["https://q.corp"]
    rewrite: {"^library/(.*)": "x/$1"}
configs:
  m.corp:5000:
    auth: {username: u, password: hunter2}
    tls: {insecure_skip_verify: true}
"#,
        )],
        "containerd@1.7.34",
        Origin::K3s,
        Target::HostsToml,
    );
    let hub = file(&conversion, "/etc/containerd/certs.d/docker.io/hosts.toml");
    assert!(
        hub.contains("[host.\"https://m.corp:5000/v2/hub\"]")
            && hub.contains("override_path = true")
            && hub.contains("skip_verify = true"),
        "{hub}"
    );
    let what: Vec<&str> = conversion.left.iter().map(|left| &*left.what).collect();
    for expected in [
        "the credentials for `m.corp:5000`",
        "the rewrite `^(.*)$` of `docker.io`",
        "the rewrite `^library/(.*)` of `quay.io`",
    ] {
        assert!(what.contains(&expected), "{expected} is not in {what:?}");
    }
    same(&conversion);
}

#[test]
fn nothing_to_convert() {
    #[track_caller]
    fn case(files: &[(&str, &str)], from: Origin, to: Target, expected: &str) {
        let error = convert(&node(files), &runtime("containerd@1.7.34"), from, to).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let hosts = Target::HostsToml;
    case(
        &[(CONFIG, "version = 2\n")],
        Origin::Containerd,
        hosts,
        "no registry configuration",
    );
    case(&[], Origin::Docker, hosts, "no registry configuration");
    case(
        &[(docker_daemon::FILE, "{")],
        Origin::Docker,
        hosts,
        "unexpected end",
    );
    case(&[], Origin::K3s, hosts, "no registry configuration");
    case(
        &[(CONFIG, MIRRORS)],
        Origin::Containerd,
        Target::RegistriesConf,
        "only daemon.json",
    );
    case(
        &[(CONFIG, MIRRORS), (docker_daemon::FILE, DAEMON)],
        Origin::Docker,
        hosts,
        "registry.mirrors",
    );
}

#[test]
fn an_entry_of_its_own_keeps_the_wildcard_away() {
    let conversion = converted(
        &[(
            CONFIG,
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\nendpoint = [\"https://m\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"quay.io\"]\nendpoint = []\n",
        )],
        "containerd@1.6.20",
        Origin::Containerd,
        Target::HostsToml,
    );
    assert_eq!(
        file(&conversion, "/etc/containerd/certs.d/quay.io/hosts.toml"),
        "server = \"https://quay.io\"\n\n[host]\n"
    );
    same(&conversion);
}

fn endpoint() -> impl Strategy<Value = String> {
    (
        "(https?://)?",
        "[a-c]\\.corp(:[1-9][0-9]{3})?",
        "(/v2|/v2/p|/p/v2)?",
    )
        .prop_map(|(scheme, host, path)| format!("{scheme}{host}{path}"))
}

proptest! {
    /// Whatever the mirrors, an image is asked for at the same endpoints in the same order afterwards.
    #[test]
    fn no_route_changes(
        mirrors in proptest::collection::btree_map("docker\\.io|quay\\.io|[a-c]\\.corp|\\*", proptest::collection::vec(endpoint(), 0..4), 1..4),
        skip in "[a-c]\\.corp",
    ) {
        let mut text = "version = 2\n".to_owned();
        for (namespace, endpoints) in &mirrors {
            text.push_str(&format!("[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"{namespace}\"]\nendpoint = {endpoints:?}\n"));
        }
        text.push_str(&format!("[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"{skip}\".tls]\ninsecure_skip_verify = true\n"));
        let conversion = convert(&node(&[(CONFIG, &text)]), &runtime("containerd@1.7.34"), Origin::Containerd, Target::HostsToml).unwrap();
        let urls = |route: &Route| {
            let mut urls: Vec<(String, bool)> = route.endpoints.iter().map(|e| (e.url.clone(), e.tls.verify || e.url.starts_with("http:"))).collect();
            // A host that is named twice is asked once.
            let mut seen = BTreeSet::new();
            urls.retain(|url| seen.insert(url.clone()));
            urls
        };
        for comparison in &conversion.comparisons {
            prop_assert_eq!(urls(&comparison.before), urls(&comparison.after));
        }
    }

    #[test]
    fn never_panics(text in "\\PC*", header in "(\\[plugins?\\.(cri|\"io\\.containerd\\.grpc\\.v1\\.cri\")\\.registry(\\.mirrors|\\.configs)?(\\.x)?(\\.tls)?\\]\\n?|[a-z]+ = \"x\"\\n|\\{\\}|\\PC){0,12}") {
        for text in [text, header] {
            let declared = node(&[(CONFIG, &text), (docker_daemon::FILE, &text), ("/etc/rancher/k3s/registries.yaml", &text)]);
            for on in ["containerd@1.6.20", "containerd@2.1.9"] {
                for origin in [Origin::Containerd, Origin::Docker, Origin::K3s] {
                    let _ = convert(&declared, &runtime(on), origin, Target::HostsToml);
                }
            }
        }
    }
}
