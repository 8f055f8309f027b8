//! containerd itself: starting it, waiting until it answers, giving it images, stopping it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::config::{Cri, UPSTREAM};
use crate::control::{self, Program, State};
use crate::error::{Doing, Error, Result, run};
use crate::generation::Generation;
use crate::image::{self, Image};
use crate::place::Place;
use crate::resolver;
use criscope::client::{Client, Error as Refusal, Options, containerd::CRI_NAMESPACE};
use criscope::cri;
use criscope::endpoint::Endpoint;

/// What the daemon is called among the node's programs.
pub const NAME: &str = "containerd";

const UP: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(30);

/// The daemon as a program of the node: with the defaults of the field, so without arguments.
pub fn program(place: &Place) -> Program {
    Program {
        name: NAME.to_owned(),
        argv: vec!["/usr/bin/containerd".to_owned()],
        // Its temporary mount points; a killed daemon leaves them in the node's own /run, not in everybody's /tmp.
        env: vec![("TMPDIR".to_owned(), "/run".to_owned())],
        log: place.log(NAME),
    }
}

/// Starts the nameserver and waits until it listens.
///
/// # Errors
/// It does not.
pub fn start_resolver(place: &Place) -> Result<Program> {
    let myself = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
    let program = Program {
        name: "resolver".to_owned(),
        argv: vec![
            myself.display().to_string(),
            "resolve".to_owned(),
            resolver::address(place.number).to_string(),
        ],
        env: Vec::new(),
        log: place.log("resolver"),
    };
    control::start(place, &program)?;
    let listens = || {
        fs::read_to_string(&program.log)
            .ok()
            .filter(|log| log.contains("listening"))
    };
    control::wait_for(place, &program, UP, "listen", listens)?;
    Ok(program)
}

/// Starts the daemon and waits until it answers.
///
/// # Errors
/// It ends, or does not answer: the end of its log is shown.
pub async fn start(place: &Place, cri: Cri) -> Result<()> {
    let program = program(place);
    control::start(place, &program)?;
    let end = Instant::now() + UP;
    loop {
        if answers(place, cri).await {
            return Ok(());
        }
        let what = match control::look(place, NAME)? {
            State::Ended(how) => format!("containerd ended with {how}"),
            State::Runs if Instant::now() > end => {
                format!("containerd did not answer in {UP:?}")
            }
            State::Runs => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        return Err(Error::Node {
            what,
            log: program.log,
        });
    }
}

/// A client of the daemon, over the socket as it is seen outside the node.
///
/// # Errors
/// Nobody listens.
pub async fn client(place: &Place) -> Result<Client> {
    let refused = |source| Error::Runtime {
        doing: "be reached".to_owned(),
        source: Box::new(source),
    };
    let endpoint =
        Endpoint::from_path(place.socket()).map_err(|error| Error::Usage(error.to_string()))?;
    let options = Options {
        deadline: CALL,
        fall_back: true,
    };
    Client::connect(&endpoint, None, options)
        .await
        .map_err(refused)
}

/// Whether the daemon answers: CRI where it is to be served, else containerd's own services.
async fn answers(place: &Place, cri: Cri) -> bool {
    if !place.socket().exists() {
        return false;
    }
    let Ok(client) = client(place).await else {
        return false;
    };
    match cri {
        Cri::Enabled => client.version(cri::VersionRequest::default()).await.is_ok(),
        Cri::Disabled | Cri::Broken => client.containerd().plugins().await.is_ok(),
    }
}

/// The version that the daemon reports, or, where it serves no CRI, that its binary reports.
///
/// # Errors
/// Neither does.
pub async fn version(place: &Place, package: &Path) -> Result<String> {
    let client = client(place).await?;
    if let Ok(reply) = client.version(cri::VersionRequest::default()).await
        && let Ok(version) = reply.decode()
    {
        return Ok(version.runtime_version);
    }
    // "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"
    let said = run(Command::new(package.join("usr/bin/containerd")).arg("--version"))?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(said
        .split_whitespace()
        .nth(2)
        .unwrap_or_default()
        .to_owned())
}

/// Pulls an image through CRI, looks which digest the name stands for now, and removes it again.
///
/// # Errors
/// What the runtime said.
pub async fn pull(client: &Client, image: &str) -> std::result::Result<String, String> {
    let spec = Some(cri::ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    });
    let request = cri::PullImageRequest {
        image: spec.clone(),
        ..Default::default()
    };
    let words = |error: Refusal| match error {
        Refusal::Status { message, .. } => message,
        error => error.to_string(),
    };
    client
        .pull_image(request, Some(CALL))
        .await
        .map_err(words)?;
    let request = cri::ImageStatusRequest {
        image: spec.clone(),
        verbose: false,
    };
    let status = client.image_status(request).await.map_err(words)?;
    let status = status
        .decode()
        .unwrap_or_default()
        .image
        .unwrap_or_default();
    let host = image.split_once('/').map_or("", |(host, _)| host);
    let digest = status.repo_digests.iter().find(|it| it.starts_with(host));
    let digest = digest
        .and_then(|it| it.split_once('@'))
        .map(|(_, digest)| digest.to_owned());
    // CRI forgets all of its names, so that the next pull is a real one.
    client
        .remove_image(
            cri::RemoveImageRequest { image: spec },
            Some(client.options().deadline),
        )
        .await
        .map_err(words)?;
    Ok(digest.unwrap_or_default())
}

/// Imports images under the upstream's name with containerd's own `ctr`, and waits until CRI lists them.
///
/// # Errors
/// `ctr` refuses, or CRI does not list them in time.
pub async fn import(place: &Place, generation: Generation, images: &[Image]) -> Result<()> {
    let archive = place.dir.join("images.tar");
    fs::write(&archive, image::archive(UPSTREAM, images))
        .doing(|| format!("write {}", archive.display()))?;
    let mut argv = vec![
        "/usr/bin/ctr",
        "--namespace",
        CRI_NAMESPACE,
        "images",
        "import",
    ];
    if generation.has_split_cri() {
        // Without it, ctr 2 hands the archive to the transfer service, which takes no name from an annotation.
        argv.push("--local");
    }
    let path = archive.display().to_string();
    argv.push(&path);
    let program = Program {
        name: "ctr".to_owned(),
        argv: argv.into_iter().map(str::to_owned).collect(),
        env: Vec::new(),
        log: place.log("ctr"),
    };
    control::start(place, &program)?;
    let end = Instant::now() + UP;
    loop {
        match control::look(place, "ctr")? {
            State::Ended(how) if how == "exit status: 0" => break,
            State::Runs if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            state => {
                return Err(Error::Node {
                    what: format!("`ctr images import` did not succeed: {state:?}"),
                    log: program.log,
                });
            }
        }
    }
    fs::remove_file(&archive).doing(|| "remove the archive".to_owned())?;
    until_listed(place, images).await
}

/// CRI hears of imported images through events, a moment later.
async fn until_listed(place: &Place, images: &[Image]) -> Result<()> {
    let client = client(place).await?;
    let end = Instant::now() + UP;
    loop {
        let reply = client.list_images(cri::ListImagesRequest::default()).await;
        let reply = reply.map_err(|source| Error::Runtime {
            doing: "list images".to_owned(),
            source: Box::new(source),
        })?;
        let listed = reply.decode().unwrap_or_default().images;
        let is_there = |image: &Image| {
            let digest = format!("@{}", image.top.digest);
            listed.iter().any(|it| {
                it.repo_tags
                    .iter()
                    .any(|tag| tag.ends_with(&format!("/{}", image.name)))
                    && it.repo_digests.iter().any(|it| it.ends_with(&digest))
            })
        };
        if images.iter().all(is_there) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::Node {
                what: format!("CRI does not list the imported images after {UP:?}"),
                log: place.log(NAME),
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
