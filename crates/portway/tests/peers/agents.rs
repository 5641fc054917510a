//! Agents beside targets say how they are, through a reload, a retry, a target that dies and an agent that does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::choice::{CHECK, Mortal};
use crate::stage::{Client, Stage, listener};
use crate::support::{Scene, eventually, free_port, local};

/// Says its line to everybody who asks.
pub(crate) struct Agent {
    pub(crate) port: u16,
    line: Arc<Mutex<String>>,
    asked: Arc<AtomicU32>,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let agent = Self {
            port: listener.local_addr().unwrap().port(),
            line: Arc::new(Mutex::new("up\n".to_owned())),
            asked: Arc::default(),
        };
        let (line, asked) = (Arc::clone(&agent.line), Arc::clone(&agent.asked));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let line = line.lock().unwrap().clone();
                let patience = Some(Duration::from_secs(20));
                stream.set_read_timeout(patience).unwrap();
                let mut word = [0; 5];
                if stream.read_exact(&mut word).is_ok() && word == *b"how?\n" {
                    let _ = stream.write_all(line.as_bytes());
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        agent
    }

    /// Says this from now on, and waits until it was heard: who is asked again has had the answer before.
    pub(crate) fn says(&self, line: &str) {
        line.clone_into(&mut self.line.lock().unwrap());
        self.is_heard();
    }

    fn is_heard(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("the agent is asked", || {
            (self.asked.load(Ordering::SeqCst) >= before + 3).then_some(())
        });
    }
}

/// How many of a hundred requests go to `b`; all are answered.
fn to_b(web: u16) -> usize {
    let mut client = Client::new(web);
    let names: Vec<String> = (0..100).map(|_| client.ask("/")).collect();
    names.iter().filter(|name| *name == "b").count()
}

/// Both serve alike.
#[track_caller]
fn half(web: u16) {
    let part = to_b(web);
    assert!((45..=55).contains(&part), "{part}");
}

#[test]
fn an_agent_weighs_drains_and_takes_out_over_reloads_and_deaths() {
    let scene = Scene::new();
    let web = free_port();
    let agent = Agent::start();
    let [a, b] = ["a", "b"].map(|name| Mortal::start(&scene, name));
    let of_b = format!(
        ", weight = 100, agent = {{ port = {}, interval = '50ms', timeout = '30s', send = \"how?\\n\" }}",
        agent.port
    );
    let targets = [a.target(", weight = 100"), b.target(&of_b)].join(", ");
    let text = |retries: u32| {
        format!(
            "{}[target_group.app]\ntargets = [{targets}]\n{CHECK}\nretries = {retries}\n",
            listener("web", web, "app")
        )
    };
    let stage = Stage::with(scene, &text(1), &[]);
    agent_says(&stage, &text, &agent, [a, b], web);
    stage.portway.stop();
}

#[test]
fn an_agent_of_a_haproxy_file_is_heard() {
    let scene = Scene::new();
    let web = free_port();
    let agent = Agent::start();
    let [a, b] = ["a", "b"].map(|name| Mortal::start(&scene, name));
    let (of_a, of_b) = (a.port, b.port);
    let text = |retries: u32| {
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n timeout check 5s\n \
             retries {retries}\n option redispatch 1\nlisten app\n bind 127.0.0.1:{web}\n \
             server a 127.0.0.1:{} weight 100 check inter 100ms fall 2 rise 1\n \
             server b 127.0.0.1:{} weight 100 check inter 100ms fall 2 rise 1 \
             agent-check agent-port {} agent-inter 50ms agent-send how?\\n\n",
            of_a, of_b, agent.port
        )
    };
    let stage = Stage::of_file(scene, "haproxy.cfg", &text(1), &[]);
    agent_says(&stage, &text, &agent, [a, b], web);
    stage.portway.stop();
}

/// What an agent says of `b` holds, whatever else happens.
fn agent_says(
    stage: &Stage,
    text: &dyn Fn(u32) -> String,
    agent: &Agent,
    [a, mut b]: [Mortal; 2],
    web: u16,
) {
    let is = |mortal: &Mortal, wanted: &str| {
        let at = local(mortal.port);
        stage.portway.wait_for_health("app", at, wanted)
    };
    is(&a, "healthy");
    is(&b, "healthy");
    half(web);

    // A part of its weight, over a reload too.
    agent.says("25%\n");
    let part = to_b(web);
    assert!((15..=25).contains(&part), "{part}");
    stage.becomes(&text(2));
    let part = to_b(web);
    assert!((15..=25).contains(&part), "{part}");
    agent.says("100%\n");
    half(web);

    // Words of operators: they hold until the agent says another one, whatever checks find and a reload changes.
    for (word, health, retries) in [("drain", "draining", 3), ("maint", "unused", 4)] {
        agent.says(&format!("{word}\n"));
        is(&b, health);
        assert_eq!(to_b(web), 0, "{word}");
        stage.becomes(&text(retries));
        assert_eq!(stage.portway.health("app", local(b.port)).0, health);
        assert_eq!(to_b(web), 0, "{word}");
        agent.says("ready\n");
        is(&b, "healthy");
        half(web);
    }

    // Down: checks pass, and do not bring it back.
    agent.says("down # overload\n");
    let reason = is(&b, "unhealthy");
    assert!(reason.contains("overload"), "{reason}");
    agent.is_heard();
    assert_eq!(to_b(web), 0);
    stage.becomes(&text(2));
    agent.is_heard();
    assert_eq!(to_b(web), 0);
    agent.says("up\n");
    is(&b, "healthy");
    half(web);

    // The target dies, its agent does not know: another one is asked, and checks see it.
    b.die();
    assert_eq!(to_b(web), 0);
    is(&b, "unhealthy");
    agent.is_heard();
    assert_eq!(to_b(web), 0);
    b.revive(&stage.scene);
    is(&b, "healthy");
    half(web);
}

#[test]
fn what_an_agent_has_said_ends_with_it() {
    let scene = Scene::new();
    let web = free_port();
    let agent = Agent::start();
    let [a, b] = ["a", "b"].map(|name| Mortal::start(&scene, name));
    let of_b = format!(
        ", agent = {{ port = {}, interval = '50ms', send = \"how?\\n\" }}",
        agent.port
    );
    for check in ["", CHECK] {
        let text = |of_b: &str| {
            let targets = [a.target(""), b.target(of_b)].join(", ");
            let listener = listener("web", web, "app");
            format!("{listener}[target_group.app]\ntargets = [{targets}]\n{check}\n")
        };
        let stage = Stage::new(&text(&of_b));
        agent.says("up\n");
        let is = |wanted: &str| {
            let at = local(b.port);
            stage.portway.wait_for_health("app", at, wanted)
        };
        agent.says("down\n");
        is("unhealthy");
        stage.becomes(&text(""));
        is("healthy");
        half(web);
        stage.portway.stop();
    }
}

#[test]
fn an_agent_that_is_gone_changes_nothing() {
    let scene = Scene::new();
    let (web, nobody) = (free_port(), free_port());
    let [a, b] = ["a", "b"].map(|name| Mortal::start(&scene, name));
    let of_b = format!(", agent = {{ port = {nobody}, interval = '50ms' }}");
    let targets = [a.target(""), b.target(&of_b)].join(", ");
    let text = format!(
        "{}[target_group.app]\ntargets = [{targets}]\n{CHECK}\n",
        listener("web", web, "app")
    );
    let stage = Stage::with(scene, &text, &[]);
    for mortal in [&a, &b] {
        let at = local(mortal.port);
        stage.portway.wait_for_health("app", at, "healthy");
    }
    half(web);
    stage.becomes(&text.replace("targets", "retries = 2\ntargets"));
    half(web);
    stage.portway.stop();
}
