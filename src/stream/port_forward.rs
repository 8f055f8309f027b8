//! The conversation of PortForward: one connection to one port of a pod, and what the runtime says if it fails.
//!
//! Each forwarded connection has a wire of its own. Where a local client has said all it has to say, nothing is passed
//! on at once: containerd (1.6 to 2.x) hands a half-closed connection on to nobody, but gives the pod one second more
//! and then cuts the connection, so that a slow answer would be lost. Instead the pod may go on, until it has been quiet
//! for [`QUIET`].

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Error, Incoming, Input, Lane, Needs, Protocol, Spoken, Wire};

/// The channels, as Kubernetes numbers them.
const DATA: u8 = 0;
const FAULT: u8 = 1;

/// The conversation as SPDY servers name it.
const SPDY_PROTOCOL: &str = "portforward.k8s.io";

/// How many bytes of each WebSocket channel repeat the port, little endian, before anything else.
const PORT_PREFIX: usize = 2;

/// How much is read at once, in bytes.
const CHUNK: usize = 32 << 10;

/// How long a pod may be silent when the local client has nothing more to say.
pub const QUIET: Duration = Duration::from_secs(10);

/// How long the server may take to say what went wrong after the data has ended.
const CLOSING: Duration = Duration::from_secs(1);

/// The longest message of the server that is kept, in bytes.
const LONGEST_FAULT: usize = 16 << 10;

/// What a connection to this port of a pod needs.
pub fn needs(port: u16) -> Needs {
    let lane = |number, name: &str| Lane {
        number,
        headers: vec![
            ("streamtype", name.to_owned()),
            ("port", port.to_string()),
            // Tells pairs of streams in one connection apart; here is only one pair.
            ("requestid", "0".to_owned()),
        ],
    };
    Needs {
        lanes: vec![lane(FAULT, "error"), lane(DATA, "data")],
        spdy_protocol: SPDY_PROTOCOL,
        protocols: &[Protocol::V4],
        input: Input::Any,
    }
}

/// Copies between a local connection and a port until one of them ends.
///
/// # Errors
/// [`Error::Port`]: the runtime could not reach the port. [`Error::Lost`], [`Error::Garbled`].
pub async fn carry<L: AsyncRead + AsyncWrite>(wire: Wire, local: L) -> Result<(), Error> {
    let Wire {
        spoken,
        mut sender,
        mut receiver,
    } = wire;
    let mut prefixes = match spoken {
        Spoken::WebSocket(_) => [PORT_PREFIX; 2],
        Spoken::Spdy => [0; 2],
    };
    let (mut read, mut write) = tokio::io::split(local);
    let speaking = async {
        // We have nothing to say on it, and the server waits to hear that.
        sender.end(FAULT).await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            tokio::select! {
                got = read.read(&mut chunk) => match got {
                    // A client that is gone altogether is as silent as one that waits.
                    Ok(0) | Err(_) => return Ok::<(), Error>(()),
                    Ok(count) => sender.send(DATA, &chunk[..count]).await?,
                },
                ping = sender.asked() => sender.answer(ping).await?,
            }
        }
    };
    tokio::pin!(speaking);
    let mut fault = Vec::new();
    let (mut silent, mut ended, mut fault_ended) = (false, false, false);
    loop {
        let incoming = tokio::select! {
            spoken = &mut speaking, if !silent => {
                silent = true;
                match spoken {
                    // What the server said before it closed comes first.
                    Ok(()) | Err(Error::Lost(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            incoming = receiver.next() => incoming?,
            () = tokio::time::sleep(CLOSING), if ended => Incoming::Closed,
            () = tokio::time::sleep(QUIET), if silent && !ended => Incoming::Closed,
        };
        match incoming {
            Incoming::Data(lane @ (DATA | FAULT), mut bytes) => {
                let prefix = &mut prefixes[usize::from(lane)];
                let skipped = bytes.len().min(*prefix);
                *prefix -= skipped;
                let bytes = bytes.split_off(skipped);
                if lane == FAULT {
                    let room = LONGEST_FAULT.saturating_sub(fault.len());
                    fault.extend_from_slice(&bytes[..bytes.len().min(room)]);
                } else if write.write_all(&bytes).await.is_err() {
                    // The local client is gone: nobody is left to be told.
                    return Ok(());
                }
            }
            Incoming::End(DATA) => {
                ended = true;
                // Gone already, perhaps.
                let _ = write.shutdown().await;
            }
            Incoming::End(FAULT) => fault_ended = true,
            Incoming::Data(..) | Incoming::End(_) => {}
            Incoming::Closed => break,
        }
        if ended && fault_ended {
            break;
        }
    }
    if fault.is_empty() {
        let _ = write.shutdown().await;
        Ok(())
    } else {
        Err(Error::Port(
            String::from_utf8_lossy(&fault).trim().to_owned(),
        ))
    }
}
