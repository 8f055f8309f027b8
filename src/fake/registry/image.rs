//! Images made in memory: layers, configuration, manifest, index, all with true digests, so that a real runtime can pull
//! and unpack them.
//!
//! Follows the OCI image specification 1.1; Docker's media types on demand.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Something addressed by its digest.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its media type.
    pub media_type: &'static str,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// An image: what a registry stores for one reference.
#[derive(Debug, Clone)]
pub struct Image {
    /// What the tag points to: a manifest or an index.
    pub top: Blob,
    /// Manifests that an index points to.
    pub manifests: Vec<Blob>,
    /// Configurations and layers.
    pub blobs: Vec<Blob>,
}

/// The names of the parts, per family.
struct Types {
    manifest: &'static str,
    index: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Types = Types {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    index: "application/vnd.oci.image.index.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
};

const DOCKER: Types = Types {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar",
};

impl Image {
    /// An OCI image with one layer that holds one file with this text; another text is another image.
    pub fn single(text: &str) -> Self {
        Self::with_layer(&OCI, tar("etc/fake-image", text.as_bytes()))
    }

    /// [`Image::single`] with a layer of at least this many bytes.
    pub fn sized(text: &str, bytes: usize) -> Self {
        let mut content = text.as_bytes().to_vec();
        content.resize(bytes.max(content.len()), b'.');
        Self::with_layer(&OCI, tar("etc/fake-image", &content))
    }

    /// [`Image::single`] in Docker's media types.
    pub fn docker(text: &str) -> Self {
        Self::with_layer(&DOCKER, tar("etc/fake-image", text.as_bytes()))
    }

    /// An OCI index with an image per platform (`amd64`, `arm64`), each with its own text.
    pub fn index(platforms: &[(&str, &str)]) -> Self {
        let mut entries = Vec::new();
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        for &(architecture, text) in platforms {
            let image =
                Self::with_platform(&OCI, tar("etc/fake-image", text.as_bytes()), architecture);
            let mut entry = descriptor(&image.top);
            entry["platform"] = json!({"architecture": architecture, "os": "linux"});
            entries.push(entry);
            manifests.push(image.top);
            blobs.extend(image.blobs);
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI.index, "manifests": entries});
        Self {
            top: Blob::of_json(OCI.index, &index),
            manifests,
            blobs,
        }
    }

    /// The digest that a pull by tag ends at.
    pub fn digest(&self) -> &str {
        &self.top.digest
    }

    /// The layers and configurations, by size: the smallest first.
    pub fn smallest_blob(&self) -> Option<&Blob> {
        self.blobs.iter().min_by_key(|blob| blob.bytes.len())
    }

    fn with_layer(types: &Types, layer: Bytes) -> Self {
        Self::with_platform(
            types,
            layer,
            if cfg!(target_arch = "aarch64") {
                "arm64"
            } else {
                "amd64"
            },
        )
    }

    fn with_platform(types: &Types, layer: Bytes, architecture: &str) -> Self {
        let layer = Blob::new(types.layer, layer);
        let config = Blob::of_json(
            types.config,
            &json!({
                "created": "2024-01-01T00:00:00Z",
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/true"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
                "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "fake"}],
            }),
        );
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": types.manifest,
            "config": descriptor(&config),
            "layers": [descriptor(&layer)],
        });
        Self {
            top: Blob::of_json(types.manifest, &manifest),
            manifests: vec![],
            blobs: vec![config, layer],
        }
    }
}

impl Blob {
    /// These bytes, with their digest.
    pub fn new(media_type: &'static str, bytes: Bytes) -> Self {
        let hex: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            media_type,
            digest: format!("sha256:{hex}"),
            bytes,
        }
    }

    fn of_json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into())
    }
}

fn descriptor(blob: &Blob) -> Value {
    json!({"mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len()})
}

/// A tar archive (POSIX ustar) with one file.
fn tar(name: &str, content: &[u8]) -> Bytes {
    const BLOCK: usize = 512;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    // The checksum counts itself as spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_true_and_all_parts_are_there() {
        let image = Image::index(&[("amd64", "a"), ("arm64", "b")]);
        let index: Value = serde_json::from_slice(&image.top.bytes).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 2);
        for entry in manifests {
            let manifest = image
                .manifests
                .iter()
                .find(|blob| entry["digest"] == *blob.digest)
                .unwrap();
            assert_eq!(entry["size"], manifest.bytes.len());
            let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
            for part in manifest["layers"]
                .as_array()
                .unwrap()
                .iter()
                .chain([&manifest["config"]])
            {
                let blob = image
                    .blobs
                    .iter()
                    .find(|blob| part["digest"] == *blob.digest)
                    .unwrap();
                assert_eq!(part["size"], blob.bytes.len());
                assert_eq!(
                    Blob::new(blob.media_type, blob.bytes.clone()).digest,
                    blob.digest
                );
            }
        }
    }

    #[test]
    fn an_archive_is_blocks_with_a_sum() {
        let archive = tar("a", b"text");
        assert_eq!(archive.len() % 512, 0);
        let sum: u32 = archive[..512].iter().map(|&byte| u32::from(byte)).sum();
        let spaces = archive[148..156]
            .iter()
            .map(|&byte| u32::from(byte))
            .sum::<u32>();
        assert_eq!(
            std::str::from_utf8(&archive[148..154]).unwrap(),
            format!("{:06o}", sum - spaces + 8 * 32)
        );
    }
}
