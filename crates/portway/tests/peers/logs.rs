//! Where access logs go, with real receivers that are late, die, come back, are full or stand still: nobody who is served waits for
//! them, what is lost is counted, and what comes after that arrives whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::differential::unclaimed_udp_port;
use crate::echo::Echo;
use crate::stage::{Client, group, listener};
use crate::support::{PATIENCE, PORTWAY, Scene, eventually, free_port, local};
use crate::upgrade::Stage;

fn text(web: u16, target: u16, log: &str) -> String {
    format!(
        "{}access_log = {log}\n{}",
        listener("web", web, "app"),
        group("app", &[target])
    )
}

/// Records of this destination that were written, or dropped.
fn counted(stage: &Stage, result: &str, destination: &str) -> u64 {
    let url = format!("http://{}/metrics", stage.admin);
    let text = stage.scene.curl(&["-s", &url]).good();
    let line =
        format!("portway_log_records_total{{destination=\"{destination}\",result=\"{result}\"}} ");
    let found = text.lines().find_map(|it| it.strip_prefix(line.as_str()));
    found
        .unwrap_or_else(|| panic!("no {line} in {text}"))
        .parse()
        .unwrap()
}

/// Asks for this path until a record of it arrives.
fn until_it_arrives(web: u16, path: &str, mut arrives: impl FnMut() -> Option<String>) -> String {
    let mut client = Client::new(web);
    eventually(format_args!("a record of {path} arrives"), || {
        assert_eq!(client.ask(path), "one");
        arrives().filter(|it| it.contains(path))
    })
}

/// Asks until records are lost.
fn until_lost(stage: &Stage, web: u16, destination: &str) {
    let before = counted(stage, "dropped", destination);
    let mut client = Client::new(web);
    eventually("records are counted as lost", || {
        assert_eq!(client.ask("/lost"), "one");
        (counted(stage, "dropped", destination) > before).then_some(())
    });
}

/// What a server of syslog has received from the one that speaks to it.
struct Received {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Received {
    /// The next line, where it is there.
    fn line(&mut self) -> Option<String> {
        let mut more = [0; 65_536];
        match self.stream.read(&mut more) {
            Ok(0) => panic!("the stream ended"),
            Ok(count) => self.bytes.extend_from_slice(&more[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let end = self.bytes.iter().position(|it| *it == b'\n')?;
        let line = self.bytes.drain(..=end).collect();
        Some(String::from_utf8(line).unwrap())
    }
}

/// A message of RFC 5424, of facility local1, with a record for its text.
fn is_whole(line: &str) {
    let parts: Vec<&str> = line.trim_end().splitn(8, ' ').collect();
    assert_eq!(parts[0], "<142>1", "{line}");
    assert_eq!((parts[2], parts[3]), ("edge", "lb"), "{line}");
    assert_eq!((parts[5], parts[6]), ("-", "-"), "{line}");
    assert!(
        parts[1].contains('T') && parts[4].parse::<u32>().is_ok(),
        "{line}"
    );
    let record: Value = serde_json::from_str(parts[7]).unwrap();
    assert_eq!(record["status"], 200, "{line}");
}

/// What the log of the process says of a destination: how many records were lost, by the lines that say so as they happen, and in
/// all where it says that it is over.
fn told(log: &str, destination: &str) -> (u64, Vec<u64>) {
    let number = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    let after = |sign: &str| {
        let sign = format!("access log {destination} {sign}");
        let found = log.split(&sign).skip(1).map(number);
        found.collect::<Vec<_>>()
    };
    (
        after("lost ").iter().sum(),
        after("loses nothing any more: "),
    )
}

#[test]
fn a_syslog_server_over_tcp_is_late_dies_and_comes_back() {
    let (one, web, syslog) = (Echo::start("one"), free_port(), free_port());
    let to = format!(
        "{{ to = {{ syslog = 'tcp@127.0.0.1:{syslog}', format = 'rfc5424', facility = 'local1', tag = 'lb', hostname = 'edge', length = 8000 }} }}"
    );
    let stage = Stage::with(Scene::new(), &text(web, one.port, &to), &[]);
    let place = format!("tcp@127.0.0.1:{syslog}");
    // Nobody is there yet: records wait.
    let mut client = Client::new(web);
    for number in 0..500 {
        assert_eq!(client.ask(&format!("/early/{number}/")), "one");
    }
    let waits = format!("access log {place}: Connection refused (os error 111); what comes waits");
    eventually("it is told", || {
        stage.first.log().contains(&waits).then_some(())
    });
    assert_eq!(counted(&stage, "dropped", &place), 0);
    let accept = |listening: &TcpListener| {
        let stream = eventually("it connects", || listening.accept().ok()).0;
        stream.set_nonblocking(true).unwrap();
        let bytes = Vec::new();
        Received { stream, bytes }
    };
    let listen = || {
        let listening = TcpListener::bind(local(syslog)).unwrap();
        listening.set_nonblocking(true).unwrap();
        listening
    };
    let listening = listen();
    let mut received = accept(&listening);
    for number in 0..500 {
        let line = eventually("what has waited arrives", || received.line());
        is_whole(&line);
        assert!(line.contains(&format!("/early/{number}/")), "{line}");
    }
    eventually("that is told", || {
        let again = format!("access log {place} is written again, after ");
        stage.first.log().contains(&again).then_some(())
    });
    // It dies, and more comes than may wait.
    drop((received, listening));
    let long = format!("/{}", "x".repeat(6_000));
    let mut asked = 0;
    eventually("records are lost", || {
        (0..100).for_each(|_| assert_eq!(client.ask(&long), "one"));
        asked += 100;
        (counted(&stage, "dropped", &place) > 0).then_some(())
    });
    // 4 MiB wait, of records of 6 KB and more.
    assert!(asked >= 600, "{asked}");
    // A reload goes on with the same writer.
    assert_eq!(stage.json(&["reload"])["ok"], true);
    let listening = listen();
    let mut received = accept(&listening);
    let line = until_it_arrives(web, "/after", || {
        let mut lines = std::iter::from_fn(|| received.line());
        lines.find(|it| it.contains("/after"))
    });
    is_whole(&line);
    // All that were lost are told of.
    let (_, over) = eventually("it is over", || {
        while received.line().is_some() {}
        let told = told(&stage.first.log(), &place);
        (!told.1.is_empty()).then_some(told)
    });
    assert_eq!(over, [counted(&stage, "dropped", &place)]);
}

/// Records in JSON for syslog are whole, however long the path is; where a message may not be so long, that is counted and warned of.
#[test]
fn records_in_json_are_whole_or_told_of() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let syslog = socket.local_addr().unwrap().port();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (one, web) = (Echo::start("one"), free_port());
    let to = |more: &str| {
        text(
            web,
            one.port,
            &format!("{{ to = {{ syslog = 'udp@127.0.0.1:{syslog}', format = 'raw'{more} }} }}"),
        )
    };
    let stage = Stage::with(Scene::new(), &to(""), &[]);
    let mut client = Client::new(web);
    let mut bytes = vec![0; 65_536];
    let mut received = || {
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let long = format!("/{}", "x".repeat(6_000));
    assert_eq!(client.ask(&long), "one");
    let record: Value = serde_json::from_str(&received()).unwrap();
    assert_eq!(record["request_target"], *long);
    let place = format!("127.0.0.1:{syslog}");
    stage.becomes(&to(", length = 1000"));
    let checked = stage.scene.run(PORTWAY, &["check", "web.toml"]);
    assert!(checked.to_string().contains("cut off here"), "{checked}");
    let line = eventually("one is cut", || {
        assert_eq!(client.ask(&long), "one");
        Some(received()).filter(|it| it.trim_end().len() == 1000)
    });
    assert!(serde_json::from_str::<Value>(&line).is_err());
    assert!(counted(&stage, "cut", &place) > 0);
}

/// A server over TCP that reads nothing for a while is waited for, and what it had not room for arrives whole.
#[test]
fn a_syslog_server_over_tcp_that_reads_slowly_gets_everything() {
    let (one, web) = (Echo::start("one"), free_port());
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listening.local_addr().unwrap().port();
    let to = format!(
        "{{ to = {{ syslog = 'tcp@127.0.0.1:{port}', format = 'rfc5424', facility = 'local1', tag = 'lb', hostname = 'edge', length = 8000 }} }}"
    );
    let stage = Stage::with(Scene::new(), &text(web, one.port, &to), &[]);
    let place = format!("tcp@127.0.0.1:{port}");
    let mut client = Client::new(web);
    assert_eq!(client.ask("/first"), "one");
    let stream = listening.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let bytes = Vec::new();
    let mut received = Received { stream, bytes };
    // More than the kernel has room for, less than may wait.
    let long = "x".repeat(3_000);
    let mut asked = 0;
    let waits = format!("access log {place}: ");
    let is_slow = || stage.first.log().contains(&waits);
    while !is_slow() {
        for _ in 0..100 {
            assert_eq!(client.ask(&format!("/{asked}/{long}")), "one");
            asked += 1;
        }
        eventually("it is written, or waits", || {
            let is_written = counted(&stage, "written", &place) == asked as u64 + 1;
            (is_written || is_slow()).then_some(())
        });
    }
    let mut numbers = Vec::new();
    while numbers.len() < asked {
        let line = eventually("a record arrives", || received.line());
        is_whole(&line);
        let number = line.split('/').find_map(|it| it.parse::<usize>().ok());
        numbers.extend(number.filter(|_| line.contains(&long)));
    }
    let expected: Vec<usize> = (0..asked).collect();
    assert_eq!(numbers, expected);
    assert_eq!(counted(&stage, "dropped", &place), 0);
    let second = listening.set_nonblocking(true).map(|()| listening.accept());
    assert!(second.unwrap().is_err(), "it has connected again");
}

#[test]
fn a_unix_socket_of_syslog_is_late_dies_and_comes_back() {
    let (one, web, scene) = (Echo::start("one"), free_port(), Scene::new());
    let path = scene.path("log.sock");
    let place = path.display().to_string();
    let to = format!("{{ to = 'syslog:{place}' }}");
    let stage = Stage::with(scene, &text(web, one.port, &to), &[]);
    until_lost(&stage, web, &place);
    for asked in ["/first", "/second"] {
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_nonblocking(true).unwrap();
        let line = until_it_arrives(web, asked, || {
            let mut message = [0; 2_000];
            let length = server.recv(&mut message).ok()?;
            Some(String::from_utf8(message[..length].to_vec()).unwrap())
        });
        assert!(line.starts_with("<134>"), "{line}");
        drop(server);
        fs::remove_file(&path).unwrap();
        until_lost(&stage, web, &place);
    }
}

/// Nobody acknowledges a datagram, but a machine says that nobody listens: such records count as lost, and that is told once.
#[test]
fn a_syslog_server_over_udp_is_late_dies_and_comes_back() {
    let (one, web, port) = (Echo::start("one"), free_port(), unclaimed_udp_port());
    let to = format!("{{ to = 'syslog:127.0.0.1:{port}' }}");
    let place = format!("127.0.0.1:{port}");
    let stage = Stage::with(Scene::new(), &text(web, one.port, &to), &[]);
    until_lost(&stage, web, &place);
    let told = format!("access log {place} lost ");
    let why = eventually("that is told", || {
        let log = stage.first.log();
        log.lines()
            .find(|line| line.contains(&told))
            .map(str::to_owned)
    });
    assert!(why.contains("Connection refused"), "{why}");
    until_lost(&stage, web, &place);
    let log = stage.first.log();
    assert_eq!(log.matches(&told).count(), 1, "{log}");
    for asked in ["/first", "/second"] {
        let server = UdpSocket::bind(local(port)).unwrap();
        server.set_nonblocking(true).unwrap();
        let line = until_it_arrives(web, asked, || {
            let mut message = [0; 2_000];
            let length = server.recv(&mut message).ok()?;
            Some(String::from_utf8(message[..length].to_vec()).unwrap())
        });
        assert!(line.starts_with("<134>"), "{line}");
        drop(server);
        until_lost(&stage, web, &place);
    }
}

/// Its folder `small` is a disk of 256 KiB that no other process sees.
const ON_A_SMALL_DISK: [&str; 6] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    "mkdir small && mount -t tmpfs -o size=256k none small && exec \"$@\"",
    "sh",
];

/// The records in a file, and the lines in it that are none.
fn records(file: &Path) -> (Vec<Value>, Vec<String>) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let (mut records, mut torn) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(_) => torn.push(line.to_owned()),
        }
    }
    (records, torn)
}

/// Records of this path in a file.
fn of_path(file: &Path, path: &str) -> usize {
    let (records, _) = records(file);
    let found = records.iter().filter(|it| it.to_string().contains(path));
    found.count()
}

#[test]
fn a_full_disk_loses_records_and_nothing_else() {
    let (one, web) = (Echo::start("one"), free_port());
    let to = "{ to = 'file:small/access.log' }";
    let text = text(web, one.port, to);
    let stage = Stage::started_by(Scene::new(), &text, &ON_A_SMALL_DISK);
    let scene = stage.scene.path("small").display().to_string();
    let folder = PathBuf::from(format!("/proc/{}/root{scene}", stage.process()));
    let (log, filler) = (folder.join("access.log"), folder.join("filler"));
    // As the configuration is named, so is what it names.
    let destination = "small/access.log";
    let mut client = Client::new(web);
    let mut asked = 0;
    let mut ask = |path: &str| {
        assert_eq!(client.ask(path), "one");
        asked += 1;
    };
    ask("/before");
    eventually("it is written", || {
        (of_path(&log, "/before") == 1).then_some(())
    });
    for round in ["/once", "/again"] {
        // As much as there is room for.
        let full = fs::write(&filler, vec![b'x'; 300_000]);
        assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
        let lost = counted(&stage, "dropped", destination);
        eventually("records are lost", || {
            (0..10).for_each(|_| ask("/lost"));
            (counted(&stage, "dropped", destination) > lost + 20).then_some(())
        });
        fs::remove_file(&filler).unwrap();
        eventually("records are written again", || {
            ask(round);
            (of_path(&log, round) > 0).then_some(())
        });
    }
    // It is moved away, and opened again by the signal.
    let moved = folder.join("access.log.1");
    fs::rename(&log, &moved).unwrap();
    ask("/moved");
    eventually("it goes on in the old file", || {
        (of_path(&moved, "/moved") == 1).then_some(())
    });
    stage.first.signal(Signal::USR1);
    eventually("there is another file", || log.exists().then_some(()));
    ask("/new");
    eventually("it goes on in the new file", || {
        (of_path(&log, "/new") == 1).then_some(())
    });
    let (written, torn) = records(&moved);
    assert!(torn.len() <= 2, "{torn:#?}");
    assert!(torn.iter().all(|it| !it.contains("}{")), "{torn:#?}");
    let written = written.len() + records(&log).0.len();
    let lost = counted(&stage, "dropped", destination);
    assert_eq!(written as u64 + lost, asked);
    assert_eq!(counted(&stage, "written", destination), written as u64);
    // All that were lost are told of, once it is over.
    let (as_they_happen, over) = eventually("it is over", || {
        let told = told(&stage.first.log(), destination);
        (told.1.iter().sum::<u64>() == lost).then_some(told)
    });
    assert!((1..=lost).contains(&as_they_happen), "{as_they_happen}");
    assert!((1..=2).contains(&over.len()), "{over:?}");
}

/// Its standard output is a pipe that somebody holds open.
const INTO_A_PIPE: [&str; 4] = ["sh", "-c", "exec \"$@\" > pipe", "sh"];

#[test]
fn a_standard_output_that_nobody_reads_holds_up_nobody() {
    let (one, web, scene) = (Echo::start("one"), free_port(), Scene::new());
    scene.run("mkfifo", &["pipe"]).good();
    // Opened for both, so that neither side waits for the other.
    let path = scene.path("pipe");
    let mut pipe: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let text = text(web, one.port, "'json'");
    let mut stage = Stage::started_by(scene, &text, &INTO_A_PIPE);
    let place = "standard output";
    let long = format!("/{}", "x".repeat(4_000));
    let fill = |stage: &Stage| {
        let mut client = Client::new(web);
        let lost = counted(stage, "dropped", place);
        // 4 MiB wait for the writer at most, and 64 KiB in the pipe.
        let lost = (0..40).any(|_| {
            (0..100).for_each(|_| assert_eq!(client.ask(&long), "one"));
            counted(stage, "dropped", place) > lost
        });
        assert!(lost, "nothing was lost");
    };
    fill(&stage);
    assert_eq!(stage.json(&["reload"])["ok"], true);
    assert_eq!(Client::new(web).ask("/"), "one");
    // Somebody begins to read.
    let (send, lines) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let reader = thread::spawn(move || {
        let (mut rest, mut bytes) = (Vec::new(), vec![0; 65_536]);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let count = pipe.read(&mut bytes).unwrap();
            rest.extend_from_slice(&bytes[..count]);
            while let Some(end) = rest.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                // What the command says of itself stands before the records.
                if line.starts_with(b"{") {
                    let record: Value = serde_json::from_slice(&line).unwrap();
                    // Who has heard enough is gone.
                    let _ = send.send(record.to_string());
                }
            }
        }
        pipe
    });
    until_it_arrives(web, "/after", || {
        let all: Vec<String> = lines.try_iter().collect();
        all.into_iter().find(|it| it.contains("/after"))
    });
    stop.send(()).unwrap();
    // So that there is something to read once more.
    (0..50).for_each(|_| assert_eq!(Client::new(web).ask(&long), "one"));
    let _pipe = reader.join().unwrap();
    fill(&stage);
    stage.first.signal(Signal::TERM);
    assert!(stage.first.wait().success());
}

/// Two servers of a ring of HAProxy get every record, one of them counted; one dies, comes back, and has missed nothing.
#[test]
fn servers_of_a_ring_get_every_record() {
    let scene = Scene::new();
    let [web, plain, counted, next] = [(); 4].map(|()| free_port());
    let file = |server: &str| {
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend web\n bind 127.0.0.1:{web}\n log ring@all local1\n log-format \"%HU\"\n \
             http-request return status 200 hdr X-Server ring\n\
             ring all\n format short\n server plain 127.0.0.1:{plain}\n server counted {server} log-proto octet-count\n"
        )
    };
    scene.file("h.cfg", file(&format!("127.0.0.1:{counted}")));
    let listen = |port: u16| TcpListener::bind(local(port)).unwrap();
    let (plain, first) = (listen(plain), listen(counted));
    let portway = scene.portway_with(&["h.cfg"]);
    let mut client = Client::new(web);
    let mut ask = |path: &str| assert_eq!(client.ask(path), "ring");
    let accept = |listening: &TcpListener| {
        let stream = listening.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let expect = |stream: &mut TcpStream, expected: &str| {
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), expected);
    };
    ask("/one");
    ask("/second");
    let mut by_line = accept(&plain);
    expect(&mut by_line, "<6>/one\n<6>/second\n");
    let mut by_count = accept(&first);
    expect(&mut by_count, "7 <6>/one10 <6>/second");
    // One dies: what comes waits for it, and the other goes on.
    drop((by_count, first));
    ask("/while");
    ask("/gone");
    expect(&mut by_line, "<6>/while\n<6>/gone\n");
    let mut by_count = accept(&listen(counted));
    expect(&mut by_count, "9 <6>/while8 <6>/gone");
    // A reload to another server.
    let other = listen(next);
    scene.file("h.cfg", file(&format!("127.0.0.1:{next}")));
    portway.process.signal(Signal::HUP);
    let mut by_count = eventually("the other server is spoken to", || {
        ask("/next");
        other.set_nonblocking(true).unwrap();
        other.accept().ok()
    })
    .0;
    by_count.set_nonblocking(false).unwrap();
    by_count.set_read_timeout(Some(PATIENCE)).unwrap();
    expect(&mut by_count, "8 <6>/next");
    portway.stop();
}
