//! The part of a transfer that never comes into this process: from socket to socket through a pipe.
//!
//! Only where both sides are in clear, nothing is to be done with the bytes, and much comes at once. It begins after some
//! reads that filled the buffer, and ends where little comes: for that a read and a write are as cheap, and need no pipe.
//! What is in the pipe came before everything that is still to be read, so it leaves first.

use super::{Broken, Reading, Transfer};
use crate::buffer::Buffers;
use crate::pipe::{Filled, Lent};
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
    /// There was no pipe for it, and that was counted.
    went_without: bool,
    /// The kernel moves nothing between these sockets.
    never: bool,
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

    /// Goes on by reading and writing. Whatever is in the pipe is lost.
    pub(super) fn stop(&mut self) {
        self.full_reads = 0;
        self.pipe = None;
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
        let as_it_is = !self.chunked_out && self.encoder.is_none() && !self.bulk.never;
        let in_clear = from.clear().is_some() && to.clear().is_some();
        if !as_it_is || !in_clear || self.is_nearly_over() {
            return false;
        }
        self.bulk.pipe = buffers.pipes.lend(&mut self.bulk.went_without);
        if self.bulk.pipe.is_none() {
            // Not to be asked for again with each read.
            self.bulk.full_reads = 0;
            return false;
        }
        // It is empty: everything that came before was sent.
        self.buffer = None;
        true
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

    /// Fills the pipe, which is empty. It goes back where nothing comes for now, and where only a read tells what is next.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &Stream) -> Poll<()> {
        let most = self.comes();
        let (Some(pipe), Some(from)) = (self.bulk.pipe.as_mut(), from.clear()) else {
            return Poll::Ready(());
        };
        let Poll::Ready(filled) = pipe.poll_fill(cx, from, most) else {
            self.bulk.pipe = None;
            return Poll::Pending;
        };
        match filled {
            Filled::With(bytes) => {
                self.moves += 1;
                self.came_past(bytes as u64);
            }
            Filled::ReadInstead => self.bulk.stop(),
            Filled::Never => {
                self.bulk.stop();
                self.bulk.never = true;
            }
        }
        Poll::Ready(())
    }

    /// Empties the pipe. It goes back where what follows is little.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &Stream,
    ) -> Poll<Result<(), Broken>> {
        let Some(to) = to.clear() else {
            return Poll::Ready(Err(Broken::Sink));
        };
        while let Some(pipe) = self.bulk.pipe.as_mut().filter(|pipe| pipe.holds() > 0) {
            let gone = ready!(pipe.poll_drain(cx, to)).map_err(|_| Broken::Sink)?;
            self.moves += 1;
            self.begun = true;
            self.body_bytes += gone as u64;
        }
        if self.bulk.full_reads < FULL_READS || self.is_nearly_over() {
            self.bulk.stop();
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
                    self.give_back();
                }
            }
            _ => self.allowed = self.allowed.saturating_sub(bytes),
        }
        self.bulk.note_read(bytes >= LITTLE);
    }
}
