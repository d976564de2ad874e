//! Texts in the order of their bytes, each once, with a value: all texts in one string, all values in one vector.
//!
//! A map of scores has up to a hundred thousand hotkeys. Looked at in order they are summed, merged and written
//! the same way whatever order they came in; kept in one string they cost two allocations instead of one each.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Texts in byte order, each once, with a value.
#[derive(Clone, PartialEq)]
pub struct Sorted<V> {
    text: String,
    entries: Vec<Entry<V>>,
}

/// Takes texts in any order; of one that comes twice the last holds.
#[derive(Clone)]
pub struct Unsorted<V> {
    sorted: Sorted<V>,
    is_ascending: bool,
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
    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
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
    /// Returns the position and value of a text that does not stand before the one asked for last.
    pub fn find(&mut self, text: &str) -> Option<(usize, V)> {
        let rest = &self.sorted.entries[self.next..];
        let is_before = |entry: &Entry<V>| self.sorted.bytes(entry) < text.as_bytes();
        // In growing steps, as the next is mostly near, and at times very far.
        let mut bound = 1;
        while rest.get(bound - 1).is_some_and(is_before) {
            bound *= 2;
        }
        let near = &rest[bound / 2..rest.len().min(bound)];
        self.next += bound / 2 + near.partition_point(is_before);
        let entry = self.sorted.entries.get(self.next)?;
        (self.sorted.bytes(entry) == text.as_bytes()).then_some((self.next, entry.value))
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

impl<V: Copy> Default for Unsorted<V> {
    fn default() -> Self {
        Self {
            sorted: Sorted::default(),
            is_ascending: true,
        }
    }
}

impl<V: Copy> Unsorted<V> {
    /// Makes room for so many texts, of so many bytes in all.
    #[must_use]
    pub fn with_room(texts: usize, bytes: usize) -> Self {
        Self {
            sorted: Sorted {
                text: String::with_capacity(bytes),
                entries: Vec::with_capacity(texts),
            },
            is_ascending: true,
        }
    }

    /// Adds a text with its value.
    pub fn push(&mut self, text: &str, value: V) {
        if self.is_ascending {
            let last = self.sorted.entries.last();
            self.is_ascending = last.is_none_or(|last| self.sorted.bytes(last) < text.as_bytes());
        }
        let start = self.sorted.text.len();
        self.sorted.text.push_str(text);
        let end = self.sorted.text.len();
        self.sorted.entries.push(Entry { start, end, value });
    }

    /// Puts the texts in order and drops all but the last of each.
    #[must_use]
    pub fn sort(self) -> Sorted<V> {
        if self.is_ascending {
            return self.sorted;
        }
        let unsorted = self.sorted;
        let mut sorted = Sorted {
            text: String::with_capacity(unsorted.text.len()),
            entries: Vec::with_capacity(unsorted.entries.len()),
        };
        let ranked = rank(&unsorted);
        for (place, (lead, index)) in ranked.iter().enumerate() {
            let this = &unsorted.entries[*index];
            // Equal texts stand in the order they came.
            let is_same = |(next_lead, next): &(u64, usize)| {
                lead == next_lead
                    && unsorted.bytes(this) == unsorted.bytes(&unsorted.entries[*next])
            };
            if ranked.get(place + 1).is_some_and(is_same) {
                continue;
            }
            let start = sorted.text.len();
            sorted.text.push_str(&unsorted.text[this.start..this.end]);
            let (end, value) = (sorted.text.len(), this.value);
            sorted.entries.push(Entry { start, end, value });
        }
        sorted
    }
}

impl<T: AsRef<str>, V: Copy> FromIterator<(T, V)> for Sorted<V> {
    fn from_iter<I: IntoIterator<Item = (T, V)>>(pairs: I) -> Self {
        let mut unsorted = Unsorted::default();
        for (text, value) in pairs {
            unsorted.push(text.as_ref(), value);
        }
        unsorted.sort()
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
                let mut unsorted = Unsorted::default();
                while let Some((text, value)) = map.next_entry::<std::borrow::Cow<'de, str>, V>()? {
                    unsorted.push(&text, value);
                }
                Ok(unsorted.sort())
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// Returns the entries' positions in byte order, equal ones in the order they came, each with its lead.
///
/// Each is compared by its first eight bytes after those that all have in common, which nearly always settles
/// it without a look at the text: hotkeys all begin alike.
fn rank<V: Copy>(unsorted: &Sorted<V>) -> Vec<(u64, usize)> {
    let common = common(unsorted);
    let lead = |entry: &Entry<V>| {
        let rest = &unsorted.bytes(entry)[common..];
        let mut lead = [0; 8];
        let length = rest.len().min(8);
        lead[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(lead)
    };
    let entries = unsorted.entries.iter();
    let mut ranked: Vec<(u64, usize)> = entries.map(lead).zip(0..).collect();
    ranked.sort_unstable();
    for alike in ranked.chunk_by_mut(|(one, _), (other, _)| one == other) {
        let text = |index: usize| unsorted.bytes(&unsorted.entries[index]);
        if alike.len() > 1 {
            alike.sort_by(|(_, one), (_, other)| text(*one).cmp(text(*other)));
        }
    }
    ranked
}

/// Returns how many bytes all texts begin with alike.
fn common<V: Copy>(unsorted: &Sorted<V>) -> usize {
    let first = unsorted.entries.first().map(|entry| unsorted.bytes(entry));
    let first = first.unwrap_or_default();
    unsorted.entries.iter().fold(first.len(), |common, entry| {
        let same = first[..common].iter().zip(unsorted.bytes(entry));
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
