//! Which events are shown: by what happened, and to whom.

use clap::{Args, ValueEnum};

use crate::cri;
use crate::cri::ContainerEventType as Event;

/// Conditions, all of which must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Only these events; repeatable
    #[arg(long = "type", value_enum, value_name = "EVENT", value_delimiter = ',')]
    types: Vec<Type>,
    /// Only events of this pod: a name, or an id or its beginning
    #[arg(long, value_name = "POD")]
    pod: Option<String>,
    /// Only events of pods in this namespace
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only events of this container: a name, or an id or its beginning
    #[arg(long, value_name = "CONTAINER")]
    container: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    Created,
    Started,
    Stopped,
    Deleted,
}

impl Filter {
    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
            && self.pod.is_none()
            && self.namespace.is_none()
            && self.container.is_none()
    }

    /// Whether this event passes.
    pub fn lets_through(&self, event: &cri::ContainerEventResponse) -> bool {
        let sandbox = event.pod_sandbox_status.as_ref();
        let metadata = sandbox.and_then(|sandbox| sandbox.metadata.as_ref());
        let of_type = |wanted: &Type| {
            let wanted = match wanted {
                Type::Created => Event::ContainerCreatedEvent,
                Type::Started => Event::ContainerStartedEvent,
                Type::Stopped => Event::ContainerStoppedEvent,
                Type::Deleted => Event::ContainerDeletedEvent,
            };
            event.container_event_type == i32::from(wanted)
        };
        let of_pod = |wanted: &String| {
            metadata.is_some_and(|metadata| metadata.name == *wanted)
                || sandbox.is_some_and(|sandbox| begins(&sandbox.id, wanted))
        };
        let of_namespace =
            |wanted: &String| metadata.is_some_and(|metadata| metadata.namespace == *wanted);
        let of_container = |wanted: &String| {
            let name = event
                .containers_statuses
                .iter()
                .find(|status| status.id == event.container_id)
                .and_then(|status| status.metadata.as_ref());
            name.is_some_and(|name| name.name == *wanted) || begins(&event.container_id, wanted)
        };
        (self.types.is_empty() || self.types.iter().any(of_type))
            && self.pod.as_ref().is_none_or(of_pod)
            && self.namespace.as_ref().is_none_or(of_namespace)
            && self.container.as_ref().is_none_or(of_container)
    }
}

fn begins(id: &str, typed: &str) -> bool {
    !typed.is_empty() && id.starts_with(typed)
}
