//! The node's configuration: config.toml in the words of its generation, hosts.toml, the pods' network.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::error::{Doing, Error, Result};
use crate::generation::Generation;
use crate::network;
use crate::place::Place;
use crate::registry::{Kind, Registry};

/// The upstream that stands for the node's usual registry; its mirror is the one that `lab up --mirror` names.
pub const UPSTREAM: &str = "registry.lab.test";
/// An upstream with two mirrors: nobody listens at the first, the second is good.
pub const FALLBACK: &str = "fallback.lab.test";
/// The sandbox image, which `lab up` imports, so that pods run whatever the mirrors do.
pub const PAUSE: &str = "pause:3.9";

/// How mirrors are configured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// `config_path` and a hosts.toml per upstream (containerd 1.5 and newer).
    Hosts,
    /// `registry.mirrors` and `registry.configs` in config.toml: the old way, still read by all.
    Mirrors,
    /// No mirrors at all.
    None,
}

/// What becomes of the daemon's CRI service.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cri {
    /// It is served.
    Enabled,
    /// It is named in `disabled_plugins`, as Docker's containerd package ships it.
    Disabled,
    /// Its configuration contradicts itself, so that it does not load while the daemon runs.
    Broken,
}

/// What the configuration is made from.
#[derive(Debug)]
pub struct Settings<'a> {
    /// The daemon's generation.
    pub generation: Generation,
    /// How mirrors are configured.
    pub style: Style,
    /// What becomes of CRI.
    pub cri: Cri,
    /// The mirrors of each upstream name, first to last.
    pub upstreams: &'a [(String, Vec<Registry>)],
    /// Whether files in `/etc/containerd/conf.d` are imported.
    pub imports: bool,
}

/// The mirrors of each upstream name: `registry.lab.test` behind the mirror asked for, `KIND.lab.test` behind one of
/// every kind, `fallback.lab.test` behind a dead and a good one.
pub fn upstreams(registries: &[Registry], mirror: Kind) -> Vec<(String, Vec<Registry>)> {
    let of = |kind: Kind| {
        registries
            .iter()
            .find(|registry| registry.kind == kind)
            .cloned()
    };
    let mut upstreams = vec![(UPSTREAM.to_owned(), Vec::from_iter(of(mirror)))];
    for registry in registries {
        upstreams.push((
            format!("{}.lab.test", registry.kind.name()),
            vec![registry.clone()],
        ));
    }
    let both = [Kind::Down, Kind::Good]
        .into_iter()
        .filter_map(of)
        .collect();
    upstreams.push((FALLBACK.to_owned(), both));
    upstreams
}

/// Writes everything below [`Place::host_root`].
///
/// # Errors
/// The style is not the generation's, or the file system refuses.
pub fn write(place: &Place, settings: &Settings) -> Result<()> {
    if settings.style == Style::Hosts && !settings.generation.reads_hosts_toml() {
        return Err(Error::Usage(format!(
            "containerd {} reads no hosts.toml; take `--config-style mirrors`",
            settings.generation
        )));
    }
    let root = place.host_root();
    put(
        &root.join("etc/containerd/config.toml"),
        &config_toml(settings),
    )?;
    if settings.style == Style::Hosts {
        for (upstream, mirrors) in settings.upstreams {
            let path = root.join(format!("etc/containerd/certs.d/{upstream}/hosts.toml"));
            put(&path, &hosts_toml(upstream, mirrors))?;
        }
    }
    put(
        &root.join("etc/cni/net.d/10-lab.conflist"),
        &conflist(place.number),
    )
}

/// The text of config.toml. Why each setting is there stands in `docs/lab.md`.
pub fn config_toml(settings: &Settings) -> String {
    let split = settings.generation.has_split_cri();
    let (runtime, images) = match split {
        true => (
            "io.containerd.cri.v1.runtime",
            "io.containerd.cri.v1.images",
        ),
        false => ("io.containerd.grpc.v1.cri", "io.containerd.grpc.v1.cri"),
    };
    let mut text = format!("version = {}\n", if split { 3 } else { 2 });
    if settings.cri == Cri::Disabled {
        text.push_str("disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n");
    }
    if settings.imports {
        text.push_str("imports = [\"/etc/containerd/conf.d/*.toml\"]\n");
    }
    let pause = format!("{UPSTREAM}/{PAUSE}");
    text.push_str(&format!("\n[plugins.\"{runtime}\"]\n"));
    if !split {
        text.push_str(&format!("  sandbox_image = \"{pause}\"\n"));
    }
    text.push_str("  restrict_oom_score_adj = true\n  disable_apparmor = true\n");
    if settings.cri == Cri::Broken && !settings.generation.reads_hosts_toml() {
        // 1.4 knows no config_path to contradict; it checks this duration.
        text.push_str("  stream_idle_timeout = \"four hours\"\n");
    }
    let bin = if split {
        "bin_dirs = [\"/usr/lib/cni\"]"
    } else {
        "bin_dir = \"/usr/lib/cni\""
    };
    text.push_str(&format!(
        "  [plugins.\"{runtime}\".cni]\n    {bin}\n    conf_dir = \"/etc/cni/net.d\"\n"
    ));
    text.push_str(&format!(
        "  [plugins.\"{runtime}\".containerd.runtimes.runc]\n    runtime_type = \"io.containerd.runc.v2\"\n"
    ));
    if split {
        text.push_str(&format!(
            "\n[plugins.\"{images}\".pinned_images]\n  sandbox = \"{pause}\"\n"
        ));
    }
    let broken = settings.cri == Cri::Broken && settings.generation.reads_hosts_toml();
    if settings.style == Style::Hosts || broken {
        text.push_str(&format!(
            "\n[plugins.\"{images}\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n"
        ));
    }
    if settings.style == Style::Mirrors || broken {
        text.push_str(&mirrors(images, settings.upstreams));
    }
    text
}

fn mirrors(plugin: &str, upstreams: &[(String, Vec<Registry>)]) -> String {
    let mut text = String::new();
    let mut told = std::collections::BTreeSet::new();
    for (upstream, mirrors) in upstreams {
        let endpoints: Vec<String> = mirrors
            .iter()
            .map(|mirror| format!("{:?}", mirror.url))
            .collect();
        text.push_str(&format!(
            "\n[plugins.\"{plugin}\".registry.mirrors.\"{upstream}\"]\n  endpoint = [{}]\n",
            endpoints.join(", ")
        ));
        for mirror in mirrors {
            if let Some(ca) = &mirror.ca
                && told.insert(mirror.address)
            {
                text.push_str(&format!(
                    "\n[plugins.\"{plugin}\".registry.configs.\"{}\".tls]\n  ca_file = \"{ca}\"\n",
                    mirror.address
                ));
            }
        }
    }
    text
}

fn hosts_toml(upstream: &str, mirrors: &[Registry]) -> String {
    let mut text = format!("server = \"https://{upstream}\"\n");
    for mirror in mirrors {
        text.push_str(&format!(
            "\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
            mirror.url
        ));
        if let Some(ca) = &mirror.ca {
            text.push_str(&format!("  ca = \"{ca}\"\n"));
        }
    }
    text
}

fn conflist(number: u8) -> String {
    let network = json!({
        // The newest that containerd 1.4 takes.
        "cniVersion": "0.4.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": format!("{}/24", network::subnet(number))}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    format!("{network:#}\n")
}

/// Writes a file and the directories above it.
///
/// # Errors
/// The file system refuses.
pub fn put(path: &Path, text: &str) -> Result<()> {
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, text)
    };
    write().doing(|| format!("write {}", path.display()))
}
