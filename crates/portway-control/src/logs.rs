//! Writers of access logs: one thread for each destination, however many listeners write to it.
//!
//! Workers hand over batches of whole lines over a bounded channel and never wait ([`portway_dataplane::access_log`]); the
//! thread writes each batch with one call. A disk that is full loses records, counted, and never stops traffic. Told to
//! reopen, the thread opens its file by its path again, so that a file can be moved away while Portway runs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portway_dataplane::access_log::{Batch, LogSink, LogStream, channel};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::log::LogDestination;
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
    pending: Vec<(LogSink, LogStream, Output)>,
}

/// The threads that write.
#[derive(Debug, Default)]
pub struct LogWriters {
    threads: Vec<(LogSink, JoinHandle<()>)>,
    reopeners: Vec<Reopener>,
}

/// Tells one writer to open its file anew.
#[derive(Debug, Clone)]
pub struct Reopener {
    sink: LogSink,
    wanted: Arc<AtomicBool>,
}

impl Reopener {
    /// The file is opened by its path, and created where it is gone, before the next record is written; at once where no
    /// record is waiting. Where that fails the old file stays and the log of the process says so.
    pub fn reopen(&self) {
        self.wanted.store(true, Ordering::Release);
        // Full: batches are waiting, and the writer looks before each of them.
        let _ = self.sink.send(look());
    }
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
        // More than one is refused before (`portway_dataplane::not_run`).
        let to = log.to.first().unwrap_or(&LogDestination::Stdout);
        let destination = match to {
            LogDestination::Stdout => Ok("standard output".to_owned()),
            LogDestination::File(path) => {
                Ok(folder_of(sources, span).join(path).display().to_string())
            }
            LogDestination::Syslog(_) => {
                Err("access logs to syslog are understood but not written yet".to_owned())
            }
        };
        let sink = destination.and_then(|name| match by_name.get(&name) {
            Some(sink) => Ok(sink.clone()),
            None => {
                let output = Output::open(to, &name)?;
                let (sink, stream) = channel();
                by_name.insert(name, sink.clone());
                open.pending.push((sink.clone(), stream, output));
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

/// Looks at the files that the listeners of `snapshot` log to, without creating or opening any: a folder that is
/// missing and a folder in the place of the file are errors.
pub fn check(snapshot: &Snapshot, sources: &Sources) -> Diagnostics {
    let mut found = Diagnostics::default();
    for listener in &snapshot.listeners {
        let to = listener.access_log.as_ref().and_then(|it| it.to.first());
        let Some(LogDestination::File(file)) = to else {
            continue;
        };
        let span = listener.origin.0;
        let path = folder_of(sources, span).join(file);
        // A bare name has the empty path as its folder, which stands for the working folder.
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let error = if path.is_dir() {
            io::ErrorKind::IsADirectory
        } else if folder.is_some_and(|it| !it.is_dir()) {
            io::ErrorKind::NotFound
        } else {
            continue;
        };
        let reason = unwritable(&path, &error.into());
        let message = format!("listener `{}`: {reason}", listener.name);
        found.push(Diagnostic::error(Code::Install, span, message));
    }
    found
}

impl OpenLogs {
    /// Starts the threads and gives the sinks by listener.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self, metrics: &Arc<Registry>) -> io::Result<(Vec<Option<LogSink>>, LogWriters)> {
        let mut writers = LogWriters::default();
        for (sink, stream, output) in self.pending {
            let metrics = metrics.clone();
            let wanted = Arc::new(AtomicBool::new(false));
            writers.reopeners.push(Reopener {
                sink: sink.clone(),
                wanted: wanted.clone(),
            });
            let thread = thread::Builder::new().name("portway-log".to_owned());
            let thread = thread.spawn(move || write_all(output, stream, &wanted, &metrics))?;
            writers.threads.push((sink, thread));
        }
        Ok((self.sinks, writers))
    }
}

impl LogWriters {
    /// One for each writer; they stay good, and do nothing more, when the writers have ended.
    pub fn reopeners(&self) -> Vec<Reopener> {
        self.reopeners.clone()
    }

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

/// Wakes a writer to look whether it shall reopen its file.
fn look() -> Batch {
    Batch {
        lines: Vec::new(),
        records: 0,
    }
}

/// Where a writer writes to.
struct Output {
    /// What messages call it.
    name: String,
    /// `None` for standard output.
    path: Option<PathBuf>,
    writer: Box<dyn Write + Send>,
}

impl Output {
    fn open(to: &LogDestination, name: &str) -> Result<Self, String> {
        let path = match to {
            LogDestination::Stdout => None,
            LogDestination::File(_) | LogDestination::Syslog(_) => Some(PathBuf::from(name)),
        };
        let writer: Box<dyn Write + Send> = match &path {
            None => Box::new(io::stdout()),
            Some(path) => {
                let file = append_to(path);
                Box::new(file.map_err(|error| unwritable(path, &error))?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            path,
            writer,
        })
    }

    /// Opens the file by its path again; the old one stays where that fails.
    fn reopen(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        match append_to(path) {
            Ok(file) => self.writer = Box::new(file),
            Err(error) => emit(&Event::AccessLogFailed {
                log: &self.name,
                error: &format!("cannot open it again, the old file stays: {error}"),
                records: 0,
            }),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Why a file cannot be written, in words.
fn unwritable(path: &Path, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "the file system does not permit it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot write the access log `{}`: {reason}", path.display())
}

fn write_all(mut output: Output, stream: LogStream, wanted: &AtomicBool, metrics: &Registry) {
    let mut failing = false;
    for batch in stream {
        if wanted.swap(false, Ordering::AcqRel) {
            output.reopen();
        }
        match (batch.lines.is_empty(), batch.records) {
            (true, 0) => continue,
            (true, _) => return,
            (false, _) => {}
        }
        let writer = &mut output.writer;
        match writer.write_all(&batch.lines).and_then(|()| writer.flush()) {
            Ok(()) => failing = false,
            Err(error) => {
                let records = u64::from(batch.records);
                metrics.process().access_log_dropped.add(records);
                // Once for each time it begins to fail: a full disk must not fill the process log.
                if !std::mem::replace(&mut failing, true) {
                    emit(&Event::AccessLogFailed {
                        log: &output.name,
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
            messages[0].starts_with("listener `a`: cannot write the access log `/proc/none`: "),
            "{messages:?}"
        );
    }

    #[test]
    fn folders_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let check_path = |file: &str, expected: Option<&str>| {
            let text = format!(
                "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'app'\naccess_log = {{ to = 'file:{file}' }}\n\
                 [target_group.app]\ntargets = ['127.0.0.1:1']\n"
            );
            let name = folder.path().join("web.toml").display().to_string();
            let compiled = crate::sources::compile_text(&name, &text);
            let found = check(&compiled.snapshot.unwrap(), &compiled.sources);
            let messages: Vec<String> = found.iter().map(|it| it.message.clone()).collect();
            let expected = expected.map(|reason| {
                let path = folder.path().join(file);
                let path = path.display();
                format!("listener `a`: cannot write the access log `{path}`: {reason}")
            });
            assert_eq!(messages, expected.into_iter().collect::<Vec<_>>(), "{file}");
        };
        check_path("access.log", None);
        check_path("none/access.log", Some("its folder does not exist"));
        check_path(".", Some("it is a folder"));
        assert!(!folder.path().join("access.log").exists());
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (sink, stream) = channel();
        let metrics = Registry::new(1, Names::default());
        let to = LogDestination::File("/dev/full".to_owned());
        let full = Output::open(&to, "/dev/full").unwrap();
        sink.send(batch("a\n"));
        sink.send(batch("b\n"));
        drop(sink);
        write_all(full, stream, &AtomicBool::new(false), &metrics);
        assert_eq!(metrics.process().access_log_dropped.value(), 2);
    }

    #[test]
    fn a_file_is_opened_again_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("access.log");
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let name = path.display().to_string();
        let (sink, stream) = channel();
        let pending = vec![(
            sink.clone(),
            stream,
            Output::open(&LogDestination::File(name.clone()), &name).unwrap(),
        )];
        let sinks = vec![Some(sink.clone())];
        let metrics = Arc::new(Registry::new(1, Names::default()));
        let (_, writers) = OpenLogs { sinks, pending }.start(&metrics).unwrap();
        let reopeners = writers.reopeners();
        let contents = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let comes = |path: &Path, expected: &str| {
            let begun = Instant::now();
            while contents(path) != expected {
                let found = contents(path);
                assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "{path:?}: {found}"
                );
                thread::sleep(FLUSH_LOOK);
            }
        };
        sink.send(batch("a\n"));
        comes(&path, "a\n");

        // Moved away: what follows before the signal still goes to the old file, and the new one comes without traffic.
        let moved = folder.path().join("logs").join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        sink.send(batch("b\n"));
        comes(&moved, "a\nb\n");
        reopeners.iter().for_each(Reopener::reopen);
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(FLUSH_LOOK);
        }
        sink.send(batch("c\n"));
        comes(&path, "c\n");

        // It cannot be opened: the old file stays.
        let elsewhere = folder.path().join("elsewhere");
        std::fs::rename(folder.path().join("logs"), &elsewhere).unwrap();
        reopeners.iter().for_each(Reopener::reopen);
        sink.send(batch("d\n"));
        comes(&elsewhere.join("access.log"), "c\nd\n");
        writers.close();
        assert_eq!(metrics.process().access_log_dropped.value(), 0);
        // Nobody is there any more.
        reopeners.iter().for_each(Reopener::reopen);
    }
}
