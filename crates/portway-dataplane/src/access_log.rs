//! The way of access records out of a worker: batches over bounded channels, never waiting.
//!
//! A worker formats records into a buffer of its own and hands the buffer over when it is large or old enough, to each
//! destination of the listener; where a writer cannot keep up, whole batches are dropped and counted. What stands
//! before a record in a message of syslog is the writer's work, so that workers do it neither once nor several times.

use portway_model::log::LogLevel;
use portway_telemetry::metrics::SharedCounter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel as channel_of};
use std::time::SystemTime;

/// Bytes after which a worker hands its buffer over.
pub const BATCH_BYTES: usize = 32 * 1024;
/// Bytes of records, with what is noted of them, that may wait for a writer: some 20,000 records. However small batches are, so
/// many wait before one is dropped.
pub const WAITING_BYTES: usize = 4 * 1024 * 1024;
/// What a batch costs beside its records.
const BATCH_COST: usize = 64;

/// The workers' end: every destination of one listener.
#[derive(Debug, Clone)]
pub struct LogSink {
    to: Vec<(LogSender, usize)>,
    marked: bool,
}

/// One writer, as those see it who send to it.
#[derive(Debug, Clone)]
pub struct LogSender {
    packets: Sender<Packet>,
    queue: Arc<Queue>,
    /// As many as there are of these.
    holders: Arc<()>,
    counts: Arc<Counts>,
}

/// What both ends know of what waits.
#[derive(Debug, Default)]
struct Queue {
    bytes: AtomicUsize,
    is_ending: AtomicBool,
}

/// What became of records for one writer.
#[derive(Debug, Default)]
pub struct Counts {
    /// Its destination took them.
    pub written: SharedCounter,
    /// That it was to take without their end, because they were longer than a message may be.
    pub cut: SharedCounter,
    /// It was behind, or could not write them.
    pub dropped: SharedCounter,
}

/// The writer's end; a thread of control drains it until it ends.
#[derive(Debug)]
pub struct LogStream {
    packets: Receiver<Packet>,
    queue: Arc<Queue>,
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
    let (packets, receiver) = channel_of();
    let queue = Arc::new(Queue::default());
    let sender = LogSender {
        packets,
        queue: Arc::clone(&queue),
        holders: Arc::default(),
        counts: Arc::default(),
    };
    let packets = receiver;
    (sender, LogStream { packets, queue })
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
        let (cost, records) = (batch.cost(), batch.records);
        let has_room = |waiting: usize| {
            // A batch that is longer than all the room may wait alone.
            let next = waiting + cost;
            (waiting == 0 || next <= WAITING_BYTES).then_some(next)
        };
        let order = Ordering::Relaxed;
        if self
            .queue
            .bytes
            .fetch_update(order, order, has_room)
            .is_err()
        {
            return records;
        }
        match self.packets.send(Packet { batch, form }) {
            Ok(()) => 0,
            Err(_) => {
                self.queue.bytes.fetch_sub(cost, order);
                records
            }
        }
    }

    /// The writer is to hold nothing back any more: it writes what can be written, and ends.
    pub fn end_soon(&self) {
        self.queue.is_ending.store(true, Ordering::Relaxed);
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
    /// Bytes that it takes while it waits.
    fn cost(&self) -> usize {
        BATCH_COST + self.lines.len() + size_of_val(self.marks.as_slice())
    }

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
        let packet = self.packets.recv().ok()?;
        Some(self.taken(packet))
    }
}

impl LogStream {
    /// The next batch, where one is waiting.
    pub fn try_next(&mut self) -> Option<Packet> {
        let packet = self.packets.try_recv().ok()?;
        Some(self.taken(packet))
    }

    /// What it needs to know while it is read from.
    pub fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.queue))
    }

    fn taken(&self, packet: Packet) -> Packet {
        let cost = packet.batch.cost();
        self.queue.bytes.fetch_sub(cost, Ordering::Relaxed);
        packet
    }
}

/// Whether a writer is to end.
#[derive(Debug)]
pub struct Ending(Arc<Queue>);

impl Ending {
    /// True where it is to hold nothing back any more.
    pub fn has_come(&self) -> bool {
        self.0.is_ending.load(Ordering::Relaxed)
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
        let (slow, mut slow_stream) = channel();
        let (gone, stream) = channel();
        drop(stream);
        let sink = LogSink::new(vec![(fast, 1), (slow, 0), (gone, 0)], true);
        // However small batches are: 4 MiB wait.
        for bytes in [0, 1_000, 30_000] {
            let batch = || Batch {
                lines: vec![b'x'; bytes],
                records: 3,
                ..Batch::default()
            };
            for _ in 0..WAITING_BYTES / (bytes + BATCH_COST) {
                assert_eq!(sink.send(batch()), 3, "{bytes}");
                assert_eq!(fast_stream.try_next().map(|packet| packet.form), Some(1));
            }
            assert_eq!(sink.send(batch()), 6, "{bytes}");
            assert!(fast_stream.try_next().is_some());
            while slow_stream.try_next().is_some() {}
        }
        // One that is longer than that waits alone.
        let long = || Batch {
            lines: vec![b'x'; WAITING_BYTES],
            records: 3,
            ..Batch::default()
        };
        assert_eq!(sink.send(long()), 3);
        assert!(fast_stream.try_next().is_some());
        assert_eq!(sink.send(long()), 6);
        assert!(!slow_stream.ending().has_come());
        sink.to[1].0.end_soon();
        assert!(slow_stream.ending().has_come());
    }
}
