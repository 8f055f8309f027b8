//! Whether the configured snapshotter is there: told by the daemon, else by its files.

use serde_json::json;

use super::super::config::effective;
use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use crate::facts::{Gap, Source};
use crate::registry::node::Entry;

pub(super) fn judge(case: &Case<'_>) -> Judged {
    const KIND: &str = "io.containerd.snapshotter.v1";
    let config = case.containerd()?;
    let written = effective::entry(config, &["containerd", "snapshotter"])
        .or_else(|| config.plugins.table(config.table)?.entry("snapshotter"));
    if !case.serves() && case.facts().containerd.plugins.value().is_none() {
        return of_files(case, written);
    }
    let plugins = case
        .facts()
        .containerd
        .plugins
        .need()
        .map_err(|gap| match gap {
            // That nothing answers is a finding of its own.
            Gap::Unknown(reason) if !case.serves() => Gap::Absent(reason),
            gap => gap,
        })?;
    let status = case.facts().cri.status.value();
    let told = status.and_then(|status| status.info("config", "/containerd/snapshotter")?.as_str());
    let name = told
        .or_else(|| written?.node.str())
        .filter(|name| !name.is_empty())
        .unwrap_or("overlayfs");
    let mut wanted = vec![(
        name.to_owned(),
        written.map(|entry| entry.node.place.clone()),
    )];
    let runtimes =
        status.and_then(|status| status.info("config", "/containerd/runtimes")?.as_object());
    for runtime in runtimes.into_iter().flat_map(|runtimes| runtimes.values()) {
        if let Some(own) = runtime.get("snapshotter").and_then(|own| own.as_str())
            && !own.is_empty()
            && !wanted.iter().any(|(known, _)| known == own)
        {
            wanted.push((own.to_owned(), None));
        }
    }
    let mut problems = Vec::new();
    for (name, place) in &wanted {
        let loaded = plugins
            .iter()
            .find(|plugin| plugin.kind == KIND && plugin.id == *name);
        let (text, says) = match loaded {
            Some(plugin) if plugin.error.is_none() => continue,
            Some(plugin) => (
                format!("the snapshotter `{name}` did not load"),
                plugin.error.clone(),
            ),
            None => (
                format!("the snapshotter `{name}` is not known to the daemon"),
                None,
            ),
        };
        let known: Vec<&str> = plugins
            .iter()
            .filter(|plugin| plugin.kind == KIND && plugin.error.is_none())
            .map(|plugin| plugin.id.as_str())
            .collect();
        let mut note = Note::fail(text)
            .subject(name)
            .says(says)
            .measured(json!({ "configured": name, "loaded": known }))
            .expected("a snapshotter that is loaded")
            .at(Source::rpc("Introspection.Plugins"))
            .remedy("start what serves the snapshotter, or use one that is loaded");
        if let Some(place) = place {
            note = note.evidence(case.facts().files.at(place), "configured here");
        }
        problems.push(note);
    }
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    Outcome::of(problems, format!("{} is loaded", names.join(", "))).into()
}

/// Judges the snapshotter by the files alone: it is one of containerd's own, or a proxy plugin is written for it.
fn of_files(case: &Case<'_>, written: Option<&Entry>) -> Judged {
    // `aufs` went with 2.0, which is a finding of its own.
    const OWN: &[&str] = &[
        "overlayfs",
        "native",
        "btrfs",
        "zfs",
        "devmapper",
        "blockfile",
        "erofs",
        "aufs",
    ];
    let name = written.and_then(|entry| entry.node.str());
    let (Some(entry), Some(name)) = (written, name.filter(|name| !name.is_empty())) else {
        return Note::pass("overlayfs, the default").into();
    };
    // k3s and RKE2 build more of them in.
    if OWN.contains(&name) || case.is_generated() {
        return Note::pass(format!("`{name}` is one of containerd's own")).into();
    }
    let proxied = case.containerd()?.files.iter().any(|file| {
        file.document
            .root
            .descend(&["proxy_plugins", name])
            .is_some()
    });
    if proxied {
        return Note::pass(format!("`{name}` is a proxy plugin")).into();
    }
    Note::fail(format!(
        "the snapshotter `{name}` is neither one of containerd's own nor a proxy plugin: the CRI plugin does not load"
    ))
    .subject(name)
    .measured(name)
    .expected(format!("`[proxy_plugins.{name}]`, or `overlayfs`"))
    .at(case.facts().files.at(&entry.node.place))
    .remedy(format!(
        "write `[proxy_plugins.{name}]` with the address of what serves it, or use `overlayfs`"
    ))
    .into()
}
