//! With whose credentials an image is pulled: `--creds`, `--creds-stdin`, `--auth`, `--username`, or the environment.
//!
//! Two ways at once are an error (crictl lets `--username` win in silence). Nothing of it is ever shown.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use tokio::io::AsyncReadExt;

use super::password;
use crate::cri;
use crate::error::Error;
use crate::secret::Secret;
use crate::settings::env;

/// Credentials on stdin are not longer, in bytes.
const MOST: u64 = 64 * 1024;

/// How long stdin may stay open without saying anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags for credentials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Credentials")]
pub struct Credentials {
    /// User and password
    #[arg(long, value_name = "USER[:PASSWORD]", value_parser = secret, group = "credentials")]
    creds: Option<Secret>,
    /// Read USER:PASSWORD from stdin
    #[arg(long, group = "credentials")]
    creds_stdin: bool,
    /// USER:PASSWORD in base64, as in a docker configuration
    #[arg(long, value_name = "BASE64", value_parser = secret, group = "credentials")]
    auth: Option<Secret>,
    /// Ask for the password of this user
    #[arg(short, long, value_name = "USER", group = "credentials")]
    username: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers can fail")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl Credentials {
    /// What is sent to the runtime, if there is anything.
    ///
    /// # Errors
    /// What was given has not the right form, or cannot be read.
    pub async fn auth_config(&self) -> Result<Option<cri::AuthConfig>, Error> {
        if let Some(creds) = &self.creds {
            return split(creds, "--creds").map(Some);
        }
        if self.creds_stdin {
            return split(&from_stdin().await?, "stdin").map(Some);
        }
        if let Some(auth) = &self.auth {
            return encoded(auth, "--auth").map(Some);
        }
        if let Some(username) = &self.username {
            let password = password::ask(username).await?;
            return Ok(Some(cri::AuthConfig {
                username: username.clone(),
                password: password.reveal().to_owned(),
                ..Default::default()
            }));
        }
        let variable = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.map(Secret::new)
        };
        match (variable(env::CREDS), variable(env::AUTH)) {
            (Some(_), Some(_)) => {
                Err(
                    Error::usage(format!("both ${} and ${} are set", env::CREDS, env::AUTH))
                        .hint("unset one of them"),
                )
            }
            (Some(creds), None) => split(&creds, "$CRICTL_CREDS").map(Some),
            (None, Some(auth)) => encoded(&auth, "$CRICTL_AUTH").map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Splits at the first colon: a password may have more of them.
fn split(creds: &Secret, source: &str) -> Result<cri::AuthConfig, Error> {
    let text = creds.reveal();
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    if username.is_empty() {
        return Err(Error::usage(format!("there is no user in {source}"))
            .hint("write it as `USER:PASSWORD`"));
    }
    Ok(cri::AuthConfig {
        username: username.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    })
}

/// Passes base64 on as it is; the runtime decodes it, and what it cannot decode is told here and not by a registry.
fn encoded(auth: &Secret, source: &str) -> Result<cri::AuthConfig, Error> {
    let decoded = BASE64_STANDARD.decode(auth.reveal().trim());
    if !decoded.is_ok_and(|bytes| bytes.contains(&b':')) {
        return Err(
            Error::usage(format!("{source} is not `USER:PASSWORD` in base64")).hint(
                "it is what stands under `auth` in a docker configuration; `printf %s USER:PASSWORD | base64 -w0` makes it",
            ),
        );
    }
    Ok(cri::AuthConfig {
        auth: auth.reveal().trim().to_owned(),
        ..Default::default()
    })
}

async fn from_stdin() -> Result<Secret, Error> {
    let failed =
        |error: &io::Error| Error::usage("cannot read credentials from stdin").because(error);
    let mut text = String::new();
    let read = async {
        tokio::io::stdin()
            .take(MOST)
            .read_to_string(&mut text)
            .await
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(_)) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&io::Error::from(io::ErrorKind::TimedOut))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_have_colons() {
        #[track_caller]
        fn case(text: &str, expected: Option<(&str, &str)>) {
            let found = split(&Secret::new(text), "--creds").ok();
            let found = found
                .as_ref()
                .map(|auth| (&*auth.username, &*auth.password));
            assert_eq!(found, expected);
        }
        case("alice:pa:ss", Some(("alice", "pa:ss")));
        case("alice:", Some(("alice", "")));
        case("alice", Some(("alice", "")));
        case(":secret", None);
        case("", None);
    }

    #[test]
    fn base64_is_passed_on_as_it_is() {
        let auth = encoded(&Secret::new("YWxpY2U6c2VjcmV0"), "--auth").unwrap();
        assert_eq!(auth.auth, "YWxpY2U6c2VjcmV0");
        assert!(auth.username.is_empty() && auth.password.is_empty());
        for text in ["alice:secret", "YWxpY2U=", ""] {
            let error = encoded(&Secret::new(text), "--auth").unwrap_err();
            assert!(
                text.is_empty() || !format!("{error:?}").contains(text),
                "the secret is in the error"
            );
        }
    }
}
