//! Whose logs are meant: containers, whole pods, or the attempts before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::client::Client;
use crate::command::act::Subject;
use crate::command::select::find::{self, Prefer};
use crate::command::select::{ContainerFilter, name_pods};
use crate::cri;
use crate::error::Error;
use crate::model::{Container, Listing};

/// Labels are not aligned beyond this, in characters.
const WIDEST: usize = 60;

/// A container whose log is meant.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The container that the runtime is asked about.
    pub container: Container,
    /// Which log is meant.
    pub which: Which,
}

/// One of the logs beside each other in the folder of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The container's own.
    Own,
    /// Of the attempt before it, which the runtime has forgotten.
    Before,
}

impl Chosen {
    fn own(container: Container) -> Self {
        Self {
            container,
            which: Which::Own,
        }
    }

    /// The path of the log that is meant, where that of the container's own is `path`.
    ///
    /// # Errors
    /// There is nothing to tell the other one from it.
    pub fn path(&self, path: PathBuf) -> Result<PathBuf, Error> {
        if self.which == Which::Own {
            return Ok(path);
        }
        let attempt = self.container.attempt;
        let name = path.file_name().and_then(|name| name.to_str());
        match attempt.checked_sub(1) {
            // The kubelet names logs by the number of the attempt.
            Some(before) if name == Some(&*format!("{attempt}.log")) => {
                Ok(path.with_file_name(format!("{before}.log")))
            }
            _ => Err(Error::failure(format!(
                "the runtime knows no attempt before {}, and its log is not named by attempts: `{}`",
                self.container.description(),
                path.display()
            ))),
        }
    }
}

/// The containers that are meant, each once, in the order typed and within a pod in that of their creation.
///
/// # Errors
/// The runtime cannot be asked. What cannot be found is an error in its place.
pub async fn containers(
    client: &Client,
    names: &[String],
    filter: &ContainerFilter,
    previous: bool,
) -> Result<Vec<Result<Chosen, Error>>, Error> {
    let mut found: Vec<Result<Container, Error>> = Vec::new();
    let mut all: Option<Vec<Container>> = None;
    for typed in names {
        let typed = std::slice::from_ref(typed);
        let unfound = match find::containers(client, typed, Prefer::Running)
            .await?
            .pop()
        {
            Some(Err(unfound)) => unfound,
            Some(Ok(container)) => {
                found.push(Ok(container));
                continue;
            }
            None => continue,
        };
        // `namespace/pod` can mean several containers: all of them. A name can not.
        if !unfound.candidates.is_empty() && !unfound.typed.contains('/') {
            found.push(Err(unfound.into()));
            continue;
        }
        match find::pods(client, typed, Prefer::Running).await?.pop() {
            Some(Ok(pod)) => {
                let all = everything(client, &mut all).await?;
                let of_pod = all.iter().filter(|one| one.pod_sandbox_id == pod.id);
                let of_pod = latest(of_pod.cloned().collect());
                if of_pod.is_empty() {
                    let error = format!("pod {} has no containers", pod.description());
                    found.push(Err(Error::failure(error)));
                }
                found.extend(of_pod.into_iter().map(Ok));
            }
            Some(Err(pods)) if !pods.candidates.is_empty() => found.push(Err(pods.into())),
            _ => found.push(Err(unfound.into())),
        }
    }
    if filter.is_set() {
        let mut listing = filter.containers(client, true, None).await?;
        name_pods(client, &mut listing).await?;
        let listed = listing.items.into_iter().map(|item| item.row).collect();
        found.extend(latest(listed).into_iter().map(Ok));
    }
    let mut seen = BTreeSet::new();
    found.retain(|found| match found {
        Ok(container) => seen.insert(container.id.clone()),
        Err(_) => true,
    });
    if !previous {
        return Ok(found.into_iter().map(|one| one.map(Chosen::own)).collect());
    }
    let all = everything(client, &mut all).await?;
    Ok(found
        .into_iter()
        .map(|one| one.and_then(|container| before(container, all)))
        .collect())
}

async fn everything<'a>(
    client: &Client,
    all: &'a mut Option<Vec<Container>>,
) -> Result<&'a [Container], Error> {
    if all.is_none() {
        let request = cri::ListContainersRequest::default();
        let reply = client.list_containers(request).await?;
        let mut listing = Listing::<Container>::read(reply.bytes());
        name_pods(client, &mut listing).await?;
        *all = Some(listing.items.into_iter().map(|item| item.row).collect());
    }
    Ok(all.as_deref().unwrap_or_default())
}

/// Of each container in each pod the latest attempt, oldest first.
fn latest(containers: Vec<Container>) -> Vec<Container> {
    let mut latest: BTreeMap<(String, String), Container> = BTreeMap::new();
    for container in containers {
        let key = (container.pod_sandbox_id.clone(), container.name.clone());
        let is_later = |known: &Container| {
            (known.attempt, known.created_at) < (container.attempt, container.created_at)
        };
        if latest.get(&key).is_none_or(is_later) {
            latest.insert(key, container);
        }
    }
    let mut latest: Vec<Container> = latest.into_values().collect();
    latest.sort_by(|one, other| {
        (one.created_at, &one.name, &one.id).cmp(&(other.created_at, &other.name, &other.id))
    });
    latest
}

/// The attempt before: the runtime's own record of it, or, where that was removed, the same container with another file.
fn before(container: Container, all: &[Container]) -> Result<Chosen, Error> {
    let is_same = |other: &&Container| {
        other.name == container.name
            && other.attempt < container.attempt
            && (other.pod_sandbox_id == container.pod_sandbox_id
                || (other.pod_name().is_some()
                    && other.pod_name() == container.pod_name()
                    && other.pod_namespace() == container.pod_namespace()))
    };
    if let Some(before) = all.iter().filter(is_same).max_by_key(|other| other.attempt) {
        return Ok(Chosen::own(before.clone()));
    }
    if container.attempt == 0 {
        return Err(Error::failure(format!(
            "{} is the first attempt: there is none before it",
            container.description()
        )));
    }
    Ok(Chosen {
        container,
        which: Which::Before,
    })
}

/// Names for containers, as short as tells them apart, and as long as each other.
pub fn labels(containers: &[&Container]) -> Vec<String> {
    let differ = |part: &dyn Fn(&Container) -> String| {
        let parts: BTreeSet<String> = containers.iter().map(|one| part(one)).collect();
        parts.len() > 1
    };
    let namespace = |one: &Container| one.pod_namespace().unwrap_or("unknown").to_owned();
    let pod = |one: &Container| one.pod_name().unwrap_or("unknown").to_owned();
    let path = |one: &Container| format!("{}/{}/{}", namespace(one), pod(one), one.name);
    let (namespaces, pods) = (differ(&namespace), differ(&pod));
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for one in containers {
        *times.entry(path(one)).or_default() += 1;
    }
    let label = |one: &&Container| {
        let mut label = one.name.clone();
        if namespaces || pods {
            label = format!("{}/{label}", pod(one));
        }
        if namespaces {
            label = format!("{}/{label}", namespace(one));
        }
        if times.get(&path(one)).is_some_and(|times| *times > 1) {
            label = format!("{label}#{}", one.attempt);
        }
        label
    };
    let mut labels: Vec<String> = containers.iter().map(label).collect();
    let width = labels.iter().map(|label| label.chars().count()).max();
    let width = width.unwrap_or(0).min(WIDEST);
    for label in &mut labels {
        *label = format!("{label:width$}");
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerState, label};

    fn container(path: &str, attempt: u32) -> Container {
        let steps: Vec<&str> = path.split('/').collect();
        let [namespace, pod, name] = steps[..] else {
            panic!("{path}");
        };
        Container {
            id: format!("{path}#{attempt}"),
            pod_sandbox_id: pod.to_owned(),
            name: name.to_owned(),
            attempt,
            image: String::new(),
            image_ref: String::new(),
            image_id: String::new(),
            state: ContainerState::Exited,
            created_at: i64::from(attempt),
            labels: [(label::POD_NAMESPACE, namespace), (label::POD_NAME, pod)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            annotations: Default::default(),
        }
    }

    #[test]
    fn labels_are_as_short_as_tells_apart() {
        #[track_caller]
        fn case(paths: &[&str], expected: &[&str]) {
            let all: Vec<Container> = paths.iter().map(|path| container(path, 0)).collect();
            let all: Vec<&Container> = all.iter().collect();
            assert_eq!(labels(&all), expected);
        }
        case(&["a/p/web"], &["web"]);
        case(&["a/p/web", "a/p/proxy"], &["web  ", "proxy"]);
        case(&["a/p/web", "a/q/web"], &["p/web", "q/web"]);
        case(&["a/p/web", "b/p/web"], &["a/p/web", "b/p/web"]);
        case(&["a/p/web", "a/p/web"], &["web#0", "web#0"]);
    }

    #[test]
    fn the_attempt_before() {
        let all = [
            container("a/p/web", 1),
            container("a/p/web", 3),
            container("a/p/x", 2),
        ];
        let found = before(container("a/p/web", 4), &all).unwrap();
        assert_eq!((found.container.attempt, found.which), (3, Which::Own));
        assert!(before(container("a/q/web", 0), &all).is_err());
        // Removed by the kubelet, which keeps the file.
        let found = before(container("a/q/web", 2), &all).unwrap();
        let path = |path: &str| found.path(PathBuf::from(path)).ok();
        assert_eq!(
            path("/var/log/pods/x/web/2.log"),
            Some("/var/log/pods/x/web/1.log".into())
        );
        assert_eq!(path("/var/lib/docker/x-json.log"), None);
    }

    #[test]
    fn of_a_pod_the_latest_attempts() {
        let all = vec![
            container("a/p/web", 1),
            container("a/p/web", 3),
            container("a/p/x", 2),
        ];
        let ids: Vec<String> = latest(all).into_iter().map(|one| one.id).collect();
        assert_eq!(ids, ["a/p/x#2", "a/p/web#3"]);
    }
}
