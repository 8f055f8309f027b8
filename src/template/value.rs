//! Values while a template runs, and what Go thinks of them.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

/// A value. Data is borrowed; only what functions make is owned.
#[derive(Debug, Clone, PartialEq)]
pub enum Val<'d> {
    /// null, or what a map does not have.
    Nil,
    /// true or false.
    Bool(bool),
    /// A number of the template itself.
    Int(i64),
    /// A number of the template itself.
    Float(f64),
    /// A text.
    Text(Cow<'d, str>),
    /// A number of the data: to Go a text of a type of its own.
    Number(&'d Number),
    /// A list.
    List(&'d [Value]),
    /// A map.
    Map(&'d Map<String, Value>),
}

impl<'d> Val<'d> {
    /// A value of the data.
    pub fn of(value: &'d Value) -> Self {
        match value {
            Value::Null => Val::Nil,
            Value::Bool(is_true) => Val::Bool(*is_true),
            Value::Number(number) => Val::Number(number),
            Value::String(text) => Val::Text(Cow::Borrowed(text)),
            Value::Array(items) => Val::List(items),
            Value::Object(map) => Val::Map(map),
        }
    }

    /// A text that was made.
    pub fn text(text: impl Into<String>) -> Self {
        Val::Text(Cow::Owned(text.into()))
    }

    /// Whether `if` takes it for true: not null, not zero, not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Val::Nil => false,
            Val::Bool(is_true) => *is_true,
            Val::Int(number) => *number != 0,
            Val::Float(number) => *number != 0.0,
            Val::Text(text) => !text.is_empty(),
            // json.Number is a text, and no number is an empty one.
            Val::Number(_) => true,
            Val::List(items) => !items.is_empty(),
            Val::Map(map) => !map.is_empty(),
        }
    }

    /// The name of its type in Go.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Nil => "<nil>",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Float(_) => "float64",
            Val::Text(_) => "string",
            Val::Number(_) => "json.Number",
            Val::List(_) => "[]interface {}",
            Val::Map(_) => "map[string]interface {}",
        }
    }

    /// The text of what Go takes for a text.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Val::Text(text) => Some(Cow::Borrowed(text)),
            Val::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Val::Nil => Value::Null,
            Val::Bool(is_true) => Value::Bool(*is_true),
            Val::Int(number) => Value::from(*number),
            Val::Float(number) => Value::from(*number),
            Val::Text(text) => Value::from(text.as_ref()),
            Val::Number(number) => Value::Number((*number).clone()),
            Val::List(items) => Value::Array(items.to_vec()),
            Val::Map(map) => Value::Object((*map).clone()),
        }
    }
}
