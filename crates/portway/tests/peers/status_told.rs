//! What is said by command is seen in the status, and what cannot be said so is refused.

use serde_json::Value;

use crate::control_socket::ask;
use crate::echo::Echo;
use crate::stage::{Stage, listener};
use crate::support::{Scene, free_port};

/// Three targets and a control socket.
fn stage() -> Stage {
    let scene = Scene::new();
    let (web, app) = (free_port(), Echo::start("app").port);
    let target =
        |name: &str| format!("{{ name = '{name}', address = '127.0.0.1:{app}', weight = 10 }}");
    let folder = scene.path("").display().to_string();
    let text = format!(
        "[process]\ncontrol_sockets = {{ bind = 'unix:{folder}ctl.sock', level = 'admin' }}\n{}\
         [target_group.app]\ntargets = [{}, {}, {}]\n",
        listener("web", web, "app"),
        target("a"),
        target("b"),
        target("c"),
    );
    Stage::with(scene, &text, &[])
}

fn target(stage: &Stage, index: usize) -> Value {
    stage.portway.status()["target_groups"][0]["targets"][index].clone()
}

#[test]
fn the_status_says_what_was_said_by_command() {
    let stage = stage();
    let socket = stage.scene.path("ctl.sock");
    let told = |index: usize, parts: &[&str]| {
        let target = target(&stage, index);
        let reason = target["reason"].as_str().unwrap();
        for part in parts {
            assert!(reason.contains(part), "{part}: {target:#}");
        }
        target
    };
    ask(&socket, "set weight app/a 0");
    let a = told(
        0,
        &["no health check", "weight 0 by command, configured 10"],
    );
    assert_eq!(a["weight"], 0);
    ask(&socket, "set server app/b state drain");
    let b = told(1, &["told to drain by command"]);
    assert_eq!(b["health"], "draining");
    ask(&socket, "set server app/b state maint");
    told(1, &["in maintenance by command"]);
    ask(&socket, "set server app/c addr 127.0.0.2 port 4");
    let c = told(2, &["address 127.0.0.2:4 by command"]);
    assert_eq!(c["resolved"], "127.0.0.2:4");
    let printed = stage.command(&["status"]).stdout;
    let row = printed.lines().find(|it| it.contains(" a ")).unwrap();
    assert!(row.contains("weight 0 by command"), "{printed}");
    // What nobody checks is not called healthy, here as on the page.
    let admin = format!("http://{}/", stage.portway.admin);
    let page = stage.scene.curl(&["-s", &admin]).good();
    assert!(page.contains("<td class=unchecked>not checked"), "{page}");
    assert!(row.contains("  not checked  "), "{printed}");
    assert!(!printed.contains("  healthy  "), "{printed}");
    assert_eq!(
        (&a["health"], &a["checked"]),
        (&"healthy".into(), &false.into())
    );
    // All of it is taken back.
    ask(&socket, "set weight app/a 100%");
    ask(&socket, "set server app/b state ready");
    for index in [0, 1] {
        let target = target(&stage, index);
        assert_eq!(target["reason"], "no health check", "{target:#}");
        assert_eq!(target["weight"], 10, "{target:#}");
    }
}

#[test]
fn servers_of_other_languages_do_not_come_and_go_by_command() {
    let stage = stage();
    let socket = stage.scene.path("ctl.sock");
    for _ in 0..2 {
        let answer = ask(&socket, "add server app/d 127.0.0.1:4");
        assert!(
            answer.contains("'app' is no backend of a haproxy.cfg"),
            "{answer}"
        );
    }
    ask(&socket, "set server app/c state maint");
    let answer = ask(&socket, "del server app/c");
    assert!(
        answer.contains("change its targets in its file, and reload"),
        "{answer}"
    );
    assert_eq!(target(&stage, 2)["name"], "c");
}

#[test]
fn servers_do_not_come_and_go_by_command_after_a_rollback() {
    let scene = Scene::new();
    let (web, app) = (free_port(), Echo::start("app").port);
    let socket = scene.path("ctl.sock");
    let text = |timeout: u8| {
        format!(
            "global\n    stats socket {} level admin\ndefaults\n    mode http\n    timeout client {timeout}s\n    \
             timeout server 5s\n    timeout connect 5s\nfrontend web\n    bind 127.0.0.1:{web}\n    \
             default_backend app\nbackend app\n    server a 127.0.0.1:{app}\n",
            socket.display()
        )
    };
    scene.file("h.cfg", text(5));
    let portway = scene.portway_with(&["h.cfg"]);
    assert!(ask(&socket, "add server app/b 127.0.0.1:4").contains("New server registered."));
    scene.file("h.cfg", text(6));
    let run = |words: &[&str]| {
        let arguments = [words, &["--admin", &portway.admin]].concat();
        scene.run(crate::support::PORTWAY, &arguments).good()
    };
    run(&["reload"]);
    run(&["rollback", "1"]);
    let answer = ask(&socket, "add server app/b 127.0.0.1:4");
    assert!(
        answer.contains("generation 1 is at work by a rollback"),
        "{answer}"
    );
    run(&["reload"]);
    assert!(ask(&socket, "add server app/b 127.0.0.1:4").contains("New server registered."));
}
