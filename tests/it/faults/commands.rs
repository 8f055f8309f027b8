//! Every command line that is tried, from the parser of criscope itself.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// Commands that look at no runtime, or show what is in it beside something else: they may succeed whatever is at the
/// endpoint.
const NEED_NO_RUNTIME: &[&str] = &[
    "compare",
    "complete",
    "completion",
    "config",
    "demo",
    "explain",
    "help",
    "jsonschema",
    "preflight",
    "create jsonschema",
    "pull jsonschema",
    "run jsonschema",
    "runp jsonschema",
    "update jsonschema",
    "registry convert",
    "registry lint",
    "registry route",
    "registry probe",
    "where",
];

/// Commands whose answer is a report with a verdict of its own in it, on stdout.
const REPORTS: &[&str] = &[
    "check",
    "compare",
    "doctor",
    "endpoints",
    "preflight",
    "registry lint",
    "registry probe",
    "test-pull",
    "where",
    "why",
];

/// Commands that end when the runtime does.
const GO_ON: &[&str] = &["events", "pulls", "top"];

/// A command with the arguments that it cannot do without.
pub struct Line {
    path: Vec<String>,
    arguments: Vec<Argument>,
    flags: Vec<(String, Vec<String>)>,
}

#[derive(Clone)]
enum Argument {
    Word(String),
    /// The configuration of a container, in a file.
    ContainerConfig,
    /// The configuration of a pod, in a file.
    PodConfig,
    /// A file that is there and empty.
    File,
    /// Facts that were saved.
    Facts,
    /// A file that is not there.
    NewFile,
}

/// One line for every command that can be run, hidden ones too.
pub fn lines() -> Vec<Line> {
    let mut parser = criscope::cli::parser();
    parser.build();
    let mut lines = Vec::new();
    below(&parser, &[], &mut lines);
    assert!(lines.len() > 40, "the parser has commands");
    lines
}

fn below(command: &clap::Command, path: &[String], lines: &mut Vec<Line>) {
    for inner in command.get_subcommands() {
        if inner.get_name() == "help" {
            continue;
        }
        let path = [path, &[inner.get_name().to_owned()]].concat();
        below(inner, &path, lines);
        // Another dialect of the same commands.
        if path == ["crictl"] || inner.is_subcommand_required_set() {
            continue;
        }
        lines.push(Line {
            arguments: required(inner, &path.join(" ")),
            flags: flags(inner),
            path,
        });
    }
}

/// The long flags and the values that each can have, where they are a closed set.
fn flags(command: &clap::Command) -> Vec<(String, Vec<String>)> {
    let values = |argument: &clap::Arg| {
        let values = argument.get_possible_values();
        values.iter().map(|it| it.get_name().to_owned()).collect()
    };
    let long = |argument: &clap::Arg| Some((argument.get_long()?.to_owned(), values(argument)));
    command.get_arguments().filter_map(long).collect()
}

/// What is typed where the parser does not say that anything has to be.
const GIVEN: &[(&str, &str)] = &[
    ("attach", "abc"),
    ("compare", "FACTS"),
    ("checkpoint", "--export NEW-FILE abc"),
    ("create jsonschema", "--pod"),
    ("demo", "version"),
    ("exec", "abc true"),
    ("explain", "cri-runtime-ready"),
    ("inspect", "abc"),
    ("inspectp", "abc"),
    ("inspecti", "abc"),
    ("logs", "abc"),
    ("preflight", "--to containerd@2.1.4"),
    ("registry probe", "registry.invalid/x:1"),
    ("registry route", "registry.invalid/x:1"),
    ("rm", "abc"),
    ("rmi", "abc"),
    ("rmp", "abc"),
    ("run jsonschema", "--pod"),
    ("start", "abc"),
    ("stop", "abc"),
    ("stopp", "abc"),
    ("test-pull", "registry.invalid/x:1"),
    ("update", "--memory 1000000 abc"),
    ("where", "registry.invalid/x:1"),
    ("why", "abc"),
];

/// What has to be given, made up from the names of the values.
fn required(command: &clap::Command, path: &str) -> Vec<Argument> {
    if let Some((_, given)) = GIVEN.iter().find(|(name, _)| *name == path) {
        return given.split(' ').map(argument).collect();
    }
    let mut arguments = Vec::new();
    for wanted in command.get_arguments().filter(|it| it.is_required_set()) {
        if let Some(long) = wanted.get_long() {
            arguments.push(Argument::Word(format!("--{long}")));
        }
        let possible = wanted.get_possible_values();
        arguments.push(match (possible.first(), wanted.get_value_names()) {
            (Some(value), _) => Argument::Word(value.get_name().to_owned()),
            (None, Some([name, ..])) => argument(name),
            (None, _) => argument("ID"),
        });
    }
    arguments
}

/// What the name of a value stands for; everything else is a word to type.
fn argument(name: &str) -> Argument {
    Argument::Word(match name {
        "POD-CONFIG" => return Argument::PodConfig,
        "CONTAINER-CONFIG" => return Argument::ContainerConfig,
        "FACTS" => return Argument::Facts,
        "NEW-FILE" => return Argument::NewFile,
        name if name.contains("FILE") => return Argument::File,
        name if name.contains("IMAGE") => "registry.invalid/x:1".to_owned(),
        name if name.contains("LOCAL") || name.contains("PORT") => "0:80".to_owned(),
        name if name.contains("CIDR") => "10.0.0.0/24".to_owned(),
        name if name.chars().all(|c| c.is_ascii_uppercase() || c == '-') => "abc".to_owned(),
        word => word.to_owned(),
    })
}

impl Line {
    /// The command, as in `registry lint`.
    pub fn name(&self) -> String {
        self.path.join(" ")
    }

    pub fn needs_no_runtime(&self) -> bool {
        NEED_NO_RUNTIME.contains(&self.name().as_str())
    }

    pub fn tells_in_its_report(&self) -> bool {
        REPORTS.contains(&self.name().as_str()) || self.needs_no_runtime()
    }

    /// The values of one of its flags, if it has that flag.
    pub fn flag(&self, name: &str) -> Option<&[String]> {
        let found = self.flags.iter().find(|(flag, _)| flag == name)?;
        Some(&found.1)
    }

    /// How many words the command itself has.
    pub fn length(&self) -> usize {
        self.path.len()
    }

    /// Whether it goes on for as long as the runtime does.
    pub fn goes_on(&self) -> bool {
        GO_ON.contains(&self.name().as_str())
    }

    /// The words to type, with files in this directory.
    pub fn words(&self, scratch: &Path) -> Vec<OsString> {
        let file = |name: &str, text: &str| {
            let path = scratch.join(name);
            std::fs::write(&path, text).unwrap();
            path.into()
        };
        let words = self.arguments.iter().map(|argument| match argument {
            Argument::Word(word) => word.into(),
            Argument::ContainerConfig => file(
                "container.json",
                r#"{"metadata":{"name":"x"},"image":{"image":"registry.invalid/x:1"}}"#,
            ),
            Argument::PodConfig => file(
                "pod.json",
                r#"{"metadata":{"name":"x","uid":"u","namespace":"default"}}"#,
            ),
            Argument::File => file("file", ""),
            Argument::Facts => file(
                "facts.json",
                &serde_json::to_string(&criscope::facts::Facts::default()).unwrap(),
            ),
            Argument::NewFile => scratch.join("new").into(),
        });
        self.path.iter().map(OsString::from).chain(words).collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`criscope {}`", self.name())
    }
}
