//! Standard error whose reader is gone, as a logger that died leaves it: what cannot be logged is dropped, and nothing else.

use rustix::process::Signal;

use crate::echo::Echo;
use crate::stage::{group, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::{Stage, get};

/// Its standard error goes to a program that ends at once.
const UNREAD: [&str; 4] = ["bash", "-c", "exec \"$@\" 2> >(:)", "bash"];

#[test]
fn what_nobody_reads_hinders_nothing() {
    let (one, web) = (Echo::start("one"), free_port());
    let text = listener("web", web, "app") + &group("app", &[one.port]);
    let started = || Stage::started_by(Scene::new(), &text, &UNREAD);
    let mut stage = started();
    stage.first.signal(Signal::HUP);
    eventually("it is reloaded", || {
        let status = stage.json(&["status"]);
        (!status["process"]["last_reload"].is_null()).then_some(())
    });
    assert_eq!(stage.json(&["reload"])["ok"], true);
    std::fs::write(&stage.file, "nonsense").unwrap();
    assert_eq!(stage.json(&["reload"])["ok"], false);
    let error = &stage.refused(&[])["error"];
    assert!(error.is_string(), "{error}");
    std::fs::write(&stage.file, &text).unwrap();
    stage.upgrade();
    assert!(stage.first.wait().success());
    assert_eq!(get(web), "200");
    drop(stage);

    let mut stage = started();
    stage.first.signal(Signal::TERM);
    assert!(stage.first.wait().success());
}
