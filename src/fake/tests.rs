//! The fake node, asked by tonic's generated clients over a real socket.

mod rules;
mod truth;
mod worlds;

use std::time::Duration;

use tonic::Code;

use super::*;
use crate::cri::image_service_client::ImageServiceClient;
use crate::cri::runtime_service_client::RuntimeServiceClient;
use crate::cri::{self, containerd};
use crate::endpoint::connect::{self, Connection};

/// As long as any single test may wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn wire(node: &Node) -> Connection {
    connection(&node.endpoint()).await
}

async fn connection(endpoint: &str) -> Connection {
    connect::connect(&endpoint.parse().unwrap(), PATIENCE)
        .await
        .unwrap()
}

fn origin() -> http::Uri {
    http::Uri::from_static(connect::ORIGIN)
}

async fn runtime(node: &Node) -> RuntimeServiceClient<Connection> {
    RuntimeServiceClient::with_origin(wire(node).await, origin())
        .max_decoding_message_size(usize::MAX)
}

async fn images(node: &Node) -> ImageServiceClient<Connection> {
    ImageServiceClient::with_origin(wire(node).await, origin())
}

/// A deadline for the whole test, so that a fake that hangs by mistake fails.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, test)
        .await
        .expect("the fake did not answer")
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| {
        format!("{error}: {}", chain(source))
    })
}

fn spec(image: &str) -> Option<cri::ImageSpec> {
    Some(cri::ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    })
}
