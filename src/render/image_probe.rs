//! A probed image for people: what it comes to, then every endpoint with what was seen there.

use crate::probe::image_probe::ImageProbe;
use crate::probe::registry::{Challenge, EndpointProbe, Wait};

use super::sanitize;
use super::test_pull::word;

/// The probe as text.
pub fn text(probe: &ImageProbe) -> String {
    let head = match probe.route.reference.as_str() {
        "" => String::new(),
        reference => format!("{reference} on {}: ", probe.route.runtime),
    };
    let mut lines = vec![format!("{head}{}", probe.message)];
    for (index, seen) in probe.probes.iter().enumerate() {
        endpoint(probe, index, seen, &mut lines);
    }
    if let Some(prediction) = &probe.prediction {
        if let Some(error) = &prediction.error {
            // Words of ours are in the first line already.
            if error.verbatim {
                lines.push(format!("  the runtime would say: {}", error.text));
            }
            if let Some(about) = error.endpoint
                && !error.hides.is_empty()
            {
                lines.push(format!(
                    "  these words are about endpoint {} and hide what happened at {}",
                    about + 1,
                    numbers(&error.hides)
                ));
            }
        }
        if let Wait::Millis(ms @ 1..) = prediction.delay {
            lines.push(format!("  the pull would wait {} in vain", duration(ms)));
        }
    }
    for group in &probe.divergence {
        lines.push(format!(
            "  {} at endpoint {}",
            group.digest,
            numbers(&group.endpoints)
        ));
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(&sanitize::line(&line));
        text.push('\n');
    }
    text
}

fn endpoint(probe: &ImageProbe, index: usize, seen: &EndpointProbe, lines: &mut Vec<String>) {
    lines.push(format!("  {}. {}", index + 1, seen.url));
    let digest = seen
        .digest
        .as_deref()
        .map_or_else(String::new, |digest| format!(", {digest}"));
    let detail = match seen.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    lines.push(format!(
        "     {}{digest} in {} ms{detail}",
        word(seen),
        seen.ms
    ));
    if let Some(certificate) = &seen.certificate {
        let issuer = if certificate.self_signed {
            "itself".to_owned()
        } else {
            certificate.issuer.clone()
        };
        lines.push(format!(
            "     certificate for {}, by {issuer}, until {}",
            if certificate.names.is_empty() {
                "no name".to_owned()
            } else {
                certificate.names.join(", ")
            },
            certificate.not_after
        ));
    }
    if let Some(token) = &seen.token {
        lines.push(format!(
            "     asks for a token of {}{}",
            token.realm,
            trouble(token.verdict.is_good(), &token.detail)
        ));
    } else {
        for challenge in &seen.challenge {
            lines.push(match challenge {
                Challenge::Bearer { realm, .. } => format!("     asks for a token of {realm}"),
                Challenge::Basic { .. } => "     asks for user and password".to_owned(),
                Challenge::Other { name } => {
                    format!("     asks for a login by `{name}`, which no runtime speaks")
                }
            });
        }
    }
    for redirect in seen.redirects.iter().filter(|redirect| redirect.other_host) {
        lines.push(format!(
            "     redirects to {} ({})",
            redirect.to, redirect.status
        ));
    }
    if let Some(limit) = &seen.rate_limit {
        let parts = [
            ("limit", &limit.limit),
            ("remaining", &limit.remaining),
            ("counted for", &limit.source),
            ("retry after", &limit.retry_after),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
            .collect();
        if !said.is_empty() {
            lines.push(format!("     counts pulls: {}", said.join(", ")));
        }
    }
    let delays = probe
        .prediction
        .iter()
        .flat_map(|prediction| &prediction.delays);
    for delay in delays.filter(|delay| delay.endpoint == index) {
        match (delay.each, delay.total()) {
            (Wait::Millis(0), _) => {}
            (Wait::Millis(each), Wait::Millis(total)) => lines.push(format!(
                "     each object waits {} here first: about {} for this image",
                duration(each),
                duration(total)
            )),
            _ => lines.push("     the runtime waits here without end".to_owned()),
        }
    }
    for seen in probe
        .namespaces
        .iter()
        .filter(|seen| seen.endpoint == index)
    {
        lines.push(
            match (seen.ignores_namespace, seen.catch_all) {
                (Some(true), true) => {
                    "     ignores whose image is asked for, although it is asked for every registry's: \
                     one registry's image comes under another's name"
                }
                (Some(true), false) => {
                    "     ignores whose image is asked for; do not use it for more than one registry"
                }
                (Some(false), _) => "     heeds whose image is asked for",
                (None, _) => "     whether it heeds whose image is asked for could not be told",
            }
            .to_owned(),
        );
    }
}

fn trouble(good: bool, detail: &str) -> String {
    if good || detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

fn duration(ms: u64) -> String {
    super::human::duration(std::time::Duration::from_millis(ms))
}

/// Positions as people count them.
fn numbers(positions: &[usize]) -> String {
    let shown: Vec<String> = positions.iter().map(|at| (at + 1).to_string()).collect();
    shown.join(", ")
}
