//! Checks of the units that systemd starts runtimes and the kubelet from, and of what they give to a daemon.
//!
//! Files only, read as systemd does (systemd.unit(5)): the first directory that has a unit counts, drop-ins of all
//! directories are read after it in the order of their names, and an assignment of nothing empties a list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::finding::{Area, Note, Severity};
use super::super::scope::NODE;
use super::super::{Case, Check, Judge, Judged, Outcome};
use super::{LATER, daemon};
use crate::facts::{Gap, Source};
use crate::registry::RuntimeName;
use crate::registry::text::Place;

const BLANK: Check = Check {
    area: Area::Config,
    ..Check::BLANK
};

/// The checks of units.
pub(in crate::check) const CHECKS: &[Check] = &[
    Check {
        code: "unit-killmode",
        title: "a restart of containerd leaves pods alone",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads containerd.service with its drop-ins. Fails if KillMode is anything but `process`, warns if Delegate \
               is off.",
        why: "Shims live in the control group of the unit. With systemd's own KillMode a restart of containerd kills \
              every pod of the node.",
        remedy: "write `KillMode=process` and `Delegate=yes` in a drop-in",
        seen: &["rootlesskit#355"],
        judge: Judge::By(kill_mode),
        ..BLANK
    },
    Check {
        code: "unit-order",
        title: "the kubelet does not wait for Docker",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads kubelet.service with its drop-ins where the runtime is not Docker. Fails if it requires \
               docker.service, warns if it only follows it.",
        why: "Once Docker is removed, a kubelet that requires it does not start at the next boot.",
        remedy: "name the runtime's unit instead",
        seen: &["amazon-vpc-cni#1421"],
        judge: Judge::By(order),
        ..BLANK
    },
    Check {
        code: "unit-enabled",
        title: "the runtime and the kubelet start at boot",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Looks for the links of the runtime's unit and of kubelet.service below the targets of systemd, on a node \
               that runs them as units. Warns if there is none.",
        why: "A node that was put together by hand works until its first reboot.",
        remedy: "enable the unit",
        judge: Judge::By(enabled),
        ..BLANK
    },
    Check {
        code: "unit-limits",
        title: "the daemon hands on a usual limit of open files",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Reads /proc/PID/limits of the daemon. Warns if the soft limit of open files is hundreds of millions (programs \
               that close all of them at start then take minutes) or 1024.",
        why: "Containers inherit the limits of the daemon. containerd's own unit has `infinity` up to 1.7 and nothing \
              from 2.0 on, so an upgrade changes them for every pod.",
        remedy: "set the limit in a base runtime specification, or `LimitNOFILE` in the unit",
        seen: &["moby#51485", "eks-ami#1746"],
        judge: Judge::By(limits),
        ..BLANK
    },
];

/// Where systemd looks for units, the strongest first.
const DIRECTORIES: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A unit with its drop-ins: the assignments of every key, the last in force last.
pub(in crate::check) struct Unit {
    keys: BTreeMap<String, Vec<(String, Place)>>,
    /// The file that it is in.
    pub path: PathBuf,
}

impl Unit {
    /// Reads a unit.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(case: &Case<'_>, name: &str) -> Result<Self, Gap> {
        let files = &case.facts().files;
        let mut main = None;
        for directory in DIRECTORIES {
            let path = format!("{directory}/{name}");
            match files.text(&path) {
                Ok(_) => {
                    main = Some(PathBuf::from(path));
                    break;
                }
                Err(Gap::Unknown(reason)) if files.exists(&path) == Some(true) => {
                    return Err(Gap::Unknown(reason));
                }
                Err(_) => {}
            }
        }
        let Some(path) = main else {
            return Err(Gap::Absent(format!("there is no {name}")));
        };
        // A drop-in in a stronger directory hides one of its name in a weaker one.
        let mut dropins: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in DIRECTORIES {
            let directory = format!("{directory}/{name}.d");
            for file in files.names(&directory).unwrap_or_default() {
                if file.ends_with(".conf") {
                    let path = Path::new(&directory).join(file);
                    dropins.entry(file.clone()).or_insert(path);
                }
            }
        }
        let mut unit = Self {
            keys: BTreeMap::new(),
            path: path.clone(),
        };
        for path in std::iter::once(&path).chain(dropins.values()) {
            if let Some(text) = files.tree.text(path) {
                unit.take(path, text);
            }
        }
        Ok(unit)
    }

    fn take(&mut self, path: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with(['#', ';', '[']) {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let place = Place {
                line: index + 1,
                length: line.chars().count(),
                ..Place::start_of(path)
            };
            let values = self.keys.entry(key.to_owned()).or_default();
            if value.is_empty() {
                values.clear();
            } else {
                values.push((value.to_owned(), place));
            }
        }
    }

    /// The last assignment of a key.
    pub fn value(&self, key: &str) -> Option<(&str, &Place)> {
        let (value, place) = self.keys.get(key)?.last()?;
        Some((value, place))
    }

    /// All assignments of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &(String, Place)> {
        self.keys.get(key).into_iter().flatten()
    }
}

fn is_containerd(case: &Case<'_>) -> Result<(), Gap> {
    match case.runtime() {
        Some(runtime) if runtime.name == RuntimeName::Containerd => Ok(()),
        Some(runtime) => Err(Gap::Absent(format!("the runtime is {}", runtime.name))),
        None => Err(Gap::Absent("no runtime was found".to_owned())),
    }
}

fn kill_mode(case: &Case<'_>) -> Judged {
    is_containerd(case)?;
    let unit = Unit::read(case, "containerd.service")?;
    let files = &case.facts().files;
    let mode = unit.value("KillMode");
    if let Some((mode, _)) = mode.filter(|(mode, _)| *mode == "process") {
        let on = |value: &str| !["no", "false", "off", "0"].contains(&value);
        return match unit.value("Delegate") {
            Some((value, _)) if on(value) => {
                Note::pass(format!("KillMode={mode}, Delegate={value}")).into()
            }
            _ => Note::warn("containerd.service does not have its control group to itself (Delegate)")
                .subject(unit.path.display())
                .severity(Severity::Medium)
                .expected("Delegate=yes")
                .at(Source::file(unit.path.display()))
                .remedy("write `Delegate=yes` below `[Service]` in a drop-in, then `systemctl daemon-reload`")
                .into(),
        };
    }
    let (text, source) = match mode {
        Some((mode, place)) => (format!("KillMode={mode}"), files.at(place)),
        None => (
            "no KillMode, which means control-group".to_owned(),
            Source::file(unit.path.display()),
        ),
    };
    Note::fail(format!(
        "containerd.service has {text}: a restart of containerd kills every pod"
    ))
    .subject(unit.path.display())
    .measured(mode.map_or("control-group", |(mode, _)| mode))
    .expected("KillMode=process")
    .at(source)
    .remedy(
        "write `KillMode=process` below `[Service]` in a drop-in, then `systemctl daemon-reload`",
    )
    .into()
}

fn order(case: &Case<'_>) -> Judged {
    let Some(runtime) = case.runtime() else {
        return Err(Gap::Absent("no runtime was found".to_owned()));
    };
    if runtime.name == RuntimeName::Docker {
        return Err(Gap::Absent("the runtime is Docker".to_owned()));
    }
    let unit = Unit::read(case, "kubelet.service")?;
    let named = |keys: &[&'static str]| {
        let all = keys
            .iter()
            .flat_map(|key| unit.values(key).map(move |value| (*key, value)));
        all.filter(|(_, (value, _))| {
            value
                .split_whitespace()
                .any(|word| word == "docker.service")
        })
        .map(|(key, (_, place))| (key, place.clone()))
        .next()
    };
    let (note, place) = if let Some((key, place)) = named(&["Requires", "BindsTo", "Requisite"]) {
        (
            Note::fail(format!(
                "kubelet.service does not start without Docker ({key}=docker.service)"
            )),
            place,
        )
    } else if let Some((key, place)) = named(&["Wants", "After"]) {
        (
            Note::warn(format!(
                "kubelet.service still names Docker ({key}=docker.service)"
            ))
            .severity(Severity::Low),
            place,
        )
    } else {
        return Note::pass("kubelet.service does not name docker.service").into();
    };
    note.subject("kubelet.service")
        .expected(format!("{}.service", runtime.name))
        .at(case.facts().files.at(&place))
        .remedy("name the runtime's unit instead, then `systemctl daemon-reload`")
        .into()
}

fn enabled(case: &Case<'_>) -> Judged {
    case.live()?;
    if case.facts().host.init.need()? != "systemd" {
        return Err(Gap::Absent(
            "the node was not started by systemd".to_owned(),
        ));
    }
    case.facts().processes.need()?;
    let files = &case.facts().files;
    let all = case.facts().processes.value().into_iter().flatten();
    let mut units: Vec<&str> = all
        .filter(|process| process.role.is_runtime() || process.role == crate::facts::Role::Kubelet)
        .filter_map(|process| process.unit.as_deref())
        .filter(|unit| unit.ends_with(".service"))
        .collect();
    units.sort_unstable();
    units.dedup();
    let mut problems = Vec::new();
    let mut seen = 0;
    for unit in units {
        let listed = TARGETS.iter().map(|target| files.names(target));
        let names: Result<Vec<&[String]>, Gap> = listed.collect();
        // Of units whose file was not read nothing is known: they may be started by something else.
        if Unit::read(case, unit).is_err() {
            continue;
        }
        seen += 1;
        if names?
            .iter()
            .any(|names| names.iter().any(|name| name == unit))
        {
            continue;
        }
        problems.push(
            Note::warn(format!("{unit} runs, and is not started at boot"))
                .subject(unit)
                .expected("a link below multi-user.target.wants")
                .at(Source::file(TARGETS[0]))
                .remedy("enable it")
                .command(format!("systemctl enable {unit}")),
        );
    }
    if seen == 0 {
        return Err(Gap::Absent("no daemon runs as a unit".to_owned()));
    }
    Outcome::of(problems, "all are started at boot").into()
}

/// Where links of units that start at boot are.
const TARGETS: &[&str] = &["/etc/systemd/system/multi-user.target.wants"];

fn limits(case: &Case<'_>) -> Judged {
    // What `infinity` comes to where fs.nr_open is left alone.
    const MANY: u64 = 1 << 29;
    let daemon = daemon(case)?;
    let limits = daemon.limits.need()?;
    let note = match limits.files_soft {
        None => Note::warn("the daemon may open any number of files, and so may every container"),
        Some(soft) if soft >= MANY => Note::warn(format!(
            "the daemon may open {soft} files, and so may every container"
        )),
        Some(soft @ 0..=1024) => Note::warn(format!("the daemon may open {soft} files only")),
        Some(soft) => return Note::pass(format!("{soft} open files")).into(),
    };
    note.subject(daemon.role.name())
        .measured(json!({ "soft": limits.files_soft, "hard": limits.files_hard }))
        .expected("65536 to 1048576")
        .at(Source::proc(format!("/proc/{}/limits", daemon.pid)))
        .remedy("set `LimitNOFILE` in the unit, or limits in a base runtime specification")
        .into()
}
