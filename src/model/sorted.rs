//! Texts in the order of their bytes, each once, with a value: all texts in one string, all values in one vector.
//!
//! A map of scores has up to a hundred thousand hotkeys. Looked at in order they are summed, merged and written
//! the same way whatever order they came in; kept in one string they cost two allocations instead of one each.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Texts in byte order, each once, with a value.
#[derive(Clone, PartialEq)]
pub struct Sorted<V> {
    text: String,
    entries: Vec<Entry<V>>,
}

/// Looks up texts that come in ascending order, each from where the one before it was.
#[derive(Clone)]
pub struct Cursor<'a, V> {
    sorted: &'a Sorted<V>,
    next: usize,
}

#[derive(Clone, Copy, PartialEq)]
struct Entry<V> {
    start: usize,
    end: usize,
    value: V,
}

impl<V: Copy> Sorted<V> {
    /// Puts texts in order; of one that comes twice the last holds.
    #[must_use]
    pub fn of<T: AsRef<str>>(pairs: &[(T, V)]) -> Self {
        let mut sorted = Self {
            text: String::with_capacity(pairs.iter().map(|(text, _)| text.as_ref().len()).sum()),
            entries: Vec::with_capacity(pairs.len()),
        };
        if pairs.is_sorted_by(|(one, _), (other, _)| one.as_ref() < other.as_ref()) {
            pairs.iter().for_each(|pair| sorted.push(pair));
            return sorted;
        }
        let (mut ranks, place) = rank(pairs);
        let pair = |rank: u64| &pairs[(rank & place) as usize];
        let text = |rank: u64| pair(rank).0.as_ref();
        for alike in ranks.chunk_by_mut(|one, other| one & !place == other & !place) {
            if alike.len() > 1 {
                // Equal texts stay in the order they came.
                alike.sort_by(|one, other| text(*one).cmp(text(*other)));
            }
            for (at, rank) in alike.iter().enumerate() {
                let next = alike.get(at + 1);
                if next.is_none_or(|next| text(*next) != text(*rank)) {
                    sorted.push(pair(*rank));
                }
            }
        }
        sorted
    }

    fn push<T: AsRef<str>>(&mut self, (text, value): &(T, V)) {
        let start = self.text.len();
        self.text.push_str(text.as_ref());
        self.entries.push(Entry {
            start,
            end: self.text.len(),
            value: *value,
        });
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry<V>>()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the text and value at a position in byte order.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(&str, V)> {
        let entry = self.entries.get(index)?;
        Some((&self.text[entry.start..entry.end], entry.value))
    }

    /// Returns the value of a text.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<V> {
        let found = self
            .entries
            .binary_search_by(|entry| self.bytes(entry).cmp(text.as_bytes()));
        found.ok().map(|index| self.entries[index].value)
    }

    /// Returns what looks up texts that come in ascending order.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_, V> {
        Cursor {
            sorted: self,
            next: 0,
        }
    }

    /// Returns texts and values in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, V)> + Clone {
        let text = &self.text;
        let entries = self.entries.iter();
        entries.map(move |entry| (&text[entry.start..entry.end], entry.value))
    }

    /// Returns the values in the order of their texts.
    pub fn values(&self) -> impl ExactSizeIterator<Item = V> + Clone {
        self.entries.iter().map(|entry| entry.value)
    }

    fn bytes(&self, entry: &Entry<V>) -> &[u8] {
        &self.text.as_bytes()[entry.start..entry.end]
    }
}

impl<V: Copy> Cursor<'_, V> {
    /// Returns the position and value of a text that stands behind the one asked for last.
    pub fn find(&mut self, text: &str) -> Option<(usize, V)> {
        let rest = &self.sorted.entries[self.next..];
        let compare = |entry: &Entry<V>| self.sorted.bytes(entry).cmp(text.as_bytes());
        // In growing steps, as the next is mostly near, and at times very far.
        let (mut from, mut at) = (0, 0);
        let found = loop {
            match rest.get(at).map(compare) {
                Some(Ordering::Less) => (from, at) = (at + 1, 2 * at + 1),
                Some(Ordering::Equal) => break Ok(at),
                Some(Ordering::Greater) | None => {
                    let near = &rest[from..rest.len().min(at)];
                    let found = near.binary_search_by(compare);
                    break found.map(|at| from + at).map_err(|at| from + at);
                }
            }
        };
        let place = self.next + found.unwrap_or_else(|place| place);
        self.next = place + usize::from(found.is_ok());
        found.ok().map(|at| (place, rest[at].value))
    }
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
        }
    }
}

impl<V: Copy + fmt::Debug> fmt::Debug for Sorted<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: AsRef<str>, V: Copy> FromIterator<(T, V)> for Sorted<V> {
    fn from_iter<I: IntoIterator<Item = (T, V)>>(pairs: I) -> Self {
        Self::of(&pairs.into_iter().collect::<Vec<_>>())
    }
}

/// An object, its members in byte order.
impl<V: Copy + Serialize> Serialize for Sorted<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Copy + Deserialize<'de>> Deserialize<'de> for Sorted<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(std::marker::PhantomData<V>);
        impl<'de, V: Copy + Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Sorted<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<Cow<'de, str>, V>()? {
                    pairs.push(pair);
                }
                Ok(Sorted::of(&pairs))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// Returns a rank of each text that orders it, and which of a rank's bits are the text's position.
///
/// The bits above are the first of those that not all texts have in common, as hotkeys all begin alike. They nearly
/// always tell two texts apart without a look at them; ranks that are alike in those bits may be in any order.
fn rank<T: AsRef<str>, V>(pairs: &[(T, V)]) -> (Vec<u64>, u64) {
    let common = common(pairs);
    let place = u64::MAX.unbounded_shr((pairs.len() as u64).leading_zeros());
    let lead = |(text, _): &(T, V)| {
        let rest = &text.as_ref().as_bytes()[common..];
        let lead = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut lead = [0; 8];
            lead[..rest.len()].copy_from_slice(rest);
            lead
        });
        u64::from_be_bytes(lead)
    };
    let leads = pairs.iter().map(lead).zip(0..);
    let mut ranks: Vec<u64> = leads.map(|(lead, at)| lead & !place | at).collect();
    ranks.sort_unstable();
    (ranks, place)
}

/// Returns how many bytes all texts begin with alike.
fn common<T: AsRef<str>, V>(pairs: &[(T, V)]) -> usize {
    let first = pairs.first().map(|(text, _)| text.as_ref().as_bytes());
    let first = first.unwrap_or_default();
    pairs.iter().fold(first.len(), |common, (text, _)| {
        let same = first[..common].iter().zip(text.as_ref().as_bytes());
        same.take_while(|(one, other)| one == other).count()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_last_of_a_text_holds() {
        let sorted: Sorted<u8> = [("b", 1), ("a", 2), ("b", 3), ("", 4)]
            .into_iter()
            .collect();
        let pairs: Vec<_> = sorted.iter().collect();
        assert_eq!(pairs, [("", 4), ("a", 2), ("b", 3)]);
        assert_eq!((sorted.get("b"), sorted.get("c")), (Some(3), None));
    }

    proptest! {
        #[test]
        fn it_is_as_a_map(pairs in texts("[ab\u{0}é]{0,12}")) {
            let sorted: Sorted<u8> = pairs.iter().map(|(text, value)| (text, *value)).collect();
            let map: BTreeMap<&str, u8> =
                pairs.iter().map(|(text, value)| (text.as_str(), *value)).collect();
            prop_assert!(sorted.iter().eq(map.iter().map(|(text, value)| (*text, *value))));
            for (text, value) in map {
                prop_assert_eq!(sorted.get(text), Some(value));
            }
        }

        #[test]
        fn a_cursor_finds_what_a_search_finds(
            pairs in texts("[ab]{0,6}"),
            asked in prop::collection::btree_set("[ab]{0,6}", 0..50),
        ) {
            let sorted: Sorted<u8> = pairs.iter().map(|(text, value)| (text, *value)).collect();
            let mut cursor = sorted.cursor();
            for text in &asked {
                let found = cursor.find(text);
                prop_assert_eq!(found.map(|(_, value)| value), sorted.get(text));
                let place = found.and_then(|(place, _)| sorted.at(place));
                prop_assert_eq!(place.map(|(text, _)| text), found.map(|_| text.as_str()));
            }
        }
    }

    fn texts(pattern: &'static str) -> impl Strategy<Value = Vec<(String, u8)>> {
        prop::collection::vec((pattern, any::<u8>()), 0..80)
    }
}
