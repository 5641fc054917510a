//! Actions of listeners and rules: forward, redirect, fixed response, and transforms before them.

use super::group_cookie::Routed;
use super::listener::Front;
use super::text::part;
use super::{GROUP, Lowering, Resource};
use crate::cloudformation::object::Object;
use portway_model::action::{Action, AnswerBody, FixedResponse, Weighted};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, Template, TemplatePart, Transform, Value};
use portway_model::settings::Protocol;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// The part of a list of actions that says where a request goes.
const ROUTING: [&str; 3] = ["forward", "redirect", "fixed-response"];
/// What a text of a fixed response is where nothing is said.
const PLAIN: &str = "text/plain";

impl<'r> Lowering<'r, '_, '_> {
    /// What a list of actions does; `None`: something it needs is incomplete, or wrong.
    pub(super) fn actions(
        &mut self,
        actions: &[Object],
        front: &Front<'r>,
        span: Span,
    ) -> Option<Routed> {
        let mut ordered: Vec<&Object> = actions.iter().collect();
        ordered.sort_by_key(|it| it.number::<u32>("Order").map_or(u32::MAX, |it| it.value));
        for object in &ordered {
            let kind = object.text("Type")?;
            if !ROUTING.contains(&kind.value) {
                let message = format!("the action `{}` is not done yet", kind.value);
                self.error(Code::NotRun, kind.span, message);
                return None;
            }
        }
        let [object] = ordered.as_slice() else {
            let message =
                "exactly one action of `forward`, `redirect` and `fixed-response` is expected";
            self.error(Code::Conflict, span, message);
            return None;
        };
        let kind = object.text("Type")?;
        if !front.protocol.value.is_http() && kind.value != "forward" {
            let message = format!("a network load balancer does not know `{}`", kind.value);
            self.error(Code::WrongPhase, kind.span, message);
            return None;
        }
        let action = match kind.value {
            "forward" => return self.forward(object, front),
            "redirect" => self.redirect(self_config(object, "RedirectConfig"), front)?,
            _ => self.fixed_response(self_config(object, "FixedResponseConfig"))?,
        };
        Some(Routed::to(action))
    }

    fn forward(&mut self, object: &Object, front: &Front<'r>) -> Option<Routed> {
        let config = object.object("ForwardConfig");
        let kept = config.and_then(|it| it.object("TargetGroupStickinessConfig"));
        let lasts = kept.and_then(|it| it.number("DurationSeconds"));
        let enabled = kept.and_then(|it| it.truth("Enabled"));
        let enabled = enabled.filter(|enabled| enabled.value);
        if let Some(enabled) = enabled {
            let wrong = match (front.protocol.value.is_http(), lasts) {
                (false, _) => {
                    Some("a network load balancer does not keep clients with a target group")
                }
                (true, None) => Some("`TargetGroupStickinessConfig` has no `DurationSeconds`"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                self.error(Code::Missing, enabled.span, wrong);
                return None;
            }
        }
        let mut groups: Vec<(Spanned<&str>, u16)> = Vec::new();
        for tuple in config.map_or(&[][..], |it| it.objects("TargetGroups")) {
            let weight = tuple.number("Weight").map_or(1, |it| it.value);
            groups.extend(tuple.text("TargetGroupArn").map(|arn| (arn, weight)));
        }
        if groups.is_empty() {
            groups.extend(object.text("TargetGroupArn").map(|arn| (arn, 1)));
        }
        if groups.is_empty() {
            let message = "`forward` has no `TargetGroupArn` and no `ForwardConfig`";
            self.error(Code::Missing, object.span, message);
            return None;
        }
        let mut weighted = Vec::new();
        for (arn, weight) in groups {
            let group = self.needed(GROUP, arn, "target group")?;
            self.is_used(group, front);
            weighted.push(Weighted {
                group: Spanned::new(group.name().value, arn.span),
                weight,
            });
        }
        Some(match (enabled, lasts) {
            (Some(_), Some(lasts)) if weighted.len() > 1 => Routed::kept(weighted, lasts.value),
            _ => Routed::to(Action::Forward(weighted)),
        })
    }

    /// A listener forwards to this group.
    fn is_used(&mut self, group: &'r Resource, front: &Front<'r>) {
        self.idle.entry(&group.id).or_insert(front.idle);
        if front.protocol.value == Protocol::Https {
            self.secured.entry(&group.id).or_insert(front.protocol.span);
        }
    }

    fn redirect(&mut self, config: &Object, front: &Front<'_>) -> Option<Action<Named>> {
        let text = |name: &str, usual: &'static str| {
            let given = config.text(name);
            given.map_or(Spanned::new(usual.to_owned(), config.span), |it| {
                it.map(str::to_owned)
            })
        };
        let status = match config.text("StatusCode")?.value {
            "HTTP_302" => 302,
            _ => 301,
        };
        let protocol = text("Protocol", "#{protocol}");
        let host = text("Host", "#{host}");
        let port = text("Port", "#{port}");
        let path = text("Path", "/#{path}");
        let query = text("Query", "#{query}");
        let same = protocol.value == "#{protocol}"
            && host.value == "#{host}"
            && port.value == "#{port}"
            && path.value == "/#{path}";
        if same {
            let message = "this redirect leads to where the request came from";
            let circle = Diagnostic::error(Code::Conflict, config.span, message);
            self.found
                .push(circle.help("change one of `Protocol`, `Host`, `Port` and `Path`"));
            return None;
        }
        if protocol.value == "HTTP" && front.protocol.value == Protocol::Https {
            let message = format!("listener `{}` redirects from HTTPS to HTTP", front.id);
            self.error(Code::Conflict, protocol.span, message);
            return None;
        }
        let mut location = Vec::new();
        match protocol.value.as_str() {
            "#{protocol}" => location.push(part(Value::Scheme)),
            other => location.push(TemplatePart::Text(other.to_ascii_lowercase())),
        }
        location.push(TemplatePart::Text("://".to_owned()));
        self.interpolate(&host, &mut location)?;
        location.push(TemplatePart::Text(":".to_owned()));
        self.interpolate(&port, &mut location)?;
        let whole = path.value == "/#{path}";
        match (whole, query.value.as_str()) {
            (true, "#{query}") => location.push(part(Value::Target)),
            _ => {
                match whole {
                    true => location.push(part(Value::Path)),
                    false => self.interpolate(&path, &mut location)?,
                }
                self.query(&query, &mut location)?;
            }
        }
        Some(Action::Redirect {
            location: Template(joined(location)),
            status,
        })
    }

    fn query(
        &mut self,
        query: &Spanned<String>,
        location: &mut Vec<TemplatePart<Named>>,
    ) -> Option<()> {
        match query.value.as_str() {
            "" => {}
            "#{query}" => {
                let pattern = Spanned::bare("^".to_owned());
                let mut expression = Expression::from(Value::Query);
                expression.transforms.push(Transform::Replace {
                    pattern,
                    with: "?".to_owned(),
                    all: false,
                });
                location.push(part(expression));
            }
            _ => {
                location.push(TemplatePart::Text("?".to_owned()));
                self.interpolate(query, location)?;
            }
        }
        Some(())
    }

    /// The parts of a text with `#{name}` in it.
    fn interpolate(
        &mut self,
        text: &Spanned<String>,
        parts: &mut Vec<TemplatePart<Named>>,
    ) -> Option<()> {
        let mut rest = text.value.as_str();
        while let Some((before, after)) = rest.split_once("#{") {
            let Some((name, more)) = after.split_once('}') else {
                break;
            };
            parts.push(TemplatePart::Text(before.to_owned()));
            parts.push(match name {
                "protocol" => part(Value::Scheme),
                "host" => part(Value::Host),
                "port" => part(Value::DestinationPort),
                "path" => {
                    let mut path = Expression::from(Value::Path);
                    path.transforms.push(Transform::Bytes {
                        offset: 1,
                        length: None,
                    });
                    part(path)
                }
                "query" => part(Value::Query),
                other => {
                    let known = ["protocol", "host", "port", "path", "query"];
                    let unknown =
                        crate::unknown_word(text.span, "word of a redirect", other, known);
                    self.found.push(unknown);
                    return None;
                }
            });
            rest = more;
        }
        parts.push(TemplatePart::Text(rest.to_owned()));
        Some(())
    }

    fn fixed_response(&mut self, config: &Object) -> Option<Action<Named>> {
        let status = config.number::<u16>("StatusCode")?;
        if status.value / 100 == 3 {
            let message = format!(
                "`StatusCode` is 2XX, 4XX or 5XX, and {} is none",
                status.value
            );
            self.error(Code::OutOfRange, status.span, message);
            return None;
        }
        let body = config.text("MessageBody").map_or("", |it| it.value);
        let kind = config.text("ContentType").map_or(PLAIN, |it| it.value);
        Some(Action::Respond(FixedResponse {
            status: status.value,
            content_type: (!body.is_empty()).then(|| kind.to_owned()),
            body: AnswerBody::Text(Template::text(body)),
            headers: Vec::new(),
        }))
    }

    /// What is rewritten before a rule's action.
    pub(super) fn transforms(&mut self, transforms: &[Object]) -> Vec<Action<Named>> {
        let mut actions = Vec::new();
        for transform in transforms {
            let host = transform.object("HostHeaderRewriteConfig");
            let url = transform.object("UrlRewriteConfig");
            for rewrite in host.map_or(&[][..], |it| it.objects("Rewrites")) {
                if let Some((pattern, with)) = rewritten(rewrite) {
                    actions.push(Action::ReplaceHeader {
                        name: "Host".to_owned(),
                        pattern,
                        with,
                        elements: false,
                    });
                }
            }
            for rewrite in url.map_or(&[][..], |it| it.objects("Rewrites")) {
                if let Some((pattern, with)) = rewritten(rewrite) {
                    actions.push(Action::ReplaceTarget { pattern, with });
                }
            }
        }
        actions
    }
}

/// The configuration of an action; the action itself where it is not there, so that what is missing is said.
fn self_config<'o>(object: &'o Object, name: &str) -> &'o Object {
    object.object(name).unwrap_or(object)
}

fn rewritten(rewrite: &Object) -> Option<(Spanned<String>, Template<Named>)> {
    let pattern = rewrite.text("Regex")?.map(str::to_owned);
    Some((pattern, Template::text(rewrite.text("Replace")?.value)))
}

/// Texts side by side as one, and none that is empty.
fn joined(parts: Vec<TemplatePart<Named>>) -> Vec<TemplatePart<Named>> {
    let mut out: Vec<TemplatePart<Named>> = Vec::new();
    for part in parts {
        match (part, out.last_mut()) {
            (TemplatePart::Text(more), Some(TemplatePart::Text(text))) => text.push_str(&more),
            (TemplatePart::Text(text), _) if text.is_empty() => {}
            (part, _) => out.push(part),
        }
    }
    out
}
