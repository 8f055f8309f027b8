//! A route for people: one numbered line an endpoint, below it how it is asked, why, and where that is written.

use crate::registry::in_force::{FileState, Read};
use crate::registry::plan::failover::{Failover, Failure, ShownError};
use crate::registry::plan::{AuthSource, Phase, Route, RouteEndpoint, Source};

use super::sanitize;

/// The route as text.
pub fn text(route: &Route) -> String {
    let mut text = format!(
        "{} on {}\n",
        sanitize::line(&route.reference),
        sanitize::line(&route.runtime)
    );
    if let Some(fatal) = &route.fatal {
        let at = route
            .fatal_source
            .as_ref()
            .map(place)
            .filter(|place| !fatal.contains(place.as_str()))
            .map_or_else(String::new, |place| format!(" ({place})"));
        text.push_str(&format!(
            "  the pull cannot start: {}{}\n",
            sanitize::line(fatal),
            sanitize::line(&at)
        ));
    }
    for (index, endpoint) in route.endpoints.iter().enumerate() {
        text.push_str(&format!(
            "  {}. {}\n",
            index + 1,
            sanitize::line(&request(endpoint))
        ));
        text.push_str(&format!("     {}\n", sanitize::line(&how(endpoint))));
        text.push_str(&format!(
            "     {} ({})\n",
            sanitize::line(&endpoint.why),
            sanitize::line(&place(&endpoint.source))
        ));
    }
    if route.endpoints.is_empty() && route.fatal.is_none() {
        text.push_str("  no endpoint is asked\n");
    }
    for path in &route.unread {
        text.push_str(&format!(
            "  not read, and it could change the answer: {}\n",
            sanitize::line(&path.display().to_string())
        ));
    }
    text
}

/// The files behind routes: which are read when, which never, and which are not in force yet.
pub fn files(files: &[FileState], runtime: &str) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut text = "files:\n".to_owned();
    for file in files {
        let state = match (file.read, file.pending) {
            (Read::AtStart, Some(true)) => {
                format!("not loaded yet: changed after {runtime} started, restart it")
            }
            (Read::AtStart, Some(false)) => "loaded".to_owned(),
            (Read::AtStart, None) => file.why.clone(),
            (Read::EveryPull, _) => "read at every pull: no restart".to_owned(),
            (Read::Never, _) => format!("not read: {}", file.why),
        };
        text.push_str(&format!(
            "  {}: {}\n",
            sanitize::line(&file.path.display().to_string()),
            sanitize::line(&state)
        ));
    }
    text
}

/// What is done when an endpoint fails, where there is another one to ask; empty otherwise.
pub fn failover(route: &Route, failover: &Failover) -> String {
    if route.endpoints.len() < 2 {
        return String::new();
    }
    let words = |failures: &[Failure]| {
        let words: Vec<&str> = failures.iter().copied().map(failure).collect();
        words.join(", ")
    };
    let object = if failover.per_object {
        "every manifest and layer begins at the first endpoint again"
    } else {
        "who served the manifest serves all layers"
    };
    let shown = match failover.shown {
        ShownError::First => "the first endpoint's error is shown, unless it is a 404",
        ShownError::ByRank => {
            "the error of an HTTP status is shown before that of a 404, and that before a network error"
        }
        ShownError::All => "the errors of all endpoints are shown",
        ShownError::Last => "the last endpoint's error is shown",
    };
    format!(
        "  the next one is asked after: {}\n  the pull ends after: {}\n  {object}; if all fail, {shown}\n",
        words(failover.next),
        words(failover.stop)
    )
}

fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Dns => "no such host",
        Failure::Refused => "connection refused",
        Failure::ConnectTimeout => "connection timed out",
        Failure::Silent => "no answer",
        Failure::Tls => "TLS error",
        Failure::Denied => "401 or 403",
        Failure::NotFound => "404",
        Failure::TooManyRequests => "429",
        Failure::ServerError => "5xx",
        Failure::Redirect => "a redirection to nowhere",
        Failure::WrongBody => "an answer that is no manifest",
        Failure::BrokenBlob => "a broken layer",
        Failure::Ping => "no registry at /v2/",
    }
}

fn request(endpoint: &RouteEndpoint) -> String {
    let method = match endpoint.method {
        crate::registry::plan::Method::Head => "HEAD",
        crate::registry::plan::Method::Get => "GET",
    };
    format!("{method} {}", endpoint.url)
}

/// How an endpoint is asked, in words separated by commas.
fn how(endpoint: &RouteEndpoint) -> String {
    let mut words = Vec::new();
    words.push(match endpoint.phases.as_slice() {
        [Phase::Resolve] => "asked for the name only".to_owned(),
        [Phase::Fetch] => {
            "not asked for the name, but for manifests by digest and layers".to_owned()
        }
        _ => "asked for the name and for everything after it".to_owned(),
    });
    if endpoint.url.starts_with("https:") {
        let tls = &endpoint.tls;
        words.push(match (tls.verify, tls.ca.len()) {
            (false, _) => "certificate not verified".to_owned(),
            (true, 0) => "certificate verified by the system's authorities".to_owned(),
            (true, _) => {
                let files: Vec<String> = tls
                    .ca
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                format!(
                    "certificate verified by the system's authorities and {}",
                    files.join(", ")
                )
            }
        });
        if let Some(client) = &tls.client_cert {
            words.push(format!("client certificate {}", client.cert.display()));
        }
    }
    if endpoint.fallback.is_some() {
        words.push("plain HTTP is tried after TLS".to_owned());
    }
    match endpoint.auth.source {
        AuthSource::None => {}
        AuthSource::Request => words.push("credentials of the pull request".to_owned()),
        AuthSource::Config => words.push("credentials from the configuration".to_owned()),
        AuthSource::Header => {
            words.push("an Authorization header from the configuration".to_owned())
        }
        AuthSource::Authfile => words.push("credentials from the auth file".to_owned()),
    }
    words.join(", ")
}

fn place(source: &Source) -> String {
    match source {
        Source::File { path, line, .. } => format!("{}:{line}", path.display()),
        Source::Builtin => "a rule of the runtime".to_owned(),
    }
}
