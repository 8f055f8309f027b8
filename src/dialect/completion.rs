//! Completion scripts for the name `crictl`: commands, the flags of each, and ids, names and images, which the scripts
//! ask of crictl itself.

use super::words::{self, Flag, GLOBAL, Kind};

const CONTAINERS: &str = "attach checkpoint exec inspect logs rm start stats stop update";
const PODS: &str = "create inspectp port-forward rmp statsp stopp";
const IMAGES: &str = "inspecti pull rmi";

/// The script for a shell; `None` for one that is not known.
pub fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn flags(all: &[Flag]) -> String {
    let names: Vec<String> = all
        .iter()
        .flat_map(|flag| flag.names)
        .map(|name| {
            if name.len() == 1 {
                format!("-{name}")
            } else {
                format!("--{name}")
            }
        })
        .chain(["--help".to_owned(), "-h".to_owned()])
        .collect();
    names.join(" ")
}

fn names() -> Vec<&'static str> {
    words::commands()
        .flat_map(|command| command.aliases.iter().chain([&command.name]))
        .copied()
        .chain(["help"])
        .collect()
}

/// `name) words ;;` for every command.
fn cases(indent: &str, variable: &str) -> String {
    let mut text = String::new();
    for command in words::commands() {
        let mut names = vec![command.name];
        names.extend(command.aliases);
        text.push_str(&format!(
            "{indent}{}) {variable}=\"{}\" ;;\n",
            names.join("|"),
            flags(command.flags)
        ));
    }
    text
}

fn bash() -> String {
    format!(
        r#"_crictl() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" command="" words="" before
    for before in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$before" in
            {commands}) command="$before"; break ;;
        esac
    done
    if [[ -z "$command" ]]; then
        words="{names} {global}"
    elif [[ "$word" == -* ]]; then
        case "$command" in
{cases}        esac
    else
        case "$command" in
            {containers}) words="$(crictl ps -aq 2>/dev/null)" ;;
            {pods}) words="$(crictl pods -q 2>/dev/null)" ;;
            {images}) words="$(crictl images -v 2>/dev/null | sed -n 's/^RepoTags: //p')" ;;
            completion) words="bash zsh fish" ;;
        esac
    fi
    # Not by compgen, which evaluates the names that it is given.
    local -a offered=()
    read -r -d '' -a offered <<<"$words"
    COMPREPLY=()
    for before in "${{offered[@]}}"; do
        [[ "$before" == "$word"* ]] && COMPREPLY+=("$(printf %q "$before")")
    done
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$word"
}}
complete -o bashdefault -o default -F _crictl crictl
"#,
        commands = names().join("|"),
        names = names().join(" "),
        global = flags(GLOBAL),
        cases = cases("            ", "words"),
        containers = CONTAINERS.replace(' ', "|"),
        pods = PODS.replace(' ', "|"),
        images = IMAGES.replace(' ', "|"),
    )
}

fn zsh() -> String {
    format!(
        r#"#compdef crictl

_crictl() {{
    local command="" list="" before
    for before in "${{(@)words[2,CURRENT-1]}}"; do
        case "$before" in
            {commands}) command="$before"; break ;;
        esac
    done
    if [[ -z "$command" ]]; then
        list="{names} {global}"
    elif [[ "${{words[CURRENT]}}" == -* ]]; then
        case "$command" in
{cases}        esac
    else
        case "$command" in
            {containers}) list="$(crictl ps -aq 2>/dev/null)" ;;
            {pods}) list="$(crictl pods -q 2>/dev/null)" ;;
            {images}) list="$(crictl images -v 2>/dev/null | sed -n 's/^RepoTags: //p')" ;;
            completion) list="bash zsh fish" ;;
            *) _files; return ;;
        esac
    fi
    compadd -- ${{=list}}
}}
compdef _crictl crictl
"#,
        commands = names().join("|"),
        names = names().join(" "),
        global = flags(GLOBAL),
        cases = cases("            ", "list"),
        containers = CONTAINERS.replace(' ', "|"),
        pods = PODS.replace(' ', "|"),
        images = IMAGES.replace(' ', "|"),
    )
}

fn fish() -> String {
    let mut text = String::new();
    for flag in GLOBAL {
        text.push_str(&format!(
            "complete -c crictl -n __fish_use_subcommand{}\n",
            option(flag)
        ));
    }
    for command in words::commands() {
        let mut names = vec![command.name];
        names.extend(command.aliases);
        let names = names.join(" ");
        text.push_str(&format!(
            "complete -c crictl -n __fish_use_subcommand -f -a \"{names}\" -d {}\n",
            quoted(command.usage)
        ));
        for flag in command.flags {
            text.push_str(&format!(
                "complete -c crictl -n \"__fish_seen_subcommand_from {names}\"{}\n",
                option(flag)
            ));
        }
    }
    for (commands, words) in [
        (CONTAINERS, "crictl ps -aq 2>/dev/null"),
        (PODS, "crictl pods -q 2>/dev/null"),
        (
            IMAGES,
            "crictl images -v 2>/dev/null | string replace -rf '^RepoTags: ' ''",
        ),
        ("completion", "printf 'bash\\nzsh\\nfish\\n'"),
    ] {
        text.push_str(&format!(
            "complete -c crictl -n \"__fish_seen_subcommand_from {commands}\" -f -a \"({words})\"\n"
        ));
    }
    text
}

fn option(flag: &Flag) -> String {
    let mut text = String::new();
    for name in flag.names {
        let kind = if name.len() == 1 { "-s" } else { "-l" };
        text.push_str(&format!(" {kind} {name}"));
    }
    if flag.kind != Kind::Switch {
        text.push_str(" -r");
    }
    format!("{text} -d {}", quoted(flag.usage))
}

/// A word in single quotes, as fish reads it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_commands_and_the_flags_of_each() {
        for shell in ["bash", "zsh", "fish"] {
            let script = script(shell).unwrap();
            for word in [
                "img",
                "port-forward",
                "resolve-image-path",
                "crictl pods -q",
            ] {
                assert!(script.contains(word), "{shell}: {word}\n{script}");
            }
        }
        assert_eq!(script("tcsh"), None);
    }
}
