//! Writers of logs: one thread for each place, however many listeners write to it.
//!
//! Workers hand over batches of whole records over bounded channels and never wait ([`portway_dataplane::access_log`]);
//! the thread puts before each record what its destination asks for and writes. A disk or a syslog server that is full or
//! gone loses records, counted, and never stops traffic. Told to reopen, a thread opens its file by its path again, so
//! that a file can be moved away while Portway runs. Events are told on the same way ([`Tellers`]).

mod losses;
mod output;
mod spans;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use portway_dataplane::access_log::{
    Batch, Counts, LogSender, LogSink, LogStream, Mark, Packet, channel,
};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::LogFormat;
use portway_model::log::{LogDestination, LogLevel, Syslog, SyslogAddress};
use portway_model::snapshot::{Process, Snapshot};
use portway_model::span::{Sources, Span, Spanned};
use portway_model::traces::Traces;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{LogFigures, Registry};
use portway_telemetry::syslog::{Framer, Message, Speaker};
use portway_telemetry::zone::Zone;

use crate::sources::folder_of;
pub use losses::{AGAIN, OVER};
use losses::{Trouble, Watched};
use output::{Messages, Output, Place};
use spans::TOGETHER_BYTES;

/// Time for what is still waiting to be written at the end of the process.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody still writes to a destination.
pub const LET_GO: Duration = Duration::from_secs(1);
/// How often it is looked whether that is done.
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// The open destinations of a snapshot, before anything is written.
#[derive(Default)]
pub struct OpenLogs {
    /// By listener; `Some` where its records are written.
    pub sinks: Vec<Option<LogSink>>,
    tellers: Tellers,
    writers: Vec<Writer>,
}

/// The threads that write.
#[derive(Debug, Default)]
pub struct LogWriters {
    threads: Vec<(LogSender, JoinHandle<()>)>,
    /// What became of the records of each, by the name of its place; collectors of spans are not among them.
    counts: Vec<(String, Arc<Counts>)>,
    /// What is told of each.
    watched: Vec<Watched>,
    /// Those that nobody sends to any more write what is left.
    ending: Vec<JoinHandle<()>>,
    reopeners: Vec<Reopener>,
    known: Known,
}

/// Destinations that are written to, each with its writer and the form of its lines.
#[derive(Debug, Clone, Default)]
pub struct Known(HashMap<(Place, Shape), (LogSender, usize)>);

/// What makes the lines of one destination others than those of another at the same place: what syslog gets, and what this
/// machine is called there. `None`: they are plain.
type Shape = Option<(Syslog, String, Whole)>;

/// Whether lines are records that are of no use once they are cut.
type Whole = bool;

/// Tells one writer to open its file anew.
#[derive(Debug, Clone)]
pub struct Reopener {
    sender: LogSender,
    wanted: Arc<AtomicBool>,
}

impl Reopener {
    /// The file is opened by its path, and created where it is gone, before the next record is written; at once where no
    /// record is waiting. Where that fails the old file stays and the log of the process says so.
    pub fn reopen(&self) {
        self.wanted.store(true, Ordering::Release);
        // Full: batches are waiting, and the writer looks before each of them.
        let _ = self.sender.send(Arc::default(), 0);
    }
}

/// Where events are told, beside the log of the process.
#[derive(Debug, Clone, Default)]
pub struct Tellers {
    /// By listener.
    pub listeners: Vec<Option<LogSink>>,
    /// By target group.
    pub groups: Vec<Option<LogSink>>,
    /// Of the process.
    pub process: Option<LogSink>,
    /// Where spans go.
    pub traces: Option<LogSink>,
}

/// Tells an event; what a destination has no room for is lost.
pub fn tell(teller: Option<&LogSink>, level: LogLevel, text: &str) {
    let Some(teller) = teller else { return };
    let mut lines = text.as_bytes().to_vec();
    lines.push(b'\n');
    let mark = Mark {
        level,
        at: SystemTime::now(),
        structured: 0,
        end: lines.len(),
    };
    teller.send(Batch {
        lines,
        records: 1,
        marks: vec![mark],
    });
}

/// One writer, before it runs.
struct Writer {
    sender: LogSender,
    stream: LogStream,
    output: Output,
    forms: Vec<Form>,
    shapes: Vec<Shape>,
}

/// What one destination gets.
enum Form {
    /// Lines as they are.
    Plain,
    /// Messages of syslog.
    Syslog(Box<Framer>),
}

/// Opens places, each once.
struct Opening<'a> {
    sources: &'a Sources,
    speaker: Speaker,
    /// Those that write already.
    at_work: &'a Known,
    writers: Vec<Writer>,
    by_place: HashMap<Place, usize>,
    found: Diagnostics,
}

impl Opening<'_> {
    /// The sink for these destinations; `None` where there are none. What cannot be opened is reported.
    fn sink(
        &mut self,
        whose: &str,
        (to, whole): (&[LogDestination], Whole),
        span: Span,
    ) -> Option<LogSink> {
        let mut senders = Vec::with_capacity(to.len());
        let mut marked = false;
        for destination in to {
            let place = Place::of(destination, self.sources, span);
            let shape = match destination {
                LogDestination::Stdout | LogDestination::File(_) => None,
                LogDestination::Syslog(syslog) => {
                    marked = true;
                    Some((syslog.clone(), self.speaker.hostname.clone(), whole))
                }
            };
            match self.sender(place, shape) {
                Ok(sender) => senders.push(sender),
                Err(reason) => {
                    let message = format!("{whose}: {reason}");
                    let wrong = Diagnostic::error(Code::Install, span, message);
                    self.found.push(wrong);
                }
            }
        }
        (!senders.is_empty()).then(|| LogSink::new(senders, marked))
    }

    /// The sink for spans.
    fn collector(&mut self, traces: Option<&Spanned<Traces>>) -> Option<LogSink> {
        let traces = traces?;
        let mut to = traces.value.clone();
        let folder = folder_of(self.sources, traces.span);
        for file in [&mut to.ca, &mut to.certificate, &mut to.key]
            .into_iter()
            .flatten()
        {
            *file = folder.join(&file).display().to_string();
        }
        let place = Place::Collector(Box::new(to), self.speaker.hostname.clone());
        match self.sender(place, None) {
            Ok(sender) => Some(LogSink::new(vec![sender], false)),
            Err(reason) => {
                let wrong = Diagnostic::error(Code::Install, traces.span, reason);
                self.found.push(wrong);
                None
            }
        }
    }

    /// Where lines of this shape go to this place.
    fn sender(&mut self, place: Place, shape: Shape) -> Result<(LogSender, usize), String> {
        let key = (place, shape);
        if let Some(known) = self.at_work.0.get(&key) {
            return Ok(known.clone());
        }
        let (place, shape) = key;
        let index = match self.by_place.get(&place) {
            Some(index) => *index,
            None => self.open(place)?,
        };
        let gone = || "its writer has ended".to_owned();
        let writer = self.writers.get_mut(index).ok_or_else(gone)?;
        let form = writer.shapes.iter().position(|it| *it == shape);
        let form = form.unwrap_or_else(|| {
            writer.forms.push(match &shape {
                None => Form::Plain,
                Some((syslog, _, whole)) => {
                    let framer = Framer::new(syslog.clone(), &self.speaker, *whole);
                    Form::Syslog(Box::new(framer))
                }
            });
            writer.shapes.push(shape);
            writer.forms.len() - 1
        });
        Ok((writer.sender.clone(), form))
    }

    /// Opens a place; the index of its writer.
    fn open(&mut self, place: Place) -> Result<usize, String> {
        let output = Output::open(place.clone())?;
        let (sender, stream) = channel();
        let index = self.writers.len();
        self.by_place.insert(place, index);
        self.writers.push(Writer {
            sender,
            stream,
            output,
            forms: Vec::new(),
            shapes: Vec::new(),
        });
        Ok(index)
    }
}

/// Who this process is in messages of syslog.
fn speaker(process: &Process) -> Speaker {
    let program = std::env::args_os().next().map(PathBuf::from);
    let haproxy = program.is_some_and(|it| it.file_name().is_some_and(|name| name == "haproxy"));
    Speaker {
        program: if haproxy { "haproxy" } else { "portway" }.to_owned(),
        hostname: process.node.clone().unwrap_or_else(crate::hostname),
        pid: std::process::id(),
        zone: Zone::system(),
    }
}

/// Opens every destination that `snapshot` names and nobody writes to already; files are created and appended to. May wait for
/// file systems and pipes.
pub fn open(snapshot: &Snapshot, sources: &Sources, at_work: &Known) -> (OpenLogs, Diagnostics) {
    let mut opening = Opening {
        at_work,
        sources,
        speaker: speaker(&snapshot.process),
        writers: Vec::new(),
        by_place: HashMap::new(),
        found: Diagnostics::default(),
    };
    let mut open = OpenLogs::default();
    for listener in &snapshot.listeners {
        let span = listener.origin.0;
        let whose = format!("listener `{}`", listener.name);
        let log = listener.access_log.as_ref();
        let to = log.map_or((&[][..], false), |log| {
            (&log.to[..], matches!(log.format, LogFormat::Json))
        });
        let sink = opening.sink(&whose, to, span);
        open.sinks.push(sink);
        let teller = opening.sink(&whose, (&listener.log, false), span);
        open.tellers.listeners.push(teller);
    }
    for group in &snapshot.groups {
        let whose = format!("target group `{}`", group.name);
        let teller = opening.sink(&whose, (&group.log, false), group.origin.0);
        open.tellers.groups.push(teller);
    }
    let to = (&snapshot.process.log[..], false);
    open.tellers.process = opening.sink("the process", to, Span::NONE);
    open.tellers.traces = opening.collector(snapshot.process.traces.as_ref());
    open.writers = opening.writers;
    (open, opening.found)
}

/// Looks at the files that `snapshot` logs to, without creating or opening any: a folder that is missing and a folder in
/// the place of the file are errors.
pub fn check(snapshot: &Snapshot, sources: &Sources) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut asked = HashSet::new();
    let mut look = |whose: &str, to: &[LogDestination], span: Span| {
        for destination in to {
            if let Some((host, port)) = named(destination)
                && asked.insert(host.to_owned())
                && let Err(error) = (host, port).to_socket_addrs()
            {
                let message =
                    format!("{whose}: could not resolve the address of its log `{host}`: {error}");
                let help =
                    "Portway begins to log there, and so to serve, only where the name resolves";
                found.push(Diagnostic::warning(Code::Install, span, message).help(help));
            }
            if let LogDestination::File(file) = destination
                && let Some(message) = wrong_with(&folder_of(sources, span).join(file))
            {
                let message = format!("{whose}: {message}");
                found.push(Diagnostic::error(Code::Install, span, message));
            }
        }
    };
    for listener in &snapshot.listeners {
        let whose = format!("listener `{}`", listener.name);
        let to = listener.access_log.as_ref().map(|log| log.to.as_slice());
        look(&whose, to.unwrap_or_default(), listener.origin.0);
        look(&whose, &listener.log, listener.origin.0);
    }
    for group in &snapshot.groups {
        let whose = format!("target group `{}`", group.name);
        look(&whose, &group.log, group.origin.0);
    }
    look("the process", &snapshot.process.log, Span::NONE);
    found
}

/// Where messages go by the name of a host.
fn named(destination: &LogDestination) -> Option<(&str, u16)> {
    let LogDestination::Syslog(syslog) = destination else {
        return None;
    };
    match &syslog.to {
        SyslogAddress::Udp { host, port } | SyslogAddress::Tcp { host, port } => {
            host.parse::<IpAddr>().is_err().then_some((host, *port))
        }
        _ => None,
    }
}

/// What is wrong with the path of a log; `None` where nothing is, as far as can be seen.
fn wrong_with(path: &std::path::Path) -> Option<String> {
    // A bare name has the empty path as its folder, which stands for the working folder.
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let error = if path.is_dir() {
        io::ErrorKind::IsADirectory
    } else if folder.is_some_and(|it| !it.is_dir()) {
        io::ErrorKind::NotFound
    } else {
        return None;
    };
    Some(output::unwritable(
        &Place::File(path.to_owned()),
        &error.into(),
    ))
}

impl OpenLogs {
    /// Starts the threads, among those of `writers`; gives the sinks by listener, and where events are told.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        self,
        metrics: &Arc<Registry>,
        writers: &mut LogWriters,
    ) -> io::Result<(Vec<Option<LogSink>>, Tellers)> {
        for writer in self.writers {
            writers.start(writer, metrics.clone())?;
        }
        Ok((self.sinks, self.tellers))
    }
}

impl LogWriters {
    fn start(&mut self, writer: Writer, metrics: Arc<Registry>) -> io::Result<()> {
        let wanted = Arc::new(AtomicBool::new(false));
        let sender = writer.sender.clone();
        let keys = writer.shapes.iter();
        let keys = keys.map(|shape| (writer.output.place.clone(), shape.clone()));
        let keys: Vec<_> = keys.collect();
        let reopener = Reopener {
            sender: sender.clone(),
            wanted: wanted.clone(),
        };
        if !writer.output.takes_spans() {
            let counts = sender.counts().clone();
            self.counts.push((writer.output.place.to_string(), counts));
        }
        let trouble = Trouble::default();
        self.watched.push(Watched::new(
            writer.output.place.to_string(),
            sender.counts().clone(),
            trouble.clone(),
        ));
        let thread = thread::Builder::new().name("portway-log".to_owned());
        let thread = thread.spawn(move || writer.run(&wanted, &trouble, &metrics))?;
        for (key, form) in keys.into_iter().zip(0..) {
            self.known.0.insert(key, (sender.clone(), form));
        }
        self.reopeners.push(reopener);
        self.threads.push((sender, thread));
        Ok(())
    }

    /// Names of servers are looked up again.
    pub fn look_names_up(&self) {
        let is_of_server = |sender: &LogSender| {
            let mut known = self.known.0.iter();
            known.any(|((place, _), (it, _))| place.is_server() && it.is_of(sender))
        };
        let of_servers = self.reopeners.iter();
        let of_servers = of_servers.filter(|it| is_of_server(&it.sender));
        of_servers.for_each(Reopener::reopen);
    }

    /// Lets those writers end that nobody sends to any more: each writes what is left and closes its destination.
    pub fn let_go(&mut self) {
        self.ending.retain(|thread| !thread.is_finished());
        let known = &self.known.0;
        let is_idle = |sender: &LogSender| {
            let of_known = known.values().filter(|(it, _)| it.is_of(sender));
            // In the list of threads, in its reopener, and once for each form.
            sender.holders() == 2 + of_known.count()
        };
        let idle = self.threads.extract_if(.., |(sender, _)| is_idle(sender));
        for (sender, thread) in idle.collect::<Vec<_>>() {
            self.reopeners.retain(|it| !it.sender.is_of(&sender));
            self.known.0.retain(|_, (it, _)| !it.is_of(&sender));
            let counts = sender.counts();
            self.counts.retain(|(_, it)| !Arc::ptr_eq(it, counts));
            sender.end_soon();
            self.ending.push(thread);
        }
    }

    /// Says in the log of the process what destinations lose.
    pub fn tell_losses(&mut self, now: Instant) {
        for watched in &mut self.watched {
            watched.look(now, false);
        }
        // Nobody counts there any more.
        let gone = self
            .watched
            .extract_if(.., |it| Arc::strong_count(&it.counts) == 1);
        gone.for_each(|mut it| it.look(now, true));
    }

    /// What became of the records for each place, in the order of their names; one that is left and written to again counts once.
    pub fn figures(&self) -> Vec<LogFigures> {
        let mut sums: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
        for (place, counts) in &self.counts {
            let sum = sums.entry(place).or_default();
            sum[0] += counts.written.value();
            sum[1] += counts.dropped.value();
            sum[2] += counts.cut.value();
        }
        let figures = sums.into_iter().map(|(place, sum)| LogFigures {
            destination: place.to_owned(),
            written: sum[0],
            dropped: sum[1],
            cut: sum[2],
        });
        figures.collect()
    }

    /// What is written to.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// One for each writer; they stay good, and do nothing more, when the writers have ended.
    pub fn reopeners(&self) -> Vec<Reopener> {
        self.reopeners.clone()
    }

    /// Writes out what is waiting and ends the threads; to be called when no worker writes any more. Takes no longer than
    /// [`FLUSH_DEADLINE`]: a standard output that nobody reads must not keep the process alive.
    pub fn close(mut self) {
        let deadline = Instant::now() + FLUSH_DEADLINE;
        for (sender, _) in &self.threads {
            sender.end_soon();
            while sender.offer(end(), 0) > 0 && Instant::now() < deadline {
                thread::sleep(FLUSH_LOOK);
            }
        }
        let threads = self.threads.iter().map(|(_, thread)| thread);
        for thread in threads.chain(&self.ending) {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(FLUSH_LOOK);
            }
        }
        for watched in &mut self.watched {
            watched.look(Instant::now(), true);
        }
    }
}

/// Tells a writer that nothing follows: workers never send an empty batch. It counts as one record, so that one sees
/// whether it was taken.
fn end() -> Arc<Batch> {
    Arc::new(Batch {
        records: 1,
        ..Batch::default()
    })
}

impl Writer {
    /// Writes until there is nothing more. An empty batch is a wish to look whether the file shall be opened again, one
    /// that says it has a record the end.
    fn run(self, wanted: &AtomicBool, trouble: &Trouble, metrics: &Registry) {
        let Writer {
            sender,
            mut stream,
            mut output,
            mut forms,
            shapes: _,
        } = self;
        let counts = sender.counts().clone();
        drop(sender);
        let ending = stream.ending();
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut next = None;
        while let Some(mut packet) = next.take().or_else(|| stream.next()) {
            if wanted.swap(false, Ordering::AcqRel) {
                reopen(&mut output);
            }
            match (packet.batch.lines.is_empty(), packet.batch.records) {
                (true, 0) => continue,
                (true, _) => return,
                (false, _) => {}
            }
            if output.takes_spans() {
                next = gather(&mut packet, &mut stream);
            }
            // A packet names a form of its writer.
            let Some(form) = forms.get_mut(packet.form) else {
                continue;
            };
            let messages = form.messages(&packet.batch, (&mut bytes, &mut ends));
            counts.cut.add(form.take_cut());
            let written = output.write(&messages, |error| {
                is_in_the_way(trouble, error);
                ending.has_come()
            });
            if written.is_ok() {
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            let lost = written.err().map_or(0, |(records, error)| {
                is_in_the_way(trouble, &error);
                records
            });
            let written = (messages.ends.len() as u64).saturating_sub(lost);
            counts.written.add(written);
            counts.dropped.add(lost);
            let process = metrics.process();
            if output.takes_spans() {
                process.spans_sent.add(written);
                process.spans_failed.add(lost);
            } else {
                process.access_log_dropped.add(lost);
            }
        }
    }
}

/// Opens a file again by its path.
fn reopen(output: &mut Output) {
    if let Err(error) = output.reopen() {
        emit(&Event::AccessLogFailed {
            log: &output.place.to_string(),
            error: &format!("cannot open it again, the old file stays: {error}"),
            records: 0,
            in_all: 0,
        });
    }
}

/// Notes why nothing can be written now. That it is not a server's turn to be connected to again says less than why it was not the
/// last time.
fn is_in_the_way(trouble: &Trouble, why: &io::Error) {
    if why.kind() != io::ErrorKind::NotConnected {
        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some(why.to_string());
    }
}

/// Puts spans that wait into one packet, as many as are sent at once. What is no batch of spans is given back.
fn gather(packet: &mut Packet, stream: &mut LogStream) -> Option<Packet> {
    let mut all = Batch::default();
    let mut add = |batch: &Batch| {
        all.lines.extend_from_slice(&batch.lines);
        all.records += batch.records;
        all.lines.len() < TOGETHER_BYTES
    };
    let mut has_room = add(&packet.batch);
    let mut other = None;
    while has_room && let Some(next) = stream.try_next() {
        if next.batch.lines.is_empty() {
            other = Some(next);
            break;
        }
        has_room = add(&next.batch);
    }
    packet.batch = Arc::new(all);
    other
}

impl Form {
    /// Messages that were cut since it was last asked.
    fn take_cut(&mut self) -> u64 {
        match self {
            Form::Plain => 0,
            Form::Syslog(framer) => framer.take_cut(),
        }
    }

    /// The messages of a batch in this form, made in `buffers` where they are not the batch itself.
    fn messages<'a>(
        &mut self,
        batch: &'a Batch,
        (bytes, ends): (&'a mut Vec<u8>, &'a mut Vec<usize>),
    ) -> Messages<'a> {
        bytes.clear();
        ends.clear();
        if let (Form::Plain, []) = (&*self, batch.marks.as_slice()) {
            // Where each ends does not matter to what takes plain lines, how many they are does.
            ends.resize(batch.records as usize, batch.lines.len());
            return Messages {
                bytes: &batch.lines,
                ends,
            };
        }
        for (mark, structured, text) in batch.marked() {
            let sent = match self {
                Form::Plain => {
                    bytes.extend_from_slice(text);
                    bytes.push(b'\n');
                    true
                }
                Form::Syslog(framer) => {
                    let message = Message {
                        level: mark.level,
                        at: mark.at,
                        structured,
                        text,
                    };
                    framer.write(&message, bytes)
                }
            };
            if sent {
                ends.push(bytes.len());
            }
        }
        Messages { bytes, ends }
    }
}

#[cfg(test)]
mod tests;
