//! What `exec`, `attach` and `port-forward` share: how the streams are carried, and the user's side of them.

use std::fs::File as StdFile;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::fs::File;

use super::session::Session;
use crate::error::{Error, Exit};
use crate::stream::keys::{DetachKeys, Watch};
use crate::stream::remote::{self, Ended, Local, Terminal};
use crate::stream::terminal::{self, Raw};
use crate::stream::{self, Dialer, Needs, Tls, Wire};

/// What docker exits with when it, and not the command, is at fault.
pub const OURS: Exit = Exit::Remote(125);

/// What crictl says to `-t` alone; under our own name it shows what a terminal would.
pub const TTY_WITHOUT_STDIN: &str = "tty=true must be specified with interactive=true";

/// How the streams are carried.
#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub struct Carriage {
    /// How bytes travel between the runtime and here
    #[arg(
        short = 'r',
        long,
        value_enum,
        value_name = "TRANSPORT",
        default_value = "auto"
    )]
    transport: Transport,
    /// The name in the certificate of the streaming server
    #[arg(
        long,
        value_name = "NAME",
        default_value = "localhost",
        alias = "tls-server-name"
    )]
    tls_sni: String,
    /// Verify the certificate of the streaming server with this authority [default: do not verify it]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Show this certificate to the streaming server
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// WebSocket, and SPDY where that is refused or cannot tell the end of the input
    Auto,
    /// WebSocket only
    Websocket,
    /// SPDY/3.1 only
    Spdy,
}

impl Carriage {
    /// What connects, with the deadline of the session.
    ///
    /// # Errors
    /// A file for TLS cannot be used.
    pub fn dialer(&self, session: &Session) -> Result<Dialer, Error> {
        let client = self.tls_cert.clone().zip(self.tls_key.clone());
        let tls = Tls {
            server_name: self.tls_sni.clone(),
            ca: self.tls_ca.clone(),
            client,
        };
        let dialer = Dialer::new(&tls, session.settings.timeout);
        dialer.map_err(|error| Error::usage(&error))
    }

    /// Opens a wire; `ask` gets a fresh URL from the runtime.
    ///
    /// # Errors
    /// The runtime gives no URL, or what is behind it cannot be used.
    pub async fn open(
        &self,
        needs: &Needs,
        dialer: &Dialer,
        ask: impl AsyncFnMut() -> Result<String, Error>,
    ) -> Result<Wire, Error> {
        let transport = match self.transport {
            Transport::Auto => stream::Transport::Auto,
            Transport::Websocket => stream::Transport::WebSocket,
            Transport::Spdy => stream::Transport::Spdy,
        };
        stream::open(transport, needs, dialer, ask).await
    }
}

/// The user's side of a conversation.
#[derive(Debug)]
pub struct Here {
    /// Whether our input goes to the container.
    pub stdin: bool,
    /// The keys that detach, where the far end is a terminal.
    pub tty: Option<DetachKeys>,
}

impl Here {
    /// Which terminal is there, if the far end is one and our input goes there.
    ///
    /// # Errors
    /// A terminal is wanted, and stdin is none.
    pub fn check(&self) -> Result<(), Error> {
        if self.tty.is_some() && self.stdin && !std::io::stdin().is_terminal() {
            return Err(Error::usage(
                "a terminal is wanted with -t, but the input is not a terminal",
            )
            .hint("leave out -t to pipe input into the command, or -i to send it none"));
        }
        Ok(())
    }

    /// Holds a conversation with stdin, stdout and stderr of this process.
    ///
    /// # Errors
    /// The conversation breaks, or our streams.
    pub async fn converse(self, session: &Session, wire: Wire) -> Result<Said, Error> {
        let open = |fd: &dyn AsFd| file(fd).map_err(Error::from);
        let is_tty = self.tty.is_some();
        let (raw, terminal) = match self.tty {
            Some(keys) if self.stdin => {
                let resizes = terminal::resizes()?;
                let keys = Watch::new(keys);
                (Some(Raw::enter()?), Some(Terminal { resizes, keys }))
            }
            _ => (None, None),
        };
        if self.stdin && !is_tty && !wire.spoken.ends_lanes() {
            session.output.warning(format!(
                "{} cannot tell the end of the input: a command that waits for it does not end",
                wire.spoken
            ));
        }
        let stdin = match self.stdin {
            true => Some(open(&std::io::stdin())?),
            false => None,
        };
        let local = Local {
            stdin,
            stdout: open(&std::io::stdout())?,
            stderr: open(&std::io::stderr())?,
            terminal,
        };
        let said = tokio::select! {
            ended = remote::converse(wire, local) => ended.map(Said::Ended),
            signal = terminal::hung_up(), if raw.is_some() => signal.map(Said::Signal),
            kept = terminal::keep(raw.as_ref()) => kept.map(|never| match never {}),
        };
        // Before anything is said about how it ended.
        drop(raw);
        Ok(said?)
    }
}

/// How a conversation ended here.
#[derive(Debug)]
pub enum Said {
    /// One of its sides ended it.
    Ended(Ended),
    /// A signal that ends the process.
    Signal(i32),
}

/// A stream of this process without the buffers of the standard library, which keep a prompt until its line ends.
fn file(fd: &dyn AsFd) -> std::io::Result<File> {
    Ok(File::from_std(StdFile::from(
        fd.as_fd().try_clone_to_owned()?,
    )))
}
