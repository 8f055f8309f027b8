//! `criscope config`: reads and changes `crictl.yaml`, which both programs share.
//!
//! Comments, quotes, the order and unknown keys stay, the file is replaced as a whole or not at all. In crictl's place
//! it is written as crictl does: every key, no blank lines.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::act::Rehearsal;
use super::args::{DocumentFormat, TemplateText};
use super::session::Session;
use crate::error::{Error, Exit};
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
    const LIMIT: u64 = 1024 * 1024;
    let failed = |error: io::Error| {
        Error::failure(format!("cannot read `{}`", path.display())).because(&error)
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > LIMIT => {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Replaces the file as a whole: whoever reads it meanwhile sees the old one or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it points to is replaced.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&directory)?;
    let before = fs::metadata(&path).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    let written = draw_up(&draft, text, before.as_ref()).and_then(|()| fs::rename(&draft, &path));
    match written {
        // A single file that is mounted into a container cannot be replaced, only overwritten.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            fs::remove_file(&draft)?;
            fs::write(&path, text)
        }
        Err(error) => {
            // Whether it could be made at all is in the error.
            let _ = fs::remove_file(&draft);
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

fn draw_up(draft: &Path, text: &str, before: Option<&fs::Metadata>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(draft)?;
    if let Some(before) = before {
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        // Only root may give a file away; to others it belongs already.
        let _ = chown(draft, Some(before.uid()), Some(before.gid()));
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
