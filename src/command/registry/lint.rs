//! `criscope registry lint`: what is wrong with a registry configuration, told as a compiler tells it. All faults in one
//! pass, and what will still be wrong once they are corrected.
//!
//! Without arguments the node's own files are read; a file, a directory or standard input needs no node.

use std::path::PathBuf;

use clap::Args;

use super::super::examine::{self, ReportFormat};
use super::super::node::{self, NodeArgs};
use super::super::session::Session;
use super::given::Given;
use crate::check::Status;
use crate::check::remark::{Alias, Frame, patch, report};
use crate::error::{Error, Exit};
use crate::interrupt;
use crate::registry::declared::Declared;
use crate::registry::in_force::Read;
use crate::registry::lint::{Remark, lint};
use crate::registry::version::RuntimeId;
use crate::render::report::Situation;

const EXAMPLES: &str = "\
Examples:
  criscope registry lint                                  the node's own files
  criscope registry lint config.toml                      one file, before it is shipped
  criscope registry lint ./node-image --as containerd@2.1.4
  criscope registry lint config.toml --diff | patch config.toml
  criscope explain containerd-singular-table              what a code means

Files are known by their name: hosts.toml, registries.conf, registries.yaml, daemon.json, else config.toml, whose imports
are read where they lie beside it.
Exit codes: 0 nothing that matters, 1 something is wrong, 3 nothing could be read, or not all.";

/// Arguments of `registry lint`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Lint {
    /// Files, or directories with a node's files; `-` is a config.toml on standard input
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Show the corrections as a patch
    #[arg(long)]
    diff: bool,
    /// Warnings count as failures
    #[arg(long)]
    strict: bool,
    /// How to show the report
    #[arg(
        short,
        long,
        value_name = "text|json|ndjson|yaml|junit|sarif|github",
        default_value = "text",
        alias = "format",
        value_parser = examine::of_files
    )]
    output: ReportFormat,
    #[command(flatten)]
    node: NodeArgs,
}

/// Files that are judged together.
struct Subject {
    declared: Declared,
    runtime: RuntimeId,
    aliases: Vec<Alias>,
    /// Files that were made up to give the others their place.
    scaffold: Option<PathBuf>,
}

/// Runs `criscope registry lint`.
///
/// # Errors
/// A file cannot be read, no runtime is known, or stdout cannot be written.
pub async fn run(args: &Lint, session: &Session) -> Result<Exit, Error> {
    let subjects = args.subjects(session).await?;
    let mut exit = Exit::Success;
    let mut patches = String::new();
    let mut reports = Vec::new();
    let situation = Situation {
        strict: args.strict,
        ..Situation::default()
    };
    for subject in &subjects {
        let mut remarks = interrupt::deaf(|| lint(&subject.declared, &subject.runtime));
        remarks.retain(|remark| !subject.is_scaffold(remark));
        let report = report(
            &remarks,
            &subject.declared,
            &Frame {
                runtime: &subject.runtime,
                host: String::new(),
                started_at: jiff::Timestamp::now().to_string(),
                aliases: &subject.aliases,
                scaffold: subject.scaffold.as_deref(),
            },
        );
        exit = exit.or_worse(examine::concluded(&report, args.output, &situation));
        if args.diff {
            let made = patch(
                &remarks,
                &subject.declared,
                &subject.runtime,
                &subject.aliases,
            );
            patches.push_str(&made.text);
            if made.hidden > 0 {
                session.output.warning(format!(
                    "{} corrections are left out, because they would show a secret",
                    made.hidden
                ));
            }
            for place in &made.harmful {
                session.output.warning(format!(
                    "the correction of {}:{} is left out: something grave would be wrong with it that is not wrong now, as the report says",
                    place.path.display(),
                    place.line
                ));
            }
            let unseen = report.findings.iter();
            for finding in unseen.filter(|finding| finding.status == Status::Unknown) {
                session.output.warning(&finding.message);
            }
            continue;
        }
        if report.findings.is_empty() {
            let files = report.summary.pass;
            session.output.status(format!(
                "nothing wrong in {files} {}",
                if files == 1 { "file" } else { "files" }
            ));
        }
        reports.push(report);
    }
    if args.diff {
        session.output.data(patches.as_bytes())?;
    } else {
        let shown = examine::shown(&reports, args.output, &situation, &[], session)?;
        session.output.report(&shown)?;
    }
    Ok(exit)
}

impl Lint {
    /// What is judged: the node, or what was named.
    async fn subjects(&self, session: &Session) -> Result<Vec<Subject>, Error> {
        if self.paths.is_empty() {
            let node = self.node.look(session).await?;
            for file in node.files(&[]) {
                let path = file.path.display();
                match (file.read, file.pending) {
                    (Read::AtStart, Some(true)) => session.output.warning(format!(
                        "{path} was changed after {0} started: what it says is in force only after a restart of {0}",
                        node.runtime.name
                    )),
                    (Read::Never, _) => session
                        .output
                        .status(format!("{path} is not read: {}", file.why)),
                    _ => {}
                }
            }
            return Ok(vec![Subject {
                declared: node.declared,
                runtime: node.runtime,
                aliases: Vec::new(),
                scaffold: None,
            }]);
        }
        let mut subjects = Vec::new();
        // Files are mostly judged on the node that they are for.
        let elsewhere = self.node.host_root.is_some() || session.host_root.is_some();
        let here = match &self.node.as_runtime {
            None if !elsewhere => node::answering(session).await,
            _ => None,
        };
        for path in &self.paths {
            let given = Given::read(path)?;
            for import in &given.missing_imports {
                session.output.warning(format!(
                    "{} imports `{import}`, which does not lie beside it: what it says is not known",
                    path.display()
                ));
            }
            let suits = here.as_ref().filter(|here| given.is_for(here));
            let runtime = match (&self.node.as_runtime, suits) {
                (Some(runtime), _) => runtime.clone(),
                (None, Some(here)) => {
                    session.output.status(format!(
                        "{} is judged as {here}, which runs here, would read it; `--as` names another runtime",
                        path.display()
                    ));
                    here.clone()
                }
                (None, None) => {
                    let runtime = given.usual_runtime()?;
                    session.output.status(format!(
                        "{} is judged as {runtime} would read it; `--as` names another runtime",
                        path.display()
                    ));
                    runtime
                }
            };
            subjects.push(Subject {
                declared: given.declared,
                runtime,
                aliases: given.aliases,
                scaffold: given.scaffold,
            });
        }
        Ok(subjects)
    }
}

impl Subject {
    fn is_scaffold(&self, remark: &Remark) -> bool {
        match (&self.scaffold, &remark.place) {
            (Some(scaffold), Some(place)) => place.path.as_ref() == scaffold.as_path(),
            _ => false,
        }
    }
}
