//! Texts in the order of their bytes, each once, with a value: all texts in one string, their ends and values in a
//! vector each.
//!
//! A map of scores has up to a hundred thousand hotkeys. Looked at in order they are summed, merged and written
//! the same way whatever order they came in; kept in one string they cost three allocations instead of one each.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hint::black_box;
use std::ops::{BitXor, Range};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Texts in byte order, each once, with a value.
#[derive(Clone, PartialEq)]
pub struct Sorted<V> {
    text: String,
    /// Where each text ends; it begins where the one before it ends.
    ends: Vec<usize>,
    values: Vec<V>,
}

/// Looks up texts that come in ascending order, each from where the one before it was.
#[derive(Clone)]
pub struct Cursor<'a, V> {
    sorted: &'a Sorted<V>,
    next: usize,
}

impl<V: Copy> Sorted<V> {
    /// Puts texts in order; of one that comes twice the last holds.
    #[must_use]
    pub fn of<T: AsRef<str>>(pairs: &[(T, V)]) -> Self {
        let texts = pairs.iter().map(|(text, _)| text.as_ref());
        let mut sorted = Self {
            text: String::with_capacity(texts.clone().map(str::len).sum()),
            ends: Vec::with_capacity(pairs.len()),
            values: Vec::with_capacity(pairs.len()),
        };
        let bytes = texts.map(str::as_bytes);
        if bytes.is_sorted_by(|one, other| compare(one, other).is_lt()) {
            for (text, value) in pairs {
                sorted.push(text.as_ref(), *value);
            }
            return sorted;
        }
        for some in in_order(pairs).chunks(AT_ONCE) {
            // They stand anywhere. Asked for all at once, memory is waited for once.
            let ends = some.iter().map(|at| {
                let bytes = pairs[*at].0.as_ref().as_bytes();
                bytes.first().unwrap_or(&0) ^ bytes.last().unwrap_or(&0)
            });
            black_box(ends.fold(0, BitXor::bitxor));
            for at in some {
                let (text, value) = &pairs[*at];
                sorted.push(text.as_ref(), *value);
            }
        }
        sorted
    }

    fn push(&mut self, text: &str, value: V) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.values.push(value);
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<usize>();
        self.text.capacity() + ends + self.values.capacity() * size_of::<V>()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the text and value at a position in byte order.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(&str, V)> {
        let value = self.values.get(index)?;
        Some((self.text(index), *value))
    }

    /// Returns the value of a text.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<V> {
        let found = self.search(0, usize::MAX, text);
        found.ok().map(|place| self.values[place])
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
        let values = self.values.iter().enumerate();
        values.map(|(index, value)| (self.text(index), *value))
    }

    /// Returns the values in the order of their texts.
    pub fn values(&self) -> impl ExactSizeIterator<Item = V> + Clone {
        self.values.iter().copied()
    }

    /// Looks for a text from a position on, in steps that grow from the first one, halving what is left where a step
    /// would be larger. Returns its position, or that of the next.
    fn search(&self, mut from: usize, mut step: usize, text: &str) -> Result<usize, usize> {
        let mut to = self.len();
        while from < to {
            let at = from + step.min((to - from) / 2);
            match compare(self.bytes(at), text.as_bytes()) {
                Ordering::Less => (from, step) = (at + 1, step.saturating_mul(2).saturating_add(1)),
                Ordering::Equal => return Ok(at),
                Ordering::Greater => (to, step) = (at, usize::MAX),
            }
        }
        Err(from)
    }

    fn text(&self, index: usize) -> &str {
        &self.text[self.span(index)]
    }

    fn bytes(&self, index: usize) -> &[u8] {
        &self.text.as_bytes()[self.span(index)]
    }

    fn span(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[index]
    }
}

impl<V: Copy> Cursor<'_, V> {
    /// Returns the position and value of a text that stands behind the one asked for last.
    pub fn find(&mut self, text: &str) -> Option<(usize, V)> {
        let found = self.sorted.search(self.next, 0, text);
        self.next = found.map_or_else(|place| place, |place| place + 1);
        found.ok().map(|place| (place, self.sorted.values[place]))
    }
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self {
            text: String::new(),
            ends: Vec::new(),
            values: Vec::new(),
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
                let mut all = Vec::new();
                while let Some(pair) = map.next_entry::<Cow<'de, str>, V>()? {
                    all.push(pair);
                }
                Ok(Sorted::of(&all))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// So many texts are asked for at once; more would push each other out of the nearest memory.
const AT_ONCE: usize = 32;

/// Compares two texts. What they begin with nearly always tells.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let by_lead = lead(one).cmp(&lead(other));
    by_lead.then_with(|| one.cmp(other))
}

/// Returns what a text begins with: its first eight bytes as a number, zeros behind its end.
fn lead(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut first = [0; 8];
        first[..bytes.len()].copy_from_slice(bytes);
        first
    });
    u64::from_be_bytes(first)
}

/// Returns where the texts stand in ascending order, each once: of one that comes twice where it comes last.
fn in_order<T: AsRef<str>, V>(pairs: &[(T, V)]) -> Vec<usize> {
    let bytes = |at: u64| pairs[at as usize].0.as_ref().as_bytes();
    let mut ranks: Vec<u64> = (0..).take(pairs.len()).map(|at| lead(bytes(at))).collect();
    // A rank's lower bits are the position. Those above are the first that not all leads have in common, as hotkeys
    // all begin alike.
    let place = u64::MAX.unbounded_shr((ranks.len() as u64).leading_zeros());
    let first = ranks.first().copied().unwrap_or_default();
    let differing = ranks.iter().fold(0, |bits, lead| bits | (lead ^ first));
    for (rank, at) in ranks.iter_mut().zip(0..) {
        *rank = rank.unbounded_shl(differing.leading_zeros()) & !place | at;
    }
    ranks.sort_unstable();
    let is_alike = |one: u64, other: u64| one & !place == other & !place;
    let compare = |one: u64, other: u64| bytes(one & place).cmp(bytes(other & place));
    for alike in ranks.chunk_by_mut(|one, other| is_alike(*one, *other)) {
        if alike.len() > 1 {
            // Of equal texts the last comes first, and the others go.
            alike.sort_unstable_by(|one, other| compare(*one, *other).then(other.cmp(one)));
        }
    }
    ranks.dedup_by(|one, other| is_alike(*one, *other) && compare(*one, *other).is_eq());
    let places = ranks.into_iter().map(|rank| (rank & place) as usize);
    places.collect()
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
