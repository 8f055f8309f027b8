//! A conversion of registry configuration: for people, and as a patch.

use std::fmt::Write as _;
use std::path::Path;

use crate::facts::files::without_secrets;
use crate::registry::convert::{Change, Conversion, Target};
use crate::registry::declared::Declared;

use super::{route_comparison, sanitize};

/// The conversion as text.
pub fn text(conversion: &Conversion) -> String {
    let target = match conversion.to {
        Target::HostsToml => "hosts.toml",
        Target::RegistriesConf => "registries.conf",
    };
    let mut text = format!(
        "{} as {target}, for {}\n",
        conversion.from.file(),
        sanitize::line(&conversion.after)
    );
    if conversion.files.is_empty() {
        text.push_str("\nnothing has to be written\n");
    }
    for file in &conversion.files {
        text.push_str(&shown(file));
    }
    if !conversion.left.is_empty() {
        text.push_str("\nnot carried over, or not as it was:\n");
    }
    for left in &conversion.left {
        let place = left.place.as_ref().map_or_else(String::new, |place| {
            format!(" ({}:{})", place.path.display(), place.line)
        });
        let _ = writeln!(
            text,
            "  {}{}\n    {}",
            sanitize::line(&left.what),
            sanitize::line(&place),
            sanitize::line(&left.why)
        );
    }
    text.push_str("\nwhat becomes of the routes, by an image of each registry:\n");
    for comparison in &conversion.comparisons {
        for line in route_comparison::text(comparison).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// A file of ours whole, of another only what is put in and how much is taken out.
fn shown(file: &Change) -> String {
    let path = file.path.display().to_string();
    let what = if file.exists { "changed" } else { "new" };
    let mut text = format!("\n{what}: {}\n", sanitize::line(&path));
    if let Some(content) = &file.content {
        for line in content.lines() {
            let line = format!("    {}", sanitize::line(line));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        return text;
    }
    for edit in &file.edits {
        match edit.removed {
            0 => {}
            1 => {
                let _ = writeln!(text, "    - line {}", edit.line);
            }
            count => {
                let _ = writeln!(
                    text,
                    "    - lines {} to {}",
                    edit.line,
                    edit.line + count - 1
                );
            }
        }
        for line in &edit.added {
            let _ = writeln!(text, "    + {}", sanitize::line(line));
        }
    }
    text
}

/// The conversion as a unified patch without context, for `patch`: other lines of a file may hold secrets. A file whose
/// changed lines hold one is left out and counted.
pub fn patch(
    conversion: &Conversion,
    declared: &Declared,
    named: impl Fn(&Path) -> String,
) -> (String, usize) {
    let (mut patch, mut hidden) = (String::new(), 0);
    for file in &conversion.files {
        match hunks(file, declared.tree.text(&file.path).unwrap_or_default()) {
            Some(hunks) => {
                let path = named(&file.path);
                let old = if file.exists { &path } else { "/dev/null" };
                let _ = write!(patch, "--- {old}\n+++ {path}\n{hunks}");
            }
            None => hidden += 1,
        }
    }
    (patch, hidden)
}

/// The changes of one file; `None` if a line that goes holds a secret.
fn hunks(file: &Change, before: &str) -> Option<String> {
    let lines: Vec<&str> = before.lines().collect();
    let mut text = String::new();
    let mut grown: isize = 0;
    for edit in &file.edits {
        let gone = lines.iter().skip(edit.line - 1).take(edit.removed);
        let (removed, added) = (edit.removed, edit.added.len());
        // A side without lines stands behind the line before, as diff writes it.
        let from = edit.line - usize::from(removed == 0);
        let to = edit.line.saturating_add_signed(grown) - usize::from(added == 0);
        let _ = writeln!(text, "@@ -{from},{removed} +{to},{added} @@");
        for line in gone {
            let secret = without_secrets(line) != **line
                || line.to_ascii_lowercase().contains("authorization");
            if secret {
                return None;
            }
            let _ = writeln!(text, "-{line}");
        }
        for line in &edit.added {
            let _ = writeln!(text, "+{line}");
        }
        grown += isize::try_from(added).unwrap_or(0) - isize::try_from(removed).unwrap_or(0);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::convert::LineEdit;

    fn change(edits: Vec<LineEdit>) -> Change {
        Change {
            path: "/etc/containerd/config.toml".into(),
            exists: true,
            content: None,
            edits,
            text: String::new(),
        }
    }

    #[test]
    fn hunks_count_lines_as_diff_does() {
        let file = change(vec![
            LineEdit {
                line: 2,
                removed: 0,
                added: vec!["x".into()],
            },
            LineEdit {
                line: 3,
                removed: 2,
                added: Vec::new(),
            },
        ]);
        assert_eq!(
            hunks(&file, "a\nb\nc\nd\n").unwrap(),
            "@@ -1,0 +2,1 @@\n+x\n@@ -3,2 +3,0 @@\n-c\n-d\n"
        );
    }

    #[test]
    fn a_secret_that_goes_is_not_shown() {
        let file = change(vec![LineEdit {
            line: 1,
            removed: 1,
            added: Vec::new(),
        }]);
        assert!(hunks(&file, "endpoint = [\"https://u:hunter2@m\"]\n").is_none());
        assert!(hunks(&file, "endpoint = [\"https://m\"]\n").is_some());
    }
}
