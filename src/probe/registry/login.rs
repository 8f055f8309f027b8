//! Logging in: the token server as a second endpoint, Basic, and the rule of one attempt per password.

use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::challenge::{self, Challenge};
use super::exchange::Reply;
use super::outcome::{Fault, TokenProbe};
use super::target::Target;
use super::verdict::{Stage, Verdict};
use super::walk::{Walk, of_status};
use crate::registry::RuntimeName;
use crate::secret::Secret;

/// What proves to a registry who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An identity token, as `docker login` keeps it of some registries: a token server exchanges it for one that opens
    /// a repository (a refresh token in OAuth 2), and nobody else takes it.
    IdentityToken(Secret),
}

/// A login for one host. It is sent there, or to the token server that the host names, and nowhere else.
#[derive(Debug, Clone)]
pub struct Credential {
    /// `host` or `host:port` as in the endpoint's URL, without the scheme's own port.
    pub host: String,
    /// What is sent.
    pub login: Login,
}

/// What containerd 1.7 and later say where a password is wanted and there is none.
pub(super) const NO_LOGIN: &str = "no basic auth credentials";

/// What is known of a credential.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Untried,
    Accepted,
    Refused,
}

/// What became of each credential, shared by the walks of one probe: accounts are locked after a few wrong passwords,
/// so none is tried a second time after it was refused.
pub(super) struct Ledger {
    standings: Vec<Mutex<Standing>>,
}

impl Ledger {
    /// For so many credentials.
    pub fn new(credentials: usize) -> Self {
        Self {
            standings: (0..credentials).map(|_| Mutex::default()).collect(),
        }
    }
}

impl<'a> Walk<'a> {
    /// Sends a request and logs in if that is asked for.
    pub(super) async fn ask_as_user(
        &mut self,
        method: &Method,
        target: &Target,
        accept: Option<&str>,
        at: Stage,
    ) -> Result<Reply, Fault> {
        let reply = self.ask(method, target, accept, at).await?;
        let denied = reply.status == StatusCode::UNAUTHORIZED && reply.target.origin == self.home;
        if !denied || self.login_tried || self.has_configured_login() {
            return Ok(reply);
        }
        self.login_tried = true;
        self.probe.challenge = reply.challenges();
        match challenge::preferred(&self.probe.challenge).cloned() {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
                ..
            }) => {
                let scope = scope.or_else(|| scope_of(target));
                let token = self
                    .token(&realm, service.as_deref(), scope.as_deref())
                    .await?;
                self.authorization = Some(Secret::new(format!("Bearer {}", token.reveal())));
                let reply = self.ask(method, target, accept, at).await?;
                match denied_scope(&reply) {
                    Some(error) => {
                        let detail = format!("it does not take the token ({error})");
                        let words = match self.runtime {
                            RuntimeName::Crio if error == "insufficient_scope" => {
                                "requested access to the resource is denied".to_owned()
                            }
                            _ => format!("server message: {error}: authorization failed"),
                        };
                        Err(Fault::new(Verdict::Unauthorized, at, detail).in_go(words))
                    }
                    None => Ok(reply),
                }
            }
            Some(Challenge::Basic { .. }) => {
                let (login, mut standing) = self.credential().await?.unzip();
                let wanting = |what: &str| {
                    let detail = format!("it wants a user and a password, and {what}");
                    self.as_containerd(Fault::new(Verdict::Unauthorized, at, detail), NO_LOGIN)
                };
                let basic = match login {
                    Some(Login::Password { user, password }) => basic(user, password),
                    Some(Login::IdentityToken(_)) => {
                        return Err(wanting("there is only an identity token"));
                    }
                    None => return Err(wanting("none were given")),
                };
                self.authorization = Some(basic);
                let reply = self.ask(method, target, accept, at).await?;
                let refused = reply.status == StatusCode::UNAUTHORIZED;
                if refused {
                    self.authorization = None;
                }
                if let Some(standing) = &mut standing {
                    **standing = if refused {
                        Standing::Refused
                    } else {
                        Standing::Accepted
                    };
                }
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    /// The login for home, with the lock on its standing.
    async fn credential(&self) -> Result<Option<(&'a Login, MutexGuard<'a, Standing>)>, Fault> {
        let authority = self.home.authority();
        let mut all = self.options.credentials.iter().enumerate();
        let Some((index, found)) = all.find(|(_, credential)| credential.host == authority) else {
            return Ok(None);
        };
        let ledger = self.ledger;
        let standing = ledger.standings[index].lock().await;
        if *standing == Standing::Refused {
            let whose = match &found.login {
                Login::Password { user, .. } => format!("the credentials of {user} were"),
                Login::IdentityToken(_) => "the identity token was".to_owned(),
            };
            let detail = format!("{whose} refused before and not tried again");
            return Err(Fault::new(Verdict::Unauthorized, Stage::Token, detail));
        }
        Ok(Some((&found.login, standing)))
    }

    /// Fetches a token where the registry says.
    async fn token(
        &mut self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Secret, Fault> {
        let credential = self.credential().await?;
        let (login, mut standing) = credential.unzip();
        let with_credentials = login.is_some();
        let result = self.fetch_token(realm, service, scope, login).await;
        let certificate = self.certificate.take();
        let (verdict, failed_at, detail) = match &result {
            Ok(_) => (Verdict::Serves, None, String::new()),
            Err(fault) => (fault.verdict, Some(fault.at), fault.detail.clone()),
        };
        let denied = matches!(verdict, Verdict::Unauthorized | Verdict::Forbidden);
        if let Some(standing) = &mut standing {
            **standing = match verdict {
                Verdict::Serves => Standing::Accepted,
                _ if denied => Standing::Refused,
                _ => **standing,
            };
        }
        self.probe.token = Some(TokenProbe {
            realm: realm.to_owned(),
            verdict,
            failed_at,
            with_credentials,
            detail,
            certificate,
        });
        result.map_err(|fault| {
            let whose = if with_credentials {
                "the credentials"
            } else {
                "a request without credentials"
            };
            let (verdict, detail) = if denied {
                (
                    Verdict::Unauthorized,
                    format!("the token server refuses {whose}: {}", fault.detail),
                )
            } else {
                (
                    Verdict::TokenFailed,
                    format!("no token from {realm}: {}", fault.detail),
                )
            };
            Fault {
                verdict,
                at: Stage::Token,
                detail,
                // To the runtime this is a request that could not be authorized, not an answer.
                status: None,
                error: fault.error,
            }
        })
    }

    async fn fetch_token(
        &mut self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        login: Option<&Login>,
    ) -> Result<Secret, Fault> {
        if realm.is_empty() {
            let detail = "the challenge names no realm";
            let words = match self.runtime {
                RuntimeName::Crio => "missing realm in bearer auth challenge",
                _ => "no realm specified for token auth challenge",
            };
            return Err(Fault::new(Verdict::BadUrl, Stage::Token, detail).in_go(words));
        }
        let mut target = Target::parse(realm).map_err(|error| {
            Fault::new(
                Verdict::BadUrl,
                Stage::Token,
                format!("the realm is no URL: {error}"),
            )
            .in_go(error)
        })?;
        let mut wanted = String::new();
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                wanted.push_str(&format!("&{name}={}", query_escaped(value)));
            }
        }
        let reply = match login {
            Some(Login::IdentityToken(token)) => {
                let form = Secret::new(format!(
                    "grant_type=refresh_token&client_id=criscope&refresh_token={}{wanted}",
                    query_escaped(token.reveal())
                ));
                self.post(&target, form, Stage::Token).await?
            }
            other => {
                let basic = match other {
                    Some(Login::Password { user, password }) => Some(basic(user, password)),
                    _ => None,
                };
                if target.query().is_none() && !wanted.is_empty() {
                    wanted.replace_range(..1, "?");
                }
                target.path.push_str(&wanted);
                self.send(&Method::GET, &target, None, basic.as_ref(), Stage::Token)
                    .await?
            }
        };
        if reply.status != StatusCode::OK {
            let status = reply.status;
            let fault = self.refuse(reply, Stage::Token).await;
            return Err(Fault {
                verdict: of_status(status),
                ..fault
            });
        }
        let body = self.read(reply, Stage::Token).await?;
        let bad = |detail: &str| Fault::new(Verdict::BadResponse, Stage::Token, detail);
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: Option<String>,
            #[serde(default)]
            access_token: Option<String>,
        }
        // The error of the parser could repeat what it read, and that may be the token.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| bad("the token server's answer is no JSON"))?;
        let token = answer
            .token
            .or(answer.access_token)
            .filter(|token| !token.is_empty());
        token
            .map(Secret::new)
            .ok_or_else(|| bad("the token server's answer holds no token"))
    }
}

/// The value of `Authorization` for a user and a password.
fn basic(user: &str, password: &Secret) -> Secret {
    let encoded = STANDARD.encode(format!("{user}:{}", password.reveal()));
    Secret::new(format!("Basic {encoded}"))
}

/// Why a token was not enough, if the registry says so.
fn denied_scope(reply: &Reply) -> Option<String> {
    if reply.status != StatusCode::UNAUTHORIZED {
        return None;
    }
    let mut challenges = reply.challenges().into_iter();
    challenges.find_map(|challenge| match challenge {
        Challenge::Bearer { error, .. } => error,
        _ => None,
    })
}

/// What a pull needs, when the challenge does not say.
fn scope_of(target: &Target) -> Option<String> {
    let (head, _) = target.bare_path().rsplit_once("/manifests/")?;
    let name = head
        .strip_prefix("/v2/")
        .unwrap_or(head.trim_start_matches('/'));
    Some(format!("repository:{name}:pull"))
}

/// A value for a query; everything that is not plainly harmless is escaped.
fn query_escaped(value: &str) -> String {
    let mut escaped = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let scope = |url| scope_of(&Target::parse(url).unwrap());
        assert_eq!(
            scope("https://m/v2/lab/app/manifests/1?ns=r").as_deref(),
            Some("repository:lab/app:pull")
        );
        assert_eq!(
            scope("https://m/proxy/lab/app/manifests/1").as_deref(),
            Some("repository:proxy/lab/app:pull")
        );
        assert_eq!(scope("https://m/v2/"), None);
    }

    #[test]
    fn escaping() {
        assert_eq!(
            query_escaped("repository:a/b:pull é&"),
            "repository%3Aa%2Fb%3Apull%20%C3%A9%26"
        );
    }
}
