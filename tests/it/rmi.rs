//! `rmi`: which images stay and why, one name or all of them, proof that an image is gone.

use criscope::cri;
use criscope::fake::{Node, Rule};

use crate::support::{criscope, small};

fn tags(node: &Node) -> Vec<String> {
    let mut tags: Vec<String> = node.world(|world| {
        world
            .images
            .iter()
            .flat_map(|image| image.image.repo_tags.clone())
            .collect()
    });
    tags.sort();
    tags
}

#[test]
fn all_names_of_an_image_go() {
    let node = small::node();
    let outcome = criscope(["rmi", small::OLD]).on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(
        outcome.stdout,
        "Deleted: reg.example.com/old:1\nDeleted: reg.example.com/old:2\n"
    );
    assert!(
        outcome.stderr.contains("also called reg.example.com/old:2"),
        "{outcome}"
    );
    assert!(!tags(&node).contains(&small::OLD.to_owned()));
}

#[test]
fn one_name_can_be_taken_off() {
    let node = small::node();
    let stdout = criscope(["rmi", "--untag", small::OLD]).on(&node).stdout();
    assert_eq!(stdout, "Untagged: reg.example.com/old:1\n");
    assert!(tags(&node).contains(&"reg.example.com/old:2".to_owned()));
    let node = Node::builder()
        .world(small::world())
        .runtime("cri-o", "1.31.0")
        .start()
        .unwrap();
    let outcome = criscope(["rmi", "--untag", small::OLD]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("containerd's own service"),
        "{outcome}"
    );
}

#[test]
fn an_image_in_use_stays_without_force() {
    let node = small::node();
    let before = tags(&node);
    let outcome = criscope(["rmi", small::WEB, small::JOB, small::PAUSE])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    for part in [
        "used by ",
        "default/web-2/web",
        "jobs/job-1/job",
        "pods are made from it (by the runtime's status)",
        "`--force` removes it all the same",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{outcome}");
    }
    assert_eq!(tags(&node), before);
    // Its last name is the image.
    let last = criscope(["rmi", "--untag", small::PAUSE])
        .on(&node)
        .outcome();
    assert_eq!(last.code, 1, "{last}");
    assert_eq!(tags(&node), before);
    let stdout = criscope(["rmi", "--force", small::JOB]).on(&node).stdout();
    assert_eq!(stdout, "Deleted: reg.example.com/job:1\n");
}

#[test]
fn a_prune_leaves_what_is_used_and_what_pods_are_made_from() {
    let node = small::node();
    let outcome = criscope(["rmi", "--prune"]).on(&node).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("this would remove 1 image; nothing was done"),
        "{outcome}"
    );
    let plan = criscope(["rmi", "-q", "--dry-run"]).on(&node).stdout();
    assert_eq!(
        plan,
        "would delete reg.example.com/old:1\nwould delete reg.example.com/old:2\n"
    );
    let outcome = criscope(["rmi", "-qy"]).on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 2);
    assert!(outcome.stderr.contains("left: "), "{outcome}");
    assert_eq!(
        tags(&node),
        [
            small::JOB,
            "reg.example.com/mirror/web:stable",
            small::WEB,
            small::PAUSE
        ]
    );
    let outcome = criscope(["rmi", "--prune"]).on(&node).outcome();
    assert_eq!(outcome.code, 0);
    assert!(
        outcome.stderr.ends_with("No images to remove\n"),
        "{outcome}"
    );
}

#[test]
fn the_pause_image_is_known_although_nobody_tells() {
    // containerd 2.x neither tells its sandbox image nor, with the transfer service, always pins it.
    let node = Node::builder()
        .world(small::world())
        .runtime("containerd", "2.1.4")
        .without_native_services()
        .start()
        .unwrap();
    let outcome = criscope(["rmi", "-a", "-y"]).on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(tags(&node).contains(&small::PAUSE.to_owned()), "{outcome}");
}

#[test]
fn images_that_are_not_there_and_ambiguous_ids() {
    let node = small::node();
    let outcome = criscope(["rmi", "nosuch:1"]).on(&node).outcome();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("no such image \"nosuch:1\" present"),
        "{outcome}"
    );
    node.world(|world| {
        for (image, first) in world.images.iter_mut().zip(["sha256:abc1", "sha256:abc2"]) {
            let rest = image.image.id.split_off(first.len());
            image.image.id = format!("{first}{rest}");
        }
    });
    let outcome = criscope(["rmi", "abc"]).on(&node).outcome();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("`abc` can mean 2 images"),
        "{outcome}"
    );
}

#[test]
fn success_that_removed_nothing_is_a_failure() {
    let node = small::node();
    node.rule(Rule::on("RemoveImage").message(&cri::RemoveImageResponse {}));
    let outcome = criscope(["rmi", small::OLD]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (1, ""),
        "{outcome}"
    );
    assert!(
        outcome.stderr.contains("the image is still there"),
        "{outcome}"
    );
}
