//! Writes the wire table: every message and enum of the descriptor set as Rust statics, for `src/wire/table.rs`.
//!
//! The table holds offsets into one text instead of references, so that a position-independent binary has nothing to
//! relocate at start. What the wire room does not support (a kind of scalar, a oneof, a recursive message) fails the
//! build here instead of being printed wrongly later.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

type Error = Box<dyn std::error::Error>;

/// Enums whose value names were given a prefix after the last release of CRI: printed without it, read with or without.
const PREFIXED: &[(&str, &str)] = &[("runtime.v1.Signal", "SIGNAL_")];

/// `bytes` fields that were `string` up to the last release of CRI: printed and read as text.
const TEXT: &[(&str, &str)] = &[("runtime.v1.KeyValue", "value")];

/// Passwords and tokens. CRI marks them `debug_redact`, an option that the descriptors we build from do not keep.
const SECRET: &[(&str, &str)] = &[
    ("runtime.v1.AuthConfig", "password"),
    ("runtime.v1.AuthConfig", "auth"),
    ("runtime.v1.AuthConfig", "identity_token"),
    ("runtime.v1.AuthConfig", "registry_token"),
];

/// The source of `OUT_DIR/table.rs`.
pub fn source(descriptors: &FileDescriptorSet) -> Result<String, Error> {
    let mut catalogue = Catalogue::default();
    for file in &descriptors.file {
        let package = file.package();
        let module = rust_module(package);
        for message in &file.message_type {
            catalogue.add_message(message, package, &module);
        }
        for kind in &file.enum_type {
            catalogue
                .enums
                .insert(format!("{package}.{}", kind.name()), kind);
        }
    }
    Table::new(&catalogue)?.print(&catalogue)
}

/// Every type by its full name; the position in this order is its index in the table.
#[derive(Default)]
struct Catalogue<'a> {
    messages: BTreeMap<String, Message<'a>>,
    entries: HashMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
}

struct Message<'a> {
    descriptor: &'a DescriptorProto,
    /// The type that prost generates for it.
    rust: String,
}

impl<'a> Catalogue<'a> {
    fn add_message(&mut self, message: &'a DescriptorProto, scope: &str, module: &str) {
        let name = format!("{scope}.{}", message.name());
        if message
            .options
            .as_ref()
            .is_some_and(|options| options.map_entry())
        {
            self.entries.insert(name, message);
            return;
        }
        let inner = format!("{module}::{}", message.name().to_snake_case());
        for nested in &message.nested_type {
            self.add_message(nested, &name, &inner);
        }
        for kind in &message.enum_type {
            self.enums.insert(format!("{name}.{}", kind.name()), kind);
        }
        let rust = match name.as_str() {
            "google.protobuf.Empty" => "()".to_owned(),
            _ => format!("{module}::{}", message.name().to_upper_camel_case()),
        };
        self.messages.insert(
            name,
            Message {
                descriptor: message,
                rust,
            },
        );
    }

    fn message_index(&self, type_name: &str) -> Result<usize, Error> {
        let name = type_name.trim_start_matches('.');
        position(self.messages.keys(), name)
            .ok_or_else(|| format!("message `{name}` is not in the set").into())
    }

    fn enum_index(&self, type_name: &str) -> Result<usize, Error> {
        let name = type_name.trim_start_matches('.');
        position(self.enums.keys(), name)
            .ok_or_else(|| format!("enum `{name}` is not in the set").into())
    }

    /// Fails on a message that contains itself: the wire room recurses along the table without counting.
    fn refuse_recursion(&self, name: &str, above: &mut Vec<String>) -> Result<(), Error> {
        if above.iter().any(|outer| outer == name) {
            return Err(
                format!("`{name}` contains itself, which the wire room does not support").into(),
            );
        }
        above.push(name.to_owned());
        let descriptor = match self.messages.get(name) {
            Some(message) => message.descriptor,
            None => self
                .entries
                .get(name)
                .ok_or_else(|| format!("message `{name}` is not in the set"))?,
        };
        for field in descriptor
            .field
            .iter()
            .filter(|field| field.r#type() == Type::Message)
        {
            self.refuse_recursion(field.type_name().trim_start_matches('.'), above)?;
        }
        above.pop();
        Ok(())
    }
}

/// The rows, printed as Rust expressions.
#[derive(Default)]
struct Table {
    text: String,
    places: HashMap<String, String>,
    messages: Vec<String>,
    fields: Vec<String>,
    numbers: Vec<u8>,
    enums: Vec<String>,
    values: Vec<String>,
    most_fields: usize,
}

impl Table {
    fn new(catalogue: &Catalogue) -> Result<Self, Error> {
        let mut table = Table::default();
        for (name, message) in &catalogue.messages {
            catalogue.refuse_recursion(name, &mut Vec::new())?;
            table.add_message(name, message.descriptor, catalogue)?;
        }
        for (name, descriptor) in &catalogue.enums {
            table.add_enum(name, descriptor)?;
        }
        Ok(table)
    }

    fn add_message(
        &mut self,
        name: &str,
        message: &DescriptorProto,
        catalogue: &Catalogue,
    ) -> Result<(), Error> {
        let first_field = self.fields.len();
        let first_number = self.numbers.len();
        let highest = message
            .field
            .iter()
            .map(|field| field.number())
            .max()
            .unwrap_or(0);
        self.numbers
            .resize(first_number + usize::try_from(highest)? + 1, 0);
        for (index, field) in message.field.iter().enumerate() {
            let row = self
                .field(name, field, catalogue)
                .map_err(|error| format!("{name}.{}: {error}", field.name()))?;
            self.fields.push(row);
            self.numbers[first_number + usize::try_from(field.number())?] =
                u8::try_from(index + 1)?;
        }
        self.most_fields = self.most_fields.max(message.field.len());
        let row = format!(
            "MessageType {{ name: {}, fields: {}, numbers: {} }}",
            self.place(name)?,
            span(first_field, message.field.len())?,
            span(first_number, self.numbers.len() - first_number)?,
        );
        self.messages.push(row);
        Ok(())
    }

    fn field(
        &mut self,
        owner: &str,
        field: &FieldDescriptorProto,
        catalogue: &Catalogue,
    ) -> Result<String, Error> {
        let repeated = field.label() == Label::Repeated;
        let entry = catalogue
            .entries
            .get(field.type_name().trim_start_matches('.'));
        let (shape, value) = match entry {
            Some(entry) => ("Map", map_value(entry)?),
            None if repeated => ("Repeated", field),
            None => ("Singular", field),
        };
        let message = value.r#type() == Type::Message;
        if field.oneof_index.is_some() && !(field.proto3_optional() && message) {
            return Err("oneofs and optional scalars are not supported".into());
        }
        let number = u16::try_from(field.number())?;
        let kind = kind(owner, value, catalogue)?;
        let wire_type = match value.r#type() {
            _ if shape == "Map" => "Bytes",
            Type::String | Type::Bytes | Type::Message => "Bytes",
            Type::Double => "Fixed64",
            _ => "Varint",
        };
        let secret = SECRET.contains(&(owner, field.name()));
        let name = self.place(field.name())?;
        // As it stands in JSON, with quotes, colon and space: one piece to write.
        let key = self.place(&format!("\"{}\": ", field.json_name()))?;
        Ok(format!(
            "Field {{ number: {number}, name: {name}, key: {key}, kind: {kind}, shape: Shape::{shape}, wire_type: WireType::{wire_type}, secret: {secret} }}"
        ))
    }

    fn add_enum(&mut self, name: &str, descriptor: &EnumDescriptorProto) -> Result<(), Error> {
        let prefix = PREFIXED
            .iter()
            .find(|(renamed, _)| *renamed == name)
            .map_or("", |(_, prefix)| prefix);
        let first = self.values.len();
        for value in &descriptor.value {
            let released = value
                .name()
                .strip_prefix(prefix)
                .ok_or("a value without the prefix of its enum")?;
            let row = format!(
                "EnumValue {{ number: {}, name: {} }}",
                value.number(),
                self.place(released)?
            );
            self.values.push(row);
        }
        let values = span(first, descriptor.value.len())?;
        let row = format!(
            "EnumType {{ name: {}, prefix: {}, values: {values} }}",
            self.place(name)?,
            self.place(prefix)?
        );
        self.enums.push(row);
        Ok(())
    }

    /// Where a text stands in the common text; equal texts stand there once.
    fn place(&mut self, text: &str) -> Result<String, Error> {
        if let Some(place) = self.places.get(text) {
            return Ok(place.clone());
        }
        let place = span(self.text.len(), text.len())?;
        self.text.push_str(text);
        self.places.insert(text.to_owned(), place.clone());
        Ok(place)
    }

    fn print(&self, catalogue: &Catalogue) -> Result<String, Error> {
        let mut out = String::new();
        writeln!(out, "static TEXT: &str = {:?};", self.text)?;
        writeln!(
            out,
            "/// The most fields that one message has.\npub const MOST_FIELDS: usize = {};",
            self.most_fields
        )?;
        print_array(&mut out, "MESSAGES", "MessageType", &self.messages)?;
        print_array(&mut out, "FIELDS", "Field", &self.fields)?;
        print_array(&mut out, "ENUMS", "EnumType", &self.enums)?;
        print_array(&mut out, "VALUES", "EnumValue", &self.values)?;
        writeln!(
            out,
            "static NUMBERS: [u8; {}] = {:?};",
            self.numbers.len(),
            self.numbers
        )?;
        for (index, message) in catalogue.messages.values().enumerate() {
            writeln!(out, "impl Typed for {} {{", message.rust)?;
            writeln!(
                out,
                "    const TYPE: &'static MessageType = &MESSAGES[{index}];\n}}"
            )?;
        }
        Ok(out)
    }
}

fn print_array(out: &mut String, name: &str, item: &str, rows: &[String]) -> std::fmt::Result {
    writeln!(out, "static {name}: [{item}; {}] = [", rows.len())?;
    for row in rows {
        writeln!(out, "    {row},")?;
    }
    writeln!(out, "];")
}

fn kind(owner: &str, field: &FieldDescriptorProto, catalogue: &Catalogue) -> Result<String, Error> {
    Ok(match field.r#type() {
        Type::Bool => "Kind::Bool".to_owned(),
        Type::Int32 => "Kind::Int32".to_owned(),
        Type::Int64 => "Kind::Int64".to_owned(),
        Type::Uint32 => "Kind::Uint32".to_owned(),
        Type::Uint64 => "Kind::Uint64".to_owned(),
        Type::Double => "Kind::Double".to_owned(),
        Type::String => "Kind::String".to_owned(),
        Type::Bytes if TEXT.contains(&(owner, field.name())) => "Kind::Text".to_owned(),
        Type::Bytes => "Kind::Bytes".to_owned(),
        Type::Enum => format!(
            "Kind::Enum(EnumIndex({}))",
            catalogue.enum_index(field.type_name())?
        ),
        Type::Message if field.type_name() == ".google.protobuf.Timestamp" => {
            "Kind::Timestamp".to_owned()
        }
        Type::Message => format!(
            "Kind::Message(MessageIndex({}))",
            catalogue.message_index(field.type_name())?
        ),
        other => return Err(format!("kind {other:?} is not supported").into()),
    })
}

/// The value field of a map entry; its keys have to be strings, the one kind in use.
fn map_value(entry: &DescriptorProto) -> Result<&FieldDescriptorProto, Error> {
    match entry.field.as_slice() {
        [key, value] if key.r#type() == Type::String => Ok(value),
        _ => Err("maps with other keys than strings are not supported".into()),
    }
}

/// The module into which prost puts a package.
fn rust_module(package: &str) -> String {
    if package == "google.protobuf" {
        return "prost_types".to_owned();
    }
    let path: Vec<String> = package.split('.').map(ToSnakeCase::to_snake_case).collect();
    format!("crate::cri::{}", path.join("::"))
}

fn span(start: usize, length: usize) -> Result<String, Error> {
    Ok(format!(
        "Span({}, {})",
        u16::try_from(start)?,
        u16::try_from(length)?
    ))
}

fn position<'k>(mut names: impl Iterator<Item = &'k String>, name: &str) -> Option<usize> {
    names.position(|known| known == name)
}
