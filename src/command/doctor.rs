//! `criscope doctor`: what is wrong with this node, in the order of what stops it from working.
//!
//! Looks, judges, shows; changes nothing, unless pods are to be started (`--smoke`). A finding names the cause before what comes of it, points into the file like a
//! compiler, and gives one remedy.

use std::time::Duration;

use clap::Args;

use super::args::pace;
use super::examine::{self, LookArgs, ScopeArgs, VerdictArgs};
use super::history::HistoryArgs;
use super::session::Session;
use crate::check::{self, Profile, Status, handlers, image};
use crate::endpoint::report::Verdict;
use crate::error::{Error, Exit};
use crate::facts::smoke::Trial;
use crate::facts::{Fact, Facts, Source};
use crate::interrupt;
use crate::probe::node::Depth;
use crate::probe::smoke::{self, Plan};
use crate::render::report::list;

const EXAMPLES: &str = "\
Examples:
  criscope doctor                             what is wrong with this node
  criscope doctor -w                          again and again, until nothing is
  criscope doctor --only cni,cri-relist       some checks
  criscope doctor --severity swap-state=warn  a failure of this check is a warning
  criscope doctor --smoke                     and start a pod of every runtime handler, for a moment
  criscope doctor --host-root /host           the host, from inside a container
  criscope doctor --save-facts node-7.json    what was seen, to be judged elsewhere with --facts

Exit codes: 0 nothing failed, 1 something did, 3 something that matters could not be seen.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    #[command(flatten)]
    verdict: VerdictArgs,
    /// Examine again and again until nothing is wrong
    #[arg(short, long, conflicts_with = "facts")]
    watch: bool,
    /// How long to wait between two examinations
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = pace, requires = "watch")]
    interval: Duration,
    /// Ask for every container, too
    #[arg(long)]
    deep: bool,
    /// Really start a pod of every runtime handler: sandbox, container, exec, logs, gone again
    #[arg(long, conflicts_with_all = ["facts", "watch", "staged"])]
    smoke: bool,
    /// List the checks and leave the node alone
    #[arg(long)]
    list_checks: bool,
    #[command(flatten)]
    history: HistoryArgs,
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
    scope.all |= args.verdict.output.needs_all();
    scope.policy = args.scope.policy(&args.look, session).await?;
    let depth = if args.deep {
        Depth::Deep
    } else {
        Depth::Normal
    };
    loop {
        let mut facts = args.look.facts(session, depth, LIMIT).await?;
        if args.smoke {
            facts.smoke = smoke(&facts, session).await;
        }
        examine::expect(&mut facts, &scope);
        let report = interrupt::deaf(|| check::examine(&facts, &scope));
        args.history.store(&facts, &report)?;
        let (shown, exit) = args.verdict.on(&report, &facts.calls, session)?;
        if !args.watch {
            session.output.report(&shown)?;
            return Ok(exit);
        }
        session.output.clear()?;
        session.output.report(&shown)?;
        if report.worst() <= Status::Unknown && exit.code() == 0 {
            return Ok(exit);
        }
        tokio::time::sleep(args.interval).await;
    }
}

/// Starts a pod of every runtime handler, one after the other, with what is on the node.
async fn smoke(facts: &Facts, session: &Session) -> Fact<Vec<Trial>> {
    let chosen = facts.chosen();
    if chosen.is_none_or(|endpoint| endpoint.verdict != Verdict::Serving) {
        return Fact::unknown("no runtime serves CRI v1: no pod was tried");
    }
    let Some(image) = image::at_hand(facts) else {
        return Fact::unknown("the node has no image of which a container could be made");
    };
    let client = match session.client_that_acts().await {
        Ok(client) => client,
        Err(error) => return Fact::unknown(error.message()),
    };
    let status = facts.cri.status.value();
    let network = status.and_then(|status| status.condition("NetworkReady"));
    // Held until nothing is left of the last pod.
    let _duty = session.duty();
    let mut trials = Vec::new();
    for trial in handlers::trials(facts) {
        if session.is_interrupted() {
            break;
        }
        let plan = Plan {
            handler: trial.handler,
            image: image.clone(),
            host_network: network.is_some_and(|network| !network.status),
            cgroup_parent: trial.cgroup_parent,
            root: smoke::root_of(facts),
        };
        trials.push(smoke::run(client, &plan, session.interrupted()).await);
    }
    Fact::known(trials, Source::rpc("RunPodSandbox"))
}
