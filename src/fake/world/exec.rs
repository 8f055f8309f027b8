//! What runs inside: one-shot commands, and where the streaming server would be.
//!
//! Commands are pretended: a fake has no processes. A handful of well-known ones answer as they would in a small image.

use tonic::Status;

use super::{Container, World};
use crate::cri;
use crate::cri::ContainerState;

impl World {
    /// The container, if it runs.
    pub(in crate::fake) fn running(&self, id: &str) -> Result<&Container, Status> {
        let container = self.container(id)?;
        match container.status.state() {
            ContainerState::ContainerRunning => Ok(container),
            state => Err(Status::unknown(format!(
                "container is in {} state",
                state.as_str_name()
            ))),
        }
    }

    /// `ExecSync`.
    pub(in crate::fake) fn exec_sync(
        &self,
        request: &cri::ExecSyncRequest,
    ) -> Result<cri::ExecSyncResponse, Status> {
        let container = self.running(&request.container_id)?;
        let words: Vec<_> = request.cmd.iter().map(String::as_str).collect();
        let (stdout, stderr, exit_code) = match words.as_slice() {
            [] => return Err(Status::invalid_argument("exec command is empty")),
            ["true" | "/bin/true", ..] => (String::new(), String::new(), 0),
            ["false" | "/bin/false", ..] => (String::new(), String::new(), 1),
            ["echo" | "/bin/echo", words @ ..] => {
                (format!("{}\n", words.join(" ")), String::new(), 0)
            }
            ["hostname", ..] => {
                let name = self
                    .pod(&container.pod)
                    .map_or(String::new(), |pod| pod.config.hostname.clone());
                (format!("{name}\n"), String::new(), 0)
            }
            [other, ..] => {
                return Err(Status::unknown(format!(
                    "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: unable to \
                     start container process: exec: {other:?}: executable file not found in $PATH: unknown"
                )));
            }
        };
        Ok(cri::ExecSyncResponse {
            stdout: stdout.into(),
            stderr: stderr.into(),
            exit_code,
        })
    }

    /// The URL of a streaming session.
    pub(in crate::fake) fn streaming_url(&mut self, what: &str) -> Result<String, Status> {
        let token = self.next_id(what);
        match &self.streaming {
            Some(base) => Ok(format!("{base}/{what}/{}", &token[..8])),
            None => Err(Status::unimplemented(
                "this fake node has no streaming server",
            )),
        }
    }
}
