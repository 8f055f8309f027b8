//! Events as they happen: the one stream of CRI that has no end of its own.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::Uri;
use tonic::client::Grpc;

use super::reply::RawCodec;
use super::{Api, Client, Error, Rpc};
use crate::cri;
use crate::endpoint::connect::ORIGIN;

const RPC: Rpc = Rpc {
    service: "RuntimeService",
    name: "GetContainerEvents",
};

/// Where the stream is.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it for each stream, and it is not moved"
)]
enum State {
    /// Nothing was asked yet.
    Start,
    /// Messages may come.
    Open(tonic::Streaming<Bytes>),
}

impl Client {
    /// `RuntimeService.GetContainerEvents`: encoded `ContainerEventResponse`s until the runtime ends the stream.
    ///
    /// There is no deadline, and none for the beginning either: servers send their headers with the first event. Whether
    /// the runtime answers at all has to be asked by another call before.
    pub fn container_events(&self) -> impl Stream<Item = Result<Bytes, Error>> + '_ {
        stream::try_unfold(State::Start, move |state| async move {
            let mut messages = match state {
                State::Open(messages) => messages,
                State::Start => self.open_events().await?,
            };
            match messages.message().await {
                Ok(Some(event)) => Ok(Some((event, State::Open(messages)))),
                Ok(None) => Ok(None),
                Err(status) => Err(Error::from_status(RPC.name, self.endpoint(), &status)),
            }
        })
    }

    async fn open_events(&self) -> Result<tonic::Streaming<Bytes>, Error> {
        if self.api() == Api::V1alpha2 {
            return Err(Error::OnlyOlder {
                rpc: RPC.name,
                endpoint: self.endpoint().clone(),
            });
        }
        let connection = self.runtime.line.connection();
        let mut grpc = Grpc::with_origin(connection, Uri::from_static(ORIGIN))
            .max_decoding_message_size(usize::MAX);
        let failed = |status: tonic::Status| Error::from_status(RPC.name, self.endpoint(), &status);
        grpc.ready()
            .await
            .map_err(|error| failed(tonic::Status::from_error(Box::new(error))))?;
        let request = tonic::Request::new(cri::GetEventsRequest::default());
        let codec = RawCodec::<cri::GetEventsRequest>::default();
        let answer = grpc
            .server_streaming(request, RPC.path(Api::V1), codec)
            .await
            .map_err(failed)?;
        Ok(answer.into_inner())
    }

    /// Another connection to the same endpoints, after this one broke.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn connect_again(&self, deadline: Duration) -> Result<Client, Error> {
        let options = super::Options {
            deadline,
            ..self.options
        };
        Client::connect(self.endpoint(), Some(self.image_endpoint()), options).await
    }
}
