//! How a kubelet is started, derived from its command line and its files; nothing is looked at here.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

use crate::facts::{Facts, Files, Gap, Process, Role, Source};
use crate::registry::text::Text;
use crate::registry::tree::Entry;
use crate::secret::cover::yaml_fault;

/// Files that hold flags, in shell's or systemd's notation.
const FLAG_FILES: &[&str] = &[
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/kubernetes/kubelet.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
];

/// Directories with the kubelet's unit, the strongest first.
const UNITS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where configuration files usually are, for a kubelet whose flags name none that can be seen.
const CONFIGS: &[&str] = &[
    "/var/lib/kubelet/config.yaml",
    "/etc/kubernetes/kubelet-config.yaml",
    "/etc/kubernetes/kubelet/kubelet-config.json",
    "/etc/kubernetes/kubelet/config.json",
    "/etc/kubernetes/kubelet/config",
    "/etc/kubernetes/kubelet.yaml",
    "/home/kubernetes/kubelet-config.yaml",
];

/// Files of k3s and RKE2, whose `kubelet-arg` are flags of the kubelet in them.
const RANCHER: &[&str] = &["/etc/rancher/k3s", "/etc/rancher/rke2"];

/// A flag with the place where it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// Its name, with two dashes.
    pub name: String,
    /// Its value; none of a bare flag.
    pub value: Option<String>,
    /// Where it is written, or the command line.
    pub source: Source,
}

/// A setting that is in force, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it is written.
    pub source: Source,
}

impl Setting {
    /// The value as a word.
    pub fn word(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// The value as a truth value; flags are words.
    pub fn truth(&self) -> Option<bool> {
        self.value
            .as_bool()
            .or_else(|| self.value.as_str()?.parse().ok())
    }
}

/// How a kubelet is started.
#[derive(Debug, Clone)]
pub struct Settings<'f> {
    facts: &'f Facts,
    running: Option<&'f Process>,
    flags: Vec<Flag>,
    /// Flags in files that a running kubelet would be started with next time.
    written: Vec<Flag>,
    /// Configuration files, the strongest first, with what could not be read as text or YAML.
    configs: Vec<(PathBuf, Result<Value, String>)>,
}

/// What looks like a flag in a text. The value may stand in quotes.
static FLAGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?:^|[\s"'=])(--[a-z][a-z0-9-]*)(?:=("[^"\n]*"|'[^'\n]*'|[^\s"'\\]*))?"#).ok()
});

impl<'f> Settings<'f> {
    /// The settings of the node's kubelet.
    ///
    /// # Errors
    /// The node has none, or what it is told cannot be seen.
    pub fn of(facts: &'f Facts) -> Result<Self, Gap> {
        let running = facts.processes(Role::Kubelet).next();
        let written = written(&facts.files);
        let flags = match running {
            Some(process) => of_process(process)?,
            None => written.clone(),
        };
        let mut settings = Self {
            facts,
            running,
            flags,
            written,
            configs: Vec::new(),
        };
        settings.configs = settings.read();
        let unit = UNITS.iter().any(|directory| {
            facts
                .files
                .text(&format!("{directory}/kubelet.service"))
                .is_ok()
        });
        if settings.running.is_none()
            && settings.flags.is_empty()
            && settings.configs.is_empty()
            && !unit
        {
            return Err(Gap::Absent("this node has no kubelet".to_owned()));
        }
        Ok(settings)
    }

    /// The kubelet, if it runs.
    pub fn running(&self) -> Option<&'f Process> {
        self.running
    }

    /// Its flags.
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// Whether k3s or RKE2 start it, which tell it cgroup driver and endpoint by themselves.
    pub fn is_embedded(&self) -> bool {
        RANCHER.iter().any(|directory| {
            let config = Path::new(directory).join("config.yaml");
            self.facts.files.tree.text(&config).is_some()
        })
    }

    /// The flags that its files give it at the next start.
    pub fn written(&self) -> &[Flag] {
        &self.written
    }

    /// The value of a flag, the last one where it is given twice.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().rev().find(|flag| flag.name == name)
    }

    /// A setting by its flag, else by its key in the configuration files. Keys are separated by dots.
    ///
    /// # Errors
    /// [`Gap::Unknown`] if a file that may hold it could not be read.
    pub fn setting(&self, flag: Option<&str>, key: &str) -> Result<Option<Setting>, Gap> {
        if let Some(flag) = flag.and_then(|name| self.flag(name)) {
            return Ok(Some(Setting {
                value: Value::String(flag.value.clone().unwrap_or_else(|| "true".to_owned())),
                source: flag.source.clone(),
            }));
        }
        let pointer = format!("/{}", key.replace('.', "/"));
        for (path, config) in &self.configs {
            let config = config.as_ref().map_err(|reason| {
                Gap::Unknown(format!("`{}` cannot be read: {reason}", path.display()))
            })?;
            if let Some(value) = config.pointer(&pointer).filter(|value| !value.is_null()) {
                return Ok(Some(Setting {
                    value: value.clone(),
                    source: self.place(path, key.rsplit('.').next().unwrap_or(key)),
                }));
            }
        }
        Ok(None)
    }

    /// The configuration file that is in force, or where to put a setting: its path.
    pub fn config(&self) -> Option<&Path> {
        self.configs.last().map(|(path, _)| path.as_path())
    }

    /// Configuration files that are no YAML or could not be read.
    pub fn broken(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.configs.iter().filter_map(|(path, config)| {
            let reason = config.as_ref().err()?;
            Some((path.as_path(), reason.as_str()))
        })
    }

    /// The line of a key in a file.
    fn place(&self, path: &Path, key: &str) -> Source {
        let found = self.facts.files.tree.text(path).and_then(|body| {
            let mut start = 0;
            for line in body.split_inclusive('\n') {
                let bare = line.trim_start();
                let name = bare.trim_start_matches(['"', '\'']);
                let fits = name.strip_prefix(key).is_some_and(|rest| {
                    rest.trim_start_matches(['"', '\''])
                        .trim_start()
                        .starts_with(':')
                });
                if fits {
                    let from = start + line.len() - bare.len();
                    let to = start + line.trim_end().len();
                    return Some(Text::new(path, body).place(from..to));
                }
                start += line.len();
            }
            None
        });
        match found {
            Some(place) => self.facts.files.at(&place),
            None => Source::file(path.display()),
        }
    }

    /// The configuration files, the strongest first.
    fn read(&self) -> Vec<(PathBuf, Result<Value, String>)> {
        let files = &self.facts.files;
        let mut paths = Vec::new();
        let value = |name: &str| self.flag(name)?.value.as_deref();
        if let Some(directory) = value("--config-dir") {
            let mut names = files.names(directory).unwrap_or_default().to_vec();
            names.retain(|name| name.ends_with(".conf"));
            names.sort();
            paths.extend(
                names
                    .iter()
                    .rev()
                    .map(|name| Path::new(directory).join(name)),
            );
        }
        match value("--config") {
            Some(path) => paths.push(path.into()),
            // A kubelet that runs without the flag has no file.
            None if self.running.is_some() => {}
            None => paths.extend(
                CONFIGS
                    .iter()
                    .map(PathBuf::from)
                    .find(|path| files.tree.text(path).is_some()),
            ),
        }
        paths
            .into_iter()
            .filter_map(|path| {
                let config = match files.tree.entry(&path) {
                    Some(Entry::Text { text }) => serde_saphyr::from_str::<Value>(text)
                        .map_err(|error| yaml_fault(&error.to_string())),
                    Some(Entry::Unreadable { reason }) => Err(reason.clone()),
                    Some(Entry::Absent) if self.running.is_none() => return None,
                    Some(Entry::Absent) => Err("there is no such file".to_owned()),
                    Some(_) => Err("it is no text".to_owned()),
                    None => Err("nobody looked at it".to_owned()),
                };
                Some((path, config))
            })
            .collect()
    }
}

/// The flags on the command line of a process.
fn of_process(process: &Process) -> Result<Vec<Flag>, Gap> {
    let arguments = process.arguments.need()?;
    let source = || Source::proc(format!("/proc/{}/cmdline", process.pid));
    let mut flags: Vec<Flag> = Vec::new();
    let mut open = false;
    for argument in arguments.iter().skip(1) {
        if let Some(name) = argument.strip_prefix('-') {
            let name = name.trim_start_matches('-');
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            open = value.is_none();
            flags.push(Flag {
                name: format!("--{name}"),
                value,
                source: source(),
            });
        } else if open {
            if let Some(flag) = flags.last_mut() {
                flag.value = Some(argument.clone());
            }
            open = false;
        }
    }
    Ok(flags)
}

/// The flags that are written where a kubelet is started from, the one that wins last.
fn written(files: &Files) -> Vec<Flag> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let unit = UNITS
        .iter()
        .map(|directory| format!("{directory}/kubelet.service"))
        .find(|path| files.text(path).is_ok());
    paths.extend(unit.map(PathBuf::from));
    for directory in UNITS.iter().rev() {
        let directory = format!("{directory}/kubelet.service.d");
        let names = files.names(&directory).unwrap_or_default();
        let confs = names.iter().filter(|name| name.ends_with(".conf"));
        paths.extend(confs.map(|name| Path::new(&directory).join(name)));
    }
    let named: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| files.tree.text(path))
        .flat_map(environment_files)
        .collect();
    paths.extend(FLAG_FILES.iter().map(PathBuf::from));
    for path in named {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let mut flags: Vec<Flag> = paths
        .iter()
        .filter_map(|path| Some((path, files.tree.text(path)?)))
        .flat_map(|(path, text)| flags_in(files, path, text))
        .collect();
    for directory in RANCHER {
        let mut paths = vec![PathBuf::from(format!("{directory}/config.yaml"))];
        let more = format!("{directory}/config.yaml.d");
        let names = files.names(&more).unwrap_or_default();
        paths.extend(names.iter().map(|name| Path::new(&more).join(name)));
        for path in paths {
            if let Some(text) = files.tree.text(&path) {
                flags.extend(kubelet_args(files, &path, text));
            }
        }
    }
    flags
}

/// The `kubelet-arg` of a file of k3s or RKE2: one `name=value`, or a list of them.
fn kubelet_args(files: &Files, path: &Path, body: &str) -> Vec<Flag> {
    let Ok(config) = serde_saphyr::from_str::<Value>(body) else {
        return Vec::new();
    };
    let arguments: Vec<&str> = ["kubelet-arg", "kubelet-arg+"]
        .iter()
        .filter_map(|key| config.get(key))
        .flat_map(|value| match value {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect::<Vec<_>>(),
        })
        .collect();
    arguments
        .into_iter()
        .map(|argument| {
            let bare = argument.trim_start_matches('-');
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            let source = match body.find(argument) {
                Some(at) => files.at(&Text::new(path, body).place(at..at + argument.len())),
                None => Source::file(path.display()),
            };
            Flag {
                name: format!("--{name}"),
                value,
                source,
            }
        })
        .collect()
}

/// The files that a unit takes its environment from.
pub fn environment_files(unit: &str) -> Vec<PathBuf> {
    unit.lines()
        .filter_map(|line| line.trim().strip_prefix("EnvironmentFile="))
        .map(|path| path.trim_start_matches('-').trim())
        .filter(|path| path.starts_with('/') && !path.contains(['*', '%', '$']))
        .map(PathBuf::from)
        .collect()
}

/// The flags in a text of shell's or systemd's assignments, without comments.
fn flags_in(files: &Files, path: &Path, body: &str) -> Vec<Flag> {
    let Some(pattern) = FLAGS.as_ref() else {
        return Vec::new();
    };
    let text = Text::new(path, body);
    let mut flags = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive('\n') {
        let at = start;
        start += line.len();
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        for found in pattern.captures_iter(line) {
            let Some(name) = found.get(1) else { continue };
            let value = found.get(2);
            let mut end = value.map_or(name.end(), |value| value.end());
            let mut value = value.map(|value| value.as_str().trim_matches(['"', '\'']).to_owned());
            if value.is_none() {
                // The value may be the next word.
                let rest = line.get(name.end()..).unwrap_or_default();
                let word = rest.trim_start_matches(' ');
                let length = word
                    .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))
                    .unwrap_or(word.len());
                let word_end = name.end() + (rest.len() - word.len()) + length;
                let word = word.get(..length).unwrap_or_default();
                if rest.starts_with(' ') && !word.is_empty() && !word.starts_with(['-', '$']) {
                    value = Some(word.to_owned());
                    end = word_end;
                }
            }
            flags.push(Flag {
                name: name.as_str().to_owned(),
                value,
                source: files.at(&text.place(at + name.start()..at + end)),
            });
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(files: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (path, text) in files {
            facts.files.tree.add_text(*path, *text);
        }
        facts
    }

    #[test]
    fn flags_of_files_with_their_places() {
        let facts = facts(&[
            (
                "/etc/default/kubelet",
                "# --old=1\nKUBELET_EXTRA_ARGS='--node-ip 10.0.0.1 --v=2 --cgroup-driver=\"systemd\"'\n",
            ),
            (
                "/usr/lib/systemd/system/kubelet.service",
                "[Service]\nEnvironmentFile=-/etc/kubelet.env\nExecStart=/usr/bin/kubelet --fail-swap-on $ARGS\n",
            ),
            ("/etc/kubelet.env", "ARGS=--config=/etc/k.yaml\n"),
            (
                "/etc/k.yaml",
                "featureGates:\n  X: true\nfailSwapOn: true\n",
            ),
        ]);
        let settings = Settings::of(&facts).unwrap();
        let flags: Vec<_> = settings
            .flags()
            .iter()
            .map(|flag| (flag.name.as_str(), flag.value.as_deref()))
            .collect();
        assert_eq!(
            flags,
            [
                ("--fail-swap-on", None),
                ("--node-ip", Some("10.0.0.1")),
                ("--v", Some("2")),
                ("--cgroup-driver", Some("systemd")),
                ("--config", Some("/etc/k.yaml")),
            ]
        );
        let driver = settings
            .setting(Some("--cgroup-driver"), "cgroupDriver")
            .unwrap()
            .unwrap();
        let Source::File(place) = driver.source else {
            panic!()
        };
        assert_eq!((place.line, place.column), (Some(2), Some(46)));
        let gate = settings.setting(None, "featureGates.X").unwrap().unwrap();
        assert_eq!(gate.truth(), Some(true));
        assert_eq!(gate.source.to_string(), "/etc/k.yaml:2:3");
    }

    #[test]
    fn a_node_without_kubelet() {
        assert!(matches!(
            Settings::of(&facts(&[("/etc/hostname", "a\n")])),
            Err(Gap::Absent(_))
        ));
    }

    #[test]
    fn what_is_no_yaml_is_unknown() {
        let facts = facts(&[("/var/lib/kubelet/config.yaml", "a: [\n")]);
        let settings = Settings::of(&facts).unwrap();
        assert!(matches!(
            settings.setting(None, "cgroupDriver"),
            Err(Gap::Unknown(_))
        ));
        assert_eq!(settings.broken().count(), 1);
    }
}
