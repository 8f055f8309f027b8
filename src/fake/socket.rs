//! Sockets that are no CRI server: everything an endpoint can turn out to be.
//!
//! One situation, one [`Socket`]; it cleans up behind itself. What a speaking gRPC server does wrong is a rule of the
//! [`node`](super::node).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::scratch::Scratch;
use super::thread::Thread;
use super::{Error, http2};

/// What is wrong with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Situation {
    /// There is nothing.
    Absent,
    /// A socket file whose listener is gone: ECONNREFUSED.
    Stale,
    /// A file.
    RegularFile,
    /// A directory.
    Directory,
    /// A symbolic link to nothing.
    DanglingLink,
    /// A listener that nobody but root may connect to: mode 0600 (EACCES as another user only).
    Denied,
    /// A listener that does not accept, with room in its queue: connecting works, nothing follows.
    Unaccepted,
    /// A listener that does not accept, with a full queue: EAGAIN for a socket that does not block.
    BacklogFull,
    /// Accepts and stays silent.
    Silent,
    /// Accepts and closes.
    Closes,
    /// Accepts and resets: ECONNRESET after the first bytes of the client.
    Resets,
    /// An HTTP/1 server that understands nothing: 400 for everything.
    Http1,
    /// A Docker daemon's API: answers `GET /_ping` and `GET /version`, 400 for HTTP/2.
    Docker,
    /// Sends these bytes first, as a server with a greeting does, then listens.
    Banner(Bytes),
    /// Sends half of the server's side of the HTTP/2 preface and stops.
    HalfPreface,
    /// Sends half of the server's side of the HTTP/2 preface and closes.
    CutPreface,
    /// Sets HTTP/2 up and never answers a call.
    SettingsOnly,
    /// Sets HTTP/2 up and says GOAWAY with this code.
    GoAway(u32),
    /// Answers every call with one byte now and then, without end.
    Drip(Duration),
    /// Sets HTTP/2 up and closes at the first call.
    ClosesAtCall,
    /// Sets HTTP/2 up and answers the first call with these bytes, whatever they are; see [`frame`](super::frame).
    Answers(Bytes),
    /// The same, again and again without end.
    Floods(Bytes),
}

/// A path in one of these situations; dropping it ends and removes everything.
pub struct Socket {
    path: PathBuf,
    accepted: Arc<AtomicUsize>,
    // In this order: the server ends before its directory goes.
    _server: Option<Thread>,
    _held: Held,
    _scratch: Scratch,
}

/// What must stay open.
#[derive(Default)]
struct Held {
    _listener: Option<UnixListener>,
    _waiting: Vec<OwnedFd>,
}

impl Socket {
    /// Brings a situation about, at a path of its own.
    pub fn start(situation: Situation) -> Result<Self, Error> {
        let scratch = Scratch::new()?;
        let path = scratch.path().join("runtime.sock");
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut held = Held::default();
        let mut server = None;
        let failed = |source| Error::Socket {
            path: path.clone(),
            source,
        };
        match situation {
            Situation::Absent => {}
            Situation::Stale => drop(super::bind(&path)?),
            Situation::RegularFile => std::fs::write(&path, "").map_err(failed)?,
            Situation::Directory => std::fs::create_dir(&path).map_err(failed)?,
            Situation::DanglingLink => {
                std::os::unix::fs::symlink(scratch.path().join("gone.sock"), &path)
                    .map_err(failed)?
            }
            Situation::Denied => {
                use std::os::unix::fs::PermissionsExt;
                // Reachable for all, but for the socket itself.
                std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755))
                    .map_err(failed)?;
                held._listener = Some(super::bind(&path)?);
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
                    .map_err(failed)?;
            }
            Situation::Unaccepted => held._listener = Some(super::bind(&path)?),
            Situation::BacklogFull => {
                let listener = super::bind(&path)?;
                held._waiting = fill(&listener, &path).map_err(failed)?;
                held._listener = Some(listener);
            }
            speaking => {
                let listener = super::bind(&path)?;
                let accepted = Arc::clone(&accepted);
                server = Some(Thread::start("fake-socket", move || {
                    serve(listener, speaking, accepted)
                })?);
            }
        }
        Ok(Self {
            path,
            accepted,
            _server: server,
            _held: held,
            _scratch: scratch,
        })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path as an endpoint: `unix:///…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Fills the listener's queue with connections that wait.
fn fill(listener: &UnixListener, path: &Path) -> io::Result<Vec<OwnedFd>> {
    // Listening again only changes the length of the queue.
    rustix::net::listen(listener, 0)?;
    let address = SocketAddrUnix::new(path)?;
    let mut waiting = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let client =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&client, &address) {
            Ok(()) => waiting.push(client),
            Err(rustix::io::Errno::AGAIN) => return Ok(waiting),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn serve(listener: UnixListener, situation: Situation, accepted: Arc<AtomicUsize>) {
    let Ok(listener) = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixListener::from_std(listener))
    else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(misbehave(stream, situation.clone()));
    }
}

/// One connection; it ends when the client goes, if not before.
async fn misbehave(mut stream: UnixStream, situation: Situation) -> io::Result<()> {
    match situation {
        Situation::Closes => return Ok(()),
        // Closing with unread bytes is what makes the kernel reset.
        Situation::Resets => return stream.read_u8().await.map(drop),
        Situation::Http1 => return http1(&mut stream, |_| BAD_REQUEST.to_owned()).await,
        Situation::Docker => return http1(&mut stream, docker).await,
        Situation::Banner(bytes) => stream.write_all(&bytes).await?,
        Situation::HalfPreface => stream.write_all(&http2::settings()[..4]).await?,
        Situation::CutPreface => {
            stream.write_all(&http2::settings()[..4]).await?;
            // What is not read before the end would turn it into a reset.
            stream.read_exact(&mut [0; http2::PREFACE.len()]).await?;
            return Ok(());
        }
        Situation::SettingsOnly => stream.write_all(&http2::settings()).await?,
        Situation::GoAway(code) => {
            stream.write_all(&http2::settings()).await?;
            stream.write_all(&http2::go_away(0, code)).await?;
        }
        Situation::Drip(pause) => {
            stream.write_all(&http2::settings()).await?;
            first_call(&mut stream).await?;
            stream.write_all(&http2::ok_headers(1)).await?;
            // A message of 3 MiB that is never complete.
            for byte in [0, 0, 0x30, 0, 0].into_iter().chain(std::iter::repeat(0)) {
                stream.write_all(&http2::data(1, &[byte])).await?;
                tokio::time::sleep(pause).await;
            }
        }
        Situation::ClosesAtCall => {
            stream.write_all(&http2::settings()).await?;
            return first_call(&mut stream).await;
        }
        Situation::Answers(bytes) => {
            stream.write_all(&http2::settings()).await?;
            first_call(&mut stream).await?;
            stream.write_all(&bytes).await?;
        }
        Situation::Floods(bytes) => {
            stream.write_all(&http2::settings()).await?;
            first_call(&mut stream).await?;
            let much = bytes.repeat(1 + 16_384 / bytes.len().max(1));
            loop {
                stream.write_all(&much).await?;
            }
        }
        _ => {}
    }
    drain(&mut stream).await
}

/// Reads and says nothing, until the client closes.
async fn drain(stream: &mut UnixStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Reads the client's preface and frames up to the first call.
async fn first_call(stream: &mut UnixStream) -> io::Result<()> {
    let mut seen = BytesMut::new();
    let mut preface = false;
    loop {
        if !preface && seen.len() >= http2::PREFACE.len() {
            seen.advance(http2::PREFACE.len());
            preface = true;
        }
        if preface && seen.len() >= http2::HEAD {
            let length =
                usize::from(seen[0]) << 16 | usize::from(seen[1]) << 8 | usize::from(seen[2]);
            if seen[3] == http2::HEADERS {
                return Ok(());
            }
            if seen.len() >= http2::HEAD + length {
                seen.advance(http2::HEAD + length);
                continue;
            }
        }
        if stream.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";

/// Answers one HTTP/1 request after the other until an answer says `Connection: close`.
async fn http1(stream: &mut UnixStream, answer: fn(&str) -> String) -> io::Result<()> {
    let mut seen = BytesMut::new();
    loop {
        let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
            if seen.len() > 64 * 1024 || stream.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = seen.split_to(end + 4);
        let reply = answer(&String::from_utf8_lossy(&head));
        stream.write_all(reply.as_bytes()).await?;
        if reply.contains("Connection: close") {
            return Ok(());
        }
    }
}

/// What a Docker daemon answers, as far as a probe asks.
fn docker(head: &str) -> String {
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let body = match (method, target) {
        ("GET" | "HEAD", "/_ping") => "OK",
        ("GET", target) if target.ends_with("/version") => {
            r#"{"Platform":{"Name":""},"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#
        }
        ("GET", _) => {
            return docker_answer(
                "404 Not Found",
                "application/json",
                r#"{"message":"page not found"}"#,
            );
        }
        _ => return BAD_REQUEST.to_owned(),
    };
    let kind = if body == "OK" {
        "text/plain; charset=utf-8"
    } else {
        "application/json"
    };
    docker_answer("200 OK", kind, if method == "HEAD" { "" } else { body })
}

fn docker_answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
         Server: Docker/20.10.24 (linux)\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(socket: &Socket, send: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket.path()).await?;
        stream.write_all(send).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    fn start(situation: Situation) -> Socket {
        Socket::start(situation).unwrap()
    }

    #[tokio::test]
    async fn what_cannot_be_connected_to_says_so() {
        for (situation, kind) in [
            (Situation::Absent, io::ErrorKind::NotFound),
            (Situation::DanglingLink, io::ErrorKind::NotFound),
            (Situation::Stale, io::ErrorKind::ConnectionRefused),
            (Situation::RegularFile, io::ErrorKind::ConnectionRefused),
            (Situation::Directory, io::ErrorKind::ConnectionRefused),
            (Situation::BacklogFull, io::ErrorKind::WouldBlock),
        ] {
            let socket = start(situation.clone());
            let error = UnixStream::connect(socket.path()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{situation:?}");
            let path = socket.path().to_owned();
            drop(socket);
            assert!(
                std::fs::symlink_metadata(&path).is_err(),
                "{situation:?} leaves something behind"
            );
            assert!(!path.parent().unwrap().exists());
        }
    }

    #[tokio::test]
    async fn a_silent_socket_stays_silent_until_the_client_goes() {
        for situation in [
            Situation::Silent,
            Situation::SettingsOnly,
            Situation::HalfPreface,
            Situation::CutPreface,
        ] {
            let socket = start(situation.clone());
            let answer = exchange(&socket, http2::PREFACE).await.unwrap();
            let expected = match situation {
                Situation::Silent => 0,
                Situation::HalfPreface | Situation::CutPreface => 4,
                _ => http2::HEAD,
            };
            assert_eq!(answer.len(), expected, "{situation:?}");
            assert_eq!(socket.accepted(), 1);
        }
    }

    #[tokio::test]
    async fn nobody_accepts() {
        let socket = start(Situation::Unaccepted);
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        stream.write_all(http2::PREFACE).await.unwrap();
        assert_eq!(
            stream.try_read(&mut [0; 1]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert_eq!(socket.accepted(), 0);
    }

    #[tokio::test]
    async fn closing_and_resetting_differ() {
        assert_eq!(
            exchange(&start(Situation::ClosesAtCall), b"")
                .await
                .unwrap()
                .len(),
            http2::HEAD
        );
        let socket = start(Situation::Closes);
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        let socket = start(Situation::Resets);
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        stream.write_all(http2::PREFACE).await.unwrap();
        assert_eq!(
            stream.read(&mut [0; 1]).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }

    #[tokio::test]
    async fn http1_servers_answer_in_http1() {
        for situation in [Situation::Http1, Situation::Docker] {
            let answer = exchange(&start(situation), http2::PREFACE).await.unwrap();
            assert!(
                answer.starts_with(b"HTTP/1.1 400 "),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        let docker = start(Situation::Docker);
        let answer = exchange(
            &docker,
            b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /v1.41/version HTTP/1.1\r\n\r\n",
        );
        let answer = String::from_utf8(answer.await.unwrap()).unwrap();
        assert!(answer.contains("\r\n\r\nOKHTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains(r#""ApiVersion":"1.41""#), "{answer}");
    }

    #[tokio::test]
    async fn a_drip_answers_and_answers() {
        let socket = start(Situation::Drip(Duration::from_micros(10)));
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        stream.write_all(http2::PREFACE).await.unwrap();
        stream.write_all(&http2::settings()).await.unwrap();
        stream.write_all(&http2::ok_headers(1)).await.unwrap();
        let begun = http2::HEAD + http2::ok_headers(1).len();
        let mut answer = vec![0; begun + 20 * (http2::HEAD + 1)];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            answer[begun..begun + http2::HEAD + 1],
            http2::data(1, &[0])[..]
        );
    }

    #[tokio::test]
    async fn a_call_is_answered_with_anything_once_or_for_ever() {
        let bytes = Bytes::from_static(b"anything");
        let mut call = http2::PREFACE.to_vec();
        call.extend_from_slice(&http2::ok_headers(1));
        let once = exchange(&start(Situation::Answers(bytes.clone())), &call).await;
        assert_eq!(once.unwrap()[http2::HEAD..], bytes[..]);
        let socket = start(Situation::Floods(bytes));
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        stream.write_all(&call).await.unwrap();
        let mut answer = vec![0; http2::HEAD + 8 * 10_000];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"anythinganything"));
    }

    #[tokio::test]
    async fn a_banner_comes_first() {
        let socket = start(Situation::Banner(Bytes::from_static(b"SSH-2.0-x\r\n")));
        assert_eq!(exchange(&socket, b"").await.unwrap(), b"SSH-2.0-x\r\n");
    }
}
