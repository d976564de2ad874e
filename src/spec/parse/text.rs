//! What can be said about a file's bytes before they are YAML: encoding, control characters, marks of
//! an unfinished merge, and whether the file is whole.

use super::tree::{At, Fault};

/// Checks the bytes and returns them as text.
///
/// # Errors
/// The bytes are no UTF-8, hold control characters or merge marks, or end in the middle of a line.
pub(super) fn check_text(bytes: &[u8], file: u16) -> Result<&str, Fault> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error, file))?;
    let mut at = At::start(file);
    for line in text.split_inclusive('\n') {
        check_line(line, at)?;
        at.line += 1;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        at.line -= 1;
        return Err(Fault::new(
            at,
            "the last line has no line break: the file may have been cut off",
            "compare its end with what was meant, then end the last line with a line break",
        ));
    }
    Ok(text)
}

fn not_utf8(bytes: &[u8], error: std::str::Utf8Error, file: u16) -> Fault {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        let message = "the file is UTF-16";
        return Fault::new(At::start(file), message, "save it as UTF-8");
    }
    let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let text = String::from_utf8_lossy(good);
    Fault::new(
        end_of(&text, file),
        "the bytes here are no UTF-8",
        "save the file as UTF-8",
    )
}

/// Returns the place behind a text.
fn end_of(text: &str, file: u16) -> At {
    let last = text.rsplit('\n').next().unwrap_or_default();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At {
        file,
        line: count(text.matches('\n').count()).saturating_add(1),
        column: count(last.chars().count()).saturating_add(1),
    }
}

fn check_line(line: &str, at: At) -> Result<(), Fault> {
    let bare = line.trim_end_matches(['\n', '\r']);
    let is_mark = |mark: &str| {
        bare.strip_prefix(mark)
            .is_some_and(|r| r.is_empty() || r.starts_with(' '))
    };
    if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"]
        .into_iter()
        .any(is_mark)
    {
        return Err(Fault::new(
            at,
            "this line is the mark of a merge conflict",
            "finish the merge: keep one side and delete the marks",
        ));
    }
    // A byte-order mark behind the beginning shows nowhere and is another letter of a name.
    let control = |c: char| c.is_control() && c != '\t' || c == '\u{feff}';
    match bare.chars().position(control) {
        None => Ok(()),
        Some(position) => {
            let mut at = at;
            at.column = u32::try_from(position)
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            Err(Fault::new(
                at,
                "a control character stands here",
                "delete it; in double quotes it can be written as an escape",
            ))
        }
    }
}
