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
    /// What `logs` takes: containers, and pods by namespace and name.
    Logged,
    /// What `why` takes: all of them.
    Subjects,
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
    if let (Shell::Zsh, Some(end)) = (args.shell, last_line_of(&script, ZSH_END)) {
        script.truncate(end);
    }
    script.extend_from_slice(live(args.shell).as_bytes());
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
        What::Containers => containers(session).await?,
        What::Pods => pods(session, |pod| [short(&pod.id), pod.name().to_owned()]).await?,
        What::Images => images(session).await?,
        What::Logged => {
            let mut found = containers(session).await?;
            found.extend(pods(session, namespaced).await?);
            found
        }
        What::Subjects => {
            let mut found = containers(session).await?;
            found.extend(pods(session, namespaced).await?);
            found.extend(images(session).await?);
            found
        }
    };
    found.retain(|candidate| is_plain(candidate));
    found.sort();
    found.dedup();
    Ok(found)
}

async fn containers(session: &Session) -> Result<Vec<String>, Error> {
    let reply = session
        .client()
        .await?
        .list_containers(cri::ListContainersRequest::default())
        .await?;
    let listing = Listing::<Container>::read(reply.bytes());
    Ok(listing
        .rows()
        .flat_map(|row| [short(&row.id), row.name.clone()])
        .collect())
}

async fn pods<const N: usize>(
    session: &Session,
    words: impl Fn(&PodSandbox) -> [String; N],
) -> Result<Vec<String>, Error> {
    let reply = session
        .client()
        .await?
        .list_pod_sandbox(cri::ListPodSandboxRequest::default())
        .await?;
    let listing = Listing::<PodSandbox>::read(reply.bytes());
    Ok(listing.rows().flat_map(words).collect())
}

fn namespaced(pod: &PodSandbox) -> [String; 1] {
    [format!("{}/{}", pod.namespace(), pod.name())]
}

async fn images(session: &Session) -> Result<Vec<String>, Error> {
    let reply = session
        .client()
        .await?
        .list_images(cri::ListImagesRequest::default())
        .await?;
    let listing = Listing::<Image>::read(reply.bytes());
    Ok(listing
        .rows()
        .flat_map(|row| row.repo_tags.clone())
        .collect())
}

/// Which commands take which objects, in the words of `complete`. The three scripts are made from this table.
const TAKERS: &[(&str, &str)] = &[
    (
        "inspect exec attach start stop rm update checkpoint stats",
        "containers",
    ),
    ("inspectp stopp rmp port-forward statsp", "pods"),
    (
        "inspecti rmi pull images test-pull where route probe",
        "images",
    ),
    ("logs", "logged"),
    ("why", "subjects"),
    ("explain", "codes"),
];

/// What the scripts add to the functions that clap writes: a word that is no flag, after a command that takes objects,
/// is asked for. The endpoint that stands on the line already is the one that is asked; a value that is quoted or
/// expanded is left alone, for nothing here may be evaluated.
fn live(shell: Shell) -> String {
    let cases = |arrow: &str, end: &str| -> String {
        TAKERS
            .iter()
            .map(|(commands, what)| {
                format!(
                    "            {}{arrow}{what}{end}\n",
                    commands.replace(' ', "|")
                )
            })
            .collect()
    };
    match shell {
        Shell::Bash => BASH.replace("@CASES@\n", &cases(") what=", " ;;")),
        Shell::Zsh => ZSH.replace("@CASES@\n", &cases(") what=", " ;;")),
        Shell::Fish => {
            let lines: String = TAKERS
                .iter()
                .map(|(commands, what)| {
                    format!(
                        "complete -c criscope -f -n \"__fish_seen_subcommand_from {commands}\" \
                         -a \"(__criscope_live {what})\"\n"
                    )
                })
                .collect();
            format!("{FISH}{lines}")
        }
    }
}

const BASH: &str = r#"
_criscope_live() {
    _criscope "$@"
    local word="${COMP_WORDS[COMP_CWORD]}" what="" candidate last="" endpoint=()
    [[ "$word" == -* ]] && return
    for candidate in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ "$last" == -r || "$last" == --runtime-endpoint ]] && [[ "$candidate" != *[^A-Za-z0-9._/:-]* ]] &&
            endpoint=(-r "$candidate")
        last="$candidate"
        [[ -n "$what" ]] && continue
        case "$candidate" in
@CASES@
        esac
    done
    [[ -n "$what" ]] || return
    local offered=("${COMPREPLY[@]}")
    COMPREPLY=()
    for candidate in "${offered[@]}"; do
        [[ "$candidate" == -* ]] || COMPREPLY+=("$candidate")
    done
    while IFS= read -r candidate; do
        [[ "$candidate" == "$word"* ]] && COMPREPLY+=("$candidate")
    done < <("${COMP_WORDS[0]}" "${endpoint[@]}" complete "$what" 2>/dev/null)
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$word"
}
complete -F _criscope_live -o nosort -o bashdefault -o default criscope 2>/dev/null || complete -F _criscope_live criscope
"#;

/// Where clap's script for zsh registers itself. Ours does it instead: read from `fpath`, the file is the first call, too.
const ZSH_END: &str = "if [ \"$funcstack[1]\"";

fn last_line_of(script: &[u8], start: &str) -> Option<usize> {
    String::from_utf8_lossy(script).rfind(start)
}

const ZSH: &str = r#"
_criscope_live() {
    # The function that clap wrote takes the words apart; what was typed is kept first.
    local -a typed endpoint
    typed=("${(@)words[2,CURRENT-1]}")
    local word="${words[CURRENT]}" program="${words[1]}" what="" candidate last=""
    _criscope "$@"
    [[ "$word" == -* ]] && return
    for candidate in "${(@)typed}"; do
        [[ "$last" == -r || "$last" == --runtime-endpoint ]] && [[ "$candidate" != *[^A-Za-z0-9._/:-]* ]] &&
            endpoint=(-r "$candidate")
        last="$candidate"
        [[ -n "$what" ]] && continue
        case "$candidate" in
@CASES@
        esac
    done
    [[ -n "$what" ]] && compadd -- ${(f)"$("$program" "${(@)endpoint}" complete "$what" 2>/dev/null)"}
}
compdef _criscope_live criscope
[[ "${funcstack[1]}" == _criscope ]] && _criscope_live "$@"
true
"#;

const FISH: &str = r#"
function __criscope_live
    set -l words (commandline -opc)
    set -l endpoint
    for at in (seq 2 (count $words))
        if contains -- $words[(math $at - 1)] -r --runtime-endpoint; and string match -qr '^[A-Za-z0-9._/:-]+$' -- $words[$at]
            set endpoint -r $words[$at]
        end
    end
    $words[1] $endpoint complete $argv[1] 2>/dev/null
end
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
