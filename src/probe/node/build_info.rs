//! Which containerd is installed where none runs that could say so: what Go's linker wrote into the program.
//!
//! Reads the section `.go.buildinfo` of a 64-bit little-endian ELF file and nothing else of it (the layout is that of
//! Go's package `debug/buildinfo`, from Go 1.18 on). Builds that leave out the version still name the module, and with it
//! the major version.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::probe::host_files::Reader;

/// The usual places of the program.
const PROGRAMS: &[&str] = &["/usr/bin/containerd", "/usr/local/bin/containerd"];
/// Larger sections are not what is sought.
const MOST: u64 = 1 << 20;
/// More sections than any linker makes.
const MOST_SECTIONS: u64 = 4096;

/// The installed containerd, as `containerd@2.1.9`; its version is `1.7` or `2` where only the module is known.
pub(super) fn installed(root: &Path) -> Option<(String, String)> {
    let reader = Reader::open(root, None);
    PROGRAMS.iter().find_map(|path| {
        let file = File::from(reader.locate(Path::new(path)).ok()??);
        let version = version(&section(&file)?)?;
        Some(((*path).to_owned(), version))
    })
}

/// The section with what the linker knew.
fn section(file: &File) -> Option<Vec<u8>> {
    let at = |offset: u64, length: u64| -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    let header = at(0, 64)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |bytes: &[u8], from: usize, length: usize| -> Option<u64> {
        let mut value = [0; 8];
        value
            .get_mut(..length)?
            .copy_from_slice(bytes.get(from..from + length)?);
        Some(u64::from_le_bytes(value))
    };
    let (table, size, count, names) = (
        number(&header, 0x28, 8)?,
        number(&header, 0x3a, 2)?,
        number(&header, 0x3c, 2)?.min(MOST_SECTIONS),
        number(&header, 0x3e, 2)?,
    );
    if size < 64 {
        return None;
    }
    let entry = |index: u64| at(table.checked_add(index.checked_mul(size)?)?, 64);
    let place = |entry: &[u8]| Some((number(entry, 0x18, 8)?, number(entry, 0x20, 8)?.min(MOST)));
    let (start, length) = place(&entry(names)?)?;
    let strings = at(start, length)?;
    for index in 0..count {
        let entry = entry(index)?;
        let name = strings.get(usize::try_from(number(&entry, 0, 4)?).ok()?..)?;
        if name.starts_with(b".go.buildinfo\0") {
            let (start, length) = place(&entry)?;
            return at(start, length);
        }
    }
    None
}

/// The version that a section tells.
fn version(section: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(section);
    let good = |version: &str| {
        let bare = version.trim_start_matches('v');
        (bare.starts_with(|c: char| c.is_ascii_digit()) && bare.len() < 64).then(|| bare.to_owned())
    };
    let set = text.split("version.Version=").nth(1).and_then(|rest| {
        good(
            rest.split(|c: char| c.is_whitespace() || c == '"' || c == '\'')
                .next()?,
        )
    });
    let module = || {
        let line = text
            .lines()
            .find(|line| line.starts_with("mod\tgithub.com/containerd/containerd"))?;
        good(line.split('\t').nth(2)?)
    };
    let major = || {
        let path = text
            .lines()
            .find_map(|line| line.split("path\tgithub.com/containerd/containerd").nth(1))?;
        Some(if path.starts_with("/v2/") { "2" } else { "1.7" }.to_owned())
    };
    set.or_else(module).or_else(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_tell() {
        let path = "\u{0}path\tgithub.com/containerd/containerd";
        for (text, expected) in [
            (
                format!("{path}/cmd/containerd\nbuild\t-compiler=gc\n"),
                Some("1.7"),
            ),
            (format!("{path}/v2/cmd/containerd\n"), Some("2")),
            (
                format!(
                    "{path}/v2/cmd/containerd\nmod\tgithub.com/containerd/containerd/v2\tv2.3.4\t\n"
                ),
                Some("2.3.4"),
            ),
            (
                format!(
                    "{path}/v2/cmd/containerd\nmod\tgithub.com/containerd/containerd/v2\t(devel)\t\n\
                         build\t-ldflags=\"-X github.com/containerd/containerd/v2/version.Version=v2.1.4 -s\"\n"
                ),
                Some("2.1.4"),
            ),
            ("path\tgithub.com/other\n".to_owned(), None),
        ] {
            assert_eq!(version(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_program_tells_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        for bytes in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01\x01\0",
            &[0xff; 4096],
        ] {
            std::fs::write(root.path().join("usr/bin/containerd"), bytes).unwrap();
            assert_eq!(installed(root.path()), None);
        }
    }
}
