//! Digest authorization with curl: who proves to know the password passes, once with each proof, whatever a reload and a dead
//! target do.

use crate::stage::{Client, Stage};
use crate::support::{PORTWAY, Scene, free_port};
use crate::traefik::ECHO;

struct Site {
    stage: Stage,
    web: u16,
    _app: crate::support::Process,
}

impl Site {
    /// Status and body of an answer.
    fn ask(&self, arguments: &[&str]) -> (String, String) {
        let url = format!("http://127.0.0.1:{}/app/a?b=c", self.web);
        let all = [&["-w", "\n%{http_code}", &url], arguments].concat();
        let said = self.stage.scene.curl(&all).good();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.trim().to_owned(), body.to_owned())
    }

    fn status(&self, arguments: &[&str]) -> String {
        self.ask(arguments).0
    }
}

/// Traefik's file: `users` stand in it, `more` in a file of their own.
fn text(ports: [u16; 3], users: &str, more: &str) -> String {
    let [web, app, dead] = ports;
    format!(
        "[entryPoints.web]\naddress = '127.0.0.1:{web}'\n\
         [http.routers.all]\nrule = 'PathPrefix(`/app`)'\nservice = 'app'\nmiddlewares = ['strip', 'team', 'again', 'too']\n\
         [http.middlewares.strip.stripPrefix]\nprefixes = ['/app']\n\
         [http.middlewares.again.retry]\nattempts = 2\n\
         [http.middlewares.team.digestAuth]\nrealm = 'team'\nusers = [{users}]\nusersFile = '{more}'\n\
         headerField = 'X-User'\n\
         [http.middlewares.too.digestAuth]\nrealm = 'team'\nusers = [{users}]\nusersFile = '{more}'\nremoveHeader = true\n\
         [[http.services.app.loadBalancer.servers]]\nurl = 'http://127.0.0.1:{dead}'\n\
         [[http.services.app.loadBalancer.servers]]\nurl = 'http://127.0.0.1:{app}'\n"
    )
}

#[test]
fn who_proves_to_know_the_password_passes_once_with_each_proof() {
    let scene = Scene::new();
    let ports = [(); 3].map(|()| free_port());
    let [web, app, _] = ports;
    let md5 = |text: &str| {
        let program = "import hashlib, sys; print(hashlib.md5(sys.argv[1].encode()).hexdigest())";
        let said = scene.run("python3", &["-c", program, text]).good();
        said.trim().to_owned()
    };
    let user = |name: &str, password: &str| {
        let ha1 = md5(&format!("{name}:team:{password}"));
        format!("{name}:team:{ha1}")
    };
    let (ann, bob, changed) = (
        user("ann", "right"),
        user("bob", "b\"o:b"),
        user("ann", "new"),
    );
    let cid = user("cid", "c");
    scene.file("more.users", format!("# of the team\n{bob}\n"));
    let more = scene.path("more.users").display().to_string();
    let server = scene.python(app, ECHO);
    let file = text(ports, &format!("'{ann}'"), &more);
    let site = Site {
        stage: Stage::with(scene, &file, &[]),
        web,
        _app: server,
    };
    let digest = |user: &str| {
        site.ask(&[
            "--digest",
            "-u",
            user,
            "-H",
            "X-User: root",
            "-H",
            "X_User: root",
        ])
    };
    // Each second request is led to the dead target first.
    for _ in 0..4 {
        let (status, body) = digest("ann:right");
        assert_eq!(status, "200");
        assert!(body.starts_with("GET /a?b=c\n"), "{body}");
        let lower = body.to_ascii_lowercase();
        assert!(
            lower.contains("x-user: ann\n") && !lower.contains("root"),
            "{body}"
        );
        assert!(!lower.contains("authorization"), "{body}");
        assert_eq!(digest("bob:b\"o:b").0, "200");
    }
    for wrong in ["ann:wrong", "bob:right", "eve:right", "ann:"] {
        assert_eq!(digest(wrong).0, "401", "{wrong}");
    }
    assert_eq!(site.status(&["--basic", "-u", "ann:right"]), "401");
    let (_, asked) = site.ask(&["-i"]);
    let challenge = "WWW-Authenticate: Digest realm=\"team\", nonce=\"";
    assert!(
        asked.contains(challenge) && asked.contains("algorithm=MD5, qop=\"auth\"\r\n"),
        "{asked}"
    );
    // What curl has proved is worth nothing a second time, for another path, or twice in one request.
    let url = format!("http://127.0.0.1:{web}/app/a?b=c");
    let said = site
        .stage
        .scene
        .curl(&["-v", "--digest", "-u", "ann:right", &url]);
    let sent = said
        .stderr
        .lines()
        .find_map(|it| it.strip_prefix("> Authorization: "));
    let sent = format!(
        "Authorization: {}",
        sent.unwrap_or_else(|| panic!("{said}")).trim()
    );
    let (status, answer) = site.ask(&["-i", "-H", &sent]);
    assert_eq!(status, "401");
    assert!(answer.contains(", stale=true\r\n"), "{answer}");
    let other = format!("http://127.0.0.1:{web}/app/other");
    let elsewhere = site.stage.scene.curl(&["-i", "-H", &sent, &other]).good();
    assert!(
        elsewhere.starts_with("HTTP/1.1 401 ") && !elsewhere.contains("stale"),
        "{elsewhere}"
    );
    let mut twice = Client::new(web);
    twice.send(&format!(
        "GET /app/a?b=c HTTP/1.1\r\nHost: a\r\n{sent}\r\n{sent}\r\n\r\n"
    ));
    let answer = twice.answer();
    assert!(
        answer.starts_with("http/1.1 401 ") && !answer.contains("stale"),
        "{answer}"
    );
    // One nonce serves several requests, and what it has served is known over a reload.
    let several = [
        "--digest",
        "-u",
        "ann:right",
        "-o",
        "none",
        "-w",
        "%{http_code} ",
    ];
    let all = [
        &several[..],
        &[&url, "-o", "none", &url, "-o", "none", &url],
    ]
    .concat();
    assert_eq!(
        site.stage.scene.curl(&all).good().matches("200 ").count(),
        3
    );
    site.stage
        .becomes(&text(ports, &format!("'{ann}', '{}'", cid), &more));
    assert_eq!(digest("cid:c").0, "200");
    let (status, answer) = site.ask(&["-i", "-H", &sent]);
    assert_eq!(status, "401");
    assert!(answer.contains(", stale=true\r\n"), "{answer}");
    // Another password, and nobody of the file any more.
    site.stage.scene.file("more.users", "");
    site.stage
        .becomes(&text(ports, &format!("'{changed}'"), &more));
    assert_eq!(digest("ann:right").0, "401");
    assert_eq!(digest("bob:b\"o:b").0, "401");
    assert_eq!(digest("ann:new").0, "200");
    // It is told without counting.
    let told = site
        .stage
        .scene
        .run(PORTWAY, &["explain", "web.toml", "--", "GET", &url])
        .good();
    assert!(told.contains("401"), "{told}");
    for result in ["valid", "missing", "wrong", "stale"] {
        let line = format!(
            "portway_listener_digest_proofs_total{{listener=\"web\",result=\"{result}\"}} "
        );
        assert_ne!(site.stage.metric(&line), "0", "{result}");
    }
    site.stage.portway.stop();
}
