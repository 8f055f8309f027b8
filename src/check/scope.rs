//! What is judged and what becomes of it: the profile, what is left out or added, and which verdicts are capped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::{Area, Note, Status};
use super::policy::Policy;
use super::{Check, table};

/// A set of checks with a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Does the node serve workloads now? For monitoring: silent on every healthy node.
    Health,
    /// Health, and what will break at the next restart, reboot or pull. For people.
    Node,
    /// What the configuration of registries does.
    Registry,
    /// Will the node survive a migration or an upgrade? Ends of support and hygiene are in here.
    Preflight,
    /// What is wrong with one pod, container or image, or with everything.
    Subject,
}

impl Profile {
    /// All profiles.
    pub const ALL: &[Self] = &[
        Self::Health,
        Self::Node,
        Self::Registry,
        Self::Preflight,
        Self::Subject,
    ];

    /// The word in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Node => "node",
            Self::Registry => "registry",
            Self::Preflight => "preflight",
            Self::Subject => "subject",
        }
    }
}

/// In everything but the profile for registries.
pub(super) const HEALTH: &[Profile] = &[
    Profile::Health,
    Profile::Node,
    Profile::Preflight,
    Profile::Subject,
];
/// For one pod, container or image.
pub(super) const SUBJECT: &[Profile] = &[Profile::Subject];
/// For people and before a migration.
pub(super) const NODE: &[Profile] = &[Profile::Node, Profile::Preflight];
/// Before a migration or an upgrade only.
pub(super) const PREFLIGHT: &[Profile] = &[Profile::Preflight];

/// What is judged and what becomes of it.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The set of checks.
    pub profile: Profile,
    /// Only these, whatever the profile says; all of the profile if empty.
    pub only: Vec<Selector>,
    /// Not these.
    pub skip: Vec<Selector>,
    /// The worst status that a check may end in, by code.
    pub caps: BTreeMap<String, Status>,
    /// Whether what passed is shown too.
    pub all: bool,
    /// The site's own rules.
    pub policy: Option<Policy>,
}

impl Scope {
    /// All checks of a profile, problems only.
    pub fn of(profile: Profile) -> Self {
        Self {
            profile,
            only: Vec::new(),
            skip: Vec::new(),
            caps: BTreeMap::new(),
            all: false,
            policy: None,
        }
    }

    /// Whether a check is judged.
    pub fn includes(&self, check: &Check) -> bool {
        let named = |selectors: &[Selector]| selectors.iter().any(|selector| selector.fits(check));
        let wanted = if self.only.is_empty() {
            check.profiles.contains(&self.profile)
        } else {
            named(&self.only)
        };
        wanted && !named(&self.skip)
    }

    /// Lowers the status of a note to what is allowed for its check.
    pub(super) fn cap(&self, check: &Check, note: &mut Note) {
        if let Some(&most) = self.caps.get(check.code) {
            note.status = note.status.at_most(most);
        }
    }
}

/// A check or all checks of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One check, by its code.
    Check(&'static str),
    /// All checks of an area.
    Area(Area),
}

/// A word that names neither a check nor an area.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no check and no area `{word}`")]
pub struct NoSuchCheck {
    /// What was typed.
    pub word: String,
    /// Codes and areas that look alike, the nearest first.
    pub near: Vec<&'static str>,
}

impl Selector {
    /// Reads a code or the name of an area.
    ///
    /// # Errors
    /// [`NoSuchCheck`], with what was probably meant.
    pub fn parse(word: &str) -> Result<Self, NoSuchCheck> {
        if let Some(area) = Area::ALL.iter().find(|area| area.name() == word) {
            return Ok(Self::Area(*area));
        }
        match table().find(|check| check.code == word) {
            Some(check) => Ok(Self::Check(check.code)),
            None => Err(NoSuchCheck {
                word: word.to_owned(),
                near: near(word),
            }),
        }
    }

    fn fits(&self, check: &Check) -> bool {
        match self {
            Self::Check(code) => *code == check.code,
            Self::Area(area) => *area == check.area,
        }
    }
}

/// Codes and areas that a mistyped word may have meant, at most three, the nearest first.
pub fn near(word: &str) -> Vec<&'static str> {
    let words = table()
        .map(|check| check.code)
        .chain(Area::ALL.iter().map(|area| area.name()));
    let mut ranked: Vec<(usize, &'static str)> = words
        .filter_map(|known| {
            let distance = distance(word, known);
            // A part of a code is as good as a slip of the finger.
            let part = word.len() >= 3 && known.contains(word);
            let limit = 1 + word.len() / 4;
            (distance <= limit || part).then_some((if part { 1 } else { distance }, known))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(3).map(|(_, known)| known).collect()
}

/// How many letters have to be added, removed or replaced to make one word the other (Levenshtein).
pub fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        assert_eq!(near("cri-v2"), ["cri-v1"]);
        assert_eq!(near("relist"), ["cri-relist"]);
        assert!(near("something-else-entirely").is_empty());
        assert_eq!(Selector::parse("cri"), Ok(Selector::Area(Area::Cri)));
        assert_eq!(Selector::parse("cri-v1"), Ok(Selector::Check("cri-v1")));
    }

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_beats_the_profile_and_skip_beats_only() {
        let check = table().find(|check| check.code == "cri-v1").unwrap();
        let mut scope = Scope::of(Profile::Registry);
        assert!(!scope.includes(check));
        scope.only = vec![Selector::Area(Area::Cri)];
        assert!(scope.includes(check));
        scope.skip = vec![Selector::Check("cri-v1")];
        assert!(!scope.includes(check));
    }
}
