//! A server's certificate in plain values: what it says, and what is wrong with it, in our words and in Go's.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// What a server showed in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Distinguished name of the subject, RFC 4514.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// DNS names and addresses of the subject alternative names.
    pub names: Vec<String>,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// Certificates sent, the server's own included.
    pub chain: usize,
    /// Whether subject and issuer are the same.
    pub self_signed: bool,
    /// What verification says, whether or not the policy asked for it. Empty: it verifies.
    pub faults: Vec<CertificateFault>,
}

/// One reason not to trust a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "fault",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum CertificateFault {
    /// After its last day.
    Expired {
        /// When that was.
        not_after: String,
    },
    /// Before its first day.
    NotYetValid {
        /// When that will be.
        not_before: String,
    },
    /// For other names.
    WrongName {
        /// The name that was dialled.
        wanted: String,
        /// The names it is for.
        names: Vec<String>,
    },
    /// No subject alternative names at all.
    NoSan {
        /// The name that was dialled.
        wanted: String,
        /// The common name, which does not count.
        common_name: String,
    },
    /// No chain to a trusted authority.
    UnknownCa {
        /// The issuer that is not known.
        issuer: String,
        /// Why the authority that would fit did not count.
        because: Option<String>,
    },
    /// Anything else, in the verifier's words.
    Other {
        /// Those words.
        reason: String,
    },
}

impl CertificateFault {
    /// The verdict for an endpoint that has this fault.
    pub fn verdict(&self) -> Verdict {
        match self {
            CertificateFault::Expired { .. } => Verdict::TlsExpired,
            CertificateFault::NotYetValid { .. } => Verdict::TlsNotYetValid,
            CertificateFault::WrongName { .. } => Verdict::TlsWrongName,
            CertificateFault::NoSan { .. } => Verdict::TlsNoSan,
            CertificateFault::UnknownCa { .. } => Verdict::TlsUnknownCa,
            CertificateFault::Other { .. } => Verdict::TlsOther,
        }
    }

    /// The fault as Go words it, without dates: what a user finds in the runtime's error.
    pub fn in_go(&self) -> String {
        match self {
            CertificateFault::Expired { .. } | CertificateFault::NotYetValid { .. } => {
                "x509: certificate has expired or is not yet valid".to_owned()
            }
            CertificateFault::WrongName { wanted, names } => wrong_name_in_go(wanted, names),
            CertificateFault::NoSan {
                wanted,
                common_name,
            } if matches(common_name, wanted) => {
                "x509: certificate relies on legacy Common Name field, use SANs instead".to_owned()
            }
            CertificateFault::NoSan { wanted, .. } => wrong_name_in_go(wanted, &[]),
            CertificateFault::UnknownCa { .. } => {
                "x509: certificate signed by unknown authority".to_owned()
            }
            CertificateFault::Other { reason } => format!("x509: {reason}"),
        }
    }
}

impl fmt::Display for CertificateFault {
    /// A clause that continues «the certificate …».
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateFault::Expired { not_after } => write!(f, "expired at {not_after}"),
            CertificateFault::NotYetValid { not_before } => {
                write!(f, "is not valid before {not_before}")
            }
            CertificateFault::WrongName { wanted, names } if names.is_empty() => {
                write!(f, "is for no name at all, not for {wanted}")
            }
            CertificateFault::WrongName { wanted, names } => {
                write!(f, "is for {}, not for {wanted}", names.join(", "))
            }
            CertificateFault::NoSan { common_name, .. } => {
                write!(
                    f,
                    "has no subject alternative names, only the common name `{common_name}`, which does not count"
                )
            }
            CertificateFault::UnknownCa {
                issuer,
                because: None,
            } => {
                write!(
                    f,
                    "was signed by an authority that is not trusted: `{issuer}`"
                )
            }
            CertificateFault::UnknownCa {
                because: Some(because),
                ..
            } => {
                write!(
                    f,
                    "was signed by an authority that does not count ({because})"
                )
            }
            CertificateFault::Other { reason } => write!(f, "does not verify: {reason}"),
        }
    }
}

fn wrong_name_in_go(wanted: &str, names: &[String]) -> String {
    let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
    let same_kind = |name: &&String| is_address(name) == is_address(wanted);
    let valid = names
        .iter()
        .filter(same_kind)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match (valid.is_empty(), is_address(wanted)) {
        (true, true) => {
            format!(
                "x509: cannot validate certificate for {wanted} because it doesn't contain any IP SANs"
            )
        }
        (true, false) => {
            format!("x509: certificate is not valid for any names, but wanted to match {wanted}")
        }
        _ => format!("x509: certificate is valid for {valid}, not {wanted}"),
    }
}

/// Whether a name in a certificate covers a host. A star stands for one whole leftmost label.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    match (pattern.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(pattern), Ok(host)) => return pattern == host,
        (Err(_), Err(_)) => {}
        _ => return false,
    }
    let host = host.trim_end_matches('.');
    if let Some(parent) = pattern.strip_prefix("*.") {
        return host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent));
    }
    !pattern.is_empty() && pattern.trim_end_matches('.').eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cover() {
        #[track_caller]
        fn case(pattern: &str, host: &str, expected: bool) {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
        case("Mirror.test", "mirror.TEST", true);
        case("mirror.test", "mirror.test.", true);
        case("*.test", "mirror.test", true);
        case("*.test", "a.mirror.test", false);
        case("*.test", ".test", false);
        case("*.test", "test", false);
        case("m*.test", "mirror.test", false);
        case("10.0.0.1", "10.0.0.1", true);
        case("::1", "0:0:0:0:0:0:0:1", true);
        case("*.0.0.1", "10.0.0.1", false);
        case("", "", false);
    }

    #[test]
    fn words_of_go() {
        #[track_caller]
        fn case(wanted: &str, names: &[&str], expected: &str) {
            let names = names.iter().map(ToString::to_string).collect();
            let fault = CertificateFault::WrongName {
                wanted: wanted.to_owned(),
                names,
            };
            assert_eq!(fault.in_go(), format!("x509: {expected}"));
        }
        case(
            "m",
            &["a", "b", "10.0.0.1"],
            "certificate is valid for a, b, not m",
        );
        case(
            "m",
            &["10.0.0.1"],
            "certificate is not valid for any names, but wanted to match m",
        );
        case(
            "10.0.0.2",
            &["a", "10.0.0.1"],
            "certificate is valid for 10.0.0.1, not 10.0.0.2",
        );
        case(
            "10.0.0.2",
            &["a"],
            "cannot validate certificate for 10.0.0.2 because it doesn't contain any IP SANs",
        );
        let legacy = |common_name: &str| {
            CertificateFault::NoSan {
                wanted: "m".into(),
                common_name: common_name.into(),
            }
            .in_go()
        };
        assert!(legacy("m").contains("relies on legacy Common Name field"));
        assert!(legacy("other").contains("not valid for any names"));
    }
}
