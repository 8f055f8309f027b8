//! Manifests: which ones to ask for, what they say, and whether content is what its digest promises.
//!
//! OCI image specification 1.1 and Docker's schema 2, which are one model under two sets of media types.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::registry::RuntimeName;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The `Accept` header with which a runtime asks for a manifest. Registries answer 404 or 400 for what it leaves out.
pub(super) fn accept(runtime: RuntimeName) -> String {
    let mut types = vec![DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX];
    if runtime == RuntimeName::Containerd {
        types.push("*/*");
    }
    types.join(", ")
}

/// Whether a media type is one of an image or an index.
pub(super) fn is_manifest_type(media_type: &str) -> bool {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(&media_type)
        || media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}

/// The media type in a `Content-Type` header, without its parameters.
pub(super) fn media_type(header: &str) -> String {
    header
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// A sha256 digest, `sha256:` and 64 hexadecimal digits: safe to put into a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest(String);

impl Digest {
    /// Checks the form. Other algorithms are not known here.
    pub fn parse(text: &str) -> Option<Digest> {
        let hex = text.strip_prefix("sha256:")?;
        let good = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Digest(text.to_owned()))
    }

    /// The digest of some content.
    pub fn of(content: &[u8]) -> Digest {
        Digest::from_hash(Sha256::new_with_prefix(content))
    }

    /// The digest of what a hash was fed with.
    pub fn from_hash(hash: Sha256) -> Digest {
        let hex: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Digest(format!("sha256:{hex}"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a digest to the runtimes (`opencontainers/go-digest`), also by an algorithm that is not computed here.
pub(super) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The platform that images have to fit, in Go's words: `linux`, `amd64`, and for ARM perhaps `v7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `GOOS`.
    pub os: String,
    /// `GOARCH`.
    pub architecture: String,
    /// The variant to prefer.
    pub variant: Option<String>,
}

impl Default for Platform {
    /// The machine on which we run.
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// A pointer from one piece of content to another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<DescribedPlatform>,
    /// Layers that are to be had elsewhere.
    #[serde(default)]
    pub urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DescribedPlatform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

impl fmt::Display for DescribedPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// What the body of a manifest turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    /// Images for several platforms.
    Index(Vec<Descriptor>),
    /// One image.
    Image {
        config: Box<Descriptor>,
        layers: Vec<Descriptor>,
    },
    /// Docker's schema 1: no configuration and no sizes.
    SchemaOne,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

/// Reads the body of a manifest; also gives the media type that it states itself.
pub(super) fn read(body: &[u8]) -> Result<(Document, Option<String>), String> {
    let raw: RawManifest =
        serde_json::from_slice(body).map_err(|error| format!("not a manifest: {error}"))?;
    let document = match raw {
        RawManifest {
            schema_version: 1, ..
        } => Document::SchemaOne,
        RawManifest {
            manifests: Some(manifests),
            ..
        } => Document::Index(manifests),
        RawManifest {
            config: Some(config),
            layers,
            ..
        } => Document::Image {
            config: Box::new(config),
            layers: layers.unwrap_or_default(),
        },
        _ => return Err("not a manifest: neither `config` nor `manifests`".to_owned()),
    };
    Ok((document, raw.media_type))
}

/// The image of an index that fits a platform: the preferred variant, else the first that fits.
pub(super) fn choose<'a>(index: &'a [Descriptor], platform: &Platform) -> Option<&'a Descriptor> {
    let fits = |descriptor: &&Descriptor| {
        // A descriptor without a platform fits every one, as in containerd.
        descriptor.platform.as_ref().is_none_or(|found| {
            found.os == platform.os && found.architecture == platform.architecture
        })
    };
    let preferred = |descriptor: &&Descriptor| {
        platform.variant.is_some()
            && descriptor
                .platform
                .as_ref()
                .is_some_and(|found| found.variant == platform.variant)
    };
    let mut fitting = index.iter().filter(fits);
    fitting.clone().find(preferred).or_else(|| fitting.next())
}

/// The layer that is cheapest to fetch as a proof; those that are to be had elsewhere do not count.
pub(super) fn smallest(layers: &[Descriptor]) -> Option<&Descriptor> {
    layers
        .iter()
        .filter(|layer| layer.urls.is_empty())
        .min_by_key(|layer| layer.size)
}

/// Whether a body is a page for people.
pub(super) fn looks_like_html(media_type: &str, body: &[u8]) -> bool {
    media_type == "text/html" || body.trim_ascii_start().starts_with(b"<")
}

/// One error of a registry's error body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RegistryError {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The first error of a registry's error body.
pub(super) fn first_error(body: &[u8]) -> Option<RegistryError> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<RegistryError>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    body.errors.into_iter().next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        let describe = |(at, text): (usize, &&str)| {
            let mut parts = text.split('/').map(str::to_owned);
            let platform = (!text.is_empty()).then(|| DescribedPlatform {
                os: parts.next().unwrap(),
                architecture: parts.next().unwrap(),
                variant: parts.next(),
            });
            Descriptor {
                media_type: String::new(),
                digest: String::new(),
                size: at as u64,
                platform,
                urls: vec![],
            }
        };
        platforms.iter().enumerate().map(describe).collect()
    }

    #[test]
    fn platforms() {
        #[track_caller]
        fn case(all: &[&str], variant: Option<&str>, expected: Option<u64>) {
            let platform = Platform {
                os: "linux".into(),
                architecture: "arm".into(),
                variant: variant.map(Into::into),
            };
            assert_eq!(
                choose(&index(all), &platform).map(|found| found.size),
                expected
            );
        }
        case(
            &["linux/amd64", "linux/arm/v6", "linux/arm/v7"],
            None,
            Some(1),
        );
        case(
            &["linux/amd64", "linux/arm/v6", "linux/arm/v7"],
            Some("v7"),
            Some(2),
        );
        case(&["linux/arm/v6"], Some("v7"), Some(0));
        case(&["linux/amd64", "windows/arm"], None, None);
        case(&["linux/amd64", ""], None, Some(1));
        case(&[], None, None);
    }

    #[test]
    fn documents() {
        let image = br#"{"schemaVersion":2,"config":{"digest":"d","size":1},"layers":[{"digest":"l","size":2}]}"#;
        assert!(
            matches!(read(image), Ok((Document::Image { layers, .. }, None)) if layers.len() == 1)
        );
        let index = br#"{"schemaVersion":2,"mediaType":"m","manifests":[]}"#;
        assert_eq!(read(index), Ok((Document::Index(vec![]), Some("m".into()))));
        assert!(matches!(
            read(br#"{"schemaVersion":1,"name":"a"}"#),
            Ok((Document::SchemaOne, None))
        ));
        let bad: [&[u8]; 6] = [
            b"",
            b"<html>",
            b"[]",
            br#"{"schemaVersion":2}"#,
            br#"{"schemaVersion":2,"config":{"digest":"d","size":-1}}"#,
            br#"{"schemaVersion":2,"config":{"digest":7,"size":1}}"#,
        ];
        for body in bad {
            assert!(read(body).is_err(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn digests() {
        let good = Digest::of(b"");
        assert_eq!(
            good.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Digest::parse(&good.to_string()), Some(good));
        for bad in [
            "",
            "sha256:",
            "sha256:../../x",
            "sha512:00",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert_eq!(Digest::parse(&format!("sha256:{}", "A".repeat(64))), None);
        assert!(is_digest(&format!("sha512:{}", "a".repeat(128))));
        assert!(!is_digest("sha256:xyz") && !is_digest("md5:d41d8cd98f00b204e9800998ecf8427e"));
    }

    #[test]
    fn errors_and_pages() {
        let error = br#"{"errors":[{"code":"DENIED","message":"no","detail":{}},{"code":"X"}]}"#;
        let shown = |body: &[u8]| first_error(body).map(|error| error.to_string());
        assert_eq!(shown(error).as_deref(), Some("DENIED: no"));
        assert_eq!(shown(br#"{"errors":[{"code":"X"}]}"#).as_deref(), Some("X"));
        assert_eq!(first_error(br#"{"errors":[]}"#), None);
        assert_eq!(first_error(b"404 page not found"), None);
        assert!(looks_like_html("text/html", b""));
        assert!(looks_like_html("application/json", b"\n <!DOCTYPE html>"));
        assert!(!looks_like_html("application/json", b"{}"));
        assert_eq!(media_type("Text/HTML; charset=utf-8"), "text/html");
    }

    #[test]
    fn the_smallest_layer_of_this_registry() {
        let mut layers = index(&["", "", ""]);
        layers[0].urls = vec!["https://elsewhere".into()];
        assert_eq!(smallest(&layers).map(|layer| layer.size), Some(1));
        assert_eq!(smallest(&[]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(body in "\\PC*", json in "[\\[\\]{}:,\"a-z0-9 -]*") {
            for body in [body, json] {
                let _ = (read(body.as_bytes()), first_error(body.as_bytes()), Digest::parse(&body), media_type(&body));
            }
        }
    }
}
