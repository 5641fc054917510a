//! What tests of changes share: Portway on a file that is written anew, clients that stay, targets that take tunnels.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::{Issuer, Key, certificate};
use crate::support::{Output, PORTWAY, Portway, Scene, local};

/// Portway on a file that is written anew.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) portway: Portway,
    pub(crate) file: PathBuf,
}

impl Stage {
    pub(crate) fn new(text: &str) -> Self {
        Self::with(Scene::new(), text, &[])
    }

    pub(crate) fn with(scene: Scene, text: &str, arguments: &[&str]) -> Self {
        Self::of_file(scene, "web.toml", text, arguments)
    }

    /// With this name of the file.
    pub(crate) fn of_file(scene: Scene, name: &str, text: &str, arguments: &[&str]) -> Self {
        let file = scene.file(name, text);
        let portway = scene.portway_with(&[&[name], arguments].concat());
        Self {
            scene,
            portway,
            file,
        }
    }

    /// Writes the file and says so; what the command says, as JSON.
    pub(crate) fn reload(&self, text: &str) -> Value {
        fs::write(&self.file, text).unwrap();
        let output = self.command(&["reload", "--json"]);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// The same where it succeeds; the plan, a line for each step.
    #[track_caller]
    pub(crate) fn becomes(&self, text: &str) -> String {
        let answer = self.reload(text);
        assert_eq!(answer["ok"], true, "{answer:#}");
        let steps = answer["plan"].as_array().unwrap().iter();
        let word = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
        let lines = steps.map(|step| {
            let [action, kind, name] = ["action", "kind", "name"].map(|key| word(step, key));
            format!("{action} {kind} {name}")
        });
        lines.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Output {
        let arguments = [words, &["--admin", &self.portway.admin]].concat();
        self.scene.run(PORTWAY, &arguments)
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.portway.admin);
        self.scene.curl(&["-s", &url]).good()
    }

    pub(crate) fn has_metric(&self, line: &str) -> bool {
        self.metrics().lines().any(|it| it.starts_with(line))
    }

    pub(crate) fn metric(&self, line: &str) -> String {
        let text = self.metrics();
        let found = text.lines().find_map(|it| it.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("no {line} in {text}"))
            .trim()
            .to_owned()
    }
}

/// A client with one connection.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        let stream = TcpStream::connect(local(port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The head of the next answer, in lower case, its body read.
    pub(crate) fn answer(&mut self) -> String {
        self.head().to_ascii_lowercase()
    }

    /// The same as it came.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).unwrap() > 0,
                "ended after `{head}`"
            );
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        self.0
            .read_exact(&mut vec![0; length.unwrap_or(0)])
            .unwrap();
        head
    }

    /// The same, unless the connection ends before it begins.
    pub(crate) fn try_answer(&mut self) -> Option<String> {
        let begun = self.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        begun.then(|| self.answer())
    }

    /// Who answers.
    pub(crate) fn ask(&mut self, path: &str) -> String {
        let head = self.ask_with(path, "");
        server(&head).unwrap_or_else(|| panic!("{head}")).to_owned()
    }

    /// The head of the answer, in lower case, to a request with these headers, each with its end of line.
    pub(crate) fn ask_with(&mut self, path: &str, headers: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n"
        ));
        self.answer()
    }

    /// Asks for an upgrade.
    pub(crate) fn upgrade(&mut self) {
        self.send(
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        );
    }

    /// Upgrades the connection; what is sent comes back then.
    pub(crate) fn tunnel(port: u16) -> Self {
        let mut client = Self::new(port);
        client.upgrade();
        assert!(client.answer().starts_with("http/1.1 101 "));
        client
    }

    pub(crate) fn beats(&mut self) {
        self.send("beat\n");
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert_eq!(line, "beat\n");
    }

    /// Waits for the end.
    pub(crate) fn ends(&mut self) {
        let mut rest = Vec::new();
        // An end or a reset: nothing more comes.
        let _ = self.0.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

/// Who has given the answer with this head, in lower case; `None`: no target.
pub(crate) fn server(head: &str) -> Option<&str> {
    let (_, rest) = head.split_once("x-server: ")?;
    rest.split("\r\n").next()
}

/// A target that takes every upgrade and sends back what comes then.
pub(crate) fn tunnels() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                let mut stream = stream;
                let head = "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
                let _ = stream.write_all(head.as_bytes());
                let _ = std::io::copy(&mut reader, &mut stream);
            });
        }
    });
    port
}

pub(crate) fn own_certificate(scene: &Scene, name: &str, host: &str) {
    certificate(scene, name, Key::Ecdsa, host, &[host], Issuer::Own);
}

pub(crate) fn listener(name: &str, port: u16, group: &str) -> String {
    format!("[listener.{name}]\nbind = '127.0.0.1:{port}'\nforward = '{group}'\n")
}

pub(crate) fn group(name: &str, ports: &[u16]) -> String {
    let targets: Vec<String> = ports.iter().map(|it| format!("'127.0.0.1:{it}'")).collect();
    format!(
        "[target_group.{name}]\ntargets = [{}]\n",
        targets.join(", ")
    )
}
