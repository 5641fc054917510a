//! Cookies of stickiness: requests and answers as HAProxy 2.6 was seen to have them with the same settings.

use crate::harness::{Proxy, simple};
use portway_dataplane::live::Health;
use portway_testkit::peer::Target;
use std::net::SocketAddr;

/// Targets that say their name and the cookies that they got, and add the header lines of `X-Ans`.
fn targets() -> (Vec<Target>, Vec<SocketAddr>) {
    let target = |name: &'static str| {
        Target::start(move |_, mut wire| {
            loop {
                let request = wire.message()?;
                let request = String::from_utf8_lossy(&request).into_owned();
                let line = |name: &str| {
                    let mut fields = request.lines().filter_map(|line| line.split_once(':'));
                    let field = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
                    field.map_or("", |(_, value)| value).trim().to_owned()
                };
                let answers = line("x-ans").replace('|', "\r\n");
                let answers = match answers.as_str() {
                    "" => String::new(),
                    some => format!("{some}\r\n"),
                };
                let body = format!("{name} {}", line("cookie"));
                let length = body.len();
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\n{answers}Content-Length: {length}\r\n\r\n{body}"
                ))?;
            }
        })
        .unwrap()
    };
    let targets: Vec<Target> = ["s1", "s2", "s3"].map(target).into();
    let addresses = targets.iter().map(Target::address).collect();
    (targets, addresses)
}

/// The third target has no cookie.
fn configuration(stickiness: &str, more: &str, addresses: &[SocketAddr]) -> String {
    let settings = format!(
        "stickiness = {{ cookie = \"SRV\", values = \"given\", http_only = false{stickiness} }}\n{more}"
    );
    simple("", &settings, &[]).replace(
        "targets = []",
        &format!(
            "targets = [{{ address = \"{}\", cookie = \"a\" }}, {{ address = \"{}\", cookie = \"b\" }}, \"{}\"]",
            addresses[0], addresses[1], addresses[2]
        ),
    )
}

/// What the target saw, and what of the answer has to do with cookies and caches, in small letters.
fn ask(proxy: &Proxy, method: &str, headers: &str) -> String {
    let answer = ask_exactly(proxy, method, headers);
    let (seen, set) = answer.split_once(" | ").unwrap();
    format!("{seen} | {}", set.to_lowercase())
}

fn ask_exactly(proxy: &Proxy, method: &str, headers: &str) -> String {
    let mut client = proxy.client();
    let body = if method == "POST" {
        "Content-Length: 0\r\n"
    } else {
        ""
    };
    let headers = match headers {
        "" => String::new(),
        some => format!("{}\r\n", some.replace(" && ", "\r\n")),
    };
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{headers}{body}\r\n");
    client.send(&request).unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let told = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("set-cookie:") || line.starts_with("cache-control:")
    };
    let set: Vec<&str> = head.lines().filter(told).collect();
    format!("{} | {}", body.trim(), set.join(" && "))
}

fn check(stickiness: &str, more: &str, cases: &[(&str, &str, &str)]) {
    let (_targets, addresses) = targets();
    let proxy = Proxy::start(&configuration(stickiness, more, &addresses));
    for (method, headers, expected) in cases {
        let got = ask(&proxy, method, headers);
        assert_eq!(got, *expected, "{stickiness}: {method} {headers}");
    }
    proxy.finish(cases.len());
}

const GONE: &str = "set-cookie: srv=; expires=thu, 01-jan-1970 00:00:01 gmt; path=/";

#[test]
fn inserted() {
    let gone = format!("s3 | {GONE}");
    let cases = [
        ("GET", "", "s1 | set-cookie: srv=a; path=/"),
        ("GET", "Cookie: SRV=a", "s1 SRV=a | "),
        ("GET", "Cookie: SRV=b; x=1", "s2 SRV=b; x=1 | "),
        (
            "GET",
            "Cookie: x=1; SRV=zzz; y=2",
            "s2 x=1; SRV=zzz; y=2 | set-cookie: srv=b; path=/",
        ),
        (
            "GET",
            "Cookie: SRV=a && X-Ans: Set-Cookie: SRV=own; path=/x",
            "s1 SRV=a | ",
        ),
        ("GET", "X-Ans: Set-Cookie: SRV=own; path=/x", &gone),
    ];
    check("", "", &cases);
    let cases = [
        ("GET", "", "s1 | set-cookie: srv=a; path=/"),
        ("GET", "Cookie: SRV=a", "s1 | "),
        ("GET", "Cookie: SRV=b; x=1", "s2 x=1 | "),
        (
            "GET",
            "Cookie: x=1; SRV=zzz; y=2",
            "s2 x=1; y=2 | set-cookie: srv=b; path=/",
        ),
        ("GET", "Cookie: x=1;SRV=b", "s2 x=1 | "),
    ];
    check(", indirect = true", "", &cases);
    let cases = [
        (
            "GET",
            "Cookie: SRV=a && X-Ans: Set-Cookie: SRV=own; path=/x",
            "s1 | set-cookie: srv=own; path=/x",
        ),
        ("GET", "Cookie: SRV=", "s1 | set-cookie: srv=a; path=/"),
    ];
    check(", indirect = true, preserve = true", "", &cases);
    let cases = [
        ("GET", "", "s1 | set-cookie: srv=a; path=/"),
        (
            "GET",
            "X-Ans: Cache-Control: max-age=5",
            "s2 | cache-control: max-age=5 && set-cookie: srv=b; path=/ && cache-control: private",
        ),
    ];
    check(", no_cache = true", "", &cases);
    let cases = [
        ("GET", "", "s1 | "),
        ("POST", "", "s2 | set-cookie: srv=b; path=/"),
    ];
    check(", post_only = true", "", &cases);
    let both = "set-cookie: srv=a; path=/ && set-cookie: other=a; path=/; secure; samesite=none";
    let first = format!("s1 | {both}");
    let cases = [
        ("GET", "", &*first),
        ("GET", "Cookie: OTHER=b", "s2 OTHER=b | "),
        ("GET", "Cookie: OTHER=b; SRV=a", "s1 OTHER=b; SRV=a | "),
    ];
    check(", cross_site = \"OTHER\"", "", &cases);
}

/// Clients cannot read what they bring, and only who knows the secret understands it.
#[test]
fn sealed() {
    let (_targets, addresses) = targets();
    let start = |secret: &str| {
        let text = configuration(
            ", cross_site = \"OTHER\", max_age = \"1m\", expires = true",
            "",
            &addresses,
        );
        let sealed = format!("values = {{ sealed = \"{secret}\" }}");
        Proxy::start(&text.replace("values = \"given\"", &sealed))
    };
    let [one, same, other] = ["k", "k", "x"].map(start);
    let first = ask_exactly(&one, "GET", "");
    let mut cookies = first
        .split(" && ")
        .filter_map(|it| it.split_once("set-cookie: "))
        .map(|(_, it)| it);
    let (own, of_others) = (cookies.next().unwrap(), cookies.next().unwrap());
    assert!(
        own.starts_with("SRV=") && own.contains("; Expires="),
        "{first}"
    );
    assert!(!own.contains("Max-Age") && own.ends_with(" GMT"), "{first}");
    assert!(
        of_others.starts_with("OTHER=") && of_others.contains("; Secure"),
        "{first}"
    );
    let brought = own.split(';').next().unwrap();
    assert!(brought.len() > "SRV=".len() + 28, "{first}");
    let header = format!("Cookie: {brought}");
    for proxy in [&one, &same] {
        for _ in 0..4 {
            assert_eq!(ask(proxy, "GET", &header), format!("s1 {brought} | "));
        }
    }
    // It is none of the other's: clients take their turn, and get one that is.
    for server in ["s1", "s2"] {
        let got = ask(&other, "GET", &header);
        assert!(
            got.starts_with(server) && got.contains("set-cookie: srv="),
            "{got}"
        );
    }
    // Nor is what somebody makes.
    let got = ask(&one, "GET", "Cookie: SRV=a");
    assert!(got.contains("set-cookie: srv="), "{got}");
    one.finish(6);
    same.finish(4);
    other.finish(2);
}

#[test]
fn of_the_target() {
    let own = "X-Ans: Set-Cookie: SRV=own; path=/x";
    let kept = format!("Cookie: SRV=a && {own}");
    let cases = [
        ("GET", "", "s1 | "),
        ("GET", "Cookie: SRV=b; x=1", "s2 SRV=b; x=1 | "),
        ("GET", &kept, "s1 SRV=a | set-cookie: srv=a; path=/x"),
        ("GET", "Cookie: SRV=zzz", "s2 SRV=zzz | "),
        ("GET", own, "s3 | set-cookie: srv=own; path=/x"),
    ];
    check(", mode = \"rewrite\"", "", &cases);
    let cases = [
        ("GET", &*kept, "s1 SRV=a | set-cookie: srv=a~own; path=/x"),
        ("GET", "Cookie: SRV=b~own; z=1", "s2 SRV=own; z=1 | "),
    ];
    check(", mode = \"prefix\"", "", &cases);
    let cases = [
        ("GET", "Cookie: SRV=b", "s2 SRV=b | "),
        ("GET", &*kept, "s1 SRV=a | set-cookie: srv=own; path=/x"),
    ];
    check(", mode = \"passive\"", "", &cases);
}

#[test]
fn rules_say_whether_it_counts() {
    let rule = "rule = { when = \"Path(`/`)\", stickiness = \"ignore\" }";
    check("", rule, &[("GET", "Cookie: SRV=b", "s1 SRV=b | ")]);
}

#[test]
fn a_target_that_is_down() {
    let check = |more: &str, expected: &str| {
        let (_targets, addresses) = targets();
        let dead: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let addresses = [dead, addresses[1], addresses[2]];
        let text = configuration("", &format!("retries = 1\n{more}"), &addresses);
        let proxy = Proxy::start(&text);
        proxy.target(0, 0).set_health(Health::Unhealthy);
        let got = ask(&proxy, "GET", "Cookie: SRV=a");
        assert!(got.starts_with(expected), "{more}: {got}");
        proxy.finish(1);
    };
    let soon = "timeouts.connect = \"10ms\"";
    check("", "s2 SRV=a | set-cookie: srv=b; path=/");
    check(
        &format!("keep_when_down = true\nretry_to = \"same\"\n{soon}"),
        "The target",
    );
    let leaves = "keep_when_down = true\nretry_to = { same_then_another = -1 }";
    check(
        &format!("{leaves}\n{soon}"),
        "s2 SRV=a | set-cookie: srv=b; path=/",
    );
    let force = "rule = { when = \"Path(`/`)\", stickiness = \"force\" }";
    check(&format!("{soon}\n{force}"), "The target");
}

#[test]
fn values_that_are_made() {
    let (_targets, addresses) = targets();
    let text = simple("", "stickiness = { cookie = \"S\" }", &addresses);
    let proxy = Proxy::start(&text);
    let answer = ask(&proxy, "GET", "");
    let (name, cookie) = answer.split_once(" | set-cookie: s=").unwrap();
    let (value, rest) = cookie.split_once(';').unwrap();
    assert_eq!((value.len(), rest), (16, " path=/; httponly"));
    for _ in 0..3 {
        let kept = ask(&proxy, "GET", &format!("Cookie: S={value}"));
        assert!(kept.starts_with(name), "{kept}");
    }
    proxy.finish(4);
}
