//! HTTP/1.1 upgrades: asking a server to speak something else on the same connection, and what it says when it does not
//! want to.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::Error;
use super::dial::Stream;

/// How much of a refusal is read, in bytes.
const LARGEST_REFUSAL: usize = 4096;

/// How much of it is shown, in characters.
const LONGEST_REFUSAL: usize = 200;

/// Sends the request and returns what the connection became, with the headers of the answer.
///
/// # Errors
/// [`Error::Refused`], [`Error::Upgrade`], [`Error::Lost`].
pub(super) async fn upgrade(
    stream: Stream,
    request: http::Request<Empty<bytes::Bytes>>,
    offered: &str,
) -> Result<(TokioIo<Upgraded>, http::HeaderMap), Error> {
    let wrong = |error: hyper::Error| {
        if error.is_parse() {
            Error::Upgrade {
                offered: offered.to_owned(),
                reason: error.to_string(),
            }
        } else {
            Error::Lost(Some(std::io::Error::other(error)))
        }
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(wrong)?;
    // It ends with the upgrade or with the connection; what went wrong reaches the pending request.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(wrong)?;
    let code = response.status();
    if code != http::StatusCode::SWITCHING_PROTOCOLS {
        let said = Limited::new(response.into_body(), LARGEST_REFUSAL)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        return Err(refused(offered.to_owned(), code, &said));
    }
    let headers = response.headers().clone();
    let upgraded = hyper::upgrade::on(response).await.map_err(wrong)?;
    Ok((TokioIo::new(upgraded), headers))
}

/// A refusal with the beginning of what the server said.
pub(super) fn refused(offered: String, code: http::StatusCode, said: &[u8]) -> Error {
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    Error::Refused {
        offered,
        code: code.as_u16(),
        said: if text.is_empty() {
            code.canonical_reason().unwrap_or("(no reason)").to_owned()
        } else {
            text.chars().take(LONGEST_REFUSAL).collect()
        },
    }
}
