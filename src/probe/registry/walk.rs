//! The walk along one endpoint: its connections, its requests, and where redirects lead. What is asked for is the
//! business of `image`, who may ask that of `login`.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, StatusCode};

use super::Options;
use super::certificate::Certificate;
use super::content::{first_error, looks_like_html};
use super::exchange::{Ask, Connection, Reply, drain, tls_on_http_port};
use super::login::Ledger;
use super::outcome::{EndpointProbe, Fault, RateLimit, Redirect};
use super::target::{Origin, Scheme, Target};
use super::trail::Trail;
use super::trust::Trust;
use super::verdict::{Stage, Verdict};
use crate::registry::RuntimeName;
use crate::secret::Secret;

/// Manifests, tokens and error bodies are not read beyond this.
const MAX_DOCUMENT: u64 = 8 << 20;
/// Of an error body no more than this is read.
const MAX_EXCERPT: u64 = 4 << 10;
/// As many redirects as Go follows.
const MAX_REDIRECTS: usize = 10;

/// One walk and all it carries.
pub(super) struct Walk<'a> {
    pub options: &'a Options,
    pub runtime: RuntimeName,
    pub trust: Arc<Trust>,
    pub verify: bool,
    pub trail: Trail<'a>,
    pub ledger: &'a Ledger,
    /// What was found so far.
    pub probe: EndpointProbe,
    /// The endpoint itself: credentials and configured headers go there and nowhere else.
    pub home: Origin,
    /// The value of `Authorization` for home, once there is one.
    pub authorization: Option<Secret>,
    /// Whether a login was tried; there is no second one.
    pub login_tried: bool,
    /// The certificate of the connection that was opened last, when it is not home's.
    pub certificate: Option<Certificate>,
    /// Whether a plain-HTTP home answers a TLS hello, once that was tried.
    pub speaks_tls: Option<bool>,
    /// Connections to be used again.
    pub open: Vec<(Origin, Connection)>,
}

impl Walk<'_> {
    /// Headers that the configuration adds for an origin.
    fn configured_headers(&self, origin: &Origin) -> &[(String, Secret)] {
        if *origin != self.home {
            return &[];
        }
        self.options
            .headers
            .get(&origin.authority())
            .map_or(&[], Vec::as_slice)
    }

    /// Whether the configuration itself brings an `Authorization`.
    pub(super) fn has_configured_login(&self) -> bool {
        let names = self.configured_headers(&self.home).iter();
        names
            .into_iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    }

    /// A connection to an origin: an open one, or a new one.
    async fn connection(&mut self, origin: &Origin, at: Stage) -> Result<Connection, Fault> {
        if let Some(index) = self.open.iter().position(|(open, _)| open == origin) {
            return Ok(self.open.swap_remove(index).1);
        }
        let dialled = self.dial(origin).await;
        if *origin == self.home
            && let Some(certificate) = self.certificate.take()
        {
            self.probe.certificate = Some(certificate);
        }
        Connection::open(dialled?, at).await
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        target: &Target,
        accept: Option<&str>,
        authorization: Option<&Secret>,
        at: Stage,
    ) -> Result<Reply, Fault> {
        let headers = self.configured_headers(&target.origin).to_vec();
        let ask = Ask {
            method: method.clone(),
            target,
            accept,
            authorization,
            headers: &headers,
            user_agent: &self.options.user_agent,
            form: None,
            at,
        };
        self.exchange(&ask).await
    }

    /// Posts a form and waits for the head of the answer.
    pub(super) async fn post(
        &mut self,
        target: &Target,
        form: Secret,
        at: Stage,
    ) -> Result<Reply, Fault> {
        let headers = self.configured_headers(&target.origin).to_vec();
        let ask = Ask {
            method: Method::POST,
            target,
            accept: None,
            authorization: None,
            headers: &headers,
            user_agent: &self.options.user_agent,
            form: Some(&form),
            at,
        };
        self.exchange(&ask).await
    }

    async fn exchange(&mut self, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let (method, target, at) = (&ask.method, ask.target, ask.at);
        loop {
            let mut connection = self.connection(&target.origin, at).await?;
            let used = connection.used;
            let work = async {
                let reply = connection.send(ask).await?;
                let status = reply.status_line();
                Ok((reply, status))
            };
            let limit = self.options.limits.answer;
            let result = self
                .trail
                .step(at, format!("{method} {target}"), limit, work)
                .await;
            match result {
                // The peer had closed a connection that lay idle, or had sent more on it than it should: the answer to
                // this is not yet known.
                Err(fault)
                    if used && matches!(fault.verdict, Verdict::Closed | Verdict::NotHttp) =>
                {
                    self.trail.steps.pop();
                }
                Err(fault) => {
                    let odd = fault.verdict == Verdict::Closed;
                    return Err(if odd {
                        self.tls_after_all(target).await.unwrap_or(fault)
                    } else {
                        fault
                    });
                }
                Ok(reply) => {
                    if reply.status == StatusCode::BAD_REQUEST
                        && !used
                        && let Some(fault) = self.tls_after_all(target).await
                    {
                        return Err(reply.decided(fault));
                    }
                    if reply.status == StatusCode::BAD_REQUEST
                        && let Some(fault) = connection.missed_client_certificate(at)
                    {
                        return Err(fault);
                    }
                    self.note_limits(&reply);
                    self.open.push((target.origin.clone(), connection));
                    return Ok(reply);
                }
            }
        }
    }

    /// Whether a peer that took plain HTTP badly speaks TLS: a hello tells. One is enough for a walk.
    async fn tls_after_all(&mut self, target: &Target) -> Option<Fault> {
        if target.origin.scheme != Scheme::Http || target.origin != self.home {
            return None;
        }
        let answers = match self.speaks_tls {
            Some(known) => known,
            None => self.answers_hello(&target.origin).await,
        };
        self.speaks_tls = Some(answers);
        answers.then(tls_on_http_port)
    }

    fn note_limits(&mut self, reply: &Reply) {
        let named = |name: &str| reply.header(name).map(Cow::into_owned);
        let limits = RateLimit {
            limit: named("ratelimit-limit"),
            remaining: named("ratelimit-remaining"),
            source: named("docker-ratelimit-source"),
            retry_after: named("retry-after"),
        };
        if limits != RateLimit::default() && reply.target.origin == self.home {
            self.probe.rate_limit = Some(limits);
        }
    }

    /// Sends a request and follows redirects. Credentials stay at home.
    pub(super) async fn ask(
        &mut self,
        method: &Method,
        target: &Target,
        accept: Option<&str>,
        at: Stage,
    ) -> Result<Reply, Fault> {
        let mut visited = vec![target.clone()];
        let mut here = target.clone();
        loop {
            let authorization = self
                .authorization
                .clone()
                .filter(|_| here.origin == self.home);
            let reply = match self
                .send(method, &here, accept, authorization.as_ref(), at)
                .await
            {
                Ok(reply) => reply,
                Err(fault) if visited.len() > 1 => return Err(self.blame_redirect(fault, at)),
                Err(fault) => return Err(fault),
            };
            if visited.len() > 1
                && let Some(certificate) = self.certificate.take()
                && let Some(redirect) = self.probe.redirects.last_mut()
            {
                redirect.certificate = Some(certificate);
            }
            if !matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            let next = self.redirected(&reply, at)?;
            if visited.len() > MAX_REDIRECTS || visited.contains(&next) {
                return Err(Fault::new(
                    Verdict::RedirectLoop,
                    at,
                    format!("it redirects in circles, last to {next}"),
                )
                .in_go("stopped after 10 redirects"));
            }
            visited.push(next.clone());
            here = next;
        }
    }

    /// Where a redirect leads; noted on the way.
    fn redirected(&mut self, reply: &Reply, at: Stage) -> Result<Target, Fault> {
        let here = &reply.target;
        let bad = |what: String| reply.decided(Fault::new(Verdict::BadRedirect, at, what));
        let location = reply.location().ok_or_else(|| {
            bad(format!(
                "it answers {} without saying where to go",
                reply.status_line()
            ))
        })?;
        // Go follows every Location that there is; to the runtime a bad one is a request that failed.
        let next = here.join(&location).map_err(|error| {
            let detail = format!("it redirects to what is no URL: {error}");
            let in_go = if error.starts_with("unsupported protocol scheme") {
                error
            } else {
                "failed to parse Location header".to_owned()
            };
            Fault::new(Verdict::RedirectBroken, at, detail).in_go(in_go)
        })?;
        let (from, to) = (&here.origin.host, &next.origin.host);
        self.probe.redirects.push(Redirect {
            from: here.to_string(),
            to: next.to_string(),
            status: reply.status.as_u16(),
            failed: None,
            failed_at: None,
            other_host: here.origin != next.origin,
            go_sends_credentials: to == from
                || to
                    .strip_suffix(from)
                    .is_some_and(|head| head.ends_with('.')),
            certificate: None,
        });
        Ok(next)
    }

    /// Turns what went wrong behind a redirect into a fault of the endpoint.
    fn blame_redirect(&mut self, fault: Fault, at: Stage) -> Fault {
        let certificate = self.certificate.take();
        let Some(redirect) = self.probe.redirects.last_mut() else {
            return fault;
        };
        redirect.failed = Some(fault.verdict);
        redirect.failed_at = Some(fault.at);
        redirect.certificate = certificate;
        let detail = format!("it redirects to {}: {}", redirect.to, fault.detail);
        Fault {
            verdict: Verdict::RedirectBroken,
            at,
            detail,
            ..fault
        }
    }

    /// Adds containerd's words to a fault; the others say it in words that depend on what is read.
    pub(super) fn as_containerd(&self, fault: Fault, error: impl Into<String>) -> Fault {
        match self.runtime {
            RuntimeName::Containerd => fault.in_go(error),
            RuntimeName::Crio | RuntimeName::Docker => fault,
        }
    }

    /// Reads a whole body that is meant to be read by programs.
    pub(super) async fn read(&mut self, reply: Reply, at: Stage) -> Result<Vec<u8>, Fault> {
        let mut content = Vec::new();
        let take = |bytes: &[u8]| content.extend_from_slice(bytes);
        let result = match drain(
            reply.body,
            MAX_DOCUMENT,
            self.options.limits.stall,
            at,
            take,
        )
        .await
        {
            Ok(true) => return Ok(content),
            Ok(false) => Err(Fault::new(
                Verdict::Oversized,
                at,
                "its answer is larger than 8 MiB",
            )),
            Err(fault) => Err(fault),
        };
        result.inspect_err(|fault| self.trail.spoil(fault))
    }

    /// The fault of a status that is not a success, with what the body says about it.
    pub(super) async fn refuse(&mut self, reply: Reply, at: Stage) -> Fault {
        let (status, target, media_type) = (reply.status, reply.target.clone(), reply.media_type());
        let line = reply.status_line();
        let decided = reply.decided(Fault::new(of_status(status), at, ""));
        let mut body = Vec::new();
        let take = |bytes: &[u8]| body.extend_from_slice(bytes);
        // An error body that does not come is no reason to know less.
        let _ = drain(reply.body, MAX_EXCERPT, self.options.limits.stall, at, take).await;
        let error = first_error(&body);
        let words = error.as_ref().map(|error| error.message.clone());
        let said = match error {
            Some(said) => format!(" ({said})"),
            None if looks_like_html(&media_type, &body) => " (a web page)".to_owned(),
            None => match String::from_utf8_lossy(&body).trim() {
                "" => String::new(),
                text => format!(" ({})", text.chars().take(200).collect::<String>()),
            },
        };
        let mut fault = Fault {
            detail: format!("it answers {line}{said}"),
            ..decided
        };
        // containers/image repeats the registry's words of a 4xx where there are any, and the status else.
        if self.runtime == RuntimeName::Crio
            && status.is_client_error()
            && let Some(words) = words.filter(|words| !words.is_empty())
        {
            fault = fault.in_go(words);
        }
        if target.origin == self.home || at == Stage::Token {
            fault
        } else {
            self.blame_redirect(fault, at)
        }
    }

    /// The same for what a manifest names: a registry that has the one and not the other is broken, not asked in vain.
    pub(super) async fn refuse_content(&mut self, reply: Reply, at: Stage) -> Fault {
        let mut fault = self.refuse(reply, at).await;
        if fault.verdict == Verdict::NotFound {
            fault.verdict = Verdict::BlobMissing;
        }
        fault
    }
}

/// The verdict of a status that is neither a success nor a redirect to follow.
pub(super) fn of_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        401 => Verdict::Unauthorized,
        403 => Verdict::Forbidden,
        404 => Verdict::NotFound,
        429 => Verdict::RateLimited,
        400..=499 => Verdict::Rejected,
        500..=599 => Verdict::ServerError,
        300..=399 => Verdict::BadRedirect,
        _ => Verdict::BadResponse,
    }
}
