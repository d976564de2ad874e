//! A stream whose reader has to take enough of what is written, so that an answer comes to its end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How much has to be taken within the limit, where there is as much. With a single byte now and then a reader would hold
/// an answer for as long as it likes; with this it holds 16 MiB for two hours, at 2 KiB a second.
const ENOUGH: usize = 64 * 1024;

/// A stream that fails where too little of what is written is taken for too long. It costs nothing while all is taken at
/// once.
pub(super) struct Paced<T> {
    stream: T,
    limit: Duration,
    stalled: Option<Stall>,
}

/// A reader that did not take all at once. It lasts until enough is taken, or all that there is.
struct Stall {
    ends: Pin<Box<Sleep>>,
    taken: usize,
}

impl<T> Paced<T> {
    pub(super) fn new(stream: T, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            stalled: None,
        }
    }

    /// Passes on what came of writing.
    fn judge_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(Ok(bytes)) = written else {
            return self.judge(cx, written);
        };
        if let Some(stall) = &mut self.stalled {
            stall.taken += bytes;
        }
        self.stalled.take_if(|stall| stall.taken >= ENOUGH);
        written
    }

    /// Passes on what came of writing all that there is; it has failed once too little was taken for as long as is
    /// allowed.
    fn judge<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stall = self.stalled.get_or_insert_with(|| Stall {
            ends: Box::pin(tokio::time::sleep(limit)),
            taken: 0,
        });
        ready!(stall.ends.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_ends_the_stream() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let began = Instant::now();
        let written = Paced::new(ours, LIMIT).write_all(&[0; 64]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), LIMIT);
    }

    /// Takes bytes in parts of this size, one after each pause.
    async fn take(reader: &mut DuplexStream, part: usize, pause: Duration) -> usize {
        let (mut taken, mut buffer) = (0, vec![0; part]);
        loop {
            tokio::time::sleep(pause).await;
            match reader.read(&mut buffer).await.unwrap() {
                0 => return taken,
                read => taken += read,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_too_little_ends_the_stream() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let began = Instant::now();
        let writing = async {
            let written = Paced::new(ours, LIMIT).write_all(&[0; 1 << 20]).await;
            (written, began.elapsed())
        };
        let reading = take(&mut theirs, 4096, LIMIT - Duration::from_secs(1));
        let ((written, lasted), _) = tokio::join!(writing, reading);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(lasted, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_slow_and_steady_gets_everything() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let began = Instant::now();
        let writing = async {
            let mut ours = Paced::new(ours, LIMIT);
            ours.write_all(&[0; 1 << 20]).await
        };
        let reading = take(&mut theirs, 4096, Duration::from_secs(1));
        let (written, taken) = tokio::join!(writing, reading);
        written.unwrap();
        assert_eq!(taken, 1 << 20);
        assert!(began.elapsed() > LIMIT * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_over_once_all_that_there_was_is_taken() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Paced::new(ours, LIMIT);
        for _ in 0..3 {
            let writing = async {
                ours.write_all(&[0; 64]).await.unwrap();
                ours.flush().await.unwrap();
            };
            let reading = async {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut [0; 64]).await.unwrap();
            };
            tokio::join!(writing, reading);
            // Nothing is asked for meanwhile.
            tokio::time::sleep(LIMIT * 2).await;
        }
    }
}
