//! `criscope registry convert`: the registry configuration in its newer form, with what cannot be carried over and with
//! the routes before and after. Nothing is written unless `--write` says so, and then after a backup.

mod write;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::args::{TextFormat, TextOutput};
use super::super::node::NodeArgs;
use super::super::session::Session;
use super::given::Given;
use crate::check::remark::Alias;
use crate::error::{Error, Exit};
use crate::registry::convert::{self, Conversion, Origin, Target, origins};
use crate::registry::declared::Declared;
use crate::registry::tree::Entry;
use crate::registry::version::{RuntimeId, RuntimeName};
use crate::render::conversion as shown;
use crate::render::documents::API_VERSION;
use crate::render::structured;
use write::Written;

const EXAMPLES: &str = "\
Examples:
  criscope registry convert                               show what would be written, and what it changes
  criscope registry convert --diff                        the same as a patch
  criscope registry convert --write                       write it, each file after a backup
  criscope registry convert daemon.json --as containerd@2.1.4
  criscope registry convert --from docker --to registries-conf --as crio@1.33.0

Exit codes: 0 every image keeps an endpoint, 1 one would lose its last.";

/// Arguments of `registry convert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Convert {
    /// Convert this file instead of the node's: config.toml, daemon.json or registries.yaml
    #[arg(value_name = "FILE", conflicts_with_all = ["write", "host_root", "staged"])]
    file: Option<PathBuf>,
    /// What is converted [default: what is there]
    #[arg(long, value_enum, value_name = "WHAT")]
    from: Option<From>,
    /// What it becomes [default: what the runtime reads]
    #[arg(long, value_enum, value_name = "WHAT")]
    to: Option<To>,
    /// Show a patch; what would show a secret is left out
    #[arg(long, conflicts_with = "output")]
    diff: bool,
    /// Write the files; what is replaced is kept beside it
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    output: TextOutput,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// registry.mirrors and registry.configs of config.toml
    Containerd,
    /// daemon.json and certificates of dockerd
    Docker,
    /// registries.yaml of k3s
    K3s,
    /// registries.yaml of rke2
    Rke2,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// certs.d/HOST/hosts.toml
    HostsToml,
    /// registries.conf
    RegistriesConf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'c> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    conversion: &'c Conversion,
    written: &'c [Written],
}

/// The files that are converted, and who is to read the result.
struct Subject {
    declared: Declared,
    runtime: RuntimeId,
    aliases: Vec<Alias>,
    host_root: PathBuf,
}

/// Runs `criscope registry convert`.
///
/// # Errors
/// There is nothing to convert, a file cannot be read or written, or stdout cannot be written.
pub async fn run(args: &Convert, session: &Session) -> Result<Exit, Error> {
    let subject = args.subject(session).await?;
    let found = origins(&subject.declared, &subject.runtime);
    let from = match args.from {
        Some(From::Containerd) => Origin::Containerd,
        Some(From::Docker) => Origin::Docker,
        Some(From::K3s) => Origin::K3s,
        Some(From::Rke2) => Origin::Rke2,
        None => match found.as_slice() {
            [] => {
                return Err(Error::usage("there is nothing to convert").hint(
                    "neither `registry.mirrors` in config.toml, nor registries.yaml, nor daemon.json was found",
                ));
            }
            [one] => *one,
            [first, ..] => {
                session.output.status(format!(
                    "{} is converted; `--from` names another",
                    first.file()
                ));
                *first
            }
        },
    };
    let to = match args.to {
        Some(To::HostsToml) => Target::HostsToml,
        Some(To::RegistriesConf) => Target::RegistriesConf,
        None if subject.runtime.name == RuntimeName::Crio => Target::RegistriesConf,
        None => Target::HostsToml,
    };
    let reader = reader(&subject.runtime, to)?;
    let conversion =
        convert::convert(&subject.declared, &reader, from, to).map_err(|error| refused(&error))?;
    let loses = conversion.loses();
    let mut written = Vec::new();
    if args.write {
        if loses {
            session.output.data(shown::text(&conversion).as_bytes())?;
            return Err(Error::failure(
                "nothing is written: an image would lose its last endpoint",
            ));
        }
        written = write::write(&subject.host_root, &conversion.files)?;
    }
    let bytes = match (args.diff, args.output.output) {
        (true, _) => {
            let (patch, hidden) = shown::patch(&conversion, &subject.declared, |path| {
                named(path, &subject.aliases)
            });
            if hidden > 0 {
                session.output.warning(format!(
                    "{hidden} files are left out, because their old text would show a secret"
                ));
            }
            patch.into_bytes()
        }
        (false, TextFormat::Text) => shown::text(&conversion).into_bytes(),
        (false, format) => structured::document(
            format.structured().unwrap_or(structured::Format::Json),
            &Document {
                api_version: API_VERSION,
                kind: "RegistryConversion",
                conversion: &conversion,
                written: &written,
            },
        )?,
    };
    session.output.data(&bytes)?;
    for file in &written {
        session.output.status(match &file.backup {
            Some(backup) => format!(
                "{} is written; the old one is {}",
                file.path.display(),
                backup.display()
            ),
            None => format!("{} is written", file.path.display()),
        });
    }
    if let (true, Some(service)) = (args.write, conversion.restart) {
        session.output.status(format!(
            "restart {service}: until then the old configuration is in force"
        ));
    }
    Ok(if loses { Exit::Failure } else { Exit::Success })
}

impl Convert {
    async fn subject(&self, session: &Session) -> Result<Subject, Error> {
        let Some(file) = &self.file else {
            let node = self.node.look(session).await?;
            return Ok(Subject {
                declared: node.declared,
                runtime: node.runtime,
                aliases: Vec::new(),
                host_root: node.host_root,
            });
        };
        let given = Given::read(file)?;
        let runtime = match &self.node.as_runtime {
            Some(runtime) => runtime.clone(),
            None => given.usual_runtime()?,
        };
        let mut declared = given.declared;
        // What was not given is taken not to be there: the file is converted as if it were all.
        if declared.tree.names(Path::new("/")).is_none() {
            let names = Vec::new();
            declared.tree.insert("/", Entry::Directory { names });
        }
        for file in convert::certificates(&declared, &runtime) {
            let blocks = ["CERTIFICATE", "PRIVATE KEY"].map(str::to_owned).to_vec();
            declared.tree.add(file, Entry::Sealed { blocks });
        }
        Ok(Subject {
            declared,
            runtime,
            aliases: given.aliases,
            host_root: PathBuf::from("/"),
        })
    }
}

/// The runtime that reads the result: the node's own, or the usual one of the kind where the node has another.
fn reader(runtime: &RuntimeId, to: Target) -> Result<RuntimeId, Error> {
    let usual = match (to, runtime.name) {
        (Target::HostsToml, RuntimeName::Containerd)
        | (Target::RegistriesConf, RuntimeName::Crio) => return Ok(runtime.clone()),
        (Target::HostsToml, _) => "containerd@1.7.34",
        (Target::RegistriesConf, _) => "crio@1.37.0",
    };
    usual.parse().map_err(|error| {
        Error::failure("the usual version is none; this is a fault of criscope").because(&error)
    })
}

fn refused(error: &convert::Error) -> Error {
    let said = Error::usage(error.to_string());
    match error {
        convert::Error::MirrorsFirst => {
            said.hint("convert them first: `criscope registry convert --from containerd`")
        }
        convert::Error::Broken { .. } => said.hint("`criscope registry lint` says what is wrong"),
        convert::Error::TooOld(_) => {
            said.hint("`--as containerd@1.7.34` converts for the version after an upgrade")
        }
        convert::Error::Nothing(_) | convert::Error::Target => said,
    }
}

fn named(path: &std::path::Path, aliases: &[Alias]) -> String {
    let path = path.display().to_string();
    aliases
        .iter()
        .find(|alias| alias.node == path)
        .map_or(path, |alias| alias.shown.clone())
}
