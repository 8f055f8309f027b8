//! A container, as a list of any length shows it.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::{Container, ContainerState, label, listing};
use super::{Listed, picker};
use crate::wire::{Malformed, Path, Picked, Picker};

picker!(PICKER {
    ID: Path::Field(1),
    POD: Path::Field(2),
    NAME: Path::Inner(3, 1),
    ATTEMPT: Path::Inner(3, 2),
    IMAGE: Path::Inner(4, 1),
    IMAGE_AS_TYPED: Path::Inner(4, 18),
    IMAGE_REF: Path::Field(5),
    STATE: Path::Field(6),
    CREATED_AT: Path::Field(7),
    POD_NAME: Path::Entry(8, label::POD_NAME),
    POD_NAMESPACE: Path::Entry(8, label::POD_NAMESPACE),
    POD_UID: Path::Entry(8, label::POD_UID),
    IMAGE_ID: Path::Field(10),
});

/// A container in a list. The fields are those of [`Container`].
#[derive(Debug, Clone)]
pub struct ListedContainer {
    picked: Picked<PLACES>,
    /// Name and namespace of its pod, where its labels do not tell.
    pod: Option<(String, String)>,
    /// What its image is called, if that was found out.
    image: Option<String>,
}

impl Listed for ListedContainer {
    type Whole = Container;

    fn look(element: Bytes) -> Result<Self, Malformed> {
        Ok(Self {
            picked: PICKER.pick(element)?,
            pod: None,
            image: None,
        })
    }

    fn id(&self) -> Cow<'_, str> {
        self.picked.text(ID)
    }

    fn element(&self) -> &Bytes {
        self.picked.message()
    }

    fn whole(&self) -> Option<Container> {
        let mut whole: Container = listing::decode(self.element())?;
        if let Some((name, namespace)) = &self.pod {
            whole.belongs_to(name, namespace);
        }
        if let Some(image) = &self.image {
            whole.image.clone_from(image);
        }
        Some(whole)
    }
}

impl ListedContainer {
    /// The id of its pod sandbox.
    pub fn pod_sandbox_id(&self) -> Cow<'_, str> {
        self.picked.text(POD)
    }

    /// Its name in the pod.
    pub fn name(&self) -> Cow<'_, str> {
        self.picked.text(NAME)
    }

    /// How many containers of that name the pod had before this one.
    pub fn attempt(&self) -> u32 {
        self.picked.number(ATTEMPT) as u32
    }

    /// The image as the user wrote it, else as the runtime names it.
    pub fn image(&self) -> Cow<'_, str> {
        if let Some(image) = &self.image {
            return Cow::Borrowed(image);
        }
        match self.picked.text(IMAGE_AS_TYPED) {
            typed if typed.is_empty() => self.picked.text(IMAGE),
            typed => typed,
        }
    }

    /// What the runtime resolved the image to.
    pub fn image_ref(&self) -> Cow<'_, str> {
        self.picked.text(IMAGE_REF)
    }

    /// The id of the image, where the runtime tells.
    pub fn image_id(&self) -> Cow<'_, str> {
        self.picked.text(IMAGE_ID)
    }

    /// What it is doing.
    pub fn state(&self) -> ContainerState {
        ContainerState::of(self.picked.number(STATE) as i32)
    }

    /// When it was created, in nanoseconds since 1970.
    pub fn created_at(&self) -> i64 {
        self.picked.number(CREATED_AT) as i64
    }

    /// The name of its pod, if that is known.
    pub fn pod_name(&self) -> Option<Cow<'_, str>> {
        self.of_pod(POD_NAME, |(name, _)| name)
    }

    /// The namespace of its pod, if that is known.
    pub fn pod_namespace(&self) -> Option<Cow<'_, str>> {
        self.of_pod(POD_NAMESPACE, |(_, namespace)| namespace)
    }

    /// The UID of its pod in the API server.
    pub fn pod_uid(&self) -> Cow<'_, str> {
        self.picked.text(POD_UID)
    }

    /// Whether its labels tell name and namespace of its pod.
    pub fn names_its_pod(&self) -> bool {
        self.picked.has(POD_NAME) && self.picked.has(POD_NAMESPACE)
    }

    /// Tells the pod that it belongs to; what its labels say counts more.
    pub fn belongs_to(&mut self, name: &str, namespace: &str) {
        self.pod = Some((name.to_owned(), namespace.to_owned()));
    }

    /// Tells what its image is called.
    pub fn made_from(&mut self, image: &str) {
        self.image = Some(image.to_owned());
    }

    /// The same, in memory of its own: it does not keep what arrived together with it.
    pub fn detached(self) -> Self {
        Self {
            picked: self.picked.detached(),
            ..self
        }
    }

    fn of_pod(&self, label: usize, told: fn(&(String, String)) -> &String) -> Option<Cow<'_, str>> {
        if self.picked.has(label) {
            return Some(self.picked.text(label));
        }
        let told = told(self.pod.as_ref()?);
        (!told.is_empty()).then_some(Cow::Borrowed(told))
    }
}
