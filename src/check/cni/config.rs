//! The files of a runtime's network directory, read as libcni reads them.

use std::path::PathBuf;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome, told};
use crate::facts::Gap;
use crate::registry::RuntimeName;
use crate::registry::json;
use crate::registry::node::{Node, Table};
use crate::registry::text::Place;
use crate::registry::tree::Entry;

/// A plugin of a network.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    /// Its program.
    pub kind: String,
    /// The program that gives addresses.
    pub ipam: Option<String>,
    /// Networks from which addresses are given, as they are written.
    pub ranges: Vec<String>,
    /// The largest packet, where it is set.
    pub mtu: Option<i64>,
    /// The bridge that it makes or uses.
    pub bridge: Option<String>,
}

/// A file.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// Its path.
    pub path: PathBuf,
    /// The network's name.
    pub name: Option<String>,
    /// `cniVersion`, if it has one.
    pub version: Option<(String, Place)>,
    /// The plugins in their order.
    pub plugins: Vec<Plugin>,
    /// Why it is no configuration, and where.
    pub fault: Option<(String, Option<Place>)>,
}

/// The files of the directory that the runtime uses.
#[derive(Debug)]
pub(super) struct Configs {
    /// The directory.
    pub directory: String,
    /// The files in the order in which they are tried.
    pub all: Vec<Config>,
    /// The network that wins whatever the order.
    default: Option<String>,
    /// Whether files that are no configuration are passed over.
    lenient: bool,
}

/// Whether a runtime looks at a file of this name.
pub(super) fn counts(name: &str) -> bool {
    [".conf", ".conflist", ".json"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

impl Configs {
    /// Reads the files of the node.
    ///
    /// # Errors
    /// No runtime is there, or its directory was not read.
    pub fn of(case: &Case<'_>) -> Result<Self, Gap> {
        let runtime = case.runtime();
        if runtime.is_none() {
            return Err(Gap::Absent(
                "no runtime answers and none is configured".to_owned(),
            ));
        }
        let networks = told::networks(case);
        let directory = networks
            .configs
            .first()
            .cloned()
            .unwrap_or_else(|| "/etc/cni/net.d".to_owned());
        let mut names = case.files.names(&directory)?.to_vec();
        names.retain(|name| counts(name));
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let path = PathBuf::from(format!("{directory}/{name}"));
            let config = match case.files.tree.entry(&path) {
                Some(Entry::Text { text }) => read(path, text),
                Some(Entry::NotText { .. }) => broken(path, "it is no text"),
                // Gone between the list and the look.
                Some(Entry::Absent) => continue,
                Some(Entry::Unreadable { reason }) => {
                    return Err(Gap::Unknown(format!(
                        "`{}` cannot be read: {reason}",
                        path.display()
                    )));
                }
                _ => {
                    return Err(Gap::Unknown(format!(
                        "nobody looked at `{}`",
                        path.display()
                    )));
                }
            };
            all.push(config);
        }
        Ok(Self {
            directory,
            all,
            default: networks.default,
            lenient: runtime.is_some_and(|runtime| runtime.name != RuntimeName::Containerd),
        })
    }

    /// The file that is used.
    ///
    /// # Errors
    /// There is none.
    pub fn winner(&self) -> Result<&Config, Gap> {
        let named = self.default.as_ref().and_then(|name| {
            self.all
                .iter()
                .find(|config| config.name.as_ref() == Some(name))
        });
        let sound = || {
            self.all
                .iter()
                .find(|config| !self.lenient || config.fault.is_none())
        };
        named
            .or_else(sound)
            .or_else(|| self.all.first())
            .ok_or_else(|| Gap::Absent(format!("no network is configured in `{}`", self.directory)))
    }
}

impl Config {
    /// The name of the file.
    pub fn file(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Whose sample it is, if it is one that serves a single node only.
    pub fn sample(&self) -> Option<&'static str> {
        if !self.plugins.is_empty() && self.plugins.iter().all(|plugin| plugin.kind == "loopback") {
            return Some("the loopback network");
        }
        let name = self.name.as_deref().unwrap_or_default();
        let file = self.file();
        if name == "podman" || file.contains("podman") {
            Some("podman's network")
        } else if name == "crio" || file.contains("crio-bridge") || file.contains("crio-ipv4") {
            Some("CRI-O's sample")
        } else if name == "containerd-net" || file.contains("containerd-net") {
            Some("containerd's sample")
        } else if file.starts_with("nerdctl-") {
            Some("nerdctl's network")
        } else {
            None
        }
    }
}

fn broken(path: PathBuf, why: &str) -> Config {
    Config {
        path,
        name: None,
        version: None,
        plugins: Vec::new(),
        fault: Some((why.to_owned(), None)),
    }
}

fn read(path: PathBuf, text: &str) -> Config {
    let list = path
        .extension()
        .is_some_and(|extension| extension == "conflist");
    let node = match json::parse(&path, text) {
        Ok(node) => node,
        Err(error) => {
            let mut config = broken(path, &format!("it is no JSON: {}", error.message));
            if let Some(fault) = &mut config.fault {
                fault.1 = Some(error.place);
            }
            return config;
        }
    };
    let Some(root) = node.table() else {
        return broken(path, "it is no JSON object");
    };
    let text = |key: &str| root.node(key).and_then(Node::str).map(str::to_owned);
    let mut config = Config {
        name: text("name").filter(|name| !name.is_empty()),
        version: root
            .node("cniVersion")
            .and_then(|node| Some((node.str()?.to_owned(), node.place.clone())))
            .filter(|(version, _)| !version.is_empty()),
        plugins: Vec::new(),
        fault: None,
        path,
    };
    let mut fault = |why: &str, place: Option<Place>| {
        config.fault.get_or_insert((why.to_owned(), place));
    };
    let tables: Vec<&Table> = if list {
        match root.node("plugins") {
            Some(node) => match node.array() {
                Some([]) => {
                    fault("its list of plugins is empty", Some(node.place.clone()));
                    Vec::new()
                }
                Some(nodes) => nodes.iter().filter_map(Node::table).collect(),
                None => {
                    fault("`plugins` is no list", Some(node.place.clone()));
                    Vec::new()
                }
            },
            None => {
                fault("it has no `plugins`", None);
                Vec::new()
            }
        }
    } else {
        vec![root]
    };
    if root
        .node("name")
        .and_then(Node::str)
        .is_none_or(str::is_empty)
    {
        fault("it has no `name`", None);
    }
    for table in &tables {
        if table
            .node("type")
            .and_then(Node::str)
            .is_none_or(str::is_empty)
        {
            let place = table.in_order().first().map(|(_, entry)| entry.key.clone());
            fault("a plugin has no `type`", place);
        }
    }
    config.plugins = tables.into_iter().filter_map(plugin).collect();
    config
}

fn plugin(table: &Table) -> Option<Plugin> {
    let ipam = table.table("ipam");
    let mut ranges = Vec::new();
    if let Some(ipam) = ipam {
        let subnet = |table: &Table| table.node("subnet")?.str().map(str::to_owned);
        ranges.extend(subnet(ipam));
        let sets = ipam
            .node("ranges")
            .and_then(Node::array)
            .unwrap_or_default();
        for set in sets.iter().filter_map(Node::array) {
            ranges.extend(set.iter().filter_map(Node::table).filter_map(subnet));
        }
    }
    Some(Plugin {
        kind: table.node("type")?.str()?.to_owned(),
        ipam: ipam
            .and_then(|ipam| ipam.node("type")?.str())
            .map(str::to_owned),
        ranges,
        mtu: table
            .node("mtu")
            .and_then(Node::integer)
            .filter(|mtu| *mtu > 0),
        bridge: table
            .node("bridge")
            .and_then(Node::str)
            .map(str::to_owned)
            .or_else(|| (table.node("type")?.str()? == "bridge").then(|| "cni0".to_owned())),
    })
}

/// The newest version of the specification that a runtime knows.
fn newest(case: &Case<'_>) -> Option<(u32, u32)> {
    let runtime = case.runtime()?;
    (runtime.name == RuntimeName::Containerd).then(|| {
        match (runtime.version.major(), runtime.version.minor()) {
            (0, _) | (1, ..6) => (0, 4),
            (1, _) => (1, 0),
            _ => (1, 1),
        }
    })
}

/// Judges the files that are used.
pub(super) fn parse(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let winner = configs.winner()?;
    let mut problems = Vec::new();
    for config in &configs.all {
        let used = config.path == winner.path;
        let whole = || crate::facts::Source::file(config.path.display());
        if let Some((why, place)) = &config.fault {
            if !used && !configs.lenient {
                continue;
            }
            let text = format!("`{}` is no network configuration: {why}", config.file());
            let note = if used {
                Note::fail(text)
            } else {
                Note::warn(format!("{text}; it is passed over"))
            };
            problems.push(
                note.subject(config.path.display()).at(place
                    .as_ref()
                    .map_or_else(whole, |place| case.files.at(place))),
            );
            continue;
        }
        if !used {
            continue;
        }
        let Some((version, place)) = &config.version else {
            problems.push(
                Note::warn(format!(
                    "`{}` has no `cniVersion`, which means the oldest one",
                    config.file()
                ))
                .subject(config.path.display())
                .expected("\"cniVersion\": \"0.4.0\" or newer")
                .at(whole())
                .remedy("add `\"cniVersion\": \"0.4.0\"` to the file"),
            );
            continue;
        };
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next().flatten(), parts.next().flatten());
        let (Some(major), Some(minor)) = (major, minor) else {
            problems.push(
                Note::fail(format!("`{version}` is no version of CNI"))
                    .subject(config.path.display())
                    .at(case.files.at(place)),
            );
            continue;
        };
        if let Some(newest) = newest(case).filter(|newest| (major, minor) > *newest) {
            problems.push(
                Note::fail(format!(
                    "this containerd knows CNI up to {}.{}.0, `{}` asks for {version}",
                    newest.0,
                    newest.1,
                    config.file()
                ))
                .subject(config.path.display())
                .measured(version.clone())
                .expected(format!("{}.{}.0 or older", newest.0, newest.1))
                .at(case.files.at(place))
                .remedy("write the version that containerd knows, or upgrade containerd"),
            );
        }
    }
    let text = format!(
        "`{}` is sound: {}",
        winner.file(),
        winner
            .plugins
            .iter()
            .map(|plugin| plugin.kind.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Outcome::of(problems, text).into()
}
