//! Credentials of test pulls and probes: what works with them on real containerd, who gets to see them, and that no output
//! of any command ever holds one.

use std::fs;
use std::path::Path;

use criscope::fake::registry::{Auth, Credentials, Image, Registry};
use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;
use crate::support::run::Outcome;

const USER: &str = "alice";
const PASSWORD: &str = "canary-hunter2";

/// A registry that wants the password, with one image.
fn guarded() -> Registry {
    Registry::builder()
        .image("lab/app", "1", &Image::single("guarded"))
        .auth(Auth::Basic {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        })
        .start()
        .unwrap()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

fn ask(lab: &Lab, arguments: &[&str], stdin: &str) -> Outcome {
    let outcome = criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .stdin(stdin)
        .outcome();
    assert_no_canary(&outcome);
    outcome
}

#[track_caller]
fn assert_no_canary(outcome: &Outcome) {
    let text = outcome.to_string();
    let encoded = base64(&format!("{USER}:{PASSWORD}"));
    for secret in [PASSWORD, encoded.as_str()] {
        assert!(!text.contains(secret), "a secret is shown: {text}");
    }
}

#[track_caller]
fn test_pull(lab: &Lab, image: &str, more: &[&str], stdin: &str) -> (i32, Value) {
    let arguments: Vec<&str> = ["test-pull", image, "-o", "json", "--debug"]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    let outcome = ask(lab, &arguments, stdin);
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    (outcome.code, document["images"][0].clone())
}

/// Requests that came with anything in `Authorization`.
fn logins(registry: &Registry) -> usize {
    let requests = registry.requests();
    let with = |known: &&criscope::fake::registry::Request| known.credentials != Credentials::None;
    requests.iter().filter(with).count()
}

fn write_hosts(lab: &Lab, namespace: &str, text: &str) {
    let directory = Path::new(lab.text("/certsD")).join(namespace);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("hosts.toml"), text).unwrap();
}

fn with_credentials(generation: &str, plugin: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
        return;
    };
    let works = |(code, test): (i32, Value)| {
        assert_eq!(
            (code, test["verdict"].as_str()),
            (0, Some("works")),
            "{test:#}"
        );
        assert_eq!(test["probes"][0]["verdict"], "serves", "{test:#}");
        test
    };
    let registry = guarded();
    let (host, url) = (registry.host(), registry.url());

    // In a header of hosts.toml, which is read at every pull.
    let value = base64(&format!("{USER}:{PASSWORD}"));
    write_hosts(
        &lab,
        "header.lab.test",
        &format!(
            "server = \"{url}\"\n[host.\"{url}\"]\n[host.\"{url}\".header]\nauthorization = \"Basic {value}\"\n"
        ),
    );
    works(test_pull(&lab, "header.lab.test/lab/app:1", &[], ""));

    // In config.toml, which is read at a start.
    let configured = guarded();
    write_hosts(
        &lab,
        "config.lab.test",
        &format!("server = \"{0}\"\n[host.\"{0}\"]\n", configured.url()),
    );
    let path = lab.text("/configPath");
    let config = fs::read_to_string(path).unwrap();
    let auth = format!(
        "\n[plugins.\"{plugin}\".registry.configs.\"{}\".auth]\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n",
        configured.host()
    );
    fs::write(path, config + &auth).unwrap();
    lab.tell("restart", &[]);
    works(test_pull(&lab, "config.lab.test/lab/app:1", &[], ""));

    // With the pull request, for the owner and nobody else on the route.
    let image = format!("{host}/lab/app:1");
    let given = format!("{USER}:{PASSWORD}\n");
    let test = works(test_pull(&lab, &image, &["--creds-stdin"], &given));
    assert_eq!(test["credentials"], "standard input");
    let file = lab.dir().join("auth.json");
    fs::write(
        &file,
        format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"{value}\"}}}}}}"),
    )
    .unwrap();
    works(test_pull(
        &lab,
        &image,
        &["--authfile", file.to_str().unwrap()],
        "",
    ));
    let kubelet = lab.host_root().join("var/lib/kubelet");
    fs::create_dir_all(&kubelet).unwrap();
    let (code, test) = test_pull(&lab, &image, &["--as-kubelet"], "");
    assert_eq!(code, 1, "without credentials it fails: {test:#}");
    assert!(test["notes"].to_string().contains("imagePullSecrets"));
    fs::copy(&file, kubelet.join("config.json")).unwrap();
    works(test_pull(&lab, &image, &["--as-kubelet"], ""));

    // A wrong password is tried once, by us, and not by the runtime.
    registry.forget_requests();
    let wrong = format!("{USER}:wrong-{PASSWORD}");
    let (code, test) = test_pull(&lab, &image, &["--creds-stdin"], &wrong);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (3, Some("not-tried")),
        "{test:#}"
    );
    assert_eq!(logins(&registry), 1, "{:?}", registry.requests());

    // Other hosts on the route get to see nothing unless that is allowed.
    let (mirror, own) = (guarded(), guarded());
    write_hosts(
        &lab,
        &own.host(),
        &format!("server = \"{}\"\n[host.\"{}\"]\n", own.url(), mirror.url()),
    );
    let shared = format!("{}/lab/app:1", own.host());
    let (code, test) = test_pull(&lab, &shared, &["--creds-stdin"], &given);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (3, Some("not-tried")),
        "{test:#}"
    );
    assert!(
        test["message"].to_string().contains("--share-creds"),
        "{test:#}"
    );
    assert_eq!(logins(&mirror), 0, "{:?}", mirror.requests());
    works(test_pull(
        &lab,
        &shared,
        &["--creds-stdin", "--share-creds"],
        &given,
    ));
    assert!(logins(&mirror) > 0);
}

#[test]
fn credentials_of_containerd_1_6() {
    with_credentials("1.6", "io.containerd.grpc.v1.cri");
}

#[test]
fn credentials_of_containerd_2() {
    with_credentials("2", "io.containerd.cri.v1.images");
}

/// The files of a routes document, by path.
fn state<'d>(document: &'d Value, name: &str) -> &'d Value {
    let files = document["files"].as_array().unwrap();
    files
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with(name))
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

#[test]
fn what_is_loaded_and_what_is_not() {
    let Some(lab) = Lab::up(&["--generation", "1.6", "--pods", "0"]) else {
        return;
    };
    let route = |lab: &Lab| {
        let arguments = [
            "registry",
            "route",
            "registry.lab.test/lab/app:1",
            "-o",
            "json",
        ];
        let outcome = ask(lab, &arguments, "");
        serde_json::from_str::<Value>(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"))
    };
    let document = route(&lab);
    assert_eq!(state(&document, "hosts.toml")["read"], "every-pull");
    let config = state(&document, "config.toml");
    assert_eq!(config["read"], "at-start");
    assert_ne!(config["pending"], true, "{document:#}");

    // A change that comes a day after the start, whatever the clock's grain.
    let path = lab.text("/configPath");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(later).unwrap();
    let docker = lab.host_root().join("etc/docker");
    fs::create_dir_all(&docker).unwrap();
    fs::write(docker.join("daemon.json"), "{}").unwrap();
    assert_eq!(state(&route(&lab), "config.toml")["pending"], true);
    let text = ask(
        &lab,
        &["registry", "route", "registry.lab.test/lab/app:1"],
        "",
    );
    assert!(text.stdout.contains("not loaded yet"), "{text}");
    assert!(text.stdout.contains("no restart"), "{text}");
    let lint = ask(&lab, &["registry", "lint"], "");
    assert!(lint.stderr.contains("was changed after"), "{lint}");
    let (_, test) = test_pull(&lab, "registry.lab.test/lab/app:1", &[], "");
    assert!(
        test["notes"].to_string().contains("changed after"),
        "{test:#}"
    );
    assert_eq!(test["verdict"], "works", "{test:#}");
}

#[test]
fn the_sandbox_image_is_tried_like_any_other() {
    let Some(lab) = Lab::up(&["--generation", "1.6", "--pods", "0"]) else {
        return;
    };
    let outcome = ask(&lab, &["test-pull", "--sandbox-image", "-o", "json"], "");
    assert_eq!(outcome.code, 0, "{outcome}");
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let test = &document["images"][0];
    assert_eq!(test["image"], "registry.lab.test/pause:3.9", "{test:#}");
    assert_eq!(test["pull"]["status"], "ok", "{test:#}");
}

/// A node whose files are full of secrets.
fn full_of_secrets(registry: &Registry, way: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let (host, url) = (registry.host(), registry.url());
    let encoded = base64(&format!("{USER}:{PASSWORD}"));
    write(
        "etc/containerd/config.toml",
        format!(
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
{way}
[plugins."io.containerd.grpc.v1.cri".registry.headers]
X-Token = ["{PASSWORD}"]
[plugins."io.containerd.grpc.v1.cri".registry.configs."{host}".auth]
username = "{USER}"
password = "{PASSWORD}"
pasword = "{PASSWORD}"
[plugins."io.containerd.grpc.v1.cri".registry.configs."other.test".auth]
auth = "{encoded}"
"#
        ),
    );
    write(
        "etc/containerd/certs.d/reg.test/hosts.toml",
        format!(
            "server = \"{url}\"\n[host.\"https://{USER}:{PASSWORD}@m.test\"]\n[host.\"{url}\".header]\nauthorization = \"Basic {encoded}\"\n"
        ),
    );
    write(
        "etc/docker/daemon.json",
        format!(
            r#"{{"registry-mirrors": ["https://m.test"], "http-proxies": {{"http": "http://{USER}:{PASSWORD}@p"}}}}"#
        ),
    );
    write(
        "etc/rancher/k3s/registries.yaml",
        format!(
            "mirrors:\n  docker.io:\n    endpoint: [\"https://m.test\"]\nconfigs:\n  m.test:\n    auth: {{username: {USER}, password: {PASSWORD}}}\n"
        ),
    );
    write(
        "var/lib/kubelet/config.json",
        format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"{encoded}\"}}}}}}"),
    );
    root
}

const BY_DIRECTORY: &str = "config_path = \"/etc/containerd/certs.d\"";

#[test]
fn no_output_of_any_command_holds_a_secret() {
    let registry = guarded();
    let root = full_of_secrets(&registry, BY_DIRECTORY);
    let by_mirrors = format!(
        "mirrors.\"old.test\".endpoint = [\"https://{USER}:{PASSWORD}@m.test\", \"https://{USER}:{PASSWORD}@m.test:bad\"]"
    );
    let old = full_of_secrets(&registry, &by_mirrors);
    let old = old.path().to_str().unwrap();
    let node = criscope::fake::demo().unwrap();
    let tree = root.path().to_str().unwrap();
    let direct = format!("{}/lab/app:1", registry.host());
    let authfile = root.path().join("var/lib/kubelet/config.json");
    let given = format!("{USER}:{PASSWORD}");
    let mut seen = 0;
    let mut run_on = |tree: &str, arguments: &[&str], stdin: &str| {
        for runtime in ["containerd@1.7.34", "containerd@2.1.9"] {
            let more = ["--host-root", tree, "--as", runtime, "--debug"];
            let arguments = arguments.iter().copied().chain(more);
            let outcome = criscope(arguments).on(&node).stdin(stdin).outcome();
            assert_no_canary(&outcome);
            seen += 1;
        }
    };
    for format in ["text", "json", "yaml", "ndjson"] {
        run_on(
            old,
            &["registry", "route", "old.test/a:1", "-o", format],
            "",
        );
        run_on(
            old,
            &["registry", "convert", "--from", "containerd", "-o", format],
            "",
        );
    }
    run_on(old, &["registry", "lint"], "");
    run_on(old, &["registry", "lint", "--diff"], "");
    run_on(
        old,
        &["registry", "convert", "--from", "containerd", "--diff"],
        "",
    );
    let mut run = |arguments: &[&str], stdin: &str| run_on(tree, arguments, stdin);
    for format in ["text", "json", "yaml", "ndjson"] {
        run(
            &[
                "registry",
                "route",
                "reg.test/lab/app:1",
                "old.test/a:1",
                "-o",
                format,
            ],
            "",
        );
        run(
            &[
                "registry",
                "probe",
                &direct,
                "reg.test/lab/app:1",
                "-o",
                format,
            ],
            "",
        );
        for from in ["docker", "k3s"] {
            run(&["registry", "convert", "--from", from, "-o", format], "");
        }
        run(
            &["test-pull", &direct, "--creds-stdin", "-o", format],
            &given,
        );
        run(&["test-pull", &direct, "--as-kubelet", "-o", format], "");
        run(
            &[
                "test-pull",
                &direct,
                "--authfile",
                authfile.to_str().unwrap(),
                "-o",
                format,
            ],
            "",
        );
    }
    for format in ["text", "json"] {
        run(&["registry", "lint", "-o", format], "");
    }
    for from in ["docker", "k3s"] {
        run(&["registry", "convert", "--from", from, "--diff"], "");
    }
    run(&["registry", "lint", "--diff"], "");
    assert!(seen > 50);
    assert!(logins(&registry) > 0, "nobody has logged in");
}
