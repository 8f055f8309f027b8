//! The honest registry: what distribution 2.8 answers to a reader (OCI distribution specification 1.1, pull).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::fault::On;
use super::http::{Request, Response, parameter};
use super::image::{Blob, Image};

/// Who may read.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// Who has the password.
    Basic {
        /// The user.
        user: String,
        /// Made up for the test, never a real one.
        password: String,
    },
    /// Who has a token; this same server gives them out.
    Bearer {
        /// User and password that the token endpoint wants; without them everybody gets a token.
        login: Option<(String, String)>,
        /// The realm that challenges name, when it is not this server's own.
        realm: Option<String>,
    },
}

/// How a request proved who it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    None,
    /// With the right password.
    Basic,
    /// With a wrong password.
    WrongBasic,
    /// With a token of this server.
    Bearer,
    /// With a token that this server did not give.
    WrongBearer,
    /// With an `Authorization` that is neither.
    Other,
}

/// What the registry holds.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Per repository and tag, the digest.
    tags: BTreeMap<(String, String), String>,
    /// Per repository and digest, the manifest.
    manifests: BTreeMap<(String, String), Blob>,
    /// Per repository and digest, the blob.
    blobs: BTreeMap<(String, String), Blob>,
}

impl Store {
    pub(super) fn add(&mut self, repository: &str, tag: &str, image: &Image) {
        self.tags.insert(
            (repository.to_owned(), tag.to_owned()),
            image.top.digest.clone(),
        );
        for manifest in image.manifests.iter().chain([&image.top]) {
            self.manifests.insert(
                (repository.to_owned(), manifest.digest.clone()),
                manifest.clone(),
            );
        }
        for blob in &image.blobs {
            self.blobs
                .insert((repository.to_owned(), blob.digest.clone()), blob.clone());
        }
    }

    /// The name under which a mirror keeps a repository of one registry namespace.
    pub(super) fn of_namespace(namespace: &str, repository: &str) -> String {
        format!("{namespace}/{repository}")
    }

    /// Where a repository stands: what is kept for the namespace asked for (`?ns=`) comes first.
    fn place(&self, repository: &str, request: &Request) -> String {
        let namespace = request
            .query
            .as_deref()
            .and_then(|query| parameter(query, "ns"));
        let own = namespace.map(|namespace| Self::of_namespace(&namespace, repository));
        let kept = own.filter(|own| self.tags.keys().any(|(known, _)| known == own));
        kept.unwrap_or_else(|| repository.to_owned())
    }

    pub(super) fn remove_blobs(&mut self, repository: &str) {
        self.blobs.retain(|(known, _), _| known != repository);
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Ping,
    Token,
    Manifest(String, String),
    Blob(String, String),
    Tags(String),
    Storage(String),
    Nothing,
}

impl Target {
    /// Reads a path below the registry's root (`/v2`).
    pub(super) fn of(root: &str, path: &str) -> Self {
        match path {
            "/token" => return Self::Token,
            _ => {
                if let Some(digest) = path.strip_prefix("/storage/") {
                    return Self::Storage(digest.to_owned());
                }
            }
        }
        let Some(rest) = path.strip_prefix(root) else {
            return Self::Nothing;
        };
        if rest == "/" {
            return Self::Ping;
        }
        let Some(rest) = rest.strip_prefix('/') else {
            return Self::Nothing;
        };
        let parts: Vec<_> = rest.split('/').collect();
        match parts.as_slice() {
            [name @ .., "manifests", reference] if !name.is_empty() => {
                Self::Manifest(name.join("/"), (*reference).to_owned())
            }
            [name @ .., "blobs", digest] if !name.is_empty() => {
                Self::Blob(name.join("/"), (*digest).to_owned())
            }
            [name @ .., "tags", "list"] if !name.is_empty() => Self::Tags(name.join("/")),
            _ => Self::Nothing,
        }
    }

    /// Where faults for this strike; a path that means nothing is struck by faults for anything.
    pub(super) fn on(&self) -> On {
        match self {
            Self::Ping => On::Ping,
            Self::Token => On::Token,
            Self::Manifest(..) => On::Manifest,
            Self::Blob(..) => On::Blob,
            Self::Tags(_) => On::Tags,
            Self::Storage(_) => On::Storage,
            Self::Nothing => On::Anything,
        }
    }
}

/// The registry's rules: who may read, and under which URL it is known.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) auth: Auth,
    pub(super) url: String,
}

impl Rules {
    /// Whether and how a request proved itself.
    pub(super) fn credentials(&self, request: &Request) -> Credentials {
        let Some(header) = request.header("authorization") else {
            return Credentials::None;
        };
        let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            let right = match &self.auth {
                Auth::Basic { user, password } => {
                    pair(value) == Some((user.clone(), password.clone()))
                }
                Auth::Bearer {
                    login: Some(login), ..
                } => pair(value).as_ref() == Some(login),
                _ => false,
            };
            return if right {
                Credentials::Basic
            } else {
                Credentials::WrongBasic
            };
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            let right = value.starts_with(TOKEN);
            return if right {
                Credentials::Bearer
            } else {
                Credentials::WrongBearer
            };
        }
        Credentials::Other
    }

    /// The challenge, if the request has to prove itself first.
    pub(super) fn challenge(&self, target: &Target, request: &Request) -> Option<Response> {
        if matches!(target, Target::Token | Target::Storage(_)) {
            return None;
        }
        let credentials = self.credentials(request);
        let challenge = match &self.auth {
            Auth::Open => return None,
            Auth::Basic { .. } if credentials == Credentials::Basic => return None,
            Auth::Basic { .. } => "Basic realm=\"fake registry\"".to_owned(),
            Auth::Bearer { .. } => {
                let scope = match target {
                    Target::Manifest(name, _) | Target::Blob(name, _) | Target::Tags(name) => {
                        Some(format!("repository:{name}:pull"))
                    }
                    _ => None,
                };
                let given = request
                    .header("authorization")
                    .and_then(|header| header.split_once(' '));
                let fits = scope
                    .as_deref()
                    .is_none_or(|scope| given.is_some_and(|(_, token)| token.ends_with(scope)));
                if credentials == Credentials::Bearer && fits {
                    return None;
                }
                self.bearer_challenge(scope.as_deref())
            }
        };
        Some(
            refusal(401, "UNAUTHORIZED", "authentication required")
                .header("Www-Authenticate", challenge),
        )
    }

    fn bearer_challenge(&self, scope: Option<&str>) -> String {
        let realm = match &self.auth {
            Auth::Bearer {
                realm: Some(realm), ..
            } => realm.clone(),
            _ => format!("{}/token", self.url),
        };
        let scope = scope
            .map(|scope| format!(",scope=\"{scope}\""))
            .unwrap_or_default();
        format!("Bearer realm=\"{realm}\",service=\"fake registry\"{scope}")
    }

    /// The token endpoint: GET with Basic credentials, or POST with a form (`grant_type=password`).
    fn token(&self, request: &Request) -> Response {
        let Auth::Bearer { login, .. } = &self.auth else {
            return not_found("NOT_FOUND", "no tokens here");
        };
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let given = match &*request.method {
            "POST" => parameter(&form, "username").zip(parameter(&form, "password")),
            _ => request
                .header("authorization")
                .and_then(|header| pair(header.split_once(' ')?.1)),
        };
        if login.is_some() && given != *login {
            return refusal(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let query = if request.method == "POST" {
            form
        } else {
            request.query.clone().unwrap_or_default()
        };
        // The token carries its scope, so that it fits nothing else.
        let token = format!("{TOKEN}{}", parameter(&query, "scope").unwrap_or_default());
        let body = json!({"token": token, "access_token": token, "expires_in": 300});
        Response::new(200).body("application/json", body.to_string())
    }
}

/// How tokens begin.
const TOKEN: &str = "fake-token-";

/// The honest answer to a request that may read.
pub(super) fn answer(store: &Store, rules: &Rules, target: &Target, request: &Request) -> Response {
    if !matches!(&*request.method, "GET" | "HEAD") && *target != Target::Token {
        return refusal(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    let response = match target {
        Target::Ping => Response::new(200).body("application/json", "{}"),
        Target::Token => return rules.token(request),
        Target::Manifest(repository, reference) => manifest(store, repository, reference, request),
        Target::Blob(repository, digest) => {
            let repository = store.place(repository, request);
            match store.blobs.get(&(repository, digest.clone())) {
                Some(found) => blob(found, request),
                None => not_found("BLOB_UNKNOWN", "blob unknown to registry"),
            }
        }
        Target::Storage(digest) => match store.blobs.values().find(|blob| blob.digest == *digest) {
            Some(found) => return blob(found, request),
            None => {
                return Response::new(404)
                    .body("application/xml", "<Error><Code>NoSuchKey</Code></Error>");
            }
        },
        Target::Tags(repository) => {
            let tags: Vec<_> = store
                .tags
                .keys()
                .filter(|(known, _)| known == repository)
                .map(|(_, tag)| tag.as_str())
                .collect();
            if tags.is_empty() {
                not_found("NAME_UNKNOWN", "repository name not known to registry")
            } else {
                Response::new(200).body(
                    "application/json",
                    json!({"name": repository, "tags": tags}).to_string(),
                )
            }
        }
        Target::Nothing => {
            Response::new(404).body("text/plain; charset=utf-8", "404 page not found\n")
        }
    };
    response.header("Docker-Distribution-Api-Version", "registry/2.0")
}

fn manifest(store: &Store, repository: &str, reference: &str, request: &Request) -> Response {
    let repository = &*store.place(repository, request);
    let digest = match store
        .tags
        .get(&(repository.to_owned(), reference.to_owned()))
    {
        Some(digest) => digest.as_str(),
        None => reference,
    };
    let Some(found) = store
        .manifests
        .get(&(repository.to_owned(), digest.to_owned()))
    else {
        return not_found("MANIFEST_UNKNOWN", "manifest unknown");
    };
    // distribution gives OCI only to those who name it; a wildcard is not enough.
    let accepted = request.headers("accept").flat_map(|value| value.split(','));
    let named = accepted
        .into_iter()
        .any(|kind| kind.split(';').next().map(str::trim) == Some(found.media_type));
    if found.media_type.contains("oci") && !named {
        return not_found(
            "MANIFEST_UNKNOWN",
            "OCI manifest found, but accept header does not support OCI manifests",
        );
    }
    Response::new(200)
        .header("Docker-Content-Digest", &found.digest)
        .header("Etag", format!("\"{}\"", found.digest))
        .body(found.media_type, found.bytes.clone())
}

fn blob(found: &Blob, request: &Request) -> Response {
    let length = found.bytes.len();
    let response = |status| {
        Response::new(status)
            .header("Docker-Content-Digest", &found.digest)
            .header("Accept-Ranges", "bytes")
            .header("Etag", format!("\"{}\"", found.digest))
    };
    match request
        .header("range")
        .and_then(|range| span(range, length))
    {
        Some((first, last)) => response(206)
            .header("Content-Range", format!("bytes {first}-{last}/{length}"))
            .body("application/octet-stream", found.bytes.slice(first..=last)),
        None => response(200).body("application/octet-stream", found.bytes.clone()),
    }
}

/// First and last byte of `bytes=0-0` or `bytes=5-`.
fn span(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = if last.is_empty() {
        length.checked_sub(1)?
    } else {
        last.parse().ok()?
    };
    (first <= last && first < length).then_some((first, last.min(length - 1)))
}

/// A status with the registry's JSON.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": message, "detail": null}]});
    Response::new(status).body("application/json", Bytes::from(format!("{body}\n")))
}

fn not_found(code: &str, message: &str) -> Response {
    refusal(404, code, message)
}

fn pair(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(path: &str, expected: Target) {
        assert_eq!(Target::of("/v2", path), expected, "{path}");
    }

    #[test]
    fn paths_mean_what_the_specification_says() {
        case("/v2/", Target::Ping);
        case("/v2", Target::Nothing);
        case(
            "/v2/a/b/manifests/1",
            Target::Manifest("a/b".into(), "1".into()),
        );
        case(
            "/v2/manifests/manifests/latest",
            Target::Manifest("manifests".into(), "latest".into()),
        );
        case(
            "/v2/a/blobs/sha256:0",
            Target::Blob("a".into(), "sha256:0".into()),
        );
        case("/v2/a/tags/list", Target::Tags("a".into()));
        case("/v2/manifests/1", Target::Nothing);
        case("/library/a/manifests/1", Target::Nothing);
        case("/token", Target::Token);
    }

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        assert_eq!(span("bytes=0-0", 10), Some((0, 0)));
        assert_eq!(span("bytes=5-", 10), Some((5, 9)));
        assert_eq!(span("bytes=5-99", 10), Some((5, 9)));
        assert_eq!(span("bytes=10-11", 10), None);
        assert_eq!(span("bytes=0-", 0), None);
    }
}
