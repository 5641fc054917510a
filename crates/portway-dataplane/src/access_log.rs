//! The way of access records out of a worker: batches over a bounded channel, never waiting.
//!
//! A worker formats records into a buffer of its own and hands the buffer over when it is large or old enough;
//! where the writer cannot keep up, whole batches are dropped and counted.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Bytes after which a worker hands its buffer over.
pub const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait for the writer: with [`BATCH_BYTES`] 4 MiB, some 20,000 records.
pub const BATCHES: usize = 128;

/// The workers' end.
#[derive(Debug, Clone)]
pub struct LogSink {
    batches: SyncSender<Batch>,
}

/// The writer's end; a thread of control drains it until it ends.
#[derive(Debug)]
pub struct LogStream {
    batches: Receiver<Batch>,
}

/// Whole lines.
#[derive(Debug)]
pub struct Batch {
    /// The lines, each with its line feed.
    pub lines: Vec<u8>,
    /// How many.
    pub records: u32,
}

/// A new pair of ends.
pub fn channel() -> (LogSink, LogStream) {
    let (sender, receiver) = sync_channel(BATCHES);
    (LogSink { batches: sender }, LogStream { batches: receiver })
}

impl LogSink {
    /// Hands a batch over; gives back how many records had to be dropped because the writer is behind or gone.
    pub fn send(&self, batch: Batch) -> u32 {
        match self.batches.try_send(batch) {
            Ok(()) => 0,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => batch.records,
        }
    }
}

impl Iterator for LogStream {
    type Item = Batch;

    /// Waits for the next batch; `None` when every sink is gone.
    fn next(&mut self) -> Option<Batch> {
        self.batches.recv().ok()
    }
}
