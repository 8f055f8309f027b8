//! `attach` on real runtimes: a container that waits for its input, and how it ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use criscope::client::{Client, Options};
use criscope::cri;

use crate::support::lab::Lab;
use crate::support::terminal::Terminal;

/// Starts a container beside another one, with the same image, that runs this script and keeps its input open.
fn start(lab: &Lab, script: &str, tty: bool) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = Options {
            deadline: Duration::from_secs(10),
            fall_back: false,
        };
        let endpoint = lab.endpoint().parse().unwrap();
        let client = Client::connect(&endpoint, None, options).await.unwrap();
        let pods = client.list_pod_sandbox(Default::default()).await.unwrap();
        let pod = pods.decode().unwrap().items.remove(0);
        let all = client.list_containers(Default::default()).await.unwrap();
        let image = all.decode().unwrap().containers.remove(0).image;
        let status = client
            .pod_sandbox_status(cri::PodSandboxStatusRequest {
                pod_sandbox_id: pod.id.clone(),
                verbose: true,
            })
            .await
            .unwrap();
        let info = status.decode().unwrap().info;
        let info: serde_json::Value = serde_json::from_str(&info["info"]).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let sandbox = cri::PodSandboxConfig {
            metadata: pod.metadata.clone(),
            log_directory: text(&info["config"]["log_directory"]),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: text(&info["config"]["linux"]["cgroup_parent"]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let config = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: format!("attached-{}", script.len()),
                attempt: 0,
            }),
            image,
            command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
            stdin: true,
            stdin_once: true,
            tty,
            ..Default::default()
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.id,
            config: Some(config),
            sandbox_config: Some(sandbox),
        };
        let deadline = Some(options.deadline);
        let created = client.create_container(request, deadline).await.unwrap();
        let id = created.decode().unwrap().container_id;
        let request = cri::StartContainerRequest {
            container_id: id.clone(),
        };
        client.start_container(request, deadline).await.unwrap();
        id
    })
}

#[track_caller]
fn everything(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
        return;
    };
    let script = "read x; echo got $x; echo err >&2; cat; exit 4";
    let id = start(&lab, script, false);
    let mut child = lab
        .criscope(&["attach", "-i", &id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The end of the input arrives too, or `cat` would go on.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"word\nmore\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(output.stdout, b"got word\nmore\n", "{output:?}");
    assert_eq!(output.stderr, b"err\n", "{output:?}");

    // Who only looks on does not end the input.
    let script = "while true; do echo tick; sleep 0.1; done & \
        while read x; do echo got $x; done; kill %1; exit 6";
    let id = start(&lab, script, false);
    let attach = |arguments: &[&str]| {
        let mut command = lab.criscope(&[&["attach"], arguments, &[&id]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut looks_on = attach(&[]);
    let mut stdout = BufReader::new(looks_on.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    assert_eq!(text, "tick\n");
    let mut types = attach(&["-i"]);
    types.stdin.take().unwrap().write_all(b"word\n").unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert!(text.contains("\ngot word\n"), "{text}");
    assert_eq!(looks_on.wait().unwrap().code(), Some(6));
    assert_eq!(types.wait().unwrap().code(), Some(6));

    let id = start(&lab, "read x; echo got $x; exit 5", true);
    let attach = format!("attach -it {id}");
    let mut terminal = Terminal::run(&lab, &attach);
    terminal.keys(b"\x10\x11");
    let text = terminal.end();
    assert!(
        text.contains("detached") && text.contains("code 0"),
        "{text}"
    );
    // It went on, and is there for the next one.
    let mut terminal = Terminal::run(&lab, &attach);
    terminal.keys(b"word\r");
    let text = terminal.end();
    assert!(
        text.contains("got word") && text.contains("code 5"),
        "{text}"
    );
}

#[test]
fn attach_on_containerd_1_6() {
    everything("1.6");
}

#[test]
fn attach_on_containerd_1_7() {
    everything("1.7");
}

#[test]
fn attach_on_containerd_2() {
    everything("2");
}
