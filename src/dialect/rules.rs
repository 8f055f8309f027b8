//! What a command of crictl says or leaves out before it asks a runtime anything: how many operands it takes, which
//! formats and states it knows, which flags exclude each other, and which values say nothing.

use regex_lite::Regex;

use super::arguments::{Given, Read};
use super::doing;
use super::help;
use super::turn::Said;
use super::words::{Answer, Command, Flag, Formats, Kind, Other};

/// What crictl says or leaves out before it asks a runtime anything.
pub(super) fn adjusted(command: &'static Command, mut read: Read) -> Result<Read, Said> {
    sweep(command, &mut read)?;
    count_operands(command, &mut read)?;
    if matches!(command.name, "pull" | "create" | "run") {
        credentials(&mut read)?;
    }
    match command.name {
        "checkpoint" if read.last("export").unwrap_or_default().is_empty() => {
            return Err(Said::error(
                "cannot checkpoint a container without specifying the checkpoint destination. \
                 Use --export=/path/to/checkpoint.tar",
            ));
        }
        "completion" => shell(&read)?,
        "config" if read.given.is_empty() && read.operands.is_empty() => {
            return Err(Said::help(help::of_command(command)));
        }
        "pull" if read.operands.iter().any(|name| name.is_empty()) => {
            return Err(Said::error("image name cannot be empty"));
        }
        "pull"
            if read
                .last("pull-timeout")
                .is_some_and(|it| it.starts_with('-')) =>
        {
            return Err(Said::error(
                "pulling image: timeout should be bigger than 0",
            ));
        }
        "config" => one_of_config(&mut read),
        "logs" => streams(&read)?,
        "create" | "run" if read.is_on("no-pull") && read.is_on("with-pull") => {
            return Err(Said::error("conflict: no-pull and with-pull are both set"));
        }
        "events" => template_of_events(&read)?,
        "exec" => exec(command, &mut read)?,
        // `--id` beats the operand.
        "stats" | "statsp" if !read.last("id").unwrap_or_default().is_empty() => {
            read.operands.clear();
        }
        // Nothing to change is a request that changes nothing.
        "update" if read.given.is_empty() => zero(command, &mut read, "memory"),
        "update-runtime-config" if read.given.is_empty() => {
            return Err(Said::help(help::of_command(command)));
        }
        _ => {}
    }
    states(command, &read)?;
    pairs(command, &read)?;
    patterns(command, &read)?;
    output(command, &mut read)?;
    read.given
        .retain(|given| is_said(command, given.flag, &given.value));
    for given in &mut read.given {
        let is_pattern = matches!(given.flag.name(), "name" | "namespace");
        // Among ours `=NAME` is a name and no pattern.
        if is_pattern && command.name != "inspecti" && given.value.starts_with('=') {
            given.value.replace_range(..1, "[=]");
        }
    }
    Ok(read)
}

/// `--get` beats `--set`, that `--list`, and each of them what stands behind.
fn one_of_config(read: &mut Read) {
    let chosen = ["get", "set", "list"]
        .into_iter()
        .find(|name| read.has(name));
    match chosen {
        Some(chosen) => {
            read.given.retain(|given| given.flag.name() == chosen);
            read.operands.clear();
        }
        None => read.operands.truncate(2),
    }
}

/// Which streams of a log can be shown.
fn streams(read: &Read) -> Result<(), Said> {
    if let Some(stream) = read.last("stream")
        && !matches!(stream, "" | "stdout" | "stderr")
    {
        return Err(Said::error(format!(
            "invalid stream {stream:?}, must be \"stdout\" or \"stderr\""
        )));
    }
    if read.has("tail") && read.has("stream") {
        return Err(Said::error("--tail and --stream are mutually exclusive"));
    }
    Ok(())
}

/// A name, whose password is asked for, beats the other two, and they exclude each other.
fn credentials(read: &mut Read) -> Result<(), Said> {
    let is_said = |name: &str| read.last(name).is_some_and(|value| !value.is_empty());
    if is_said("username") {
        read.given
            .retain(|given| !matches!(given.flag.name(), "creds" | "auth"));
    } else if is_said("creds") && is_said("auth") {
        return Err(Said::error("both `--creds` and `--auth` are specified"));
    }
    Ok(())
}

/// `-a` and its kin: what is taken then.
fn sweep(command: &'static Command, read: &mut Read) -> Result<(), Said> {
    let (all, prune) = (read.is_on("all"), read.is_on("prune"));
    match command.name {
        "stop" if all && !read.operands.is_empty() => {
            return Err(Said::bare(
                "cannot specify CONTAINER-ID(s) when using --all",
            ));
        }
        "rm" | "rmp" if all => read.operands.clear(),
        "rmi" if all || prune => {
            if prune {
                // What is named goes, too.
                read.given.retain(|given| given.flag.name() != "all");
            } else {
                read.operands.clear();
            }
        }
        _ => {}
    }
    Ok(())
}

fn count_operands(command: &'static Command, read: &mut Read) -> Result<(), Said> {
    let rule = command.operands;
    let count = read.operands.len();
    let sweeps = matches!(command.name, "rm" | "rmi" | "rmp" | "stop")
        && (read.is_on("all") || read.is_on("prune"));
    let answer = match count {
        _ if count < rule.least && !sweeps => rule.lacking,
        _ if count > rule.most => rule.excess,
        _ => return Ok(()),
    };
    match answer {
        Answer::Help => Err(Said::help(help::of_command(command))),
        // The only one that leaves with urfave/cli's own words instead of an error.
        Answer::Error(message) if command.name == "stop" => Err(Said::bare(message)),
        Answer::Error(message) => Err(Said::error(message)),
        Answer::Ignore => {
            read.operands.truncate(rule.most);
            Ok(())
        }
    }
}

fn shell(read: &Read) -> Result<(), Said> {
    match read.operands.first().map(|shell| shell.to_string_lossy()) {
        None => Ok(()),
        Some(shell) if matches!(&*shell, "bash" | "zsh" | "fish") => Ok(()),
        Some(_) => Err(Said::error("only bash, zsh or fish are supported")),
    }
}

fn template_of_events(read: &Read) -> Result<(), Said> {
    let format = read.last("output").unwrap_or("json");
    let has_template = !read.last("template").unwrap_or_default().is_empty();
    if has_template && matches!(format, "json" | "yaml") {
        return Err(Said::error(format!(
            "template can't be used with {format:?} format"
        )));
    }
    Ok(())
}

fn exec(command: &'static Command, read: &mut Read) -> Result<(), Said> {
    const FILTERS: [&str; 7] = ["name", "pod", "image", "state", "label", "latest", "last"];
    let by_filter = FILTERS.iter().any(|name| read.has(name));
    if !by_filter && read.operands.len() < 2 {
        return Err(Said::help(help::of_command(command)));
    }
    // Without a stream there is neither an input nor a terminal.
    if read.is_on("sync") {
        read.given
            .retain(|given| !matches!(given.flag.name(), "tty" | "interactive"));
    }
    Ok(())
}

fn zero(command: &'static Command, read: &mut Read, name: &str) {
    let flag = command.flags.iter().find(|flag| flag.name() == name);
    read.given.extend(flag.map(|flag| Given {
        flag,
        value: "0".to_owned(),
    }));
}

fn states(command: &'static Command, read: &Read) -> Result<(), Said> {
    let Some(state) = read.last("state").filter(|state| !state.is_empty()) else {
        return Ok(());
    };
    let (known, message): (&[&str], _) = match command.name {
        "pods" | "inspectp" => (
            &["ready", "notready"],
            "--state should be ready or notready",
        ),
        _ => (
            &["created", "running", "exited", "unknown"],
            "--state should be one of created, running, exited or unknown",
        ),
    };
    if known.contains(&state.to_ascii_lowercase().as_str()) {
        Ok(())
    } else {
        let doing = doing::of_filter(command.name);
        Err(Said::error(format!("{doing}{message}")))
    }
}

/// Expressions that are none.
fn patterns(command: &'static Command, read: &Read) -> Result<(), Said> {
    let doing = doing::of_filter(command.name);
    let is_pattern =
        |name: &str| matches!(name, "name" | "namespace") && command.name != "inspecti";
    for given in &read.given {
        if is_pattern(given.flag.name())
            && let Err(error) = Regex::new(&given.value)
        {
            let (pattern, error) = (&given.value, in_go_words(&given.value, &error));
            return Err(Said::error(format!(
                "{doing}invalid regular expression {pattern:?}: {error}"
            )));
        }
    }
    for filter in filters(read) {
        match filter.split_once('=') {
            Some(("reference", pattern)) => {
                Regex::new(pattern).map_err(|error| {
                    Said::error(format!("{doing}{}", in_go_words(pattern, &error)))
                })?;
            }
            Some(("dangling" | "before" | "since", _)) => {}
            _ => return Err(Said::error(format!("{doing}unknown filter flag: {filter}"))),
        }
    }
    Ok(())
}

/// The conditions for images; no condition at all is one that is not known.
fn filters(read: &Read) -> impl Iterator<Item = &str> {
    let given = read.given.iter();
    let given = given.filter(|given| given.flag.name() == "filter");
    given.flat_map(|given| given.value.split(','))
}

/// Go's words for the mistake that is made most, with ours for the others.
fn in_go_words(pattern: &str, error: &regex_lite::Error) -> String {
    let error = error.to_string();
    match error.as_str() {
        "found unclosed character class" => {
            let rest = pattern.rfind('[').and_then(|at| pattern.get(at..));
            let rest = rest.unwrap_or(pattern);
            format!("error parsing regexp: missing closing ]: `{rest}`")
        }
        _ => format!("error parsing regexp: {error}"),
    }
}

/// Labels and annotations have exactly one `=`.
fn pairs(command: &Command, read: &Read) -> Result<(), Said> {
    let lists = read
        .given
        .iter()
        .filter(|given| matches!(given.flag.name(), "label" | "annotation"));
    for pair in lists.flat_map(|given| given.value.split(',')) {
        if pair.matches('=').count() != 1 {
            let doing = match command.name {
                "inspectp" => "parse label string slice: ",
                _ => "",
            };
            return Err(Said::error(format!(
                "{doing}incorrectly specified label: {pair}"
            )));
        }
    }
    Ok(())
}

fn output(command: &'static Command, read: &mut Read) -> Result<(), Said> {
    let Some(Formats { known, other }) = command.formats else {
        return Ok(());
    };
    let flag = command.flags.iter().find(|flag| flag.name() == "output");
    // Set to nothing it is none of those, unless nothing is what it is without being set.
    let is_usual = flag.is_none_or(|flag| flag.default.is_empty());
    let given = read.last("output").filter(|it| !it.is_empty() || !is_usual);
    let format = given.unwrap_or_default().to_owned();
    if given.is_some_and(|given| !known.contains(&given)) {
        match other {
            Other::Table => read.given.retain(|given| given.flag.name() != "output"),
            Other::Help => return Err(Said::help(help::of_command(command))),
            Other::Error(message) => {
                let message = message.replace('%', &format!("{format:?}"));
                let doing = match command.name {
                    // The only ones that look at the format before they do anything.
                    "events" | "imagefsinfo" => "",
                    name => doing::of_work(name),
                };
                return Err(Said::error(format!("{doing}{message}")));
            }
        }
    }
    // A template is looked at only where it is asked for; asked for and not given it is an empty one.
    if format != "go-template" {
        read.given.retain(|given| given.flag.name() != "template");
    } else if !read.has("template") {
        let flag = command.flags.iter().find(|flag| flag.name() == "template");
        read.given.extend(flag.map(|flag| Given {
            flag,
            value: String::new(),
        }));
    }
    Ok(())
}

/// Whether a value says anything: what is empty, and numbers that stand for "no limit", do not.
pub(super) fn is_said(command: &'static Command, flag: &Flag, value: &str) -> bool {
    match flag.kind {
        Kind::Text => !value.is_empty() || matches!(flag.name(), "template" | "pod-cidr" | "get"),
        Kind::List => !value.is_empty(),
        Kind::Span => is_positive(value),
        Kind::Whole => match (command.name, flag.name()) {
            ("update", _) => true,
            ("logs", "tail" | "limit-bytes") => !value.starts_with('-'),
            _ => is_positive(value),
        },
        Kind::Switch => true,
    }
}

fn is_positive(number: &str) -> bool {
    !number.starts_with('-') && number.bytes().any(|b| matches!(b, b'1'..=b'9'))
}
