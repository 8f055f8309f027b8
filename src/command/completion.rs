//! `criscope completion SHELL`: a script that completes commands, flags, and the ids, names and images of the live node.
//!
//! The script calls `criscope complete …`, hidden, which asks the runtime for at most 200 ms and stays silent when it
//! cannot answer. Names are what anybody who may start a container chose, and a shell evaluates what it is offered:
//! only words that mean nothing to a shell are offered, and the scripts never expand them.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::session::Session;
use crate::check;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Container, Image, Listing, PodSandbox};

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
    Codes,
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
        text.push_str(&candidate);
        text.push('\n');
    }
    session.output.data(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Whether a word means nothing but itself to any shell, and is no flag.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(plain)
}

/// As much of an id as is shown.
fn short(id: &str) -> String {
    id.chars().take(13).collect()
}

async fn candidates(what: What, session: &Session) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = match what {
        What::Codes => check::table().map(|check| check.code.to_owned()).collect(),
        What::Containers => {
            let reply = session
                .client()
                .await?
                .list_containers(cri::ListContainersRequest::default())
                .await?;
            let listing = Listing::<Container>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| [short(&row.id), row.name.clone()])
                .collect()
        }
        What::Pods => {
            let reply = session
                .client()
                .await?
                .list_pod_sandbox(cri::ListPodSandboxRequest::default())
                .await?;
            let listing = Listing::<PodSandbox>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| [short(&row.id), row.name().to_owned()])
                .collect()
        }
        What::Images => {
            let reply = session
                .client()
                .await?
                .list_images(cri::ListImagesRequest::default())
                .await?;
            let listing = Listing::<Image>::read(reply.bytes());
            listing
                .rows()
                .flat_map(|row| row.repo_tags.clone())
                .collect()
        }
    };
    found.retain(|candidate| is_plain(candidate));
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
            explain) what=codes ;;
            *) continue ;;
        esac
        break
    done
    [[ -n "$what" ]] || return
    local offered=("${COMPREPLY[@]}")
    COMPREPLY=()
    for candidate in "${offered[@]}"; do
        [[ "$candidate" == -* ]] || COMPREPLY+=("$candidate")
    done
    while IFS= read -r candidate; do
        [[ "$candidate" == "$word"* ]] && COMPREPLY+=("$candidate")
    done < <("${COMP_WORDS[0]}" complete "$what" 2>/dev/null)
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
            explain) what=codes ;;
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
complete -c criscope -f -n "__fish_seen_subcommand_from explain" -a "(criscope complete codes 2>/dev/null)"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_mean_themselves_are_offered() {
        for plain in ["web", "registry.k8s.io/pause:3.9", "a@sha256:00", "x_1"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "-rf",
            "$(id)",
            "`id`",
            "a b",
            "a;b",
            "~",
            "a*",
            "a\nb",
            "\u{1b}[0m",
            "'",
            "<none>",
            "\u{fc}",
            "a\\b",
            "{a,b}",
            "a&",
            "#a",
            "!1",
        ] {
            assert!(!is_plain(other), "{other:?}");
        }
    }
}
