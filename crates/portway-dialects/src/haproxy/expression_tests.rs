//! What HAProxy's expressions, conditions and formats become, as native text.

use super::acl::Acls;
use super::place::{Place, Side, Step};
use super::{Line, Modifier, Reader, Word, log_format, sample};
use crate::expression;
use crate::inputs::Inputs;
use portway_model::span::{FileId, Span};

pub(super) const REQUEST: Place = Place::new(Step::HttpRequest, Side::Frontend);
const RESPONSE: Place = Place::new(Step::HttpResponse, Side::Frontend);
const LOG: Place = Place::new(Step::Log, Side::Frontend);

fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        span: Span::NONE,
    }
}

/// The words of a line without quotes.
fn words(line: &str) -> Vec<Word> {
    line.split_whitespace().map(word).collect()
}

fn messages(reader: &Reader<'_>) -> String {
    let messages = reader.diagnostics.iter();
    let messages: Vec<String> = messages.map(|found| found.message.clone()).collect();
    messages.join("; ")
}

/// The native text, or what is said.
fn sampled(text: &str, place: Place) -> String {
    let inputs = Inputs::NOTHING;
    let mut reader = Reader::new(FileId(0), &inputs);
    match sample::expression(&word(text), place, &mut reader) {
        Some(found) => expression::print(&found.value),
        None => messages(&reader),
    }
}

fn condition(acls: &[&str], line: &str, place: Place) -> String {
    let inputs = Inputs::NOTHING;
    let mut reader = Reader::new(FileId(0), &inputs);
    let mut declared = Acls::default();
    for acl in acls {
        let line = Line {
            modifier: Modifier::None,
            words: words(acl),
            span: Span::NONE,
        };
        declared.declare(&line, &mut reader);
    }
    match declared.condition(&words(line), place, &mut reader) {
        Some(found) => expression::condition::print(&found),
        None => messages(&reader),
    }
}

fn template(text: &str, place: Place) -> String {
    let inputs = Inputs::NOTHING;
    let mut reader = Reader::new(FileId(0), &inputs);
    match log_format::template(&word(text), place, &mut reader) {
        Some(found) => expression::template::print(&found),
        None => messages(&reader),
    }
}

#[test]
fn samples() {
    let check = |text: &str, expected: &str| assert_eq!(sampled(text, REQUEST), expected, "{text}");
    check("path", "path");
    check("src", "source");
    check("path,lower", "path.lower()");
    check("path,field(2,/),length", "path.field(2, `/`).length()");
    check("path,add(1)", "path.number().add(1)");
    check("dst_port,lower", "destination_port.text().lower()");
    check("var(txn.a)", "var.exchange.a");
    check("nope", "unknown fetch `nope`");
    check("path,nope", "unknown converter `nope`");
    check(
        "path,lower(",
        "converter 'lower(': the parenthesis after 'lower' is not closed",
    );
    check(
        "ssl_fc,ipmask(24)",
        "converter 'ipmask': it cannot be applied to what is before it",
    );
    check(
        "status",
        "'status' cannot be used in an http-request rule: it needs the response",
    );
    assert_eq!(sampled("status", RESPONSE), "status");
}

#[test]
fn conditions() {
    let check = |line: &str, expected: &str| {
        let acls = ["acl api path_beg /api", "acl api hdr(x-api) -i -m str 1"];
        assert_eq!(condition(&acls, line, REQUEST), expected, "{line}");
    };
    check("if TRUE", "always");
    check("unless TRUE", "never");
    check("if { path_beg /a /b }", "PathPrefix(`/a`, `/b`)");
    check("if { src 10.0/8 }", "ClientIP(`10.0.0.0/8`)");
    check("if !{ ssl_fc }", "!tls");
    check("if !{ssl_fc}", "!tls");
    check("if ! { ssl_fc }", "!tls");
    check("if !!{ ssl_fc }", "tls");
    check(
        "if METH_POST or METH_PUT",
        "Method(`POST`) || Method(`PUT`)",
    );
    check("if { ssl_fc } METH_POST", "tls && Method(`POST`)");
    check("if { dst_port gt 80 }", "destination_port >= 81");
    check("if { path_len 3:7 }", "path.length() in 3..7");
    check("if { path -m len 3 }", "path.length() == 3");
    check("if { path,length lt 3 }", "path.length() <= 2");
    check("if { path_beg,lower /a }", "path.lower() == `/a`");
    check("if { hdr(a) -m found }", "Header(`a`)");
    check("if { var(txn.a) -m bool }", "var.exchange.a.number()");
    check(
        "if { var(txn.a) x }",
        "'var' needs a matching method: nothing says how it is compared",
    );
    check("if { status 200 }", "never");
    check(
        "if { path /a || /b } or METH_POST",
        "Path(`/a`, `||`, `/b`) || Method(`POST`)",
    );
    check("if !{ path or }", "!Path(`or`)");
    check("if nope", "no such ACL: 'nope'");
    check("if { path /a", "this condition is not closed with '}'");
    check("if { path -q }", "'-q' is no ACL flag");
    check(
        "when api",
        "expected 'if' or 'unless' and a condition, found 'when'",
    );
}

#[test]
fn templates() {
    let check = |text: &str, expected: &str| assert_eq!(template(text, LOG), expected, "{text}");
    check("plain 100%%", "plain 100%");
    check("%ci:%cp", "${log(client_address)}:${log(client_port)}");
    check("%foo", "unknown log-format variable `foo`");
    check(
        "%[src,regsub([a]b,,g)]c",
        "${source.text().replace_all(`[a]b`, ``).default(`-`)}c",
    );
    check(
        "%[path,regsub(a]",
        "the expression '%[path,regsub(a]' is not closed with ']'",
    );
    check("%[path", "the expression '%[path' is not closed with ']'");
    check("%{+Q}o %[src]", "${source.quoted()}");
    check("%{+Q,+X}cp", "${log(client_port).hexadecimal()}");
    check(
        "  %ci  %{+X}cp %{+Q,-X}r x%{-Q}HM ",
        "${log(client_address)} ${log(client_port).hexadecimal()} ${log(request_line).quoted()} x${log(request_method)} ",
    );
    assert_eq!(
        template("%{+Q,+E}[path]%{+Q}HM", REQUEST),
        "${path.backslashed()}${method.quoted()}"
    );
}
