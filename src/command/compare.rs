//! `criscope compare`: reports or saved facts side by side: one node at two times, or many nodes, the odd ones first.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::keep;
use super::session::Session;
use crate::check::compare::compare;
use crate::check::{self, Profile, Report, Scope};
use crate::error::{Error, Exit};
use crate::facts::Facts;
use crate::files::read;
use crate::interrupt;
use crate::render::report::comparison;
use crate::render::structured;

const EXAMPLES: &str = "\
Examples:
  criscope compare yesterday.json today.json      what has changed on a node
  criscope compare reports/*.json                 which node is not like the others
  criscope compare /var/lib/criscope/history      what `check --history` kept

Files are reports (`-o json --all`) or facts (`--save-facts`). Exit codes: 0 alike, 1 they differ.";

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// Reports or facts, or directories of them
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// How to show it
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        alias = "format"
    )]
    output: Format,
}

/// How a comparison is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One indented JSON document.
    Json,
    /// The same document on one line.
    Ndjson,
    /// YAML.
    Yaml,
}

/// Runs `criscope compare`.
///
/// # Errors
/// A file cannot be read, is neither a report nor facts, or there are less than two.
pub async fn run(args: &Compare, session: &Session) -> Result<Exit, Error> {
    let mut reports = Vec::new();
    for path in files(&args.paths)? {
        reports.push(report(&path).await?);
    }
    if reports.len() < 2 {
        return Err(Error::usage("one report has nothing to be compared with"));
    }
    let found = compare(&reports);
    let shown = match args.output {
        Format::Text => comparison::text(&found).into_bytes(),
        Format::Json => structured::document(structured::Format::Json, &found)?,
        Format::Ndjson => structured::document(structured::Format::Ndjson, &found)?,
        Format::Yaml => structured::document(structured::Format::Yaml, &found)?,
    };
    session.output.data(&shown)?;
    Ok(if found.rows.iter().any(check::compare::Row::differs) {
        Exit::Failure
    } else {
        Exit::Success
    })
}

/// The files, those of directories in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let wrong = |error: std::io::Error| {
            Error::usage(format!("cannot list `{}`", path.display())).because(&error)
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(wrong)? {
            let file = entry.map_err(wrong)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// A report; facts are judged.
async fn report(path: &Path) -> Result<Report, Error> {
    let text = read::bytes_aside(path, keep::LARGEST)
        .await
        .map_err(|error| {
            Error::usage(format!("cannot read `{}`", path.display())).because(&error)
        })?;
    let wrong = |error: serde_json::Error| {
        Error::usage(format!(
            "`{}` is neither a report nor facts",
            path.display()
        ))
        .because(&error)
        .hint("they are written by `criscope doctor -o json --all` and `--save-facts FILE`")
    };
    let document: Document = serde_json::from_slice(&text).map_err(wrong)?;
    if document.kind == "Facts" {
        let facts: Facts = serde_json::from_slice(&text).map_err(wrong)?;
        let mut scope = Scope::of(Profile::Node);
        scope.all = true;
        return Ok(interrupt::deaf(|| check::examine(&facts, &scope)));
    }
    serde_json::from_slice(&text).map_err(wrong)
}

/// What every document of ours says first.
#[derive(serde::Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
}
