//! `http-request`, `http-response` and `http-after-response`: each action with its arguments.

use super::keyword::missing;
use super::respond::{Kind, answer};
use super::rule::{self, List, Step};
use super::{Args, Capture, CaptureSlot, Proxy, ProxyKind, redirect};
use crate::haproxy::keywords::{self, ActionOf};
use crate::haproxy::place::Place;
use crate::haproxy::regex::Refused;
use crate::haproxy::units::{self, Unit};
use crate::haproxy::variable::variable;
use crate::haproxy::{Line, Reader, Word, log_format, regex, sample};
use portway_model::action::{
    Action, End, NamePattern, NewTimeout, Normalization, Service, TimeoutKind,
};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    Condition, PriorityPart, Template, TemplatePart, TextMatch, Value, Variable,
};
use portway_model::log::LogLevel;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// Bytes that are captured at most.
const MAX_CAPTURE: u64 = 65_535;

/// Reads one rule.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (list, kind) = match line.text(0) {
        "http-request" => (List::HttpRequest, ActionOf::HttpRequest),
        "http-response" => (List::HttpResponse, ActionOf::HttpResponse),
        _ => (List::AfterResponse, ActionOf::HttpAfterResponse),
    };
    let Some(word) = line.word(1) else {
        missing(line, "an action", reader);
        return;
    };
    let mut args = Args::new(line, 2);
    if keywords::action_words(kind, word, args, reader) {
        rule::hold_condition(proxy, list, args, reader);
    }
    if !keywords::action(kind, word, reader) {
        return;
    }
    if word.as_str() == "redirect" {
        redirect::read(proxy, list, &mut args, reader);
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
    if let Some(step) = reading.step() {
        let also = reading.also;
        finish(proxy, list, (step, also), line, &mut args, reader);
    }
}

/// Adds what was read, with its condition and those that its arguments say.
pub(super) fn finish(
    proxy: &mut Proxy,
    list: List,
    (step, mut also): (Step, Vec<Condition<Named>>),
    line: &Line,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) {
    if let Some(mut condition) = rule::condition(proxy, list, args, reader) {
        also.retain(|condition| !condition.is_always());
        if !also.is_empty() {
            if !condition.is_always() {
                also.insert(0, condition);
            }
            condition = match also.pop() {
                Some(only) if also.is_empty() => only,
                last => {
                    also.extend(last);
                    Condition::All(also)
                }
            };
        }
        rule::add(proxy, list, step, condition, line.span, reader);
    }
}

/// An action that is being read.
pub(super) struct Reading<'r, 'l, 'i> {
    pub(super) proxy: &'r mut Proxy,
    pub(super) list: List,
    /// The action's word.
    pub(super) word: &'l Word,
    pub(super) args: &'r mut Args<'l>,
    /// What must hold too, as the arguments of the action say.
    pub(super) also: Vec<Condition<Named>>,
    pub(super) reader: &'r mut Reader<'i>,
}

impl<'l> Reading<'_, 'l, '_> {
    pub(super) fn place(&self) -> Place {
        self.list.place(self.proxy.kind)
    }

    /// The action of HTTP rules.
    fn step(&mut self) -> Option<Step> {
        let (name, argument) = call(self.word.as_str());
        let action = match name {
            "allow" => return Some(Step::Pass),
            "deny" if self.list == List::HttpResponse => Action::Deny(answer(
                Kind::DenyResponse,
                self.place(),
                self.args,
                self.reader,
            )?),
            "deny" => Action::Deny(answer(Kind::Deny, self.place(), self.args, self.reader)?),
            "return" => {
                Action::Respond(answer(Kind::Return, self.place(), self.args, self.reader)?)
            }
            "tarpit" => {
                let answer = answer(Kind::Tarpit, self.place(), self.args, self.reader)?;
                return Some(Step::Tarpit(answer));
            }
            "auth" => return self.auth(),
            "reject" => Action::Reject { silent: false },
            "set-header" => {
                let (name, value) = self.header()?;
                Action::SetHeader { name, value }
            }
            "add-header" => {
                let (name, value) = self.header()?;
                Action::AddHeader { name, value }
            }
            "del-header" => self.del_header()?,
            "replace-header" | "replace-value" => self.replace_header(name == "replace-value")?,
            "set-path" => Action::SetPath(self.template()?),
            "set-pathq" => Action::SetTarget(self.template()?),
            "set-uri" => Action::SetUrl(self.template()?),
            "set-query" => Action::SetQuery(self.template()?),
            "set-method" => Action::SetMethod(self.template()?),
            "normalize-uri" => Action::Normalize(self.normalization()?),
            "replace-path" => {
                let (pattern, with) = self.replacement()?;
                Action::ReplacePath { pattern, with }
            }
            "replace-pathq" => {
                let (pattern, with) = self.replacement()?;
                Action::ReplaceTarget { pattern, with }
            }
            "replace-uri" => {
                let (pattern, with) = self.replacement()?;
                Action::ReplaceUrl { pattern, with }
            }
            "set-status" => self.set_status()?,
            "set-timeout" => self.set_timeout()?,
            "disable-l7-retry" => Action::DisableL7Retry,
            "wait-for-body" => self.wait_for_body()?,
            "use-service" => self.use_service()?,
            "add-acl" | "del-acl" | "set-map" | "del-map" => self.change_map(name, argument)?,
            _ => return self.common(),
        };
        Some(Step::Do(vec![action]))
    }

    /// Actions that TCP rules have too.
    pub(super) fn common(&mut self) -> Option<Step> {
        let (name, argument) = call(self.word.as_str());
        let action = match name {
            "silent-drop" => Action::Reject { silent: true },
            "set-var" | "set-var-fmt" => self.set_var(name, argument)?,
            "unset-var" => Action::UnsetVariable(self.variable(argument)?),
            "capture" => self.capture()?,
            "set-log-level" => self.set_log_level()?,
            "track-sc0" | "track-sc1" | "track-sc2" => self.track()?,
            "sc-inc-gpc" | "sc-inc-gpc0" | "sc-inc-gpc1" => self.increment()?,
            "sc-set-gpt" | "sc-set-gpt0" => self.set_mark()?,
            "set-priority-class" => self.set_priority(PriorityPart::Class)?,
            "set-priority-offset" => self.set_priority(PriorityPart::Offset)?,
            "set-src" => self.set_end(End::Source)?,
            "set-src-port" => self.set_end(End::SourcePort)?,
            "set-dst" => self.set_end(End::Destination)?,
            "set-dst-port" => self.set_end(End::DestinationPort)?,
            _ => {
                let message = format!("not run yet: `{} {}`", self.list.as_str(), self.word.text);
                self.reader.error(Code::NotRun, self.word.span, message);
                return None;
            }
        };
        Some(Step::Do(vec![action]))
    }

    /// The next argument; an error where there is none.
    pub(super) fn argument(&mut self, what: &str) -> Option<&'l Word> {
        let word = self.args.argument();
        if word.is_none() {
            let message = format!("`{} {}` needs {what}", self.list.as_str(), self.word.text);
            self.reader.error(Code::Missing, self.args.line(), message);
        }
        word
    }

    pub(super) fn template(&mut self) -> Option<Template<Named>> {
        let word = self.argument("a value")?;
        log_format::template(word, self.place(), self.reader)
    }

    fn header(&mut self) -> Option<(String, Template<Named>)> {
        let name = self.argument("the name of a header")?;
        let value = self.argument("a value")?;
        let value = log_format::template(value, self.place(), self.reader)?;
        Some((name.text.clone(), value))
    }

    fn auth(&mut self) -> Option<Step> {
        let realm = if self.args.take("realm") {
            Some(self.argument("a realm")?.text.clone())
        } else {
            None
        };
        Some(Step::Authorize(realm))
    }

    /// `del-header NAME [-m METHOD]`.
    fn del_header(&mut self) -> Option<Action<Named>> {
        let name = self.argument("the name of a header")?;
        if !self.args.take("-m") {
            return Some(Action::RemoveHeader {
                name: name.text.clone(),
            });
        }
        let method = self.argument("`str`, `beg`, `end`, `sub` or `reg`")?;
        let how = match method.as_str() {
            "str" => TextMatch::Exact,
            "beg" => TextMatch::Prefix,
            "end" => TextMatch::Suffix,
            "sub" => TextMatch::Contains,
            "reg" => {
                let translated = regex::translate(name.as_str(), true);
                let pattern = self.pattern(name, translated)?;
                return Some(Action::RemoveHeaders(NamePattern::Regex(pattern)));
            }
            other => {
                let known = ["str", "beg", "end", "sub", "reg"];
                self.reader
                    .push(crate::unknown_word(method.span, "method", other, known));
                return None;
            }
        };
        Some(match how {
            TextMatch::Exact => Action::RemoveHeader {
                name: name.text.clone(),
            },
            how => Action::RemoveHeaders(NamePattern::Text {
                how,
                text: name.text.clone(),
            }),
        })
    }

    fn replace_header(&mut self, elements: bool) -> Option<Action<Named>> {
        let name = self.argument("the name of a header")?.text.clone();
        let (pattern, with) = self.replacement()?;
        Some(Action::ReplaceHeader {
            name,
            pattern,
            with,
            elements,
        })
    }

    /// A regular expression and what takes the place of the whole value in which it is found.
    fn replacement(&mut self) -> Option<(Spanned<String>, Template<Named>)> {
        let pattern = self.argument("a regular expression")?;
        let with = self.argument("what takes its place")?;
        let translated = regex::whole(pattern.as_str());
        let pattern = self.pattern(pattern, translated)?;
        let mut with = log_format::template(with, self.place(), self.reader)?;
        for part in &mut with.0 {
            if let Some(number) = number_alone(part) {
                *part = TemplatePart::Text(number.to_string());
            } else if let TemplatePart::Text(text) = part {
                *text = regex::replacement_for(&pattern, text, self.reader);
            }
        }
        Some((pattern, with))
    }

    fn pattern(
        &mut self,
        word: &Word,
        translated: Result<String, Refused>,
    ) -> Option<Spanned<String>> {
        match translated {
            Ok(pattern) => Some(word.spanned(pattern)),
            Err(why) => {
                let message = why.says(word.as_str());
                self.reader.error(Code::BadPattern, word.span, message);
                None
            }
        }
    }

    /// `normalize-uri NORMALIZER [full|strict]`.
    fn normalization(&mut self) -> Option<Normalization> {
        if !self.reader.experimental {
            let message = "`normalize-uri` is experimental in HAProxy 2.6, which must be told so";
            let help = "write `expose-experimental-directives` in the section `global`";
            let wrong = Diagnostic::error(Code::Missing, self.args.line(), message);
            self.reader.push(wrong.help(help));
            return None;
        }
        let word = self.argument("a normalizer")?;
        Some(match word.as_str() {
            "path-merge-slashes" => Normalization::MergeSlashes,
            "path-strip-dot" => Normalization::StripDot,
            "path-strip-dotdot" => match self.args.take("full") {
                true => Normalization::StripDotdotFull,
                false => Normalization::StripDotdot,
            },
            "query-sort-by-name" => Normalization::SortQuery,
            "percent-decode-unreserved" => match self.args.take("strict") {
                true => Normalization::DecodeUnreservedStrict,
                false => Normalization::DecodeUnreserved,
            },
            "percent-to-uppercase" => match self.args.take("strict") {
                true => Normalization::UppercasePercentStrict,
                false => Normalization::UppercasePercent,
            },
            other @ ("fragment-strip" | "fragment-encode") => {
                let message = format!("`{other}` has no effect: a target with `#` is refused");
                self.reader.warn(Code::NotRun, word.span, message);
                return None;
            }
            other => {
                let known = [
                    "path-merge-slashes",
                    "path-strip-dot",
                    "path-strip-dotdot",
                    "query-sort-by-name",
                    "percent-decode-unreserved",
                    "percent-to-uppercase",
                    "fragment-strip",
                    "fragment-encode",
                ];
                self.reader
                    .push(crate::unknown_word(word.span, "normalizer", other, known));
                return None;
            }
        })
    }

    /// `set-src EXPRESSION` and its like.
    fn set_end(&mut self, end: End) -> Option<Action<Named>> {
        let wanted = match end {
            End::Source | End::Destination => sample::Type::Address,
            End::SourcePort | End::DestinationPort => sample::Type::Number,
        };
        let word = self.argument("an expression")?;
        let to = sample::expression_of(word, wanted, self.place(), self.reader)?;
        Some(Action::SetEnd { end, to })
    }

    /// `set-priority-class EXPRESSION`, `set-priority-offset EXPRESSION`.
    fn set_priority(&mut self, part: PriorityPart) -> Option<Action<Named>> {
        let word = self.argument("an expression")?;
        let to = sample::expression_of(word, sample::Type::Number, self.place(), self.reader)?;
        Some(Action::SetPriority { part, to })
    }

    fn set_status(&mut self) -> Option<Action<Named>> {
        let word = self.argument("a status")?;
        let status = super::keyword::whole(word, 100, 999, self.reader)?;
        let reason = if self.args.take("reason") {
            Some(self.argument("a reason")?.text.clone())
        } else {
            None
        };
        Some(Action::SetStatus {
            status: u16::try_from(status).ok()?,
            reason,
        })
    }

    /// `set-timeout server|tunnel TIME`.
    fn set_timeout(&mut self) -> Option<Action<Named>> {
        if self.proxy.kind == ProxyKind::Frontend {
            let message = "`set-timeout` is not possible in a frontend, which has no servers";
            self.reader.error(Code::WrongPhase, self.word.span, message);
            return None;
        }
        let which = self.argument("`server` or `tunnel`")?;
        let which = match which.as_str() {
            "server" => TimeoutKind::Response,
            "tunnel" => TimeoutKind::Tunnel,
            other => {
                let known = ["server", "tunnel"];
                self.reader.push(crate::unknown_word(
                    which.span,
                    "timeout of a rule",
                    other,
                    known,
                ));
                return None;
            }
        };
        let word = self.argument("a time")?;
        let to = if word.as_str().starts_with(|c: char| c.is_ascii_digit()) {
            NewTimeout::Fixed(units::duration(word, Unit::Milliseconds, self.reader)?)
        } else {
            NewTimeout::Milliseconds(sample::expression(word, self.place(), self.reader)?.value)
        };
        Some(Action::SetTimeout { which, to })
    }

    /// `wait-for-body time TIME [at-least SIZE]`.
    fn wait_for_body(&mut self) -> Option<Action<Named>> {
        let (mut time, mut at_least) = (None, 0);
        loop {
            if self.args.take("time") {
                let word = self.argument("a time")?;
                time = units::duration(word, Unit::Milliseconds, self.reader);
            } else if self.args.take("at-least") {
                let word = self.argument("a size")?;
                at_least = units::size(word, self.reader)?;
            } else {
                break;
            }
        }
        let Some(time) = time else {
            self.reader.error(
                Code::Missing,
                self.args.line(),
                "`wait-for-body` needs `time` with a time",
            );
            return None;
        };
        Some(Action::WaitForBody {
            time,
            at_least: u32::try_from(at_least).unwrap_or(u32::MAX),
        })
    }

    fn use_service(&mut self) -> Option<Action<Named>> {
        let service = self.argument("the name of a service")?;
        if service.as_str() == "prometheus-exporter" {
            return Some(Action::Service(Service::Metrics));
        }
        let message = format!("there is no service `{}`", service.text);
        let help = if service.as_str().starts_with("lua.") {
            "Portway does not run Lua; `http-request return` answers without it"
        } else {
            "known: `prometheus-exporter`"
        };
        self.reader
            .push(Diagnostic::error(Code::Unknown, service.span, message).help(help));
        None
    }

    pub(super) fn variable(&mut self, argument: Option<&str>) -> Option<Variable> {
        match variable(argument.unwrap_or("")) {
            Ok(variable) => Some(variable),
            Err(why) => {
                self.reader.error(Code::Unknown, self.word.span, why);
                None
            }
        }
    }

    /// `capture SAMPLE len N`, `capture SAMPLE id N`.
    fn capture(&mut self) -> Option<Action<Named>> {
        let word = self.argument("an expression")?;
        let value = sample::expression(word, self.place(), self.reader)?.value;
        let how = self.argument("`len` or `id` with a number")?;
        let number = self.argument("a number")?;
        match how.as_str() {
            "len" => {
                if !self.proxy.kind.accepts() && self.proxy.kind != ProxyKind::Defaults {
                    let message =
                        format!("{} captures nothing: it accepts nobody", self.proxy.words());
                    let wrong = Diagnostic::error(Code::WrongPhase, self.args.line(), message);
                    self.reader.push(
                        wrong.help("write the rule in the frontend, or `id` with one of its slots"),
                    );
                    return None;
                }
                let length = super::keyword::whole(number, 1, MAX_CAPTURE, self.reader)?;
                let length = u16::try_from(length).ok()?;
                let slots = &mut self.proxy.request_captures;
                let slot = u16::try_from(slots.len()).ok()?;
                slots.push(Capture {
                    slot: CaptureSlot::Declared,
                    length,
                    span: self.args.line(),
                });
                Some(Action::Capture {
                    value,
                    length,
                    slot: Some(slot),
                })
            }
            "id" => {
                let slot = super::keyword::whole(number, 0, MAX_CAPTURE, self.reader)?;
                let slot = u16::try_from(slot).ok()?;
                if self.proxy.kind.accepts() {
                    self.proxy
                        .captures_by_id
                        .push((self.list, number.spanned(slot)));
                }
                Some(Action::Capture {
                    value,
                    length: u16::MAX,
                    slot: Some(slot),
                })
            }
            other => {
                self.reader.push(crate::unknown_word(
                    how.span,
                    "word of `capture`",
                    other,
                    ["len", "id"],
                ));
                None
            }
        }
    }

    fn set_log_level(&mut self) -> Option<Action<Named>> {
        let level = self.argument("a level, or `silent`")?;
        if level.as_str() == "silent" {
            return Some(Action::SetLog(None));
        }
        let found = LogLevel::parse(level.as_str());
        if found.is_none() {
            let known = LogLevel::ALL
                .iter()
                .map(|level| level.as_str())
                .chain(["silent"]);
            self.reader.push(crate::unknown_word(
                level.span,
                "level",
                level.as_str(),
                known,
            ));
        }
        found.map(|level| Action::SetLog(Some(level)))
    }
}

/// `name(argument)` apart.
pub(super) fn call(word: &str) -> (&str, Option<&str>) {
    match word.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').unwrap_or(rest))),
        None => (word, None),
    }
}

/// A number that an expression gives whatever the request: `%[int(5)]`.
fn number_alone(part: &TemplatePart<Named>) -> Option<i64> {
    let TemplatePart::Expression(inner) = part else {
        return None;
    };
    match &inner.value.value {
        Value::Number(number) if inner.value.transforms.is_empty() => Some(*number),
        _ => None,
    }
}
