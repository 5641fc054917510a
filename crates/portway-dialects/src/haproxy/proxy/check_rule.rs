//! The steps of `http-check` and `tcp-check`: connect, send, expect.

use super::keyword::{missing, whole};
use super::rule::place;
use super::{Args, HttpCheckRequest, Proxy};
use crate::haproxy::place::Step as Moment;
use crate::haproxy::{Line, Reader, Word, log_format, regex};
use portway_model::diagnostic::Code;
use portway_model::draft::{CheckConnect, CheckExpect, CheckText, CheckWord, Expectation};
use portway_model::expression::{NumberRange, TextMatch};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// One step, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CheckRule {
    Connect(CheckConnect),
    /// `http-check send`: what is not said is that of `option httpchk`.
    Request {
        method: Option<String>,
        target: Option<String>,
        version: Option<String>,
        headers: Vec<(String, String)>,
        body: String,
        comment: Option<String>,
    },
    /// `tcp-check send`.
    Send(Vec<u8>),
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
        _ => expect(Kind::Http, &mut args, reader).map(CheckRule::Expect),
    };
    proxy.check.begin_own();
    proxy.check.http_rules.extend(rule);
}

/// `tcp-check …`.
pub(super) fn tcp_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 2);
    let rule = match line.text(1) {
        "comment" => text(&mut args, "comment", reader).map(CheckRule::Comment),
        "connect" => connect(&mut args, reader).map(CheckRule::Connect),
        "send" | "send-lf" => send(proxy, line.text(1), &mut args, reader),
        "send-binary" => match args.next() {
            Some(word) => hex(word, reader).map(CheckRule::Send),
            None => {
                missing(line, "hexadecimal digits", reader);
                None
            }
        },
        "expect" => expect(Kind::Tcp, &mut args, reader).map(CheckRule::Expect),
        "" => {
            missing(line, "`connect`, `send`, `expect` or another word", reader);
            None
        }
        other
            if other.starts_with("set-var")
                || other.starts_with("unset-var")
                || other == "send-binary-lf" =>
        {
            let message = format!("not run yet: `tcp-check {other}`");
            reader.error(Code::NotRun, line.span, message);
            None
        }
        other => {
            let span = line.word(1).map_or(line.span, |word| word.span);
            let known = [
                "connect",
                "send",
                "send-lf",
                "send-binary",
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
                match ip.parse() {
                    Ok(ip) => connect.address = Some(ip),
                    Err(_) => {
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
    let (mut headers, mut body) = (Vec::new(), String::new());
    while let Some(word) = args.next() {
        let option = word.as_str();
        match option {
            "meth" => method = Some(text(args, option, reader)?),
            "uri" => target = Some(text(args, option, reader)?),
            "ver" => version = Some(text(args, option, reader)?),
            "body" => body = text(args, option, reader)?,
            "comment" => comment = Some(text(args, option, reader)?),
            "uri-lf" => target = Some(plain(proxy, args, reader)?),
            "body-lf" => body = plain(proxy, args, reader)?,
            "hdr" => {
                let name = text(args, option, reader)?;
                headers.push((name, plain(proxy, args, reader)?));
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

/// A log format without variables.
fn plain(proxy: &Proxy, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let Some(word) = args.next() else {
        reader.error(Code::Missing, args.line(), "a value is missing");
        return None;
    };
    let template = log_format::template(word, place(Moment::Check, proxy.kind), reader)?;
    let text = template.as_text().map(str::to_owned);
    if text.is_none() {
        reader.error(
            Code::NotRun,
            word.span,
            "not run yet: computed values in health checks",
        );
    }
    text
}

/// `send TEXT [comment C]`.
fn send(
    proxy: &Proxy,
    how: &str,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<CheckRule> {
    let text = if how == "send-lf" {
        plain(proxy, args, reader)?
    } else {
        text(args, how, reader)?
    };
    Some(CheckRule::Send(text.into_bytes()))
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

fn expect(kind: Kind, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<CheckExpect<Named>> {
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
            "on-success" => expect.on_success = Some(text(args, option, reader)?),
            "on-error" => expect.on_error = Some(text(args, option, reader)?),
            matching if known.contains(&matching) => {
                if std::mem::replace(&mut stated, true) {
                    let message = "a check waits for one thing in each `expect`";
                    reader.error(Code::Conflict, word.span, message);
                    return None;
                }
                expect.that = expectation(kind, matching, word, args, reader)?;
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
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Expectation<Named>> {
    if matches!(matching, "hdr" | "fhdr" | "header") {
        return header(matching == "fhdr", args, reader);
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
    match regex::translate(word.as_str(), false) {
        Ok(pattern) => Some(word.spanned(pattern)),
        Err(what) => {
            let message = format!("regular expressions have no {what} here");
            reader.error(Code::BadPattern, word.span, message);
            None
        }
    }
}

/// `hdr name [-m METHOD] NAME [value [-m METHOD] VALUE]`.
fn header(full: bool, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<Expectation<Named>> {
    let span = args.span();
    if !args.take("name") {
        reader.error(
            Code::NotRun,
            span,
            "`hdr` is followed by `name` and a name; `name-lf` is not run yet",
        );
        return None;
    }
    let name = check_text(span, args, reader)?;
    let value = if args.take("value") {
        Some(check_text(span, args, reader)?)
    } else {
        None
    };
    Some(Expectation::Header {
        name,
        value,
        whole: full,
    })
}

fn check_text(
    span: Span,
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
            "reg" => regular = true,
            other => {
                reader.push(crate::unknown_word(
                    span,
                    "method",
                    other,
                    ["str", "beg", "end", "sub", "reg"],
                ));
                return None;
            }
        }
    }
    let Some(word) = args.next() else {
        reader.error(Code::Missing, span, "a pattern is missing");
        return None;
    };
    Some(if regular {
        CheckText::Pattern(pattern(word, reader)?)
    } else {
        CheckText::Text {
            how,
            text: word.text.clone(),
        }
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
        body: if body.is_empty() {
            option.body.clone()
        } else {
            body.clone()
        },
    })
}
