//! For every kind of remark a configuration that brings it, and one beside it that does not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::declared::Declared;
use super::super::lint::{Code, Remark, Severity, lint};
use super::super::tree::{Entry, Tree};
use super::{fixtures, tree, tree_of};

const CONFIG: &str = "/etc/containerd/config.toml";
const HOSTS: &str = "/certs/docker.io/hosts.toml";
const CONF: &str = "/etc/containers/registries.conf";
const CRIO: &str = "/etc/crio/crio.conf";
const JSON: &str = "/etc/docker/daemon.json";
const POLICY: (&str, &str) = (
    "/etc/containers/policy.json",
    r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
);
const CONFIG_PATH: &str =
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n";

fn remarks(tree: Tree, runtime: &str) -> Vec<Remark> {
    lint(&Declared::new(tree), &runtime.parse().unwrap())
}

/// A file that brings the remark, and another content of it that does not.
#[track_caller]
fn pair(code: Code, runtime: &str, path: &str, bad: &str, good: &str) {
    files(code, runtime, &[(path, bad)], &[(path, good)]);
}

#[track_caller]
fn files(code: Code, runtime: &str, bad: &[(&str, &str)], good: &[(&str, &str)]) {
    let context: &[(&str, &str)] = if runtime.starts_with("crio") {
        &[POLICY]
    } else {
        &[]
    };
    let all =
        |files: &[(&str, &str)]| tree(&context.iter().chain(files).copied().collect::<Vec<_>>());
    let found = remarks(all(bad), runtime);
    let remark = found
        .iter()
        .find(|remark| remark.code == code)
        .unwrap_or_else(|| panic!("{code} is missing: {found:#?}"));
    let clean = remarks(all(good), runtime);
    assert!(
        !clean.iter().any(|remark| remark.code == code),
        "{code} is there without a cause: {clean:#?}"
    );
    // A proposed change takes the remark away.
    if let (Some(edit), false) = (&remark.remedy.edit, remark.after_correction) {
        let mut tree = all(bad);
        let mut lines: Vec<String> = tree
            .text(&edit.path)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(lines[edit.line - 1], edit.old);
        lines[edit.line - 1].clone_from(&edit.new);
        tree.insert(
            edit.path.clone(),
            Entry::Text {
                text: lines.join("\n") + "\n",
            },
        );
        let after = remarks(tree, runtime);
        let same = |other: &&Remark| {
            other.code == code && other.message == remark.message && other.place == remark.place
        };
        assert_eq!(
            after.iter().find(same),
            None,
            "{code}: the change does not help: {edit:?}"
        );
    }
}

#[test]
fn who_is_asked_behind_the_mirrors_is_told() {
    let (own, named) = (
        "\"https://m.test\"",
        "\"https://m.test\", \"https://quay.io\"",
    );
    pair(
        Code::RegistryUpstream,
        "containerd@1.7.34",
        CONFIG,
        &mirror("quay.io", own),
        &mirror("quay.io", named),
    );
    let host = "[host.\"https://m.test\"]\n";
    files(
        Code::RegistryUpstream,
        "containerd@2.0.11",
        &[(CONFIG, CONFIG_PATH), (HOSTS, host)],
        &[
            (CONFIG, CONFIG_PATH),
            (HOSTS, &format!("server = \"https://m.test\"\n{host}")),
        ],
    );
}

#[test]
fn a_name_without_a_dot_is_no_registry() {
    pair(
        Code::RegistryMirrorKey,
        "containerd@1.7.34",
        CONFIG,
        &mirror("local-registry", "\"https://m.test\""),
        &mirror("localhost", "\"https://m.test\""),
    );
    let host = "server = \"https://m.test\"\n[host]\n";
    files(
        Code::RegistryHostsDirname,
        "containerd@1.7.34",
        &[
            (CONFIG, CONFIG_PATH),
            ("/certs/local-registry/hosts.toml", host),
        ],
        &[(CONFIG, CONFIG_PATH), ("/certs/localhost/hosts.toml", host)],
    );
}

#[test]
fn a_broken_file_is_not_blamed_for_its_headers() {
    let broken = tree(&[(CONFIG, CONFIG_PATH), (HOSTS, "[host.\"https://m.test\"\n")]);
    let found = remarks(broken, "containerd@2.1.9");
    let codes: Vec<Code> = found.iter().map(|remark| remark.code).collect();
    assert_eq!(codes, [Code::RegistryHostsParse], "{found:#?}");
    let mixed = tree(&[
        (CONFIG, CONFIG_PATH),
        (
            HOSTS,
            "[host.\"https://m.test\"]\nheader = { x = [\"a\", 1] }\n",
        ),
    ]);
    let found = remarks(mixed, "containerd@2.1.9");
    assert_eq!(
        found[0].message, "header `x` must hold strings only",
        "{found:#?}"
    );
}

#[test]
fn a_default_sandbox_image_can_come_from_the_frozen_host_too() {
    pair(
        Code::SandboxImageHost,
        "containerd@1.6.4",
        CONFIG,
        "version = 2\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"registry.k8s.io/pause:3.6\"\n",
    );
}

fn registry(rest: &str) -> String {
    format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n{rest}\n")
}

fn mirror(key: &str, endpoints: &str) -> String {
    registry(&format!(
        "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"{key}\"]\nendpoint = [{endpoints}]\n"
    ))
}

fn config(key: &str, rest: &str) -> String {
    registry(&format!(
        "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"{key}\".{rest}\n"
    ))
}

#[track_caller]
fn hosts(code: Code, runtime: &str, bad: &str, good: &str) {
    files(
        code,
        runtime,
        &[(CONFIG, CONFIG_PATH), (HOSTS, bad)],
        &[(CONFIG, CONFIG_PATH), (HOSTS, good)],
    );
}

/// A file with one option of runc.
fn runc(option: &str) -> String {
    format!(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n{option}\n"
    )
}

#[test]
fn containerd_files() {
    let (old, new) = ("containerd@1.7.34", "containerd@2.2.7");
    let singular = CONFIG_PATH.replace("[plugins", "[plugin");
    pair(
        Code::ContainerdSingularTable,
        old,
        CONFIG,
        &singular,
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdSingularTable,
        new,
        CONFIG,
        &singular,
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdConfigParse,
        old,
        CONFIG,
        "version = \n",
        "version = 2\n",
    );
    pair(
        Code::ContainerdConfigParse,
        new,
        CONFIG,
        "version = 2\n[debug]\nx = { a = 1,\n}\n",
        "version = 2\n",
    );
    pair(
        Code::ContainerdConfigParse,
        new,
        CONFIG,
        &mirror("a", "1"),
        &mirror("a", "\"https://b\""),
    );
    pair(
        Code::ContainerdCriDisabled,
        old,
        CONFIG,
        "disabled_plugins = [\"cri\"]\n",
        "disabled_plugins = [\"btrfs\"]\n",
    );
    pair(
        Code::ContainerdCriDisabled,
        new,
        CONFIG,
        "version = 2\ndisabled_plugins = [\"a.b.c.d\", \"io.containerd.grpc.v1.cri\"]\n",
        "version = 2\n",
    );
    pair(
        Code::ContainerdDisabledName,
        new,
        CONFIG,
        "version = 2\ndisabled_plugins = [\"cri\"]\n",
        "version = 2\n",
    );
    pair(
        Code::ContainerdImportMissing,
        old,
        CONFIG,
        "imports = [\"/no.toml\"]\n",
        "imports = [\"/no*.toml\"]\n",
    );
    pair(
        Code::ContainerdConfigVersion,
        old,
        CONFIG,
        &CONFIG_PATH.replace("version = 2\n", ""),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdConfigVersion,
        new,
        CONFIG,
        "[plugins.cri.registry]\nconfig_path = \"/certs\"\n",
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdConfigVersion,
        old,
        CONFIG,
        "version = 3\n",
        "version = 2\n",
    );
    pair(
        Code::ContainerdPluginId,
        new,
        CONFIG,
        &CONFIG_PATH.replace("= 2", "= 3"),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdPluginId,
        old,
        CONFIG,
        &CONFIG_PATH.replace("grpc.v1.cri", "cri.v1.images"),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdPluginId,
        new,
        CONFIG,
        &CONFIG_PATH.replace("grpc.v1.cri", "cri.v1.runtime"),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdPluginId,
        old,
        CONFIG,
        "version = 2\n[plugins.cri.registry]\nconfig_path = \"/certs\"\n",
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdUnknownKey,
        new,
        CONFIG,
        &registry("config_pth = \"/certs\""),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        &mirror("a.b", "").replace("endpoint", "endpoints"),
        &mirror("a.b", ""),
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        &CONFIG_PATH.replace(".registry]", "]"),
        CONFIG_PATH,
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        "version = 2\n[debug]\nimports = [\"/a.toml\"]\n",
        "version = 2\n[debug]\nlevel = \"info\"\n",
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        "version = 2\nimprots = []\n",
        "version = 2\nimports = []\n",
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        &config("a", "tls]\nskip_verify = true").replace("\"a\"", "reg.test"),
        &config("reg.test", "tls]\ninsecure_skip_verify = true"),
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        &runc("SystemdCGroup = true"),
        &runc("systemdCgroup = true"),
    );
    pair(
        Code::ContainerdUnknownKey,
        new,
        CONFIG,
        &runc("systemd_cgroup = true"),
        &runc("SystemdCGroup = true"),
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshoter = \"native\"\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
    );
    pair(
        Code::ContainerdConfigVersion,
        old,
        CONFIG,
        &runc("SystemdCgroup = true").replace("version = 2\n", ""),
        &runc("SystemdCgroup = true"),
    );
    pair(
        Code::ContainerdPluginId,
        new,
        CONFIG,
        &runc("SystemdCgroup = true").replace("version = 2", "version = 3"),
        &runc("SystemdCgroup = true"),
    );
    pair(
        Code::ContainerdUnknownKey,
        old,
        CONFIG,
        "version = 2\n[plugins.\"io.containerd.grpc.v1.crii\"]\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n",
    );
    pair(
        Code::ContainerdSandboxKey,
        new,
        CONFIG,
        "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nsandbox_image = \"p:1\"\n",
        "version = 3\n[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"p:1\"\n",
    );
    pair(
        Code::ContainerdSandboxKey,
        old,
        CONFIG,
        "[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"p:1\"\n",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"p:1\"\n",
    );
    let pause = |image: &str| {
        format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{image}\"\n"
        )
    };
    pair(
        Code::SandboxImageHost,
        old,
        CONFIG,
        &pause("k8s.gcr.io/pause:3.6"),
        &pause("registry.k8s.io/pause:3.6"),
    );
    let route = format!(
        "{}{}",
        pause("quay.io/pause:1"),
        "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\nendpoint = [\"https://m\"]\n"
    );
    pair(
        Code::SandboxImageRoute,
        old,
        CONFIG,
        &route,
        &pause("quay.io/pause:1"),
    );
    let login = format!(
        "{}[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"quay.io\".auth]\nusername = \"u\"\n",
        pause("quay.io/pause:1")
    );
    pair(
        Code::SandboxImageCredentials,
        "containerd@2.0.0",
        CONFIG,
        &login,
        &pause("quay.io/pause:1"),
    );
    let fixed = remarks(tree(&[(CONFIG, &login)]), "containerd@2.0.11");
    assert!(
        fixed
            .iter()
            .all(|remark| remark.code != Code::SandboxImageCredentials)
    );
    let fork = remarks(tree(&[]), "containerd@v2.2.0-k3s1");
    assert_eq!(
        (fork[0].code, fork[0].severity),
        (Code::RegistryFork, Severity::Info)
    );
}

#[test]
fn containerd_imports() {
    let (old, middle) = ("containerd@1.7.34", "containerd@2.2.7");
    let importing = |rest: &str| {
        format!(
            "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n{}",
            rest.trim_start_matches("version = 2\n")
        )
    };
    let main = importing(CONFIG_PATH);
    let dropin = "/etc/containerd/conf.d/a.toml";
    let other = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"overlayfs\"\n";
    let debug = "version = 2\n[debug]\nlevel = \"info\"\n";
    files(
        Code::ContainerdImportReplaces,
        old,
        &[(CONFIG, &main), (dropin, other)],
        &[(CONFIG, &main), (dropin, debug)],
    );
    files(
        Code::ContainerdDropinVersion,
        middle,
        &[(CONFIG, &main), (dropin, "version = 3\n")],
        &[(CONFIG, &main), (dropin, debug)],
    );
    files(
        Code::ContainerdDropinVersion,
        "containerd@2.3.4",
        &[(CONFIG, &main), (dropin, "version = 3\n")],
        &[(CONFIG, &main), (dropin, debug)],
    );
    let first = "imports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.cri]\n";
    files(
        Code::ContainerdDropinVersion,
        old,
        &[(CONFIG, first), (dropin, debug)],
        &[(CONFIG, first), (dropin, "")],
    );
    files(
        Code::ContainerdDropinUnread,
        old,
        &[(CONFIG, "version = 2\n"), (dropin, debug)],
        &[(CONFIG, &main), (dropin, debug)],
    );
    files(
        Code::ContainerdDropinUnread,
        old,
        &[(CONFIG, &main), ("/etc/containerd/conf.d/a.conf", debug)],
        &[(CONFIG, &main), (dropin, debug)],
    );
    files(
        Code::ContainerdDropinOrder,
        middle,
        &[
            (CONFIG, &main),
            (dropin, &CONFIG_PATH.replace("/certs", "/other")),
        ],
        &[(CONFIG, &main), (dropin, other)],
    );
}

#[test]
fn containerd_registry_section() {
    let (old, new) = ("containerd@1.7.34", "containerd@2.2.7");
    let plain = mirror("docker.io", "\"https://m.test\"");
    pair(
        Code::RegistryStyleClash,
        new,
        CONFIG,
        &plain.replace(".registry]\n", ".registry]\nconfig_path = \"/certs\"\n"),
        &plain,
    );
    pair(
        Code::RegistryStyleClash,
        old,
        CONFIG,
        &config("a", "tls]\nca_file = \"/ca\"")
            .replace(".registry]\n", ".registry]\nconfig_path = \"/certs\"\n"),
        &plain,
    );
    pair(
        Code::RegistryMirrors220,
        "containerd@2.2.1",
        CONFIG,
        &plain,
        CONFIG_PATH,
    );
    pair(
        Code::RegistryEndpointParse,
        old,
        CONFIG,
        &mirror("*", "\"https://HostIP1:Port1\""),
        &plain,
    );
    pair(
        Code::RegistryEndpointParse,
        old,
        CONFIG,
        &mirror("a.b", "\"ftp://m.test\""),
        &plain,
    );
    // The scheme is at fault, not the path behind it.
    pair(
        Code::RegistryEndpointParse,
        old,
        CONFIG,
        &mirror("a.b", "\"htp:/m.test\""),
        &plain,
    );
    let list = CONFIG_PATH.replace("/certs", "/certs:/more");
    let certs = (HOSTS, "[host.\"https://m.test\"]\n");
    files(
        Code::RegistryConfigPathList,
        new,
        &[(CONFIG, &list), certs],
        &[(CONFIG, CONFIG_PATH), certs],
    );
    files(
        Code::RegistryConfigPathList,
        new,
        &[("/etc/containerd/certs.d/quay.io/hosts.toml", "")],
        &[(CONFIG, CONFIG_PATH), ("/certs/quay.io/hosts.toml", "")],
    );
    pair(
        Code::RegistryTlsRemoved,
        new,
        CONFIG,
        &config("a.b", "tls]\ninsecure_skip_verify = true"),
        &plain,
    );
    pair(
        Code::ContainerdRemovedKeys,
        old,
        CONFIG,
        &config("a.b", "tls]\ninsecure_skip_verify = true"),
        &plain,
    );
    for (bad, good) in [
        ("https://m.test/", "https://m.test"),
        ("https://m.test/proxy", "https://m.test/v2/proxy"),
        ("https://m.test/proxy", "https://m.test/proxy/v2"),
    ] {
        pair(
            Code::RegistryMirrorPath,
            old,
            CONFIG,
            &mirror("docker.io", &format!("\"{bad}\"")),
            &mirror("docker.io", &format!("\"{good}\"")),
        );
    }
    for key in [
        "https://docker.io",
        "registry-1.docker.io",
        "*.io",
        "Quay.io",
        "docker.io/library",
    ] {
        pair(
            Code::RegistryMirrorKey,
            old,
            CONFIG,
            &mirror(key, "\"https://m.test\""),
            &plain,
        );
    }
    let with_endpoint = |settings: &str| {
        format!("{plain}[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.{settings}\n")
            .replace("https://m.test", "https://m.test:5000")
    };
    for key in ["docker.io", "m.test", "https://m.test:5000"] {
        pair(
            Code::RegistryTlsKey,
            old,
            CONFIG,
            &with_endpoint(&format!("\"{key}\".tls]\ninsecure_skip_verify = true")),
            &with_endpoint("\"m.test:5000\".tls]\ninsecure_skip_verify = true"),
        );
        pair(
            Code::RegistryAuthKey,
            old,
            CONFIG,
            &with_endpoint(&format!("\"{key}\".auth]\nusername = \"u\"")),
            &with_endpoint("\"m.test:5000\".auth]\nusername = \"u\""),
        );
    }
    pair(
        Code::RegistryAuthKey,
        old,
        CONFIG,
        &config("docker.io", "auth]\nusername = \"u\""),
        &config("registry-1.docker.io", "auth]\nusername = \"u\""),
    );
    pair(
        Code::RegistryCaPath,
        old,
        CONFIG,
        &config("a.b", "tls]\nca_file = \"ca.pem\""),
        &config("a.b", "tls]\nca_file = \"/ca.pem\""),
    );
    files(
        Code::RegistryCaMissing,
        old,
        &[(CONFIG, &config("a.b", "tls]\nca_file = \"/ca.pem\""))],
        &[
            (CONFIG, &config("a.b", "tls]\nca_file = \"/ca.pem\"")),
            ("/ca.pem", ""),
        ],
    );
    pair(
        Code::RegistryCaMissing,
        old,
        CONFIG,
        &config("a.b", "tls]\ncert_file = \"/etc/containerd/config.toml\""),
        &plain,
    );
    pair(
        Code::RegistryCatchAll,
        old,
        CONFIG,
        &mirror("*", "\"https://m.test\""),
        &plain,
    );
    let both = format!(
        "{}[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\nendpoint = [\"https://m\"]\n",
        mirror("docker.io", "")
    );
    pair(Code::RegistryMirrorEmpty, old, CONFIG, &both, &plain);
    pair(
        Code::RegistryMirrorEmpty,
        "containerd@1.4.13",
        CONFIG,
        &mirror("*", "\"https://m.test\""),
        &plain,
    );
    pair(
        Code::RegistryHostsUserinfo,
        old,
        CONFIG,
        &mirror("docker.io", "\"https://u:p@m.test\""),
        &plain,
    );
    pair(
        Code::RegistryCredsInline,
        old,
        CONFIG,
        &config("a.b", "auth]\npassword = \"geheim\""),
        &config("a.b", "auth]\npassword = \"\""),
    );
    pair(
        Code::RegistryInsecure,
        old,
        CONFIG,
        &config("a.b", "tls]\ninsecure_skip_verify = true"),
        &config("a.b", "tls]\ninsecure_skip_verify = false"),
    );
    pair(
        Code::RegistryDeprecated,
        new,
        CONFIG,
        &plain,
        "version = 2\n",
    );
    pair(
        Code::ContainerdTooOld,
        "containerd@1.2.13",
        CONFIG,
        &config("a.b", "tls]\ninsecure_skip_verify = true"),
        &plain,
    );
    files(
        Code::RegistryConfigPathMissing,
        old,
        &[(CONFIG, CONFIG_PATH)],
        &[(CONFIG, CONFIG_PATH), certs],
    );
    pair(
        Code::DockerMirrorCarried,
        old,
        JSON,
        r#"{"registry-mirrors": ["https://m.test"]}"#,
        "{}",
    );
    files(
        Code::DockerMirrorCarried,
        old,
        &[(JSON, r#"{"registry-mirrors": ["https://m.test"]}"#)],
        &[
            (JSON, r#"{"registry-mirrors": ["https://m.test"]}"#),
            (CONFIG, CONFIG_PATH),
            certs,
        ],
    );
    files(
        Code::DockerInsecureCarried,
        old,
        &[(JSON, r#"{"insecure-registries": ["reg:5000"]}"#)],
        &[
            (JSON, r#"{"insecure-registries": ["reg:5000"]}"#),
            (CONFIG, CONFIG_PATH),
            (
                "/certs/reg:5000/hosts.toml",
                "[host.\"https://reg:5000\"]\nskip_verify = true\n",
            ),
        ],
    );
}

#[test]
fn hosts_files() {
    let (old, new) = ("containerd@1.7.34", "containerd@2.2.7");
    let good = "[host.\"https://m.test\"]\ncapabilities = [\"pull\", \"resolve\"]\n";
    for bad in [
        "[host.\n",
        "[[host]]\n",
        "[host.\"https://m.test\"]\ncapabilities = \"pull\"\n",
        "[host.\"https://m.test\"]\ncapabilities = [\"pul\"]\n",
        "[host.\"https://m.test\"]\nskip_verify = \"true\"\n",
    ] {
        hosts(Code::RegistryHostsParse, old, bad, good);
        hosts(Code::RegistryHostsParse, new, bad, good);
    }
    hosts(
        Code::RegistryHostsTable,
        "containerd@1.6.20",
        "server = \"https://m.test\"\n",
        good,
    );
    hosts(
        Code::RegistryHostsKeys,
        new,
        "[hosts.\"https://m.test\"]\n[host]\n",
        good,
    );
    hosts(
        Code::RegistryHostsKeys,
        new,
        "[host.\"https://m.test\"]\ninsecure_skip_verify = true\n",
        good,
    );
    hosts(
        Code::RegistryHostsKeys,
        new,
        &format!("skip_verify = true\n{good}"),
        good,
    );
    hosts(
        Code::RegistryHostsKeys,
        new,
        "host.\"https://m.test\".capabilities = [\"pull\", \"resolve\"]\n",
        good,
    );
    hosts(
        Code::RegistryHostsPath,
        new,
        "[host.\"https://h.test/v2/proj\"]\n",
        "[host.\"https://h.test/v2/proj\"]\noverride_path = true\n",
    );
    hosts(
        Code::RegistryHostsPath,
        new,
        "[host.\"https://h.test\"]\noverride_path = true\n",
        good,
    );
    hosts(
        Code::RegistryCapabilities,
        new,
        "[host.\"https://m.test\"]\ncapabilities = [\"pull\"]\n",
        good,
    );
    hosts(
        Code::RegistryServerField,
        new,
        &format!("{good}server = \"https://m.test\"\n"),
        &format!("server = \"https://m.test\"\n{good}"),
    );
    hosts(
        Code::RegistryServerField,
        new,
        &format!("server = \"https://docker.io\"\n{good}"),
        &format!("server = \"https://registry-1.docker.io\"\n{good}"),
    );
    hosts(
        Code::RegistryHostsUserinfo,
        new,
        "[host.\"https://u:p@m.test\"]\n",
        good,
    );
    hosts(
        Code::RegistryInsecure,
        new,
        &format!("{good}skip_verify = true\n"),
        good,
    );
    hosts(
        Code::RegistryCredsInline,
        new,
        &format!("{good}[host.\"https://m.test\".header]\nauthorization = \"Basic c2VjcmV0\"\n"),
        good,
    );
    hosts(
        Code::RegistryCaMissing,
        new,
        &format!("{good}ca = \"ca.pem\"\n"),
        good,
    );
    hosts(
        Code::RegistryDialTimeout,
        old,
        &format!("{good}dial_timeout = \"5s\"\n"),
        good,
    );
    hosts(
        Code::RegistryHttpTls,
        new,
        "[host.\"http://m.test:5000\"]\nskip_verify = true\n",
        "[host.\"http://m.test:5000\"]\n",
    );
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    let pair_of = |text: &str| {
        [
            (CONFIG, CONFIG_PATH.to_owned()),
            (HOSTS, format!("{good}{text}")),
            ("/certs/docker.io/c.crt", pem.to_owned()),
            ("/certs/docker.io/c.key", pem.to_owned()),
        ]
    };
    let (bad, fine) = (
        pair_of("client = [\"c.crt\", \"c.key\"]\n"),
        pair_of("client = [[\"c.crt\", \"c.key\"]]\n"),
    );
    fn borrow<'a>(files: &'a [(&'a str, String); 4]) -> Vec<(&'a str, &'a str)> {
        files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect()
    }
    files(Code::RegistryClientPair, new, &borrow(&bad), &borrow(&fine));
    let default = ("/certs/_default/hosts.toml", good);
    files(
        Code::RegistryHostsEmpty,
        new,
        &[
            (CONFIG, CONFIG_PATH),
            default,
            ("/certs/docker.io/host.toml", good),
        ],
        &[(CONFIG, CONFIG_PATH), default, (HOSTS, good)],
    );
    files(
        Code::RegistryCatchAll,
        new,
        &[(CONFIG, CONFIG_PATH), default],
        &[(CONFIG, CONFIG_PATH), (HOSTS, good)],
    );
    for name in [
        "registry-1.docker.io",
        "*",
        "Quay.io",
        "default",
        "hosts.toml",
    ] {
        let path = if name == "hosts.toml" {
            "/certs/hosts.toml".to_owned()
        } else {
            format!("/certs/{name}/hosts.toml")
        };
        files(
            Code::RegistryHostsDirname,
            new,
            &[(CONFIG, CONFIG_PATH), (&path, good)],
            &[(CONFIG, CONFIG_PATH), ("/certs/reg_5000_/hosts.toml", good)],
        );
    }
}

#[test]
fn crio_files() {
    let crio = "crio@1.37.0";
    let good = "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n";
    pair(Code::CrioRegistriesConf, crio, CONF, "[[registry]\n", good);
    pair(
        Code::CrioRegistriesConf,
        crio,
        CONF,
        "[[registries]]\nlocation = \"a\"\n",
        good,
    );
    pair(Code::CrioConfigParse, crio, CRIO, "[crio\n", "[crio]\n");
    pair(
        Code::CrioUnknownKey,
        crio,
        CONF,
        "[[registry]]\nlocation = \"quay.io\"\nmirrors = [\"m\"]\n",
        good,
    );
    pair(
        Code::CrioUnknownKey,
        crio,
        CONF,
        "[[registry]]\nlocation = \"quay.io\"\nblock = true\n",
        good,
    );
    pair(
        Code::CrioCatchAll,
        crio,
        CONF,
        "[[registry]]\nprefix = \"*\"\nlocation = \"m.test\"\n",
        good,
    );
    pair(
        Code::CrioPrefix,
        crio,
        CONF,
        "[[registry]]\nlocation = \"registry-1.docker.io\"\n",
        good,
    );
    pair(
        Code::CrioShortNames,
        crio,
        CONF,
        "unqualified-search-registries = [\"a.b\", \"c.d\"]\n",
        "unqualified-search-registries = [\"a.b\"]\n",
    );
    pair(
        Code::CrioDigestOnly,
        crio,
        CONF,
        &good.replace(
            "\"quay.io\"\n",
            "\"quay.io\"\nmirror-by-digest-only = true\n",
        ),
        good,
    );
    pair(
        Code::CrioDigestOnly,
        crio,
        CONF,
        &format!("{good}pull-from-mirror = \"digest-only\"\n"),
        good,
    );
    pair(
        Code::CrioDuplicate,
        crio,
        CONF,
        &format!("{good}{good}"),
        good,
    );
    pair(
        Code::CrioInsecureInert,
        crio,
        CRIO,
        "[crio.image]\ninsecure_registries = [\"a\"]\n",
        "[crio.image]\ninsecure_registries = []\n",
    );
    pair(
        Code::CrioInsecureInert,
        crio,
        CONF,
        &good.replace("\"quay.io\"\n", "\"quay.io\"\ninsecure = true\n"),
        good,
    );
    pair(
        Code::RegistryInsecure,
        crio,
        CONF,
        &format!("{good}insecure = true\n"),
        good,
    );
    pair(
        Code::CrioMirrorPing,
        crio,
        CONF,
        &good.replace("m.test", "m.test/path"),
        good,
    );
    pair(
        Code::CrioBlocked,
        crio,
        CONF,
        &good.replace("\"quay.io\"\n", "\"quay.io\"\nblocked = true\n"),
        good,
    );
    files(
        Code::CrioFileName,
        crio,
        &[("/etc/containers/registries.conf.d/a.toml", good)],
        &[("/etc/containers/registries.conf.d/a.conf", good)],
    );
    files(
        Code::CrioUserFile,
        crio,
        &[("/root/.config/containers/registries.conf", good)],
        &[(CONF, good)],
    );
    files(
        Code::CrioPolicy,
        crio,
        &[("/etc/containers/policy.json", "{")],
        &[],
    );
    files(
        Code::CrioPolicy,
        crio,
        &[(
            "/etc/containers/policy.json",
            r#"{"transports": {"docker": {"quay.io": [{"type": "reject"}]}}}"#,
        )],
        &[],
    );
    let auth = (CRIO, "[crio.image]\nglobal_auth_file = \"/auth.json\"\n");
    let file = |host: &str| format!(r#"{{"auths": {{"{host}": {{"auth": "c2VjcmV0"}}}}}}"#);
    files(
        Code::CrioMirrorAuth,
        crio,
        &[(CONF, good), auth, ("/auth.json", &file("quay.io"))],
        &[(CONF, good), auth, ("/auth.json", &file("m.test"))],
    );
    files(
        Code::SandboxImageHost,
        crio,
        &[(
            CRIO,
            "[crio.image]\npause_image = \"k8s.gcr.io/pause:3.6\"\n",
        )],
        &[(CRIO, "")],
    );
    pair(
        Code::DockerMirrorCarried,
        crio,
        JSON,
        r#"{"registry-mirrors": ["https://m.test"]}"#,
        "{}",
    );
}

#[test]
fn k3s_files() {
    let (k3s, yaml) = ("containerd@v2.1.5-k3s1", "/etc/rancher/k3s/registries.yaml");
    let good = "mirrors:\n  docker.io:\n    endpoint: [m.test]\n";
    let written = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/docker.io/hosts.toml";
    files(
        Code::K3sRegistriesYaml,
        k3s,
        &[(yaml, "mirrors: [1]\n")],
        &[(yaml, good)],
    );
    files(
        Code::K3sNotWritten,
        k3s,
        &[(yaml, good)],
        &[(yaml, good), (written, "")],
    );
}

#[test]
fn docker_files() {
    let docker = "docker@20.10.24";
    pair(Code::DockerDaemonJson, docker, JSON, "{", "{}");
    pair(
        Code::DockerDaemonJson,
        docker,
        JSON,
        r#"{"registry-mirror": []}"#,
        r#"{"registry-mirrors": []}"#,
    );
    pair(
        Code::DockerMirrorScope,
        docker,
        JSON,
        r#"{"registry-mirrors": ["https://m.test"]}"#,
        "{}",
    );
    pair(
        Code::DockerInsecureNetwork,
        docker,
        JSON,
        r#"{"insecure-registries": ["10.0.0.0/8"]}"#,
        "{}",
    );
    pair(
        Code::RegistryInsecure,
        docker,
        JSON,
        r#"{"insecure-registries": ["reg:5000"]}"#,
        "{}",
    );
}

/// What is usual on nodes of distributions brings nothing worse than a hint.
#[test]
fn usual_configurations_are_clean() {
    let hosts = "server = \"https://registry-1.docker.io\"\n\n[host.\"https://m.test\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
    let default_1 = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"registry.k8s.io/pause:3.9\"\n  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n    default_runtime_name = \"runc\"\n  [plugins.\"io.containerd.grpc.v1.cri\".registry]\n    config_path = \"/etc/containerd/certs.d\"\n";
    let default_3 = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.cri.v1.images\"]\n  snapshotter = \"overlayfs\"\n  [plugins.\"io.containerd.cri.v1.images\".pinned_images]\n    sandbox = \"registry.k8s.io/pause:3.10\"\n  [plugins.\"io.containerd.cri.v1.images\".registry]\n    config_path = \"/etc/containerd/certs.d\"\n";
    let certs = ("/etc/containerd/certs.d/docker.io/hosts.toml", hosts);
    for (files, runtime) in [
        (vec![], "containerd@1.7.34"),
        (vec![], "containerd@2.2.7"),
        (vec![(CONFIG, default_1), certs], "containerd@1.7.34"),
        (vec![(CONFIG, default_1), certs], "containerd@2.1.9"),
        (vec![(CONFIG, default_3), certs], "containerd@2.0.11"),
        (
            vec![
                (CONFIG, default_3),
                certs,
                ("/etc/containerd/conf.d/a.toml", "version = 3\n"),
            ],
            "containerd@2.3.4",
        ),
        (
            vec![
                POLICY,
                (CONF, "unqualified-search-registries = [\"docker.io\"]\n"),
            ],
            "crio@1.37.0",
        ),
        (
            vec![(JSON, "{\"log-driver\": \"json-file\"}")],
            "docker@20.10.24",
        ),
    ] {
        let found = remarks(tree(&files), runtime);
        assert!(found.is_empty(), "{runtime}: {found:#?}");
    }
}

#[test]
fn the_singular_table_comes_first_and_what_stays_wrong_after_it() {
    let case = fixtures().join("01-singular-plugin-table");
    for (main, runtime, then) in [
        (
            "config-1.toml",
            "containerd@1.6.20",
            vec![Code::RegistryCaPath, Code::ContainerdRemovedKeys],
        ),
        (
            "config-1.toml",
            "containerd@2.head",
            vec![Code::RegistryTlsRemoved],
        ),
        (
            "config-2.toml",
            "containerd@1.7.34",
            vec![Code::RegistryInsecure, Code::ContainerdRemovedKeys],
        ),
        (
            "config-3.toml",
            "containerd@1.7.34",
            vec![
                Code::RegistryEndpointParse,
                Code::RegistryCatchAll,
                Code::SandboxImageRoute,
            ],
        ),
    ] {
        let found = remarks(tree_of(&case, main), runtime);
        assert_eq!(
            (found[0].code, found[0].severity),
            (Code::ContainerdSingularTable, Severity::High),
            "{main} {runtime}"
        );
        let edit = found[0].remedy.edit.as_ref().unwrap();
        assert!(
            edit.new
                .trim_start()
                .starts_with("[plugins.\"io.containerd.grpc.v1.cri\".registry"),
            "{edit:?}"
        );
        assert!(found[0].remedy.text.contains("restart containerd"));
        for code in then {
            assert!(
                found
                    .iter()
                    .any(|remark| remark.code == code && remark.after_correction),
                "{main} {runtime} {code}: {found:#?}"
            );
        }
        assert_eq!(found[0].runtime_says.is_some(), runtime.contains("2.head"));
    }
}

#[test]
fn all_faults_in_one_pass() {
    let files = [
        (
            CONFIG,
            "version = 2\n[plugin.x]\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\nheader = {}\n",
        ),
        (
            HOSTS,
            "[host.\"https://a.test\"]\ncapabilities = [\"pul\"]\n[host.\"https://b.test\"]\nskip_verify = 1\n",
        ),
        ("/certs/quay.io/hosts.toml", "[host\n[host.\"x\"\n"),
    ];
    let found = remarks(tree(&files), "containerd@1.7.34");
    let codes: Vec<_> = found
        .iter()
        .map(|remark| (remark.code, remark.place.as_ref().unwrap().line))
        .collect();
    assert_eq!(codes[0], (Code::ContainerdSingularTable, 2));
    let parse: Vec<_> = codes
        .iter()
        .filter(|(code, _)| *code == Code::RegistryHostsParse)
        .collect();
    assert!(parse.len() >= 4, "{found:#?}");
    assert!(codes.contains(&(Code::ContainerdUnknownKey, 5)));
}

#[test]
fn every_code_is_tried() {
    let text = include_str!("lint.rs");
    let missing: BTreeSet<_> = Code::ALL
        .iter()
        .filter(|code| !text.contains(&format!("Code::{code:?}")))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn no_secret_is_shown() {
    let secret = "hunter2hunter2";
    let config = config(
        "reg.test",
        &format!("auth]\nusername = \"u\"\npassword = \"{secret}\"\npasword = \"{secret}\""),
    );
    let hosts = format!(
        "[host.\"https://user:{secret}@m.test\"]\n[host.\"https://m.test\".header]\nAuthorization = \"{secret}\"\n"
    );
    let files = [
        (CONFIG, config.as_str()),
        ("/etc/containerd/certs.d/docker.io/hosts.toml", &hosts),
    ];
    for runtime in ["containerd@1.7.34", "containerd@2.2.7"] {
        let declared = Declared::new(tree(&files));
        for remark in lint(&declared, &runtime.parse().unwrap()) {
            let text = format!(
                "{} {} {:?} {}",
                remark.message, remark.why, remark.runtime_says, remark.remedy.text
            );
            assert!(!text.contains(secret), "{remark:?}");
        }
        assert!(!format!("{declared:?}").contains(secret));
    }
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,200}", toml in "([\\[\\]{}=.,\"'a-c0-9 \n#\\\\]|host|plugins?|registry|mirrors|endpoint|\"\"\"){0,40}") {
        for body in [&text, &toml] {
            let files = [
                (CONFIG, body.as_str()), ("/etc/containerd/certs.d/docker.io/hosts.toml", body), (CONF, body), (CRIO, body), (JSON, body), (POLICY.0, body),
            ];
            for runtime in ["containerd@1.6.20", "containerd@2.2.7", "crio@1.37.0", "docker@20.10.24"] {
                let declared = Declared::new(tree(&files));
                lint(&declared, &runtime.parse().unwrap());
                super::super::plan::route(&declared, &runtime.parse().unwrap(), &"nginx".parse().unwrap());
                declared.wanted();
            }
        }
    }
}
