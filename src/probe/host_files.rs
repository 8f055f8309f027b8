//! Reads a node's configuration files below a host root: `/`, a mounted disk, an image-build tree, a fixture.
//!
//! What to read is decided by [`Declared::wanted`]; this room only looks. Symbolic links are resolved as a `chroot` to
//! the host root would, component by component, so that none leads out of it. Only regular files and directories are
//! opened. Files, names and the total are bounded; what is beyond the bounds is reported as unreadable.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::registry::declared::Declared;
use crate::registry::tree::{Entry, Want, account_names, pem_labels};

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 20;
/// The most names that are listed in one directory.
pub const MAX_NAMES: usize = 10_000;
/// The most paths that are looked at.
pub const MAX_PATHS: usize = 20_000;
/// The most bytes that are kept.
const MAX_TOTAL: usize = 64 << 20;
/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// When files were last changed, for those that were read.
pub type Modified = BTreeMap<PathBuf, SystemTime>;

/// Reads everything that `declared` wants to know, below `host_root`. With `staged`, files below that directory lie
/// over those of the host: a configuration that is about to be shipped.
///
/// Never fails: what cannot be read is in the tree with the reason.
pub fn read(declared: &mut Declared, host_root: &Path, staged: Option<&Path>) -> Modified {
    let layers: Vec<_> = staged
        .into_iter()
        .chain([host_root])
        .map(Layer::open)
        .collect();
    let mut modified = Modified::new();
    let (mut looked, mut kept) = (0, 0);
    loop {
        let wanted = declared.wanted();
        if wanted.is_empty() {
            return modified;
        }
        for (path, want) in wanted {
            looked += 1;
            let entry = if looked > MAX_PATHS || kept > MAX_TOTAL {
                Entry::Unreadable {
                    reason: "too many files".to_owned(),
                }
            } else {
                look(&layers, &path, want, &mut modified)
            };
            if let Entry::Text { text } = &entry {
                kept += text.len();
            }
            declared.tree.insert(path, entry);
        }
    }
}

/// Looks whether there is a directory to look into: what is below one that does not exist is not absent, it was not
/// seen.
///
/// # Errors
/// There is none, or it may not be entered.
pub fn check_root(root: &Path) -> std::io::Result<()> {
    match Layer::open(root).root {
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads one regular file below `host_root` whole. Fails if it is larger than `limit` bytes.
pub fn read_bytes(host_root: &Path, path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let fd = Layer::open(host_root).resolve(path)?;
    if !FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode).is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::from(fd).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!(
            "larger than {} KiB",
            limit >> 10
        )));
    }
    Ok(bytes)
}

/// The names in one directory below `host_root`, sorted.
pub fn names(host_root: &Path, path: &Path) -> std::io::Result<Vec<String>> {
    let fd = Layer::open(host_root).resolve(path)?;
    match list(&fd)? {
        Entry::Directory { names } => Ok(names),
        _ => Err(std::io::Error::other(format!(
            "more than {MAX_NAMES} entries"
        ))),
    }
}

/// A host root, perhaps with a staged tree over it, in which single paths are looked at.
pub struct Reader {
    layers: Vec<Layer>,
}

impl Reader {
    /// Opens the root; that it does not exist shows when something is looked for.
    pub fn open(host_root: &Path, staged: Option<&Path>) -> Self {
        let layers = staged.into_iter().chain([host_root]);
        Self {
            layers: layers.map(Layer::open).collect(),
        }
    }

    /// What is at a path; when a file was last changed is added to `modified`.
    pub fn look(&self, path: &Path, want: Want, modified: &mut Modified) -> Entry {
        look(&self.layers, path, want, modified)
    }

    /// What `stat` says about a path, links followed inside the root; `None` if nothing is there.
    ///
    /// # Errors
    /// The path exists and may not be looked at.
    pub fn stat(&self, path: &Path) -> std::io::Result<Option<rustix::fs::Stat>> {
        match self.locate(path)? {
            Some(fd) => Ok(Some(rustix::fs::fstat(fd)?)),
            None => Ok(None),
        }
    }

    /// Opens what is at a path, links followed inside the root; `None` if nothing is there.
    ///
    /// # Errors
    /// The path exists and may not be looked at.
    pub fn locate(&self, path: &Path) -> std::io::Result<Option<OwnedFd>> {
        for layer in &self.layers {
            match layer.resolve(path) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// What the layers have at a path: the first that has anything, directories of all of them joined.
fn look(layers: &[Layer], path: &Path, want: Want, modified: &mut Modified) -> Entry {
    let mut names: Option<Vec<String>> = None;
    for layer in layers {
        match layer.look(path, want) {
            (Entry::Absent, _) => {}
            (Entry::Directory { names: more }, _) => names.get_or_insert_default().extend(more),
            (entry, time) if names.is_none() => {
                modified.extend(time.map(|time| (path.to_owned(), time)));
                return entry;
            }
            _ => {}
        }
    }
    match names {
        Some(mut names) => {
            names.sort();
            names.dedup();
            Entry::Directory { names }
        }
        None => Entry::Absent,
    }
}

/// One directory that stands for `/`.
struct Layer {
    root: Result<OwnedFd, Errno>,
}

impl Layer {
    fn open(root: &Path) -> Self {
        Self {
            root: open(
                root,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            ),
        }
    }

    fn look(&self, path: &Path, want: Want) -> (Entry, Option<SystemTime>) {
        match self.read(path, want) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => (Entry::Absent, None),
            Err(error) => (
                Entry::Unreadable {
                    reason: std::io::Error::from(error).to_string(),
                },
                None,
            ),
        }
    }

    fn read(&self, path: &Path, want: Want) -> Result<(Entry, Option<SystemTime>), Errno> {
        let fd = self.resolve(path)?;
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok((list(&fd)?, None)),
            FileType::RegularFile => {
                let time = u64::try_from(stat.st_mtime)
                    .ok()
                    .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
                Ok((content(fd, path, want), time))
            }
            _ => Ok((
                Entry::Unreadable {
                    reason: "not a regular file".to_owned(),
                },
                None,
            )),
        }
    }

    /// Opens a path as a `chroot` to the layer would.
    fn resolve(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let root = self.root.as_ref().map_err(|&error| error)?;
        let mut above = vec![root.try_clone().map_err(|_| Errno::MFILE)?];
        let mut rest: VecDeque<OsString> = parts(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let here = above.last().map_or_else(|| root.as_fd(), AsFd::as_fd);
            if name == ".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let stat = statat(here, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let flags = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(here, &name, Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        above.truncate(1);
                    }
                    for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(part);
                    }
                    continue;
                }
                FileType::Directory if rest.is_empty() => OFlags::RDONLY | OFlags::DIRECTORY,
                FileType::Directory => OFlags::PATH | OFlags::DIRECTORY,
                FileType::RegularFile if rest.is_empty() => OFlags::RDONLY | OFlags::NONBLOCK,
                _ if rest.is_empty() => OFlags::PATH,
                _ => return Err(Errno::NOTDIR),
            };
            let next = openat(
                here,
                &name,
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            if rest.is_empty() {
                return Ok(next);
            }
            above.push(next);
        }
        let here = above.pop().ok_or(Errno::NOENT)?;
        openat(
            &here,
            c".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }
}

/// The names on a path, with `..` but without `/` and `.`.
fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

fn list(fd: &OwnedFd) -> Result<Entry, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name == "." || name == ".." {
            continue;
        }
        if names.len() >= MAX_NAMES {
            return Ok(Entry::Unreadable {
                reason: format!("more than {MAX_NAMES} entries"),
            });
        }
        names.push(name.into_owned());
    }
    names.sort();
    Ok(Entry::Directory { names })
}

fn content(fd: OwnedFd, path: &Path, want: Want) -> Entry {
    let mut bytes = Vec::new();
    if let Err(error) = File::from(fd).take(MAX_FILE + 1).read_to_end(&mut bytes) {
        return Entry::Unreadable {
            reason: error.to_string(),
        };
    }
    if bytes.len() as u64 > MAX_FILE {
        return Entry::Unreadable {
            reason: format!("larger than {} KiB", MAX_FILE >> 10),
        };
    }
    match (String::from_utf8(bytes), want) {
        (Ok(text), Want::Content) => Entry::Text { text },
        (Ok(text), Want::Labels) => Entry::Sealed {
            blocks: pem_labels(&text),
        },
        (Err(_), Want::Labels) => Entry::Sealed { blocks: Vec::new() },
        (Ok(text), Want::Accounts) => match account_names(path, &text) {
            Some(names) => Entry::Accounts { names },
            None => Entry::Unreadable {
                reason: "not a file of credentials".to_owned(),
            },
        },
        (Err(_), Want::Accounts) => Entry::Unreadable {
            reason: "not UTF-8".to_owned(),
        },
        (Err(error), Want::Content) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            Entry::NotText {
                line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A host root with one file outside of it.
    fn host() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("etc/containerd/certs.d/docker.io")).unwrap();
        fs::write(directory.path().join("outside"), "outside = true\n").unwrap();
        (directory, root)
    }

    fn declared(root: &Path) -> Declared {
        let mut declared = Declared::default();
        read(&mut declared, root, None);
        declared
    }

    #[test]
    fn what_is_named_is_read_until_nothing_is_left() {
        let (_keep, root) = host();
        fs::create_dir(root.join("etc/containerd/conf.d")).unwrap();
        fs::write(
            root.join("etc/containerd/config.toml"),
            "imports = [\"conf.d/*.toml\"]\n",
        )
        .unwrap();
        let dropin =
            "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/opt/hosts\"\n";
        fs::write(root.join("etc/containerd/conf.d/a.toml"), dropin).unwrap();
        fs::create_dir_all(root.join("opt/hosts/quay.io")).unwrap();
        fs::write(
            root.join("opt/hosts/quay.io/hosts.toml"),
            "[host.\"https://m\"]\nca = \"/opt/ca.pem\"\nclient = \"k.pem\"\n",
        )
        .unwrap();
        fs::write(
            root.join("opt/hosts/quay.io/k.pem"),
            "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
        let declared = declared(&root);
        assert!(
            declared
                .tree
                .text(Path::new("/opt/hosts/quay.io/hosts.toml"))
                .is_some()
        );
        assert_eq!(
            declared.tree.entry(Path::new("/opt/ca.pem")),
            Some(&Entry::Absent)
        );
        let sealed = Entry::Sealed {
            blocks: vec!["PRIVATE KEY".into()],
        };
        assert_eq!(
            declared.tree.entry(Path::new("/opt/hosts/quay.io/k.pem")),
            Some(&sealed)
        );
        assert!(declared.wanted().is_empty());
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (keep, root) = host();
        let config = root.join("etc/containerd/config.toml");
        let cases: [(PathBuf, Option<&str>); 4] = [
            ("/etc/real.toml".into(), Some("real = 1\n")),
            ("../../../../../etc/real.toml".into(), Some("real = 1\n")),
            (keep.path().join("outside"), None),
            ("/etc/containerd/config.toml".into(), None),
        ];
        fs::write(root.join("etc/real.toml"), "real = 1\n").unwrap();
        for (target, expected) in cases {
            let _ = fs::remove_file(&config);
            symlink(&target, &config).unwrap();
            let declared = declared(&root);
            assert_eq!(
                declared.tree.text(Path::new("/etc/containerd/config.toml")),
                expected,
                "{}",
                target.display()
            );
        }
    }

    #[test]
    fn nothing_at_all_is_absent() {
        let (_keep, root) = host();
        let declared = declared(&root.join("no-such-directory"));
        assert_eq!(
            declared
                .tree
                .entry(Path::new("/etc/containerd/config.toml")),
            Some(&Entry::Absent)
        );
    }

    #[test]
    fn bounds_and_odd_files() {
        let (_keep, root) = host();
        let config = root.join("etc/containerd/config.toml");
        let entry = || {
            declared(&root)
                .tree
                .entry(Path::new("/etc/containerd/config.toml"))
                .cloned()
        };
        fs::write(&config, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
        assert_eq!(
            entry(),
            Some(Entry::Unreadable {
                reason: "larger than 1024 KiB".into()
            })
        );
        fs::write(&config, b"a = 1\nb = \"\xff\"\n").unwrap();
        assert_eq!(entry(), Some(Entry::NotText { line: 2 }));
        fs::remove_file(&config).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &config, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(
            entry(),
            Some(Entry::Unreadable {
                reason: "not a regular file".into()
            })
        );
    }

    #[test]
    fn a_staged_tree_lies_over_the_host() {
        let (keep, root) = host();
        fs::write(root.join("etc/containerd/config.toml"), "old = 1\n").unwrap();
        let staged = keep.path().join("staged");
        fs::create_dir_all(staged.join("etc/containerd/certs.d/quay.io")).unwrap();
        fs::write(staged.join("etc/containerd/config.toml"), "new = 1\n").unwrap();
        let mut declared = Declared::default();
        let modified = read(&mut declared, &root, Some(&staged));
        assert_eq!(
            declared.tree.text(Path::new("/etc/containerd/config.toml")),
            Some("new = 1\n")
        );
        assert_eq!(
            declared
                .tree
                .names(Path::new("/etc/containerd/certs.d"))
                .unwrap(),
            ["docker.io", "quay.io"]
        );
        assert!(modified.contains_key(Path::new("/etc/containerd/config.toml")));
    }
}
