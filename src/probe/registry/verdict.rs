//! The closed set of what an endpoint can turn out to be, and what a runtime does after each.

use serde::{Deserialize, Serialize};

use crate::registry::rules::{Rule, Rules};
use crate::registry::{RuntimeId, RuntimeName};

/// What one endpoint turned out to be, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It serves the image, as far as it was asked.
    Serves,
    /// It speaks the registry protocol; no image was asked for.
    Answers,
    /// 404: it does not have the image (or the URL has a wrong path).
    NotFound,
    /// 404 to HEAD although GET is answered: caches that fill on the first GET. containerd passes such a host over.
    HeadNotFound,
    /// 401, also after the credentials that were given.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 429.
    RateLimited,
    /// Any 5xx.
    ServerError,
    /// Another 4xx.
    Rejected,
    /// The name does not resolve.
    NoSuchHost,
    /// The name servers did not answer, or answered with a failure.
    DnsFailure,
    /// Nothing listens on the port.
    Refused,
    /// The network has no way there.
    Unreachable,
    /// No answer in time; the stage says to what.
    Timeout,
    /// A body that began and then stopped.
    Stalled,
    /// The connection was closed or reset instead of an answer.
    Closed,
    /// The proxy could not be reached or refused to connect.
    ProxyFailed,
    /// The certificate was signed by an authority that is not trusted.
    TlsUnknownCa,
    /// The certificate has expired.
    TlsExpired,
    /// The certificate is not valid yet: often a wrong clock on one of the two sides.
    TlsNotYetValid,
    /// The certificate is for other names.
    TlsWrongName,
    /// The certificate has a common name but no subject alternative names, which Go has not accepted since 1.15.
    TlsNoSan,
    /// The server wants a client certificate and none is configured.
    TlsClientCertRequired,
    /// The server did not accept the client certificate.
    TlsClientCertRejected,
    /// TLS did not come about for another reason.
    TlsOther,
    /// Plain HTTP is spoken on the port where TLS was expected.
    PlainHttp,
    /// TLS is spoken on the port where plain HTTP was expected.
    TlsOnHttpPort,
    /// Something answers, but no registry: a portal, a web page.
    NotARegistry,
    /// No token could be had: the token server is a second endpoint, and its own verdict says why.
    TokenFailed,
    /// A redirect leads to what is no address, or somewhere that does not answer: then the hop's own verdict says why.
    RedirectBroken,
    /// A redirect without a `Location`.
    BadRedirect,
    /// More than ten redirects, or one that leads back.
    RedirectLoop,
    /// The index has no image for this node's platform.
    NoPlatform,
    /// The manifest is there, a blob is not.
    BlobMissing,
    /// Content ends before its declared length.
    Truncated,
    /// Content does not have its declared digest.
    Corrupt,
    /// Something answers, but not in HTTP.
    NotHttp,
    /// An answer whose content is not what it has to be.
    BadResponse,
    /// A document that goes on beyond any honest size.
    Oversized,
    /// A manifest that announces more bytes than the runtime takes; the next host is asked.
    ManifestTooLarge,
    /// The endpoint's URL is not one.
    BadUrl,
    /// A configured certificate authority cannot be read.
    CaUnreadable,
    /// The configured client certificate cannot be read or does not belong to its key.
    ClientCertUnreadable,
}

/// Where on the way something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading the configured certificates.
    Trust,
    /// From the name to addresses.
    Dns,
    /// The TCP connection.
    Connect,
    /// The proxy's `CONNECT`.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// `GET /v2/`.
    Ping,
    /// Fetching a token.
    Token,
    /// The manifest, by tag or digest.
    Manifest,
    /// The configuration or a layer.
    Blob,
}

/// How long a runtime waits before it gives one request up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Milliseconds; nought when the answer comes at once.
    Millis(u64),
    /// As long as the peer likes: the runtime has no deadline of its own here.
    Endless,
}

impl Verdict {
    /// Whether the image can be had there.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Serves | Verdict::Answers)
    }

    /// Whether the runtime asks the next host on its list after this verdict at this stage.
    ///
    /// Observed on containerd 1.6 to 2.4 and CRI-O 1.37: connection, TLS and status failures are passed over; an answer
    /// that is well-formed but wrong ends the pull, and so does a fault inside a blob. CRI-O chooses its source with
    /// the manifest and stays with it.
    pub fn next_host(self, at: Stage, runtime: &RuntimeId) -> bool {
        use Verdict::*;
        if self.wait(at, runtime, None) == Wait::Endless {
            return false;
        }
        match self {
            Serves | Answers => false,
            // A fault inside content, and content that is not what it should be.
            Stalled | Truncated | Corrupt | Oversized | NotARegistry | NoPlatform => false,
            // containerd builds all hosts before it asks the first: one bad entry ends the pull.
            BadUrl | CaUnreadable | ClientCertUnreadable => runtime.name != RuntimeName::Containerd,
            BadResponse => runtime.name != RuntimeName::Containerd && at < Stage::Blob,
            // While a name is resolved containerd takes such an answer for the last word, for content it does not.
            BadRedirect => (runtime.name == RuntimeName::Containerd) == (at == Stage::Blob),
            _ => at < Stage::Blob || runtime.name == RuntimeName::Containerd,
        }
    }

    /// How long one request waits for this verdict. `retry_after` is the registry's wish in seconds.
    pub fn wait(self, at: Stage, runtime: &RuntimeId, retry_after: Option<u64>) -> Wait {
        const SECOND: u64 = 1000;
        match (self, at) {
            (Verdict::Timeout | Verdict::ProxyFailed, Stage::Dns) => Wait::Millis(10 * SECOND),
            // Go's dialler, as every one of these runtimes sets it up.
            (Verdict::Timeout | Verdict::ProxyFailed, Stage::Connect) => Wait::Millis(30 * SECOND),
            (Verdict::Timeout | Verdict::ProxyFailed, Stage::Tls) => Wait::Millis(10 * SECOND),
            // Go gives a proxy a minute to answer CONNECT.
            (Verdict::Timeout, Stage::Proxy) => Wait::Millis(60 * SECOND),
            // Where the runtime has a deadline for response headers, it is Go's usual one.
            (Verdict::Timeout, _) => {
                if Rules::builtin().holds(Rule::ResponseHeaderTimeout, runtime) {
                    Wait::Millis(30 * SECOND)
                } else {
                    Wait::Endless
                }
            }
            // Nobody limits how long a body may take or how long a document may be.
            (Verdict::Stalled | Verdict::Oversized, _) => Wait::Endless,
            // CRI-O makes five attempts and sleeps between them as told, at most a minute each time, or 2, 4, 8 and 16
            // seconds; containerd repeats at once.
            (Verdict::RateLimited, _) if runtime.name == RuntimeName::Crio => {
                Wait::Millis(match retry_after {
                    Some(seconds) => 4 * seconds.min(60) * SECOND,
                    None => 30 * SECOND,
                })
            }
            _ => Wait::Millis(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 3] = ["containerd@1.6.20", "containerd@2.3.0", "crio@1.37.0"];

    fn id(text: &str) -> RuntimeId {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_kebab_case() {
        let name = |verdict| serde_json::to_string(&verdict).unwrap();
        assert_eq!(name(Verdict::TlsUnknownCa), "\"tls-unknown-ca\"");
        assert_eq!(name(Verdict::NotARegistry), "\"not-a-registry\"");
        assert_eq!(name(Verdict::TlsNoSan), "\"tls-no-san\"");
    }

    #[test]
    fn who_is_asked_next() {
        #[track_caller]
        fn case(verdict: Verdict, at: Stage, expected: [bool; 3]) {
            assert_eq!(
                ALL.map(|runtime| verdict.next_host(at, &id(runtime))),
                expected
            );
        }
        case(Verdict::Refused, Stage::Connect, [true, true, true]);
        case(Verdict::NotFound, Stage::Manifest, [true, true, true]);
        case(Verdict::TlsUnknownCa, Stage::Tls, [true, true, true]);
        // A peer that accepts and says nothing.
        case(Verdict::Timeout, Stage::Manifest, [false, true, false]);
        case(Verdict::Timeout, Stage::Tls, [true, true, true]);
        case(
            Verdict::NotARegistry,
            Stage::Manifest,
            [false, false, false],
        );
        case(Verdict::Corrupt, Stage::Blob, [false, false, false]);
        // containerd falls back object by object, CRI-O stays with its source.
        case(Verdict::BlobMissing, Stage::Blob, [true, true, false]);
        case(Verdict::RedirectBroken, Stage::Blob, [true, true, false]);
        case(Verdict::CaUnreadable, Stage::Trust, [false, false, true]);
        case(Verdict::BadRedirect, Stage::Manifest, [false, false, true]);
        case(Verdict::BadRedirect, Stage::Blob, [true, true, false]);
        case(Verdict::NotHttp, Stage::Manifest, [true, true, true]);
        case(Verdict::BadResponse, Stage::Manifest, [false, false, true]);
    }

    #[test]
    fn crio_sleeps_out_a_limit() {
        let wait = |after| Verdict::RateLimited.wait(Stage::Manifest, &id(ALL[2]), after);
        assert_eq!(wait(Some(30)), Wait::Millis(120_000));
        assert_eq!(wait(Some(3600)), Wait::Millis(240_000));
        assert_eq!(wait(None), Wait::Millis(30_000));
        assert_eq!(
            Verdict::RateLimited.wait(Stage::Manifest, &id(ALL[1]), Some(30)),
            Wait::Millis(0)
        );
    }
}
