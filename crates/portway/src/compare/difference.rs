//! What differs between two answers, and between what two balancers log of them.

use std::collections::BTreeSet;

use regex::Regex;

use super::answer::Answer;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    /// What: `status`, `header x-a`, `body`, `end`, `log`.
    pub(super) what: String,
    /// On the old side; `None` where there is none.
    pub(super) old: Option<String>,
    /// On the new side.
    pub(super) new: Option<String>,
}

/// What is not looked at.
pub(super) struct Ignored {
    /// Names of headers in lower case.
    pub(super) headers: BTreeSet<String>,
}

/// Headers that may differ with the moment alone.
pub(super) const OF_THE_MOMENT: [&str; 2] = ["date", "age"];

/// Bytes of a body that a report shows.
const SHOWN: usize = 200;

/// Compares two answers.
pub(super) fn between(old: &Answer, new: &Answer, ignored: &Ignored) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |what: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let what = what.to_owned();
            found.push(Difference { what, old, new });
        }
    };
    add("end", old.fault.clone(), new.fault.clone());
    add(
        "status",
        Some(old.status_line.clone()),
        Some(new.status_line.clone()),
    );
    let names: BTreeSet<&String> = old
        .headers
        .iter()
        .chain(&new.headers)
        .map(|(name, _)| name)
        .collect();
    for name in names
        .into_iter()
        .filter(|name| !ignored.headers.contains(*name))
    {
        add(
            &format!("header {name}"),
            values(old, name),
            values(new, name),
        );
    }
    if old.body != new.body {
        let (old, new) = around_difference(&old.body, &new.body);
        add("body", Some(old), Some(new));
    }
    found
}

/// All values of a header in order.
fn values(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.iter().filter(|(other, _)| other == name);
    let all: Vec<&str> = all.map(|(_, value)| value.as_str()).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// The bodies from a little before the first byte that differs, with their lengths.
fn around_difference(old: &[u8], new: &[u8]) -> (String, String) {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(20);
    let shown = |body: &[u8]| {
        let end = body.len().min(from + SHOWN);
        let part = body.get(from..end).unwrap_or_default();
        let text = String::from_utf8_lossy(part).into_owned();
        format!("{} bytes, from byte {from}: {text}", body.len())
    };
    (shown(old), shown(new))
}

/// Makes lines of access logs comparable: moments, process numbers, ports of clients,
/// and durations become letters.
pub(super) struct Mask(Vec<(Regex, &'static str)>);

impl Mask {
    /// The masks for syslog lines of HAProxy and of Portway run as HAProxy.
    pub(super) fn new() -> Result<Self, regex::Error> {
        let masks = [
            // RFC 3164: `<134>Nov 21 10:00:00 host tag[42]: `.
            (
                r"^(<\d+>)[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ",
                "${1}MOMENT ",
            ),
            // RFC 5424.
            (
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
                "MOMENT",
            ),
            (
                r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?\]",
                "[MOMENT]",
            ),
            (r" [a-z]+\[\d+\]: ", " PROGRAM: "),
            (
                r"((?:\d{1,3}\.){3}\d{1,3}|[0-9a-f:]*:[0-9a-f:]+):\d{4,5} \[",
                "$1:PORT [",
            ),
            // Tq/Tw/Tc/Tr/Tt of HTTP and Tw/Tc/Tt of TCP: -1 says something, the rest is noise.
            (
                r" (-1|\d+)/(-1|\d+)/(-1|\d+)/(-1|\d+)/(\+?\d+) (-?\d+) ",
                " $1;$2;$3;$4;$5 $6 ",
            ),
            // A line written while the body comes tells what of it was there.
            (r" \+\d+ ", " +BYTES "),
            // HAProxy's CLF: port of the client, milliseconds, and the durations.
            (
                r#" \d{1,5} \d{1,3} ("[^"]*" "[^"]*" "[^"]*") (-1|\d+) (-1|\d+) (-1|\d+) (-1|\d+) (\+?\d+) "#,
                " PORT MS $1 $2;$3;$4;$5;$6 ",
            ),
            (r" (-1|\d+)/(-1|\d+)/(\+?\d+) ", " $1;$2;$3 "),
        ];
        let list = masks
            .into_iter()
            .map(|(text, with)| Ok((Regex::new(text)?, with)));
        list.collect::<Result<_, regex::Error>>().map(Self)
    }

    /// The line with its noise masked.
    pub(super) fn apply(&self, line: &str) -> String {
        let mut text = line.trim_end().to_owned();
        for (mask, with) in &self.0 {
            text = mask.replace(&text, *with).into_owned();
        }
        let durations = |word: &str| {
            let is_time = |part: &str| {
                let digits = part.strip_prefix(['-', '+']).unwrap_or(part);
                !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
            };
            if !word.contains(';') || !word.split(';').all(is_time) {
                return word.to_owned();
            }
            let parts = word.split(';').map(|part| match part {
                "-1" => "-1",
                part if part.starts_with('+') => "+T",
                _ => "T",
            });
            parts.collect::<Vec<_>>().join("/")
        };
        let words: Vec<String> = text.split(' ').map(durations).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs() {
        let answer = |status: &str, headers: &[(&str, &str)], body: &str| Answer {
            status: None,
            status_line: status.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.into(),
            fault: None,
            unreached: false,
        };
        let ignored = Ignored {
            headers: BTreeSet::from(["date".to_owned()]),
        };
        let check = |old: &Answer, new: &Answer, expected: &[&str]| {
            let found = between(old, new, &ignored);
            let found: Vec<&str> = found.iter().map(|it| it.what.as_str()).collect();
            assert_eq!(found, expected);
        };
        let a = answer(
            "HTTP/1.1 200 OK",
            &[("a", "1"), ("date", "x"), ("b", "2")],
            "hi",
        );
        check(&a, &a, &[]);
        // The order of headers with different names says nothing.
        let b = answer(
            "HTTP/1.1 200 OK",
            &[("b", "2"), ("a", "1"), ("date", "y")],
            "hi",
        );
        check(&a, &b, &[]);
        let c = answer("HTTP/1.1 404 NF", &[("a", "1"), ("a", "2")], "ho");
        check(&a, &c, &["status", "header a", "header b", "body"]);
        // A report escapes what is shown, once.
        let d = answer("HTTP/1.1 200 OK", &[("a", "1"), ("b", "2")], "hi\n");
        let found = between(&a, &d, &ignored);
        assert_eq!(found[0].new.as_deref(), Some("3 bytes, from byte 0: hi\n"));
    }

    #[test]
    fn masks() {
        let mask = Mask::new().unwrap();
        for (line, expected) in [
            (
                "<134>Nov 21 10:00:00 haproxy[42]: 127.0.0.1:50123 [21/Nov/2026:10:00:00.123] web app/s1 0/0/1/-1/12 200 5 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"",
                "<134>MOMENT PROGRAM: 127.0.0.1:PORT [MOMENT] web app/s1 T/T/T/-1/T 200 5 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"",
            ),
            (
                "<134>Nov  1 10:00:00 haproxy[42]: ::1:50123 [21/Nov/2026:10:00:00.123] in out/s1 1/-1/12 0 SC 1/1/0/0/3 0/0",
                "<134>MOMENT PROGRAM: ::1:PORT [MOMENT] in out/s1 T/-1/T 0 SC 1/1/0/0/3 0/0",
            ),
        ] {
            assert_eq!(mask.apply(line), expected);
        }
    }
}
