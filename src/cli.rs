//! The command line: global flags, what is typed before and after the command, and how the process ends.

mod crictl;
mod habits;
mod plugin;

use std::ffi::OsString;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command::args::duration;
use crate::command::session::Session;
use crate::command::{self, Command};
use crate::dialect::{self, Dialect};
use crate::error::{Error, Exit};
use crate::files;
use crate::render::output::Output;
use crate::settings::{Flags, Settings};
use crate::spans::Trace;
use plugin::Plugin;

/// How long an interrupted command may take to put the node right.
const CLEANING: Duration = Duration::from_secs(20);

const AFTER: &str = "\
Examples:
  criscope                        the node in eight lines
  criscope endpoints              which runtimes answer, and why the others do not
  criscope ps -a                  containers, as crictl shows them
  criscope test-pull nginx:1.25   does this node's registry configuration work?

Environment: CONTAINER_RUNTIME_ENDPOINT, IMAGE_SERVICE_ENDPOINT, CRI_CONFIG_FILE, NO_COLOR.
Exit codes: 0 fine, 1 failed, 2 bad usage, 3 could not be determined.";

/// Tells the truth about a Kubernetes node's container runtime
#[derive(Debug, Parser)]
#[command(name = "criscope", version, after_help = AFTER, max_term_width = 100, args_override_self = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags that every command takes. The short forms stand before the command, because crictl's commands use the same
/// letters for other things.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Configuration file [default: /etc/crictl.yaml; before the command also -c]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(short = 'c', hide = true, value_name = "FILE")]
    config_short: Option<PathBuf>,
    /// Socket of the runtime [default: the first known one that answers; before the command also -r]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    runtime_endpoint: Option<String>,
    #[arg(short = 'r', hide = true, value_name = "ENDPOINT")]
    runtime_endpoint_short: Option<String>,
    /// Socket of the image service [default: the runtime's; before the command also -i]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    image_endpoint: Option<String>,
    #[arg(short = 'i', hide = true, value_name = "ENDPOINT")]
    image_endpoint_short: Option<String>,
    /// How long to wait for the runtime, as in 2s [default: 2s; before the command also -t]
    #[arg(long = "rpc-timeout", global = true, value_name = "DURATION", value_parser = duration)]
    rpc_timeout: Option<Duration>,
    #[arg(short = 't', long = "timeout", hide = true, value_name = "DURATION", value_parser = duration)]
    timeout_short: Option<Duration>,
    /// Tell what is being done [before the command also -D]
    #[arg(long, global = true)]
    debug: bool,
    #[arg(short = 'D', hide = true)]
    debug_short: bool,
    /// Send spans of this run to an OpenTelemetry collector
    #[arg(long, global = true)]
    enable_tracing: bool,
    /// Where the collector is; it is spoken to in OTLP/gRPC
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:4317",
        requires = "enable_tracing",
        hide = true
    )]
    tracing_endpoint: String,
    /// How many of a million traces are sent; -1 is all
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value = "-1",
        allow_negative_numbers = true,
        requires = "enable_tracing",
        hide = true
    )]
    tracing_sampling_rate_per_million: i64,
    /// Say nothing on stderr but errors
    #[arg(long, global = true)]
    silent: bool,
}

impl Global {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone().or_else(|| self.config_short.clone()),
            runtime_endpoint: self
                .runtime_endpoint
                .clone()
                .or_else(|| self.runtime_endpoint_short.clone()),
            image_endpoint: self
                .image_endpoint
                .clone()
                .or_else(|| self.image_endpoint_short.clone()),
            timeout: self.rpc_timeout.or(self.timeout_short),
            debug: self.debug || self.debug_short,
            quiet: self.silent,
            ..Flags::default()
        }
    }
}

/// Runs criscope with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let output = Output::of_process(false);
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(said) = dialect::said_to_crictl(&arguments) {
        return crictl::stand_in(said, output);
    }
    let Some(plugin) = Plugin::of(&arguments) else {
        return ordinary(&arguments, output, None);
    };
    plugin.guard(output);
    plugin.exit(ordinary(&arguments, output, Some(plugin)), output)
}

fn ordinary(arguments: &[OsString], output: Output, plugin: Option<Plugin>) -> Exit {
    match parse(arguments) {
        Ok(cli) => {
            // Only a trace has to know it.
            let matches = cli
                .global
                .enable_tracing
                .then(|| parser().try_get_matches_from(arguments).ok());
            let matches = matches.flatten();
            let name = matches
                .as_ref()
                .and_then(|matches| matches.subcommand_name());
            run(
                &cli,
                name.unwrap_or("criscope"),
                Dialect::Own,
                output,
                plugin,
            )
        }
        Err(error) => {
            if let Some(plugin) = plugin
                && error.use_stderr()
            {
                let text = error.to_string();
                plugin.tell(text.lines().next().unwrap_or_default(), output);
            }
            misuse(&error, arguments, output)
        }
    }
}

/// Runs what was read; `name` is the command's.
fn run(cli: &Cli, name: &str, dialect: Dialect, output: Output, plugin: Option<Plugin>) -> Exit {
    let mut flags = cli.global.flags();
    flags.edits_file = matches!(cli.command, Some(Command::Config(_)));
    if dialect.is_crictl() {
        flags.is_crictl = true;
        let program = std::env::current_exe().ok();
        flags.beside = program.map(|program| program.with_file_name("crictl.yaml"));
    }
    let output = Output {
        quiet: flags.quiet,
        ..output
    };
    match start(cli, name, &flags, dialect, output) {
        Ok(exit) => exit,
        Err(error) => {
            if error.is_closed_pipe() {
                return Exit::Success;
            }
            if let Some(plugin) = plugin {
                plugin.tell_error(&error, output);
            }
            let error = match (dialect.doing_all(name, error.reach()), error.exit()) {
                (Some(doing), Exit::Failure | Exit::Undetermined) => error.while_doing(doing),
                _ => error,
            };
            output.error(&error);
            error.exit()
        }
    }
}

/// Parses a command line with no more of the parser than it takes: with the command that is meant and without the other
/// ones, which are most of what a short run costs. Whatever does not succeed that way is parsed with all of it.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    // The process will end soon: to take parsers apart would cost it as much again as to build them.
    let all = ManuallyDrop::new(Command::augment_subcommands(clap::Command::new("criscope")));
    let named = |(place, word): (usize, &OsString)| Some((place, all.find_subcommand(word)?));
    let alone = arguments.iter().enumerate().skip(1).find_map(named);
    alone
        .and_then(|(place, meant)| {
            let behind = arguments.get(place..).unwrap_or_default();
            parse_alone(meant, behind, arguments)
        })
        .map_or_else(|| Cli::try_parse_from(arguments), Ok)
}

/// Parses a command line whose command is known; `None` if it does not succeed. `behind` is what follows the command.
fn parse_alone(meant: &clap::Command, behind: &[OsString], arguments: &[OsString]) -> Option<Cli> {
    let mut parser = Global::augment_args(clap::Command::new("criscope"))
        .args_override_self(true)
        .subcommand(meant.clone());
    // Flags that may stand on both sides are copied from one to the other, all of them. They are rarely behind.
    let is_behind = |flag: &clap::Arg| {
        flag.get_long().is_some_and(|name| {
            let same = |word: &OsString| {
                word.to_str()
                    .and_then(|word| word.strip_prefix("--")?.strip_prefix(name))
                    .is_some()
            };
            flag.is_global_set() && behind.iter().any(same)
        })
    };
    if !parser.get_arguments().any(is_behind) {
        parser = parser.mut_args(|flag| flag.global(false));
    }
    let mut parser = ManuallyDrop::new(parser);
    let matches = ManuallyDrop::new(parser.try_get_matches_from_mut(arguments).ok()?);
    Cli::from_arg_matches(&matches).ok()
}

fn start(
    cli: &Cli,
    name: &str,
    flags: &Flags,
    dialect: Dialect,
    output: Output,
) -> Result<Exit, Error> {
    let settings = Settings::resolve(flags, |name| std::env::var(name).ok(), read)?;
    for warning in &settings.warnings {
        output.warning(warning);
    }
    if settings.debug {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || output.stderr())
            .with_ansi(output.talks_to_terminal)
            .with_max_level(tracing::Level::DEBUG)
            .with_target(false)
            .finish();
        // The only subscriber of the process: setting it cannot fail.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
    crate::interrupt::prepare()
        .map_err(|error| Error::failure("cannot listen for signals").because(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure("cannot start the asynchronous runtime").because(&error))?;
    let mut session = Session::new(settings, output, dialect, parser);
    session.trace = cli.global.enable_tracing.then(|| {
        let rate = cli.global.tracing_sampling_rate_per_million;
        Arc::new(Trace::begin(rate))
    });
    let exit = runtime.block_on(async {
        let work = async {
            let outcome = match &cli.command {
                Some(command) => command::run(command, &session).await,
                None => command::overview::run(&session).await,
            };
            match outcome {
                Ok(exit) => Ok(exit),
                Err(error) => Err(session.explain(error).await),
            }
        };
        tokio::pin!(work);
        tokio::select! {
            // Listens before anything is asked, so that no signal finds nobody.
            biased;
            signal = interrupted() => {
                session.interrupt();
                if !session.has_duties() {
                    return signal;
                }
                // What has to be put right is put right, but not for ever, and not against a second signal.
                output.status("interrupted; cleaning up (again: stop at once)");
                let whatever_is_left = "what was being made may be left: `criscope pods`, `ps -a` and `images` show it";
                tokio::select! {
                    _ = work => {}
                    _ = interrupted() => output.warning(format!("stopped while cleaning up; {whatever_is_left}")),
                    () = tokio::time::sleep(CLEANING) => output.warning(format!(
                        "cleaning up took more than {} s; {whatever_is_left}",
                        CLEANING.as_secs()
                    )),
                }
                signal
            }
            exit = &mut work => exit,
        }
    });
    if let Some(trace) = &session.trace {
        let failure = exit.as_ref().err().map(Error::in_one_line);
        let deadline = session.settings.timeout;
        let endpoint = &cli.global.tracing_endpoint;
        let sent = runtime.block_on(trace.send(name, failure.as_deref(), endpoint, deadline));
        if let Err(error) = sent {
            // The command has done what it should; only nobody will see how.
            output.warning(
                Error::failure("spans are lost")
                    .because(&error)
                    .in_one_line(),
            );
        }
    }
    // Nothing that is still waiting on the world may hold up the end.
    runtime.shutdown_background();
    exit
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> Result<Exit, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|error| Error::failure("cannot listen for signals").because(&error))
    };
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => Ok(Exit::Interrupted),
        _ = terminate.recv() => Ok(Exit::Terminated),
    }
}

/// The text of a configuration file; files of more than a megabyte are none.
fn read(path: &Path) -> io::Result<Option<String>> {
    match files::read::text(path, 1 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Shows help, the version, or what is wrong with the command line.
fn misuse(error: &clap::Error, arguments: &[OsString], output: Output) -> Exit {
    // Help goes to stdout, which may be closed: then nobody wants to read it.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => {
            if let Some(meant) = habits::meant(arguments) {
                output.hint(format!("did you mean `{meant}`?"));
            }
            Exit::Usage
        }
    }
}

/// The whole command line.
pub fn parser() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_parser_reads_what_all_of_it_reads() {
        for line in [
            "criscope ps -a",
            "criscope --debug ps",
            "criscope -D -r /run/a.sock ps --last 3",
            "criscope ps --debug",
            "criscope --silent pods --runtime-endpoint=/run/a.sock -q",
            "criscope images --rpc-timeout 3s",
            "criscope exec --debug c true",
            "criscope exec c ls --debug",
            "criscope exec c -- ls --silent",
            "criscope --config ps images",
            "criscope registry route --debug nginx",
            "criscope --debug",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let all = Cli::try_parse_from(&words).map_err(|error| error.kind());
            let part = parse(&words).map_err(|error| error.kind());
            assert_eq!(format!("{part:?}"), format!("{all:?}"), "{line}");
        }
    }
}
