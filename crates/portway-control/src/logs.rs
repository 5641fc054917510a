//! Writers of access logs: one thread for each destination, however many listeners write to it.
//!
//! Workers hand over batches of whole lines over a bounded channel and never wait ([`portway_dataplane::access_log`]); the
//! thread writes each batch with one call. A disk that is full loses records, counted, and never stops traffic.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portway_dataplane::access_log::{Batch, LogSink, LogStream, channel};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::LogDestination;
use portway_model::snapshot::Snapshot;
use portway_model::span::Sources;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::Registry;

use crate::sources::folder_of;

/// Time for what is still waiting to be written at the end of the process.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(2);
/// How often it is looked whether that is done.
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// The open destinations of a snapshot, before anything is written.
#[derive(Default)]
pub struct OpenLogs {
    /// By listener; `Some` where its records are written.
    pub sinks: Vec<Option<LogSink>>,
    pending: Vec<(LogSink, LogStream, Box<dyn Write + Send>)>,
}

/// The threads that write.
#[derive(Debug, Default)]
pub struct LogWriters {
    threads: Vec<(LogSink, JoinHandle<()>)>,
}

/// Opens every destination that the listeners of `snapshot` name; files are created and appended to.
pub fn open(snapshot: &Snapshot, sources: &Sources) -> (OpenLogs, Diagnostics) {
    let mut open = OpenLogs::default();
    let mut found = Diagnostics::default();
    let mut by_name: HashMap<String, LogSink> = HashMap::new();
    for listener in &snapshot.listeners {
        let span = listener.origin.0;
        let Some(log) = &listener.access_log else {
            open.sinks.push(None);
            continue;
        };
        let destination = match &log.to {
            LogDestination::Stdout => Ok("standard output".to_owned()),
            LogDestination::File(path) => {
                Ok(folder_of(sources, span).join(path).display().to_string())
            }
            LogDestination::Syslog { .. } => {
                Err("access logs to syslog are understood but not written yet".to_owned())
            }
        };
        let sink = destination.and_then(|name| match by_name.get(&name) {
            Some(sink) => Ok(sink.clone()),
            None => {
                let writer = writer(&log.to, &name)?;
                let (sink, stream) = channel();
                by_name.insert(name, sink.clone());
                open.pending.push((sink.clone(), stream, writer));
                Ok(sink)
            }
        });
        match sink {
            Ok(sink) => open.sinks.push(Some(sink)),
            Err(reason) => {
                let message = format!("listener `{}`: {reason}", listener.name);
                found.push(Diagnostic::error(Code::Install, span, message));
                open.sinks.push(None);
            }
        }
    }
    (open, found)
}

impl OpenLogs {
    /// Starts the threads and gives the sinks by listener.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self, metrics: &Arc<Registry>) -> io::Result<(Vec<Option<LogSink>>, LogWriters)> {
        let mut writers = LogWriters::default();
        for (sink, stream, writer) in self.pending {
            let metrics = metrics.clone();
            let thread = thread::Builder::new().name("portway-log".to_owned());
            let thread = thread.spawn(move || write_all(writer, stream, &metrics))?;
            writers.threads.push((sink, thread));
        }
        Ok((self.sinks, writers))
    }
}

impl LogWriters {
    /// Writes out what is waiting and ends the threads; to be called when no worker writes any more. Takes no longer than
    /// [`FLUSH_DEADLINE`]: a standard output that nobody reads must not keep the process alive.
    pub fn close(self) {
        let deadline = Instant::now() + FLUSH_DEADLINE;
        for (sink, _) in &self.threads {
            while sink.send(end()) > 0 && Instant::now() < deadline {
                thread::sleep(FLUSH_LOOK);
            }
        }
        for (_, thread) in &self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(FLUSH_LOOK);
            }
        }
    }
}

/// Tells a writer that nothing follows: workers never send an empty batch. It counts as one record, so that one sees
/// whether it was taken.
fn end() -> Batch {
    Batch {
        lines: Vec::new(),
        records: 1,
    }
}

fn writer(to: &LogDestination, name: &str) -> Result<Box<dyn Write + Send>, String> {
    match to {
        LogDestination::Stdout => Ok(Box::new(io::stdout())),
        LogDestination::File(_) | LogDestination::Syslog { .. } => {
            let file = File::options()
                .create(true)
                .append(true)
                .open(Path::new(name));
            let file = file.map_err(|error| format!("cannot write to `{name}`: {error}"))?;
            Ok(Box::new(file))
        }
    }
}

fn write_all(mut writer: Box<dyn Write + Send>, stream: LogStream, metrics: &Registry) {
    let mut failing = false;
    for batch in stream.take_while(|batch| !batch.lines.is_empty()) {
        match writer.write_all(&batch.lines).and_then(|()| writer.flush()) {
            Ok(()) => failing = false,
            Err(error) => {
                let records = u64::from(batch.records);
                metrics.process().access_log_dropped.add(records);
                // Once for each time it begins to fail: a full disk must not fill the process log.
                if !std::mem::replace(&mut failing, true) {
                    emit(&Event::AccessLogFailed {
                        error: &error,
                        records,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portway_telemetry::metrics::Names;

    use super::*;
    use crate::sources::compile_files;

    fn batch(line: &str) -> Batch {
        Batch {
            lines: line.as_bytes().to_vec(),
            records: 1,
        }
    }

    #[test]
    fn listeners_share_a_file_that_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let group = "[target_group.app]\ntargets = ['127.0.0.1:1']\n";
        let listener = |name: &str, port: u16, log: &str| {
            format!("[listener.{name}]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n{log}\n")
        };
        let log = "access_log = { to = 'file:access.log' }";
        let text = listener("a", 1, log) + &listener("b", 2, log) + &listener("c", 3, "") + group;
        let file = folder.path().join("web.toml");
        std::fs::write(&file, text).unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "before\n").unwrap();

        let compiled = compile_files(&[file]);
        let snapshot = compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let (logs, found) = open(&snapshot, &compiled.sources);
        assert!(found.is_empty(), "{found:?}");
        let metrics = Arc::new(Registry::new(1, Names::default()));
        let (sinks, writers) = logs.start(&metrics).unwrap();
        assert!(sinks[2].is_none());
        for (sink, line) in [(0, "a\n"), (1, "b\n"), (0, "c\n")] {
            assert_eq!(sinks[sink].as_ref().unwrap().send(batch(line)), 0);
        }
        writers.close();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\na\nb\nc\n");
        // The writer is gone: what comes now is counted as lost by whoever sends it.
        assert_eq!(sinks[0].as_ref().unwrap().send(batch("late\n")), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written() {
        let text = "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'app'\naccess_log = { to = 'file:/proc/none' }\n\
            [target_group.app]\ntargets = ['127.0.0.1:1']\n";
        let compiled = crate::sources::compile_text("web.toml", text);
        let snapshot = compiled.snapshot.unwrap();
        let (_, found) = open(&snapshot, &compiled.sources);
        let messages: Vec<_> = found.iter().map(|it| it.message.as_str()).collect();
        assert!(
            messages[0].starts_with("listener `a`: cannot write to `/proc/none`: "),
            "{messages:?}"
        );
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (sink, stream) = channel();
        let metrics = Registry::new(1, Names::default());
        let full = File::options().write(true).open("/dev/full").unwrap();
        sink.send(batch("a\n"));
        sink.send(batch("b\n"));
        drop(sink);
        write_all(Box::new(full), stream, &metrics);
        assert_eq!(metrics.process().access_log_dropped.value(), 2);
    }
}
