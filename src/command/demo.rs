//! `criscope demo`: a node examined without root and without a runtime.
//!
//! The node is made up and lives in this process; everything that is shown about it is really asked over a unix socket.
//! Every word of it is labelled as a demo.

use clap::{Args, Parser};

use super::Command;
use super::session::Session;
use crate::error::{Error, Exit};
use crate::fake;
use crate::settings::{Origin, Setting, Settings};

const EXAMPLES: &str = "\
Examples:
  criscope demo               a short tour
  criscope demo ps -a         one command on the made-up node
  criscope demo -- pods -q    the same; what follows `--` is the command";

/// The tour: one command a line.
const TOUR: &[&str] = &[
    "",
    "pods",
    "ps -a",
    "images --digests",
    "registry route registry.example.com/shop/checkout:2.4.1",
    "registry lint",
    "doctor",
];

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// A command to run on the made-up node, instead of the tour
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// A command line without global flags.
#[derive(Debug, Parser)]
#[command(name = "criscope demo", no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Runs `criscope demo`.
///
/// # Errors
/// The demo cannot be started, or the command fails.
pub async fn run(args: &Demo, session: &Session) -> Result<Exit, Error> {
    let node =
        fake::demo().map_err(|error| Error::failure("cannot start the demo").because(&error))?;
    let settings = Settings {
        runtime_endpoint: Some(Setting {
            value: node.endpoint(),
            origin: Origin::Flag,
        }),
        image_endpoint: None,
        ..session.settings.clone()
    };
    let host = fake::Host::demo()
        .map_err(|error| Error::failure("cannot start the demo").because(&error))?;
    let mut on_demo = Session::new(settings, session.output, session.dialect, session.parser);
    on_demo.host_root = Some(host.root().to_owned());
    session
        .output
        .status("demo: this node is made up; nothing of it exists on this machine");
    if !args.command.is_empty() {
        return one(&args.command, &on_demo).await;
    }
    for line in TOUR {
        session
            .output
            .data(format!("\n$ {}\n", format!("criscope {line}").trim_end()).as_bytes())?;
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        // That something is wrong with the node is what the tour is about, not how it ends.
        one(&words, &on_demo).await?;
    }
    Ok(Exit::Success)
}

async fn one(words: &[String], session: &Session) -> Result<Exit, Error> {
    let line = match Line::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => {
            // Help goes to stdout, which may be closed: then nobody wants to read it.
            let _ = error.print();
            return Ok(if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            });
        }
    };
    match line.command {
        Some(Command::Demo(_)) => Err(Error::usage("a demo within a demo")),
        Some(Command::TestPull(_)) => Err(Error::usage(
            "there are no registries in the demo: nothing can be pulled",
        )
        .hint("`criscope demo registry route IMAGE` shows which the node would ask")),
        Some(Command::Config(_)) => Err(Error::usage(
            "the demo has no crictl.yaml: `criscope config` shows and changes that of this machine",
        )),
        Some(command) => Box::pin(super::run(&command, session)).await,
        None => super::overview::run(session).await,
    }
}
