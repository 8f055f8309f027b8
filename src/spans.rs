//! Which calls a command made and how long each took, for an OpenTelemetry collector: `--enable-tracing`.
//!
//! One trace a run: a root span named after the command, and a span for each call beneath it. The runtime is told the
//! span (W3C Trace Context, `traceparent`), so that its own spans continue ours where it traces too. Everything is sent
//! at the end, over OTLP/gRPC without TLS, as crictl does; that no collector answers is no failure of the command.

mod otlp;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Calls that are kept: what goes on for days is not kept as a whole.
const MOST_CALLS: usize = 10_000;

/// Why spans did not reach the collector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error("cannot connect to the collector at `{endpoint}`")]
    Connect {
        /// Where it should be.
        endpoint: String,
        /// What connect() said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or it is none of HTTP/2.
    #[error("the collector at `{endpoint}` does not speak HTTP/2")]
    Http {
        /// Who was asked.
        endpoint: String,
        /// What hyper said.
        #[source]
        source: hyper::Error,
    },
    /// It answered, and not with success.
    #[error("the collector at `{endpoint}` refuses spans: {answer}")]
    Refused {
        /// Who was asked.
        endpoint: String,
        /// Status and message.
        answer: String,
    },
    /// No answer in time.
    #[error("the collector at `{endpoint}` did not answer within {deadline:?}")]
    Deadline {
        /// Who was asked.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
}

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    id: [u8; 16],
    root: [u8; 8],
    started: SystemTime,
    is_sampled: bool,
    calls: Mutex<Vec<Ended>>,
}

/// A call that goes on.
#[derive(Debug)]
pub struct Call {
    id: [u8; 8],
    started: SystemTime,
}

/// A call that has ended.
#[derive(Debug)]
struct Ended {
    id: [u8; 8],
    started: SystemTime,
    ended: SystemTime,
    /// `runtime.v1.RuntimeService/Version`.
    name: String,
    /// The number of the gRPC code.
    code: i32,
    message: String,
}

impl Trace {
    /// Begins a trace. Of a million of them `rate` are sent, all if it is negative.
    pub fn begin(rate: i64) -> Self {
        const MILLION: u64 = 1_000_000;
        let wanted = u64::try_from(rate).unwrap_or(MILLION);
        let (high, low) = (random(), random());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        Self {
            id,
            root: random().to_be_bytes(),
            started: SystemTime::now(),
            is_sampled: low % MILLION < wanted,
            calls: Mutex::default(),
        }
    }

    /// Begins a call.
    pub fn call(&self) -> Call {
        Call {
            id: random().to_be_bytes(),
            started: SystemTime::now(),
        }
    }

    /// What the other side is told of a call: `traceparent`.
    pub fn parent(&self, call: &Call) -> String {
        let flags = u8::from(self.is_sampled);
        format!("00-{}-{}-{flags:02x}", hex(&self.id), hex(&call.id))
    }

    /// Ends a call: its path without the first slash, and the gRPC code with its message, 0 for success.
    pub fn end(&self, call: Call, path: &str, code: i32, message: &str) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < MOST_CALLS {
            calls.push(Ended {
                id: call.id,
                started: call.started,
                ended: SystemTime::now(),
                name: path.trim_start_matches('/').to_owned(),
                code,
                message: message.to_owned(),
            });
        }
    }

    /// Sends the trace to the collector at `endpoint`, which is `host:port`; `failure` is why the command failed, if it
    /// did. A trace that is not sampled is not sent.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn send(
        &self,
        command: &str,
        failure: Option<&str>,
        endpoint: &str,
        deadline: Duration,
    ) -> Result<(), Error> {
        if !self.is_sampled {
            return Ok(());
        }
        let request = self.request(command, failure);
        let work = otlp::export(endpoint, &request);
        match tokio::time::timeout(deadline, work).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::Deadline {
                endpoint: endpoint.to_owned(),
                deadline,
            }),
        }
    }

    fn request(&self, command: &str, failure: Option<&str>) -> otlp::ExportRequest {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans = vec![otlp::Span {
            trace_id: self.id.to_vec(),
            span_id: self.root.to_vec(),
            name: command.to_owned(),
            kind: otlp::INTERNAL,
            start: nanoseconds(self.started),
            end: nanoseconds(SystemTime::now()),
            attributes: vec![otlp::KeyValue::text("command", command)],
            status: failure.map(otlp::Status::error),
            ..Default::default()
        }];
        spans.extend(calls.iter().map(|call| {
            let (service, method) = call.name.split_once('/').unwrap_or(("", &call.name));
            otlp::Span {
                trace_id: self.id.to_vec(),
                span_id: call.id.to_vec(),
                parent_span_id: self.root.to_vec(),
                name: call.name.clone(),
                kind: otlp::CLIENT,
                start: nanoseconds(call.started),
                end: nanoseconds(call.ended),
                attributes: vec![
                    otlp::KeyValue::text("rpc.system", "grpc"),
                    otlp::KeyValue::text("rpc.service", service),
                    otlp::KeyValue::text("rpc.method", method),
                    otlp::KeyValue::number("rpc.grpc.status_code", i64::from(call.code)),
                ],
                status: (call.code != 0).then(|| otlp::Status::error(&call.message)),
            }
        }));
        otlp::ExportRequest::of(spans)
    }
}

/// A number that nobody can foretell and that is not 0, which stands for "no id". The standard library seeds every
/// state of its hasher anew; these ids are names, not secrets.
fn random() -> u64 {
    RandomState::new().hash_one(0).max(1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_children_of_the_command() {
        let trace = Trace::begin(-1);
        let call = trace.call();
        let parent = trace.parent(&call);
        trace.end(call, "/runtime.v1.RuntimeService/Version", 0, "");
        trace.end(
            trace.call(),
            "/runtime.v1.RuntimeService/Status",
            14,
            "gone",
        );
        let spans = trace.request("version", Some("it failed")).into_spans();
        assert_eq!(spans[0].name, "version");
        assert!(spans[0].parent_span_id.is_empty());
        assert_eq!(spans[1].name, "runtime.v1.RuntimeService/Version");
        for span in &spans[1..] {
            assert_eq!(span.trace_id, spans[0].trace_id);
            assert_eq!(span.parent_span_id, spans[0].span_id);
        }
        assert_eq!(spans[1].status, None);
        assert_eq!(spans[2].status.as_ref().unwrap().message, "gone");
        let expected = format!(
            "00-{}-{}-01",
            hex(&spans[1].trace_id),
            hex(&spans[1].span_id)
        );
        assert_eq!(parent, expected);
    }

    #[test]
    fn a_rate_of_nothing_sends_nothing() {
        let trace = Trace::begin(0);
        assert!(trace.parent(&trace.call()).ends_with("-00"));
        assert!(Trace::begin(1_000_000).is_sampled);
        assert!(Trace::begin(-1).is_sampled);
    }
}
