//! The documents of `inspect`, `inspectp`, `inspecti` and `info`, in crictl's shape: the status beside the entries of
//! the runtime's verbose information, keys sorted, times in RFC 3339.
//!
//! Followed is what crictl 1.36 prints on containerd, CRI-O and cri-dockerd. Not followed: it fails on an entry that
//! looks like JSON and is not, and it rounds large numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::human;
use crate::wire::{self, Kind, MessageType, Shape, Typed};

/// Whether an unset message of the status is shown as `null` or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// `null`, as for containers and pod sandboxes.
    Null,
    /// Left out, as for images.
    Omit,
}

/// The document of one object: `{"status": …, <verbose entries>}`.
///
/// # Errors
/// `status` is not a message of type `ty`.
pub fn document(
    ty: &'static MessageType,
    status: &[u8],
    info: &BTreeMap<String, String>,
    unset: Unset,
) -> Result<Value, wire::Malformed> {
    let mut status = wire::value(ty, status, wire::Unset::Omit)?;
    if let Value::Object(fields) = &mut status {
        if unset == Unset::Null {
            let single = |field: &&wire::Field| {
                matches!(
                    (field.shape, field.kind),
                    (Shape::Singular, Kind::Message(_))
                )
            };
            for field in ty.fields().iter().filter(single) {
                fields.entry(field.json()).or_insert(Value::Null);
            }
        }
        for key in ["createdAt", "startedAt", "finishedAt"] {
            if let Some(time) = fields.get_mut(key)
                && let Some(nanoseconds) = time.as_str().and_then(|text| text.parse().ok())
            {
                *time = Value::String(human::rfc3339(nanoseconds));
            }
        }
    }
    let mut document = entries(info);
    document.insert("status".to_owned(), status);
    Ok(Value::Object(document))
}

/// The verbose entries: what is a JSON object becomes one, everything else stays text.
pub fn entries(info: &BTreeMap<String, String>) -> Map<String, Value> {
    info.iter()
        .map(|(key, text)| (key.clone(), entry(text)))
        .collect()
}

fn entry(text: &str) -> Value {
    if text.starts_with('{')
        && let Ok(mut value) = serde_json::from_str(text)
    {
        cover(&mut value);
        return value;
    }
    Value::String(text.trim_matches('"').to_owned())
}

/// Covers passwords and tokens for registries: containerd tells its whole configuration in `config`, and crictl shows it.
fn cover(value: &mut Value) {
    const SECRET: [&str; 6] = [
        "password",
        "auth",
        "identitytoken",
        "identity_token",
        "registrytoken",
        "registry_token",
    ];
    match value {
        Value::Array(items) => items.iter_mut().for_each(cover),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text)
                        if !text.is_empty() && SECRET.contains(&&*key.to_ascii_lowercase()) =>
                    {
                        *text = "***".to_owned();
                    }
                    value => cover(value),
                }
            }
        }
        _ => {}
    }
}

/// A message as crictl's `info` shows handlers and features: snake_case, what is false or empty left out.
///
/// # Errors
/// `bytes` are not a message of type `T`.
pub fn sparse<T: Typed>(bytes: &[u8]) -> Result<Value, wire::Malformed> {
    let value = wire::value(T::TYPE, bytes, wire::Unset::Omit)?;
    Ok(prune(T::TYPE, value))
}

fn prune(ty: &'static MessageType, value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut kept = Map::new();
    for field in ty.fields() {
        let Some(value) = fields.get(field.json()) else {
            continue;
        };
        let value = match field.kind {
            Kind::Message(message) => prune(message.ty(), value.clone()),
            _ => value.clone(),
        };
        let empty = match &value {
            Value::Bool(set) => !set,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if !empty {
            kept.insert(field.name().to_owned(), value);
        }
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri;
    use prost::Message;

    #[test]
    fn entries_are_json_where_they_are_objects() {
        let info = BTreeMap::from([
            ("a".to_owned(), "{\"n\":9007199254740993}".to_owned()),
            ("b".to_owned(), "\"go1.22\"".to_owned()),
            ("c".to_owned(), "[1]".to_owned()),
            ("d".to_owned(), "{broken".to_owned()),
        ]);
        let expected = serde_json::json!({"a": {"n": 9007199254740993u64}, "b": "go1.22", "c": "[1]", "d": "{broken"});
        assert_eq!(Value::Object(entries(&info)), expected);
    }

    #[test]
    fn what_a_container_lacks_is_null() {
        let status = cri::ContainerStatus {
            id: "a".into(),
            ..Default::default()
        }
        .encode_to_vec();
        let document = document(
            cri::ContainerStatus::TYPE,
            &status,
            &BTreeMap::new(),
            Unset::Null,
        )
        .unwrap();
        assert_eq!(document["status"]["user"], Value::Null);
        assert!(document["status"].as_object().unwrap().contains_key("user"));
        assert_eq!(document["status"]["finishedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(document["status"]["exitCode"], 0);
    }

    #[test]
    fn features_that_are_off_are_left_out() {
        let handler = cri::RuntimeHandler {
            name: String::new(),
            features: Some(cri::RuntimeHandlerFeatures {
                recursive_read_only_mounts: true,
                user_namespaces: false,
            }),
        };
        let value = sparse::<cri::RuntimeHandler>(&handler.encode_to_vec()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"features": {"recursive_read_only_mounts": true}})
        );
    }
}
