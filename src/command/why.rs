//! `criscope why`: what is wrong with one pod, container or image: sandbox, network, image, creation, last end, last words.
//!
//! The steps are told in their order, also those that are well; what is wrong comes first.

use std::time::Duration;

use clap::Args;

use super::examine::{LookArgs, VerdictArgs};
use super::images::filter::is_named;
use super::select::find::{self, Prefer};
use super::select::name_pods;
use super::session::Session;
use crate::check::subject::STEPS;
use crate::check::{self, Profile, Report, Scope, Status};
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::facts::Fact;
use crate::files::read;
use crate::interrupt;
use crate::model::{Container, Image, Listing, PodSandbox};
use crate::probe::node::subject::{self, Meant};
use crate::probe::node::{self, Depth};

const EXAMPLES: &str = "\
Examples:
  criscope why kube-system/coredns-5d78c9869d-x2x7q   a pod with its containers
  criscope why 5f2a                                   a container or pod whose id begins so
  criscope why nginx:1.25                             an image
  criscope why default/app --says 'failed to reserve container name …'   what the kubelet's events say
  journalctl -u kubelet -n 50 | criscope why default/app --says -

Exit codes: 0 nothing is wrong, 1 something is, 3 something that matters could not be seen.";

/// Arguments of `why`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Why {
    /// A pod (namespace/pod, name, id), a container (namespace/pod/container, name, id) or an image
    #[arg(value_name = "POD|CONTAINER|IMAGE")]
    subject: String,
    /// What the kubelet or its events say about it; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    says: Vec<String>,
    #[command(flatten)]
    verdict: VerdictArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// The time for looking at the node, and again for looking at the subject.
const LIMIT: Duration = Duration::from_secs(15);
/// So much is read from stdin.
const MOST: u64 = 1024 * 1024;

/// Runs `criscope why`.
///
/// # Errors
/// There is no such thing, or stdout cannot be written.
pub async fn run(args: &Why, session: &Session) -> Result<Exit, Error> {
    let said = args.said()?;
    let mut facts = args.look.facts(session, Depth::Normal, LIMIT).await?;
    let replayed = args.look.facts.is_some();
    if !replayed && facts.chosen().is_some_and(|chosen| chosen.verdict.serves()) {
        let client = session.client().await?;
        let mut meant = meant(client, &args.subject).await?;
        meant.said = said;
        let look = node::Look {
            limit: LIMIT,
            ..node::Look::at(facts.host.root.clone())
        };
        subject::look(&look, client, meant, &mut facts).await;
        args.look.keep(&facts)?;
    } else if !replayed {
        facts.subject = if said.is_empty() {
            Fact::unknown("no runtime answers")
        } else {
            // Words can be explained without a runtime, too.
            let subject = crate::facts::Subject {
                asked: args.subject.clone(),
                said,
                sandbox: Fact::unknown("no runtime answers"),
                image: Fact::absent("no image was asked about"),
                ..crate::facts::Subject::default()
            };
            Fact::known(subject, crate::facts::Source::rpc("the command line"))
        };
    }
    let mut scope = Scope::of(Profile::Subject);
    scope.all = true;
    let mut report = interrupt::deaf(|| check::examine(&facts, &scope));
    story(&mut report);
    let (shown, exit) = args.verdict.on(&report, &facts.calls, session)?;
    session.output.report(&shown)?;
    Ok(exit)
}

impl Why {
    fn said(&self) -> Result<Vec<String>, Error> {
        let mut said = Vec::new();
        for text in &self.says {
            if text == "-" {
                let read = interrupt::deaf(|| read::whole(std::io::stdin(), MOST))
                    .map_err(|error| Error::failure("cannot read stdin").because(&error))?;
                said.extend(String::from_utf8_lossy(&read).lines().map(str::to_owned));
            } else {
                said.push(text.clone());
            }
        }
        Ok(said)
    }
}

/// Leaves what is wrong, and the steps of the story in their order.
fn story(report: &mut Report) {
    let step =
        |finding: &check::Finding| STEPS.iter().position(|code| *code == finding.code.as_str());
    report.findings.retain(|finding| {
        finding.status.is_problem()
            || finding.status == Status::Unknown
            || step(finding).is_some() && finding.status != Status::Skip
    });
    report.findings.sort_by_key(|finding| {
        if finding.status.is_problem() {
            (0, 0)
        } else {
            (1, step(finding).unwrap_or(usize::MAX))
        }
    });
}

/// Finds what is meant: a pod, else a container, else an image.
async fn meant(client: &Client, typed: &str) -> Result<Meant, Error> {
    let wanted = [typed.to_owned()];
    let pod = find::pods(client, &wanted, Prefer::Newest).await?.pop();
    let pod = match pod {
        Some(Ok(pod)) => Some(pod),
        Some(Err(unfound)) if !unfound.candidates.is_empty() => return Err(unfound.into()),
        _ => None,
    };
    let reply = client
        .list_containers(cri::ListContainersRequest::default())
        .await?;
    let mut listing = Listing::<Container>::read(reply.bytes());
    name_pods(client, &mut listing).await?;
    let all: Vec<&Container> = listing.rows().collect();
    if let Some(pod) = pod {
        return Ok(of_pod(typed, &pod, &all));
    }
    let container = find::containers(client, &wanted, Prefer::Newest)
        .await?
        .pop();
    match container {
        Some(Ok(container)) => return Ok(of_container(typed, container, &all)),
        Some(Err(unfound)) if !unfound.candidates.is_empty() => return Err(unfound.into()),
        _ => {}
    }
    of_image(client, typed, &all).await
}

fn of_pod(typed: &str, pod: &PodSandbox, all: &[&Container]) -> Meant {
    let mut own: Vec<&Container> = all
        .iter()
        .copied()
        .filter(|container| {
            container.pod_sandbox_id == pod.id
                || (container.pod_namespace(), container.pod_name())
                    == (Some(pod.namespace()), Some(pod.name()))
        })
        .collect();
    // The newest of each name first, then they are told in the order in which they were made.
    own.sort_by_key(|container| std::cmp::Reverse((container.created_at, container.attempt)));
    let mut containers: Vec<(Container, Option<Container>)> = Vec::new();
    for container in own {
        match containers
            .iter_mut()
            .find(|(known, _)| known.name == container.name)
        {
            None => containers.push((container.clone(), None)),
            Some((_, before @ None)) => *before = Some(container.clone()),
            Some(_) => {}
        }
    }
    containers.sort_by_key(|(container, _)| container.created_at);
    Meant {
        asked: typed.to_owned(),
        sandbox: Some(pod.id.clone()),
        containers,
        ..Meant::default()
    }
}

fn of_container(typed: &str, container: Container, all: &[&Container]) -> Meant {
    let before = all
        .iter()
        .filter(|other| {
            other.name == container.name
                && other.attempt < container.attempt
                && (other.pod_namespace(), other.pod_name())
                    == (container.pod_namespace(), container.pod_name())
        })
        .max_by_key(|other| other.created_at)
        .map(|other| (*other).clone());
    // The copy that knows its pod.
    let named = all.iter().find(|other| other.id == container.id);
    let container = named.map_or(container, |named| (*named).clone());
    Meant {
        asked: typed.to_owned(),
        sandbox: Some(container.pod_sandbox_id.clone()),
        containers: vec![(container, before)],
        ..Meant::default()
    }
}

async fn of_image(client: &Client, typed: &str, all: &[&Container]) -> Result<Meant, Error> {
    let reply = client
        .list_images(cri::ListImagesRequest::default())
        .await?;
    let images = Listing::<Image>::read(reply.bytes());
    let found = images.rows().find(|image| is_named(image, typed));
    let first = typed.split('/').next().unwrap_or(typed);
    if found.is_none() && !typed.contains([':', '@']) && !first.contains('.') {
        return Err(Error::failure(format!(
            "there is no pod, no container and no image `{typed}`"
        ))
        .hint("`criscope pods`, `criscope ps -a` and `criscope images` list what is there"));
    }
    let containers = all
        .iter()
        .filter(|container| {
            found.is_some_and(|image| {
                super::select::image_of(container, &images).is_some_and(|used| used.id == image.id)
            })
        })
        .map(|container| ((*container).clone(), None))
        .collect();
    Ok(Meant {
        asked: typed.to_owned(),
        containers,
        image: Some(found.map_or_else(|| typed.to_owned(), |image| image.id.clone())),
        ..Meant::default()
    })
}
