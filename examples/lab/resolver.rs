//! The node's nameserver: it knows no name, and says so at once.
//!
//! With it the runtime fails to resolve an upstream the way it does in the field ("lookup registry.lab.test on …: no
//! such host"), and a lab needs no network. Each lab's listens on a loopback address of its own.

use std::net::{Ipv4Addr, UdpSocket};

use crate::error::{Doing, Result};
use crate::speech::say;

/// The nameserver's address in a lab.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 213, number, 53)
}

/// Serves until it is killed. Says "listening on ADDRESS" first.
///
/// # Errors
/// The address is taken.
pub fn serve(address: Ipv4Addr) -> Result<()> {
    let socket = UdpSocket::bind((address, 53)).doing(|| format!("listen at {address}:53"))?;
    say(&format!("listening on {address}:53\n"));
    let mut query = [0; 1500];
    loop {
        let asked = socket.recv_from(&mut query);
        let (length, asker) = asked.doing(|| "receive a query".to_owned())?;
        if let Some(answer) = no_such_name(&query[..length]) {
            // Who is gone does not want the answer.
            socket.send_to(&answer, asker).map(drop).unwrap_or_default();
        }
    }
}

/// The answer NXDOMAIN to a query: its number and its question under another header (RFC 1035, 4.1.1).
fn no_such_name(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    if query.len() < HEADER {
        return None;
    }
    // The question: labels up to an empty one, then type and class.
    let labels = query[HEADER..].iter().position(|byte| *byte == 0)?;
    let question = query.get(HEADER..HEADER + labels + 5)?;
    let mut answer = query[..2].to_vec();
    // An authoritative response, recursion as desired, no such name; one question, nothing else.
    answer.extend([0x84 | (query[2] & 1), 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
    answer.extend(question);
    Some(answer)
}
