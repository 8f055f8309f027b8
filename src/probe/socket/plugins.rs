//! Why a containerd does not serve CRI, from its own list of plugins (introspection service, same socket).
//!
//! A plugin that was disabled is not in the list; one that failed is there with the error of its start. The gRPC plugin
//! `io.containerd.grpc.v1.cri` decides: from 2.0 on the work is done by `io.containerd.cri.v1.runtime` and `…images`,
//! which stay in the list when only the gRPC plugin is disabled.

use crate::cri::containerd::services::introspection::v1::Plugin;

/// The type and id of the plugin that serves CRI.
const SERVICE: (&str, &str) = ("io.containerd.grpc.v1", "cri");

/// The type of the plugins that do the work behind it from containerd 2.0 on.
const WORKERS: &str = "io.containerd.cri.v1";

/// What the list says about CRI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cri {
    /// The plugin is not in the list.
    Disabled,
    /// It is, or what it stands on is, with the error of its start.
    Failed {
        /// Which plugin, as in `io.containerd.grpc.v1.cri`.
        plugin: String,
        /// The error, verbatim.
        says: String,
    },
    /// It is in the list without an error.
    Loaded,
}

/// What a list of plugins says about CRI.
pub fn cri(plugins: &[Plugin]) -> Cri {
    let Some(service) = plugins
        .iter()
        .find(|plugin| (plugin.r#type.as_str(), plugin.id.as_str()) == SERVICE)
    else {
        return Cri::Disabled;
    };
    // Where a worker failed, the service only says that it is missing: the worker's error is the reason.
    let worker = plugins
        .iter()
        .find(|plugin| plugin.r#type == WORKERS && error_of(plugin).is_some());
    for plugin in worker.into_iter().chain([service]) {
        if let Some(says) = error_of(plugin) {
            return Cri::Failed {
                plugin: format!("{}.{}", plugin.r#type, plugin.id),
                says,
            };
        }
    }
    Cri::Loaded
}

fn error_of(plugin: &Plugin) -> Option<String> {
    plugin
        .init_err
        .as_ref()
        .map(|status| status.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::google::rpc::Status;

    fn plugin(kind: &str, id: &str, error: Option<&str>) -> Plugin {
        Plugin {
            r#type: kind.to_owned(),
            id: id.to_owned(),
            init_err: error.map(|message| Status {
                code: 2,
                message: message.to_owned(),
                details: Vec::new(),
            }),
            ..Plugin::default()
        }
    }

    #[test]
    fn the_grpc_plugin_decides() {
        let worker = plugin("io.containerd.cri.v1", "runtime", None);
        assert_eq!(cri(&[]), Cri::Disabled);
        assert_eq!(cri(std::slice::from_ref(&worker)), Cri::Disabled);
        let service = plugin("io.containerd.grpc.v1", "cri", None);
        assert_eq!(cri(&[worker, service]), Cri::Loaded);
    }

    #[test]
    fn the_reason_is_the_workers_where_it_failed() {
        let service = plugin(
            "io.containerd.grpc.v1",
            "cri",
            Some("mirrors cannot be set"),
        );
        assert_eq!(
            cri(std::slice::from_ref(&service)),
            Cri::Failed {
                plugin: "io.containerd.grpc.v1.cri".to_owned(),
                says: "mirrors cannot be set".to_owned()
            }
        );
        let worker = plugin("io.containerd.cri.v1", "images", Some("no snapshotter"));
        assert_eq!(
            cri(&[service, worker]),
            Cri::Failed {
                plugin: "io.containerd.cri.v1.images".to_owned(),
                says: "no snapshotter".to_owned()
            }
        );
    }
}
