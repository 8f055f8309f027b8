//! What the runtime is set to: told by the running daemon where it tells, else by the files that it would start with.

use serde_json::Value;

use super::Case;
use crate::facts::cri::{self, CgroupDriver};
use crate::facts::{Gap, Source};
use crate::registry::RuntimeName;
use crate::registry::containerd::{CRI, CRI_RUNTIME, Config};
use crate::registry::document::Document;
use crate::registry::node::{Node, Table};
use crate::registry::text::Place;
use crate::registry::tree::Entry;

/// A cgroup driver and who says that it is in force.
#[derive(Debug, Clone)]
pub(super) struct Driver {
    /// The driver.
    pub driver: CgroupDriver,
    /// Who says so.
    pub source: Source,
    /// Where it is written in a file, if it is.
    pub place: Option<Place>,
    /// Whether the kubelet can ask for it, and so needs no setting of its own.
    pub asked: bool,
}

/// A runtime handler of runc's kind and its driver.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: CgroupDriver,
    /// Whether it is what pods get that name none.
    pub is_default: bool,
    /// Where it is written, if it is.
    pub place: Option<Place>,
}

/// Where pod networks are configured.
#[derive(Debug, Clone)]
pub(super) struct Networks {
    /// Directories with configurations, the first that exists counts.
    pub configs: Vec<String>,
    /// Directories with programs.
    pub programs: Vec<String>,
    /// How many configurations are used; 0 is all.
    pub most: u64,
    /// The network that is used whatever the order, on CRI-O.
    pub default: Option<String>,
    /// Whether the daemon or a file says so; otherwise these are the usual places.
    pub told: bool,
}

/// containerd's configuration as a start would read it, its defaults where no file is there; none where the runtime is
/// another one or nobody looked.
pub(super) fn containerd(case: &Case<'_>) -> Option<Config> {
    let runtime = case
        .runtime()
        .filter(|runtime| runtime.name == RuntimeName::Containerd)?;
    match case.files.tree.entry(&case.files.containerd_config)? {
        Entry::Text { .. } | Entry::Absent => Some(case.declared().containerd(runtime)),
        _ => None,
    }
}

/// The table of containerd's CRI plugin that holds what is not about images.
fn cri_table(config: &Config) -> Option<&Table> {
    config
        .plugins
        .table(CRI_RUNTIME)
        .or_else(|| config.plugins.table(CRI))
}

/// A key of CRI-O's configuration; the last file that has it wins.
pub(super) fn crio(case: &Case<'_>, table: &str, key: &str) -> Option<Node> {
    let mut paths = vec![std::path::PathBuf::from("/etc/crio/crio.conf")];
    let directory = "/etc/crio/crio.conf.d";
    let names = case.files.names(directory).unwrap_or_default();
    paths.extend(
        names
            .iter()
            .map(|name| std::path::Path::new(directory).join(name)),
    );
    let mut found = None;
    for path in paths {
        let Some(text) = case.files.tree.text(&path) else {
            continue;
        };
        let document = Document::parse(&path, text);
        let node = document
            .root
            .descend(&["crio", table])
            .and_then(|table| table.node(key));
        if let Some(node) = node {
            found = Some(node.clone());
        }
    }
    found
}

/// The handlers that make control groups as runc does, with the driver of each.
///
/// # Errors
/// The node has no runtime that tells or is configured.
pub(super) fn handlers(case: &Case<'_>) -> Result<Vec<Handler>, Gap> {
    let driver = |systemd: bool| {
        if systemd {
            CgroupDriver::Systemd
        } else {
            CgroupDriver::Cgroupfs
        }
    };
    let config = containerd(case);
    let runtimes = config
        .as_ref()
        .and_then(cri_table)
        .and_then(|table| table.descend(&["containerd", "runtimes"]));
    let written = |name: &str| {
        let options = runtimes?.descend(&[name, "options"])?;
        Some(options.entry("SystemdCgroup")?.key.clone())
    };
    let told: Vec<Handler> = cri::handlers(case.cri.status.value())
        .into_iter()
        .filter(|handler| handler.kind.starts_with("io.containerd.runc."))
        .map(|handler| Handler {
            driver: driver(handler.systemd_cgroup.unwrap_or(false)),
            is_default: handler.is_default,
            place: written(&handler.name),
            name: handler.name,
        })
        .collect();
    if !told.is_empty() {
        return Ok(told);
    }
    let Some(config) = &config else {
        return Err(match case.runtime() {
            None => Gap::Absent("no runtime answers and none is configured".to_owned()),
            Some(runtime) if runtime.name == RuntimeName::Containerd => {
                let main = case.files.containerd_config.display().to_string();
                case.files
                    .text(&main)
                    .err()
                    .unwrap_or_else(|| Gap::Unknown(format!("`{main}` was not read")))
            }
            Some(runtime) => Gap::Absent(format!("{runtime} has one driver for all handlers")),
        });
    };
    if let Some(path) = config.unread.first() {
        return Err(Gap::Unknown(format!(
            "`{}` could not be read",
            path.display()
        )));
    }
    let containerd = cri_table(config).and_then(|table| table.table("containerd"));
    let default = containerd
        .and_then(|table| table.node("default_runtime_name")?.str())
        .unwrap_or("runc");
    let mut found: Vec<Handler> = Vec::new();
    for (name, entry) in runtimes.into_iter().flat_map(Table::iter) {
        let Some(table) = entry.node.table() else {
            continue;
        };
        let kind = table.node("runtime_type").and_then(Node::str);
        // The built-in runc needs no type where tables are merged key by key.
        if !kind.map_or(name == "runc", |kind| {
            kind.starts_with("io.containerd.runc.")
        }) {
            continue;
        }
        let option = table
            .table("options")
            .and_then(|options| options.entry("SystemdCgroup"));
        found.push(Handler {
            name: name.to_owned(),
            driver: driver(option.and_then(|entry| entry.node.bool()).unwrap_or(false)),
            is_default: name == default,
            place: option.map(|entry| entry.key.clone()),
        });
    }
    if !found.iter().any(|handler| handler.is_default) && default == "runc" {
        found.push(Handler {
            name: "runc".to_owned(),
            driver: CgroupDriver::Cgroupfs,
            is_default: true,
            place: None,
        });
    }
    Ok(found)
}

/// The cgroup driver of pods that name no handler.
///
/// # Errors
/// The node has no runtime that tells or is configured.
pub(super) fn driver(case: &Case<'_>) -> Result<Driver, Gap> {
    let config = case.cri.runtime_config.value();
    if let Some(driver) = config.and_then(|config| config.cgroup_driver) {
        let place = handlers(case)
            .ok()
            .and_then(|all| all.into_iter().find(|one| one.is_default)?.place);
        return Ok(Driver {
            driver,
            source: Source::rpc("RuntimeConfig"),
            place,
            asked: true,
        });
    }
    // From 2.0 on containerd answers RuntimeConfig, and so does every CRI-O that is still supported.
    let id = case.runtime();
    let asked = case.cri.runtime_config.value().is_none()
        && !matches!(
            case.cri.runtime_config,
            crate::facts::Fact::Absent { .. } if case.host.live
        )
        && id.is_some_and(|id| match id.name {
            RuntimeName::Containerd => id.version.major() >= 2,
            RuntimeName::Crio => id.version.minor() >= 28,
            RuntimeName::Docker => false,
        });
    if id.is_some_and(|id| id.name == RuntimeName::Crio) {
        let told = case
            .cri
            .status
            .value()
            .and_then(|status| status.info("config", "/crio/CgroupManagerName")?.as_str())
            .map(|word| (word.to_owned(), Source::rpc("Status"), None));
        let written = || {
            let node = crio(case, "runtime", "cgroup_manager")?;
            let place = node.place.clone();
            Some((node.str()?.to_owned(), case.files.at(&place), Some(place)))
        };
        let (word, source, place) = told.or_else(written).unwrap_or_else(|| {
            (
                "systemd".to_owned(),
                Source::file("/etc/crio/crio.conf"),
                None,
            )
        });
        return Ok(Driver {
            driver: if word == "cgroupfs" {
                CgroupDriver::Cgroupfs
            } else {
                CgroupDriver::Systemd
            },
            source,
            place,
            asked,
        });
    }
    let all = handlers(case)?;
    let Some(handler) = all.into_iter().find(|handler| handler.is_default) else {
        return Err(Gap::Absent(
            "the default handler is no runc, which alone tells its driver".to_owned(),
        ));
    };
    let source = if case.cri.status.value().is_some() {
        Source::rpc("Status")
    } else {
        match &handler.place {
            Some(place) => case.files.at(place),
            None => Source::file(case.files.containerd_config.display()),
        }
    };
    Ok(Driver {
        driver: handler.driver,
        source,
        place: handler.place,
        asked,
    })
}

/// Where pod networks are configured: what the daemon tells, else its files, else the usual places.
pub(super) fn networks(case: &Case<'_>) -> Networks {
    let told = cri::networks(case.cri.status.value());
    if told.told {
        return Networks {
            configs: told.config_directories,
            programs: told.binary_directories,
            most: told.most.unwrap_or(1),
            default: crio_default(case),
            told: true,
        };
    }
    let text = |node: Option<&Node>| node.and_then(Node::str).map(str::to_owned);
    let texts = |node: &Node| -> Vec<String> {
        node.strings()
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.value)
            .filter(|text| !text.is_empty())
            .collect()
    };
    let mut networks = Networks {
        configs: told.config_directories,
        programs: told.binary_directories,
        most: 1,
        default: None,
        told: false,
    };
    if let Some(config) = containerd(case) {
        let cni = cri_table(&config).and_then(|table| table.table("cni"));
        networks.told = true;
        if let Some(cni) = cni {
            if let Some(path) = text(cni.node("conf_dir")) {
                networks.configs = vec![path];
            }
            let programs = cni
                .node("bin_dirs")
                .map(texts)
                .filter(|all| !all.is_empty());
            let one = || text(cni.node("bin_dir")).map(|one| vec![one]);
            networks.programs = programs.or_else(one).unwrap_or(networks.programs);
            networks.most = cni
                .node("max_conf_num")
                .and_then(Node::integer)
                .and_then(|most| u64::try_from(most).ok())
                .unwrap_or(1);
        }
    } else if case
        .runtime()
        .is_some_and(|runtime| runtime.name == RuntimeName::Crio)
    {
        networks.told = true;
        networks.default = crio_default(case);
        if let Some(path) = crio(case, "network", "network_dir").and_then(|node| text(Some(&node)))
        {
            networks.configs = vec![path];
        }
        networks.programs = crio(case, "network", "plugin_dirs")
            .map(|node| texts(&node))
            .filter(|all| !all.is_empty())
            .unwrap_or_else(|| vec!["/opt/cni/bin".to_owned(), "/usr/libexec/cni".to_owned()]);
    }
    networks
}

fn crio_default(case: &Case<'_>) -> Option<String> {
    let told = case.cri.status.value().and_then(|status| {
        status
            .info("config", "/crio/CNIDefaultNetwork")
            .and_then(Value::as_str)
    });
    told.map(str::to_owned)
        .or_else(|| {
            crio(case, "network", "cni_default_network")?
                .str()
                .map(str::to_owned)
        })
        .filter(|name| !name.is_empty())
}

/// The names of all handlers, each with whether it is the default one; none if nothing tells.
pub(super) fn handler_names(case: &Case<'_>) -> Vec<(String, bool)> {
    let told: Vec<(String, bool)> = cri::handlers(case.cri.status.value())
        .into_iter()
        .map(|handler| (handler.name, handler.is_default))
        .collect();
    if !told.is_empty() {
        return told;
    }
    let Some(config) = containerd(case) else {
        return Vec::new();
    };
    let table = cri_table(&config).and_then(|table| table.table("containerd"));
    let default = table
        .and_then(|table| table.node("default_runtime_name")?.str())
        .unwrap_or("runc")
        .to_owned();
    let runtimes = table.and_then(|table| table.table("runtimes"));
    let mut names: Vec<(String, bool)> = runtimes
        .into_iter()
        .flat_map(Table::iter)
        .map(|(name, _)| (name.to_owned(), name == default))
        .collect();
    if names.is_empty() {
        names.push(("runc".to_owned(), default == "runc"));
    }
    names
}
