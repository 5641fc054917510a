//! The part of a transfer that never comes into this process: from socket to socket through a pipe.
//!
//! Only where both sides are in clear, nothing is to be done with the bytes, and much comes at once. It begins after some
//! reads that filled the buffer, and ends where little comes: for that a read and a write are as cheap, and need no pipe.

use super::{Broken, Reading, Transfer};
use crate::buffer::Buffers;
use crate::pipe::Lent;
use crate::stream::Stream;
use std::task::{Context, Poll, ready};

/// Reads in a row that filled the buffer before a pipe is taken.
const FULL_READS: u8 = 2;
/// What is left of a body for which no pipe is taken any more, and what a pipe has to get at once to go on.
const LITTLE: u64 = 32 * 1024;

/// What is known of how much comes.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// Reads that filled the buffer, in a row.
    full_reads: u8,
    pipe: Option<Lent>,
}

impl Bulk {
    /// A read has filled the buffer, or has not.
    #[inline]
    pub(super) fn note_read(&mut self, full: bool) {
        self.full_reads = match full {
            true => self.full_reads.saturating_add(1),
            false => 0,
        };
    }

    /// True where nothing waits in a pipe.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| pipe.holds() == 0)
    }
}

impl Transfer {
    /// True where what comes next goes through a pipe, which is there then.
    #[inline]
    pub(super) fn is_bulk(&mut self, from: &Stream, to: &Stream, buffers: &Buffers) -> bool {
        if self.bulk.full_reads < FULL_READS {
            return false;
        }
        self.bulk.pipe.is_some() || self.takes_pipe(from, to, buffers)
    }

    #[cold]
    fn takes_pipe(&mut self, from: &Stream, to: &Stream, buffers: &Buffers) -> bool {
        let as_it_is = !self.chunked_out && self.encoder.is_none();
        let in_clear = from.clear().is_some() && to.clear().is_some();
        if !as_it_is || !in_clear || self.is_nearly_over() {
            return false;
        }
        self.bulk.pipe = buffers.pipes.lend();
        self.bulk.pipe.is_some()
    }

    /// Bytes that may still come and need no look.
    fn comes(&self) -> u64 {
        match self.reading {
            Reading::Length(left) => left,
            Reading::UntilClose => self.allowed,
            Reading::Chunked(..) | Reading::Over => 0,
        }
    }

    fn is_nearly_over(&self) -> bool {
        self.comes() <= LITTLE
    }

    /// Fills the pipe and empties it. The pipe goes back where nothing is in it and nothing more comes for now.
    pub(super) fn poll_bulk(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), Broken>> {
        let most = self.comes();
        let (Some(pipe), Some(from), Some(to)) =
            (self.bulk.pipe.as_mut(), from.clear(), to.clear())
        else {
            return Poll::Ready(Ok(()));
        };
        if pipe.holds() == 0 {
            let came = match pipe.poll_fill(cx, from, most) {
                Poll::Ready(came) => came.map_err(|_| Broken::Source)?,
                Poll::Pending => {
                    self.bulk.pipe = None;
                    return Poll::Pending;
                }
            };
            self.moves += 1;
            if came == 0 {
                self.bulk = Bulk::default();
                return Poll::Ready(self.source_ended());
            }
            self.came_past(came as u64);
        }
        while let Some(pipe) = self.bulk.pipe.as_mut().filter(|pipe| pipe.holds() > 0) {
            let gone = ready!(pipe.poll_drain(cx, to)).map_err(|_| Broken::Sink)?;
            self.moves += 1;
            self.begun = true;
            self.body_bytes += gone as u64;
        }
        if self.bulk.full_reads < FULL_READS || self.is_nearly_over() {
            self.bulk = Bulk::default();
        }
        Poll::Ready(Ok(()))
    }

    /// So many bytes of the body came into the pipe.
    fn came_past(&mut self, bytes: u64) {
        match &mut self.reading {
            Reading::Length(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    self.reading = Reading::Over;
                }
            }
            _ => self.allowed = self.allowed.saturating_sub(bytes),
        }
        self.bulk.note_read(bytes >= LITTLE);
    }
}
