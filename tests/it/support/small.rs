//! A node small enough to be known by heart.

use std::time::Duration;

use criscope::fake::world::{Container, Image, Pod};
use criscope::fake::{Node, World};

/// The pause image.
pub const PAUSE: &str = "registry.k8s.io/pause:3.9";
/// What the web pods run.
pub const WEB: &str = "reg.example.com/web:1";
/// What ended.
pub const JOB: &str = "reg.example.com/job:1";
/// What nothing uses.
pub const OLD: &str = "reg.example.com/old:1";

/// Three pods: `default/web-1` with the running containers `web` and `proxy`, `default/web-2` with a running `web`, and
/// `jobs/job-1`, not ready, with two attempts of `job` that have ended. Four images, one of them used by nothing.
pub fn world() -> World {
    let mut world = World::empty("containerd", "1.7.28");
    for image in [
        Image::new(PAUSE, 300_000),
        Image::new(WEB, 20_000_000).tag("reg.example.com/mirror/web:stable"),
        Image::new(JOB, 10_000_000),
        Image::new(OLD, 5_000_000).tag("reg.example.com/old:2"),
    ] {
        world.add_image(image);
    }
    let web_1 = world.add_pod(Pod::new("default", "web-1"));
    world.add_container(&web_1, Container::new("web", WEB));
    world.add_container(&web_1, Container::new("proxy", WEB));
    let web_2 = world.add_pod(Pod::new("default", "web-2"));
    world.add_container(&web_2, Container::new("web", WEB));
    let job = world.add_pod(Pod::new("jobs", "job-1").not_ready());
    for attempt in 0..2 {
        let age = Duration::from_secs(100 - u64::from(attempt) * 10);
        let created = world.ago(age);
        let ended = Container::attempt("job", JOB, attempt)
            .created(created)
            .exited(1, "Error", Duration::from_secs(1));
        world.add_container(&job, ended);
    }
    world
}

/// The node, running.
pub fn node() -> Node {
    Node::builder()
        .world(world())
        .start()
        .expect("the fake node starts")
}

/// The same with this version of containerd.
pub fn node_of(version: &str) -> Node {
    Node::builder()
        .world(world())
        .runtime("containerd", version)
        .start()
        .expect("the fake node starts")
}

/// The ids of containers by pod and name, oldest first.
pub fn containers(node: &Node, pod: &str, name: &str) -> Vec<String> {
    node.world(|world| {
        let pods: Vec<String> = world
            .pods
            .iter()
            .filter(|known| {
                known
                    .status
                    .metadata
                    .as_ref()
                    .is_some_and(|m| m.name == pod)
            })
            .map(|known| known.status.id.clone())
            .collect();
        world
            .containers
            .iter()
            .filter(|container| pods.contains(&container.pod))
            .filter(|container| {
                container
                    .status
                    .metadata
                    .as_ref()
                    .is_some_and(|m| m.name == name)
            })
            .map(|container| container.status.id.clone())
            .collect()
    })
}

/// The id of the only container of that name in a pod.
pub fn container(node: &Node, pod: &str, name: &str) -> String {
    let ids = containers(node, pod, name);
    assert_eq!(ids.len(), 1, "{pod}/{name}");
    ids[0].clone()
}

/// The id of a pod.
pub fn pod(node: &Node, name: &str) -> String {
    node.world(|world| {
        let pod = world
            .pods
            .iter()
            .find(|pod| pod.status.metadata.as_ref().is_some_and(|m| m.name == name));
        pod.expect("the pod is there").status.id.clone()
    })
}
