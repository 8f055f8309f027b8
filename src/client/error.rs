//! gRPC status -> our error, in one place.

use std::time::Duration;

use tonic::{Code, Status};

use super::call::Failure;
use crate::endpoint::{Endpoint, connect};
use crate::wire;

/// Why a call had no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error("cannot reach the container runtime at `{endpoint}`")]
    Connect {
        /// Who was to be reached.
        endpoint: Endpoint,
        /// What connect() said.
        #[source]
        source: connect::Error,
    },
    /// The call was sent and came back with a status.
    #[error("{rpc} at `{endpoint}`: {message}")]
    Status {
        /// Name of the RPC, as in the proto.
        rpc: &'static str,
        /// Who was asked.
        endpoint: Endpoint,
        /// The class of the failure.
        kind: Kind,
        /// The code, as the runtime gave it.
        code: Code,
        /// The runtime's own words.
        message: String,
    },
    /// The runtime serves `v1alpha2` alone, and this client was told not to speak it.
    #[error("{rpc} is not sent to `{endpoint}`, which serves nothing newer than CRI v1alpha2")]
    OnlyOlder {
        /// Name of the RPC, as in the proto.
        rpc: &'static str,
        /// Who was asked.
        endpoint: Endpoint,
    },
    /// No answer in time.
    #[error("{rpc} at `{endpoint}` did not answer within {deadline:?}")]
    Deadline {
        /// Name of the RPC, as in the proto.
        rpc: &'static str,
        /// Who was asked.
        endpoint: Endpoint,
        /// How long was waited.
        deadline: Duration,
    },
    /// The answer is not the message it should be.
    #[error("the answer to {rpc} from `{endpoint}` cannot be decoded")]
    Decode {
        /// Name of the RPC, as in the proto.
        rpc: &'static str,
        /// Who was asked.
        endpoint: Endpoint,
        /// Where decoding stopped.
        #[source]
        source: prost::DecodeError,
    },
    /// The answer is no list of messages.
    #[error("the answer to {rpc} from `{endpoint}` cannot be read")]
    Malformed {
        /// Name of the RPC, as in the proto.
        rpc: &'static str,
        /// Who was asked.
        endpoint: Endpoint,
        /// Where it stops being one.
        #[source]
        source: wire::Malformed,
    },
}

/// The class of a failed call: what a caller may want to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The service as a whole is not served: `unknown service …`.
    UnknownService,
    /// The service is there, this RPC is not.
    UnknownMethod,
    /// The object does not exist.
    NotFound,
    /// The object is in a state that forbids it, or exists already.
    Precondition,
    /// The request is malformed.
    InvalidArgument,
    /// The connection broke, or the peer does not speak gRPC: the message is not the runtime's.
    Broken,
    /// The runtime says that it cannot answer now.
    Unavailable,
    /// The answer is larger than somebody's limit.
    TooLarge,
    /// The runtime's own deadline passed.
    Deadline,
    /// Credentials or permissions.
    Denied,
    /// Everything else.
    Other(Code),
}

impl Error {
    /// The class of the failure, where a runtime gave one.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Error::Status { kind, .. } => Some(*kind),
            Error::Deadline { .. } => Some(Kind::Deadline),
            Error::OnlyOlder { .. } => Some(Kind::UnknownService),
            Error::Connect { .. } | Error::Decode { .. } | Error::Malformed { .. } => None,
        }
    }

    /// The runtime's own words, where the code beside them says nothing: `Unknown`.
    pub fn without_code(&self) -> Option<&str> {
        match self {
            Error::Status {
                code: Code::Unknown,
                message,
                ..
            } => Some(message),
            _ => None,
        }
    }

    /// The same in grpc-go's words, for which scripts look that were written for crictl.
    pub fn in_grpc_words(&self) -> Option<String> {
        let (code, message) = match self {
            Error::Status { code, message, .. } => (*code, message.as_str()),
            Error::Deadline { .. } => (Code::DeadlineExceeded, "context deadline exceeded"),
            Error::Connect { endpoint, source } => return in_words_of_dialing(endpoint, source),
            Error::OnlyOlder { .. } | Error::Decode { .. } | Error::Malformed { .. } => {
                return None;
            }
        };
        // tonic names the codes as Go does, but for one letter.
        let name = match code {
            Code::Cancelled => "Canceled".to_owned(),
            code => format!("{code:?}"),
        };
        Some(format!("rpc error: code = {name} desc = {message}"))
    }

    /// Whether trying again soon may help: the peer was busy or just starting.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Status { kind, .. } => matches!(kind, Kind::Broken | Kind::Unavailable),
            Error::Connect {
                source: connect::Error::Handshake(_),
                ..
            } => true,
            Error::Connect { .. }
            | Error::OnlyOlder { .. }
            | Error::Deadline { .. }
            | Error::Decode { .. }
            | Error::Malformed { .. } => false,
        }
    }

    /// What a call came to that had this `deadline`.
    pub(super) fn from_failure(
        rpc: &'static str,
        endpoint: &Endpoint,
        failure: Failure,
        deadline: Option<Duration>,
    ) -> Self {
        match failure {
            Failure::Status(status) => Self::from_status(rpc, endpoint, &status),
            Failure::Protocol(what) => Error::Status {
                rpc,
                endpoint: endpoint.clone(),
                kind: Kind::Broken,
                code: Code::Internal,
                message: what.to_owned(),
            },
            Failure::TooLarge(limit) => Error::Status {
                rpc,
                endpoint: endpoint.clone(),
                kind: Kind::TooLarge,
                code: Code::ResourceExhausted,
                message: format!("the answer has more than {limit} bytes"),
            },
            Failure::Deadline => Error::Deadline {
                rpc,
                endpoint: endpoint.clone(),
                deadline: deadline.unwrap_or_default(),
            },
        }
    }

    pub(super) fn from_status(rpc: &'static str, endpoint: &Endpoint, status: &Status) -> Self {
        Error::Status {
            rpc,
            endpoint: endpoint.clone(),
            kind: Kind::of(status),
            code: status.code(),
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
        }
    }
}

/// What grpc-go says where nobody can be connected to, as crictl passes it on.
fn in_words_of_dialing(endpoint: &Endpoint, source: &connect::Error) -> Option<String> {
    let connect::Error::Connect(error) = source else {
        return None;
    };
    // Rust: "No such file or directory (os error 2)"; Go: "no such file or directory".
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters.next()?.to_ascii_lowercase();
    Some(format!(
        "validate service connection: validate CRI v1 runtime API for endpoint \"{endpoint}\": rpc error: code = \
         Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix {}: connect: {first}{}\"",
        endpoint.path().display(),
        letters.as_str()
    ))
}

impl Kind {
    fn of(status: &Status) -> Self {
        // What a server sent has no source; hyper's own failures (connection closed, reset, not HTTP/2) have.
        if std::error::Error::source(status).is_some() {
            return Kind::Broken;
        }
        match status.code() {
            // grpc-go: "unknown service runtime.v1.RuntimeService" and "unknown method RuntimeConfig for service …".
            Code::Unimplemented if status.message().starts_with("unknown service") => {
                Kind::UnknownService
            }
            Code::Unimplemented => Kind::UnknownMethod,
            Code::NotFound => Kind::NotFound,
            Code::FailedPrecondition | Code::AlreadyExists => Kind::Precondition,
            Code::InvalidArgument => Kind::InvalidArgument,
            Code::Unavailable => Kind::Unavailable,
            Code::ResourceExhausted | Code::OutOfRange => Kind::TooLarge,
            Code::DeadlineExceeded => Kind::Deadline,
            Code::PermissionDenied | Code::Unauthenticated => Kind::Denied,
            code => Kind::Other(code),
        }
    }
}
