//! The kubelet: which version it is, and what it answers on its health port.
//!
//! The port is on the loopback of the kubelet's network namespace; from another one nothing is asked. The version is
//! that of the package, or stands in the path of the program (RKE2); a kubelet does not tell it to strangers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::facts::kubelet::{Health, Kubelet, Settings};
use crate::facts::{Fact, Facts, Role, Source};

/// No answer about health is so long.
const LONGEST: u64 = 16 << 10;

/// Asks the kubelet of a host that runs. Needs processes, files and packages to be known.
pub(super) async fn look(facts: &Facts, deadline: Duration) -> Kubelet {
    Kubelet {
        version: version(facts),
        health: health(facts, deadline).await,
    }
}

fn version(facts: &Facts) -> Fact<String> {
    for process in facts.processes(Role::Kubelet) {
        let Some(exe) = process.exe.value() else {
            continue;
        };
        if let Some(version) = in_path(&exe.path) {
            let source = Source::proc(format!("/proc/{}/exe", process.pid));
            return Fact::known(version.to_owned(), source);
        }
    }
    match &facts.host.packages {
        Fact::Known { value, source } => match value.get("kubelet") {
            Some(package) => Fact::known(package.version.clone(), source.clone()),
            None => Fact::unknown("no package and no path tells the kubelet's version"),
        },
        Fact::Absent { what } => Fact::unknown(what.clone()),
        Fact::Unknown { reason } => Fact::unknown(reason.clone()),
    }
}

/// The version in a path as `/var/lib/rancher/rke2/data/v1.31.2-rke2r1-1a2b3c/bin/kubelet`.
fn in_path(path: &str) -> Option<&str> {
    path.split('/').find(|part| {
        part.strip_prefix("v1.")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

async fn health(facts: &Facts, deadline: Duration) -> Fact<Health> {
    let Some(kubelet) = facts.processes(Role::Kubelet).next() else {
        return match &facts.processes {
            Fact::Known { .. } => Fact::absent("no kubelet runs"),
            Fact::Absent { what } => Fact::absent(what.clone()),
            Fact::Unknown { reason } => Fact::unknown(reason.clone()),
        };
    };
    let space = |path: &str| std::fs::read_link(path).ok();
    let root = &facts.host.root;
    let theirs = root.join(format!("proc/{}/ns/net", kubelet.pid));
    let theirs = std::fs::read_link(&theirs).ok();
    if theirs.is_none() || theirs != space("/proc/self/ns/net") {
        return Fact::unknown(
            "the kubelet's loopback cannot be reached from this network namespace",
        );
    }
    let setting = |flag: &str, key: &str| {
        let settings = Settings::of(facts).ok()?;
        let setting = settings.setting(Some(flag), key).ok()??;
        let word = setting.word().map(str::to_owned);
        word.or_else(|| Some(setting.value.to_string()))
    };
    let port = setting("--healthz-port", "healthzPort").unwrap_or_else(|| "10248".to_owned());
    let address = setting("--healthz-bind-address", "healthzBindAddress")
        .unwrap_or_else(|| "127.0.0.1".to_owned());
    let (Ok(port), Ok(address)) = (port.parse::<u16>(), address.parse::<std::net::IpAddr>()) else {
        return Fact::unknown("the kubelet's health address is not understood");
    };
    if port == 0 {
        return Fact::absent("the kubelet's health port is switched off");
    }
    let address = std::net::SocketAddr::new(address, port);
    let url = format!("http://{address}/healthz");
    let answer = match tokio::time::timeout(deadline, get(address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Health {
            status: 0,
            body: error.to_string(),
        },
        Err(_) => Health {
            status: 0,
            body: format!("no answer within {} ms", deadline.as_millis()),
        },
    };
    Fact::known(answer, Source::Http { url })
}

async fn get(address: std::net::SocketAddr) -> std::io::Result<Health> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /healthz HTTP/1.0\r\nHost: {address}\r\nUser-Agent: criscope\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(LONGEST).read_to_end(&mut bytes).await?;
    answer(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is no HTTP")
    })
}

/// Reads an answer: its status, and of its body the line that complains.
fn answer(text: &str) -> Option<Health> {
    let status = text
        .strip_prefix("HTTP/")?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let complaint = body.lines().find(|line| line.starts_with("[-]"));
    let line = complaint.or_else(|| body.lines().next());
    Some(Health {
        status,
        body: line.unwrap_or_default().chars().take(400).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_health_port() {
        let text = "HTTP/1.0 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        assert_eq!(
            answer(text),
            Some(Health {
                status: 500,
                body: "[-]syncloop failed: reason withheld".to_owned()
            })
        );
        let fine = answer("HTTP/1.1 200 OK\r\n\r\nok").unwrap();
        assert_eq!((fine.status, fine.body.as_str()), (200, "ok"));
        assert_eq!(answer("garbage"), None);
    }

    #[test]
    fn versions_in_paths() {
        let path = "/var/lib/rancher/rke2/data/v1.31.2-rke2r1-1a2b3c/bin/kubelet";
        assert_eq!(in_path(path), Some("v1.31.2-rke2r1-1a2b3c"));
        assert_eq!(in_path("/usr/bin/kubelet"), None);
        assert_eq!(in_path("/opt/v1.x/kubelet"), None);
    }

    #[tokio::test]
    async fn a_port_that_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\nok")
                .await
                .unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        assert_eq!(get(address).await.unwrap().status, 200);
        assert!(
            server
                .await
                .unwrap()
                .starts_with("GET /healthz HTTP/1.0\r\n")
        );
    }
}
