//! CRI-O: registries.conf, crio.conf, policy.json.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::schema::{self, near};
use super::{Code, Lint, Severity, docker, whole};
use crate::registry::crio_conf::ImageSection;
use crate::registry::declared::POLICY_FILE;
use crate::registry::document::Document;
use crate::registry::json;
use crate::registry::node::{Entry, Node, Table};
use crate::registry::registries_conf::{self, Pulls, RegistriesConf, Registry};
use crate::registry::rules::Rule;
use crate::registry::text::Place;
use crate::registry::tree;

pub(super) fn check(lint: &mut Lint<'_>) {
    let conf = RegistriesConf::load(&lint.declared.tree);
    let section = ImageSection::load(&lint.declared.tree);
    for path in files(lint) {
        file(lint, &path);
    }
    if let Some(fatal) = &conf.fatal {
        let known = lint.remarks.iter().any(|remark| {
            remark.code == Code::CrioRegistriesConf && remark.place.as_ref() == Some(&fatal.place)
        });
        if !known {
            let message = fatal
                .value
                .split_once("\": ")
                .map_or(fatal.value.as_str(), |(_, error)| error)
                .to_owned();
            lint.add(Code::CrioRegistriesConf, fatal.place.clone(), message)
                .why("CRI-O does not start")
                .says(fatal.value.clone());
        }
    }
    if let Some(fatal) = &section.fatal {
        lint.add(
            Code::CrioConfigParse,
            fatal.place.clone(),
            fatal.value.clone(),
        )
        .why("CRI-O does not start")
        .says(fatal.value.clone());
    }
    for registry in conf.registries.values() {
        check_registry(lint, registry, &section);
    }
    short_names(lint, &conf, &section);
    image_section(lint, &section);
    policy(lint, &section);
    if lint
        .declared
        .tree
        .exists(Path::new(registries_conf::USER_FILE))
    {
        let message = format!(
            "{} takes the place of {} and its drop-ins",
            registries_conf::USER_FILE,
            registries_conf::SYSTEM_FILE
        );
        lint.add(
            Code::CrioUserFile,
            whole(Path::new(registries_conf::USER_FILE)),
            message,
        );
    }
    docker::not_carried_to_crio(lint, &conf);
}

/// All registries files, read or not.
fn files(lint: &mut Lint<'_>) -> Vec<PathBuf> {
    let mut found = vec![
        PathBuf::from(registries_conf::SYSTEM_FILE),
        PathBuf::from(registries_conf::USER_FILE),
    ];
    for directory in [
        registries_conf::SYSTEM_DIRECTORY,
        registries_conf::USER_DIRECTORY,
    ] {
        for name in lint
            .declared
            .tree
            .names(Path::new(directory))
            .unwrap_or_default()
        {
            let path = Path::new(directory).join(name);
            if name.ends_with(".conf") {
                found.push(path);
            } else {
                let what = if lint.declared.tree.names(&path).is_some() {
                    "directories below are"
                } else {
                    "only names that end in `.conf` are read: it is"
                };
                lint.add(
                    Code::CrioFileName,
                    whole(&path),
                    format!("`{name}` is not read: {what} skipped"),
                );
            }
        }
    }
    found
}

fn file(lint: &mut Lint<'_>, path: &Path) {
    let Some(text) = lint.text(path) else { return };
    let document = Document::parse(path, text);
    for error in &document.errors {
        lint.add(
            Code::CrioRegistriesConf,
            error.place.clone(),
            error.message.clone(),
        )
        .why("CRI-O does not start with this file");
    }
    unknown(
        lint,
        "registries.conf",
        &document.root,
        schema::REGISTRIES_CONF,
        &document,
    );
    let mut prefixes: BTreeMap<String, Place> = BTreeMap::new();
    for node in document
        .root
        .node("registry")
        .and_then(Node::array)
        .unwrap_or_default()
    {
        let Some(table) = node.table() else { continue };
        unknown(
            lint,
            "[[registry]]",
            table,
            schema::REGISTRY_TABLE,
            &document,
        );
        for mirror in table
            .node("mirror")
            .and_then(Node::array)
            .unwrap_or_default()
        {
            if let Some(mirror) = mirror.table() {
                unknown(
                    lint,
                    "[[registry.mirror]]",
                    mirror,
                    schema::MIRROR_TABLE,
                    &document,
                );
            }
        }
        let name = ["prefix", "location"].iter().find_map(|key| {
            table
                .node(key)
                .and_then(Node::str)
                .filter(|name| !name.is_empty())
        });
        if let Some(name) = name {
            match prefixes.get(name) {
                Some(first) => {
                    lint.add(
                        Code::CrioDuplicate,
                        node.place.clone(),
                        format!("`{name}` is configured twice: this table is not in force"),
                    )
                    .related("this one is", first);
                }
                None => {
                    prefixes.insert(name.to_owned(), node.place.clone());
                }
            }
        }
    }
}

fn unknown(lint: &mut Lint<'_>, what: &str, table: &Table, known: &[&str], document: &Document) {
    for (name, entry) in table.in_order() {
        if known.iter().any(|key| key.eq_ignore_ascii_case(name)) {
            continue;
        }
        let meant = near(name, known);
        let place = place_of(document, name, entry);
        let mut draft = lint
            .add(
                Code::CrioUnknownKey,
                place.clone(),
                format!("`{name}` is not a key of {what}"),
            )
            .why("it is dropped, and nothing is logged above debug level");
        if name == "mirrors" {
            draft = draft.remedy(
                "write each mirror as a table `[[registry.mirror]]` with `location = \"…\"`",
            );
        } else if let Some(meant) = meant {
            draft = draft.remedy(format!("write `{meant}`"));
            draft.rewrite(&place, |line| line.replacen(name, meant, 1));
            continue;
        }
        if meant.is_none() {
            draft.severity(Severity::Medium);
        }
    }
}

fn place_of(document: &Document, name: &str, entry: &Entry) -> Place {
    let header = document
        .headers
        .iter()
        .find(|header| header.keys.first().is_some_and(|key| key == name));
    header.map_or_else(|| entry.key.clone(), |header| header.place.clone())
}

fn check_registry(lint: &mut Lint<'_>, registry: &Registry, section: &ImageSection) {
    let prefix = &registry.prefix;
    if prefix == "*" || prefix.contains('*') && !prefix.starts_with("*.") {
        lint.add(
            Code::CrioCatchAll,
            registry.place.clone(),
            format!("the prefix `{prefix}` matches nothing"),
        )
        .why("none of its mirrors is used");
    }
    if matches!(prefix.as_str(), "registry-1.docker.io" | "index.docker.io") {
        lint.add(
            Code::CrioPrefix,
            registry.location.place.clone(),
            format!(
                "no image has the prefix `{prefix}`: images of Docker Hub are named `docker.io`"
            ),
        )
        .remedy("write `docker.io`")
        .replace(&registry.location.place, "\"docker.io\"");
    }
    if let Some(place) = &registry.mirror_by_digest_only
        && !registry.mirrors.is_empty()
    {
        lint.add(
            Code::CrioDigestOnly,
            place.clone(),
            format!("references by tag skip the mirrors of `{prefix}`"),
        );
    }
    for mirror in &registry.mirrors {
        if mirror.pulls.value == Pulls::DigestOnly {
            lint.add(
                Code::CrioDigestOnly,
                mirror.pulls.place.clone(),
                format!(
                    "references by tag skip the mirror `{}`",
                    mirror.location.value
                ),
            );
        }
        if let Some((host, _)) = mirror.location.value.split_once('/') {
            lint.add(
                Code::CrioMirrorPing,
                mirror.location.place.clone(),
                format!("the mirror is pinged at https://{host}/v2/, not below its path"),
            );
        }
        if mirror.insecure {
            lint.add(
                Code::RegistryInsecure,
                mirror.location.place.clone(),
                format!(
                    "the mirror `{}` may answer with any certificate, or in plain http",
                    mirror.location.value
                ),
            );
        } else if registry.insecure {
            lint.add(
                Code::CrioInsecureInert,
                mirror.location.place.clone(),
                format!(
                    "`insecure` of `{prefix}` does not cover its mirror `{}`",
                    mirror.location.value
                ),
            )
            .severity(Severity::Low);
        }
        mirror_auth(
            lint,
            &mirror.location.value,
            &mirror.location.place,
            section,
        );
    }
    if registry.insecure {
        lint.add(
            Code::RegistryInsecure,
            registry.location.place.clone(),
            format!(
                "`{}` may answer with any certificate, or in plain http",
                registry.location.value
            ),
        );
    }
    if let Some(place) = &registry.blocked
        && !registry.mirrors.is_empty()
    {
        lint.add(
            Code::CrioBlocked,
            place.clone(),
            format!("`{prefix}` is blocked, but its mirrors still serve"),
        );
    }
}

/// A mirror for which the auth file has nothing, although it has something for others.
fn mirror_auth(lint: &mut Lint<'_>, location: &str, place: &Place, section: &ImageSection) {
    let Some(file) = &section.global_auth_file else {
        return;
    };
    let Some(names) = lint
        .declared
        .tree
        .accounts(&lint.declared.absolute(&file.value))
    else {
        return;
    };
    let covered = names
        .iter()
        .any(|name| registries_conf::match_prefix(location, name).is_some());
    if !covered && !names.is_empty() {
        lint.add(
            Code::CrioMirrorAuth,
            place.clone(),
            format!(
                "{} has no credentials for the mirror `{location}`",
                file.value
            ),
        )
        .why("credentials from imagePullSecrets are not sent to mirrors")
        .severity(Severity::Low)
        .related("the file is named here", &file.place);
    }
}

fn short_names(lint: &mut Lint<'_>, conf: &RegistriesConf, section: &ImageSection) {
    let disabled = section
        .short_name_mode
        .as_ref()
        .is_some_and(|mode| mode.value == "disabled");
    if lint.holds(Rule::ShortNamesEnforcing)
        && !disabled
        && let [first, second, ..] = conf.search.as_slice()
    {
        lint.add(
            Code::CrioShortNames,
            first.place.clone(),
            "several search registries: every short name without an alias is refused",
        )
        .why("an image named without a registry cannot be pulled")
        .says("short name mode is enforcing, but image name … returns ambiguous list")
        .related("the second one", &second.place);
    }
}

fn image_section(lint: &mut Lint<'_>, section: &ImageSection) {
    if let Some(place) = &section.insecure_registries {
        lint.add(
            Code::CrioInsecureInert,
            place.clone(),
            "`insecure_registries` in crio.conf has no effect",
        );
    }
    for file in [&section.global_auth_file, &section.pause_image_auth_file]
        .into_iter()
        .flatten()
    {
        if lint
            .declared
            .is_absent(&lint.declared.absolute(&file.value))
        {
            lint.add(
                Code::CrioMirrorAuth,
                file.place.clone(),
                format!("{} does not exist", file.value),
            );
        }
    }
    if let Some(image) = &section.pause_image
        && image.value.starts_with("k8s.gcr.io/")
    {
        lint.add(
            Code::SandboxImageHost,
            image.place.clone(),
            format!(
                "the pause image comes from `k8s.gcr.io`, which is frozen: `{}`",
                image.value
            ),
        );
    }
}

fn policy(lint: &mut Lint<'_>, section: &ImageSection) {
    let path = section.signature_policy.as_ref().map_or_else(
        || PathBuf::from(POLICY_FILE),
        |policy| lint.declared.absolute(&policy.value),
    );
    let text = match lint.declared.tree.entry(&path) {
        Some(tree::Entry::Text { text }) => text,
        Some(tree::Entry::Absent) => {
            lint.add(
                Code::CrioPolicy,
                whole(&path),
                format!("{} does not exist", path.display()),
            )
            .why("no image can be pulled");
            return;
        }
        _ => return,
    };
    let node = match json::parse(&path, text) {
        Ok(node) => node,
        Err(error) => {
            lint.add(Code::CrioPolicy, error.place, error.message)
                .why("no image can be pulled");
            return;
        }
    };
    let Some(root) = node.table() else { return };
    if let Some(default) = root.entry("default")
        && rejects(&default.node)
    {
        lint.add(
            Code::CrioPolicy,
            default.key.clone(),
            "images are rejected unless a scope accepts them",
        )
        .severity(Severity::Info)
        .says("Source image rejected: Running image … is rejected by policy");
    }
    for (scope, entry) in root
        .descend(&["transports", "docker"])
        .map(Table::in_order)
        .unwrap_or_default()
    {
        if rejects(&entry.node) {
            let name = if scope.is_empty() {
                "all registries"
            } else {
                scope
            };
            lint.add(
                Code::CrioPolicy,
                entry.key.clone(),
                format!("images of {name} are rejected"),
            )
            .severity(Severity::Medium)
            .why("scopes are the names of images, never those of mirrors")
            .says("SignatureValidationFailed: … rejected by policy");
        }
    }
}

fn rejects(node: &Node) -> bool {
    let rule = |node: &Node| {
        node.table()
            .and_then(|table| table.node("type"))
            .and_then(Node::str)
            == Some("reject")
    };
    node.array().is_some_and(|rules| rules.iter().any(rule))
}
