// What each target does with its bytes. Shared by the fuzz targets and by the test that replays the corpora on a stable
// toolchain (`tests/it/fuzz.rs`); whatever the bytes are, nothing may panic, hang or contradict itself.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use criscope::registry::ImageRef;
use criscope::registry::declared::Declared;
use criscope::registry::lint::lint;
use criscope::registry::tree::Tree;
use criscope::render::guard::{Guard, Passing};
use criscope::render::log_line::{LogLine, Surface};
use criscope::settings::{Flags, Settings};
use criscope::stream::log::{Decoder, Piece};
use criscope::stream::{Incoming, Protocol, Target, channel, spdy, status};
use criscope::template::Template;
use criscope::wire::{self, Splitter, Unset, json};
use tokio_tungstenite::tungstenite;

/// What is done with an input.
type Body = fn(&[u8]);

/// Every target by name.
pub const BODIES: &[(&str, Body)] = &[
    ("wire", wire_walker),
    ("json", json_writer),
    ("encode", encode),
    ("containerd", containerd),
    ("hosts", hosts),
    ("registries", registries),
    ("settings", settings),
    ("image", image),
    ("spdy", spdy_frames),
    ("status", end_of_exec),
    ("log", log),
    ("websocket", websocket),
    ("template", template),
    ("terminal", terminal),
];

/// The first byte chooses a message, the rest is for it.
fn message(data: &[u8]) -> Option<(&'static wire::MessageType, &[u8])> {
    let (&first, rest) = data.split_first()?;
    let types = wire::message_types();
    Some((&types[usize::from(first) % types.len()], rest))
}

/// A list cut into elements is the same however it arrives.
pub fn wire_walker(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let size = usize::from(first).max(1);
    let whole: Vec<Bytes> = wire::elements(rest, 1)
        .map_while(Result::ok)
        .map(Bytes::copy_from_slice)
        .collect();
    let mut splitter = Splitter::new(1);
    let mut found = Vec::new();
    'pieces: for piece in rest.chunks(size) {
        splitter.push(Bytes::copy_from_slice(piece));
        loop {
            match splitter.element() {
                Ok(Some(element)) => found.push(element),
                Ok(None) => break,
                Err(_) => break 'pieces,
            }
        }
    }
    assert!(found.starts_with(&whole) || whole.starts_with(&found));
}

/// What is written is JSON, in both layouts and from the tree.
pub fn json_writer(data: &[u8]) {
    let Some((ty, bytes)) = message(data) else {
        return;
    };
    let pretty = json::text(ty, bytes, json::Layout::Pretty);
    let compact = json::text(ty, bytes, json::Layout::Compact);
    match (pretty, compact) {
        (Ok(pretty), Ok(compact)) => {
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&pretty), read(&compact));
        }
        (Err(_), Err(_)) => {}
        different => panic!("{different:?}"),
    }
    let _ = wire::value(ty, bytes, Unset::Omit);
    let _ = wire::unknown_fields(ty, bytes);
}

/// What can be encoded can be read again.
pub fn encode(data: &[u8]) {
    let Some((ty, text)) = message(data) else {
        return;
    };
    let Ok(document) = serde_json::from_slice(text) else {
        return;
    };
    if let Ok(bytes) = wire::encode(ty, &document) {
        let read = wire::value(ty, &bytes, Unset::Omit).unwrap();
        assert_eq!(wire::encode(ty, &read).unwrap(), bytes);
    }
}

fn linted(path: &str, data: &[u8], runtime: &str) {
    let mut tree = Tree::new();
    tree.add_text(path, String::from_utf8_lossy(data));
    let _ = lint(&Declared::new(tree), &runtime.parse().unwrap());
}

/// containerd's own file, as two generations read it.
pub fn containerd(data: &[u8]) {
    linted("/etc/containerd/config.toml", data, "containerd@1.6.20");
    linted("/etc/containerd/config.toml", data, "containerd@2.1.4");
}

/// A host directory.
pub fn hosts(data: &[u8]) {
    let path = "/etc/containerd/certs.d/registry.example.com/hosts.toml";
    linted(path, data, "containerd@2.1.4");
}

/// registries.conf.
pub fn registries(data: &[u8]) {
    linted("/etc/containers/registries.conf", data, "crio@1.30.0");
}

/// crictl.yaml.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let _ = Settings::resolve(&Flags::default(), |_| None, |_| Ok(Some(text.clone())));
}

/// References are stable under being shown and read.
pub fn image(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(parsed) = text.parse::<ImageRef>() {
        let shown = parsed.to_string();
        let again: ImageRef = shown.parse().unwrap();
        assert_eq!(again.to_string(), shown);
    }
}

/// SPDY frames as they come from a server.
pub fn spdy_frames(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(_)) = spdy::frame::decode(&mut buffer) {}
}

/// What a WebSocket or SPDY server says at the end of a command.
pub fn end_of_exec(data: &[u8]) {
    let _ = status::read(data);
}

/// The lines of a log are the same in whatever pieces the file is read.
pub fn log(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let read = |size: usize| {
        let mut decoder = Decoder::default();
        let mut pieces: Vec<Piece> = Vec::new();
        for chunk in rest.chunks(size.max(1)) {
            decoder.feed(chunk, &mut pieces);
        }
        decoder.finish(&mut pieces);
        (pieces, decoder.readable, decoder.unreadable)
    };
    assert_eq!(read(usize::from(first)), read(rest.len()));
}

/// What a server sends after the handshake ends by itself, whatever it is.
pub fn websocket(data: &[u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let protocol = match first % 2 {
        0 => Protocol::V4,
        _ => Protocol::V5,
    };
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let server = async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(theirs.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then_some(value)
        });
        let accept = tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            protocol.name()
        );
        // The client may have seen enough before it has read it all.
        let _ = theirs.write_all(answer.as_bytes()).await;
        let _ = theirs.write_all(rest).await;
        let _ = theirs.shutdown().await;
        theirs
    };
    let client = async move {
        let target = Target::parse("http://127.0.0.1:1/exec/t").unwrap();
        let opened = channel::open(Box::new(ours), &target, &[protocol]).await;
        let (_sender, mut receiver, _) = opened.unwrap();
        while let Ok(incoming) = receiver.next().await {
            match incoming {
                Incoming::Closed => return,
                Incoming::Data(_, bytes) => assert!(bytes.len() < rest.len()),
                Incoming::End(_) => assert_eq!(protocol, Protocol::V5),
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::join!(server, client) });
}

/// A template is read, filled in or refused.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Loops in loops and templates that use each other twice take for ever, as in Go; that is what Ctrl-C is for.
    let takes_long = |word: &str| text.matches(word).count() > 2;
    if takes_long("range") || takes_long("template") || takes_long("block") {
        return;
    }
    if let Ok(template) = Template::parse(&text) {
        let data = serde_json::json!({
            "status": {"id": "abc", "n": 7, "size": "12", "on": true, "none": null, "list": ["a", "b"], "ratio": 0.5},
        });
        let _ = template.render(&data);
    }
}

/// A terminal gets no control characters of data, and of a log colours only; JSON stays what it is.
pub fn terminal(data: &[u8]) {
    let mut shown = Vec::new();
    let size = data.first().map_or(1, |&first| usize::from(first).max(1));
    let mut guard = Guard::new(&mut shown, true, Passing::Text);
    for piece in data.chunks(size) {
        guard.write_all(piece).unwrap();
    }
    drop(guard);
    let text = String::from_utf8(shown).unwrap();
    let acts = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(acts), "{text:?}");
    // A carriage return between tokens is JSON, and nothing that a terminal should get; our writers make none.
    if !data.contains(&b'\r')
        && let Ok(before) = serde_json::from_slice::<serde_json::Value>(data)
    {
        let after: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(before, after);
    }
    let line = LogLine {
        label: Some(("a", 0)),
        time: None,
        content: data,
        begins: true,
        ends: false,
    };
    let mut shown = Vec::new();
    let surface = Surface {
        is_terminal: true,
        has_colours: false,
    };
    surface.write(&line, &mut shown);
    let text = String::from_utf8(shown).unwrap();
    let text = text.strip_suffix('\r').unwrap_or(&text);
    for (at, _) in text.match_indices(acts) {
        let rest = text[at..]
            .strip_prefix("\x1b[")
            .expect("nothing but colours");
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'));
        assert!(rest[end.unwrap()..].starts_with('m'), "{text:?}");
    }
}
