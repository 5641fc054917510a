//! `tcp-request` and `tcp-response`: what is decided before, and beside, requests.

use super::http_rule::{Reading, call, finish};
use super::keyword::missing;
use super::rule::{self, List, Step};
use super::{Args, Proxy, keyword};
use crate::haproxy::keywords::{self, ActionOf};
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader};
use portway_model::action::Action;

/// Reads one line.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (list, kind) = match (line.text(0), line.text(1)) {
        (_, "inspect-delay") => return inspect_delay(proxy, line, reader),
        ("tcp-request", "connection") => (List::Connection, ActionOf::TcpConnection),
        ("tcp-request", "session") => (List::Session, ActionOf::TcpSession),
        ("tcp-request", "content") => (List::Content, ActionOf::TcpContent),
        ("tcp-response", "content") => (List::TcpResponse, ActionOf::TcpResponse),
        (keyword, other) => {
            let known: &[&str] = match keyword {
                "tcp-request" => &["connection", "session", "content", "inspect-delay"],
                _ => &["content", "inspect-delay"],
            };
            let span = line.word(1).map_or(line.span, |word| word.span);
            let what = format!("kind of `{keyword}` rule");
            reader.push(crate::unknown_word(
                span,
                &what,
                other,
                known.iter().copied(),
            ));
            return;
        }
    };
    action(proxy, list, kind, line, reader);
}

fn action(proxy: &mut Proxy, list: List, kind: ActionOf, line: &Line, reader: &mut Reader<'_>) {
    let Some(word) = line.word(2) else {
        missing(line, "an action", reader);
        return;
    };
    let mut args = Args::new(line, 3);
    if keywords::action_words(kind, word, args, reader) {
        rule::hold_condition(proxy, list, args, reader);
    }
    if !keywords::action(kind, word, reader) {
        return;
    }
    let mut reading = Reading {
        proxy,
        list,
        word,
        args: &mut args,
        also: Vec::new(),
        reader,
    };
    let step = match call(word.as_str()).0 {
        "accept" => Some(Step::Pass),
        "reject" | "close" => Some(Step::Do(vec![Action::Reject { silent: false }])),
        "expect-proxy" => reading.argument("`layer4`").and_then(|layer| {
            if layer.as_str() != "layer4" {
                let what = "word of `expect-proxy`";
                let found = crate::unknown_word(layer.span, what, layer.as_str(), ["layer4"]);
                reading.reader.push(found);
                return None;
            }
            Some(Step::ExpectProxy)
        }),
        _ => reading.common(),
    };
    if let Some(step) = step {
        let also = reading.also;
        finish(proxy, list, (step, also), line, &mut args, reader);
    }
}

fn inspect_delay(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(word) = line.word(2) else {
        missing(line, "a time", reader);
        return;
    };
    if let Some(time) = units::duration(word, Unit::Milliseconds, reader) {
        let delay = match line.text(0) {
            "tcp-request" => &mut proxy.inspect_delay,
            _ => &mut proxy.response_inspect_delay,
        };
        *delay = Some(word.spanned(time));
    }
    keyword::extra(line, 3, reader);
}
