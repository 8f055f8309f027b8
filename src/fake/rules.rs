//! What the fake node answers instead of the truth: per RPC, once or always, late, wrong, broken or never.
//!
//! The first rule that fits a call and is not used up decides; a rule without an answer lets the world answer (late, or
//! when released).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;
use tonic::Code;

/// Which calls are answered differently, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    rpc: String,
    skip: u32,
    times: Option<u32>,
    delay: Duration,
    gate: Option<watch::Receiver<bool>>,
    answer: Option<Answer>,
}

impl Rule {
    /// A rule for an RPC by its name (`ListContainers`), by service and name (`runtime.v1.ImageService/ListImages`, as
    /// sent, so a rule can be for v1alpha2 only), or for all (`*`).
    pub fn on(rpc: &str) -> Self {
        Self {
            rpc: rpc.to_owned(),
            skip: 0,
            times: None,
            delay: Duration::ZERO,
            gate: None,
            answer: None,
        }
    }

    /// Holds for this many calls only; without it for all.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Holds for one call.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Leaves the first calls alone.
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Waits before answering.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The answer; without one the world answers.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Answers with a gRPC status.
    pub fn status(self, code: Code, message: &str) -> Self {
        self.answer(Answer::Status(code, message.to_owned()))
    }

    /// Answers with this message.
    pub fn message(self, message: &impl prost::Message) -> Self {
        self.answer(Answer::Message(message.encode_to_vec().into()))
    }

    /// Answers the truth with its bytes changed: one broken element, text that is no UTF-8, unknown fields.
    pub fn rewrite(self, change: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.answer(Answer::Rewritten(Rewrite(Arc::new(change))))
    }

    /// Never answers.
    pub fn hang(self) -> Self {
        self.answer(Answer::Hang)
    }

    /// Keeps calls back until the returned [`Held`] is released or dropped.
    pub fn hold(mut self) -> (Self, Held) {
        let (release, gate) = watch::channel(false);
        self.gate = Some(gate);
        (self, Held(release))
    }

    fn fits(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        self.rpc == "*" || self.rpc == path || path.rsplit('/').next() == Some(&*self.rpc)
    }
}

/// Calls that wait; see [`Rule::hold`].
#[derive(Debug)]
pub struct Held(watch::Sender<bool>);

impl Held {
    /// Lets them go on.
    pub fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// An answer that the world would not give.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes as the message, then OK. They need not be valid protobuf.
    Message(Bytes),
    /// Several messages, as a server stream gives them, then OK.
    Messages(Vec<Bytes>),
    /// The truth, changed.
    Rewritten(Rewrite),
    /// A status without a message.
    Status(Code, String),
    /// HTTP/2 data that need not be gRPC frames, and an end.
    Body(Vec<Bytes>, End),
    /// One message in small pieces: `size` bytes, a pause, and again.
    Drip {
        /// The message.
        message: Bytes,
        /// Bytes per piece.
        size: usize,
        /// The pause after each.
        pause: Duration,
    },
    /// The same message again and again without end.
    Flood(Bytes),
    /// An HTTP answer that is not gRPC, as a proxy in the way gives.
    Http(u16, &'static str, Bytes),
    /// Nothing, for ever; the connection stays alive.
    Hang,
    /// RST_STREAM with INTERNAL_ERROR instead of an answer.
    Reset,
    /// The connection is closed without a word.
    Close,
    /// GOAWAY with this error code, then the connection is closed: the call was not processed.
    GoAway(u32),
    /// These bytes straight onto the socket, outside HTTP/2, then it is closed.
    Raw(Bytes),
}

impl Answer {
    /// A message whose frame announces another length than it has: too little to be whole, or over every limit.
    pub fn announced(length: u32, message: &[u8], end: End) -> Self {
        Self::Body(vec![super::grpc::announced(length, message)], end)
    }
}

type Change = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// A change to the bytes of a true message.
#[derive(Clone)]
pub struct Rewrite(Arc<Change>);

impl Rewrite {
    pub(super) fn apply(&self, message: &[u8]) -> Bytes {
        self.0(message).into()
    }

    /// Puts other bytes in the place of a text wherever it stands. They must be as long, or lengths break too.
    pub fn replace(text: &str, with: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static {
        let (from, to) = (text.as_bytes().to_vec(), with.to_vec());
        move |message| {
            let mut out = Vec::with_capacity(message.len());
            let mut left = message;
            while let Some(&first) = left.first() {
                match left.strip_prefix(&*from).filter(|_| !from.is_empty()) {
                    Some(rest) => {
                        out.extend_from_slice(&to);
                        left = rest;
                    }
                    None => {
                        out.push(first);
                        left = &left[1..];
                    }
                }
            }
            out
        }
    }
}

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rewrite")
    }
}

/// How a body ends.
#[derive(Debug, Clone)]
pub enum End {
    /// Trailers with this status.
    Status(Code, String),
    /// These trailers, whatever they say.
    Trailers(HeaderMap),
    /// END_STREAM without trailers, so without any status.
    Cut,
    /// RST_STREAM.
    Reset,
    /// GOAWAY with this error code, then the connection is closed.
    GoAway(u32),
    /// Not at all.
    Hang,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<Rule>>);

/// What a rule says about one call.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) gate: Option<watch::Receiver<bool>>,
    pub(super) answer: Option<Answer>,
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(rule);
    }

    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The rule for this call, which counts as used by it.
    pub(super) fn judge(&self, path: &str) -> Verdict {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules.iter_mut().filter(|rule| rule.fits(path)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            match &mut rule.times {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            return Verdict {
                delay: rule.delay,
                gate: rule.gate.clone(),
                answer: rule.answer.clone(),
            };
        }
        Verdict::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rules: &Rules, path: &str) -> Option<Code> {
        match rules.judge(path).answer {
            Some(Answer::Status(code, _)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn rules_are_used_up_in_order() {
        let rules = Rules::default();
        rules.add(Rule::on("Version").once().status(Code::Aborted, ""));
        rules.add(Rule::on("*").skip(1).status(Code::Internal, ""));
        let path = "/runtime.v1.RuntimeService/Version";
        let seen: Vec<_> = (0..3).map(|_| code(&rules, path)).collect();
        assert_eq!(seen, [Some(Code::Aborted), None, Some(Code::Internal)]);
    }

    #[test]
    fn a_rule_can_be_for_one_service() {
        let rules = Rules::default();
        rules.add(Rule::on("runtime.v1.RuntimeService/Version").status(Code::Internal, ""));
        assert_eq!(
            code(&rules, "/runtime.v1alpha2.RuntimeService/Version"),
            None
        );
        assert_eq!(
            code(&rules, "/runtime.v1.RuntimeService/Version"),
            Some(Code::Internal)
        );
    }
}
