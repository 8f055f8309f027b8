//! A node that does not exist: for `criscope demo`, and for tests and benches of what real runtimes cannot be told to do.
//!
//! [`node`] is a CRI server on a real unix socket with a believable [`world`] behind it; it records every call and,
//! by [`rules`], delays, refuses, hangs, lies and breaks. [`socket`] has sockets that are no CRI server at all.
//! [`registry`] is an image registry with faults. [`host`] has the files of such a node. All of them end with their handle and leave nothing behind.
//!
//! Behaviour, error codes and texts are those of containerd 1.6 and 2.x, CRI-O 1.37 and cri-dockerd, as far as a
//! client can see them; the fake starts no process and touches no file but its own.

pub mod calls;
mod containerd;
mod grpc;
mod host;
mod http2;
pub mod node;
pub mod registry;
mod rpc;
pub mod rules;
mod scratch;
mod script;
mod service;
pub mod socket;
#[cfg(test)]
mod tests;
mod thread;
pub mod world;

pub use host::Host;
pub use http2::frame;
pub use node::{Api, Node};
pub use rules::{Answer, End, Held, Rewrite, Rule};
pub use socket::{Situation, Socket};
pub use world::{CriPlugin, World};

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Why a fake could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made.
    #[error("cannot listen at `{}`", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of the made-up host could not be written.
    #[error("cannot write `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The address could not be taken.
    #[error("cannot listen at `{address}`")]
    Address {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate or key is not PEM.
    #[error("cannot read the PEM")]
    Pem(#[source] tokio_rustls::rustls::pki_types::pem::Error),
    /// A certificate or key cannot be used.
    #[error("cannot use the certificate")]
    Certificate(#[source] tokio_rustls::rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("cannot use the authorities of clients")]
    ClientAuthorities(#[source] tokio_rustls::rustls::server::VerifierBuilderError),
    /// The thread that should serve could not be started.
    #[error("cannot start a thread for the fake")]
    Thread(#[source] std::io::Error),
}

/// The node of `criscope demo`, on a socket in a temporary directory; its [`Node::endpoint`] is the one to ask.
pub fn demo() -> Result<Node, Error> {
    Node::builder().world(World::demo()).start()
}

/// Listens at a path; a socket file that is there already is replaced.
fn bind(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::Socket {
        path: path.to_owned(),
        source,
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(failed)?;
    }
    UnixListener::bind(path).map_err(failed)
}
