//! `test-pull` on real containerd with real registries: what is right, down, untrusted, different; and the way back.

use serde_json::Value;

use criscope::fake::Rule;

use crate::support::criscope;
use crate::support::lab::Lab;
use crate::support::run::Outcome;

/// Runs criscope against a lab, with the files of its node.
fn ask(lab: &Lab, arguments: &[&str]) -> Outcome {
    criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome()
}

/// The result for one image, with the exit code.
#[track_caller]
fn test_pull(lab: &Lab, image: &str, more: &[&str]) -> (i32, Value) {
    let arguments: Vec<&str> = ["test-pull", image, "-o", "json"]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    let outcome = ask(lab, &arguments);
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    assert_eq!(document["kind"], "TestPull");
    (outcome.code, document["images"][0].clone())
}

/// Names and ids in the store.
fn store(lab: &Lab) -> String {
    ask(lab, &["images", "-o", "json"]).stdout
}

fn mirrors(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
        return;
    };
    let before = store(&lab);

    let (code, test) = test_pull(&lab, "registry.lab.test/lab/app:1", &[]);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (0, Some("works")),
        "{test:#}"
    );
    assert_eq!(
        test["pull"]["digest"],
        lab.pull("registry.lab.test/lab/app:1")["served"],
        "{test:#}"
    );
    assert_eq!(test["servedBy"]["certain"], true, "{test:#}");
    let good = lab.registry("good")["address"].as_str().unwrap();
    assert!(
        test["servedBy"]["endpoint"]
            .as_str()
            .unwrap()
            .contains(good),
        "{test:#}"
    );
    assert_eq!(
        test["probes"][0]["digest"], test["pull"]["digest"],
        "{test:#}"
    );
    assert!(
        !test["cleanedUp"].as_array().unwrap().is_empty(),
        "{test:#}"
    );
    assert_eq!(store(&lab), before, "the node is as it was");

    let (code, test) = test_pull(&lab, "registry.lab.test/lab/multi:1", &["--deep"]);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (0, Some("works")),
        "{test:#}"
    );

    let (code, test) = test_pull(&lab, "tls.lab.test/lab/app:1", &[]);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (0, Some("works")),
        "{test:#}"
    );

    let (code, test) = test_pull(&lab, "fallback.lab.test/lab/app:1", &[]);
    assert_eq!(
        (code, test["verdict"].as_str()),
        (0, Some("works-with-trouble")),
        "{test:#}"
    );
    assert_eq!(test["probes"][0]["verdict"], "refused", "{test:#}");
    assert_eq!(
        test_pull(&lab, "fallback.lab.test/lab/app:1", &["--strict"]).0,
        1
    );

    for (image, verdict) in [
        ("down.lab.test/lab/app:1", "refused"),
        ("unknown-ca.lab.test/lab/app:1", "tls-unknown-ca"),
        ("expired.lab.test/lab/app:1", "tls-expired"),
        ("wrong-host.lab.test/lab/app:1", "tls-wrong-name"),
        ("empty.lab.test/lab/app:1", "not-found"),
        ("forbidden.lab.test/lab/app:1", "forbidden"),
    ] {
        let (code, test) = test_pull(&lab, image, &[]);
        assert_eq!(
            (code, test["verdict"].as_str()),
            (1, Some("fails")),
            "{test:#}"
        );
        assert_eq!(test["probes"][0]["verdict"], verdict, "{test:#}");
        assert!(
            test["pull"]["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{test:#}"
        );
    }

    // A mirror with another digest: it is what comes, so it is what has to be named.
    let (_, test) = test_pull(&lab, "stale.lab.test/lab/app:1", &[]);
    assert_eq!(
        test["pull"]["digest"],
        lab.pull("stale.lab.test/lab/app:1")["served"],
        "{test:#}"
    );
    let expected = lab.pull("stale.lab.test/lab/app:1")["digest"]
        .as_str()
        .unwrap();
    let (code, test) = test_pull(
        &lab,
        "stale.lab.test/lab/app:1",
        &["--expect-digest", expected],
    );
    assert_eq!(
        (code, test["verdict"].as_str()),
        (1, Some("wrong-content")),
        "{test:#}"
    );

    assert_eq!(store(&lab), before, "the node is as it was");
}

#[test]
fn mirrors_of_containerd_1_6() {
    mirrors("1.6");
}

#[test]
fn mirrors_of_containerd_1_7() {
    mirrors("1.7");
}

#[test]
fn mirrors_of_containerd_2() {
    mirrors("2");
}

#[test]
fn mirrors_written_the_old_way() {
    for generation in ["1.4", "1.6", "2"] {
        let Some(lab) = Lab::up(&[
            "--generation",
            generation,
            "--pods",
            "0",
            "--config-style",
            "mirrors",
        ]) else {
            return;
        };
        let (code, test) = test_pull(&lab, "registry.lab.test/lab/app:1", &[]);
        assert_eq!(
            (code, test["verdict"].as_str()),
            (0, Some("works")),
            "containerd {generation}: {test:#}"
        );
        let good = lab.registry("good")["address"].as_str().unwrap();
        assert!(
            test["route"]["endpoints"][0]["url"]
                .as_str()
                .unwrap()
                .contains(good),
            "{test:#}"
        );
    }
}

#[test]
fn an_image_that_was_there_under_another_name_stays() {
    let Some(lab) = Lab::up(&["--pods", "0"]) else {
        return;
    };
    let (code, _) = test_pull(&lab, "registry.lab.test/lab/app:1", &["--keep"]);
    assert_eq!(code, 0);
    let before = store(&lab);

    // The same image by another name: only that name goes.
    let (code, test) = test_pull(&lab, "good.lab.test/lab/app:1", &[]);
    assert_eq!(code, 0, "{test:#}");
    let cleaned: Vec<&str> = test["cleanedUp"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(
        cleaned
            .iter()
            .all(|name| name.starts_with("good.lab.test/")),
        "{test:#}"
    );
    assert_eq!(store(&lab), before);

    // The same name again: nothing is created, so nothing goes.
    let (code, test) = test_pull(&lab, "registry.lab.test/lab/app:1", &[]);
    assert_eq!(code, 0, "{test:#}");
    assert_eq!(test["alreadyPresent"], true, "{test:#}");
    assert_eq!(
        test["cleanedUp"].as_array().map(Vec::len),
        Some(0),
        "{test:#}"
    );
    assert_eq!(store(&lab), before);
}

#[test]
fn an_image_that_a_container_took_meanwhile_is_left() {
    let node = criscope::fake::demo().unwrap();
    // The second look at the store waits until the container is there.
    let (rule, held) = Rule::on("ListContainers").skip(1).once().hold();
    node.rule(rule);
    let endpoint = node.endpoint();
    let host = tempfile::tempdir().unwrap();
    let root = host.path().to_str().unwrap().to_owned();
    let run = std::thread::spawn(move || {
        criscope([
            "test-pull",
            "registry.example.com/new/app:1",
            "-o",
            "json",
            "--host-root",
            &root,
        ])
        .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
        .outcome()
    });
    assert!(node.called_within("PullImage", 1, std::time::Duration::from_secs(60)));
    assert!(node.called_within("ListContainers", 2, std::time::Duration::from_secs(60)));
    node.world(|world| {
        let pod = world.add_pod(criscope::fake::world::Pod::new("shop", "quick"));
        world.add_container(
            &pod,
            criscope::fake::world::Container::new("app", "registry.example.com/new/app:1"),
        );
    });
    held.release();
    let outcome = run.join().unwrap();
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    let test = &document["images"][0];
    assert_eq!(
        test["cleanedUp"].as_array().map(Vec::len),
        Some(0),
        "{test:#}"
    );
    assert!(
        test["left"][0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("meanwhile")),
        "{test:#}"
    );
}
