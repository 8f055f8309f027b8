//! Habits from kubectl: `-n NAMESPACE`, `-l LABEL`, `get pods`, `-A`. Here, as in crictl, `-n` is a number and `-l` the
//! newest; whoever writes the other gets the command that was meant.

use std::ffi::OsString;

/// The command that was probably meant; nothing if no habit is seen.
pub(super) fn meant(arguments: &[OsString]) -> Option<String> {
    let mut words: Vec<String> = vec!["criscope".to_owned()];
    let mut seen = false;
    let mut rest = arguments
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .peekable();
    if rest.next_if(|word| word == "get").is_some() {
        seen = true;
        if let Some(what) = rest.next() {
            words.push(match what.as_str() {
                "pod" | "po" => "pods".to_owned(),
                "container" | "containers" => "ps".to_owned(),
                _ => what,
            });
        }
    }
    while let Some(word) = rest.next() {
        // What stands behind is somebody else's.
        if word == "--" {
            words.push(word);
            words.extend(rest);
            break;
        }
        let glued = |flag: &str| {
            let value = word.strip_prefix(flag)?;
            let value = value.strip_prefix('=').unwrap_or(value);
            (!value.is_empty()).then(|| value.to_owned())
        };
        let is_name = |value: &String| value.parse::<u64>().is_err() && !value.starts_with('-');
        let is_label = |value: &String| value.contains('=') && !value.starts_with('-');
        let meant = match word.as_str() {
            "-n" => rest.next_if(is_name).map(|name| ("--namespace", name)),
            "-l" | "--selector" => rest.next_if(is_label).map(|label| ("--label", label)),
            "-A" | "--all-namespaces" => {
                seen = true;
                continue;
            }
            // `-nq` may be letters of flags; a namespace has more of them.
            _ if word.len() > 4 && word.starts_with("-n") => glued("-n")
                .filter(is_name)
                .map(|name| ("--namespace", name)),
            _ => glued("-l=")
                .or_else(|| glued("--selector="))
                .map(|label| ("--label", label)),
        };
        match meant {
            Some((flag, value)) => {
                seen = true;
                words.push(flag.to_owned());
                words.push(value);
            }
            None => words.push(word),
        }
    }
    seen.then(|| {
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    })
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_was_meant() {
        #[track_caller]
        fn case(typed: &str, expected: Option<&str>) {
            let words: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
            assert_eq!(meant(&words).as_deref(), expected, "{typed}");
        }
        case(
            "criscope pods -n kube-system",
            Some("criscope pods --namespace kube-system"),
        );
        case(
            "criscope pods -nkube-system",
            Some("criscope pods --namespace kube-system"),
        );
        case(
            "criscope ps -a -l app=web",
            Some("criscope ps -a --label app=web"),
        );
        case(
            "criscope ps --selector=a=b -A",
            Some("criscope ps --label a=b"),
        );
        case("criscope get po -q", Some("criscope pods -q"));
        case(
            "criscope pods -n k's",
            Some("criscope pods --namespace 'k'\\''s'"),
        );
        case("criscope pods -n 3", None);
        case("criscope pods -n x3", Some("criscope pods --namespace x3"));
        case("criscope ps -l", None);
        case("criscope ps -lq", None);
        case("criscope exec x -- sort -n x", None);
    }
}
