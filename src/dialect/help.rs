//! Help as crictl lays it out: NAME, USAGE, COMMANDS, OPTIONS. Scripts and test suites look for the first line of each.

use super::VERSION;
use super::words::{self, Command, Flag, HELP, Kind};

/// The help of crictl itself.
pub fn of_crictl() -> String {
    let mut text = format!(
        "NAME:\n   crictl - client for CRI\n\n\
         USAGE:\n   crictl [global options] command [command options]\n\n\
         VERSION:\n   {VERSION}\n\n\
         COMMANDS:\n"
    );
    let mut lines: Vec<(String, String)> = words::commands()
        .map(|command| (names(command), command.usage.to_owned()))
        .collect();
    let help = "Shows a list of commands or help for one command";
    lines.push(("help, h".to_owned(), help.to_owned()));
    columns(&mut text, &lines);
    text.push_str("\nGLOBAL OPTIONS:\n");
    let mut flags: Vec<&Flag> = words::GLOBAL.iter().collect();
    flags.push(&HELP);
    flags.sort_by_key(|flag| flag.name());
    options(&mut text, &flags);
    text
}

/// The help of a command.
pub fn of_command(command: &'static Command) -> String {
    let mut text = format!("NAME:\n   crictl {} - {}\n", command.name, command.usage);
    let operand = if command.operand.is_empty() {
        String::new()
    } else {
        format!(" {}", command.operand)
    };
    text.push_str(&format!(
        "\nUSAGE:\n   crictl {} [command options]{operand}\n",
        command.name
    ));
    if !command.below.is_empty() {
        text.push_str("\nCOMMANDS:\n");
        let lines: Vec<(String, String)> = command
            .below
            .iter()
            .map(|below| (names(below), below.usage.to_owned()))
            .collect();
        columns(&mut text, &lines);
    }
    text.push_str("\nOPTIONS:\n");
    let flags: Vec<&Flag> = command.flags.iter().chain([&HELP]).collect();
    options(&mut text, &flags);
    text
}

/// The help of help.
pub fn of_help() -> String {
    let mut text = "NAME:\n   help - Shows a list of commands or help for one command\n\n\
                    USAGE:\n   help [command options] [command]\n\nOPTIONS:\n"
        .to_owned();
    options(&mut text, &[&HELP]);
    text
}

/// The help of a sub-command.
pub fn of_below(command: &'static Command, below: &'static Command) -> String {
    of_command(below).replace(
        &format!("crictl {}", below.name),
        &format!("crictl {} {}", command.name, below.name),
    )
}

fn names(command: &Command) -> String {
    let mut names = vec![command.name];
    names.extend(command.aliases);
    names.join(", ")
}

fn options(text: &mut String, flags: &[&Flag]) {
    let lines: Vec<(String, String)> = flags
        .iter()
        .map(|flag| {
            let names: Vec<String> = flag.names.iter().map(|name| written(flag, name)).collect();
            let mut usage = flag.usage.to_owned();
            if !flag.default.is_empty() {
                usage.push_str(&format!(" (default: {})", flag.default));
            }
            if !flag.variable.is_empty() {
                usage.push_str(&format!(" [${}]", flag.variable));
            }
            (names.join(", "), usage)
        })
        .collect();
    columns(text, &lines);
}

fn written(flag: &Flag, name: &str) -> String {
    let dashes = if name.len() == 1 { "-" } else { "--" };
    match flag.kind {
        Kind::Switch => format!("{dashes}{name}"),
        Kind::List => format!("{dashes}{name} value [ {dashes}{name} value ]"),
        Kind::Text | Kind::Whole | Kind::Span => format!("{dashes}{name} value"),
    }
}

fn columns(text: &mut String, lines: &[(String, String)]) {
    let width = lines.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    for (left, right) in lines {
        text.push_str(&format!("   {left:width$}  {right}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_others_look_for_are_there() {
        let help = of_crictl();
        assert!(help.contains("crictl - client for CRI"), "{help}");
        assert!(help.contains("\n   images, image, img  "), "{help}");
        assert!(
            help.contains("--runtime-endpoint value, -r value  "),
            "{help}"
        );
        let help = of_command(words::command("pull").unwrap());
        assert!(
            help.starts_with("NAME:\n   crictl pull - Pull an image"),
            "{help}"
        );
        assert!(help.contains("\n   jsonschema, js  "), "{help}");
        assert!(
            help.contains("--annotation value [ --annotation value ], -a value"),
            "{help}"
        );
        assert!(help.ends_with("show help\n"), "{help}");
    }
}
