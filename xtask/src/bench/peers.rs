//! The programs of a measurement: nginx as target, HAProxy and Portway in front of it with equal settings.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process;

/// How long a program may take until it answers.
const START: Duration = Duration::from_secs(20);

/// How long a program may take to answer one request.
const ANSWER: Duration = Duration::from_secs(10);

/// The CPU of the proxy that is measured.
const PROXY_CPU: &str = "0";

/// The CPU of everything else.
const OTHER_CPU: &str = "1";

/// Bytes of the large body.
const LARGE: usize = 64 * 1024;

/// The small body: 46 bytes.
const SMALL: &str = "hello world 1234567890 hello world 1234567890";

/// Paths that nginx answers.
pub(super) const SMALL_PATH: &str = "/small";
/// As above, with [`LARGE`] bytes.
pub(super) const LARGE_PATH: &str = "/large";

/// A running program. Dropping it ends it.
pub(super) struct Peer {
    child: Child,
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
}

/// nginx and the two proxies.
pub(super) struct Peers {
    pub(super) haproxy: Peer,
    pub(super) portway: Peer,
    _nginx: Peer,
}

impl Peers {
    /// Writes the configurations into `folder` and starts everything. `files`: descriptors that a process may open.
    pub(super) fn start(binary: &Path, folder: &Path, files: u64) -> Result<Self, String> {
        let said = |e: std::io::Error| format!("{}: {e}", folder.display());
        fs::create_dir_all(folder).map_err(said)?;
        let [target, haproxy, portway, admin] = free_ports()?;
        let configurations = [
            ("nginx.conf", nginx(folder, target)),
            ("haproxy.cfg", in_front(haproxy, target, files)),
            ("portway.toml", native(portway, target, admin)),
            ("large", "x".repeat(LARGE)),
        ];
        for (name, text) in configurations {
            fs::write(folder.join(name), text).map_err(said)?;
        }
        let mut command = pinned("nginx", OTHER_CPU);
        command.arg("-c").arg(folder.join("nginx.conf"));
        let nginx = Peer::start("nginx", &mut command, target)?;
        let mut command = pinned("haproxy", PROXY_CPU);
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        let haproxy = Peer::start("haproxy", &mut command, haproxy)?;
        let mut command = pinned(&binary.to_string_lossy(), PROXY_CPU);
        command.arg("run").arg(folder.join("portway.toml"));
        let portway = Peer::start("portway", &mut command, portway)?;
        Ok(Self {
            haproxy,
            portway,
            _nginx: nginx,
        })
    }
}

impl Peer {
    fn start(name: &'static str, command: &mut Command, port: u16) -> Result<Self, String> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        let mut peer = Self {
            child,
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        let deadline = Instant::now() + START;
        while connect_and_ask(peer.address).is_err() {
            if let Ok(Some(status)) = peer.child.try_wait() {
                return Err(format!("{name} ended: {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{name} does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// Its process: `taskset` becomes the program it starts.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // gone already: nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program on this CPU, where the machine has more than one.
pub(super) fn pinned(name: &str, cpu: &str) -> Command {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return process::program(name);
    }
    let mut command = process::program("taskset");
    command.args(["-c", cpu, name]);
    command
}

/// The load generator, beside the target.
pub(super) fn wrk() -> Command {
    pinned("wrk", OTHER_CPU)
}

/// Opens a connection and makes one request on it.
pub(super) fn connect_and_ask(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut connection = TcpStream::connect_timeout(&address, ANSWER)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.write_all(format!("GET {SMALL_PATH} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
    let mut received = Vec::new();
    let mut piece = [0; 1024];
    while !received.ends_with(SMALL.as_bytes()) {
        let n = connection.read(&mut piece)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
    if received.starts_with(b"HTTP/1.1 200 ") {
        Ok(connection)
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

/// Ports that nobody listens on.
fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        *port = listener.local_addr().map_err(|e| e.to_string())?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn nginx(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let user = if root { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 1000000000;\n    keepalive_timeout 3600s;\n    \
         sendfile on;\n    server {{\n        listen 127.0.0.1:{port} backlog=4096;\n        root {folder};\n        \
         location = {SMALL_PATH} {{ return 200 \"{SMALL}\"; }}\n    }}\n}}\n"
    )
}

/// What Portway does by itself is asked of HAProxy in words: the same four forwarding fields, pooled connections.
fn in_front(port: u16, target: u16, files: u64) -> String {
    let connections = (files.saturating_sub(200) / 2).min(20_000);
    format!(
        "global\n    maxconn {connections}\n    nbthread 1\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n    \
         timeout http-keep-alive 60s\n    http-reuse always\n\
         frontend web\n    bind 127.0.0.1:{port} backlog 4096\n    option forwardfor\n    \
         http-request set-header X-Forwarded-Proto http\n    \
         http-request set-header X-Forwarded-Port %[dst_port]\n    \
         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n    default_backend app\n\
         backend app\n    server a 127.0.0.1:{target} pool-max-conn 1000\n"
    )
}

fn native(port: u16, target: u16, admin: u16) -> String {
    format!(
        "[process]\nworkers = 1\nadmin = \"127.0.0.1:{admin}\"\n\n\
         [listener.web]\nbind = \"127.0.0.1:{port}\"\nforward = \"app\"\n\n\
         [target_group.app]\ntargets = [\"127.0.0.1:{target}\"]\n"
    )
}
