//! Answers of our own: what rules answer in both directions, in which form, and what rules on every response see of it.

use crate::harness::{PLAIN, Proxy, simple};
use crate::row::{OK, Then, same};
use portway_dataplane::Page;
use portway_dataplane::plane::Plane;
use portway_model::snapshot::{GroupId, ListenerId};
use portway_model::span::FileId;
use portway_testkit::peer::{End, Target};

/// One request, alone on its connection, and all that comes back.
struct Case {
    name: &'static str,
    request: String,
    response: String,
    then: Then,
}

impl Case {
    fn kept(name: &'static str, request: &str, response: &str) -> Self {
        Self {
            name,
            request: request.to_owned(),
            response: response.to_owned(),
            then: Then::KeptAlive,
        }
    }

    fn closed(name: &'static str, request: &str, response: &str) -> Self {
        Self {
            then: Then::Closed,
            ..Self::kept(name, request, response)
        }
    }
}

/// A request for a path.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Runs listener `web` with these lines, forwarding to `app` with those, and plays each case; what the target got.
fn play(listener: &str, group: &str, cases: &[Case], prepare: impl FnOnce(&mut Plane)) -> String {
    let target = Target::answering(&[&[OK]]).unwrap();
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}{listener}\n\
         [target_group.app]\ntargets = [\"{}\"]\n{group}\n",
        target.address()
    );
    let proxy = Proxy::start_with(&text, prepare);
    let mut records = 0;
    for case in cases {
        let mut client = proxy.client();
        client.send(&case.request).unwrap();
        records += 1;
        match case.then {
            Then::KeptAlive => {
                let got = client.receive(case.response.len()).unwrap();
                same(case.name, &got, &case.response);
                client.send(get("/after")).unwrap();
                records += 1;
                let after = client.head().unwrap();
                let after = String::from_utf8_lossy(&after).into_owned();
                assert!(after.starts_with("HTTP/1.1 "), "{}: {after}", case.name);
            }
            Then::Closed => {
                let (got, end) = client.until_end().unwrap();
                same(case.name, &got, &case.response);
                assert_eq!(end, End::Closed, "{}", case.name);
            }
        }
    }
    proxy.finish(records);
    target.received_in_all()
}

#[test]
fn answers_of_rules_on_responses() {
    let rules = "
[[listener.web.rule]]
set_variable.exchange.path = '${path}'
[[listener.web.rule]]
phase = 'response'
when = 'var.exchange.path == `/deny`'
actions = [{ set_header = { X-Lost = '1' } }, { deny = { status = 403, body = 'no', headers = { X-A = '${status}' } } }]
[[listener.web.rule]]
phase = 'response'
when = 'var.exchange.path == `/redirect`'
redirect = { location = '/there?${response_header(`Content-Length`)}', status = 303 }
[[listener.web.rule]]
phase = 'response'
when = 'var.exchange.path == `/respond`'
respond = 404
";
    let denied = "HTTP/1.1 403 Forbidden\r\nX-A: 200\r\nContent-Length: 2\r\n\r\nno";
    let cases = [
        Case::kept("denied", &get("/deny"), denied),
        Case::kept(
            "redirected",
            &get("/redirect"),
            "HTTP/1.1 303 See Other\r\nLocation: /there?2\r\nContent-Length: 0\r\n\r\n",
        ),
        Case::kept(
            "answered",
            &get("/respond"),
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        ),
        Case::kept("passed on", &get("/other"), OK),
        Case::kept(
            "the request's body was read",
            "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            denied,
        ),
    ];
    let received = play(rules, "", &cases, |_| {});
    // An answer that was here as a whole leaves the target's connection to the next request.
    assert_eq!(received.matches("GET /after ").count(), 5, "{received}");
}

#[test]
fn a_discarded_response_is_not_taken_for_the_next() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(1000)
    );
    let target = Target::start(move |connection, mut wire| {
        loop {
            let request = wire.message()?;
            let answer = if connection == 0 { &long } else { OK };
            assert!(request.starts_with(b"GET /"));
            wire.send(answer)?;
        }
    })
    .unwrap();
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}
         [[listener.web.rule]]\nphase = 'response'\nwhen = 'response_header(`Content-Length`) == `100000`'\ndeny = 502\n\
         [target_group.app]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send(get("/long") + &get("/next")).unwrap();
    let denied = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let got = client.receive(denied.len() + OK.len()).unwrap();
    same("both", &got, &format!("{denied}{OK}"));
    assert_eq!(target.connections(), 2);
    drop(client);
    proxy.finish(2);
}

#[test]
fn rules_that_see_every_response() {
    let listener = "
[[listener.web.rule]]
when = 'Path(`/own`)'
respond = { status = 200, content_type = 'text/plain', body = 'own', headers = { X-Gone = '1' } }
[[listener.web.rule]]
phase = 'after_response'
actions = [{ set_header = { X-Order = '${response_header(`X-Order`)}listener' } }, { remove_header = 'X-Gone' }]
[[listener.web.rule]]
phase = 'after_response'
when = 'status == 403'
set_status = { status = 418, reason = 'Short' }
";
    let group = "
[[target_group.app.rule]]
when = 'Path(`/deny`)'
deny = { status = 403, body = 'x' }
[[target_group.app.rule]]
phase = 'after_response'
set_header = { X-Order = 'group,' }
";
    let cases = [
        Case::kept(
            "a target's",
            &get("/"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Order: group,listener\r\n\r\nok",
        ),
        Case::kept(
            "a listener's answer",
            &get("/own"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Order: listener\r\nContent-Length: 3\r\n\r\nown",
        ),
        Case::kept(
            "a group's answer, with a status and a reason",
            &get("/deny"),
            "HTTP/1.1 418 Short\r\nX-Order: group,listener\r\nContent-Length: 1\r\n\r\nx",
        ),
    ];
    play(listener, group, &cases, |_| {});
}

#[test]
fn pages_and_files() {
    let listener = "
[[listener.web.rule]]
when = 'Path(`/file`)'
respond = { status = 200, content_type = 'text/x', file = 'f' }
[[listener.web.rule]]
when = 'Path(`/page`)'
deny = { status = 403, error_page = 'p', headers = { X-More = '1' } }
[[listener.web.rule]]
when = 'Path(`/own`)'
deny = { status = 403, error_page = true }
[[listener.web.rule]]
when = 'Path(`/silent`)'
deny = { status = 410, error_page = true }
[[listener.web.rule]]
when = 'Path(`/plain`)'
deny = { status = 404, error_page = true }
";
    let group = "
[[target_group.app.rule]]
when = 'Path(`/group`)'
deny = { status = 403, error_page = true }
";
    let cases = [
        Case::kept(
            "a file",
            &get("/file"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\nfile",
        ),
        Case::closed(
            "a page of a rule that closes",
            &get("/page"),
            "HTTP/1.1 404 Mine\r\nX-P: 1\r\nX-More: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage",
        ),
        Case::kept(
            "the listener's page",
            &get("/own"),
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 8\r\n\r\nlistener",
        ),
        Case::kept(
            "the group's page",
            &get("/group"),
            "HTTP/1.1 302 Found\r\nCache-Control: no-cache\r\nLocation: /sorry\r\nContent-Length: 0\r\n\r\n",
        ),
        Case::kept(
            "no page",
            &get("/plain"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nNot Found\n",
        ),
        Case::closed("an empty page", &get("/silent"), ""),
    ];
    play(listener, group, &cases, |plane| {
        let answers = std::sync::Arc::get_mut(&mut plane.answers).unwrap();
        answers.add_file(FileId(0), "f", b"file".to_vec());
        let page = b"HTTP/1.0 404 Mine\nX-P: 1\nConnection: close\nContent-Length: 4\n\npage";
        answers.add_page(FileId(0), "p", Page::parse(403, page).unwrap());
        let listener = Page::parse(403, b"listener").unwrap();
        answers.add_to_listener(ListenerId(0), 403, listener);
        answers.add_to_listener(ListenerId(0), 410, Page::parse(410, b"").unwrap());
        answers.add_to_group(GroupId(0), 403, Page::redirect("/sorry", 302));
    });
}

#[test]
fn haproxys_form() {
    let listener = "own_answers = 'haproxy'
[[listener.web.rule]]
when = 'Path(`/deny`)'
deny = { status = 403, error_page = true }
[[listener.web.rule]]
when = 'Path(`/400`)'
deny = { status = 400, error_page = true }
[[listener.web.rule]]
when = 'Path(`/to`)'
redirect = '/x'
[[listener.web.rule]]
when = 'Path(`/for-ever`)'
redirect = { location = '/x', status = 301 }
[[listener.web.rule]]
when = 'Path(`/auth`)'
authenticate = { realm = 'a \"b\"' }
[[listener.web.rule]]
when = 'Path(`/reject`)'
reject = 'reset'
[[listener.web.rule]]
when = 'Path(`/named`)'
forward_by_name = 'nobody'
[[listener.web.rule]]
when = 'Path(`/dead`)'
forward = 'dead'
";
    let refusing = Target::refusing().unwrap();
    let group = format!("[target_group.dead]\ntargets = [\"{refusing}\"]\nretries = 0\n");
    let page = |status: &str, text: &str, close: &str| {
        let body = format!("<html><body><h1>{status}</h1>\n{text}\n</body></html>\n");
        format!(
            "HTTP/1.1 {status}\r\ncache-control: no-cache\r\ncontent-type: text/html\r\nContent-Length: {}\r\n{close}\r\n{body}",
            body.len()
        )
    };
    let forbidden = page(
        "403 Forbidden",
        "Request forbidden by administrative rules.",
        "",
    );
    let bad = page(
        "400 Bad request",
        "Your browser sent an invalid request.",
        "Connection: close\r\n",
    );
    let unavailable = page(
        "503 Service Unavailable",
        "No server is available to handle this request.",
        "",
    );
    let unauthorized = page(
        "401 Unauthorized",
        "You need a valid user and password to access this content.",
        "",
    )
    .replace(
        "Content-Length",
        "WWW-Authenticate: Basic realm=\"a \\\"b\\\"\"\r\nContent-Length",
    );
    let (head, _) = forbidden.split_once("<html>").unwrap();
    let cases = [
        Case::kept("denied", &get("/deny"), &forbidden),
        Case::kept("HEAD", "HEAD /deny HTTP/1.1\r\nHost: a\r\n\r\n", head),
        Case::kept(
            "a body that is here",
            "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            &forbidden,
        ),
        Case::closed(
            "a body that is not",
            "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
            &forbidden.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        ),
        Case::closed("400", &get("/400"), &bad),
        Case::closed("no request", "GET / FOO\r\n\r\n", &bad),
        Case::closed(
            "a head that is too large",
            &format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(200_000)
            ),
            &bad,
        ),
        Case::kept(
            "a redirect",
            &get("/to"),
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nCache-Control: no-cache\r\nContent-Length: 0\r\n\r\n",
        ),
        Case::kept(
            "a redirect for ever",
            &get("/for-ever"),
            "HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        ),
        Case::kept("authorization", &get("/auth"), &unauthorized),
        Case::closed("rejected", &get("/reject"), ""),
        Case::kept("a group that there is not", &get("/named"), &unavailable),
        Case::kept("a dead target", &get("/dead"), &unavailable),
        Case::kept(
            "a dead target, with a body",
            "POST /dead HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            &unavailable,
        ),
    ];
    play(listener, &group, &cases, |_| {});
}

#[test]
fn groups_by_computed_names() {
    let listener = "
[[listener.web.rule]]
forward_by_name = { name = '${host.field(1, `.`)}', fallback = 'app' }
";
    let target = Target::saying("named").unwrap();
    let group = format!(
        "[target_group.named]\ntargets = [\"{}\"]\n",
        target.address()
    );
    let named = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnamed";
    let cases = [
        Case::kept(
            "known",
            "GET / HTTP/1.1\r\nHost: named.example\r\n\r\n",
            named,
        ),
        Case::kept("unknown", &get("/"), OK),
    ];
    play(listener, &group, &cases, |_| {});
}

#[test]
fn heads_are_lenient_whoever_words_the_answers() {
    let check = |listener: &str, request: &str, status: &str| {
        let target = Target::saying("ok").unwrap();
        let proxy = Proxy::start(&simple(listener, "", &[target.address()]));
        let mut client = proxy.client();
        client.send(request).unwrap();
        let answer = String::from_utf8(client.message().unwrap()).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{listener} {request}: {answer}"
        );
        drop(client);
        proxy.finish(1);
    };
    let without_host = "GET / HTTP/1.1\r\n\r\n";
    let two_hosts = "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    for request in [without_host, two_hosts] {
        check("", request, "400");
        check("own_answers = 'haproxy'", request, "400");
        check("lenient_heads = true", request, "200");
        check(
            "lenient_heads = true\nown_answers = 'haproxy'",
            request,
            "200",
        );
    }
}
