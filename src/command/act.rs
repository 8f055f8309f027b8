//! The act verb: one verb over many objects, a result for each as soon as it is known, and the worst decides the exit
//! code.
//!
//! At most four calls are in flight; in crictl's place one, and nothing after the first failure, but for what is removed. After the first one that the runtime does not answer no further one is sent: a
//! sick daemon is not made sicker. What sweeps the node asks first, see [`Consent`]; `--dry-run` is everywhere.

mod consent;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::session::Session;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::{Container, Image, PodSandbox};
use crate::render::human;
use crate::render::progress::{PACE, PATIENCE, Progress, during};
use crate::render::sanitize;

pub use consent::Consent;

/// Calls in flight.
const AT_ONCE: usize = 4;

/// How long a change may take where nobody chose a deadline: the kubelet's `runtimeRequestTimeout`.
const DEADLINE: Duration = Duration::from_secs(120);

/// The flag of every act command.
#[derive(Debug, Clone, Copy, Args)]
pub struct Rehearsal {
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// The words for what is done.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// `stop`.
    pub act: &'static str,
    /// `stopping`.
    pub acting: &'static str,
    /// `container`.
    pub object: &'static str,
}

/// Something that is acted on.
pub trait Subject {
    /// Its whole id.
    fn id(&self) -> &str;
    /// What people call it, if it has a name.
    fn name(&self) -> Option<String>;

    /// Both, for a sentence.
    fn description(&self) -> String {
        match self.name() {
            Some(name) => format!("{} ({name})", human::short_id(self.id())),
            None => human::short_id(self.id()).to_owned(),
        }
    }
}

impl Subject for Container {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<String> {
        match (self.pod_namespace(), self.pod_name()) {
            (Some(namespace), Some(pod)) => Some(format!("{namespace}/{pod}/{}", self.name)),
            _ if self.name.is_empty() => None,
            _ => Some(self.name.clone()),
        }
    }
}

impl Subject for PodSandbox {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<String> {
        let (namespace, name) = (self.namespace(), PodSandbox::name(self));
        (!name.is_empty()).then(|| format!("{namespace}/{name}"))
    }
}

impl Subject for Image {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<String> {
        self.repo_tags
            .first()
            .or(self.repo_digests.first())
            .cloned()
    }
}

impl Session {
    /// How long a call that changes something may take: what was chosen with `-t` or in the file, else two minutes.
    pub fn act_deadline(&self) -> Duration {
        if self.settings.timeout_is_chosen {
            self.settings.timeout
        } else {
            DEADLINE
        }
    }

    /// Does one thing to many subjects. `plan` says what would be done, for `--dry-run`; `act` does it and leaves the
    /// lines for stdout, also those of what was done before it failed. Subjects that could not be found are results too.
    ///
    /// # Errors
    /// Only that stdout cannot be written; what fails for a subject is told at once and decides the exit code.
    pub async fn act<S: Subject>(
        &self,
        verb: &Verb,
        rehearsal: Rehearsal,
        subjects: Vec<Result<S, impl Into<Error>>>,
        plan: impl Fn(&S) -> Vec<String>,
        act: impl AsyncFn(&S, &mut Vec<String>) -> Result<(), Error>,
    ) -> Result<Exit, Error> {
        let mut worst = Exit::Success;
        let mut waiting = VecDeque::new();
        let mut failures = Failures::new(self);
        for subject in subjects {
            match subject {
                Ok(subject) => waiting.push_back(subject),
                Err(error) => {
                    let error = error.into();
                    worst = worst.or_worse(error.exit());
                    failures.tell(error);
                }
            }
        }
        if rehearsal.dry_run {
            for subject in &waiting {
                self.lines(&plan(subject))?;
            }
            failures.finish();
            return Ok(worst);
        }
        // crictl does one after the other and ends with the first failure, unless it removes.
        let in_turn = self.dialect.doing(verb.act, verb.object, "").is_some();
        let at_once = if in_turn { 1 } else { AT_ONCE };

        let progress = Progress::new(&self.output);
        let mut ticks = tokio::time::interval_at((Instant::now() + PATIENCE).into(), PACE);
        let mut in_flight = FuturesUnordered::new();
        let mut names = VecDeque::new();
        let mut halted = false;
        loop {
            while in_flight.len() < at_once && !halted {
                let Some(subject) = waiting.pop_front() else {
                    break;
                };
                names.push_back(subject.description());
                let act = &act;
                in_flight.push(async move {
                    let mut lines = Vec::new();
                    let result = act(&subject, &mut lines).await;
                    (subject, lines, result)
                });
            }
            let (subject, lines, result) = tokio::select! {
                biased;
                next = in_flight.next() => match next {
                    Some(next) => next,
                    None => break,
                },
                _ = ticks.tick(), if progress.is_visible() => {
                    let left = in_flight.len() + waiting.len();
                    let first = names.front().map_or("", String::as_str);
                    let more = if left > 1 { format!(" and {} more", left - 1) } else { String::new() };
                    progress.show(&format!("{} {} {first}{more}", verb.acting, verb.object));
                    continue;
                }
            };
            names.retain(|name| *name != subject.description());
            progress.aside(|| self.lines(&lines))?;
            if let Err(error) = result {
                worst = worst.or_worse(error.exit());
                halted |= in_turn || error.exit() == Exit::Undetermined;
                let error = match self.dialect {
                    Dialect::Own => error.while_doing(format!(
                        "cannot {} {} {}",
                        verb.act,
                        verb.object,
                        subject.description()
                    )),
                    Dialect::Crictl => {
                        match self.dialect.doing(verb.act, verb.object, subject.id()) {
                            Some(doing) => error.while_doing(doing),
                            None => error,
                        }
                    }
                };
                progress.aside(|| failures.tell(error));
            }
        }
        failures.finish();
        if !waiting.is_empty() && !in_turn {
            let names: Vec<String> = waiting.iter().map(Subject::description).collect();
            self.output.warning(format!(
                "not tried, because the runtime does not answer: {}",
                names.join(", ")
            ));
        }
        Ok(worst)
    }

    /// Waits for something that may take long, and says on a terminal what is being waited for.
    pub async fn wait_for<T>(&self, step: &str, work: impl Future<Output = T>) -> T {
        during(&self.output, || step.to_owned(), work).await
    }

    /// Writes lines to stdout.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn lines(&self, lines: &[String]) -> Result<(), Error> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&sanitize::line(line));
            text.push('\n');
        }
        Ok(self.output.data(text.as_bytes())?)
    }
}

/// Tells what failed: at once, or in crictl's place all of it in one line at the end.
struct Failures<'s> {
    session: &'s Session,
    kept: Vec<Error>,
}

impl<'s> Failures<'s> {
    fn new(session: &'s Session) -> Self {
        let kept = Vec::new();
        Self { session, kept }
    }

    fn tell(&mut self, error: Error) {
        match self.session.dialect {
            Dialect::Own => self.session.output.error(&error),
            Dialect::Crictl => self.kept.push(error),
        }
    }

    fn finish(&mut self) {
        match self.kept.as_slice() {
            [] => {}
            [error] => self.session.output.error(error),
            errors => {
                let lines: Vec<String> = errors.iter().map(Error::in_one_line).collect();
                let all = Error::failure(lines.join("\n"));
                self.session.output.error(&all);
            }
        }
        self.kept.clear();
    }
}
