//! Rules: who is asked, what is answered, and what they change on the way.

use crate::harness::{PLAIN, Proxy};
use crate::row::same;
use portway_dataplane::Page;
use portway_model::snapshot::ListenerId;
use portway_testkit::peer::{End, Target, Wire};

/// A listener with these rules, in front of the groups a, b and c, whose targets say their names.
struct Playground {
    proxy: Proxy,
    targets: Vec<Target>,
    records: usize,
}

impl Playground {
    fn new(rules: &str) -> Self {
        Self::with_pages(rules, Vec::new())
    }

    fn with_pages(rules: &str, pages: Vec<(u16, &[u8])>) -> Self {
        let mut text = format!("[listener.web]\nbind = \"@0\"\n{PLAIN}{rules}\n");
        let mut targets = Vec::new();
        for name in ["a", "b", "c"] {
            let target = Target::answering(&[&[&format!(
                "HTTP/1.1 200 OK\r\nServer: {name}\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 1\r\n\r\n{name}"
            )]])
            .unwrap();
            // A group with rules of its own has its section already.
            let section = format!("[target_group.{name}]\n");
            let lines = format!("{section}targets = [\"{}\"]\n", target.address());
            match text.contains(&section) {
                true => text = text.replace(&section, &lines),
                false if text.contains(&format!("\"{name}\"")) => text.push_str(&lines),
                false => {}
            }
            targets.push(target);
        }
        let proxy = Proxy::start_with(&text, |plane| {
            let answers = std::sync::Arc::get_mut(&mut plane.answers).unwrap();
            for (status, page) in pages {
                let page = Page::parse(status, page).unwrap();
                answers.add_to_listener(ListenerId(0), status, page);
            }
        });
        Self {
            proxy,
            targets,
            records: 0,
        }
    }

    /// Sends a request and gives the answer; the client closes.
    fn send(&mut self, request: &str) -> String {
        self.records += 1;
        let mut client = self.proxy.client();
        client.send(request).unwrap();
        let answer = if request.starts_with("HEAD") {
            client.head()
        } else {
            client.message()
        };
        String::from_utf8(answer.unwrap()).unwrap()
    }

    /// The body of the answer to a GET of this target with these fields, or its status.
    fn goes_to(&mut self, target: &str, fields: &str) -> String {
        let answer = self.send(&format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
        if answer.starts_with("HTTP/1.1 200") {
            return answer[answer.len() - 1..].to_owned();
        }
        answer[9..12].to_owned()
    }

    /// The head of the last request that target `a` received for this one.
    fn arrives_as(&mut self, request: &str) -> String {
        let before = self.targets[0].received_in_all().len();
        self.send(request);
        self.targets[0].received_in_all()[before..].to_owned()
    }

    fn finish(self) {
        self.proxy.finish(self.records);
    }
}

const HOST: &str = "Host: x\r\n";

#[test]
fn conditions_choose_the_group() {
    let check = |condition: &str, requests: &[(&str, &str, bool)]| {
        let rules = format!(
            "[[listener.web.rule]]\nwhen = '{condition}'\nforward = \"a\"\n[[listener.web.rule]]\nforward = \"b\""
        );
        let mut playground = Playground::new(&rules);
        for (target, fields, holds) in requests {
            let group = playground.goes_to(target, fields);
            assert_eq!(
                group,
                if *holds { "a" } else { "b" },
                "{condition}: {target} {fields:?}"
            );
        }
        playground.finish();
    };
    check(
        "Host(`A.example`)",
        &[
            ("/", "Host: a.example\r\n", true),
            ("/", "Host: a.EXAMPLE:8080\r\n", true),
            ("/", "Host: b.a.example\r\n", false),
            ("http://a.example/", "Host: A.example\r\n", true),
        ],
    );
    check(
        "Host(`*.example`)",
        &[
            ("/", "Host: a.example\r\n", true),
            ("/", "Host: example\r\n", false),
        ],
    );
    check(
        "Path(`/a`)",
        &[
            ("/a", HOST, true),
            ("/a?x", HOST, true),
            ("/a/", HOST, false),
            ("/A", HOST, false),
        ],
    );
    check(
        "PathPrefix(`/a`)",
        &[
            ("/a/b", HOST, true),
            ("/ab", HOST, true),
            ("/b/a", HOST, false),
        ],
    );
    check(
        "PathRegexp(`^/[0-9]+$`)",
        &[("/123", HOST, true), ("/12a", HOST, false)],
    );
    check(
        "Header(`X-A`, `1`)",
        &[
            ("/", "Host: x\r\nx-a: 1\r\n", true),
            ("/", "Host: x\r\nX-A: 2\r\nX-A: 1\r\n", true),
            ("/", "Host: x\r\nX-A: 11\r\n", false),
        ],
    );
    check(
        "Query(`q`, `1`)",
        &[
            ("/?a=b&q=1", HOST, true),
            ("/?q=2", HOST, false),
            ("/q=1", HOST, false),
        ],
    );
    check(
        "cookie(`c`) == `1`",
        &[
            ("/", "Host: x\r\nCookie: b=2; c=1\r\n", true),
            ("/", "Host: x\r\nCookie: cc=1\r\n", false),
        ],
    );
    check("ClientIP(`127.0.0.0/8`)", &[("/", HOST, true)]);
    check("ClientIP(`10.0.0.0/8`, `::1`)", &[("/", HOST, false)]);
    check(
        "Method(`GET`) && (Path(`/1`) || Path(`/2`)) && !Header(`X-Not`)",
        &[
            ("/1", HOST, true),
            ("/2", HOST, true),
            ("/3", HOST, false),
            ("/1", "Host: x\r\nX-Not: 1\r\n", false),
        ],
    );
    check("Method(`POST`)", &[("/", HOST, false)]);
}

#[test]
fn the_source_is_whom_trusted_proxies_name() {
    let rules = "forwarded.trusted_proxies = [\"127.0.0.1\"]\n[[listener.web.rule]]\nwhen = 'ClientIP(`192.0.2.0/24`)'\nforward = \"a\"\n\
                 [[listener.web.rule]]\nforward = \"b\"";
    let mut playground = Playground::new(rules);
    assert_eq!(
        playground.goes_to("/", "Host: x\r\nX-Forwarded-For: 192.0.2.7\r\n"),
        "a"
    );
    assert_eq!(
        playground.goes_to("/", "Host: x\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n"),
        "b"
    );
    playground.finish();
}

#[test]
fn rules_run_in_order_and_the_first_that_decides_wins() {
    let mut playground = Playground::new(
        "rule = [\n\
         { when = 'PathPrefix(`/`)', set_header = { X-First = \"1\" } },\n\
         { when = 'Header(`X-First`, `1`) && Path(`/seen`)', forward = \"a\" },\n\
         { when = 'Path(`/seen`)', forward = \"c\" },\n\
         { when = 'Path(`/stop`)', respond = 418 },\n\
         { when = 'Path(`/stop`)', forward = \"c\" },\n\
         ]\nforward = \"b\"",
    );
    assert_eq!(playground.goes_to("/seen", HOST), "a");
    assert_eq!(playground.goes_to("/stop", HOST), "418");
    assert_eq!(playground.goes_to("/else", HOST), "b");
    playground.finish();
}

#[test]
fn without_a_rule_it_is_404_and_the_connection_goes_on() {
    let mut playground =
        Playground::new("[[listener.web.rule]]\nwhen = 'Path(`/a`)'\nforward = \"a\"");
    let mut client = playground.proxy.client();
    for (path, status) in [("/b", "404"), ("/a", "200"), ("/b", "404")] {
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .unwrap();
        let answer = String::from_utf8(client.message().unwrap()).unwrap();
        assert_eq!(&answer[9..12], status);
        assert!(!answer.contains("Connection: close"), "{answer}");
        playground.records += 1;
    }
    drop(client);
    playground.finish();
}

#[test]
fn answers_of_our_own() {
    let check = |rule: &str, request: &str, answer: &str| {
        let mut playground = Playground::new(&format!("[[listener.web.rule]]\n{rule}"));
        let port = crate::harness::port(playground.proxy.address(0));
        same(
            rule,
            playground.send(request).as_bytes(),
            &answer.replace("{port}", &port),
        );
        playground.finish();
    };
    let get = "GET /p?q=1 HTTP/1.1\r\nHost: a.example:81\r\n\r\n";
    check(
        "redirect = \"https://new.example${target}\"",
        get,
        "HTTP/1.1 302 Found\r\nLocation: https://new.example/p?q=1\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        "redirect = { scheme = \"https\", port = 8443 }",
        get,
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://a.example:8443/p?q=1\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        "redirect = { location = \"/x\", status = 308 }",
        get,
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        "respond = { status = 200, content_type = \"text/plain\", body = \"${method} ${path}\", headers = { X-A = \"${host}\" } }",
        get,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: a.example\r\nContent-Length: 6\r\n\r\nGET /p",
    );
    check(
        "respond = { status = 200, body = \"hello\" }",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    );
    check("respond = 204", get, "HTTP/1.1 204 No Content\r\n\r\n");
    check(
        "respond = 403",
        "GET / HTTP/1.0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

#[test]
fn an_answer_of_our_own_to_a_request_with_a_body_loses_nothing() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nwhen = 'Method(`POST`)'\nrespond = { status = 403, body = \"no\" }\n[[listener.web.rule]]\nforward = \"a\"",
    );
    let mut client = playground.proxy.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        .unwrap();
    for _ in 0..50 {
        if client.send(vec![b'x'; 10_000]).is_err() {
            break;
        }
    }
    let (answer, _) = client.until_end().unwrap();
    same(
        "403",
        &answer,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    );
    playground.records += 1;
    assert_eq!(playground.targets[0].connections(), 0);
    drop(client);
    playground.finish();
}

#[test]
fn request_fields_are_changed() {
    let check = |action: &str, sent: &str, arrives: &str| {
        let mut playground = Playground::new(&format!(
            "[[listener.web.rule]]\n{action}\n[[listener.web.rule]]\nforward = \"a\""
        ));
        let arrived = playground.arrives_as(&format!("GET /p HTTP/1.1\r\nHost: h\r\n{sent}\r\n"));
        same(
            action,
            arrived.as_bytes(),
            &format!("GET /p HTTP/1.1\r\n{arrives}\r\n"),
        );
        playground.finish();
    };
    check(
        "set_header = { X-A = \"${path}\" }",
        "x-a: 1\r\nX-A: 2\r\nX-B: 3\r\n",
        "Host: h\r\nX-B: 3\r\nX-A: /p\r\n",
    );
    check(
        "add_header = { X-A = \"2\" }",
        "X-A: 1\r\n",
        "Host: h\r\nX-A: 1\r\nX-A: 2\r\n",
    );
    check(
        "remove_header = [\"X-A\", \"Cookie\"]",
        "X-A: 1\r\ncookie: c\r\nX-B: 2\r\n",
        "Host: h\r\nX-B: 2\r\n",
    );
    check(
        "replace_header = { name = \"X-A\", pattern = \"b(.)\", with = \"<$1>\" }",
        "X-A: abc\r\nX-A: x\r\n",
        "Host: h\r\nX-A: a<c>\r\nX-A: x\r\n",
    );
    check("set_header = { Host = \"new\" }", "", "Host: new\r\n");
    check(
        "set_header = { X-A = \"${header(`X-B`)}\" }",
        "X-B: v\r\n",
        "Host: h\r\nX-B: v\r\nX-A: v\r\n",
    );
    // One expression that is absent leaves a variable as it is; a longer template does not.
    check(
        "actions = [{ set_variable = { request.a = \"${header(`X-B`)}\", request.b = \"<${header(`X-B`)}>\" } }, \
         { set_header = { X-A = \"${var.request.a.default(`unset`)}${var.request.b}\" } }]",
        "",
        "Host: h\r\nX-A: unset<>\r\n",
    );
    // A value with the end of a line in it cannot make a second field.
    check(
        "set_header = { X-A = \"${query(`q`).url_decode()}\" }",
        "",
        "Host: h\r\nX-A: \r\n",
    );
}

#[test]
fn the_target_of_a_request_is_changed() {
    let check = |action: &str, target: &str, arrives: &str| {
        let mut playground = Playground::new(&format!(
            "[[listener.web.rule]]\n{action}\n[[listener.web.rule]]\nforward = \"a\""
        ));
        let arrived = playground.arrives_as(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        same(action, arrived.as_bytes(), arrives);
        playground.finish();
    };
    check(
        "strip_prefix = \"/api\"",
        "/api/x?q",
        "GET /x?q HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /api\r\n\r\n",
    );
    check(
        "strip_prefix = \"/api\"",
        "/api",
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /api\r\n\r\n",
    );
    check(
        "strip_prefix = \"/api\"",
        "/other",
        "GET /other HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "add_prefix = \"/v1\"",
        "/x?q",
        "GET /v1/x?q HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "replace_path = { pattern = \"^/a/(.*)$\", with = \"/$1/a\" }",
        "/a/b?q",
        "GET /b/a?q HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "set_path = \"/new${path}\"",
        "/x?q",
        "GET /new/x?q HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "set_query = \"a=1\"",
        "/x?q",
        "GET /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "set_target = \"/t?u\"",
        "/x?q",
        "GET /t?u HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    check(
        "set_method = \"PUT\"",
        "/x",
        "PUT /x HTTP/1.1\r\nHost: h\r\n\r\n",
    );
}

#[test]
fn requests_are_numbered_where_a_rule_asks() {
    let check = |rule: &str| {
        let mut playground = Playground::new(&format!(
            "[[listener.web.rule]]\n{rule}\n[[listener.web.rule]]\nforward = \"a\""
        ));
        let mut paths = ["0", "1"].map(|_| {
            let arrived = playground.arrives_as("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
            arrived.split(' ').nth(1).unwrap_or_default().to_owned()
        });
        paths.sort();
        assert_eq!(paths, ["/0", "/1"], "{rule}");
        playground.finish();
    };
    check("set_path = \"/${log(request_counter)}\"");
    check("replace_path = { pattern = \"^/a$\", with = \"/${log(request_counter)}\" }");
    check(
        "when = 'log(request_counter) == 1'\nset_path = \"/1\"\n[[listener.web.rule]]\nwhen = 'Path(`/a`)'\nset_path = \"/0\"",
    );
}

#[test]
fn response_fields_are_changed_by_group_then_listener() {
    let mut playground = Playground::new(
        "forward = \"a\"\n\
         [[listener.web.rule]]\nphase = \"response\"\nset_header = { X-Seen = \"${response_header(`X-Group`)}\" }\n\
         [[listener.web.rule]]\nphase = \"after_response\"\nadd_header = { X-After = \"${status}\" }\n\
         [target_group.a]\n\
         [[target_group.a.rule]]\nphase = \"response\"\nremove_header = \"Server\"\n\
         [[target_group.a.rule]]\nphase = \"response\"\nset_header = { X-Group = \"g\" }\n\
         [[target_group.a.rule]]\nphase = \"response\"\nwhen = 'response_header(`X-Two`) == `2`'\nset_status = 201\n",
    );
    let answer = playground.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    same(
        "response",
        answer.as_bytes(),
        "HTTP/1.1 201 Created\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 1\r\nX-Group: g\r\nX-Seen: g\r\nX-After: 201\r\n\r\na",
    );
    playground.finish();
}

#[test]
fn rules_of_a_group_see_its_requests_only() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nwhen = 'Path(`/a`)'\nforward = \"a\"\n[[listener.web.rule]]\nforward = \"b\"\n\
         [target_group.a]\n\
         [[target_group.a.rule]]\nset_header = { X-Group = \"a\" }\n\
         [[target_group.a.rule]]\nwhen = 'Header(`X-No`)'\nrespond = 403\n",
    );
    let arrived = playground.arrives_as("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    same(
        "group",
        arrived.as_bytes(),
        "GET /a HTTP/1.1\r\nHost: h\r\nX-Group: a\r\n\r\n",
    );
    assert_eq!(playground.goes_to("/a", "Host: x\r\nX-No: 1\r\n"), "403");
    assert_eq!(playground.goes_to("/b", "Host: x\r\nX-No: 1\r\n"), "b");
    playground.finish();
}

#[test]
fn after_response_rules_see_our_own_answers() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nwhen = 'Path(`/own`)'\nrespond = 204\n\
         [[listener.web.rule]]\nphase = \"response\"\nset_header = { X-Response = \"1\" }\n\
         [[listener.web.rule]]\nphase = \"after_response\"\nset_header = { X-After = \"${status}\" }",
    );
    assert_eq!(
        playground.send("GET /own HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 204 No Content\r\nX-After: 204\r\n\r\n"
    );
    let fault = playground.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        fault.starts_with("HTTP/1.1 404 Not Found\r\n") && fault.contains("\r\nX-After: 404\r\n"),
        "{fault}"
    );
    playground.finish();
}

#[test]
fn what_rules_made_of_a_bad_response_is_not_in_ours() {
    let target = Target::start(|_, mut wire: Wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n\
         [[listener.web.rule]]\nphase = \"response\"\nactions = [{{ set_header = {{ X-Theirs = \"1\" }} }}, {{ set_status = 201 }}]\n\
         [target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && !answer.contains("X-Theirs"),
        "{answer}"
    );
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("\"status\":502"), "{}", log[0]);
}

#[test]
fn error_pages_replace_our_own_words() {
    let pages = vec![
        (404, b"<h1>404</h1>".as_slice()),
        (400, b"<h1>400</h1>".as_slice()),
        (
            502,
            b"HTTP/1.0 502 Sorry\r\nX-Page: 1\r\nContent-Length: 4\r\n\r\nsoon".as_slice(),
        ),
    ];
    let dead = Target::refusing().unwrap();
    let rules = format!(
        "[[listener.web.rule]]\nwhen = 'Path(`/dead`)'\nforward = \"dead\"\n[target_group.dead]\ntargets = [\"{dead}\"]\n"
    );
    let mut playground = Playground::with_pages(&rules, pages);
    let page = |status: &str, close: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n{close}\r\n<h1>{}</h1>",
            &status[..3]
        )
    };
    let answer = playground.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    same("a body", answer.as_bytes(), &page("404 Not Found", ""));
    let answer = playground.send(
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
            .replace("HEAD", "GET")
            .as_str(),
    );
    same("again", answer.as_bytes(), &page("404 Not Found", ""));
    let answer = playground.send("GET / HTTP/1.1\r\n\r\n");
    same(
        "a refusal closes",
        answer.as_bytes(),
        &page("400 Bad Request", "Connection: close\r\n"),
    );
    let answer = playground.send("GET /dead HTTP/1.1\r\nHost: a\r\n\r\n");
    same(
        "a whole response",
        answer.as_bytes(),
        "HTTP/1.1 502 Sorry\r\nX-Page: 1\r\nContent-Length: 4\r\n\r\nsoon",
    );
    let mut client = playground.proxy.client();
    client
        .send("HEAD /dead HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let head = "HTTP/1.1 502 Sorry\r\nX-Page: 1\r\nContent-Length: 4\r\n\r\n";
    let answer = client.receive(head.len()).unwrap();
    same("its head alone for HEAD", &answer, head);
    playground.records += 1;
    drop(client);
    playground.finish();
}

#[test]
fn rejected_requests_get_no_answer() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nwhen = 'Path(`/no`)'\nreject = \"reset\"\n[[listener.web.rule]]\nforward = \"a\"",
    );
    let mut client = playground.proxy.client();
    client.send("GET /no HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.until_end().unwrap().0, b"");
    playground.records += 1;
    assert_eq!(playground.goes_to("/", HOST), "a");
    drop(client);
    playground.finish();
}

#[test]
fn an_answer_of_ours_does_not_see_the_response_before_it() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nphase = \"after_response\"\nreplace_header = { name = \"Server\", pattern = \"^.*$\", with = \"masked\" }\n\
         [[listener.web.rule]]\nwhen = 'Path(`/own`)'\nrespond = 200\n[[listener.web.rule]]\nforward = \"a\"",
    );
    let proxied = playground.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(proxied.contains("Server: masked\r\n"), "{proxied}");
    same(
        "own",
        playground
            .send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n")
            .as_bytes(),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    playground.finish();
}

#[test]
fn a_head_request_made_a_get_gives_its_body_to_nobody() {
    let mut playground = Playground::new(
        "[[listener.web.rule]]\nwhen = 'Method(`HEAD`)'\nset_method = \"GET\"\n[[listener.web.rule]]\nforward = \"a\"",
    );
    let head = "HTTP/1.1 200 OK\r\nServer: a\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 1\r\n\r\n";
    let answer = playground.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    same("HEAD", answer.as_bytes(), head);
    let answer = playground.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    same("the next", answer.as_bytes(), &format!("{head}a"));
    assert_eq!(
        playground.targets[0].connections(),
        2,
        "the first is not used again"
    );
    playground.finish();
}

#[test]
fn a_status_that_gains_a_body_says_that_it_is_empty() {
    let target = Target::answering(&[&["HTTP/1.1 204 No Content\r\n\r\n"]]).unwrap();
    let proxy = Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\n{PLAIN}[[listener.web.rule]]\nphase = \"response\"\nset_status = 200\n\
         [[listener.web.rule]]\nforward = \"a\"\n[target_group.a]\ntargets = [\"{}\"]\n",
        target.address()
    ));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = client.message().unwrap();
    same(
        "200",
        &answer,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_request_that_a_rule_rejects_is_reset_and_recorded() {
    let proxy = Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\n{PLAIN}[[listener.web.rule]]\nreject = \"reset\"\n"
    ));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (answer, end) = client.until_end().unwrap();
    assert_eq!((answer.as_slice(), end), (&b""[..], End::Reset));
    let log = proxy.finish(1);
    assert!(log[0].contains("\"fault\":\"rejected\""), "{}", log[0]);
}

#[test]
fn what_conditions_found_is_kept_in_variables_of_their_own() {
    let set = "{ set_variable = { exchange.matched_1 = 'mine' } }";
    let told = "{ set_header = { X-C = '${matched(1)}' } }";
    let matching = "[[listener.web.rule]]\nwhen = 'PathRegexp(`^/(.)`)'\n";
    let last = "[[listener.web.rule]]\nactions = [{ set_header = { X-M = '${var.exchange.matched_1}' } }, { forward = \"a\" }]";
    for rules in [
        format!("{matching}actions = [{set}, {told}]\n{last}"),
        format!(
            "[[listener.web.rule]]\nactions = [{set}]\n{matching}actions = [{{ set_header = {{ X-A = 'b' }} }}, {told}]\n{last}"
        ),
        // It sets one while it looks.
        format!(
            "[[listener.web.rule]]\nset_header = {{ X-S = '${{\"mine\".set_variable(var.exchange.matched_1)}}' }}\n\
             {matching}actions = [{{ set_header = {{ X-A = 'b' }} }}, {told}]\n{last}"
        ),
    ] {
        let mut at = Playground::new(&rules);
        let received = at.arrives_as("GET /q HTTP/1.1\r\nHost: x\r\n\r\n");
        for field in ["X-C: q\r\n", "X-M: mine\r\n"] {
            assert!(received.contains(field), "{rules}: {received}");
        }
        at.finish();
    }
}
