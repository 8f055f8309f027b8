// What each target does with its bytes. Shared by the fuzz targets and by the test that replays the corpora on a stable
// toolchain (`tests/it/fuzz.rs`); whatever the bytes are, nothing may panic, hang or contradict itself.

use bytes::{Bytes, BytesMut};
use criscope::registry::ImageRef;
use criscope::registry::declared::Declared;
use criscope::registry::lint::lint;
use criscope::registry::tree::Tree;
use criscope::settings::{Flags, Settings};
use criscope::stream::{spdy, status};
use criscope::wire::{self, Splitter, Unset, json};

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
