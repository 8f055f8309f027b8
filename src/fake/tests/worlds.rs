//! Worlds without a socket.

use std::collections::BTreeSet;

use tonic::Code;

use crate::cri;
use crate::fake::world::{Clock, Container, Image, Pod};
use crate::fake::*;

#[test]
fn a_generated_node_has_the_promised_shape() {
    #[track_caller]
    fn case(list: &impl prost::Message, expected: std::ops::Range<usize>) {
        let bytes = list.encoded_len() / 1000;
        assert!(expected.contains(&bytes), "{bytes} bytes per element");
    }
    let world = World::generated(1000);
    let containers = world.list_containers(None);
    let pods: BTreeSet<_> = world.pods.iter().map(|pod| &pod.status.id).collect();
    let images: BTreeSet<_> = world.images.iter().map(|image| &image.image.id).collect();
    assert_eq!((pods.len(), images.len()), (1000, 1000));
    for container in &containers {
        assert!(pods.contains(&container.pod_sandbox_id) && images.contains(&container.image_id));
    }
    case(&cri::ListContainersResponse { containers }, 900..1100);
    case(
        &cri::ListPodSandboxResponse {
            items: world.list_pods(None),
        },
        420..520,
    );
    case(
        &cri::ListImagesResponse {
            images: world.list_images(None),
        },
        220..280,
    );
}

#[test]
fn a_demo_with_a_fixed_clock_is_always_the_same() {
    let world = || World::demo_at(Clock::Fixed(1_700_000_000_000_000_000));
    assert_eq!(world().list_containers(None), world().list_containers(None));
    assert_eq!(
        world().list_container_stats(None),
        world().list_container_stats(None)
    );
}

#[test]
fn a_world_is_described_in_a_few_words() {
    let mut world = World::empty("cri-o", "1.37.0");
    world.add_image(Image::new("reg:5000/a", 10));
    let pod = world.add_pod(Pod::new("n", "p"));
    world.add_container(&pod, Container::new("c", "reg:5000/a").not_started());
    let container = &world.list_containers(None)[0];
    assert_eq!(container.labels["io.kubernetes.pod.name"], "p");
    assert!(
        container.image_ref.starts_with("reg:5000/a@sha256:"),
        "CRI-O tells the digest: {}",
        container.image_ref
    );
    assert!(!container.image_id.starts_with("sha256:"));
    assert_eq!(world.container("00").unwrap_err().code(), Code::NotFound);
}
