//! `lab up`: from packages to a node with pods.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::mpsc;

use rustix::process::Signal;

use crate::config::{self, Cri, Settings, Style};
use crate::control;
use crate::daemon;
use crate::document::Document;
use crate::error::{Doing, Error, Result};
use crate::fetch::{Cache, Freshness, Package};
use crate::generation::{Generation, Suite};
use crate::image::Builder;
use crate::keeper::{Keeper, Signals};
use crate::place::Place;
use crate::pods;
use crate::pullable::Pullable;
use crate::registry::{self, Authorities, Content, Kind};
use crate::speech::tell;

/// What a node is made of besides its containerd, from the suite on which everything has to run.
const BASE: [&str; 4] = [
    "runc",
    "containernetworking-plugins",
    "docker-registry",
    "busybox-static",
];

/// What kind of node.
#[derive(Debug, Clone, clap::Args)]
pub struct Wish {
    /// Which containerd: 1.4 speaks v1alpha2 only, 2 is Debian testing's
    #[arg(long, value_name = "GENERATION", default_value = "1.6")]
    pub generation: Generation,
    /// How many pods; 0 without CRI, else 3, unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=250))]
    pub pods: Option<u16>,
    /// How mirrors are configured; `hosts`, with 1.4 `mirrors`, unless said
    #[arg(long, value_name = "STYLE")]
    pub config_style: Option<Style>,
    /// What is behind registry.lab.test
    #[arg(long, value_name = "KIND", default_value = "good")]
    pub mirror: Kind,
    /// What becomes of the daemon's CRI service
    #[arg(long, value_name = "STATE", default_value = "enabled")]
    pub cri: Cri,
    /// Import this file into config.toml; may be given several times
    #[arg(long, value_name = "FILE")]
    pub extra: Vec<PathBuf>,
    /// Kill the daemon in the end: its socket and its pods stay
    #[arg(long)]
    pub stale: bool,
}

/// Whether a lab outlives the command that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It ends with stdin, or with a signal.
    Held,
    /// It ends with `lab down`.
    Detached,
}

/// Makes a lab, shows it, and holds it.
///
/// # Errors
/// Nothing is left of a lab that could not be made.
pub fn up(wish: &Wish, life: Life, show: impl Fn(&Document) -> Result<()>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let cache = Cache::open()?;
    let mut packages = cache.fetch(wish.generation.suite(), &["containerd"], Freshness::Cached)?;
    packages.extend(cache.fetch(Suite::Bookworm, &BASE, Freshness::Cached)?);
    let roots: Vec<PathBuf> = packages
        .iter()
        .map(|package| package.root.clone())
        .collect();

    let (keeper, place) = Keeper::start(&roots)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let made = runtime
        .doing(|| "start the asynchronous runtime".to_owned())
        .and_then(|runtime| runtime.block_on(node(wish, &place, packages)))
        .and_then(|document| show(&document));
    match (made, life) {
        (Err(error), _) => {
            keeper.end()?;
            Err(error)
        }
        (Ok(()), Life::Detached) => keeper.detach(),
        (Ok(()), Life::Held) => hold(keeper),
    }
}

/// Makes what the keeper's empty node is to hold.
async fn node(wish: &Wish, place: &Place, packages: Vec<Package>) -> Result<Document> {
    let style = wish
        .config_style
        .unwrap_or(match wish.generation.reads_hosts_toml() {
            true => Style::Hosts,
            false => Style::Mirrors,
        });
    let count = match (wish.cri, wish.pods) {
        (Cri::Enabled, pods) => pods.map_or(3, usize::from),
        (_, None | Some(0)) => 0,
        (_, Some(_)) => return Err(Error::Usage("without CRI there are no pods".to_owned())),
    };
    let package = |name: &str| {
        let found = packages.iter().find(|package| package.name == name);
        found
            .map(|package| package.root.clone())
            .unwrap_or_default()
    };
    let builder = Builder::new(&package("busybox-static"))?;
    let (registries, mut programs) = registry::start_all(place, &Authorities::new(place)?)?;
    let upstreams = config::upstreams(&registries, wish.mirror);
    config::write(
        place,
        &Settings {
            generation: wish.generation,
            style,
            cri: wish.cri,
            upstreams: &upstreams,
            imports: !wish.extra.is_empty(),
        },
    )?;
    import_files(place, &wish.extra)?;

    programs.push(daemon::start_resolver(place)?);
    daemon::start(place, wish.cri).await?;
    programs.push(daemon::program(place));
    let images = Pullable::build(&builder);
    registry::push(&registries, Content::Fresh, &images.fresh)?;
    registry::push(&registries, Content::Stale, &images.stale)?;

    let mut made = Vec::new();
    if wish.cri == Cri::Enabled {
        daemon::import(place, wish.generation, &pods::images(&builder)).await?;
        let client = daemon::client(place).await?;
        made = pods::make(place, &client, count).await?;
    }
    let version = daemon::version(place, &package("containerd")).await?;
    if wish.stale {
        control::stop(place, daemon::NAME, Signal::KILL)?;
    }
    let config = place.host_root().join("etc/containerd");
    let document = Document {
        name: place.name(),
        dir: place.dir.clone(),
        endpoint: format!("unix://{}", place.socket().display()),
        socket: place.socket(),
        generation: wish.generation.to_string(),
        version,
        pid: control::pid(place, daemon::NAME)?,
        node_pid: place.node_pid(),
        host_root: place.host_root(),
        config_path: config.join("config.toml"),
        certs_d: (style == Style::Hosts).then(|| config.join("certs.d")),
        log: place.log(daemon::NAME),
        config_style: style,
        cri: wish.cri,
        mirror: wish.mirror,
        images: images.promises(wish.generation, style, &upstreams, &registries),
        registries,
        pods: made,
        packages,
        programs,
    };
    document.write(place)?;
    Ok(document)
}

fn import_files(place: &Place, files: &[PathBuf]) -> Result<()> {
    for (number, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).doing(|| format!("read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("etc/containerd/conf.d/{number:02}-{name}");
        config::put(&place.host_root().join(path), &text)?;
    }
    Ok(())
}

/// What a held lab waits for.
enum Event {
    /// Stdin ended, or a signal came.
    Asked,
    /// The keeper ended, and how.
    Ended(Result<()>),
}

/// Holds a lab until stdin ends or a signal comes, and sees it to its end.
fn hold(mut keeper: Keeper) -> Result<()> {
    let signals = Signals::catch().doing(|| "catch signals".to_owned())?;
    if std::io::stdin().is_terminal() {
        tell("the lab is up until Ctrl-C");
    }
    let (send, events) = mpsc::channel();
    let asked = send.clone();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin();
        while stdin.read(&mut [0; 256]).is_ok_and(|read| read > 0) {}
        asked.send(Event::Asked).unwrap_or_default();
    });
    let signalled = send.clone();
    std::thread::spawn(move || {
        signals.wait();
        signalled.send(Event::Asked).unwrap_or_default();
    });
    let mut leash = keeper.leash();
    std::thread::spawn(move || send.send(Event::Ended(keeper.end())).unwrap_or_default());
    loop {
        match events.recv() {
            Ok(Event::Asked) => drop(leash.take()),
            Ok(Event::Ended(how)) if leash.is_none() => return how,
            // `lab down`, or somebody killed the node.
            Ok(Event::Ended(how)) => {
                tell("the lab was ended from outside");
                return how;
            }
            Err(_) => return Ok(()),
        }
    }
}
