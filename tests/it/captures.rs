//! Held against real answers: what crictl printed on containerd 1.6, containerd 2.x, CRI-O 1.37 and cri-dockerd is served
//! again by the fake node, and criscope has to print the same.
//!
//! `tests/fixtures/captures/` holds crictl 1.36's output as it came. JSON is compared after parsing, because Go's
//! protojson varies its white space on purpose; tables by their headings, because the ages differ.

use criscope::cri;
use criscope::fake::{Answer, Node, Rule};
use criscope::wire::{self, MessageType, Typed};
use serde_json::{Map, Value, json};

use crate::support::criscope;

const RUNTIMES: [&str; 4] = ["containerd16", "containerd2", "crio", "dockershim"];

fn path(runtime: &str, file: &str) -> String {
    format!(
        "{}/tests/fixtures/captures/{runtime}/{file}",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn text(runtime: &str, file: &str) -> String {
    std::fs::read_to_string(path(runtime, file))
        .unwrap_or_else(|error| panic!("{runtime}/{file}: {error}"))
}

fn capture(runtime: &str, file: &str) -> Value {
    serde_json::from_str(&text(runtime, file)).expect("captures are JSON")
}

/// A node that answers `rpc` with `document`, encoded.
fn node(rpc: &str, ty: &'static MessageType, document: &Value) -> Node {
    let bytes = wire::encode(ty, document).unwrap_or_else(|error| panic!("{rpc}: {error}"));
    let rule = Rule::on(rpc).answer(Answer::Message(bytes.into()));
    Node::builder()
        .rule(rule)
        .start()
        .expect("the fake node starts")
}

#[test]
fn lists_print_what_crictl_printed() {
    let lists: [(&str, &str, &'static MessageType, &[&str]); 3] = [
        (
            "ListPodSandbox",
            "pods.json",
            cri::ListPodSandboxResponse::TYPE,
            &["pods", "-o", "json"],
        ),
        (
            "ListContainers",
            "ps.json",
            cri::ListContainersResponse::TYPE,
            &["ps", "-a", "-o", "json"],
        ),
        (
            "ListImages",
            "images.json",
            cri::ListImagesResponse::TYPE,
            &["images", "-o", "json"],
        ),
    ];
    for runtime in RUNTIMES {
        for (rpc, file, ty, arguments) in lists {
            let expected = capture(runtime, file);
            let node = node(rpc, ty, &expected);
            let found = criscope(arguments.iter()).on(&node).json();
            assert_eq!(found, expected, "{runtime}: {arguments:?}");
        }
    }
}

#[test]
fn ids_are_those_of_crictl_in_its_order() {
    for runtime in RUNTIMES {
        let expected = capture(runtime, "ps.json");
        let ids: Vec<&str> = expected["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].as_str().unwrap())
            .collect();
        let node = node(
            "ListContainers",
            cri::ListContainersResponse::TYPE,
            &expected,
        );
        let found = criscope(["ps", "-aq"]).on(&node).stdout();
        assert_eq!(found.lines().collect::<Vec<_>>(), ids, "{runtime}");
    }
}

#[test]
fn tables_have_crictl_s_columns() {
    for runtime in ["containerd16", "containerd2", "crio"] {
        let tables: [(&str, &str, &str, &'static MessageType, &[&str]); 4] = [
            (
                "ListPodSandbox",
                "pods.json",
                "pods_.out",
                cri::ListPodSandboxResponse::TYPE,
                &["pods"],
            ),
            (
                "ListContainers",
                "ps.json",
                "ps_-a_.out",
                cri::ListContainersResponse::TYPE,
                &["ps", "-a"],
            ),
            (
                "ListImages",
                "images.json",
                "images_.out",
                cri::ListImagesResponse::TYPE,
                &["images"],
            ),
            (
                "ListImages",
                "images.json",
                "images_--digests_--no-trunc_.out",
                cri::ListImagesResponse::TYPE,
                &["images", "--digests", "--no-trunc"],
            ),
        ];
        for (rpc, data, table, ty, arguments) in tables {
            let node = node(rpc, ty, &capture(runtime, data));
            let found = criscope(arguments.iter()).on(&node).stdout();
            let expected = text(runtime, table);
            let words = |line: &str| {
                line.split("   ")
                    .filter(|w| !w.is_empty())
                    .map(|w| w.trim().to_owned())
                    .collect()
            };
            let headings: Vec<String> = words(expected.lines().next().unwrap());
            let ours: Vec<String> = words(found.lines().next().unwrap());
            assert_eq!(ours, headings, "{runtime}: {arguments:?}");
            if rpc == "ListImages" {
                // Images have no age: the whole table is the same.
                assert_eq!(
                    found.trim_end(),
                    expected.trim_end(),
                    "{runtime}: {arguments:?}"
                );
            }
        }
    }
}

/// Turns the document of an inspection back into the answer that it was made from.
fn response(document: &Value, status: &str) -> Value {
    let mut document = document.as_object().unwrap().clone();
    let mut fields = document.remove("status").unwrap();
    let fields_map = fields.as_object_mut().unwrap();
    fields_map.retain(|_, value| !value.is_null());
    for key in ["createdAt", "startedAt", "finishedAt"] {
        if let Some(time) = fields_map.get_mut(key) {
            let text = time.as_str().unwrap();
            let nanoseconds = match text {
                "0001-01-01T00:00:00Z" => 0,
                text => text.parse::<jiff::Timestamp>().unwrap().as_nanosecond(),
            };
            *time = json!(nanoseconds.to_string());
        }
    }
    let info: Map<String, Value> = document
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => (key, Value::String(text)),
            value => (key, Value::String(value.to_string())),
        })
        .collect();
    json!({ status: fields, "info": info })
}

#[test]
fn inspections_print_what_crictl_printed() {
    let inspections: [(&str, &str, &str, &'static MessageType, &str); 4] = [
        (
            "ContainerStatus",
            "inspect-1.json",
            "status",
            cri::ContainerStatusResponse::TYPE,
            "inspect",
        ),
        (
            "ContainerStatus",
            "inspect-2.json",
            "status",
            cri::ContainerStatusResponse::TYPE,
            "inspect",
        ),
        (
            "PodSandboxStatus",
            "inspectp-1.json",
            "status",
            cri::PodSandboxStatusResponse::TYPE,
            "inspectp",
        ),
        (
            "ImageStatus",
            "inspecti-2.json",
            "image",
            cri::ImageStatusResponse::TYPE,
            "inspecti",
        ),
    ];
    for runtime in RUNTIMES {
        for (rpc, file, status, ty, command) in inspections {
            let expected = capture(runtime, file);
            let node = node(rpc, ty, &response(&expected, status));
            let found = criscope([command, "some-id"]).on(&node).json();
            assert_eq!(found, expected, "{runtime}: {command}");
        }
        let expected = capture(runtime, "imagefsinfo.json");
        let node = node(
            "ImageFsInfo",
            cri::ImageFsInfoResponse::TYPE,
            &expected["status"],
        );
        assert_eq!(
            criscope(["imagefsinfo"]).on(&node).json(),
            expected,
            "{runtime}: imagefsinfo"
        );
    }
}
