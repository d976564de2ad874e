//! Texts in the order of their bytes, each once, with a value: all texts in one string, their ends and values in a
//! vector each.
//!
//! A map of scores has up to a hundred thousand hotkeys. Looked at in order they are summed, merged and written
//! the same way whatever order they came in; kept in one string they cost three allocations instead of one each.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

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

/// Texts with a value, in the order they come.
pub struct Unsorted<V> {
    text: String,
    entries: Vec<Entry<V>>,
}

/// Looks up texts that come in ascending order, each from where the one before it was.
#[derive(Clone)]
pub struct Cursor<'a, V> {
    sorted: &'a Sorted<V>,
    next: usize,
}

/// A text that came, and what it begins with.
#[derive(Clone, Copy)]
struct Entry<V> {
    lead: u64,
    start: usize,
    end: usize,
    value: V,
}

impl<V: Copy> Unsorted<V> {
    /// Makes room for so many texts of so many bytes in all.
    #[must_use]
    pub fn with_room(count: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            entries: Vec::with_capacity(count),
        }
    }

    /// Takes one more.
    pub fn push(&mut self, text: &str, value: V) {
        let start = self.text.len();
        self.text.push_str(text);
        self.entries.push(Entry {
            lead: lead(text),
            start,
            end: self.text.len(),
            value,
        });
    }

    /// Returns how many came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Puts them in order; of one that came twice the last holds.
    #[must_use]
    pub fn sorted(mut self) -> Sorted<V> {
        let is_ascending = |one: &Entry<V>, other: &Entry<V>| self.compare(one, other).is_lt();
        if self.entries.is_sorted_by(is_ascending) {
            self.text.shrink_to_fit();
            return Sorted {
                ends: self.entries.iter().map(|entry| entry.end).collect(),
                values: self.entries.iter().map(|entry| entry.value).collect(),
                text: self.text,
            };
        }
        let (mut ranks, place) = rank(&self.entries);
        let entry = |rank: &u64| &self.entries[(rank & place) as usize];
        let mut sorted = Sorted::with_room(self.entries.len(), self.text.len());
        for alike in ranks.chunk_by_mut(|one, other| one & !place == other & !place) {
            if alike.len() > 1 {
                // Equal texts stay in the order they came.
                alike.sort_by(|one, other| self.compare(entry(one), entry(other)));
            }
            for (at, rank) in alike.iter().enumerate() {
                let (next, entry) = (alike.get(at + 1).map(entry), entry(rank));
                if next.is_none_or(|next| self.compare(next, entry).is_ne()) {
                    sorted.push(self.text(entry), entry.value);
                }
            }
        }
        sorted
    }

    fn text(&self, entry: &Entry<V>) -> &str {
        &self.text[entry.start..entry.end]
    }

    fn compare(&self, one: &Entry<V>, other: &Entry<V>) -> Ordering {
        let by_lead = one.lead.cmp(&other.lead);
        by_lead.then_with(|| self.text(one).cmp(self.text(other)))
    }
}

impl<V: Copy> Sorted<V> {
    /// Puts texts in order; of one that comes twice the last holds.
    #[must_use]
    pub fn of<T: AsRef<str>>(pairs: &[(T, V)]) -> Self {
        let bytes = pairs.iter().map(|(text, _)| text.as_ref().len()).sum();
        let mut all = Unsorted::with_room(pairs.len(), bytes);
        for (text, value) in pairs {
            all.push(text.as_ref(), *value);
        }
        all.sorted()
    }

    fn with_room(count: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(count),
            values: Vec::with_capacity(count),
        }
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
            match compare(self.text(at), text) {
                Ordering::Less => (from, step) = (at + 1, step.saturating_mul(2).saturating_add(1)),
                Ordering::Equal => return Ok(at),
                Ordering::Greater => (to, step) = (at, usize::MAX),
            }
        }
        Err(from)
    }

    fn text(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
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
                let mut all = Unsorted::with_room(0, 0);
                while let Some((text, value)) = map.next_entry::<Cow<'de, str>, V>()? {
                    all.push(&text, value);
                }
                Ok(all.sorted())
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// Compares two texts. What they begin with nearly always tells.
fn compare(one: &str, other: &str) -> Ordering {
    let by_lead = lead(one).cmp(&lead(other));
    by_lead.then_with(|| one.cmp(other))
}

/// Returns what a text begins with: its first eight bytes as a number, zeros behind its end.
fn lead(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let first = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut first = [0; 8];
        first[..bytes.len()].copy_from_slice(bytes);
        first
    });
    u64::from_be_bytes(first)
}

/// Returns ranks in ascending order, and which of a rank's bits are its entry's position. The bits above are the first
/// of those that not all leads have in common, as hotkeys all begin alike.
fn rank<V>(entries: &[Entry<V>]) -> (Vec<u64>, u64) {
    let place = u64::MAX.unbounded_shr((entries.len() as u64).leading_zeros());
    let first = entries.first().map_or(0, |entry| entry.lead);
    let differing = entries
        .iter()
        .fold(0, |bits, entry| bits | (entry.lead ^ first));
    let common = differing.leading_zeros();
    let leads = entries.iter().map(|entry| entry.lead.unbounded_shl(common));
    let mut ranks: Vec<u64> = leads
        .zip(0..)
        .map(|(lead, at)| lead & !place | at)
        .collect();
    ranks.sort_unstable();
    (ranks, place)
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
