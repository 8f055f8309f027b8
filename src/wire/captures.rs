//! Held against what crictl printed on real runtimes (`tests/fixtures/captures`): a recorded answer goes through
//! [`encode`] and back, and comes out letter for letter.

use serde_json::Value;

use super::json::{Layout, text};
use super::{MessageType, Typed, Unset, encode, unknown_fields, value};
use crate::cri;

const RUNTIMES: [&str; 4] = ["containerd16", "containerd2", "crio", "dockershim"];

/// The lists, which crictl prints with `protojson`.
const LISTS: [(&str, &MessageType); 7] = [
    ("ps", cri::ListContainersResponse::TYPE),
    ("pods", cri::ListPodSandboxResponse::TYPE),
    ("images", cri::ListImagesResponse::TYPE),
    ("stats", cri::ListContainerStatsResponse::TYPE),
    ("statsp", cri::ListPodSandboxStatsResponse::TYPE),
    ("metricsp", cri::ListPodSandboxMetricsResponse::TYPE),
    ("metricdescs", cri::ListMetricDescriptorsResponse::TYPE),
];

/// What the dockershim stand-in and containerd 1.6 answered with `Unimplemented`.
const MISSING: [(&str, &str); 5] = [
    ("containerd16", "metricsp"),
    ("containerd16", "metricdescs"),
    ("dockershim", "statsp"),
    ("dockershim", "metricsp"),
    ("dockershim", "metricdescs"),
];

fn capture(runtime: &str, name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/fixtures/captures/{runtime}/{name}.json");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same JSON without spaces between its parts: `protojson` varies them from build to build.
fn without_spaces(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    json.chars()
        .filter(|&letter| {
            let keep = quoted || !letter.is_whitespace();
            quoted ^= letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            keep
        })
        .collect()
}

#[test]
fn lists_are_printed_as_crictl_prints_them() {
    for runtime in RUNTIMES {
        for (name, ty) in LISTS {
            if MISSING.contains(&(runtime, name)) {
                continue;
            }
            let capture = capture(runtime, name);
            let document: Value = serde_json::from_str(&capture).unwrap();
            let bytes = encode(ty, &document).unwrap();
            let compact = text(ty, &bytes, Layout::Compact).unwrap();
            assert_eq!(compact, without_spaces(&capture), "{runtime}/{name}");
            let pretty = text(ty, &bytes, Layout::Pretty).unwrap() + "\n";
            assert_eq!(pretty, capture.replace("\":  ", "\": "), "{runtime}/{name}");
            assert_eq!(value(ty, &bytes, Unset::Omit), Ok(document));
            assert!(unknown_fields(ty, &bytes).unwrap().is_empty());
        }
    }
}

/// The answers that crictl decodes and prints again: keys in alphabetical order, times rewritten.
#[test]
fn inspections_are_the_documents_that_crictl_reshapes() {
    for runtime in RUNTIMES {
        for (name, ty, unset) in [
            ("inspect-1", cri::ContainerStatus::TYPE, Unset::Null),
            ("inspect-2", cri::ContainerStatus::TYPE, Unset::Null),
            ("inspectp-1", cri::PodSandboxStatus::TYPE, Unset::Null),
            ("inspecti-2", cri::Image::TYPE, Unset::Omit),
            ("imagefsinfo", cri::ImageFsInfoResponse::TYPE, Unset::Omit),
        ] {
            let mut document: Value = serde_json::from_str(&capture(runtime, name)).unwrap();
            let mut status = document["status"].take();
            for (key, value) in status.as_object_mut().unwrap() {
                if let ("createdAt" | "startedAt" | "finishedAt", Some(time)) =
                    (&**key, value.as_str())
                {
                    *value = nanoseconds(time).into();
                }
            }
            let bytes = encode(ty, &status).unwrap();
            assert_eq!(value(ty, &bytes, unset), Ok(status), "{runtime}/{name}");
        }
    }
}

/// A time as it was in the answer. crictl shows the time zero of Go for what has not happened.
fn nanoseconds(time: &str) -> String {
    match time {
        "0001-01-01T00:00:00Z" => "0".to_owned(),
        _ => time
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_nanosecond()
            .to_string(),
    }
}

/// containerd shows the configuration it was given in Go's own JSON: names of the proto, enums as numbers.
#[test]
fn configurations_are_taken_in_the_spelling_of_go() {
    for runtime in ["containerd16", "containerd2"] {
        for (name, ty) in [
            ("inspect-1", cri::ContainerConfig::TYPE),
            ("inspect-2", cri::ContainerConfig::TYPE),
            ("inspectp-1", cri::PodSandboxConfig::TYPE),
        ] {
            let document: Value = serde_json::from_str(&capture(runtime, name)).unwrap();
            let config = &document["info"]["config"];
            let bytes = encode(ty, config).unwrap();
            let shown = value(ty, &bytes, Unset::Omit).unwrap();
            assert_eq!(shown["metadata"]["name"], config["metadata"]["name"]);
            assert_eq!(encode(ty, &shown), Ok(bytes), "{runtime}/{name}");
        }
    }
}
