//! The guards of a pass.

use jiff::Timestamp;

use super::grammar::check_words;
use super::notes::Notes;
use crate::spec::path::Path;
use crate::spec::platform::{Freeze, Safety};
use crate::spec::types;

/// The most freezes.
const MOST: usize = 100;

/// Checks `safety`.
pub(super) fn check(notes: &mut Notes<'_>, written: Option<&types::Safety>) -> Option<Safety> {
    let root = Path::ROOT;
    let safety = root.key("safety");
    let path = safety.key("freeze");
    let written = written.cloned().unwrap_or_default();
    if written.freeze.len() > MOST {
        notes.error(
            &path,
            format!("has more than {MOST} entries"),
            "delete past ones",
        );
        return None;
    }
    let windows = written.freeze.iter().enumerate();
    let freeze = windows.filter_map(|(index, one)| check_freeze(notes, &path.index(index), one));
    Some(Safety {
        freeze: freeze.collect(),
        max_deleted_percent: written.max_deleted_percent.unwrap_or(20),
        max_emission_change_points: written.max_emission_change_points.unwrap_or(25),
    })
}

fn check_freeze(notes: &mut Notes<'_>, path: &Path<'_>, written: &types::Freeze) -> Option<Freeze> {
    if let Some(why) = &written.why {
        check_words(notes, &path.key("why"), why, 512);
    }
    let from = check_time(notes, &path.key("from"), written.from.as_ref());
    let to = check_time(notes, &path.key("to"), written.to.as_ref());
    let (from, to) = (from?, to?);
    if from >= to {
        notes.error(
            &path.key("to"),
            "does not come after `from`",
            "write a later time, or exchange the two",
        );
    }
    Some(Freeze {
        from,
        to,
        why: written.why.clone()?,
    })
}

fn check_time(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&String>,
) -> Option<Timestamp> {
    let text = written?;
    let time = parse_time(text);
    if time.is_none() {
        notes.error(
            path,
            "is no point in time",
            "write it as `2026-12-24T00:00Z` or `2026-12-24T00:00:00+01:00`",
        );
    }
    time
}

/// Reads RFC 3339; the seconds may be left out.
fn parse_time(text: &str) -> Option<Timestamp> {
    let is_shaped = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    if text.len() > 40 || !is_shaped(4, b'-') || !is_shaped(10, b'T') || !is_shaped(13, b':') {
        return None;
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let (minutes, zone) = text.split_at_checked(16)?;
    format!("{minutes}:00{zone}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_seconds() {
        let same = [
            "2026-12-24T00:00Z",
            "2026-12-24T00:00:00Z",
            "2026-12-24T01:00:00+01:00",
            "2026-12-24T01:00+01:00",
        ];
        for text in same {
            assert_eq!(
                parse_time(text).map(|t| t.to_string()).as_deref(),
                Some("2026-12-24T00:00:00Z"),
                "{text}"
            );
        }
        for bad in [
            "",
            "2026-12-24",
            "2026-12-24T00:00",
            "2026-13-01T00:00Z",
            "now",
            "20261224T0000Z",
            "2026-12-24T00:00é",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
