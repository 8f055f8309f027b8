//! The steps of a walk: each with its own deadline, its time, its end, and an event for whoever watches.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::outcome::{Event, EventState, Fault, Step};
use super::verdict::{Stage, Verdict};

/// What was done so far at one endpoint.
pub(super) struct Trail<'a> {
    /// Position of the endpoint on the route.
    endpoint: usize,
    progress: &'a (dyn Fn(Event) + Sync),
    pub steps: Vec<Step>,
    /// The step that is under way.
    current: Option<(Stage, String)>,
    started: Instant,
}

impl<'a> Trail<'a> {
    pub fn new(endpoint: usize, progress: &'a (dyn Fn(Event) + Sync)) -> Self {
        Self {
            endpoint,
            progress,
            steps: Vec::new(),
            current: None,
            started: Instant::now(),
        }
    }

    /// Milliseconds since the beginning.
    pub fn ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Makes one step. `work` gives its result and a clause for the record.
    pub async fn step<T>(
        &mut self,
        what: Stage,
        target: String,
        limit: Duration,
        work: impl Future<Output = Result<(T, String), Fault>>,
    ) -> Result<T, Fault> {
        self.tell(what, &target, EventState::Begun);
        self.current = Some((what, target.clone()));
        let started = Instant::now();
        let result = timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(timed_out(what, &target, limit)));
        self.current = None;
        let (failed, detail) = match &result {
            Ok((_, detail)) => (None, detail.clone()),
            Err(fault) => (Some(fault.verdict), fault.detail.clone()),
        };
        self.tell(what, &target, EventState::Ended(failed));
        self.steps.push(Step {
            what,
            target,
            ms: millis(started.elapsed()),
            failed,
            detail,
        });
        result.map(|(value, _)| value)
    }

    /// Marks the last step as failed after all: what came after its answer was bad.
    pub fn spoil(&mut self, fault: &Fault) {
        if let Some(step) = self.steps.last_mut() {
            step.failed = Some(fault.verdict);
            step.detail.clone_from(&fault.detail);
        }
    }

    /// Ends the step under way because the whole walk has taken too long.
    pub fn cut(&mut self, total: Duration) -> Fault {
        // Between two steps it waits for a body, or for its turn with a password.
        let last = |step: &Step| (step.what, step.target.clone());
        let begun = self.current.take().or_else(|| self.steps.last().map(last));
        let (what, target) = begun.unwrap_or((Stage::Trust, String::new()));
        let detail = format!("the whole probe took longer than {}", seconds(total));
        let fault = Fault::new(Verdict::Timeout, what, detail.clone());
        self.tell(what, &target, EventState::Ended(Some(fault.verdict)));
        self.steps.push(Step {
            what,
            target,
            ms: millis(total),
            failed: Some(fault.verdict),
            detail,
        });
        fault
    }

    fn tell(&self, what: Stage, target: &str, state: EventState) {
        (self.progress)(Event {
            endpoint: self.endpoint,
            what,
            target: target.to_owned(),
            state,
        });
    }
}

/// The fault of a step that did not end in time, in Go's words for that stage.
fn timed_out(at: Stage, target: &str, limit: Duration) -> Fault {
    let limit = seconds(limit);
    let (detail, in_go) = match at {
        Stage::Dns => (
            format!("no name server answers within {limit}"),
            format!("dial tcp: lookup {target}: i/o timeout"),
        ),
        Stage::Connect => (
            format!("no connection within {limit}"),
            format!("dial tcp {target}: i/o timeout"),
        ),
        Stage::Proxy => (
            format!("the proxy does not answer within {limit}"),
            "i/o timeout".to_owned(),
        ),
        Stage::Tls => (
            format!("the connection stands, but TLS does not come about within {limit}"),
            "net/http: TLS handshake timeout".to_owned(),
        ),
        _ => (
            format!("it takes the request and does not answer within {limit}"),
            "net/http: timeout awaiting response headers".to_owned(),
        ),
    };
    Fault::new(Verdict::Timeout, at, detail).in_go(in_go)
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_millis() as f64 / 1000.0)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
