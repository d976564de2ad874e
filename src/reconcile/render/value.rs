//! Values on one line: short, safe to print, and never two different values that look the same.

use serde_json::Value;

use super::mask;
use crate::{model::Key, reconcile::live::Change};

/// The longest pair of values that stands on the line of its path, in characters each.
const MAX_INLINE: usize = 28;
/// How many digits of an image's digest are shown.
const DIGEST_SHOWN: usize = 4;
/// How much of what two long values share is shown before the place where they part.
const LEAD: usize = 20;

/// The two values of a change as they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It changes, and neither value may be shown.
    Hidden,
    /// The value stays; only who holds it changes.
    Same(String),
    /// The same items in another order.
    Order(String, String),
    /// The old and the new value; `None` where there is none.
    Pair(Option<String>, Option<String>),
}

impl Shown {
    /// Returns the values on one line, if both are short.
    pub fn inline(&self) -> Option<String> {
        let absent = || "(absent)".to_owned();
        match self {
            Self::Hidden => Some("(changed, not shown)".to_owned()),
            Self::Same(value) => Some(format!("{value} (stays)")),
            Self::Order(old, new) => is_short([old, new]).then(|| format!("{old} → {new} (order)")),
            Self::Pair(old, new) => {
                let (old, new) = (
                    old.clone().unwrap_or_else(absent),
                    new.clone().unwrap_or_else(absent),
                );
                is_short([&old, &new]).then(|| format!("{old} → {new}"))
            }
        }
    }
}

fn is_short<const N: usize>(values: [&String; N]) -> bool {
    values
        .iter()
        .all(|value| value.chars().count() <= MAX_INLINE)
}

/// Tells whether a change is the same items in another order.
pub fn is_reorder(change: &Change) -> bool {
    let (Some(Value::Array(old)), Some(Value::Array(new))) = (&change.old, &change.new) else {
        return false;
    };
    let sorted = |items: &[Value]| {
        let mut items: Vec<_> = items.iter().map(Value::to_string).collect();
        items.sort();
        items
    };
    old != new && sorted(old) == sorted(new)
}

/// Returns the values of a change as they are shown, masked and cut.
pub fn shown(key: &Key, change: &Change) -> Shown {
    let mask = |value: &Value| mask::changed(key, &change.path, value);
    let (old, new) = (change.old.as_ref().map(mask), change.new.as_ref().map(mask));
    let is_same = change.old == change.new;
    match (old, new) {
        (None, None) => Shown::Hidden,
        (Some(old), Some(new)) if old == new && !is_same => Shown::Hidden,
        (Some(_), Some(new)) if is_same => Shown::Same(text(&new)),
        (Some(old), Some(new)) => {
            let (old, new) = pair(&old, &new);
            if is_reorder(change) {
                return Shown::Order(old, new);
            }
            Shown::Pair(Some(old), Some(new))
        }
        (old, new) => Shown::Pair(old.as_ref().map(text), new.as_ref().map(text)),
    }
}

/// Returns two different values as two different texts.
fn pair(old: &Value, new: &Value) -> (String, String) {
    let forms: [fn(&Value) -> String; 3] = [
        text,
        |value| cut(&bare(value)),
        |value| cut(&value.to_string()),
    ];
    for form in forms {
        let (old, new) = (form(old), form(new));
        if old != new {
            return (old, new);
        }
    }
    parted(&old.to_string(), &new.to_string())
}

/// Cuts two long texts to where they part.
fn parted(old: &str, new: &str) -> (String, String) {
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b);
    let skipped = same.count().saturating_sub(LEAD);
    let from = |text: &str| cut(&text.chars().skip(skipped).collect::<String>());
    (format!("…{}", from(old)), format!("…{}", from(new)))
}

/// Returns a masked value as people read it on one line.
pub fn text(value: &Value) -> String {
    cut(&short_digests(&bare(value)))
}

/// Returns a text without quotes, unless it would be mistaken for nothing.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.trim() != text => value.to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    mask::printable(&mask::shorten(text))
}

/// Shortens each `sha256:` with its 64 digits to the first few.
pub fn short_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("sha256:") {
        let (head, tail) = rest.split_at(at + "sha256:".len());
        out.push_str(head);
        let digits = tail.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits == 64 {
            out.push_str(&tail[..DIGEST_SHOWN]);
            out.push('…');
        } else {
            out.push_str(&tail[..digits]);
        }
        rest = &tail[digits..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{RowKey, Slug};

    fn show(old: Value, new: Value) -> Shown {
        let key = Key::Row(RowKey::Challenge(Slug::parse("demo").unwrap()));
        let change = Change {
            path: "field".to_owned(),
            old: Some(old),
            new: Some(new),
            taken_by: None,
        };
        shown(&key, &change)
    }

    #[test]
    fn different_values_never_look_the_same() {
        let image = |last: &str| format!("g.io/x:1@sha256:9ab2{}{last}", "0".repeat(59));
        let long = |last: &str| format!("{}{last}", "x".repeat(1000));
        for (old, new) in [
            (json!("1"), json!(1)),
            (json!(image("1")), json!(image("2"))),
            (json!(long("a")), json!(long("b"))),
            (json!([long("a")]), json!([long("b")])),
        ] {
            let Shown::Pair(Some(old), Some(new)) = show(old, new) else {
                panic!("no pair");
            };
            assert_ne!(old, new);
            assert!(old.chars().count() < 300, "{old}");
        }
    }

    #[test]
    fn short_values_stand_on_one_line() {
        assert_eq!(show(json!(30), json!(35)).inline().unwrap(), "30 → 35");
        assert_eq!(show(json!(""), json!("a")).inline().unwrap(), "\"\" → a");
        assert_eq!(show(json!("x".repeat(40)), json!(1)).inline(), None);
        assert_eq!(show(json!(1), json!(1)).inline().unwrap(), "1 (stays)");
    }

    #[test]
    fn the_same_items_in_another_order_are_an_order_change() {
        let shown = show(json!(["A", "B"]), json!(["B", "A"]));
        assert!(matches!(shown, Shown::Order(..)));
        let shown = show(json!(["A", "B"]), json!(["A", "A"]));
        assert!(matches!(shown, Shown::Pair(..)));
    }

    #[test]
    fn digests_are_shortened_wherever_they_stand() {
        let text = format!("a@sha256:{} b@sha256:12 sha256:", "9ab2".repeat(16));
        assert_eq!(short_digests(&text), "a@sha256:9ab2… b@sha256:12 sha256:");
    }
}
