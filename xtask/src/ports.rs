//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

use crate::keys::random_bytes;

/// Below the range from which Linux takes ports for outgoing connections
/// (32768 and up), so that none is taken between our look and our use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Finds different ports on which nothing listens now, tried in random order
/// because several of these commands may run at the same time.
///
/// # Errors
///
/// Fails when a thousand tries do not find enough.
pub fn find_free<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for _ in 0..1000 {
        if held.len() == N {
            return Ok(ports);
        }
        let port = FIRST + u16::from_ne_bytes(random_bytes()?) % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            ports[held.len()] = port;
            held.push(listener);
        }
    }
    bail!("find {N} free ports on loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let ports = find_free::<5>().unwrap();
        let listeners: Vec<_> = ports
            .iter()
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap())
            .collect();
        assert_eq!(listeners.len(), 5);
    }
}
