//! `criscope logs`: what containers wrote, from the files that the runtime keeps on this node.
//!
//! Two calls tell which files (ListContainers, ContainerStatus); from there on the runtime is asked only whether the
//! container still runs. Rotated and compressed files are part of the log. Several logs are merged by time.
//!
//! ```text
//! $ criscope logs -t --tail 2 default/web-1
//! nginx   2026-01-02T03:04:05.678901234Z "GET / HTTP/1.1" 200
//! sidecar 2026-01-02T03:04:06.012345678Z reloaded
//! ```

mod choose;
mod flow;
mod lane;
mod sink;
mod when;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::act::Subject;
use super::select::ContainerFilter;
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::ContainerState;
use crate::stream::log::{Links, Options, Output, Place, Watch};
use choose::Chosen;
use flow::{Flow, Reader};
use sink::Sink;

const EXAMPLES: &str = "\
Examples:
  criscope logs 5f2a                            a container, by the beginning of its id
  criscope logs -f --tail 20 default/web-1      all containers of a pod, and what comes
  criscope logs -p kube-system/etcd-node/etcd   the attempt before this one
  criscope logs --since 10m --until 5m web      a span of time
  criscope logs --label app=web --stream stderr errors of all that match

Rotated and compressed files are read, too; --current leaves them out.";

/// Logs that are read at the same time: each is an open file.
const MOST: usize = 256;

/// Arguments of `logs`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("state", |arg| arg.short(None)),
    mut_arg("pod", |arg| arg.short(None)),
)]
pub struct Logs {
    /// Go on with what is written from now on, until the containers end
    #[arg(short, long)]
    follow: bool,
    /// Of the attempt before this one
    #[arg(short, long)]
    previous: bool,
    /// Only the last N lines of each container; -1 is all
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    tail: i64,
    /// Only what was written from then on: a time (RFC 3339), how long ago (10m), or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<when::When>,
    /// Only what was written until then
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<when::When>,
    /// No more than so many bytes; -1 is all
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    limit_bytes: i64,
    /// Only one of the two outputs
    #[arg(short, long, value_enum)]
    stream: Option<Stream>,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Name the container in front of each line [default: auto, when there are several]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        default_value = "auto",
        hide_default_value = true
    )]
    prefix: Prefix,
    /// Only the file that is being written, none that was rotated
    #[arg(long)]
    current: bool,
    /// Let the runtime open the log again first, as after a rotation
    #[arg(short, long)]
    reopen: bool,
    /// Read a log also where it is a link to some other file
    #[arg(long)]
    follow_links: bool,
    #[command(flatten)]
    filter: ContainerFilter,
    /// Containers or pods: an id, the beginning of one, a name, namespace/pod or namespace/pod/container
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Prefix {
    /// When there are several containers
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Runs `criscope logs`.
///
/// # Errors
/// There is no such container, none of its log, or it cannot be read. What fails for one of several is told, and decides
/// the exit code.
pub async fn run(args: &Logs, session: &Session) -> Result<Exit, Error> {
    if args.names.is_empty() && !args.filter.is_set() {
        return Err(Error::usage("no container is named").hint(
            "`criscope ps -a` lists them; name one, or choose by a filter, as in `--name web`",
        ));
    }
    let client = match args.reopen {
        true => session.client_that_acts().await?,
        false => session.client().await?,
    };
    let mut worst = Exit::Success;
    let mut chosen = Vec::new();
    for found in choose::containers(client, &args.names, &args.filter, args.previous).await? {
        match found {
            Ok(found) => chosen.push(found),
            Err(error) => worst = worst.or_worse(tell(session, error)),
        }
    }
    if chosen.len() > MOST {
        return Err(Error::usage(format!(
            "{} containers are meant, of which {MOST} can be read at the same time",
            chosen.len()
        )));
    }
    if chosen.is_empty() {
        return match worst {
            Exit::Success => Err(Error::failure("no container matches")
                .hint("`criscope ps -a` takes the same filters and shows what they let through")),
            worst => Ok(worst),
        };
    }
    let mut known = Vec::new();
    for one in chosen {
        match args.path(client, &one).await {
            Ok(path) => known.push((one, path)),
            Err(error) => worst = worst.or_worse(tell(session, error)),
        }
    }
    let labels = choose::labels(
        &known
            .iter()
            .map(|(one, _)| &one.container)
            .collect::<Vec<_>>(),
    );
    let has_prefix = match args.prefix {
        Prefix::Auto => known.len() > 1,
        Prefix::Always => true,
        Prefix::Never => false,
    };
    // From before the first look at any of them.
    let watch = Watch::new(known.iter().map(|(_, path)| path.as_path()));
    let mut readers = Vec::new();
    let until = args.until.map(|when| when.nanoseconds(session.now()));
    for ((one, path), label) in known.into_iter().zip(labels) {
        let container = one.container;
        let place = Place {
            path,
            links: match args.follow_links {
                true => Links::Anywhere,
                // cri-dockerd's logs are links to those of Docker.
                false => Links::Named(format!("{}-json.log", container.id)),
            },
        };
        // Not started yet, or just between two files.
        let is_to_come = args.follow && container.state != ContainerState::Exited;
        let reader = Reader::open(
            place,
            args.options(session.now()),
            has_prefix.then_some(label),
            &container,
            is_to_come,
        );
        match reader.await {
            Ok(reader) => readers.push(reader),
            Err(error) => {
                let error = Error::from(error).while_doing(container.description());
                worst = worst.or_worse(tell(session, error));
            }
        }
    }
    if readers.is_empty() {
        return Ok(worst);
    }
    let sink = Sink::new(args.timestamps, u64::try_from(args.limit_bytes).ok())?;
    let flow = Flow {
        session,
        client,
        readers,
        sink,
        watch,
        follow: args.follow,
        until,
    };
    match flow.run().await? {
        Exit::Success => Ok(worst),
        exit => Ok(exit),
    }
}

fn tell(session: &Session, error: Error) -> Exit {
    session.output.error(&error);
    error.exit()
}

impl Logs {
    fn options(&self, now: i64) -> Options {
        Options {
            tail: usize::try_from(self.tail).ok(),
            since: self.since.map(|when| when.nanoseconds(now)),
            until: self.until.map(|when| when.nanoseconds(now)),
            output: self.stream.map(|stream| match stream {
                Stream::Stdout => Output::Stdout,
                Stream::Stderr => Output::Stderr,
            }),
            current_only: self.current,
        }
    }

    /// Where the runtime keeps the log.
    async fn path(&self, client: &Client, chosen: &Chosen) -> Result<PathBuf, Error> {
        if self.reopen {
            let request = cri::ReopenContainerLogRequest {
                container_id: chosen.container.id.clone(),
            };
            client.reopen_container_log(request).await?;
        }
        let request = cri::ContainerStatusRequest {
            container_id: chosen.container.id.clone(),
            verbose: false,
        };
        let reply = client.container_status(request).await?;
        let status = client.decode("ContainerStatus", &reply)?.status;
        let path = PathBuf::from(status.unwrap_or_default().log_path);
        if path.as_os_str().is_empty() {
            return Err(Error::failure(format!(
                "the runtime keeps no log of {}",
                chosen.container.description()
            ))
            .hint("it was created without a log path; with Docker, `docker logs` may know more"));
        }
        chosen.path(path)
    }
}
