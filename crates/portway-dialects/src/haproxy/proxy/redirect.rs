//! `redirect` and `http-request redirect`: where to, with which status and cookies.

use super::rule::{self, List, Step};
use super::{Args, Proxy};
use crate::haproxy::{Line, Reader, log_format};
use portway_model::action::{Action, AnswerBody, FixedResponse};
use portway_model::diagnostic::Code;
use portway_model::expression::{
    Condition, Expression, Matcher, Template, TemplatePart, Test, TextMatch, Transform, Value,
};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// What stands before the path.
enum Target {
    /// Nothing: this is all.
    Location(Template<Named>),
    /// This.
    Prefix(Template<Named>),
    /// This scheme and the host of the request.
    Scheme(Template<Named>),
}

/// A redirect as it is written.
struct Redirect {
    target: Target,
    status: u16,
    drop_query: bool,
    append_slash: bool,
    /// An empty location is no redirect.
    ignore_empty: bool,
    cookie: Option<String>,
    span: Span,
}

impl Redirect {
    /// What of the request's target comes behind the prefix or host.
    fn rest(&self) -> Value<Named> {
        match self.drop_query {
            true => Value::Path,
            false => Value::Target,
        }
    }
}

/// A `redirect` line.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    read(proxy, List::Redirect, &mut Args::new(line, 1), reader);
}

/// A redirect with its condition, as rules of `list`.
pub(super) fn read(proxy: &mut Proxy, list: List, args: &mut Args<'_>, reader: &mut Reader<'_>) {
    let Some(redirect) = parse(proxy, list, args, reader) else {
        return;
    };
    let Some(condition) = rule::condition(proxy, list, args, reader) else {
        return;
    };
    let span = args.line();
    let condition = match (redirect.ignore_empty, &redirect.target) {
        (true, Target::Location(location)) => {
            Condition::All(vec![condition, is_there(location, span)])
        }
        _ => condition,
    };
    let slash = redirect.append_slash && !matches!(redirect.target, Target::Location(_));
    if slash {
        let slash = ends_with_slash(redirect.rest(), span);
        let both = Condition::All(vec![condition.clone(), slash]);
        rule::add(
            proxy,
            list,
            Step::Do(vec![action(&redirect, false)]),
            both,
            span,
            reader,
        );
    }
    rule::add(
        proxy,
        list,
        Step::Do(vec![action(&redirect, slash)]),
        condition,
        span,
        reader,
    );
}

fn parse(
    proxy: &Proxy,
    list: List,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Redirect> {
    let place = list.place(proxy.kind);
    let mut target = None;
    let mut redirect = Redirect {
        target: Target::Location(Template(Vec::new())),
        status: 302,
        drop_query: false,
        append_slash: false,
        ignore_empty: false,
        cookie: None,
        span: args.line(),
    };
    while let Some(word) = args.argument() {
        match word.as_str() {
            kind @ ("location" | "prefix" | "scheme") => {
                let template =
                    log_format::template(value(word.as_str(), args, reader)?, place, reader)?;
                target = Some(match kind {
                    "location" => Target::Location(template),
                    "prefix" => Target::Prefix(template),
                    _ => Target::Scheme(template),
                });
            }
            "code" => {
                let word = value("code", args, reader)?;
                match word.as_str().parse::<u16>() {
                    Ok(status @ (301 | 302 | 303 | 307 | 308)) => redirect.status = status,
                    _ => {
                        let message = format!("`{}` is not 301, 302, 303, 307 or 308", word.text);
                        reader.error(Code::OutOfRange, word.span, message);
                        return None;
                    }
                }
            }
            "drop-query" => redirect.drop_query = true,
            "append-slash" => redirect.append_slash = true,
            "ignore-empty" => redirect.ignore_empty = true,
            "set-cookie" => {
                let cookie = value("set-cookie", args, reader)?;
                redirect.cookie = Some(format!("{}; path=/;", cookie.text));
            }
            "clear-cookie" => {
                let cookie = value("clear-cookie", args, reader)?;
                let equals = if cookie.text.contains('=') { "" } else { "=" };
                redirect.cookie = Some(format!("{}{equals}; path=/; Max-Age=0;", cookie.text));
            }
            other => {
                let known = [
                    "location",
                    "prefix",
                    "scheme",
                    "code",
                    "drop-query",
                    "append-slash",
                    "ignore-empty",
                    "set-cookie",
                    "clear-cookie",
                ];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `redirect`",
                    other,
                    known,
                ));
                return None;
            }
        }
    }
    let Some(target) = target else {
        let message = "`redirect` needs `location`, `prefix` or `scheme` with a value";
        reader.error(Code::Missing, args.line(), message);
        return None;
    };
    redirect.target = target;
    Some(redirect)
}

/// The value behind a word.
fn value<'l>(
    word: &str,
    args: &mut Args<'l>,
    reader: &mut Reader<'_>,
) -> Option<&'l crate::haproxy::Word> {
    let value = args.next();
    if value.is_none() {
        let message = format!("`{word}` needs a value");
        reader.error(Code::Missing, args.line(), message);
    }
    value
}

/// The action; with a slash at its end if `slash`.
fn action(redirect: &Redirect, slash: bool) -> Action<Named> {
    let location = location(redirect, slash);
    match &redirect.cookie {
        None => Action::Redirect {
            location,
            status: redirect.status,
        },
        Some(cookie) => Action::Respond(FixedResponse {
            status: redirect.status,
            content_type: None,
            body: AnswerBody::NONE,
            headers: vec![
                ("location".to_owned(), location),
                ("cache-control".to_owned(), Template::text("no-cache")),
                ("set-cookie".to_owned(), Template::text(cookie.as_str())),
            ],
        }),
    }
}

fn location(redirect: &Redirect, slash: bool) -> Template<Named> {
    let at =
        |value: Value<Named>| TemplatePart::Expression(Spanned::new(value.into(), redirect.span));
    let mut parts = Vec::new();
    match &redirect.target {
        Target::Location(location) => return location.clone(),
        Target::Prefix(prefix) => {
            // A prefix of one slash is none.
            if prefix.as_text() != Some("/") {
                parts.extend(prefix.0.iter().cloned());
            }
        }
        Target::Scheme(scheme) => {
            parts.extend(scheme.0.iter().cloned());
            parts.push(TemplatePart::Text("://".to_owned()));
            parts.push(at(Value::Header("host".to_owned())));
        }
    }
    parts.push(at(redirect.rest()));
    if slash {
        parts.push(TemplatePart::Text("/".to_owned()));
    }
    Template(parts)
}

/// True where something comes out of a template.
fn is_there(template: &Template<Named>, span: Span) -> Condition<Named> {
    let parts = template.0.iter().map(|part| match part {
        TemplatePart::Text(text) if text.is_empty() => Condition::Any(Vec::new()),
        TemplatePart::Text(_) => Condition::All(Vec::new()),
        TemplatePart::Expression(expression) => {
            let expression = &expression.value;
            let test = |matcher| {
                let expression = expression.clone();
                let test = Test {
                    expression,
                    matcher,
                };
                Condition::Test(Spanned::new(test, span))
            };
            let empty = Matcher::Text {
                how: TextMatch::Exact,
                any_of: vec![String::new()],
                ignore_case: false,
            };
            let not_empty = Condition::Not(Box::new(test(empty)));
            Condition::All(vec![test(Matcher::Present), not_empty])
        }
    });
    Condition::Any(parts.collect())
}

fn ends_with_slash(value: Value<Named>, span: Span) -> Condition<Named> {
    Condition::Test(Spanned::new(
        Test {
            expression: Expression {
                value,
                transforms: Vec::<Transform<Named>>::new(),
            },
            matcher: Matcher::Text {
                how: TextMatch::Suffix,
                any_of: vec!["/".to_owned()],
                ignore_case: false,
            },
        },
        span,
    ))
}
