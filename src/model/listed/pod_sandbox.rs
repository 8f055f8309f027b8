//! A pod sandbox, as a list of any length shows it.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::{PodSandbox, PodSandboxState, label};
use super::{Listed, picker};
use crate::wire::{Malformed, Path, Picked, Picker};

picker!(PICKER {
    ID: Path::Field(1),
    METADATA: Path::Field(2),
    NAME: Path::Inner(2, 1),
    UID: Path::Inner(2, 2),
    NAMESPACE: Path::Inner(2, 3),
    ATTEMPT: Path::Inner(2, 4),
    STATE: Path::Field(3),
    CREATED_AT: Path::Field(4),
    LABEL_NAME: Path::Entry(5, label::POD_NAME),
    LABEL_NAMESPACE: Path::Entry(5, label::POD_NAMESPACE),
    LABEL_UID: Path::Entry(5, label::POD_UID),
    HANDLER: Path::Field(7),
});

/// A pod sandbox in a list. The fields are those of [`PodSandbox`].
#[derive(Debug, Clone)]
pub struct ListedPod(Picked<PLACES>);

impl Listed for ListedPod {
    type Whole = PodSandbox;

    fn look(element: Bytes) -> Result<Self, Malformed> {
        PICKER.pick(element).map(Self)
    }

    fn id(&self) -> Cow<'_, str> {
        self.0.text(ID)
    }

    fn element(&self) -> &Bytes {
        self.0.message()
    }
}

impl ListedPod {
    /// Its name: from the metadata, else from the kubelet's label, else nothing.
    pub fn name(&self) -> Cow<'_, str> {
        self.of_metadata(NAME, LABEL_NAME)
    }

    /// Its namespace, likewise.
    pub fn namespace(&self) -> Cow<'_, str> {
        self.of_metadata(NAMESPACE, LABEL_NAMESPACE)
    }

    /// Its UID in the API server, likewise.
    pub fn uid(&self) -> Cow<'_, str> {
        self.of_metadata(UID, LABEL_UID)
    }

    /// How many sandboxes the pod had before this one.
    pub fn attempt(&self) -> u32 {
        self.0.number(ATTEMPT) as u32
    }

    /// Whether it is ready.
    pub fn state(&self) -> PodSandboxState {
        PodSandboxState::of(self.0.number(STATE) as i32)
    }

    /// When it was created, in nanoseconds since 1970.
    pub fn created_at(&self) -> i64 {
        self.0.number(CREATED_AT) as i64
    }

    /// The runtime handler, empty for the default one.
    pub fn runtime_handler(&self) -> Cow<'_, str> {
        self.0.text(HANDLER)
    }

    fn of_metadata(&self, field: usize, label: usize) -> Cow<'_, str> {
        self.0
            .text(if self.0.has(METADATA) { field } else { label })
    }
}
