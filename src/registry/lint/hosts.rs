//! The directories of `config_path`: their names, hosts.toml, certificates.

mod file;

use std::path::{Path, PathBuf};

use super::mirrors::is_registry;
use super::schema::near;
use super::{Code, Lint, Severity, whole};
use crate::registry::containerd::Setting;
use crate::registry::hosts_toml::FILE_NAME;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST};
use crate::registry::plan::containerd::Planner;
use crate::registry::text::Place;
use crate::registry::tree;

pub(super) fn check(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    let Some(path) = &planner.config().registry.config_path else {
        return;
    };
    // Also where a list is not found as such: it is what was meant.
    let roots: Vec<PathBuf> = path
        .value()
        .split(':')
        .filter(|part| !part.is_empty())
        .map(|part| lint.declared.absolute(part))
        .collect();
    let builtin = matches!(path, Setting::Builtin(_));
    for root in &roots {
        // dockerd's own directory is looked into unasked since 2.2: what is in it was not written for containerd.
        if builtin && root.starts_with("/etc/docker") {
            continue;
        }
        check_root(lint, root);
    }
    let mut earlier: Option<&PathBuf> = None;
    for root in &roots {
        if let Some(first) = earlier {
            for name in lint.declared.tree.names(root).unwrap_or_default() {
                if name != "_default" && !builtin {
                    let message = format!(
                        "{} is never reached: {} stands in an earlier directory of the list",
                        root.join(name).display(),
                        first.join("_default").display()
                    );
                    lint.add(Code::RegistryHostsDirname, whole(&root.join(name)), message)
                        .remedy("move it to the first directory of the list");
                }
            }
        } else if lint.declared.tree.exists(&root.join("_default")) {
            earlier = Some(root);
        }
    }
}

fn check_root(lint: &mut Lint<'_>, root: &Path) {
    let names = lint.declared.tree.names(root).unwrap_or_default();
    let default = names.iter().any(|name| name == "_default");
    for name in names {
        let directory = root.join(name);
        if name == FILE_NAME || name.ends_with(".toml") {
            lint.add(
                Code::RegistryHostsDirname,
                whole(&directory),
                format!("`{name}` belongs into a directory named like a registry"),
            )
            .why("it is never read");
            continue;
        }
        let Some(files) = lint.declared.tree.names(&directory) else {
            continue;
        };
        directory_name(lint, root, name, names);
        if !files.iter().any(|file| file == FILE_NAME) {
            without_file(lint, &directory, name, files, default);
            continue;
        }
        let path = directory.join(FILE_NAME);
        match lint.text(&path) {
            Some("") => without_file(lint, &directory, name, files, default),
            Some(text) => file::check(lint, &directory, name, &path, text),
            None => {
                if let Some(tree::Entry::NotText { line }) = lint.declared.tree.entry(&path) {
                    let place = Place {
                        line: *line,
                        ..whole(&path)
                    };
                    lint.add(Code::RegistryHostsParse, place, "invalid UTF-8")
                        .why(upstream(name));
                }
            }
        }
    }
}

fn upstream(namespace: &str) -> String {
    match namespace {
        "_default" => "the file is not in force: pulls go straight to each registry".to_owned(),
        _ => format!(
            "the file is not in force: pulls go straight to {}",
            if namespace == DOCKER_HUB {
                DOCKER_HUB_HOST
            } else {
                namespace
            }
        ),
    }
}

fn directory_name(lint: &mut Lint<'_>, root: &Path, name: &str, all: &[String]) {
    if name == "_default" {
        return;
    }
    // `reg_5000_` is the spelling for `reg:5000`.
    let port_form = name
        .strip_suffix('_')
        .and_then(|rest| rest.rsplit_once('_'))
        .filter(|(host, port)| !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    if let Some((host, port)) = port_form {
        let other = format!("{host}:{port}");
        if all.contains(&other) {
            lint.add(
                Code::RegistryHostsDirname,
                whole(&root.join(&other)),
                format!("`{other}` is hidden by `{name}`, which is looked up first"),
            );
        }
        return;
    }
    let reason = if matches!(
        name,
        "registry-1.docker.io" | "index.docker.io" | "hub.docker.com"
    ) {
        Some("images of Docker Hub are named `docker.io`")
    } else if name.contains('*') {
        Some(
            "there are no wildcards; `_default` serves every registry without a directory of its own",
        )
    } else if name.chars().any(|c| c.is_ascii_uppercase()) {
        Some("names are compared letter by letter")
    } else if name.starts_with("http:") || name.starts_with("https:") {
        Some("a name has no scheme")
    } else if matches!(name, "default" | "_defaults" | "_default_" | "all" | "_all") {
        Some("the directory for every other registry is `_default`")
    } else if !is_registry(name) {
        Some("without a dot or a port it is no registry but a repository of docker.io")
    } else {
        None
    };
    if let Some(reason) = reason {
        lint.add(
            Code::RegistryHostsDirname,
            whole(&root.join(name)),
            format!("`{name}` is never looked up: {reason}"),
        )
        .why("what is in it is not used, and nothing is logged");
    }
}

fn without_file(
    lint: &mut Lint<'_>,
    directory: &Path,
    name: &str,
    files: &[String],
    default: bool,
) {
    let misspelt = files.iter().find(|file| {
        near(file, &[FILE_NAME]).is_some()
            || file.starts_with("hosts.")
            || file.starts_with("host.")
    });
    let certificates = files
        .iter()
        .any(|file| file.ends_with(".crt") || file.ends_with(".cert"));
    if let Some(file) = misspelt {
        let hidden = if default && name != "_default" {
            ", and `_default` is not consulted, because the directory exists"
        } else {
            ""
        };
        lint.add(
            Code::RegistryHostsEmpty,
            whole(&directory.join(file)),
            format!("`{file}` is not read: the file is called `{FILE_NAME}`"),
        )
        .why(format!("`{name}` has no configuration{hidden}"))
        .remedy(format!("rename it to `{FILE_NAME}`; no restart is needed"));
    } else if !certificates && default && name != "_default" {
        lint.add(
            Code::RegistryHostsEmpty,
            whole(directory),
            format!("the directory has no {FILE_NAME}, and hides `_default`"),
        )
        .why(format!("`{name}` has no configuration"))
        .remedy("remove the directory, or write a hosts.toml into it; no restart is needed");
    }
    let pem = files.iter().find(|file| file.ends_with(".pem"));
    if let Some(pem) = pem.filter(|_| !certificates && misspelt.is_none()) {
        lint.add(
            Code::RegistryHostsEmpty,
            whole(&directory.join(pem)),
            format!(
                "`{pem}` is not read: without a {FILE_NAME} only `*.crt`, `*.cert` and `*.key` are"
            ),
        )
        .severity(Severity::Medium)
        .remedy(format!(
            "rename it to `*.crt`, or name it in a {FILE_NAME} as `ca`"
        ));
    }
}
