//! The one connector: an address becomes one HTTP/2 connection that tonic's clients can stand on.
//!
//! The authority is `localhost`, as the kubelet sends it: gRPC servers refuse a socket path there. hyper does not wait
//! for the server's half of the HTTP/2 preface, so a peer that accepts and stays silent is noticed by the deadline of
//! the first call, not here. What a peer said first is kept, so that one that is no gRPC server can be told by name.

mod greeting;

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;

use super::Endpoint;

pub use greeting::Greeting;
use greeting::Overheard;

/// The window of stream and connection, in bytes: measured best between 1 and 4 MiB on a unix socket; larger ones only
/// move the pile of data from the kernel into this process.
const WINDOW: u32 = 2 * 1024 * 1024;

/// The largest block of response headers accepted, in bytes: grpc-message carries the runtime's error text, which can
/// be long.
const HEADERS: u32 = 1024 * 1024;

/// What a call is made to: the origin of every request.
pub const ORIGIN: &str = "http://localhost";

/// One HTTP/2 connection to an endpoint. Cheap to clone; calls share the connection.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: http2::SendRequest<tonic::body::Body>,
    greeting: Greeting,
}

impl Connection {
    /// What the peer said first.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `connect()` failed: absent, refused, denied, not a socket.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The peer went away while HTTP/2 was being set up.
    #[error("the peer closed the connection before HTTP/2 was set up")]
    Handshake(#[source] hyper::Error),
    /// Nothing happened in time: the listen backlog is full, so nobody accepts.
    #[error("nobody accepted the connection within {0:?}")]
    Deadline(Duration),
}

/// Connects to `endpoint` within `deadline`.
///
/// # Errors
/// See [`Error`]; the `io::Error` of connect() is kept, because a diagnosis begins with it.
pub async fn connect(endpoint: &Endpoint, deadline: Duration) -> Result<Connection, Error> {
    let stream = match tokio::time::timeout(deadline, open(endpoint)).await {
        Err(_) => return Err(Error::Deadline(deadline)),
        Ok(Err(error)) => return Err(Error::Connect(error)),
        Ok(Ok(stream)) => stream,
    };
    over(stream).await
}

/// Sets up HTTP/2 over a stream that is already connected.
///
/// # Errors
/// [`Error::Handshake`].
pub async fn over(stream: UnixStream) -> Result<Connection, Error> {
    let greeting = Greeting::default();
    let stream = Overheard::new(stream, greeting.clone());
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Error::Handshake)?;
    // The driver ends with the connection; what went wrong reaches the caller through the pending call.
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "connection closed");
        }
    });
    Ok(Connection { sender, greeting })
}

/// Opens a stream, waiting for a place in a full listen backlog: on a unix socket the kernel answers EAGAIN at once
/// instead of queueing the caller. It waits for ever; the caller has the deadline.
///
/// # Errors
/// What connect() said.
pub async fn open(endpoint: &Endpoint) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(endpoint.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
