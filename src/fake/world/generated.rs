//! Large nodes for benches: any number of pods, containers and images, the same in every run.
//!
//! Shapes as on real nodes, with the kubelet's and a deployment's labels: about 1 kB per container, 0.5 kB per pod,
//! 0.25 kB per image on the wire.

use super::{Clock, Container, Image, Pod, World, digest, strings, uid};
use crate::cri;

/// 2024-06-01T12:00:00Z: large worlds stand still, so that every run sends the same bytes.
pub(super) const NOW: i64 = 1_717_243_200_000_000_000;

impl World {
    /// A node with `count` pods, `count` containers and `count` images; one container in ten has exited. Takes about
    /// 14 kB each; [`World::crowded`] is for more than the machine holds.
    pub fn generated(count: usize) -> Self {
        let mut world = Self::empty_at("containerd", "2.1.4", Clock::Fixed(NOW));
        world.pods = (0..count).map(pod).collect();
        world.containers = (0..count).map(container).collect();
        world.images = (0..count).map(image).collect();
        world
    }
}

fn name(index: usize) -> (String, String) {
    let hash = digest(&format!("generated/{index}"));
    (
        format!("team-{:02}", index % 40),
        format!(
            "service-{:04}-{}-{}",
            index % 5000,
            &hash[..10],
            &hash[10..15]
        ),
    )
}

fn created(index: usize) -> i64 {
    NOW - (1 + i64::try_from(index).unwrap_or_default()) * 7_000_000_123
}

pub(super) fn pod(index: usize) -> Pod {
    let (namespace, name) = name(index);
    let pod = Pod::new(&namespace, &name)
        .label("app.kubernetes.io/name", &name[..12])
        .label("pod-template-hash", &name[13..23])
        .annotation(
            "kubernetes.io/config.seen",
            "2024-06-01T10:11:12.131415161Z",
        )
        .created(created(index));
    if index % 20 == 19 {
        pod.not_ready()
    } else {
        pod
    }
}

pub(super) fn container(index: usize) -> Container {
    let (namespace, name) = name(index);
    let pod = digest(&format!("pod/{namespace}/{name}/0"));
    let image = format!("sha256:{}", digest(&format!("generated-image/{index}")));
    let attempt = u32::try_from(index % 3).unwrap_or_default();
    let mut container =
        Container::attempt("server", &image, attempt).created(created(index) + 1_000_000_000);
    if index % 10 == 9 {
        container = container.exited(137, "OOMKilled", std::time::Duration::from_secs(3600));
    }
    container.status.id = digest(&format!("generated-container/{index}"));
    container.status.image_ref.clone_from(&image);
    container.status.image_id.clone_from(&image);
    container.status.labels = strings(&[
        ("io.kubernetes.container.name", "server"),
        ("io.kubernetes.pod.name", &name),
        ("io.kubernetes.pod.namespace", &namespace),
        (
            "io.kubernetes.pod.uid",
            &uid(&format!("{namespace}/{name}")),
        ),
    ]);
    container.status.annotations.insert(
        "io.kubernetes.container.ports".to_owned(),
        r#"[{"name":"http","containerPort":8080,"protocol":"TCP"}]"#.to_owned(),
    );
    container.status.log_path = format!("/var/log/pods/{namespace}_{name}/server/{attempt}.log");
    container.image = image;
    container.pod = pod;
    container.pid = 1000 + u32::try_from(index).unwrap_or_default();
    container
}

pub(super) fn image(index: usize) -> Image {
    let id = format!("sha256:{}", digest(&format!("generated-image/{index}")));
    let manifest = format!("sha256:{}", digest(&format!("generated-manifest/{index}")));
    let repository = format!(
        "registry.example.com/team-{:02}/service-{index:06}",
        index % 40
    );
    let image = cri::Image {
        id,
        repo_tags: vec![format!("{repository}:v1.{}", index % 100)],
        repo_digests: vec![format!("{repository}@{manifest}")],
        size: 5_000_000 + (index as u64 * 7_919) % 400_000_000,
        ..Default::default()
    };
    Image {
        image,
        digest: manifest,
        info: None,
    }
}
