//! Records of access logs on their way: a buffer for each listener of a generation, handed over when it is full or has
//! waited for a while.

use crate::access_log::{BATCH_BYTES, Batch, LogSink, Mark};
use crate::plane::Plane;
use portway_model::draft::LogFormat;
use portway_model::snapshot::{Listener, ListenerId};
use portway_telemetry::access_log::{Format, Formatter};
use portway_telemetry::metrics::{Limit, WorkerMetrics};
use std::cell::RefCell;
use std::sync::Arc;

/// The buffers of all listeners, in the order of the plane.
pub(crate) struct LogBuffers {
    buffers: RefCell<Vec<LogBuffer>>,
    /// Spans for a collector.
    spans: RefCell<LogBuffer>,
    metrics: Arc<WorkerMetrics>,
}

/// Records of one listener that were not handed over yet.
struct LogBuffer {
    formatter: Formatter,
    batch: Batch,
}

impl LogBuffer {
    fn of(listener: &Listener) -> Self {
        let log = listener.access_log.as_ref();
        let format = match log.map(|log| &log.format) {
            Some(LogFormat::Combined) => Format::Combined,
            Some(LogFormat::Alb) => Format::Alb,
            _ => Format::Json,
        };
        Self::new(format)
    }

    fn new(format: Format) -> Self {
        Self {
            formatter: Formatter::new(format),
            batch: Batch::default(),
        }
    }
}

impl LogBuffers {
    /// Empty ones. What is dropped on the way is counted by the worker.
    pub(crate) fn new(plane: &Plane, metrics: &Arc<WorkerMetrics>) -> Self {
        let listeners = plane.snapshot.listeners.iter();
        let buffers = listeners.map(|listener| LogBuffer::of(listener)).collect();
        Self {
            buffers: RefCell::new(buffers),
            spans: RefCell::new(LogBuffer::new(Format::Json)),
            metrics: Arc::clone(metrics),
        }
    }

    /// Adds a record of a listener. `write` appends structured data, gives back how many bytes that is, and appends the line
    /// with its line feed; `mark` is asked for where a destination wants to know more of it.
    #[inline]
    pub(crate) fn add(
        &self,
        plane: &Plane,
        listener: ListenerId,
        mark: impl FnOnce() -> Mark,
        write: impl FnOnce(&mut Formatter, &mut Vec<u8>) -> usize,
    ) {
        let mut buffers = self.buffers.borrow_mut();
        let buffer = buffers.get_mut(listener.index());
        let (Some(buffer), Some((_, parts))) = (buffer, plane.listener(listener)) else {
            return;
        };
        let batch = &mut buffer.batch;
        let structured = write(&mut buffer.formatter, &mut batch.lines);
        batch.records += 1;
        parts.state.recorded();
        if parts.log.as_ref().is_some_and(LogSink::is_marked) {
            batch.marks.push(Mark {
                structured,
                end: batch.lines.len(),
                ..mark()
            });
        }
        if batch.lines.len() >= BATCH_BYTES {
            self.hand_over(buffer, parts.log.as_ref());
        }
    }

    /// Adds a span. `write` appends its line.
    pub(crate) fn add_span(&self, plane: &Plane, write: impl FnOnce(&mut Formatter, &mut Vec<u8>)) {
        let mut spans = self.spans.borrow_mut();
        let LogBuffer { formatter, batch } = &mut *spans;
        write(formatter, &mut batch.lines);
        batch.records += 1;
        if batch.lines.len() >= BATCH_BYTES {
            self.hand_spans_over(&mut spans, plane);
        }
    }

    fn hand_spans_over(&self, spans: &mut LogBuffer, plane: &Plane) {
        if spans.batch.records > 0 {
            let batch = std::mem::take(&mut spans.batch);
            let records = batch.records;
            let sink = plane.traces.as_ref();
            let dropped = sink.map_or(records, |sink| sink.send(batch));
            self.metrics.spans_dropped.add(dropped.into());
        }
    }

    fn hand_over(&self, buffer: &mut LogBuffer, sink: Option<&LogSink>) {
        if buffer.batch.records == 0 {
            return;
        }
        let batch = std::mem::take(&mut buffer.batch);
        let dropped = sink.map_or(0, |sink| sink.send(batch));
        if dropped > 0 {
            self.metrics.access_log_dropped.add(u64::from(dropped));
            self.metrics.limit_reached(Limit::AccessLogBatches);
        }
    }

    /// Hands over what waits: all of it, or only what goes to syslog, which people watch.
    pub(crate) fn flush(&self, plane: &Plane, all: bool) {
        if all {
            self.hand_spans_over(&mut self.spans.borrow_mut(), plane);
        }
        let mut buffers = self.buffers.borrow_mut();
        for (buffer, parts) in buffers.iter_mut().zip(&plane.listeners) {
            let sink = parts.log.as_ref();
            if all || sink.is_some_and(LogSink::is_marked) {
                self.hand_over(buffer, sink);
            }
        }
    }
}
