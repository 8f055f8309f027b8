//! The node's networks: where packets go, and which addresses have been given to pods.

use serde::{Deserialize, Serialize};

use super::Fact;

/// The node's networks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// The IPv4 routes of the host's main table.
    pub routes: Fact<Vec<Route>>,
    /// Addresses that the plugin host-local has given out, by the files that it keeps.
    pub leases: Fact<Vec<Lease>>,
}

/// A route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The interface.
    pub interface: String,
    /// Where it leads, as in `10.244.0.0/24`; `0.0.0.0/0` is the default route.
    pub to: String,
    /// Whether packets go to a gateway; otherwise the network is at the interface itself.
    pub gateway: bool,
}

/// An address that has been given out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The name of the network.
    pub network: String,
    /// The address.
    pub address: String,
    /// The id of the sandbox that it was given to.
    pub owner: String,
    /// How old it was when it was read, in seconds.
    pub age_seconds: u64,
}

impl Network {
    /// The interface of the default route.
    pub fn uplink(&self) -> Option<&str> {
        let routes = self.routes.value()?;
        let route = routes.iter().find(|route| route.to == "0.0.0.0/0")?;
        Some(&route.interface)
    }
}
