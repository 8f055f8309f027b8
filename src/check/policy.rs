//! The site's own rules: what is set aside, what may end how, other thresholds, mirrors that have to be asked. Each with a
//! reason and an end, so that nothing is set aside for ever by accident.
//!
//! ```toml
//! [[waive]]
//! check = "swap-state"            # a code or an area
//! subject = "/swap*"              # optional; `*` stands for anything
//! reason = "zram, agreed with the platform team"
//! until = "2026-12-31"            # the last day; "never" where it really is meant
//!
//! [[severity]]
//! check = "cni-config-choice"
//! most = "warn"
//! reason = "the sample file goes with the next image"
//! until = "2026-10-01"
//!
//! [[threshold]]
//! check = "endpoint-latency"      # measured in milliseconds, unless `measure` points into `measured`
//! warn = 250
//! fail = 2000
//! reason = "slow disks in the lab"
//! until = "never"
//!
//! [[mirror]]
//! namespace = "docker.io"
//! url = "https://mirror.example:5000"
//! reason = "no node may ask Docker Hub"
//! until = "never"
//! ```

use serde::Deserialize;

use super::finding::{Area, Note, Status};
use super::{Check, find};
use crate::facts::expected::ExpectedMirror;

/// A site's rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is set aside.
    #[serde(default)]
    pub waive: Vec<Waiver>,
    /// What may end no worse than so.
    #[serde(default)]
    pub severity: Vec<Cap>,
    /// What is measured by other marks.
    #[serde(default)]
    pub threshold: Vec<Threshold>,
    /// What has to be asked for images.
    #[serde(default)]
    pub mirror: Vec<Mirror>,
}

/// Something that is set aside.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// A code or an area.
    pub check: String,
    /// Only about this subject; `*` stands for anything.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// The last day, or `never`.
    pub until: Until,
}

/// The worst that a check may end in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// A code or an area.
    pub check: String,
    /// The status.
    pub most: Status,
    /// Why.
    pub reason: String,
    /// The last day, or `never`.
    pub until: Until,
}

/// Other marks for what is measured. Where `fail` is the smaller one, less is worse.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// A code.
    pub check: String,
    /// Where in `measured` the number is, as a JSON pointer; without it the number itself, else the milliseconds.
    pub measure: Option<String>,
    /// Beyond this it is a warning.
    pub warn: f64,
    /// Beyond this it is a failure.
    pub fail: f64,
    /// Why.
    pub reason: String,
    /// The last day, or `never`.
    pub until: Until,
}

/// A mirror that has to be asked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The registry that it stands for: `docker.io`.
    pub namespace: String,
    /// Its URL, without a path after the host unless the runtime is to send it.
    pub url: String,
    /// Why.
    pub reason: String,
    /// The last day, or `never`.
    pub until: Until,
}

/// The last day of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// It has no end.
    Never,
    /// This day, inclusive.
    Day(jiff::civil::Date),
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "never" => Ok(Self::Never),
            _ => text.parse().map(Self::Day).map_err(|_| {
                serde::de::Error::custom(format!(
                    "`{text}` is no day: expected one like \"2026-12-31\", or \"never\""
                ))
            }),
        }
    }
}

impl Until {
    /// Days from a day to the last one; negative when it is over, none where there is no end.
    fn days_from(&self, today: jiff::civil::Date) -> Option<i32> {
        match self {
            Self::Never => None,
            Self::Day(day) => Some((*day - today).get_days()),
        }
    }

    fn holds(&self, today: Option<jiff::civil::Date>) -> bool {
        match (self, today) {
            (Self::Never, _) => true,
            (Self::Day(day), Some(today)) => *day >= today,
            // A day that is not known ends nothing.
            (Self::Day(_), None) => true,
        }
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML, or has keys that nobody knows.
    #[error("{0}")]
    Toml(String),
    /// A rule without a reason.
    #[error("the rule for `{0}` has no reason")]
    NoReason(String),
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let policy: Self = toml::from_str(text).map_err(|error| {
            // The place and the reason, not the line: what was named may not be a policy at all.
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::Toml(format!("line {line}: {}", error.message().trim_end()))
        })?;
        let reasons = policy
            .waive
            .iter()
            .map(|rule| (&rule.check, &rule.reason))
            .chain(
                policy
                    .severity
                    .iter()
                    .map(|rule| (&rule.check, &rule.reason)),
            )
            .chain(
                policy
                    .threshold
                    .iter()
                    .map(|rule| (&rule.check, &rule.reason)),
            )
            .chain(
                policy
                    .mirror
                    .iter()
                    .map(|rule| (&rule.namespace, &rule.reason)),
            );
        for (check, reason) in reasons {
            if reason.trim().is_empty() {
                return Err(Error::NoReason(check.clone()));
            }
        }
        Ok(policy)
    }

    /// Codes and areas in it that this criscope does not know: one policy serves a fleet with several versions.
    pub fn unknown(&self) -> Vec<&str> {
        let known =
            |word: &str| find(word).is_some() || Area::ALL.iter().any(|area| area.name() == word);
        self.waive
            .iter()
            .map(|rule| rule.check.as_str())
            .chain(self.severity.iter().map(|rule| rule.check.as_str()))
            .chain(self.threshold.iter().map(|rule| rule.check.as_str()))
            .filter(|word| !known(word))
            .collect()
    }

    /// Applies the rules to the notes of a check, on a day (RFC 3339). Says whether it was set aside, and for how long.
    pub(super) fn apply(
        &self,
        check: &Check,
        notes: &mut [Note],
        now: &str,
    ) -> Option<Option<i32>> {
        let today = day(now);
        let fits = |word: &str| word == check.code || word == check.area.name();
        for rule in &self.threshold {
            if rule.check == check.code && rule.until.holds(today) {
                notes.iter_mut().for_each(|note| rule.apply(note));
            }
        }
        for rule in &self.severity {
            if fits(&rule.check) && rule.until.holds(today) {
                for note in notes.iter_mut() {
                    note.status = note.status.at_most(rule.most);
                }
            }
        }
        let mut waived = None;
        for note in notes.iter_mut().filter(|note| note.status > Status::Skip) {
            let rule = self.waive.iter().find(|rule| {
                fits(&rule.check)
                    && rule.until.holds(today)
                    && rule.subject.as_ref().is_none_or(|pattern| {
                        note.subject
                            .as_ref()
                            .is_some_and(|subject| matches(pattern, subject))
                    })
            });
            if let Some(rule) = rule {
                note.status = Status::Skip;
                note.message = format!("waived ({}): {}", rule.reason, note.message);
                let days = today.and_then(|today| rule.until.days_from(today));
                let known: Option<Option<i32>> = waived;
                waived = Some(match (known.flatten(), days) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                });
            }
        }
        // What is set aside in part is still told.
        waived.filter(|_| notes.iter().all(|note| note.status <= Status::Skip))
    }

    /// The mirrors that have to be asked on a day.
    pub fn mirrors(&self, now: &str) -> Vec<ExpectedMirror> {
        let today = day(now);
        let due = self
            .mirror
            .iter()
            .filter(|mirror| mirror.until.holds(today));
        due.map(|mirror| ExpectedMirror {
            namespace: mirror.namespace.clone(),
            url: mirror.url.clone(),
            reason: mirror.reason.clone(),
        })
        .collect()
    }
}

impl Threshold {
    fn apply(&self, note: &mut Note) {
        if !matches!(note.status, Status::Pass | Status::Warn | Status::Fail) {
            return;
        }
        let measured = note.measured.as_ref();
        let number = match &self.measure {
            Some(pointer) => measured.and_then(|value| value.pointer(pointer)?.as_f64()),
            None => measured
                .and_then(serde_json::Value::as_f64)
                .or(note.duration_ms),
        };
        let Some(number) = number else { return };
        let beyond = |mark: f64| {
            if self.fail < self.warn {
                number <= mark
            } else {
                number >= mark
            }
        };
        note.status = if beyond(self.fail) {
            Status::Fail
        } else if beyond(self.warn) {
            Status::Warn
        } else {
            Status::Pass
        };
        note.expected = Some(format!(
            "warn at {}, fail at {} (policy: {})",
            self.warn, self.fail, self.reason
        ));
    }
}

fn day(now: &str) -> Option<jiff::civil::Date> {
    now.get(..10)?.parse().ok()
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty(),
        Some("") => true,
        Some(last) => text.ends_with(last),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{fixture, node};
    use super::super::{Profile, Report, Scope, examine};
    use super::*;
    use crate::facts::Fact;

    fn report(policy: &str) -> Report {
        let facts = node(|facts| {
            if let Fact::Known { value, .. } = &mut facts.cri.status {
                value
                    .conditions
                    .iter_mut()
                    .for_each(|one| one.status = one.kind != "NetworkReady");
            }
        });
        let mut scope = Scope::of(Profile::Health);
        scope.policy = Some(Policy::parse(policy).unwrap());
        scope.all = true;
        examine(&facts, &scope)
    }

    fn status(report: &Report, code: &str) -> Status {
        let found = report
            .findings
            .iter()
            .find(|finding| finding.code.as_str() == code);
        found.unwrap().status
    }

    #[test]
    fn what_is_set_aside_is_counted_until_its_end() {
        let rule = |until: &str| {
            report(&format!(
                "[[waive]]\ncheck = \"cri-network-ready\"\nreason = \"no CNI yet\"\nuntil = \"{until}\"\n"
            ))
        };
        let waived = rule("2026-08-28");
        assert_eq!(waived.worst(), Status::Pass);
        assert_eq!((waived.summary.waived, waived.waived.ends_in), (1, Some(5)));
        let found = waived
            .findings
            .iter()
            .find(|finding| finding.code.as_str() == "cri-network-ready")
            .unwrap();
        assert!(
            found.message.starts_with("waived (no CNI yet): "),
            "{found:?}"
        );
        assert_eq!(rule("2026-08-23").summary.waived, 1);
        let over = rule("2026-08-22");
        assert_eq!((over.worst(), over.summary.waived), (Status::Fail, 0));
        assert_eq!(rule("never").waived.ends_in, None);
    }

    #[test]
    fn what_could_not_be_seen_cannot_be_capped() {
        let facts = node(|facts| facts.cri.status = Fact::unknown("not asked"));
        let mut scope = Scope::of(Profile::Health);
        scope
            .caps
            .insert("cri-runtime-ready".to_owned(), Status::Pass);
        scope.policy = Some(
            Policy::parse(
                "[[severity]]\ncheck = \"cri\"\nmost = \"pass\"\nreason = \"x\"\nuntil = \"never\"\n",
            )
            .unwrap(),
        );
        let blind = examine(&facts, &scope);
        assert_eq!(status(&blind, "cri-runtime-ready"), Status::Unknown);
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let facts = node(|_| ());
        let mut scope = Scope::of(Profile::Health);
        scope.all = true;
        let threshold = "[[threshold]]\ncheck = \"endpoint-latency\"\nwarn = 0\nfail = 0\nreason = \"x\"\nuntil = \"never\"\n";
        scope.policy = Some(Policy::parse(threshold).unwrap());
        let strict = examine(&facts, &scope);
        assert_eq!(status(&strict, "endpoint-latency"), Status::Fail);
        scope
            .caps
            .insert("endpoint-latency".to_owned(), Status::Warn);
        let capped = examine(&facts, &scope);
        assert_eq!(status(&capped, "endpoint-latency"), Status::Warn);
    }

    #[test]
    fn a_waived_cause_speaks_for_what_is_unseen_and_hides_no_problem() {
        let (cause, consequence) = ("cri-plugin-loaded", "cri-runtime-ready");
        let judge = |facts: &crate::facts::Facts, policy: &str| {
            let mut scope = Scope::of(Profile::Health);
            scope.all = true;
            scope.policy = Some(Policy::parse(policy).unwrap());
            examine(facts, &scope)
        };
        let waiver = format!("[[waive]]\ncheck = \"{cause}\"\nreason = \"x\"\nuntil = \"never\"\n");
        let blind = node(|facts| {
            (fixture("cri-plugin-loaded").bad)(facts);
            facts.cri.status = Fact::unknown("not asked");
        });
        let plain = judge(&blind, "");
        assert_eq!(status(&plain, cause), Status::Fail);
        assert_eq!(status(&plain, consequence), Status::Skip);
        assert_eq!(status(&judge(&blind, &waiver), consequence), Status::Skip);
        let failing = node(|facts| {
            (fixture("cri-runtime-ready").bad)(facts);
            let status = facts.cri.status.clone();
            (fixture("cri-plugin-loaded").bad)(facts);
            facts.cri.status = status;
        });
        assert_eq!(status(&judge(&failing, ""), consequence), Status::Skip);
        assert_eq!(status(&judge(&failing, &waiver), consequence), Status::Fail);
    }

    #[test]
    fn caps_and_thresholds() {
        let capped = report(
            "[[severity]]\ncheck = \"cri\"\nmost = \"warn\"\nreason = \"x\"\nuntil = \"never\"\n",
        );
        assert_eq!(capped.worst(), Status::Warn);
        let strict = report(
            "[[threshold]]\ncheck = \"endpoint-latency\"\nwarn = 0.1\nfail = 0.2\nreason = \"x\"\nuntil = \"never\"\n",
        );
        assert_eq!(status(&strict, "endpoint-latency"), Status::Fail);
    }

    #[test]
    fn what_is_wrong_with_a_policy() {
        for (text, words) in [
            (
                "[[waive]]\ncheck = \"a\"\nreason = \" \"\nuntil = \"never\"\n",
                "no reason",
            ),
            ("[[waive]]\ncheck = \"a\"\nreason = \"x\"\n", "until"),
            (
                "[[waive]]\ncheck = \"a\"\nreason = \"x\"\nuntil = \"tomorrow\"\n",
                "no day",
            ),
            ("[[wave]]\n", "wave"),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
        let policy =
            Policy::parse("[[waive]]\ncheck = \"nosuch\"\nreason = \"x\"\nuntil = \"never\"\n")
                .unwrap();
        assert_eq!(policy.unknown(), ["nosuch"]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("/swap*", "/swapfile", true),
            ("/swap*", "/x/swap", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
