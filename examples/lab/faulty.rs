//! `lab serve KIND PORT`: an address at which a registry should be, and something else is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use rustix::net::{AddressFamily, SocketType};

use crate::error::{Doing, Error, Result};
use crate::registry::Kind;
use crate::speech::say;

/// Serves until it is killed. Says "listening on ADDRESS" first, as `docker-registry` does.
///
/// # Errors
/// The port is taken, or the kind is not one that is served here.
pub fn serve(kind: Kind, port: u16) -> Result<()> {
    let answer = match kind {
        Kind::Down => return refuse(port),
        Kind::Hang => None,
        Kind::Unauthorized => Some(page(
            "401 Unauthorized",
            "Content-Type: application/json\r\nWWW-Authenticate: Basic realm=\"lab\"\r\n",
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        )),
        Kind::Forbidden => Some(page(
            "403 Forbidden",
            "Content-Type: application/json\r\n",
            r#"{"errors":[{"code":"DENIED","message":"this network may not pull"}]}"#,
        )),
        Kind::Busy => Some(page(
            "429 Too Many Requests",
            "Content-Type: application/json\r\nRetry-After: 120\r\n",
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit reached"}]}"#,
        )),
        Kind::Broken => Some(page(
            "500 Internal Server Error",
            "Content-Type: text/plain\r\n",
            "disk is full\n",
        )),
        Kind::Html => Some(page(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<!doctype html><title>Sign in</title><p>Please sign in to this network.</p>\n",
        )),
        _ => {
            return Err(Error::Usage(format!(
                "`{}` is a docker-registry's part",
                kind.name()
            )));
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .doing(|| format!("listen at port {port}"))?;
    let address = listener
        .local_addr()
        .doing(|| "see the own address".to_owned())?;
    say(&format!("listening on {address}\n"));
    let mut silent = Vec::new();
    for stream in listener.incoming().flatten() {
        match &answer {
            // Kept open, or else the other side would be told that it is over.
            None => silent.push(stream),
            Some(answer) => {
                let answer = answer.clone();
                std::thread::spawn(move || reply(stream, &answer).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// Holds a port without listening at it, so that connections are refused and nobody else gets the port.
fn refuse(port: u16) -> Result<()> {
    let bind = || {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Ok((socket, address))
    };
    let bound: rustix::io::Result<_> = bind();
    let (_socket, address) = bound
        .map_err(std::io::Error::from)
        .doing(|| format!("bind port {port}"))?;
    say(&format!("not listening on {address}\n"));
    loop {
        std::thread::park();
    }
}

fn page(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one request's head and answers it. A HEAD is answered without the body.
fn reply(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 || head.len() > 64 * 1024 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let request = String::from_utf8_lossy(&head);
    say(request.lines().next().unwrap_or_default());
    let answer = match request.starts_with("HEAD ") {
        true => &answer[..answer.find("\r\n\r\n").map_or(answer.len(), |end| end + 4)],
        false => answer,
    };
    stream.write_all(answer.as_bytes())
}
