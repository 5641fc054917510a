//! Commands that come when the live state has been given to a new process, which does not serve yet. The test plays that.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::echo::Echo;
use crate::stage::{group, listener};
use crate::support::{Scene, free_port};
use crate::upgrade::{Stage, signal};

/// A Portway with a control socket, and a new process of it that has the live state and waits to say `word`.
fn given(word: &str) -> (Stage, File, String) {
    let (one, web, scene) = (Echo::start("one"), free_port(), Scene::new());
    let held = scene.path("held").display().to_string();
    scene.run("mkfifo", &[&held]).good();
    let socket = scene.path("ctl.sock").display().to_string();
    let text = format!(
        "[process]\ncontrol_sockets = {{ bind = 'unix:{socket}', level = 'admin' }}\n{}{}",
        listener("web", web, "app"),
        group("app", &[one.port])
    );
    let target = format!("app/127.0.0.1:{}", one.port);
    let stage = Stage::with(scene, &text, &[]);
    // The first bytes of the state come when nothing changes any more.
    stage.program_is(&format!(
        "printf '_portway_state\\n' >&0; head -c 4 <&0 >/dev/null; read line < {held}; printf '{word}\\n' >&0"
    ));
    signal(stage.process(), Signal::USR2);
    let held = File::options().write(true).open(held).unwrap();
    (stage, held, target)
}

/// A command on the control socket, not answered yet.
fn told(stage: &Stage, command: &str) -> UnixStream {
    let mut stream = UnixStream::connect(stage.scene.path("ctl.sock")).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    stream
}

/// The same at the admin address.
fn asked(stage: &Stage, target: &str) -> TcpStream {
    let address: SocketAddr = stage.admin.parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let body = format!(r#"{{"kind":"target","name":"{target}"}}"#);
    let head = format!(
        "POST /drain HTTP/1.1\r\nHost: {address}\r\nPortway-Command: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    stream
}

fn answer(mut stream: impl Read) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_the_old_process_would_lose_is_left_to_the_new_one() {
    let (stage, mut held, target) = given("ready");
    let weight = told(&stage, &format!("set weight {target} 50"));
    let shown = told(&stage, "show cli level");
    let drain = asked(&stage, &target);
    // What changes nothing does not wait.
    assert_eq!(answer(shown).trim(), "admin");
    // Whatever was to be done at once is done by then.
    thread::sleep(Duration::from_millis(200));
    held.write_all(b"go\n").unwrap();
    let answer = [answer(weight), answer(drain)];
    assert!(answer[0].contains("has taken over meanwhile"), "{answer:?}");
    assert!(answer[1].starts_with("HTTP/1.1 409 "), "{answer:?}");
}

#[test]
fn what_waited_is_done_where_the_old_process_goes_on() {
    let (stage, mut held, target) = given("failed []");
    let weight = told(&stage, &format!("set weight {target} 50"));
    let drained = thread::scope(|scope| {
        let drained = scope.spawn(|| stage.command(&["drain", "target", &target]));
        thread::sleep(Duration::from_millis(200));
        assert!(!drained.is_finished());
        held.write_all(b"go\n").unwrap();
        drained.join().unwrap()
    });
    drained.good();
    assert_eq!(answer(weight).trim(), "");
    let told = answer(told(&stage, &format!("get weight {target}")));
    assert!(told.starts_with("50 "), "{told}");
    let health = stage.json(&["status"])["target_groups"][0]["targets"][0]["health"].clone();
    assert!(health == "draining" || health == "unused", "{health}");
}
