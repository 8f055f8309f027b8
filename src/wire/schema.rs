//! The JSON schema of a message, for editors and validators: what [`encode`](super::encode) takes.
//!
//! Draft 2020-12. Keys are allowed in both spellings, enums by name and by number, 64-bit numbers also as text. Nothing
//! is required: what a runtime insists on is not in the proto.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::table::{Field, Kind, MessageType, Shape};

/// The schema of a message, with every message that it holds in `$defs`.
pub fn schema(ty: &'static MessageType) -> Value {
    let mut definitions = BTreeMap::new();
    define(ty, &mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": short(ty.name()),
        "$ref": reference(ty),
        "$defs": definitions,
    })
}

/// Recursion ends: messages have no cycles, the build of the table sees to it.
fn define(ty: &'static MessageType, definitions: &mut BTreeMap<&'static str, Value>) {
    if definitions.contains_key(short(ty.name())) {
        return;
    }
    let mut properties = Map::new();
    for field in ty.fields() {
        if let Kind::Message(index) = field.kind {
            define(index.ty(), definitions);
        }
        let schema = of_field(field);
        properties.insert(field.name().to_owned(), schema.clone());
        properties.insert(field.json().to_owned(), schema);
    }
    let definition = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    definitions.insert(short(ty.name()), definition);
}

fn of_field(field: &Field) -> Value {
    let value = of_kind(field.kind);
    match field.shape {
        Shape::Singular => value,
        Shape::Repeated => json!({"type": "array", "items": value}),
        Shape::Map => json!({"type": "object", "additionalProperties": value}),
    }
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Message(index) => json!({"$ref": reference(index.ty())}),
        Kind::Enum(index) => {
            let names: Vec<&str> = index.ty().names().collect();
            json!({"anyOf": [{"enum": names}, {"type": "integer"}]})
        }
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int32 => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
        Kind::Uint32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Kind::Int64 => json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$"}),
        Kind::Uint64 => json!({"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$"}),
        Kind::Double => json!({"type": "number"}),
        Kind::String | Kind::Text => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Timestamp => json!({"type": "string", "format": "date-time"}),
    }
}

fn reference(ty: &MessageType) -> String {
    format!("#/$defs/{}", short(ty.name()))
}

/// The name without its package.
fn short(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri;
    use crate::wire::Typed;

    #[test]
    fn both_spellings_and_every_message_are_there() {
        let schema = schema(cri::PodSandboxConfig::TYPE);
        assert_eq!(schema["$ref"], "#/$defs/PodSandboxConfig");
        let definitions = schema["$defs"].as_object().unwrap();
        let properties = &definitions["PodSandboxConfig"]["properties"];
        assert_eq!(properties["log_directory"], properties["logDirectory"]);
        assert_eq!(properties["linux"]["$ref"], "#/$defs/LinuxPodSandboxConfig");
        assert_eq!(
            properties["labels"]["additionalProperties"]["type"],
            "string"
        );
        let network = &definitions["NamespaceOption"]["properties"]["network"];
        assert_eq!(network["anyOf"][0]["enum"][2], "NODE");
        // No reference leads nowhere.
        let text = schema.to_string();
        for part in text.split("#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(definitions.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_value_of_a_variable_is_text() {
        let schema = schema(cri::ContainerConfig::TYPE);
        let value = &schema["$defs"]["KeyValue"]["properties"]["value"];
        assert_eq!(*value, json!({"type": "string"}));
    }
}
