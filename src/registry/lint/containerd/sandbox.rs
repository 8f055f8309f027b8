//! The sandbox image: the key that counts, and where the image comes from.

use std::path::PathBuf;

use super::super::{Code, Lint, Severity, at};
use super::restart;
use super::tables::{Section, inert, target};
use crate::registry::containerd::{CRI_IMAGES, CRI_RUNTIME, Config, FatalKind, Setting};
use crate::registry::document::Document;
use crate::registry::image_ref::ImageRef;
use crate::registry::plan::containerd::Planner;
use crate::registry::rules::Rule;

/// The key of the sandbox image in one table: whether it is in force.
pub(super) fn keys(
    lint: &mut Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) {
    if config
        .fatal
        .as_ref()
        .is_some_and(|fatal| fatal.kind == FatalKind::Daemon)
    {
        return;
    }
    let direct = section.table.entry("sandbox_image");
    let pinned = section
        .table
        .table("pinned_images")
        .and_then(|pinned| pinned.entry("sandbox"));
    for entry in [direct, pinned].into_iter().flatten() {
        let image = entry.node.str().unwrap_or_default();
        match config.sandbox_image.place() {
            Some(place) if *place == entry.node.place => {}
            Some(place) => {
                lint.add(
                    Code::ContainerdDropinOrder,
                    entry.key.clone(),
                    format!("the sandbox image is set again in {}", at(place)),
                )
                .related("this one is in force", place);
            }
            None => {
                let (_, reason, _) = inert(lint, config, section, all, files);
                let message = match (direct.is_some(), config.table) {
                    (true, CRI_IMAGES)
                        if section.plugin == CRI_IMAGES || section.plugin == CRI_RUNTIME =>
                    {
                        format!("`sandbox_image` is not a key of `{}`", section.plugin)
                    }
                    _ => format!("the sandbox image `{image}` is not in force: {reason}"),
                };
                let default = config.sandbox_image.value();
                let remedy = if config.table == CRI_IMAGES {
                    format!(
                        "write `sandbox = \"{image}\"` in `[plugins.\"{CRI_IMAGES}\".pinned_images]`"
                    )
                } else {
                    format!(
                        "write `sandbox_image = \"{image}\"` in `[plugins.\"{}\"]`",
                        target(config)
                    )
                };
                lint.add(Code::ContainerdSandboxKey, entry.key.clone(), message)
                    .why(format!("the default `{default}` is pulled instead"))
                    .remedy(restart(&remedy));
            }
        }
    }
}

/// The sandbox image in force.
pub(super) fn image(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    let config = planner.config();
    let image = match &config.sandbox_image {
        Setting::Written(image) => image,
        Setting::Builtin(image) => {
            if image.starts_with("k8s.gcr.io/") {
                let meant = image.replacen("k8s.gcr.io", "registry.k8s.io", 1);
                lint.add(
                    Code::SandboxImageHost,
                    None,
                    format!("the sandbox image of this version comes from `k8s.gcr.io`, which is frozen: `{image}`"),
                )
                .remedy(restart(&format!("set `sandbox_image = \"{meant}\"`")));
            }
            return;
        }
    };
    let Ok(reference) = image.value.parse::<ImageRef>() else {
        lint.add(
            Code::ContainerdConfigParse,
            image.place.clone(),
            format!("the sandbox image `{}` is no image reference", image.value),
        )
        .severity(Severity::High)
        .why("no pod can start");
        return;
    };
    if reference.domain() == "k8s.gcr.io" {
        let meant = image.value.replacen("k8s.gcr.io", "registry.k8s.io", 1);
        lint.add(
            Code::SandboxImageHost,
            image.place.clone(),
            format!(
                "the sandbox image comes from `k8s.gcr.io`, which is frozen: `{}`",
                image.value
            ),
        )
        .remedy(restart(&format!("write `{meant}`")))
        .replace(&image.place, &format!("\"{meant}\""));
    }
    if !lint.holds(Rule::PauseCredentials)
        && config.registry.config_path.is_some()
        && config
            .registry
            .configs
            .values()
            .any(|settings| settings.auth.is_some())
    {
        lint.add(
            Code::SandboxImageCredentials,
            image.place.clone(),
            "credentials in `registry.configs` are not used for the sandbox image",
        )
        .why("this version has none for it where `config_path` is set")
        .says("failed to get sandbox image: … 401 Unauthorized");
    }
    let registry = &config.registry;
    if !registry.mirrors.is_empty() && config.fatal.is_none() {
        let key = [reference.domain(), "*"]
            .into_iter()
            .find(|key| registry.mirrors.contains_key(*key));
        let message = match key {
            Some(key) => format!(
                "the sandbox image `{}` goes through the mirrors of `{key}`",
                image.value
            ),
            None => format!(
                "the sandbox image `{}` goes through no mirror: `{}` has none",
                image.value,
                reference.domain()
            ),
        };
        lint.add(Code::SandboxImageRoute, image.place.clone(), message)
            .why(
                "the sandbox image is pulled like any other, but without the kubelet's credentials",
            );
    }
}
