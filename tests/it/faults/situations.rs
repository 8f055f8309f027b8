//! What an endpoint can be.

use std::time::Duration;

use bytes::Bytes;
use criscope::fake::{Answer, End, Node, Rule, Situation as Kind, Socket};
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
    /// Whether a daemon is there that serves at least something, so that a command may go on with it.
    pub fn is_served(&self) -> bool {
        self.may_succeed || matches!(self.make, Make::Node(_))
    }

    pub fn bring_about(&self) -> Place {
        match &self.make {
            Make::Socket(kind) => Place::Socket(Socket::start(kind.clone()).unwrap()),
            Make::Node(start) => Place::Node(start()),
            Make::Rule(rule) => {
                let node = small::node();
                node.rule(rule());
                Place::Node(node)
            }
        }
    }
}

/// All of them, the slow ones last.
pub fn situations() -> Vec<Situation> {
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
        socket("nothing is there", Kind::Absent),
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
        socket("it says GOAWAY", Kind::GoAway(11)),
        socket("it closes at the first call", Kind::ClosesAtCall),
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
        rule("answers never end", || {
            Rule::on("*").answer(Answer::Flood(Bytes::from_static(b"\x1a\x03abc")))
        }),
    ]
}
