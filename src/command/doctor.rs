//! `criscope doctor`: what is wrong with this node, in the order of what stops it from working.
//!
//! Looks, judges, shows; changes nothing. A finding names the cause before what comes of it, points into the file like a
//! compiler, and gives one remedy.

use std::time::Duration;

use clap::Args;

use super::args::duration;
use super::examine::{self, LookArgs, ReportFormat, ScopeArgs};
use super::session::Session;
use crate::check::{self, Profile, Status};
use crate::error::{Error, Exit};
use crate::probe::node::Depth;
use crate::render::report::{Situation, list};

const EXAMPLES: &str = "\
Examples:
  criscope doctor                             what is wrong with this node
  criscope doctor -w                          again and again, until nothing is
  criscope doctor --only cni,cri-relist       some checks
  criscope doctor --severity swap-state=warn  a failure of this check is a warning
  criscope doctor --host-root /host           the host, from inside a container
  criscope doctor --save-facts node-7.json    what was seen, to be judged elsewhere with --facts

Exit codes: 0 nothing failed, 1 something did, 3 something that matters could not be seen.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// How to show the report
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        alias = "format"
    )]
    output: ReportFormat,
    /// Warnings count as failures
    #[arg(long)]
    strict: bool,
    /// Examine again and again until nothing is wrong
    #[arg(short, long, conflicts_with = "facts")]
    watch: bool,
    /// How long to wait between two examinations
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, requires = "watch")]
    interval: Duration,
    /// Ask for every container, too
    #[arg(long)]
    deep: bool,
    /// List the checks and leave the node alone
    #[arg(long)]
    list_checks: bool,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// The time for everything.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `criscope doctor`.
///
/// # Errors
/// Facts cannot be read or written, or stdout.
pub async fn run(args: &Doctor, session: &Session) -> Result<Exit, Error> {
    let mut scope = args.scope.scope(Profile::Node);
    if args.list_checks {
        session.output.data(list::checks(&scope).as_bytes())?;
        return Ok(Exit::Success);
    }
    scope.all |= args.output.needs_all();
    let situation = Situation {
        strict: args.strict,
        ..Situation::default()
    };
    let depth = if args.deep {
        Depth::Deep
    } else {
        Depth::Normal
    };
    loop {
        let facts = args.look.facts(session, depth, LIMIT).await?;
        let report = check::examine(&facts, &scope);
        let shown = examine::shown(
            std::slice::from_ref(&report),
            args.output,
            &situation,
            &facts.calls,
            session,
        )?;
        let exit = examine::concluded(&report, args.output, &situation);
        if !args.watch {
            session.output.data(&shown)?;
            return Ok(exit);
        }
        session.output.redraw(&shown)?;
        if report.worst() <= Status::Unknown && exit.code() == 0 {
            return Ok(exit);
        }
        tokio::time::sleep(args.interval.max(Duration::from_millis(200))).await;
    }
}
