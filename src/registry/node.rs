//! A configuration value with the place of every key and value, whatever language it was written in (TOML, JSON).
//!
//! Secrets may be anywhere in it, so `Debug` shows the shape and no scalar.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{Located, Place};

/// A value and where it is. For a table made by a header, the place is the header.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it is.
    pub place: Place,
}

/// What a [`Node`] holds.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A table (TOML) or object (JSON).
    Table(Table),
    /// An array.
    Array(Vec<Node>),
    /// A string.
    String(String),
    /// An integer that fits 64 bits.
    Integer(i64),
    /// A float, an integer too large, or a date: kept as text, since nothing here asks for one.
    Other(String),
    /// A truth value.
    Bool(bool),
    /// JSON's `null`.
    Null,
}

impl Value {
    /// The kind in the words of an error message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "an array",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Other(_) => "a number or date",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
        }
    }
}

/// A table: keys with their places.
#[derive(Clone, Default, PartialEq)]
pub struct Table {
    entries: BTreeMap<String, Entry>,
    /// Whether it was written as `{ … }` in TOML.
    pub inline: bool,
}

/// A key of a [`Table`] with its value.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// Where the key is.
    pub key: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn array(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text with its place, if it is a string.
    pub fn located_str(&self) -> Option<Located<String>> {
        self.str()
            .map(|text| Located::new(text.to_owned(), self.place.clone()))
    }

    /// The truth value, if it is one.
    pub fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is an integer.
    pub fn integer(&self) -> Option<i64> {
        match self.value {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The strings of an array, if it is an array of strings only.
    pub fn strings(&self) -> Option<Vec<Located<String>>> {
        self.array()?.iter().map(Node::located_str).collect()
    }
}

impl Table {
    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The value of a key.
    pub fn node(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// The table under a key, if there is one.
    pub fn table(&self, key: &str) -> Option<&Table> {
        self.node(key).and_then(Node::table)
    }

    /// The table at the end of a path of keys.
    pub fn descend(&self, keys: &[&str]) -> Option<&Table> {
        keys.iter().try_fold(self, |table, key| table.table(key))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.as_str(), entry))
    }

    /// The entries in the order in which they are written.
    pub fn in_order(&self) -> Vec<(&str, &Entry)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(_, entry)| (&entry.key.path, entry.key.line, entry.key.column));
        entries
    }

    /// Sets a key, replacing what was there.
    pub fn insert(&mut self, key: impl Into<String>, entry: Entry) {
        self.entries.insert(key.into(), entry);
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.entries.remove(key)
    }

    /// Lays `other` over this table: tables are merged key by key, everything else is replaced (`mergo` with
    /// override, as containerd 2.x merges the tables of plugins).
    pub fn overlay(&mut self, other: Table) {
        for (key, entry) in other.entries {
            match (self.entries.get_mut(&key), entry.node.value) {
                (
                    Some(Entry {
                        node:
                            Node {
                                value: Value::Table(mine),
                                ..
                            },
                        ..
                    }),
                    Value::Table(theirs),
                ) => {
                    mine.overlay(theirs);
                }
                (_, value) => {
                    self.entries.insert(
                        key,
                        Entry {
                            node: Node {
                                value,
                                place: entry.node.place,
                            },
                            key: entry.key,
                        },
                    );
                }
            }
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}@{}:{}",
            self.value, self.place.line, self.place.column
        )
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Array(nodes) => nodes.fmt(f),
            other => f.write_str(other.kind()),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(key, entry)| (key, &entry.node)))
            .finish()
    }
}
