//! The last words of daemons: out of systemd's journal, else out of syslog's text files.
//!
//! Looked at only where no runtime answers. No journalctl is needed and no library of systemd.

mod file;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::facts::files::without_secrets;
use crate::facts::{Fact, JournalLine, Source};
use crate::probe::host_files::{Modified, Reader};
use crate::registry::tree::{Entry, Want};

/// The units whose last words matter.
pub(super) const UNITS: &[&str] = &["containerd", "crio", "cri-docker", "docker", "kubelet"];

/// Where journals are: kept, and of this boot only.
const JOURNALS: &[&str] = &["/var/log/journal", "/run/log/journal"];
/// Where syslog writes what concerns the system.
const TEXTS: &[&str] = &["/var/log/syslog", "/var/log/messages"];
/// How many lines of a unit are kept, from the end.
const KEPT: usize = 60;
/// How many files of a journal are looked into, the newest first.
const FILES: usize = 3;
/// How much of a text file is read, from its end.
const TAIL: u64 = 512 << 10;
/// No message is kept beyond this many characters.
const LONGEST: usize = 2000;

/// Reads what these units said last; names are without `.service`.
pub(super) fn look(files: &Path, units: &[&str]) -> Fact<Vec<JournalLine>> {
    let reader = Reader::open(files, None);
    let mut refused = None;
    let mut found: Vec<(u64, JournalLine)> = Vec::new();
    let mut source = None;
    for path in journals(&reader, &mut refused) {
        let file = match reader.locate(&path) {
            Ok(Some(fd)) => File::from(fd),
            Ok(None) => continue,
            Err(error) => {
                refused.get_or_insert(format!("`{}`: {error}", path.display()));
                continue;
            }
        };
        match file::read(&file, units, KEPT) {
            Ok(lines) => {
                source.get_or_insert(Source::file(path.display()));
                found.extend(lines.into_iter().map(|line| (line.realtime, cut(line))));
            }
            Err(error) => {
                refused.get_or_insert(format!("`{}`: {error}", path.display()));
            }
        }
    }
    if !found.is_empty() {
        found.sort_by_key(|(time, _)| *time);
        let lines = found.into_iter().map(|(_, line)| line).collect();
        return Fact::known(lines, source.unwrap_or_else(|| Source::file(JOURNALS[0])));
    }
    for path in TEXTS {
        let Ok(Some(fd)) = reader.locate(Path::new(path)) else {
            continue;
        };
        let lines = tail(File::from(fd)).map(|text| of_text(&text, units));
        if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
            return Fact::known(lines, Source::file(path));
        }
    }
    match (source, refused) {
        (Some(source), None) => Fact::known(Vec::new(), source),
        (_, Some(reason)) => Fact::unknown(reason),
        (None, None) => Fact::unknown("there is neither a journal nor a text file of syslog"),
    }
}

/// The files of the system's journals, the newest of each directory first.
fn journals(reader: &Reader, refused: &mut Option<String>) -> Vec<PathBuf> {
    let mut names = |path: &Path| match reader.look(path, Want::Content, &mut Modified::new()) {
        Entry::Directory { names } => names,
        Entry::Unreadable { reason } => {
            refused.get_or_insert(format!("`{}`: {reason}", path.display()));
            Vec::new()
        }
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for base in JOURNALS {
        for machine in names(Path::new(base)).into_iter().take(16) {
            let directory = Path::new(base).join(machine);
            let mut files: Vec<(SystemTime, PathBuf)> = names(&directory)
                .into_iter()
                .filter(|name| name.starts_with("system") && name.ends_with(".journal"))
                .map(|name| {
                    let path = directory.join(name);
                    let seconds = reader
                        .stat(&path)
                        .ok()
                        .flatten()
                        .map_or(0, |stat| stat.st_mtime);
                    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                    (SystemTime::UNIX_EPOCH + since, path)
                })
                .collect();
            files.sort();
            found.extend(files.into_iter().rev().take(FILES).map(|(_, path)| path));
        }
    }
    found
}

fn cut(line: file::Line) -> JournalLine {
    let text: String = line.message.chars().take(LONGEST).collect();
    let time = i64::try_from(line.realtime)
        .ok()
        .and_then(|time| jiff::Timestamp::from_microsecond(time).ok());
    JournalLine {
        unit: line.unit,
        time: time.map(|time| time.to_string()).unwrap_or_default(),
        by_systemd: line.by_systemd,
        text: without_secrets(&text).into_owned(),
    }
}

/// The end of a text file.
fn tail(mut file: File) -> Option<String> {
    let length = file
        .metadata()
        .ok()
        .filter(std::fs::Metadata::is_file)?
        .len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines of syslog: `… host containerd[123]: message`, `… host systemd[1]: containerd.service: message`.
fn of_text(text: &str, units: &[&str]) -> Vec<JournalLine> {
    let mut found: Vec<JournalLine> = text
        .lines()
        .filter_map(|line| {
            for unit in units {
                let own = line
                    .split_once(&format!(" {unit}["))
                    .and_then(|(_, rest)| rest.split_once("]: "));
                let service = format!("{unit}.service");
                let manager = line
                    .split_once(" systemd[1]: ")
                    .filter(|(_, rest)| rest.contains(&service));
                let (message, by_systemd) = match (own, manager) {
                    (Some((_, message)), _) => (message, false),
                    (None, Some((_, message))) => (message, true),
                    (None, None) => continue,
                };
                let message: String = message.chars().take(LONGEST).collect();
                return Some(JournalLine {
                    unit: service,
                    time: String::new(),
                    by_systemd,
                    text: without_secrets(&message).into_owned(),
                });
            }
            None
        })
        .collect();
    let surplus = found.len().saturating_sub(KEPT);
    found.drain(..surplus);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_syslog() {
        let text = "Nov 24 10:00:00 n systemd[1]: Starting containerd.service - x...\n\
                    Nov 24 10:00:00 n containerd[7]: containerd: invalid config\n\
                    Nov 24 10:00:00 n sshd[9]: containerd[ is no unit\n\
                    Nov 24 10:00:01 n systemd[1]: containerd.service: Main process exited, code=exited, status=1/FAILURE\n";
        let found = of_text(text, &["containerd"]);
        let read: Vec<_> = found
            .iter()
            .map(|line| (line.by_systemd, line.text.as_str()))
            .collect();
        assert_eq!(
            read,
            [
                (true, "Starting containerd.service - x..."),
                (false, "containerd: invalid config"),
                (
                    true,
                    "containerd.service: Main process exited, code=exited, status=1/FAILURE"
                ),
            ]
        );
    }

    #[test]
    fn a_node_without_journal_says_so() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(
            look(root.path(), &["containerd"]),
            Fact::Unknown { .. }
        ));
        let directory = root.path().join("var/log/journal/abc");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("system.journal"), "garbage").unwrap();
        let Fact::Unknown { reason } = look(root.path(), &["containerd"]) else {
            panic!()
        };
        assert!(reason.contains("system.journal"), "{reason}");
    }

    /// A journal that systemd 252 wrote, unpacked below a root.
    fn node(kind: &str) -> (tempfile::TempDir, PathBuf) {
        let packed = format!(
            "{}/tests/fixtures/journal/{kind}.journal.gz",
            env!("CARGO_MANIFEST_DIR")
        );
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("var/log/journal/0123456789abcdef");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("system.journal");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(File::open(packed).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        std::fs::write(&path, bytes).unwrap();
        (root, path)
    }

    #[test]
    fn journals_of_both_kinds() {
        for kind in ["regular", "compact"] {
            let (root, _) = node(kind);
            let found = look(root.path(), &["containerd", "crio"]);
            let lines = found.value().unwrap_or_else(|| panic!("{kind}: {found:?}"));
            assert!(lines.iter().all(|line| line.unit == "containerd.service"));
            assert!(
                (KEPT..=KEPT + 2).contains(&lines.len()),
                "{kind}: {}",
                lines.len()
            );
            let last: Vec<_> = lines[lines.len() - 3..]
                .iter()
                .map(|line| (line.by_systemd, line.text.as_str()))
                .collect();
            // The line of 4,000 characters in between is compressed.
            assert_eq!(
                last,
                [
                    (
                        true,
                        "Starting containerd.service - containerd container runtime..."
                    ),
                    (
                        false,
                        "containerd: failed to load TOML: /etc/containerd/config.toml: (3, 5): unclosed string"
                    ),
                    (
                        true,
                        "containerd.service: Main process exited, code=exited, status=1/FAILURE"
                    ),
                ],
                "{kind}"
            );
            assert!(lines[0].time < lines[lines.len() - 1].time);
        }
    }

    #[test]
    fn a_damaged_journal_is_no_trouble() {
        for kind in ["regular", "compact"] {
            let (root, path) = node(kind);
            let whole = std::fs::read(&path).unwrap();
            for length in [0, 7, 100, 208, 4096, 100_000, 400_000] {
                std::fs::write(&path, &whole[..length]).unwrap();
                look(root.path(), &["containerd"]);
            }
            // Every seventh word of what is used points somewhere else.
            let mut odd = whole.clone();
            for at in (208..300_000).step_by(56) {
                odd[at] ^= 0x58;
            }
            std::fs::write(&path, &odd).unwrap();
            look(root.path(), &["containerd"]);
        }
    }
}
