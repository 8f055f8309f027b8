//! Configurations whose endpoint order was observed with real daemons: `tests/fixtures/registry/CASE/`, each with an
//! `expected.md` that says which version contacted which URLs in which order (every endpoint answering 404).

mod containerd;
mod crio;
mod docker;
mod lint;

use std::fs;
use std::path::{Path, PathBuf};

use super::declared::Declared;
use super::plan::{Phase, Route, route};
use super::tree::Tree;
use super::version::RuntimeId;

/// One observation: an image, the main file, the daemons, and what they contacted.
struct Observation {
    image: String,
    file: Option<String>,
    runtimes: Vec<RuntimeId>,
    urls: Vec<String>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/registry")
}

/// Where a file of a case lies on a node.
fn node_path(relative: &str, main: &str) -> Option<PathBuf> {
    let place = |directory: &str, rest: &str| Some(Path::new(directory).join(rest));
    if relative == main {
        return Some("/etc/containerd/config.toml".into());
    }
    match relative.split_once('/') {
        Some(("certs.d", _) | ("conf.d", _)) => place("/etc/containerd", relative),
        Some(("registries.conf.d", _)) => place("/etc/containers", relative),
        Some(_) => None,
        None => match relative {
            "registries.conf" => place("/etc/containers", relative),
            "daemon.json" => place("/etc/docker", relative),
            _ => None,
        },
    }
}

/// The tree of a case, with `main` as containerd's config.toml.
pub(super) fn tree_of(case: &Path, main: &str) -> Tree {
    let mut tree = Tree::new();
    tree.insert("/", super::tree::Entry::Directory { names: Vec::new() });
    let mut pending = vec![case.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if let Some(target) =
                node_path(path.strip_prefix(case).unwrap().to_str().unwrap(), main)
            {
                tree.add_text(target, fs::read_to_string(&path).unwrap());
            }
        }
    }
    tree
}

/// A tree from a few texts.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    tree.insert("/", super::tree::Entry::Directory { names: Vec::new() });
    for (path, text) in files {
        tree.add_text(*path, *text);
    }
    tree
}

fn runtime(text: &str) -> RuntimeId {
    text.trim()
        .replace("CRI-O", "crio")
        .replace(' ', "@")
        .parse()
        .unwrap()
}

fn observations(markdown: &str) -> Vec<Observation> {
    let mut found = Vec::new();
    for block in markdown.split("```").skip(1).step_by(2) {
        let mut seen = Observation {
            image: String::new(),
            file: None,
            runtimes: Vec::new(),
            urls: Vec::new(),
        };
        for line in block.lines() {
            if let Some(image) = line.strip_prefix("ref:") {
                seen.image = image.trim().to_owned();
            } else if let Some(file) = line.strip_prefix("file:") {
                seen.file = Some(file.trim().to_owned());
            } else if let Some(runtimes) = line.strip_prefix("runtime:") {
                seen.runtimes = runtimes.split(',').map(runtime).collect();
            } else if line.starts_with(|c: char| c.is_ascii_digit()) {
                seen.urls
                    .push(line.split_whitespace().nth(1).unwrap().to_owned());
            }
        }
        assert!(
            !seen.image.is_empty() && !seen.runtimes.is_empty(),
            "an observation names image and runtime: {block}"
        );
        found.push(seen);
    }
    found
}

/// The URLs of a route that a daemon contacts when everything answers 404: it never gets to fetching.
pub(super) fn contacted(route: &Route) -> Vec<&str> {
    let resolving = route
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.phases.contains(&Phase::Resolve));
    resolving.map(|endpoint| endpoint.url.as_str()).collect()
}

#[test]
fn routes_equal_what_real_daemons_contacted() {
    let mut checked = 0;
    let mut cases: Vec<_> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    for case in cases {
        let markdown = fs::read_to_string(case.join("expected.md")).unwrap();
        for seen in observations(&markdown) {
            let declared = Declared::new(tree_of(
                &case,
                seen.file.as_deref().unwrap_or("config.toml"),
            ));
            for runtime in &seen.runtimes {
                let planned = route(&declared, runtime, &seen.image.parse().unwrap());
                assert_eq!(
                    contacted(&planned),
                    seen.urls,
                    "{} {} {runtime}: {planned:#?}",
                    case.display(),
                    seen.image
                );
                assert_eq!(
                    planned.fatal.is_some(),
                    seen.urls.is_empty(),
                    "{} {runtime}",
                    case.display()
                );
                assert!(
                    planned.unread.is_empty(),
                    "{}: {:?}",
                    case.display(),
                    planned.unread
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 19, "only {checked} observations were found");
}
