//! `registry probe` beside real containerd: what it foretells is what the pull does.

use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;
use crate::support::run::Outcome;

fn ask(lab: &Lab, arguments: &[&str]) -> Outcome {
    criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome()
}

#[track_caller]
fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"))
}

/// Probes an image and pulls it, and returns both results.
#[track_caller]
fn probed_and_pulled(lab: &Lab, image: &str) -> (i32, Value, Value) {
    let outcome = ask(lab, &["registry", "probe", image, "-o", "json", "--deep"]);
    let document = json(&outcome);
    assert_eq!(document["kind"], "RegistryProbe");
    let pulled = json(&ask(lab, &["test-pull", image, "-o", "json"]));
    (
        outcome.code,
        document["images"][0].clone(),
        pulled["images"][0].clone(),
    )
}

/// An error without what depends on the version of Go, the clock and the nameserver.
fn stable(error: &str) -> String {
    let error = error.replace("tls: failed to verify certificate: ", "");
    let error = error.split(": current time").next().unwrap_or_default();
    match error
        .split_once(" on ")
        .and_then(|(head, rest)| Some((head, rest.split_once(":53")?.1)))
    {
        Some((head, tail)) => format!("{head}{tail}"),
        None => error.to_owned(),
    }
}

fn foretold(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
        return;
    };
    for image in [
        "registry.lab.test/lab/app:1",
        "registry.lab.test/lab/multi:1",
        "tls.lab.test/lab/app:1",
        "fallback.lab.test/lab/app:1",
        "down.lab.test/lab/app:1",
        "unknown-ca.lab.test/lab/app:1",
        "expired.lab.test/lab/app:1",
        "wrong-host.lab.test/lab/app:1",
        "empty.lab.test/lab/app:1",
        "forbidden.lab.test/lab/app:1",
        "stale.lab.test/lab/app:1",
        "unauthorized.lab.test/lab/app:1",
        "busy.lab.test/lab/app:1",
        "broken.lab.test/lab/app:1",
        "html.lab.test/lab/app:1",
    ] {
        let (code, probe, test) = probed_and_pulled(&lab, image);
        let prediction = &probe["prediction"];
        match test["pull"]["status"].as_str() {
            Some("ok") => {
                assert_eq!(
                    prediction["outcome"], "succeeds",
                    "{image}: {probe:#}\n{test:#}"
                );
                assert_eq!(
                    prediction["digest"], test["pull"]["digest"],
                    "{image}: {probe:#}\n{test:#}"
                );
            }
            _ => {
                assert_eq!(code, 1, "{image}: {probe:#}");
                assert_eq!(
                    prediction["outcome"], "fails",
                    "{image}: {probe:#}\n{test:#}"
                );
                if image.starts_with("unauthorized") && lab.version().starts_with("1.") {
                    // 1.x tells the status where later versions tell that there are no credentials.
                    continue;
                }
                let (said, foretold) = (
                    stable(test["pull"]["error"].as_str().unwrap()),
                    stable(prediction["error"]["text"].as_str().unwrap()),
                );
                assert!(
                    said.contains(&foretold),
                    "{image}: foretold `{foretold}`, containerd said `{said}`"
                );
            }
        }
    }
}

#[test]
fn what_is_foretold_of_containerd_1_6() {
    foretold("1.6");
}

#[test]
fn what_is_foretold_of_containerd_2() {
    foretold("2");
}

#[test]
fn a_mirror_that_is_in_no_file() {
    let Some(lab) = Lab::up(&["--pods", "0"]) else {
        return;
    };
    let good = lab.registry("good")["url"].as_str().unwrap();
    let outcome = ask(&lab, &["registry", "probe", "--endpoint", good]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome.stdout.contains("1 of 1 endpoints answer"),
        "{outcome}"
    );

    let down = lab.registry("down")["url"].as_str().unwrap();
    let outcome = ask(
        &lab,
        &[
            "registry",
            "probe",
            "--endpoint",
            good,
            "--endpoint",
            down,
            "--strict",
        ],
    );
    assert_eq!(outcome.code, 1, "{outcome}");

    let image = "registry.lab.test/lab/app:1";
    let document = json(&ask(
        &lab,
        &["registry", "probe", image, "--endpoint", good, "-o", "json"],
    ));
    let probe = &document["images"][0];
    assert_eq!(probe["verdict"], "works", "{probe:#}");
    assert_eq!(
        probe["probes"][0]["digest"],
        lab.pull(image)["digest"],
        "{probe:#}"
    );
    // A registry that serves whatever it has, whoever's it should be, is no mirror for everything.
    assert_eq!(
        probe["namespaces"][0]["ignoresNamespace"], true,
        "{probe:#}"
    );

    let text = ask(&lab, &["registry", "probe", image, "--endpoint", good]);
    assert!(
        text.stdout
            .contains("do not use it for more than one registry"),
        "{text}"
    );

    let tls = lab.registry("tls");
    let (url, ca) = (tls["url"].as_str().unwrap(), tls["ca"].as_str());
    let outcome = ask(&lab, &["registry", "probe", "--endpoint", url]);
    assert_eq!(outcome.code, 1, "{outcome}");
    if let Some(ca) = ca {
        let outcome = ask(&lab, &["registry", "probe", "--endpoint", url, "--ca", ca]);
        assert_eq!(outcome.code, 0, "{outcome}");
    }
    let outcome = ask(
        &lab,
        &["registry", "probe", "--endpoint", url, "--skip-verify"],
    );
    assert_eq!(outcome.code, 0, "{outcome}");
}

#[test]
fn endpoints_that_are_none() {
    for endpoint in ["ftp://mirror", "https://", "https://user:password@mirror"] {
        let outcome = criscope([
            "registry",
            "probe",
            "--endpoint",
            endpoint,
            "--as",
            "containerd@1.7.0",
            "--host-root",
            "/nonexistent",
        ])
        .outcome();
        assert_eq!(outcome.code, 2, "{outcome}");
        assert!(!outcome.stdout.contains("password"), "{outcome}");
    }
    assert_eq!(criscope(["registry", "probe"]).outcome().code, 2);
}
