//! The way of access records out of a worker: batches over bounded channels, never waiting.
//!
//! A worker formats records into a buffer of its own and hands the buffer over when it is large or old enough, to each
//! destination of the listener; where a writer cannot keep up, whole batches are dropped and counted. What stands
//! before a record in a message of syslog is the writer's work, so that workers do it neither once nor several times.

use portway_model::log::LogLevel;
use portway_telemetry::metrics::SharedCounter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::SystemTime;

/// Bytes after which a worker hands its buffer over.
pub const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait for the writer: with [`BATCH_BYTES`] 4 MiB, some 20,000 records.
pub const BATCHES: usize = 128;

/// The workers' end: every destination of one listener.
#[derive(Debug, Clone)]
pub struct LogSink {
    to: Vec<(LogSender, usize)>,
    marked: bool,
}

/// One writer, as those see it who send to it.
#[derive(Debug, Clone)]
pub struct LogSender {
    packets: SyncSender<Packet>,
    /// As many as there are of these.
    holders: Arc<()>,
    counts: Arc<Counts>,
}

/// What became of records for one writer.
#[derive(Debug, Default)]
pub struct Counts {
    /// Its destination took them.
    pub written: SharedCounter,
    /// It was behind, or could not write them.
    pub dropped: SharedCounter,
}

/// The writer's end; a thread of control drains it until it ends.
#[derive(Debug)]
pub struct LogStream {
    packets: Receiver<Packet>,
}

/// A batch on its way to one destination.
#[derive(Debug)]
pub struct Packet {
    /// The records.
    pub batch: Arc<Batch>,
    /// Which of the writer's forms they get.
    pub form: usize,
}

/// Whole records.
#[derive(Debug, Default)]
pub struct Batch {
    /// The lines, each with its line feed, and its structured data before it.
    pub lines: Vec<u8>,
    /// How many.
    pub records: u32,
    /// One for each record where a destination needs them, else none; without them there is no structured data.
    pub marks: Vec<Mark>,
}

/// What is known of one record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Its level.
    pub level: LogLevel,
    /// When it was written.
    pub at: SystemTime,
    /// Bytes of structured data at its beginning.
    pub structured: usize,
    /// Where it ends in the lines, behind its line feed.
    pub end: usize,
}

/// A writer's two ends.
pub fn channel() -> (LogSender, LogStream) {
    let (sender, receiver) = sync_channel(BATCHES);
    let sender = LogSender {
        packets: sender,
        holders: Arc::default(),
        counts: Arc::default(),
    };
    (sender, LogStream { packets: receiver })
}

impl LogSender {
    /// Hands a batch over; gives back how many records had to be dropped because the writer is behind or gone, and counts them.
    pub fn send(&self, batch: Arc<Batch>, form: usize) -> u32 {
        let dropped = self.offer(batch, form);
        if dropped > 0 {
            self.counts.dropped.add(dropped.into());
        }
        dropped
    }

    /// What became of what was sent.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// As [`Self::send`], for what is no record: nothing is counted.
    pub fn offer(&self, batch: Arc<Batch>, form: usize) -> u32 {
        match self.packets.try_send(Packet { batch, form }) {
            Ok(()) => 0,
            Err(TrySendError::Full(packet) | TrySendError::Disconnected(packet)) => {
                packet.batch.records
            }
        }
    }
}

impl LogSender {
    /// How many there are of this writer, this one included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.holders)
    }

    /// True for two of one writer.
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.holders, &other.holders)
    }
}

impl LogSink {
    /// A sink for these writers, each with its form. `marked`: some of them need marks.
    pub fn new(to: Vec<(LogSender, usize)>, marked: bool) -> Self {
        Self { to, marked }
    }

    /// True where each record must have its mark.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Hands a batch over to each writer; gives back how many records had to be dropped, over all of them.
    pub fn send(&self, batch: Batch) -> u32 {
        let batch = Arc::new(batch);
        let dropped = |(sender, form): &(LogSender, usize)| sender.send(Arc::clone(&batch), *form);
        self.to.iter().map(dropped).sum()
    }
}

impl From<LogSender> for LogSink {
    /// Lines as they are.
    fn from(sender: LogSender) -> Self {
        Self::new(vec![(sender, 0)], false)
    }
}

impl Batch {
    /// Each record with its mark: structured data and text, without the line feed.
    pub fn marked(&self) -> impl Iterator<Item = (&Mark, &[u8], &[u8])> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let record = self.lines.get(start..mark.end).unwrap_or_default();
            start = mark.end;
            let (structured, text) = record.split_at_checked(mark.structured).unwrap_or_default();
            (mark, structured, text.strip_suffix(b"\n").unwrap_or(text))
        })
    }
}

impl Iterator for LogStream {
    type Item = Packet;

    /// Waits for the next batch; `None` when every sink is gone.
    fn next(&mut self) -> Option<Packet> {
        self.packets.recv().ok()
    }
}

impl LogStream {
    /// The next batch, where one is waiting.
    pub fn try_next(&mut self) -> Option<Packet> {
        self.packets.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_marks() {
        let mark = |structured, end| Mark {
            level: LogLevel::Info,
            at: SystemTime::UNIX_EPOCH,
            structured,
            end,
        };
        let batch = Batch {
            lines: b"one\n[a]two\n\n".to_vec(),
            records: 3,
            marks: vec![mark(0, 4), mark(3, 11), mark(0, 12)],
        };
        let parts: Vec<(&[u8], &[u8])> = batch
            .marked()
            .map(|(_, structured, text)| (structured, text))
            .collect();
        assert_eq!(
            parts,
            [(&b""[..], &b"one"[..]), (b"[a]", b"two"), (b"", b"")]
        );
    }

    #[test]
    fn each_destination_loses_for_itself() {
        let (fast, mut fast_stream) = channel();
        let (slow, _slow_stream) = channel();
        let (gone, stream) = channel();
        drop(stream);
        let sink = LogSink::new(vec![(fast, 1), (slow, 0), (gone, 0)], true);
        let batch = || Batch {
            records: 3,
            ..Batch::default()
        };
        for _ in 0..BATCHES {
            assert_eq!(sink.send(batch()), 3);
            assert_eq!(fast_stream.try_next().map(|packet| packet.form), Some(1));
        }
        assert_eq!(sink.send(batch()), 6);
        assert!(fast_stream.try_next().is_some());
    }
}
