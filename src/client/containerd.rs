//! containerd's own services, which share the socket with CRI: what the daemon has loaded, and names in its image
//! store one at a time (CRI's RemoveImage takes every name of an image).

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::Error;
use super::call::LARGEST;
use crate::cri::containerd::services::containers::v1 as containers;
use crate::cri::containerd::services::content::v1 as content;
use crate::cri::containerd::services::images::v1 as images;
use crate::cri::containerd::services::introspection::v1 as introspection;
use crate::cri::containerd::services::namespaces::v1 as namespaces;
use crate::cri::containerd::services::tasks::v1 as tasks;
use crate::cri::containerd::services::version::v1 as version;
use crate::cri::containerd::v1::types::Process;
use crate::endpoint::Endpoint;
use crate::endpoint::connect::{Connection, ORIGIN};

/// The namespace in which containerd keeps what CRI made.
pub const CRI_NAMESPACE: &str = "k8s.io";

/// A blob that is being written into the content store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// What the writer calls it.
    pub reference: String,
    /// Bytes written so far.
    pub offset: u64,
    /// Bytes that it will have; 0 where that is not known.
    pub total: u64,
    /// When it began, in nanoseconds since 1970.
    pub started_at: i64,
    /// When the last of them came, in nanoseconds since 1970.
    pub updated_at: i64,
}

/// A client of containerd's own services.
#[derive(Debug, Clone)]
pub struct Containerd {
    endpoint: Endpoint,
    connection: Connection,
    deadline: Duration,
}

impl Containerd {
    pub(super) fn new(endpoint: Endpoint, connection: Connection, deadline: Duration) -> Self {
        Self {
            endpoint,
            connection,
            deadline,
        }
    }

    /// `Introspection.Plugins`: every plugin with the error of its start, if it failed.
    ///
    /// # Errors
    /// See [`Error`]; [`super::Kind::UnknownService`] where the peer is not containerd.
    pub async fn plugins(&self) -> Result<Vec<introspection::Plugin>, Error> {
        let mut client = introspection::introspection_client::IntrospectionClient::with_origin(
            self.connection.clone(),
            origin(),
        );
        let call = client.plugins(introspection::PluginsRequest::default());
        Ok(self.answer("Introspection.Plugins", call).await?.plugins)
    }

    /// `Introspection.Server`: the daemon's pid and the deprecated features it saw in use.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn server(&self) -> Result<introspection::ServerResponse, Error> {
        let mut client = introspection::introspection_client::IntrospectionClient::with_origin(
            self.connection.clone(),
            origin(),
        );
        self.answer("Introspection.Server", client.server(())).await
    }

    /// `Version.Version`: the daemon's own version, which it gives also where CRI is not served.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self) -> Result<version::VersionResponse, Error> {
        let mut client =
            version::version_client::VersionClient::with_origin(self.connection.clone(), origin());
        self.answer("Version.Version", client.version(())).await
    }

    /// `Images.List` in a namespace: every name in the image store.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn images(&self, namespace: &str) -> Result<Vec<images::Image>, Error> {
        let mut client =
            images::images_client::ImagesClient::with_origin(self.connection.clone(), origin())
                .max_decoding_message_size(LARGEST);
        let call = client.list(within(namespace, images::ListImagesRequest::default()));
        Ok(self.answer("Images.List", call).await?.images)
    }

    /// `Images.Delete` of one name in a namespace. Content goes only when no other name holds it; the garbage collector
    /// has run when this returns.
    ///
    /// # Errors
    /// See [`Error`]; [`super::Kind::NotFound`] if there is no such name.
    pub async fn delete_image(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let mut client =
            images::images_client::ImagesClient::with_origin(self.connection.clone(), origin());
        let request = images::DeleteImageRequest {
            name: name.to_owned(),
            sync: true,
            ..Default::default()
        };
        self.answer("Images.Delete", client.delete(within(namespace, request)))
            .await
    }

    /// `Containers.List` in a namespace: every record, those of pod sandboxes included, with the image it was made from.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn containers(&self, namespace: &str) -> Result<Vec<containers::Container>, Error> {
        let mut client = containers::containers_client::ContainersClient::with_origin(
            self.connection.clone(),
            origin(),
        )
        .max_decoding_message_size(LARGEST);
        let call = client.list(within(
            namespace,
            containers::ListContainersRequest::default(),
        ));
        Ok(self.answer("Containers.List", call).await?.containers)
    }

    /// `Content.ListStatuses` in a namespace: what is being written into the content store right now, such as the blobs
    /// of a pull.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ingests(&self, namespace: &str) -> Result<Vec<Ingest>, Error> {
        let mut client =
            content::content_client::ContentClient::with_origin(self.connection.clone(), origin());
        let call = client.list_statuses(within(namespace, content::ListStatusesRequest::default()));
        let answer = self.answer("Content.ListStatuses", call).await?;
        Ok(answer.statuses.into_iter().map(ingest).collect())
    }

    /// `Content.Info` in a namespace: the labels of a blob; `None` if the namespace does not have it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn blob(
        &self,
        namespace: &str,
        digest: &str,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let mut client =
            content::content_client::ContentClient::with_origin(self.connection.clone(), origin());
        let request = content::InfoRequest {
            digest: digest.to_owned(),
        };
        match self
            .answer("Content.Info", client.info(within(namespace, request)))
            .await
        {
            Ok(answer) => Ok(Some(
                answer.info.unwrap_or_default().labels.into_iter().collect(),
            )),
            Err(error) if error.kind() == Some(super::Kind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `Content.Read` in a namespace: a blob whole, up to `limit` bytes; `None` if the namespace does not have it, or it
    /// is larger.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read_blob(
        &self,
        namespace: &str,
        digest: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        const RPC: &str = "Content.Read";
        let mut client =
            content::content_client::ContentClient::with_origin(self.connection.clone(), origin());
        let request = content::ReadContentRequest {
            digest: digest.to_owned(),
            ..Default::default()
        };
        let mut stream = match self
            .answer(RPC, client.read(within(namespace, request)))
            .await
        {
            Ok(stream) => stream,
            Err(error) if error.kind() == Some(super::Kind::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        loop {
            let part = async { stream.message().await.map(Response::new) };
            match self.answer(RPC, part).await {
                Ok(Some(part)) if bytes.len() + part.data.len() > limit => return Ok(None),
                Ok(Some(part)) => bytes.extend_from_slice(&part.data),
                Ok(None) => return Ok(Some(bytes)),
                // containerd opens the blob only when it begins to send.
                Err(error) if error.kind() == Some(super::Kind::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// `Namespaces.List`: the names of the namespaces.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn namespaces(&self) -> Result<Vec<String>, Error> {
        let mut client = namespaces::namespaces_client::NamespacesClient::with_origin(
            self.connection.clone(),
            origin(),
        );
        let call = client.list(namespaces::ListNamespacesRequest::default());
        let answer = self.answer("Namespaces.List", call).await?;
        Ok(answer
            .namespaces
            .into_iter()
            .map(|namespace| namespace.name)
            .collect())
    }

    /// `Tasks.Get` of one container in a namespace. containerd asks the shim for it, so a shim that hangs shows here.
    ///
    /// # Errors
    /// See [`Error`]; [`super::Kind::NotFound`] if the container does not run.
    pub async fn task(&self, namespace: &str, container: &str) -> Result<Option<Process>, Error> {
        let mut client =
            tasks::tasks_client::TasksClient::with_origin(self.connection.clone(), origin());
        let request = tasks::GetRequest {
            container_id: container.to_owned(),
            ..Default::default()
        };
        let call = client.get(within(namespace, request));
        Ok(self.answer("Tasks.Get", call).await?.process)
    }

    async fn answer<T>(
        &self,
        rpc: &'static str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.deadline, call).await {
            Err(_) => Err(Error::Deadline {
                rpc,
                endpoint: self.endpoint.clone(),
                deadline: self.deadline,
            }),
            Ok(Err(status)) => Err(Error::from_status(rpc, &self.endpoint, &status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }
}

fn ingest(status: content::Status) -> Ingest {
    let nanoseconds = |at: Option<prost_types::Timestamp>| {
        let at = at.unwrap_or_default();
        at.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(at.nanos.into())
    };
    Ingest {
        reference: status.r#ref,
        offset: status.offset.try_into().unwrap_or(0),
        total: status.total.try_into().unwrap_or(0),
        started_at: nanoseconds(status.started_at),
        updated_at: nanoseconds(status.updated_at),
    }
}

fn origin() -> http::Uri {
    http::Uri::from_static(ORIGIN)
}

/// A request with containerd's namespace header.
fn within<T>(namespace: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(value) = MetadataValue::try_from(namespace) {
        request.metadata_mut().insert("containerd-namespace", value);
    }
    request
}
