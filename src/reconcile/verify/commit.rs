//! A commit object taken apart into what was signed, by whom it says it is, and the signature.

use sha1::{Digest as _, Sha1};

use super::Fault;
use crate::model::revision::RawCommit;

/// A commit with its one signature.
pub(super) struct Signed {
    /// The object without the signature: what was signed.
    pub(super) payload: Vec<u8>,
    /// The signature, in its armour.
    pub(super) signature: Vec<u8>,
    /// The committer's e-mail.
    pub(super) email: String,
    /// The committer's time, in seconds since 1970.
    pub(super) time: i64,
}

impl Signed {
    /// Takes a commit apart, and checks that it has the name it came with.
    pub(super) fn parse(raw: &RawCommit) -> Result<Self, Fault> {
        let mut hash = Sha1::new();
        hash.update(format!("commit {}\0", raw.bytes.len()));
        hash.update(&raw.bytes);
        if hex::encode(hash.finalize()) != raw.id.as_str() {
            return Err(Fault::Malformed);
        }
        let headers = Headers::read(&raw.bytes)?;
        let (email, time) = headers.committer.ok_or(Fault::Malformed)?;
        let signature = match headers.signatures.len() {
            0 => return Err(Fault::Unsigned),
            1 => headers.signatures.into_iter().next().unwrap_or_default(),
            _ => return Err(Fault::Several),
        };
        Ok(Self {
            payload: headers.payload,
            signature,
            email,
            time,
        })
    }
}

#[derive(Default)]
struct Headers {
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    committer: Option<(String, i64)>,
}

impl Headers {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut headers = Self::default();
        let (mut rest, mut in_signature) = (bytes, false);
        loop {
            let end = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .ok_or(Fault::Malformed)?;
            let (line, behind) = rest.split_at(end + 1);
            if line == b"\n" {
                headers.payload.extend_from_slice(rest);
                return Ok(headers);
            }
            match line.strip_prefix(b" ") {
                Some(more) if in_signature => headers.continue_signature(more),
                Some(_) => headers.payload.extend_from_slice(line),
                None => in_signature = headers.begin(line)?,
            }
            rest = behind;
        }
    }

    fn continue_signature(&mut self, more: &[u8]) {
        if let Some(signature) = self.signatures.last_mut() {
            signature.extend_from_slice(more);
        }
    }

    /// Takes a header's first line; tells whether it begins a signature.
    fn begin(&mut self, line: &[u8]) -> Result<bool, Fault> {
        let space = line
            .iter()
            .position(|byte| *byte == b' ')
            .ok_or(Fault::Malformed)?;
        let (name, value) = (&line[..space], &line[space + 1..]);
        if matches!(name, b"gpgsig" | b"gpgsig-sha256") {
            self.signatures.push(value.to_vec());
            return Ok(true);
        }
        if name == b"committer" {
            let committer = parse_person(value).ok_or(Fault::Malformed)?;
            if self.committer.replace(committer).is_some() {
                return Err(Fault::Malformed);
            }
        }
        self.payload.extend_from_slice(line);
        Ok(false)
    }
}

/// Reads e-mail and time off `Name <e-mail> seconds zone`.
fn parse_person(value: &[u8]) -> Option<(String, i64)> {
    let text = std::str::from_utf8(value).ok()?;
    let (name, rest) = text.split_once('<')?;
    let (email, rest) = rest.split_once('>')?;
    let is_odd = |text: &str| text.contains(['<', '>']) || text.chars().any(char::is_control);
    let (time, _zone) = rest.trim().split_once(' ')?;
    match is_odd(name) || is_odd(email) || rest.contains(['<', '>']) {
        true => None,
        false => Some((email.to_owned(), time.parse().ok()?)),
    }
}
