//! `criscope check`: the engine of `doctor` for machines that ask every few seconds.
//!
//! Ends in time whatever the node does, runs once at a time on a node, and speaks the formats of monitoring systems; see
//! `docs/monitoring.md`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::args::duration;
use super::examine::{self, LookArgs, ReportFormat, ScopeArgs, VerdictArgs};
use super::history::HistoryArgs;
use super::keep::{self, Keep, Lock};
use super::node::NodeArgs;
use super::probing::{self, ProbeArgs};
use super::session::Session;
use crate::check::scope::Selector;
use crate::check::state::Unseen;
use crate::check::{self, Profile, Report, Scope, Summary};
use crate::error::{Error, Exit};
use crate::facts::{Fact, Facts};
use crate::files::read;
use crate::files::replace::{Mode, replace};
use crate::interrupt;
use crate::probe::node::Depth;
use crate::render::human;
use crate::render::report::{Situation, npd};
use crate::render::structured;

const EXAMPLES: &str = "\
Examples:
  criscope check --quick -o nagios                  one line; exit code 0, 1, 2 or 3
  criscope check --quick -o npd                     for node-problem-detector; exit code 0, 1 or 2
  criscope check --npd-config > criscope.json       its definition of a monitor
  criscope check -o prometheus --output-file /var/lib/node_exporter/criscope.prom
  criscope check --probe --splay 60s --sample 5     and could images in use be pulled now?
  criscope check -o json --all --output-file /run/criscope/report.json
  criscope check -o nagios --from-report /run/criscope/report.json   what a timer of root wrote, as anybody

Exit codes: 0 nothing failed, 1 something did, 3 something that matters could not be seen; with -o nagios 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN and all trouble; with -o npd 0 fine, 1 a problem, 2 unknown.";

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    #[command(flatten)]
    verdict: VerdictArgs,
    /// Write it to a file in one step, instead of to stdout
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// In less than a second, with at most eight calls
    #[arg(long, conflicts_with = "deep")]
    quick: bool,
    /// Ask for every container, too
    #[arg(long)]
    deep: bool,
    /// The time for everything [default: 10s; 900ms with --quick, 30s with --probe, 60s with --deep]
    #[arg(short, long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// What it is if nothing is known to be wrong and something that matters could not be seen
    #[arg(long, value_enum, value_name = "STATE", default_value = "unknown")]
    unknown: UnseenArg,
    /// Show a report that was written with `-o json`, instead of looking
    #[arg(long, value_name = "FILE", conflicts_with_all = ["facts", "save_facts", "quick", "deep"])]
    from_report: Option<PathBuf>,
    /// How old a report may be
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    max_age: Duration,
    /// Where the lock and the last report are [default: /run/criscope, or below $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print a definition of a monitor for node-problem-detector
    #[arg(long)]
    npd_config: bool,
    #[command(flatten)]
    probing: ProbeArgs,
    #[command(flatten)]
    history: HistoryArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// What becomes of what could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UnseenArg {
    /// Fine
    Ok,
    /// A warning
    Warn,
    /// Unknown
    Unknown,
}

impl From<UnseenArg> for Unseen {
    fn from(arg: UnseenArg) -> Self {
        match arg {
            UnseenArg::Ok => Self::Ok,
            UnseenArg::Warn => Self::Warn,
            UnseenArg::Unknown => Self::Unknown,
        }
    }
}

/// A report and what is known about it besides.
struct Found {
    report: Report,
    /// How old it is, if it was not made now.
    age: Option<Duration>,
    remark: Option<String>,
    calls: Vec<crate::facts::cri::Call>,
}

/// Runs `criscope check`.
///
/// # Errors
/// A report or facts cannot be read, the output cannot be written, or the lock is not to be had in time.
pub async fn run(args: &Check, session: &Session) -> Result<Exit, Error> {
    if args.npd_config {
        let program = std::env::current_exe().map_or_else(
            |_| "/usr/local/bin/criscope".to_owned(),
            |path| path.display().to_string(),
        );
        let mut text = serde_json::to_vec_pretty(&npd::monitor(&program)).map_err(|error| {
            Error::failure("the definition cannot be written as JSON").because(&error)
        })?;
        text.push(b'\n');
        session.output.data(&text)?;
        return Ok(Exit::Success);
    }
    let mut scope = args.scope.scope(Profile::Health);
    let all = std::mem::replace(&mut scope.all, true);
    scope.policy = args.scope.policy(&args.look, session).await?;
    let found = args.found(session, &scope).await?;
    let mut report = found.report;
    if !all && !args.verdict.output.needs_all() {
        report.hide_what_passed();
    }
    let stale = found.age.is_some_and(|age| age > args.max_age);
    let situation = Situation {
        strict: args.verdict.strict,
        unseen: args.unknown.into(),
        age: found.age.map(|age| (age, args.max_age)),
        stale,
        remark: found.remark.as_deref(),
    };
    let shown = examine::shown(
        std::slice::from_ref(&report),
        args.verdict.output,
        &situation,
        &found.calls,
        session,
    )?;
    match &args.output_file {
        // A timer must be able to tell this from a node where something fails.
        Some(path) => replace(path, &shown, Mode::New(0o644)).map_err(|error| {
            Error::usage(format!("cannot write `{}`", path.display())).because(&error)
        })?,
        None => session.output.report(&shown)?,
    }
    if let Some(remark) = &found.remark
        && !args.verdict.output.is_for_plugins()
    {
        session.output.warning(remark);
    }
    Ok(examine::concluded(&report, args.verdict.output, &situation))
}

impl Check {
    fn depth(&self) -> Depth {
        match (self.quick, self.deep) {
            (true, _) => Depth::Quick,
            (_, true) => Depth::Deep,
            _ => Depth::Normal,
        }
    }

    fn limit(&self) -> Duration {
        self.timeout.unwrap_or(match self.depth() {
            Depth::Quick => Duration::from_millis(900),
            // Registries are further away than the node's own socket.
            Depth::Normal if self.probing.probe => Duration::from_secs(30),
            Depth::Normal => Duration::from_secs(10),
            Depth::Deep => Duration::from_secs(60),
        })
    }

    /// Whether a verdict alone is not enough: facts are to be kept, or the calls counted.
    fn wants_facts(&self) -> bool {
        self.look.save_facts.is_some()
            || self.history.is_wanted()
            || self.verdict.output == ReportFormat::Prometheus
    }

    async fn found(&self, session: &Session, scope: &Scope) -> Result<Found, Error> {
        if let Some(path) = &self.from_report {
            return self.read_report(path, scope).await;
        }
        tokio::time::sleep(self.probing.pause()).await;
        let until = Instant::now() + self.limit();
        if self.look.facts.is_some() {
            return self.look_now(session, scope, until).await;
        }
        let Some(keep) = self.keep(session)? else {
            return self.look_now(session, scope, until).await;
        };
        let last = keep.last(self.question(session, scope));
        let busy = |error: std::io::Error| {
            Error::undetermined("cannot lock against other runs").because(&error)
        };
        let _lock: Lock = match keep.try_lock().map_err(busy)? {
            Some(lock) => lock,
            None => {
                if let Some(found) = self.last(&last).filter(|_| !self.wants_facts()) {
                    return Ok(found);
                }
                let waiting = {
                    let keep = keep.clone();
                    tokio::task::spawn_blocking(move || keep.lock())
                };
                let lock = match tokio::time::timeout_at(until, waiting).await {
                    Ok(Ok(lock)) => lock.map_err(busy)?,
                    Ok(Err(error)) => {
                        return Err(Error::failure("criscope broke off").because(&error));
                    }
                    Err(_) => {
                        return Err(Error::undetermined(
                            "another check of this node is running and was not done in time",
                        ));
                    }
                };
                // The other run may have answered the same question.
                if let Some(found) = self.last(&last).filter(|_| !self.wants_facts()) {
                    return Ok(found);
                }
                lock
            }
        };
        let found = self.look_now(session, scope, until).await?;
        // A report that cannot be kept is only missing to a second caller.
        if let Ok(text) = structured::document(structured::Format::Ndjson, &found.report)
            && let Err(error) = replace(&last, &text, Mode::Always(0o600))
        {
            tracing::debug!(%error, path = %last.display(), "the report was not kept");
        }
        keep.forget();
        Ok(found)
    }

    /// Looks at the node; what was not seen in time is unknown.
    async fn look_now(
        &self,
        session: &Session,
        scope: &Scope,
        until: Instant,
    ) -> Result<Found, Error> {
        let left = until.saturating_duration_since(Instant::now());
        // What is left at the end is for judging and writing.
        let limit = left.mul_f64(if self.probing.probe { 0.4 } else { 0.85 });
        let looking = self.look.facts(session, self.depth(), limit);
        let mut facts = match tokio::time::timeout_at(until, looking).await {
            Ok(facts) => facts?,
            Err(_) => unseen(left, self.limit().saturating_sub(left)),
        };
        if self.probing.probe {
            let node = NodeArgs {
                host_root: self.look.host_root.clone(),
                staged: self.look.staged.clone(),
                as_runtime: self.look.as_runtime.clone(),
            };
            let images = self.probing.images(&facts);
            let asking = until - left.mul_f64(0.1);
            let depth = crate::probe::registry::Depth::Resolve;
            facts.reach = probing::reach(&images, &node, depth, session, asking).await;
            self.look.keep(&facts)?;
        }
        examine::expect(&mut facts, scope);
        let report = interrupt::deaf(|| check::examine(&facts, scope));
        self.history.store(&facts, &report)?;
        Ok(Found {
            report,
            age: None,
            remark: None,
            calls: facts.calls,
        })
    }

    /// The directory for lock and report, if this user has one.
    fn keep(&self, session: &Session) -> Result<Option<Keep>, Error> {
        if let Some(directory) = &self.state_dir {
            let keep = Keep::at(directory).map_err(|error| {
                Error::usage(format!("cannot use `{}`", directory.display())).because(&error)
            })?;
            return Ok(Some(keep));
        }
        let Some(directory) = Keep::usual() else {
            return Ok(None);
        };
        match Keep::at(&directory) {
            Ok(keep) => Ok(Some(keep)),
            // A container may have no place that can be written; that is no reason not to look.
            Err(error) => {
                if !self.verdict.output.is_for_plugins() {
                    session.output.warning(format!(
                        "runs are not kept apart, because `{}` cannot be used: {error}",
                        directory.display()
                    ));
                }
                Ok(None)
            }
        }
    }

    /// Stands for everything that decides about the answer, so that a second caller gets the answer to its own question.
    fn question(&self, session: &Session, scope: &Scope) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{scope:?} {:?} {}", self.depth(), self.probing.probe).hash(&mut hasher);
        (&self.look.host_root, &self.look.staged, self.look.wake).hash(&mut hasher);
        format!("{:?} {:?}", self.look.as_runtime, session.host_root).hash(&mut hasher);
        let endpoint = session.settings.runtime_endpoint.as_ref();
        endpoint.map(|setting| &setting.value).hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        hasher.finish()
    }

    /// What an earlier run found, if it is not too old.
    fn last(&self, path: &Path) -> Option<Found> {
        let report: Report =
            serde_json::from_slice(&read::bytes(path, keep::LARGEST).ok()?).ok()?;
        let age = age(&report).ok()?;
        if age > self.max_age {
            return None;
        }
        Some(Found {
            remark: Some(format!(
                "seen {}, because another check of this node is running",
                ago(age)
            )),
            report,
            age: Some(age),
            calls: Vec::new(),
        })
    }

    async fn read_report(&self, path: &Path, scope: &Scope) -> Result<Found, Error> {
        let text = read::bytes_aside(path, keep::LARGEST)
            .await
            .map_err(|error| {
                Error::undetermined(format!("cannot read the report in `{}`", path.display()))
                    .because(&error)
            })?;
        let mut report: Report = serde_json::from_slice(&text).map_err(|error| {
            Error::undetermined(format!("`{}` holds no report", path.display()))
                .because(&error)
                .hint("reports are written by `criscope check -o json --all --output-file FILE`")
        })?;
        let age = age(&report).map_err(|text| {
            Error::undetermined(format!("the report in `{}` {text}", path.display()))
        })?;
        narrow(&mut report, scope);
        let remark = if age > self.max_age {
            format!(
                "the report was made {}, which is too long ago: more than {}",
                ago(age),
                human::duration(self.max_age)
            )
        } else {
            format!("seen {}", ago(age))
        };
        Ok(Found {
            report,
            age: Some(age),
            remark: Some(remark),
            calls: Vec::new(),
        })
    }
}

/// Facts about a node that nobody could look at in the time that was left, after waiting for another run.
fn unseen(left: Duration, waited: Duration) -> Facts {
    let reason = if waited > left {
        format!(
            "not seen within {:.1} s: another check of this node took the {:.1} s before",
            left.as_secs_f64(),
            waited.as_secs_f64()
        )
    } else {
        format!(
            "not seen within {:.1} s: something blocks in the kernel, or there is no CPU time",
            left.as_secs_f64()
        )
    };
    let mut facts = Facts {
        taken_at: jiff::Timestamp::now().to_string(),
        ..Facts::default()
    };
    facts.host.live = true;
    facts.endpoints = Fact::unknown(reason.clone());
    facts.processes = Fact::unknown(reason);
    facts
}

/// How old a report is.
fn age(report: &Report) -> Result<Duration, String> {
    let made: jiff::Timestamp = report
        .started_at
        .parse()
        .map_err(|_| "does not say when it was made".to_owned())?;
    let passed = jiff::Timestamp::now().duration_since(made);
    if passed.as_secs() < -5 {
        return Err(format!("was made in the future, at {}", report.started_at));
    }
    Ok(passed.unsigned_abs())
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "just now".to_owned(),
        seconds @ 1..120 => format!("{seconds} s ago"),
        _ => format!("{} ago", human::duration(age)).to_lowercase(),
    }
}

/// Leaves only what the flags choose.
fn narrow(report: &mut Report, scope: &Scope) {
    let fits = |finding: &check::Finding, selectors: &[Selector]| {
        selectors.iter().any(|selector| match selector {
            Selector::Check(code) => finding.code.as_str() == *code,
            Selector::Area(area) => finding.area == *area,
        })
    };
    if scope.only.is_empty() && scope.skip.is_empty() && scope.caps.is_empty() {
        return;
    }
    report.findings.retain(|finding| {
        (scope.only.is_empty() || fits(finding, &scope.only)) && !fits(finding, &scope.skip)
    });
    for finding in &mut report.findings {
        if let Some(most) = scope.caps.get(finding.code.as_str()) {
            finding.status = finding.status.at_most(*most);
        }
    }
    let mut summary = Summary {
        waived: report.summary.waived,
        ..Summary::default()
    };
    for (_, findings) in report.by_check() {
        if let Some(worst) = findings.first() {
            summary.add(worst.status);
        }
    }
    report.summary = summary;
}
