//! What containerd's files say beside what the running daemon says that it does.
//!
//! The daemon tells the configuration of its CRI plugin in the verbose information of `Status`: all of it up to 1.7, the
//! runtime half from 2.0 on. Its keys are those of the file in another spelling (`bin_dir` is `binDir`), so the two are
//! compared key by key, without a list of keys. What it does not tell is counted, not guessed.

use serde_json::Value;

use crate::facts::files::without_secrets;
use crate::registry::containerd::{CRI, CRI_IMAGES, CRI_RUNTIME, Config};
use crate::registry::node::{Entry, Node, Table, Value as Written};
use crate::registry::text::Place;

/// A key that the daemon has otherwise than the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// The key, as in `containerd.runtimes.runc.options.SystemdCgroup`.
    pub key: String,
    /// Where it is written.
    pub place: Place,
    /// What is written.
    pub written: String,
    /// What the daemon has.
    pub told: String,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Comparison {
    /// What is otherwise.
    pub differences: Vec<Difference>,
    /// How many keys are alike.
    pub alike: usize,
    /// Keys of the CRI plugin that the daemon does not tell.
    pub untold: Vec<String>,
}

/// Keys that the daemon itself turns into others when it starts.
const TURNED: &[&str] = &[
    "default_runtime",
    "untrusted_workload_runtime",
    "systemd_cgroup",
    "runtime_engine",
    "runtime_root",
];

/// Keys with secrets below them.
const SECRET: &[&str] = &["auths", "configs", "headers"];

/// Tables whose keys are names that people choose, or that the daemon keeps as they are.
const NAMED: &[&str] = &["runtimes", "mirrors", "options"];

/// The tables of the CRI plugin that are in force, the first of which counts.
pub(in crate::check) fn tables(config: &Config) -> Vec<&Table> {
    let old = config.table != CRI_IMAGES;
    // From 2.0 on a table of version 2 is read where the files are of version 2.
    let migrated = || {
        let versions = config.files.iter();
        let highest = versions
            .filter_map(|file| Some(file.version.as_ref()?.value))
            .max();
        highest.unwrap_or(0) <= 2
    };
    let names: &[&str] = if old {
        &[config.table]
    } else if migrated() {
        &[CRI_RUNTIME, CRI]
    } else {
        &[CRI_RUNTIME]
    };
    names
        .iter()
        .filter_map(|name| config.plugins.table(name))
        .collect()
}

/// An entry of the CRI plugin's table, by its keys.
pub(in crate::check) fn entry<'c>(config: &'c Config, keys: &[&str]) -> Option<&'c Entry> {
    let (last, above) = keys.split_last()?;
    let found = tables(config).into_iter();
    found
        .filter_map(|table| table.descend(above)?.entry(last))
        .next()
}

/// Compares what is written for the CRI plugin with what the daemon tells.
pub(super) fn compare(config: &Config, told: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    for table in tables(config) {
        level(&mut comparison, table, told, "", false);
    }
    if config.table == CRI_IMAGES
        && let Some(images) = config.plugins.table(CRI_IMAGES)
    {
        leaves(images, "", &mut comparison.untold);
    }
    comparison
}

fn level(found: &mut Comparison, table: &Table, told: &Value, path: &str, named: bool) {
    for (key, entry) in table.in_order() {
        let path = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        if TURNED.contains(&key) {
            continue;
        }
        if SECRET.contains(&key) {
            leaf(&entry.node, &path, &mut found.untold);
            continue;
        }
        match (value(told, key, named), &entry.node.value) {
            (None | Some(Value::Null), Written::Table(below)) if !named => {
                leaves(below, &path, &mut found.untold);
            }
            (None | Some(Value::Null), _) if named => found.differences.push(Difference {
                key: path,
                place: entry.key.clone(),
                written: shown(&entry.node),
                told: "nothing".to_owned(),
            }),
            (None, _) => found.untold.push(path),
            (Some(told), Written::Table(below)) => {
                level(found, below, told, &path, NAMED.contains(&key));
            }
            (Some(told), _) if alike(&entry.node, told) || moved(key, &entry.node, told) => {
                found.alike += 1;
            }
            (Some(told), _) => found.differences.push(Difference {
                key: path,
                place: entry.key.clone(),
                written: shown(&entry.node),
                told: without_secrets(&told.to_string()).into_owned(),
            }),
        }
    }
}

/// From 2.1 on one directory for programs of networks becomes a list of one.
fn moved(key: &str, node: &Node, told: &Value) -> bool {
    key == "bin_dir" && node.str().is_some() && told.as_str() == Some("")
}

/// A value under a key in the daemon's spelling.
fn value<'v>(told: &'v Value, key: &str, exactly: bool) -> Option<&'v Value> {
    let told = told.as_object()?;
    if let Some(value) = told.get(key) {
        return Some(value);
    }
    let plain = |key: &str| -> String {
        let letters = key.chars().filter(|c| *c != '_');
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(key);
    let found = told.iter().find(|(name, _)| plain(name) == wanted);
    found.filter(|_| !exactly).map(|(_, value)| value)
}

fn alike(node: &Node, told: &Value) -> bool {
    match (&node.value, told) {
        (Written::String(written), Value::String(told)) => {
            let path = |text: &str| text.trim_end_matches('/').to_owned();
            path(written) == path(told) || is_duration(written) && is_duration(told)
        }
        (Written::String(written), Value::Number(told)) => told.to_string() == *written,
        (Written::String(written), Value::Null) => written.is_empty(),
        (Written::Integer(written), Value::String(told)) => {
            written.to_string() == *told || is_duration(told)
        }
        (Written::Integer(written), told) => told.as_i64() == Some(*written),
        (Written::Bool(written), told) => told.as_bool() == Some(*written),
        (Written::Array(written), Value::Array(told)) => {
            written.len() == told.len()
                && written
                    .iter()
                    .zip(told)
                    .all(|(node, told)| alike(node, told))
        }
        (Written::Array(written), Value::Null) => written.is_empty(),
        // What cannot be compared is not said to differ.
        _ => true,
    }
}

/// `4h`, `1m0s`: one time may be written in several ways.
fn is_duration(text: &str) -> bool {
    let ends = ["h", "m", "s"].iter().any(|unit| text.ends_with(unit));
    ends && text.starts_with(|c: char| c.is_ascii_digit())
}

fn leaves(table: &Table, path: &str, into: &mut Vec<String>) {
    for (key, entry) in table.in_order() {
        let path = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        leaf(&entry.node, &path, into);
    }
}

fn leaf(node: &Node, path: &str, into: &mut Vec<String>) {
    match node.table() {
        Some(table) => leaves(table, path, into),
        None => into.push(path.to_owned()),
    }
}

/// A written value in few words.
fn shown(node: &Node) -> String {
    let text = match &node.value {
        Written::String(text) => format!("\"{text}\""),
        Written::Integer(number) => number.to_string(),
        Written::Bool(value) => value.to_string(),
        Written::Array(nodes) => {
            let all: Vec<String> = nodes.iter().map(shown).collect();
            format!("[{}]", all.join(", "))
        }
        other => other.kind().to_owned(),
    };
    without_secrets(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Declared;
    use crate::registry::tree::Tree;

    fn compared(text: &str, runtime: &str, told: &Value) -> Comparison {
        let mut tree = Tree::new();
        tree.add_text("/etc/containerd/config.toml", text);
        let config = Declared::new(tree).containerd(&runtime.parse().unwrap());
        compare(&config, told)
    }

    fn told() -> Value {
        json!({
            "cni": {"binDir": "", "binDirs": ["/usr/lib/cni"], "confDir": "/etc/cni/net.d"},
            "containerd": {
                "defaultRuntimeName": "runc",
                "runtimes": {"runc": {"runtimeType": "io.containerd.runc.v2", "options": {"SystemdCgroup": false}}},
            },
            "restrictOOMScoreAdj": true,
            "sandboxImage": "registry.k8s.io/pause:3.6",
            "streamIdleTimeout": "4h0m0s",
        })
    }

    #[test]
    fn spelling_is_no_difference() {
        let text = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n\
                    restrict_oom_score_adj = true\nstream_idle_timeout = \"4h\"\n\
                    [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = \"/etc/cni/net.d/\"\n\
                    [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth]\npassword = \"p\"\n";
        let found = compared(text, "containerd@1.7.28", &told());
        assert_eq!((found.differences.len(), found.alike), (0, 4), "{found:?}");
        assert_eq!(found.untold, ["registry.configs.r.auth.password"]);
    }

    #[test]
    fn differences_have_a_key_and_a_line() {
        let text = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"x\"\n\
                    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n\
                    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\nruntime_type = \"io.containerd.kata.v2\"\n";
        let found = compared(text, "containerd@1.7.28", &told());
        let keys: Vec<(&str, usize)> = found
            .differences
            .iter()
            .map(|difference| (difference.key.as_str(), difference.place.line))
            .collect();
        assert_eq!(
            keys,
            [
                ("sandbox_image", 3),
                ("containerd.runtimes.runc.options.SystemdCgroup", 5),
                ("containerd.runtimes.kata", 6),
            ]
        );
        assert_eq!(found.differences[1].told, "false");
    }

    #[test]
    fn the_image_half_is_not_told_from_2_0_on() {
        let text = "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".cni]\nbin_dirs = [\"/opt/cni/bin\"]\n\
                    [plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"x\"\n";
        let found = compared(text, "containerd@2.1.9", &told());
        assert_eq!(found.differences[0].key, "cni.bin_dirs");
        assert_eq!(found.untold, ["pinned_images.sandbox"]);
    }
}
