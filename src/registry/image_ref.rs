//! An image reference, parsed once: domain, path, tag and digest, as every container runtime normalises them.
//!
//! The grammar is that of the distribution project's `reference` package (containerd `ParseDockerRef`, dockerd and
//! CRI-O's `docker://` transport share it). Looking names up in alias tables is CRI-O's own business and lives in
//! [`super::registries_conf`]; this room only remembers whether a registry was named.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Docker Hub's name in a normalised reference.
pub const DOCKER_HUB: &str = "docker.io";
/// The host that serves Docker Hub.
pub const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// The longest repository name that the runtimes accept, in bytes.
const MAX_NAME: usize = 255;
/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// What is wrong with an image reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// Nothing was given.
    #[error("an image reference cannot be empty")]
    Empty,
    /// It begins with `https://` or `docker://`.
    #[error("`{0}://` does not belong in an image reference: write `registry.example/path:tag`")]
    Scheme(String),
    /// The repository has capital letters.
    #[error("repository name `{0}` must be lowercase")]
    Uppercase(String),
    /// A part between slashes breaks the grammar.
    #[error(
        "`{0}` is not a valid part of a repository name: lowercase letters, digits and single separators only"
    )]
    Component(String),
    /// What stands before the first slash is not a host name with an optional port.
    #[error("`{0}` is not a valid registry host")]
    Domain(String),
    /// The tag breaks the grammar.
    #[error(
        "`{0}` is not a valid tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
    )]
    Tag(String),
    /// The digest breaks the grammar or has the wrong length.
    #[error("`{0}` is not a valid digest: {1}")]
    Digest(String, &'static str),
    /// The name is longer than a registry stores.
    #[error("repository name must not be more than 255 characters, but it has {0}")]
    TooLong(usize),
    /// 64 hexadecimal digits are an image id.
    #[error("64 hexadecimal digits are an image id, not a reference")]
    ImageId,
}

/// An image reference in its parts.
///
/// `Display` gives the normalised form: `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    typed: String,
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
    domain_typed: bool,
}

impl ImageRef {
    /// What was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The registry namespace, with its port if it has one: `docker.io`, `reg.example:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository below the domain: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag that was written, if any. A reference with neither tag nor digest means [`ImageRef::object`] `latest`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if any: `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Whether a registry was named; `nginx` and `library/nginx` are short.
    pub fn is_short(&self) -> bool {
        !self.domain_typed
    }

    /// What is asked for below `/manifests/`: the digest where there is one (the tag is then ignored by every
    /// runtime), else the tag, else `latest`.
    pub fn object(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest,
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// The repository with its domain, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The same object in another repository, as CRI-O rewrites a reference for a mirror. `None` if `name` is not a
    /// repository name with a domain.
    pub fn renamed(&self, name: &str) -> Option<Self> {
        let (domain, path) = name.split_once('/')?;
        if !valid_domain(domain) || check_path(path).is_err() {
            return None;
        }
        Some(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            domain_typed: true,
            ..self.clone()
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        match (&self.tag, &self.digest) {
            (None, None) => f.write_str(":latest"),
            (tag, digest) => {
                if let Some(tag) = tag {
                    write!(f, ":{tag}")?;
                }
                if let Some(digest) = digest {
                    write!(f, "@{digest}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for ImageRef {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Self, Error> {
        if typed.is_empty() {
            return Err(Error::Empty);
        }
        if let Some((scheme, _)) = typed.split_once("://") {
            return Err(Error::Scheme(scheme.to_owned()));
        }
        if typed.len() == 64
            && typed
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(Error::ImageId);
        }
        let (rest, digest) = match typed.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (typed, None),
        };
        // A colon after the last slash begins a tag; one before it is a port.
        let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[after_slash..].rfind(':') {
            Some(colon) => (
                &rest[..after_slash + colon],
                Some(&rest[after_slash + colon + 1..]),
            ),
            None => (rest, None),
        };
        let (domain, path) = split_domain(name);
        let domain_typed = domain.is_some();
        let mut domain = domain.unwrap_or(DOCKER_HUB);
        if domain == "index.docker.io" {
            domain = DOCKER_HUB;
        }
        if !valid_domain(domain) {
            return Err(Error::Domain(domain.to_owned()));
        }
        check_path(path)?;
        let path = if domain == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if let Some(tag) = tag.filter(|tag| !valid_tag(tag)) {
            return Err(Error::Tag(tag.to_owned()));
        }
        if let Some(digest) = digest {
            check_digest(digest)?;
        }
        let length = domain.len() + 1 + path.len();
        if length > MAX_NAME {
            return Err(Error::TooLong(length));
        }
        Ok(Self {
            typed: typed.to_owned(),
            domain: domain.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            domain_typed,
        })
    }
}

/// Cuts the registry off a name. The first part is a registry only if it looks like one: with a dot or a port,
/// `localhost`, or with capital letters (which no repository may have).
fn split_domain(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

/// Whether this is `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, after)) => {
                let valid =
                    !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
                return valid
                    && (after.is_empty() || after.strip_prefix(':').is_some_and(valid_port));
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    port.is_none_or(valid_port)
        && host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn valid_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn check_path(path: &str) -> Result<(), Error> {
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(Error::Uppercase(path.to_owned()));
    }
    match path
        .split('/')
        .find(|component| !valid_component(component))
    {
        Some(component) => Err(Error::Component(component.to_owned())),
        None => Ok(()),
    }
}

/// Lowercase letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    bytes
        .split(|&b| alphanumeric(b))
        .all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|&b| b == b'-'),
        })
}

fn valid_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && tag
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn check_digest(digest: &str) -> Result<(), Error> {
    let wrong = |why| Err(Error::Digest(digest.to_owned(), why));
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return wrong("the form is `sha256:` and 64 hexadecimal digits");
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return wrong("the algorithm is not sha256, sha384 or sha512"),
    };
    if hex.len() != length {
        return wrong("the number of hexadecimal digits is wrong for the algorithm");
    }
    if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return wrong("only lowercase hexadecimal digits follow the colon");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn normal(typed: &str, expected: &str) {
        let parsed: ImageRef = typed.parse().unwrap();
        assert_eq!(parsed.to_string(), expected);
        assert_eq!(parsed.typed(), typed);
        let again: ImageRef = expected.parse().unwrap();
        assert_eq!(again.to_string(), expected, "the normal form is stable");
    }

    #[track_caller]
    fn wrong(typed: &str, expected: &str) {
        let error = typed.parse::<ImageRef>().unwrap_err().to_string();
        assert!(error.contains(expected), "{typed}: {error}");
    }

    #[test]
    fn normal_forms() {
        normal("nginx", "docker.io/library/nginx:latest");
        normal("nginx:1.25", "docker.io/library/nginx:1.25");
        normal("grafana/grafana", "docker.io/grafana/grafana:latest");
        normal("docker.io/nginx", "docker.io/library/nginx:latest");
        normal("index.docker.io/nginx", "docker.io/library/nginx:latest");
        normal(
            "registry-1.docker.io/library/nginx",
            "registry-1.docker.io/library/nginx:latest",
        );
        normal("quay.io/a/b:v1", "quay.io/a/b:v1");
        normal("reg.test:5000/a", "reg.test:5000/a:latest");
        normal("localhost/a", "localhost/a:latest");
        normal("localhost:5000/a:1", "localhost:5000/a:1");
        normal("[::1]:5000/a:1", "[::1]:5000/a:1");
        normal("REG.example/a", "REG.example/a:latest");
        normal("local-registry/a", "docker.io/local-registry/a:latest");
        normal("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest");
        normal(
            &format!("nginx@{DIGEST}"),
            &format!("docker.io/library/nginx@{DIGEST}"),
        );
        normal(
            &format!("nginx:1@{DIGEST}"),
            &format!("docker.io/library/nginx:1@{DIGEST}"),
        );
    }

    #[test]
    fn errors_say_what_is_wrong() {
        wrong("", "cannot be empty");
        wrong("https://reg/a", "`https://` does not belong");
        wrong("docker://nginx", "`docker://`");
        wrong("Nginx", "must be lowercase");
        wrong("quay.io/Acme/tool", "must be lowercase");
        wrong("nginx:", "not a valid tag");
        wrong("nginx:.x", "not a valid tag");
        wrong(&format!("nginx:{}", "x".repeat(129)), "not a valid tag");
        wrong("nginx@sha256:12", "number of hexadecimal digits");
        wrong("nginx@md5:12", "algorithm");
        wrong("nginx@12", "the form is");
        wrong(
            &format!("nginx@{}", DIGEST.to_uppercase().replace("SHA", "sha")),
            "only lowercase",
        );
        wrong("a//b", "`` is not a valid part");
        wrong("a_-b", "not a valid part");
        wrong("reg.test:port/a", "not a valid registry host");
        wrong("-x.y/a", "not a valid registry host");
        wrong(&format!("reg.test/{}", "a".repeat(250)), "more than 255");
        wrong(&"ab".repeat(32), "image id");
        wrong("na\u{308}me", "not a valid part");
    }

    #[test]
    fn what_is_asked_for() {
        let object = |typed: &str| typed.parse::<ImageRef>().unwrap().object().to_owned();
        assert_eq!(object("nginx"), "latest");
        assert_eq!(object("nginx:1"), "1");
        assert_eq!(object(&format!("nginx:1@{DIGEST}")), DIGEST);
    }

    #[test]
    fn short_names() {
        assert!("nginx".parse::<ImageRef>().unwrap().is_short());
        assert!("a/b".parse::<ImageRef>().unwrap().is_short());
        assert!(!"docker.io/a/b".parse::<ImageRef>().unwrap().is_short());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<ImageRef>();
        }

        #[test]
        fn display_parses_back(text in "([a-zA-Z0-9.-]{1,12}(:[0-9]{1,5})?/)?[a-z0-9._/-]{1,20}(:[\\w.-]{1,8})?") {
            if let Ok(parsed) = text.parse::<ImageRef>() {
                let shown = parsed.to_string();
                let again: ImageRef = shown.parse().unwrap();
                prop_assert_eq!(&again.to_string(), &shown);
                prop_assert_eq!(again.domain(), parsed.domain());
                prop_assert_eq!(again.path(), parsed.path());
                prop_assert_eq!(again.object(), parsed.object());
            }
        }
    }
}
