//! The memory that a container may have: a control group of its own, whose limit is the budget where nobody says another, and in which
//! nothing is ended by the system however much slow clients send; and the address space that a process may have.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::echo::Echo;
use crate::stage::{Client, group, listener, tunnels};
use crate::support::{PATIENCE, Scene, eventually, free_port};
use crate::upgrade::Stage;

const BUDGET: &str = "portway_memory_budget_bytes ";
const BUFFERS: &str = "portway_memory_used_bytes{by=\"buffers\"} ";
const FAULTS: &str = "portway_listener_faults_total{listener=\"web\",fault=\"exhausted\"} ";

/// Of a body that is held, and what of it comes at first.
const BODY: usize = 1_000_000;
const BEGUN: usize = 600_000;

/// A control group with a limit of memory; it is gone with this value, where no process is in it any more.
struct Container {
    folder: PathBuf,
    limit: &'static str,
    /// What the kernel counts of what it has ended.
    events: &'static str,
}

impl Container {
    /// `None`, and said: this user cannot make one on this machine.
    fn new(bytes: u64) -> Option<Self> {
        let (mount, limit, events) = match Path::new("/sys/fs/cgroup/memory").exists() {
            true => (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.oom_control",
            ),
            false => ("/sys/fs/cgroup", "memory.max", "memory.events"),
        };
        let name = format!("portway-peers-{}-{}", std::process::id(), free_port());
        let made = Self {
            folder: Path::new(mount).join(name),
            limit,
            events,
        };
        // Nothing is created in a group: where the controller is not there, its file is not.
        let is_made = fs::create_dir(&made.folder).and_then(|()| made.write_limit(bytes));
        if let Err(error) = is_made {
            eprintln!("skipped: this user cannot limit the memory of a control group: {error}");
            return None;
        }
        Some(made)
    }

    fn write_limit(&self, bytes: u64) -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.folder.join(self.limit))?;
        file.write_all(bytes.to_string().as_bytes())
    }

    fn may_have(&self, bytes: u64) {
        self.write_limit(bytes).unwrap();
    }

    /// Goes into it, and becomes what follows.
    fn entered(&self) -> String {
        let processes = self.folder.join("cgroup.procs");
        format!("echo $$ > '{}' && exec \"$@\"", processes.display())
    }

    /// Processes that the kernel has ended because there was no memory.
    fn killed(&self) -> u32 {
        let text = fs::read_to_string(self.folder.join(self.events)).unwrap();
        let count = text.lines().find_map(|it| it.strip_prefix("oom_kill "));
        count.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The last process may be about to leave it.
        let busy = |it: &std::io::Error| it.kind() == ErrorKind::ResourceBusy;
        let begun = Instant::now();
        while fs::remove_dir(&self.folder).is_err_and(|it| busy(&it)) && begun.elapsed() < PATIENCE
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn number(stage: &Stage, line: &str) -> u64 {
    stage.metric(line).parse().unwrap()
}

/// A client that sends a large body, and stops.
fn begin_upload(client: &mut Client) {
    let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {BODY}\r\n\r\n");
    client.send(&head);
    // Who is turned away meanwhile is not read to the end.
    let begun = "x".repeat(BEGUN);
    let _ = client.0.get_mut().write_all(begun.as_bytes());
}

fn status_of(client: &mut Client) -> String {
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let head = client.answer();
    head.split(' ').nth(1).unwrap().to_owned()
}

/// Uploads begin until others are turned away; those that began.
fn fill(stage: &Stage, inside: &mut Vec<Client>, probe: &mut Client) -> Vec<Client> {
    let mut uploads = Vec::new();
    loop {
        let mut client = inside.pop().expect("it is never full");
        let before = number(stage, BUFFERS);
        begin_upload(&mut client);
        uploads.push(client);
        // Most of what came is counted soon; what was given back elsewhere meanwhile is not waited for.
        for _ in 0..20 {
            if status_of(probe) == "503" {
                return uploads;
            }
            if number(stage, BUFFERS) >= before + BEGUN as u64 {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The rest of each upload; how many of them were served whole.
fn end(uploads: &mut [Client]) -> usize {
    let rest = "y".repeat(BODY - BEGUN);
    let mut served = 0;
    for client in uploads {
        let _ = client.0.get_mut().write_all(rest.as_bytes());
        let head = client.answer();
        // Those that came before it was seen to be full may have come too late.
        let is_served = head.starts_with("http/1.1 200 ");
        assert!(is_served || head.starts_with("http/1.1 503 "), "{head}");
        served += usize::from(is_served);
    }
    served
}

#[test]
fn its_limit_is_the_budget_and_slow_clients_bring_nobody_down() {
    const MIB: u64 = 1 << 20;
    let Some(container) = Container::new(48 * MIB) else {
        return;
    };
    let (one, chat) = (Echo::start("one"), tunnels());
    let [web, ws, dead] = [(); 3].map(|()| free_port());
    let text = |more: &str| {
        [
            more.to_owned(),
            listener("web", web, "app"),
            listener("ws", ws, "chat"),
            // Each second attempt is at a dead target, and the body that is held goes to the other.
            group("app", &[dead, one.port]) + "retries = 2\nretry_body_bytes = '1MiB'\n",
            group("chat", &[chat]),
        ]
        .concat()
    };
    let enter = ["sh", "-c", &container.entered(), "sh"];
    let stage = Stage::started_by(Scene::new(), &text(""), &enter);
    let becomes = |text: &str| {
        fs::write(&stage.file, text).unwrap();
        stage.command(&["reload"]).good();
    };
    let process = stage.process();
    assert_eq!(number(&stage, BUDGET), 24 * MIB);
    let mut tunnel = Client::tunnel(ws);
    let mut inside: Vec<Client> = (0..100).map(|_| Client::new(web)).collect();
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    let mut probe = inside.pop().unwrap();
    let mut uploads = fill(&stage, &mut inside, &mut probe);
    assert!(uploads.len() > 10, "{}", uploads.len());
    // More of them are turned away, who is under way goes on, who comes waits, and so it is after a reload.
    for text in [text(""), text("[process]\nmax_connections = 900\n")] {
        becomes(&text);
        let mut refused = inside.pop().unwrap();
        begin_upload(&mut refused);
        let head = refused.answer();
        assert!(head.starts_with("http/1.1 503 "), "{head}");
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        tunnel.beats();
        assert_eq!(status_of(&mut probe), "503");
    }
    let waiting = thread::spawn(move || Client::new(web).ask("/"));
    // The container may have more: the next reload knows it.
    container.may_have(96 * MIB);
    becomes(&text(""));
    assert_eq!(number(&stage, BUDGET), 48 * MIB);
    assert_eq!(waiting.join().unwrap(), "one");
    assert_eq!(status_of(&mut probe), "200");
    let more = fill(&stage, &mut inside, &mut probe);
    assert!(more.len() > 10, "{}", more.len());
    uploads.extend(more);
    let faults = number(&stage, FAULTS);
    assert!(faults >= 4, "{faults}");
    // They end: those that were let in are served whole, and there is room again.
    let served = end(&mut uploads);
    assert!(served > 20, "{served} of {}", uploads.len());
    eventually("all is given back", || {
        (number(&stage, BUFFERS) <= 64 * 1024).then_some(())
    });
    assert_eq!(status_of(&mut probe), "200");
    assert_eq!(Client::new(web).ask("/"), "one");
    tunnel.beats();
    assert_eq!((stage.process(), container.killed()), (process, 0));
    // Another that takes over reads what there is then; what the file says goes before that.
    container.may_have(64 * MIB);
    stage.upgrade();
    assert_eq!(number(&stage, BUDGET), 32 * MIB);
    becomes(&text("[process]\nmax_memory = '5MiB'\n"));
    assert_eq!(number(&stage, BUDGET), 5 * MIB);
    assert_eq!(Client::new(web).ask("/"), "one");
    assert_eq!(container.killed(), 0);
}

/// Kilobytes of addresses; the program reserves a good part of them and uses little of that.
const FEW_ADDRESSES: [&str; 4] = ["sh", "-c", "ulimit -v 500000; exec \"$@\"", "sh"];

#[test]
fn a_limit_of_the_address_space_leaves_room_for_the_program() {
    let (one, web, dead) = (Echo::start("one"), free_port(), free_port());
    let text = |retries: u8| {
        let held = format!("retries = {retries}\nretry_body_bytes = '1MiB'\n");
        listener("web", web, "app") + &group("app", &[dead, one.port]) + &held
    };
    let stage = Stage::started_by(Scene::new(), &text(2), &FEW_ADDRESSES);
    let (process, budget) = (stage.process(), number(&stage, BUDGET));
    assert!(budget < 500_000 * 1024 / 2, "{budget}");
    let mut inside: Vec<Client> = (0..250).map(|_| Client::new(web)).collect();
    for client in &mut inside {
        assert_eq!(client.ask("/"), "one");
    }
    let mut probe = inside.pop().unwrap();
    let mut uploads = fill(&stage, &mut inside, &mut probe);
    assert!(uploads.len() > 5, "{} within {budget}", uploads.len());
    fs::write(&stage.file, text(3)).unwrap();
    stage.command(&["reload"]).good();
    // What it has taken since then is part of the budget, and does not make it less.
    assert_eq!(number(&stage, BUDGET), budget);
    assert_eq!(status_of(&mut probe), "503");
    assert!(end(&mut uploads) > 5);
    assert_eq!(status_of(&mut probe), "200");
    assert_eq!(Client::new(web).ask("/"), "one");
    assert_eq!(stage.process(), process);
    let log = stage.first.log();
    assert!(!log.contains("memory allocation"), "{log}");
}
