//! The fourth shape of command: look at a node, judge the facts, show the report. Flags and plumbing that `doctor`,
//! `check`, `why` and `preflight` share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::keep;
use super::session::Session;
use crate::check::policy::Policy;
use crate::check::scope::{NoSuchCheck, Selector};
use crate::check::state::State;
use crate::check::{Profile, Report, Scope, Status};
use crate::error::{Error, Exit};
use crate::facts::Facts;
use crate::facts::cri::Call;
use crate::files::read;
use crate::files::replace::{Mode, replace};
use crate::probe::host_files;
use crate::probe::node::{self, Depth, Look};
use crate::registry::RuntimeId;
use crate::render::report::text::{self, Layout};
use crate::render::report::{Situation, github, junit, nagios, npd, prometheus, sarif};
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
    /// One line and an exit code for Nagios, Icinga, Naemon, Checkmk.
    Nagios,
    /// One line and an exit code for node-problem-detector.
    Npd,
    /// Metrics for a textfile collector.
    Prometheus,
    /// JUnit XML for CI systems.
    Junit,
    /// SARIF 2.1.0, of what is in files.
    Sarif,
    /// Annotations for GitHub Actions.
    Github,
}

impl ReportFormat {
    /// Whether what passed belongs into it, too.
    pub fn needs_all(self) -> bool {
        matches!(self, Self::Nagios | Self::Prometheus | Self::Junit)
    }

    /// Whether a monitoring system runs us and reads the exit code in its own way.
    pub fn is_for_plugins(self) -> bool {
        matches!(self, Self::Nagios | Self::Npd)
    }
}

/// Reads a format that makes sense for files that are judged without a node.
///
/// # Errors
/// It makes none.
pub fn of_files(text: &str) -> Result<ReportFormat, String> {
    let format = ReportFormat::from_str(text, true)?;
    if format.is_for_plugins() || format == ReportFormat::Prometheus {
        return Err(format!("`{text}` is about a node, not about files"));
    }
    Ok(format)
}

/// Where a site's policy is, below the root of the host.
const POLICY: &str = "/etc/criscope/policy.toml";

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
    /// The site's own rules [default: /etc/criscope/policy.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
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
            policy: None,
        }
    }

    /// The site's policy: the one that is named, else the host's own if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub async fn policy(
        &self,
        look: &LookArgs,
        session: &Session,
    ) -> Result<Option<Policy>, Error> {
        let (path, read) = match &self.policy {
            Some(path) => (
                path.clone(),
                read::bytes_aside(path, host_files::MAX_FILE)
                    .await
                    .map(Some),
            ),
            None => {
                let root = look.host_root.as_ref().or(session.host_root.as_ref());
                let root = root.map_or(Path::new("/"), PathBuf::as_path);
                // The examined node's own: no link of it leads to ours, and a pipe is not waited for.
                let read = host_files::read_bytes(root, Path::new(POLICY), host_files::MAX_FILE);
                let read = match read {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    read => read.map(Some),
                };
                (root.join(POLICY.trim_start_matches('/')), read)
            }
        };
        let wrong = |error: &(dyn std::error::Error + 'static)| {
            Error::usage(format!("the policy in `{}` cannot be used", path.display()))
                .because(error)
        };
        let Some(text) = read.map_err(|error| wrong(&error))? else {
            return Ok(None);
        };
        let policy =
            Policy::parse(&String::from_utf8_lossy(&text)).map_err(|error| wrong(&error))?;
        let unknown = policy.unknown();
        if !unknown.is_empty() {
            session.output.warning(format!(
                "the policy names checks that this criscope does not have: {}",
                unknown.join(", ")
            ));
        }
        Ok(Some(policy))
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
            let text = read::bytes_aside(path, keep::LARGEST)
                .await
                .map_err(|error| {
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
        let named = self.host_root.as_ref().or(session.host_root.as_ref());
        for root in named.into_iter().chain(&self.staged) {
            super::node::seen(root)?;
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
            // Something has to be left for what comes after a call that hangs.
            deadline: session.settings.timeout.min(limit.mul_f64(0.7)),
            limit,
            depth,
        };
        let facts = node::look(&look).await;
        self.keep(&facts)?;
        Ok(facts)
    }

    /// Saves the facts, if that is wanted.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self, facts: &Facts) -> Result<(), Error> {
        if let Some(path) = &self.save_facts {
            let text = structured::document(structured::Format::Json, facts)?;
            // What was seen of a node is not for everybody, even with its secrets covered.
            replace(path, &text, Mode::Always(0o600)).map_err(|error| {
                Error::failure(format!("cannot write the facts to `{}`", path.display()))
                    .because(&error)
            })?;
        }
        Ok(())
    }
}

/// Brings what the policy expects into the facts.
pub fn expect(facts: &mut Facts, scope: &Scope) {
    if let Some(policy) = &scope.policy {
        facts.expected_mirrors = policy.mirrors(&facts.taken_at);
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
    shown(
        std::slice::from_ref(report),
        format,
        &Situation::default(),
        &[],
        session,
    )
}

/// Flags that say how a report is shown and how gravely it is taken.
#[derive(Debug, Args)]
pub struct VerdictArgs {
    /// How to show the report
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        alias = "format"
    )]
    pub output: ReportFormat,
    /// Warnings count as failures
    #[arg(long)]
    pub strict: bool,
}

impl VerdictArgs {
    /// A report that was made just now as it is shown, and how the process ends with it.
    ///
    /// # Errors
    /// As [`shown`].
    pub fn on(
        &self,
        report: &Report,
        calls: &[Call],
        session: &Session,
    ) -> Result<(Vec<u8>, Exit), Error> {
        let situation = Situation {
            strict: self.strict,
            ..Situation::default()
        };
        let reports = std::slice::from_ref(report);
        let shown = shown(reports, self.output, &situation, calls, session)?;
        Ok((shown, concluded(report, self.output, &situation)))
    }
}

/// Reports in a format, with the calls that were made for them. What cannot be shown in a format is counted on stderr.
///
/// # Errors
/// As [`rendered`].
pub fn shown(
    reports: &[Report],
    format: ReportFormat,
    situation: &Situation<'_>,
    calls: &[Call],
    session: &Session,
) -> Result<Vec<u8>, Error> {
    let each = |show: &dyn Fn(&Report) -> Result<Vec<u8>, Error>| -> Result<Vec<u8>, Error> {
        let shown: Result<Vec<_>, _> = reports.iter().map(show).collect();
        Ok(shown?.concat())
    };
    let document = |format| each(&|report| Ok(structured::document(format, report)?));
    match format {
        ReportFormat::Text => each(&|report| Ok(text::text(report, layout(session)).into_bytes())),
        ReportFormat::Json => document(structured::Format::Json),
        ReportFormat::Ndjson => document(structured::Format::Ndjson),
        ReportFormat::Yaml => document(structured::Format::Yaml),
        ReportFormat::Nagios => each(&|report| Ok(nagios::line(report, situation).into_bytes())),
        ReportFormat::Npd => each(&|report| Ok(npd::line(report, situation).into_bytes())),
        ReportFormat::Prometheus => {
            each(&|report| Ok(prometheus::text(report, calls).into_bytes()))
        }
        ReportFormat::Junit => Ok(junit::text(reports, situation.strict).into_bytes()),
        ReportFormat::Github => Ok(github::text(reports).into_bytes()),
        ReportFormat::Sarif => {
            let all: usize = reports.iter().map(|report| report.problems().count()).sum();
            let told: usize = reports
                .iter()
                .map(|report| sarif::located(report).count())
                .sum();
            if told < all {
                session.output.warning(format!(
                    "{} of {all} problems are in no file and are left out of SARIF",
                    all - told
                ));
            }
            Ok(structured::document(
                structured::Format::Json,
                &sarif::document(reports),
            )?)
        }
    }
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

/// How the process ends, in the numbers of whoever reads the format.
pub fn concluded(report: &Report, format: ReportFormat, situation: &Situation<'_>) -> Exit {
    let state = situation.state(report);
    match format {
        ReportFormat::Nagios => Exit::Plugin(state.nagios()),
        ReportFormat::Npd => Exit::Plugin(situation.conclusion(report).npd()),
        _ => match situation.conclusion(report) {
            State::Critical => Exit::Failure,
            State::Unknown => Exit::Undetermined,
            State::Ok | State::Warning => Exit::Success,
        },
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
