//! The answers of rules, on the wire.

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Frame;
use tonic::Status;

use super::grpc::{self, Body, BoxError};
use super::http2;
use super::rules::{Answer, End};
use super::service::{Connection, Control};

/// What a body has to be sent before its connection ends.
const GOODBYE: std::time::Duration = std::time::Duration::from_millis(10);

/// An answer out of a rule.
pub(super) async fn play(
    answer: Answer,
    connection: &Connection,
) -> Result<Response<Body>, BoxError> {
    Ok(match answer {
        Answer::Message(message) => grpc::messages(vec![message]),
        Answer::Messages(messages) => grpc::messages(messages),
        Answer::Status(code, message) => grpc::status(&Status::new(code, message)),
        Answer::Body(chunks, end) => {
            let data = stream::iter(chunks).map(|chunk| Ok(Frame::data(chunk)));
            grpc::streaming(data.chain(ending(end, connection)))
        }
        Answer::Drip {
            message,
            size,
            pause,
        } => {
            let framed = grpc::frame(&message);
            let pieces = stream::unfold(framed, move |mut left| async move {
                if !left.has_remaining() {
                    return None;
                }
                let piece = left.split_to(size.max(1).min(left.len()));
                tokio::time::sleep(pause).await;
                Some((Ok(Frame::data(piece)), left))
            });
            grpc::streaming(pieces.chain(ending(
                End::Status(tonic::Code::Ok, String::new()),
                connection,
            )))
        }
        Answer::Flood(message) => {
            let framed = grpc::frame(&message);
            grpc::streaming(stream::repeat_with(move || Ok(Frame::data(framed.clone()))))
        }
        Answer::Http(status, kind, body) => {
            let mut response = Response::new(grpc::full(body));
            *response.status_mut() = StatusCode::from_u16(status)?;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        }
        // Rewriting needs the truth, which is not known here; `service` does it.
        Answer::Rewritten(_) | Answer::Hang => std::future::pending().await,
        Answer::Reset => return Err("the fake resets this stream".into()),
        Answer::Close => severed(connection, Control::Close).await,
        Answer::GoAway(code) => severed(connection, Control::Raw(http2::go_away(0, code))).await,
        Answer::Raw(bytes) => severed(connection, Control::Raw(bytes)).await,
    })
}

/// Ends the connection; the call itself gets no answer any more.
async fn severed(connection: &Connection, control: Control) -> Response<Body> {
    // The connection may be gone already.
    let _ = connection.control.send(control);
    std::future::pending().await
}

fn ending(
    end: End,
    connection: &Connection,
) -> stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>> {
    match end {
        End::Status(code, message) => {
            let status = Status::new(code, message);
            stream::once(async move { Ok(grpc::end(&status)) }).boxed()
        }
        End::Trailers(map) => stream::once(async { Ok(Frame::trailers(map)) }).boxed(),
        End::Cut => stream::empty().boxed(),
        End::Reset => stream::once(async { Err("the fake resets this stream".into()) }).boxed(),
        End::GoAway(code) => {
            let control = connection.control.clone();
            let goodbye = async move {
                // Once the pieces before it are on their way: the connection ends with this.
                tokio::time::sleep(GOODBYE).await;
                let _ = control.send(Control::Raw(http2::go_away(0, code)));
                std::future::pending().await
            };
            stream::once(goodbye).boxed()
        }
        End::Hang => stream::pending().boxed(),
    }
}
