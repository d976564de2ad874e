//! Who is registered in a subnet: the hotkey of each UID.

use jiff::Timestamp;

use super::sorted::Sorted;

/// The hotkeys registered in a subnet, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metagraph {
    /// The UID of each hotkey.
    pub uids: Sorted<u16>,
    /// The block it was read at, where that is known.
    pub block: Option<u64>,
    /// When it was read, where that is known.
    pub read_at: Option<Timestamp>,
}

impl Metagraph {
    /// The most neurons a subnet can have: a UID has 16 bits.
    pub const MAX: usize = 65_536;

    /// Makes it of the subnet's neurons in their order: the position is the UID, and of a hotkey that stands
    /// twice the last holds. What lies beyond [`Self::MAX`] has no UID.
    #[must_use]
    pub fn of<T: AsRef<str>>(hotkeys: impl IntoIterator<Item = T>) -> Self {
        Self {
            uids: hotkeys.into_iter().zip(0..=u16::MAX).collect(),
            ..Self::default()
        }
    }

    /// Tells whether nobody is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_the_uid_and_the_last_of_a_hotkey_holds() {
        let metagraph = Metagraph::of(["owner", "b", "a", "b"]);
        let uids: Vec<_> = metagraph.uids.iter().collect();
        assert_eq!(uids, [("a", 2), ("b", 3), ("owner", 0)]);
    }

    #[test]
    fn the_last_uid_is_the_largest_of_16_bits() {
        let many = Metagraph::of((0..70_000).map(|number| number.to_string()));
        assert_eq!(many.uids.len(), Metagraph::MAX);
        assert_eq!(many.uids.get("65535"), Some(u16::MAX));
        assert_eq!(many.uids.get("65536"), None);
    }
}
