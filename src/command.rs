//! Acts: one file a command, each with its arguments beside the one function that runs it. The only user of clap beside
//! `cli`.

pub mod act;
pub mod args;
pub mod attach;
pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod completion;
pub mod config;
pub mod create;
mod deferred;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod endpoints;
pub mod events;
pub mod examine;
pub mod exec;
pub mod explain;
pub mod history;
pub mod imagefsinfo;
pub mod images;
pub mod info;
pub mod input;
pub mod inspect;
pub mod jsonschema;
pub mod keep;
pub mod locate;
pub mod logs;
pub mod metricdescs;
pub mod metricsp;
pub mod node;
pub mod overview;
pub mod pods;
pub mod port_forward;
pub mod preflight;
mod probing;
pub mod ps;
pub mod pull;
pub mod pulls;
pub mod registry;
pub mod rm;
pub mod rmi;
pub mod rmp;
pub mod run;
pub mod runp;
pub mod runtime_config;
pub mod select;
pub mod session;
pub mod showing;
pub mod start;
pub mod stats;
pub mod statsp;
pub mod stop;
pub mod stopp;
pub mod streaming;
pub mod test_pull;
pub mod update;
pub mod update_runtime_config;
pub mod version;
pub mod why;

use clap::Subcommand;

use crate::error::{Error, Exit};
use deferred::Deferred;
use session::Session;

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every known socket and what is behind it
    Endpoints(Deferred<endpoints::Endpoints>),
    /// Show what the runtime says that it is
    Version(Deferred<version::Version>),
    /// Show status, features and configuration of the runtime
    Info(Deferred<info::Info>),
    /// List pods
    Pods(Deferred<pods::Pods>),
    /// List containers
    Ps(Deferred<ps::Ps>),
    /// List images
    #[command(visible_aliases = ["image", "img"])]
    Images(Deferred<images::Images>),
    /// Show everything about containers
    Inspect(Deferred<inspect::Inspect>),
    /// Show everything about pods
    Inspectp(Deferred<inspect::InspectPod>),
    /// Show everything about images
    Inspecti(Deferred<inspect::InspectImage>),
    /// Show the file systems of images and containers
    Imagefsinfo(Deferred<imagefsinfo::ImageFsInfo>),
    /// Show what containers wrote, also into rotated files
    Logs(Deferred<logs::Logs>),
    /// Run a command in containers
    Exec(Deferred<exec::Exec>),
    /// Connect to what runs in a container
    Attach(Deferred<attach::Attach>),
    /// Reach ports of a pod from here
    PortForward(Deferred<port_forward::PortForward>),
    /// Prove the registry configuration by pulling an image, and leave no trace
    TestPull(Deferred<test_pull::TestPull>),
    /// Examine the node and say what is wrong, the worst first
    Doctor(Deferred<doctor::Doctor>),
    /// Say what is wrong with a pod, a container or an image
    Why(Deferred<why::Why>),
    /// Will the node survive the move to another runtime or version?
    Preflight(Deferred<preflight::Preflight>),
    /// Examine the node for a monitoring system
    Check(Deferred<check::Check>),
    /// Put reports side by side: one node at two times, or many nodes
    Compare(Deferred<compare::Compare>),
    /// Explain a finding: what is looked at, why it matters, what to do
    Explain(Deferred<explain::Explain>),
    /// Explain and prove the registry configuration
    Registry(Deferred<registry::Registry>),
    /// Pull images through the runtime
    Pull(Deferred<pull::Pull>),
    /// Find the stores of the node that have an image, and bring it to the right one
    Where(Deferred<locate::Where>),
    /// Show what is being pulled, how fast, and what has stalled
    Pulls(Deferred<pulls::Pulls>),
    /// Run a container in a pod of its own, from files
    Run(Deferred<run::Run>),
    /// Run a pod from a file
    Runp(Deferred<runp::RunPod>),
    /// Create a container in a pod, from files
    Create(Deferred<create::Create>),
    /// Start containers that were created
    Start(Deferred<start::Start>),
    /// Stop running containers
    Stop(Deferred<stop::Stop>),
    /// Stop pods
    Stopp(Deferred<stopp::StopPod>),
    /// Remove containers and their logs
    Rm(Deferred<rm::Remove>),
    /// Remove pods
    Rmp(Deferred<rmp::RemovePod>),
    /// Remove images
    Rmi(Deferred<rmi::RemoveImage>),
    /// Give running containers other limits
    Update(Deferred<update::Update>),
    /// Write the state of running containers into archives
    Checkpoint(Deferred<checkpoint::Checkpoint>),
    /// Show what kubelet and runtime have to agree on
    RuntimeConfig(Deferred<runtime_config::RuntimeConfig>),
    /// Tell the runtime the network of the pods
    UpdateRuntimeConfig(Deferred<update_runtime_config::UpdateRuntimeConfig>),
    /// Measure what containers use
    Stats(Deferred<stats::Stats>),
    /// Measure what pods use
    Statsp(Deferred<statsp::PodStatsOf>),
    /// Show the metrics of all pods
    Metricsp(Deferred<metricsp::PodMetricsOf>),
    /// Show what the metrics mean
    Metricdescs(Deferred<metricdescs::MetricDescriptors>),
    /// Show what happens to containers and pods
    #[command(visible_alias = "event")]
    Events(Deferred<events::Events>),
    /// Examine a made-up node: no root, no runtime
    #[cfg(feature = "demo")]
    Demo(Deferred<demo::Demo>),
    /// Show and change the configuration file, crictl.yaml
    Config(Deferred<config::Config>),
    /// Print a script that completes commands, ids and names
    Completion(Deferred<completion::Completion>),
    /// Candidates for a completion script
    #[command(hide = true)]
    Complete(Deferred<completion::Complete>),
}

/// Runs a command.
///
/// # Errors
/// Whatever the command fails with.
pub async fn run(command: &Command, session: &Session) -> Result<Exit, Error> {
    match command {
        Command::Endpoints(args) => endpoints::run(args, session).await,
        Command::Version(args) => version::run(args, session).await,
        Command::Info(args) => info::run(args, session).await,
        Command::Pods(args) => pods::run(args, session).await,
        Command::Ps(args) => ps::run(args, session).await,
        Command::Images(args) => images::run(args, session).await,
        Command::Inspect(args) => inspect::run_container(args, session).await,
        Command::Inspectp(args) => inspect::run_pod(args, session).await,
        Command::Inspecti(args) => inspect::run_image(args, session).await,
        Command::Imagefsinfo(args) => imagefsinfo::run(args, session).await,
        Command::Logs(args) => logs::run(args, session).await,
        Command::Exec(args) => exec::run(args, session).await,
        Command::Attach(args) => attach::run(args, session).await,
        Command::PortForward(args) => port_forward::run(args, session).await,
        Command::TestPull(args) => test_pull::run(args, session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Why(args) => why::run(args, session).await,
        Command::Preflight(args) => preflight::run(args, session).await,
        Command::Check(args) => check::run(args, session).await,
        Command::Compare(args) => compare::run(args, session).await,
        Command::Explain(args) => explain::run(args, session).await,
        Command::Registry(args) => registry::run(args, session).await,
        Command::Pull(args) => pull::run(args, session).await,
        Command::Where(args) => locate::run(args, session).await,
        Command::Pulls(args) => pulls::run(args, session).await,
        Command::Run(args) => run::run(args, session).await,
        Command::Runp(args) => runp::run(args, session).await,
        Command::Create(args) => create::run(args, session).await,
        Command::Start(args) => start::run(args, session).await,
        Command::Stop(args) => stop::run(args, session).await,
        Command::Stopp(args) => stopp::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::Rmp(args) => rmp::run(args, session).await,
        Command::Rmi(args) => rmi::run(args, session).await,
        Command::Update(args) => update::run(args, session).await,
        Command::Checkpoint(args) => checkpoint::run(args, session).await,
        Command::RuntimeConfig(args) => runtime_config::run(args, session).await,
        Command::UpdateRuntimeConfig(args) => update_runtime_config::run(args, session).await,
        Command::Stats(args) => stats::run(args, session).await,
        Command::Statsp(args) => statsp::run(args, session).await,
        Command::Metricsp(args) => metricsp::run(args, session).await,
        Command::Metricdescs(args) => metricdescs::run(args, session).await,
        Command::Events(args) => events::run(args, session).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args, session).await,
        Command::Config(args) => config::run(args, session),
        Command::Completion(args) => completion::run(args, session),
        Command::Complete(args) => completion::complete(args, session).await,
    }
}
