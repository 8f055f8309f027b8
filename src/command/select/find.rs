//! What is typed becomes one container or one pod: an id, a unique beginning of an id, a name, or
//! `namespace/pod/container` resp. `namespace/pod`.
//!
//! The runtime lists once and the choice is made here: a runtime answers an ambiguous beginning of an id with an empty
//! list or an error, and never with the candidates.

use super::super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::error::Error;
use crate::model::{Container, ContainerState, Listing, PodSandbox, PodSandboxState};
use crate::render::human;

/// Candidates that an error names.
const MOST_CANDIDATES: usize = 10;

/// Which one is meant when a name has several attempts of the same container or pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// None: whoever destroys has to be exact.
    Nothing,
    /// The newest.
    Newest,
    /// The one that runs (a pod: is ready), else the newest.
    Running,
    /// The one that was never started, else the newest.
    Created,
}

/// What was typed and is not one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfound {
    /// What was typed.
    pub typed: String,
    /// `container` or `pod`.
    what: &'static str,
    /// What it can mean, one line each; none if there is nothing of that name.
    pub candidates: Vec<String>,
}

impl Unfound {
    fn new<T: Choice>(typed: &str, candidates: &[&T]) -> Self {
        let line = |choice: &&T| {
            format!(
                "{}  {}  {}",
                human::short_id(choice.id()),
                choice.path(),
                choice.state()
            )
        };
        Self {
            typed: typed.to_owned(),
            what: T::WHAT,
            candidates: candidates.iter().map(line).collect(),
        }
    }
}

impl From<Unfound> for Error {
    fn from(unfound: Unfound) -> Self {
        let Unfound {
            typed,
            what,
            candidates,
        } = unfound;
        if candidates.is_empty() {
            let (list, path) = match what {
                "pod" => ("pods", "namespace/pod"),
                _ => ("ps -a", "namespace/pod/container"),
            };
            return Error::failure(format!("there is no {what} `{typed}`")).hint(format!(
                "`criscope {list}` lists what is there; a {what} is named by id, by the beginning of its id, by name, or as `{path}`"
            ));
        }
        let count = candidates.len();
        let error = Error::failure(format!("`{typed}` can mean {count} {what}s"));
        let mut error = candidates
            .into_iter()
            .take(MOST_CANDIDATES)
            .fold(error, Error::candidate);
        if count > MOST_CANDIDATES {
            error = error.candidate(format!("and {} more", count - MOST_CANDIDATES));
        }
        error
    }
}

/// What was typed, found or not.
pub type Found<T> = Result<T, Unfound>;

/// How what was typed fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The whole id.
    Id,
    /// Namespace and names.
    Path,
    /// The name alone.
    Name,
    /// The beginning of the id.
    Beginning,
}

/// Something that can be chosen by what is typed.
pub trait Choice {
    /// The word for it.
    const WHAT: &'static str;
    /// One of which only the id is known.
    fn of_id(id: &str) -> Self;
    /// Its id.
    fn id(&self) -> &str;
    /// `namespace/pod/container` or `namespace/pod`.
    fn path(&self) -> String;
    /// How what was typed fits.
    fn fit(&self, typed: &str) -> Option<Fit>;
    /// Whether it is the one among several attempts.
    fn is_preferred(&self, prefer: Prefer) -> bool;
    /// When it was made.
    fn created_at(&self) -> i64;
    /// What it is doing.
    fn state(&self) -> String;
}

impl Choice for Container {
    const WHAT: &'static str = "container";

    fn of_id(id: &str) -> Self {
        let id = id.to_owned();
        Self::from(cri::Container {
            id,
            ..Default::default()
        })
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn path(&self) -> String {
        let pod = self.pod_name().unwrap_or("unknown");
        let namespace = self.pod_namespace().unwrap_or("unknown");
        format!("{namespace}/{pod}/{}", self.name)
    }

    fn fit(&self, typed: &str) -> Option<Fit> {
        if self.id == typed {
            return Some(Fit::Id);
        }
        let mut steps = typed.split('/');
        let pod = (steps.next(), steps.next());
        if pod.1.is_some() && pod == (self.pod_namespace(), self.pod_name()) {
            let fits = match (steps.next(), steps.next()) {
                // A pod stands for its container, if it has only one.
                (None, _) => true,
                (Some(name), None) => name == self.name,
                _ => false,
            };
            return fits.then_some(Fit::Path);
        }
        by_name_or_beginning(typed, &self.name, &self.id)
    }

    fn is_preferred(&self, prefer: Prefer) -> bool {
        match prefer {
            Prefer::Running => self.state == ContainerState::Running,
            Prefer::Created => self.state == ContainerState::Created,
            Prefer::Newest | Prefer::Nothing => false,
        }
    }

    fn created_at(&self) -> i64 {
        self.created_at
    }

    fn state(&self) -> String {
        self.state.word()
    }
}

impl Choice for PodSandbox {
    const WHAT: &'static str = "pod";

    fn of_id(id: &str) -> Self {
        let id = id.to_owned();
        Self::from(cri::PodSandbox {
            id,
            ..Default::default()
        })
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn path(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    fn fit(&self, typed: &str) -> Option<Fit> {
        if self.id == typed {
            return Some(Fit::Id);
        }
        if typed.split_once('/') == Some((self.namespace(), self.name()))
            || (!self.uid().is_empty() && self.uid() == typed)
        {
            return Some(Fit::Path);
        }
        by_name_or_beginning(typed, self.name(), &self.id)
    }

    fn is_preferred(&self, prefer: Prefer) -> bool {
        prefer == Prefer::Running && self.state == PodSandboxState::Ready
    }

    fn created_at(&self) -> i64 {
        self.created_at
    }

    fn state(&self) -> String {
        self.state.word()
    }
}

fn by_name_or_beginning(typed: &str, name: &str, id: &str) -> Option<Fit> {
    if typed.is_empty() {
        None
    } else if typed == name {
        Some(Fit::Name)
    } else {
        id.starts_with(typed).then_some(Fit::Beginning)
    }
}

/// The containers that are meant, in the order typed, each once.
///
/// # Errors
/// The runtime cannot be asked. What cannot be found, or is ambiguous, is an error in its place.
pub async fn containers(
    client: &Client,
    typed: &[String],
    prefer: Prefer,
) -> Result<Vec<Found<Container>>, Error> {
    let mut found = Vec::new();
    let mut all: Option<Listing<Container>> = None;
    for typed in typed {
        // A whole id needs no list of everything.
        if is_whole_id(typed) {
            let filter = cri::ContainerFilter {
                id: typed.clone(),
                ..Default::default()
            };
            let request = cri::ListContainersRequest {
                filter: Some(filter),
            };
            let reply = client.list_containers(request).await?;
            let listing = Listing::<Container>::read(reply.bytes());
            let candidates: Vec<&Container> = listing.rows().collect();
            found.push(choose(typed, &candidates, prefer).cloned());
            continue;
        }
        let listing = match &mut all {
            Some(listing) => listing,
            None => {
                let request = cri::ListContainersRequest::default();
                let reply = client.list_containers(request).await?;
                let mut listing = Listing::<Container>::read(reply.bytes());
                super::name_pods(client, &mut listing).await?;
                all.insert(listing)
            }
        };
        let candidates: Vec<&Container> = listing.rows().collect();
        found.push(choose(typed, &candidates, prefer).cloned());
    }
    Ok(once(found, |container| &container.id))
}

/// The one container that is meant.
///
/// # Errors
/// The runtime cannot be asked; there is none, or more than one.
pub async fn container(client: &Client, typed: &str, prefer: Prefer) -> Result<Container, Error> {
    let typed = [typed.to_owned()];
    let mut found = containers(client, &typed, prefer).await?;
    let none = || Err(Unfound::new::<Container>(&typed[0], &[]));
    Ok(found.pop().unwrap_or_else(none)?)
}

/// The pods that are meant, in the order typed, each once.
///
/// # Errors
/// As [`containers`].
pub async fn pods(
    client: &Client,
    typed: &[String],
    prefer: Prefer,
) -> Result<Vec<Found<PodSandbox>>, Error> {
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let reply = client
        .list_pod_sandbox(cri::ListPodSandboxRequest::default())
        .await?;
    let listing = Listing::<PodSandbox>::read(reply.bytes());
    let candidates: Vec<&PodSandbox> = listing.rows().collect();
    let found = typed
        .iter()
        .map(|typed| choose(typed, &candidates, prefer).cloned())
        .collect();
    Ok(once(found, |pod| &pod.id))
}

/// The one pod that is meant.
///
/// # Errors
/// As [`container`].
pub async fn pod(client: &Client, typed: &str, prefer: Prefer) -> Result<PodSandbox, Error> {
    let typed = [typed.to_owned()];
    let mut found = pods(client, &typed, prefer).await?;
    let none = || Err(Unfound::new::<PodSandbox>(&typed[0], &[]));
    Ok(found.pop().unwrap_or_else(none)?)
}

impl Session {
    /// The one container that is meant. In crictl's place what no list has is handed to the runtime as it was typed.
    ///
    /// # Errors
    /// As [`container`].
    pub async fn container(
        &self,
        client: &Client,
        typed: &str,
        prefer: Prefer,
    ) -> Result<Container, Error> {
        let asked = [typed.to_owned()];
        let found = containers(client, &asked, prefer).await?;
        let none = || Err(Unfound::new::<Container>(typed, &[]));
        Ok(self.or_as_typed(found).pop().unwrap_or_else(none)?)
    }

    /// The one pod that is meant; see [`Session::container`].
    ///
    /// # Errors
    /// As [`Session::container`].
    pub async fn pod(
        &self,
        client: &Client,
        typed: &str,
        prefer: Prefer,
    ) -> Result<PodSandbox, Error> {
        let asked = [typed.to_owned()];
        let found = pods(client, &asked, prefer).await?;
        let none = || Err(Unfound::new::<PodSandbox>(typed, &[]));
        Ok(self.or_as_typed(found).pop().unwrap_or_else(none)?)
    }

    /// In crictl's place what no list has is handed to the runtime as it was typed: stopping a pod that is gone is no
    /// failure there.
    pub fn or_as_typed<T: Choice>(&self, found: Vec<Found<T>>) -> Vec<Found<T>> {
        let as_typed = |found: Found<T>| match found {
            Err(unfound) if self.dialect.is_crictl() && unfound.candidates.is_empty() => {
                Ok(T::of_id(&unfound.typed))
            }
            found => found,
        };
        found.into_iter().map(as_typed).collect()
    }
}

/// Whether this is an id as runtimes make them: 64 hexadecimal digits.
fn is_whole_id(typed: &str) -> bool {
    typed.len() == 64 && typed.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Drops what was found before.
fn once<T>(found: Vec<Found<T>>, id: impl Fn(&T) -> &String) -> Vec<Found<T>> {
    let mut seen = std::collections::BTreeSet::new();
    found
        .into_iter()
        .filter(|found| match found {
            Ok(found) => seen.insert(id(found).clone()),
            Err(_) => true,
        })
        .collect()
}

fn choose<'c, T: Choice>(typed: &str, all: &[&'c T], prefer: Prefer) -> Result<&'c T, Unfound> {
    let fits = |choice: &&'c T| choice.fit(typed).map(|fit| (fit, *choice));
    let best = all.iter().filter_map(fits).map(|(fit, _)| fit).min();
    let mut candidates: Vec<&T> = all
        .iter()
        .filter_map(fits)
        .filter(|(fit, _)| Some(*fit) == best)
        .map(|(_, choice)| choice)
        .collect();
    if candidates.iter().any(|choice| choice.is_preferred(prefer)) {
        candidates.retain(|choice| choice.is_preferred(prefer));
    }
    let attempts = candidates
        .windows(2)
        .all(|pair| pair[0].path() == pair[1].path());
    match candidates.as_slice() {
        [] => Err(Unfound::new(typed, &candidates)),
        [one] => Ok(one),
        several if attempts && prefer != Prefer::Nothing && best != Some(Fit::Beginning) => several
            .iter()
            .max_by_key(|choice| choice.created_at())
            .copied()
            .ok_or_else(|| Unfound::new::<T>(typed, &[])),
        several => Err(Unfound::new(typed, several)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::label;

    fn container(id: &str, path: &str, state: ContainerState, created_at: i64) -> Container {
        let steps: Vec<&str> = path.split('/').collect();
        Container {
            id: id.to_owned(),
            pod_sandbox_id: String::new(),
            name: steps[2].to_owned(),
            attempt: 0,
            image: String::new(),
            image_ref: String::new(),
            image_id: String::new(),
            state,
            created_at,
            labels: [
                (label::POD_NAMESPACE, steps[0]),
                (label::POD_NAME, steps[1]),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            annotations: Default::default(),
        }
    }

    fn node() -> Vec<Container> {
        use ContainerState::{Created, Exited, Running};
        vec![
            container("aa11", "default/web-1/web", Exited, 1),
            container("aa22", "default/web-1/web", Running, 2),
            container("bb11", "default/web-1/proxy", Running, 2),
            container("bb22", "default/web-2/web", Running, 3),
            container("cc11", "kube-system/etcd/etcd", Exited, 4),
            container("cc22", "kube-system/etcd/etcd", Exited, 5),
            container("dd11", "default/cc/aa", Created, 6),
        ]
    }

    #[track_caller]
    fn case(typed: &str, prefer: Prefer, expected: Result<&str, &str>) {
        let node = node();
        let all: Vec<&Container> = node.iter().collect();
        let found = choose(typed, &all, prefer).map(|c| c.id.clone());
        let found = found.map_err(|unfound| Error::from(unfound).message().to_owned());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{typed} {prefer:?}"
        );
    }

    #[test]
    fn ids_and_their_beginnings() {
        case("aa11", Prefer::Nothing, Ok("aa11"));
        case("d", Prefer::Nothing, Ok("dd11"));
        case("b", Prefer::Running, Err("`b` can mean 2 containers"));
        case("cc", Prefer::Newest, Err("`cc` can mean 2 containers"));
        case("", Prefer::Newest, Err("there is no container ``"));
        case("ee", Prefer::Newest, Err("there is no container `ee`"));
        // A name is more than the beginning of an id.
        case("aa", Prefer::Nothing, Ok("dd11"));
    }

    #[test]
    fn names_and_paths() {
        case("proxy", Prefer::Nothing, Ok("bb11"));
        case("web", Prefer::Running, Err("`web` can mean 2 containers"));
        case("default/web-2/web", Prefer::Nothing, Ok("bb22"));
        case("default/web-2", Prefer::Nothing, Ok("bb22"));
        case(
            "default/web-1",
            Prefer::Running,
            Err("`default/web-1` can mean 2 containers"),
        );
        case(
            "default/web-1/nothing",
            Prefer::Newest,
            Err("there is no container `default/web-1/nothing`"),
        );
        case(
            "web-2/web",
            Prefer::Newest,
            Err("there is no container `web-2/web`"),
        );
    }

    #[test]
    fn attempts_of_one_container() {
        case("default/web-1/web", Prefer::Running, Ok("aa22"));
        case("default/web-1/web", Prefer::Newest, Ok("aa22"));
        case(
            "default/web-1/web",
            Prefer::Nothing,
            Err("`default/web-1/web` can mean 2 containers"),
        );
        case("etcd", Prefer::Running, Ok("cc22"));
        case("etcd", Prefer::Nothing, Err("`etcd` can mean 2 containers"));
    }

    #[test]
    fn candidates_are_named() {
        let node = node();
        let all: Vec<&Container> = node.iter().collect();
        let unfound = choose("etcd", &all, Prefer::Nothing).unwrap_err();
        assert_eq!(
            unfound.candidates,
            [
                "cc11  kube-system/etcd/etcd  Exited",
                "cc22  kube-system/etcd/etcd  Exited"
            ]
        );
    }
}
