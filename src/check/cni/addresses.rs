//! Checks of what pods are given: addresses and packet sizes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use super::config::Configs;
use crate::facts::network::Lease;
use crate::facts::{Gap, Source};

/// What is younger may belong to a sandbox that is being made.
const YOUNG: u64 = 600;
/// So many lost addresses are worth a word.
const MANY: usize = 10;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    base: u32,
    length: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.trim().split_once('/')?;
        let length = length.parse().ok().filter(|length| *length <= 32)?;
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        Some(Self {
            base: address & mask(length),
            length,
        })
    }

    fn overlaps(self, other: Self) -> bool {
        let length = self.length.min(other.length);
        self.base & mask(length) == other.base & mask(length)
    }

    /// How many addresses pods can have of it: all but the network's own, the gateway's and the broadcast's.
    fn size(self) -> u64 {
        (1_u64 << (32 - self.length)).saturating_sub(3)
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

/// Whether an interface belongs to somebody who is not the pods' network.
fn foreign(interface: &str, uplink: Option<&str>) -> bool {
    interface == "docker0"
        || interface.starts_with("br-")
        || interface.starts_with("virbr")
        || interface.starts_with("lxcbr")
        || Some(interface) == uplink
}

pub(super) fn clash(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let winner = configs.winner()?;
    let written: Vec<&String> = winner
        .plugins
        .iter()
        .flat_map(|plugin| &plugin.ranges)
        .collect();
    let ranges: Vec<(&str, Net)> = written
        .iter()
        .filter_map(|text| Some((text.as_str(), Net::parse(text)?)))
        .collect();
    if ranges.is_empty() {
        return Err(Gap::Absent(
            "the network names no IPv4 range of this node".to_owned(),
        ));
    }
    let routes = case.network.routes.need()?;
    let uplink = case.network.uplink();
    let own: Vec<&str> = winner
        .plugins
        .iter()
        .filter_map(|plugin| plugin.bridge.as_deref())
        .collect();
    let mut problems = Vec::new();
    for route in routes {
        if route.gateway
            || own.contains(&route.interface.as_str())
            || !foreign(&route.interface, uplink)
        {
            continue;
        }
        let Some(net) = Net::parse(&route.to).filter(|net| (1..32).contains(&net.length)) else {
            continue;
        };
        let Some((range, _)) = ranges.iter().find(|(_, range)| range.overlaps(net)) else {
            continue;
        };
        problems.push(
            Note::fail(format!(
                "pods get addresses of {range}, and {} is the network at `{}`",
                route.to, route.interface
            ))
            .subject(&route.interface)
            .measured(serde_json::json!({ "range": range, "route": route.to }))
            .expected("ranges that do not overlap")
            .at(Source::file(winner.path.display()))
            .evidence(
                case.network
                    .routes
                    .source()
                    .cloned()
                    .unwrap_or_else(|| Source::proc("/proc/net/route")),
                format!("{} dev {}", route.to, route.interface),
            ),
        );
    }
    Outcome::of(problems, "no route leads into the range of the pods").into()
}

pub(super) fn mtu(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let winner = configs.winner()?;
    case.network.routes.need()?;
    let interfaces = case.kernel.interfaces.need()?;
    let Some(uplink) = case.network.uplink() else {
        return Err(Gap::Absent("the node has no default route".to_owned()));
    };
    let Some(most) = interfaces.get(uplink).and_then(|interface| interface.mtu) else {
        return Err(Gap::Unknown(format!("the MTU of `{uplink}` is not known")));
    };
    let source = || Source::file(winner.path.display());
    let evidence = || Source::proc(format!("/sys/class/net/{uplink}/mtu"));
    if let Some(set) = winner.plugins.iter().find_map(|plugin| plugin.mtu) {
        if set > i64::from(most) {
            return Note::fail(format!(
                "pods send packets of up to {set} bytes, `{uplink}` takes {most}"
            ))
            .subject(winner.path.display())
            .measured(set)
            .expected(format!("at most {most}"))
            .at(source())
            .evidence(evidence(), format!("{most}"))
            .into();
        }
        return Note::pass(format!("{set}, and `{uplink}` takes {most}")).into();
    }
    let usual = winner
        .plugins
        .iter()
        .any(|plugin| plugin.kind == "bridge" || plugin.kind == "ptp");
    if usual && most < 1500 {
        // The host itself is the hop that tells pods to send less, so nothing gets lost on the way.
        return Note::pass(format!(
            "the network sets no `mtu`, and `{uplink}` takes {most}: pods are told by the host"
        ))
        .into();
    }
    Note::pass(format!("`{uplink}` takes {most}")).into()
}

pub(super) fn leak(case: &Case<'_>) -> Judged {
    let configs = Configs::of(case)?;
    let winner = configs.winner()?;
    let host_local = winner
        .plugins
        .iter()
        .find(|plugin| plugin.ipam.as_deref() == Some("host-local"));
    let (Some(plugin), Some(name)) = (host_local, &winner.name) else {
        return Err(Gap::Absent(
            "the network's addresses are not given by host-local".to_owned(),
        ));
    };
    let leases = case.network.leases.need()?;
    let pods = case.cri.pods.need()?;
    let known: BTreeSet<&str> = pods.items.iter().map(|pod| pod.id.as_str()).collect();
    let mine: Vec<&Lease> = leases
        .iter()
        .filter(|lease| lease.network == *name)
        .collect();
    let lost: Vec<&&Lease> = mine
        .iter()
        .filter(|lease| lease.age_seconds >= YOUNG && !known.contains(lease.owner.as_str()))
        .collect();
    let size: u64 = plugin
        .ranges
        .iter()
        .filter_map(|text| Net::parse(text))
        .map(Net::size)
        .sum();
    let full = size > 0 && mine.len() as u64 * 10 >= size * 9;
    let text = format!(
        "{} of {} given addresses belong to no sandbox",
        lost.len(),
        mine.len()
    );
    let note = if full && !lost.is_empty() {
        Note::fail(format!("{text}, and the range has {size}"))
    } else if lost.len() >= MANY {
        Note::warn(text)
    } else {
        return Note::pass(text).into();
    };
    let mut note = note
        .subject(name)
        .measured(serde_json::json!({ "given": mine.len(), "lost": lost.len(), "range": size }))
        .expected("a sandbox for every address")
        .at(Source::file(format!("/var/lib/cni/networks/{name}")));
    for lease in lost.iter().take(5) {
        note = note.evidence(
            Source::file(format!("/var/lib/cni/networks/{name}/{}", lease.address)),
            format!(
                "of sandbox {}",
                lease.owner.chars().take(13).collect::<String>()
            ),
        );
    }
    note.into()
}

#[cfg(test)]
mod tests {
    use super::Net;

    #[test]
    fn networks_overlap() {
        let net = |text: &str| Net::parse(text).unwrap();
        assert!(net("10.244.0.0/16").overlaps(net("10.244.3.0/24")));
        assert!(net("10.244.3.0/24").overlaps(net("10.244.0.0/16")));
        assert!(!net("10.244.3.0/24").overlaps(net("10.244.4.0/24")));
        assert!(net("0.0.0.0/0").overlaps(net("10.0.0.0/8")));
        assert_eq!(net("10.244.3.7/24"), net("10.244.3.0/24"));
        assert_eq!(net("10.0.0.0/24").size(), 253);
        assert_eq!(net("10.0.0.0/32").size(), 0);
        assert_eq!(Net::parse("fd00::/64"), None);
        assert_eq!(Net::parse("10.0.0.0/33"), None);
    }
}
