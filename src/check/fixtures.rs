//! For every check a node that triggers it and one that does not, both made from one healthy node by a few changes.
//!
//! [`FIXTURES`] is held against the table: a check without a fixture fails the tests. The documentation shows what the
//! bad nodes produce.

mod cgroup;
mod cni;
mod config;
mod cri;
mod daemon;
mod docker;
mod endpoint;
mod expected;
mod handlers;
mod healthy;
mod image;
mod kernel;
mod kubelet;
mod migration;
mod reach;
mod security;
mod storage;
mod subject;

use std::collections::BTreeSet;

use super::finding::{Finding, Status};
use super::scope::{Profile, Scope, Selector};
use super::{Judge, Report, examine, table};
use crate::facts::{Facts, Source};

pub use healthy::healthy;

/// A node that triggers a check, and one that does not.
#[derive(Clone, Copy)]
pub struct Fixture {
    /// The check.
    pub code: &'static str,
    /// What makes the healthy node trigger it.
    pub bad: fn(&mut Facts),
    /// What makes the healthy node pass it, where it does not by itself.
    pub good: fn(&mut Facts),
}

/// A fixture whose good node is the healthy one.
const fn bad(code: &'static str, bad: fn(&mut Facts)) -> Fixture {
    Fixture {
        code,
        bad,
        good: |_| {},
    }
}

/// A fixture with a good node of its own.
const fn both(code: &'static str, bad: fn(&mut Facts), good: fn(&mut Facts)) -> Fixture {
    Fixture { code, bad, good }
}

/// All fixtures.
pub fn fixtures() -> impl Iterator<Item = &'static Fixture> {
    [
        endpoint::FIXTURES,
        cri::FIXTURES,
        cgroup::FIXTURES,
        cni::FIXTURES,
        handlers::FIXTURES,
        config::FIXTURES,
        image::FIXTURES,
        kernel::FIXTURES,
        storage::FIXTURES,
        subject::FIXTURES,
        kubelet::FIXTURES,
        docker::FIXTURES,
        security::FIXTURES,
        daemon::FIXTURES,
        migration::FIXTURES,
        reach::FIXTURES,
        expected::FIXTURES,
    ]
    .into_iter()
    .flatten()
}

/// The fixture of a check.
pub fn fixture(code: &str) -> &'static Fixture {
    fixtures().find(|fixture| fixture.code == code).unwrap()
}

/// A node with changes.
pub fn node(change: fn(&mut Facts)) -> Facts {
    let mut facts = healthy();
    change(&mut facts);
    facts
}

/// Everything that one check says about a node.
pub fn judge(code: &str, facts: &Facts) -> Vec<Finding> {
    let mut scope = Scope::of(Profile::Node);
    scope.only = vec![Selector::parse(code).unwrap()];
    scope.all = true;
    examine(facts, &scope).findings
}

/// The report about a node in a profile.
pub fn report(profile: Profile, facts: &Facts) -> Report {
    examine(facts, &Scope::of(profile))
}

#[test]
fn every_check_has_a_fixture_and_every_fixture_a_check() {
    let codes: Vec<&str> = table().map(|check| check.code).collect();
    let unique: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(codes.len(), unique.len(), "codes are unique");
    // What the lint says has pairs of files of its own, `registry/cases/lint.rs`.
    let unique: BTreeSet<&str> = table()
        .filter(|check| matches!(check.judge, Judge::By(_)))
        .map(|check| check.code)
        .collect();
    let have: BTreeSet<&str> = fixtures().map(|fixture| fixture.code).collect();
    let missing: Vec<_> = unique.difference(&have).collect();
    let surplus: Vec<_> = have.difference(&unique).collect();
    assert!(missing.is_empty(), "checks without a fixture: {missing:?}");
    assert!(surplus.is_empty(), "fixtures without a check: {surplus:?}");
}

#[test]
fn bad_nodes_trigger_and_good_nodes_pass() {
    let mut wrong = Vec::new();
    for fixture in fixtures() {
        let found = judge(fixture.code, &node(fixture.bad));
        let check = super::find(fixture.code).unwrap();
        // What never fails tells something instead.
        let tells = found.iter().any(|finding| {
            finding.status.is_problem()
                || check.severity == super::Severity::Info && finding.status == Status::Pass
        });
        if !tells {
            wrong.push(format!("{}: the bad node gives {found:#?}", fixture.code));
        }
        let found = judge(fixture.code, &node(fixture.good));
        if found.iter().any(|finding| finding.status != Status::Pass) {
            wrong.push(format!("{}: the good node gives {found:#?}", fixture.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_healthy_node_has_no_finding_in_any_profile() {
    for profile in Profile::ALL {
        let report = report(*profile, &healthy());
        // What it runs is of 2023, which is no fault but is said before an upgrade.
        let aged = ["cri-runtimeconfig", "runtime-support-end"];
        let wrong: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|found| *profile != Profile::Preflight || !aged.contains(&found.code.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", profile.name());
        assert!(report.summary.pass > 0 || *profile == Profile::Registry);
    }
}

#[test]
fn facts_that_were_saved_are_judged_alike() {
    let all = Scope {
        all: true,
        ..Scope::of(Profile::Node)
    };
    for fixture in fixtures() {
        let facts = node(fixture.bad);
        let saved = serde_json::to_string(&facts).unwrap();
        let again: Facts = serde_json::from_str(&saved).unwrap();
        assert_eq!(
            examine(&facts, &all),
            examine(&again, &all),
            "{}",
            fixture.code
        );
    }
}

#[test]
fn problems_are_told_with_a_place_and_a_remedy() {
    let mut wrong = Vec::new();
    for fixture in fixtures() {
        for finding in judge(fixture.code, &node(fixture.bad)) {
            if !finding.status.is_problem() {
                continue;
            }
            let remedy = finding
                .remedy
                .as_ref()
                .is_some_and(|remedy| !remedy.text.is_empty());
            if finding.source.is_none() && finding.evidence.is_empty() || !remedy {
                wrong.push(format!("{}: {finding:#?}", fixture.code));
            }
            if finding.message.ends_with('.') {
                wrong.push(format!(
                    "{}: `{}` is no clause",
                    fixture.code, finding.message
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_judged_by_the_rules_of_the_version() {
    use crate::registry::tree::Tree;
    let config = |text: &str| {
        let mut tree = Tree::new();
        tree.add_text("/etc/containerd/config.toml", text);
        let mut facts = Facts::default();
        facts.files.tree = tree;
        report(Profile::Node, &facts)
    };
    let clash = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n";
    assert_eq!(
        config(clash).findings[0].code.as_str(),
        "registry-style-clash"
    );
    let singular = "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"x\"\n";
    let report = config(singular);
    assert_eq!(
        report.findings[0].code.as_str(),
        "containerd-singular-table"
    );
    assert!(report.findings[0].remedy.as_ref().unwrap().edit.is_some());
}

/// The codes about a node whose CRI plugin failed with the words of the fixture, with a changed config.toml.
fn failed_with(from: &str, to: &str) -> Vec<Finding> {
    let mut facts = node(fixture("cri-plugin-loaded").bad);
    facts.assumed = Some("containerd@1.7.28".to_owned());
    let path = "/etc/containerd/config.toml";
    let text = facts.files.text(path).unwrap().replace(from, to);
    facts.files.tree.add_text(path, text);
    report(Profile::Health, &facts).findings
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    let codes = findings.iter().map(|finding| finding.code.as_str());
    codes.collect()
}

#[test]
fn the_file_that_broke_it_speaks_for_the_plugin_that_failed() {
    let path = "config_path = \"/etc/containerd/certs.d\"\n";
    let mirror = "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n";
    let findings = failed_with(path, &format!("{path}{mirror}"));
    assert_eq!(codes(&findings), ["registry-style-clash"], "{findings:#?}");
    let rpc = Source::rpc("Introspection.Plugins");
    assert!(
        findings[0]
            .evidence
            .iter()
            .any(|evidence| evidence.source == rpc)
    );
    assert!(
        findings[0]
            .runtime_says
            .as_ref()
            .unwrap()
            .starts_with("invalid plugin config")
    );
}

#[test]
fn a_file_does_not_speak_for_a_plugin_that_failed_of_something_else() {
    let findings = failed_with(
        "version = 2",
        "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]",
    );
    assert_eq!(
        codes(&findings),
        ["containerd-cri-disabled", "cri-plugin-loaded"],
        "{findings:#?}"
    );
}
