//! The last good configurations are kept, shown, and put to work again; what is in progress feels nothing of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{group, listener};
use crate::support::{Output, PORTWAY, Portway, Scene, eventually, free_port, local};
use crate::upgrade;

struct Stage {
    scene: Scene,
    port: u16,
    one: u16,
    two: u16,
}

impl Stage {
    fn new() -> Self {
        Self {
            scene: Scene::new(),
            port: free_port(),
            one: Echo::start("one").port,
            two: Echo::start("two").port,
        }
    }

    /// Writes a configuration that serves by this target.
    fn write(&self, target: u16, more: &str) {
        let text = format!(
            "[listener.web]\nbind = '127.0.0.1:{}'\nforward = 'app'\n{more}\
             [target_group.app]\ntargets = ['127.0.0.1:{target}']\n\
             [userlist.staff]\nusers = {{ anna = {{ plain_password = 't0p' }} }}\n",
            self.port
        );
        self.scene.file("web.toml", text);
    }

    fn run(&self, portway: &Portway, words: &[&str]) -> Output {
        let words = [words, &["--admin", &portway.admin]].concat();
        self.scene.run(PORTWAY, &words)
    }

    fn json(&self, portway: &Portway, words: &[&str]) -> Value {
        let output = self.run(portway, &[words, &["--json"]].concat());
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    fn ask(&self) -> String {
        ask(&mut BufReader::new(connect(self.port)))
    }

    /// What is kept: numbers, what has put it to work, whether it is at work.
    fn kept(&self, portway: &Portway) -> Vec<String> {
        let history = self.json(portway, &["history"]);
        let all = history["generations"].as_array().unwrap().iter();
        let text = |it: &Value| {
            let at_work = if it["at_work"] == true {
                " at work"
            } else {
                ""
            };
            let by = it["by"].as_str().unwrap();
            format!("{}-{} {by}{at_work}", it["number"], it["until"])
        };
        all.map(text).collect()
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(local(port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Who answers on a connection.
fn ask(stream: &mut BufReader<TcpStream>) -> String {
    stream
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let (mut server, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "ended");
        let line = line.trim_end();
        if let Some(name) = line.strip_prefix("X-Server: ") {
            name.clone_into(&mut server);
        }
        if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = count.parse().unwrap();
        }
        if line.is_empty() {
            stream.read_exact(&mut vec![0; length]).unwrap();
            return server;
        }
    }
}

#[test]
fn a_generation_is_put_to_work_again_and_survives_a_restart() {
    let stage = Stage::new();
    stage.write(stage.one, "");
    let arguments = ["web.toml", "--state-dir", "state"];
    let portway = stage.scene.portway_with(&arguments);
    let mut held = BufReader::new(connect(stage.port));
    assert_eq!(ask(&mut held), "one");
    stage.write(stage.two, "");
    stage.run(&portway, &["reload"]).good();
    stage.run(&portway, &["reload"]).good();
    assert_eq!(ask(&mut held), "two");
    assert_eq!(
        stage.kept(&portway),
        ["2-3 portway reload at work", "1-1 start"]
    );
    let shown = stage.json(&portway, &["history", "3"]);
    let diff = shown["diff"].as_str().unwrap();
    let line = |sign: &str, port: u16| format!("\n{sign}targets = [\"127.0.0.1:{port}\"]\n");
    assert!(
        diff.contains(&line("-", stage.one)) && diff.contains(&line("+", stage.two)),
        "{diff}"
    );
    assert_eq!(shown["plan"].as_array().unwrap().len(), 2);
    let list = stage.run(&portway, &["history"]).good();
    let mut lines = list.lines();
    let columns = lines.next().unwrap();
    assert!(!list.contains("forgets"), "{list}");
    assert!(
        columns.starts_with("GENERATION  WHEN (UTC)           BY "),
        "{list}"
    );
    let (year, zone) = (
        regex::Regex::new(" 20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}  ").unwrap(),
        "GMT",
    );
    assert!(
        lines.all(|it| year.is_match(it)) && !list.contains(zone),
        "{list}"
    );
    let all = stage.run(&portway, &["history", "1"]).good();
    assert!(
        all.contains("+ listener web") && !all.contains("t0p"),
        "{all}"
    );

    let back = stage.json(&portway, &["rollback", "1"]);
    assert_eq!(
        (&back["ok"], &back["generation"]),
        (&true.into(), &4.into())
    );
    // The client has the connection that it had, and the server of then.
    assert_eq!(ask(&mut held), "one");
    assert_eq!(stage.kept(&portway)[0], "4-4 rollback to 1 at work");
    assert_eq!(portway.status()["process"]["rolled_back_to"], 1);
    let status = stage.run(&portway, &["status"]).good();
    assert!(status.contains("rolled back to generation 1"), "{status}");
    let unknown = stage.run(&portway, &["rollback", "77"]);
    assert!(
        !unknown.status.success() && unknown.stderr.contains("there are 1, 2–3, 4"),
        "{unknown}"
    );
    stage.run(&portway, &["reload"]).good();
    assert_eq!(stage.ask(), "two");
    assert!(portway.status()["process"].get("rolled_back_to").is_none());
    let log = portway.stop();
    assert!(
        log.contains("rollback to 1") && log.contains("the next reload follows them"),
        "{log}"
    );

    let portway = stage.scene.portway_with(&arguments);
    // Its admin address is another one.
    assert_eq!(portway.status()["process"]["generation"], 6);
    assert_eq!(stage.kept(&portway).len(), 5);
    stage.run(&portway, &["rollback", "1"]).good();
    assert_eq!(stage.ask(), "one");
    // A folder that is full or gone stops no reload.
    fs::remove_dir_all(stage.scene.path("state")).unwrap();
    fs::write(stage.scene.path("state"), "").unwrap();
    stage.run(&portway, &["reload"]).good();
    assert_eq!(stage.ask(), "two");
    assert!(portway.stop().contains("the history cannot be written"));
}

#[test]
fn what_is_watched_undoes_no_rollback_until_it_changes() {
    let stage = Stage::new();
    stage.write(stage.one, "");
    let portway = stage.scene.portway_with(&["web.toml", "--watch"]);
    stage.write(stage.two, "");
    eventually("reloaded", || (stage.ask() == "two").then_some(()));
    stage.run(&portway, &["rollback", "1"]).good();
    // It is only touched, as by a tool that brings files up to date.
    stage.write(stage.two, "");
    // Twice as long as files are looked at.
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(stage.ask(), "one");
    assert_eq!(stage.kept(&portway).len(), 3);
    stage.write(stage.two, "close = true\n");
    eventually("reloaded", || (stage.ask() == "two").then_some(()));
    let by = stage.kept(&portway)[0].clone();
    assert!(by.contains("a file has changed"), "{by}");
}

#[test]
fn a_rollback_reads_files_as_they_are_now_and_one_that_fails_changes_nothing() {
    let stage = Stage::new();
    let rule = "[[listener.web.rule]]\nwhen = 'host listed_in `hosts`'\nrespond = 418\n\
                [[listener.web.rule]]\nforward = 'app'\n[map.hosts]\nfile = 'maps/hosts.map'\n";
    let with_map = |target: u16| {
        stage.write(target, rule);
        let text = stage
            .scene
            .read("web.toml")
            .replace("forward = 'app'\n[[", "[[");
        stage.scene.file("web.toml", text);
    };
    let map = stage.scene.file("maps/hosts.map", "b 1\n");
    with_map(stage.one);
    let portway = stage.scene.portway_with(&["web.toml"]);
    assert_eq!(stage.ask(), "one");
    stage.write(stage.two, "");
    stage.run(&portway, &["reload"]).good();
    fs::remove_file(&map).unwrap();
    let failed = stage.run(&portway, &["rollback", "1"]);
    assert!(
        !failed.status.success() && failed.stderr.contains("maps/hosts.map"),
        "{failed}"
    );
    assert_eq!(stage.ask(), "two");
    assert!(portway.status()["process"].get("rolled_back_to").is_none());
    fs::write(&map, "a 1\n").unwrap();
    stage.run(&portway, &["rollback", "1"]).good();
    let url = format!("http://127.0.0.1:{}/", stage.port);
    assert_eq!(stage.scene.status(&["-H", "Host: a", &url]), "418");
}

#[test]
fn an_upgrade_hands_on_what_is_kept() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let text = |port: u16| listener("web", web, "app") + &group("app", &[port]);
    let stage = upgrade::Stage::with(Scene::new(), &text(one.port), &[]);
    fs::write(&stage.file, text(two.port)).unwrap();
    stage.command(&["reload"]).good();
    stage.upgrade();
    fs::write(&stage.file, text(one.port) + "retries = 1\n").unwrap();
    stage.upgrade();
    let list = stage.command(&["history"]).good();
    let by = |line: &str| {
        line.split_whitespace()
            .skip(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<String> = list.lines().skip(1).map(by).collect();
    assert_eq!(
        lines[..3],
        ["upgrade at work", "portway reload +1 ~0 -1", "start"],
        "{list}"
    );
    assert!(list.contains("a restart forgets them"), "{list}");
    stage.command(&["rollback", "2"]).good();
    assert_eq!(ask(&mut BufReader::new(connect(web))), "two");
}
