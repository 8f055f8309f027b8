//! What an endpoint can be.

use std::time::Duration;

use bytes::Bytes;
use criscope::fake::world::{Container, Pod};
use criscope::fake::{Answer, End, Node, Rule, Situation as Kind, Socket, World, frame};
use tonic::Code;

use crate::support::small;

/// A situation by name, and how it is brought about.
pub struct Situation {
    /// As in "where the socket is absent".
    pub name: &'static str,
    /// Whether a command may do without what is missing.
    pub may_succeed: bool,
    make: Make,
}

enum Make {
    Socket(Kind),
    Rule(fn() -> Rule),
    Node(fn() -> Node),
    World(fn() -> World),
}

/// What is at the endpoint, until it is dropped.
pub enum Place {
    Socket(Socket),
    Node(Node),
}

impl Place {
    pub fn endpoint(&self) -> String {
        match self {
            Place::Socket(socket) => socket.endpoint(),
            Place::Node(node) => node.endpoint(),
        }
    }
}

impl Situation {
    /// Whether the command has to be run as another user than root.
    pub fn is_for_others(&self) -> bool {
        matches!(self.make, Make::Socket(Kind::Denied))
    }

    /// Whether a daemon is there that serves at least something, so that a command may go on with it.
    pub fn is_served(&self) -> bool {
        self.may_succeed || matches!(self.make, Make::Node(_))
    }

    pub fn bring_about(&self) -> Place {
        match &self.make {
            Make::Socket(kind) => Place::Socket(Socket::start(kind.clone()).unwrap()),
            Make::Node(start) => Place::Node(start()),
            Make::World(world) => Place::Node(Node::builder().world(world()).start().unwrap()),
            Make::Rule(rule) => {
                let node = small::node();
                node.rule(rule());
                Place::Node(node)
            }
        }
    }
}

// Types of frames (RFC 9113).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// All of them, the slow ones last.
pub fn situations() -> Vec<Situation> {
    let node = |name, world| Situation {
        name,
        may_succeed: true,
        make: Make::World(world),
    };
    let socket = |name, kind| Situation {
        name,
        may_succeed: false,
        make: Make::Socket(kind),
    };
    let rule = |name, rule| Situation {
        name,
        may_succeed: false,
        make: Make::Rule(rule),
    };
    let odd = |name, rule| Situation {
        name,
        may_succeed: true,
        make: Make::Rule(rule),
    };
    vec![
        node("nothing is wrong", small::world),
        socket("nothing is there", Kind::Absent),
        socket("the socket is another user's", Kind::Denied),
        socket("the daemon is gone and its socket is left", Kind::Stale),
        socket("there is a file", Kind::RegularFile),
        socket("there is a directory", Kind::Directory),
        socket("there is a link to nothing", Kind::DanglingLink),
        socket("it accepts and closes", Kind::Closes),
        socket("it accepts and resets", Kind::Resets),
        socket("it speaks HTTP/1", Kind::Http1),
        socket("it is a Docker daemon", Kind::Docker),
        socket(
            "it greets with text",
            Kind::Banner(Bytes::from_static(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ),
        socket(
            "it greets with garbage",
            Kind::Banner(Bytes::from_static(&[0xff; 64])),
        ),
        socket("it closes in the middle of its preface", Kind::CutPreface),
        socket("it says GOAWAY", Kind::GoAway(11)),
        socket("it closes at the first call", Kind::ClosesAtCall),
        socket(
            "it resets the first call",
            Kind::Answers(frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])),
        ),
        socket(
            "it answers a call that nobody made",
            Kind::Answers(frame(HEADERS, 4, 7, b"\x88")),
        ),
        socket(
            "its headers cannot be decoded",
            Kind::Answers(frame(HEADERS, 4, 1, &[0xff; 32])),
        ),
        socket(
            "its frames are larger than agreed",
            Kind::Answers(frame(DATA, 0, 1, &[0; 100_000])),
        ),
        Situation {
            name: "the CRI plugin is disabled",
            may_succeed: false,
            make: Make::Node(|| {
                Node::builder()
                    .cri(criscope::fake::CriPlugin::Disabled)
                    .start()
                    .unwrap()
            }),
        },
        rule("every call is reset", || {
            Rule::on("*").answer(Answer::Reset)
        }),
        rule("every call closes the connection", || {
            Rule::on("*").answer(Answer::Close)
        }),
        rule("every call ends in GOAWAY", || {
            Rule::on("*").answer(Answer::GoAway(0))
        }),
        rule("garbage follows every call", || {
            Rule::on("*").answer(Answer::Raw(Bytes::from_static(&[0xff; 100])))
        }),
        rule("a proxy answers 503", || {
            Rule::on("*").answer(Answer::Http(
                503,
                "text/html",
                Bytes::from_static(b"<h1>no</h1>"),
            ))
        }),
        rule("every call is unimplemented", || {
            Rule::on("*").status(Code::Unimplemented, "unknown method")
        }),
        rule("every call is refused", || {
            Rule::on("*").status(Code::PermissionDenied, "no")
        }),
        rule("the daemon is shutting down", || {
            Rule::on("*").status(Code::Unavailable, "shutting down")
        }),
        rule("the daemon says that it panicked", || {
            Rule::on("*").status(
                Code::Internal,
                "panic: runtime error: invalid memory address or nil pointer dereference",
            )
        }),
        rule("answers are reset in the middle", || {
            Rule::on("*").answer(Answer::announced(1000, b"\x0a\x03abc", End::Reset))
        }),
        rule("GOAWAY comes in the middle of answers", || {
            Rule::on("*").answer(Answer::announced(1000, b"\x0a\x03abc", End::GoAway(2)))
        }),
        rule("answers end without a status", || {
            Rule::on("*").answer(Answer::Body(Vec::new(), End::Cut))
        }),
        rule("answers are cut off", || {
            Rule::on("*").answer(Answer::announced(
                1000,
                b"\x0a\x03abc",
                End::Status(Code::Ok, String::new()),
            ))
        }),
        rule("answers end in the middle of a length", || {
            Rule::on("*").answer(Answer::Body(
                vec![Bytes::from_static(&[0, 0, 0])],
                End::Status(Code::Ok, String::new()),
            ))
        }),
        rule("answers are compressed unasked", || {
            Rule::on("*").answer(Answer::Body(
                vec![Bytes::from_static(&[1, 0, 0, 0, 1, 0])],
                End::Status(Code::Ok, String::new()),
            ))
        }),
        rule("answers are no protobuf", || {
            Rule::on("*").answer(Answer::Message(Bytes::from_static(&[0xff; 40])))
        }),
        odd("answers are empty", || {
            Rule::on("*").answer(Answer::Message(Bytes::new()))
        }),
        odd("answers hold fields and values of the future", || {
            Rule::on("*").rewrite(|message| [message, &b"\xf8\x3f\x2a\xc2\x3e\x02hi"[..]].concat())
        }),
        odd("texts are no UTF-8", || {
            Rule::on("*").rewrite(criscope::fake::Rewrite::replace(
                "containerd",
                b"c\xffntain\x80rd",
            ))
        }),
        odd("names act on terminals", || {
            Rule::on("*").rewrite(criscope::fake::Rewrite::replace("web-1", b"\x1b[2J\x07"))
        }),
        node(
            "names show letters in another order, and line breaks",
            || {
                let mut world = World::empty("containerd", "1.7.28");
                let pod = world.add_pod(Pod::new("kube\u{202e}metsys", "web\n\x1b]0;title\x07"));
                world.add_container(&pod, Container::new("\u{2066}x\r\u{9b}2J", small::WEB));
                world
            },
        ),
        node("names are a megabyte long", || {
            let mut world = World::empty("containerd", "1.7.28");
            let name = "x".repeat(1 << 20);
            let pod = world.add_pod(Pod::new(&name, &name).label(&name, &name));
            world.add_container(&pod, Container::new(&name, small::WEB));
            world
        }),
        node("states are of the future", || {
            let mut world = small::world();
            world.pods.iter_mut().for_each(|it| it.status.state = 99);
            let containers = &mut world.containers;
            containers.iter_mut().for_each(|it| it.status.state = -7);
            world
        }),
        node("the clock went back a day", || {
            let mut world = small::world();
            let day = 86_400_000_000_000;
            world
                .pods
                .iter_mut()
                .for_each(|it| it.status.created_at += day);
            for it in &mut world.containers {
                it.status.created_at += day;
                it.status.started_at += day;
            }
            world
        }),
        node("times are out of every range", || {
            let mut world = small::world();
            world
                .pods
                .iter_mut()
                .for_each(|it| it.status.created_at = i64::MIN);
            for it in &mut world.containers {
                it.status.created_at = i64::MAX;
                it.status.started_at = i64::MIN;
                it.status.finished_at = i64::MAX;
            }
            world
        }),
        odd("elements of lists are empty", || {
            Rule::on("*").rewrite(|_| b"\x0a\x00\x0a\x00".to_vec())
        }),
        odd("one element of a list is broken", || {
            Rule::on("*").rewrite(|message| [message, &b"\x0a\x02\xff\xff"[..]].concat())
        }),
        Situation {
            name: "there is no image service",
            may_succeed: true,
            make: Make::Node(|| {
                let node = Node::builder().world(small::world());
                node.without_image_service().start().unwrap()
            }),
        },
        odd("lists of containers are unimplemented", || {
            Rule::on("ListContainers").status(Code::Unimplemented, "unknown method ListContainers")
        }),
        odd("only the first call is answered", || {
            Rule::on("*").skip(1).answer(Answer::Close)
        }),
        // Those that cost a deadline.
        socket("the queue of connections is full", Kind::BacklogFull),
        socket("nobody accepts", Kind::Unaccepted),
        socket("it accepts and is silent", Kind::Silent),
        socket("it stops in the middle of its preface", Kind::HalfPreface),
        socket("it never answers a call", Kind::SettingsOnly),
        socket(
            "it answers a byte now and then",
            Kind::Drip(Duration::from_millis(10)),
        ),
        rule("every call hangs", || Rule::on("*").hang()),
        rule("answers begin and never end", || {
            Rule::on("*").answer(Answer::announced(1000, b"\x0a\x03abc", End::Hang))
        }),
        rule("answers announce four gigabytes", || {
            Rule::on("*").answer(Answer::announced(u32::MAX, b"\x0a\x03abc", End::Hang))
        }),
        odd("only the first call is answered, the others hang", || {
            Rule::on("*").skip(1).hang()
        }),
        socket(
            "it floods with PING",
            Kind::Floods(frame(PING, 0, 0, &[7; 8])),
        ),
        socket(
            "it floods with SETTINGS",
            Kind::Floods(frame(SETTINGS, 0, 0, &[])),
        ),
        socket(
            "headers never end",
            Kind::Floods(frame(CONTINUATION, 0, 1, &[0x88; 64])),
        ),
        socket(
            "it floods with empty pieces of an answer",
            Kind::Floods(frame(DATA, 0, 1, &[])),
        ),
        rule("answers never end", || {
            Rule::on("*").answer(Answer::Flood(Bytes::from_static(b"\x1a\x03abc")))
        }),
    ]
}
