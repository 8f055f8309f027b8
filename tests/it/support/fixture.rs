//! The configurations below `tests/fixtures/registry`, laid out as the files of a node.

use std::fs;
use std::path::{Path, PathBuf};

/// A temporary node whose files are those of a case, with `main` as containerd's config.toml.
pub fn node_of(case: &str, main: &str) -> tempfile::TempDir {
    let node = tempfile::tempdir().expect("a temporary directory");
    let from = cases().join(case);
    let mut pending = vec![from.clone()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("the case can be listed") {
            let path = entry.expect("the case can be listed").path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let relative = path.strip_prefix(&from).expect("below the case");
            if let Some(place) = place(relative, main) {
                write(
                    node.path(),
                    &place,
                    &fs::read_to_string(&path).expect("text"),
                );
            }
        }
    }
    node
}

/// Writes a file of a node.
pub fn write(node: &Path, place: &str, text: &str) {
    let path = node.join(place);
    fs::create_dir_all(path.parent().expect("files lie in directories")).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// The directory of all cases.
pub fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/registry")
}

fn place(relative: &Path, main: &str) -> Option<String> {
    let relative = relative.to_str().expect("a plain name");
    if relative == main {
        return Some("etc/containerd/config.toml".to_owned());
    }
    let top = relative.split('/').next().unwrap_or(relative);
    match top {
        "certs.d" | "conf.d" => Some(format!("etc/containerd/{relative}")),
        "registries.conf" | "registries.conf.d" => Some(format!("etc/containers/{relative}")),
        "daemon.json" => Some(format!("etc/docker/{relative}")),
        _ => None,
    }
}
