//! The files of a host that does not exist, in a directory of their own.

use std::path::Path;

use super::Error;
use super::scratch::Scratch;

/// The name of the demo's host.
const NAME: &str = "demo-node\n";

/// The demo's containerd configuration, with the mistake that everybody makes once: `plugin` for `plugins`, which
/// containerd drops without a word.
const CONFIG: &str = r#"version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.8"

[plugins."io.containerd.grpc.v1.cri".registry.mirrors."registry.example.com"]
  endpoint = ["https://mirror.example.com:8443"]

[plugin."io.containerd.grpc.v1.cri".registry.configs."mirror.example.com:8443".tls]
  insecure_skip_verify = true
"#;

/// Where the files are, below the root.
const FILES: &[(&str, &str)] = &[
    ("etc/hostname", NAME),
    ("etc/containerd/config.toml", CONFIG),
];

/// A directory that looks like the root of a host. It goes with its owner.
#[derive(Debug)]
pub struct Host(Scratch);

impl Host {
    /// The host of `criscope demo`.
    ///
    /// # Errors
    /// The temporary directory cannot be written.
    pub fn demo() -> Result<Self, Error> {
        let scratch = Scratch::new()?;
        for (name, text) in FILES {
            let path = scratch.path().join(name);
            let written = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, text));
            written.map_err(|source| Error::File { path, source })?;
        }
        Ok(Self(scratch))
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        self.0.path()
    }
}
