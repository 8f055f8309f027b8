//! Every situation, on real sockets. What has to be waited for gets a short deadline, the rest a long one.

#![cfg(feature = "demo")]

use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tonic::Code;

use super::*;
use crate::fake::socket::{Situation, Socket};
use crate::fake::{CriPlugin, Node, Rule};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

async fn examine(path: &Path, host: &Host, deadline: Duration, wake: bool) -> Triage {
    let endpoint = Endpoint::from_path(path).unwrap();
    let options = Options {
        deadline,
        wake,
        effort: Effort::Full,
    };
    triage(&endpoint, host, &options).await
}

async fn situation(situation: Situation, deadline: Duration) -> Triage {
    let socket = Socket::start(situation).unwrap();
    examine(socket.path(), &Host::new("/"), deadline, false).await
}

async fn node(node: &Node) -> Triage {
    examine(node.socket(), &Host::new("/"), LONG, false).await
}

#[track_caller]
fn expect(found: &Triage, verdict: Verdict, detail: &str) {
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert!(found.detail.contains(detail), "{found:?}");
    assert_eq!(
        found.advice.is_none(),
        verdict == Verdict::Serving,
        "{found:?}"
    );
    assert_eq!(found.live.is_some(), verdict.serves(), "{found:?}");
}

#[tokio::test]
async fn what_is_no_socket_is_told_by_the_path() {
    let found = situation(Situation::Absent, LONG).await;
    expect(&found, Verdict::Absent, "there is no such file");
    let found = situation(Situation::DanglingLink, LONG).await;
    expect(&found, Verdict::Absent, "gone.sock, which does not exist");
    let found = situation(Situation::RegularFile, LONG).await;
    expect(&found, Verdict::NotSocket, "a regular file");
    let found = situation(Situation::Directory, LONG).await;
    expect(&found, Verdict::NotSocket, "a directory");
    assert!(found.process.is_none());
}

#[tokio::test]
async fn the_missing_part_of_a_path_is_named() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new("/");
    let path = root.path().join("a/b/c.sock");
    let found = examine(&path, &host, LONG, false).await;
    let missing = root.path().join("a");
    expect(
        &found,
        Verdict::Absent,
        &format!("the directory {} does not exist", missing.display()),
    );
    std::fs::write(&missing, "").unwrap();
    let found = examine(&path, &host, LONG, false).await;
    expect(
        &found,
        Verdict::Absent,
        &format!("{} is not a directory", missing.display()),
    );
}

#[tokio::test]
async fn a_stale_socket_is_refused() {
    let found = situation(Situation::Stale, LONG).await;
    expect(&found, Verdict::Refused, "nobody listens");
}

#[tokio::test]
async fn a_datagram_socket_is_no_server() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.sock");
    let _socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let found = examine(&path, &Host::new("/"), LONG, false).await;
    expect(&found, Verdict::NotGrpc, "another type than a stream");
}

#[tokio::test]
async fn what_is_no_grpc_server_is_called_by_its_name() {
    for (case, detail) in [
        (Situation::Closes, "hangs up without a word"),
        (Situation::Resets, "hangs up without a word"),
        (
            Situation::Http1,
            "an HTTP/1 server (`HTTP/1.1 400 Bad Request`)",
        ),
        (
            Situation::Docker,
            "Docker's own API over HTTP/1 (Docker/20.10.24 (linux), API 1.41)",
        ),
        (
            Situation::Banner("SSH-2.0-OpenSSH_9.2\r\n".into()),
            "begins with `SSH-2.0-OpenSSH_9.2`",
        ),
        (
            Situation::Banner(bytes::Bytes::from_static(b"\x15\x03\x01\x00\x02\x02\x46")),
            "a TLS server",
        ),
    ] {
        let found = situation(case.clone(), LONG).await;
        expect(&found, Verdict::NotGrpc, detail);
        let process = found.process.unwrap();
        assert_eq!(process.pid, Some(std::process::id()), "{case:?}");
    }
}

#[tokio::test]
async fn three_kinds_of_silence() {
    for (case, detail) in [
        (Situation::BacklogFull, "nobody accepts"),
        (Situation::Unaccepted, "no HTTP/2 came"),
        (Situation::Silent, "no HTTP/2 came"),
        (Situation::HalfPreface, "no HTTP/2 came"),
        (Situation::SettingsOnly, "the Version call was not answered"),
        (
            Situation::Drip(Duration::from_millis(1)),
            "the Version call was not answered",
        ),
    ] {
        let found = situation(case.clone(), SHORT).await;
        expect(&found, Verdict::Hung, detail);
        let process = found.process.unwrap();
        assert_eq!(process.pid, Some(std::process::id()), "{case:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer_of_the_runtime() {
    for case in [Situation::GoAway(2), Situation::ClosesAtCall] {
        let found = situation(case, LONG).await;
        expect(&found, Verdict::CriFailed, "the connection broke");
        assert_eq!(found.runtime_says, None);
    }
}

#[tokio::test]
async fn a_runtime_is_named_with_its_process() {
    let fake = Node::builder()
        .runtime("containerd", "1.7.28")
        .start()
        .unwrap();
    let found = node(&fake).await;
    expect(&found, Verdict::Serving, "containerd 1.7.28 serves CRI v1");
    assert!(found.latency.is_some());
    let process = found.process.unwrap();
    assert_eq!(process.pid, Some(std::process::id()));
    let exe = std::env::current_exe().unwrap();
    assert_eq!(process.exe.as_deref(), exe.to_str());
    let started: jiff::Timestamp = process.started_at.unwrap().parse().unwrap();
    assert!(started <= jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2));
}

#[tokio::test]
async fn an_old_runtime_is_spoken_to_in_its_own_version() {
    let fake = Node::builder()
        .runtime("containerd", "1.4.13~ds1")
        .start()
        .unwrap();
    let found = node(&fake).await;
    expect(
        &found,
        Verdict::V1alpha2Only,
        "containerd 1.4.13~ds1 serves CRI v1alpha2",
    );
    assert_eq!(found.live.unwrap().api, Api::V1alpha2);
}

#[tokio::test]
async fn containerd_says_why_it_does_not_serve_cri() {
    let fake = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let found = node(&fake).await;
    expect(
        &found,
        Verdict::CriDisabled,
        "io.containerd.grpc.v1.cri is not loaded",
    );
    assert!(found.advice.unwrap().contains("disabled_plugins"));
    assert_eq!(found.runtime.unwrap().version.as_deref(), Some("1.7.28"));

    let reason = "invalid plugin config: `mirrors` cannot be set when `config_path` is provided";
    let fake = Node::builder()
        .cri(CriPlugin::Failed(reason.to_owned()))
        .start()
        .unwrap();
    let found = node(&fake).await;
    expect(&found, Verdict::CriFailed, reason);
    assert_eq!(found.runtime_says.as_deref(), Some(reason));
}

#[tokio::test]
async fn a_grpc_server_of_another_kind_is_no_runtime() {
    let fake = Node::builder()
        .cri(CriPlugin::Disabled)
        .without_native_services()
        .start()
        .unwrap();
    let found = node(&fake).await;
    expect(&found, Verdict::CriDisabled, "not a container runtime");
}

#[tokio::test]
async fn an_error_of_version_is_shown_in_the_runtimes_words() {
    let says = "Cannot connect to the Docker daemon";
    let fake = Node::builder()
        .rule(Rule::on("Version").status(Code::Unknown, says))
        .start()
        .unwrap();
    let found = node(&fake).await;
    expect(
        &found,
        Verdict::CriFailed,
        "answers the Version call with an error",
    );
    assert_eq!(found.runtime_says.as_deref(), Some(says));
}

/// Examines a path as a user who is not root.
fn as_somebody_else(path: PathBuf) -> Triage {
    let examine = move || {
        if rustix::process::geteuid().is_root() {
            // The capabilities of the thread go with its user.
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { super::tests::examine(&path, &Host::new("/"), LONG, false).await })
    };
    std::thread::spawn(examine).join().unwrap()
}

#[test]
fn a_denied_socket_says_whose_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let socket = Socket::start(Situation::Denied).unwrap();
    // Its owner is denied as well.
    std::fs::set_permissions(socket.path(), PermissionsExt::from_mode(0o400)).unwrap();
    let found = as_somebody_else(socket.path().to_owned());
    expect(&found, Verdict::Denied, "with mode 0400");
    assert!(
        found.detail.starts_with("the socket belongs to "),
        "{found:?}"
    );
}

#[test]
fn a_denied_directory_on_the_way_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let closed = root.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let path = closed.join("a.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    let found = as_somebody_else(path);
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o755)).unwrap();
    expect(
        &found,
        Verdict::Denied,
        &format!("the directory {}", closed.display()),
    );
}

/// A host on which the listener at `path` has inode 777, and these processes have it open.
fn host_with_holders(path: &Path, holders: &[(u32, &str)]) -> (tempfile::TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = root.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write(
        "proc/net/unix",
        &format!(
            "Num RefCount Protocol Flags Type St Inode Path\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 777 {}\n",
            path.display()
        ),
    );
    write("proc/1/comm", "systemd\n");
    std::fs::create_dir_all(root.path().join("proc/1/fd")).unwrap();
    for (pid, comm) in holders {
        write(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
        let open = root.path().join(format!("proc/{pid}/fd"));
        std::fs::create_dir_all(&open).unwrap();
        symlink("socket:[777]", open.join("5")).unwrap();
    }
    let host = Host::new(root.path());
    (root, host)
}

/// A listener that notices whether anybody came.
fn listener() -> (tempfile::TempDir, PathBuf, UnixListener) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("cri-dockerd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    (root, path, listener)
}

#[track_caller]
fn assert_nobody_came(listener: &UnixListener) {
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_socket_that_only_systemd_holds_is_not_woken() {
    let (_root, path, listener) = listener();
    let (_host_root, host) = host_with_holders(&path, &[(1, "systemd")]);
    let found = examine(&path, &host, SHORT, false).await;
    expect(
        &found,
        Verdict::Dormant,
        "only systemd (pid 1) holds the socket",
    );
    assert_nobody_came(&listener);

    let found = examine(&path, &host, SHORT, true).await;
    assert_eq!(found.verdict, Verdict::Hung, "{found:?}");
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn a_users_systemd_is_a_supervisor_too() {
    let (_root, path, listener) = listener();
    let (_host_root, host) = host_with_holders(&path, &[(4711, "systemd")]);
    let found = examine(&path, &host, SHORT, false).await;
    expect(&found, Verdict::Dormant, "pid 4711");
    assert_nobody_came(&listener);
}

#[tokio::test]
async fn a_socket_that_systemd_passed_on_is_asked() {
    let (_root, path, listener) = listener();
    let (_host_root, host) = host_with_holders(&path, &[(1, "systemd"), (812, "cri-dockerd")]);
    let found = examine(&path, &host, SHORT, false).await;
    assert_eq!(found.verdict, Verdict::Hung, "{found:?}");
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn the_units_behind_a_dormant_socket_are_named() {
    let (_root, path, listener) = listener();
    let (root, host) = host_with_holders(&path, &[(1, "systemd")]);
    let units = root.path().join("etc/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    let unit = format!("[Socket]\nListenStream={}\n", path.display());
    std::fs::write(units.join("cri-docker.socket"), unit).unwrap();
    let slice = root.path().join("sys/fs/cgroup/system.slice");
    std::fs::create_dir_all(&slice).unwrap();
    let found = examine(&path, &host, SHORT, false).await;
    expect(
        &found,
        Verdict::Dormant,
        "holds the socket for cri-docker.socket, and cri-docker.service is not running",
    );
    assert_eq!(
        found.advice.as_deref(),
        Some("start it with `systemctl start cri-docker.service`, or ask with `--wake`")
    );

    // Also where nobody may see what pid 1 has open.
    std::fs::remove_dir_all(root.path().join("proc/1/fd")).unwrap();
    let found = examine(&path, &host, SHORT, false).await;
    expect(
        &found,
        Verdict::Dormant,
        "cri-docker.service is not running",
    );
    assert_nobody_came(&listener);

    let service = slice.join("cri-docker.service");
    std::fs::create_dir_all(&service).unwrap();
    std::fs::write(service.join("cgroup.procs"), "812\n").unwrap();
    let found = examine(&path, &host, SHORT, false).await;
    assert_eq!(found.verdict, Verdict::Hung, "{found:?}");
}
