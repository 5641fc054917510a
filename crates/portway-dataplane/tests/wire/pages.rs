//! Pages that another group has for answers with certain statuses.

use crate::harness::{PLAIN, Proxy};
use portway_testkit::peer::{End, Target};
use std::net::SocketAddr;

/// A listener with these rules before the one that forwards to `app`; `pages` has the pages.
fn start(rules: &str, app: SocketAddr, pages: SocketAddr) -> Proxy {
    Proxy::start(&format!(
        "[listener.web]\nbind = \"@0\"\n{PLAIN}{rules}\n[[listener.web.rule]]\nforward = \"app\"\n\
         [target_group.app]\ntargets = [\"{app}\"]\nretries = 0\n\
         [target_group.pages]\ntargets = [\"{pages}\"]\n"
    ))
}

const RULE: &str = "[[listener.web.rule]]\npage_from = { status = [404, \"500-599\"], forward = \"pages\", \
    target = \"/${status}?of=${path}\" }\n";

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nsorry";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_response_with_the_status_gives_way_and_the_connection_goes_on() {
    let app = Target::answering(&[
        &["HTTP/1.1 404 Not Found\r\nX-Own: 1\r\nContent-Length: 4\r\n\r\nnone"],
        &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        &[
            "HTTP/1.1 503 Gone\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        ],
    ])
    .unwrap();
    let pages = Target::answering(&[&[PAGE], &[PAGE]]).unwrap();
    let proxy = start(RULE, app.address(), pages.address());
    let mut client = proxy.client();
    let post = "POST /a HTTP/1.1\r\nHost: a\r\nX-Mine: 7\r\nContent-Length: 3\r\n\r\nabc";
    client.send(post).unwrap();
    let got = text(&client.message().unwrap());
    assert!(got.starts_with("HTTP/1.1 404 Not Found\r\n"), "{got}");
    assert!(
        got.contains("Content-Type: text/html\r\n") && got.ends_with("\r\n\r\nsorry"),
        "{got}"
    );
    assert!(!got.contains("X-Own"), "{got}");
    client.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let got = text(&client.message().unwrap());
    assert!(
        got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("ok"),
        "{got}"
    );
    client.send("GET /c HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let got = text(&client.message().unwrap());
    assert!(
        got.starts_with("HTTP/1.1 503 ") && got.ends_with("sorry"),
        "{got}"
    );
    let asked = pages.received_in_all();
    assert!(asked.starts_with("GET /404?of=/a HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("X-Mine: 7\r\n") && !asked.contains("Content-Length"),
        "{asked}"
    );
    assert!(asked.contains("GET /503?of=/c HTTP/1.1\r\n"), "{asked}");
    drop(client);
    let log = proxy.finish(3);
    assert!(log[0].contains("\"status\":404"), "{log:?}");
}

#[test]
fn our_own_answers_give_way_too() {
    let pages = Target::answering(&[&[PAGE], &[PAGE]]).unwrap();
    let rules = format!("{RULE}[[listener.web.rule]]\nwhen = \"Path(`/no`)\"\ndeny = 404\n");
    let proxy = start(&rules, Target::refusing().unwrap(), pages.address());
    let mut client = proxy.client();
    client.send("GET /no HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let got = text(&client.message().unwrap());
    assert!(
        got.starts_with("HTTP/1.1 404 ") && got.ends_with("sorry"),
        "{got}"
    );
    // The body was not read: nothing of it may be taken for a request.
    client
        .send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n123")
        .unwrap();
    let (got, end) = client.until_end().unwrap();
    let got = text(&got);
    assert!(
        got.starts_with("HTTP/1.1 502 ") && got.ends_with("sorry"),
        "{got}"
    );
    assert_eq!(end, End::Closed);
    proxy.finish(2);
}

#[test]
fn a_page_that_is_not_to_be_had_keeps_the_status() {
    let app = Target::answering(&[&["HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx"]]).unwrap();
    let proxy = start(RULE, app.address(), Target::refusing().unwrap());
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let got = text(&client.message().unwrap());
    assert!(
        got.starts_with("HTTP/1.1 500 ") && !got.ends_with("\r\n\r\nx"),
        "{got}"
    );
    drop(client);
    proxy.finish(1);
}

#[test]
fn rules_on_the_response_see_what_was_so_when_the_page_was_asked_for() {
    let app = Target::answering(&[&["HTTP/1.1 418 Tea\r\nContent-Length: 1\r\n\r\nx"]]).unwrap();
    let pages = Target::answering(&[&[PAGE]]).unwrap();
    let rules = "[[listener.web.rule]]\nactions = [{ set_variable = { exchange.at = \"outer\" } }, \
        { page_from = [{ status = 418, forward = \"pages\", target = \"/tea\", answer_as = 404 }] }, \
        { set_variable = { exchange.at = \"inner\" } }]\n\
        [[listener.web.rule]]\nphase = \"after_response\"\nset_header = { X-At = \"${var.exchange.at}\" }\n";
    let proxy = start(rules, app.address(), pages.address());
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let got = text(&client.message().unwrap());
    assert!(got.starts_with("HTTP/1.1 404 Not Found\r\n"), "{got}");
    assert!(got.contains("X-At: outer\r\n"), "{got}");
    drop(client);
    proxy.finish(1);
}

#[test]
fn a_request_is_made_again_elsewhere_where_it_has_no_body() {
    let app = Target::answering(&[
        &["HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nx"],
        &["HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nmine"],
        &["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone"],
    ])
    .unwrap();
    let again =
        Target::answering(&[&["HTTP/1.1 201 Made\r\nContent-Length: 5\r\n\r\nspare"]]).unwrap();
    let rule = "[[listener.web.rule]]\npage_from = { status = \"500-599\", forward = \"pages\", again = true }\n";
    let proxy = start(rule, app.address(), again.address());
    let mut client = proxy.client();
    let mut ask = |request: &str| {
        client.send(request).unwrap();
        text(&client.message().unwrap())
    };
    let got = ask("DELETE /a?b=c HTTP/1.1\r\nHost: a\r\nX-Mine: 7\r\n\r\n");
    let made = got.starts_with("HTTP/1.1 201 ") && got.ends_with("spare");
    assert!(made, "{got}");
    let got = ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let kept = got.starts_with("HTTP/1.1 503 ") && got.ends_with("mine");
    assert!(kept, "{got}");
    let got = ask("GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    let other = got.starts_with("HTTP/1.1 404 ") && got.ends_with("none");
    assert!(other, "{got}");
    let asked = again.received_in_all();
    let same = asked.starts_with("DELETE /a?b=c HTTP/1.1\r\n") && asked.contains("X-Mine: 7\r\n");
    assert!(same, "{asked}");
    drop(client);
    let log = proxy.finish(3);
    assert!(log[0].contains("\"status\":201"), "{log:?}");
}

#[test]
fn a_page_is_asked_for_with_the_headers_that_are_named() {
    let app = Target::answering(&[&["HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx"]]).unwrap();
    let pages = Target::answering(&[&[PAGE]]).unwrap();
    let rule = RULE.replace(" }\n", ", headers = [\"accept\", \"X-Set\"] }\n");
    let set = "[[listener.web.rule]]\nset_header = { X-Set = \"1\", X-Other = \"2\" }\n";
    let proxy = start(&format!("{rule}{set}"), app.address(), pages.address());
    let mut client = proxy.client();
    let own = "Accept: text/html\r\nCookie: a=b\r\nAuthorization: Basic eDp5\r\n";
    client
        .send(format!("GET /a HTTP/1.1\r\nHost: a\r\n{own}\r\n"))
        .unwrap();
    let got = text(&client.message().unwrap());
    assert!(got.ends_with("sorry"), "{got}");
    let asked = pages.received_in_all();
    let named = ["Host: a\r\n", "Accept: text/html\r\n", "X-Set: 1\r\n"];
    let left_out = ["Cookie", "Authorization", "X-Other"];
    assert!(named.iter().all(|it| asked.contains(it)), "{asked}");
    assert!(!left_out.iter().any(|it| asked.contains(it)), "{asked}");
    drop(client);
    proxy.finish(1);
}

/// What is sent behind a 304 or 204 is the next response.
#[test]
fn an_answer_without_content_gets_no_page() {
    let app = Target::answering(&[
        &["HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n"],
        &["HTTP/1.1 204 Gone\r\n\r\n"],
        &["HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"],
    ])
    .unwrap();
    let pages = Target::answering(&[&[PAGE]]).unwrap();
    let rule = RULE.replace("[404, \"500-599\"]", "\"200-599\"");
    let proxy = start(&rule, app.address(), pages.address());
    let mut client = proxy.client();
    for (expected, page) in [("304", false), ("204", false), ("302", true)] {
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let got = match page {
            true => text(&client.message().unwrap()),
            false => text(&client.head().unwrap()),
        };
        assert_eq!(got.split(' ').nth(1), Some(expected), "{got}");
        assert_eq!(got.ends_with("sorry"), page, "{got}");
    }
    assert_eq!(pages.received_in_all().matches("GET ").count(), 1);
    drop(client);
    proxy.finish(3);
}

/// Both groups have served: who gave the answer, and who the page in its place.
#[test]
fn who_gave_way_has_answered_too() {
    let app = Target::answering(&[&["HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]]).unwrap();
    let pages = Target::answering(&[&[PAGE]]).unwrap();
    let proxy = start(RULE, app.address(), pages.address());
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(text(&client.message().unwrap()).ends_with("sorry"));
    drop(client);
    proxy.quiet();
    let of = |group: &str| {
        format!("portway_target_group_requests_total{{target_group=\"{group}\",code=\"5xx\"}}")
    };
    assert_eq!([of("app"), of("pages")].map(|it| proxy.metric(&it)), [1, 1]);
    proxy.finish(1);
}
