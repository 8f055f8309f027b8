//! Lists as their elements, cut out of the answer while it arrives: a list of any length takes the memory of one.
//!
//! A list is asked for in one message. Where the runtime says that it may not send one that large (containerd refuses
//! above 16 MiB), it is asked for in several, as the `Stream…` RPCs of CRI 1.36 send it.

use std::time::Duration;

use bytes::Bytes;

use super::call::{self, Answer, Patience, Piece};
use super::{Api, Client, Error, Kind, Rpc};
use crate::cri;
use crate::endpoint::Endpoint;
use crate::wire::Splitter;

/// The number of the list in every list answer of CRI.
const LIST: u32 = 1;

/// A list that is arriving.
#[derive(Debug)]
pub struct Elements {
    rpc: &'static str,
    endpoint: Endpoint,
    deadline: Duration,
    answer: Answer,
    splitter: Splitter,
}

impl Elements {
    /// The next element, encoded; `None` after the last one.
    ///
    /// # Errors
    /// The runtime breaks off, is waited for in vain, or sends no message. What came before may be part of a longer
    /// list.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(element) = self.splitter.element().map_err(|it| self.malformed(it))? {
                return Ok(Some(element));
            }
            let piece = match self.answer.next().await {
                Ok(piece) => piece,
                Err(failure) => {
                    let deadline = Some(self.deadline);
                    return Err(Error::from_failure(
                        self.rpc,
                        &self.endpoint,
                        failure,
                        deadline,
                    ));
                }
            };
            match piece {
                Some(Piece::Begin(_)) => {}
                Some(Piece::Part(part)) => self.splitter.push(part),
                Some(Piece::End) => self.splitter.end().map_err(|it| self.malformed(it))?,
                None => return Ok(None),
            }
        }
    }

    fn malformed(&self, source: crate::wire::Malformed) -> Error {
        Error::Malformed {
            rpc: self.rpc,
            endpoint: self.endpoint.clone(),
            source,
        }
    }
}

impl Client {
    /// The elements of `RuntimeService.ListContainers`.
    ///
    /// # Errors
    /// See [`Error`]; the deadline is the client's own.
    pub async fn containers(&self, request: cri::ListContainersRequest) -> Result<Elements, Error> {
        let rpcs = [runtime("ListContainers"), runtime("StreamContainers")];
        self.elements(rpcs, call::framed(&request)).await
    }

    /// The elements of `RuntimeService.ListPodSandbox`.
    ///
    /// # Errors
    /// See [`Error`]; the deadline is the client's own.
    pub async fn pod_sandboxes(
        &self,
        request: cri::ListPodSandboxRequest,
    ) -> Result<Elements, Error> {
        let rpcs = [runtime("ListPodSandbox"), runtime("StreamPodSandboxes")];
        self.elements(rpcs, call::framed(&request)).await
    }

    /// The elements of `ImageService.ListImages`.
    ///
    /// # Errors
    /// See [`Error`]; the deadline is the client's own.
    pub async fn images(&self, request: cri::ListImagesRequest) -> Result<Elements, Error> {
        let rpcs = [image("ListImages"), image("StreamImages")];
        self.elements(rpcs, call::framed(&request)).await
    }

    async fn elements(&self, [list, stream]: [Rpc; 2], request: Bytes) -> Result<Elements, Error> {
        let refused = match self
            .patiently(&list, async || {
                self.negotiated(&list, async |api| {
                    self.open(&list, api, request.clone()).await
                })
                .await
            })
            .await
        {
            Err(error) if error.kind() == Some(Kind::TooLarge) && self.api() == Api::V1 => error,
            other => return other,
        };
        // The requests of both are alike: a filter in field 1.
        match self.open(&stream, Api::V1, request).await {
            // Most runtimes do not know it: then the first refusal is the one that tells.
            Err(error) if error.kind() == Some(Kind::UnknownMethod) => Err(refused),
            other => other,
        }
    }

    async fn open(&self, rpc: &Rpc, api: Api, request: Bytes) -> Result<Elements, Error> {
        let service = self.of(rpc);
        let deadline = self.options.deadline;
        let patience = Patience::new(Some(deadline));
        let span = self.span(rpc, api);
        let outcome = call::open(
            &service.line.connection(),
            rpc.path(api),
            request,
            span.parent(),
            patience,
        )
        .await;
        span.end(outcome.as_ref().err());
        let answer = outcome.map_err(|failure| {
            Error::from_failure(rpc.name, &service.endpoint, failure, Some(deadline))
        })?;
        tracing::debug!(rpc = rpc.name, api = api.name(), "the answer begins");
        Ok(Elements {
            rpc: rpc.name,
            endpoint: service.endpoint.clone(),
            deadline,
            answer,
            splitter: Splitter::new(LIST),
        })
    }
}

const fn runtime(name: &'static str) -> Rpc {
    let service = "RuntimeService";
    Rpc { service, name }
}

const fn image(name: &'static str) -> Rpc {
    let service = "ImageService";
    Rpc { service, name }
}
