//! The lab's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{self, Sent, Verdict};
use crate::daemon;
use crate::document::Document;
use crate::error::Result;
use crate::fetch::{Cache, Freshness};
use crate::generation::Suite;
use crate::place::{self, Place};
use crate::registry::Kind;
use crate::speech::say;
use crate::up::{self, Life, Wish};
use crate::{faulty, keeper, node, resolver};

/// Real throw-away containerd nodes and real registries on this machine
#[derive(Debug, Parser)]
#[command(name = "lab", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lab up --pods 5                        a node until Ctrl-C
  lab up --generation 2 --json           the same for a test: ends with its stdin
  lab up --mirror down --detach          a node whose mirror is broken, until `lab down`
  lab exec lab-1 -- criscope pods        as if logged in to the node
  lab signal lab-1 STOP                  the daemon hangs
  lab down --all";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a node with registries and pods, and hold it
    Up {
        #[command(flatten)]
        wish: Wish,
        /// Print one line of JSON that says where everything is
        #[arg(long)]
        json: bool,
        /// Return at once; the node stays until `lab down`
        #[arg(long)]
        detach: bool,
    },
    /// End labs and wait until nothing is left of them
    Down {
        /// Names as `lab list` shows them
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All labs of this machine
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Show the labs that are up
    List,
    /// Show where everything of a lab is
    Show {
        /// The lab
        name: String,
        /// The line of JSON that `lab up --json` printed
        #[arg(long)]
        json: bool,
    },
    /// Run a command inside a node, where everything has its usual place
    Exec {
        /// The lab
        name: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Send a signal to a lab's daemon, or to another of its programs
    Signal {
        /// The lab
        name: String,
        /// The signal
        #[arg(ignore_case = true)]
        signal: Sent,
        /// The program: containerd, registry-good, registry-tls, …
        #[arg(long, value_name = "NAME", default_value = daemon::NAME)]
        program: String,
    },
    /// Start a lab's daemon anew, or another of its programs
    Restart {
        /// The lab
        name: String,
        /// The program: containerd, registry-good, registry-tls, …
        #[arg(long, value_name = "NAME", default_value = daemon::NAME)]
        program: String,
    },
    /// Pull every image of a lab and compare what comes with what `lab show --json` promises
    Verify {
        /// The lab
        name: String,
    },
    /// Clear away what killed labs have left
    Sweep,
    /// Fetch and unpack Debian packages into the cache; nothing is installed
    Fetch {
        /// The packages
        #[arg(required = true)]
        packages: Vec<String>,
        /// The suite they come from
        #[arg(long, default_value = "bookworm")]
        suite: Suite,
        /// Ask the mirror for newer versions
        #[arg(long)]
        refresh: bool,
        /// Print a list of name, version and root directory
        #[arg(long)]
        json: bool,
    },
    /// Show which generations can be had, and in which version
    Versions {
        /// Ask the mirror again
        #[arg(long)]
        refresh: bool,
    },
    /// The keeper of a lab (`lab up` starts it)
    #[command(hide = true)]
    Keeper { packages: Vec<std::path::PathBuf> },
    /// Process 1 of a node (the keeper starts it)
    #[command(hide = true)]
    Node {
        dir: std::path::PathBuf,
        packages: Vec<std::path::PathBuf>,
    },
    /// A registry that misbehaves (`lab up` starts it)
    #[command(hide = true)]
    Serve { kind: Kind, port: u16 },
    /// The node's nameserver (`lab up` starts it)
    #[command(hide = true)]
    Resolve { address: std::net::Ipv4Addr },
}

/// Parses the command line and does what it says.
///
/// # Errors
/// Whatever the command returns.
pub fn run() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Up { wish, json, detach } => {
            let life = if detach { Life::Detached } else { Life::Held };
            up::up(&wish, life, |document| show(document, json))?;
        }
        Command::Down { names, all } => {
            for name in commands::down(&names, all)? {
                say(&format!("{name} is down"));
            }
        }
        Command::List => {
            for (name, document) in commands::list() {
                match document {
                    Some(it) => say(&format!(
                        "{name}\tcontainerd {}\t{} pods\t{}",
                        it.version,
                        it.pods.len(),
                        it.endpoint
                    )),
                    None => say(&format!("{name}\tcoming up")),
                }
            }
        }
        Command::Show { name, json } => show(&Document::read(&Place::named(&name)?)?, json)?,
        Command::Exec { name, command } => match commands::exec(&name, &command)? {},
        Command::Signal {
            name,
            signal,
            program,
        } => commands::signal(&name, &program, signal)?,
        Command::Restart { name, program } => {
            say(&commands::restart(&name, &program)?.to_string());
        }
        Command::Verify { name } => return verify(&name),
        Command::Sweep => {
            for name in place::sweep()? {
                say(&format!("{name} is cleared away"));
            }
        }
        Command::Fetch {
            packages,
            suite,
            refresh,
            json,
        } => fetch(&packages, suite, freshness(refresh), json)?,
        Command::Versions { refresh } => return versions(freshness(refresh)),
        Command::Keeper { packages } => keeper::run(&packages)?,
        Command::Node { dir, packages } => node::run(&dir, &packages)?,
        Command::Serve { kind, port } => faulty::serve(kind, port)?,
        Command::Resolve { address } => resolver::serve(address)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn freshness(refresh: bool) -> Freshness {
    match refresh {
        true => Freshness::Newest,
        false => Freshness::Cached,
    }
}

fn show(document: &Document, json: bool) -> Result<()> {
    match json {
        true => say(&document.line()?),
        false => say(document.summary().trim_end()),
    }
    Ok(())
}

fn fetch(names: &[String], suite: Suite, fresh: Freshness, json: bool) -> Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let packages = Cache::open()?.fetch(suite, &names, fresh)?;
    if json {
        let line = serde_json::to_string(&packages).unwrap_or_default();
        say(&line);
        return Ok(());
    }
    for package in packages {
        say(&format!(
            "{}\t{}\t{}",
            package.name,
            package.version,
            package.root.display()
        ));
    }
    Ok(())
}

fn verify(name: &str) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (pull, verdict) in commands::verify(name)? {
        match verdict {
            Verdict::Kept(what) => say(&format!("as promised\t{}\t{what}", pull.image)),
            Verdict::Broken(what) => {
                say(&format!("NOT as promised\t{}\t{what}", pull.image));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn versions(fresh: Freshness) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (generation, offer) in commands::versions(fresh)? {
        match offer {
            Ok(offer) => {
                let cached = offer.cached.unwrap_or_else(|| "-".to_owned());
                say(&format!(
                    "{generation}\t{}\t{}\tcached {cached}",
                    offer.codename, offer.version
                ));
            }
            Err(error) => {
                say(&format!(
                    "{generation}\t{}\tnot obtainable: {error}",
                    generation.suite()
                ));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
