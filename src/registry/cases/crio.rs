//! One line per rule of CRI-O, each seen with a real daemon or read in containers/image.

use super::super::declared::Declared;
use super::super::plan::{AuthSource, Fallback, Method, Route, route};
use super::{contacted, tree};

const CONF: &str = "/etc/containers/registries.conf";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn plan(files: &[(&str, &str)], image: &str) -> Route {
    at("1.37.0", files, image)
}

fn at(version: &str, files: &[(&str, &str)], image: &str) -> Route {
    route(
        &Declared::new(tree(files)),
        &format!("crio@{version}").parse().unwrap(),
        &image.parse().unwrap(),
    )
}

#[track_caller]
fn case(conf: &str, image: &str, expected: &[&str]) -> Route {
    let planned = plan(&[(CONF, conf)], image);
    let urls: Vec<String> = expected
        .iter()
        .map(|url| format!("https://{url}"))
        .collect();
    assert_eq!(contacted(&planned), urls, "{image}: {planned:#?}");
    planned
}

#[track_caller]
fn fatal(files: &[(&str, &str)], image: &str, expected: &str) {
    let planned = plan(files, image);
    assert!(
        planned.fatal.clone().unwrap_or_default().contains(expected)
            && planned.endpoints.is_empty(),
        "{planned:#?}"
    );
}

#[test]
fn without_configuration() {
    case("", "quay.io/a/b:1", &["quay.io/v2/a/b/manifests/1"]);
    let hub = case(
        "",
        "docker.io/nginx",
        &["registry-1.docker.io/v2/library/nginx/manifests/latest"],
    );
    assert_eq!(
        (hub.endpoints[0].method, hub.endpoints[0].auth.source),
        (Method::Get, AuthSource::Request)
    );
    case(
        "",
        &format!("quay.io/a:1@{DIGEST}"),
        &[&format!("quay.io/v2/a/manifests/{DIGEST}")],
    );
}

#[test]
fn the_longest_prefix_counts() {
    let conf = "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m1.test/q\"\n[[registry]]\nprefix = \"quay.io/a\"\nlocation = \"n.test/x\"\n";
    case(
        conf,
        "quay.io/b/c:1",
        &["m1.test/v2/q/b/c/manifests/1", "quay.io/v2/b/c/manifests/1"],
    );
    case(conf, "quay.io/a/c:1", &["n.test/v2/x/c/manifests/1"]);
    case(
        conf,
        "quay.io/ab:1",
        &["m1.test/v2/q/ab/manifests/1", "quay.io/v2/ab/manifests/1"],
    );
    let wildcard =
        "[[registry]]\nprefix = \"*.example.com\"\n[[registry.mirror]]\nlocation = \"m.test\"\n";
    case(
        wildcard,
        "a.example.com/x:1",
        &["m.test/v2/x/manifests/1", "a.example.com/v2/x/manifests/1"],
    );
    case(
        wildcard,
        "example.com/x:1",
        &["example.com/v2/x/manifests/1"],
    );
    // The first of two equal prefixes wins.
    let twice = "[[registry]]\nprefix = \"quay.io\"\nlocation = \"m.test\"\n[[registry]]\nprefix = \"quay.io\"\nlocation = \"n.test\"\n";
    case(twice, "quay.io/x:1", &["m.test/v2/x/manifests/1"]);
    // A bare host fits a name with a port, and the port moves along.
    let host = "[[registry]]\nprefix = \"reg.test\"\nlocation = \"mirror1.test\"\n";
    case(
        host,
        "reg.test:5000/a:1",
        &["mirror1.test:5000/v2/a/manifests/1"],
    );
    case(
        "[[registry]]\nlocation = \"registry-1.docker.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n",
        "docker.io/nginx:1",
        &["registry-1.docker.io/v2/library/nginx/manifests/1"],
    );
    case(
        "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n",
        "docker.io/nginx:1",
        &[
            "m.test/v2/library/nginx/manifests/1",
            "registry-1.docker.io/v2/library/nginx/manifests/1",
        ],
    );
    // A trailing slash is cut off; the star alone is no prefix for all.
    case(
        "[[registry]]\nlocation = \"quay.io/\"\n[[registry.mirror]]\nlocation = \"m.test/\"\n",
        "quay.io/x:1",
        &["m.test/v2/x/manifests/1", "quay.io/v2/x/manifests/1"],
    );
    case(
        "[[registry]]\nprefix = \"*\"\nlocation = \"m.test\"\n",
        "quay.io/x:1",
        &["quay.io/v2/x/manifests/1"],
    );
}

#[test]
fn which_mirrors_for_which_references() {
    let digest = format!("quay.io/x@{DIGEST}");
    let both = format!("quay.io/x:1@{DIGEST}");
    let own = (
        "quay.io/v2/x/manifests/1",
        format!("quay.io/v2/x/manifests/{DIGEST}"),
    );
    let mirror = (
        "m.test/v2/x/manifests/1",
        format!("m.test/v2/x/manifests/{DIGEST}"),
    );
    let with = |registry: &str, mirror: &str| {
        format!(
            "[[registry]]\nlocation = \"quay.io\"\n{registry}\n[[registry.mirror]]\nlocation = \"m.test\"\n{mirror}\n"
        )
    };
    for (conf, by_tag, by_digest) in [
        (with("", ""), true, true),
        (with("", "pull-from-mirror = \"all\""), true, true),
        (with("", "pull-from-mirror = \"digest-only\""), false, true),
        (with("", "pull-from-mirror = \"tag-only\""), true, false),
        (with("mirror-by-digest-only = true", ""), false, true),
    ] {
        let tag: Vec<&str> = if by_tag {
            vec![mirror.0, own.0]
        } else {
            vec![own.0]
        };
        let digested: Vec<&str> = if by_digest {
            vec![&mirror.1, &own.1]
        } else {
            vec![&own.1]
        };
        case(&conf, "quay.io/x:1", &tag);
        case(&conf, &digest, &digested);
        case(&conf, &both, &digested);
    }
}

#[test]
fn blocking_goes_by_the_name_at_the_source() {
    let blocked = "[[registry]]\nlocation = \"quay.io\"\nblocked = true\n";
    fatal(
        &[(CONF, blocked)],
        "quay.io/x:1",
        "registry quay.io is blocked in /etc/containers/registries.conf",
    );
    let mirror = format!("{blocked}[[registry.mirror]]\nlocation = \"m.test\"\n");
    case(&mirror, "quay.io/x:1", &["m.test/v2/x/manifests/1"]);
    // A mirror that is itself a blocked registry.
    case(
        "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n[[registry]]\nlocation = \"m.test\"\nblocked = true\n",
        "quay.io/x:1",
        &["quay.io/v2/x/manifests/1"],
    );
    // A location elsewhere is not met.
    case(
        "[[registry]]\nprefix = \"quay.io\"\nlocation = \"n.test\"\nblocked = true\n",
        "quay.io/x:1",
        &["n.test/v2/x/manifests/1"],
    );
}

#[test]
fn insecure_is_per_endpoint() {
    let conf = "[[registry]]\nlocation = \"reg:5000\"\ninsecure = true\n[[registry.mirror]]\nlocation = \"m.test\"\n";
    let planned = case(
        conf,
        "reg:5000/x:1",
        &["m.test/v2/x/manifests/1", "reg:5000/v2/x/manifests/1"],
    );
    let seen: Vec<_> = planned
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.tls.verify, endpoint.fallback))
        .collect();
    assert_eq!(seen, [(true, None), (false, Some(Fallback::Http))]);
    assert_eq!(
        planned.endpoints[0].auth.source,
        AuthSource::None,
        "credentials of the request stay with the name's own host"
    );
}

#[test]
fn version_1() {
    let conf = "[registries.search]\nregistries = [\"quay.io\"]\n[registries.insecure]\nregistries = [\"reg:5000\"]\n[registries.block]\nregistries = [\"bad.test\"]\n";
    case(conf, "a:1", &["quay.io/v2/a/manifests/1"]);
    assert!(
        !case(conf, "reg:5000/a:1", &["reg:5000/v2/a/manifests/1"]).endpoints[0]
            .tls
            .verify
    );
    fatal(&[(CONF, conf)], "bad.test/a", "blocked");
    fatal(
        &[(
            CONF,
            &format!("unqualified-search-registries = [\"a.test\"]\n{conf}"),
        )],
        "quay.io/a",
        "mixing sysregistry v1/v2 is not supported",
    );
    fatal(
        &[
            (CONF, ""),
            ("/etc/containers/registries.conf.d/a.conf", conf),
        ],
        "quay.io/a",
        "registry must be in v2 format but is in v1",
    );
}

#[test]
fn faults_stop_crio() {
    for (conf, error) in [
        (
            "[[registry]]\nlocation = \"https://quay.io\"\n",
            "URI schemes are not supported",
        ),
        (
            "[[registries]]\nlocation = \"quay.io\"\n",
            "`registries` must be a table",
        ),
        ("[registry]\nlocation = \"quay.io\"\n", "array of tables"),
        (
            "[[registry]]\ninsecure = true\n",
            "both location and prefix are unset",
        ),
        ("[[registry]]\nprefix = \"quay.io\"\n", "location is unset"),
        (
            "[[registry]]\nlocation = \"quay.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m.test\"\npull-from-mirror = \"all\"\n",
            "at the same time",
        ),
        (
            "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\npull-from-mirror = \"some\"\n",
            "unsupported pull-from-mirror value",
        ),
        (
            "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\ninsecure = true\n",
            "mirror location is unset",
        ),
        (
            "[[registry]]\nlocation = \"q.test\"\ninsecure = true\n[[registry]]\nprefix = \"q.test/a\"\nlocation = \"q.test\"\n",
            "conflicting 'insecure' setting",
        ),
        (
            "[[registry]]\nprefix = \"*.a.test/x\"\nlocation = \"b.test\"\n",
            "Wildcarded prefix",
        ),
        (
            "unqualified-search-registries = [\"a/b\"]\n",
            "Invalid unqualified-search-registries entry",
        ),
        ("short-name-mode = \"strict\"\n", "invalid short-name mode"),
        (
            "[aliases]\n\"a\" = \"b\"\n",
            "must contain registry and repository",
        ),
        (
            "[[registry]\n",
            "invalid registries: loading registries configuration",
        ),
        (
            "[[registry]]\nlocation = \"quay.io\"\nblocked = \"yes\"\n",
            "`blocked` must be true or false",
        ),
    ] {
        fatal(&[(CONF, conf)], "quay.io/a:1", error);
        fatal(&[(CONF, conf)], "quay.io/a:1", "CRI-O does not start");
    }
    // Keys that nobody knows do no harm.
    case(
        "[[registry]]\nlocation = \"quay.io\"\nmirrors = [\"m.test\"]\n",
        "quay.io/a:1",
        &["quay.io/v2/a/manifests/1"],
    );
    // A location that makes no name fails the image, not the daemon.
    fatal(
        &[(
            CONF,
            "[[registry]]\nprefix = \"quay.io\"\nlocation = \"mirror\"\n",
        )],
        "quay.io/a",
        "rewriting reference",
    );
}

#[test]
fn drop_ins() {
    let main = "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n";
    let dropin =
        "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"n.test\"\n";
    let urls = |files: &[(&str, &str)]| {
        let planned = plan(files, "quay.io/x:1");
        planned
            .endpoints
            .iter()
            .map(|endpoint| endpoint.url.split('/').nth(2).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let named = |name: &str| format!("/etc/containers/registries.conf.d/{name}");
    assert_eq!(
        urls(&[(CONF, main), (&named("a.conf"), dropin)]),
        ["n.test", "quay.io"]
    );
    assert_eq!(
        urls(&[(CONF, main), (&named("a.toml"), dropin)]),
        ["m.test", "quay.io"]
    );
    assert_eq!(
        urls(&[(CONF, main), (&named("sub/a.conf"), dropin)]),
        ["m.test", "quay.io"]
    );
    assert_eq!(
        urls(&[(&named("a.conf"), dropin)]),
        ["n.test", "quay.io"],
        "without a main file"
    );
    let last = main.replace("m.test", "l.test");
    assert_eq!(
        urls(&[(&named("b.conf"), dropin), (&named("c.conf"), &last)]),
        ["l.test", "quay.io"]
    );
    // root's own file takes the place of the system's files.
    assert_eq!(
        urls(&[
            (CONF, main),
            (&named("a.conf"), dropin),
            ("/root/.config/containers/registries.conf", &last)
        ]),
        ["l.test", "quay.io"]
    );
}

#[test]
fn short_names() {
    let one = "unqualified-search-registries = [\"quay.io\"]\n";
    let two = "unqualified-search-registries = [\"quay.io\", \"docker.io\"]\n";
    let disabled = "[crio.image]\nshort_name_mode = \"disabled\"\n";
    let crio = "/etc/crio/crio.conf.d/10.conf";
    fatal(
        &[(CONF, "")],
        "a:1",
        "short-name \"a:1\" did not resolve to an alias and no unqualified-search registries are defined in \"/etc/containers/registries.conf\"",
    );
    fatal(&[], "a:1", "no containers-registries.conf(5) was found");
    case(one, "a/b:1", &["quay.io/v2/a/b/manifests/1"]);
    fatal(
        &[(CONF, two)],
        "a:1",
        "short name mode is enforcing, but image name a:1 returns ambiguous list",
    );
    let both = [
        "https://quay.io/v2/a/manifests/1",
        "https://registry-1.docker.io/v2/library/a/manifests/1",
    ];
    assert_eq!(
        contacted(&plan(&[(CONF, two), (crio, disabled)], "a:1")),
        both
    );
    assert_eq!(
        contacted(&at("1.33.0", &[(CONF, two)], "a:1")),
        both,
        "before 1.34 all were tried"
    );
    // registries.conf has no say in the mode.
    fatal(
        &[(CONF, &format!("{two}short-name-mode = \"disabled\"\n"))],
        "a:1",
        "enforcing",
    );
    let alias = format!("{two}[aliases]\n\"a\" = \"m.test/x/a\"\n\"c/d\" = \"m.test/d\"\n");
    case(&alias, "a:1", &["m.test/v2/x/a/manifests/1"]);
    case(&alias, "a", &["m.test/v2/x/a/manifests/latest"]);
    case(&alias, "c/d:2", &["m.test/v2/d/manifests/2"]);
    // A drop-in adds aliases, replaces the search list, and can take an alias away.
    let dropin = "unqualified-search-registries = [\"n.test\"]\n[aliases]\n\"a\" = \"\"\n";
    let files = [
        (CONF, alias.as_str()),
        ("/etc/containers/registries.conf.d/a.conf", dropin),
    ];
    assert_eq!(
        contacted(&plan(&files, "a:1")),
        ["https://n.test/v2/a/manifests/1"]
    );
    assert_eq!(
        contacted(&plan(&files, "c/d:1")),
        ["https://m.test/v2/d/manifests/1"]
    );
}

#[test]
fn certificates() {
    let host = |directory: &str, name: &str| format!("{directory}/quay.io/{name}");
    let containers = "/etc/containers/certs.d";
    let ca = host(containers, "ca.crt");
    let planned = plan(
        &[
            (CONF, ""),
            (&ca, "x"),
            (&host("/etc/docker/certs.d", "other.crt"), "x"),
        ],
        "quay.io/a:1",
    );
    assert_eq!(
        planned.endpoints[0].tls.ca,
        [std::path::PathBuf::from(&ca)],
        "the first directory only"
    );
    fatal(
        &[(CONF, ""), (&host(containers, "ca.cert"), "x")],
        "quay.io/a:1",
        "missing key ca.key for client certificate ca.cert. Note that CA certificates should use the extension .crt",
    );
    // Fatal for that host only.
    let conf =
        "[[registry]]\nlocation = \"reg.test\"\n[[registry.mirror]]\nlocation = \"quay.io\"\n";
    let planned = plan(
        &[(CONF, conf), (&host(containers, "lone.key"), "x")],
        "reg.test/a:1",
    );
    assert_eq!(contacted(&planned), ["https://reg.test/v2/a/manifests/1"]);
}

#[test]
fn credentials_for_mirrors() {
    let conf = "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n";
    let crio = "[crio.image]\nglobal_auth_file = \"/auth.json\"\n";
    let planned = plan(
        &[(CONF, conf), ("/etc/crio/crio.conf", crio)],
        "quay.io/a:1",
    );
    let sources: Vec<_> = planned
        .endpoints
        .iter()
        .map(|endpoint| endpoint.auth.source)
        .collect();
    assert_eq!(sources, [AuthSource::Authfile, AuthSource::Request]);
}
