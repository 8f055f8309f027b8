//! Whom the kubelet talks to.

use super::super::finding::Note;
use super::super::{Case, Judged};
use crate::endpoint::discover::{Source as Named, below_run};
use crate::facts::Source;
use crate::facts::kubelet::Settings;
use crate::registry::RuntimeName;

pub(super) fn judge(case: &Case<'_>) -> Judged {
    const KEY: &str = "containerRuntimeEndpoint";
    let settings = Settings::of(case)?;
    let setting = settings.setting(Some("--container-runtime-endpoint"), KEY)?;
    let old = case.kubelet.minor().is_some_and(|minor| minor < 24);
    let docker = settings
        .flag("--container-runtime")
        .filter(|flag| flag.value.as_deref() == Some("docker"));
    let dockershim = match (&setting, docker) {
        (Some(setting), _) => setting
            .word()
            .is_some_and(|word| word.contains("dockershim.sock"))
            .then(|| setting.source.clone()),
        (None, Some(flag)) => Some(flag.source.clone()),
        (None, None) => None,
    };
    if let Some(source) = dockershim {
        let text = "the kubelet is told to use the dockershim";
        let note = if old {
            Note::warn(format!("{text}, which ends with 1.24"))
        } else {
            Note::fail(format!("{text}, which no kubelet has since 1.24"))
        };
        return note
            .measured("dockershim")
            .expected("the socket of containerd, CRI-O or cri-dockerd")
            .at(source)
            .into();
    }
    let Some(setting) =
        setting.filter(|setting| setting.word().is_some_and(|word| !word.is_empty()))
    else {
        let remote = settings.flag("--container-runtime").is_some();
        let other = case
            .runtime()
            .filter(|runtime| runtime.name != RuntimeName::Docker && case.migration.is_none());
        if let Some(runtime) = other.filter(|_| old && !remote) {
            return Note::fail(format!(
                "a kubelet of this version uses the dockershim unless told otherwise, and the runtime is {runtime}"
            ))
            .measured("dockershim")
            .expected("`--container-runtime=remote` and `--container-runtime-endpoint`")
            .at(case.facts().kubelet.version.source().cloned())
            .into();
        }
        return Note::pass("the kubelet names no endpoint and uses its default").into();
    };
    let word = setting.word().unwrap_or_default();
    let Some(chosen) = case
        .facts()
        .chosen()
        .filter(|chosen| chosen.verdict.serves())
    else {
        return unanswered(case, word, setting.source.clone());
    };
    let path = word.strip_prefix("unix://").unwrap_or(word);
    let theirs = below_run(std::path::Path::new(path)).into_owned();
    let mut ours = vec![below_run(chosen.endpoint.path()).into_owned()];
    ours.extend(
        chosen
            .aliases
            .iter()
            .map(|alias| below_run(alias.path()).into_owned()),
    );
    let root = &case.host.root;
    let below = |path: &std::path::PathBuf| {
        path.strip_prefix(root).map_or_else(
            |_| path.clone(),
            |rest| std::path::Path::new("/").join(rest),
        )
    };
    if ours.iter().any(|own| below(own) == theirs) {
        return Note::pass(format!("the kubelet uses `{word}` too"))
            .at(setting.source)
            .into();
    }
    let named = if chosen.source == Named::Builtin {
        String::new()
    } else {
        format!(", named by {}", chosen.named_by)
    };
    Note::fail(format!(
        "the kubelet uses `{word}`, and what answers here is `{}`{named}",
        chosen.endpoint
    ))
    .subject(word)
    .measured(word)
    .expected(chosen.endpoint.to_string())
    .at(setting.source)
    .into()
}

/// Judges the endpoint of a kubelet where no runtime answers: by whose socket its name is.
fn unanswered(case: &Case<'_>, word: &str, source: Source) -> Judged {
    let file = word.rsplit('/').next().unwrap_or_default();
    let whose = match file {
        "crio.sock" => Some(RuntimeName::Crio),
        "containerd.sock" => Some(RuntimeName::Containerd),
        "cri-dockerd.sock" => Some(RuntimeName::Docker),
        _ => None,
    };
    // Before a move the files are those of two runtimes.
    let moved = case.migration.is_some();
    let runtime = case.runtime().filter(|_| !case.facts().host.live && !moved);
    match (whose, runtime) {
        (Some(whose), Some(runtime)) if whose != runtime.name => Note::fail(format!(
            "the kubelet uses `{word}`, the socket of {}, and the runtime of this node is {runtime}",
            if whose == RuntimeName::Docker { "cri-dockerd" } else { whose.as_str() }
        ))
        .subject(word)
        .measured(word)
        .expected(format!("the socket of {}", runtime.name))
        .at(source)
        .into(),
        _ => Note::pass(format!("the kubelet uses `{word}`")).at(source).into(),
    }
}
