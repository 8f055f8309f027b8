//! Checks of pod networks: is there a configuration, which one wins, and is everything there that it needs.
//!
//! containerd takes the first `max_conf_num` files of its directory in the order of their names (`.conf`, `.conflist`,
//! `.json`), and gives up at the first that is no configuration; CRI-O passes over those, and takes
//! `cni_default_network` if it is set. Follows the CNI specification 1.1.0 and libcni.

mod addresses;
mod config;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome, handlers, told};
use crate::facts::files::Kind;
use crate::facts::{Gap, Source};
use crate::registry::RuntimeName;
use config::Configs;

/// What leaves nothing to be said about networks.
const UNREACHED: &[&str] = &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"];

const BLANK: Check = Check {
    area: Area::Cni,
    silenced_by: UNREACHED,
    ..Check::BLANK
};

/// Where distributions and add-ons put programs.
const PROGRAMS: &[&str] = &["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "cni-config-present",
        title: "there is a network configuration for pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Lists the runtime's configuration directory. Fails if no `.conf`, `.conflist` or `.json` is in it on a \
               node with a kubelet or pods; warns on a node without either. In a tree of files only a node that has \
               joined a cluster is judged, because network add-ons write the file when they run.",
        why: "NetworkReady is false, the node NotReady, and no pod starts that has a network of its own.",
        remedy: "install the network add-on, or find out why its pod does not run on this node",
        seen: &["containerd/cri#889"],
        caused_by: &["cni-dir-agree"],
        judge: Judge::By(present),
        ..BLANK
    },
    Check {
        code: "cni-config-parse",
        title: "the network configuration can be read",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Reads the files that the runtime would use. Fails if one is no JSON, has no name, no plugins or a plugin \
               without type, or a cniVersion that this runtime does not know; warns if cniVersion is missing, which \
               means 0.1.0 or 0.2.0.",
        why: "The runtime reports NetworkReady=false, or creates no sandbox.",
        remedy: "correct the file; the runtime reads it again by itself",
        judge: Judge::By(config::parse),
        ..BLANK
    },
    Check {
        code: "cni-config-choice",
        title: "the network that wins is meant for pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Sorts the files as the runtime does and names the winner. Fails if it is podman's, CRI-O's or \
               containerd's sample or a mere loopback, while another one is there.",
        why: "Pods get addresses of a network that only exists on this node: they run and reach nobody.",
        remedy: "remove the file that wins, or rename it so that it sorts last; then delete the pods that have the wrong \
                 addresses",
        seen: &["microshift#95", "minikube#11194", "kubernetes#100309"],
        judge: Judge::By(choice),
        ..BLANK
    },
    Check {
        code: "cni-bin-present",
        title: "the programs that the network needs are there",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Looks in the runtime's directories for the program of every plugin of the winning network, for its IPAM, \
               and on containerd for `loopback`. Fails if one is missing, empty or not executable. A tree of files \
               without any of the directories is skipped.",
        why: "No sandbox can be created: `failed to find plugin \"…\" in path`.",
        remedy: "install the CNI plugins (package `containernetworking-plugins`, `kubernetes-cni`, or the add-on's own)",
        seen: &["containerd/cri#889"],
        caused_by: &["cni-dir-agree"],
        judge: Judge::By(programs),
        ..BLANK
    },
    Check {
        code: "cni-dir-agree",
        title: "runtime and network add-on use the same directories",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Where something is missing in the runtime's directories, looks in the other usual ones (/opt/cni/bin, \
               /usr/lib/cni, /usr/libexec/cni; /etc/cni/net.d). Fails if it is there.",
        why: "Distributions and add-ons disagree where plugins live: everything is installed, and nothing is found.",
        remedy: "set the runtime's `bin_dirs` (`bin_dir` before containerd 2.1, `plugin_dirs` on CRI-O) or `conf_dir` to \
                 where the files are, and restart it",
        judge: Judge::By(directories),
        ..BLANK
    },
    Check {
        code: "cni-conflist-order",
        title: "no network is configured twice",
        severity: Severity::Low,
        profiles: NODE,
        rule: "Warns if two files configure a network of the same name, as a `.conf` beside its `.conflist`.",
        why: "`.conf` sorts before `.conflist` and wins: without portmap and bandwidth, which only the list has.",
        remedy: "remove the file that nobody updates",
        judge: Judge::By(twice),
        ..BLANK
    },
    Check {
        code: "net-range-clash",
        title: "the addresses of pods are nobody else's",
        severity: Severity::High,
        profiles: NODE,
        rule: "Compares the ranges of the winning network's host-local with the networks at Docker's and libvirt's \
               bridges and at the uplink, by the routes. Fails if they overlap.",
        why: "Packets for pods go to the other network, or the host's own network cannot be reached from pods.",
        remedy: "give the pods another range, or remove the leftover bridge (`ip link delete docker0`)",
        judge: Judge::By(addresses::clash),
        ..BLANK
    },
    Check {
        code: "net-mtu",
        title: "packets of pods fit through the uplink",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares `mtu` of the winning network with the MTU of the interface that has the default route. Fails if \
               it is larger.",
        why: "Small requests work and large answers hang: the classic after a move from Docker, whose own `mtu` nobody \
              carried over.",
        remedy: "set `mtu` in the network configuration to that of the uplink, less the overhead of the overlay",
        judge: Judge::By(addresses::mtu),
        ..BLANK
    },
    Check {
        code: "cni-ipam-leak",
        title: "given addresses belong to pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Compares the files in /var/lib/cni/networks of the winning network with the sandboxes that CRI lists; \
               what is younger than ten minutes does not count. Warns from ten lost addresses on, fails if with them \
               nine tenths of the range are used.",
        why: "When the range is used up no pod starts: `no IP addresses available in range set`.",
        remedy: "remove the files of sandboxes that are gone: their names are addresses, their first line is the sandbox",
        seen: &["containerd/cri#948", "kubernetes#108121"],
        judge: Judge::By(addresses::leak),
        ..BLANK
    },
];

fn present(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    if let Some(first) = configs.all.first() {
        return Note::pass(format!(
            "{} in `{}`, the first is `{}`",
            configs.all.len(),
            configs.directory,
            first.file()
        ))
        .into();
    }
    let joined = was_complete(case);
    let pods = case
        .cri
        .pods
        .value()
        .is_some_and(|pods| !pods.items.is_empty());
    let text = format!(
        "there is no network configuration in `{}`",
        configs.directory
    );
    let note = if case.host.live && (case.has_kubelet() || pods) || joined {
        Note::fail(text)
    } else if case.host.live && case.serves() {
        Note::warn(format!(
            "{text}; nothing needs it yet, this node has neither kubelet nor pods"
        ))
    } else {
        return Err(Gap::Absent(format!("{text}, and no kubelet to need it")));
    };
    note.subject(&configs.directory)
        .measured(0)
        .expected("one file")
        .at(Source::file(&configs.directory))
        .into()
}

fn choice(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let winner = configs.winner()?;
    let why = match winner.sample() {
        Some(why) if configs.all.iter().any(|other| other.sample().is_none()) => why,
        _ => {
            return Note::pass(format!(
                "`{}` ({}) wins",
                winner.name.as_deref().unwrap_or("?"),
                winner.file()
            ))
            .into();
        }
    };
    let losers: Vec<&str> = configs
        .all
        .iter()
        .filter(|other| other.path != winner.path && other.sample().is_none())
        .map(|other| other.file())
        .collect();
    Note::fail(format!(
        "{why} `{}` wins over {}",
        winner.file(),
        losers.join(", ")
    ))
    .subject(winner.path.display())
    .measured(serde_json::json!(
        configs
            .all
            .iter()
            .map(|config| config.file())
            .collect::<Vec<_>>()
    ))
    .expected("the cluster's network sorts first")
    .at(Source::file(winner.path.display()))
    .remedy("take the file that wins away; then delete the pods that have addresses of it")
    .command(format!("mv {0} {0}.off", winner.path.display()))
    .into()
}

/// A program that is looked for, and what was found in the runtime's directories.
struct Sought {
    name: String,
    /// Why what is there does not do.
    fault: Option<String>,
    /// Whether what is there has no content.
    empty: bool,
    found: bool,
}

/// The programs that the winner needs.
fn sought(case: &Case<'_>, configs: &Configs, directories: &[String]) -> Result<Vec<Sought>, Gap> {
    let winner = configs.winner()?;
    let mut names: Vec<String> = Vec::new();
    for plugin in &winner.plugins {
        names.push(plugin.kind.clone());
        names.extend(plugin.ipam.clone());
    }
    let containerd = case
        .runtime()
        .is_some_and(|runtime| runtime.name == RuntimeName::Containerd);
    let internal = case
        .cri
        .status
        .value()
        .and_then(|status| status.info("config", "/cni/useInternalLoopback")?.as_bool())
        .unwrap_or(false);
    if containerd && !internal {
        names.push("loopback".to_owned());
    }
    names.sort();
    names.dedup();
    // A name with a slash would lead out of the directory; libcni refuses it.
    names.retain(|name| !name.is_empty() && !name.contains('/'));
    let mut listed = Vec::new();
    for directory in directories {
        listed.push((directory, case.files.names(directory)?));
    }
    Ok(names
        .into_iter()
        .map(|name| {
            let at = listed
                .iter()
                .find(|(_, names)| names.contains(&name))
                .map(|(directory, _)| format!("{directory}/{name}"));
            let looked = at
                .as_ref()
                .and_then(|path| case.files.stats.get(std::path::Path::new(path)));
            let stat = looked.and_then(Option::as_ref);
            let dangling = || {
                let path = at.as_deref()?;
                (looked == Some(&None)).then(|| format!("`{path}` is a link to nothing"))
            };
            let fault = stat.map_or_else(dangling, |stat| {
                let path = at.as_deref().unwrap_or_default();
                if stat.kind != Kind::File {
                    Some(format!("`{path}` is no file"))
                } else if stat.size == 0 {
                    Some(format!("`{path}` is empty"))
                } else if stat.mode & 0o111 == 0 {
                    Some(format!("`{path}` is not executable"))
                } else {
                    None
                }
            });
            Sought {
                empty: stat.is_some_and(|stat| stat.kind == Kind::File && stat.size == 0),
                found: at.is_some(),
                name,
                fault,
            }
        })
        .collect())
}

/// Whether this is the disk of a node that has joined a cluster, which was complete once: an image of a machine waits for
/// its add-on, and a tree with only some files says nothing about others.
fn was_complete(case: &Case<'_>) -> bool {
    case.has_joined() && handlers::has_programs(case).is_ok()
}

fn programs(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let directories = told::networks(case).programs;
    if !(case.host.live || was_complete(case))
        && directories
            .iter()
            .all(|directory| case.files.exists(directory) == Some(false))
    {
        return Err(Gap::Absent(format!(
            "nothing is installed in {} yet",
            directories.join(", ")
        )));
    }
    let sought = sought(case, &configs, &directories)?;
    let missing: Vec<&str> = sought
        .iter()
        .filter(|one| !one.found)
        .map(|one| one.name.as_str())
        .collect();
    // In a tree of files they may all stand for programs without being any.
    let placeholders =
        !case.host.live && sought.iter().filter(|one| one.found).all(|one| one.empty);
    let faults: Vec<String> = sought
        .iter()
        .filter(|one| !(placeholders && one.empty))
        .filter_map(|one| one.fault.clone())
        .collect();
    if missing.is_empty() && faults.is_empty() {
        return Note::pass(format!("{} programs, all there", sought.len())).into();
    }
    let mut words = faults;
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        words.push(format!(
            "{} not in {}",
            names.join(", "),
            directories.join(", ")
        ));
    }
    let winner = configs.winner()?;
    Note::fail(format!(
        "no sandbox can be created: of what the network `{}` needs, {}",
        winner.name.as_deref().unwrap_or("?"),
        words.join("; ")
    ))
    .subject(directories.join(", "))
    .measured(serde_json::json!({ "missing": missing }))
    .expected("every plugin of the network, its IPAM, and loopback")
    .at(Source::file(
        directories.first().map_or("/opt/cni/bin", String::as_str),
    ))
    .evidence(Source::file(winner.path.display()), "the network that wins")
    .into()
}

fn directories(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let elsewhere = "/etc/cni/net.d";
    if configs.all.is_empty() {
        if configs.directory != elsewhere
            && case
                .files
                .names(elsewhere)
                .is_ok_and(|names| names.iter().any(|name| config::counts(name)))
        {
            return Note::fail(format!(
                "the runtime looks for networks in `{}`, which has none; `{elsewhere}` has",
                configs.directory
            ))
            .subject(&configs.directory)
            .at(Source::file(&configs.directory))
            .evidence(Source::file(elsewhere), "a network is configured here")
            .into();
        }
        return Err(Gap::Absent("no network is configured".to_owned()));
    }
    let directories = told::networks(case).programs;
    let sought = sought(case, &configs, &directories)?;
    let mut problems = Vec::new();
    for one in sought.iter().filter(|one| !one.found) {
        let other = PROGRAMS.iter().find(|other| {
            !directories.iter().any(|directory| directory == *other)
                && case
                    .files
                    .names(other)
                    .is_ok_and(|names| names.contains(&one.name))
        });
        if let Some(other) = other {
            problems.push((one.name.clone(), *other));
        }
    }
    let Some((_, other)) = problems.first() else {
        return Note::pass(format!(
            "plugins are looked for in {}",
            directories.join(", ")
        ))
        .into();
    };
    let names: Vec<String> = problems
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    Note::fail(format!(
        "the runtime looks for plugins in {}; {} {} in `{other}`",
        directories.join(", "),
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    ))
    .subject(other)
    .measured(serde_json::json!(directories))
    .expected(*other)
    .at(Source::file(other))
    .into()
}

fn twice(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    configs.winner()?;
    let mut problems = Vec::new();
    for (index, config) in configs.all.iter().enumerate() {
        let earlier = configs.all[..index]
            .iter()
            .find(|earlier| config.name.is_some() && earlier.name == config.name);
        if let Some(earlier) = earlier {
            problems.push(
                Note::warn(format!(
                    "`{}` and `{}` both configure the network `{}`; the first wins",
                    earlier.file(),
                    config.file(),
                    config.name.as_deref().unwrap_or_default()
                ))
                .subject(earlier.path.display())
                .at(Source::file(earlier.path.display()))
                .evidence(Source::file(config.path.display()), "the other file"),
            );
        }
    }
    Outcome::of(problems, "every network is configured once").into()
}
