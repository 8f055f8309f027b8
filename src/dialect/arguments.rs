//! Arguments as Go's flag package and urfave/cli v2 read them: one dash or two, a value behind `=` or as the next
//! argument, switches that take `=false`, letters in a bundle where the command allows it, and an end at the first
//! operand or at `--`.

use std::ffi::OsString;
use std::fmt;

use super::words::{Flag, HELP, Kind};

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The flags, in the order in which they were given.
    pub given: Vec<Given>,
    /// The first operand and everything behind it.
    pub operands: Vec<OsString>,
}

/// A flag and its value.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which one.
    pub flag: &'static Flag,
    /// `true` or `false` for a switch.
    pub value: String,
}

/// What cannot be read, in Go's words: scripts look for them.
#[derive(Debug, PartialEq, Eq)]
pub enum Misuse {
    /// There is no such flag.
    Undefined(String),
    /// Its value is missing.
    NeedsArgument(String),
    /// `---x` or `-=x`.
    Syntax(String),
    /// A switch that is neither on nor off.
    NoBoolean { flag: String, value: String },
    /// A flag by two of its names.
    TwoForms {
        name: &'static str,
        other: &'static str,
    },
    /// No number, or no duration.
    NoValue { flag: String, value: String },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Undefined(flag) => write!(f, "flag provided but not defined: -{flag}"),
            Misuse::NeedsArgument(flag) => write!(f, "flag needs an argument: -{flag}"),
            Misuse::Syntax(argument) => write!(f, "bad flag syntax: {argument}"),
            Misuse::NoBoolean { flag, value } => {
                write!(
                    f,
                    "invalid boolean value {value:?} for -{flag}: parse error"
                )
            }
            Misuse::TwoForms { name, other } => {
                write!(f, "Cannot use two forms of the same flag: {name} {other}")
            }
            Misuse::NoValue { flag, value } => {
                write!(f, "invalid value {value:?} for flag -{flag}: parse error")
            }
        }
    }
}

impl Read {
    /// Whether a flag was given, by its long name.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|given| given.flag.name() == name)
    }

    /// Whether a switch is on: the last one counts.
    pub fn is_on(&self, name: &str) -> bool {
        self.last(name) == Some("true")
    }

    /// The last value of a flag.
    pub fn last(&self, name: &str) -> Option<&str> {
        let mut values = self.given.iter().filter(|given| given.flag.name() == name);
        values.next_back().map(|given| given.value.as_str())
    }
}

/// Reads the arguments of a command that has these flags. `bundles` says whether `-ab` can mean `-a -b`.
///
/// # Errors
/// [`Misuse`]; the first one ends the reading, as in Go.
pub fn read(flags: &'static [Flag], bundles: bool, arguments: &[OsString]) -> Result<Read, Misuse> {
    let find = |name: &str| {
        let mut all = flags.iter().chain(std::iter::once(&HELP));
        all.find(|flag| flag.names.contains(&name))
    };
    let mut waiting: Vec<OsString> = arguments.iter().rev().cloned().collect();
    let mut given = Vec::new();
    let mut said: Vec<&'static str> = Vec::new();
    while let Some(argument) = waiting.pop() {
        let text = argument.to_string_lossy().into_owned();
        if text == "--" {
            break;
        }
        let Some(stripped) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            waiting.push(argument);
            break;
        };
        let body = stripped.strip_prefix('-').unwrap_or(stripped);
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(Misuse::Syntax(text));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let Some(flag) = find(name) else {
            let letters: Vec<String> = stripped.chars().map(String::from).collect();
            // Only a bundle of letters that all are flags.
            if bundles
                && value.is_none()
                && letters.len() > 1
                && letters.iter().all(|letter| find(letter).is_some())
            {
                waiting.extend(
                    letters
                        .iter()
                        .rev()
                        .map(|letter| format!("-{letter}").into()),
                );
                continue;
            }
            return Err(Misuse::Undefined(name.to_owned()));
        };
        said.extend(flag.names.iter().find(|known| **known == name));
        let value = match (flag.kind, value) {
            (Kind::Switch, None) => "true".to_owned(),
            (Kind::Switch, Some(value)) => boolean(name, value)?,
            (_, Some(value)) => value,
            (_, None) => match waiting.pop() {
                Some(next) => next.to_string_lossy().into_owned(),
                None => return Err(Misuse::NeedsArgument(name.to_owned())),
            },
        };
        let is_valid = match flag.kind {
            Kind::Whole => value.parse::<i64>().is_ok(),
            Kind::Span => is_duration(&value),
            Kind::Switch | Kind::Text | Kind::List => true,
        };
        if !is_valid {
            let flag = name.to_owned();
            return Err(Misuse::NoValue { flag, value });
        }
        given.push(Given { flag, value });
    }
    for flag in flags {
        let mut forms = flag.names.iter().filter(|name| said.contains(name));
        if let (Some(other), Some(name)) = (forms.next(), forms.next()) {
            return Err(Misuse::TwoForms { name, other });
        }
    }
    let operands = waiting.into_iter().rev().collect();
    Ok(Read { given, operands })
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(name: &str, value: String) -> Result<String, Misuse> {
    match value.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok("false".to_owned()),
        _ => Err(Misuse::NoBoolean {
            flag: name.to_owned(),
            value,
        }),
    }
}

/// Whether Go's `time.ParseDuration` takes it: numbers with units, or a bare `0`.
pub fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let unit_at = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number = &rest[..unit_at];
        let is_number = number.bytes().any(|b| b.is_ascii_digit())
            && number.bytes().filter(|b| *b == b'.').count() < 2;
        rest = &rest[unit_at..];
        // The longer names first: `ms` is no `m`.
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| rest.starts_with(unit));
        match unit {
            Some(unit) if is_number => rest = &rest[unit.len()..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn shown(command: &str, arguments: &[&str]) -> Result<String, String> {
        let command = words::command(command).unwrap();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        match read(command.flags, command.bundles, &arguments) {
            Ok(read) => {
                let given: Vec<String> = read
                    .given
                    .iter()
                    .map(|given| format!("{}={}", given.flag.name(), given.value))
                    .collect();
                Ok(format!("{} | {:?}", given.join(" "), read.operands))
            }
            Err(misuse) => Err(misuse.to_string()),
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        #[track_caller]
        fn case(command: &str, arguments: &[&str], expected: Result<&str, &str>) {
            let shown = shown(command, arguments);
            let shown = shown.as_ref().map(String::as_str).map_err(String::as_str);
            assert_eq!(shown, expected, "{command} {arguments:?}");
        }
        case("ps", &["-all", "--quiet"], Ok("all=true quiet=true | []"));
        case(
            "ps",
            &["-output=json", "-n", "2"],
            Ok("output=json last=2 | []"),
        );
        case(
            "ps",
            &["--all=false", "-q=T"],
            Ok("all=false quiet=true | []"),
        );
        case(
            "ps",
            &["-q", "--quiet=false"],
            Err("Cannot use two forms of the same flag: q quiet"),
        );
        case(
            "pull",
            &["--pt", "1s", "-a", "a=b", "--pull-timeout=2s", "x"],
            Err("Cannot use two forms of the same flag: pt pull-timeout"),
        );
        case(
            "ps",
            &["--label", "a=b", "--label", "c=d"],
            Ok("label=a=b label=c=d | []"),
        );
        case("ps", &["--name", "-a"], Ok("name=-a | []"));
        case("ps", &["--name="], Ok("name= | []"));
        case(
            "inspect",
            &["abc", "-o", "yaml"],
            Ok(" | [\"abc\", \"-o\", \"yaml\"]"),
        );
        case("inspect", &["-q", "--", "-o"], Ok("quiet=true | [\"-o\"]"));
        case("inspect", &["-"], Ok(" | [\"-\"]"));
        case("stop", &["-t", "-5", "x"], Ok("timeout=-5 | [\"x\"]"));
        case(
            "runp",
            &["-T", "1m30s", "x"],
            Ok("cancel-timeout=1m30s | [\"x\"]"),
        );
        case(
            "ps",
            &["--invalid"],
            Err("flag provided but not defined: -invalid"),
        );
        case(
            "ps",
            &["--invalid=3"],
            Err("flag provided but not defined: -invalid"),
        );
        case("ps", &["--output"], Err("flag needs an argument: -output"));
        case("ps", &["---x"], Err("bad flag syntax: ---x"));
        case("ps", &["-=x"], Err("bad flag syntax: -=x"));
        case(
            "ps",
            &["--all=maybe"],
            Err("invalid boolean value \"maybe\" for -all: parse error"),
        );
        case(
            "ps",
            &["--last", "two"],
            Err("invalid value \"two\" for flag -last: parse error"),
        );
        case(
            "runp",
            &["-T", "5", "x"],
            Err("invalid value \"5\" for flag -T: parse error"),
        );
    }

    #[test]
    fn letters_are_a_bundle_where_the_command_allows_it() {
        #[track_caller]
        fn case(command: &str, arguments: &[&str], expected: Result<&str, &str>) {
            let shown = shown(command, arguments);
            let shown = shown.as_ref().map(String::as_str).map_err(String::as_str);
            assert_eq!(shown, expected, "{command} {arguments:?}");
        }
        case("rmp", &["-fa"], Ok("force=true all=true | []"));
        case("ps", &["-qo", "json"], Ok("quiet=true output=json | []"));
        case(
            "exec",
            &["-it", "x", "sh", "-c", "y"],
            Ok("interactive=true tty=true | [\"x\", \"sh\", \"-c\", \"y\"]"),
        );
        case(
            "inspect",
            &["-qo", "yaml"],
            Err("flag provided but not defined: -qo"),
        );
        case("ps", &["-n1"], Err("flag provided but not defined: -n1"));
        case(
            "ps",
            &["-aq=true"],
            Err("flag provided but not defined: -aq"),
        );
    }
}
