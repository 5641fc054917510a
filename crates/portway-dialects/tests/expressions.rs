//! Spellings of conditions and templates, and their canonical form.
#![cfg(test)]

use portway_dialects::expression::Written;
use portway_dialects::{condition, template};
use portway_model::diagnostic::Diagnostics;
use portway_model::expression::TemplatePart;
use portway_model::span::{FileId, Span};

fn canonical(text: &str) -> String {
    let mut found = Diagnostics::default();
    match condition::parse(Written::bare(text), &mut found) {
        Some(condition) => condition::print(&condition),
        None => found
            .iter()
            .map(|d| format!("{}: {}", d.code, d.message))
            .collect(),
    }
}

#[test]
fn conditions_have_one_form() {
    for (written, expected) in [
        ("always", "always"),
        ("never", "never"),
        ("all()", "always"),
        ("all(tls)", "all(tls)"),
        ("any( tls , sni present )", "tls || sni present"),
        ("( ( tls ) )", "tls"),
        ("!!tls", "!!tls"),
        ("tls&&!tls||tls", "(tls && !tls) || tls"),
        ("tls && (tls && tls)", "tls && (tls && tls)"),
        ("Host(\"a.example\")", "Host(`a.example`)"),
        ("host == `a.example` ignoring_case", "Host(`a.example`)"),
        ("host == `a.example`", "host == `a.example`"),
        ("Host(`a`, `*.b`)", "Host(`a`, `*.b`)"),
        ("host like `*.b` ignoring_case", "Host(`*.b`)"),
        ("host like `b` ignoring_case", "host like `b` ignoring_case"),
        ("path starts_with `/a`", "PathPrefix(`/a`)"),
        ("path starts_with [`/a`, `/b`,]", "PathPrefix(`/a`, `/b`)"),
        (
            "path starts_with `/a` ignoring_case",
            "path starts_with `/a` ignoring_case",
        ),
        ("path.lower() == `/a`", "path.lower() == `/a`"),
        ("method in [`GET`, `HEAD`]", "Method(`GET`, `HEAD`)"),
        ("path in []", "path in texts []"),
        ("status in numbers []", "status in numbers []"),
        ("source in addresses []", "source in addresses []"),
        ("source in `10.0.0.0/8`", "ClientIP(`10.0.0.0/8`)"),
        (
            "source in [`10.1.2.3`, `::1/128`]",
            "ClientIP(`10.1.2.3`, `::1`)",
        ),
        ("destination in `10.0.0.1`", "destination in `10.0.0.1`"),
        ("header(`A`) == `10.0.0.1`", "Header(`A`, `10.0.0.1`)"),
        (
            "sni in texts [`10.0.0.1`, `a`]",
            "sni in texts [`10.0.0.1`, `a`]",
        ),
        ("sni in texts [`a`, `b`]", "sni in [`a`, `b`]"),
        ("status == 200", "status == 200"),
        ("status == [200, 404]", "status in [200, 404]"),
        ("status != 200", "status != 200"),
        ("!(status == 200)", "status != 200"),
        ("!(status > 200)", "!(status >= 201)"),
        ("status < 500", "status <= 499"),
        ("status in [200..299, 304]", "status in [200..299, 304]"),
        ("status in 200..200", "status == 200"),
        (
            "now > 9223372036854775807",
            "P0103: no number is > 9223372036854775807",
        ),
        ("header(`A`) present", "Header(`A`)"),
        ("query(`q`) present", "Query(`q`)"),
        ("query present", "query present"),
        ("query", "query"),
        ("-5.add(3) < 0", "-5.add(3) <= -1"),
        ("`a`.length() == 1", "`a`.length() == 1"),
        ("variable(exchange, `x`)", "var.exchange.x"),
        ("variable(exchange, `x.y`)", "variable(exchange, `x.y`)"),
        ("path == \"a`b\\n\"", "Path(\"a`b\\n\")"),
        ("path == \"\\u{e9}\"", "Path(`\u{e9}`)"),
        ("path == `a\nb`", "Path(\"a\\nb\")"),
        (
            "path has_segment `a` && host has_label `b`",
            "path has_segment `a` && host has_label `b`",
        ),
        ("path listed_in `m`", "path listed_in `m`"),
        (
            "counter( general( 1 ) , entry(`t`, source.mask(24,64)) )",
            "counter(general(1), entry(`t`, source.mask(24, 64)))",
        ),
        ("", "P0001: expected a value or a condition, found the end"),
        ("tls &&& tls", "P0001: unexpected '&' here"),
        (
            "path in [`a` `b`]",
            "P0001: expected `,` or `]`, found a text",
        ),
        (
            "99999999999999999999 == 1",
            "P0103: 99999999999999999999 is too large: numbers have 64 bits",
        ),
        (
            "tracked(0) > 1",
            "P0001: expected a value; this one stands within `counter(…)` only, found the number 0",
        ),
    ] {
        let printed = canonical(written);
        assert_eq!(printed, expected, "{written}");
        if !printed.starts_with("P0") {
            assert_eq!(canonical(&printed), printed);
        }
    }
}

#[test]
fn templates_keep_their_dollars() {
    for (written, parts) in [
        ("", ""),
        ("a $ b $$ c", "[a $ b $$ c]"),
        ("${host}", "<host>"),
        ("a${ host }b", "[a]<host>[b]"),
        ("$${host}", "[${host}]"),
        ("$$${host}", "[$]<host>"),
        ("$$$${host}", "[$${host}]"),
        ("${header(`}`)}", "<header>"),
        ("{}", "[{}]"),
        ("5$", "[5$]"),
    ] {
        let mut found = Diagnostics::default();
        let template = template::parse(Written::bare(written), &mut found).unwrap();
        let read: String = template
            .0
            .iter()
            .map(|part| match part {
                TemplatePart::Text(text) => format!("[{text}]"),
                TemplatePart::Expression(expression) => {
                    let text = portway_dialects::expression::print(&expression.value);
                    format!("<{}>", text.split('(').next().unwrap_or(""))
                }
            })
            .collect();
        assert_eq!(read, parts, "{written}");
        let printed = template::print(&template);
        let again = template::parse(Written::bare(&printed), &mut found);
        assert_eq!(again, Some(template), "{written}");
    }
}

#[test]
fn parts_point_into_the_file() {
    let span = Span::new(FileId(0), 100..120);
    for (exact, expected) in [(true, 107..111), (false, 100..120)] {
        let text = "tls && fals";
        let mut found = Diagnostics::default();
        let written = Written { text, span, exact };
        assert!(condition::parse(written, &mut found).is_none());
        let place = found.iter().next().unwrap().labels[0].span;
        assert_eq!(place.range(), expected);
    }
}
