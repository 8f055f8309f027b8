//! `WWW-Authenticate`: what a registry asks for after 401 (RFC 9110 section 11.6.1, and the Bearer dialect of the
//! distribution specification). Tolerant: servers separate, quote and capitalise in many ways.

use serde::{Deserialize, Serialize};

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "lowercase")]
pub enum Challenge {
    /// A token is to be fetched at `realm`, which is a second endpoint.
    Bearer {
        /// The URL of the token server, as it was sent: it may be anything.
        realm: String,
        /// The name under which the token server knows the registry.
        service: Option<String>,
        /// `repository:NAME:pull`.
        scope: Option<String>,
        /// `insufficient_scope`, `invalid_token`: why the last token was not enough.
        error: Option<String>,
    },
    /// User and password with every request.
    Basic {
        /// A text for people.
        realm: Option<String>,
    },
    /// A scheme that no runtime speaks.
    Other {
        /// Its name.
        name: String,
    },
}

/// All challenges in the values of the `WWW-Authenticate` headers, in their order.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    values.into_iter().flat_map(parse_one).collect()
}

/// The challenge that the runtimes answer: Bearer before Basic.
pub fn preferred(challenges: &[Challenge]) -> Option<&Challenge> {
    let bearer = challenges
        .iter()
        .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer
        .or_else(|| {
            challenges
                .iter()
                .find(|challenge| matches!(challenge, Challenge::Basic { .. }))
        })
        .or(challenges.first())
}

fn parse_one(value: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let end = rest
            .find(|c: char| c == '=' || c == ',' || c.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.is_empty() && tail.is_empty() {
            break;
        }
        let after = tail.trim_ascii_start();
        if let Some(value) = after.strip_prefix('=') {
            let (text, remaining) = parameter(value.trim_ascii_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), text));
            }
            rest = remaining;
        } else {
            found.push((word.to_owned(), Vec::new()));
            rest = tail;
        }
    }
    found
        .into_iter()
        .map(|(scheme, parameters)| challenge(&scheme, parameters))
        .collect()
}

/// The value of a parameter, quoted or not, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_ascii_whitespace())
            .unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Challenge {
    // The first of several equal parameters counts.
    let named = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        Challenge::Bearer {
            realm: named("realm").unwrap_or_default(),
            service: named("service"),
            scope: named("scope"),
            error: named("error"),
        }
    } else if scheme.eq_ignore_ascii_case("basic") {
        Challenge::Basic {
            realm: named("realm"),
        }
    } else {
        Challenge::Other {
            name: scheme.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
            error: None,
        }
    }

    fn basic(realm: &str) -> Challenge {
        Challenge::Basic {
            realm: Some(realm.into()),
        }
    }

    #[test]
    fn challenges() {
        #[track_caller]
        fn case(value: &str, expected: &[Challenge]) {
            assert_eq!(parse([value]), expected, "{value}");
        }
        case(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
            &[bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/nginx:pull"),
            )],
        );
        case(r#"Basic realm="Registry""#, &[basic("Registry")]);
        case(
            r#"basic realm="a \"quoted\", name""#,
            &[basic(r#"a "quoted", name"#)],
        );
        case(
            "BEARER realm=https://t/x, service = s",
            &[bearer("https://t/x", Some("s"), None)],
        );
        case(
            r#"Bearer realm="a,b" scope="c d""#,
            &[bearer("a,b", None, Some("c d"))],
        );
        case(
            r#"Bearer realm="https://t",service="s", Basic realm="r""#,
            &[bearer("https://t", Some("s"), None), basic("r")],
        );
        case(
            "Negotiate",
            &[Challenge::Other {
                name: "Negotiate".into(),
            }],
        );
        case("Basic", &[Challenge::Basic { realm: None }]);
        case("Bearer", &[bearer("", None, None)]);
        case(
            r#"Bearer realm="never closed"#,
            &[bearer("never closed", None, None)],
        );
        case("", &[]);
        case(",, ,", &[]);
        case("=,=", &[]);
    }

    #[test]
    fn bearer_is_preferred_wherever_it_stands() {
        let all = parse([
            "Negotiate",
            r#"Basic realm="r""#,
            r#"Bearer realm="https://t""#,
        ]);
        assert_eq!(preferred(&all), Some(&bearer("https://t", None, None)));
        assert_eq!(preferred(&all[..2]), Some(&basic("r")));
        assert_eq!(preferred(&[]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(value in "\\PC*", other in "[a-zA-Z=,\" \\\\é]*") {
            parse([value.as_str(), other.as_str()]);
        }

        #[test]
        fn quoting_is_undone(realm in "[ -~]{0,40}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(parse([format!("Basic realm=\"{quoted}\"").as_str()]), vec![basic(&realm)]);
        }
    }
}
