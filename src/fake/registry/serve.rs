//! Connections: TLS or not, one request after the other, and the faults at work.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Target};
use super::fault::{Fault, bomb};
use super::http::{Broken, Request, Response, receive};
use super::{Entrance, Shared};

/// What Go's server says to plain HTTP on a TLS port.
const PLAIN_ON_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What Go's server says to what is no HTTP.
const MALFORMED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";

/// The first byte of TLS: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// A message that would do harm on a terminal.
const ESCAPES: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mmanifest\r\nunknown\u{202e}gnikcol\u{0}\u{9b}5m";

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    let Ok(listener) = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
    else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(enter(stream, Arc::clone(&shared), tls.clone()));
    }
}

async fn enter(
    mut stream: TcpStream,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    let entrance = *shared
        .entrance
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match entrance {
        Entrance::Open => {}
        Entrance::Silent => return drain(&mut stream).await,
        Entrance::Closes => return Ok(()),
        Entrance::Resets => return stream.set_zero_linger(),
    }
    let Some(tls) = tls else {
        return converse(stream, &shared).await;
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        return part(stream, PLAIN_ON_TLS).await;
    }
    converse(tls.accept(stream).await?, &shared).await
}

async fn converse<S>(mut stream: S, shared: &Shared) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut seen = BytesMut::new();
    loop {
        let request = match receive(&mut stream, &mut seen).await {
            Ok(request) => request,
            Err(Broken::Gone) => return Ok(()),
            Err(Broken::Malformed) => return part(stream, MALFORMED).await,
        };
        let target = Target::of(&shared.root, &request.path);
        shared.record(&request);
        let honest = {
            let store = shared.store.lock().unwrap_or_else(PoisonError::into_inner);
            let challenge = shared.rules.challenge(&target, &request);
            challenge.unwrap_or_else(|| answer::answer(&store, &shared.rules, &target, &request))
        };
        match shared.faults.judge(target.on()) {
            None => honest.send(&mut stream, &request.method).await?,
            Some(fault) => fail(&mut stream, shared, &request, &target, honest, fault).await?,
        }
        if request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        {
            return stream.shutdown().await;
        }
    }
}

/// Answers with a fault. An error ends the connection.
async fn fail<S>(
    stream: &mut S,
    shared: &Shared,
    request: &Request,
    target: &Target,
    mut honest: Response,
    fault: Fault,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let method = &*request.method;
    let whole = honest.body.len() as u64;
    let replacement = match fault {
        Fault::Hang => return drain(stream).await,
        Fault::HangInHead => {
            let head = honest.head(Some(whole));
            stream.write_all(&head.as_bytes()[..head.len() / 2]).await?;
            return hang(stream).await;
        }
        Fault::HangInBody => {
            stream
                .write_all(honest.head(Some(whole)).as_bytes())
                .await?;
            stream
                .write_all(&honest.body[..honest.body.len() / 2])
                .await?;
            return hang(stream).await;
        }
        Fault::Headers(more) => {
            honest.headers.extend(more);
            honest
        }
        Fault::Late(delay) => {
            tokio::time::sleep(delay).await;
            honest
        }
        Fault::Drip(pause) => {
            let mut bytes = honest.head(Some(whole)).into_bytes();
            if method != "HEAD" {
                bytes.extend_from_slice(&honest.body);
            }
            return drip(stream, &bytes, pause).await;
        }
        Fault::Close => return Err(ended()),
        Fault::Garbage => {
            stream
                .write_all(b"\x00\xff\x00\xffthis is not HTTP\r\n\r\n")
                .await?;
            stream.flush().await?;
            return Err(ended());
        }
        Fault::Unauthorized => answer::refusal(401, "UNAUTHORIZED", "authentication required")
            .header("Www-Authenticate", "Basic realm=\"nobody gets in\""),
        Fault::UnauthorizedMute => answer::refusal(401, "UNAUTHORIZED", "authentication required"),
        Fault::BrokenRealm => answer::refusal(401, "UNAUTHORIZED", "authentication required")
            .header(
                "Www-Authenticate",
                "Bearer realm=\"null://:0:5000/token\",service=\"x\"",
            ),
        Fault::Forbidden => {
            answer::refusal(403, "DENIED", "requested access to the resource is denied")
        }
        Fault::NotFound => answer::refusal(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        Fault::HeadNotFound if method == "HEAD" => {
            answer::refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        }
        Fault::HeadNotAllowed if method == "HEAD" => {
            answer::refusal(405, "UNSUPPORTED", "The operation is unsupported.")
        }
        Fault::HeadNotFound | Fault::HeadNotAllowed => honest,
        Fault::TooMany(seconds) => answer::refusal(
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit.",
        )
        .header("Retry-After", seconds.to_string()),
        Fault::Status(status) => {
            Response::new(status).body("text/plain; charset=utf-8", "made to fail\n")
        }
        Fault::Portal => Response::new(200).body(
            "text/html; charset=utf-8",
            "<!DOCTYPE html>\n<html><title>Welcome</title><p>Please log in.</html>\n",
        ),
        Fault::Redirect(to) => Response::new(307).header("Location", to),
        Fault::RedirectLoop => {
            let query = request
                .query
                .as_ref()
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            Response::new(307).header(
                "Location",
                format!("{}{}{query}", shared.rules.url, request.path),
            )
        }
        Fault::RedirectNowhere => Response::new(302),
        Fault::RedirectToStorage => match target {
            Target::Blob(_, digest) => Response::new(307)
                .header("Location", format!("{}/storage/{digest}", shared.rules.url)),
            _ => honest,
        },
        Fault::WrongDigest => without_digest(honest).header(
            "Docker-Content-Digest",
            format!("sha256:{}", "0123456789abcdef".repeat(4)),
        ),
        Fault::NoDigest => without_digest(honest),
        Fault::Truncated => {
            stream
                .write_all(honest.head(Some(whole)).as_bytes())
                .await?;
            stream
                .write_all(&honest.body[..honest.body.len() / 2])
                .await?;
            stream.flush().await?;
            return Err(ended());
        }
        Fault::Corrupt => {
            let mut body = honest.body.to_vec();
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            honest.body = Bytes::from(body);
            honest
        }
        Fault::WrongLength(by) => {
            stream
                .write_all(
                    honest
                        .head(Some(whole.saturating_add_signed(by)))
                        .as_bytes(),
                )
                .await?;
            stream.write_all(&honest.body).await?;
            stream.flush().await?;
            return Err(ended());
        }
        Fault::Endless => {
            stream.write_all(honest.head(None).as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 4096]).await?;
            }
        }
        Fault::HugeHeader(length) => honest.header("X-Fill", "x".repeat(length)),
        Fault::EndlessHead => {
            let head = honest.head(None);
            stream.write_all(&head.as_bytes()[..head.len() - 2]).await?;
            loop {
                stream.write_all(b"X-More: and more\r\n").await?;
            }
        }
        Fault::GzipBomb(size) => {
            honest.body = bomb(size).into();
            honest.header("Content-Encoding", "gzip")
        }
        Fault::Empty => Response {
            body: Bytes::new(),
            ..honest
        },
        Fault::NotJson => Response {
            body: Bytes::from_static(b"{\"errors\": [\xff\xfe"),
            ..honest
        },
        Fault::Escapes => answer::refusal(404, "MANIFEST_UNKNOWN", ESCAPES),
    };
    replacement.send(stream, method).await
}

fn without_digest(mut response: Response) -> Response {
    response
        .headers
        .retain(|(name, _)| name != "Docker-Content-Digest");
    response
}

/// A last answer. What the client still sends is read, or the kernel would reset before the answer is seen.
async fn part<S>(mut stream: S, answer: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    drain(&mut stream).await
}

/// Ends a connection on purpose.
fn ended() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

async fn hang<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.flush().await?;
    drain(stream).await
}

/// Says nothing until the client goes.
async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Err(ended())
}

async fn drip<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
    pause: Duration,
) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
