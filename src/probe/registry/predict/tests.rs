//! What real daemons did, and what is foretold of it.

use super::super::outcome::{BlobProbe, Manifest};
use super::*;
use crate::registry::plan::{AuthPolicy, AuthSource, Method, RouteEndpoint, Source, TlsPolicy};

const OLD: &str = "containerd@1.6.20";
const NEW: &str = "containerd@2.head";
const CRIO: &str = "crio@1.37.0";

fn good(digest: &str) -> EndpointProbe {
    let blob = |kind| BlobProbe {
        digest: String::new(),
        kind,
        size: 1,
        verdict: Some(Verdict::Serves),
        ms: 0,
        detail: String::new(),
    };
    EndpointProbe {
        verdict: Verdict::Serves,
        digest: Some(digest.to_owned()),
        manifest: Some(Manifest {
            media_type: String::new(),
            size: 1,
            digest: Some(digest.to_owned()),
            verified: true,
            platforms: Vec::new(),
            chosen: None,
            layers: Some(1),
            layer_bytes: Some(1),
        }),
        blobs: vec![blob(BlobKind::Config), blob(BlobKind::Layer)],
        ..EndpointProbe::unseen("")
    }
}

fn bad(verdict: Verdict, at: Stage, status: Option<u16>, error: &str) -> EndpointProbe {
    EndpointProbe {
        verdict,
        failed_at: Some(at),
        status,
        error: Some(error.to_owned()),
        ..EndpointProbe::unseen("")
    }
}

fn bad_blob(verdict: Verdict) -> EndpointProbe {
    let mut probe = good("d");
    probe.verdict = verdict;
    probe.failed_at = Some(Stage::Blob);
    probe.error = Some("blob".to_owned());
    probe.blobs[1].verdict = Some(verdict);
    probe
}

fn gone() -> EndpointProbe {
    bad(Verdict::NoSuchHost, Stage::Dns, None, "no such host")
}

fn foretell(runtime: &str, probes: &[EndpointProbe]) -> Prediction {
    let endpoint = RouteEndpoint {
        method: Method::Head,
        url: String::new(),
        phases: vec![Phase::Resolve, Phase::Fetch],
        tls: TlsPolicy::default(),
        fallback: None,
        auth: AuthPolicy {
            source: AuthSource::None,
        },
        headers: Vec::new(),
        why: String::new(),
        source: Source::Builtin,
    };
    let route = Route {
        image: String::new(),
        reference: String::new(),
        runtime: runtime.to_owned(),
        endpoints: vec![endpoint; probes.len()],
        fatal: None,
        fatal_source: None,
        unread: Vec::new(),
    };
    predict(&route, probes).unwrap()
}

/// What real daemons did with a faulty mirror alone before a dead upstream, and before a good mirror as well.
#[test]
fn as_observed() {
    use Outcome::{Fails, Hangs, Succeeds};
    #[track_caller]
    fn case(probe: EndpointProbe, expected: [[Outcome; 2]; 3]) {
        for (runtime, expected) in [OLD, NEW, CRIO].into_iter().zip(expected) {
            let alone = foretell(runtime, &[probe.clone(), gone()]);
            let first = foretell(runtime, &[probe.clone(), good("d"), gone()]);
            assert_eq!(
                [alone.outcome, first.outcome],
                expected,
                "{runtime} {:?}",
                probe.verdict
            );
        }
    }
    let passed_over = [[Fails, Succeeds]; 3];
    let fatal = [[Fails, Fails]; 3];
    let status = |verdict, code: u16| bad(verdict, Stage::Manifest, Some(code), "status");
    case(good("stale"), [[Succeeds, Succeeds]; 3]);
    case(gone(), passed_over);
    case(bad(Verdict::Refused, Stage::Connect, None, ""), passed_over);
    case(bad(Verdict::PlainHttp, Stage::Tls, None, ""), passed_over);
    case(
        bad(Verdict::TlsUnknownCa, Stage::Tls, None, ""),
        passed_over,
    );
    case(
        bad(Verdict::TlsClientCertRequired, Stage::Manifest, None, ""),
        passed_over,
    );
    case(
        bad(Verdict::TlsOnHttpPort, Stage::Manifest, Some(400), ""),
        passed_over,
    );
    for (verdict, code) in [
        (Verdict::NotFound, 404),
        (Verdict::Unauthorized, 401),
        (Verdict::Forbidden, 403),
        (Verdict::RateLimited, 429),
        (Verdict::ServerError, 500),
    ] {
        case(status(verdict, code), passed_over);
    }
    case(bad(Verdict::Timeout, Stage::Tls, None, ""), passed_over);
    case(
        bad(Verdict::Timeout, Stage::Manifest, None, ""),
        [[Hangs, Hangs], [Fails, Succeeds], [Hangs, Hangs]],
    );
    case(bad_blob(Verdict::Truncated), fatal);
    case(bad_blob(Verdict::Corrupt), fatal);
    case(bad_blob(Verdict::Stalled), [[Hangs, Hangs]; 3]);
    case(
        bad_blob(Verdict::RedirectBroken),
        [[Fails, Succeeds], [Fails, Succeeds], [Fails, Fails]],
    );
    case(
        bad_blob(Verdict::BlobMissing),
        [[Fails, Succeeds], [Fails, Succeeds], [Fails, Fails]],
    );
    case(bad(Verdict::NotARegistry, Stage::Manifest, None, ""), fatal);
    case(bad(Verdict::BadResponse, Stage::Manifest, None, ""), fatal);
    case(
        bad(Verdict::ManifestTooLarge, Stage::Manifest, None, ""),
        passed_over,
    );
    // The name was resolved there: what follows is content, for which containerd asks the next host.
    let mut moved = bad(Verdict::BadRedirect, Stage::Manifest, Some(302), "");
    moved.digest = Some("d".into());
    case(
        moved,
        [[Fails, Succeeds], [Fails, Succeeds], [Fails, Succeeds]],
    );
}

#[test]
fn delays_as_measured() {
    #[track_caller]
    fn case(runtime: &str, probe: EndpointProbe, seconds: u64) {
        let prediction = foretell(runtime, &[probe, good("d")]);
        assert_eq!(prediction.delay, Wait::Millis(seconds * 1000));
        assert_eq!(
            (prediction.outcome, prediction.served_by),
            (Outcome::Succeeds, Some(1))
        );
    }
    case(NEW, bad(Verdict::Timeout, Stage::Manifest, None, ""), 120);
    case(NEW, bad(Verdict::Timeout, Stage::Tls, None, ""), 40);
    case(OLD, bad(Verdict::Timeout, Stage::Tls, None, ""), 40);
    case(CRIO, bad(Verdict::Timeout, Stage::Tls, None, ""), 10);
    case(NEW, bad(Verdict::Timeout, Stage::Connect, None, ""), 120);
    case(NEW, bad(Verdict::Refused, Stage::Connect, None, ""), 0);
    let mut limited = bad(Verdict::RateLimited, Stage::Manifest, Some(429), "");
    limited.rate_limit = Some(super::super::outcome::RateLimit {
        retry_after: Some("30".into()),
        ..Default::default()
    });
    case(CRIO, limited.clone(), 120);
    case(NEW, limited, 0);
}

#[test]
fn the_last_host_is_asked_again() {
    #[track_caller]
    fn case(runtime: &str, seconds: u64) {
        let silent = bad(Verdict::Timeout, Stage::Tls, None, "");
        let prediction = foretell(runtime, &[silent]);
        assert_eq!(prediction.outcome, Outcome::Fails);
        assert_eq!(prediction.delay, Wait::Millis(seconds * 1000), "{runtime}");
    }
    case("containerd@2.3.4", 50);
    case("containerd@2.3.0", 10);
    case(OLD, 10);
}

#[test]
fn which_error_is_shown() {
    #[track_caller]
    fn case(runtime: &str, probes: &[EndpointProbe], text: &str, endpoint: usize, hides: &[usize]) {
        let error = foretell(runtime, probes).error.unwrap();
        assert_eq!(
            (error.text.as_str(), error.endpoint, error.hides.as_slice()),
            (text, Some(endpoint), hides)
        );
    }
    let missing = bad(
        Verdict::NotFound,
        Stage::Manifest,
        Some(404),
        "404 Not Found",
    );
    let refused = bad(Verdict::Refused, Stage::Connect, None, "connection refused");
    let denied = bad(
        Verdict::Forbidden,
        Stage::Manifest,
        Some(403),
        "403 Forbidden",
    );
    case(OLD, &[missing.clone(), gone()], "no such host", 1, &[0]);
    case(NEW, &[missing.clone(), gone()], "not found", 0, &[1]);
    case(NEW, &[gone(), missing.clone()], "not found", 1, &[0]);
    case(
        OLD,
        &[refused.clone(), missing.clone()],
        "connection refused",
        0,
        &[1],
    );
    case(
        NEW,
        &[refused.clone(), missing.clone(), denied.clone()],
        "403 Forbidden",
        2,
        &[0, 1],
    );
    case(OLD, std::slice::from_ref(&missing), "not found", 0, &[]);
    case(CRIO, &[refused, denied], "403 Forbidden", 1, &[]);
}

/// As containerd 1.6.20 and 1.7.24 said it of registries that want a password, and of token servers.
#[test]
fn a_login_that_is_missing() {
    #[track_caller]
    fn case(runtime: &str, words: &str, expected: &str) {
        let probe = bad(Verdict::Unauthorized, Stage::Manifest, None, words);
        let error = foretell(runtime, &[probe]).error.unwrap();
        assert_eq!(error.text, expected, "{runtime}");
    }
    let (old, new) = ("containerd@1.6.20", "containerd@1.7.24");
    case(old, NO_LOGIN, "401 Unauthorized");
    case(new, NO_LOGIN, NO_LOGIN);
    let scope = "server message: insufficient_scope: authorization failed";
    case(old, scope, scope);
    case(new, scope, scope);
}

#[test]
fn content_from_two_hosts() {
    let prediction = foretell(NEW, &[bad_blob(Verdict::BlobMissing), good("d")]);
    assert_eq!(
        (prediction.served_by, prediction.blobs_by),
        (Some(0), Some(1))
    );
    assert!(prediction.assumed.is_empty());
}

#[test]
fn a_host_that_only_fetches_is_not_asked_for_the_tag() {
    let mut probes = [good("other"), good("d")];
    let mut route = Route {
        image: String::new(),
        reference: String::new(),
        runtime: NEW.to_owned(),
        endpoints: Vec::new(),
        fatal: None,
        fatal_source: None,
        unread: Vec::new(),
    };
    for phases in [vec![Phase::Fetch], vec![Phase::Resolve, Phase::Fetch]] {
        let json = serde_json::json!({
            "method": "HEAD", "url": "", "phases": phases, "tls": {"verify": true, "ca": [], "clientCert": null},
            "fallback": null, "auth": {"source": "none"}, "why": "", "source": {"kind": "builtin"},
        });
        route.endpoints.push(serde_json::from_value(json).unwrap());
    }
    let prediction = predict(&route, &probes).unwrap();
    assert_eq!(
        (prediction.served_by, prediction.digest.as_deref()),
        (Some(1), Some("d"))
    );
    assert_eq!(prediction.assumed, [Assumption::OtherDigestNotAsked]);
    probes[0] = good("d");
    assert_eq!(predict(&route, &probes).unwrap().served_by, Some(0));
    route.fatal = Some("unable to read CA cert".into());
    let stopped = predict(&route, &probes).unwrap();
    assert_eq!(stopped.outcome, Outcome::Fails);
    assert_eq!(stopped.error.unwrap().endpoint, None);
    route.runtime = "nonsense".into();
    assert_eq!(predict(&route, &probes), None);
}

#[test]
fn what_was_not_probed_is_said() {
    let mut shallow = good("d");
    shallow.blobs.clear();
    if let Some(manifest) = &mut shallow.manifest {
        manifest.layers = None;
    }
    let prediction = foretell(NEW, &[shallow]);
    assert_eq!(prediction.outcome, Outcome::Succeeds);
    assert_eq!(
        prediction.assumed,
        [Assumption::BlobsNotProbed, Assumption::LayersNotKnown]
    );
}
