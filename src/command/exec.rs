//! `criscope exec`: a command in one container, or the same one in all that the filters let through.
//!
//! One Exec and a stream, or with `-s` one ExecSync. The exit code of the command is ours; what we cannot do ourselves
//! is 125, a command that cannot be run 126, one that is not there 127, as in docker.

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;

use super::args::duration;
use super::select::ContainerFilter;
use super::select::find::{self, Prefer};
use super::session::Session;
use super::streaming::{Carriage, Here, OURS, Said, TTY_WITHOUT_STDIN};
use crate::client::{Client, Error as ClientError, Kind};
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::stream::keys::DetachKeys;
use crate::stream::remote::{self, Ended, Local};
use crate::stream::status::{self, Outcome};
use crate::stream::{Dialer, Wire};

const EXAMPLES: &str = "\
Examples:
  criscope exec 5f2a ls -l /etc            a command in the container whose id begins so
  criscope exec -it 5f2a sh                a shell; ctrl-p ctrl-q leaves it
  tar c . | criscope exec -i 5f2a tar x    input goes in, and its end too
  criscope exec --label app=web -x uptime  in all containers that match, at the same time
  criscope exec -s --timeout 5 5f2a true   through the runtime alone, without a stream

Flags stand before the container; everything behind it belongs to the command.
Exit codes: that of the command; 124 timeout, 125 it could not be asked for, 126 it cannot be run, 127 it is not there.";

/// What timeout(1) exits with.
const TIMED_OUT: Exit = Exit::Remote(124);

/// How much output of one of many commands that run at the same time is kept until it ends, in bytes.
const MOST_OUTPUT: usize = 64 << 20;

/// Arguments of `exec`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "criscope exec [OPTIONS] CONTAINER COMMAND [ARG]...\n       \
                      criscope exec [OPTIONS] FILTER... COMMAND [ARG]...",
    mut_arg("state", |arg| arg.short(None)),
)]
pub struct Exec {
    /// Let the runtime run it and collect the output: no stream, no input
    #[arg(short, long, conflicts_with_all = ["tty", "interactive"])]
    sync: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Send it our input
    #[arg(short, long)]
    interactive: bool,
    /// How long the command may take, as in 10s or 1m [default: as long as it likes]
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0", hide_default_value = true)]
    timeout: Duration,
    /// Of many containers: in all of them at the same time
    #[arg(short = 'x', long)]
    parallel: bool,
    /// Of many containers: no line that names each
    #[arg(short, long)]
    quiet: bool,
    /// Of many containers: go on after a failure, and do not count it
    #[arg(short = 'e', long)]
    ignore_errors: bool,
    /// Keys that leave the terminal while the command goes on; empty: none
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = str::parse::<DetachKeys>)]
    detach_keys: DetachKeys,
    #[command(flatten)]
    carriage: Carriage,
    #[command(flatten)]
    filter: ContainerFilter,
    /// The container, unless filters choose it, and the command
    #[arg(
        value_name = "CONTAINER COMMAND",
        required = true,
        trailing_var_arg = true
    )]
    words: Vec<String>,
}

/// Runs `criscope exec`.
///
/// # Errors
/// The command could not be run; the exit code says how far it came.
pub async fn run(args: &Exec, session: &Session) -> Result<Exit, Error> {
    match exec(args, session).await {
        Err(error) if error.exit() == Exit::Usage || error.is_closed_pipe() => Err(error),
        // 125 is none of its codes.
        Err(error) if session.dialect.is_crictl() => Err(error),
        Err(error) => Err(ours(session.explain(error).await)),
        done => done,
    }
}

/// Something that is not the command's fault.
fn ours(error: Error) -> Error {
    match error.exit() {
        Exit::Remote(_) => error,
        _ => error.exiting(OURS),
    }
}

/// What is to be run, and where to.
struct Task<'a> {
    args: &'a Exec,
    session: &'a Session,
    client: &'a Client,
    dialer: Dialer,
    command: &'a [String],
}

async fn exec(args: &Exec, session: &Session) -> Result<Exit, Error> {
    let by_filter = args.filter.is_set();
    let (named, command) = match &*args.words {
        command if by_filter => (None, command),
        // kubectl's habit; no command is called so.
        [container, dashes, command @ ..] if dashes == "--" && !session.dialect.is_crictl() => {
            (Some(container), command)
        }
        [container, command @ ..] => (Some(container), command),
        [] => (None, &[][..]),
    };
    if command.is_empty() {
        return Err(Error::usage("there is no command to run")
            .hint("write it behind the container, as in `criscope exec 5f2a ls -l`"));
    }
    let here = Here {
        stdin: args.interactive,
        tty: args.tty.then(|| args.detach_keys.clone()),
    };
    if session.dialect.is_crictl() && args.tty && !args.interactive {
        return Err(Error::failure(TTY_WITHOUT_STDIN));
    }
    here.check()?;
    if session.dialect.is_crictl() && args.ignore_errors && !args.quiet {
        session.output.warning(
            "The `--ignore-errors` option has been set all errors returned by the command will be ignored.",
        );
    }
    let task = Task {
        args,
        session,
        client: session.client_that_acts().await?,
        dialer: args.carriage.dialer(session)?,
        command,
    };
    if let Some(typed) = named {
        let container = match session.dialect {
            Dialect::Own => find::container(task.client, typed, Prefer::Running).await?,
            Dialect::Crictl => {
                session
                    .container(task.client, typed, Prefer::Running)
                    .await?
            }
        };
        return task.alone(&container.id).await;
    }
    let listing = args.filter.containers(task.client, false, None).await?;
    let ids: Vec<String> = listing
        .rows()
        .map(|container| container.id.clone())
        .collect();
    match &*ids {
        [] if let Some(help) = session.dialect.help("exec") => {
            session
                .output
                .error(&Error::failure("No containers found per filter flags"));
            session.output.data(help.as_bytes())?;
            Ok(Exit::Success)
        }
        [] => Err(Error::failure("no container matches")
            .hint("`criscope ps` takes the same filters and shows what they let through")),
        _ if args.tty || args.interactive => match &*ids {
            [id] => task.attended(id).await,
            ids => Err(Error::usage(format!(
                "{} containers match, but there is only one input",
                ids.len()
            ))
            .hint("leave out -i and -t, or choose one container")),
        },
        [id] if session.dialect.is_crictl() => {
            task.header(id)?;
            task.alone(id).await
        }
        // There nobody waits for anybody; the flag is about headers alone.
        ids if args.parallel || session.dialect.is_crictl() => task.all_at_once(ids).await,
        ids => task.one_by_one(ids).await,
    }
}

impl Task<'_> {
    /// In the only one.
    async fn alone(&self, id: &str) -> Result<Exit, Error> {
        if !self.session.dialect.is_crictl() {
            return self.attended(id).await;
        }
        match self.attended(id).await {
            Err(error) if error.is_closed_pipe() => Err(error),
            Ok(_) | Err(_) if self.args.ignore_errors => Ok(Exit::Success),
            Ok(exit) => Ok(exit),
            Err(error) => Err(error.while_doing(self.doing(id))),
        }
    }

    /// What is being done, as crictl says it.
    fn doing(&self, id: &str) -> String {
        let how = if self.args.sync { " synchronously" } else { "" };
        format!("execing command in container {id}{how}")
    }

    /// What failed in one of many.
    fn failure(&self, id: &str, error: Error) -> Error {
        match self.session.dialect {
            Dialect::Own => ours(error.while_doing(format!("in container {id}"))),
            Dialect::Crictl => {
                let exit = match error.exit() {
                    Exit::Remote(code) => Exit::Remote(code),
                    _ => Exit::Failure,
                };
                error.while_doing(self.doing(id)).exiting(exit)
            }
        }
    }

    /// crictl says how a command ended, and 1; we say it, and with what.
    fn tell_exit(&self, id: &str, exit: Exit, said: &str) {
        if self.session.dialect.is_crictl() && exit.code() != 0 && !self.args.ignore_errors {
            let error = Error::failure(said).while_doing(self.doing(id));
            self.session.output.error(&error);
        }
    }

    /// How a command ended that ran through the runtime alone.
    fn tell_end(&self, id: &str, collected: &Collected) {
        let said = match self.args.sync {
            true => format!(
                "command '{}' exited with {}: {}",
                self.command.join(" "),
                collected.exit.code(),
                String::from_utf8_lossy(&collected.stderr)
            ),
            false => format!(
                "command terminated with exit code {}",
                collected.exit.code()
            ),
        };
        self.tell_exit(id, collected.exit, &said);
    }

    async fn one_by_one(&self, ids: &[String]) -> Result<Exit, Error> {
        let mut worst = Exit::Success;
        for id in ids {
            self.header(id)?;
            let exit = match self.attended(id).await {
                Err(error) if error.is_closed_pipe() => return Err(error),
                Err(error) if self.args.ignore_errors || ids.len() > 1 => {
                    let error = self.failure(id, error);
                    self.session.output.error(&error);
                    error.exit()
                }
                other => other?,
            };
            if exit.code() != 0 && !self.args.ignore_errors {
                return Ok(exit);
            }
            worst = self.worse(worst, exit);
        }
        Ok(worst)
    }

    async fn all_at_once(&self, ids: &[String]) -> Result<Exit, Error> {
        let runs = ids.iter().map(|id| async move {
            let collected = self.collected(id).await;
            self.show(id, collected)
        });
        let mut worst = Exit::Success;
        for exit in join_all(runs).await {
            worst = self.worse(worst, exit?);
        }
        Ok(worst)
    }

    /// Shows what one of many did, as a whole.
    fn show(&self, id: &str, collected: Result<Collected, Error>) -> Result<Exit, Error> {
        self.header(id)?;
        match collected {
            Ok(collected) => {
                self.write(&collected)?;
                self.tell_end(id, &collected);
                Ok(collected.exit)
            }
            Err(error) => {
                let error = self.failure(id, error);
                if !(self.session.dialect.is_crictl() && self.args.ignore_errors) {
                    self.session.output.error(&error);
                }
                Ok(error.exit())
            }
        }
    }

    fn worse(&self, one: Exit, other: Exit) -> Exit {
        if self.args.ignore_errors || other.code() <= one.code() {
            one
        } else {
            other
        }
    }

    fn header(&self, id: &str) -> Result<(), Error> {
        // In crictl `-x` is about these lines.
        let is_quiet = self.args.quiet || self.session.dialect.is_crictl() && self.args.parallel;
        if !is_quiet {
            self.session.output.data(format!("{id}:\n").as_bytes())?;
        }
        Ok(())
    }

    /// Runs it with our own streams.
    async fn attended(&self, id: &str) -> Result<Exit, Error> {
        if self.args.sync {
            let collected = self.sync(id).await?;
            self.write(&collected)?;
            self.tell_end(id, &collected);
            return Ok(collected.exit);
        }
        let here = Here {
            stdin: self.args.interactive,
            tty: self.args.tty.then(|| self.args.detach_keys.clone()),
        };
        let wire = self.open(id).await?;
        match self.in_time(here.converse(self.session, wire)).await? {
            Said::Signal(signal) => Ok(Exit::Remote(status::exit_code(128 + signal))),
            Said::Ended(Ended::Detached) => {
                self.session.output.status("detached; the command goes on");
                Ok(Exit::Success)
            }
            Said::Ended(Ended::Remote(outcome)) => {
                let exit = self.exit(outcome)?;
                let said = format!("command terminated with exit code {}", exit.code());
                self.tell_exit(id, exit, &said);
                Ok(exit)
            }
        }
    }

    /// Shows what a command wrote.
    fn write(&self, collected: &Collected) -> Result<(), Error> {
        let Collected { stdout, stderr, .. } = collected;
        match self.session.dialect {
            // All of it on stdout, a line end behind each; what fails in scripts that look for one there.
            Dialect::Crictl if self.args.sync => {
                let text = [&stdout[..], b"\n", stderr, b"\n"].concat();
                self.session.output.as_it_is(&text)?;
            }
            Dialect::Own | Dialect::Crictl => {
                self.session.output.as_it_is(stdout)?;
                self.session.output.raw(stderr);
            }
        }
        Ok(())
    }

    /// Runs it without input and keeps what it writes.
    async fn collected(&self, id: &str) -> Result<Collected, Error> {
        if self.args.sync {
            return self.sync(id).await;
        }
        let wire = self.open(id).await?;
        let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
        let local = Local {
            stdin: None::<tokio::io::Empty>,
            stdout: &mut stdout,
            stderr: &mut stderr,
            terminal: None,
        };
        let ended = self
            .in_time(async { Ok(remote::converse(wire, local).await?) })
            .await?;
        let exit = match ended {
            Ended::Remote(outcome) => self.exit(outcome)?,
            Ended::Detached => Exit::Success,
        };
        Ok(Collected {
            stdout: stdout.0,
            stderr: stderr.0,
            exit,
        })
    }

    /// Runs it through the runtime alone.
    async fn sync(&self, id: &str) -> Result<Collected, Error> {
        // The runtime counts whole seconds.
        let timeout = self.args.timeout;
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        let request = cri::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: self.command.to_vec(),
            timeout: i64::try_from(seconds).unwrap_or(0),
        };
        let deadline = (!timeout.is_zero())
            .then(|| Duration::from_secs(seconds) + self.client.options().deadline);
        let reply = match self.client.exec_sync(request, deadline).await {
            Ok(reply) => reply,
            Err(error) if !timeout.is_zero() && error.kind() == Some(Kind::Deadline) => {
                return Err(self.timed_out().because(&error));
            }
            Err(error) => {
                let code = match &error {
                    ClientError::Status { message, .. } => status::not_started(message),
                    _ => None,
                };
                let error = Error::from(error);
                return Err(match code {
                    Some(code) => error.exiting(Exit::Remote(code)),
                    None => error,
                });
            }
        };
        let response = self.client.decode("ExecSync", &reply)?;
        Ok(Collected {
            stdout: response.stdout.to_vec(),
            stderr: response.stderr.to_vec(),
            exit: Exit::Remote(status::exit_code(response.exit_code)),
        })
    }

    async fn open(&self, id: &str) -> Result<Wire, Error> {
        let tty = self.args.tty;
        // A terminal has an input, also when nothing is typed. Without one, WebSocket servers take it for ended, and
        // containerd (1.6 to 2.x) then closes the output, too.
        let stdin = self.args.interactive || tty;
        let request = cri::ExecRequest {
            container_id: id.to_owned(),
            cmd: self.command.to_vec(),
            tty,
            stdin,
            stdout: true,
            stderr: !tty,
        };
        let needs = remote::needs(stdin, tty);
        let ask = async || {
            let reply = self.client.exec(request.clone()).await?;
            Ok(self.client.decode("Exec", &reply)?.url)
        };
        self.args.carriage.open(&needs, &self.dialer, ask).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let timeout = self.args.timeout;
        if timeout.is_zero() {
            return work.await;
        }
        match tokio::time::timeout(timeout, work).await {
            Ok(outcome) => outcome,
            // CRI knows no way to end a command that has a stream.
            Err(_) => Err(self
                .timed_out()
                .hint("it may still run in the container; with -s the runtime ends it in time")),
        }
    }

    fn timed_out(&self) -> Error {
        let message = match self.session.dialect {
            Dialect::Own => format!("the command did not end within {:?}", self.args.timeout),
            Dialect::Crictl => format!("command {:?} timed out", self.command.join(" ")),
        };
        Error::failure(message).exiting(TIMED_OUT)
    }

    fn exit(&self, outcome: Outcome) -> Result<Exit, Error> {
        match outcome {
            Outcome::Exited(0) => Ok(Exit::Success),
            Outcome::Exited(code) => Ok(Exit::Remote(code)),
            Outcome::Failed(message) => {
                let error = Error::failure(&message);
                Err(match status::not_started(&message) {
                    Some(code) => error.exiting(Exit::Remote(code)),
                    None if self.session.dialect.is_crictl() => error,
                    None => error.exiting(OURS),
                })
            }
        }
    }
}

/// What a command wrote, and how it ended.
struct Collected {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Exit,
}

/// Keeps what is written, up to a limit.
#[derive(Default)]
struct Kept(Vec<u8>);

impl tokio::io::AsyncWrite for Kept {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.0.len() + bytes.len() > MOST_OUTPUT {
            return std::task::Poll::Ready(Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                "more than 64 MiB of output from one of many commands",
            )));
        }
        self.0.extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
