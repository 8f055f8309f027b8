//! A document to message bytes: configurations that people write, and recorded answers that are played again.
//!
//! Keys are taken in the spelling of the proto (`cgroup_parent`, crictl's way) and of JSON (`cgroupParent`), enums by
//! name and by number, whole numbers as numbers and as strings; `null` is the same as leaving out. What cannot be meant
//! is reported, all of it in one pass, instead of being dropped silently as crictl does.
//!
//! The bytes are canonical: fields by number, zeros left out, numbers packed, maps sorted – as prost writes them.

mod mistake;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use prost::encoding::{WireType as ProstType, encode_key, encode_varint};
use serde_json::{Map, Value};

pub use self::mistake::{EncodeErrors, Mistake, Problem};
use self::mistake::{nearest, type_mistake};
use super::table::{EnumType, Field, Kind, MessageType, Shape};

/// Mistakes that are reported for one document.
const MOST_MISTAKES: usize = 32;

/// The bytes of the message that a document describes.
pub fn encode(ty: &MessageType, document: &Value) -> Result<Vec<u8>, EncodeErrors> {
    let mut encoder = Encoder::default();
    let bytes = encoder.message(ty, document);
    match encoder.mistakes.is_empty() {
        true => Ok(bytes),
        false => Err(EncodeErrors(encoder.mistakes)),
    }
}

/// The same without the keys that the message does not have, which are named beside the bytes, and with numbers and
/// switches where a text is wanted: YAML takes `1.0` and `yes` for those, and so does crictl's reader, but puts it right.
///
/// # Errors
/// Any other mistake.
pub fn encode_known(
    ty: &MessageType,
    document: &Value,
) -> Result<(Vec<u8>, Vec<Mistake>), EncodeErrors> {
    let mut encoder = Encoder {
        takes_any_text: true,
        ..Encoder::default()
    };
    let bytes = encoder.message(ty, document);
    let is_unknown = |mistake: &Mistake| matches!(mistake.problem, Problem::UnknownKey { .. });
    let (unknown, other): (Vec<_>, Vec<_>) = encoder.mistakes.into_iter().partition(is_unknown);
    match other.is_empty() {
        true => Ok((bytes, unknown)),
        false => Err(EncodeErrors(other)),
    }
}

/// Goes on after a mistake, with what is left of the document.
#[derive(Default)]
struct Encoder {
    /// Whether a number or a switch is a text, too.
    takes_any_text: bool,
    path: String,
    mistakes: Vec<Mistake>,
}

impl Encoder {
    fn message(&mut self, ty: &MessageType, document: &Value) -> Vec<u8> {
        let Value::Object(object) = document else {
            self.mistake(type_mistake("an object", document));
            return Vec::new();
        };
        let mut fields = self.fields(ty, object);
        fields.sort_by_key(|(field, ..)| field.number());
        let mut out = Vec::new();
        for (field, key, value) in fields {
            self.below(key, |encoder| match field.shape {
                Shape::Singular => encoder.singular(field, value, &mut out),
                Shape::Repeated => encoder.repeated(field, value, &mut out),
                Shape::Map => encoder.map(field, value, &mut out),
            });
        }
        out
    }

    /// The fields that are set, each once.
    fn fields<'v>(
        &mut self,
        ty: &MessageType,
        object: &'v Map<String, Value>,
    ) -> Vec<(&'static Field, &'v str, &'v Value)> {
        let mut fields: Vec<(&'static Field, &str, &Value)> = Vec::new();
        for (key, value) in object {
            let Some(field) = ty.field_named(key) else {
                let names = ty.fields().iter().map(Field::name);
                let (key, nearest) = (key.clone(), nearest(key, names));
                self.mistake(Problem::UnknownKey { key, nearest });
                continue;
            };
            if fields
                .iter()
                .any(|(other, ..)| other.number() == field.number())
            {
                self.mistake(Problem::Twice { key: field.name() });
            } else if !value.is_null() {
                fields.push((field, key, value));
            }
        }
        fields
    }

    fn singular(&mut self, field: &Field, value: &Value, out: &mut Vec<u8>) {
        let Some(content) = self.content(field.kind, value) else {
            return;
        };
        if field.can_be_unset() || !content.is_zero() {
            content.push(field.number(), out);
        }
    }

    fn repeated(&mut self, field: &Field, value: &Value, out: &mut Vec<u8>) {
        let Value::Array(items) = value else {
            return self.mistake(type_mistake("a list", value));
        };
        let mut packed = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let content = self.below(&format!("[{index}]"), |it| it.content(field.kind, item));
            match content {
                Some(content) if field.kind.is_packable() => content.push_bare(&mut packed),
                Some(content) => content.push(field.number(), out),
                None => {}
            }
        }
        if !packed.is_empty() {
            Content::Bytes(packed).push(field.number(), out);
        }
    }

    fn map(&mut self, field: &Field, value: &Value, out: &mut Vec<u8>) {
        let Value::Object(object) = value else {
            return self.mistake(type_mistake("an object", value));
        };
        let mut entries: Vec<_> = object.iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        for (key, value) in entries {
            let Some(content) = self.below(key, |it| it.content(field.kind, value)) else {
                continue;
            };
            let mut entry = Vec::new();
            for (number, content) in [(1, Content::Bytes(key.clone().into())), (2, content)] {
                if !content.is_zero() {
                    content.push(number, &mut entry);
                }
            }
            Content::Bytes(entry).push(field.number(), out);
        }
    }

    /// A single value as it goes on the wire.
    fn content(&mut self, kind: Kind, value: &Value) -> Option<Content> {
        let content = match (kind, value) {
            (Kind::Message(index), _) => Ok(Content::Bytes(self.message(index.ty(), value))),
            (Kind::Bool, Value::Bool(flag)) => Ok(Content::Varint(u64::from(*flag))),
            (Kind::Bool, _) => Err(type_mistake("true or false", value)),
            (Kind::Int32, _) => whole(value, "int32", i32::MIN.into(), i32::MAX.into()),
            (Kind::Int64, _) => whole(value, "int64", i64::MIN.into(), i64::MAX.into()),
            (Kind::Uint32, _) => whole(value, "uint32", 0, u32::MAX.into()),
            (Kind::Uint64, _) => whole(value, "uint64", 0, u64::MAX.into()),
            (Kind::Double, _) => double(value),
            (Kind::Enum(index), Value::String(name)) => named(index.ty(), name),
            (Kind::Enum(_), Value::Number(_)) => {
                whole(value, "an enum", i32::MIN.into(), i32::MAX.into())
            }
            (Kind::Enum(_), _) => Err(type_mistake("a name or a number", value)),
            (Kind::String | Kind::Text, Value::String(text)) => {
                Ok(Content::Bytes(text.clone().into()))
            }
            (Kind::String | Kind::Text, Value::Number(_) | Value::Bool(_))
                if self.takes_any_text =>
            {
                Ok(Content::Bytes(value.to_string().into()))
            }
            (Kind::String | Kind::Text, _) => Err(type_mistake("a string", value)),
            (Kind::Bytes, Value::String(text)) => base64(text),
            (Kind::Bytes, _) => Err(type_mistake("base64", value)),
            (Kind::Timestamp, Value::String(text)) => timestamp(text),
            (Kind::Timestamp, _) => Err(type_mistake("a time", value)),
        };
        content.map_err(|problem| self.mistake(problem)).ok()
    }

    /// Does something one level deeper.
    fn below<T>(&mut self, step: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = act(self);
        self.path.truncate(length);
        result
    }

    fn mistake(&mut self, problem: Problem) {
        // Unknown keys may be let pass; however many there are, they must not hide another mistake.
        let is_unknown = |problem: &Problem| matches!(problem, Problem::UnknownKey { .. });
        let kind = is_unknown(&problem);
        let alike = |mistake: &&Mistake| is_unknown(&mistake.problem) == kind;
        if self.mistakes.iter().filter(alike).count() < MOST_MISTAKES {
            let path = self.path.clone();
            self.mistakes.push(Mistake { path, problem });
        }
    }
}

/// A value without its tag.
enum Content {
    Varint(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
}

impl Content {
    fn is_zero(&self) -> bool {
        match self {
            Content::Varint(number) | Content::Fixed64(number) => *number == 0,
            Content::Bytes(bytes) => bytes.is_empty(),
        }
    }

    fn push(&self, number: u32, out: &mut Vec<u8>) {
        let wire_type = match self {
            Content::Varint(_) => ProstType::Varint,
            Content::Fixed64(_) => ProstType::SixtyFourBit,
            Content::Bytes(_) => ProstType::LengthDelimited,
        };
        encode_key(number, wire_type, out);
        self.push_bare(out);
    }

    fn push_bare(&self, out: &mut Vec<u8>) {
        match self {
            Content::Varint(number) => encode_varint(*number, out),
            Content::Fixed64(number) => out.extend_from_slice(&number.to_le_bytes()),
            Content::Bytes(bytes) => {
                encode_varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn whole(value: &Value, kind: &'static str, least: i128, most: i128) -> Result<Content, Problem> {
    let number = match value {
        Value::Number(number) => match number.as_f64() {
            _ if number.is_i64() || number.is_u64() => number.to_string().parse().ok(),
            // YAML and templates make 1.0 or 1e3 of whole numbers; beyond 128 bits they saturate, out of any range.
            Some(float) if float.fract() == 0.0 => Some(float as i128),
            _ => None,
        },
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match number {
        None => Err(type_mistake("a whole number", value)),
        // Negative numbers are sent as the 64 bits of their two's complement.
        Some(number) if (least..=most).contains(&number) => Ok(Content::Varint(number as u64)),
        Some(number) => Err(Problem::Range {
            number: number.to_string(),
            kind,
        }),
    }
}

fn double(value: &Value) -> Result<Content, Problem> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        // Rust reads "NaN", "Infinity" and "-Infinity" too.
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number
        .map(|number| Content::Fixed64(number.to_bits()))
        .ok_or_else(|| type_mistake("a number", value))
}

fn named(ty: &'static EnumType, name: &str) -> Result<Content, Problem> {
    match ty.number(name) {
        Some(number) => Ok(Content::Varint(i64::from(number) as u64)),
        None => Err(Problem::UnknownValue {
            name: name.to_owned(),
            nearest: nearest(name, ty.names()),
        }),
    }
}

/// Base64 with the standard or the URL alphabet, padded or not.
fn base64(text: &str) -> Result<Content, Problem> {
    let bare = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    let bytes = BASE64_STANDARD
        .decode(text)
        .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(bare));
    match bytes {
        Ok(bytes) => Ok(Content::Bytes(bytes)),
        Err(_) => Err(type_mistake("base64", &Value::from(text))),
    }
}

fn timestamp(text: &str) -> Result<Content, Problem> {
    let Ok(time) = text.parse::<jiff::Timestamp>() else {
        return Err(type_mistake("a time as in RFC 3339", &Value::from(text)));
    };
    // Before 1970 both parts are negative; protobuf counts nanoseconds forwards from the second before.
    let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
    }
    let mut out = Vec::new();
    for (number, part) in [(1, seconds), (2, i64::from(nanos))] {
        if part != 0 {
            Content::Varint(part as u64).push(number, &mut out);
        }
    }
    Ok(Content::Bytes(out))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::Typed;
    use super::*;
    use crate::cri;

    fn decoded<T: Typed + prost::Message + Default>(document: Value) -> T {
        let bytes = encode(T::TYPE, &document).unwrap();
        let message = T::decode(&bytes[..]).unwrap();
        assert_eq!(message.encode_to_vec(), bytes, "not canonical");
        message
    }

    #[track_caller]
    fn rejected<T: Typed>(document: Value, expected: &[&str]) {
        let errors = encode(T::TYPE, &document).unwrap_err();
        let found: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn both_spellings_are_taken() {
        let snake = json!({"metadata": {"name": "a"}, "log_directory": "/l", "dns_config": null});
        let camel = json!({"metadata": {"name": "a"}, "logDirectory": "/l", "linux": null});
        let config: cri::PodSandboxConfig = decoded(snake);
        assert_eq!(config, decoded(camel));
        assert_eq!(config.log_directory, "/l");
        let config: cri::ContainerConfig = decoded(json!({"CDI_devices": [{"name": "gpu"}]}));
        assert_eq!(config, decoded(json!({"CDIDevices": [{"name": "gpu"}]})));
    }

    #[test]
    fn numbers_and_enums_are_taken_in_every_form() {
        for mode in [json!("NODE"), json!(2), json!(2.0)] {
            let options: cri::NamespaceOption = decoded(json!({"network": mode}));
            assert_eq!(options.network(), cri::NamespaceMode::Node);
        }
        for signal in [json!("SIGTERM"), json!("SIGNAL_SIGTERM"), json!(23)] {
            let config: cri::ContainerConfig = decoded(json!({"stop_signal": signal}));
            assert_eq!(config.stop_signal, 23);
        }
        for quota in [json!(-5), json!("-5"), json!(-5.0)] {
            let resources: cri::LinuxContainerResources = decoded(json!({"cpu_quota": quota}));
            assert_eq!(resources.cpu_quota, -5);
        }
        let port: cri::PortForwardRequest = decoded(json!({"port": [80, "443"]}));
        assert_eq!(port.port, [80, 443]);
        let psi: cri::PsiData = decoded(json!({"Total": "18446744073709551615", "Avg10": 0.07}));
        assert_eq!((psi.total, psi.avg10), (u64::MAX, 0.07));
    }

    #[test]
    fn text_and_bytes() {
        let env: cri::KeyValue = decoded(json!({"key": "A", "value": "plain +/="}));
        assert_eq!(env.value, b"plain +/=");
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            let answer: cri::ExecSyncResponse = decoded(json!({"stdout": text}));
            assert_eq!(answer.stdout, [0xfb, 0xff]);
        }
    }

    #[test]
    fn an_empty_message_is_set_and_an_empty_map_value_is_kept() {
        let config: cri::LinuxPodSandboxConfig =
            decoded(json!({"security_context": {}, "sysctls": {"b": "", "a": "1"}}));
        assert_eq!(config.security_context, Some(Default::default()));
        assert_eq!(config.sysctls.len(), 2);
    }

    #[test]
    fn times_are_taken() {
        use crate::cri::containerd::services::content::v1::Info;
        let info: Info = decoded(json!({"created_at": "2024-02-29T12:00:00.25+01:00"}));
        let created = info.created_at.unwrap();
        assert_eq!(
            (created.seconds, created.nanos),
            (1_709_204_400, 250_000_000)
        );
        let info: Info = decoded(json!({"createdAt": "1969-12-31T23:59:58.75Z"}));
        let created = info.created_at.unwrap();
        assert_eq!((created.seconds, created.nanos), (-2, 750_000_000));
    }

    #[test]
    fn all_mistakes_are_named_with_their_place() {
        rejected::<cri::ContainerConfig>(
            json!({
                "metadata": {"naem": "x"},
                "workingdirr": "/",
                "envs": [{"key": "A", "value": "1"}, {"key": "B", "value": 8080}],
                "mounts": [{"propagation": "PROPAGATION_PRIVAT"}],
                "log_path": "a", "logPath": "b",
                "linux": {"resources": {"cpu_shares": 1.5, "oom_score_adj": "x"}},
                "labels": {"a.b/c": null},
                "stdin": "yes",
                "nothing_like_it": 1,
            }),
            &[
                "`log_path` is there twice, in two spellings",
                "unknown key `nothing_like_it`",
                "unknown key `workingdirr`, did you mean `working_dir`?",
                "`metadata`: unknown key `naem`, did you mean `name`?",
                "`envs[1].value`: expected a string, found the number 8080",
                "`mounts[0].propagation`: unknown value `PROPAGATION_PRIVAT`, did you mean `PROPAGATION_PRIVATE`?",
                "`labels.a.b/c`: expected a string, found null",
                "`stdin`: expected true or false, found the text \"yes\"",
                "`linux.resources.cpu_shares`: expected a whole number, found the number 1.5",
                "`linux.resources.oom_score_adj`: expected a whole number, found the text \"x\"",
            ],
        );
        rejected::<cri::PortMapping>(
            json!({"host_port": 3_000_000_000_u64}),
            &["`host_port`: 3000000000 is out of the range of int32"],
        );
        rejected::<cri::ContainerMetadata>(
            json!({"attempt": -1}),
            &["`attempt`: -1 is out of the range of uint32"],
        );
        rejected::<cri::DnsConfig>(json!([]), &["expected an object, found a list"]);
        rejected::<cri::DnsConfig>(
            json!({"servers": "1.1.1.1"}),
            &["`servers`: expected a list, found the text \"1.1.1.1\""],
        );
    }

    #[test]
    fn a_flood_of_mistakes_is_cut() {
        let flood: Map<String, Value> = (0..100).map(|n| (format!("x{n}"), json!(1))).collect();
        let errors = encode(cri::DnsConfig::TYPE, &Value::Object(flood)).unwrap_err();
        assert_eq!(errors.0.len(), MOST_MISTAKES);
    }

    #[test]
    fn unknown_keys_hide_no_other_mistake() {
        let mut flood: Map<String, Value> = (0..100).map(|n| (format!("a{n}"), json!(1))).collect();
        flood.insert("servers".to_owned(), json!(5));
        let document = Value::Object(flood);
        let errors = encode_known(cri::DnsConfig::TYPE, &document).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{errors:?}");
    }
}
