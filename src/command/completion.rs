//! `criscope completion SHELL`: a script that completes commands, flags, and the ids, names and images of the live node.
//!
//! The script calls `criscope complete …`, hidden, which asks the runtime for at most 200 ms and stays silent when it
//! cannot answer.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Container, Image, Listing, PodSandbox};
use crate::render::sanitize;

/// How long completion may keep somebody waiting who pressed a key.
const PATIENCE: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  source <(criscope completion bash)
  criscope completion zsh > \"${fpath[1]}/_criscope\"
  criscope completion fish > ~/.config/fish/completions/criscope.fish";

/// Arguments of `completion`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completion {
    /// The shell that reads the script
    #[arg(value_enum, default_value = "bash")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Arguments of `complete`, which only the scripts call.
#[derive(Debug, Args)]
pub struct Complete {
    /// What is wanted
    #[arg(value_enum)]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Containers,
    Pods,
    Images,
}

/// Runs `criscope completion`.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(args: &Completion, session: &Session) -> Result<Exit, Error> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    if let Some(script) = session.dialect.completion(name) {
        session.output.data(script.as_bytes())?;
        return Ok(Exit::Success);
    }
    let mut script = Vec::new();
    let mut parser = (session.parser)();
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut parser, "criscope", &mut script);
    script.extend_from_slice(match args.shell {
        Shell::Bash => BASH.as_bytes(),
        Shell::Zsh => ZSH.as_bytes(),
        Shell::Fish => FISH.as_bytes(),
    });
    session.output.data(&script)?;
    Ok(Exit::Success)
}

/// Runs `criscope complete`: one candidate a line.
///
/// # Errors
/// Stdout cannot be written. A runtime that does not answer is silence.
pub async fn complete(args: &Complete, session: &Session) -> Result<Exit, Error> {
    let candidates = tokio::time::timeout(PATIENCE, candidates(args.what, session)).await;
    let mut text = String::new();
    for candidate in candidates.ok().and_then(Result::ok).unwrap_or_default() {
        text.push_str(&sanitize::line(&candidate));
        text.push('\n');
    }
    session.output.data(text.as_bytes())?;
    Ok(Exit::Success)
}

async fn candidates(what: What, session: &Session) -> Result<Vec<String>, Error> {
    let client = session.client().await?;
    let mut found: Vec<String> = match what {
        What::Containers => {
            let reply = client
                .list_containers(cri::ListContainersRequest::default())
                .await?;
            let listing = Listing::<Container>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| [row.id[..row.id.len().min(13)].to_owned(), row.name.clone()])
                .collect()
        }
        What::Pods => {
            let reply = client
                .list_pod_sandbox(cri::ListPodSandboxRequest::default())
                .await?;
            let listing = Listing::<PodSandbox>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| {
                    [
                        row.id[..row.id.len().min(13)].to_owned(),
                        row.name().to_owned(),
                    ]
                })
                .collect()
        }
        What::Images => {
            let reply = client
                .list_images(cri::ListImagesRequest::default())
                .await?;
            let listing = Listing::<Image>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| row.repo_tags.clone())
                .collect()
        }
    };
    found.retain(|candidate| !candidate.is_empty());
    found.sort();
    found.dedup();
    Ok(found)
}

/// Wraps the generated function: a word that is no flag, after a command that takes objects, is asked for.
const BASH: &str = r#"
_criscope_live() {
    _criscope "$@"
    local word="${COMP_WORDS[COMP_CWORD]}" what="" candidate
    [[ "$word" == -* ]] && return
    for candidate in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$candidate" in
            inspect|logs|exec|attach|start|stop|rm|update|checkpoint|stats) what=containers ;;
            inspectp|stopp|rmp|port-forward|statsp) what=pods ;;
            inspecti|rmi|pull|images|test-pull|where) what=images ;;
            *) continue ;;
        esac
        break
    done
    [[ -n "$what" ]] || return
    local IFS=$'\n'
    COMPREPLY+=($(compgen -W "$("${COMP_WORDS[0]}" complete "$what" 2>/dev/null)" -- "$word"))
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$word"
}
complete -F _criscope_live -o nosort -o bashdefault -o default criscope 2>/dev/null || complete -F _criscope_live criscope
"#;

const ZSH: &str = r#"
_criscope_live() {
    _criscope "$@"
    local what="" candidate
    [[ "${words[CURRENT]}" == -* ]] && return
    for candidate in "${(@)words[2,CURRENT-1]}"; do
        case "$candidate" in
            inspect|logs|exec|attach|start|stop|rm|update|checkpoint|stats) what=containers ;;
            inspectp|stopp|rmp|port-forward|statsp) what=pods ;;
            inspecti|rmi|pull|images|test-pull|where) what=images ;;
            *) continue ;;
        esac
        break
    done
    [[ -n "$what" ]] && compadd -- ${(f)"$("${words[1]}" complete "$what" 2>/dev/null)"}
}
compdef _criscope_live criscope
"#;

const FISH: &str = r#"
complete -c criscope -f -n "__fish_seen_subcommand_from inspect logs exec attach start stop rm update checkpoint stats" -a "(criscope complete containers 2>/dev/null)"
complete -c criscope -f -n "__fish_seen_subcommand_from inspectp stopp rmp port-forward statsp" -a "(criscope complete pods 2>/dev/null)"
complete -c criscope -f -n "__fish_seen_subcommand_from inspecti rmi pull images test-pull where" -a "(criscope complete images 2>/dev/null)"
"#;
