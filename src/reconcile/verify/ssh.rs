//! Signatures by SSH keys, and who may make them: the `allowed_signers` file of ssh-keygen.

use ssh_key::{Algorithm, LineEnding, PublicKey, SshSig, public::KeyData};
use thiserror::Error;

use super::Fault;
use super::commit::Signed;

/// The purpose that git gives its signatures.
const NAMESPACE: &str = "git";
/// The most lines of a file of signers.
const MAX_LINES: usize = 10_000;

/// Who may sign.
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
    revoked: Vec<KeyData>,
}

/// One line of the file.
#[derive(Clone, Debug)]
struct Signer {
    principals: Vec<String>,
    /// The purposes it is for; all when the line names none.
    namespaces: Option<Vec<String>>,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
    key: KeyData,
}

/// Why a file of signers cannot be used. A line that is not understood could be the one that limits a key,
/// so none is skipped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {why}")]
pub struct SignersError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl AllowedSigners {
    /// Parses an `allowed_signers` file, and a list of revoked public keys, one a line.
    ///
    /// # Errors
    /// A line that is not understood.
    pub fn parse(allowed: &str, revoked: &str) -> Result<Self, SignersError> {
        Ok(Self {
            signers: parse_lines(allowed, parse_signer)?,
            revoked: parse_lines(revoked, parse_key)?,
        })
    }

    /// Tells whether nobody may sign.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    pub(super) fn check(&self, signed: &Signed) -> Result<(), Fault> {
        let signature = parse_signature(&signed.signature).ok_or(Fault::Unreadable)?;
        let key = signature.public_key();
        // With SHA-1 anybody could make two commits of one signature.
        if matches!(
            signature.signature().algorithm(),
            Algorithm::Rsa { hash: None }
        ) {
            return Err(Fault::Unreadable);
        }
        if signature.namespace() != NAMESPACE {
            return Err(Fault::Namespace);
        }
        if self.revoked.contains(key) {
            return Err(Fault::RevokedKey);
        }
        let mut of_key = self
            .signers
            .iter()
            .filter(|signer| &signer.key == key)
            .peekable();
        if of_key.peek().is_none() {
            return Err(Fault::UnknownKey);
        }
        if !of_key.any(|signer| signer.is_for(signed)) {
            return Err(Fault::NotForThis);
        }
        PublicKey::new(key.clone(), "")
            .verify(NAMESPACE, &signed.payload, &signature)
            .map_err(|_| Fault::Invalid)
    }
}

/// Reads a signature. One that would be written otherwise than it is has lengths that do not fit, or bytes
/// that nothing reads.
fn parse_signature(armoured: &[u8]) -> Option<SshSig> {
    let signature = SshSig::from_pem(armoured).ok()?;
    let written = signature.to_pem(LineEnding::LF).ok()?;
    let without_ends = |bytes: &[u8]| -> Vec<u8> {
        bytes
            .iter()
            .copied()
            .filter(|byte| *byte != b'\n')
            .collect()
    };
    (without_ends(written.as_bytes()) == without_ends(armoured)).then_some(signature)
}

impl Signer {
    fn is_for(&self, signed: &Signed) -> bool {
        let names = |names: &Vec<String>| matches_list(names, NAMESPACE);
        matches_list(&self.principals, &signed.email)
            && self.namespaces.as_ref().is_none_or(names)
            && self.valid_after.is_none_or(|after| signed.time >= after)
            && self.valid_before.is_none_or(|before| signed.time < before)
    }
}

/// Tells whether a list of patterns names a text; a pattern with `!` before it takes it out again.
fn matches_list(patterns: &[String], text: &str) -> bool {
    let is_out = |pattern: &String| {
        pattern
            .strip_prefix('!')
            .is_some_and(|pattern| matches(pattern, text))
    };
    let is_in = |pattern: &String| !pattern.starts_with('!') && matches(pattern, text);
    patterns.iter().any(is_in) && !patterns.iter().any(is_out)
}

/// `*` stands for any text, `?` for one character. Takes time in proportion to both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn parse_lines<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, SignersError> {
    let mut parsed = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (line, refused) = (line.trim(), |why| SignersError { line: at + 1, why });
        if at >= MAX_LINES {
            return Err(refused("there are too many lines"));
        }
        if !line.is_empty() && !line.starts_with('#') {
            parsed.push(parse(line).map_err(refused)?);
        }
    }
    Ok(parsed)
}

fn parse_key(text: &str) -> Result<KeyData, &'static str> {
    let key = PublicKey::from_openssh(text).map_err(|_| "it holds no public key that is known")?;
    Ok(key.key_data().clone())
}

fn parse_signer(line: &str) -> Result<Signer, &'static str> {
    let (principals, rest) = cut_word(line)?;
    let (second, behind) = cut_word(rest)?;
    let is_key = ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| second.starts_with(kind));
    let (options, key) = match is_key {
        true => (String::new(), rest),
        false => (second, behind),
    };
    let mut signer = Signer {
        principals: list(principals.trim_matches('"')),
        namespaces: None,
        valid_after: None,
        valid_before: None,
        key: parse_key(key)?,
    };
    for option in split_options(&options) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => signer.namespaces = Some(list(value)),
            "valid-after" => signer.valid_after = Some(parse_time(value)?),
            "valid-before" => signer.valid_before = Some(parse_time(value)?),
            "cert-authority" => {
                return Err("certificates are not supported: name the keys themselves");
            }
            _ => return Err("it holds an option that is not known"),
        }
    }
    Ok(signer)
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Cuts off the text before the first blank that stands in no quotes.
fn cut_word(text: &str) -> Result<(String, &str), &'static str> {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => {
                return Ok((text[..at].to_owned(), text[at..].trim_start()));
            }
            _ => {}
        }
    }
    Err("principals, options and a public key are expected")
}

/// Splits at commas that stand in no quotes.
fn split_options(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let parts = text.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Reads `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, each in UTC, with or without a `Z`.
fn parse_time(text: &str) -> Result<i64, &'static str> {
    let bad = "a time is written YYYYMMDD or YYYYMMDDHHMM[SS], and read as UTC";
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return Err(bad);
    }
    let number = |from: usize| {
        digits
            .get(from..from + 2)
            .map_or(Ok(0_i8), str::parse)
            .map_err(|_| bad)
    };
    let year: i16 = digits[..4].parse().map_err(|_| bad)?;
    let time = jiff::civil::DateTime::new(
        year,
        number(4)?,
        number(6)?,
        number(8)?,
        number(10)?,
        number(12)?,
        0,
    );
    let zoned = time
        .ok()
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
    zoned.map(|zoned| zoned.timestamp().as_second()).ok_or(bad)
}
