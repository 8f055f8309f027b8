//! Checks of CRI-O's and cri-dockerd's settings that will not do after an upgrade.

use std::path::{Path, PathBuf};

use super::super::finding::{Area, Note, Severity};
use super::super::{Case, Check, Judge, Judged, Outcome};
use super::LATER;
use crate::facts::{Gap, Role, Source};
use crate::registry::document::Document;
use crate::registry::node::Entry;
use crate::registry::{RuntimeName, crio_conf};

const BLANK: Check = Check {
    area: Area::Config,
    profiles: LATER,
    ..Check::BLANK
};

/// The checks of CRI-O and cri-dockerd.
pub(in crate::check) const CHECKS: &[Check] = &[
    Check {
        code: "crio-config-deprecated",
        title: "CRI-O uses no option that is about to go",
        severity: Severity::Medium,
        rule: "Reads crio.conf and its drop-ins. Warns for `log_size_max` that is set to a size (the kubelet rotates \
               logs), `uid_mappings` and `gid_mappings` (pods have user namespaces of their own), `conmon` and \
               `conmon_cgroup` outside of a runtime's table.",
        why: "These options are deprecated and lose their effect in a later version.",
        remedy: "move them to where the manual says",
        judge: Judge::By(deprecated),
        ..BLANK
    },
    Check {
        code: "crio-oci-default",
        title: "CRI-O's default runtime is written down",
        severity: Severity::Medium,
        rule: "Reads `default_runtime`. Warns if it is not set and CRI-O is older than 1.31, which changed it from runc to \
               crun.",
        why: "An upgrade otherwise changes the program that runs every container of the node.",
        remedy: "write `default_runtime` below `[crio.runtime]`",
        judge: Judge::By(default_runtime),
        ..BLANK
    },
    Check {
        code: "cri-dockerd-flags",
        title: "cri-dockerd leaves pod networks to CNI",
        severity: Severity::Medium,
        rule: "Reads the command line of cri-dockerd. Warns if `--network-plugin` is anything but `cni`.",
        why: "Every other runtime has CNI only: networks of another kind do not survive the migration.",
        remedy: "install a CNI network before the migration",
        judge: Judge::By(dockerd_flags),
        ..BLANK
    },
];

/// A key of `[crio.TABLE]`; the last file that has it wins.
///
/// # Errors
/// The runtime is not CRI-O.
pub(in crate::check) fn entry(
    case: &Case<'_>,
    table: &str,
    key: &str,
) -> Result<Option<Entry>, Gap> {
    match case.runtime() {
        Some(runtime) if runtime.name == RuntimeName::Crio => {}
        Some(runtime) => return Err(Gap::Absent(format!("the runtime is {}", runtime.name))),
        None => return Err(Gap::Absent("no runtime was found".to_owned())),
    }
    let files = &case.facts().files;
    let mut paths = vec![PathBuf::from(crio_conf::FILE)];
    let names = files.names(crio_conf::DIRECTORY).unwrap_or_default();
    paths.extend(
        names
            .iter()
            .map(|name| Path::new(crio_conf::DIRECTORY).join(name)),
    );
    let found = paths.iter().rev().find_map(|path| {
        let document = Document::parse(path, files.tree.text(path)?);
        document.root.descend(&["crio", table])?.entry(key).cloned()
    });
    Ok(found)
}

fn deprecated(case: &Case<'_>) -> Judged {
    const GOING: &[(&str, &str)] = &[
        (
            "log_size_max",
            "set `containerLogMaxSize` in the kubelet's configuration",
        ),
        (
            "uid_mappings",
            "give pods user namespaces of their own (`hostUsers: false`)",
        ),
        (
            "gid_mappings",
            "give pods user namespaces of their own (`hostUsers: false`)",
        ),
        ("conmon", "write `monitor_path` in the table of the runtime"),
        (
            "conmon_cgroup",
            "write `monitor_cgroup` in the table of the runtime",
        ),
    ];
    let mut problems = Vec::new();
    for (key, remedy) in GOING {
        let Some(entry) = entry(case, "runtime", key)? else {
            continue;
        };
        let unset =
            entry.node.str() == Some("") || entry.node.integer().is_some_and(|size| size < 0);
        if !unset {
            problems.push(
                Note::warn(format!("`{key}` is deprecated"))
                    .subject(key)
                    .at(case.facts().files.at(&entry.key))
                    .remedy(*remedy),
            );
        }
    }
    Outcome::of(problems, "no deprecated option is set").into()
}

fn default_runtime(case: &Case<'_>) -> Judged {
    let written = entry(case, "runtime", "default_runtime")?;
    let name = written.as_ref().and_then(|entry| entry.node.str());
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return Note::pass(format!("default_runtime = \"{name}\"")).into();
    }
    let changed = case
        .runtime()
        .is_some_and(|runtime| (runtime.version.major(), runtime.version.minor()) >= (1, 31));
    if changed {
        return Note::pass("the default of this version, crun, is in force").into();
    }
    Note::warn("no `default_runtime` is written: the upgrade to 1.31 changes it from runc to crun")
        .subject("default_runtime")
        .expected("default_runtime = \"runc\", or a decision for crun")
        .at(Source::file(crio_conf::FILE))
        .remedy("write `default_runtime = \"runc\"` below `[crio.runtime]`, or install crun")
        .into()
}

fn dockerd_flags(case: &Case<'_>) -> Judged {
    case.live()?;
    case.facts().processes.need()?;
    let Some(process) = case.facts().processes(Role::CriDockerd).next() else {
        return Err(Gap::Absent("cri-dockerd does not run".to_owned()));
    };
    process.arguments.need()?;
    match process.argument(&["--network-plugin"]) {
        Some(plugin) if plugin != "cni" => {
            Note::warn(format!("cri-dockerd makes pod networks with `{plugin}`"))
                .subject("--network-plugin")
                .measured(plugin)
                .expected("cni")
                .at(Source::proc(format!("/proc/{}/cmdline", process.pid)))
                .remedy("install a CNI network before the migration")
                .into()
        }
        _ => Note::pass("pod networks are made by CNI").into(),
    }
}
