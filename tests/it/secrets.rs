//! Passwords stand in every place where one can live, and no command shows one: not in any format, not with `--debug`,
//! not in an error, not in a file that it writes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use criscope::fake::Node;

use crate::faults::commands::{self, Line};
use crate::support::small;

/// What must not be seen; base64 of `user:CANARY…` is its other form.
const CANARY: &str = "CANARY-9f31c07e";
const ENCODED: &str = "dXNlcjpDQU5BUlktOWYzMWMwN2U=";

/// The files of a node, with a password wherever one is thinkable.
fn host(root: &Path) {
    let write = |path: &str, text: String| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "etc/containerd/config.toml",
        format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"registry.invalid\".auth]\n  username = \"user\"\n  password = \"{CANARY}\"\n  auth = \"{ENCODED}\"\n  identitytoken = \"{CANARY}\"\n  unknown_password = \"{CANARY}\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"registry.invalid\"]\n  endpoint = [\"https://user:{CANARY}@mirror.invalid\"]\n"
        ),
    );
    write(
        "etc/containerd/certs.d/registry.invalid/hosts.toml",
        format!(
            "server = \"https://user:{CANARY}@registry.invalid\"\n[host.\"https://user:{CANARY}@mirror.invalid\"]\n  capabilities = [\"pull\"]\n  [host.\"https://user:{CANARY}@mirror.invalid\".header]\n    authorization = \"Basic {ENCODED}\"\n    x-api-key = [\"{CANARY}\"]\n"
        ),
    );
    write(
        "etc/containers/registries.conf",
        format!(
            "unqualified-search-registries = [\"user:{CANARY}@registry.invalid\"]\n[[registry]]\nlocation = \"user:{CANARY}@registry.invalid\"\npassword = \"{CANARY}\"\n"
        ),
    );
    write(
        "etc/docker/daemon.json",
        format!(
            "{{\"registry-mirrors\":[\"https://user:{CANARY}@mirror.invalid\"],\"password\":\"{CANARY}\"}}"
        ),
    );
    write(
        "etc/rancher/k3s/registries.yaml",
        format!(
            "configs:\n  registry.invalid:\n    auth:\n      username: user\n      password: {CANARY}\n      auth: [{CANARY}]\n"
        ),
    );
    let docker = format!(
        "{{\"auths\":{{\"registry.invalid\":{{\"auth\":\"{ENCODED}\",\"identitytoken\":\"{CANARY}\"}}}}}}"
    );
    for path in [
        "var/lib/kubelet/config.json",
        "root/.docker/config.json",
        "run/containers/0/auth.json",
    ] {
        write(path, docker.clone());
    }
    write(
        "var/lib/kubelet/config.yaml",
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodURLHeader:\n  Authorization: [\"Bearer {CANARY}\"]\npassword: {CANARY}\n"
        ),
    );
    write(
        "var/lib/kubelet/kubeadm-flags.env",
        format!("KUBELET_KUBEADM_ARGS=\"--token={CANARY}\"\n"),
    );
    write(
        "etc/systemd/system/containerd.service.d/proxy.conf",
        format!("[Service]\nEnvironment=\"HTTPS_PROXY=http://user:{CANARY}@proxy.invalid:3128\"\n"),
    );
}

/// A node whose runtime tells its configuration with the passwords in it, as containerd does.
fn node() -> Node {
    let node = small::node();
    node.world(|world| {
        let config = format!(
            r#"{{"registry":{{"configs":{{"registry.invalid":{{"auth":{{"username":"user","password":"{CANARY}","auth":"{ENCODED}","identityToken":"{CANARY}"}}}}}}}}}}"#
        );
        world.status_info.insert("config".to_owned(), config);
    });
    node
}

/// The line in every form that it has: each format, each file that it can write.
fn forms(line: &Line, scratch: &Path, root: &Path) -> Vec<Vec<OsString>> {
    let mut base = line.words(scratch);
    let flag = |name: &str| line.flag(name);
    if flag("host-root").is_some() {
        base.extend(["--host-root".into(), root.into()]);
    }
    if flag("save-facts").is_some() {
        base.extend(["--save-facts".into(), scratch.join("facts.json").into()]);
    }
    let formats = flag("output").unwrap_or_default();
    let with = |format: &String| {
        let mut words = base.clone();
        // Words after a command that runs in a container belong to it.
        let at = line.length();
        words.splice(at..at, ["--output".into(), format.into()]);
        words
    };
    let mut forms: Vec<Vec<OsString>> = formats.iter().map(with).collect();
    forms.push(base);
    forms
}

#[test]
fn no_command_shows_a_password() {
    let root = tempfile::tempdir().unwrap();
    host(root.path());
    let mut leaks = Vec::new();
    for line in commands::lines() {
        if line.goes_on() {
            continue;
        }
        let node = node();
        let scratch = tempfile::tempdir().unwrap();
        for words in forms(&line, scratch.path(), root.path()) {
            let output = Command::new(env!("CARGO_BIN_EXE_criscope"))
                .args(["-t", "300ms", "--debug"])
                .args(&words)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("HOME", root.path().join("root"))
                .env("TMPDIR", scratch.path())
                .env("CRI_CONFIG_FILE", "/dev/null")
                .env("CONTAINER_RUNTIME_ENDPOINT", node.endpoint())
                .env("CRICTL_CREDS", format!("user:{CANARY}"))
                .env("HTTPS_PROXY", format!("http://user:{CANARY}@127.0.0.1:9"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let mut places = vec![("stdout", output.stdout), ("stderr", output.stderr)];
            if let Ok(facts) = fs::read(scratch.path().join("facts.json")) {
                places.push(("the facts", facts));
            }
            for (place, bytes) in places {
                let text = String::from_utf8_lossy(&bytes);
                for secret in [CANARY, ENCODED] {
                    if let Some(found) = text.lines().find(|line| line.contains(secret)) {
                        leaks.push(format!("{words:?} on {place}: {found}"));
                    }
                }
            }
        }
        let sent = node.calls().iter().any(|call| {
            call.rpc() == "PullImage"
                && call
                    .request
                    .windows(CANARY.len())
                    .any(|window| window == CANARY.as_bytes())
        });
        assert!(
            line.name() != "pull" || sent,
            "the password goes to the runtime"
        );
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
