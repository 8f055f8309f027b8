//! The node itself: name, distribution, first process, time of boot.

use std::path::Path;

use super::kernel_text;
use crate::facts::host::Os;
use crate::facts::{Fact, Host, Source};
use crate::probe::host_files::{Modified, Reader};
use crate::registry::tree::{Entry, Want};

/// Looks at the host below `root`; a host that does not run has files only.
pub(super) fn look(root: &Path, live: bool) -> Host {
    let reader = Reader::open(root, None);
    let text = |path: &str| match reader.look(Path::new(path), Want::Content, &mut Modified::new())
    {
        Entry::Text { text } => Some(text),
        _ => None,
    };
    let os = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| Some(Fact::known(os(&text(path)?), Source::file(path))))
        .unwrap_or_else(|| Fact::absent("the host has no os-release"));
    let name = name(root, live, text("/etc/hostname"));
    let proc = |path: &str| kernel_text(&root.join(path.trim_start_matches('/')));
    let (init, booted_at) = if live {
        let init = match proc("/proc/1/comm") {
            Ok(comm) => Fact::known(comm.trim_end().to_owned(), Source::proc("/proc/1/comm")),
            Err(reason) => Fact::unknown(reason),
        };
        let booted = match proc("/proc/stat") {
            Ok(text) => match boot(&text) {
                Some(time) => Fact::known(time, Source::proc("/proc/stat")),
                None => Fact::unknown("/proc/stat has no `btime`"),
            },
            Err(reason) => Fact::unknown(reason),
        };
        (init, booted)
    } else {
        let dead = || Fact::absent("no system runs here");
        (dead(), dead())
    };
    Host {
        name,
        os,
        init,
        booted_at,
        packages: super::packages::look(root),
        ..Host::default()
    }
}

fn name(root: &Path, live: bool, file: Option<String>) -> Fact<String> {
    if live && root == Path::new("/") {
        let uname = rustix::system::uname();
        let name = uname.nodename().to_string_lossy().into_owned();
        return Fact::known(name, Source::proc("uname"));
    }
    match file {
        Some(text) => {
            let line = text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'));
            match line {
                Some(name) => Fact::known(name.to_owned(), Source::file("/etc/hostname")),
                None => Fact::unknown("/etc/hostname is empty"),
            }
        }
        None => Fact::unknown("there is no /etc/hostname"),
    }
}

fn boot(stat: &str) -> Option<String> {
    let seconds = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}

/// Reads os-release(5).
fn os(text: &str) -> Os {
    let mut os = Os::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches(['"', '\'']);
        match key.trim() {
            "ID" => os.id = value.to_owned(),
            "ID_LIKE" => os.like = value.split_whitespace().map(str::to_owned).collect(),
            "VERSION_ID" => os.version = value.to_owned(),
            "PRETTY_NAME" => os.name = value.to_owned(),
            _ => {}
        }
    }
    os
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release() {
        let os = os(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nID_LIKE='a b'\n",
        );
        assert_eq!((os.id.as_str(), os.version.as_str()), ("debian", "12"));
        assert_eq!(os.like, ["a", "b"]);
    }

    #[test]
    fn a_host_of_files_has_a_name_and_no_processes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hostname"), "# comment\nnode-7\n").unwrap();
        let host = look(root.path(), false);
        assert_eq!(host.name.value().map(String::as_str), Some("node-7"));
        assert!(matches!(host.init, Fact::Absent { .. }));
    }
}
