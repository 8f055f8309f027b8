//! What files that were read lead to: configuration and environment of a kubelet that does not run, directories and
//! programs of networks. One round; what these lead to in turn is not followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::facts::kubelet::Settings;
use crate::facts::{Facts, Files};
use crate::registry::tree::Tree;

/// Directories with configurations of networks.
const NETWORKS: &[&str] = &[".conf", ".conflist", ".json"];
/// The usual directories with programs of networks.
const PROGRAMS: &[&str] = &["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

/// Files and directories that the files name; of directories with an ending, the files in them are meant too.
pub(super) fn named(tree: &Tree) -> Vec<(PathBuf, Option<&'static [&'static str]>)> {
    let mut found: Vec<(PathBuf, Option<&'static [&'static str]>)> = Vec::new();
    for (path, text) in texts(tree) {
        if path.to_string_lossy().contains("kubelet.service") {
            let files = crate::facts::kubelet::environment_files(text);
            found.extend(files.into_iter().map(|path| (path, None)));
        }
    }
    // The environment files just named may name the configuration, so flags are looked for in what is there already.
    let facts = Facts {
        files: Files {
            tree: tree.clone(),
            ..Files::default()
        },
        ..Facts::default()
    };
    if let Ok(settings) = Settings::of(&facts) {
        for flag in settings.flags() {
            let path = flag.value.as_deref().filter(|path| path.starts_with('/'));
            match (flag.name.as_str(), path) {
                ("--config", Some(path)) => found.push((path.into(), None)),
                ("--config-dir", Some(path)) => found.push((path.into(), Some(&[".conf"]))),
                _ => {}
            }
        }
    }
    found.push(("/etc/cni/net.d".into(), Some(NETWORKS)));
    found.extend(PROGRAMS.iter().map(|path| (PathBuf::from(path), None)));
    for (path, text) in texts(tree) {
        let name = path.to_string_lossy();
        if !(name.ends_with(".toml") || name.contains("/crio.conf")) {
            continue;
        }
        // What stands over several lines is one list: the strings up to its end belong to the key.
        let mut open = None;
        for line in text.lines() {
            let (key, value) = match (open, line.split_once('=')) {
                (Some(key), _) => (key, line),
                (None, Some(assignment)) => assignment,
                (None, None) => continue,
            };
            let ends = value.contains(']') || !(open.is_some() || value.contains('['));
            open = (!ends).then_some(key);
            let endings = match key.trim() {
                "conf_dir" | "network_dir" => Some(NETWORKS),
                "bin_dir" | "bin_dirs" | "plugin_dirs" => None,
                _ => continue,
            };
            let paths = value
                .split(['"', '\''])
                .filter(|path| path.starts_with('/') && !path.contains(".."));
            found.extend(paths.map(|path| (path.into(), endings)));
        }
    }
    found
}

/// Programs of the networks that are configured, in every directory that was listed.
pub(super) fn programs(tree: &Tree) -> BTreeSet<PathBuf> {
    let mut names: BTreeSet<&str> = BTreeSet::from(["loopback"]);
    let mut directories: BTreeSet<&Path> = PROGRAMS.iter().map(Path::new).collect();
    for (path, text) in texts(tree) {
        let file = path.to_string_lossy();
        if NETWORKS.iter().any(|ending| file.ends_with(ending)) && text.contains("\"type\"") {
            for part in text.split("\"type\"").skip(1) {
                let value = part.trim_start().strip_prefix(':').map(str::trim_start);
                let word = value
                    .and_then(|value| value.strip_prefix('"'))
                    .and_then(|value| value.split('"').next());
                names.extend(word.filter(|word| !word.contains('/')));
            }
        }
    }
    for (path, entry) in tree.iter() {
        if matches!(entry, crate::registry::tree::Entry::Directory { names } if names.iter().any(|name| name == "loopback" || name == "bridge"))
        {
            directories.insert(path);
        }
    }
    directories
        .iter()
        .flat_map(|directory| names.iter().map(|name| directory.join(name)))
        .filter(|path| tree.exists(path))
        .collect()
}

fn texts(tree: &Tree) -> impl Iterator<Item = (&Path, &str)> {
    tree.iter()
        .filter_map(|(path, _)| Some((path, tree.text(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_leads_to_its_configuration() {
        let mut tree = Tree::new();
        tree.add_text(
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "[Service]\nEnvironment=\"A=--config=/etc/k.yaml\"\nEnvironmentFile=-/etc/k.env\n",
        );
        tree.add_text(
            "/etc/containerd/config.toml",
            "[plugins.x.cni]\n  conf_dir = \"/etc/other\"\n  bin_dirs = [\"/a\",\n    \"/b\",\n  ]\n",
        );
        let paths: Vec<String> = named(&tree)
            .into_iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        for path in ["/etc/k.yaml", "/etc/k.env", "/etc/other", "/a", "/b"] {
            assert!(paths.iter().any(|found| found == path), "{path}: {paths:?}");
        }
    }

    #[test]
    fn a_network_leads_to_its_programs() {
        let mut tree = Tree::new();
        tree.add_text(
            "/etc/cni/net.d/a.conflist",
            "{\"plugins\": [{\"type\" : \"ptp\", \"ipam\": {\"type\":\"host-local\"}}, {\"type\": \"../x\"}]}",
        );
        for name in ["ptp", "host-local", "bridge"] {
            tree.add_text(format!("/opt/cni/bin/{name}"), "");
        }
        let found: Vec<String> = programs(&tree)
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(found, ["/opt/cni/bin/host-local", "/opt/cni/bin/ptp"]);
    }
}
