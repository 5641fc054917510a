//! The tables against themselves, against HAProxy where it is installed, and what is said of words.

use super::*;
use crate::haproxy::sections::{self as read_sections, Text};
use crate::inputs::Inputs;
use portway_model::span::FileId;
use std::collections::BTreeSet;
use std::process::Command;

/// Every table by a name.
pub(super) fn tables() -> Vec<(&'static str, &'static [Row])> {
    let mut tables = vec![
        ("bind", bind::OPTIONS),
        ("server", server::OPTIONS),
        ("fetch", fetches::FETCHES),
        ("converter", converters::CONVERTERS),
        ("alias", aliases::ALIASES),
        ("balance", balance::ALGORITHMS),
    ];
    for of in [
        ActionOf::HttpRequest,
        ActionOf::HttpResponse,
        ActionOf::HttpAfterResponse,
        ActionOf::TcpConnection,
        ActionOf::TcpSession,
        ActionOf::TcpContent,
        ActionOf::TcpResponse,
    ] {
        tables.push(of.table());
    }
    for kind in SectionKind::ALL {
        tables.push((kind.as_str(), section_table(kind)));
    }
    tables
}

#[test]
fn every_word_stands_once_and_in_order() {
    for (what, rows) in tables() {
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        assert!(names.is_sorted(), "{what}: {names:?}");
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "{what}");
    }
    for row in proxy::KEYWORDS {
        assert!(!row.places.is_empty(), "{}", row.name);
        assert!(
            row.places.chars().all(|it| "dnflb!".contains(it)),
            "{}",
            row.name
        );
    }
}

/// The words that HAProxy itself says it knows: (table, word).
fn words_of_haproxy(listing: &str) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let mut list = "";
    let mut group = "";
    for line in listing.lines() {
        if let Some(title) = line.strip_prefix("# List of registered ") {
            (list, group) = (title, "");
            continue;
        }
        let word = line.trim_start_matches('\t').split(' ').collect::<Vec<_>>();
        let name = |index: usize| {
            let name = word.get(index).copied().unwrap_or_default();
            name.split(['(', ':', '*'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        match list {
            "configuration keywords:" if !line.starts_with('\t') => group = line,
            "configuration keywords:" => match (group, name(0).as_str()) {
                ("global", _) => words.push(("global".to_owned(), name(0))),
                ("listen", "bind") => {
                    let at = if name(2) == "ssl" && !name(3).is_empty() {
                        3
                    } else {
                        2
                    };
                    words.push(("bind".to_owned(), name(at)));
                }
                ("listen", "server") => words.push(("server".to_owned(), name(3))),
                ("listen", "http-request" | "http-response" | "http-after-response") => {
                    words.push((name(0), name(1)));
                }
                ("listen", "tcp-request" | "tcp-response") if word.len() > 1 => {
                    words.push((format!("{} {}", name(0), name(1)), name(2)));
                }
                ("listen", "option") => {
                    words.push(("frontend".to_owned(), format!("option {}", name(1))));
                }
                ("listen", _) => words.push(("frontend".to_owned(), name(0))),
                _ => {}
            },
            "sample converter functions:" => words.push(("converter".to_owned(), name(0))),
            "sample fetch functions:" if !line.starts_with('#') => {
                let name = line.split("] ").nth(1).unwrap_or_default();
                let name = name.split(['(', ':']).next().unwrap_or_default();
                words.push(("fetch".to_owned(), name.to_owned()));
            }
            _ => {}
        }
    }
    words
}

#[test]
fn haproxy_knows_the_same_words() {
    let command = Command::new("haproxy")
        .args(["-dKall", "-q", "-c", "-f", "/dev/null"])
        .output();
    let Ok(output) = command else {
        println!("haproxy is not installed: nothing to compare with");
        return;
    };
    let listing = String::from_utf8_lossy(&output.stdout);
    if !listing.contains("# List of registered configuration keywords:") {
        println!("this haproxy does not list its keywords");
        return;
    }
    let theirs = words_of_haproxy(&listing);
    let tables = tables();
    let rows = |what: &str| tables.iter().find(|(name, _)| *name == what).unwrap().1;
    for (what, word) in &theirs {
        let prefix = format!("{word} ");
        let known = rows(what).iter().any(|row| {
            // The level of a table's tracking is part of our name.
            row.name == word
                || row.name.starts_with(&prefix)
                || row.name.strip_suffix('0') == Some(word)
        });
        // `stats` of global is two words here; sessions of peers and certificates' lists are not sections.
        assert!(known, "{what}: `{word}` is in no table");
    }
    for what in [
        "bind",
        "server",
        "fetch",
        "converter",
        "http-request",
        "http-response",
        "http-after-response",
    ] {
        for row in rows(what) {
            let name = row.name.trim_end_matches(['0', '1', '2']);
            let known = theirs
                .iter()
                .any(|(other, word)| other == what && (word == row.name || word == name));
            let built_in = matches!((what, row.name), ("bind", "ssl") | (_, "lua"));
            assert!(
                known || built_in,
                "{what}: HAProxy does not know `{}`",
                row.name
            );
        }
    }
}

#[test]
fn what_is_read_is_supported() {
    use crate::haproxy::{converter, fetch, log_format};
    fn check(what: &str, rows: &[Row], names: BTreeSet<&str>) {
        for row in rows {
            let read = names.contains(row.name);
            let there = matches!(row.state, State::Supported | State::Except(_));
            assert_eq!(there, read, "{what} `{}`", row.name);
        }
        let known: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        let unknown: Vec<&&str> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{what}: {unknown:?} are in no table");
    }
    check("alias", aliases::ALIASES, log_format::names().collect());
    let (of_tables, from_tables) = fetch::counters::names();
    let mut all: BTreeSet<&str> = fetch::names().collect();
    all.extend(of_tables.iter().map(String::as_str));
    check("fetch", fetches::FETCHES, all);
    let mut all: BTreeSet<&str> = converter::names().collect();
    all.extend(from_tables.iter().map(String::as_str));
    check("converter", converters::CONVERTERS, all);
}

/// What is said of the lines of a text, and how many lines are left.
fn check(text: &str, left: usize, said: &[&str]) {
    let inputs = Inputs::NOTHING;
    let mut reader = Reader::new(FileId(0), &inputs);
    let sections = read_sections::read(Text { name: "h", text }, &mut reader);
    let found: Vec<String> = reader
        .diagnostics
        .iter()
        .map(|it| {
            let help = it.help.as_deref().unwrap_or_default();
            format!("{}: {} ({help})", it.severity.as_str(), it.message)
        })
        .collect();
    assert_eq!(found.len(), said.len(), "{text}: {found:#?}");
    for (found, said) in found.iter().zip(said) {
        let mut rest = found.as_str();
        for part in said.split('…') {
            let at = rest
                .find(part)
                .unwrap_or_else(|| panic!("{text}: {found} without {said}"));
            rest = rest.get(at + part.len()..).unwrap();
        }
    }
    let lines: usize = sections.iter().map(|it| it.lines.len()).sum();
    assert_eq!(lines, left, "{text}");
}

#[test]
fn what_is_said_of_keywords() {
    check(
        "defaults\n mode http\n timeout client 5s\n option httplog\n",
        3,
        &[],
    );
    check(
        "frontend a\n tcp-request connection reject\n http-request set-var(txn.a) src\n",
        2,
        &[],
    );
    check(
        "frontend a\n mdoe http\n",
        0,
        &["error: unknown keyword 'mdoe'…did you mean `mode`"],
    );
    check(
        "global\n fronted x\n",
        0,
        &["unknown keyword 'fronted'…`frontend`"],
    );
    check(
        "defaults\n nbthread 2\n",
        0,
        &["unknown…it stands in section `global`"],
    );
    check(
        "global\n bind :80\n",
        0,
        &["unknown…the sections of proxies"],
    );
    check(
        "defaults\n option htplog\n",
        0,
        &["unknown keyword `option htplog`…`httplog`"],
    );
    check(
        "defaults\n timeout\n",
        0,
        &["`timeout` needs a second word…connect"],
    );
    check(
        "defaults\n bind :80\n",
        0,
        &["error: `bind` cannot stand in defaults…frontend, listen"],
    );
    check(
        "defaults\n acl a path /\n",
        0,
        &["error: `acl`…without a name"],
    );
    check("defaults x\n acl a path /\n", 1, &[]);
    check(
        "frontend a\n balance source\n",
        0,
        &["warning: `balance` does nothing in a frontend…listen, backend"],
    );
    check(
        "frontend a\n server s :80\n",
        0,
        &["error: `server` does nothing"],
    );
    check(
        "backend a\n bind :80\n",
        0,
        &["warning: `bind` does nothing in a backend"],
    );
    check(
        "global\n tune.maxaccept 5\n",
        0,
        &["warning: `tune.maxaccept` has no effect here (it tunes"],
    );
    check(
        "global\n lua-load x\n",
        0,
        &["error: `lua-load` is not supported (Lua"],
    );
    check(
        "backend a\n external-check path /bin\n",
        0,
        &["error: `external-check path` is not supported yet"],
    );
    check(
        "defaults\n contimeout 5\n",
        1,
        &["note: `contimeout` is of HAProxy 1.5…`timeout connect`"],
    );
    check(
        "mailers m\n mailer x :25\n",
        0,
        &["error: section `mailers` is not supported"],
    );
    check(
        "cache c\n foo\n max-age 60\npeers p\n bogus word\n",
        0,
        &[
            "warning: section `cache` has no effect here",
            "error: unknown keyword 'foo' in 'cache' section",
            "warning: section `peers` has no effect here",
            "error: unknown keyword 'bogus' in 'peers' section",
        ],
    );
    check(
        "log-forward r\n foo\n",
        0,
        &["error: section `log-forward` is not supported yet"],
    );
}

#[test]
fn what_is_said_of_options_and_actions() {
    let inputs = Inputs::NOTHING;
    let word = |text: &str| Word {
        text: text.to_owned(),
        span: Span::new(FileId(0), 0..text.len()),
    };
    let check = |read: &dyn Fn(&mut Reader<'_>) -> bool, expected: bool, said: &str| {
        let mut reader = Reader::new(FileId(0), &inputs);
        assert_eq!(read(&mut reader), expected, "{said}");
        let found: Vec<&str> = reader
            .diagnostics
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(found.is_empty(), said.is_empty(), "{found:?}");
        assert!(found.iter().all(|it| it.contains(said)), "{found:?}");
    };
    check(
        &|reader| option(OptionOf::Bind, &word("ssl"), reader),
        true,
        "",
    );
    check(
        &|reader| option(OptionOf::Bind, &word("tfo"), reader),
        false,
        "bind option `tfo` has no effect",
    );
    check(
        &|reader| option(OptionOf::Server, &word("chek"), reader),
        false,
        "unknown server option `chek`",
    );
    check(
        &|reader| option(OptionOf::Proxy, &word("httplog"), reader),
        true,
        "",
    );
    check(
        &|reader| option(OptionOf::Proxy, &word("splice-auto"), reader),
        false,
        "",
    );
    check(
        &|reader| action(ActionOf::HttpRequest, &word("set-var(txn.a)"), reader),
        true,
        "",
    );
    check(
        &|reader| action(ActionOf::HttpRequest, &word("lua.x"), reader),
        false,
        "`lua` is not supported",
    );
    check(
        &|reader| action(ActionOf::TcpConnection, &word("deny"), reader),
        false,
        "unknown tcp-request connection action",
    );
    check(
        &|reader| super::balance("roundrobin", &word("roundrobin"), reader),
        true,
        "",
    );
    check(
        &|reader| super::balance("rr", &word("rr"), reader),
        false,
        "unknown balance algorithm",
    );
    assert_eq!(arguments(OptionOf::Server, "inter"), 1);
    assert_eq!(arguments(OptionOf::Server, "check"), 0);
    assert_eq!(arguments(OptionOf::Bind, "crt"), 1);
    let span = Span::NONE;
    assert!(fetch_fault("pth", span).help.unwrap().contains("`path`"));
    assert!(
        converter_fault("jwt_verify", span)
            .message
            .contains("not supported")
    );
}
