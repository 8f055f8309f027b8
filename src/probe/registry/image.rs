//! What a pull asks an endpoint for: `/v2/`, the manifest by tag and by digest; configuration and layers are in `blob`.

use std::borrow::Cow;

use http::{Method, StatusCode};

use super::Depth;
use super::content::{self, Descriptor, Digest, Document};
use super::exchange::Reply;
use super::outcome::{BlobKind, Fault, Manifest, Ping};
use super::target::Target;
use super::verdict::{Stage, Verdict};
use super::walk::{Walk, of_status};
use crate::registry::{RuntimeName, plan};

/// A manifest URL taken apart.
pub(super) struct ManifestUrl<'a> {
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
    pub(super) fn sibling(&self, kind: &str, digest: &Digest) -> Target {
        let query = self
            .target
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        self.target
            .at(format!("{}/{kind}/{digest}{query}", self.repository))
    }
}

/// The largest manifest whose announcement containerd does not pass over: `MaxManifestSize` of its resolver.
const MAX_MANIFEST: u64 = 4 * 1048 * 1048;

/// What HEAD said.
enum Head {
    /// There is something, perhaps with its digest and its length.
    Found(Option<Digest>, Option<u64>),
    /// Another status; GET may say more.
    Status(StatusCode, String),
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
                    .in_go(match self.runtime {
                        RuntimeName::Crio => "no image found in image index",
                        _ => "no match for platform in manifest",
                    })
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
                .map(Cow::into_owned),
            content_type: reply.header("content-type").map(Cow::into_owned),
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

    /// Whether a status is a success to the runtime: containerd does not ask which of them it is.
    pub(super) fn takes(&self, status: StatusCode) -> bool {
        match self.runtime {
            RuntimeName::Containerd => status.is_success(),
            RuntimeName::Crio | RuntimeName::Docker => status == StatusCode::OK,
        }
    }

    fn page(&mut self, at: Stage, media_type: &str) -> Fault {
        let detail = match media_type {
            "" => "it answers with a web page of no media type".to_owned(),
            media_type => format!("it answers with a web page ({media_type})"),
        };
        let words = match self.runtime {
            RuntimeName::Containerd => format!("unexpected media type {media_type}"),
            _ => "invalid character '<' looking for beginning of value".to_owned(),
        };
        let fault = Fault::new(Verdict::NotARegistry, at, detail).in_go(words);
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
        if only_head && matches!(head, Head::Found(..)) {
            return Ok(None);
        }
        // containerd fetches by the digest that HEAD gave; otherwise the reference is all there is.
        let wanted = match &head {
            Head::Found(Some(digest), _) => Some(digest.clone()),
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
        if let Head::Status(status, line) = head {
            return Err(self.after_bad_head(status, line, reply).await);
        }
        if !self.takes(reply.status) {
            return Err(self.refuse(reply, at).await);
        }
        let size = match head {
            Head::Found(Some(_), size) => size,
            _ => None,
        };
        let (body, media_type) = self.document(reply, wanted.as_ref(), size).await?;
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
            200..=299 if self.takes(reply.status) && media_type == "text/html" => {
                Err(self.page(at, &media_type))
            }
            200..=299 if self.takes(reply.status) => {
                let announced = reply.header("content-length");
                let size = announced.and_then(|size| size.parse::<u64>().ok());
                if let Some(size) = size.filter(|size| *size > MAX_MANIFEST)
                    && self.runtime == RuntimeName::Containerd
                {
                    let detail = format!(
                        "it announces a manifest of {size} bytes, more than containerd takes ({MAX_MANIFEST})"
                    );
                    return Err(Fault::new(Verdict::ManifestTooLarge, at, detail)
                        .in_go(format!("rejecting {size} byte manifest")));
                }
                let header = reply.header("docker-content-digest");
                if let Some(header) = header.as_deref().filter(|header| !header.is_empty())
                    && size.is_some()
                    && self.runtime == RuntimeName::Containerd
                    && !content::is_digest(header)
                {
                    let detail = "its header Docker-Content-Digest holds no digest";
                    return Err(Fault::new(Verdict::BadResponse, at, detail)
                        .in_go("in header not a valid digest"));
                }
                let digest = header.and_then(|header| Digest::parse(&header));
                self.probe.digest = digest.as_ref().map(ToString::to_string);
                Ok(Head::Found(digest, size))
            }
            // 405 makes containerd ask GET; the others are worth a GET for the words in its body.
            405 => Ok(Head::NotAsked),
            403 | 404 => Ok(Head::Status(reply.status, reply.status_line())),
            _ => Err(self.refuse(reply, at).await),
        }
    }

    /// What a GET says after HEAD was turned down. The verdict is that of HEAD, because the runtime stops there.
    async fn after_bad_head(&mut self, status: StatusCode, line: String, reply: Reply) -> Fault {
        let at = Stage::Manifest;
        let decided = |fault: Fault| Fault {
            status: Some(status.as_u16()),
            error: Some(line.clone()),
            ..fault
        };
        if self.takes(reply.status) {
            let fault = match status {
                StatusCode::NOT_FOUND => Fault::new(
                    Verdict::HeadNotFound,
                    at,
                    "it answers 404 to HEAD and 200 to GET: a cache that the first GET fills",
                ),
                _ => Fault::new(
                    of_status(status),
                    at,
                    format!("it answers {line} to HEAD and 200 to GET"),
                ),
            };
            return decided(fault);
        }
        let fault = self.refuse(reply, at).await;
        Fault {
            verdict: of_status(status),
            ..decided(fault)
        }
    }

    /// The body of a manifest, checked against whatever digest and length are known.
    async fn document(
        &mut self,
        reply: Reply,
        wanted: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<(Vec<u8>, String), Fault> {
        let at = Stage::Manifest;
        let media_type = reply.media_type();
        // Of a tag containerd and CRI-O take the digest of what they get.
        let announced = reply
            .header("docker-content-digest")
            .filter(|_| self.runtime == RuntimeName::Docker)
            .and_then(|header| Digest::parse(&header));
        let encoding = reply.header("content-encoding").map(Cow::into_owned);
        let body = self.read(reply, at).await?;
        let fault = if body.is_empty() {
            // Who knows its digest reads it as content, who does not has nothing to go on.
            let error = match wanted {
                Some(_) => "unexpected EOF",
                None => "reports content size of zero",
            };
            let fault = Fault::new(Verdict::Truncated, at, "the manifest is empty");
            self.as_containerd(fault, error)
        } else if content::looks_like_html(&media_type, &body) {
            return Err(self.page(at, &media_type));
        } else if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
            Fault::new(
                Verdict::BadResponse,
                at,
                format!("its answer is encoded with {encoding}, which was not asked for"),
            )
        } else if let Some(size) = size.filter(|size| (body.len() as u64) < *size) {
            let detail = format!("the manifest ends after {} of {size} bytes", body.len());
            self.as_containerd(Fault::new(Verdict::Truncated, at, detail), "unexpected EOF")
        } else if let Some(expected) = wanted.or(announced.as_ref())
            && Digest::of(&body) != *expected
        {
            self.mismatch("manifest", at, &Digest::of(&body), expected)
        } else if self.runtime == RuntimeName::Containerd
            && media_type == "text/plain"
            && !matches!(content::read(&body), Ok((Document::SchemaOne, _)))
        {
            let detail =
                "the media type is `text/plain`, which containerd takes for docker's schema 1";
            Fault::new(Verdict::BadResponse, at, detail)
        } else if self.runtime == RuntimeName::Containerd
            && !content::is_manifest_type(&media_type)
            && media_type != "text/plain"
        {
            let detail = format!(
                "the media type `{media_type}` is not one of a manifest, so it is asked for as a blob"
            );
            Fault::new(Verdict::BadResponse, at, detail).in_go("could not fetch content descriptor")
        } else if self.runtime == RuntimeName::Crio
            && !content::is_manifest_type(&media_type)
            && !matches!(content::read(&body), Ok((Document::SchemaOne, _)))
        {
            let detail = format!(
                "the media type `{media_type}` is not one of a manifest, so CRI-O takes it for docker's schema 1"
            );
            Fault::new(Verdict::BadResponse, at, detail).in_go("unsupported schema version")
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
        if !self.takes(reply.status) {
            let fault = self.refuse_content(reply, at).await;
            return Err(Fault {
                detail: format!("the platform's manifest {digest}: {}", fault.detail),
                ..fault
            });
        }
        let (body, _) = self
            .document(reply, Some(&digest), Some(chosen.size))
            .await?;
        let (document, _) =
            content::read(&body).map_err(|error| Fault::new(Verdict::BadResponse, at, error))?;
        Ok(document)
    }
}

/// The digest of a descriptor; it comes from outside and goes into a URL.
pub(super) fn checked(descriptor: &Descriptor, at: Stage) -> Result<Digest, Fault> {
    Digest::parse(&descriptor.digest).ok_or_else(|| {
        Fault::new(
            Verdict::BadResponse,
            at,
            "the manifest names a digest that is none",
        )
    })
}
