//! Files and syslog servers that are there, gone, full or slow.

use portway_model::log::{Syslog, SyslogAddress, SyslogForm};
use portway_telemetry::metrics::Names;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::*;
use crate::sources::compile_files;

fn batch(line: &str) -> Batch {
    Batch {
        lines: line.as_bytes().to_vec(),
        records: 1,
        marks: Vec::new(),
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
    let (logs, found) = open(&snapshot, &compiled.sources, &Known::default());
    assert!(found.is_empty(), "{found:?}");
    let metrics = Arc::new(Registry::new(1, Names::default()));
    let mut writers = LogWriters::default();
    let (sinks, _) = logs.start(&metrics, &mut writers).unwrap();
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
    let (_, found) = open(&snapshot, &compiled.sources, &Known::default());
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

/// A sink to one destination, and its thread.
fn one(to: LogDestination, metrics: &Arc<Registry>) -> (LogSink, LogWriters) {
    let snapshot = snapshot();
    let sources = Sources::default();
    let mut opening = Opening {
        at_work: &Known::default(),
        sources: &sources,
        speaker: Speaker {
            program: "portway".into(),
            hostname: "vm".into(),
            pid: 7,
            zone: Zone::utc(),
        },
        writers: Vec::new(),
        by_place: HashMap::new(),
        found: Diagnostics::default(),
    };
    let sink = opening.sink("a test", (&[to], false), snapshot.listeners[0].origin.0);
    assert!(opening.found.is_empty(), "{:?}", opening.found);
    let open = OpenLogs {
        sinks: vec![sink.clone()],
        tellers: Tellers::default(),
        writers: opening.writers,
    };
    let mut writers = LogWriters::default();
    open.start(metrics, &mut writers).unwrap();
    (sink.unwrap(), writers)
}

fn snapshot() -> Snapshot {
    let text = "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\ntargets = ['127.0.0.1:1']\n";
    crate::sources::compile_text("web.toml", text)
        .snapshot
        .unwrap()
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(1, Names::default()))
}

#[test]
fn what_cannot_be_written_is_counted() {
    let metrics = registry();
    let (sink, writers) = one(LogDestination::File("/dev/full".to_owned()), &metrics);
    sink.send(batch("a\n"));
    sink.send(batch("b\n"));
    writers.close();
    assert_eq!(metrics.process().access_log_dropped.value(), 2);
}

fn syslog(to: SyslogAddress) -> LogDestination {
    LogDestination::Syslog(Syslog {
        form: SyslogForm::Short,
        ..Syslog::new(to)
    })
}

fn received(receive: impl Fn(&mut [u8]) -> io::Result<usize>) -> String {
    let mut message = [0; 2_000];
    let length = receive(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn messages_go_over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(PATIENCE).unwrap();
    let metrics = registry();
    let to = SyslogAddress::Udp {
        host: "localhost".into(),
        port: server.local_addr().unwrap().port(),
    };
    let (sink, writers) = one(syslog(to), &metrics);
    assert!(sink.is_marked());
    tell(Some(&sink), LogLevel::Info, "one");
    tell(Some(&sink), LogLevel::Alert, "two");
    tell(None, LogLevel::Alert, "nobody hears this");
    assert_eq!(received(|to| server.recv(to)), "<6>one\n");
    assert_eq!(received(|to| server.recv(to)), "<1>two\n");
    // Nobody is there any more: this machine says so of each of them, also of the last.
    drop(server);
    for _ in 0..10 {
        tell(Some(&sink), LogLevel::Info, "three");
    }
    writers.close();
    assert_eq!(metrics.process().access_log_dropped.value(), 10);
}

#[test]
fn a_unix_socket_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let metrics = registry();
    let to = SyslogAddress::Unix(path.display().to_string());
    let (sink, writers) = one(syslog(to), &metrics);
    let dropped = || metrics.process().access_log_dropped.value();
    let until = |lost: u64| {
        let begun = Instant::now();
        while dropped() < lost {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(FLUSH_LOOK);
        }
    };
    // Not there yet.
    tell(Some(&sink), LogLevel::Info, "early");
    until(1);
    for round in ["first", "second"] {
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_read_timeout(PATIENCE).unwrap();
        tell(Some(&sink), LogLevel::Info, round);
        assert_eq!(received(|to| server.recv(to)), format!("<6>{round}\n"));
        drop(server);
        std::fs::remove_file(&path).unwrap();
        let before = dropped();
        tell(Some(&sink), LogLevel::Info, "between");
        until(before + 1);
    }
    writers.close();
}

/// A receiver that is stopped loses what has no room, and nobody waits for it.
#[test]
fn a_stopped_receiver_delays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    let metrics = registry();
    let (sink, writers) = one(
        syslog(SyslogAddress::Unix(path.display().to_string())),
        &metrics,
    );
    let begun = Instant::now();
    let mut dropped = 0;
    for _ in 0..10_000 {
        let lines = b"x\n".to_vec();
        let mark = Mark {
            level: LogLevel::Info,
            at: SystemTime::UNIX_EPOCH,
            structured: 0,
            end: 2,
        };
        let marks = vec![mark];
        dropped += sink.send(Batch {
            lines,
            records: 1,
            marks,
        });
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    writers.close();
    let lost = metrics.process().access_log_dropped.value() + u64::from(dropped);
    server.set_nonblocking(true).unwrap();
    let mut arrived = 0;
    while server.recv(&mut [0; 100]).is_ok() {
        arrived += 1;
    }
    assert_eq!(lost + arrived, 10_000);
    assert!(arrived > 0 && lost > 0, "{arrived} {lost}");
}

#[test]
fn a_server_over_tcp_is_connected_to_again() {
    use std::io::{BufRead, BufReader};

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = registry();
    let to = SyslogAddress::Tcp {
        host: "127.0.0.1".into(),
        port: server.local_addr().unwrap().port(),
    };
    let (sink, writers) = one(syslog(to), &metrics);
    for round in ["first", "second"] {
        // Said until it is heard: the end of a connection is noticed when it is there, and pauses lie between attempts.
        let (sender, said) = (sink.clone(), Arc::new(AtomicBool::new(false)));
        let heard = said.clone();
        let speaker = thread::spawn(move || {
            while !heard.load(Ordering::Relaxed) {
                tell(Some(&sender), LogLevel::Info, round);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (connection, _) = server.accept().unwrap();
        connection.set_read_timeout(PATIENCE).unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).unwrap();
        said.store(true, Ordering::Relaxed);
        speaker.join().unwrap();
        assert!(
            line == "<6>first\n" || line == format!("<6>{round}\n"),
            "{line}"
        );
    }
    writers.close();
}

#[test]
fn destinations_of_one_listener_get_their_own_forms() {
    let folder = tempfile::tempdir().unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(PATIENCE).unwrap();
    let port = server.local_addr().unwrap().port();
    let file = folder.path().join("a.log").display().to_string();
    let text = format!(
        "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         access_log = {{ to = ['file:{file}', {{ syslog = '127.0.0.1:{port}', format = 'raw', max_level = 'notice' }}, \
         {{ syslog = '127.0.0.1:{port}', format = 'priority' }}] }}\n\
         [target_group.app]\ntargets = ['127.0.0.1:1']\n"
    );
    let compiled = crate::sources::compile_text("web.toml", &text);
    let (logs, found) = open(
        &compiled.snapshot.unwrap(),
        &compiled.sources,
        &Known::default(),
    );
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(logs.writers.len(), 2);
    let mut writers = LogWriters::default();
    let (sinks, _) = logs.start(&registry(), &mut writers).unwrap();
    let sink = sinks[0].as_ref().unwrap();
    tell(Some(sink), LogLevel::Info, "a");
    tell(Some(sink), LogLevel::Warning, "b");
    for expected in ["<134>a\n", "b\n", "<132>b\n"] {
        assert_eq!(received(|to| server.recv(to)), expected);
    }
    writers.close();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "a\nb\n");
}

#[test]
fn a_file_is_opened_again_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs").join("access.log");
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    let metrics = registry();
    let (sink, writers) = one(LogDestination::File(path.display().to_string()), &metrics);
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
