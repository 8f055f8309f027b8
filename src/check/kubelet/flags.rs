//! Flags that kubelets have lost, held against those that this one is given.

use std::sync::LazyLock;

use serde::Deserialize;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome, knowledge};
use crate::facts::kubelet::{Flag, Settings};
use crate::facts::{Gap, Source};

/// Flags that went with one version.
#[derive(Debug, Deserialize)]
struct Lost {
    /// The minor version that does not know them any more.
    since: u32,
    /// Their names, with dashes.
    flags: Vec<String>,
    /// What to do instead.
    instead: String,
}

/// What the data file says about kubelets.
#[derive(Debug, Default, Deserialize)]
struct Known {
    #[serde(default)]
    kubelet_oldest_supported: u32,
    #[serde(default)]
    kubelet_lost: Vec<Lost>,
}

static KNOWN: LazyLock<Known> =
    LazyLock::new(|| toml::from_str(knowledge::BUILTIN).unwrap_or_default());

/// The flags that were lost at some time, each with how.
fn lost(flags: &[Flag]) -> impl Iterator<Item = (&Flag, &'static Lost)> {
    flags.iter().filter_map(|flag| {
        let lost = KNOWN
            .kubelet_lost
            .iter()
            .find(|lost| lost.flags.contains(&flag.name))?;
        Some((flag, lost))
    })
}

fn note(make: fn(String) -> Note, flag: &Flag, lost: &Lost, text: String) -> Note {
    let mut note = make(text)
        .subject(&flag.name)
        .measured(flag.name.clone())
        .at(flag.source.clone())
        .remedy(lost.instead.clone());
    if let Source::File(place) = &flag.source
        && let (Some(line), Some(excerpt)) = (place.line, &place.excerpt)
        && let (Some(column), Some(length)) = (place.column, place.length)
    {
        let kept: String = excerpt
            .chars()
            .enumerate()
            .filter(|(index, _)| *index + 1 < column || *index + 1 >= column + length)
            .map(|(_, letter)| letter)
            .collect();
        let kept = kept
            .replace("  ", " ")
            .replace("\" ", "\"")
            .replace(" \"", "\"");
        // A line that is cut or covered is no line to write back.
        if excerpt.chars().count() < 400 && !excerpt.contains('*') && !excerpt.ends_with('\\') {
            note = note.edit(
                std::path::Path::new(&place.path),
                line,
                excerpt.clone(),
                kept,
            );
        }
    }
    note
}

/// The flags that count at the next start: those in files, or where none are seen there, those of the process.
fn given<'s>(settings: &'s Settings<'_>) -> &'s [Flag] {
    if lost(settings.written()).next().is_some() || settings.running().is_none() {
        settings.written()
    } else {
        settings.flags()
    }
}

pub(super) fn removed(case: &Case<'_>) -> Judged {
    let migration = case.migration.as_ref();
    if migration.is_some_and(|migration| migration.kubernetes.is_some()) {
        return Err(Gap::Absent(
            "flags are judged by the version that will run: `migrate-kubelet-flags`".to_owned(),
        ));
    }
    let settings = Settings::of(case)?;
    let version = case.kubelet.minor();
    let running = settings.running().is_some();
    let mut problems = Vec::new();
    for (flag, lost) in lost(settings.written()) {
        let gone = match version {
            Some(minor) => lost.since <= minor,
            // It runs, and was perhaps started with the flag.
            None if running => false,
            None => lost.since <= KNOWN.kubelet_oldest_supported,
        };
        if !gone {
            continue;
        }
        let text = if running {
            format!(
                "`{}` is gone since 1.{}: the kubelet that runs will not start again",
                flag.name, lost.since
            )
        } else {
            format!(
                "`{}` is gone since 1.{}: the kubelet does not start",
                flag.name, lost.since
            )
        };
        problems.push(note(Note::fail, flag, lost, text));
    }
    let text = format!("{} flags, all known", settings.written().len());
    Outcome::of(problems, text).into()
}

pub(super) fn deprecated(case: &Case<'_>) -> Judged {
    let settings = Settings::of(case)?;
    let version = case.kubelet.minor();
    let flags = given(&settings);
    let problems = lost(flags)
        .filter(|(_, lost)| match version {
            Some(minor) => lost.since > minor,
            None => settings.running().is_some() || lost.since > KNOWN.kubelet_oldest_supported,
        })
        .map(|(flag, lost)| {
            let text = format!("`{}` is gone from kubelet 1.{} on", flag.name, lost.since);
            note(Note::warn, flag, lost, text)
        })
        .collect();
    Outcome::of(
        problems,
        format!("{} flags, none on its way out", flags.len()),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_read() {
        assert!(KNOWN.kubelet_oldest_supported >= 30);
        for name in [
            "--network-plugin",
            "--container-runtime",
            "--pod-infra-container-image",
        ] {
            assert!(
                KNOWN
                    .kubelet_lost
                    .iter()
                    .any(|lost| lost.flags.iter().any(|flag| flag == name)),
                "{name}"
            );
        }
        for lost in &KNOWN.kubelet_lost {
            assert!(lost.since > 0 && !lost.instead.is_empty() && !lost.flags.is_empty());
        }
    }
}
