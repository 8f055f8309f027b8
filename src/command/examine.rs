//! The fourth shape of command: look at a node, judge the facts, show the report. Flags and plumbing that `doctor`,
//! `check`, `why` and `preflight` share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::session::Session;
use crate::check::scope::{NoSuchCheck, Selector};
use crate::check::{Profile, Report, Scope, Status};
use crate::error::{Error, Exit};
use crate::facts::Facts;
use crate::probe::node::{self, Depth, Look};
use crate::registry::RuntimeId;
use crate::render::report::text::{self, Layout};
use crate::render::structured;

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// One indented JSON document.
    Json,
    /// The same document on one line.
    Ndjson,
    /// YAML.
    Yaml,
}

/// Flags that choose checks and what becomes of their verdicts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Checks")]
pub struct ScopeArgs {
    /// Only these checks or areas, whatever the profile says
    #[arg(long, value_name = "CODE|AREA", value_delimiter = ',', value_parser = selector)]
    pub only: Vec<Selector>,
    /// Not these checks or areas
    #[arg(long, value_name = "CODE|AREA", value_delimiter = ',', value_parser = selector)]
    pub skip: Vec<Selector>,
    /// The worst that a check may end in, as in `cni-config-present=warn`
    #[arg(long, value_name = "CODE=STATUS", value_delimiter = ',', value_parser = cap)]
    pub severity: Vec<(String, Status)>,
    /// Which set of checks
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    pub profile: Option<Profile>,
    /// Show what passed, too
    #[arg(long)]
    pub all: bool,
}

impl ScopeArgs {
    /// What is judged.
    pub fn scope(&self, default: Profile) -> Scope {
        Scope {
            profile: self.profile.unwrap_or(default),
            only: self.only.clone(),
            skip: self.skip.clone(),
            caps: self.severity.iter().cloned().collect(),
            all: self.all,
        }
    }
}

/// Flags that say which node is looked at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub struct LookArgs {
    /// Examine the host below this directory: a mounted disk, a tree of files, /host in a container
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
    /// Lay a configuration that is about to be shipped over the host's
    #[arg(long, value_name = "DIR")]
    pub staged: Option<PathBuf>,
    /// Judge facts that were saved, instead of looking
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save_facts", "staged"])]
    pub facts: Option<PathBuf>,
    /// Keep what was seen, to be judged again with `--facts`
    #[arg(long, value_name = "FILE")]
    pub save_facts: Option<PathBuf>,
    /// Judge files by the rules of this runtime instead of the one that runs, as in containerd@1.7.28
    #[arg(long = "as", value_name = "NAME@VERSION")]
    pub as_runtime: Option<RuntimeId>,
    /// Wake a service that waits for the first connection
    #[arg(long)]
    pub wake: bool,
}

impl LookArgs {
    /// Looks at the node, or reads what was seen earlier.
    ///
    /// # Errors
    /// A file of facts cannot be read or written.
    pub async fn facts(
        &self,
        session: &Session,
        depth: Depth,
        limit: Duration,
    ) -> Result<Facts, Error> {
        if let Some(path) = &self.facts {
            let text = std::fs::read(path).map_err(|error| {
                Error::usage(format!("cannot read the facts in `{}`", path.display()))
                    .because(&error)
            })?;
            let mut facts: Facts = serde_json::from_slice(&text).map_err(|error| {
                Error::usage(format!("`{}` holds no facts", path.display()))
                    .because(&error)
                    .hint("facts are written by `criscope doctor --save-facts FILE`")
            })?;
            if let Some(runtime) = &self.as_runtime {
                facts.assumed = Some(runtime.to_string());
            }
            return Ok(facts);
        }
        let look = Look {
            root: self
                .host_root
                .clone()
                .or_else(|| session.host_root.clone())
                .unwrap_or_else(|| PathBuf::from("/")),
            staged: self.staged.clone(),
            set: session.given()?,
            wake: self.wake,
            assumed: self.as_runtime.as_ref().map(ToString::to_string),
            deadline: session.settings.timeout,
            limit,
            depth,
        };
        let facts = node::look(&look).await;
        if let Some(path) = &self.save_facts {
            let text = serde_json::to_vec_pretty(&facts).map_err(|error| {
                Error::failure("the facts cannot be written as JSON").because(&error)
            })?;
            std::fs::write(path, text).map_err(|error| {
                Error::failure(format!("cannot write the facts to `{}`", path.display()))
                    .because(&error)
            })?;
        }
        Ok(facts)
    }
}

/// A report in a format.
///
/// # Errors
/// It cannot be written in this format, which would be a defect.
pub fn rendered(
    report: &Report,
    format: ReportFormat,
    session: &Session,
) -> Result<Vec<u8>, Error> {
    Ok(match format {
        ReportFormat::Text => text::text(report, layout(session)).into_bytes(),
        ReportFormat::Json => structured::document(structured::Format::Json, report)?,
        ReportFormat::Ndjson => structured::document(structured::Format::Ndjson, report)?,
        ReportFormat::Yaml => structured::document(structured::Format::Yaml, report)?,
    })
}

/// How wide and colourful stdout is.
fn layout(session: &Session) -> Layout {
    let stdout = std::io::stdout();
    let width = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    Layout {
        width: if session.output.terminal && width > 0 {
            usize::from(width)
        } else {
            Layout::default().width
        },
        colour: session.output.terminal && colour,
    }
}

/// How the process ends: failures are 1, warnings only where it is strict; where nothing failed and something that
/// matters could not be seen, 3.
pub fn exit(report: &Report, strict: bool) -> Exit {
    match report.worst() {
        Status::Fail => Exit::Failure,
        Status::Warn if strict => Exit::Failure,
        _ if report.is_blind() => Exit::Undetermined,
        _ => Exit::Success,
    }
}

fn selector(word: &str) -> Result<Selector, String> {
    Selector::parse(word).map_err(|error| no_such_check(&error))
}

fn no_such_check(error: &NoSuchCheck) -> String {
    if error.near.is_empty() {
        format!("{error}; `criscope doctor --list-checks` lists them")
    } else {
        format!("{error}; did you mean `{}`?", error.near.join("` or `"))
    }
}

fn profile(word: &str) -> Result<Profile, String> {
    let known = Profile::ALL.iter().find(|profile| profile.name() == word);
    known.copied().ok_or_else(|| {
        let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
        format!(
            "there is no profile `{word}`: expected one of {}",
            names.join(", ")
        )
    })
}

fn cap(text: &str) -> Result<(String, Status), String> {
    let (code, status) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form `CODE=STATUS`"))?;
    let code = match Selector::parse(code) {
        Ok(Selector::Check(code)) => code.to_owned(),
        Ok(Selector::Area(_)) => return Err(format!("`{code}` is an area: name a check")),
        Err(error) => return Err(no_such_check(&error)),
    };
    let status = match status {
        "pass" | "ok" => Status::Pass,
        "warn" => Status::Warn,
        "fail" => Status::Fail,
        _ => {
            return Err(format!(
                "`{status}` is no status: expected pass, warn or fail"
            ));
        }
    };
    Ok((code, status))
}
