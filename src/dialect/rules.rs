//! What a command of crictl says or leaves out before it asks a runtime anything: how many operands it takes, which
//! formats and states it knows, which flags exclude each other, and which values say nothing.

use super::arguments::{Given, Read};
use super::help;
use super::turn::Said;
use super::words::{Answer, Command, Flag, Formats, Kind, Other};

/// What crictl says or leaves out before it asks a runtime anything.
pub(super) fn adjusted(command: &'static Command, mut read: Read) -> Result<Read, Said> {
    sweep(command, &mut read)?;
    count_operands(command, &read)?;
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
    pairs(&read)?;
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
            return Err(Said::error(
                "cannot specify CONTAINER-ID(s) when using --all",
            ));
        }
        "rm" | "rmp" if all => read.operands.clear(),
        "rmi" if all || prune => {
            read.operands.clear();
            if prune {
                read.given.retain(|given| given.flag.name() != "all");
            }
        }
        _ => {}
    }
    Ok(())
}

fn count_operands(command: &'static Command, read: &Read) -> Result<(), Said> {
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
        Answer::Error(message) => Err(Said::error(message)),
        Answer::Ignore => Ok(()),
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
        Err(Said::error(message))
    }
}

/// Labels and annotations have exactly one `=`.
fn pairs(read: &Read) -> Result<(), Said> {
    let lists = read
        .given
        .iter()
        .filter(|given| matches!(given.flag.name(), "label" | "annotation"));
    for pair in lists.flat_map(|given| given.value.split(',')) {
        if pair.matches('=').count() != 1 {
            return Err(Said::error(format!("incorrectly specified label: {pair}")));
        }
    }
    Ok(())
}

fn output(command: &'static Command, read: &mut Read) -> Result<(), Said> {
    let Some(Formats { known, other }) = command.formats else {
        return Ok(());
    };
    let format = read.last("output").unwrap_or_default().to_owned();
    if !format.is_empty() && !known.contains(&format.as_str()) {
        match other {
            Other::Table => read.given.retain(|given| given.flag.name() != "output"),
            Other::Help => return Err(Said::help(help::of_command(command))),
            Other::Error(message) => {
                return Err(Said::error(message.replace('%', &format!("{format:?}"))));
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
