//! The words of crictl's command line: commands, aliases, flags, and what each flag is called among ours. Parsing, help
//! and completion read these tables; a flag that crictl gains is one line here.

mod lists;
mod pods;
mod streams;
mod work;

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it does, for the list of commands.
    pub usage: &'static str,
    /// What its operands are called.
    pub operand: &'static str,
    /// How many operands it takes, and what happens with others.
    pub operands: Operands,
    /// Whether `-ab` can mean `-a -b`.
    pub bundles: bool,
    /// Its flags.
    pub flags: &'static [Flag],
    /// What `--output` may be.
    pub formats: Option<Formats>,
    /// Sub-commands.
    pub below: &'static [Command],
}

impl Command {
    /// The sub-command of this name.
    pub fn below(&self, name: &str) -> Option<&'static Command> {
        let mut all = self.below.iter();
        all.find(|below| below.name == name || below.aliases.contains(&name))
    }
}

/// How many operands a command takes.
#[derive(Debug, Clone, Copy)]
pub struct Operands {
    /// At least so many.
    pub least: usize,
    /// What happens with fewer.
    pub lacking: Answer,
    /// At most so many.
    pub most: usize,
    /// What happens with more.
    pub excess: Answer,
}

/// What crictl does where operands are wrong.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Help on stdout, and success.
    Help,
    /// An error.
    Error(&'static str),
    /// Nothing: they are not looked at.
    Ignore,
}

impl Operands {
    const NONE: Operands = Operands::exactly(0);
    const IGNORED: Operands = Operands {
        most: 0,
        excess: Answer::Ignore,
        ..Operands::NONE
    };
    const ANY: Operands = Operands::at_least(0, Answer::Help);

    const fn exactly(count: usize) -> Self {
        Self {
            least: count,
            lacking: Answer::Help,
            most: count,
            excess: Answer::Help,
        }
    }

    const fn at_most(count: usize) -> Self {
        Self {
            least: 0,
            ..Self::exactly(count)
        }
    }

    const fn at_least(least: usize, lacking: Answer) -> Self {
        Self {
            least,
            lacking,
            most: usize::MAX,
            excess: Answer::Ignore,
        }
    }
}

/// The formats of a command's output.
#[derive(Debug, Clone, Copy)]
pub struct Formats {
    /// Those that it knows.
    pub known: &'static [&'static str],
    /// What happens with another.
    pub other: Other,
}

/// What crictl does with a format that it does not know.
#[derive(Debug, Clone, Copy)]
pub enum Other {
    /// It prints a table.
    Table,
    /// It prints help and succeeds.
    Help,
    /// It fails; `%` stands for the format in quotes.
    Error(&'static str),
}

const LIST: Option<Formats> = Some(Formats {
    known: &["json", "yaml", "table"],
    other: Other::Error("unsupported output format %"),
});
const ANY_LIST: Option<Formats> = Some(Formats {
    other: Other::Table,
    known: &["json", "yaml", "table"],
});
const DOCUMENT: Option<Formats> = Some(Formats {
    known: &["json", "yaml", "go-template", "table"],
    other: Other::Error("unsupported format: %"),
});
const DATA: Option<Formats> = Some(Formats {
    known: &["json", "yaml"],
    other: Other::Help,
});

/// A flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Its names: the long one first, then others of any length.
    pub names: &'static [&'static str],
    /// What its value is.
    pub kind: Kind,
    /// What it does.
    pub usage: &'static str,
    /// What help shows as its default.
    pub default: &'static str,
    /// The variable from which it is taken when it is not given.
    pub variable: &'static str,
    /// What it is among ours.
    pub ours: Ours,
}

/// What the value of a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// Text.
    Text,
    /// Texts: the flag may be repeated, and a comma separates too.
    List,
    /// A whole number.
    Whole,
    /// A duration.
    Span,
}

/// What a flag of crictl is among ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// A flag of the same name.
    Same,
    /// A flag of another name.
    Called(&'static str),
    /// Nothing: it has no meaning here.
    Nothing,
}

impl Flag {
    /// The long name.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    const fn new(kind: Kind, names: &'static [&'static str], usage: &'static str) -> Self {
        Self {
            names,
            kind,
            usage,
            default: "",
            variable: "",
            ours: Ours::Same,
        }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn variable(self, variable: &'static str) -> Self {
        Self { variable, ..self }
    }

    const fn ours(self, ours: Ours) -> Self {
        Self { ours, ..self }
    }
}

const fn switch(names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag::new(Kind::Switch, names, usage)
}

const fn text(names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag::new(Kind::Text, names, usage)
}

const fn list(names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag::new(Kind::List, names, usage)
}

const fn whole(names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag::new(Kind::Whole, names, usage)
}

const fn span(names: &'static [&'static str], usage: &'static str) -> Flag {
    Flag::new(Kind::Span, names, usage)
}

/// The flag that every command has.
pub const HELP: Flag = switch(&["help", "h"], "show help");

/// Flags in front of the command.
pub const GLOBAL: &[Flag] = &[
    text(
        &["config", "c"],
        "Configuration file. If it is not given and the usual one is not there, the directory of the program is searched too",
    )
    .default("/etc/crictl.yaml")
    .variable("CRI_CONFIG_FILE"),
    switch(&["debug", "D"], "Tell what is being done"),
    switch(&["enable-tracing"], "Send spans to an OpenTelemetry collector"),
    text(
        &["image-endpoint", "i"],
        "Endpoint of the image service (default: the runtime's)",
    )
    .variable("IMAGE_SERVICE_ENDPOINT"),
    whole(
        &["max-retries"],
        "Accepted and without effect: what can help is tried again, nothing else",
    )
    .default("3")
    .ours(Ours::Nothing),
    text(&["profile-cpu"], "Accepted and without effect").ours(Ours::Nothing),
    text(&["profile-mem"], "Accepted and without effect").ours(Ours::Nothing),
    text(
        &["runtime-endpoint", "r"],
        "Endpoint of the runtime (default: the first known one that serves CRI)",
    )
    .variable("CONTAINER_RUNTIME_ENDPOINT"),
    span(
        &["timeout", "t"],
        "How long to wait for the runtime, as in 2s. 0 or less is the default",
    )
    .default("2s")
    .ours(Ours::Called("rpc-timeout")),
    text(
        &["tracing-endpoint"],
        "Address of the collector, which is spoken to over gRPC",
    )
    .default("\"127.0.0.1:4317\""),
    whole(
        &["tracing-sampling-rate-per-million"],
        "How many of a million traces are sent; -1 is all",
    )
    .default("-1"),
    switch(&["version", "v"], "print the version").ours(Ours::Nothing),
];

const OUTPUT_LIST: Flag = text(&["output", "o"], "Output format, one of: json|yaml|table");
const OUTPUT_DOCUMENT: Flag = text(
    &["output", "o"],
    "Output format, one of: json|yaml|go-template|table",
);
const OUTPUT_DATA: Flag = text(&["output", "o"], "Output format, one of: json|yaml");
const TEMPLATE: Flag = text(
    &["template"],
    "The template for the output format go-template, as Go's text/template reads it",
);
const LABEL: Flag = list(&["label"], "Only those with this label, written key=value");

/// All commands, sorted by name.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    let mut all: Vec<&'static Command> = [lists::ALL, pods::ALL, streams::ALL, work::ALL]
        .into_iter()
        .flatten()
        .collect();
    all.sort_by_key(|command| command.name);
    all.into_iter()
}

/// The command of this name.
pub fn command(name: &str) -> Option<&'static Command> {
    commands().find(|command| command.name == name || command.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_means_two_things() {
        let mut names = BTreeSet::new();
        for command in commands() {
            for name in command.aliases.iter().chain([&command.name]) {
                assert!(names.insert(*name), "{name} is there twice");
            }
            let mut flags = BTreeSet::from(["help", "h"]);
            for name in command.flags.iter().flat_map(|flag| flag.names) {
                assert!(
                    flags.insert(name),
                    "{}: -{name} is there twice",
                    command.name
                );
            }
        }
        assert_eq!(commands().count(), 34);
    }
}
