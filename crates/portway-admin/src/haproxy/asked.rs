//! What an address below the page's asks for.

use super::print::Form;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How it is to be answered.
    pub(crate) how: How,
    /// Servers that are down are left out.
    pub(crate) hides_down: bool,
    /// Browsers are not told to load the page again.
    pub(crate) no_refresh: bool,
    /// Only proxies whose names hold this.
    pub(crate) scope: String,
    /// What became of a change that was asked for just before.
    pub(crate) outcome: Option<Outcome>,
}

/// How it is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Page,
    List(Form),
    Schema,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Part,
    Nothing,
    Denied,
    Wrong,
    TooLong,
    Unknown,
}

impl Outcome {
    const ALL: [Outcome; 7] = [
        Outcome::Done,
        Outcome::Part,
        Outcome::Nothing,
        Outcome::Denied,
        Outcome::Wrong,
        Outcome::TooLong,
        Outcome::Unknown,
    ];

    /// HAProxy's code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Outcome::Done => "DONE",
            Outcome::Part => "PART",
            Outcome::Nothing => "NONE",
            Outcome::Denied => "DENY",
            Outcome::Wrong => "ERRP",
            Outcome::TooLong => "EXCD",
            Outcome::Unknown => "UNKN",
        }
    }

    /// What people read.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Outcome::Done => "Done.",
            Outcome::Part => "Done in part: some servers are not there.",
            Outcome::Nothing => "Nothing has changed.",
            Outcome::Denied => "Not allowed: this page only shows.",
            Outcome::Wrong => "Not understood: nothing has changed.",
            Outcome::TooLong => "Too many servers at once: nothing has changed.",
            Outcome::Unknown => "An unexpected result.",
        }
    }
}

/// Bytes of a scope that count, as in HAProxy.
const SCOPE_BYTES: usize = 20;

/// Reads what stands behind the page's address. Words are looked for anywhere in it, as HAProxy does.
pub(crate) fn read(rest: &str) -> Asked {
    let has = |word: &str| rest.contains(word);
    let how = if has(";csv") {
        How::List(Form::Plain)
    } else if has(";typed") {
        How::List(Form::Typed)
    } else if has(";json-schema") {
        How::Schema
    } else if has(";json") {
        How::List(Form::Json)
    } else {
        How::Page
    };
    let code = rest
        .split_once(";st=")
        .map(|(_, code)| code.get(..4).unwrap_or(code));
    let known = |code: &str| Outcome::ALL.into_iter().find(|it| it.code() == code);
    Asked {
        how,
        hides_down: has(";up"),
        no_refresh: has(";norefresh"),
        scope: scope(rest),
        outcome: code.map(|code| known(code).unwrap_or(Outcome::Unknown)),
    }
}

fn scope(rest: &str) -> String {
    let Some((_, scope)) = rest.split_once("scope=") else {
        return String::new();
    };
    let end = scope.find(['&', ';']).unwrap_or(scope.len());
    let text = decoded(scope.get(..end).unwrap_or_default());
    text.chars().take(SCOPE_BYTES).collect()
}

/// The fields of a form, in order.
pub(crate) fn form(body: &str) -> impl Iterator<Item = (String, String)> {
    body.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Takes `%XX` and `+` back.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let digits = more.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let escaped = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_the_address() {
        let check = |rest: &str, how: How, flags: &str, scope: &str| {
            let asked = read(rest);
            let mut found = String::new();
            for (on, letter) in [(asked.hides_down, 'd'), (asked.no_refresh, 'n')] {
                if on {
                    found.push(letter);
                }
            }
            if let Some(outcome) = asked.outcome {
                found.push_str(outcome.code());
            }
            assert_eq!(
                (asked.how, found.as_str(), asked.scope.as_str()),
                (how, flags, scope),
                "{rest}"
            );
        };
        check("", How::Page, "", "");
        check(";csv", How::List(Form::Plain), "", "");
        check(";csv;norefresh", How::List(Form::Plain), "n", "");
        check("/x;json;up", How::List(Form::Json), "d", "");
        check(";json-schema", How::Schema, "", "");
        check(";typed", How::List(Form::Typed), "", "");
        check(";up;norefresh?scope=app", How::Page, "dn", "app");
        check("?scope=a%20b&x=1", How::Page, "", "a b");
        check(
            "?scope=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            How::Page,
            "",
            "aaaaaaaaaaaaaaaaaaaa",
        );
        check(";st=DONE", How::Page, "DONE", "");
        check(";st=nope", How::Page, "UNKN", "");
        check(";st=\u{e9}", How::Page, "UNKN", "");
    }

    #[test]
    fn forms() {
        let fields: Vec<_> = form("s=a&s=b%2Fc&action=drain&b=%234&x").collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ("s", "a"),
                ("s", "b/c"),
                ("action", "drain"),
                ("b", "#4"),
                ("x", "")
            ]
        );
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
