//! `rm`: what runs is kept, what is gone is proven gone, logs go with it.

use criscope::cri;
use criscope::fake::Rule;

use crate::support::{criscope, small};

#[test]
fn a_running_container_stays_without_force() {
    let node = small::node();
    let id = small::container(&node, "web-1", "proxy");
    let outcome = criscope(["rm", "proxy"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    let words = format!("container \"{id}\" is running, please stop it first");
    assert!(outcome.stderr.contains(&words), "{outcome}");
    assert!(!node.rpcs().contains(&"RemoveContainer".to_owned()));

    assert_eq!(
        criscope(["rm", "-f", "proxy"]).on(&node).stdout(),
        format!("{id}\n")
    );
    assert!(small::containers(&node, "web-1", "proxy").is_empty());
}

#[test]
fn attempts_of_one_name_have_to_be_told_apart() {
    let node = small::node();
    let outcome = criscope(["rm", "jobs/job-1/job"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("`jobs/job-1/job` can mean 2 containers"),
        "{outcome}"
    );
    let ids = small::containers(&node, "job-1", "job");
    assert_eq!(
        criscope(["rm", &ids[0]]).on(&node).stdout(),
        format!("{}\n", ids[0])
    );
    assert_eq!(small::containers(&node, "job-1", "job"), [ids[1].clone()]);
}

#[test]
fn success_that_removed_nothing_is_a_failure() {
    let node = small::node();
    let id = small::containers(&node, "job-1", "job").remove(0);
    node.rule(Rule::on("RemoveContainer").message(&cri::RemoveContainerResponse {}));
    let outcome = criscope(["rm", &id]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (1, ""),
        "{outcome}"
    );
    assert!(
        outcome
            .stderr
            .contains("reported success, but the container is still there"),
        "{outcome}"
    );
}

#[test]
fn logs_go_unless_they_are_kept() {
    let logs = tempfile::tempdir().unwrap();
    for keep in [true, false] {
        let node = small::node();
        let path = logs.path().join("0.log");
        let rotated = logs.path().join("0.log.20260102-030405.gz");
        for file in [&path, &rotated] {
            std::fs::write(file, "x").unwrap();
        }
        let id = small::containers(&node, "job-1", "job").remove(0);
        node.world(|world| {
            let container = world
                .containers
                .iter_mut()
                .find(|c| c.status.id == id)
                .unwrap();
            container.status.log_path = path.display().to_string();
        });
        let plan = criscope(["rm", "--dry-run", &id]).on(&node).stdout();
        assert!(plan.contains("and its logs"), "{plan}");
        let arguments = if keep {
            vec!["rm", "-k", &id]
        } else {
            vec!["rm", &id]
        };
        criscope(arguments).on(&node).stdout();
        assert_eq!((path.exists(), rotated.exists()), (keep, keep));
    }
}

#[test]
fn a_sweep_asks_first() {
    let node = small::node();
    let outcome = criscope(["rm", "-a"]).on(&node).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("this would remove 2 containers; nothing was done"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("`--yes` does it"), "{outcome}");

    // Without force the running ones stay, each with its reason; the others go.
    let outcome = criscope(["rm", "-a", "-y"]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.lines().count()),
        (1, 2),
        "{outcome}"
    );
    assert_eq!(
        outcome.stderr.matches("please stop it first").count(),
        3,
        "{outcome}"
    );

    assert_eq!(
        criscope(["rm", "-fay"]).on(&node).stdout().lines().count(),
        3
    );
    let outcome = criscope(["rm", "-a"]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (0, "No containers to remove\n")
    );
}
