//! Addresses of the chain: a public key in base 58, with a prefix for the network and a checksum.

use blake2::{Blake2b512, Digest as _};

/// The prefix of Substrate networks without one of their own, Bittensor among them.
const PREFIX: u8 = 42;

/// How many bytes of the checksum are kept.
const CHECKSUM: usize = 2;

/// Returns the address of a public key.
#[must_use]
pub fn encode(key: &[u8; 32]) -> String {
    let mut bytes = vec![PREFIX];
    bytes.extend(key);
    let checksum = checksum(&bytes);
    bytes.extend(&checksum[..CHECKSUM]);
    bs58::encode(bytes).into_string()
}

/// Returns the public key of an address; `None` of what is no address of such a network.
#[must_use]
pub fn decode(address: &str) -> Option<[u8; 32]> {
    // No address is longer, and decoding takes the square of the length.
    let address = Some(address).filter(|address| address.len() <= 64)?;
    let bytes = bs58::decode(address).into_vec().ok()?;
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let (prefix, key) = body.split_first()?;
    let is_whole = *prefix == PREFIX && checksum(body)[..CHECKSUM] == *sum;
    key.try_into().ok().filter(|_| is_whole)
}

fn checksum(bytes: &[u8]) -> [u8; 64] {
    let mut hash = Blake2b512::new();
    hash.update(b"SS58PRE");
    hash.update(bytes);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alice of every development chain.
    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    const KEY: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

    #[test]
    fn a_known_address_is_its_public_key() {
        let key: [u8; 32] = hex::decode(KEY).unwrap().try_into().unwrap();
        assert_eq!(encode(&key), ALICE);
        assert_eq!(decode(ALICE), Some(key));
    }

    #[test]
    fn what_is_no_address_has_no_key() {
        let other = ALICE.replace('Y', "Z");
        for bad in ["", "5", &other, &ALICE[1..], "0OIl", &"5".repeat(100_000)] {
            assert_eq!(decode(bad), None, "{bad:.60}");
        }
    }
}
