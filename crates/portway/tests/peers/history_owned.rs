//! A folder for state is kept by one process, and by whoever takes over from it.

use crate::echo::Echo;
use crate::stage::{group, listener};
use crate::support::{Scene, free_port};
use crate::upgrade::Stage;

#[test]
fn one_process_keeps_its_history_in_a_folder() {
    let one = Echo::start("one");
    let [web, other, more] = [(); 3].map(|()| free_port());
    let text = |port: u16| listener("web", port, "app") + &group("app", &[one.port]);
    let scene = Scene::new();
    let state = scene.path("state").display().to_string();
    let stage = Stage::with(scene, &text(web), &["--state-dir", &state]);
    stage.scene.file("other.toml", text(other));
    let is_kept_by = |process: u64| {
        let second = stage
            .scene
            .portway_with(&["other.toml", "--state-dir", &state]);
        let log = second.process.log();
        let said = format!("process {process} keeps its history in `{state}`");
        assert!(log.contains(&said), "{log}");
        let arguments = ["history", "--json", "--admin", &second.admin];
        let history = stage.scene.run(crate::support::PORTWAY, &arguments).good();
        assert!(!history.contains("state_dir"), "{history}");
    };
    is_kept_by(stage.first.id().into());
    stage.upgrade();
    std::fs::write(&stage.file, text(web) + &listener("more", more, "app")).unwrap();
    stage.command(&["reload"]).good();
    is_kept_by(stage.process());
    let files = std::fs::read_dir(format!("{state}/generations")).unwrap();
    let texts = files.map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap());
    let texts: Vec<String> = texts.collect();
    assert_eq!(texts.len(), 2);
    assert!(
        texts.iter().all(|it| !it.contains(&format!(":{other}\""))),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|it| it.contains(&format!(":{more}\""))),
        "{texts:?}"
    );
    let history = stage.json(&["history"]);
    assert!(history["state_dir"].is_string(), "{history:#}");
}
