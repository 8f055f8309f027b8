//! A move within containerd: what the files that are there become, whether there is a way back, and which versions of
//! Kubernetes the target is tested with.

use std::collections::BTreeMap;

use super::super::config::effective;
use super::super::finding::{Area, Note, Severity};
use super::super::{Case, Check, Judge, Judged, Outcome};
use super::{BLANK, from, kubernetes, moving, releases};
use crate::facts::{Gap, Role, Source};
use crate::registry::containerd::{Config, Setting};
use crate::registry::node::{Table, Value};
use crate::registry::text::Place;
use crate::registry::version::Version;
use crate::registry::{RuntimeId, RuntimeName};

/// The checks of a move within containerd.
pub(in crate::check) const CHECKS: &[Check] = &[
    Check {
        code: "containerd-upgrade-plan",
        title: "what is in force today is in force after the upgrade",
        area: Area::Config,
        rule: "Plays a start of the version that serves now and one of the target with the files that are there (or \
               staged). Warns about lines for the CRI plugin that only the first one reads, and about another default \
               sandbox image where no file names one.",
        why: "An upgrade that changes no file may change what is in force; a node without a way to the internet starts \
              no pod if the new default sandbox image is not there.",
        remedy: "move the lines to where the target reads them, and name the sandbox image",
        seen: &["containerd#11918", "kURL#4077"],
        judge: Judge::By(plan),
        ..BLANK
    },
    Check {
        code: "containerd-config-rollback",
        title: "the version before can still read config.toml",
        area: Area::Config,
        severity: Severity::Medium,
        rule: "Compares `version` of config.toml and its imports with the highest one that the version before the upgrade \
               reads: 2 up to 1.7, 3 up to 2.2, 4 from 2.3 on. Warns if it is higher.",
        why: "Whoever goes back has a daemon that refuses to start, at the worst moment.",
        remedy: "keep the old files beside the new ones, or stay with the old version of the file until nobody goes back",
        seen: &["containerd#10165"],
        judge: Judge::By(rollback),
        ..BLANK
    },
    Check {
        code: "shim-api-mix",
        title: "running shims can be taken over by the target",
        area: Area::Config,
        rule: "Fails if the move is from containerd 2.x back to 1.x and shims run.",
        why: "The shims of 2.x speak an interface that 1.7 does not know: their containers run on, and nobody can stop or \
              see them.",
        remedy: "drain the node, and see that no shim is left before the old version is started",
        seen: &["containerd#11720"],
        judge: Judge::By(shims),
        ..BLANK
    },
    Check {
        code: "cri-version-matrix",
        title: "containerd is tested with this version of Kubernetes",
        area: Area::Config,
        rule: "Looks up the first releases of each series with which the version of Kubernetes (`--kubernetes`, else the \
               kubelet's) is tested. Warns if containerd is older, or of a series that is not tested.",
        why: "Projects mend faults of a pair of versions in the releases that they test together.",
        remedy: "choose the release that the finding names, or a later one of its series",
        judge: Judge::By(matrix),
        ..BLANK
    },
];

/// Both ends of a move within containerd.
fn within(case: &Case<'_>) -> Result<(RuntimeId, RuntimeId), Gap> {
    let (migration, to) = moving(case)?;
    let from = from(migration)
        .filter(|from| from.name == RuntimeName::Containerd)
        .filter(|_| to.name == RuntimeName::Containerd);
    match from {
        Some(from) => Ok((from, to)),
        None => Err(Gap::Absent("it is no move within containerd".to_owned())),
    }
}

/// The lines of a daemon's configuration of the CRI plugin, by their place, with the key.
fn lines(config: &Config) -> BTreeMap<Place, String> {
    fn walk(table: &Table, above: &str, found: &mut BTreeMap<Place, String>) {
        for (name, entry) in table.iter() {
            let key = if above.is_empty() {
                name.to_owned()
            } else {
                format!("{above}.{name}")
            };
            match &entry.node.value {
                Value::Table(inner) => walk(inner, &key, found),
                _ => {
                    found.insert(entry.key.clone(), key);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    let images = config.plugins.table(config.table);
    for table in effective::tables(config).into_iter().chain(images) {
        walk(table, "", &mut found);
    }
    found
}

fn plan(case: &Case<'_>) -> Judged {
    let (from, to) = within(case)?;
    case.files_read()?;
    let (before, after) = (
        case.declared().containerd(&from),
        case.declared().containerd(&to),
    );
    let mut problems = Vec::new();
    let remarked = |place: &Place| {
        case.remarks().iter().any(|remark| {
            let at = remark.place.as_ref();
            at.is_some_and(|at| at.path == place.path && at.line == place.line)
        })
    };
    let kept = lines(&after);
    let lost: Vec<(Place, String)> = lines(&before)
        .into_iter()
        .filter(|(place, _)| !kept.contains_key(place) && !remarked(place))
        .collect();
    if after.fatal.is_none()
        && let Some((place, key)) = lost.first()
    {
        let others = match lost.len() - 1 {
            0 => String::new(),
            1 => ", and so does one more line".to_owned(),
            more => format!(", and so do {more} more lines"),
        };
        let mut note = Note::warn(format!(
            "`{key}` has an effect with {from} and none with {to}{others}"
        ))
        .subject(place.path.display())
        .measured(lost.len())
        .expected("every line in force")
        .at(case.facts().files.at(place));
        for (place, key) in lost.iter().skip(1).take(5) {
            note = note.evidence(case.facts().files.at(place), format!("`{key}`"));
        }
        problems.push(note);
    }
    if let (Setting::Builtin(old), Setting::Builtin(new)) =
        (&before.sandbox_image, &after.sandbox_image)
        && old != new
    {
        problems.push(
            Note::warn(format!(
                "no file names the sandbox image: {to} starts pods with `{new}`, {from} with `{old}`"
            ))
            .severity(Severity::Medium)
            .subject(new)
            .measured(new.as_str())
            .expected(old.as_str())
            .at(Source::file(case.facts().files.containerd_config.display()))
            .remedy("have the new image on the node before the upgrade, or name the one that is there"),
        );
    }
    Outcome::of(problems, format!("{to} reads every line that {from} does")).into()
}

/// The highest version of a configuration file that a release reads.
fn highest(runtime: &RuntimeId) -> i64 {
    match (runtime.version.major(), runtime.version.minor()) {
        (..2, _) => 2,
        (2, ..3) => 3,
        _ => 4,
    }
}

fn rollback(case: &Case<'_>) -> Judged {
    let (from, to) = within(case)?;
    if from.version >= to.version {
        return Err(Gap::Absent("the move is no upgrade".to_owned()));
    }
    case.files_read()?;
    let most = highest(&from);
    let config = case.declared().containerd(&to);
    let problems: Vec<Note> = config
        .files
        .iter()
        .filter_map(|file| {
            let version = file.version.as_ref().filter(|version| version.value > most)?;
            Some(
                Note::warn(format!(
                    "`{}` is of version {}, and {from} reads {most} at most: there is no way back with this file",
                    file.path.display(),
                    version.value
                ))
                .subject(file.path.display())
                .measured(version.value)
                .expected(format!("{most} or lower"))
                .at(case.facts().files.at(&version.place)),
            )
        })
        .collect();
    Outcome::of(problems, format!("{from} can read the files again")).into()
}

fn shims(case: &Case<'_>) -> Judged {
    let (from, to) = within(case)?;
    if from.version.major() < 2 || to.version.major() >= 2 {
        return Note::pass(format!("{to} takes over what {from} started")).into();
    }
    case.live()?;
    case.facts().processes.need()?;
    let count = case.facts().processes(Role::Shim).count();
    if count == 0 {
        return Note::pass("no shim runs").into();
    }
    Note::fail(format!(
        "{count} shims of {from} run, which {to} cannot take over"
    ))
    .measured(count)
    .expected("none")
    .at(Source::proc("/proc"))
    .into()
}

fn matrix(case: &Case<'_>) -> Judged {
    let (migration, to) = moving(case)?;
    if to.name != RuntimeName::Containerd {
        return Err(Gap::Absent(format!(
            "there is no such table for {}",
            to.name
        )));
    }
    let minor = kubernetes::minor(case, migration)?;
    let Some(tested) = releases::tested(minor) else {
        return Err(Gap::Absent(format!(
            "nothing is known about containerd with Kubernetes 1.{minor}"
        )));
    };
    let series = |version: &Version| (version.major(), version.minor());
    let first: Vec<Version> = tested
        .containerd
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let own = first
        .iter()
        .find(|first| series(first) == series(&to.version));
    let all = tested.containerd.join(", ");
    let note = match own {
        Some(own) if to.version >= *own => {
            return Note::pass(format!("{to} is tested with Kubernetes 1.{minor}")).into();
        }
        Some(own) => Note::warn(format!(
            "Kubernetes 1.{minor} is tested with containerd {} and later, not with {to}",
            own.as_str()
        )),
        None if first
            .iter()
            .all(|first| series(first) < series(&to.version)) =>
        {
            return Note::pass(format!(
                "{to} is newer than what was tested with Kubernetes 1.{minor}"
            ))
            .into();
        }
        None => Note::warn(format!(
            "Kubernetes 1.{minor} is not tested with containerd {}.{}",
            to.version.major(),
            to.version.minor()
        )),
    };
    note.subject(&to)
        .measured(to.version.as_str())
        .expected(format!("{all}, or later in these series"))
        .at(Source::rpc("the built-in list of releases"))
        .into()
}
