//! The pods' network: which subnet a lab uses, and whether the machine uses it already.
//!
//! Pods hang on the plugin `ptp`, a veth pair each and no bridge: when the pod's network namespace goes, the kernel
//! removes both ends, so that a killed lab leaves no interface behind.

use std::net::Ipv4Addr;

/// The /24 of a lab: 10.213.N.0, by its first address.
pub fn subnet(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, number, 0)
}

/// Whether a route other than the default one reaches into `subnet`: a lab's pods, or the machine's own network.
pub fn is_taken(subnet: Ipv4Addr) -> bool {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    overlaps(&routes, subnet)
}

/// Whether pods of a lab with this subnet still have an interface.
pub fn routes_into(subnet: Ipv4Addr) -> bool {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let inside = u32::from(subnet);
    entries(&routes).any(|(network, mask)| mask > 0xffff_ff00 && network & 0xffff_ff00 == inside)
}

fn overlaps(routes: &str, subnet: Ipv4Addr) -> bool {
    let subnet = u32::from(subnet);
    entries(routes).any(|(network, mask)| {
        let mask = mask & 0xffff_ff00;
        mask != 0 && network & mask == subnet & mask
    })
}

/// Network and mask of each line of /proc/net/route, which writes them in hexadecimal and in the machine's byte order.
fn entries(routes: &str) -> impl Iterator<Item = (u32, u32)> {
    routes.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
        Some((number(words.get(1)?)?, number(words.get(7)?)?))
    })
}
