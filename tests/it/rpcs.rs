//! Which RPCs exist: every one is called on every generation of containerd, and `docs/rpcs.md` has to say what came back.
//!
//! `CRISCOPE_BLESS=1 cargo test --test it rpcs::` writes the document anew.

use std::fmt::Write;
use std::time::Duration;

use criscope::endpoint::Endpoint;
use criscope::endpoint::connect::{self, Connection, ORIGIN};
use http::Uri;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::support::lab::{Lab, wanted};

const PROTO: &str = include_str!("../../proto/runtime/v1/services.proto");

const GENERATIONS: [&str; 4] = ["1.4", "1.6", "1.7", "2"];

/// How long an RPC may take that answers nothing to an empty request: it is there, or it would have refused.
const PATIENCE: Duration = Duration::from_secs(3);

const INTRODUCTION: &str = "\
# RPCs by runtime generation

Every RPC of CRI v1, sent with an empty message to real containerd. Written by a test that calls them
(`tests/it/rpcs.rs`); when a generation answers otherwise, that test fails.

- **yes**: it is served (an empty request may well be refused, but by the RPC itself).
- **stub**: the runtime knows the name and says that it is not implemented.
- **–**: the runtime does not know the name.

";

/// An RPC as the proto declares it.
struct Rpc {
    service: String,
    name: String,
    is_stream: bool,
}

fn rpcs() -> Vec<Rpc> {
    let mut service = String::new();
    let mut found = Vec::new();
    for line in PROTO.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("service ") {
            name.trim_end_matches(" {").clone_into(&mut service);
        } else if let Some(rest) = line.strip_prefix("rpc ") {
            let (name, rest) = rest.split_once('(').unwrap();
            found.push(Rpc {
                service: service.clone(),
                name: name.to_owned(),
                is_stream: rest.contains("returns (stream "),
            });
        }
    }
    found
}

/// Calls one with nothing in the message.
async fn call(connection: &Connection, api: &str, rpc: &Rpc) -> Result<(), Status> {
    let path = format!("/runtime.{api}.{}/{}", rpc.service, rpc.name);
    let path = PathAndQuery::try_from(path).unwrap();
    let mut grpc = Grpc::with_origin(connection.clone(), Uri::from_static(ORIGIN))
        .max_decoding_message_size(usize::MAX);
    let codec = ProstCodec::<(), ()>::default();
    let answer = async {
        grpc.ready().await.unwrap();
        if rpc.is_stream {
            let answer = grpc.server_streaming(Request::new(()), path, codec).await?;
            answer.into_inner().message().await.map(drop)
        } else {
            grpc.unary(Request::new(()), path, codec).await.map(drop)
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or(Ok(()))
}

/// A column: the heading, and a word for each RPC.
fn column(generation: &str) -> (String, Vec<&'static str>) {
    let lab = Lab::up(&["--generation", generation, "--pods", "0"]).unwrap();
    let endpoint: Endpoint = lab.endpoint().parse().unwrap();
    let version = lab
        .version()
        .split('.')
        .take(2)
        .collect::<Vec<_>>()
        .join(".");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connection = connect::connect(&endpoint, PATIENCE).await.unwrap();
        let all = rpcs();
        let version_rpc = all.iter().find(|rpc| rpc.name == "Version").unwrap();
        let (api, heading) = match call(&connection, "v1", version_rpc).await {
            Err(status) if status.code() == Code::Unimplemented => {
                ("v1alpha2", format!("{version} (v1alpha2)"))
            }
            _ => ("v1", version),
        };
        let mut words = Vec::new();
        for rpc in &all {
            words.push(match call(&connection, api, rpc).await {
                Err(status) if status.code() == Code::Unimplemented => {
                    match status.message().starts_with("unknown method") {
                        true => "–",
                        false => "stub",
                    }
                }
                _ => "yes",
            });
        }
        (heading, words)
    })
}

#[test]
fn the_document_says_what_the_runtimes_do() {
    if !wanted() {
        return;
    }
    let columns: Vec<(String, Vec<&str>)> = GENERATIONS.map(column).into();
    let mut text = INTRODUCTION.to_owned();
    let headings: Vec<&str> = columns
        .iter()
        .map(|(heading, _)| heading.as_str())
        .collect();
    let mut service = String::new();
    for (place, rpc) in rpcs().iter().enumerate() {
        if rpc.service != service {
            rpc.service.clone_into(&mut service);
            let ruler = "---|".repeat(columns.len() + 1);
            let space = if place == 0 { "" } else { "\n" };
            write!(
                text,
                "{space}## {service}\n\n| containerd | {} |\n|{ruler}\n",
                headings.join(" | ")
            )
            .unwrap();
        }
        let words: Vec<&str> = columns.iter().map(|(_, words)| words[place]).collect();
        let stream = if rpc.is_stream { " (stream)" } else { "" };
        writeln!(text, "| `{}`{stream} | {} |", rpc.name, words.join(" | ")).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rpcs.md");
    if std::env::var_os("CRISCOPE_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(known, text, "CRISCOPE_BLESS=1 writes it anew");
}

#[test]
fn cri_has_forty_three_rpcs() {
    assert_eq!(rpcs().len(), 43);
}
