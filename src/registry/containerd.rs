//! containerd's config.toml, as a given version of the daemon reads it.
//!
//! [`load`] plays a start of the daemon: the main file, its imports, migration between config versions, merging,
//! the checks that stop the daemon or its CRI plugin. What comes out is the registry section that is in force, or the
//! reason why there is none. The semantics were read in `LoadConfig` and `ValidateImageConfig` of the release tags
//! and are asked for as [`Rule`]s.

mod load;
mod section;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::declared::Declared;
use super::document::Document;
use super::node::{Entry, Table};
use super::rules::Rule;
use super::text::{Located, Place};
use super::version::RuntimeId;

pub use load::{import_patterns, imports_of, reachable};
pub use section::{HostSettings, Mirror, Registry, Tls};

/// The plugin table of config versions 1 (after renaming) and 2.
pub const CRI: &str = "io.containerd.grpc.v1.cri";
/// The plugin table of config versions 3 and 4.
pub const CRI_IMAGES: &str = "io.containerd.cri.v1.images";
/// The runtime half of the CRI plugin since config version 3.
pub const CRI_RUNTIME: &str = "io.containerd.cri.v1.runtime";

/// What a client sees when the CRI plugin is not there.
pub const UNKNOWN_SERVICE: &str = "unknown service runtime.v1.RuntimeService";

/// The configuration that a daemon of one version would have after a start with these files.
#[derive(Debug, Clone)]
pub struct Config {
    /// The files in the order in which they were merged.
    pub files: Vec<File>,
    /// Why there is no CRI service, if so. Everything else is then what was read up to that point.
    pub fatal: Option<Fatal>,
    /// All plugin tables, merged and migrated.
    pub plugins: Table,
    /// The plugin table that holds the registry section: the name that this daemon looks up.
    pub table: &'static str,
    /// The registry section in force.
    pub registry: Registry,
    /// The sandbox image in force.
    pub sandbox_image: Setting,
    /// Which setting makes pulls bypass the transfer service, if one does. Without meaning before 2.1.
    pub local_pull: Option<Located<String>>,
    /// Files that matter and that nobody has read: the rest is then a guess.
    pub unread: Vec<PathBuf>,
}

/// One file that the daemon read.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path.
    pub path: Arc<Path>,
    /// What is in it.
    pub document: Document,
    /// Its `version`, if it has one.
    pub version: Option<Located<i64>>,
}

/// Why a pull cannot even start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    /// What gives way.
    pub kind: FatalKind,
    /// Why.
    pub cause: FatalCause,
    /// The words of the daemon.
    pub error: String,
    /// What causes it.
    pub place: Place,
}

/// How far a start gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatalKind {
    /// The daemon exits.
    Daemon,
    /// The daemon runs, its CRI plugin failed to load.
    CriFailed,
    /// The daemon runs, its CRI plugin is switched off.
    CriDisabled,
}

/// Why there is no CRI service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatalCause {
    /// A file is not TOML.
    Syntax,
    /// A value has a type that cannot be decoded.
    Decode,
    /// A file named by `imports` is missing.
    Import,
    /// The file's version is higher than the daemon knows.
    Version,
    /// An imported file has a higher version than the main file.
    DropinVersion,
    /// A plugin table has a short name in a file of version 2 or higher.
    PluginName,
    /// `disabled_plugins` has a short name in a file of version 2 or higher.
    DisabledName,
    /// `disabled_plugins` names the CRI plugin.
    Disabled,
    /// `mirrors` and `config_path` are both set.
    MirrorsClash,
    /// `configs.*.tls` and `config_path` are both set.
    TlsClash,
    /// A key of `auths` is no URL.
    Auths,
}

impl Fatal {
    /// One sentence: what happens, the runtime's own words, where it is written.
    pub fn sentence(&self) -> String {
        let at = format!("{}:{}", self.place.path.display(), self.place.line);
        match self.kind {
            FatalKind::Daemon => format!("containerd does not start: {} ({at})", self.error),
            FatalKind::CriFailed => format!(
                "the CRI plugin does not load: {} ({at}); clients see `{UNKNOWN_SERVICE}`",
                self.error
            ),
            FatalKind::CriDisabled => format!(
                "CRI is disabled: {} ({at}); clients see `{UNKNOWN_SERVICE}`",
                self.error
            ),
        }
    }
}

/// A value with its place, or one that the runtime has of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Written in a file.
    Written(Located<String>),
    /// The runtime's default.
    Builtin(String),
}

impl Setting {
    /// The value.
    pub fn value(&self) -> &str {
        match self {
            Self::Written(located) => &located.value,
            Self::Builtin(value) => value,
        }
    }

    /// Where it is written, if it is.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Written(located) => Some(&located.place),
            Self::Builtin(_) => None,
        }
    }
}

/// Plays a start of a daemon of this version.
pub fn load(declared: &Declared, runtime: &RuntimeId) -> Config {
    let start = load::Start::new(declared, runtime).run();
    section::extract(start, declared, runtime)
}

/// A key of a table as Go's decoders find it: go-toml v2 (containerd 2.x) ignores case where no key fits exactly.
pub(in crate::registry) fn field<'t>(
    table: &'t Table,
    name: &str,
    ignore_case: bool,
) -> Option<&'t Entry> {
    table.entry(name).or_else(|| {
        ignore_case
            .then(|| {
                table
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, entry)| entry)
            })
            .flatten()
    })
}

/// Whether this daemon decodes TOML with go-toml v2.
pub(super) fn ignores_case(declared: &Declared, runtime: &RuntimeId) -> bool {
    declared.rules().holds(Rule::MergeDeep, runtime)
}
