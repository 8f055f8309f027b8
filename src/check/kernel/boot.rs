//! What the next boot brings: modules and sysctls by the files that systemd reads.

use std::collections::BTreeMap;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use super::{bridged, docker, sysctl};
use crate::facts::kernel::Availability;
use crate::facts::{Gap, Source};
use crate::registry::text::Text;

/// Where systemd looks, the strongest first. A name in one hides the same name in those below.
const BASES: &[&str] = &["/etc", "/run", "/usr/local/lib", "/usr/lib"];

/// The files of a directory of all bases, in the order in which they are read: by name.
fn files(case: &Case<'_>, directory: &str) -> Result<Vec<String>, Gap> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for base in BASES {
        let directory = format!("{base}/{directory}");
        for name in case.files.names(&directory)? {
            if name.ends_with(".conf") {
                by_name
                    .entry(name.clone())
                    .or_insert_with(|| format!("{directory}/{name}"));
            }
        }
    }
    Ok(by_name.into_values().collect())
}

/// A line of a file.
struct Line<'c> {
    path: String,
    number: usize,
    text: &'c str,
}

/// The lines of files without comments; what is absent has none.
fn lines<'c>(case: &'c Case<'_>, paths: Vec<String>) -> Result<Vec<Line<'c>>, Gap> {
    let mut found = Vec::new();
    for path in paths {
        let text = match case.files.text(&path) {
            Ok(text) => text,
            Err(Gap::Absent(_)) => continue,
            Err(gap) => return Err(gap),
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with(['#', ';']) {
                found.push(Line {
                    path: path.clone(),
                    number: index + 1,
                    text: line,
                });
            }
        }
    }
    Ok(found)
}

/// The module that lets iptables see the packets of a bridge.
const MODULE: &str = "br_netfilter";

pub(super) fn modules(case: &Case<'_>) -> Judged {
    super::kubelet(case)?;
    let live = case.host.live;
    if live {
        match case.kernel.modules.known_or_absent()? {
            None => return Note::pass("this kernel has everything built in").into(),
            Some(loaded) if !loaded.contains(MODULE) => {
                return Err(Gap::Absent(format!("`{MODULE}` is not loaded")));
            }
            Some(_) => {}
        }
        let built_in = case
            .kernel
            .available
            .value()
            .and_then(|available| available.get(MODULE));
        if built_in == Some(&Availability::BuiltIn)
            && case
                .kernel
                .modules
                .value()
                .is_none_or(|loaded| !loaded.contains(MODULE))
        {
            return Note::pass(format!("`{MODULE}` is built in")).into();
        }
    }
    let mut paths = files(case, "modules-load.d")?;
    paths.push("/etc/modules".to_owned());
    for line in lines(case, paths)? {
        if line.text.split_whitespace().next().map(dashes) == Some(MODULE.to_owned()) {
            return Note::pass(format!("{}:{} loads it", line.path, line.number)).into();
        }
    }
    let unit = case.files.tree.iter().find(|(path, _)| {
        path.to_string_lossy().contains(".service")
            && case.files.tree.text(path).is_some_and(|text| {
                text.lines().any(|line| {
                    let line = line.trim();
                    line.starts_with("ExecStartPre=")
                        && line.contains("modprobe")
                        && dashes(line).contains(MODULE)
                })
            })
    });
    if let Some((path, _)) = unit {
        return Note::pass(format!("`{}` loads it", path.display())).into();
    }
    let docker = docker(case);
    let note = if docker {
        Note::fail(format!(
            "only Docker loads `{MODULE}`: without it, it is gone after the next reboot"
        ))
    } else if live && bridged(case) {
        Note::warn(format!(
            "`{MODULE}` is loaded, and nothing says that it will be after the next reboot"
        ))
    } else {
        return Err(Gap::Absent("nothing on this node needs it".to_owned()));
    };
    note.subject(MODULE)
        .expected(format!("`{MODULE}` in a file of /etc/modules-load.d"))
        .at(Source::file("/etc/modules-load.d"))
        .remedy("write it into /etc/modules-load.d/k8s.conf")
        .command(format!("echo {MODULE} >> /etc/modules-load.d/k8s.conf"))
        .into()
}

/// Modules are named with `-` and with `_`.
fn dashes(name: &str) -> String {
    name.replace('-', "_")
}

/// Sysctls that have to be on, and other names that set the same.
const NEEDED: &[(&str, &[&str])] = &[
    ("net.ipv4.ip_forward", &["net.ipv4.conf.all.forwarding"]),
    ("net.bridge.bridge-nf-call-iptables", &[]),
];

pub(super) fn sysctls(case: &Case<'_>) -> Judged {
    super::kubelet(case)?;
    let mut paths = files(case, "sysctl.d")?;
    // Not read by systemd itself where no link leads to it, but by procps, and both are in use.
    if !paths.iter().any(|path| path.ends_with("/99-sysctl.conf")) {
        paths.push("/etc/sysctl.conf".to_owned());
    }
    let lines = lines(case, paths)?;
    let (docker, bridge) = (docker(case), bridged(case));
    let mut problems = Vec::new();
    for (name, aliases) in NEEDED {
        if name.starts_with("net.bridge") && !bridge {
            continue;
        }
        let set = lines.iter().rev().find_map(|line| {
            let (key, value) = line.text.split_once('=')?;
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            (key == *name || aliases.contains(&key.as_str())).then(|| (line, value.trim()))
        });
        let now = if case.host.live {
            sysctl(case, name)?
        } else {
            None
        };
        match set {
            Some((_, "1")) => {}
            Some((line, value)) => {
                let path = std::path::Path::new(&line.path);
                let source = case.files.tree.text(path).map(|body| {
                    let start: usize = body
                        .split_inclusive('\n')
                        .take(line.number - 1)
                        .map(str::len)
                        .sum();
                    let whole = body[start..].lines().next().unwrap_or_default();
                    let from = start + whole.len() - whole.trim_start().len();
                    case.files
                        .at(&Text::new(path, body).place(from..from + whole.trim().len()))
                });
                problems.push(
                    Note::fail(format!("the next boot sets {name} to {value}"))
                        .subject(name)
                        .measured(value)
                        .expected("1")
                        .at(source.unwrap_or_else(|| Source::file(&line.path)))
                        .edit(path, line.number, line.text, format!("{name} = 1"))
                        .remedy("write 1, or take the line away if another file sets it"),
                );
            }
            None if docker && now.is_none_or(|now| now == "1") => problems.push(
                Note::fail(format!(
                    "only Docker sets {name}: without it, it is off after the next reboot"
                ))
                .subject(name)
                .expected(format!("`{name} = 1` in a file of /etc/sysctl.d"))
                .at(Source::file("/etc/sysctl.d"))
                .command(format!("echo '{name} = 1' >> /etc/sysctl.d/k8s.conf")),
            ),
            None => {}
        }
    }
    if problems.is_empty() && !case.host.live && lines.is_empty() {
        return Err(Gap::Absent("no sysctl is set in a file".to_owned()));
    }
    Outcome::of(
        problems,
        "the next boot switches nothing off that pods need",
    )
    .into()
}
