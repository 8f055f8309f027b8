//! Programs that configured runtime handlers start, as far as the files name them.

use std::collections::BTreeSet;

use crate::facts::cri::ConfiguredHandler;
use crate::registry::tree::Tree;

/// The names and paths of programs in files of containerd and CRI-O. Whatever has the right key counts, whether or not a
/// daemon would read it: looking for one program too many costs nothing.
pub(super) fn programs(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, _) in tree.iter() {
        let name = path.to_string_lossy();
        if !(name.ends_with(".toml") || name.contains("/crio.conf")) {
            continue;
        }
        for line in tree.text(path).into_iter().flat_map(str::lines) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let Some(value) = value
                .split(['"', '\''])
                .nth(1)
                .filter(|value| !value.is_empty())
            else {
                continue;
            };
            match key.trim() {
                "BinaryName" | "runtime_path" | "monitor_path" => {
                    found.insert(value.to_owned());
                }
                "runtime_type" => {
                    let handler = ConfiguredHandler {
                        kind: value.to_owned(),
                        ..ConfiguredHandler::default()
                    };
                    found.extend(handler.shim());
                    if value.contains(".runsc.") {
                        found.insert("runsc".to_owned());
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_and_binaries_are_found() {
        let mut tree = Tree::new();
        tree.add_text(
            "/etc/containerd/config.toml",
            "runtime_type = \"io.containerd.kata.v2\"\n  BinaryName = '/opt/bin/crun' # x\nruntime_type = \"io.containerd.runsc.v1\"\n",
        );
        tree.add_text("/etc/other", "BinaryName = \"no\"\n");
        let found: Vec<String> = programs(&tree).into_iter().collect();
        assert_eq!(
            found,
            [
                "/opt/bin/crun",
                "containerd-shim-kata-v2",
                "containerd-shim-runsc-v1",
                "runsc"
            ]
        );
    }
}
