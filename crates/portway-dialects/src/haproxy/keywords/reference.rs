//! `docs/haproxy.md` is what the tables say. `PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference` writes
//! it anew.

use super::*;
use std::fmt::Write;

/// What stands before the tables.
const HEAD: &str = "\
# haproxy.cfg

Portway runs the configurations of HAProxy 2.6, and those of 1.5 with the words that later versions refuse. This page
says what becomes of each word. It is made from the tables in the code (`PORTWAY_BLESS=1 cargo test -p
portway-dialects --lib reference` writes it anew), and a test holds the tables against HAProxy's own list.

```sh
portway check haproxy.cfg       # everything that is wrong, what has no effect, and what is not done yet
portway run haproxy.cfg         # runs it
portway convert haproxy.cfg     # the same in the native form, docs/native.md
```

Called by the name `haproxy` (a link to the program) it takes HAProxy's flags: `haproxy -c -f haproxy.cfg`. Several
files are one configuration: what the first says of defaults and the environment holds in the second. A file is known
by its name (`.cfg`) or by a section such as `frontend web`; `--as haproxy` says it. Relative paths begin in the
working directory, or where `default-path` says.

Text is read as HAProxy reads it: quotes, escapes, `\"$VARIABLES\"`, `.if` and its like, and where HAProxy refuses a line,
so does Portway, but for three things. Called by another name, it does not ask that the names of servers resolve: such a
server is down until its name does, and a warning says so (`init-addr last,libc` makes an error of it). Networks may be abbreviated in maps too. An empty word
in the middle of a line is an error, where HAProxy reads nothing behind it and says nothing. In conditions (`.if`, `haproxy -cc`) Portway answers as HAProxy 2.6.12 with OpenSSL 3.0.

| state | what it means |
|---|---|
| yes | It does what it does in HAProxy, but for forms that the remark names: those are errors. |
| 1.5 | HAProxy 2.6 refuses it; here it works as it did in 1.5, with a note that says what one writes today. Of patterns behind `req…` and `rsp…`, those run that begin with `^Name:` of one header, with `^METHOD\\ ` or with `^[^\\ ]*\\ ` of the request line, and any behind `reqidel` and `rspidel`; others are refused. |
| no effect | The line changes nothing here, for the reason that is given. A warning says so. |
| not yet | An error. Without the line the rest can run. |
| no | An error: it will not be done, for the reason that is given. |

Nothing is ignored silently.
";

/// What stands after them.
const FOOT: &str = "
## Where it differs

* What is unclear in a request is refused, whatever `option accept-invalid-http-request` says.
* TLS 1.2 and 1.3 are spoken, nothing older; cipher suites that only older versions have are left out with a warning.
* Regular expressions are matched in linear time, whatever a client sends. Look-around works behind `^` and a fixed number of
  characters (`^/(?!api)`), before a last `$` (`(?<!\\.php)$`) and as `^((?!word).)*$`; elsewhere it is an error, as are
  back-references, atomic groups and possessive repetition.
* In TLS 1.3 AES-128 is chosen before AES-256 where a client has both, and who asks for a name that `strict-sni` refuses gets
  the alert `access_denied`. A certificate file that others may read is a warning.
* A body whose length the server does not say goes on in chunks to a client of HTTP/1.1 that wants its connection closed.
* HTTP/2 is spoken with clients, as `alpn`, `proto` and the preface say, and not with servers. Where `proto h1` stands, `h2` is not
  offered; HAProxy offers it, and drops who agrees on it. Streams that a client ends early, and frames that do nothing, have limits.
* Of later versions, answers of OCSP are fetched: `ocsp-update on` of a certificate in a list, `ocsp-update.mode`, `.mindelay` and
  `.maxdelay` (also as `tune.ssl.ocsp-update.…`), with `show ssl ocsp-updates` and `update ssl ocsp-response`. They are fetched again when
  half of their time is over, after `maxdelay` at the latest; a certificate that names no responder, or whose issuer is not known, is a warning.
* Files of twelve projects that HAProxy 2.6 accepts are held by tests: none of them is refused for a word in state
  \"not yet\".
* A number with something behind it (`maxconn 10x`), which HAProxy cuts, is an error.
* Stick tables of `type ip` hold IPv6 addresses too, and those of `type ipv6` IPv4 addresses as they are; `show table` calls
  both `type: ip`.
* `set table` with something wrong in it changes nothing; HAProxy keeps what stands before that.
* Bytes in stick tables and statistics are those of heads as they were sent and of bodies without chunked coding and TLS;
  HAProxy counts its own form of a message. `%B` and `%U` in logs are HAProxy's numbers, but for responses that are
  compressed, where `%B` is what was sent.
* A second process does not start on addresses that another holds, unless `-sf`, `-st` or `-x` says that it follows it.
* `show errors` lists nothing: requests and responses that are refused are counted, and stand in access logs.
* A client of IPv4 on a socket for both is told by its IPv4 address, not as `::ffff:192.0.2.1`.
* `ssl_fc_sni` is in lower case; `req.ssl_sni` is as the client sent it, as in HAProxy.
* Who comes to a full frontend or process waits, as in HAProxy, in the kernel's queue, but for one connection a socket and
  worker: that is accepted already.
";

/// The whole page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut totals = super::tests::tables();
    // The four proxies share a table.
    totals.retain(|(name, _)| !matches!(*name, "defaults" | "listen" | "backend"));
    let all = || totals.iter().flat_map(|(_, rows)| rows.iter());
    let count = |wanted: &str| all().filter(|row| word(row.state) == wanted).count();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        page,
        "\nOf {} words {} work, {} of them as in 1.5; {} have no effect, {} are not done yet, {} will not be.",
        all().count(),
        count("yes") + count("1.5"),
        count("1.5"),
        count("no effect"),
        count("not yet"),
        count("no"),
    );
    sections_table(&mut page);
    table(&mut page, "The section `global`", global::KEYWORDS, false);
    table(
        &mut page,
        "Proxies: defaults, frontend, listen, backend",
        proxy::KEYWORDS,
        true,
    );
    for (title, rows) in [
        ("The section `userlist`", sections::USERLIST),
        ("The section `resolvers`", sections::RESOLVERS),
        ("The section `http-errors`", sections::HTTP_ERRORS),
        ("The section `peers`", sections::PEERS),
        ("The section `cache`", sections::CACHE),
        ("The section `mailers`", sections::MAILERS),
        ("The section `program`", sections::PROGRAM),
        ("The section `fcgi-app`", sections::FCGI_APP),
        ("The section `ring`", sections::RING),
        ("The section `log-forward`", sections::LOG_FORWARD),
        ("Options of `bind`", bind::OPTIONS),
        ("Options of `server` and `default-server`", server::OPTIONS),
        ("Algorithms of `balance`", balance::ALGORITHMS),
        ("Actions of `http-request`", actions::HTTP_REQUEST),
        ("Actions of `http-response`", actions::HTTP_RESPONSE),
        (
            "Actions of `http-after-response`",
            actions::HTTP_AFTER_RESPONSE,
        ),
        (
            "Actions of `tcp-request connection`",
            actions::TCP_CONNECTION,
        ),
        ("Actions of `tcp-request session`", actions::TCP_SESSION),
        ("Actions of `tcp-request content`", actions::TCP_CONTENT),
        ("Actions of `tcp-response content`", actions::TCP_RESPONSE),
        ("Variables of log-format strings", aliases::ALIASES),
        ("Fetches", fetches::FETCHES),
        ("Converters", converters::CONVERTERS),
    ] {
        table(&mut page, title, rows, false);
    }
    page.push_str(FOOT);
    page
}

fn sections_table(page: &mut String) {
    page.push_str("\n## Sections\n\n| section | state | remark |\n|---|---|---|\n");
    for kind in SectionKind::ALL {
        let state = section_state(kind);
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            kind.as_str(),
            word(state),
            remark(state)
        );
    }
}

/// Words of one state and remark stand in one row, in the order of the first of them, where `places` does not matter.
fn table(page: &mut String, title: &str, rows: &[Row], places: bool) {
    let _ = write!(page, "\n## {title}\n\n");
    if places {
        page.push_str("Places: `d` defaults, `n` only defaults with a name, `f` frontend, `l` listen, `b` backend.\n\n");
        page.push_str("| keyword | places | state | remark |\n|---|---|---|---|\n");
        for row in rows {
            let (name, places) = (row.name, row.places.trim_end_matches('!'));
            let state = row.state;
            let _ = writeln!(
                page,
                "| `{name}` | {places} | {} | {} |",
                word(state),
                remark(state)
            );
        }
        return;
    }
    page.push_str("| words | state | remark |\n|---|---|---|\n");
    let mut done: Vec<State> = Vec::new();
    for row in rows {
        if done.contains(&row.state) {
            continue;
        }
        done.push(row.state);
        let same = rows.iter().filter(|other| other.state == row.state);
        let names: Vec<String> = same.map(|other| format!("`{}`", other.name)).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            names.join(" "),
            word(row.state),
            remark(row.state)
        );
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Supported | State::Except(_) => "yes",
        State::Old(_) => "1.5",
        State::NoEffect(_) => "no effect",
        State::NotYet => "not yet",
        State::Refused(_) => "no",
    }
}

fn remark(state: State) -> String {
    match state {
        State::Old(modern) => format!("today `{modern}`"),
        State::Except(what) => format!("not yet: {what}"),
        State::NoEffect(why) | State::Refused(why) => why.to_owned(),
        State::Supported | State::NotYet => String::new(),
    }
}

#[cfg(test)]
#[test]
fn the_reference_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/haproxy.md");
    let page = page();
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/haproxy.md is not what the tables say: PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference writes it anew"
    );
}
