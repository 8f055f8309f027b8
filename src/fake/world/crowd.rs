//! The lists of a very large node, made when they are first asked for: 100,000 containers in the memory of their bytes. The
//! last one is kept, so that who asks again does not wait for it to be made.
//!
//! The elements are those of [`World::generated`]; there is nothing behind them, so asking for a single one finds
//! nothing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use prost::encoding::message;

use super::{Clock, World, generated, list};
use crate::cri;
use crate::fake::rpc::BATCH;

/// How many pods, containers and images there are.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    count: usize,
    last: Arc<Mutex<Option<Kept>>>,
}

/// An answer, and what was asked for it.
#[derive(Debug)]
struct Kept {
    rpc: String,
    request: Vec<u8>,
    messages: Vec<Bytes>,
}

/// Whether a list is one message or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Unary,
    Streamed,
}

impl World {
    /// [`World::generated`] for very large numbers: its lists are the same, but single pods, containers and images are
    /// not found. Takes the memory of the lists that are asked for, about 1.75 kB per pod, container and image.
    pub fn crowded(count: usize) -> Self {
        let mut world = Self::empty_at("containerd", "2.1.4", Clock::Fixed(generated::NOW));
        world.crowd = Some(Crowd {
            count,
            last: Arc::default(),
        });
        world
    }

    /// The messages of a list RPC on a crowded node; `None` for every other node and RPC.
    pub(in crate::fake) fn crowded_list(
        &self,
        rpc: &str,
        request: &[u8],
    ) -> Option<Result<Vec<Bytes>, prost::DecodeError>> {
        let crowd = self.crowd.as_ref()?;
        if let Some(kept) = &*crowd.last.lock().unwrap_or_else(PoisonError::into_inner)
            && (kept.rpc == rpc && kept.request == request)
        {
            return Some(Ok(kept.messages.clone()));
        }
        let form = if rpc.starts_with("Stream") {
            Form::Streamed
        } else {
            Form::Unary
        };
        // The requests of both forms are alike.
        let made = match rpc {
            "ListPodSandbox" | "StreamPodSandboxes" => crowd.pods(form, request),
            "ListContainers" | "StreamContainers" => crowd.containers(form, request),
            "ListImages" | "StreamImages" => {
                Ok(crowd.collect(form, |index| Some(generated::image(index).image)))
            }
            _ => return None,
        };
        if let Ok(messages) = &made {
            let kept = Kept {
                rpc: rpc.to_owned(),
                request: request.to_vec(),
                messages: messages.clone(),
            };
            *crowd.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Some(made)
    }
}

impl Crowd {
    fn pods(&self, form: Form, request: &[u8]) -> Result<Vec<Bytes>, prost::DecodeError> {
        let request: cri::ListPodSandboxRequest = prost::Message::decode(request)?;
        let filter = request.filter.unwrap_or_default();
        Ok(self.collect(form, |index| {
            let pod = generated::pod(index);
            let wanted = pod.status.id.starts_with(&filter.id) && list::pod_fits(&pod, &filter);
            wanted.then(|| list::pod_element(&pod))
        }))
    }

    fn containers(&self, form: Form, request: &[u8]) -> Result<Vec<Bytes>, prost::DecodeError> {
        let request: cri::ListContainersRequest = prost::Message::decode(request)?;
        let filter = request.filter.unwrap_or_default();
        Ok(self.collect(form, |index| {
            let container = generated::container(index);
            let wanted = container.status.id.starts_with(&filter.id)
                && container.pod.starts_with(&filter.pod_sandbox_id)
                && list::container_fits(&container, &filter);
            wanted.then(|| list::container_element(super::Kind::Containerd, &container))
        }))
    }

    /// The elements as field 1 of as many messages as the form wants.
    fn collect<M: prost::Message>(
        &self,
        form: Form,
        element: impl Fn(usize) -> Option<M>,
    ) -> Vec<Bytes> {
        let (mut messages, mut open, mut held) = (Vec::new(), BytesMut::new(), 0);
        for element in (0..self.count).filter_map(element) {
            if form == Form::Streamed && held == BATCH {
                messages.push(open.split().freeze());
                held = 0;
            }
            message::encode(1, &element, &mut open);
            held += 1;
        }
        messages.push(open.freeze());
        messages
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_crowd_lists_what_a_generated_node_lists() {
        let (crowd, world) = (World::crowded(50), World::generated(50));
        let running = cri::ContainerFilter {
            state: Some(cri::ContainerStateValue {
                state: cri::ContainerState::ContainerRunning.into(),
            }),
            ..Default::default()
        };
        let request = cri::ListContainersRequest {
            filter: Some(running.clone()),
        }
        .encode_to_vec();
        let messages = crowd
            .crowded_list("ListContainers", &request)
            .unwrap()
            .unwrap();
        let containers = world.list_containers(Some(&running));
        assert_eq!(containers.len(), 45);
        assert_eq!(
            messages,
            [cri::ListContainersResponse { containers }.encode_to_vec()]
        );
        let pods = cri::ListPodSandboxResponse {
            items: world.list_pods(None),
        }
        .encode_to_vec();
        assert_eq!(
            crowd.crowded_list("ListPodSandbox", b"").unwrap().unwrap(),
            [pods]
        );
        let images = cri::ListImagesResponse {
            images: world.list_images(None),
        }
        .encode_to_vec();
        assert_eq!(
            crowd.crowded_list("ListImages", b"").unwrap().unwrap(),
            [images]
        );
        assert!(crowd.crowded_list("Version", b"").is_none());
        assert!(world.crowded_list("ListImages", b"").is_none());
    }
}
