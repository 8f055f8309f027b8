//! The lab's images, built here: one layer with a static busybox, one small layer of their own, an OCI manifest.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Doing, Result};
use crate::tar::Tar;

/// The media type of a manifest for one platform.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Bytes and their digest.
#[derive(Debug, Clone)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    /// What is digested.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: digest(&bytes),
            bytes,
        }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// An image: what a tag points at, and everything below it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Repository and tag without a host: `shop/web:1.4.2`.
    pub name: String,
    /// [`MANIFEST`] or [`INDEX`].
    pub media_type: &'static str,
    /// What the tag points at.
    pub top: Blob,
    /// Manifests below an index.
    pub manifests: Vec<Blob>,
    /// Configurations and layers.
    pub blobs: Vec<Blob>,
}

impl Image {
    /// `shop/web`
    pub fn repository(&self) -> &str {
        self.name
            .split_once(':')
            .map_or(&self.name, |(name, _)| name)
    }

    /// `1.4.2`
    pub fn tag(&self) -> &str {
        self.name.split_once(':').map_or("latest", |(_, tag)| tag)
    }
}

/// Builds images on one common layer.
#[derive(Debug)]
pub struct Builder {
    base: Blob,
}

impl Builder {
    /// Reads busybox out of its unpacked package.
    ///
    /// # Errors
    /// The package holds no busybox.
    pub fn new(package: &Path) -> Result<Self> {
        let busybox = ["bin/busybox", "usr/bin/busybox"]
            .map(|path| package.join(path))
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| package.join("bin/busybox"));
        let busybox = fs::read(&busybox).doing(|| format!("read {}", busybox.display()))?;
        let mut tar = Tar::new();
        for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "var", "var/www"] {
            tar = tar.dir(dir);
        }
        tar = tar
            .file("bin/busybox", 0o755, &busybox)
            .file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")
            .file("etc/group", 0o644, b"root:x:0:\n");
        for applet in [
            "sh", "cat", "date", "echo", "env", "false", "head", "hostname", "httpd", "id", "kill",
            "ls", "mkdir", "nc", "ps", "seq", "sleep", "stty", "tail", "test", "touch", "true",
            "tty", "wc", "wget", "yes",
        ] {
            tar = tar.link(&format!("bin/{applet}"), "busybox");
        }
        Ok(Self {
            base: Blob::new(tar.finish()),
        })
    }

    /// An image that runs `entrypoint` in a shell. `note` is a file of its own layer: another note, another digest.
    pub fn image(&self, name: &str, entrypoint: &str, note: &str) -> Image {
        let (manifest, blobs) = self.manifest(name, entrypoint, note, "amd64");
        Image {
            name: name.to_owned(),
            media_type: MANIFEST,
            top: manifest,
            manifests: Vec::new(),
            blobs,
        }
    }

    /// The same for several architectures, behind an index.
    pub fn index(&self, name: &str, entrypoint: &str, architectures: &[&str]) -> Image {
        let mut manifests = Vec::new();
        let mut all = Vec::new();
        let mut entries = Vec::new();
        for architecture in architectures {
            let (manifest, blobs) = self.manifest(name, entrypoint, architecture, architecture);
            let mut entry = manifest.descriptor(MANIFEST);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entries.push(entry);
            manifests.push(manifest);
            all.extend(blobs);
        }
        Image {
            name: name.to_owned(),
            media_type: INDEX,
            top: Blob::json(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})),
            manifests,
            blobs: all,
        }
    }

    fn manifest(
        &self,
        name: &str,
        entrypoint: &str,
        note: &str,
        architecture: &str,
    ) -> (Blob, Vec<Blob>) {
        let label = format!("{name} {note}\n");
        // Images of different sizes, so that a list of them looks like one.
        let weight = 4 * 1024 * usize::from(Sha256::digest(name)[0]);
        let own = Tar::new()
            .file("etc/image", 0o644, label.as_bytes())
            .dir("srv")
            .file("srv/data", 0o644, &vec![b'.'; weight]);
        let own = Blob::new(own.finish());
        let config = Blob::json(&json!({
            "created": "2026-01-15T09:30:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": ["PATH=/bin"],
                "Entrypoint": ["/bin/sh", "-c", entrypoint],
                "WorkingDir": "/",
                "Labels": {"org.opencontainers.image.title": name},
            },
            "rootfs": {"type": "layers", "diff_ids": [self.base.digest, own.digest]},
            "history": [
                {"created": "2026-01-15T09:30:00Z", "created_by": "busybox"},
                {"created": "2026-01-15T09:30:00Z", "created_by": "etc/image"},
            ],
        }));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [self.base.descriptor(LAYER), own.descriptor(LAYER)],
        }));
        (manifest, vec![config, self.base.clone(), own])
    }
}

/// An OCI archive of images under `host`, for `ctr images import`: each by its tag and by its digest, as a pull would
/// have left it.
pub fn archive(host: &str, images: &[Image]) -> Vec<u8> {
    let mut tar = Tar::new()
        .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
        .dir("blobs")
        .dir("blobs/sha256");
    let mut written = std::collections::BTreeSet::new();
    let mut entries = Vec::new();
    for image in images {
        let repository = image.repository();
        for name in [
            format!("{host}/{}", image.name),
            format!("{host}/{repository}@{}", image.top.digest),
        ] {
            let mut entry = image.top.descriptor(image.media_type);
            entry["annotations"] = json!({"io.containerd.image.name": name});
            entries.push(entry);
        }
        for blob in std::iter::once(&image.top)
            .chain(&image.manifests)
            .chain(&image.blobs)
        {
            if written.insert(blob.digest.clone()) {
                let path = format!("blobs/{}", blob.digest.replace(':', "/"));
                tar = tar.file(&path, 0o644, &blob.bytes);
            }
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    tar.file("index.json", 0o644, index.to_string().as_bytes())
        .finish()
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
