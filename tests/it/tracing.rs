//! `--enable-tracing`: what reaches a collector, and what happens without one.

use crate::support::{criscope, run::Run, small};

fn crictl(arguments: &str) -> Run {
    criscope(["crictl"].into_iter().chain(arguments.split_whitespace()))
}

/// What a collector has to understand of a trace.
mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Export {
        #[prost(message, repeated, tag = "1")]
        pub resources: Vec<Resource>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "2")]
        pub scopes: Vec<Scope>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
    }
}

/// A collector that takes one connection and keeps the spans of one export.
fn collector() -> (String, std::thread::JoinHandle<Vec<otlp::Span>>) {
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::{Frame, Incoming};
    use prost::Message;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    assert_eq!(
                        request.uri().path(),
                        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                    );
                    let bytes = request.into_body().collect().await?.to_bytes();
                    let export = otlp::Export::decode(&bytes[5..]).unwrap();
                    let scopes = export
                        .resources
                        .into_iter()
                        .flat_map(|resource| resource.scopes);
                    let spans: Vec<otlp::Span> = scopes.flat_map(|scope| scope.spans).collect();
                    sender.send(spans).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    let frames = [
                        Ok::<_, hyper::Error>(Frame::data(bytes::Bytes::from_static(&[0; 5]))),
                        Ok(Frame::trailers(trailers)),
                    ];
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    Ok::<_, hyper::Error>(http::Response::new(body))
                }
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            let served = hyper::server::conn::http2::Builder::new(executor)
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .await;
            // How the client hangs up is its own affair.
            drop(served);
        });
        receiver.recv().unwrap()
    };
    (address, std::thread::spawn(serve))
}

#[test]
fn spans_of_calls_are_children_of_the_command() {
    let node = small::node();
    for (command, call) in [
        ("pods", "ListPodSandbox"),
        ("version", "runtime.v1.RuntimeService/Version"),
    ] {
        let (address, spans) = collector();
        let arguments = format!("--enable-tracing --tracing-endpoint={address} {command}");
        let outcome = crictl(&arguments).on(&node).outcome();
        assert_eq!((outcome.code, &*outcome.stderr), (0, ""), "{outcome}");
        let spans = spans.join().unwrap();
        let named = |name: &str| {
            spans
                .iter()
                .find(|span| span.name.contains(name))
                .unwrap_or_else(|| panic!("{name}: {spans:?}"))
        };
        let (root, child) = (named(command), named(call));
        assert_eq!(root.name, command);
        assert_eq!(root.trace, child.trace);
        assert_eq!(root.id, child.parent);
    }
    // Nobody listens there: the command has done its work all the same.
    let outcome = crictl("--enable-tracing --tracing-endpoint=127.0.0.1:1 version")
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome.stdout.contains("RuntimeName:  containerd"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("spans are lost"), "{outcome}");
}
