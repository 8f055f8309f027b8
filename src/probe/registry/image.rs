//! What a pull asks an endpoint for: `/v2/`, the manifest by tag and by digest, the configuration, a layer.

use std::time::Duration;

use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Depth;
use super::content::{self, Descriptor, Digest, Document};
use super::exchange::{Reply, drain};
use super::outcome::{BlobKind, BlobProbe, Fault, Manifest, Ping};
use super::target::Target;
use super::trail::millis;
use super::verdict::{Stage, Verdict};
use super::walk::{Walk, of_status};
use crate::registry::{RuntimeName, plan};

/// A manifest URL taken apart.
struct ManifestUrl<'a> {
    target: &'a Target,
    /// The path up to the repository.
    repository: &'a str,
    /// The tag or digest.
    reference: &'a str,
}

impl<'a> ManifestUrl<'a> {
    fn parse(target: &'a Target) -> Option<Self> {
        let (repository, reference) = target.bare_path().rsplit_once("/manifests/")?;
        Some(Self {
            target,
            repository,
            reference,
        })
    }

    /// The URL of other content of the same repository, with the same query.
    fn sibling(&self, kind: &str, digest: &Digest) -> Target {
        let query = self
            .target
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        self.target
            .at(format!("{}/{kind}/{digest}{query}", self.repository))
    }
}

/// What HEAD said.
enum Head {
    /// There is something, perhaps with its digest.
    Found(Option<Digest>),
    /// Another status; GET may say more.
    Status(StatusCode),
    /// The runtime does not ask HEAD.
    NotAsked,
}

impl Walk<'_> {
    /// Walks as deep as the options say. Success means that everything asked for was there.
    pub(super) async fn visit(
        &mut self,
        method: plan::Method,
        target: &Target,
    ) -> Result<(), Fault> {
        self.ping(target).await?;
        if self.options.depth == Depth::Ping {
            return Ok(());
        }
        let url = ManifestUrl::parse(target).ok_or_else(|| {
            Fault::new(
                Verdict::BadUrl,
                Stage::Manifest,
                "the URL names no manifest",
            )
        })?;
        let Some(document) = self.manifest(method, &url).await? else {
            return Ok(());
        };
        let image = match document {
            Document::Index(images) => {
                let platform = &self.options.platform;
                let chosen = content::choose(&images, platform).ok_or_else(|| {
                    Fault::new(
                        Verdict::NoPlatform,
                        Stage::Manifest,
                        format!("the index has no image for {platform}"),
                    )
                    .in_go("no match for platform in manifest")
                })?;
                if let Some(manifest) = &mut self.probe.manifest {
                    manifest.chosen = Some(chosen.digest.clone());
                }
                if self.options.depth < Depth::Blobs {
                    return Ok(());
                }
                self.image_of_index(&url, chosen).await?
            }
            image => image,
        };
        let Document::Image { config, layers } = image else {
            return Ok(());
        };
        if let Some(manifest) = &mut self.probe.manifest {
            manifest.layers = Some(layers.len());
            manifest.layer_bytes = Some(
                layers
                    .iter()
                    .fold(0, |sum, layer| layer.size.saturating_add(sum)),
            );
        }
        if self.options.depth < Depth::Blobs {
            return Ok(());
        }
        self.blob(&url, BlobKind::Config, &config).await?;
        match content::smallest(&layers) {
            Some(layer) => self.blob(&url, BlobKind::Layer, layer).await,
            None => Ok(()),
        }
    }

    /// `GET /v2/`. CRI-O insists on 200 or 401; for containerd, which never asks, it is only worth knowing.
    async fn ping(&mut self, target: &Target) -> Result<(), Fault> {
        let decides = self.options.depth == Depth::Ping || self.runtime != RuntimeName::Containerd;
        let reply = match self
            .send(&Method::GET, &target.at("/v2/"), None, None, Stage::Ping)
            .await
        {
            Ok(reply) => reply,
            Err(fault)
                if !decides
                    && matches!(
                        fault.verdict,
                        Verdict::Closed | Verdict::NotHttp | Verdict::BadResponse
                    ) =>
            {
                return Ok(());
            }
            // The connection stands and the peer is silent: the manifest is another request.
            Err(fault)
                if !decides && fault.at == Stage::Ping && fault.verdict == Verdict::Timeout =>
            {
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let (status, media_type) = (reply.status, reply.media_type());
        self.probe.over = Some(target.origin.scheme);
        self.probe.ping = Some(Ping {
            status: status.as_u16(),
            api_version: reply
                .header("docker-distribution-api-version")
                .map(str::to_owned),
            content_type: reply.header("content-type").map(str::to_owned),
        });
        if status == StatusCode::UNAUTHORIZED {
            self.probe.challenge = reply.challenges();
        }
        if !decides {
            // The body is read so that the connection can be used again.
            let _ = self.read(reply, Stage::Ping).await;
            return Ok(());
        }
        match status.as_u16() {
            200 if media_type == "text/html" => Err(self.page(Stage::Ping, &media_type)),
            200 | 401 => {
                let _ = self.read(reply, Stage::Ping).await;
                Ok(())
            }
            404 if self.options.depth == Depth::Ping => {
                let fault = self.refuse(reply, Stage::Ping).await;
                Err(Fault {
                    verdict: Verdict::NotARegistry,
                    ..fault
                })
            }
            _ => Err(self.refuse(reply, Stage::Ping).await),
        }
    }

    fn page(&mut self, at: Stage, media_type: &str) -> Fault {
        let detail = match media_type {
            "" => "it answers with a web page of no media type".to_owned(),
            media_type => format!("it answers with a web page ({media_type})"),
        };
        let fault = Fault::new(Verdict::NotARegistry, at, detail)
            .in_go(format!("unexpected media type {media_type}"));
        self.trail.spoil(&fault);
        fault
    }

    /// The manifest of the reference: HEAD as the runtime asks it, then the content.
    async fn manifest(
        &mut self,
        method: plan::Method,
        url: &ManifestUrl<'_>,
    ) -> Result<Option<Document>, Fault> {
        let at = Stage::Manifest;
        let accept = content::accept(self.runtime);
        let only_head = self.options.depth == Depth::Resolve;
        let head = if method == plan::Method::Head || only_head {
            self.head(url, &accept).await?
        } else {
            Head::NotAsked
        };
        if only_head && matches!(head, Head::Found(_)) {
            return Ok(None);
        }
        // containerd fetches by the digest that HEAD gave; otherwise the reference is all there is.
        let wanted = match &head {
            Head::Found(Some(digest)) => Some(digest.clone()),
            _ => Digest::parse(url.reference),
        };
        let target = match &wanted {
            Some(digest) => url.sibling("manifests", digest),
            None => url.target.clone(),
        };
        let reply = self
            .ask_as_user(&Method::GET, &target, Some(&accept), at)
            .await?;
        self.probe.over = Some(target.origin.scheme);
        if let Head::Status(status) = head {
            return Err(self.after_bad_head(status, reply).await);
        }
        if reply.status != StatusCode::OK {
            return Err(self.refuse(reply, at).await);
        }
        let (body, media_type) = self.document(reply, wanted.as_ref()).await?;
        let (document, stated) = match content::read(&body) {
            Ok(read) => read,
            Err(error) => {
                let fault = Fault::new(Verdict::BadResponse, at, error);
                self.trail.spoil(&fault);
                return Err(fault);
            }
        };
        let digest = Digest::of(&body).to_string();
        self.probe.digest = Some(digest.clone());
        let mut manifest = Manifest {
            media_type: if media_type.is_empty() {
                stated.unwrap_or_default()
            } else {
                media_type
            },
            size: body.len() as u64,
            digest: Some(digest),
            verified: true,
            platforms: Vec::new(),
            chosen: None,
            layers: None,
            layer_bytes: None,
        };
        if let Document::Index(images) = &document {
            let platforms = images.iter().filter_map(|image| image.platform.as_ref());
            manifest.platforms = platforms.map(ToString::to_string).take(64).collect();
        }
        self.probe.manifest = Some(manifest);
        Ok(Some(document))
    }

    async fn head(&mut self, url: &ManifestUrl<'_>, accept: &str) -> Result<Head, Fault> {
        let at = Stage::Manifest;
        let reply = self
            .ask_as_user(&Method::HEAD, url.target, Some(accept), at)
            .await?;
        self.probe.over = Some(url.target.origin.scheme);
        let media_type = reply.media_type();
        match reply.status.as_u16() {
            200 if media_type == "text/html" => Err(self.page(at, &media_type)),
            200 => {
                let digest = reply
                    .header("docker-content-digest")
                    .and_then(Digest::parse);
                self.probe.digest = digest.as_ref().map(ToString::to_string);
                Ok(Head::Found(digest))
            }
            // 405 makes containerd ask GET; the others are worth a GET for the words in its body.
            405 => Ok(Head::NotAsked),
            403 | 404 => Ok(Head::Status(reply.status)),
            _ => Err(self.refuse(reply, at).await),
        }
    }

    /// What a GET says after HEAD was turned down. The verdict is that of HEAD, because the runtime stops there.
    async fn after_bad_head(&mut self, status: StatusCode, reply: Reply) -> Fault {
        let at = Stage::Manifest;
        if reply.status == StatusCode::OK {
            let fault = match status {
                StatusCode::NOT_FOUND => Fault::new(
                    Verdict::HeadNotFound,
                    at,
                    "it answers 404 to HEAD and 200 to GET: a cache that the first GET fills",
                ),
                _ => Fault::new(
                    of_status(status),
                    at,
                    format!("it answers {status} to HEAD and 200 to GET"),
                ),
            };
            return fault.by_status(status);
        }
        let fault = self.refuse(reply, at).await;
        Fault {
            verdict: of_status(status),
            ..fault.by_status(status)
        }
    }

    /// The body of a manifest, checked against whatever digest is known.
    async fn document(
        &mut self,
        reply: Reply,
        wanted: Option<&Digest>,
    ) -> Result<(Vec<u8>, String), Fault> {
        let at = Stage::Manifest;
        let media_type = reply.media_type();
        let announced = reply
            .header("docker-content-digest")
            .and_then(Digest::parse);
        let encoding = reply.header("content-encoding").map(str::to_owned);
        let body = self.read(reply, at).await?;
        let fault = if body.is_empty() {
            Fault::new(Verdict::Truncated, at, "the manifest is empty")
                .in_go("reports content size of zero")
        } else if content::looks_like_html(&media_type, &body) {
            return Err(self.page(at, &media_type));
        } else if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
            Fault::new(
                Verdict::BadResponse,
                at,
                format!("its answer is encoded with {encoding}, which was not asked for"),
            )
        } else if let Some(expected) = wanted.or(announced.as_ref())
            && Digest::of(&body) != *expected
        {
            mismatch("manifest", at, &Digest::of(&body), expected)
        } else if self.runtime == RuntimeName::Containerd
            && !content::is_manifest_type(&media_type)
            // containerd takes this for schema 1.
            && media_type != "text/plain"
        {
            Fault::new(
                Verdict::BadResponse,
                at,
                format!("the media type `{media_type}` is not one of a manifest"),
            )
            .in_go(format!("unexpected media type {media_type}"))
        } else {
            return Ok((body, media_type));
        };
        self.trail.spoil(&fault);
        Err(fault)
    }

    /// The image manifest behind an index.
    async fn image_of_index(
        &mut self,
        url: &ManifestUrl<'_>,
        chosen: &Descriptor,
    ) -> Result<Document, Fault> {
        let at = Stage::Manifest;
        let digest = checked(chosen, at)?;
        let target = url.sibling("manifests", &digest);
        let accept = content::accept(self.runtime);
        let reply = self
            .ask_as_user(&Method::GET, &target, Some(&accept), at)
            .await?;
        if reply.status != StatusCode::OK {
            let fault = self.refuse(reply, at).await;
            let verdict = if fault.verdict == Verdict::NotFound {
                Verdict::BlobMissing
            } else {
                fault.verdict
            };
            return Err(Fault {
                verdict,
                detail: format!("the platform's manifest {digest}: {}", fault.detail),
                ..fault
            });
        }
        let (body, _) = self.document(reply, Some(&digest)).await?;
        let (document, _) =
            content::read(&body).map_err(|error| Fault::new(Verdict::BadResponse, at, error))?;
        Ok(document)
    }

    /// Fetches one blob in full and notes what came of it.
    async fn blob(
        &mut self,
        url: &ManifestUrl<'_>,
        kind: BlobKind,
        descriptor: &Descriptor,
    ) -> Result<(), Fault> {
        let started = Instant::now();
        let mut note = BlobProbe {
            digest: descriptor.digest.clone(),
            kind,
            size: descriptor.size,
            verdict: None,
            ms: 0,
            detail: String::new(),
        };
        if descriptor.size > self.options.limits.blob {
            note.detail = format!(
                "larger than {} bytes, so it was not fetched",
                self.options.limits.blob
            );
            self.probe.blobs.push(note);
            return Ok(());
        }
        let result = self.fetch(url, descriptor).await;
        note.ms = millis(started.elapsed());
        note.verdict = Some(Verdict::Serves);
        if let Err(fault) = &result {
            note.verdict = Some(fault.verdict);
            note.detail.clone_from(&fault.detail);
        }
        self.probe.blobs.push(note);
        result
    }

    async fn fetch(&mut self, url: &ManifestUrl<'_>, descriptor: &Descriptor) -> Result<(), Fault> {
        let at = Stage::Blob;
        let expected = checked(descriptor, at)?;
        let reply = self
            .ask_as_user(&Method::GET, &url.sibling("blobs", &expected), None, at)
            .await?;
        if reply.status != StatusCode::OK {
            let fault = self.refuse(reply, at).await;
            let verdict = if fault.verdict == Verdict::NotFound {
                Verdict::BlobMissing
            } else {
                fault.verdict
            };
            return Err(Fault { verdict, ..fault });
        }
        let (mut hash, mut length) = (Sha256::new(), 0u64);
        let stall: Duration = self.options.limits.stall;
        let take = |bytes: &[u8]| {
            hash.update(bytes);
            length += bytes.len() as u64;
        };
        let size = descriptor.size;
        let complete = drain(reply.body, size, stall, at, take).await;
        let found = Digest::from_hash(hash);
        // containerd reads as much as the manifest declares and does not mind what was promised beyond that.
        let enough = self.runtime == RuntimeName::Containerd && length == size && found == expected;
        let fault = match complete {
            Err(fault) if enough && fault.verdict == Verdict::Truncated => return Ok(()),
            Err(fault) => fault,
            Ok(false) => {
                let detail = format!("the blob is longer than the declared {size} bytes");
                Fault::new(Verdict::Corrupt, at, detail)
            }
            Ok(true) if length < size => {
                let detail = format!("the blob ends after {length} of {size} bytes");
                Fault::new(Verdict::Truncated, at, detail).in_go("unexpected EOF")
            }
            Ok(true) if found != expected => mismatch("blob", at, &found, &expected),
            Ok(true) => return Ok(()),
        };
        self.trail.spoil(&fault);
        Err(fault)
    }
}

/// The fault of content that is not what its digest promises.
fn mismatch(what: &str, at: Stage, found: &Digest, expected: &Digest) -> Fault {
    let detail = format!("the {what} has the digest {found}, not {expected}");
    let error = format!("unexpected commit digest {found}, expected {expected}");
    Fault::new(Verdict::Corrupt, at, detail).in_go(error)
}

/// The digest of a descriptor; it comes from outside and goes into a URL.
fn checked(descriptor: &Descriptor, at: Stage) -> Result<Digest, Fault> {
    Digest::parse(&descriptor.digest).ok_or_else(|| {
        Fault::new(
            Verdict::BadResponse,
            at,
            "the manifest names a digest that is none",
        )
    })
}
