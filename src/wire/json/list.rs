//! A list answer whose elements arrive one by one.

use std::io;

use super::{Error, Writer};
use crate::wire::table::{Kind, MessageType, Shape};

/// Writes a list answer around its elements, which are given one by one: `{"containers": [ … ]}`.
#[derive(Debug)]
pub struct List<W> {
    writer: Writer<W>,
    element: &'static MessageType,
}

impl<W: io::Write> List<W> {
    /// Begins the list that is in this field of this answer; `None` if the field is not a list of messages.
    pub fn new(mut writer: Writer<W>, ty: &'static MessageType, number: u32) -> Option<Self> {
        let field = ty.field(number)?;
        let (Shape::Repeated, Kind::Message(index)) = (field.shape, field.kind) else {
            return None;
        };
        writer.open(b'{');
        writer.key(field);
        writer.open(b'[');
        let element = index.ty();
        Some(Self { writer, element })
    }

    /// Writes an element. Of a malformed one nothing is written, unless it is longer than a megabyte; the list can go on.
    pub fn element(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let element = self.element;
        self.writer.whole(|writer| {
            writer.item();
            writer.message(element, bytes)
        })
    }

    /// Ends the list, and the line.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.close(b']');
        self.writer.close(b'}');
        self.writer.page.push(b'\n');
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::cri;
    use crate::wire::Typed;
    use crate::wire::json::{Layout, text};

    fn list(layout: Layout, elements: &[&[u8]]) -> String {
        let writer = Writer::new(Vec::new(), layout);
        let mut list = List::new(writer, cri::ListMetricDescriptorsResponse::TYPE, 1).unwrap();
        for element in elements {
            let _ = list.element(element);
        }
        String::from_utf8(list.finish().unwrap()).unwrap()
    }

    fn document(answer: &cri::ListMetricDescriptorsResponse) -> String {
        let ty = cri::ListMetricDescriptorsResponse::TYPE;
        text(ty, &answer.encode_to_vec(), Layout::Pretty).unwrap() + "\n"
    }

    #[test]
    fn a_list_is_the_document_of_its_answer() {
        let name = |name: &str| cri::MetricDescriptor {
            name: name.into(),
            ..Default::default()
        };
        for names in [&[][..], &["a"], &["a", "b"]] {
            let descriptors: Vec<_> = names.iter().copied().map(name).collect();
            let elements: Vec<_> = descriptors.iter().map(|it| it.encode_to_vec()).collect();
            let elements: Vec<_> = elements.iter().map(Vec::as_slice).collect();
            let answer = cri::ListMetricDescriptorsResponse { descriptors };
            assert_eq!(list(Layout::Pretty, &elements), document(&answer));
        }
    }

    #[test]
    fn a_malformed_element_leaves_no_trace_in_the_list() {
        assert_eq!(
            list(
                Layout::Compact,
                &[b"\x0a\x01a", b"\x0a\x01b\x1a\x09", b"\x0a\x01c"]
            ),
            "{\"descriptors\":[{\"name\":\"a\",\"help\":\"\",\"labelKeys\":[]},\
             {\"name\":\"c\",\"help\":\"\",\"labelKeys\":[]}]}\n"
        );
        let error = text(
            cri::MetricDescriptor::TYPE,
            b"\x0a\x01b\x1a\x09",
            Layout::Compact,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed runtime.v1.MetricDescriptor: a field is cut off at byte 3"
        );
    }
}
