//! `portway plan` says what a reload would change of the running Portway, and the reload does that.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Output, PORTWAY, Portway, Scene, free_port};

fn command(scene: &Scene, portway: &Portway, words: &[&str]) -> Output {
    scene.run(PORTWAY, &[words, &["--admin", &portway.admin]].concat())
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn a_plan_is_what_a_reload_does_then() {
    let scene = Scene::new();
    let port = free_port();
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [[listener.web.rule]]\nwhen = 'InUserlist'\nrespond = 403\n\
         [target_group.app]\ntargets = ['10.0.0.1:80']\n\
         [map.hosts]\nfile = 'hosts.map'\n"
    );
    let text = text.replace("InUserlist", "host listed_in `hosts`");
    scene.file("hosts.map", "a 1\n");
    let file = scene.file("web.toml", &text);
    let portway = scene.portway_with(&["web.toml"]);
    let plan = |words: &[&str]| command(&scene, &portway, &[&["plan"], words].concat());
    assert_eq!(plan(&[]).good(), "nothing changes\n");
    scene.file("hosts.map", "b 1\n");
    let next = text.replace("10.0.0.1:80']", "10.0.0.1:80', '10.0.0.2:80']\nretries = 7")
        + "[process]\nvariables = { a = '1' }\n[[listener.web.rule]]\nset_header = { Authorization = 'Basic t0p' }\n";
    let next = next.replace("forward = 'app'\n", "");
    let next = format!("{next}[[listener.web.rule]]\nforward = 'app'\n");
    // Somebody else's file: nothing of it is at work, nor are files read that it names.
    scene.file("next.toml", &next);
    let told = plan(&["next.toml"]).good();
    for line in [
        "~ process: variables.a (default) → \"1\" (stays until a restart or `portway upgrade`)",
        "+ rule { set_header = { Authorization = \"(secret)\" } }",
        "~ target_group app: retries (default) → 7",
        "+ target app/10.0.0.2:80",
        "1 to add, 3 to change, 0 to remove",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(
        !told.contains("t0p") && !told.contains("map hosts"),
        "{told}"
    );
    // Its own.
    fs::write(&file, &next).unwrap();
    let planned = json(&plan(&["--json"]));
    assert_eq!(
        (&planned["ok"], &planned["generation"]),
        (&true.into(), &1.into())
    );
    let map = planned["plan"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["kind"] == "map");
    assert_eq!(map.unwrap()["contents"], true);
    let reloaded = json(&command(&scene, &portway, &["reload", "--json"]));
    let steps = |of: &Value| {
        let steps = of["plan"].as_array().unwrap().iter();
        // What a reload leaves as it is does not change by it.
        steps
            .filter(|it| it["kind"] != "process")
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&planned), steps(&reloaded));
    assert!(!steps(&planned).is_empty());
    // What would fail says why, and changes nothing.
    fs::write(&file, next.replace("hosts.map", "nowhere.map")).unwrap();
    let failed = plan(&[]);
    assert!(
        !failed.status.success() && failed.stderr.contains("nowhere.map"),
        "{failed}"
    );
    assert_eq!(portway.status()["process"]["generation"], 2);
    // A thousand changes are counted.
    let targets: Vec<String> = (0..1000)
        .map(|it| format!("'10.1.{}.{}:80'", it / 200, it % 200))
        .collect();
    scene.file(
        "many.toml",
        next.replace("'10.0.0.2:80'", &targets.join(", ")),
    );
    let told = plan(&["many.toml"]).good();
    assert!(told.lines().count() < 80, "{told}");
    assert!(told.contains("+ target × "), "{told}");
    let all = json(&plan(&["many.toml", "--json"]));
    assert_eq!(all["counts"]["add"], 1000);
    assert_eq!(steps(&all).len(), 1001);
}

#[test]
fn an_address_that_another_program_has_is_told_beforehand() {
    let scene = Scene::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:{}'\nforward = 'app'\n[target_group.app]\ntargets = ['10.0.0.1:80']\n",
        free_port()
    );
    let file = scene.file("web.toml", &text);
    let portway = scene.portway_with(&["web.toml"]);
    fs::write(
        &file,
        format!("{text}[listener.more]\nbind = '{taken}'\nforward = 'app'\n"),
    )
    .unwrap();
    for words in [["plan", "--json"], ["reload", "--json"]] {
        let output = command(&scene, &portway, &words);
        let said = json(&output);
        let names = format!("(process {})", std::process::id());
        let found = said["diagnostics"][0]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(!output.status.success() && said["ok"] == false, "{output}");
        assert!(
            found.contains(&taken.to_string()) && found.contains(&names),
            "{output}"
        );
    }
    drop(other);
    assert_eq!(
        json(&command(&scene, &portway, &["plan", "--json"]))["ok"],
        true
    );
}

#[test]
fn who_asks_for_json_gets_an_object_whatever_is_wrong() {
    let scene = Scene::new();
    scene.file("bad.toml", "[listener.web]\nbnd = ':1'\n");
    let good = "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\ntargets = ['10.0.0.1:80']\n";
    scene.file("good.toml", good);
    let nowhere = format!("127.0.0.1:{}", free_port());
    let broken = [
        &["plan", "bad.toml", "--json"][..],
        &["plan", "good.toml", "bad.toml", "--json"],
        &["explain", "bad.toml", "--json", "--", "http://a/"],
    ];
    for words in broken {
        let output = scene.run(PORTWAY, words);
        let said = json(&output);
        assert!(!output.status.success() && said["ok"] == false, "{output}");
        assert_eq!(said["diagnostics"][0]["place"], "bad.toml:2:1", "{output}");
    }
    let nobody = [
        &["status"][..],
        &["reload"],
        &["upgrade"],
        &["plan"],
        &["history"],
        &["rollback", "1"],
        &["drain", "process"],
        &["undrain", "listener", "web"],
        &["explain", "http://a/"],
    ];
    for words in nobody {
        let output = scene.run(PORTWAY, &[words, &["--json", "--admin", &nowhere]].concat());
        let said = json(&output);
        assert!(!output.status.success() && said["ok"] == false, "{output}");
        let why = said["error"].as_str().unwrap();
        assert!(
            why.contains(&nowhere) && output.stderr.contains(why),
            "{output}"
        );
    }
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let scene = Scene::new();
    let good = "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\ntargets = ['10.0.0.1:80']\n";
    scene.file("good.toml", good);
    let line = format!("{PORTWAY} check good.toml --json >/dev/full");
    let full = scene.run("sh", &["-c", &line]);
    assert_eq!(full.status.code(), Some(1), "{full}");
    assert!(
        full.stderr.contains("cannot write to standard output"),
        "{full}"
    );
    let gone = scene.run(
        "sh",
        &["-c", &format!("{PORTWAY} convert good.toml | true")],
    );
    assert_eq!(gone.stderr, "");
}

#[test]
fn a_request_needs_no_dashes_where_it_can_be_nothing_else() {
    let scene = Scene::new();
    let good = "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\ntargets = ['10.0.0.1:80']\n";
    scene.file("good.toml", good);
    let explain = |words: &[&str]| scene.run(PORTWAY, &[&["explain", "good.toml"], words].concat());
    let told = explain(&["--", "POST", "http://127.0.0.1:1/x"]).good();
    assert_eq!(explain(&["POST", "http://127.0.0.1:1/x"]).good(), told);
    let none = explain(&[]);
    assert_eq!(none.status.code(), Some(2), "{none}");
    assert!(none.stderr.contains("-- GET http://HOST/PATH"), "{none}");
}
