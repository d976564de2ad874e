//! A body read within a bound, as sent and as unpacked.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

use crate::model::failure::Failure;

/// What is made room for at first, whatever length is announced: an announcement costs its sender nothing.
const FIRST_ROOM: usize = 64 * 1024;

/// Reads a body of at most `limit` bytes, packed with gzip or not at all.
///
/// # Errors
/// `TooLarge`; `Transport` when it is cut; `InvalidPayload` when it is packed in another way, or badly.
pub async fn read(mut answer: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let announced = answer.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Failure::TooLarge);
    }
    let mut body = Body::of(&answer, limit)?;
    let mut sent = 0;
    while let Some(chunk) = answer.chunk().await.map_err(|_| Failure::Transport)? {
        sent += chunk.len();
        // Packed bytes that unpack to nothing would go on for as long as there is time.
        if sent > limit {
            return Err(Failure::TooLarge);
        }
        body.write(&chunk)?;
    }
    body.end()
}

enum Body {
    Plain(Bounded),
    // A decoder is large, and most bodies come without.
    Packed(Box<MultiGzDecoder<Bounded>>),
}

impl Body {
    fn of(answer: &Response, limit: usize) -> Result<Self, Failure> {
        let bounded = Bounded {
            bytes: Vec::with_capacity(limit.min(FIRST_ROOM)),
            limit,
            is_full: false,
        };
        let mut encodings = answer.headers().get_all(CONTENT_ENCODING).iter();
        match (
            encodings.next().map(|value| value.as_bytes()),
            encodings.next(),
        ) {
            (None | Some(b"identity"), None) => Ok(Self::Plain(bounded)),
            (Some(b"gzip" | b"x-gzip"), None) => {
                Ok(Self::Packed(Box::new(MultiGzDecoder::new(bounded))))
            }
            _ => Err(Failure::InvalidPayload),
        }
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Plain(bounded) => bounded.write_all(chunk).map_err(|_| Failure::TooLarge),
            Self::Packed(decoder) => {
                let written = decoder.write_all(chunk);
                written.map_err(|_| decoder.get_ref().failure())
            }
        }
    }

    fn end(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes),
            Self::Packed(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(std::mem::take(&mut decoder.get_mut().bytes)),
                Err(_) => Err(decoder.get_ref().failure()),
            },
        }
    }
}

/// Bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Bounded {
    /// Tells why unpacking into it failed.
    fn failure(&self) -> Failure {
        match self.is_full {
            true => Failure::TooLarge,
            false => Failure::InvalidPayload,
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
