//! A document of ours that holds one list: `{"apiVersion":"criscope/v1","kind":KIND,KEY:[…]}`, or one element to a line,
//! or text. Every command that answers for several images shows them this way.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::structured::{self, Error, Format};
use crate::secret::cover;

/// The version of all documents of ours.
pub const API_VERSION: &str = "criscope/v1";

/// A list with the names it has in a document.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'d, T> {
    /// `kind` of the document, as in `Routes`.
    pub kind: &'static str,
    /// The key of the list, as in `routes`.
    pub key: &'static str,
    /// The elements.
    pub items: &'d [T],
    /// Other lists that go with it, by key.
    pub more: &'d [(&'static str, serde_json::Value)],
}

impl<T: Serialize> Documents<'_, T> {
    /// The bytes in a structured format, or as text where there is none; texts are separated by an empty line.
    ///
    /// # Errors
    /// An element cannot be written, which would be a defect of its type.
    pub fn shown(
        &self,
        format: Option<Format>,
        text: impl Fn(&T) -> String,
    ) -> Result<Vec<u8>, Error> {
        let bytes = match format {
            None => self
                .items
                .iter()
                .map(text)
                .collect::<Vec<_>>()
                .join("\n")
                .into_bytes(),
            Some(Format::Ndjson) => {
                let mut bytes = Vec::new();
                for item in self.items {
                    bytes.extend(structured::document(Format::Ndjson, item)?);
                }
                bytes
            }
            Some(format) => structured::document(format, self)?,
        };
        // Addresses are shown as they were written, in files or by a registry; a password in one is nobody's business.
        Ok(cover::addresses(&String::from_utf8_lossy(&bytes))
            .into_owned()
            .into_bytes())
    }
}

impl<T: Serialize> Serialize for Documents<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3 + self.more.len()))?;
        map.serialize_entry("apiVersion", API_VERSION)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry(self.key, self.items)?;
        for (key, value) in self.more {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_in_no_format() {
        let address = "https://us:p@CANARY@m/x?sig=CANARY&ns=docker.io".to_owned();
        let documents = Documents {
            kind: "Addresses",
            key: "addresses",
            items: &[address],
            more: &[],
        };
        for format in [
            None,
            Some(Format::Json),
            Some(Format::Ndjson),
            Some(Format::Yaml),
        ] {
            let bytes = documents.shown(format, String::clone).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("CANARY"), "{text}");
            assert!(text.contains("@m/x?sig=******&ns=docker.io"), "{text}");
        }
    }

    #[test]
    fn one_list_in_four_ways() {
        #[track_caller]
        fn case(format: Option<Format>, expected: &str) {
            let documents = Documents {
                kind: "Numbers",
                key: "numbers",
                items: &[1, 2],
                more: &[],
            };
            let bytes = documents
                .shown(format, |number| format!("no. {number}\n"))
                .unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
        case(None, "no. 1\n\nno. 2\n");
        case(Some(Format::Ndjson), "1\n2\n");
        case(
            Some(Format::Json),
            "{\n  \"apiVersion\": \"criscope/v1\",\n  \"kind\": \"Numbers\",\n  \"numbers\": [\n    1,\n    2\n  ]\n}\n",
        );
    }
}
