//! `portway plan` says what a reload would change of the running Portway, and the reload does that.

use std::fs;

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
