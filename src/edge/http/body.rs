//! A body read within a bound, as sent and as unpacked, and within the room that there is for all.

use std::io::{self, Write};
use std::ops::Deref;

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

use super::room::{FIRST, Room, Taken};
use crate::model::failure::Failure;

/// What is made room for at first, whatever length is announced: an announcement costs its sender nothing.
const FIRST_ROOM: usize = 64 * 1024;

/// A body that was read, with the room it takes.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    _taken: Option<Taken>,
}

impl Body {
    /// Returns the bytes alone; they have no room of their own any more.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            _taken: None,
        }
    }
}

/// Reads a body of at most `limit` bytes, packed with gzip or not at all. Where there is a room, a large one has to have
/// its part of that.
///
/// # Errors
/// `TooLarge`; `Transport` when it is cut; `InvalidPayload` when it is packed in another way, or badly; `Timeout` when it
/// does not come to its end while others wait for room.
pub async fn read(
    mut answer: Response,
    limit: usize,
    room: Option<&Room>,
) -> Result<Body, Failure> {
    let announced = answer.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Failure::TooLarge);
    }
    let mut reading = Reading::of(&answer, limit, room)?;
    let mut sent = 0;
    while let Some(chunk) = reading.within_turn(answer.chunk()).await? {
        sent += chunk.len();
        // Packed bytes that unpack to nothing would go on for as long as there is time.
        if sent > limit {
            return Err(Failure::TooLarge);
        }
        reading.write_all(&chunk).await?;
    }
    reading.end().await
}

/// A body that is being read.
struct Reading<'a> {
    form: Form,
    /// The most that it may come to.
    most: usize,
    room: Option<&'a Room>,
    taken: Option<Taken>,
}

enum Form {
    Plain(Bounded),
    // A decoder is large, and most bodies come without.
    Packed(Box<MultiGzDecoder<Bounded>>),
}

impl<'a> Reading<'a> {
    fn of(answer: &Response, limit: usize, room: Option<&'a Room>) -> Result<Self, Failure> {
        let given = match room {
            Some(_) => limit.min(FIRST),
            None => limit,
        };
        let bounded = Bounded {
            bytes: Vec::with_capacity(limit.min(FIRST_ROOM)),
            given,
            limit,
            is_full: false,
        };
        let announced = answer.content_length();
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        let mut encodings = answer.headers().get_all(CONTENT_ENCODING).iter();
        let (form, most) = match (
            encodings.next().map(|value| value.as_bytes()),
            encodings.next(),
        ) {
            (None | Some(b"identity"), None) => (Form::Plain(bounded), announced.unwrap_or(limit)),
            (Some(b"gzip" | b"x-gzip"), None) => {
                let decoder = MultiGzDecoder::new(bounded);
                (Form::Packed(Box::new(decoder)), limit)
            }
            _ => return Err(Failure::InvalidPayload),
        };
        Ok(Self {
            form,
            most,
            room,
            taken: None,
        })
    }

    /// Returns what is sent next, unless its turn ends before.
    async fn within_turn<T>(
        &self,
        chunk: impl Future<Output = reqwest::Result<Option<T>>>,
    ) -> Result<Option<T>, Failure> {
        let chunk = match &self.taken {
            Some(taken) => tokio::select! {
                chunk = chunk => chunk,
                () = taken.over() => return Err(Failure::Timeout),
            },
            None => chunk.await,
        };
        chunk.map_err(|_| Failure::Transport)
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.form.write(bytes) {
                Ok(0) => return Err(self.form.bounded().failure()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) => self.mend(&error).await?,
            }
        }
        Ok(())
    }

    async fn end(mut self) -> Result<Body, Failure> {
        while let Err(error) = self.form.end() {
            self.mend(&error).await?;
        }
        if let Some(taken) = &self.taken {
            taken.settle();
        }
        Ok(Body {
            bytes: std::mem::take(&mut self.form.bounded().bytes),
            _taken: self.taken,
        })
    }

    /// Makes room for all that may come, where that is what is missing.
    async fn mend(&mut self, error: &io::Error) -> Result<(), Failure> {
        let is_mendable = error.kind() == io::ErrorKind::WouldBlock && self.taken.is_none();
        let (true, Some(room)) = (is_mendable, self.room) else {
            return Err(self.form.bounded().failure());
        };
        self.taken = Some(room.take(self.most).await);
        self.form.bounded().give(self.most);
        Ok(())
    }
}

impl Form {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.write(bytes),
            Self::Packed(decoder) => decoder.write(bytes),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Packed(decoder) => decoder.try_finish(),
        }
    }

    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Plain(bounded) => bounded,
            Self::Packed(decoder) => decoder.get_mut(),
        }
    }
}

/// Bytes up to a limit, as far as there is room for them.
struct Bounded {
    bytes: Vec<u8>,
    /// What there is room for.
    given: usize,
    limit: usize,
    is_full: bool,
}

impl Bounded {
    /// Tells why writing into it failed.
    fn failure(&self) -> Failure {
        match self.is_full {
            true => Failure::TooLarge,
            false => Failure::InvalidPayload,
        }
    }

    /// Gives room for so many bytes, and takes it.
    fn give(&mut self, bytes: usize) {
        self.given = bytes.max(self.given);
        self.grow(self.given);
    }

    /// Takes room for so many bytes. A vector that grows by itself takes up to twice of what it is to hold.
    fn grow(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes - self.bytes.len());
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.given - self.bytes.len());
        let held = self.bytes.len() + fits;
        if held > self.bytes.capacity() {
            self.grow((2 * held).min(self.given));
        }
        self.bytes.extend_from_slice(&bytes[..fits]);
        match fits {
            0 if bytes.is_empty() => Ok(0),
            0 if self.given < self.limit => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            0 => {
                self.is_full = true;
                Err(io::Error::from(io::ErrorKind::FileTooLarge))
            }
            fits => Ok(fits),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
