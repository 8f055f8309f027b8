//! `criscope preflight`: will this node survive the move to another runtime, another version, another Kubernetes?
//!
//! Judges the future: the rules of the target are applied to the files that are there or about to be shipped. Needs no CRI
//! endpoint, no root for files that anybody may read, and no running system (`--host-root`).

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::examine::{self, LookArgs, ScopeArgs, VerdictArgs};
use super::keep;
use super::node::NodeArgs;
use super::probing::{self, ProbeArg};
use super::session::Session;
use crate::check::finding::Area;
use crate::check::migration::steps::steps;
use crate::check::scope::Selector;
use crate::check::{self, Profile};
use crate::endpoint::report::Verdict;
use crate::error::{Error, Exit};
use crate::facts::{Cri, Fact, Facts, Migration, Role};
use crate::files::read;
use crate::files::replace::{Mode, replace};
use crate::interrupt;
use crate::probe::node::Depth;
use crate::registry::RuntimeId;
use crate::render::structured;

const EXAMPLES: &str = "\
Examples:
  criscope preflight --from docker --to containerd@2.1.4 --kubernetes 1.34
  criscope preflight --to containerd@2.3.5 --staged ./new-config    the configuration that will be shipped
  criscope preflight --from docker --to crio@1.34.0 --host-root /mnt/disk
  criscope preflight --to containerd@2.1.4 --probe=layer           ask registries for every image in use
  criscope preflight --to containerd@2.1.4 --baseline before.json   and keep what the node is now
  criscope preflight --verify before.json                           after the move: is everything there again?

Exit codes: 0 nothing stands in the way, 1 something does, 3 something that matters could not be seen.";

/// Arguments of `preflight`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Preflight {
    /// The runtime that serves now: docker, dockershim, containerd@1.7.28 [default: the one that answers]
    #[arg(long, value_name = "RUNTIME", value_parser = source)]
    from: Option<String>,
    /// The runtime that will serve, as in containerd@2.1.4 or crio@1.34.0
    #[arg(long, value_name = "NAME@VERSION", required_unless_present = "verify")]
    to: Option<RuntimeId>,
    /// The version of Kubernetes that will run with it [default: that of the kubelet]
    #[arg(long, value_name = "VERSION", value_parser = kubernetes)]
    kubernetes: Option<String>,
    /// An image that has to be pullable, besides those of running pods; repeatable
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
    /// Ask registries for the images by the rules of the target, instead of planning only
    #[arg(long, value_enum, value_name = "DEPTH", num_args = 0..=1, require_equals = true, default_missing_value = "head", conflicts_with = "facts")]
    probe: Option<ProbeArg>,
    /// Keep what the node is now, for `--verify`
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    baseline: Option<PathBuf>,
    /// Compare the node with what `--baseline` kept
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,
    #[command(flatten)]
    verdict: VerdictArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// The time for everything.
const LIMIT: Duration = Duration::from_secs(30);
/// The time for asking registries.
const PROBING: Duration = Duration::from_secs(120);
/// What is compared after a move.
const VERIFIED: &[&str] = &[
    "migrate-verify-images",
    "migrate-verify-limits",
    "migrate-verify-mirrors",
    "migrate-verify-sysctls",
    "migrate-verify-handlers",
];

/// Runs `criscope preflight`.
///
/// # Errors
/// Facts cannot be read or written, or stdout.
pub async fn run(args: &Preflight, session: &Session) -> Result<Exit, Error> {
    let mut facts = args.look.facts(session, Depth::Normal, LIMIT).await?;
    let mut scope = args.scope.scope(Profile::Preflight);
    scope.all |= args.verdict.output.needs_all();
    scope.policy = args.scope.policy(&args.look, session).await?;
    examine::expect(&mut facts, &scope);
    if let Some(path) = &args.baseline {
        let text = structured::document(structured::Format::Json, &facts)?;
        replace(path, &text, Mode::Always(0o600)).map_err(|error| {
            Error::failure(format!("cannot write `{}`", path.display())).because(&error)
        })?;
    }
    let migration = args.migration(&facts).await?;
    if let Some(depth) = args.probe {
        let mut images = probing::in_use(&facts);
        images.extend(args.images.iter().cloned());
        let images: Vec<String> = images.into_iter().collect();
        let node = NodeArgs {
            host_root: args.look.host_root.clone(),
            staged: args.look.staged.clone(),
            as_runtime: args.to.clone(),
        };
        let until = Instant::now() + PROBING;
        facts.reach = probing::reach(&images, &node, depth.into(), session, until).await;
    }
    let serves = facts.chosen().is_some_and(|chosen| chosen.verdict.serves());
    if !serves && args.verify.is_none() {
        // Nobody expects the runtime of the future to answer: files are judged. One that is there and cannot be seen
        // leaves unknown what it has.
        if !is_hidden(&facts) {
            without_cri(&mut facts);
        }
        scope.skip.extend(unanswered());
    }
    if args.to.is_some() {
        facts.assumed = Some(migration.to.clone());
    }
    if args.verify.is_some() && args.to.is_none() && scope.only.is_empty() {
        scope.only = VERIFIED
            .iter()
            .filter_map(|code| check::find(code))
            .map(|check| Selector::Check(check.code))
            .collect();
    }
    facts.migration = Some(migration);
    let mut report = interrupt::deaf(|| check::examine(&facts, &scope));
    if let Some(migration) = &facts.migration
        && args.verify.is_none()
    {
        report.next = steps(migration, &report.host);
    }
    let (shown, exit) = args.verdict.on(&report, &facts.calls, session)?;
    session.output.report(&shown)?;
    Ok(exit)
}

impl Preflight {
    async fn migration(&self, facts: &Facts) -> Result<Migration, Error> {
        let before = match &self.verify {
            None => None,
            Some(path) => {
                let wrong = |error: &(dyn std::error::Error + 'static)| {
                    Error::usage(format!("cannot read the baseline in `{}`", path.display()))
                        .because(error)
                        .hint("it is written by `criscope preflight --to … --baseline FILE`")
                };
                let text = read::bytes_aside(path, keep::LARGEST)
                    .await
                    .map_err(|error| wrong(&error))?;
                let facts: Facts = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
                Some(Box::new(facts))
            }
        };
        Ok(Migration {
            from: self.from.clone().or_else(|| serving(facts)),
            to: self
                .to
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            kubernetes: self.kubernetes.clone(),
            images: self.images.clone(),
            before,
        })
    }
}

/// The runtime that serves now: what answers, else dockerd where it runs or was set up.
fn serving(facts: &Facts) -> Option<String> {
    if let Some(version) = facts.cri.version.value() {
        let name = match version.name.as_str() {
            "cri-o" => "crio",
            other => other,
        };
        return Some(format!("{name}@{}", version.version));
    }
    let docker = facts.processes(Role::Dockerd).next().is_some()
        || facts.files.exists("/etc/docker/daemon.json") == Some(true);
    docker.then(|| source("docker").unwrap_or_default())
}

/// The checks that are about an endpoint that answers. What handlers are configured, files tell too.
fn unanswered() -> impl Iterator<Item = Selector> {
    check::table()
        .filter(|check| {
            check.area == Area::Endpoint || check.area == Area::Cri && check.code != "cri-handlers"
        })
        .map(|check| Selector::Check(check.code))
}

/// Whether a runtime is behind the socket and does not let itself be seen.
fn is_hidden(facts: &Facts) -> bool {
    facts
        .telling()
        .is_some_and(|endpoint| matches!(endpoint.verdict, Verdict::Hung | Verdict::Denied))
}

/// Nothing answers over CRI, which is no gap in what is known about the move.
fn without_cri(facts: &mut Facts) {
    fn gone<T>() -> Fact<T> {
        Fact::absent("no runtime serves CRI here; the move is judged by files")
    }
    facts.cri = Cri {
        version: gone(),
        status: gone(),
        runtime_config: gone(),
        pods: gone(),
        containers: gone(),
        images: gone(),
        image_fs: gone(),
        sandbox_image: gone(),
        inspected: gone(),
    };
    facts.containerd.plugins = gone();
    facts.containerd.server = gone();
    facts.containerd.namespaces = gone();
}

/// Reads the runtime that serves now; Docker needs no version.
fn source(text: &str) -> Result<String, String> {
    let full = match text {
        "docker" | "dockershim" | "cri-dockerd" => "docker@20.10.24".to_owned(),
        other => other.replace("dockershim@", "docker@"),
    };
    full.parse::<RuntimeId>()
        .map(|runtime| runtime.to_string())
        .map_err(|error| error.to_string())
}

fn kubernetes(text: &str) -> Result<String, String> {
    match crate::facts::kubelet::minor(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!(
            "`{text}` is no version of Kubernetes: expected one like 1.34"
        )),
    }
}
