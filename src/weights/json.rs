//! JSON as challenges write it: a reader that goes through a text once and keeps nothing.
//!
//! Beyond the standard it takes what Python's writer makes of floats, `NaN`, `Infinity` and `-Infinity`, and
//! numbers beyond the range of doubles; each is a number that is not finite. For that alone a parser that
//! refuses them does not serve. Depth is bounded, and nothing is allocated but texts that have escapes.

use std::borrow::Cow;

use sonic_number::{Error as NumberError, ParserNumber, parse_number};
use thiserror::Error;

/// How deep values may be nested; those that are read are nested four deep at most.
const MAX_DEPTH: u32 = 64;

/// Where a text is not the JSON it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("at byte {at}: {expected} is expected")]
pub(super) struct Fault {
    /// The byte, counted from zero.
    pub(super) at: usize,
    /// What would be right.
    pub(super) expected: &'static str,
}

/// Reads one value after the other.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// Begins a text.
    ///
    /// # Errors
    /// The bytes are no UTF-8.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| Fault {
            at: error.valid_up_to(),
            expected: "UTF-8",
        })?;
        Ok(Self {
            text,
            at: 0,
            depth: 0,
        })
    }

    /// Reads an object; each member's value is to be read where its name is given.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.opening(b'{', "an object")?;
        let mut is_first = true;
        while !self.closing(b'}', is_first)? {
            is_first = false;
            let name = self.string()?;
            self.byte(b':', "`:`")?;
            member(self, name)?;
        }
        Ok(())
    }

    /// Reads an array; each of its values is to be read.
    pub(super) fn array(
        &mut self,
        mut value: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.opening(b'[', "an array")?;
        let mut is_first = true;
        while !self.closing(b']', is_first)? {
            is_first = false;
            value(self)?;
        }
        Ok(())
    }

    /// Reads a text.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a text"));
        }
        self.at += 1;
        let rest = &self.text.as_bytes()[self.at..];
        // Nearly all are hotkeys, which are so long; looked at as one block they cost least.
        if let Some((hotkey, [b'"', ..])) = rest.split_first_chunk::<HOTKEY>()
            && hotkey
                .iter()
                .fold(true, |plain, byte| plain & is_plain(*byte))
        {
            let start = self.at;
            self.at += HOTKEY + 1;
            return Ok(Cow::Borrowed(&self.text[start..start + HOTKEY]));
        }
        self.any_string()
    }

    /// Reads a text of any length, whose first quotation mark was read.
    #[inline(never)]
    fn any_string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let wrong = Fault {
            at: start - 1,
            expected: "a text",
        };
        let mut has_escapes = false;
        loop {
            let rest = bytes.get(self.at..).ok_or(wrong)?;
            self.at += memchr::memchr2(b'"', b'\\', rest).ok_or(wrong)?;
            if bytes[self.at] == b'"' {
                break;
            }
            has_escapes = true;
            self.at += 2;
        }
        let end = self.at;
        self.at += 1;
        let text = &self.text[start..end];
        // To the end even so, that many bytes are looked at at once.
        if text
            .bytes()
            .fold(false, |found, byte| found | (byte < b' '))
        {
            return Err(wrong);
        }
        match has_escapes {
            false => Ok(Cow::Borrowed(text)),
            true => serde_json::from_str(&self.text[start - 1..=end])
                .map(Cow::Owned)
                .map_err(|_| wrong),
        }
    }

    /// Reads a number, or what stands for one; what is not finite is not a number.
    pub(super) fn number(&mut self) -> Result<f64, Fault> {
        let first = self.peek();
        let words = ["null", "NaN", "Infinity", "-Infinity"];
        if !first.is_some_and(|byte| byte.is_ascii_digit())
            && words.iter().any(|word| self.word(word))
        {
            return Ok(f64::NAN);
        }
        let is_negative = first == Some(b'-');
        let start = self.at;
        let mut end = start + usize::from(is_negative);
        let wrong = Fault {
            at: start,
            expected: "a number",
        };
        // Its sign is ours: it knows no zero below zero.
        let number = match parse_number(self.text.as_bytes(), &mut end, false) {
            Ok(ParserNumber::Float(number)) => number,
            Ok(ParserNumber::Unsigned(number)) => number as f64,
            Ok(ParserNumber::Signed(number)) => number as f64,
            Err(NumberError::FloatMustBeFinite) => return self.literal().map(|_| f64::NAN),
            Err(NumberError::InvalidNumber) => return Err(wrong),
        };
        // A number that goes on is none.
        if matches!(
            self.text.as_bytes().get(end),
            Some(b'0'..=b'9' | b'.' | b'e' | b'E')
        ) {
            return Err(wrong);
        }
        self.at = end;
        Ok(match is_negative {
            true => -number,
            false => number,
        })
    }

    /// Reads a number as it is written.
    pub(super) fn literal(&mut self) -> Result<&'a str, Fault> {
        let wrong = self.fault("a number");
        let (start, bytes) = (self.at, self.text.as_bytes());
        let digits = |from: usize| {
            let rest = &bytes[from.min(bytes.len())..];
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            from + count
        };
        let mut end = start + usize::from(bytes.get(start) == Some(&b'-'));
        let whole = digits(end);
        if whole == end || (whole > end + 1 && bytes[end] == b'0') {
            return Err(wrong);
        }
        end = whole;
        if bytes.get(end) == Some(&b'.') {
            let after = digits(end + 1);
            if after == end + 1 {
                return Err(wrong);
            }
            end = after;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            let from = end + 1 + usize::from(sign);
            let after = digits(from);
            if after == from {
                return Err(wrong);
            }
            end = after;
        }
        self.at = end;
        Ok(&self.text[start..end])
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&mut self) -> Result<bool, Fault> {
        let is_true = self.word("true");
        match is_true || self.word("false") {
            true => Ok(is_true),
            false => Err(self.fault("true or false")),
        }
    }

    /// Reads any value and drops it.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b'"') => self.string().map(drop),
            Some(b't' | b'f') => self.flag().map(drop),
            _ => self.number().map(drop).map_err(|fault| Fault {
                expected: "a value",
                ..fault
            }),
        }
    }

    /// Returns the first byte of the next value.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Returns how many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    /// Ends the text.
    ///
    /// # Errors
    /// Something follows.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("nothing more")),
        }
    }

    /// Returns what to say where something else stands here.
    pub(super) fn fault(&mut self, expected: &'static str) -> Fault {
        self.peek();
        Fault {
            at: self.at,
            expected,
        }
    }

    fn opening(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        self.byte(byte, expected)?;
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(self.fault("less depth")),
            false => Ok(()),
        }
    }

    /// Tells whether an object or array ends here; otherwise goes on to the next of it.
    fn closing(&mut self, byte: u8, is_first: bool) -> Result<bool, Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            self.depth -= 1;
            return Ok(true);
        }
        if !is_first {
            self.byte(b',', "`,` or an end")?;
        }
        Ok(false)
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let is_here = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if is_here {
            self.at += word.len();
        }
        is_here
    }
}

/// Letters of a hotkey.
const HOTKEY: usize = 48;

/// Tells whether a byte of a text stands for itself.
fn is_plain(byte: u8) -> bool {
    (byte >= b' ') & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skip(text: &str) -> Result<(), Fault> {
        let mut reader = Reader::new(text.as_bytes())?;
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_begins() {
        for (text, at) in [
            ("", 0),
            ("tru", 0),
            ("truefalse", 4),
            ("[1,]", 3),
            ("[,1]", 1),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("{\"a\" 1}", 5),
            ("[1 2]", 3),
            ("[1", 2),
            ("01", 0),
            ("-", 0),
            ("1.", 0),
            (".5", 0),
            ("1e", 0),
            ("1e+", 0),
            ("1.e1", 0),
            ("-.5", 0),
            ("-01", 0),
            ("inf", 0),
            ("-infinity", 0),
            ("1.5.", 0),
            ("+1", 0),
            ("nan", 0),
            ("\"a", 0),
            ("\"\\", 0),
            ("\"\\ud800\"", 0),
            ("\"\n\"", 0),
            ("1 1", 2),
        ] {
            assert_eq!(skip(text).unwrap_err().at, at, "{text}");
        }
        assert_eq!(Reader::new(b"\"\xff\"").err().unwrap().at, 1);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(skip(&nested(64)), Ok(()));
        assert_eq!(skip(&nested(65)).unwrap_err().expected, "less depth");
        assert!(skip(&"[{\"a\":".repeat(1_000_000)).is_err());
    }

    #[test]
    fn numbers_of_many_digits_are_read_to_their_end() {
        let many = |digits: &str| digits.repeat(100);
        for text in [
            format!("0.{}", many("123")),
            format!("{}.{}e-300", many("9"), many("7")),
            format!("-0.{}1", many("0000")),
            format!("1{}e-310", many("000")),
            "18446744073709551616".to_owned(),
            "2.2250738585072011e-308".to_owned(),
            "-0".to_owned(),
            "-0.0e5".to_owned(),
        ] {
            let mut reader = Reader::new(text.as_bytes()).unwrap();
            let read = reader.number().unwrap();
            assert_eq!(reader.end(), Ok(()), "{text}");
            let number: f64 = text.parse().unwrap();
            assert_eq!(read.to_bits(), number.to_bits(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_takes_what_a_strict_parser_takes(text in r#"[\[\]{}",:0-9eE+.a\\u \-]{0,12}"#) {
            let strict = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers beyond the range of doubles are taken too.
            let is_beyond = strict.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            if !is_beyond {
                prop_assert_eq!(skip(&text).is_ok(), strict.is_ok(), "{}", text);
            }
        }

        #[test]
        fn texts_are_as_a_strict_parser_reads_them(text: String) {
            let written = serde_json::to_string(&text).unwrap();
            let read = Reader::new(written.as_bytes()).unwrap().string().unwrap().into_owned();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn texts_as_long_as_hotkeys_are_no_exception(text in "[a-z\u{0}\u{e9}\"\\\\]{44,52}") {
            let written = format!("\"{text}\"");
            let strict = serde_json::from_str::<String>(&written).ok();
            let mut reader = Reader::new(written.as_bytes()).unwrap();
            let read = reader.string().ok().map(Cow::into_owned);
            prop_assert_eq!(read.filter(|_| reader.end().is_ok()), strict);
        }

        #[test]
        fn numbers_are_the_nearest_doubles(number: f64) {
            prop_assume!(number.is_finite());
            let read = Reader::new(format!("{number:e}").as_bytes()).unwrap().number().unwrap();
            prop_assert_eq!(read.to_bits(), number.to_bits());
        }
    }
}
