//! Our `proto/` against the definition of CRI that Debian packages: whatever is in there has to be in ours with the same
//! numbers, types, names and order. Ours may have more.

use std::collections::BTreeSet;

use criscope::cri;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

use crate::support::lab;

/// The one suite that has the package.
const SUITE: &str = "testing";
const PACKAGE: &str = "golang-k8s-cri-api-dev";
const API: &str = "usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto";

#[test]
fn every_name_and_number_of_the_packaged_definition_is_ours() {
    if !lab::wanted() {
        return;
    }
    let api = lab::unpacked(PACKAGE, SUITE).join(API);
    let dir = api.parent().unwrap();
    let theirs = protox::compile([&api], [dir]).unwrap();
    let ours = FileDescriptorSet::decode(cri::DESCRIPTORS).unwrap();

    let (theirs, ours) = (Definition::of(&theirs), Definition::of(&ours));
    assert!(
        theirs.statements.len() > 500,
        "not CRI: {}",
        theirs.statements.len()
    );
    let missing: Vec<_> = theirs.statements.difference(&ours.statements).collect();
    assert!(missing.is_empty(), "not in proto/: {missing:#?}");
    // The order of fields is the order of keys in JSON.
    for (message, fields) in &theirs.orders {
        let order = ours.orders.iter().find(|(name, _)| name == message);
        let mut order: Vec<_> = order.map(|(_, fields)| fields.clone()).unwrap_or_default();
        order.retain(|field| fields.contains(field));
        assert_eq!(&order, fields, "order of the fields of {message}");
    }
}

/// A definition taken apart into statements that can be compared.
#[derive(Default)]
struct Definition {
    statements: BTreeSet<String>,
    /// Messages, each with its fields in the order of their declaration.
    orders: Vec<(String, Vec<String>)>,
}

impl Definition {
    fn of(descriptors: &FileDescriptorSet) -> Self {
        let mut it = Self::default();
        for file in &descriptors.file {
            if file.package() != "runtime.v1" {
                continue;
            }
            for message in &file.message_type {
                it.message("", message);
            }
            for kind in &file.enum_type {
                it.kind("", kind);
            }
            for service in &file.service {
                for rpc in &service.method {
                    it.statements.insert(format!(
                        "rpc {}.{} ({} stream={}) returns ({} stream={})",
                        service.name(),
                        rpc.name(),
                        rpc.input_type(),
                        rpc.client_streaming(),
                        rpc.output_type(),
                        rpc.server_streaming(),
                    ));
                }
            }
        }
        it
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}{}", message.name());
        self.statements.insert(format!("message {name}"));
        for field in &message.field {
            self.statements.insert(format!(
                "field {name}.{} ({}) = {} {:?} {:?} {}",
                field.name(),
                field.json_name(),
                field.number(),
                field.label(),
                field.r#type(),
                field.type_name(),
            ));
        }
        let fields = message.field.iter().map(|field| field.name().to_owned());
        self.orders.push((name.clone(), fields.collect()));
        let scope = format!("{name}.");
        for nested in &message.nested_type {
            self.message(&scope, nested);
        }
        for kind in &message.enum_type {
            self.kind(&scope, kind);
        }
    }

    fn kind(&mut self, scope: &str, kind: &EnumDescriptorProto) {
        let name = format!("{scope}{}", kind.name());
        for value in &kind.value {
            // Signals were renamed after 1.36, which changes nothing on the wire.
            let bare = match name.as_str() {
                "Signal" => value.name().trim_start_matches("SIGNAL_"),
                _ => value.name(),
            };
            self.statements
                .insert(format!("value {name}.{bare} = {}", value.number()));
        }
    }
}
