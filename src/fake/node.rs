//! A running fake node: a CRI server on a unix socket, on a thread of its own.
//!
//! The thread has a current-thread runtime and nothing else, so a node can serve async tests, tests that only start the
//! binary, benches and `criscope demo` alike. It ends with its [`Node`], connections included.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::Error;
use super::calls::Call;
use super::rules::{Held, Rule, Rules};
use super::scratch::Scratch;
use super::service::{Connection, Control, Service, Services};
use super::thread::Thread;
use super::world::{CriPlugin, World};

/// A node to be started.
#[derive(Debug)]
pub struct Builder {
    world: World,
    rules: Rules,
    api: Option<Api>,
    image: bool,
    streaming_lists: bool,
    native: bool,
    only: Option<BTreeSet<String>>,
}

/// Which version of CRI is served; by default what the runtime's version really serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `runtime.v1` alone.
    V1,
    /// `runtime.v1alpha2` alone, as runtimes before 2021.
    V1alpha2,
    /// Both.
    Both,
}

impl Builder {
    /// What the node holds; an empty containerd without.
    pub fn world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    /// Name and version of the runtime, on which its ways depend; keeps the world's contents.
    pub fn runtime(mut self, name: &str, version: &str) -> Self {
        self.world.runtime = super::world::Runtime::new(name, version);
        self
    }

    /// Serves these versions of CRI, whatever the runtime's version would.
    pub fn api(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    /// Leaves the image service out.
    pub fn without_image_service(mut self) -> Self {
        self.image = false;
        self
    }

    /// Leaves containerd's own services out.
    pub fn without_native_services(mut self) -> Self {
        self.native = false;
        self
    }

    /// Serves the six `Stream…` lists of CRI 1.36.
    pub fn streaming_lists(mut self) -> Self {
        self.streaming_lists = true;
        self
    }

    /// The daemon runs, but its CRI plugin is disabled or failed.
    pub fn cri(mut self, cri: CriPlugin) -> Self {
        self.world.cri = cri;
        self
    }

    /// Answers these RPCs only; every other call is refused and recorded as unexpected.
    pub fn only(mut self, rpcs: &[&str]) -> Self {
        self.only = Some(rpcs.iter().map(|&rpc| rpc.to_owned()).collect());
        self
    }

    /// Answers some calls differently. Earlier rules win.
    pub fn rule(self, rule: Rule) -> Self {
        self.rules.add(rule);
        self
    }

    /// Starts it on a socket of its own in a temporary directory.
    pub fn start(self) -> Result<Node, Error> {
        let scratch = Scratch::new()?;
        let path = scratch.path().join("cri.sock");
        let mut node = self.start_at(path)?;
        node.scratch = Some(scratch);
        Ok(node)
    }

    /// Starts it on this socket; a socket file that is there is replaced, as daemons do.
    pub fn start_at(self, path: impl Into<PathBuf>) -> Result<Node, Error> {
        let path = path.into();
        let (v1, v1alpha2) = match self.api {
            None => self.world.runtime.apis(),
            Some(Api::V1) => (true, false),
            Some(Api::V1alpha2) => (false, true),
            Some(Api::Both) => (true, true),
        };
        let services = Services {
            v1,
            v1alpha2,
            image: self.image,
            streaming_lists: self.streaming_lists,
            native: self.native,
            only: self.only,
        };
        let service = Arc::new(Service::new(self.world, services, self.rules));
        let running = Some(listen(&path, &service)?);
        Ok(Node {
            service,
            path,
            running,
            scratch: None,
        })
    }
}

/// A running node. Dropping it ends it and removes its socket.
pub struct Node {
    service: Arc<Service>,
    path: PathBuf,
    running: Option<Thread>,
    scratch: Option<Scratch>,
}

impl Node {
    /// An empty containerd 1.7, to be furnished.
    pub fn builder() -> Builder {
        Builder {
            world: World::empty("containerd", "1.7.28"),
            rules: Rules::default(),
            api: None,
            image: true,
            streaming_lists: false,
            native: true,
            only: None,
        }
    }

    /// Where it listens, as an endpoint: `unix:///…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// All calls so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.service.calls.all()
    }

    /// The names of the RPCs so far, oldest first.
    pub fn rpcs(&self) -> Vec<String> {
        self.calls()
            .iter()
            .map(|call| call.rpc().to_owned())
            .collect()
    }

    /// Calls that no test should make; see [`Call::expected`].
    pub fn unexpected(&self) -> Vec<Call> {
        self.calls()
            .into_iter()
            .filter(|call| !call.expected)
            .collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.service.calls.clear();
    }

    /// Resolves once an RPC was called `times` times.
    pub async fn called(&self, rpc: &str, times: usize) {
        self.service.calls.reached(rpc, times).await;
    }

    /// Blocks until an RPC was called `times` times; false when `limit` passed first.
    pub fn called_within(&self, rpc: &str, times: usize, limit: Duration) -> bool {
        self.service.calls.reached_within(rpc, times, limit)
    }

    /// Answers some calls differently from now on. Earlier rules win.
    pub fn rule(&self, rule: Rule) {
        self.service.rules.add(rule);
    }

    /// Keeps the calls of an RPC back until the result is released or dropped.
    pub fn hold(&self, rpc: &str) -> Held {
        let (rule, held) = Rule::on(rpc).hold();
        self.rule(rule);
        held
    }

    /// Answers the truth again.
    pub fn clear_rules(&self) {
        self.service.rules.clear();
    }

    /// Looks at the world or changes it, in between calls.
    pub fn world<R>(&self, with: impl FnOnce(&mut World) -> R) -> R {
        self.service.world(with)
    }

    /// Ends it as `kill -9` ends a daemon: connections break, the socket file stays behind.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same socket, with the world as it was.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.running = None;
        self.running = Some(listen(&self.path, &self.service)?);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running = None;
        // It may be gone already, with the test's directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path, service: &Arc<Service>) -> Result<Thread, Error> {
    let listener = super::bind(path)?;
    let service = Arc::clone(service);
    Thread::start("fake-node", move || serve(listener, service))
}

async fn serve(listener: UnixListener, service: Arc<Service>) {
    let Ok(listener) = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixListener::from_std(listener))
    else {
        return;
    };
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        number += 1;
        tokio::spawn(connection(Arc::clone(&service), stream, number));
    }
}

/// One connection, until the client goes or a rule ends it. What goes wrong is the client's to see.
async fn connection(
    service: Arc<Service>,
    stream: tokio::net::UnixStream,
    number: u64,
) -> io::Result<()> {
    let stream = stream.into_std()?;
    // Keeps the socket open when HTTP/2 has ended, for a last word.
    let spare = stream.try_clone()?;
    let stream = tokio::net::UnixStream::from_std(stream)?;
    let (control, mut orders) = mpsc::unbounded_channel();
    let connection = Connection { number, control };
    let answer = service_fn(move |request| Arc::clone(&service).serve(connection.clone(), request));
    let order = {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut http = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            _ = &mut http => return Ok(()),
            order = orders.recv() => order,
        }
    };
    if let Some(Control::Raw(bytes)) = order {
        last_word(spare, &bytes).await?;
    }
    Ok(())
}

async fn last_word(stream: std::os::unix::net::UnixStream, bytes: &Bytes) -> io::Result<()> {
    tokio::net::UnixStream::from_std(stream)?
        .write_all(bytes)
        .await
}
