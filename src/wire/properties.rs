//! What holds for any message and for any garbage. The reference here is slow and written by hand, field by field, from
//! decoded structs: it shares nothing with the table.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::json::{Layout, text};
use super::{
    Fault, Fields, Malformed, Splitter, Typed, Unset, elements, encode, message_types,
    unknown_fields, value,
};
use crate::cri;

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(any::<String>(), any::<String>(), 0..4)
}

prop_compose! {
    fn container()(
        strings in any::<[String; 4]>(),
        metadata in option::of((any::<String>(), any::<u32>())),
        image in option::of((any::<String>(), labels())),
        state in prop_oneof![0..4, any::<i32>()],
        created_at in any::<i64>(),
        labels in labels(),
        annotations in labels(),
    ) -> cri::Container {
        let [id, pod_sandbox_id, image_ref, image_id] = strings;
        cri::Container {
            id,
            pod_sandbox_id,
            metadata: metadata.map(|(name, attempt)| cri::ContainerMetadata { name, attempt }),
            image: image.map(|(image, annotations)| cri::ImageSpec {
                image,
                annotations,
                ..Default::default()
            }),
            image_ref,
            state,
            created_at,
            labels,
            annotations,
            image_id,
        }
    }
}

fn container_reference(it: &cri::Container) -> Value {
    let mut document = json!({
        "id": it.id,
        "podSandboxId": it.pod_sandbox_id,
        "imageRef": it.image_ref,
        "state": match it.state {
            0 => json!("CONTAINER_CREATED"),
            1 => json!("CONTAINER_RUNNING"),
            2 => json!("CONTAINER_EXITED"),
            3 => json!("CONTAINER_UNKNOWN"),
            other => json!(other),
        },
        "createdAt": it.created_at.to_string(),
        "labels": it.labels,
        "annotations": it.annotations,
        "imageId": it.image_id,
    });
    if let Some(it) = &it.metadata {
        document["metadata"] = json!({"name": it.name, "attempt": it.attempt});
    }
    if let Some(it) = &it.image {
        document["image"] = json!({
            "image": it.image,
            "annotations": it.annotations,
            "userSpecifiedImage": "",
            "runtimeHandler": "",
            "imageRef": "",
        });
    }
    document
}

/// Doubles that serde_json reads to the last bit; `number` has its own property for the others.
fn percent() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|number| f64::from(number) / 100.0)
}

prop_compose! {
    fn cpu()(
        timestamp in any::<i64>(),
        used in option::of(any::<u64>()),
        psi in option::of((option::of((any::<u64>(), percent(), percent(), percent())), any::<bool>())),
    ) -> cri::CpuUsage {
        let data = |(total, avg10, avg60, avg300)| cri::PsiData { total, avg10, avg60, avg300 };
        cri::CpuUsage {
            timestamp,
            usage_core_nano_seconds: used.map(|value| cri::UInt64Value { value }),
            usage_nano_cores: None,
            psi: psi.map(|(full, some)| cri::PsiStats {
                full: full.map(data),
                some: some.then(Default::default),
            }),
        }
    }
}

fn cpu_reference(it: &cri::CpuUsage) -> Value {
    let mut document = json!({"timestamp": it.timestamp.to_string()});
    if let Some(it) = &it.usage_core_nano_seconds {
        document["usageCoreNanoSeconds"] = json!({"value": it.value.to_string()});
    }
    if let Some(it) = &it.psi {
        document["psi"] = json!({});
        for (name, data) in [("Full", &it.full), ("Some", &it.some)] {
            if let Some(it) = data {
                document["psi"][name] = json!({
                    "Total": it.total.to_string(),
                    "Avg10": double(it.avg10),
                    "Avg60": double(it.avg60),
                    "Avg300": double(it.avg300),
                });
            }
        }
    }
    document
}

/// `protojson` writes whole numbers without a point.
fn double(number: f64) -> Value {
    match number.to_string().parse::<i64>() {
        Ok(whole) => json!(whole),
        Err(_) => json!(number),
    }
}

prop_compose! {
    fn sandbox_security()(
        user in option::of(any::<i64>()),
        groups in vec(any::<i64>(), 0..4),
        policy in 0..3,
        flags in any::<(bool, bool)>(),
        seccomp in option::of((0..3, any::<String>())),
        namespaces in option::of((0..5, any::<String>(), vec(any::<(u32, u32, u32)>(), 0..3))),
    ) -> cri::LinuxSandboxSecurityContext {
        let mapping = |(host_id, container_id, length)| cri::IdMapping { host_id, container_id, length };
        cri::LinuxSandboxSecurityContext {
            run_as_user: user.map(|value| cri::Int64Value { value }),
            supplemental_groups: groups,
            supplemental_groups_policy: policy,
            readonly_rootfs: flags.0,
            privileged: flags.1,
            seccomp: seccomp.map(|(profile_type, localhost_ref)| cri::SecurityProfile {
                profile_type,
                localhost_ref,
            }),
            namespace_options: namespaces.map(|(pid, target_id, uids)| cri::NamespaceOption {
                pid,
                target_id,
                userns_options: Some(cri::UserNamespace {
                    uids: uids.into_iter().map(mapping).collect(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

fn sandbox_security_reference(it: &cri::LinuxSandboxSecurityContext) -> Value {
    let name = |names: &[&str], number: i32| match names.get(number as usize) {
        Some(name) => json!(name),
        None => json!(number),
    };
    let groups: Vec<_> = it.supplemental_groups.iter().map(i64::to_string).collect();
    let mut document = json!({
        "supplementalGroups": groups,
        "supplementalGroupsPolicy": name(&["Merge", "Strict"], it.supplemental_groups_policy),
        "readonlyRootfs": it.readonly_rootfs,
        "privileged": it.privileged,
        "seccompProfilePath": "",
    });
    if let Some(it) = &it.run_as_user {
        document["runAsUser"] = json!({"value": it.value.to_string()});
    }
    if let Some(it) = &it.seccomp {
        document["seccomp"] = json!({
            "profileType": name(&["RuntimeDefault", "Unconfined", "Localhost"], it.profile_type),
            "localhostRef": it.localhost_ref,
        });
    }
    if let Some(it) = &it.namespace_options {
        let user = it.userns_options.as_ref().unwrap();
        let uid = |it: &cri::IdMapping| json!({"hostId": it.host_id, "containerId": it.container_id, "length": it.length});
        document["namespaceOptions"] = json!({
            "network": "POD",
            "pid": name(&["POD", "CONTAINER", "NODE", "TARGET"], it.pid),
            "ipc": "POD",
            "targetId": it.target_id,
            "usernsOptions": {
                "mode": "POD",
                "uids": user.uids.iter().map(uid).collect::<Vec<_>>(),
                "gids": [],
            },
        });
    }
    document
}

/// JSON, value and way back of a message, against what the reference says.
#[track_caller]
fn check<T: Typed + Message>(message: &T, reference: &Value) {
    let bytes = message.encode_to_vec();
    assert_eq!(value(T::TYPE, &bytes, Unset::Omit).as_ref(), Ok(reference));
    for layout in [Layout::Pretty, Layout::Compact] {
        let text = text(T::TYPE, &bytes, layout).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(&read, reference, "{text}");
    }
    let back = encode(T::TYPE, reference).unwrap();
    assert_eq!(back, bytes, "{reference:#}");
}

/// Bytes that are nearly a message: an answer with one byte changed, and cut somewhere.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let answer = vec(container(), 0..4)
        .prop_map(|containers| cri::ListContainersResponse { containers }.encode_to_vec());
    (
        answer,
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut bytes, place, byte, end)| {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
                bytes.truncate(end.index(bytes.len()) + 1);
            }
            bytes
        })
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..64), vec(0x08_u8..0x30, 0..64), nearly()]
}

/// What comes out of an answer before its fault, and the fault.
type Cut = (Vec<Bytes>, Option<(Fault, usize)>);

fn cut_whole(bytes: &[u8]) -> Cut {
    let mut cut = Cut::default();
    for element in elements(bytes, 1) {
        match element {
            Ok(element) => cut.0.push(Bytes::copy_from_slice(element)),
            Err(malformed) => cut.1 = Some((malformed.fault, malformed.offset)),
        }
    }
    cut
}

fn cut_pieces(mut bytes: &[u8], sizes: &[usize]) -> Cut {
    let mut cut = Cut::default();
    let mut splitter = Splitter::new(1);
    let mut run = || -> Result<(), Malformed> {
        for size in sizes.iter().cycle() {
            let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
            bytes = rest;
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some(element) = splitter.element()? {
                cut.0.push(element);
            }
            if bytes.is_empty() {
                break;
            }
        }
        splitter.end()
    };
    let result = run();
    cut.1 = result
        .err()
        .map(|malformed| (malformed.fault, malformed.offset));
    cut
}

proptest! {
    #[test]
    fn containers_agree_with_the_reference(it in container()) {
        check(&it, &container_reference(&it));
    }

    #[test]
    fn usage_agrees_with_the_reference(it in cpu()) {
        check(&it, &cpu_reference(&it));
    }

    #[test]
    fn security_agrees_with_the_reference(it in sandbox_security()) {
        check(&it, &sandbox_security_reference(&it));
    }

    #[test]
    fn garbage_is_walked_to_its_end(bytes in garbage()) {
        let fields: Vec<_> = Fields::new(&bytes).collect();
        prop_assert!(fields.len() <= bytes.len());
        let fault = fields.iter().position(Result::is_err);
        prop_assert!(fault.is_none_or(|place| place + 1 == fields.len()));
    }

    #[test]
    fn garbage_becomes_a_document_or_a_fault(bytes in garbage(), ty in any::<prop::sample::Index>()) {
        let ty = ty.get(message_types());
        let document = value(ty, &bytes, Unset::Omit);
        let text = text(ty, &bytes, Layout::Pretty);
        prop_assert_eq!(document.is_ok(), text.is_ok());
        let found = unknown_fields(ty, &bytes);
        if let (Ok(document), Ok(text)) = (document, text) {
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.as_object().map(|it| it.len()), document.as_object().map(|it| it.len()));
            // What was understood can be written, and is understood the same.
            if let Ok(canonical) = encode(ty, &document) {
                prop_assert_eq!(value(ty, &canonical, Unset::Omit), Ok(document));
                prop_assert!(unknown_fields(ty, &canonical).unwrap().is_empty());
            }
            let _ = found;
        }
    }

    #[test]
    fn splitting_does_not_depend_on_the_pieces(
        bytes in garbage(),
        sizes in vec(1_usize..20, 1..5),
    ) {
        let (whole, pieces) = (cut_whole(&bytes), cut_pieces(&bytes, &sizes));
        prop_assert_eq!(whole.0, pieces.0);
        match (whole.1, pieces.1) {
            // In pieces, an element that is announced to be huge is not waited for.
            (Some((Fault::Truncated, at)), Some((Fault::TooLarge, there))) => prop_assert_eq!(at, there),
            (whole, pieces) => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn any_document_is_encoded_or_refused(document in document(), ty in any::<prop::sample::Index>()) {
        let ty = ty.get(message_types());
        if let Ok(bytes) = encode(ty, &document) {
            prop_assert!(value(ty, &bytes, Unset::Omit).is_ok());
        }
    }
}

/// Documents with keys that messages have, and values that do not fit them.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("2024-01-01T00:00:00Z")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "id", "metadata", "linux", "labels", "envs", "value", "status"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}
