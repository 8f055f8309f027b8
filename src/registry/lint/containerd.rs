//! config.toml and its imports: syntax, versions, tables that are not in force, unknown keys.

mod runtime;
mod sandbox;
mod tables;
mod top_level;

use std::path::PathBuf;

use super::{Code, Lint, Severity, docker, hosts, mirrors, whole};
use crate::registry::containerd::{self, CRI, Config, Fatal, FatalCause, FatalKind, Setting};
use crate::registry::document::Document;
use crate::registry::k3s;
use crate::registry::plan::containerd::Planner;
use crate::registry::text::Place;
use crate::registry::version::Fork;

pub(super) fn check(lint: &mut Lint<'_>) {
    let planner = Planner::new(lint.declared, lint.runtime);
    let config = planner.config();
    let files = containerd::reachable(lint.declared, lint.runtime);
    for (_, document) in &files {
        top_level::syntax(lint, document);
        top_level::top_level(lint, document);
    }
    if let Some(fatal) = &config.fatal {
        stopped(lint, config, fatal, &files);
    }
    let sections: Vec<tables::Section<'_>> = files
        .iter()
        .enumerate()
        .flat_map(|(index, (_, document))| tables::sections(index, document))
        .collect();
    for section in &sections {
        tables::plugin_table(lint, config, section, &sections, &files);
        runtime::check(lint, config, section, &sections, &files);
    }
    dropins(lint, &files);
    mirrors::check(lint, &planner);
    hosts::check(lint, &planner);
    sandbox::image(lint, &planner);
    docker::not_carried_to_containerd(lint, &planner);
    if let Some(fork) = lint.runtime.fork() {
        let message = format!(
            "this is {fork}'s own build of containerd: its rules differ from those applied here"
        );
        lint.add(Code::RegistryFork, None, message);
        registries_yaml(lint, fork);
    }
}

/// registries.yaml, and whether it has been put into force.
fn registries_yaml(lint: &mut Lint<'_>, fork: Fork) {
    let path = k3s::registries_yaml(fork);
    let files = match k3s::written(&lint.declared.tree, fork) {
        Ok(files) => files.unwrap_or_default(),
        Err(error) => {
            lint.add(Code::K3sRegistriesYaml, error.place, error.value)
                .why(format!("{fork} does not start"));
            return;
        }
    };
    for file in files
        .keys()
        .filter(|file| lint.declared.is_absent(file))
        .cloned()
        .collect::<Vec<_>>()
    {
        lint.add(
            Code::K3sNotWritten,
            whole(&path),
            format!("{} has not been written yet", file.display()),
        )
        .why("what registries.yaml says about this registry is not in force")
        .remedy(format!("restart {fork}"));
    }
}

fn restart(text: &str) -> String {
    format!("{text}, then restart containerd")
}

fn stopped(lint: &mut Lint<'_>, config: &Config, fatal: &Fatal, files: &[(PathBuf, Document)]) {
    let reported = files.iter().any(|(_, document)| document.fault().is_some());
    let code = match fatal.cause {
        FatalCause::Syntax if reported => return,
        FatalCause::Syntax | FatalCause::Decode => Code::ContainerdConfigParse,
        FatalCause::Import => Code::ContainerdImportMissing,
        FatalCause::Version => Code::ContainerdConfigVersion,
        FatalCause::DropinVersion => Code::ContainerdDropinVersion,
        FatalCause::PluginName
            if files.len() > 1 && config.files.iter().any(|file| file.version.is_none()) =>
        {
            Code::ContainerdDropinVersion
        }
        FatalCause::PluginName => Code::ContainerdPluginId,
        FatalCause::DisabledName => Code::ContainerdDisabledName,
        FatalCause::Disabled => Code::ContainerdCriDisabled,
        FatalCause::MirrorsClash
            if matches!(config.registry.config_path, Some(Setting::Builtin(_))) =>
        {
            Code::RegistryMirrors220
        }
        FatalCause::MirrorsClash | FatalCause::TlsClash => Code::RegistryStyleClash,
        FatalCause::Auths => Code::RegistryEndpointParse,
    };
    let why = match fatal.kind {
        FatalKind::Daemon => "containerd does not start".to_owned(),
        FatalKind::CriFailed => format!(
            "the CRI plugin does not load; clients see `{}`",
            containerd::UNKNOWN_SERVICE
        ),
        FatalKind::CriDisabled => format!(
            "there is no CRI service; clients see `{}`",
            containerd::UNKNOWN_SERVICE
        ),
    };
    let says = if fatal.kind == FatalKind::CriDisabled {
        containerd::UNKNOWN_SERVICE
    } else {
        &fatal.error
    };
    let place = &fatal.place;
    let mut draft = lint
        .add(code, place.clone(), fatal.error.clone())
        .severity(Severity::Critical)
        .why(why)
        .says(says);
    match fatal.cause {
        FatalCause::Disabled | FatalCause::DisabledName => {
            draft = draft.rewrite(place, |line| without_element(line, place))
        }
        FatalCause::PluginName => draft = draft.remedy(format!("write `[plugins.\"{CRI}\"…]`")),
        FatalCause::Version => {
            draft = draft
                .remedy("write a version that this daemon knows, with the tables that belong to it")
        }
        _ => {}
    }
    if let Some(Setting::Written(path)) = &config.registry.config_path
        && matches!(fatal.cause, FatalCause::MirrorsClash | FatalCause::TlsClash)
    {
        draft.related("`config_path` is set here", &path.place);
    }
}

/// A line without one element of a list.
fn without_element(line: &str, place: &Place) -> String {
    let before: String = line.chars().take(place.column - 1).collect();
    let after: String = line.chars().skip(place.column - 1 + place.length).collect();
    let (before, after) = (before.as_str(), after.trim_start());
    if let Some(rest) = after.strip_prefix(',') {
        format!("{before}{}", rest.trim_start())
    } else {
        format!("{}{after}", before.trim_end().trim_end_matches(','))
    }
}

fn dropins(lint: &mut Lint<'_>, files: &[(PathBuf, Document)]) {
    let main = lint.declared.containerd_config.clone();
    for directory in lint.declared.dropin_directories() {
        for name in lint.declared.tree.names(&directory).unwrap_or_default() {
            let path = directory.join(name);
            if files.iter().any(|(read, _)| *read == path)
                || lint.declared.tree.names(&path).is_some()
            {
                continue;
            }
            let imports = files
                .first()
                .is_some_and(|(_, document)| document.root.entry("imports").is_some());
            let reason = match (imports, name.ends_with(".toml")) {
                (false, true) => "config.toml has no `imports` at its top level",
                (true, true) => "no pattern in `imports` matches it",
                (_, false) => "only names that `imports` matches are read, usually `*.toml`",
            };
            let draft = lint
                .add(
                    Code::ContainerdDropinUnread,
                    whole(&path),
                    format!("`{name}` is not read: {reason}"),
                )
                .why("nothing in it is in force");
            if !imports && name.ends_with(".toml") && !files.is_empty() {
                let line = format!("imports = [\"{}/*.toml\"]", directory.display());
                draft
                    .remedy(restart(&format!(
                        "write `{line}` at the top of config.toml"
                    )))
                    .rewrite(&whole(&main), |first| format!("{line}\n{first}"));
            }
        }
    }
}
