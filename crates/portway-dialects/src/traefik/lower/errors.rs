//! The middleware `errors`: pages of another service in place of answers with certain statuses.

use super::super::matcher::expression;
use super::super::model::Object;
use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use super::middleware::{canonical, of, part};
use super::service::weighted;
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{NumberRange, Template, TemplatePart, Transform, Value};
use portway_model::page::PageFrom;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn errors(
        &mut self,
        object: &Object,
        section: &Section,
        chain: &mut Chain,
        at: Span,
    ) {
        let status = self.statuses(section.list("status"));
        if status.is_empty() && !self.found.has_errors() {
            self.error(Code::Missing, at, "`status` is missing, such as `500-599`");
        }
        let Some(service) = self.required(section, "service", at) else {
            return;
        };
        let model = self.model;
        let Some(inner) = model.services.find(service, object.provider, self.found) else {
            return;
        };
        let Some(reach) = self.reach(inner, service, None) else {
            return;
        };
        let Some(groups) = reach.only() else {
            let message = "pages of a service that health or the client chooses among others are not done yet";
            self.error(Code::NotRun, service.span, message);
            return;
        };
        if status.is_empty() {
            return;
        }
        let forward = weighted(groups, service.span);
        let headers: Option<Vec<String>> = section.get("errorRequestHeaders").map(|_| {
            let names = section.list("errorRequestHeaders").iter();
            names.map(|it| canonical(&it.value)).collect()
        });
        let query = section.text("query").map_or("", |it| it.value);
        let mut pages: Vec<PageFrom<Named>> = Vec::new();
        for (from, to) in section.map("statusRewrites") {
            let from = self.statuses(std::slice::from_ref(from));
            let Some(told) = self.status(to) else {
                continue;
            };
            // Only what has a page is told otherwise.
            let both = from.iter().flat_map(|a| {
                status.iter().map(move |b| NumberRange {
                    min: a.min.max(b.min),
                    max: a.max.min(b.max),
                })
            });
            let both: Vec<NumberRange> = both.filter(|it| it.min <= it.max).collect();
            if !both.is_empty() {
                pages.push(PageFrom {
                    status: both,
                    forward: forward.clone(),
                    target: Some(page(query, Some(told), at)),
                    headers: headers.clone(),
                    answer_as: Some(told),
                });
            }
        }
        pages.push(PageFrom {
            status,
            forward,
            target: Some(page(query, None, at)),
            headers,
            answer_as: None,
        });
        chain.always(Action::PageFrom(Arc::new(pages)), at);
    }

    /// Statuses and ranges of them, `500` or `500-599`.
    pub(super) fn statuses(&mut self, list: &[Spanned<String>]) -> Vec<NumberRange> {
        let mut ranges = Vec::new();
        for said in list.iter() {
            for text in said.value.split(',').map(str::trim) {
                let (min, max) = text.split_once('-').unwrap_or((text, text));
                let known = |it: &str| {
                    let status = it.trim().parse::<i64>().ok();
                    status.filter(|it| (100..=599).contains(it))
                };
                match (known(min), known(max)) {
                    // Nothing below 200 is an answer.
                    (Some(_), Some(max)) if max < 200 => {}
                    (Some(min), Some(max)) if min <= max => ranges.push(NumberRange {
                        min: min.max(200),
                        max,
                    }),
                    _ => {
                        let message = format!("`{text}` is no status and no range of them");
                        let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                        self.found.push(one.help("such as `404` or `500-599`"));
                    }
                }
            }
        }
        ranges
    }

    fn status(&mut self, said: &Spanned<String>) -> Option<u16> {
        let status = said.value.trim().parse::<u16>().ok();
        let status = status.filter(|it| (200..600).contains(it) && ![204, 205, 304].contains(it));
        if status.is_none() {
            let message = format!("`{}` is no status that a page may have", said.value);
            self.error(Code::OutOfRange, said.span, message);
        }
        status
    }
}

/// Where the page is. `told`: the status in place of the answer's own.
fn page(query: &str, told: Option<u16>, at: Span) -> Template<Named> {
    let mut parts = Vec::new();
    let text = |parts: &mut Vec<TemplatePart<Named>>, text: &str| {
        parts.push(TemplatePart::Text(text.to_owned()));
    };
    text(&mut parts, "/");
    let mut rest = query.strip_prefix('/').unwrap_or(query);
    while let Some((before, name, after)) = placeholder(rest) {
        text(&mut parts, before);
        match (name, told) {
            ("status", Some(told)) => text(&mut parts, &told.to_string()),
            ("status" | "originalStatus", _) => parts.extend(of(Value::Status).0),
            // The last that is left: `url`.
            _ => parts.extend(url(at)),
        }
        rest = after;
    }
    text(&mut parts, rest);
    Template(parts)
}

/// What stands before the first placeholder, its name, and what stands behind it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let names = ["status", "originalStatus", "url"];
    let places = names.iter().filter_map(|name| {
        let at = text.find(&format!("{{{name}}}"))?;
        Some((at, *name))
    });
    let (at, name) = places.min()?;
    let after = text.get(at + name.len() + 2..)?;
    Some((text.get(..at)?, name, after))
}

/// The whole URL of the request, percent-encoded.
fn url(at: Span) -> Vec<TemplatePart<Named>> {
    let encoded = |value: Value<Named>| {
        let encoded = expression(value, vec![Transform::UrlEncode]);
        TemplatePart::Expression(Spanned::new(encoded, at))
    };
    vec![
        part(Value::Scheme),
        TemplatePart::Text("%3A%2F%2F".to_owned()),
        encoded(Value::Header("Host".to_owned())),
        encoded(Value::Target),
    ]
}
