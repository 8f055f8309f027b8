//! `stats`, `statsp`, `metricsp`, `metricdescs`: a measurement, the counters as they are, what is shown again.

use std::time::Duration;

use crate::support::{criscope, small};

#[test]
fn cpu_is_measured_between_two_looks() {
    let node = small::node();
    let text = criscope(["stats", "-s", "0.1"]).on(&node).stdout();
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        [
            "CONTAINER",
            "NAME",
            "CPU",
            "%",
            "MEM",
            "DISK",
            "INODES",
            "SWAP"
        ]
    );
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows.is_sorted_by_key(|row| row[0]), "{text}");
    for row in &rows {
        let id = node.world(|world| {
            let container = world
                .containers
                .iter()
                .find(|c| c.status.id.starts_with(row[0]));
            container.unwrap().status.id.clone()
        });
        // The fake's load follows from the id: 0.1 % for each step of the first byte.
        let expected = f64::from(u8::from_str_radix(&id[..2], 16).unwrap() + 1) / 10.0;
        let percent: f64 = row[2].parse().unwrap();
        assert!(
            (percent - expected).abs() < 0.2,
            "{percent} is not {expected}"
        );
    }
    assert_eq!(
        node.rpcs()
            .iter()
            .filter(|rpc| *rpc == "ListContainerStats")
            .count(),
        2
    );
}

#[test]
fn containers_can_be_named() {
    let node = small::node();
    for name in ["default/web-2/web", "default/web-2"] {
        let document = criscope(["stats", "-o", "json", name]).on(&node).json();
        let stats = document["stats"].as_array().unwrap();
        assert_eq!(stats.len(), 1);
        assert_eq!(
            stats[0]["attributes"]["labels"]["io.kubernetes.pod.name"],
            "web-2"
        );
    }
    let document = criscope(["stats", "-o", "json", "proxy", "default/web-2/web"])
        .on(&node)
        .json();
    assert_eq!(document["stats"].as_array().unwrap().len(), 2);
    let outcome = criscope(["stats", "nosuch"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("there is no container `nosuch`"),
        "{outcome}"
    );
}

#[test]
fn a_counter_that_stands_still_has_no_rate() {
    let mut world = criscope::fake::World::empty_at(
        "containerd",
        "1.7.28",
        criscope::fake::world::Clock::Fixed(1_700_000_000_000_000_000),
    );
    let pod = world.add_pod(criscope::fake::world::Pod::new("default", "web-1"));
    world.add_container(
        &pod,
        criscope::fake::world::Container::new("web", small::WEB),
    );
    let node = criscope::fake::Node::builder()
        .world(world)
        .start()
        .unwrap();
    // The runtime tells a rate of its own, which is better than nothing.
    let text = criscope(["stats", "-s", "0.1"]).on(&node).stdout();
    let percent = text
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .nth(2)
        .unwrap();
    assert!(percent.parse::<f64>().unwrap() > 0.0, "{text}");
}

#[test]
fn pods_are_measured_too() {
    let node = small::node();
    let text = criscope(["statsp", "-s", "0.1", "-o", "wide"])
        .on(&node)
        .stdout();
    assert!(text.starts_with("POD "), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    let document = criscope(["statsp", "-o", "json", "web-1"]).on(&node).json();
    assert_eq!(
        document["stats"][0]["attributes"]["metadata"]["name"],
        "web-1"
    );
}

#[test]
fn a_watch_goes_on_and_draws_nothing_into_a_pipe() {
    let node = small::node();
    let mut watch = criscope(["stats", "-w", "-s", "0.1"]).on(&node).spawn();
    let mut headings = 0;
    while headings < 3 {
        let line = watch.line().expect("it goes on");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        headings += usize::from(line.starts_with("CONTAINER"));
    }
    watch.interrupt();
    assert_eq!(watch.wait().code, 130);
    assert!(node.called_within("ListContainerStats", 4, Duration::ZERO));
}

#[test]
fn metrics_and_what_they_mean() {
    let node = small::node_of("2.2.0");
    let document = criscope(["metricsp"]).on(&node).json();
    assert_eq!(document["podMetrics"].as_array().unwrap().len(), 2);
    let lines = criscope(["metricsp", "-o", "ndjson"]).on(&node).stdout();
    assert_eq!(lines.lines().count(), 2);
    let document = criscope(["metricdescs"]).on(&node).json();
    assert!(document["descriptors"].is_array());
    let table = criscope(["metricdescs", "-o", "table"]).on(&node).stdout();
    assert!(table.starts_with("METRIC"), "{table}");
}
