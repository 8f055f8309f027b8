//! Whatever a runtime, a file or a registry says: a terminal gets no control character from it, in no format.

use std::fmt::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use criscope::fake::{Node, Rewrite, Rule};

use super::commands;
use crate::support::small;

/// What stands in the place of harmless words, which are as long: a mark that turns text round, a title, a movement, an
/// isolate, a C1 control in UTF-8 with a carriage return, bytes that are none.
const PLANTED: &[(&str, &[u8])] = &[
    ("web", "\u{202e}".as_bytes()),
    ("default", b"\x1b]0;ab\x07"),
    ("Error", b"\x1b[2J\r"),
    ("job", "\u{2067}".as_bytes()),
    ("reg", b"\xc2\x9b\r"),
    ("proxy", b"\xff\xfe\x9b2J"),
    ("stable", b"\x1b[31m\x08"),
    ("overlayfs", b"\x1b[?1049h\n"),
];

/// A node that says this in all its answers.
fn node() -> Node {
    let node = small::node();
    let changes: Vec<_> = PLANTED
        .iter()
        .map(|(word, bytes)| {
            assert_eq!(word.len(), bytes.len(), "{word}");
            Rewrite::replace(word, bytes)
        })
        .collect();
    node.rule(Rule::on("*").rewrite(move |message| {
        changes
            .iter()
            .fold(message.to_vec(), |message, change| change(&message))
    }));
    node
}

/// Runs a line in a terminal of its own; what the terminal got.
fn seen(line: &str, node: &Node) -> Vec<u8> {
    let output = Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TERM", "xterm")
        .env("CRI_CONFIG_FILE", "/dev/null")
        .env("CONTAINER_RUNTIME_ENDPOINT", node.endpoint())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("script(1) is there");
    output.stdout
}

/// What acts on a terminal in it, apart from colours and what our own progress line does.
fn acting(bytes: &[u8]) -> Option<String> {
    let mut text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    if let Some(at) = text.find("\u{9b}") {
        return Some(text[at..].chars().take(20).collect());
    }
    for ours in ["\x1b[2K", "\x1b[1A", "\x1b[H\x1b[2J"] {
        text = text.replace(ours, "");
    }
    let mut rest = &*text;
    while let Some(at) = rest.find(|c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }) {
        rest = &rest[at..];
        let colour = rest.strip_prefix("\x1b[").and_then(|parameters| {
            let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';'))?;
            parameters[end..].strip_prefix('m')
        });
        match colour {
            Some(after) => rest = after,
            // The progress line begins again.
            None if rest.starts_with("\r") && rest[1..].starts_with(['\x1b', '⠁', '⠋']) => {
                rest = &rest[1..];
            }
            None => return Some(rest.chars().take(40).collect()),
        }
    }
    None
}

/// A tree of files that say it, too.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let odd = "a\u{202e}b\u{9b}2J\x1b[2J\x07";
    write(
        "etc/containerd/config.toml",
        "version = 2\nimports = [\"/etc/\u{202e}x.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\nunknown_\\u202e = 1\n\"k\\u202e\\u001b[2J\" = 1\n",
    );
    write(
        "etc/containerd/certs.d/reg.example.com/hosts.toml",
        &format!("server = \"https://{odd}\"\n"),
    );
    write(
        "etc/containerd/certs.d/docker.io/hosts.toml",
        "server = \"https://a\\u202e\\u001b[2Jb\"\n[host.\"https://\\u009b2J\"]\n  capabilities = [\"\\u202e\"]\n",
    );
    write(
        "etc/containers/registries.conf",
        "[[registry]]\nlocation = \"a\\u202eb\"\nprefix = \"\\u001b[2J\"\n",
    );
    write(
        "etc/docker/daemon.json",
        "{\"registry-mirrors\": [\"https://a\\u202eb\\u001b[2J\"], \"k\\u202e\": 1}",
    );
    write(
        "var/lib/kubelet/config.yaml",
        "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: \"unix:///a\\u202e\\e[2J\"\n",
    );
    write("etc/hostname", "a\u{202e}b\x1b[2J\n");
    root
}

#[test]
fn a_terminal_is_not_acted_on() {
    let node = node();
    let root = tree();
    let container = small::container(&node, "web-1", "web");
    let pod = small::pod(&node, "web-1");
    let scratch = tempfile::tempdir().unwrap();
    let mut all: Vec<String> = Vec::new();
    let root = root.path().display();
    let more = [
        format!("inspect {container}"),
        format!("inspectp {pod}"),
        format!("inspecti {}", small::WEB),
        format!("why {container}"),
        format!("exec -s {container} true"),
        format!("stop --dry-run {container}"),
        "inspect web".to_owned(),
        format!("doctor --all --host-root {root}"),
        format!("preflight --to containerd@2.1.4 --host-root {root} --all"),
        format!("registry lint --host-root {root}"),
        format!("registry route {} nginx:1 --host-root {root}", small::WEB),
        format!("registry convert --host-root {root}"),
        format!("where nginx:1 --host-root {root}"),
        format!("endpoints --host-root {root}"),
        "ps -v".to_owned(),
        "pods -v".to_owned(),
        "images -v".to_owned(),
        "ps -o go-template --template '{{.}}'".to_owned(),
        "images -o go-template --template '{{range .images}}{{.repoTags}}{{end}}'".to_owned(),
        format!("inspect -o go-template --template '{{{{.status}}}}' {container}"),
    ];
    let criscope = env!("CARGO_BIN_EXE_criscope");
    for line in commands::lines() {
        if line.goes_on() || ["exec", "attach", "demo"].contains(&line.name().as_str()) {
            continue;
        }
        let words: Vec<String> = line
            .words(scratch.path())
            .iter()
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let words = words.join(" ");
        all.push(words.clone());
        all.push(format!("--debug {words}"));
        for format in line.flag("output").unwrap_or_default() {
            all.push(format!("{words} -o {format}"));
        }
        for line in more.iter().filter(|it| it.starts_with(&line.name())) {
            all.push(line.clone());
        }
        for format in line.flag("output").unwrap_or_default() {
            let same = |it: &&String| it.starts_with(&format!("{} ", line.name()));
            for line in more.iter().filter(same).filter(|it| !it.contains(" -o ")) {
                all.push(format!("{line} -o {format}"));
            }
        }
    }
    let (work, wrong) = (Mutex::new(all), Mutex::new(String::new()));
    let escaped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(line) = work.lock().unwrap().pop() else {
                        return;
                    };
                    let bytes = seen(&format!("{criscope} -t 1s {line}"), &node);
                    escaped.fetch_or(bytes.windows(6).any(|it| it == br"\u202e"), Relaxed);
                    if let Some(found) = acting(&bytes) {
                        writeln!(wrong.lock().unwrap(), "{line}: {found:?}").unwrap();
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
    // What was planted was there to be seen.
    assert!(escaped.load(Relaxed));
}
