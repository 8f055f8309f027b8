//! The schemas in `docs/schema` against what the binary really writes. The validator knows the words that the schemas use,
//! and refuses others.

use std::fs;
use std::path::Path;

use criscope::fake::{CriPlugin, Node};
use serde_json::{Value, json};

use crate::support::{criscope, demo_node};

/// What is wrong with a document, with the place of each fault.
fn faults(schema: &Value, root: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some(words) = schema.as_object() else {
        return vec![format!("{place}: the schema is no object")];
    };
    for (word, rule) in words {
        let bad = |text: String| vec![format!("{place}: {text}")];
        found.extend(match word.as_str() {
            "$schema" | "title" | "description" | "$defs" => Vec::new(),
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                let target = root
                    .pointer(pointer)
                    .expect("the reference leads somewhere");
                faults(target, root, value, place)
            }
            "const" if rule != value => bad(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                bad(format!("{value} is none of {rule}"))
            }
            "const" | "enum" => Vec::new(),
            "type" => {
                let allowed = |name: &Value| is(name.as_str().unwrap(), value);
                let fits = rule
                    .as_array()
                    .map_or_else(|| allowed(rule), |all| all.iter().any(allowed));
                if fits {
                    Vec::new()
                } else {
                    bad(format!("{value} is not {rule}"))
                }
            }
            "minimum" => match value.as_f64() {
                Some(number) if number < rule.as_f64().unwrap() => {
                    bad(format!("{number} is less than {rule}"))
                }
                _ => Vec::new(),
            },
            "pattern" => {
                let pattern = regex_lite::Regex::new(rule.as_str().unwrap()).unwrap();
                match value.as_str() {
                    Some(text) if !pattern.is_match(text) => {
                        bad(format!("{text} does not match {rule}"))
                    }
                    _ => Vec::new(),
                }
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .filter(|key| value.is_object() && value.get(key.as_str().unwrap()).is_none())
                .map(|key| format!("{place}: {key} is missing"))
                .collect(),
            "properties" => rule
                .as_object()
                .unwrap()
                .iter()
                .filter_map(|(key, rule)| Some((key, rule, value.get(key)?)))
                .flat_map(|(key, rule, value)| faults(rule, root, value, &format!("{place}/{key}")))
                .collect(),
            "additionalProperties" => match value.as_object() {
                Some(object) if rule == false => object
                    .keys()
                    .filter(|key| words["properties"].get(key.as_str()).is_none())
                    .map(|key| format!("{place}: {key} is not in the schema"))
                    .collect(),
                _ => Vec::new(),
            },
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
                .flat_map(|(index, item)| faults(rule, root, item, &format!("{place}/{index}")))
                .collect(),
            "anyOf" => {
                let any = rule.as_array().unwrap();
                if any
                    .iter()
                    .any(|one| faults(one, root, value, place).is_empty())
                {
                    Vec::new()
                } else {
                    bad(format!("{value} fits none of anyOf"))
                }
            }
            other => bad(format!("the validator does not know `{other}`")),
        });
    }
    found
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[track_caller]
fn valid(kind: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{kind}.json"));
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let document: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let faults = faults(&schema, &schema, &document, "");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_validator_finds_faults() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 1}}, "additionalProperties": false});
    assert!(faults(&schema, &schema, &json!({"a": 1}), "").is_empty());
    for wrong in [
        json!({}),
        json!({"a": 0}),
        json!({"a": "1"}),
        json!({"a": 1, "b": 2}),
        json!([]),
    ] {
        assert!(!faults(&schema, &schema, &wrong, "").is_empty(), "{wrong}");
    }
}

#[test]
fn reports() {
    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let demo = demo_node();
    for node in [&disabled, &demo] {
        for arguments in [
            &["doctor", "-o", "json", "--all"][..],
            &["why", "shop/checkout-5d7c8bb9f4-rj4hs", "-o", "json"],
            &[
                "preflight",
                "--from",
                "docker",
                "--to",
                "containerd@2.1.4",
                "-o",
                "json",
                "--all",
            ],
        ] {
            let outcome = criscope(arguments).on(node).outcome();
            valid("report", &outcome.stdout);
        }
    }
    let lint = criscope([
        "registry",
        "lint",
        "-",
        "-o",
        "json",
        "--as",
        "containerd@2.1.4",
    ])
    .stdin("version = 2\n[plugin.x]\n")
    .outcome();
    valid("report", &lint.stdout);
}

#[test]
fn endpoints_routes_and_comparisons() {
    let node = demo_node();
    let outcome = criscope(["endpoints", "-o", "json"]).on(&node).outcome();
    valid("endpoints", &outcome.stdout);
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    let arguments = [
        "registry",
        "route",
        "nginx:1.25",
        "--as",
        "containerd@1.7.28",
        "--host-root",
        root,
        "-o",
        "json",
    ];
    let outcome = criscope(arguments).outcome();
    valid("routes", &outcome.stdout);

    let arguments = ["test-pull", "127.0.0.1:1/app:1", "-o", "json"];
    let outcome = criscope(arguments).on(&node).outcome();
    valid("testpull", &outcome.stdout);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let report = criscope(["doctor", "--only", "endpoint", "-o", "json", "--all"])
        .on(&node)
        .outcome();
    fs::write(&file, report.stdout).unwrap();
    let file = file.to_str().unwrap();
    let outcome = criscope(["compare", file, file, "-o", "json"]).outcome();
    valid("comparison", &outcome.stdout);
}
