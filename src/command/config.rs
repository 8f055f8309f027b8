//! `criscope config`: reads and changes `crictl.yaml`, which both programs share.
//!
//! Comments, quotes, the order and unknown keys stay, the file is replaced as a whole or not at all. In crictl's place
//! it is written as crictl does: every key, no blank lines.

use std::fs;
use std::io;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use super::act::Rehearsal;
use super::args::{DocumentFormat, TemplateText};
use super::session::Session;
use crate::error::{Error, Exit};
use crate::files::read;
use crate::files::replace::{Mode, replace};
use crate::render::{list, sanitize};
use crate::settings::file::{Document, Key, Layout};

const EXAMPLES: &str = "\
Examples:
  criscope config                            what the file says
  criscope config timeout                    one option of it
  criscope config --set timeout=10,debug=true
  criscope --config ./crictl.yaml config --set runtime-endpoint=unix:///run/crio/crio.sock

Options: runtime-endpoint, image-endpoint, timeout (seconds), debug, pull-image-on-create, disable-pull-on-run,
max-retries (crictl's).";

/// Who may read a new file: there is nothing secret in it, and crictl's 0600 is why it works for root alone.
const MODE: u32 = 0o644;

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    /// Show the value of this option
    #[arg(long, value_name = "OPTION", conflicts_with_all = ["set", "list", "words"])]
    get: Option<String>,
    /// Set an option; repeatable, and commas separate too
    #[arg(long, value_name = "OPTION=VALUE", value_delimiter = ',', conflicts_with_all = ["list", "words"])]
    set: Vec<String>,
    /// Show all options
    #[arg(long, conflicts_with = "words")]
    list: bool,
    /// An option to show, or an option and its new value
    #[arg(value_name = "OPTION [VALUE]", num_args = 0..=2)]
    words: Vec<String>,
    /// How to show all options
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        alias = "format"
    )]
    output: DocumentFormat,
    #[command(flatten)]
    template: TemplateText,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope config`.
///
/// # Errors
/// There is no such option, a value does not fit, or the file cannot be read or written.
pub fn run(args: &Config, session: &Session) -> Result<Exit, Error> {
    let path = &session.settings.path;
    let text = read(path)?;
    let mut document = Document::parse(text.as_deref().unwrap_or_default()).map_err(|foreign| {
        Error::failure(format!("`{}` cannot be edited", path.display()))
            .because(&foreign)
            .hint("it may be valid YAML, but only `key: value` lines can be changed here; edit it by hand")
    })?;
    let named = |name: &str| {
        Key::named(name).ok_or_else(|| {
            let all: Vec<&str> = Key::ALL.iter().map(|key| key.name()).collect();
            Error::usage(format!("no configuration option named {name}"))
                .hint(format!("the options are {}", all.join(", ")))
        })
    };
    let shown = match (&args.get, &*args.words) {
        (Some(name), _) => Some(name),
        (None, [name]) => Some(name),
        _ => None,
    };
    if let Some(name) = shown {
        let key = named(name)?;
        let value = document.value(key).unwrap_or(key.zero());
        session.lines(&[value.to_owned()])?;
        return Ok(Exit::Success);
    }
    let mut changes = Vec::new();
    for setting in &args.set {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Error::usage(format!("incorrectly specified option: {setting}"))
                .hint("write it as `timeout=10`")
        })?;
        changes.push((named(name)?, value));
    }
    if let [name, value] = &*args.words {
        changes.push((named(name)?, value.as_str()));
    }
    if changes.is_empty() {
        if text.is_none() {
            session
                .output
                .status(format!("{} is not there; nothing is set", path.display()));
        }
        session.output.data(&args.show(&document, path)?)?;
        return Ok(Exit::Success);
    }
    let layout = match session.dialect.is_crictl() {
        true => Layout::Crictl,
        false => Layout::Kept,
    };
    if layout == Layout::Crictl {
        document.complete();
    }
    for (key, value) in changes {
        let value = key.value(value).map_err(|misfit| Error::usage(&misfit))?;
        document.set(key, &value);
    }
    let text = document.text(layout);
    if args.rehearsal.dry_run {
        session.output.data(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    write(path, &text).map_err(|error| {
        Error::failure(format!("cannot write `{}`", path.display())).because(&error)
    })?;
    session
        .output
        .status(format!("{} is written", path.display()));
    Ok(Exit::Success)
}

impl Config {
    fn show(&self, document: &Document, path: &Path) -> Result<Vec<u8>, Error> {
        let value = |key: Key| document.value(key).unwrap_or(key.zero());
        let as_json = || {
            let option = |key: Key| (key.name().to_owned(), typed(key, value(key)));
            let options: Map<String, Value> = Key::ALL.into_iter().map(option).collect();
            Ok(json!({
                "apiVersion": "criscope/v1",
                "kind": "Config",
                "file": path.display().to_string(),
                "options": options,
            }))
        };
        if let Some(bytes) = self.output.write(&self.template, as_json)? {
            return Ok(bytes);
        }
        let mut grid = vec![vec!["KEY".to_owned(), "VALUE".to_owned()]];
        grid.extend(Key::ALL.into_iter().map(|key| {
            let value = sanitize::line(value(key)).into_owned();
            vec![key.name().to_owned(), value]
        }));
        Ok(list::align(&grid).into_bytes())
    }
}

/// A value as JSON has it; one that does not fit stays text.
fn typed(key: Key, text: &str) -> Value {
    match key {
        Key::RuntimeEndpoint | Key::ImageEndpoint => Value::from(text),
        Key::Timeout | Key::MaxRetries => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text),
        },
        Key::Debug | Key::PullImageOnCreate | Key::DisablePullOnRun => match key.value(text) {
            Ok(value) => Value::from(value == "true"),
            Err(_) => Value::from(text),
        },
    }
}

/// The text of the file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match read::text(path, 1 << 20) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Error::failure(format!("cannot read `{}`", path.display())).because(&error))
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    replace(path, text.as_bytes(), Mode::New(MODE))
}
