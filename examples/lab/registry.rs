//! The registries of a lab: what kinds there are, how each is started, where it listens.
//!
//! Those that hold something are Debian's `docker-registry`, pushed to through its own API; those that misbehave are
//! `lab serve` (see `faulty`). All of them listen on a free port of 127.0.0.1, which the kernel picks.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::certs::{self, Authority};
use crate::control::{self, Program};
use crate::error::{Doing, Result};
use crate::http;
use crate::image::Image;
use crate::place::Place;

const UP: Duration = Duration::from_secs(20);

/// A kind of registry, by what is right or wrong with it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Plain HTTP, and everything is there.
    Good,
    /// TLS by the lab's CA, which the node is told about.
    Tls,
    /// TLS by a CA that nobody is told about.
    UnknownCa,
    /// TLS by the lab's CA, but the certificate has expired.
    Expired,
    /// TLS by the lab's CA, but the certificate is another host's.
    WrongHost,
    /// Plain HTTP; the same tags with other digests.
    Stale,
    /// Plain HTTP; nothing is there.
    Empty,
    /// Nobody listens at this address.
    Down,
    /// Accepts connections and never answers.
    Hang,
    /// Answers 401 and wants a password.
    Unauthorized,
    /// Answers 403.
    Forbidden,
    /// Answers 429 with Retry-After.
    Busy,
    /// Answers 500.
    Broken,
    /// Answers 200 with a login page.
    Html,
}

impl Kind {
    /// All.
    pub const ALL: [Kind; 14] = [
        Kind::Good,
        Kind::Tls,
        Kind::UnknownCa,
        Kind::Expired,
        Kind::WrongHost,
        Kind::Stale,
        Kind::Empty,
        Kind::Down,
        Kind::Hang,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::Busy,
        Kind::Broken,
        Kind::Html,
    ];

    /// The word on the command line, and the first label of the upstream name behind which it stands.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Good => "good",
            Kind::Tls => "tls",
            Kind::UnknownCa => "unknown-ca",
            Kind::Expired => "expired",
            Kind::WrongHost => "wrong-host",
            Kind::Stale => "stale",
            Kind::Empty => "empty",
            Kind::Down => "down",
            Kind::Hang => "hang",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::Busy => "busy",
            Kind::Broken => "broken",
            Kind::Html => "html",
        }
    }

    /// What is in it, where it is a registry at all.
    fn content(self) -> Option<Content> {
        match self {
            Kind::Good | Kind::Tls | Kind::UnknownCa | Kind::Expired | Kind::WrongHost => {
                Some(Content::Fresh)
            }
            Kind::Stale => Some(Content::Stale),
            Kind::Empty => Some(Content::Nothing),
            Kind::Down
            | Kind::Hang
            | Kind::Unauthorized
            | Kind::Forbidden
            | Kind::Busy
            | Kind::Broken
            | Kind::Html => None,
        }
    }

    /// What its certificate is like and whether the lab's CA signed it, where it speaks TLS.
    fn tls(self) -> Option<(certs::Kind, Signer)> {
        match self {
            Kind::Tls => Some((certs::Kind::Good, Signer::Lab)),
            Kind::UnknownCa => Some((certs::Kind::Good, Signer::Nobody)),
            Kind::Expired => Some((certs::Kind::Expired, Signer::Lab)),
            Kind::WrongHost => Some((certs::Kind::WrongHost, Signer::Lab)),
            _ => None,
        }
    }

    /// What a pull of a tag through it alone brings.
    pub fn serves(self) -> Option<Content> {
        match self {
            Kind::Good | Kind::Tls | Kind::Stale => self.content(),
            _ => None,
        }
    }
}

/// A set of images that registries share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// What the upstream has.
    Fresh,
    /// The same tags with other digests.
    Stale,
    /// Nothing.
    Nothing,
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Content::Fresh => "fresh",
            Content::Stale => "stale",
            Content::Nothing => "nothing",
        }
    }
}

/// Who signed a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    /// The CA whose certificate the node has.
    Lab,
    /// A CA that nobody knows.
    Nobody,
}

/// A registry that was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// What is right or wrong with it.
    pub kind: Kind,
    /// `http://127.0.0.1:41000`
    pub url: String,
    /// `127.0.0.1:41000`
    pub address: SocketAddr,
    /// The CA certificate that the node is told to use for it, as the node names the file.
    pub ca: Option<String>,
    /// The certificate of the CA that signed its own, where it speaks TLS.
    pub signed_by: Option<PathBuf>,
    /// Its log, with a line per request where it is a `docker-registry`.
    pub log: PathBuf,
    /// The process, for `lab signal` and `lab restart`.
    pub process: String,
}

/// Where the node has the lab's CA certificate.
pub const CA: &str = "/etc/containerd/lab-ca.pem";

/// The two authorities, and where their certificates are.
pub struct Authorities {
    lab: Authority,
    nobody: Authority,
    dir: PathBuf,
}

impl Authorities {
    /// Makes them; the node gets the certificate of one.
    ///
    /// # Errors
    /// No keys can be made, or the file system refuses.
    pub fn new(place: &Place) -> Result<Self> {
        let authorities = Self {
            lab: Authority::new("criscope lab CA")?,
            nobody: Authority::new("a CA that nobody knows")?,
            dir: place.dir.join("registry"),
        };
        let at_the_node = place.host_root().join(CA.trim_start_matches('/'));
        for (path, authority) in [
            (at_the_node, &authorities.lab),
            (authorities.path(Signer::Lab), &authorities.lab),
            (authorities.path(Signer::Nobody), &authorities.nobody),
        ] {
            fs::write(&path, authority.pem()).doing(|| format!("write {}", path.display()))?;
        }
        Ok(authorities)
    }

    fn of(&self, signer: Signer) -> &Authority {
        match signer {
            Signer::Lab => &self.lab,
            Signer::Nobody => &self.nobody,
        }
    }

    fn path(&self, signer: Signer) -> PathBuf {
        self.dir.join(match signer {
            Signer::Lab => "ca.pem",
            Signer::Nobody => "unknown-ca.pem",
        })
    }
}

/// Starts one registry of each kind. Returns them with the programs that they are.
///
/// # Errors
/// One of them does not come up.
pub fn start_all(
    place: &Place,
    authorities: &Authorities,
) -> Result<(Vec<Registry>, Vec<Program>)> {
    let mut programs = Vec::new();
    for kind in Kind::ALL {
        let program = program(place, kind, authorities)?;
        control::start(place, &program)?;
        programs.push(program);
    }
    let mut registries = Vec::new();
    for (kind, program) in Kind::ALL.into_iter().zip(&programs) {
        let address = control::wait_for(place, program, UP, "listen", || listening(&program.log))?;
        let scheme = if kind.tls().is_some() {
            "https"
        } else {
            "http"
        };
        let signer = kind.tls().map(|(_, signer)| signer);

        registries.push(Registry {
            kind,
            url: format!("{scheme}://{address}"),
            address,
            ca: (signer == Some(Signer::Lab)).then(|| CA.to_owned()),
            signed_by: signer.map(|signer| authorities.path(signer)),
            log: program.log.clone(),
            process: program.name.clone(),
        });
    }
    // Those on a fixed port from now on can be restarted and are found again.
    for (registry, program) in registries.iter().zip(&mut programs) {
        pin(place, registry, program)?;
    }
    Ok((registries, programs))
}

/// Pushes images into the registries that share `content`.
///
/// # Errors
/// The registry refuses.
pub fn push(registries: &[Registry], content: Content, images: &[Image]) -> Result<()> {
    let by_http = |registry: &&Registry| {
        registry.kind.content() == Some(content) && registry.kind.tls().is_none()
    };
    // They share one directory, so that one of them is enough.
    if let Some(registry) = registries.iter().find(by_http) {
        for image in images {
            http::push(registry.address, image)?;
        }
    }
    Ok(())
}

fn program(place: &Place, kind: Kind, authorities: &Authorities) -> Result<Program> {
    let name = format!("registry-{}", kind.name());
    let log = place.log(&name);
    let dir = place.dir.join("registry");
    let argv = match kind.content() {
        Some(content) => {
            let tls = match kind.tls() {
                Some((certificate, signer)) => Some(authorities.of(signer).issue(
                    certificate,
                    kind.name(),
                    &dir,
                )?),
                None => None,
            };
            let storage = dir.join(content.name());
            fs::create_dir_all(&storage).doing(|| format!("make {}", storage.display()))?;
            let config = config_path(place, kind);
            let text = config_text(&storage, "127.0.0.1:0", tls.as_ref());
            fs::write(&config, text).doing(|| format!("write {}", config.display()))?;
            vec![
                "/usr/bin/docker-registry".to_owned(),
                "serve".to_owned(),
                config.display().to_string(),
            ]
        }
        None => {
            let myself =
                std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
            vec![
                myself.display().to_string(),
                "serve".to_owned(),
                kind.name().to_owned(),
                "0".to_owned(),
            ]
        }
    };
    Ok(Program {
        name,
        argv,
        env: Vec::new(),
        log,
    })
}

/// Makes a program that was given any port ask for the one that it got.
fn pin(place: &Place, registry: &Registry, program: &mut Program) -> Result<()> {
    if registry.kind.content().is_some() {
        let config = config_path(place, registry.kind);
        let text = fs::read_to_string(&config).doing(|| format!("read {}", config.display()))?;
        let text = text.replace("127.0.0.1:0", &registry.address.to_string());
        fs::write(&config, text).doing(|| format!("write {}", config.display()))?;
    } else if let Some(port) = program.argv.last_mut() {
        *port = registry.address.port().to_string();
    }
    Ok(())
}

fn config_path(place: &Place, kind: Kind) -> PathBuf {
    place.dir.join(format!("registry/{}.yml", kind.name()))
}

fn config_text(storage: &Path, address: &str, tls: Option<&(PathBuf, PathBuf)>) -> String {
    let mut text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n  secret: lab\n",
        storage.display()
    );
    if let Some((certificate, key)) = tls {
        text.push_str(&format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            certificate.display(),
            key.display()
        ));
    }
    text
}

/// The address in a log's line "listening on 127.0.0.1:41000".
fn listening(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let (_, behind) = text.split_once("listening on ")?;
    let end =
        behind.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')?;
    behind[..end].parse().ok()
}
