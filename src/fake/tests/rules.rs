//! What the node does wrong on demand, and how it dies.

use bytes::Bytes;

use super::*;

#[tokio::test]
async fn unknown_calls_are_loud() {
    in_time(async {
        let node = Node::builder().only(&["Version"]).start().unwrap();
        let mut runtime = runtime(&node).await;
        runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap();
        runtime
            .status(cri::StatusRequest::default())
            .await
            .unwrap_err();
        assert_eq!(
            format!("{:?}", node.unexpected()),
            "[/runtime.v1.RuntimeService/Status (0 bytes) UNEXPECTED]"
        );
    })
    .await;
}

#[tokio::test]
async fn rules_make_calls_fail() {
    in_time(async {
        let node = Node::builder()
            .rule(
                Rule::on("Version")
                    .once()
                    .status(Code::Unavailable, "über\n"),
            )
            .rule(Rule::on("Status").answer(Answer::Message(Bytes::from_static(b"\xff\xff"))))
            .rule(Rule::on("ListContainers").answer(Answer::announced(1000, b"short", End::Cut)))
            .rule(Rule::on("ListPodSandbox").answer(Answer::Reset))
            .rule(Rule::on("ListContainerStats").answer(Answer::Http(
                502,
                "text/html",
                Bytes::from_static(b"<html>"),
            )))
            .start()
            .unwrap();
        let mut runtime = runtime(&node).await;
        let refused = runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unavailable, "über\n")
        );
        runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap();
        runtime
            .status(cri::StatusRequest::default())
            .await
            .unwrap_err();
        runtime
            .list_containers(cri::ListContainersRequest::default())
            .await
            .unwrap_err();
        runtime
            .list_pod_sandbox(cri::ListPodSandboxRequest::default())
            .await
            .unwrap_err();
        runtime
            .list_container_stats(cri::ListContainerStatsRequest::default())
            .await
            .unwrap_err();
        // The connection has survived all of it.
        runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap();
        assert!(node.calls().iter().all(|call| call.connection == 1));
    })
    .await;
}

#[tokio::test]
async fn the_truth_can_be_rewritten() {
    in_time(async {
        let broken = Rewrite::replace("coredns", b"core\xff\xfes");
        let node = Node::builder()
            .world(World::demo())
            .rule(Rule::on("ListContainers").rewrite(broken))
            .rule(Rule::on("Version").rewrite(|truth| [truth, b"\xfa\x3f\x05hello"].concat()))
            .start()
            .unwrap();
        let mut runtime = runtime(&node).await;
        let refused = runtime
            .list_containers(cri::ListContainersRequest::default())
            .await
            .unwrap_err();
        assert!(chain(&refused).contains("UTF-8"), "{}", chain(&refused));
        // Fields that nobody knows are passed over.
        let version = runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(version.runtime_name, "containerd");
    })
    .await;
}

#[tokio::test]
async fn rules_break_connections() {
    in_time(async {
        for answer in [
            Answer::Close,
            Answer::GoAway(11),
            Answer::Raw(Bytes::from_static(b"nonsense, not a frame")),
        ] {
            let node = Node::builder()
                .rule(Rule::on("Version").once().answer(answer))
                .start()
                .unwrap();
            let mut broken = runtime(&node).await;
            let error = broken
                .version(cri::VersionRequest::default())
                .await
                .unwrap_err();
            broken
                .version(cri::VersionRequest::default())
                .await
                .expect_err("the connection is gone");
            runtime(&node)
                .await
                .version(cri::VersionRequest::default())
                .await
                .unwrap_or_else(|again| panic!("{again} after {error}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_goaway_carries_its_code() {
    in_time(async {
        let node = Node::builder()
            .rule(Rule::on("Version").answer(Answer::GoAway(11)))
            .start()
            .unwrap();
        let error = runtime(&node)
            .await
            .version(cri::VersionRequest::default())
            .await
            .unwrap_err();
        let chain = chain(&error);
        assert!(
            chain.to_lowercase().contains("calm"),
            "ENHANCE_YOUR_CALM in {chain}"
        );
    })
    .await;
}

#[tokio::test]
async fn held_calls_wait_for_their_release() {
    in_time(async {
        let node = demo().unwrap();
        let held = node.hold("Version");
        let mut runtime = runtime(&node).await;
        let call =
            tokio::spawn(async move { runtime.version(cri::VersionRequest::default()).await });
        node.called("Version", 1).await;
        assert!(!call.is_finished());
        held.release();
        call.await.unwrap().unwrap();
        assert!(node.called_within("Version", 1, Duration::ZERO));
        assert!(!node.called_within("Version", 2, Duration::ZERO));
    })
    .await;
}

#[tokio::test]
async fn a_killed_node_comes_back() {
    in_time(async {
        let mut node = demo().unwrap();
        let mut client = runtime(&node).await;
        client
            .version(cri::VersionRequest::default())
            .await
            .unwrap();
        node.kill();
        assert!(node.socket().exists(), "the socket file stays");
        client
            .version(cri::VersionRequest::default())
            .await
            .unwrap_err();
        let refused = tokio::net::UnixStream::connect(node.socket())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        node.restart().unwrap();
        runtime(&node)
            .await
            .version(cri::VersionRequest::default())
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn sockets_that_speak_http2_send_a_client_away() {
    in_time(async {
        for situation in [Situation::GoAway(11), Situation::ClosesAtCall] {
            let socket = Socket::start(situation).unwrap();
            let connection = connection(&socket.endpoint()).await;
            let mut client = RuntimeServiceClient::with_origin(connection, origin());
            // Whether the code is seen depends on who is first, the GOAWAY or the call.
            client
                .version(cri::VersionRequest::default())
                .await
                .unwrap_err();
        }
    })
    .await;
}
