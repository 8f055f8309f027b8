//! What is said to crictl, turned into arguments of ours, or answered here where crictl answers with help or an error
//! before it does anything.

use std::ffi::OsString;

use super::arguments::{Misuse, Read, read};
use super::rules::{adjusted, is_said};
use super::words::{Command, GLOBAL, Kind, Ours};
use super::{VERSION, help, words};
use crate::error::Exit;

/// What becomes of what is said.
#[derive(Debug, PartialEq, Eq)]
pub enum Turned {
    /// Run this, in our words; the first is the name of the program.
    Run {
        /// The arguments.
        arguments: Vec<OsString>,
        /// The name of the command.
        command: &'static str,
    },
    /// There is nothing to run.
    Say(Said),
}

/// An answer without a runtime.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// For stdout.
    pub stdout: String,
    /// An error, if it is one.
    pub error: Option<String>,
    /// Whether the error is a line as it is: so urfave/cli ends a program, past its log.
    pub bare: bool,
    /// How the process ends.
    pub exit: Exit,
}

impl Said {
    pub(super) fn help(text: String) -> Self {
        Self {
            stdout: text,
            error: None,
            bare: false,
            exit: Exit::Success,
        }
    }

    pub(super) fn error(message: impl Into<String>) -> Self {
        Self {
            stdout: String::new(),
            error: Some(message.into()),
            bare: false,
            exit: Exit::Failure,
        }
    }

    pub(super) fn bare(message: impl Into<String>) -> Self {
        Self {
            bare: true,
            ..Self::error(message)
        }
    }

    /// With the exit code of a plain error, if it is one.
    fn failing(self) -> Self {
        match self.error {
            Some(_) => Self {
                exit: Exit::Failure,
                bare: false,
                ..self
            },
            None => self,
        }
    }

    fn misuse(misuse: &Misuse, help: &str) -> Self {
        Self {
            stdout: format!("Incorrect Usage: {misuse}\n\n{help}"),
            error: Some(misuse.to_string()),
            bare: false,
            exit: Exit::Failure,
        }
    }
}

/// Turns what is said to crictl, without its name.
pub fn turn(said: &[OsString]) -> Turned {
    match turned(said) {
        Ok(turned) => turned,
        Err(said) => Turned::Say(said),
    }
}

fn turned(said: &[OsString]) -> Result<Turned, Said> {
    let mut global =
        read(GLOBAL, false, said).map_err(|misuse| Said::misuse(&misuse, &help::of_crictl()))?;
    if global.is_on("help") {
        return Err(match global.operands.is_empty() {
            true => Said::help(help::of_crictl()),
            // Behind the flag the topic is looked for as a command is run: what is not there is a plain error.
            false => help_about(&global.operands).failing(),
        });
    }
    if global.is_on("version") {
        return Err(Said::help(format!("crictl version {VERSION}\n")));
    }
    let Some((name, rest)) = global.operands.split_first() else {
        return Err(Said::help(help::of_crictl()));
    };
    let name = name.to_string_lossy();
    if matches!(&*name, "help" | "h") {
        return Err(help_about(rest));
    }
    let Some(command) = words::command(&name) else {
        return Err(no_topic(&name));
    };
    let read = read(command.flags, command.bundles, rest)
        .map_err(|misuse| Said::misuse(&misuse, &help::of_command(command)))?;
    if read.is_on("help") {
        return Err(help_within(command, &read.operands).failing());
    }
    global.given.retain(|given| match given.flag.name() {
        // Set to nothing it is a mistake, which is told later.
        "runtime-endpoint" | "tracing-sampling-rate-per-million" => true,
        _ => is_said(command, given.flag, &given.value),
    });
    let mut arguments: Vec<OsString> = vec!["crictl".into()];
    hand_over(&mut arguments, &global);
    arguments.push(command.name.into());
    // Behind `exec` stands a command of the container's, which may be called anything.
    let first = read.operands.first().map(|first| first.to_string_lossy());
    match first.as_deref() {
        Some("help" | "h") if command.name != "exec" => {
            return Err(help_within(command, &read.operands[1..]));
        }
        Some(first) => {
            if let Some(below) = command.below(first) {
                below_command(&mut arguments, command, below, &read.operands[1..])?;
                return Ok(Turned::Run {
                    arguments,
                    command: command.name,
                });
            }
        }
        None => {}
    }
    let read = adjusted(command, read)?;
    hand_over(&mut arguments, &read);
    if !read.operands.is_empty() {
        arguments.push("--".into());
        arguments.extend(read.operands);
    }
    Ok(Turned::Run {
        arguments,
        command: command.name,
    })
}

/// `crictl COMMAND --help [TOPIC]`: what stands behind is a topic of the command.
fn help_within(command: &'static Command, rest: &[OsString]) -> Said {
    let Some(topic) = rest.first().map(|topic| topic.to_string_lossy()) else {
        return Said::help(help::of_command(command));
    };
    match command.below(&topic) {
        Some(below) => Said::help(help::of_below(command, below)),
        None if matches!(&*topic, "help" | "h") => Said::help(help::of_help()),
        None => no_topic(&topic),
    }
}

/// `crictl help [COMMAND]`.
fn help_about(rest: &[OsString]) -> Said {
    let Some(name) = rest.first().map(|name| name.to_string_lossy()) else {
        return Said::help(help::of_crictl());
    };
    match words::command(&name) {
        Some(command) => Said::help(help::of_command(command)),
        None if matches!(&*name, "help" | "h") => Said::help(help::of_help()),
        None => no_topic(&name),
    }
}

fn no_topic(name: &str) -> Said {
    Said {
        exit: Exit::Undetermined,
        ..Said::bare(format!("No help topic for '{name}'"))
    }
}

fn below_command(
    arguments: &mut Vec<OsString>,
    command: &'static Command,
    below: &'static Command,
    rest: &[OsString],
) -> Result<(), Said> {
    let help = || help::of_below(command, below);
    let read =
        read(below.flags, below.bundles, rest).map_err(|misuse| Said::misuse(&misuse, &help()))?;
    let lacks_choice = !below.flags.is_empty() && read.given.is_empty();
    if read.is_on("help") || lacks_choice {
        return Err(Said::help(help()));
    }
    arguments.push(below.name.into());
    hand_over(arguments, &read);
    Ok(())
}

/// Appends flags as ours.
fn hand_over(arguments: &mut Vec<OsString>, read: &Read) {
    for given in &read.given {
        let name = match given.flag.ours {
            Ours::Same => given.flag.name(),
            Ours::Called(name) => name,
            Ours::Nothing => continue,
        };
        match given.flag.kind {
            // Of a switch that is given twice the last one counts.
            Kind::Switch => {
                let flag = OsString::from(format!("--{name}"));
                if read.is_on(given.flag.name()) && !arguments.contains(&flag) {
                    arguments.push(flag);
                }
            }
            _ => arguments.push(format!("--{name}={}", given.value).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &str) -> Turned {
        let arguments: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
        turn(&arguments)
    }

    #[test]
    fn what_can_be_run_is_said_in_our_words() {
        #[track_caller]
        fn case(arguments: &str, expected: &str) {
            match said(arguments) {
                Turned::Run {
                    arguments: found, ..
                } => {
                    let found: Vec<&str> = found.iter().filter_map(|a| a.to_str()).collect();
                    assert_eq!(found[1..].join(" "), expected, "{arguments}");
                }
                Turned::Say(said) => panic!("{arguments}: {said:?}"),
            }
        }
        case("ps -aq", "ps --all --quiet");
        case(
            "-r unix:///a.sock -t 10s -D ps",
            "--runtime-endpoint=unix:///a.sock --rpc-timeout=10s --debug ps",
        );
        case(
            "-c f -i unix:///i --timeout=0 images",
            "--config=f --image-endpoint=unix:///i images",
        );
        case("--runtime-endpoint= ps", "--runtime-endpoint= ps");
        case("--max-retries 0 version", "version");
        case("image -q nginx", "images --quiet -- nginx");
        case("img -o nonsense", "images");
        case("inspect -o= abc -o yaml", "inspect -- abc -o yaml");
        case(
            "ps --label a=b --label c=d,e=f",
            "ps --label=a=b --label=c=d,e=f",
        );
        case("ps --name =x --all=false -n -1", "ps --name=[=]x");
        case(
            "inspect -output go-template x",
            "inspect --output=go-template --template= -- x",
        );
        case("pods extra", "pods");
        case("imagefsinfo -o json x y", "imagefsinfo --output=json");
        case("runtime-config x", "runtime-config");
        case(
            "exec -it x sh -c help",
            "exec --interactive --tty -- x sh -c help",
        );
        case("exec -s -t x help", "exec --sync -- x help");
        case("exec --name web uptime", "exec --name=web -- uptime");
        case("rmi -a -q", "rmi --prune");
        case("rm -fa x", "rm --force --all");
        case("stop -t -5 x", "stop -- x");
        case("stop -t 10 x", "stop --timeout=10 -- x");
        case("stats --id a b", "stats --id=a");
        case("update x", "update --memory=0 -- x");
        case("update --cpu-quota -1 x", "update --cpu-quota=-1 -- x");
        case(
            "update-runtime-config --pod-cidr=",
            "update-runtime-config --pod-cidr=",
        );
        case("pull js", "pull jsonschema");
        case("run jsonschema -pc", "run jsonschema --pod --container");
        case("logs --tail -1 -p x", "logs --previous -- x");
        case("pull --creds a:b -u c x", "pull --username=c -- x");
        case(
            "config --get timeout --list --set debug=true x",
            "config --get=timeout",
        );
        case("config timeout 4 5", "config -- timeout 4");
        case("rmi --prune -a x", "rmi --prune -- x");
        case("create -T 5s p c s", "create --cancel-timeout=5s -- p c s");
    }

    #[test]
    fn misuse_is_mostly_help_and_success() {
        #[track_caller]
        fn case(arguments: &str, stdout: &str, error: Option<&str>, exit: u8) {
            match said(arguments) {
                Turned::Say(said) => {
                    assert!(said.stdout.contains(stdout), "{arguments}: {said:?}");
                    assert_eq!(
                        said.stdout.is_empty(),
                        stdout.is_empty(),
                        "{arguments}: {said:?}"
                    );
                    assert_eq!(said.error.as_deref(), error, "{arguments}");
                    assert_eq!(said.exit.code(), exit, "{arguments}");
                }
                Turned::Run {
                    arguments: found, ..
                } => panic!("{arguments}: {found:?}"),
            }
        }
        let headline = "crictl - client for CRI";
        for arguments in ["", "help", "h", "--help", "-h", "-D -h"] {
            case(arguments, headline, None, 0);
        }
        case("help help", "help [command options] [command]", None, 0);
        case("-h version", "crictl version - ", None, 0);
        case("-h podz", "", Some("No help topic for 'podz'"), 1);
        case("version -h", "crictl version - ", None, 0);
        case("version -h x", "", Some("No help topic for 'x'"), 1);
        case("version help x", "", Some("No help topic for 'x'"), 3);
        case("pull -h js", "crictl pull jsonschema - ", None, 0);
        case("--version", "crictl version v1.36.0\n", None, 0);
        case("-v", "crictl version v1.36.0\n", None, 0);
        case(
            "--invalid",
            headline,
            Some("flag provided but not defined: -invalid"),
            1,
        );
        case(
            "-t 5 ps",
            headline,
            Some("invalid value \"5\" for flag -t: parse error"),
            1,
        );
        case(
            "ps --invalid",
            "crictl ps - ",
            Some("flag provided but not defined: -invalid"),
            1,
        );
        case(
            "pull --pt=-1s x",
            "",
            Some("pulling image: timeout should be bigger than 0"),
            1,
        );
        case(
            "logs --tail 1 -s stdout x",
            "",
            Some("--tail and --stream are mutually exclusive"),
            1,
        );
        case(
            "logs -s both x",
            "",
            Some("invalid stream \"both\", must be \"stdout\" or \"stderr\""),
            1,
        );
        case("podz", "", Some("No help topic for 'podz'"), 3);
        case("help podz", "", Some("No help topic for 'podz'"), 3);
        case("help pull", "Pull an image", None, 0);
        case("pull -h", "Pull an image", None, 0);
        case("pull jsonschema -h", "crictl pull jsonschema", None, 0);
        case("run jsonschema", "crictl run jsonschema", None, 0);
        for command in [
            "rm",
            "rmi",
            "rmp",
            "stopp",
            "config",
            "exec",
            "runp",
            "run",
            "create",
            "update-runtime-config",
        ] {
            case(command, &format!("crictl {command} - "), None, 0);
        }
        case("ps x", "crictl ps - ", None, 0);
        case("logs x -f", "crictl logs - ", None, 0);
        case("images a b", "crictl images - ", None, 0);
        case("metricsp -o table", "crictl metricsp - ", None, 0);
        for command in ["start", "update", "attach", "logs", "checkpoint"] {
            case(command, "", Some("ID cannot be empty"), 1);
        }
        case("pull", "", Some("image name cannot be empty"), 1);
        case(
            "pull --creds a:b --auth c x",
            "",
            Some("both `--creds` and `--auth` are specified"),
            1,
        );
        case(
            "stop",
            "",
            Some("you must specify at least one CONTAINER-ID or use --all"),
            1,
        );
        case(
            "stop -a x",
            "",
            Some("cannot specify CONTAINER-ID(s) when using --all"),
            1,
        );
        case(
            "ps -o wide",
            "",
            Some("listing containers: unsupported output format \"wide\""),
            1,
        );
        case(
            "inspect -o wide x",
            "",
            Some("get the status of containers: unsupported format: \"wide\""),
            1,
        );
        case(
            "info -o table",
            "",
            Some("getting status of runtime: unsupported format: \"table\""),
            1,
        );
        case(
            "events --output=ini",
            "",
            Some("don't support \"ini\" format"),
            1,
        );
        case(
            "events --template={{.containerID}}",
            "",
            Some("template can't be used with \"json\" format"),
            1,
        );
        case(
            "ps -s dead",
            "",
            Some(
                "listing containers: list containers: --state should be one of created, running, exited or unknown",
            ),
            1,
        );
        case(
            "pods -s running",
            "",
            Some("listing pod sandboxes: list pod sandboxes: --state should be ready or notready"),
            1,
        );
        case(
            "ps --label app",
            "",
            Some("incorrectly specified label: app"),
            1,
        );
        case(
            "run --no-pull --with-pull c p",
            "",
            Some("conflict: no-pull and with-pull are both set"),
            1,
        );
        case(
            "completion tcsh",
            "",
            Some("only bash, zsh or fish are supported"),
            1,
        );
    }
}
