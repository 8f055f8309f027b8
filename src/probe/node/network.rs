//! The node's networks: IPv4 routes out of /proc, and the addresses that host-local has written down.
//!
//! /proc/net belongs to the namespace of the reader, so the routes are those of process 1 where they may be read.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::SystemTime;

use super::kernel_text;
use crate::facts::network::{Lease, Network, Route};
use crate::facts::{Fact, Source};
use crate::probe::host_files::{Modified, Reader};
use crate::registry::tree::{Entry, Want};

/// Where host-local keeps its files unless told otherwise.
const LEASES: &str = "/var/lib/cni/networks";
/// No node has so many addresses; what is beyond is not looked at.
const MOST: usize = 4096;

/// Looks at the host below `root`, whose files are below `files`.
pub(super) fn look(root: &Path, files: &Path, live: bool) -> Network {
    Network {
        routes: if live {
            routes(root)
        } else {
            Fact::absent("no system runs here")
        },
        leases: leases(files),
    }
}

fn routes(root: &Path) -> Fact<Vec<Route>> {
    let read = |path: &str| kernel_text(&root.join(path)).map(|text| (text, format!("/{path}")));
    match read("proc/1/net/route").or_else(|_| read("proc/net/route")) {
        Ok((text, path)) => Fact::known(routes_of(&text), Source::proc(path)),
        Err(reason) => Fact::unknown(reason),
    }
}

/// Reads /proc/net/route: addresses stand there as the kernel has them in memory, little-endian on every machine that
/// runs pods.
fn routes_of(text: &str) -> Vec<Route> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| u32::from_str_radix(words.get(index)?, 16).ok();
            let (to, gateway, flags, mask) = (number(1)?, number(2)?, number(3)?, number(7)?);
            // RTF_UP
            (flags & 1 == 1).then(|| Route {
                interface: words[0].to_owned(),
                to: format!("{}/{}", Ipv4Addr::from(to.swap_bytes()), mask.count_ones()),
                gateway: gateway != 0,
            })
        })
        .take(MOST)
        .collect()
}

fn leases(files: &Path) -> Fact<Vec<Lease>> {
    let reader = Reader::open(files, None);
    let mut modified = Modified::new();
    let list =
        |path: &Path, modified: &mut Modified| match reader.look(path, Want::Content, modified) {
            Entry::Directory { names } => Ok(names),
            Entry::Absent => Ok(Vec::new()),
            Entry::Unreadable { reason } => Err(format!("`{}`: {reason}", path.display())),
            _ => Ok(Vec::new()),
        };
    let base = Path::new(LEASES);
    let networks = match list(base, &mut modified) {
        Ok(networks) => networks,
        Err(reason) => return Fact::unknown(reason),
    };
    let now = SystemTime::now();
    let mut found = Vec::new();
    for network in networks {
        let directory = base.join(&network);
        let names = match list(&directory, &mut modified) {
            Ok(names) => names,
            Err(reason) => return Fact::unknown(reason),
        };
        for name in names {
            if found.len() >= MOST {
                break;
            }
            let address = name.replace('_', ":");
            if address.parse::<std::net::IpAddr>().is_err() {
                continue;
            }
            let path = directory.join(&name);
            let Entry::Text { text } = reader.look(&path, Want::Content, &mut modified) else {
                continue;
            };
            let age = modified
                .get(&path)
                .and_then(|time| now.duration_since(*time).ok());
            found.push(Lease {
                network: network.clone(),
                address,
                owner: text.lines().next().unwrap_or_default().trim().to_owned(),
                age_seconds: age.map_or(0, |age| age.as_secs()),
            });
        }
    }
    Fact::known(found, Source::file(LEASES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_as_people_write_them() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    cni0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                    down\t0000F40A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let route = |interface: &str, to: &str, gateway| Route {
            interface: interface.to_owned(),
            to: to.to_owned(),
            gateway,
        };
        assert_eq!(
            routes_of(text),
            [
                route("eth0", "0.0.0.0/0", true),
                route("cni0", "10.244.0.0/24", false)
            ]
        );
    }

    #[test]
    fn leases_are_files_named_by_addresses() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("var/lib/cni/networks/pods");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("10.244.0.2"), "abc\r\neth0").unwrap();
        std::fs::write(directory.join("last_reserved_ip.0"), "10.244.0.2").unwrap();
        std::fs::write(directory.join("lock"), "").unwrap();
        let found = leases(root.path());
        let found = found.value().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].address.as_str(), found[0].owner.as_str()),
            ("10.244.0.2", "abc")
        );
    }
}
