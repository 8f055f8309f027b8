//! Versions of runtimes as they are found in the field, and which runtime they belong to.
//!
//! `1.6.20~ds1`, `2.1.9+unknown`, `v2.2.0-k3s1`, `1.7.24~ds1-6+b4` and `2.head` are all versions. What a missing part
//! means: `1.7` is the newest patch of 1.7, `2.head` is newer than every 2.x.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// What is wrong with the name of a runtime or its version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no number in it.
    #[error("`{0}` is not a version: expected something like `1.7.34`")]
    Version(String),
    /// The runtime is none that is known.
    #[error("`{0}` is not a runtime: expected `containerd`, `crio` or `docker`")]
    Name(String),
    /// The `@` is missing.
    #[error("`{0}` is not a runtime and its version: expected something like `containerd@1.7.34`")]
    Form(String),
}

/// Stands for a part that is newer than every number.
const NEWEST: u32 = u32::MAX;

/// How far a version is from its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Dev,
    Alpha(u32),
    Beta(u32),
    Candidate(u32),
    Release,
}

/// A version, compared by its numbers and its pre-release; what packagers append does not count.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    numbers: (u32, u32, u32),
    stage: Stage,
}

impl Version {
    /// The first number.
    pub fn major(&self) -> u32 {
        self.numbers.0
    }

    /// The second number; `u32::MAX` if it was not given or is `head`.
    pub fn minor(&self) -> u32 {
        self.numbers.1
    }

    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let trimmed = text.trim();
        let mut rest = trimmed.strip_prefix(['v', 'V']).unwrap_or(trimmed);
        // Debian's epoch: `2:1.6.20`.
        if let Some((epoch, version)) = rest.split_once(':')
            && !epoch.is_empty()
            && epoch.bytes().all(|b| b.is_ascii_digit())
        {
            rest = version;
        }
        let mut numbers = [NEWEST; 3];
        for (index, number) in numbers.iter_mut().enumerate() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                if index == 0 {
                    return Err(Error::Version(text.to_owned()));
                }
                break;
            }
            *number = rest[..digits].parse().unwrap_or(NEWEST - 1);
            rest = &rest[digits..];
            match rest.strip_prefix('.') {
                Some(after) if index < 2 => rest = after,
                _ => break,
            }
        }
        Ok(Self {
            text: trimmed.to_owned(),
            numbers: numbers.into(),
            stage: stage(rest),
        })
    }
}

/// Reads `-beta.0`, `~rc5`, `-dev`; anything else that follows the numbers is a packager's.
fn stage(rest: &str) -> Stage {
    let rest = rest.strip_prefix(['-', '~', '.']).unwrap_or_default();
    let number = |after: &str| {
        let after = after.strip_prefix(['.', '-']).unwrap_or(after);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        after[..digits].parse().unwrap_or(0)
    };
    for (word, make) in [
        ("alpha", Stage::Alpha as fn(u32) -> Stage),
        ("beta", Stage::Beta),
        ("rc", Stage::Candidate),
    ] {
        if let Some(after) = rest.strip_prefix(word) {
            return make(number(after));
        }
    }
    if rest.starts_with("dev") {
        Stage::Dev
    } else {
        Stage::Release
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numbers, self.stage).cmp(&(other.numbers, other.stage))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A range of versions: `1.5.0..1.7.32` (the end is outside), `2.0.0..`, `..2.0.0`, `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    from: Option<Version>,
    until: Option<Version>,
}

impl Range {
    /// Whether the version lies inside.
    pub fn contains(&self, version: &Version) -> bool {
        self.from.as_ref().is_none_or(|from| from <= version)
            && self.until.as_ref().is_none_or(|until| version < until)
    }
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (from, until) = text
            .split_once("..")
            .ok_or_else(|| Error::Version(text.to_owned()))?;
        let bound = |part: &str| {
            if part.is_empty() {
                Ok(None)
            } else {
                part.parse().map(Some)
            }
        };
        Ok(Self {
            from: bound(from)?,
            until: bound(until)?,
        })
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The runtimes whose registry configuration is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeName {
    /// containerd and its CRI plugin.
    Containerd,
    /// CRI-O.
    Crio,
    /// dockerd, behind cri-dockerd or a dockershim.
    Docker,
}

impl RuntimeName {
    /// The word used in `--as` and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Docker => "docker",
        }
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RuntimeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "containerd" => Ok(Self::Containerd),
            "crio" | "cri-o" => Ok(Self::Crio),
            "docker" | "dockerd" | "cri-dockerd" | "moby" => Ok(Self::Docker),
            _ => Err(Error::Name(text.to_owned())),
        }
    }
}

/// A distribution that ships its own build of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fork {
    /// k3s: patched containerd with `rewrite` and its own default endpoint.
    K3s,
    /// rke2: the same.
    Rke2,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
        })
    }
}

/// A runtime and its version: `containerd@1.6.20`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeId {
    /// Which runtime.
    pub name: RuntimeName,
    /// Which version of it.
    pub version: Version,
}

impl RuntimeId {
    /// Puts the two together.
    pub fn new(name: RuntimeName, version: Version) -> Self {
        Self { name, version }
    }

    /// The distribution whose patches are in this build, if its version says so.
    pub fn fork(&self) -> Option<Fork> {
        let text = self.version.as_str();
        if text.contains("k3s") {
            Some(Fork::K3s)
        } else if text.contains("rke2") {
            Some(Fork::Rke2)
        } else {
            None
        }
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for RuntimeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, version) = text
            .split_once('@')
            .ok_or_else(|| Error::Form(text.to_owned()))?;
        Ok(Self {
            name: name.parse()?,
            version: version.parse()?,
        })
    }
}

impl Serialize for RuntimeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RuntimeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn order_of_versions_in_the_field() {
        let ordered = [
            "1.4.13~ds1-1~deb11u4",
            "v1.6.0-rc.1",
            "1.6.20~ds1",
            "1.6.25",
            "1.7.24~ds1-6+b4",
            "1.7.34",
            "1.7",
            "2.0.0-beta.1",
            "2.0.0~rc5",
            "2.0.0",
            "2.1.9+unknown",
            "v2.2.0-k3s1",
            "2.2.1",
            "2.3.4",
            "2.4.0-beta.0",
            "2.4.0-beta.1",
            "2.4.0",
            "2.head",
        ];
        for pair in ordered.windows(2) {
            assert!(
                version(pair[0]) < version(pair[1]),
                "{} < {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn packagers_do_not_count() {
        assert_eq!(version("1.6.20~ds1"), version("v1.6.20"));
        assert_eq!(version("2.2.0-k3s1"), version("2.2.0"));
        assert_eq!(version("2:1.6.20-0ubuntu1"), version("1.6.20"));
        assert_eq!(version("2.4.0-beta.0+70"), version("2.4.0-beta.0"));
        assert_eq!(version("1.38.0-dev").stage, Stage::Dev);
    }

    #[test]
    fn ranges() {
        let within =
            |range: &str, text: &str| range.parse::<Range>().unwrap().contains(&version(text));
        assert!(within("1.5.0..1.7.32", "1.6.20~ds1"));
        assert!(!within("1.5.0..1.7.32", "1.7.32"));
        assert!(within("2.1.0..", "2.head"));
        assert!(within("..2.0.0", "2.0.0-beta.0"));
        assert!(within("..", "0.1"));
        assert!("2.0.0".parse::<Range>().is_err());
    }

    #[test]
    fn runtimes() {
        let id: RuntimeId = "containerd@v2.2.0-k3s1".parse().unwrap();
        assert_eq!(id.fork(), Some(Fork::K3s));
        assert_eq!(id.to_string(), "containerd@v2.2.0-k3s1");
        assert_eq!(
            "cri-o@1.37.0".parse::<RuntimeId>().unwrap().to_string(),
            "crio@1.37.0"
        );
        assert_eq!(
            "dockerd@20.10".parse::<RuntimeId>().unwrap().name,
            RuntimeName::Docker
        );
        assert_eq!(
            "podman@4".parse::<RuntimeId>(),
            Err(Error::Name("podman".into()))
        );
        assert_eq!(
            "containerd".parse::<RuntimeId>(),
            Err(Error::Form("containerd".into()))
        );
        assert_eq!(
            "containerd@new".parse::<RuntimeId>(),
            Err(Error::Version("new".into()))
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<Version>();
            let _ = text.parse::<RuntimeId>();
            let _ = text.parse::<Range>();
        }

        #[test]
        fn numbers_compare_as_numbers(a in (0u32..99, 0u32..99, 0u32..99), b in (0u32..99, 0u32..99, 0u32..99)) {
            let text = |(x, y, z): (u32, u32, u32)| version(&format!("{x}.{y}.{z}"));
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }
    }
}
