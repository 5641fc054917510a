//! The steps of `http-check` and `tcp-check`: connect, send, expect.

use super::keyword::{missing, whole};
use super::rule::place;
use super::{Args, HttpCheckRequest, Proxy};
use crate::haproxy::place::Step as Moment;
use crate::haproxy::variable::variable;
use crate::haproxy::{Line, Reader, Word, log_format, regex, sample};
use portway_model::check::{CheckStep, ComputedForm};
use portway_model::diagnostic::Code;
use portway_model::draft::{CheckConnect, CheckExpect, CheckText, CheckWord, Expectation};
use portway_model::expression::{NumberRange, Scope, Template, TemplatePart, TextMatch};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::SocketAddr;

/// One step, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CheckRule {
    Connect(CheckConnect),
    /// `http-check send`: what is not said is that of `option httpchk`.
    Request {
        method: Option<String>,
        target: Option<Template<Named>>,
        version: Option<String>,
        headers: Vec<(String, Template<Named>)>,
        body: Template<Named>,
        comment: Option<String>,
    },
    /// `tcp-check send`, and variables of either.
    Step(CheckStep<Named>),
    Expect(CheckExpect<Named>),
    /// For the step after it.
    Comment(String),
}

/// Which ruleset is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
}

/// `http-check comment|connect|send|expect …`.
pub(super) fn http_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 2);
    let rule = match line.text(1) {
        "comment" => text(&mut args, "comment", reader).map(CheckRule::Comment),
        "connect" => connect(&mut args, reader).map(CheckRule::Connect),
        "send" => request(proxy, &mut args, reader),
        "expect" => expect(Kind::Http, proxy, &mut args, reader).map(CheckRule::Expect),
        other => variable_step(other, line, proxy, &mut args, reader),
    };
    proxy.check.begin_own();
    if matches!(rule, Some(CheckRule::Request { .. })) {
        proxy.check.begin_own_request();
    }
    proxy.check.http_rules.extend(rule);
}

/// `tcp-check …`.
pub(super) fn tcp_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 2);
    let rule = match line.text(1) {
        "comment" => text(&mut args, "comment", reader).map(CheckRule::Comment),
        "connect" => connect(&mut args, reader).map(CheckRule::Connect),
        "send" | "send-lf" | "send-binary" | "send-binary-lf" => {
            send(proxy, line.text(1), &mut args, reader)
        }
        "expect" => expect(Kind::Tcp, proxy, &mut args, reader).map(CheckRule::Expect),
        "" => {
            missing(line, "`connect`, `send`, `expect` or another word", reader);
            None
        }
        other if is_variable_step(other) => variable_step(other, line, proxy, &mut args, reader),
        other => {
            let span = line.word(1).map_or(line.span, |word| word.span);
            let known = [
                "connect",
                "send",
                "send-lf",
                "send-binary",
                "send-binary-lf",
                "expect",
                "comment",
                "set-var",
                "unset-var",
            ];
            reader.push(crate::unknown_word(
                span,
                "word of `tcp-check`",
                other,
                known,
            ));
            None
        }
    };
    proxy.check.begin_own();
    proxy.check.tcp_rules.extend(rule);
}

/// True for `set-var(NAME)`, `set-var-fmt(NAME)` and `unset-var(NAME)`.
pub(super) fn is_variable_step(word: &str) -> bool {
    let action = word.split('(').next();
    matches!(action, Some("set-var" | "set-var-fmt" | "unset-var"))
}

fn variable_step(
    word: &str,
    line: &Line,
    proxy: &Proxy,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<CheckRule> {
    let span = line.word(1).map_or(line.span, |word| word.span);
    let (action, name) = word.split_once('(').unwrap_or((word, ""));
    let name = name.strip_suffix(')').unwrap_or(name);
    let variable = match variable(name) {
        Ok(variable) if variable.scope == Scope::Check => variable,
        Ok(_) => {
            let message = "not run yet: variables of checks that do not begin with `check.`";
            reader.error(Code::NotRun, span, message);
            return None;
        }
        Err(why) => {
            reader.error(Code::Unknown, span, why);
            return None;
        }
    };
    if action == "unset-var" {
        super::rule::nothing_left(args, reader)?;
        return Some(CheckRule::Step(CheckStep::Unset(variable)));
    }
    let Some(value) = args.next() else {
        reader.error(Code::Missing, args.line(), "a value is missing");
        return None;
    };
    let place = place(Moment::Check, proxy.kind);
    let value = match action {
        "set-var-fmt" => super::set_var::format(value, place, reader)?,
        _ => {
            let expression = sample::expression(value, place, reader)?;
            Template(vec![TemplatePart::Expression(expression)])
        }
    };
    super::rule::nothing_left(args, reader)?;
    Some(CheckRule::Step(CheckStep::Set { variable, value }))
}

/// The word behind an option.
fn text(args: &mut Args<'_>, option: &str, reader: &mut Reader<'_>) -> Option<String> {
    let word = args.next();
    if word.is_none() {
        let message = format!("`{option}` needs a value");
        reader.error(Code::Missing, args.line(), message);
    }
    word.map(|word| word.text.clone())
}

fn connect(args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<CheckConnect> {
    let mut connect = CheckConnect::default();
    while let Some(word) = args.next() {
        match word.as_str() {
            "default" => connect.as_target = true,
            "send-proxy" => connect.send_proxy = true,
            "ssl" => connect.tls = true,
            "linger" => connect.linger = true,
            "sni" => connect.server_name = Some(text(args, "sni", reader)?),
            "comment" => connect.comment = Some(text(args, "comment", reader)?),
            "alpn" => {
                let list = text(args, "alpn", reader)?;
                connect.alpn = list.split(',').map(str::to_owned).collect();
            }
            "port" => {
                let port = args.next();
                let number = port
                    .and_then(|port| port.as_str().parse::<u16>().ok())
                    .filter(|port| *port != 0);
                if number.is_none() {
                    let span = port.map_or(args.line(), |port| port.span);
                    reader.error(
                        Code::NotRun,
                        span,
                        "not run yet: a computed `port` of a check; write a number from 1 to 65535",
                    );
                    return None;
                }
                connect.port = number;
            }
            "addr" => {
                let ip = text(args, "addr", reader)?;
                match (ip.parse(), ip.parse::<SocketAddr>()) {
                    (Ok(ip), _) => connect.address = Some(ip),
                    (Err(_), Ok(address)) => {
                        connect.address = Some(address.ip());
                        connect.port = connect.port.or(Some(address.port()).filter(|it| *it > 0));
                    }
                    (Err(_), Err(_)) => {
                        reader.error(
                            Code::WrongType,
                            word.span,
                            format!("`{ip}` is not an address"),
                        );
                        return None;
                    }
                }
            }
            other @ ("via-socks4" | "proto") => {
                reader.error(
                    Code::NotRun,
                    word.span,
                    format!("not run yet: `{other}` of a check"),
                );
                return None;
            }
            other => {
                let known = [
                    "default",
                    "port",
                    "addr",
                    "send-proxy",
                    "ssl",
                    "sni",
                    "alpn",
                    "linger",
                    "comment",
                ];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `connect`",
                    other,
                    known,
                ));
                return None;
            }
        }
    }
    Some(connect)
}

/// `send [meth M] [uri U] [ver V] [hdr N F]* [body B] [comment C]`.
fn request(proxy: &Proxy, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<CheckRule> {
    let (mut method, mut target, mut version, mut comment) = (None, None, None, None);
    let (mut headers, mut body) = (Vec::new(), Template::text(""));
    while let Some(word) = args.next() {
        let option = word.as_str();
        match option {
            "meth" => method = Some(text(args, option, reader)?),
            "uri" => target = Some(Template::text(text(args, option, reader)?)),
            "ver" => version = Some(text(args, option, reader)?),
            "body" => body = Template::text(text(args, option, reader)?),
            "comment" => comment = Some(text(args, option, reader)?),
            "uri-lf" => target = Some(format(proxy, args, reader)?),
            "body-lf" => body = format(proxy, args, reader)?,
            "hdr" => {
                let name = text(args, option, reader)?;
                headers.push((name, format(proxy, args, reader)?));
            }
            other => {
                let known = [
                    "meth", "uri", "uri-lf", "ver", "hdr", "body", "body-lf", "comment",
                ];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `http-check send`",
                    other,
                    known,
                ));
                return None;
            }
        }
    }
    Some(CheckRule::Request {
        method,
        target,
        version,
        headers,
        body,
        comment,
    })
}

/// A log format.
fn format(proxy: &Proxy, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<Template<Named>> {
    let Some(word) = args.next() else {
        reader.error(Code::Missing, args.line(), "a value is missing");
        return None;
    };
    log_format::template(word, place(Moment::Check, proxy.kind), reader)
}

/// `send TEXT [comment C]`, `send-lf FORMAT …`, `send-binary DIGITS …`, `send-binary-lf FORMAT …`.
fn send(
    proxy: &Proxy,
    how: &str,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<CheckRule> {
    let step = match how {
        "send" => CheckStep::Send(text(args, how, reader)?.into_bytes()),
        "send-binary" => {
            let Some(word) = args.next() else {
                let message = "`send-binary` needs hexadecimal digits";
                reader.error(Code::Missing, args.line(), message);
                return None;
            };
            CheckStep::Send(hex(word, reader)?)
        }
        _ => CheckStep::SendText {
            text: format(proxy, args, reader)?,
            hex: how == "send-binary-lf",
        },
    };
    if args.take("comment") {
        // It stands in no report: sending does not fail, what comes back does.
        text(args, "comment", reader)?;
    }
    super::rule::nothing_left(args, reader)?;
    Some(CheckRule::Step(step))
}

/// Bytes as hexadecimal digits.
fn hex(word: &Word, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let digits = word.as_str().as_bytes();
    let value = |digit: &u8| {
        char::from(*digit)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        })
        .collect();
    if bytes.is_none() {
        let message = format!(
            "`{}` is not an even number of hexadecimal digits",
            word.text
        );
        reader.error(Code::WrongType, word.span, message);
    }
    bytes
}

fn expect(
    kind: Kind,
    proxy: &Proxy,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<CheckExpect<Named>> {
    // What is waited for is set when the match is read; the options stand before or behind it.
    let mut stated = false;
    let mut expect = CheckExpect::new(Expectation::Bytes(String::new()));
    let known: &[&str] = match kind {
        Kind::Http => &[
            "status",
            "rstatus",
            "hdr",
            "fhdr",
            "header",
            "string",
            "rstring",
            "string-lf",
        ],
        Kind::Tcp => &[
            "string",
            "rstring",
            "string-lf",
            "binary",
            "rbinary",
            "binary-lf",
        ],
    };
    while let Some(word) = args.next() {
        let option = word.as_str();
        let (negated, matching) = match option.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, option),
        };
        expect.negated ^= negated;
        match matching {
            "" => {}
            "comment" => expect.comment = Some(text(args, option, reader)?),
            "min-recv" => expect.min_bytes = min_bytes(args, reader)?,
            "ok-status" => expect.words.ok = Some(check_word(args, reader)?),
            "error-status" => expect.words.error = Some(check_word(args, reader)?),
            "tout-status" => expect.words.timeout = Some(check_word(args, reader)?),
            "on-success" => expect.on_success = Some(format(proxy, args, reader)?),
            "on-error" => expect.on_error = Some(format(proxy, args, reader)?),
            "status-code" => {
                let Some(word) = args.next() else {
                    let message = "`status-code` needs an expression";
                    reader.error(Code::Missing, args.line(), message);
                    return None;
                };
                let place = place(Moment::Check, proxy.kind);
                expect.code = Some(sample::expression(word, place, reader)?.value);
            }
            matching if known.contains(&matching) => {
                if std::mem::replace(&mut stated, true) {
                    let message = "a check waits for one thing in each `expect`";
                    reader.error(Code::Conflict, word.span, message);
                    return None;
                }
                expect.that = expectation(kind, matching, word, (proxy, args), reader)?;
            }
            other => {
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `expect`",
                    other,
                    known.iter().copied(),
                ));
                return None;
            }
        }
    }
    if stated {
        return Some(expect);
    }
    reader.error(
        Code::Missing,
        args.line(),
        "`expect` needs what it waits for, such as `status 200` or `string OK`",
    );
    None
}

fn min_bytes(args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<Option<u32>> {
    if args.take("-1") {
        return Some(None);
    }
    let Some(word) = args.next() else {
        reader.error(Code::Missing, args.line(), "`min-recv` needs a number");
        return None;
    };
    Some(u32::try_from(whole(word, 0, u64::from(u32::MAX), reader)?).ok())
}

fn check_word(args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<CheckWord> {
    let span = args.span();
    let text = text(args, "a status", reader)?;
    let word = CheckWord::of(&text);
    if word.is_none() {
        let known = CheckWord::ALL.map(CheckWord::as_str);
        reader.push(crate::unknown_word(span, "result of a check", &text, known));
    }
    word
}

fn expectation(
    kind: Kind,
    matching: &str,
    at: &Word,
    (proxy, args): (&Proxy, &mut Args<'_>),
    reader: &mut Reader<'_>,
) -> Option<Expectation<Named>> {
    if matches!(matching, "hdr" | "fhdr" | "header") {
        return header(matching == "fhdr", proxy, args, reader);
    }
    if matches!(matching, "string-lf" | "binary-lf") {
        let text = format(proxy, args, reader)?;
        let form = match (matching, kind) {
            ("binary-lf", _) => ComputedForm::Hex,
            (_, Kind::Http) => ComputedForm::Body,
            (_, Kind::Tcp) => ComputedForm::Text,
        };
        return Some(Expectation::Computed { text, form });
    }
    let Some(word) = args.next() else {
        let message = format!("`{matching}` needs a pattern");
        reader.error(Code::Missing, at.span, message);
        return None;
    };
    let http = kind == Kind::Http;
    Some(match matching {
        "status" => Expectation::Status(statuses(word, reader)?),
        "rstatus" => Expectation::StatusPattern(pattern(word, reader)?),
        "string" if http => Expectation::Body(word.text.clone().into_bytes()),
        "string" => Expectation::Bytes(word.text.clone()),
        "rstring" if http => Expectation::BodyPattern(pattern(word, reader)?),
        "rstring" => Expectation::Pattern(pattern(word, reader)?),
        "binary" => Expectation::Binary(hex(word, reader)?),
        "rbinary" => Expectation::HexPattern(pattern(word, reader)?),
        other => {
            let message = format!("not run yet: `expect {other}`");
            reader.error(Code::NotRun, at.span, message);
            return None;
        }
    })
}

/// `200,300-310`.
fn statuses(word: &Word, reader: &mut Reader<'_>) -> Option<Vec<NumberRange>> {
    let range = |part: &str| {
        let (min, max) = part.split_once('-').unwrap_or((part, part));
        let (min, max) = (min.parse::<i64>().ok()?, max.parse::<i64>().ok()?);
        (100 <= min && min <= max && max <= 999).then_some(NumberRange { min, max })
    };
    let ranges: Option<Vec<NumberRange>> = word.as_str().split(',').map(range).collect();
    if ranges.is_none() {
        let message = format!(
            "`{}` is not a list of statuses, such as `200,300-310`",
            word.text
        );
        reader.error(Code::WrongType, word.span, message);
    }
    ranges
}

fn pattern(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    pattern_of(word, false, reader)
}

fn pattern_of(word: &Word, ignore_case: bool, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    match regex::translate(word.as_str(), ignore_case) {
        Ok(pattern) => Some(word.spanned(pattern)),
        Err(why) => {
            let message = why.says(word.as_str());
            reader.error(Code::BadPattern, word.span, message);
            None
        }
    }
}

/// `hdr name [-m METHOD] NAME [value [-m METHOD] VALUE]`; `name-lf` and `value-lf` with formats.
fn header(
    full: bool,
    proxy: &Proxy,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Expectation<Named>> {
    let span = args.span();
    let is_format = args.take("name-lf");
    if !is_format && !args.take("name") {
        let message = "`hdr` is followed by `name` or `name-lf` and a name";
        reader.error(Code::Missing, span, message);
        return None;
    }
    let name = check_text((is_format, true), span, proxy, args, reader)?;
    let is_format = args.take("value-lf");
    let value = if is_format || args.take("value") {
        Some(check_text((is_format, false), span, proxy, args, reader)?)
    } else {
        None
    };
    Some(Expectation::Header {
        name,
        value,
        whole: full,
    })
}

/// `is_name`: letters of either case are equal.
fn check_text(
    (is_format, is_name): (bool, bool),
    span: Span,
    proxy: &Proxy,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<CheckText<Named>> {
    let mut how = TextMatch::Exact;
    let mut regular = false;
    if args.take("-m") {
        let method = text(args, "-m", reader)?;
        match method.as_str() {
            "str" => {}
            "beg" => how = TextMatch::Prefix,
            "end" => how = TextMatch::Suffix,
            "sub" => how = TextMatch::Contains,
            "reg" if !is_format => regular = true,
            other => {
                let known = ["str", "beg", "end", "sub", "reg"];
                reader.push(crate::unknown_word(span, "method", other, known));
                return None;
            }
        }
    }
    if is_format {
        let text = format(proxy, args, reader)?;
        return Some(CheckText::Text { how, text });
    }
    let Some(word) = args.next() else {
        reader.error(Code::Missing, span, "a pattern is missing");
        return None;
    };
    Some(if regular {
        CheckText::Pattern(pattern_of(word, is_name, reader)?)
    } else {
        let text = Template::text(word.text.clone());
        CheckText::Text { how, text }
    })
}

/// The request of a step, completed by that of `option httpchk`.
pub(crate) fn completed(rule: &CheckRule, option: &HttpCheckRequest) -> Option<HttpCheckRequest> {
    let CheckRule::Request {
        method,
        target,
        version,
        headers,
        body,
        ..
    } = rule
    else {
        return None;
    };
    Some(HttpCheckRequest {
        method: method.clone().unwrap_or_else(|| option.method.clone()),
        target: target.clone().unwrap_or_else(|| option.target.clone()),
        version: version.clone().unwrap_or_else(|| option.version.clone()),
        headers: match headers.as_slice() {
            [] => option.headers.clone(),
            own => own.to_vec(),
        },
        body: if body.0.is_empty() {
            option.body.clone()
        } else {
            body.clone()
        },
    })
}
