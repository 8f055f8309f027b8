//! `port-forward` on real runtimes: many connections at a time, and a port where nobody listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::lab::Lab;

const REQUESTS: usize = 1000;
const AT_ONCE: usize = 50;

/// `criscope port-forward`, and the local ports that it named.
struct Tunnel {
    child: Child,
    ports: Vec<u16>,
}

impl Tunnel {
    fn open(lab: &Lab, arguments: &[&str], lines: usize) -> Self {
        let mut child = lab
            .criscope(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ports = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert!(line.starts_with("Forwarding from "), "{line:?}");
            let (here, _) = line.split_once(" -> ").unwrap();
            ports.push(here.rsplit(':').next().unwrap().parse().unwrap());
        }
        Self { child, ports }
    }

    /// Ends it as Ctrl-C does; returns the exit code and what it said.
    fn close(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

/// One request; the answer, up to where its head ends.
fn request(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /nosuch HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        answer.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&answer);
        if count == 0 || text.contains("\r\n\r\n") {
            return text.into_owned();
        }
    }
}

#[track_caller]
fn everything(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "2"]) else {
        return;
    };
    let pods = lab.document["pods"].as_array().unwrap();
    let name = |pod: &serde_json::Value| pod["name"].as_str().unwrap().to_owned();
    let web = pods.iter().map(name).find(|name| name.starts_with("web"));
    let web = web.expect("a pod serves HTTP");
    for transport in ["auto", "websocket", "spdy"] {
        let arguments = [
            "port-forward",
            "-r",
            transport,
            &web,
            ":8080",
            ":81",
            "--address",
            "127.0.0.1",
        ];
        let tunnel = Tunnel::open(&lab, &arguments, 2);
        // Nobody listens at 81: that connection ends, and no other.
        assert_eq!(request(tunnel.ports[1]), "");
        let (next, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                        if request(tunnel.ports[0]).starts_with("HTTP/1.") {
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(good.into_inner(), REQUESTS, "{transport}");
        let (code, said) = tunnel.close();
        assert_eq!(code, Some(130), "{said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        assert!(said.contains("a connection to port 81 failed"), "{said}");
        assert!(said.contains("connection refused"), "{said}");
    }
    // On both loopback addresses, with the same port.
    let tunnel = Tunnel::open(&lab, &["port-forward", &web, ":8080"], 2);
    assert_eq!(tunnel.ports[0], tunnel.ports[1]);
    assert!(request(tunnel.ports[0]).starts_with("HTTP/1."));
    assert_eq!(tunnel.close(), (Some(130), String::new()));
    a_killed_daemon(&lab, &web);
}

/// A daemon that is killed under an open connection: one sentence, and the end. The last thing that is done to a lab.
fn a_killed_daemon(lab: &Lab, web: &str) {
    let arguments = ["port-forward", web, ":8080", "--address", "127.0.0.1"];
    let mut tunnel = Tunnel::open(lab, &arguments, 1);
    assert!(request(tunnel.ports[0]).starts_with("HTTP/1."));
    let mut open = TcpStream::connect(("127.0.0.1", tunnel.ports[0])).unwrap();
    open.write_all(b"GET /").unwrap();
    // A second one that is answered: the first is carried by now.
    assert!(request(tunnel.ports[0]).starts_with("HTTP/1."));
    lab.tell("signal", &["KILL"]);
    let mut said = String::new();
    let mut stderr = tunnel.child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(tunnel.child.wait().unwrap().code(), Some(1), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(
        said.contains("the connection to the runtime was lost"),
        "{said}"
    );
}

#[test]
fn port_forward_on_containerd_1_6() {
    everything("1.6");
}

#[test]
fn port_forward_on_containerd_1_7() {
    everything("1.7");
}

#[test]
fn port_forward_on_containerd_2() {
    everything("2");
}
