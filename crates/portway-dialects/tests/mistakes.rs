//! What is said of mistakes: native files that cannot be meant so, all mistakes of one file at once and each at its place,
//! and the same where other languages say it, which their own programs take.
#![cfg(test)]

use portway_dialects::{Inputs, haproxy, native, traefik};
use portway_model::compile::compile;
use portway_model::diagnostic::{Diagnostics, Severity};
use portway_model::span::{FileId, Sources};

/// A line for each finding: `LINE:COLUMN SEVERITY: MESSAGE | HELP`.
fn said(text: &str, found: &Diagnostics) -> Vec<String> {
    let mut sources = Sources::default();
    sources.add("x", text);
    let lines = found.iter().map(|one| {
        let place = one.labels.first().map(|label| label.span);
        let place = place.and_then(|span| sources.position(span));
        let place = place.map_or_else(String::new, |at| format!("{}:{} ", at.line, at.column));
        let severity = match one.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
            Severity::Note => "note: ",
        };
        let help = one.help.as_ref();
        let help = help.map_or_else(String::new, |help| format!(" | {help}"));
        format!("{place}{severity}{}{help}", one.message)
    });
    lines.collect()
}

/// All that is found in a native file.
fn of_native(text: &str) -> Vec<String> {
    let (draft, mut found) = native::parse(FileId(0), text);
    found.extend(compile(&draft).1);
    found.sort();
    said(text, &found)
}

const BEFORE: &str = "[listener.web]\nbind = \":80\"\nforward = \"app\"\n";
const TARGETS: &str = "[target_group.app]\ntargets = [\"10.0.0.1:80\"]\n";

/// A rule of the listener, on line 4 and on, with the group behind it.
#[track_caller]
fn rule(rule: &str, expected: &[&str]) {
    let text = format!("{BEFORE}[[listener.web.rule]]\n{rule}\n{TARGETS}");
    assert_eq!(of_native(&text), expected, "{text}");
}

/// What the group says beside its name, from line 5 on.
#[track_caller]
fn group(group: &str, expected: &[&str]) {
    let text = format!("{BEFORE}[target_group.app]\n{group}\n");
    assert_eq!(of_native(&text), expected, "{text}");
}

#[test]
fn what_can_never_work() {
    group(
        "targets = [\n{ address = \"10.0.0.1:80\", weight = 0 },\n{ address = \"10.0.0.2:80\", weight = 0 }]",
        &[
            "6:37 warning: every target of `app` has the weight 0: no new client comes to any of them | give one of them a weight of 1 or more; 0 is for targets that only keep the clients that they have",
        ],
    );
    group(
        "targets = [\n{ address = \"10.0.0.1:80\", weight = 0 },\n\"10.0.0.2:80\"]",
        &[],
    );
    let head = "targets = \"10.0.0.1:80\"\nhealth_check = ";
    let waits = "warning: this check never passes: an answer to HEAD has no body, and one is waited for | ask with GET, or judge the status alone";
    group(
        &format!("{head}{{ http = \"/\", method = \"HEAD\", body = \"fine\" }}"),
        &[&format!("6:25 {waits}")],
    );
    group(
        &format!(
            "{head}{{ script = [{{ request = {{ method = \"HEAD\", target = \"/\" }} }}, {{ expect = {{ body = \"fine\" }} }}] }}"
        ),
        &[&format!("6:27 {waits}")],
    );
    for fine in [
        "{ http = \"/\", method = \"HEAD\", body = \"\" }",
        "{ http = \"/\", method = \"HEAD\" }",
        "{ http = \"/\", body = \"fine\" }",
        "{ script = [{ request = { method = \"HEAD\", target = \"/\" } }, { expect = { status = 200 } }] }",
        "{ script = [{ request = { method = \"HEAD\", target = \"/\" } }, { expect = { body = \"fine\", not = true } }] }",
    ] {
        let text = format!("{BEFORE}[target_group.app]\n{head}{fine}\n");
        let of_check = of_native(&text);
        let futile = of_check.iter().filter(|it| it.contains("never passes"));
        assert_eq!(futile.count(), 0, "{of_check:?}");
    }
    group(
        "targets = [\n{ address = \"10.0.0.1:80\", cookie = \"a\" },\n{ address = \"10.0.0.2:80\", cookie = \"a\" }]\nstickiness = { cookie = \"S\" }",
        &[
            "7:37 warning: two targets have the cookie `a`: while the first is up, no client stays with this one | give each target a value of its own; one that only takes over has `backup = true`",
        ],
    );
    group(
        "targets = [\n{ address = \"10.0.0.1:80\", cookie = \"a\" },\n{ address = \"10.0.0.2:80\", cookie = \"a\", backup = true }]\nstickiness = { cookie = \"S\" }",
        &[],
    );
    group(
        "targets = \"10.0.0.1:80\"\nstickiness = { cookie = \"S\", values = \"given\" }",
        &[
            "6:14 warning: no client is kept: `values` is `given`, and no target says a `cookie` | add `cookie` to each target, or leave `values` out: then each has a value of its own",
        ],
    );
    rule(
        "mirror = \"app\"",
        &[
            "5:10 warning: copies of requests go to the target group `app` that serves them | name another group in `mirror`: this one would get each request twice",
        ],
    );
    rule(
        "actions = [{ mirror = { group = \"app\", percent = 10 } }, { forward = \"app\" }]\nwhen = \"Path(`/a`)\"",
        &[
            "5:33 warning: copies of requests go to the target group `app` that serves them | name another group in `mirror`: this one would get each request twice",
        ],
    );
    let other = "[target_group.other]\ntargets = \"10.0.0.2:80\"\n";
    let text = format!(
        "{BEFORE}[[listener.web.rule]]\nmirror = \"app\"\n[[listener.web.rule]]\nwhen = \"Path(`/x`)\"\nforward = \"other\"\n{TARGETS}{other}"
    );
    assert_eq!(of_native(&text), Vec::<String>::new());
    for (opens, expected) in [
        (
            "NetworkErrorRatio() > 30",
            Some(
                "`NetworkErrorRatio() > 30` never holds: a ratio is from 0 to 1 | for 30 percent write 0.3",
            ),
        ),
        (
            "NetworkErrorRatio() > 1",
            Some(
                "`NetworkErrorRatio() > 1` never holds: a ratio is from 0 to 1 | write a number from 0 to 1, such as 0.3 for 30 percent",
            ),
        ),
        (
            "ResponseCodeRatio(500, 600, 0, 600) < 1.5",
            Some(
                "`ResponseCodeRatio(500, 600, 0, 600) < 1.5` always holds: a ratio is from 0 to 1 | for 1.5 percent write 0.015",
            ),
        ),
        ("NetworkErrorRatio() >= 1", None),
        ("NetworkErrorRatio() == 1", None),
        ("NetworkErrorRatio() > 0", None),
        ("LatencyAtQuantileMS(50.0) > 100", None),
    ] {
        let expected: Vec<String> = expected
            .map(|it| format!("5:1 warning: {it}"))
            .into_iter()
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        rule(
            &format!("circuit_breaker = {{ name = \"a\", opens_when = \"{opens}\" }}"),
            &expected,
        );
    }
}

#[test]
fn who_is_allowed_and_denied() {
    for (lists, expected) in [
        (
            "allow = [\"10.0.0.0/8\", \"192.0.2.1\"]\ndeny = \"10.0.0.0/8\"",
            Some(
                "4:10 `10.0.0.0/8` is in `allow` and in `deny`: who is denied does not come in | take it out of one of them; `deny` may name a part of what `allow` names",
            ),
        ),
        (
            "deny = \"10.0.0.0/8\"\nallow = \"10.9.0.0/16\"",
            Some(
                "5:9 `10.9.0.0/16` is allowed, and all of it is denied by `10.0.0.0/8`: nobody of it comes in | take it out of one of them; `deny` may name a part of what `allow` names",
            ),
        ),
        ("allow = \"10.0.0.0/8\"\ndeny = \"10.9.0.0/16\"", None),
    ] {
        let text = format!("{BEFORE}{lists}\n{TARGETS}");
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(of_native(&text), expected, "{lists}");
    }
}

#[test]
fn what_does_nothing_by_itself() {
    for (target, expected) in [
        (
            "max_queue = 5",
            "6:29 warning: `max_queue` does nothing without `max_connections`: nobody ever waits for this target | add `max_connections` to the target, or leave it out",
        ),
        (
            "min_connections = 5",
            "6:29 warning: `min_connections` does nothing without `max_connections`: there is no limit that could rise | add `max_connections` to the target, or leave it out",
        ),
        (
            "min_connections = 9, max_connections = 5",
            "6:47 warning: `min_connections` is 9, and `max_connections` is less: 5 | let `min_connections` be the smaller: the limit rises from it to `max_connections`",
        ),
        (
            "cookie = \"a\"",
            "6:38 warning: `cookie` of a target does nothing without `stickiness` of its group | add for example stickiness = { cookie = \"SERVER\" } to the group, or leave it out",
        ),
    ] {
        let text = format!("targets = [\n{{ address = \"10.0.0.1:80\", {target} }}]");
        let text = format!("{BEFORE}[target_group.app]\n{text}\n");
        let found = of_native(&text);
        let at = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
        let messages: Vec<_> = found.iter().map(|it| at(it)).collect();
        assert_eq!(messages, [at(expected)], "{text}");
    }
    let targets = "targets = \"10.0.0.1:80\"\n";
    group(
        &format!("{targets}max_pending = 5"),
        &[
            "6:15 warning: `max_pending` does nothing: without a limit nobody waits for room | add `max_connections` to the group or to its targets, or leave it out",
        ],
    );
    group(
        &format!("{targets}max_pending = 5\nmax_connections = 9"),
        &[],
    );
    group(
        &format!("{targets}min_zone_healthy = 50"),
        &[
            "6:20 warning: `min_zone_healthy` does nothing: no target says its `zone` | add `zone` to the targets, and to `[process]`; or leave it out",
        ],
    );
    group(
        &format!("{targets}timeouts = {{ total = \"5s\", attempt = \"10s\" }}"),
        &[
            "6:22 warning: `total` ends before the first attempt may take its time: `attempt` does nothing | let `total` be as long as `attempt`, or longer where there are retries",
        ],
    );
    let page = "error_pages = { 200 = \"ok.html\", 404 = \"no.html\" }";
    let expected = "6:17 warning: nothing is answered with the error page of 200 | error pages are what Portway itself answers where something fails, from 400 on, or where a rule says `error_page = true`; what targets answer is replaced by the action `page_from`";
    group(&format!("{targets}{page}"), &[expected]);
    group(
        &format!(
            "{targets}{page}\n[[target_group.app.rule]]\nwhen = \"Path(`/up`)\"\nrespond = {{ status = 200, error_page = true }}"
        ),
        &[],
    );
}

#[test]
fn headers_of_security() {
    for (value, expected) in [
        (
            "frame = \"SAMEORGIN\"",
            Some("`SAMEORGIN` is no value of `frame` | did you mean `SAMEORIGIN`?"),
        ),
        ("frame = \"deny\"", None),
        (
            "frame = \"ALLOW-FROM https://a.example\"",
            Some(
                "`ALLOW-FROM https://a.example` is no value of `frame` | browsers do not know it any more: say `content = \"frame-ancestors https://app.example\"`, and `frame = \"\"`",
            ),
        ),
        (
            "referrer = \"no-referer\"",
            Some("`no-referer` is no value of `referrer` | did you mean `no-referrer`?"),
        ),
        ("referrer = \"no-referrer, strict-origin\"", None),
        ("referrer = \"\"", None),
        (
            "opener = \"none\"",
            Some(
                "`none` is no value of `opener` | one of: unsafe-none, same-origin-allow-popups, same-origin, noopener-allow-popups",
            ),
        ),
        ("opener = 'same-origin; report-to=\"x\"'", None),
        (
            "permissions = \"camera 'none'\"",
            Some(
                "`camera 'none'` is no permission for `permissions` | a feature, `=` and who has it: `camera=()`, `geolocation=(self \"https://maps.example\")`, `fullscreen=*`; commas between them",
            ),
        ),
        (
            "permissions = 'camera=(), geolocation=(self \"https://a.example\"), usb=*'",
            None,
        ),
        ("content = \"anything 'goes' here\"", None),
        (
            "preload = true",
            Some(
                "warning: `preload` does nothing: no list of browsers takes this host so | the lists ask for `subdomains = true` and a `transport` of \"365d\" or more",
            ),
        ),
        ("preload = true, subdomains = true", None),
    ] {
        let expected: Vec<String> = expected.map(|it| format!("6:1 {it}")).into_iter().collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        rule(
            &format!("phase = \"response\"\nsecurity_headers = {{ {value} }}"),
            &expected,
        );
    }
}

#[test]
fn limits_of_one_name_say_the_same() {
    let two = |one: &str, other: &str| {
        format!("{one}\n[[listener.web.rule]]\nwhen = \"Path(`/b`)\"\n{other}")
    };
    let rate = "limit_rate = { name = \"a\", average = 5 }";
    let help = "give it another name, or say the same in both rules";
    rule(&two(rate, rate), &[]);
    rule(
        &two(
            rate,
            "limit_rate = { name = \"a\", average = 5, key = \"host\" }",
        ),
        &[],
    );
    rule(
        &two(rate, "limit_concurrency = { name = \"a\", amount = 3 }"),
        &[],
    );
    for other in [
        "average = 6",
        "average = 5, burst = 9",
        "average = 5, period = \"1m\"",
    ] {
        rule(
            &two(rate, &format!("limit_rate = {{ name = \"a\", {other} }}")),
            &[&format!(
                "8:1 the rate limit `a` is said in two ways | {help}"
            )],
        );
    }
    let amount = |amount: u8| format!("limit_concurrency = {{ name = \"a\", amount = {amount} }}");
    rule(
        &two(&amount(3), &amount(4)),
        &[&format!(
            "8:1 the limit of requests at once `a` is said in two ways | {help}"
        )],
    );
    let breaker = |status: u16| {
        format!(
            "circuit_breaker = {{ name = \"a\", opens_when = \"NetworkErrorRatio() > 0.5\", status = {status} }}"
        )
    };
    rule(
        &two(&breaker(503), &breaker(504)),
        &[&format!(
            "8:1 the circuit breaker `a` is said in two ways | {help}"
        )],
    );
}

#[test]
fn groups_that_a_regular_expression_does_not_have() {
    let counted = "groups are counted from 1 by their parentheses, `(…)`, and have names as `(?<year>…)`; `$0` is all that is found, `$$` a dollar";
    let letters = "letters and digits behind `$` are one name: write `$${1}x` in a template, `${1}x` in `replace(…)`; `$$` is a dollar";
    for (action, expected) in [
        (
            "replace_path = { pattern = '^/a/(.*)$', with = '/b/$1' }",
            None,
        ),
        (
            "replace_path = { pattern = '^/a/(.*)$', with = '/b/$2' }",
            Some(("5:1", "^/a/(.*)$", "$2", counted)),
        ),
        (
            "replace_target = { pattern = '^/a/(.*)$', with = '/b/$1x' }",
            Some(("5:1", "^/a/(.*)$", "$1x", letters)),
        ),
        (
            "replace_target = { pattern = '^/a/(.*)$', with = '/b/$${1}x' }",
            None,
        ),
        (
            "replace_url = { pattern = '^/a/(?<rest>.*)$', with = '/b/$rest/$other' }",
            Some(("5:1", "^/a/(?<rest>.*)$", "$other", counted)),
        ),
        (
            "replace_header = { name = 'X-A', pattern = 'a', with = '$1' }",
            Some(("5:1", "a", "$1", counted)),
        ),
        (
            "set_header = { X-A = '${path.replace(`^/(.*)`, `$3`)}' }",
            Some(("5:25", "^/(.*)", "$3", counted)),
        ),
        (
            "set_header = { X-A = '${path.replace(`^/(.*)`, `${1}x`)}' }",
            None,
        ),
    ] {
        let expected: Vec<String> = expected
            .map(|(at, pattern, group, help)| {
                format!(
                    "{at} `{pattern}` has no group `{group}`: nothing would stand there | {help}"
                )
            })
            .into_iter()
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        rule(action, &expected);
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "\
[listener.web]
bind = \":80\"
forward = \"app\"
access_log = { format = \"${pth} ${hots} ${path\" }
[[listener.web.rule]]
when = \"Hots(`a`) && (Pth(`/b`) || metod == `GET`)\"
actions = [
    { limit_rate = { name = \"a\", average = 0 } },
    { respond = { status = \"x\", body = \"${nix} ${nox}\" } },
    { set_header = { Host = \"a\nb\" } },
    { deny = 99 },
]
[target_group.app]
targets = [\"10.0.0.1:80\", \"10.0.0.2\"]
";
    let text = text.replace("a\nb", "a\\nb");
    let found = of_native(&text);
    let of_lines: Vec<&str> = found
        .iter()
        .map(|line| line.split(" | ").next().unwrap_or(line))
        .collect();
    assert_eq!(
        of_lines,
        [
            "4:28 unknown value `pth`",
            "4:35 unknown value `hots`",
            "4:47 expected `}` after the expression, found the end",
            "6:9 unknown condition `Hots`",
            "6:23 unknown condition `Pth`",
            "6:36 unknown value `metod`",
            "8:7 0 is out of range for `average`",
            "9:28 expected a number, found a text",
            "9:43 unknown value `nix`",
            "9:50 unknown value `nox`",
            "10:7 a header's value may not hold `\\n`",
            "11:7 99 is out of range for a status",
            "14:27 `10.0.0.2` has no port",
        ],
        "{found:#?}"
    );
}

#[test]
fn numbers_that_are_written_as_texts() {
    let of = |value: &str| {
        let text =
            format!("{BEFORE}[target_group.app]\ntargets = \"10.0.0.1:80\"\nretries = {value}\n");
        of_native(&text)
    };
    for (value, expected) in [
        ("\"20\"", "write 20 without quotes"),
        ("\"20%\"", "write 20 without quotes"),
        (
            "\"10/s\"",
            "write 10 without quotes; the time that it is for is the key `period`, or a second",
        ),
        (
            "\"5m\"",
            "this key is a number and no time: write one without unit and quotes, such as 5",
        ),
        ("\"5 times\"", "write 5 without quotes and unit"),
        ("\"few\"", "write a number without quotes, such as 20"),
    ] {
        let expected = format!("6:11 expected a number, found a text | {expected}");
        assert_eq!(of(value), [expected], "{value}");
    }
    rule(
        "limit_rate = \"10/s\"",
        &[
            "5:14 expected a table, found a text | write `{ name = …, … }`; its keys are `name`, `key`, `average`, `period`, `burst`",
        ],
    );
    rule(
        "mirror = { group = \"app\", percent = 300 }",
        &[
            "5:20 warning: copies of requests go to the target group `app` that serves them | name another group in `mirror`: this one would get each request twice",
            "5:37 300 is out of range: 0–100",
        ],
    );
}

#[test]
fn a_number_is_no_group() {
    rule(
        "replace_path = { pattern = '^/a/(.*)$', with = '/b/${1}x' }",
        &[
            "5:54 `${1}` is the number 1 here, and no group | write `$1`, or `$${1}` where letters or digits follow; for a number, 1",
        ],
    );
}

/// What HAProxy takes is taken here, and told of.
#[test]
fn haproxy_says_the_same() {
    for (lines, expected) in [
        (
            "server a 10.0.0.1:80 weight 0",
            "warning: every target of `app` has the weight 0: no new client comes to any of them",
        ),
        (
            "option httpchk HEAD /\nhttp-check expect string fine\nserver a 10.0.0.1:80 check",
            "warning: this check never passes: an answer to HEAD has no body, and one is waited for",
        ),
        (
            "cookie S insert\nserver a 10.0.0.1:80 cookie x\nserver b 10.0.0.2:80 cookie x",
            "warning: two targets have the cookie `x`: while the first is up, no client stays with this one",
        ),
        (
            "cookie S insert\nserver a 10.0.0.1:80",
            "warning: no client is kept: `values` is `given`, and no target says a `cookie`",
        ),
        (
            "server a 10.0.0.1:80 maxqueue 5",
            "warning: `max_queue` does nothing without `max_connections`: nobody ever waits for this target",
        ),
        (
            "server a 10.0.0.1:80 cookie x",
            "warning: `cookie` of a target does nothing without `stickiness` of its group",
        ),
        (
            "http-request replace-path ^/a/(.*)$ /b/\\2\nserver a 10.0.0.1:80",
            "note: `\\2`: the regular expression has no such group, so nothing stands there",
        ),
        (
            "http-request set-header X-A %[path,regsub(^/a,\\3)]\nserver a 10.0.0.1:80",
            "note: `\\3`: the regular expression has no such group, so nothing stands there",
        ),
    ] {
        let text = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nfrontend web\n  bind :80\n  default_backend app\nbackend app\n{lines}\n"
        );
        let (draft, mut found) = haproxy::parse(FileId(0), &text, &Inputs::NOTHING);
        let (snapshot, more) = compile(&draft);
        found.extend(more);
        assert!(snapshot.is_some(), "{lines}: {found:?}");
        // What it is converted to is taken too.
        let (again, _) = native::parse(FileId(0), &native::print(&draft));
        assert_eq!(compile(&again).0, snapshot, "{lines}");
        let all = said(&text, &found);
        assert!(
            all.iter().any(|it| it.contains(expected)),
            "{lines}: {all:#?}"
        );
    }
}

/// And what Traefik takes.
#[test]
fn traefik_says_the_same() {
    for (middleware, expected) in [
        (
            "circuitBreaker: { expression: NetworkErrorRatio() > 30 }",
            "warning: `NetworkErrorRatio() > 30` never holds: a ratio is from 0 to 1",
        ),
        (
            "replacePathRegex: { regex: '^/a/(.*)', replacement: '/$1x' }",
            "warning: `regex` has no group `$1x`, so nothing stands there",
        ),
        (
            "redirectRegex: { regex: '^/a/(.*)', replacement: '/$2' }",
            "warning: `regex` has no group `$2`, so nothing stands there",
        ),
    ] {
        let text = format!(
            "http:\n  routers:\n    r: {{ rule: Host(`a.example`), service: s, middlewares: [m] }}\n  middlewares:\n    m:\n      {middleware}\n  services:\n    s: {{ loadBalancer: {{ servers: [{{ url: 'http://10.0.0.1' }}] }} }}\n"
        );
        let file = traefik::File {
            id: FileId(0),
            name: "dynamic.yml",
            text: &text,
        };
        let options = traefik::Options::default();
        let (draft, mut found) = traefik::parse_all(&[file], &options, &Inputs::NOTHING);
        let (snapshot, more) = compile(&draft);
        found.extend(more);
        assert!(snapshot.is_some(), "{middleware}: {found:?}");
        let (again, _) = native::parse(FileId(0), &native::print(&draft));
        assert_eq!(compile(&again).0, snapshot, "{middleware}");
        let all = said(&text, &found);
        assert!(
            all.iter().any(|it| it.contains(expected)),
            "{middleware}: {all:#?}"
        );
    }
}
