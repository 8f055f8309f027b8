//! One line per rule of containerd, each seen with a real daemon or read in a release tag.

use super::super::declared::Declared;
use super::super::plan::{AuthSource, Fallback, Phase, Route, route};
use super::{contacted, tree};

const CONFIG: &str = "/etc/containerd/config.toml";
const HUB: &str = "https://registry-1.docker.io/v2/library/nginx/manifests/1.25";
const MIRROR: &str = "https://m.test/v2/library/nginx/manifests/1.25?ns=docker.io";
const CONFIG_PATH: &str =
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n";
const HOST: &str = "[host.\"https://m.test\"]\ncapabilities = [\"pull\", \"resolve\"]\n";

fn plan(files: &[(&str, &str)], runtime: &str, image: &str) -> Route {
    route(
        &Declared::new(tree(files)),
        &format!("containerd@{runtime}").parse().unwrap(),
        &image.parse().unwrap(),
    )
}

#[track_caller]
fn case(files: &[(&str, &str)], runtime: &str, image: &str, expected: &[&str]) -> Route {
    let planned = plan(files, runtime, image);
    assert_eq!(
        contacted(&planned),
        expected,
        "containerd {runtime}, {image}: {planned:#?}"
    );
    planned
}

#[track_caller]
fn fatal(files: &[(&str, &str)], runtime: &str, image: &str, expected: &str) {
    let planned = plan(files, runtime, image);
    let why = planned.fatal.clone().unwrap_or_default();
    assert!(
        why.contains(expected) && planned.endpoints.is_empty(),
        "containerd {runtime}: {planned:#?}"
    );
}

/// nginx:1.25 with a hosts.toml for docker.io.
#[track_caller]
fn hosts(text: &str, runtime: &str, expected: &[&str]) -> Route {
    case(
        &[(CONFIG, CONFIG_PATH), ("/certs/docker.io/hosts.toml", text)],
        runtime,
        "nginx:1.25",
        expected,
    )
}

/// nginx:1.25 with mirrors for docker.io, in version 2.
#[track_caller]
fn mirrors(text: &str, runtime: &str, image: &str, expected: &[&str]) -> Route {
    let config =
        format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors]\n{text}\n");
    case(&[(CONFIG, &config)], runtime, image, expected)
}

/// The outcome matrix of table names, file versions and daemons: `+` the registry section is in force, `-` it is not,
/// `x` the daemon dies.
#[test]
fn which_table_counts_in_which_file() {
    let short = "plugins.cri";
    let old = "plugins.\"io.containerd.grpc.v1.cri\"";
    let new = "plugins.\"io.containerd.cri.v1.images\"";
    let singular = "plugin.\"io.containerd.grpc.v1.cri\"";
    let daemons = [
        "1.6.20", "1.7.34", "2.0.11", "2.1.9", "2.2.7", "2.3.4", "2.head",
    ];
    for (version, table, outcomes) in [
        ("", short, "++---++"),
        ("version = 1", short, "++---++"),
        ("", old, "-----++"),
        ("", new, "--+++++"),
        ("version = 2", short, "xx-----"),
        ("version = 2", old, "+++++++"),
        ("version = 2", new, "--+++++"),
        ("version = 3", old, "+x---++"),
        ("version = 3", new, "-x+++++"),
        ("version = 4", new, "-xxxx++"),
        ("version = 4", old, "+xxxx--"),
        ("version = 5", new, "-xxxxxx"),
        ("version = 2", singular, "-------"),
        ("version = 3", singular, "-x-----"),
    ] {
        let config = format!("{version}\n[{table}.registry]\nconfig_path = \"/certs\"\n");
        for (daemon, outcome) in daemons.iter().zip(outcomes.chars()) {
            let planned = plan(
                &[(CONFIG, &config), ("/certs/docker.io/hosts.toml", HOST)],
                daemon,
                "nginx:1.25",
            );
            let seen = match (&planned.fatal, planned.endpoints.len()) {
                (Some(_), _) => 'x',
                (None, 2) => '+',
                _ => '-',
            };
            assert_eq!(seen, outcome, "{version} {table} on {daemon}: {planned:#?}");
        }
    }
}

#[test]
fn both_tables_the_old_one_wins() {
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/other\"\n";
    for runtime in ["1.6.20", "2.0.11", "2.3.4"] {
        case(
            &[(CONFIG, config), ("/certs/docker.io/hosts.toml", HOST)],
            runtime,
            "nginx:1.25",
            &[MIRROR, HUB],
        );
    }
}

#[test]
fn imports() {
    let certs = ("/certs/docker.io/hosts.toml", HOST);
    let section = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n";
    let versioned = format!("version = 2\n{section}");
    let import = |line: &str| format!("version = 2\n{line}\n");
    let plain = import("imports = [\"/etc/containerd/conf.d/*.toml\"]");
    let dropin = ("/etc/containerd/conf.d/a.toml", section);
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.3.4"] {
        // A drop-in without a version is fine when its table name fits.
        let counts = runtime != "2.0.11";
        let expected: &[&str] = if counts { &[MIRROR, HUB] } else { &[HUB] };
        if runtime == "2.0.11" {
            // Renamed to the main file's version 2, then migrated with it.
            case(
                &[(CONFIG, &plain), dropin, certs],
                runtime,
                "nginx:1.25",
                &[MIRROR, HUB],
            );
        } else {
            case(
                &[(CONFIG, &plain), dropin, certs],
                runtime,
                "nginx:1.25",
                expected,
            );
        }
        // Only names that match the glob.
        case(
            &[
                (CONFIG, &plain),
                ("/etc/containerd/conf.d/a.conf", &versioned),
                certs,
            ],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
        // Behind a table header the key belongs to that table.
        let misplaced = import("[debug]\nimports = [\"/etc/containerd/conf.d/*.toml\"]");
        case(
            &[
                (CONFIG, &misplaced),
                ("/etc/containerd/conf.d/a.toml", &versioned),
                certs,
            ],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
        // Not read unless imported.
        case(
            &[
                (CONFIG, "version = 2\n"),
                ("/etc/containerd/conf.d/a.toml", &versioned),
                certs,
            ],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
        fatal(
            &[(CONFIG, &import("imports = [\"/etc/missing.toml\"]"))],
            runtime,
            "nginx:1.25",
            "open /etc/missing.toml: no such file",
        );
        // A circle is read once.
        let circle =
            import("imports = [\"/etc/containerd/config.toml\", \"/etc/containerd/b.toml\"]");
        case(
            &[
                (CONFIG, &circle),
                ("/etc/containerd/b.toml", &versioned),
                certs,
            ],
            runtime,
            "nginx:1.25",
            &[MIRROR, HUB],
        );
    }
    // A relative glob: against `/` before 1.7, against the importing file afterwards.
    let relative = import("imports = [\"conf.d/*.toml\"]");
    let beside = ("/etc/containerd/conf.d/a.toml", versioned.as_str());
    case(
        &[(CONFIG, &relative), beside, certs],
        "1.6.20",
        "nginx:1.25",
        &[HUB],
    );
    case(
        &[(CONFIG, &relative), ("/conf.d/a.toml", &versioned), certs],
        "1.6.20",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
    case(
        &[(CONFIG, &relative), beside, certs],
        "1.7.34",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
}

#[test]
fn imports_of_other_versions() {
    let import = "imports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let old = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n";
    let certs = ("/certs/docker.io/hosts.toml", HOST);
    let two = |main: &str, dropin: &str, runtime: &str, expected: &[&str]| {
        let files = [
            (CONFIG, main),
            ("/etc/containerd/conf.d/a.toml", dropin),
            certs,
        ];
        case(&files, runtime, "nginx:1.25", expected);
    };
    let main_2 = format!("version = 2\n{import}{old}");
    let empty_3 = "version = 3\n[debug]\nlevel = \"info\"\n";
    two(&main_2, empty_3, "2.1.9", &[HUB]);
    fatal(
        &[
            (CONFIG, &main_2),
            ("/etc/containerd/conf.d/a.toml", empty_3),
        ],
        "2.3.4",
        "nginx",
        "drop-in config version 3 higher than root config version 2",
    );
    two(&main_2, empty_3, "2.head", &[MIRROR, HUB]);
    let main_3 = format!("version = 3\n{import}");
    two(&main_3, old, "2.2.7", &[HUB]);
    two(&main_3, old, "2.3.4", &[MIRROR, HUB]);
    two(
        &main_3,
        &format!("version = 2\n{old}"),
        "2.2.7",
        &[MIRROR, HUB],
    );
    // Version 1 with a drop-in of version 2: the main file's short names are no URIs.
    let main_1 = format!("{import}[plugins.cri.registry]\nconfig_path = \"/certs\"\n");
    fatal(
        &[
            (CONFIG, &main_1),
            ("/etc/containerd/conf.d/a.toml", "version = 2\n"),
        ],
        "1.7.34",
        "nginx",
        "invalid plugin key URI \"cri\"",
    );
    two(&main_1, "", "1.7.34", &[MIRROR, HUB]);
}

#[test]
fn merging() {
    let main = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m.test\"]\n";
    let other = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"overlayfs\"\n";
    let more = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://n.test\"]\n";
    let second = "https://n.test/v2/library/nginx/manifests/1.25?ns=docker.io";
    for (dropin, one, two) in [
        (other, vec![HUB], vec![MIRROR, HUB]),
        (more, vec![second, HUB], vec![second, HUB]),
    ] {
        let files = [(CONFIG, main), ("/etc/containerd/conf.d/a.toml", dropin)];
        case(&files, "1.7.34", "nginx:1.25", &one);
        case(&files, "2.0.11", "nginx:1.25", &two);
    }
    // Files are merged in the order of their names; a list in a plugin table is replaced, not joined.
    let files = [
        (CONFIG, main),
        ("/etc/containerd/conf.d/b.toml", more),
        ("/etc/containerd/conf.d/a.toml", other),
    ];
    case(&files, "2.0.11", "nginx:1.25", &[second, HUB]);
}

#[test]
fn cri_switched_off() {
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.3.4", "2.head"] {
        fatal(
            &[(CONFIG, "disabled_plugins = [\"cri\"]\n")],
            runtime,
            "nginx",
            "unknown service runtime.v1.RuntimeService",
        );
        fatal(
            &[(CONFIG, "version = 2\ndisabled_plugins = [\"cri\"]\n")],
            runtime,
            "nginx",
            "invalid disabled plugin URI \"cri\" expect io.containerd.x.vx",
        );
        fatal(
            &[(
                CONFIG,
                "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
            )],
            runtime,
            "nginx",
            "CRI is disabled",
        );
    }
    fatal(
        &[(
            CONFIG,
            "version = 3\ndisabled_plugins = [\"io.containerd.cri.v1.images\"]\n",
        )],
        "2.0.11",
        "nginx",
        "CRI is disabled",
    );
    // Lists append: a drop-in cannot take an entry away.
    let main = "version = 2\nimports = [\"/etc/containerd/a.toml\"]\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
    fatal(
        &[
            (CONFIG, main),
            ("/etc/containerd/a.toml", "disabled_plugins = []\n"),
        ],
        "2.0.11",
        "nginx",
        "CRI is disabled",
    );
}

#[test]
fn settings_that_exclude_each_other() {
    let registry = |rest: &str| {
        format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n{rest}")
    };
    let mirrors = "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m.test\"]\n";
    let both = registry(&format!("config_path = \"/certs\"\n{mirrors}"));
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.2.7", "2.head"] {
        fatal(
            &[(CONFIG, &both)],
            runtime,
            "nginx",
            "`mirrors` cannot be set when `config_path` is provided",
        );
    }
    let tls = "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m.test\".tls]\ninsecure_skip_verify = true\n";
    let with_tls = registry(&format!("config_path = \"/certs\"\n{tls}"));
    fatal(
        &[(CONFIG, &with_tls)],
        "1.7.34",
        "nginx",
        "`configs.tls` cannot be set when `config_path` is provided",
    );
    case(
        &[(CONFIG, &with_tls), ("/certs/docker.io/hosts.toml", HOST)],
        "2.0.11",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
    // 2.2.0 and 2.2.1 have a default for config_path that clashes too, unless it is written out as empty.
    let only = format!("version = 2\n{mirrors}");
    for runtime in ["2.2.0", "2.2.1"] {
        fatal(
            &[(CONFIG, &only)],
            runtime,
            "nginx",
            "`mirrors` cannot be set",
        );
        case(
            &[(CONFIG, &registry(&format!("config_path = \"\"\n{mirrors}")))],
            runtime,
            "nginx:1.25",
            &[MIRROR, HUB],
        );
    }
    for runtime in ["2.1.9", "2.2.2", "2.head"] {
        case(&[(CONFIG, &only)], runtime, "nginx:1.25", &[MIRROR, HUB]);
    }
}

#[test]
fn what_the_decoder_refuses_fails_cri() {
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = \"https://m.test\"\n";
    fatal(
        &[(CONFIG, config)],
        "1.7.34",
        "nginx",
        "must be an array of strings, not a string",
    );
    fatal(
        &[(CONFIG, "version = \"2\"\n")],
        "2.0.11",
        "nginx",
        "`version` cannot be a string",
    );
    fatal(
        &[(CONFIG, "version = 2\nversion = 2\n")],
        "1.6.20",
        "nginx",
        "duplicate key",
    );
}

#[test]
fn no_configuration_at_all() {
    for runtime in [
        "1.4.13", "1.5.0", "1.6.20", "1.7.34", "2.0.11", "2.1.9", "2.2.0", "2.head",
    ] {
        case(&[], runtime, "nginx:1.25", &[HUB]);
        case(
            &[],
            runtime,
            "quay.io/a/b:1",
            &["https://quay.io/v2/a/b/manifests/1"],
        );
        case(
            &[],
            runtime,
            "reg.test:80/a:1",
            &["https://reg.test:80/v2/a/manifests/1"],
        );
    }
    let unread = route(
        &Declared::default(),
        &"containerd@1.7.34".parse().unwrap(),
        &"nginx".parse().unwrap(),
    );
    assert_eq!(
        unread.unread,
        [std::path::PathBuf::from(CONFIG)],
        "not having seen is not having passed"
    );
}

#[test]
fn a_digest_is_asked_for_instead_of_the_tag() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let url = format!("https://registry-1.docker.io/v2/library/nginx/manifests/{digest}");
    case(&[], "1.7.34", &format!("nginx:1.25@{digest}"), &[&url]);
}

#[test]
fn mirrors_are_found_by_the_exact_namespace() {
    let one = "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"KEY\"]\nendpoint = [\"https://m.test\"]";
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.head"] {
        let hub = |key: &str, expected: &[&str]| {
            mirrors(&one.replace("KEY", key), runtime, "nginx:1.25", expected);
        };
        hub("docker.io", &[MIRROR, HUB]);
        hub("*", &[MIRROR, HUB]);
        for key in [
            "https://docker.io",
            "registry-1.docker.io",
            "*.io",
            "DOCKER.IO",
            "index.docker.io",
        ] {
            hub(key, &[HUB]);
        }
        mirrors(
            &one.replace("KEY", "reg"),
            runtime,
            "reg:5000/a:1",
            &["https://reg:5000/v2/a/manifests/1"],
        );
        mirrors(
            &one.replace("KEY", "reg:5000"),
            runtime,
            "reg:5000/a:1",
            &[
                "https://m.test/v2/a/manifests/1?ns=reg%3A5000",
                "https://reg:5000/v2/a/manifests/1",
            ],
        );
        // An own entry shadows the wildcard even if it is empty.
        let shadowed = format!(
            "{}\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = []",
            one.replace("KEY", "*")
        );
        mirrors(&shadowed, runtime, "nginx:1.25", &[HUB]);
    }
    // 1.3 and 1.4 have an entry for docker.io of their own.
    mirrors(&one.replace("KEY", "*"), "1.4.13", "nginx:1.25", &[HUB]);
}

#[test]
fn endpoints_of_mirrors() {
    let one = |endpoints: &str, image: &str, expected: &[&str]| {
        for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.1.9", "2.head"] {
            let namespace = if image.starts_with("quay") {
                "quay.io"
            } else {
                "docker.io"
            };
            let text = format!(
                "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"{namespace}\"]\nendpoint = [{endpoints}]"
            );
            mirrors(&text, runtime, image, expected);
        }
    };
    let nginx = "nginx:1.25";
    one(r#""m.test""#, nginx, &[MIRROR, HUB]);
    one(
        r#""localhost:5000""#,
        nginx,
        &[
            "http://localhost:5000/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    one(
        r#""127.0.0.1:5000""#,
        nginx,
        &[
            "http://127.0.0.1:5000/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    one(
        r#""http://m.test""#,
        nginx,
        &[
            "http://m.test/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    // The path is taken as it is.
    one(
        r#""https://m.test/""#,
        nginx,
        &[
            "https://m.test/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    one(
        r#""https://m.test/v2/proxy""#,
        nginx,
        &[
            "https://m.test/v2/proxy/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    one(
        r#""https://m.test/proxy""#,
        nginx,
        &[
            "https://m.test/proxy/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    // Docker Hub's own host is not `docker.io`: it is asked twice in a row, which is one contact.
    one(r#""https://registry-1.docker.io""#, nginx, &[HUB]);
    one(
        r#""https://registry-1.docker.io", "https://m.test""#,
        nginx,
        &[HUB, MIRROR, HUB],
    );
    one(
        r#""http://quay.io""#,
        "quay.io/a:1",
        &["http://quay.io/v2/a/manifests/1"],
    );
    one(r#""https://u:p@m.test""#, nginx, &[MIRROR, HUB]);
}

#[test]
fn a_bad_endpoint_fails_the_namespace() {
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\nendpoint = [\"https://m.test\", \"https://HostIP1:Port1\"]\n";
    for runtime in ["1.6.20", "2.head"] {
        fatal(
            &[(CONFIG, config)],
            runtime,
            "nginx",
            "parse endpoint url: parse \"https://HostIP1:Port1\": invalid port \":Port1\" after host",
        );
        fatal(&[(CONFIG, config)], runtime, "quay.io/a", "invalid port");
    }
}

#[test]
fn tls_of_configs_goes_by_the_endpoint() {
    let config = |tls: &str| {
        format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m.test:5000\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.{tls}\n"
        )
    };
    let first = |text: &str, runtime: &str| {
        plan(&[(CONFIG, text), ("/ca.pem", "x")], runtime, "nginx").endpoints[0]
            .tls
            .clone()
    };
    let skip = config("\"m.test:5000\".tls]\ninsecure_skip_verify = true");
    assert!(!first(&skip, "1.7.34").verify);
    assert!(first(&skip, "2.0.11").verify, "removed in 2.0");
    for key in [
        "\"docker.io\"",
        "\"m.test\"",
        "\"https://m.test:5000\"",
        "m.test",
    ] {
        assert!(
            first(
                &config(&format!("{key}.tls]\ninsecure_skip_verify = true")),
                "1.7.34"
            )
            .verify,
            "{key}"
        );
    }
    let ca = config("\"m.test:5000\".tls]\nca_file = \"ca.pem\"");
    assert_eq!(
        first(&ca, "1.7.34").ca,
        [std::path::PathBuf::from("/ca.pem")],
        "relative to the working directory"
    );
    let missing = config("\"m.test:5000\".tls]\nca_file = \"/no.pem\"");
    fatal(
        &[(CONFIG, &missing)],
        "1.7.34",
        "nginx",
        "failed to load CA file: open /no.pem: no such file or directory",
    );
    let half = config("\"m.test:5000\".tls]\ncert_file = \"/c.pem\"");
    fatal(
        &[(CONFIG, &half)],
        "1.7.34",
        "nginx",
        "cert file \"/c.pem\" was specified, but no corresponding key file",
    );
}

#[test]
fn credentials_go_by_the_endpoint() {
    let source = |key: &str, table: &str| {
        let config = format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.{table}\nusername = \"u\"\npassword = \"p\"\n").replace("KEY", key);
        plan(&[(CONFIG, &config)], "1.7.34", "nginx").endpoints[0]
            .auth
            .source
    };
    assert_eq!(
        source("registry-1.docker.io", "configs.\"KEY\".auth]"),
        AuthSource::Config
    );
    assert_eq!(
        source("https://registry-1.docker.io", "auths.\"KEY\"]"),
        AuthSource::Config
    );
    for key in [
        "docker.io",
        "index.docker.io",
        "https://index.docker.io/v1/",
    ] {
        assert_eq!(
            source(key, "configs.\"KEY\".auth]"),
            AuthSource::Request,
            "{key}"
        );
    }
    let header = hosts(
        "[host.\"https://m.test\"]\n[host.\"https://m.test\".header]\nAuthorization = \"Basic x\"\n",
        "2.head",
        &[MIRROR, HUB],
    );
    assert_eq!(header.endpoints[0].auth.source, AuthSource::Header);
    assert_eq!(header.endpoints[0].headers, ["Authorization"]);
    assert_eq!(header.endpoints[1].auth.source, AuthSource::Request);
}

#[test]
fn directories_are_looked_up_by_name() {
    let quay = "quay.io/a:1";
    let from = |directory: &str, image: &str, expected: &[&str]| {
        let path = format!("/certs/{directory}/hosts.toml");
        for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.head"] {
            case(
                &[(CONFIG, CONFIG_PATH), (&path, HOST)],
                runtime,
                image,
                expected,
            );
        }
    };
    let own = "https://quay.io/v2/a/manifests/1";
    from(
        "quay.io",
        quay,
        &["https://m.test/v2/a/manifests/1?ns=quay.io", own],
    );
    from(
        "_default",
        quay,
        &["https://m.test/v2/a/manifests/1?ns=quay.io", own],
    );
    for directory in ["QUAY.IO", "*", "quay.io:443", "quay.io_443_", "*.io"] {
        from(directory, quay, &[own]);
    }
    for directory in ["registry-1.docker.io", "index.docker.io", "docker.io:443"] {
        from(directory, "nginx:1.25", &[HUB]);
    }
    let port = [
        "https://m.test/v2/a/manifests/1?ns=reg%3A5000",
        "https://reg:5000/v2/a/manifests/1",
    ];
    from("reg_5000_", "reg:5000/a:1", &port);
    from("reg:5000", "reg:5000/a:1", &port);
    from("_default", "reg:5000/a:1", &port);
    from("reg", "reg:5000/a:1", &port[1..]);
    // Both spellings of the port: the one with underscores is first.
    let both = [
        (CONFIG, CONFIG_PATH),
        ("/certs/reg_5000_/hosts.toml", HOST),
        ("/certs/reg:5000/hosts.toml", "[host.\"https://n.test\"]\n"),
    ];
    case(&both, "2.head", "reg:5000/a:1", &port);
}

#[test]
fn the_first_directory_that_exists_counts() {
    let default = ("/certs/_default/hosts.toml", HOST);
    for runtime in ["1.6.20", "2.head"] {
        // Empty, or with a misspelt file: defaults, and `_default` is not consulted.
        case(
            &[
                (CONFIG, CONFIG_PATH),
                default,
                ("/certs/docker.io/host.toml", HOST),
            ],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
        case(
            &[
                (CONFIG, CONFIG_PATH),
                default,
                ("/certs/docker.io/hosts.toml", ""),
            ],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
    }
    // In a list, `_default` of the first root beats an exact match in the second.
    let list = CONFIG_PATH.replace("/certs", "/certs:/more");
    let files = [
        (CONFIG, list.as_str()),
        default,
        ("/more/docker.io/hosts.toml", "[host.\"https://n.test\"]\n"),
    ];
    case(&files, "1.7.34", "nginx:1.25", &[MIRROR, HUB]);
    case(&files, "2.0.11", "nginx:1.25", &[MIRROR, HUB]);
    case(
        &[files[0], files[2]],
        "2.0.11",
        "nginx:1.25",
        &[
            "https://n.test/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    case(&files, "2.1.9", "nginx:1.25", &[HUB]);
}

#[test]
fn files_that_are_not_in_force() {
    let plain = ["1.6.20", "1.7.34", "2.0.11", "2.1.9", "2.head"];
    for text in [
        "[host.\"https://m.test\"\n",
        "[[host]]\nurl = \"https://m.test\"\n",
        "[host.\"https://m.test\"]\n[host.\"https://m.test\"]\n",
        "[host.\"https://m.test\"]\ncapabilities = [\"pull\", \"resolv\"]\n",
        "[host.\"https://m.test\"]\ncapabilities = \"pull\"\n",
        "[host.\"https://m.test\"]\nskip_verify = \"true\"\n",
        "[host.http://m.test]\n",
        "[host.\"https://m.test\"]\nca = 1\n",
        "[host.\"https://m.test:port\"]\n",
        "[hosts.\"https://m.test\"]\n",
        "[host.\"https://m.test\"]\nclient = [[\"a\"]]\n",
        "server = 1\n[host.\"https://m.test\"]\n",
        "[host.\"https://m.test\"]\nheader = { a = {\n b = 1 } }\n",
    ] {
        for runtime in plain {
            hosts(text, runtime, &[HUB]);
        }
    }
    // By version.
    let referrers =
        "[host.\"https://m.test\"]\ncapabilities = [\"pull\", \"resolve\", \"referrers\"]\n";
    hosts(referrers, "2.1.9", &[HUB]);
    hosts(referrers, "2.2.0", &[MIRROR, HUB]);
    let timeout = "[host.\"https://m.test\"]\ndial_timeout = \"5\"\n";
    hosts(timeout, "2.0.6", &[MIRROR, HUB]);
    hosts(timeout, "2.0.7", &[HUB]);
    hosts(timeout, "2.head", &[HUB]);
    // Keys that nobody knows do no harm.
    for runtime in plain {
        hosts(
            "[host.\"https://m.test\"]\ninsecure_skip_verify = 7\ntls = {}\ndial_timeout = \"5s\"\n",
            runtime,
            &[MIRROR, HUB],
        );
        hosts(
            "[host.\"https://m.test\"]\ncapabilities = [\"PULL\", \"Resolve\"]\n",
            runtime,
            &[MIRROR, HUB],
        );
        hosts(
            "[host.\"https://m.test\"]\ncapabilities = []\n",
            runtime,
            &[MIRROR, HUB],
        );
    }
}

/// go-toml v2 takes keys of any case, and the last one counts.
#[test]
fn keys_of_any_case() {
    let twice = "[host.\"https://m.test\"]\ncapabilities = [\"pull\", \"resolve\"]\nCapabilities = [\"pull\"]\n";
    hosts(twice, "1.7.34", &[MIRROR, HUB]);
    hosts(twice, "2.0.11", &[HUB]);
    hosts("Server = \"https://m.test\"\n", "1.7.34", &[HUB]);
    hosts("Server = \"https://m.test\"\n", "2.0.11", &[MIRROR]);
}

/// 1.4 goes on where later versions stop.
#[test]
fn what_the_oldest_version_lets_pass() {
    case(
        &[(CONFIG, "imports = [\"/no.toml\"]\n")],
        "1.4.13",
        "nginx:1.25",
        &[HUB],
    );
    fatal(
        &[(CONFIG, "imports = [\"/no.toml\"]\n")],
        "1.5.0",
        "nginx",
        "open /no.toml",
    );
    case(
        &[(CONFIG, "version = 3\n[plugins.cri]\n")],
        "1.4.13",
        "nginx:1.25",
        &[HUB],
    );
    fatal(
        &[(CONFIG, "version = 3\n[plugins.cri]\n")],
        "1.5.0",
        "nginx",
        "invalid plugin key URI",
    );
    let unknown = "[plugins.cri.registry]\nconfig_path = 1\n";
    case(&[(CONFIG, unknown)], "1.4.13", "nginx:1.25", &[HUB]);
    fatal(&[(CONFIG, unknown)], "1.5.0", "nginx", "config_path");
}

#[test]
fn a_file_with_only_a_server() {
    let only = "server = \"https://m.test\"\n";
    for (runtime, counts) in [
        ("1.5.18", false),
        ("1.6.20", false),
        ("1.6.39", false),
        ("1.7.31", false),
        ("1.7.32", true),
        ("2.0.0", true),
        ("2.head", true),
    ] {
        hosts(only, runtime, if counts { &[MIRROR] } else { &[HUB] });
        // The way round it.
        hosts("server = \"https://m.test\"\n[host]\n", runtime, &[MIRROR]);
    }
}

#[test]
fn hosts_that_are_no_headers() {
    for text in [
        "host.\"https://m.test\".capabilities = [\"pull\", \"resolve\"]\n",
        "[host]\n\"https://m.test\" = {}\n",
        "[host]\n\"https://m.test\".skip_verify = true\n",
    ] {
        hosts(text, "1.7.34", &[MIRROR, HUB]);
        hosts(text, "2.0.11", &[HUB]);
    }
    // A key after a bare [host] is no host: the file is rejected; two of them crash 1.x.
    hosts("[host]\nserver = \"https://m.test\"\n", "1.7.34", &[HUB]);
    let two = [
        (CONFIG, CONFIG_PATH),
        (
            "/certs/docker.io/hosts.toml",
            "[host]\nserver = \"a\"\nca = \"b\"\n",
        ),
    ];
    fatal(&two, "1.7.34", "nginx", "panics");
    case(&two, "2.0.11", "nginx:1.25", &[HUB]);
}

#[test]
fn the_order_of_hosts() {
    let a = "https://a.test/v2/library/nginx/manifests/1.25?ns=docker.io";
    let b = "https://b.test/v2/library/nginx/manifests/1.25?ns=docker.io";
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.head"] {
        hosts(
            "[host.\"https://b.test\"]\n[host.\"https://a.test\"]\n",
            runtime,
            &[b, a, HUB],
        );
        hosts(
            "[host.\"https://b.test\"]\n[host.\"https://b.test\".header]\nx = \"1\"\n[host.\"https://a.test\"]\n",
            runtime,
            &[b, a, HUB],
        );
    }
    // A table of a host further down: 1.x goes by the first mention, 2.x asks the host again.
    let apart = "[host.\"https://b.test\"]\n[host.\"https://a.test\"]\n[host.\"https://b.test\".header]\nx = \"1\"\n";
    hosts(apart, "1.7.34", &[b, a, HUB]);
    hosts(apart, "2.0.11", &[b, a, b, HUB]);
}

#[test]
fn the_server_is_always_last() {
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.head"] {
        hosts(HOST, runtime, &[MIRROR, HUB]);
        hosts(
            &format!("server = \"https://m.test\"\n{HOST}"),
            runtime,
            &[MIRROR],
        );
        let docker = "https://docker.io/v2/library/nginx/manifests/1.25";
        hosts(
            &format!("server = \"https://docker.io\"\n{HOST}"),
            runtime,
            &[MIRROR, docker],
        );
        // Below a header it belongs to that host.
        hosts(
            &format!("{HOST}server = \"https://m.test\"\n"),
            runtime,
            &[MIRROR, HUB],
        );
        // Keys of the root are the server's.
        let root = hosts(
            &format!("skip_verify = true\n{HOST}"),
            runtime,
            &[MIRROR, HUB],
        );
        assert_eq!(
            (root.endpoints[0].tls.verify, root.endpoints[1].tls.verify),
            (true, false)
        );
    }
}

#[test]
fn urls_of_hosts() {
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.head"] {
        let first = |url: &str, rest: &str, expected: &str| {
            let text = format!("server = \"https://s.test\"\n[host.\"{url}\"]\n{rest}");
            hosts(
                &text,
                runtime,
                &[
                    expected,
                    "https://s.test/v2/library/nginx/manifests/1.25?ns=docker.io",
                ],
            );
        };
        let of =
            |path: &str| format!("https://m.test{path}/library/nginx/manifests/1.25?ns=docker.io");
        first("m.test", "", &of("/v2"));
        first("https://m.test/", "", &of("/v2"));
        first("https://m.test/v2", "", &of("/v2"));
        first("https://m.test/v2/", "", &of("/v2"));
        first("https://m.test/proxy", "", &of("/proxy/v2"));
        first("https://m.test/v2/proxy", "", &of("/v2/proxy/v2"));
        first(
            "https://m.test/v2/proxy",
            "override_path = true",
            &of("/v2/proxy"),
        );
        first("https://m.test", "override_path = true", &of(""));
        first("https://user:pass@m.test", "", &of("/v2"));
        first(
            "http://m.test:5000",
            "",
            "http://m.test:5000/v2/library/nginx/manifests/1.25?ns=docker.io",
        );
        // A name that begins with http is taken for a URL.
        let s = "https://s.test/v2/library/nginx/manifests/1.25?ns=docker.io";
        hosts(
            "server = \"https://s.test\"\n[host.\"httpd.test\"]\n",
            runtime,
            &[s],
        );
    }
    hosts(
        "[host.\"https://m.test/v2/proxy\"]\noverride_path = true\n",
        "1.5.18",
        &[
            "https://m.test/v2/proxy/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
}

#[test]
fn capabilities_govern_resolving_only() {
    for runtime in ["1.6.20", "1.7.34", "2.head"] {
        for capability in ["pull", "resolve", "push"] {
            let text = format!("[host.\"https://m.test\"]\ncapabilities = [\"{capability}\"]\n");
            let planned = hosts(&text, runtime, &[HUB]);
            assert_eq!(planned.endpoints[0].url, MIRROR);
            assert_eq!(planned.endpoints[0].phases, [Phase::Fetch]);
            assert_eq!(planned.endpoints[1].phases, [Phase::Resolve, Phase::Fetch]);
        }
        let pull = "[host.\"https://m.test\"]\ncapabilities = [\"pull\"]\n";
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let files = [(CONFIG, CONFIG_PATH), ("/certs/quay.io/hosts.toml", pull)];
        case(
            &files,
            runtime,
            &format!("quay.io/a@{digest}"),
            &[
                &format!("https://m.test/v2/a/manifests/{digest}?ns=quay.io"),
                &format!("https://quay.io/v2/a/manifests/{digest}"),
            ],
        );
        let none = "server = \"https://s.test\"\ncapabilities = [\"push\"]\n[host.\"https://m.test\"]\ncapabilities = [\"pull\"]\n";
        fatal(
            &[(CONFIG, CONFIG_PATH), ("/certs/docker.io/hosts.toml", none)],
            runtime,
            "nginx",
            "no resolve hosts: not found",
        );
    }
}

#[test]
fn certificates() {
    let ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    let planned = |text: &str, files: &[(&str, &str)]| {
        let all: Vec<_> = [(CONFIG, CONFIG_PATH), ("/certs/docker.io/hosts.toml", text)]
            .into_iter()
            .chain(files.iter().copied())
            .collect();
        plan(&all, "1.7.34", "nginx")
    };
    let with_ca = planned(
        "[host.\"https://m.test\"]\nca = \"ca.pem\"\n",
        &[("/certs/docker.io/ca.pem", ca)],
    );
    assert_eq!(
        with_ca.endpoints[0].tls.ca,
        [std::path::PathBuf::from("/certs/docker.io/ca.pem")]
    );
    assert!(with_ca.endpoints[1].tls.ca.is_empty());
    for (text, files, error) in [
        (
            "ca = \"no.pem\"",
            &[][..],
            "unable to read CA cert \"/certs/docker.io/no.pem\"",
        ),
        (
            "ca = \"key.pem\"\nskip_verify = true",
            &[("/certs/docker.io/key.pem", key)],
            "unable to load CA cert",
        ),
        (
            "client = [[\"c.crt\", \"c.key\"]]",
            &[],
            "unable to read CERT file",
        ),
        (
            "client = [\"c.crt\", \"c.key\"]",
            &[
                ("/certs/docker.io/c.crt", ca),
                ("/certs/docker.io/c.key", key),
            ],
            "failed to load X509 key pair",
        ),
    ] {
        let planned = planned(&format!("[host.\"https://m.test\"]\n{text}\n"), files);
        assert!(
            planned.fatal.clone().unwrap_or_default().contains(error),
            "{text}: {planned:#?}"
        );
    }
    let pair = [
        ("/certs/docker.io/c.crt", ca),
        ("/certs/docker.io/c.key", key),
    ];
    let with_pair = planned(
        "[host.\"https://m.test\"]\nclient = [[\"c.crt\", \"c.key\"]]\n",
        &pair,
    );
    assert!(with_pair.endpoints[0].tls.client_cert.is_some());
    // docker's layout counts where there is no hosts.toml, or a broken one.
    for text in ["", "broken"] {
        let docker = planned(
            text,
            &[
                ("/certs/docker.io/x.crt", ca),
                ("/certs/docker.io/c.cert", ca),
                ("/certs/docker.io/c.key", key),
                ("/certs/docker.io/y.pem", ca),
            ],
        );
        assert_eq!(
            docker.endpoints[0].tls.ca,
            [std::path::PathBuf::from("/certs/docker.io/x.crt")]
        );
        assert!(docker.endpoints[0].tls.client_cert.is_some());
    }
    let ignored = planned(
        "[host.\"https://m.test\"]\n",
        &[("/certs/docker.io/ca.crt", ca)],
    );
    assert!(
        ignored
            .endpoints
            .iter()
            .all(|endpoint| endpoint.tls.ca.is_empty())
    );
}

#[test]
fn plain_http_with_tls_options() {
    for (runtime, port, expected) in [
        ("1.6.20", ":5000", "http"),
        ("1.6.25", ":5000", "https+http"),
        ("1.6.25", "", "http"),
        ("1.7.7", ":80", "https+http"),
        ("1.7.8", "", "http"),
        ("1.7.34", "", "https+http"),
        ("1.7.34", ":80", "http"),
        ("2.0.11", ":5000", "https+http"),
        ("2.head", ":5000", "https+http"),
    ] {
        let text = format!("[host.\"http://m.test{port}\"]\nskip_verify = true\n");
        let planned = plan(
            &[
                (CONFIG, CONFIG_PATH),
                ("/certs/docker.io/hosts.toml", &text),
            ],
            runtime,
            "nginx",
        );
        let first = &planned.endpoints[0];
        let scheme = first.url.split(':').next().unwrap();
        let seen = if first.fallback == Some(Fallback::Http) {
            format!("{scheme}+http")
        } else {
            scheme.to_owned()
        };
        assert_eq!(seen, expected, "{runtime} {port}");
    }
    let timeout = "[host.\"http://m.test:5000\"]\ndial_timeout = \"5s\"\n";
    hosts(
        timeout,
        "2.0.11",
        &[
            "https://m.test:5000/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
    hosts(
        timeout,
        "2.1.9",
        &[
            "http://m.test:5000/v2/library/nginx/manifests/1.25?ns=docker.io",
            HUB,
        ],
    );
}

#[test]
fn loopback_without_configuration() {
    let certs = &[(CONFIG, CONFIG_PATH), ("/certs/x/hosts.toml", "")];
    for (runtime, image, url, fallback) in [
        (
            "1.6.8",
            "127.0.0.1:5000/a:1",
            "https://127.0.0.1:5000/v2/a/manifests/1",
            None,
        ),
        (
            "1.6.20",
            "127.0.0.1:5000/a:1",
            "http://127.0.0.1:5000/v2/a/manifests/1",
            None,
        ),
        (
            "1.6.25",
            "localhost:5000/a:1",
            "https://localhost:5000/v2/a/manifests/1",
            Some(Fallback::Http),
        ),
        (
            "1.7.34",
            "127.0.0.1:5000/a:1",
            "https://127.0.0.1:5000/v2/a/manifests/1",
            Some(Fallback::Http),
        ),
        (
            "2.0.11",
            "[::1]:5000/a:1",
            "https://[::1]:5000/v2/a/manifests/1",
            Some(Fallback::Http),
        ),
        (
            "2.head",
            "localhost/a:1",
            "https://localhost/v2/a/manifests/1",
            None,
        ),
        (
            "2.head",
            "localhost:443/a:1",
            "https://localhost:443/v2/a/manifests/1",
            None,
        ),
        (
            "2.head",
            "localhost:80/a:1",
            "http://localhost:80/v2/a/manifests/1",
            None,
        ),
    ] {
        let planned = case(certs, runtime, image, &[url]);
        assert_eq!(planned.endpoints[0].fallback, fallback, "{runtime} {image}");
        assert!(
            !planned.endpoints[0].tls.verify || runtime == "1.6.8",
            "{runtime} {image}"
        );
    }
    // Without config_path the code of the mirrors decides: plain http. The transfer service always has the other.
    case(
        &[],
        "1.7.34",
        "127.0.0.1:5000/a:1",
        &["http://127.0.0.1:5000/v2/a/manifests/1"],
    );
    case(
        &[],
        "2.0.11",
        "127.0.0.1:5000/a:1",
        &["http://127.0.0.1:5000/v2/a/manifests/1"],
    );
    case(
        &[],
        "2.1.9",
        "127.0.0.1:5000/a:1",
        &["https://127.0.0.1:5000/v2/a/manifests/1"],
    );
}

#[test]
fn a_list_of_directories_under_the_transfer_service() {
    let config = |rest: &str| {
        format!(
            "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\n{rest}\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/certs:/more\"\n"
        )
    };
    let certs = ("/certs/docker.io/hosts.toml", HOST);
    for runtime in ["2.1.9", "2.2.0", "2.2.7", "2.3.4", "2.head"] {
        case(
            &[(CONFIG, &config("")), certs],
            runtime,
            "nginx:1.25",
            &[HUB],
        );
        for local in [
            "use_local_image_pull = true",
            "discard_unpacked_layers = true",
            "max_concurrent_downloads = 4",
            "image_pull_with_sync_fs = true",
            "disable_snapshot_annotations = false",
        ] {
            case(
                &[(CONFIG, &config(local)), certs],
                runtime,
                "nginx:1.25",
                &[MIRROR, HUB],
            );
        }
        for same in [
            "max_concurrent_downloads = 3",
            "disable_snapshot_annotations = true",
            "use_local_image_pull = false",
        ] {
            case(
                &[(CONFIG, &config(same)), certs],
                runtime,
                "nginx:1.25",
                &[HUB],
            );
        }
        // One unrelated credential makes the list work.
        let auth = format!(
            "{}[plugins.\"io.containerd.cri.v1.images\".registry.configs.\"x.test\".auth]\nusername = \"u\"\n",
            config("")
        );
        case(
            &[(CONFIG, &auth), certs],
            runtime,
            "nginx:1.25",
            &[MIRROR, HUB],
        );
        // The literal directory is really looked up.
        case(
            &[
                (CONFIG, &config("")),
                ("/certs:/more/docker.io/hosts.toml", HOST),
            ],
            runtime,
            "nginx:1.25",
            &[MIRROR, HUB],
        );
    }
    case(
        &[(CONFIG, &config("")), certs],
        "2.0.11",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
    // The built-in default is a list too; a local pull makes it work, one directory does as well.
    let default = ("/etc/containerd/certs.d/docker.io/hosts.toml", HOST);
    for runtime in ["2.1.9", "2.2.0", "2.2.7", "2.head"] {
        case(&[default], runtime, "nginx:1.25", &[HUB]);
    }
    let local =
        "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = true\n";
    case(&[(CONFIG, local), default], "2.1.9", "nginx:1.25", &[HUB]);
    case(
        &[(CONFIG, local), default],
        "2.2.0",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
    case(
        &[(CONFIG, local), default],
        "2.2.7",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
}

#[test]
fn settings_of_version_2_that_force_a_local_pull() {
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndiscard_unpacked_layers = true\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs:/more\"\n";
    let certs = ("/certs/docker.io/hosts.toml", HOST);
    // Moved only together with runtimes.
    case(&[(CONFIG, config), certs], "2.2.7", "nginx:1.25", &[HUB]);
    let runtimes = format!(
        "{config}[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"
    );
    case(
        &[(CONFIG, &runtimes), certs],
        "2.2.7",
        "nginx:1.25",
        &[MIRROR, HUB],
    );
}

#[test]
fn sandbox_images() {
    let image = |config: &str, runtime: &str| {
        let declared = Declared::new(tree(&[(CONFIG, config)]));
        declared
            .containerd(&format!("containerd@{runtime}").parse().unwrap())
            .sandbox_image
            .value()
            .to_owned()
    };
    assert_eq!(image("", "1.6.20"), "registry.k8s.io/pause:3.6");
    let old = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"p:1\"\n";
    for runtime in ["1.6.20", "1.7.34", "2.0.11", "2.2.7", "2.head"] {
        assert_eq!(image(old, runtime), "p:1", "{runtime}");
    }
    let pinned =
        "version = 3\n[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"p:2\"\n";
    assert_eq!(image(pinned, "2.2.7"), "p:2");
    let third = old.replace("version = 2", "version = 3");
    assert_eq!(image(&third, "2.2.7"), "registry.k8s.io/pause:3.10.1");
    assert_eq!(image(&third, "2.3.4"), "p:1");
    let misplaced =
        "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nsandbox_image = \"p:1\"\n";
    assert_eq!(image(misplaced, "2.head"), "registry.k8s.io/pause:3.10.2");
}

/// An empty `ca` is the directory itself.
#[test]
fn a_certificate_that_is_a_directory() {
    fatal(
        &[
            (CONFIG, CONFIG_PATH),
            (
                "/certs/docker.io/hosts.toml",
                "[host.\"https://m.test\"]\nca = \"\"\n",
            ),
        ],
        "2.3.4",
        "nginx:1.25",
        "unable to read CA cert \"/certs/docker.io\": read /certs/docker.io: is a directory",
    );
}

/// What a path needs on the wire, seen with containerd 2.1.9 and 2.3.4.
#[test]
fn paths_are_escaped_as_they_are_sent() {
    hosts(
        "server = \"https://m.test/a b\"\n[host]\n",
        "2.3.4",
        &["https://m.test/a%20b/v2/library/nginx/manifests/1.25?ns=docker.io"],
    );
}
