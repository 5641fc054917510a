//! Starting, asking and stopping the programs of these tests: Portway itself and its real peers.
//!
//! Everything that is started here ends with the value that stands for it. Ports are claimed, not guessed.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

/// For anything that should take milliseconds, on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a process may take to end before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Between two looks at something that should happen.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Claimed ports: a UDP socket on the same number keeps the other tests away for as long as this process lives.
static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A TCP port of 127.0.0.1 that is free and that no other test of this kind takes.
pub(crate) fn free_port() -> u16 {
    free_offset(&[0])
}

/// A number such that `number + port` is free for each of `ports`. All lie below the range from which the system chooses
/// ports of outgoing connections.
pub(crate) fn free_offset(ports: &[u16]) -> u16 {
    offset_within(10_000..22_000, ports)
}

/// As [`free_offset`], and small enough for `ports` that leave no more room than `most`. The highest may be among those
/// from which the system chooses.
pub(crate) fn free_offset_up_to(most: u16, ports: &[u16]) -> u16 {
    offset_within(1100..most, ports)
}

fn offset_within(range: Range<u16>, ports: &[u16]) -> u16 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::process::id().wrapping_mul(7919) ^ nanos.subsec_nanos();
    let mut claims = CLAIMS.lock().unwrap();
    for step in 0..5000_u32 {
        let wide = u32::from(range.end - range.start);
        let offset = range.start + (seed.wrapping_add(step * 97) % wide) as u16;
        let claimed: Vec<UdpSocket> = ports.iter().filter_map(|it| claim(offset + it)).collect();
        if claimed.len() == ports.len() {
            claims.extend(claimed);
            return offset;
        }
    }
    panic!("no free ports");
}

/// This port of 127.0.0.1.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn claim(port: u16) -> Option<UdpSocket> {
    let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
    drop(everywhere);
    Some(claim)
}

/// Waits until `look` finds something.
pub(crate) fn eventually<T>(what: impl fmt::Display, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What a program that ended has left.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, .. } = self;
        write!(f, "{status}\n{}\n{}", self.stdout, self.stderr)
    }
}

impl Output {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The program ended well; its standard output.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// Both outputs.
    pub(crate) fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A folder of its own, with what is written into it and started in it.
pub(crate) struct Scene {
    folder: TempDir,
    started: AtomicUsize,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("portway-peers-")
                .tempdir()
                .unwrap(),
            started: AtomicUsize::new(0),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A file of `bytes` bytes that do not repeat soon.
    pub(crate) fn big_file(&self, name: &str, bytes: usize) -> PathBuf {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut text = Vec::with_capacity(bytes + 8);
        while text.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.extend_from_slice(&state.to_le_bytes());
        }
        text.truncate(bytes);
        self.file(name, text)
    }

    /// A command that runs in the folder.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(program, arguments);
        let output = command.stdin(Stdio::null()).output();
        Output::of(output.unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Runs a program to its end with `input` on its standard input.
    pub(crate) fn run_with(&self, input: &str, program: &str, arguments: &[&str]) -> Output {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let input = self.file(&format!("input-{number}"), input);
        let mut command = self.command(program, arguments);
        command.stdin(File::open(input).unwrap());
        Output::of(command.output().unwrap())
    }

    /// Runs curl to its end; silent but for errors, with a deadline.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["-sS", "--noproxy", "*", "--max-time", "100"];
        all.extend(arguments);
        self.run("curl", &all)
    }

    /// The status of what curl gets.
    pub(crate) fn status(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-o", "/dev/null", "-w", "%{http_code}"];
        all.extend(arguments);
        self.curl(&all).good()
    }

    /// Starts a program that goes on; both its outputs go to a file.
    pub(crate) fn spawn(&self, program: &str, arguments: &[&str]) -> Process {
        self.spawn_command(self.command(program, arguments))
    }

    pub(crate) fn spawn_command(&self, command: Command) -> Process {
        self.spawn_command_with(command, Stdio::null())
    }

    /// The same with this as its standard input.
    pub(crate) fn spawn_command_with(&self, mut command: Command, input: Stdio) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("log-{number}"));
        let file = File::create(&log).unwrap();
        command
            .stdin(input)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
        Process {
            child,
            program,
            log,
        }
    }

    /// Starts a program that serves on `port`, and waits until it does.
    pub(crate) fn serve(&self, port: u16, program: &str, arguments: &[&str]) -> Process {
        let mut process = self.spawn(program, arguments);
        process.wait_for(local(port));
        process
    }

    /// Starts nginx with these `server` blocks; it serves once `port` does.
    pub(crate) fn nginx(&self, port: u16, servers: &str) -> Process {
        self.nginx_at(local(port), servers)
    }

    /// As [`Scene::nginx`], on any address.
    pub(crate) fn nginx_at(&self, address: SocketAddr, servers: &str) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "daemon off;
master_process off;
pid nginx-{number}.pid;
error_log nginx-{number}.error.log;
worker_rlimit_nofile 10000;
events {{ worker_connections 8000; }}
http {{
    default_type text/plain;
    types {{ }}
    access_log nginx-{number}.access.log;
    client_body_temp_path temp-{number}-1;
    proxy_temp_path temp-{number}-2;
    fastcgi_temp_path temp-{number}-3;
    uwsgi_temp_path temp-{number}-4;
    scgi_temp_path temp-{number}-5;
    client_max_body_size 0;
    keepalive_requests 1000000;
{servers}
}}
"
        );
        let file = self.file(&format!("nginx-{number}.conf"), text);
        let folder = format!("{}/", self.folder.path().display());
        let errors = format!("nginx-{number}.start.log");
        let file = file.display().to_string();
        let mut process = self.spawn("nginx", &["-p", &folder, "-e", &errors, "-c", &file]);
        process.wait_for(address);
        process
    }

    /// Starts a script of Python's own library.
    pub(crate) fn python(&self, port: u16, script: &str) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let name = format!("script-{number}.py");
        self.file(&name, script);
        self.serve(port, "python3", &["-u", &name, &port.to_string()])
    }

    /// Starts Portway on a configuration, on two workers, and waits until it is ready.
    pub(crate) fn portway(&self, configuration: &str) -> Portway {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let name = format!("portway-{number}.toml");
        self.file(&name, configuration);
        self.portway_with(&[&name])
    }

    /// As [`Scene::portway`], with these arguments of `run`.
    pub(crate) fn portway_with(&self, arguments: &[&str]) -> Portway {
        let admin = format!("127.0.0.1:{}", free_port());
        let own = ["run", "--workers", "2", "--admin", &admin];
        let process = self.spawn(PORTWAY, &[&own, arguments].concat());
        let mut portway = Portway { process, admin };
        portway.wait_until_ready();
        portway
    }

    /// What `portway check --short` says about a configuration, and whether it is content.
    pub(crate) fn check(&self, configuration: &str) -> (bool, String) {
        self.file("checked.toml", configuration);
        let output = self.run(PORTWAY, &["check", "--short", "checked.toml"]);
        (output.status.success(), output.both())
    }
}

/// A program that goes on until it is dropped.
pub(crate) struct Process {
    child: Child,
    program: String,
    log: PathBuf,
}

impl Process {
    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("its end", || self.child.try_wait().unwrap())
    }

    /// Waits until somebody accepts there.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        let program = self.program.clone();
        eventually(format_args!("{program} serves on {address}"), || {
            if let Some(status) = self.ended() {
                panic!("{program} ended with {status}: {}", self.log());
            }
            TcpStream::connect(address).ok()
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        }
        let begun = Instant::now();
        while begun.elapsed() < LAST_WORDS {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_AGAIN),
                _ => break,
            }
        }
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = fs::read(&self.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let end: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the last lines of {}", self.program);
            end.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A running Portway.
pub(crate) struct Portway {
    pub(crate) process: Process,
    pub(crate) admin: String,
}

impl Portway {
    fn wait_until_ready(&mut self) {
        let url = format!("http://{}/readyz", self.admin);
        eventually("Portway is ready", || {
            if let Some(status) = self.process.ended() {
                panic!("Portway ended with {status}: {}", self.process.log());
            }
            let output = Command::new("curl")
                .args(["-sf", "--noproxy", "*", &url])
                .output();
            output.unwrap().status.success().then_some(())
        });
    }

    /// What `portway status --json` shows.
    pub(crate) fn status(&self) -> Value {
        let output = Command::new(PORTWAY)
            .args(["status", "--json", "--admin", &self.admin])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", Output::of(output)))
    }

    /// Health and reason of the target of `group` that lives there.
    pub(crate) fn health(&self, group: &str, address: SocketAddr) -> (String, String) {
        let status = self.status();
        let groups = status["target_groups"].as_array().unwrap();
        let group = groups.iter().find(|it| it["name"] == group).unwrap();
        let targets = group["targets"].as_array().unwrap();
        let address = address.to_string();
        let target = targets.iter().find(|it| it["address"] == address.as_str());
        let target = target.unwrap_or_else(|| panic!("no {address} in {group}"));
        let word = |key: &str| target[key].as_str().unwrap().to_owned();
        (word("health"), word("reason"))
    }

    /// Waits until the target has this health; the reason.
    pub(crate) fn wait_for_health(&self, group: &str, address: SocketAddr, wanted: &str) -> String {
        eventually(format_args!("{group} {address} is {wanted}"), || {
            let (health, reason) = self.health(group, address);
            (health == wanted).then_some(reason)
        })
    }

    /// Stops it as a service manager does; it ends well.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        let log = self.process.log();
        assert!(status.success(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

/// A Python that has the libraries of our peers: `websockets`, `stomp.py`, `grpcio` and `grpcio-health-checking`.
pub(crate) fn python_with_peers() -> String {
    let named = std::env::var("PORTWAY_TEST_PYTHON").ok();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let usual = workspace.join("target/test-venv/bin/python");
    named
        .or_else(|| usual.exists().then(|| usual.display().to_string()))
        .expect("no Python with our peers: `cargo xtask test` makes one and names it in PORTWAY_TEST_PYTHON")
}
