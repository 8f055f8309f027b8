//! `criscope attach`: the input and output of what a container itself runs, from now on.
//!
//! One Attach and a stream; ContainerStatus tells afterwards how the container ended, and its exit code is ours.

use std::time::Duration;

use clap::Args;

use super::select::find::Prefer;
use super::session::Session;
use super::streaming::{Carriage, Here, Said, TTY_WITHOUT_STDIN};
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::ContainerState;
use crate::stream::keys::DetachKeys;
use crate::stream::remote::{self, Ended};
use crate::stream::status::{self, Outcome};
use crate::stream::{Input, Spoken};

const EXAMPLES: &str = "\
Examples:
  criscope attach 5f2a                  what the container writes, from now on
  criscope attach -it default/web/web   its terminal; ctrl-p ctrl-q leaves it
  echo quit | criscope attach -i 5f2a   input, and its end

What it wrote before is in `criscope logs`. Ctrl-C leaves a container without a terminal; it goes on.";

/// How long a runtime may take to notice that a container has ended whose streams have.
const NOTICING: Duration = Duration::from_secs(1);
/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(50);

/// Arguments of `attach`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Attach {
    /// The container: an id, the beginning of one, a name, or namespace/pod/container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Send it our input
    #[arg(short = 'i', long = "stdin", alias = "interactive")]
    stdin: bool,
    /// It has a terminal
    #[arg(short, long)]
    tty: bool,
    /// Keys that leave the terminal while the container goes on; empty: none
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = str::parse::<DetachKeys>)]
    detach_keys: DetachKeys,
    #[command(flatten)]
    carriage: Carriage,
}

/// Runs `criscope attach`.
///
/// # Errors
/// There is no such container, or the stream breaks.
pub async fn run(args: &Attach, session: &Session) -> Result<Exit, Error> {
    let here = Here {
        stdin: args.stdin,
        tty: args.tty.then(|| args.detach_keys.clone()),
    };
    if session.dialect.is_crictl() && args.tty && !args.stdin {
        return Err(Error::failure(TTY_WITHOUT_STDIN));
    }
    here.check()?;
    let client = session.client_that_acts().await?;
    let dialer = args.carriage.dialer(session)?;
    let container = session
        .container(client, &args.container, Prefer::Running)
        .await?;
    let request = cri::AttachRequest {
        container_id: container.id.clone(),
        stdin: args.stdin,
        tty: args.tty,
        stdout: true,
        stderr: !args.tty,
    };
    let mut needs = remote::needs(args.stdin, args.tty);
    if !args.stdin {
        // Whoever only looks on must not end the container's input.
        needs.input = Input::Absent;
    }
    let ask = async || {
        let reply = client.attach(request.clone()).await?;
        Ok(client.decode("Attach", &reply)?.url)
    };
    let wire = args.carriage.open(&needs, &dialer, ask).await?;
    if !args.stdin && wire.spoken != Spoken::Spdy {
        session.output.warning(format!(
            "{} may let the runtime believe that the container's input has ended",
            wire.spoken
        ));
    }
    match here.converse(session, wire).await? {
        Said::Signal(signal) => Ok(Exit::Remote(status::exit_code(128 + signal))),
        Said::Ended(Ended::Detached) => {
            session.output.status("detached; the container goes on");
            Ok(Exit::Success)
        }
        Said::Ended(Ended::Remote(Outcome::Failed(message))) => Err(Error::failure(message)),
        Said::Ended(Ended::Remote(Outcome::Exited(_))) => how_it_ended(client, &container.id).await,
    }
}

/// The exit code of the container, once the runtime has noticed that it ended. One that goes on, or is gone, has none.
async fn how_it_ended(client: &Client, id: &str) -> Result<Exit, Error> {
    let ask = async || {
        loop {
            let request = cri::ContainerStatusRequest {
                container_id: id.to_owned(),
                verbose: false,
            };
            let reply = client.container_status(request).await?;
            let status = client.decode("ContainerStatus", &reply)?.status;
            let status = status.unwrap_or_default();
            if ContainerState::of(status.state) == ContainerState::Exited {
                return Ok::<_, Error>(status::exit_code(status.exit_code));
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(NOTICING, ask()).await {
        Ok(Ok(0)) | Err(_) => Ok(Exit::Success),
        Ok(Ok(code)) => Ok(Exit::Remote(code)),
        // Removed at once, perhaps: what we were asked for is done.
        Ok(Err(error)) => {
            tracing::debug!(error = error.message(), "no exit code");
            Ok(Exit::Success)
        }
    }
}
