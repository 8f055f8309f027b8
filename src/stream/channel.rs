//! The channels of a streaming server over WebSocket (RFC 6455): each message begins with the number of its channel.
//!
//! Sub-protocols are those of Kubernetes, `v4.channel.k8s.io` and `v5.channel.k8s.io`; v5 adds one message with which a
//! side says that a channel has ended. containerd 1.6 to 2.x serves v4 only and answers 403 to a client that offers
//! nothing else than v5, which is why crictl's WebSocket never works there.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as Fault, Message};

use super::dial::Stream;
use super::{Error, Incoming, Target, upgrade};

/// The message of v5 that ends a channel: this byte, then the number of the channel.
pub const END: u8 = 255;

/// No message of the server is larger: it copies with buffers of 32 KiB.
const LARGEST: usize = 16 << 20;

/// How much is written ahead, in bytes.
const WRITE_BUFFER: usize = 64 << 10;

/// A sub-protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// With the end of a channel.
    V5,
    /// Without.
    V4,
}

impl Protocol {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::V5 => "v5.channel.k8s.io",
            Protocol::V4 => "v4.channel.k8s.io",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Protocol::V5, Protocol::V4]
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }
}

/// The half that we write.
#[derive(Debug)]
pub struct Sender {
    sink: SplitSink<WebSocketStream<Stream>, Message>,
    protocol: Protocol,
}

/// The half that the server writes.
#[derive(Debug)]
pub struct Receiver {
    stream: SplitStream<WebSocketStream<Stream>>,
    protocol: Protocol,
}

/// Makes the handshake over an open connection, offering these protocols, the newest first.
///
/// # Errors
/// [`Error::Refused`], [`Error::Upgrade`], [`Error::Lost`].
pub async fn open(
    stream: Stream,
    target: &Target,
    offered: &[Protocol],
) -> Result<(Sender, Receiver, Protocol), Error> {
    let names: Vec<&str> = offered.iter().map(|protocol| protocol.name()).collect();
    let names = names.join(", ");
    let wrong = |reason: &dyn std::fmt::Display| Error::Upgrade {
        offered: format!("WebSocket {names}"),
        reason: reason.to_string(),
    };
    let request = http::Request::get(format!("ws://{}{}", target.host(), target.path()))
        .header(http::header::HOST, target.host())
        .header(http::header::CONNECTION, "Upgrade")
        .header(http::header::UPGRADE, "websocket")
        .header(http::header::SEC_WEBSOCKET_VERSION, "13")
        .header(http::header::SEC_WEBSOCKET_KEY, generate_key())
        .header(http::header::SEC_WEBSOCKET_PROTOCOL, &names)
        .body(())
        .map_err(|error| wrong(&error))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
        .write_buffer_size(WRITE_BUFFER);
    let answer = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    let (stream, response) = match answer {
        Ok(opened) => opened,
        Err(Fault::Http(response)) => {
            let code = response.status();
            let said = response.into_body().unwrap_or_default();
            return Err(upgrade::refused(format!("WebSocket {names}"), code, &said));
        }
        Err(Fault::Io(error)) => return Err(Error::Lost(Some(error))),
        Err(Fault::Protocol(ProtocolError::HandshakeIncomplete)) => return Err(Error::Lost(None)),
        Err(error) => return Err(wrong(&error)),
    };
    let chosen = response.headers().get(http::header::SEC_WEBSOCKET_PROTOCOL);
    let protocol = chosen
        .and_then(|name| Protocol::named(name.to_str().ok()?))
        .filter(|protocol| offered.contains(protocol))
        .ok_or_else(|| wrong(&"it chose no protocol"))?;
    let (sink, stream) = stream.split();
    Ok((
        Sender { sink, protocol },
        Receiver { stream, protocol },
        protocol,
    ))
}

impl Sender {
    /// Sends bytes on a channel.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn send(&mut self, lane: u8, bytes: &[u8]) -> Result<(), Error> {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(lane);
        message.extend_from_slice(bytes);
        let sent = self.sink.send(Message::Binary(message.into())).await;
        sent.map_err(fault)
    }

    /// Ends a channel; in v4 there is no way to say so, and nothing happens.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn end(&mut self, lane: u8) -> Result<(), Error> {
        match self.protocol {
            Protocol::V5 => self.send(END, &[lane]).await,
            Protocol::V4 => Ok(()),
        }
    }
}

impl Receiver {
    /// The next thing that arrives.
    ///
    /// # Errors
    /// [`Error::Lost`] and [`Error::Garbled`].
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        loop {
            return match self.stream.next().await {
                None | Some(Err(Fault::ConnectionClosed | Fault::AlreadyClosed)) => {
                    Ok(Incoming::Closed)
                }
                // Servers close the connection without the closing handshake, too.
                Some(Err(Fault::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    Ok(Incoming::Closed)
                }
                Some(Err(error)) => Err(fault(error)),
                Some(Ok(Message::Close(_))) => Ok(Incoming::Closed),
                Some(Ok(Message::Binary(bytes))) => incoming(self.protocol, bytes),
                // The protocol is binary, but a server may frame its words as text.
                Some(Ok(Message::Text(text))) => incoming(self.protocol, text.into()),
                // tungstenite answers pings itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            };
        }
    }
}

/// What a message says.
fn incoming(protocol: Protocol, mut message: Bytes) -> Result<Incoming, Error> {
    if message.is_empty() {
        return Err(Error::Garbled("a message without a channel".to_owned()));
    }
    let rest = message.split_off(1);
    match (message[0], protocol, &*rest) {
        (END, Protocol::V5, [lane]) => Ok(Incoming::End(*lane)),
        (END, Protocol::V5, _) => Err(Error::Garbled("an end of no channel".to_owned())),
        (lane, _, _) => Ok(Incoming::Data(lane, rest)),
    }
}

fn fault(error: tungstenite::Error) -> Error {
    match error {
        Fault::Io(error) => Error::Lost(Some(error)),
        Fault::ConnectionClosed | Fault::AlreadyClosed => Error::Lost(None),
        Fault::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => Error::Lost(None),
        other => Error::Garbled(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_both_protocols() {
        let read = |protocol, bytes: &[u8]| incoming(protocol, Bytes::copy_from_slice(bytes));
        let data = |lane, bytes: &[u8]| Incoming::Data(lane, Bytes::copy_from_slice(bytes));
        assert_eq!(read(Protocol::V4, b"\x01hi").unwrap(), data(1, b"hi"));
        assert_eq!(read(Protocol::V4, b"\x01").unwrap(), data(1, b""));
        assert_eq!(read(Protocol::V4, b"\xff\x01").unwrap(), data(255, b"\x01"));
        assert_eq!(read(Protocol::V5, b"\xff\x01").unwrap(), Incoming::End(1));
        assert!(read(Protocol::V5, b"\xff").is_err());
        assert!(read(Protocol::V4, b"").is_err());
    }

    /// A server that answers the handshake as told, and then sends these bytes.
    async fn against(answer: &'static [u8]) -> Result<Vec<Incoming>, Error> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let server = async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let byte = theirs.read_u8().await.unwrap();
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let (_, key) = head
                .split_once("sec-websocket-key: ")
                .or(head.split_once("Sec-WebSocket-Key: "))
                .unwrap();
            let key = key.split("\r\n").next().unwrap();
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            let text = String::from_utf8_lossy(answer);
            if text.starts_with("HTTP") {
                theirs.write_all(answer).await.unwrap();
            } else {
                let head = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
                );
                theirs.write_all(head.as_bytes()).await.unwrap();
                theirs.write_all(answer).await.unwrap();
            }
            // Says no more, but hears the client until it ends: a pong must not fail.
            theirs.shutdown().await.unwrap();
            theirs
        };
        let client = async move {
            let target = Target::parse("http://127.0.0.1:1/exec/t").unwrap();
            let offered = [Protocol::V5, Protocol::V4];
            let (_sender, mut receiver, _) = open(Box::new(ours), &target, &offered).await?;
            let mut seen = Vec::new();
            loop {
                match receiver.next().await? {
                    Incoming::Closed => return Ok(seen),
                    incoming => seen.push(incoming),
                }
            }
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn a_hostile_server_is_an_error() {
        let seen = against(b"\x82\x03\x01hi\x89\x01x\x88\x00").await.unwrap();
        assert_eq!(seen, [Incoming::Data(1, Bytes::from_static(b"hi"))]);
        // Cut off in a frame, a frame of 2^63 bytes, reserved bits, an unknown opcode.
        assert_eq!(against(b"\x82\x03\x01").await.unwrap(), []);
        for frame in [
            &b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\xf2\x01\x01",
            b"\x83\x01\x01",
            b"\x82\x00",
        ] {
            let error = against(frame).await.unwrap_err();
            assert!(matches!(error, Error::Garbled(_)), "{frame:x?}: {error:?}");
        }
        let error = against(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Refused { code: 403, .. }),
            "{error:?}"
        );
        let error = against(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap_err();
        assert!(error.is_refusal(), "{error:?}");
    }
}
