//! Message bytes as JSON, written as they are read: no tree, no copy of the message, one buffer.
//!
//! What is printed is what Go's `protojson` prints with `EmitDefaultValues`: keys in the order of the proto, `int64` and
//! `uint64` as strings, enums by name, zeros and empty lists shown, unset messages left out, maps sorted, `<>&` as they
//! are. Two liberties: text that is not UTF-8 gets U+FFFD where `protojson` fails, and one space follows a colon where it
//! has one or two, depending on how the program was built.

mod list;
mod text;

use std::io::{self, Write as _};

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

pub use self::list::List;
use self::text::push_text;
use super::gather::Gathered;
use super::number::{push_f64, push_i64, push_u64};
use super::scalar::{self, Scalar, Scalars};
use super::table::{Field, Kind, MessageType, Shape};
use super::walk::{Malformed, Value};

/// How much is collected between documents before it is handed on.
const PAGE: usize = 32 * 1024;

/// How much of one document is held back until it is known to be whole. A longer one is handed on in parts, so that an
/// answer of nothing but empty messages, which are long in JSON, cannot fill the memory.
const HELD: usize = 1024 * 1024;

/// What separates two items of the deepest object, and, from the second byte on, what stands before the first.
const LEAD: &str = ",\n                                                                ";

/// Why a document was not written to its end.
#[derive(Debug, Error)]
pub enum Error {
    /// The bytes are not a message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The receiver does not take it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the line breaks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Indented by two spaces.
    Pretty,
    /// Everything on one line.
    Compact,
}

/// What becomes of passwords and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Shown: the document goes to whom it belongs to.
    #[default]
    Shown,
    /// Replaced by `[hidden]`: the document goes to a log.
    Hidden,
}

/// One message as text, without a line break at the end.
pub fn text(ty: &MessageType, bytes: &[u8], layout: Layout) -> Result<String, Error> {
    let mut writer = Writer::new(Vec::new(), layout);
    writer.message(ty, bytes)?;
    Ok(scalar::text(&writer.finish()?).into_owned())
}

/// Writes documents, one after the other.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    layout: Layout,
    secrets: Secrets,
    page: Vec<u8>,
    /// How often a page was handed on.
    pages: usize,
    /// Objects and lists that are open.
    depth: usize,
    /// Whether the innermost of them is still empty.
    first: bool,
}

impl<W: io::Write> Writer<W> {
    /// A writer that has written nothing yet.
    pub fn new(sink: W, layout: Layout) -> Self {
        Self {
            sink,
            layout,
            secrets: Secrets::Shown,
            page: Vec::new(),
            pages: 0,
            depth: 0,
            first: true,
        }
    }

    /// What becomes of passwords and tokens.
    pub fn secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Writes a message and ends the line. Of a malformed one nothing is written, unless it is longer than a megabyte.
    pub fn document(&mut self, ty: &MessageType, bytes: &[u8]) -> Result<(), Error> {
        self.whole(|writer| {
            writer.message(ty, bytes)?;
            writer.page.push(b'\n');
            Ok(())
        })
    }

    /// Hands on what is still held back and returns the receiver.
    pub fn finish(mut self) -> io::Result<W> {
        self.hand_on()?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Writes all of something or nothing.
    fn whole(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let (pages, length, depth, first) = (self.pages, self.page.len(), self.depth, self.first);
        if let Err(error) = write(self) {
            if self.pages == pages {
                self.page.truncate(length);
                (self.depth, self.first) = (depth, first);
            }
            return Err(error);
        }
        if self.page.len() >= PAGE {
            self.hand_on()?;
        }
        Ok(())
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.page)?;
        self.page.clear();
        self.pages += 1;
        Ok(())
    }

    fn message(&mut self, ty: &MessageType, bytes: &[u8]) -> Result<(), Error> {
        let known = Gathered::of(ty, bytes)?;
        self.open(b'{');
        for (index, field) in ty.fields().iter().enumerate() {
            match field.shape {
                Shape::Singular => self.singular(&known, index, field)?,
                Shape::Repeated => self.repeated(&known, index, field)?,
                Shape::Map => self.map(&known, index, field)?,
            }
        }
        self.close(b'}');
        Ok(())
    }

    fn singular(
        &mut self,
        known: &Gathered,
        index: usize,
        field: &'static Field,
    ) -> Result<(), Error> {
        if !field.can_be_unset() {
            let value = known.last(index, field);
            self.key(field);
            if field.secret && self.secrets == Secrets::Hidden && value.is_some() {
                self.page.extend_from_slice(b"\"[hidden]\"");
                return Ok(());
            }
            return self.value(field.kind, value);
        }
        let Some(bytes) = known.message(index, field) else {
            return Ok(());
        };
        self.key(field);
        self.value(field.kind, Some(Value::Bytes(&bytes)))
    }

    fn repeated(
        &mut self,
        known: &Gathered,
        index: usize,
        field: &'static Field,
    ) -> Result<(), Error> {
        self.key(field);
        self.open(b'[');
        let values = known.values(index, field);
        if field.kind.is_packable() {
            for scalar in Scalars::new(field.kind, values) {
                let scalar = scalar?;
                self.item();
                self.scalar(scalar);
                self.relieve()?;
            }
        } else {
            for value in values {
                self.item();
                self.value(field.kind, Some(value))?;
                self.relieve()?;
            }
        }
        self.close(b']');
        Ok(())
    }

    fn map(&mut self, known: &Gathered, index: usize, field: &'static Field) -> Result<(), Error> {
        self.key(field);
        self.open(b'{');
        for (key, value) in known.entries(index, field)? {
            self.item();
            self.text(key);
            self.page.push(b':');
            if self.layout == Layout::Pretty {
                self.page.push(b' ');
            }
            self.value(field.kind, value)?;
            self.relieve()?;
        }
        self.close(b'}');
        Ok(())
    }

    fn value(&mut self, kind: Kind, value: Option<Value>) -> Result<(), Error> {
        match (kind, value) {
            (Kind::Message(index), Some(Value::Bytes(bytes))) => self.message(index.ty(), bytes)?,
            (Kind::Message(index), _) => self.message(index.ty(), &[])?,
            _ => {
                if let Some(scalar) = Scalar::of(kind, value) {
                    self.scalar(scalar);
                }
            }
        }
        Ok(())
    }

    fn scalar(&mut self, scalar: Scalar) {
        let page = &mut self.page;
        match scalar {
            Scalar::Bool(true) => page.extend_from_slice(b"true"),
            Scalar::Bool(false) => page.extend_from_slice(b"false"),
            Scalar::Small(number) => push_i64(page, number),
            Scalar::Int64(number) => {
                page.push(b'"');
                push_i64(page, number);
                page.push(b'"');
            }
            Scalar::Uint64(number) => {
                page.push(b'"');
                push_u64(page, number);
                page.push(b'"');
            }
            Scalar::Double(number) => push_f64(page, number),
            Scalar::Text(bytes) => self.text(bytes),
            Scalar::Bytes(bytes) => {
                // Writing to a Vec does not fail.
                let _ = write!(page, "\"{}\"", Base64Display::new(bytes, &BASE64_STANDARD));
            }
            Scalar::Enum(ty, number) => match ty.value_name(number) {
                Some(name) => {
                    page.push(b'"');
                    page.extend_from_slice(name.as_bytes());
                    page.push(b'"');
                }
                None => push_i64(page, i64::from(number)),
            },
            Scalar::Timestamp(bytes) => self.text(scalar::timestamp(bytes).as_bytes()),
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        self.page.push(b'"');
        push_text(&mut self.page, bytes);
        self.page.push(b'"');
    }

    fn key(&mut self, field: &Field) {
        self.item();
        let key = field.key();
        let key = match self.layout {
            Layout::Pretty => key,
            Layout::Compact => key.trim_ascii_end(),
        };
        self.page.extend_from_slice(key);
    }

    fn open(&mut self, bracket: u8) {
        self.page.push(bracket);
        self.depth += 1;
        self.first = true;
    }

    /// Begins an item of the innermost object or list.
    fn item(&mut self) {
        let from = usize::from(self.first);
        self.first = false;
        match self.layout {
            Layout::Pretty => self.lead(from),
            Layout::Compact => self.page.extend_from_slice(&LEAD.as_bytes()[from..1]),
        }
    }

    fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        if !self.first && self.layout == Layout::Pretty {
            self.lead(1);
        }
        self.first = false;
        self.page.push(bracket);
    }

    /// A line break and the indentation, with the comma before them if `from` is zero.
    fn lead(&mut self, from: usize) {
        let to = (2 + 2 * self.depth).min(LEAD.len());
        self.page.extend_from_slice(&LEAD.as_bytes()[from..to]);
    }

    /// Hands on a part of a document that is too long to be held back.
    fn relieve(&mut self) -> io::Result<()> {
        if self.page.len() >= HELD {
            self.hand_on()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use std::collections::BTreeMap;

    use super::super::table::Typed;
    use super::*;
    use crate::cri;

    fn pretty<T: Typed + prost::Message>(message: &T) -> String {
        text(T::TYPE, &message.encode_to_vec(), Layout::Pretty).unwrap()
    }

    #[track_caller]
    fn compact<T: Typed>(bytes: &[u8], expected: &str) {
        assert_eq!(text(T::TYPE, bytes, Layout::Compact).unwrap(), expected);
    }

    #[test]
    fn a_container_is_printed_as_protojson_prints_it() {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let container = cri::Container {
            id: "3fd1".into(),
            metadata: Some(cri::ContainerMetadata {
                name: "web".into(),
                attempt: 3,
            }),
            state: cri::ContainerState::ContainerRunning.into(),
            created_at: 1_700_000_000_000_000_001,
            labels: BTreeMap::from([label("b", "<&>"), label("a", "ü\n\"\u{1}")]),
            ..Default::default()
        };
        let expected = r#"{
  "id": "3fd1",
  "podSandboxId": "",
  "metadata": {
    "name": "web",
    "attempt": 3
  },
  "imageRef": "",
  "state": "CONTAINER_RUNNING",
  "createdAt": "1700000000000000001",
  "labels": {
    "a": "ü\n\"\u0001",
    "b": "<&>"
  },
  "annotations": {},
  "imageId": ""
}"#;
        assert_eq!(pretty(&container), expected);
    }

    #[test]
    fn unset_messages_are_left_out_and_empty_ones_are_not() {
        compact::<cri::PodSandboxStats>(&[], "{}");
        compact::<cri::RuntimeConfigResponse>(
            b"\x0a\x00",
            r#"{"linux":{"cgroupDriver":"SYSTEMD"}}"#,
        );
        compact::<cri::StatusResponse>(
            b"\x0a\x00",
            r#"{"status":{"conditions":[]},"info":{},"runtimeHandlers":[]}"#,
        );
    }

    #[test]
    fn duplicates_follow_the_rules_of_protobuf() {
        // Scalars: the last one. Messages: merged. Lists: all. Maps: the last one of a key.
        compact::<cri::ContainerMetadata>(
            b"\x0a\x01a\x10\x01\x0a\x01b",
            r#"{"name":"b","attempt":1}"#,
        );
        let twice = b"\x0a\x03\x0a\x01a\x0a\x02\x10\x07";
        compact::<cri::ContainerAttributes>(
            &[b"\x12\x03\x0a\x01a", &b"\x12\x02\x10\x07"[..]].concat(),
            r#"{"id":"","metadata":{"name":"a","attempt":7},"labels":{},"annotations":{}}"#,
        );
        compact::<cri::ListMetricDescriptorsResponse>(
            twice,
            r#"{"descriptors":[{"name":"a","help":"","labelKeys":[]},{"name":"","help":"","labelKeys":[]}]}"#,
        );
        compact::<cri::PodSandboxStatsFilter>(
            b"\x12\x06\x0a\x01k\x12\x01x\x12\x06\x0a\x01a\x12\x01y\x12\x06\x12\x01z\x0a\x01k",
            r#"{"id":"","labelSelector":{"a":"y","k":"z"}}"#,
        );
    }

    #[test]
    fn numbers_come_packed_and_one_by_one() {
        compact::<cri::LinuxContainerUser>(
            b"\x1a\x02\x01\x02\x18\x03\x1a\x00\x1a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            r#"{"uid":"0","gid":"0","supplementalGroups":["1","2","3","-1"]}"#,
        );
        compact::<cri::PortForwardRequest>(
            b"\x10\x50\x12\x02\xbb\x03",
            r#"{"podSandboxId":"","port":[80,443]}"#,
        );
    }

    #[test]
    fn odd_values_are_shown_as_they_are() {
        // An enum value of the future, bytes that are no UTF-8, a field of the wrong type, an unknown field.
        compact::<cri::ContainerStateValue>(b"\x08\x2a", r#"{"state":42}"#);
        compact::<cri::ContainerStateValue>(
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            r#"{"state":-1}"#,
        );
        compact::<cri::PodIp>(b"\x0a\x03a\xffb", r#"{"ip":"a�b"}"#);
        compact::<cri::PodIp>(b"\x08\x01\x52\x01x", r#"{"ip":""}"#);
        compact::<cri::KeyValue>(b"\x0a\x01k\x12\x02v\xff", r#"{"key":"k","value":"v�"}"#);
        compact::<cri::ExecSyncResponse>(
            b"\x0a\x02hi",
            r#"{"stdout":"aGk=","stderr":"","exitCode":0}"#,
        );
        compact::<cri::PsiData>(
            &[b"\x11", &0.07_f64.to_le_bytes()[..]].concat(),
            r#"{"Total":"0","Avg10":0.07,"Avg60":0,"Avg300":0}"#,
        );
    }

    #[test]
    fn passwords_are_hidden_on_request() {
        let auth = cri::AuthConfig {
            username: "me".into(),
            password: "s3cret".into(),
            ..Default::default()
        };
        let mut writer = Writer::new(Vec::new(), Layout::Compact).secrets(Secrets::Hidden);
        writer
            .document(cri::AuthConfig::TYPE, &auth.encode_to_vec())
            .unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert!(
            text.starts_with(r#"{"username":"me","password":"[hidden]","auth":"""#),
            "{text}"
        );
        assert!(!format!("{auth:?}").contains("s3cret"));
    }

    #[test]
    fn a_long_document_does_not_pile_up() {
        struct Longest(usize);
        impl io::Write for Longest {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.max(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        // A hundred thousand empty containers: two bytes each on the wire, a hundred times as much in JSON.
        let bytes = b"\x0a\x00".repeat(100_000);
        let mut writer = Writer::new(Longest(0), Layout::Pretty);
        writer
            .document(cri::ListContainersResponse::TYPE, &bytes)
            .unwrap();
        let Longest(longest) = writer.finish().unwrap();
        assert!(longest < HELD + 1024, "{longest}");
    }
}
