//! Facts kept when the verdicts change, so that afterwards one can see what a node was when it was still well.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::keep;
use crate::check::{Report, Status};
use crate::error::Error;
use crate::facts::Facts;
use crate::files::read;
use crate::files::replace::{Mode, replace};
use crate::render::structured;

/// Flags of whatever examines a node again and again.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Keep the facts in this directory whenever the verdicts change
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 50, requires = "history")]
    pub keep: usize,
}

impl HistoryArgs {
    /// Whether facts are to be kept.
    pub fn is_wanted(&self) -> bool {
        self.history.is_some()
    }

    /// Keeps the facts, if that is wanted and the verdicts have changed.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn store(&self, facts: &Facts, report: &Report) -> Result<(), Error> {
        let Some(directory) = &self.history else {
            return Ok(());
        };
        store(directory, self.keep.max(1), facts, report).map_err(|error| {
            Error::failure(format!("cannot keep facts in `{}`", directory.display()))
                .because(&error)
        })
    }
}

/// The file with the verdicts of the last facts.
const VERDICTS: &str = "verdicts";

fn store(directory: &Path, keep: usize, facts: &Facts, report: &Report) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let verdicts = verdicts(report);
    let last = directory.join(VERDICTS);
    match read::bytes(&last, keep::LARGEST) {
        Ok(known) if known == verdicts.as_bytes() => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let time: String = facts
        .taken_at
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    let text = structured::document(structured::Format::Ndjson, facts).map_err(io::Error::other)?;
    replace(
        &directory.join(format!("facts-{time}.json")),
        &text,
        Mode::Always(0o600),
    )?;
    replace(&last, verdicts.as_bytes(), Mode::Always(0o600))?;
    prune(directory, keep)
}

/// One line for each check that is not well, sorted: no times, no measurements.
fn verdicts(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| !matches!(finding.status, Status::Pass | Status::Skip))
        .map(|finding| {
            let subject = finding.subject.as_deref().unwrap_or_default();
            format!("{} {} {subject}\n", finding.code, finding.status)
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn prune(directory: &Path, keep: usize) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("facts-") && name.ends_with(".json") {
            kept.push(name);
        }
    }
    kept.sort();
    let surplus = kept.len().saturating_sub(keep);
    for name in kept.into_iter().take(surplus) {
        std::fs::remove_file(directory.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Profile, Scope, examine};
    use crate::facts::Fact;

    fn at(time: &str, well: bool) -> (Facts, Report) {
        let mut facts = crate::check::fixtures::healthy();
        facts.taken_at = time.to_owned();
        if !well {
            facts.cri.status = Fact::unknown("not asked");
        }
        let report = examine(&facts, &Scope::of(Profile::Health));
        (facts, report)
    }

    #[test]
    fn only_changes_are_kept_and_only_so_many() {
        let directory = tempfile::tempdir().unwrap();
        let count = || {
            let names = std::fs::read_dir(directory.path()).unwrap();
            names
                .filter(|name| {
                    name.as_ref()
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .starts_with("facts-")
                })
                .count()
        };
        for (second, well, expected) in [
            (1, true, 1),
            (2, true, 1),
            (3, false, 2),
            (4, false, 2),
            (5, true, 2),
            (6, false, 2),
        ] {
            let (facts, report) = at(&format!("2026-08-23T12:00:0{second}.000Z"), well);
            store(directory.path(), 2, &facts, &report).unwrap();
            assert_eq!(count(), expected, "{second}");
        }
        let newest = directory.path().join("facts-20260823T120006000Z.json");
        assert!(newest.exists());
    }
}
