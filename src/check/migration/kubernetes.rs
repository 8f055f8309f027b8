//! Kubernetes after the move: whether its version fits the target, and what its kubelet has to be told and must not.

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use super::{moving, releases};
use crate::facts::kernel::CgroupVersion;
use crate::facts::kubelet::Settings;
use crate::facts::{Gap, Migration, Source};
use crate::registry::{RuntimeId, RuntimeName};

/// The minor version of Kubernetes after the move, and who says so.
pub(super) fn minor(case: &Case<'_>, migration: &Migration) -> Result<u32, Gap> {
    match &migration.kubernetes {
        Some(text) => crate::facts::kubelet::minor(text)
            .ok_or_else(|| Gap::Unknown(format!("`{text}` is no version of Kubernetes"))),
        None => case.facts().kubelet.minor().ok_or_else(|| {
            Gap::Absent("no version of Kubernetes is known; name it with `--kubernetes`".to_owned())
        }),
    }
}

pub(super) fn version(case: &Case<'_>) -> Judged {
    let (migration, to) = moving(case)?;
    let minor = self::minor(case, migration)?;
    let mut problems = Vec::new();
    let source = || Source::rpc("the built-in list of releases");
    let (major, series) = (to.version.major(), to.version.minor());
    let v1_only = match to.name {
        RuntimeName::Containerd => major >= 2,
        RuntimeName::Crio => series >= 26,
        RuntimeName::Docker => false,
    };
    if v1_only && minor < 23 {
        problems.push(
            Note::fail(format!(
                "{to} serves CRI v1 only, which the kubelet speaks from 1.23 on; it is 1.{minor}"
            ))
            .measured(format!("1.{minor}"))
            .at(source())
            .remedy("upgrade Kubernetes first"),
        );
    }
    if to.name == RuntimeName::Containerd && major == 1 && series < 6 && minor >= 26 {
        problems.push(
            Note::fail(format!(
                "{to} serves v1alpha2 only; the kubelet of 1.{minor} speaks v1"
            ))
            .at(source())
            .remedy("choose containerd 1.6 or newer"),
        );
    }
    if to.name == RuntimeName::Crio && series != minor {
        problems.push(
            Note::warn(format!(
                "CRI-O goes with the same minor version of Kubernetes: {to} with 1.{minor}"
            ))
            .measured(format!("1.{minor}"))
            .expected(format!("1.{series}"))
            .at(source())
            .remedy(format!("choose CRI-O 1.{minor}")),
        );
    }
    if to.name == RuntimeName::Containerd && major == 1 && minor >= 36 {
        problems.push(
            Note::warn(format!("Kubernetes 1.{minor} is tested with containerd 2.2 and newer only; the kubelet will need RuntimeConfig, which {to} does not serve, from 1.38 on"))
                .at(source())
                .remedy("choose containerd 2.x"),
        );
    }
    if minor >= 35
        && let Some(CgroupVersion::V1 | CgroupVersion::Hybrid) = case.facts().cgroup.version.value()
    {
        problems.push(
            Note::fail(format!("this node has cgroup v1, which the kubelet of 1.{minor} refuses unless `failCgroupV1: false` is set"))
                .measured("v1")
                .expected("v2")
                .at(Source::proc("/sys/fs/cgroup"))
                .remedy("boot with cgroup v2 (`systemd.unified_cgroup_hierarchy=1`) before the upgrade"),
        );
    }
    Outcome::of(problems, format!("{to} fits Kubernetes 1.{minor}")).into()
}

/// Where the target listens.
pub(super) fn socket(to: &RuntimeId) -> &'static str {
    match to.name {
        RuntimeName::Containerd => "unix:///run/containerd/containerd.sock",
        RuntimeName::Crio => "unix:///run/crio/crio.sock",
        RuntimeName::Docker => "unix:///run/cri-dockerd.sock",
    }
}

pub(super) fn endpoint(case: &Case<'_>) -> Judged {
    let (_, to) = moving(case)?;
    if !case.has_kubelet() {
        return Err(Gap::Absent("the node has no kubelet".to_owned()));
    }
    let settings = Settings::of(case.facts())?;
    let set = settings.setting(
        Some("--container-runtime-endpoint"),
        "containerRuntimeEndpoint",
    )?;
    let wanted = socket(&to);
    match set.filter(|setting| setting.word().is_some_and(|word| !word.is_empty())) {
        Some(setting) => {
            let word = setting.word().unwrap_or_default();
            let same = |text: &str| text.trim_start_matches("unix://").replace("/var/run/", "/run/");
            if same(word) == same(wanted) {
                return Note::pass(format!("the kubelet talks to `{word}`")).at(setting.source).into();
            }
            Note::warn(format!("the kubelet talks to `{word}`, {to} listens at `{wanted}`"))
                .measured(word)
                .expected(wanted)
                .at(setting.source)
                .remedy(format!("set it to `{wanted}` while the kubelet is stopped"))
                .into()
        }
        None => Note::warn(format!(
            "nothing tells the kubelet which runtime to talk to; {to} listens at `{wanted}`"
        ))
        .expected(wanted)
        .at(Source::file("/var/lib/kubelet/config.yaml"))
        .remedy(format!(
            "set `containerRuntimeEndpoint: {wanted}` in /var/lib/kubelet/config.yaml; before Kubernetes 1.27 the flag \
             `--container-runtime-endpoint`, up to 1.26 with `--container-runtime=remote`"
        ))
        .into(),
    }
}

pub(super) fn flags(case: &Case<'_>) -> Judged {
    let (migration, _) = moving(case)?;
    if !case.has_kubelet() {
        return Err(Gap::Absent("the node has no kubelet".to_owned()));
    }
    let minor = self::minor(case, migration)?;
    let settings = Settings::of(case.facts())?;
    let mut problems = Vec::new();
    for flag in settings.flags().iter().chain(settings.written()) {
        let Some(gone) = releases::kubelet_flag_gone(&flag.name) else {
            continue;
        };
        if minor < gone {
            continue;
        }
        let note = Note::fail(format!(
            "the kubelet of 1.{minor} does not start with `{}`, which is gone since 1.{gone}",
            flag.name
        ))
        .subject(&flag.name)
        .measured(flag.name.as_str())
        .at(flag.source.clone());
        if !problems.contains(&note) {
            problems.push(note);
        }
    }
    Outcome::of(
        problems,
        format!("every flag is known to the kubelet of 1.{minor}"),
    )
    .into()
}
