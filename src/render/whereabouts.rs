//! Where an image is, for people.

use std::fmt::Write as _;

use crate::probe::stores::{Copy, Store, Verdict, Whereabouts};

use super::{human, sanitize};

/// One headline, a line a copy, and the command that helps.
pub fn text(found: &Whereabouts) -> String {
    let headline = match found.verdict {
        Verdict::Ready => "the kubelet finds it",
        Verdict::Incomplete => "the kubelet finds it, but a part of it is missing",
        Verdict::Elsewhere => "there, but not where the kubelet looks",
        Verdict::Absent => "in no store",
        Verdict::Unknown => "the store of the kubelet cannot be looked into",
    };
    let mut text = format!("{}: {headline}\n", sanitize::line(&found.reference));
    for copy in &found.copies {
        let _ = writeln!(
            text,
            "  {:<22} {}",
            sanitize::line(&store(&copy.store)),
            sanitize::line(&about(copy))
        );
        for missing in copy.missing.iter().take(4) {
            let _ = writeln!(text, "  {:<22} without {}", "", sanitize::line(missing));
        }
    }
    for unknown in &found.unknown {
        let _ = writeln!(
            text,
            "  {:<22} not known: {}",
            sanitize::line(&store(&unknown.store)),
            sanitize::line(&unknown.why)
        );
    }
    for command in &found.commands {
        let _ = writeln!(text, "  it gets there by: {}", sanitize::line(command));
    }
    text
}

fn store(store: &Store) -> String {
    match store {
        Store::Cri => "CRI".to_owned(),
        Store::Containerd { namespace } => format!("containerd, {namespace}"),
        Store::Docker => "docker".to_owned(),
    }
}

fn about(copy: &Copy) -> String {
    let mut words = Vec::new();
    match (&copy.digest, &copy.id) {
        (Some(digest), _) => words.push(digest.clone()),
        (None, Some(id)) => words.push(format!("id {}", human::short_id(id))),
        (None, None) => {}
    }
    words.extend(copy.platform.clone());
    words.extend(copy.complete.map(|complete| {
        match complete {
            true => "complete",
            false => "incomplete",
        }
        .to_owned()
    }));
    words.extend(copy.unpacked.map(|unpacked| {
        match unpacked {
            true => "unpacked",
            false => "not unpacked",
        }
        .to_owned()
    }));
    if copy.pinned {
        words.push("pinned".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_another_namespace() {
        let found = Whereabouts {
            image: "reg.test/a:1".into(),
            reference: "reg.test/a:1".into(),
            verdict: Verdict::Elsewhere,
            copies: vec![Copy {
                store: Store::Containerd {
                    namespace: "default".into(),
                },
                name: "reg.test/a:1".into(),
                digest: Some("sha256:d".into()),
                id: Some("sha256:i".into()),
                platform: Some("linux/amd64".into()),
                complete: Some(true),
                missing: Vec::new(),
                unpacked: Some(false),
                pinned: false,
            }],
            unknown: Vec::new(),
            commands: vec!["ctr …".into()],
        };
        assert_eq!(
            text(&found),
            "reg.test/a:1: there, but not where the kubelet looks\n  \
             containerd, default    sha256:d, linux/amd64, complete, not unpacked\n  \
             it gets there by: ctr …\n"
        );
    }
}
