//! Templates, written where they are going.
//!
//! Each place has its own form, because what an expression gives may come from a client: a header value must not
//! begin another header, a path must not begin a query, neither may end the request line.

use super::encoding::{UriPart, encode_tail};
use super::rewrite::{root_url, sanitise};
use super::transform::apply_all;
use super::{Facts, Fetched, evaluate, fetch};
use portway_model::expression::{Expression, Template, TemplatePart, Transform, Value};
use portway_model::stage::Resolved;

/// What a variable is set to: the template's text, or, of a template that is one expression, what that gives. Where that
/// is absent, the variable stays as it is, as in HAProxy.
pub fn variable_value<F: Facts>(template: &Template<Resolved>, facts: &F) -> Fetched<'static> {
    if let [TemplatePart::Expression(expression)] = template.0.as_slice() {
        return evaluate(&expression.value, facts).into_owned();
    }
    let mut out = Vec::new();
    write_template(template, facts, &mut out);
    out.into()
}

/// Appends the template as it is: for bodies, logs and variables. An absent value writes nothing.
pub fn write_template<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            TemplatePart::Expression(expression) => {
                let expression = &expression.value;
                if expression.transforms.is_empty() {
                    fetch::append(&expression.value, facts, out);
                } else {
                    evaluate(expression, facts).write(out);
                }
            }
        }
    }
}

/// Appends the template as what replaces a match of a regular expression: what its texts say of groups (`$1`) counts,
/// a dollar that a value gives is a dollar.
pub fn write_replacement<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            TemplatePart::Expression(expression) => {
                let start = out.len();
                evaluate(&expression.value, facts).write(out);
                let dollars: Vec<usize> =
                    memchr::memchr_iter(b'$', out.get(start..).unwrap_or(&[]))
                        .map(|at| start + at)
                        .collect();
                for at in dollars.into_iter().rev() {
                    out.insert(at, b'$');
                }
            }
        }
    }
}

/// Appends the template as a line of a log, without its end. Where a value writes nothing, one of two blanks around it
/// goes with it, but for an empty part of the request line, as in HAProxy; control characters become `#` and two hexadecimal digits, whoever chose them, so that a line stays one.
/// The transforms at the end of an expression that HAProxy's flags stand for are applied where the value is, and take an
/// empty text for an absent one.
pub fn write_log_line<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let start = out.len();
    let mut nothing = true;
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => {
                let behind_blank = out.len() == start || out.last() == Some(&b' ');
                let text = match text.strip_prefix(' ') {
                    Some(rest) if nothing && behind_blank => rest,
                    _ => text,
                };
                out.extend_from_slice(text.as_bytes());
            }
            TemplatePart::Expression(expression) => {
                let before = out.len();
                append_logged(&expression.value, facts, out);
                let part =
                    matches!(expression.value.value, Value::Log(value) if value.is_of_request());
                nothing = out.len() == before && !part;
                continue;
            }
        }
        nothing = false;
    }
    escape_controls(out, start);
}

fn append_logged<F: Facts>(expression: &Expression<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let in_place = |transform: &Transform<Resolved>| {
        matches!(
            transform,
            Transform::Quoted | Transform::Backslashed | Transform::Default(_)
        )
    };
    let transforms = expression.transforms.as_slice();
    let others = transforms.iter().rposition(|it| !in_place(it));
    let (before, last) = transforms
        .split_at_checked(others.map_or(0, |at| at + 1))
        .unwrap_or_default();
    let start = out.len();
    if let Value::Log(value) = expression.value
        && value.is_all_captured()
        && before.is_empty()
    {
        facts.write_captures(value, last.contains(&Transform::Quoted), out);
        if last.contains(&Transform::Backslashed) {
            // Quotes of what was captured are written otherwise: those that are there stand around it.
            backslash(out, start, b"\\]");
        }
        return;
    }
    if before.is_empty() {
        fetch::append(&expression.value, facts, out);
    } else {
        apply_all(before, fetch::fetch(&expression.value, facts), facts).write(out);
    }
    for transform in last {
        match transform {
            Transform::Default(text) if out.len() == start => {
                out.extend_from_slice(text.as_bytes());
            }
            Transform::Quoted => {
                out.insert(start, b'"');
                out.push(b'"');
            }
            Transform::Backslashed => backslash(out, start, b"\"\\]"),
            _ => {}
        }
    }
}

/// Puts a backslash before each of `special` from `start` on.
fn backslash(out: &mut Vec<u8>, start: usize, special: &[u8]) {
    let mut at = start;
    while let Some(byte) = out.get(at) {
        if special.contains(byte) {
            out.insert(at, b'\\');
            at += 1;
        }
        at += 1;
    }
}

/// Writes control characters from `start` on as `#` and two hexadecimal digits.
fn escape_controls(out: &mut Vec<u8>, start: usize) {
    let is_control = |byte: &u8| byte.is_ascii_control();
    let written = out.get(start..).unwrap_or_default();
    if !written.iter().any(is_control) {
        return;
    }
    let text = out.split_off(start);
    for byte in text {
        if is_control(&byte) {
            // Writing into a Vec does not fail.
            let _ = std::io::Write::write_fmt(out, format_args!("#{byte:02X}"));
        } else {
            out.push(byte);
        }
    }
}

/// Appends the template as a header value: controls but the tab become spaces (RFC 9110 §5.5).
pub fn write_header_value<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let start = out.len();
    write_template(template, facts, out);
    sanitise(out.get_mut(start..).unwrap_or_default());
}

/// Appends any bytes as a header value, as [`write_header_value`] does.
pub fn write_sanitised(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(value);
    sanitise(out.get_mut(start..).unwrap_or_default());
}

/// Appends the template as a `Location`: blanks, controls and bytes beyond ASCII are percent-encoded.
pub fn write_location<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let start = out.len();
    write_template(template, facts, out);
    encode_tail(out, start, UriPart::Reference);
}

/// Appends the template as the path of a request: it begins with a slash; as [`write_location`], and `?` and `#`
/// are encoded too. What is percent-encoded already stays so.
pub fn write_path<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    write_rooted(template, facts, UriPart::Path, out);
}

/// Appends the template as a query string, without the question mark: as [`write_path`], but `?` stays.
pub fn write_query<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let start = out.len();
    write_template(template, facts, out);
    encode_tail(out, start, UriPart::Query);
}

/// Appends the template as path and query; the first `?` divides them.
pub fn write_target<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    write_rooted(template, facts, UriPart::Query, out);
}

/// Appends the template as a request target: path and query, and before them a scheme and an authority where it begins
/// with those. `*` stays for OPTIONS (RFC 9112 section 3.2.4).
pub fn write_url<F: Facts>(template: &Template<Resolved>, facts: &F, out: &mut Vec<u8>) {
    let start = out.len();
    write_template(template, facts, out);
    let whole_server = out.get(start..) == Some(b"*") && facts.method() == Some(b"OPTIONS");
    if !whole_server {
        root_url(out, start);
    }
}

fn write_rooted<F: Facts>(
    template: &Template<Resolved>,
    facts: &F,
    part: UriPart,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    write_template(template, facts, out);
    if out.get(start) != Some(&b'/') {
        out.insert(start, b'/');
    }
    encode_tail(out, start, part);
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Exchange;
    use super::*;
    use portway_model::expression::LogValue;
    use portway_model::span::Spanned;
    use proptest::prelude::*;

    type Write = fn(&Template<Resolved>, &Exchange, &mut Vec<u8>);

    fn value(
        value: Value<Resolved>,
        transforms: Vec<Transform<Resolved>>,
    ) -> TemplatePart<Resolved> {
        TemplatePart::Expression(Spanned::bare(Expression { value, transforms }))
    }

    fn text(text: &str) -> TemplatePart<Resolved> {
        TemplatePart::Text(text.into())
    }

    fn written(write: Write, parts: Vec<TemplatePart<Resolved>>, exchange: &Exchange) -> Vec<u8> {
        let mut out = b"?#".to_vec();
        write(&Template(parts), exchange, &mut out);
        assert!(out.starts_with(b"?#"));
        out.split_off(2)
    }

    #[test]
    fn parts_follow_each_other() {
        let exchange = Exchange::get("https://Shop.example/a?b=1").header("Host", "Shop.example");
        let check = |parts, expected: &str| {
            let out = written(write_template, parts, &exchange);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(vec![], "");
        check(
            vec![
                value(Value::Scheme, vec![]),
                text("://"),
                value(Value::Host, vec![Transform::Upper]),
                value(Value::Header("none".into()), vec![]),
                value(Value::Target, vec![]),
            ],
            "https://SHOP.EXAMPLE/a?b=1",
        );
        check(vec![value(Value::Base, vec![])], "Shop.example/a?b=1");
        check(
            vec![
                value(Value::SourcePort, vec![]),
                text(" "),
                value(Value::Source, vec![]),
            ],
            "51000 192.0.2.7",
        );
        let fallback = Transform::Default("d".into());
        check(
            vec![value(Value::Header("none".into()), vec![fallback])],
            "d",
        );
    }

    #[test]
    fn a_dollar_of_a_value_is_a_dollar() {
        let exchange = Exchange::get("http://a/").header("h", "$1$$");
        let parts = vec![text("$1-"), value(Value::Header("h".into()), vec![])];
        assert_eq!(written(write_replacement, parts, &exchange), b"$1-$$1$$$$");
    }

    #[test]
    fn lines_of_a_log() {
        let exchange = Exchange::get("http://a/")
            .header("h", "a\"b\\c]\n\u{7f}d")
            .header("empty", "");
        let check = |parts: Vec<TemplatePart<Resolved>>, expected: &str| {
            let out = written(write_log_line, parts, &exchange);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let header = |name: &str, transforms| value(Value::Header(name.into()), transforms);
        let none = || header("none", vec![]);
        check(
            vec![text("a "), none(), text(" "), none(), text(" b")],
            "a b",
        );
        check(vec![none(), text(" a "), none()], "a ");
        check(vec![text("a"), none(), text(" b")], "a b");
        let query = || value(Value::Log(LogValue::RequestQuery), vec![]);
        check(vec![text("a "), query(), text(" b")], "a  b");
        check(vec![text("a "), text(" b")], "a  b");
        let dash = || Transform::Default("-".into());
        check(vec![header("none", vec![dash()])], "-");
        check(vec![header("empty", vec![dash()])], "-");
        check(vec![header("none", vec![Transform::Quoted])], "\"\"");
        let flags = vec![Transform::Backslashed, Transform::Quoted];
        check(
            vec![text("x="), header("h", flags)],
            r#"x="a\"b\\c\]#0A#7Fd""#,
        );
        check(
            vec![header("h", vec![Transform::Upper, dash()])],
            "A\"B\\C]#0A#7FD",
        );
    }

    #[test]
    fn each_place_has_its_form() {
        let evil = "a b\r\nX: \0?#\té%2f";
        let exchange = Exchange::get("http://a/").header("evil", evil);
        let check = |write: Write, expected: &str| {
            let out = written(
                write,
                vec![value(Value::Header("evil".into()), vec![])],
                &exchange,
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(write_template, evil);
        check(write_header_value, "a b  X:  ?#\té%2f");
        check(write_location, "a%20b%0D%0AX:%20%00?#%09%C3%A9%2f");
        check(write_path, "/a%20b%0D%0AX:%20%00%3F%23%09%C3%A9%2f");
        check(write_query, "a%20b%0D%0AX:%20%00?%23%09%C3%A9%2f");
        check(write_target, "/a%20b%0D%0AX:%20%00?%23%09%C3%A9%2f");
        let mut out = Vec::new();
        write_sanitised(evil.as_bytes(), &mut out);
        assert_eq!(out, "a b  X:  ?#\té%2f".as_bytes());
        assert_eq!(written(write_path, vec![], &exchange), b"/");
    }

    proptest! {
        #[test]
        fn nothing_ends_a_line(bytes: Vec<u8>) {
            let exchange = Exchange::get("http://a/").header("h", bytes);
            let parts = || vec![value(Value::Header("h".into()), vec![])];
            let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
            prop_assert!(!written(write_header_value, parts(), &exchange).iter().any(breaks));
            let uris: [Write; 4] = [write_location, write_path, write_query, write_target];
            for write in uris {
                prop_assert!(written(write, parts(), &exchange).iter().all(u8::is_ascii_graphic));
            }
        }
    }
}
