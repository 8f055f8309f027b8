//! What the fake node was asked: every call in order of arrival, and ways to wait for one without sleeping.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::Notify;

/// One call as it arrived, recorded before it is answered.
#[derive(Clone)]
pub struct Call {
    /// The HTTP/2 path as sent, e.g. `/runtime.v1alpha2.RuntimeService/Version`.
    pub path: String,
    /// All request headers: authority, `grpc-timeout`, `containerd-namespace`, user agent.
    pub headers: HeaderMap,
    /// The request message, without its gRPC frame.
    pub request: Bytes,
    /// Time since the node started.
    pub after: Duration,
    /// Which connection carried it; counted from 1.
    pub connection: u64,
    /// False for a path that no service in `proto/` has, for a malformed request, and for what
    /// [`Builder::only`](super::node::Builder::only) does not list.
    pub expected: bool,
}

impl Call {
    /// The RPC alone: `ListContainers`.
    pub fn rpc(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The service: `runtime.v1.RuntimeService`.
    pub fn service(&self) -> &str {
        self.path
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default()
    }

    /// A request header as text, if it was sent and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The request, decoded.
    pub fn message<M: prost::Message + Default>(&self) -> Result<M, prost::DecodeError> {
        M::decode(self.request.clone())
    }
}

/// Leaves the request out: a pull carries passwords.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.request.len())?;
        if self.expected {
            Ok(())
        } else {
            f.write_str(" UNEXPECTED")
        }
    }
}

/// The log of calls, shared by the connections and the handle.
pub(super) struct Calls {
    started: Instant,
    log: Mutex<Vec<Call>>,
    blocking: Condvar,
    waiting: Notify,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            log: Mutex::default(),
            blocking: Condvar::new(),
            waiting: Notify::new(),
        }
    }

    pub(super) fn record(&self, mut call: Call) {
        call.after = self.started.elapsed();
        self.log().push(call);
        self.blocking.notify_all();
        self.waiting.notify_waiters();
    }

    /// Everything so far, oldest first.
    pub(super) fn all(&self) -> Vec<Call> {
        self.log().clone()
    }

    pub(super) fn clear(&self) {
        self.log().clear();
    }

    /// Resolves once `rpc` was called `times` times.
    pub(super) async fn reached(&self, rpc: &str, times: usize) {
        loop {
            let mut notified = std::pin::pin!(self.waiting.notified());
            notified.as_mut().enable();
            if count(&self.log(), rpc) >= times {
                return;
            }
            notified.await;
        }
    }

    /// [`Calls::reached`] for a test that is a plain thread; false when `limit` passed first.
    pub(super) fn reached_within(&self, rpc: &str, times: usize, limit: Duration) -> bool {
        let missing = |log: &mut Vec<Call>| count(log, rpc) < times;
        let (_log, outcome) = self
            .blocking
            .wait_timeout_while(self.log(), limit, missing)
            .unwrap_or_else(PoisonError::into_inner);
        !outcome.timed_out()
    }

    fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(log: &[Call], rpc: &str) -> usize {
    log.iter().filter(|call| call.rpc() == rpc).count()
}
