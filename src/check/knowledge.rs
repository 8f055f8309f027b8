//! What is known about versions of runtimes and of Kubernetes, and gets old: read from one dated data file.

use std::sync::LazyLock;

use crate::registry::RuntimeName;
use crate::registry::version::Range;

/// The data file that is built in.
pub const BUILTIN: &str = include_str!("knowledge.toml");

/// The date of the data, `YYYY-MM-DD`.
pub fn date() -> &'static str {
    BUILTIN
        .lines()
        .find_map(|line| line.strip_prefix("date = \"")?.strip_suffix('"'))
        .unwrap_or_default()
}

/// Releases with a grave fault that a later one of their line mended.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct BadRelease {
    /// The runtime.
    pub runtime: RuntimeName,
    /// Which versions of it.
    pub versions: Range,
    /// What happens, as a clause.
    pub what: String,
    /// The first release without it.
    pub fixed: String,
}

/// Until when a line of releases gets patches.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Support {
    /// The runtime.
    pub runtime: RuntimeName,
    /// Major and minor version.
    pub line: [u32; 2],
    /// The last day, `YYYY-MM-DD`.
    pub until: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Data {
    bad: Vec<BadRelease>,
    support: Vec<Support>,
}

static DATA: LazyLock<Data> = LazyLock::new(|| toml::from_str(BUILTIN).unwrap_or_default());

/// Releases to be avoided.
pub fn bad_releases() -> &'static [BadRelease] {
    &DATA.bad
}

/// Lines of releases, as far as their end is known.
pub fn support() -> &'static [Support] {
    &DATA.support
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_can_be_read() {
        toml::from_str::<Data>(BUILTIN).unwrap();
        assert!(!bad_releases().is_empty());
        assert_eq!(date().len(), 10);
    }
}
