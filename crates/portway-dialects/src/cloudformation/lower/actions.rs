//! Actions of listeners and rules: forward, redirect, fixed response, and transforms before them.

use super::group_cookie::Routed;
use super::listener::{FAMILIES, Front};
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
/// What a request must pass first.
const GUARD: &str = "jwt-validation";
/// Bytes of the body of a fixed response.
const MAX_BODY: usize = 1024;
/// Properties that one action alone has.
const OWNED: [(&str, &str); 5] = [
    ("JwtValidationConfig", GUARD),
    ("TargetGroupArn", "forward"),
    ("ForwardConfig", "forward"),
    ("RedirectConfig", "redirect"),
    ("FixedResponseConfig", "fixed-response"),
];
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
        let mut guards = Vec::new();
        for object in &ordered {
            let kind = object.text("Type")?;
            if kind.value == GUARD {
                self.only_its_own(object, kind)?;
                let config = self.config(object, kind, "JwtValidationConfig")?;
                guards.push(self.jwt_validation(config, front)?);
                continue;
            }
            if !ROUTING.contains(&kind.value) {
                let message = format!("the action `{}` is not done yet", kind.value);
                self.error(Code::NotRun, kind.span, message);
                return None;
            }
        }
        ordered.retain(|it| it.text("Type").is_none_or(|kind| kind.value != GUARD));
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
        self.only_its_own(object, kind)?;
        let action = match kind.value {
            "forward" => {
                let routed = self.forward(object, front)?;
                return Some(routed.guarded(guards));
            }
            "redirect" => {
                let config = self.config(object, kind, "RedirectConfig")?;
                self.redirect(config, front)?
            }
            _ => {
                let config = self.config(object, kind, "FixedResponseConfig")?;
                self.fixed_response(config)?
            }
        };
        Some(Routed::to(action).guarded(guards))
    }

    /// Says which properties are of other actions than this.
    fn only_its_own(&mut self, object: &Object, kind: Spanned<&str>) -> Option<()> {
        for (property, owner) in OWNED {
            if let Some(place) = object.place(property).filter(|_| owner != kind.value) {
                let message = format!(
                    "`{property}` is of the action `{owner}`, and this is `{}`",
                    kind.value
                );
                self.error(Code::Conflict, place, message);
                return None;
            }
        }
        Some(())
    }

    /// The configuration that an action needs.
    fn config<'o>(
        &mut self,
        object: &'o Object,
        kind: Spanned<&str>,
        name: &str,
    ) -> Option<&'o Object> {
        let config = object.object(name);
        if config.is_none() {
            let message = format!("the action `{}` has no `{name}`", kind.value);
            self.error(Code::Missing, kind.span, message);
        }
        config
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
        let several = groups.len() > 1;
        for (arn, weight) in groups {
            let group = self.needed(GROUP, arn, "target group")?;
            if several {
                self.sharing.insert(&group.id);
            }
            self.is_used(group, front);
            self.same_family(group, arn, front)?;
            let group = Spanned::new(group.name().value, arn.span);
            weighted.push(Weighted::new(group, weight));
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

    /// An application load balancer forwards to groups for HTTP, a network load balancer to others.
    fn same_family(
        &mut self,
        group: &Resource,
        arn: Spanned<&str>,
        front: &Front<'r>,
    ) -> Option<()> {
        let Some(behind) = group.object.text("Protocol") else {
            return Some(());
        };
        let http = matches!(behind.value, "HTTP" | "HTTPS");
        if http == front.protocol.value.is_http() {
            return Some(());
        }
        let message = format!(
            "listener `{}` speaks {} and target group `{}` speaks {}",
            front.id,
            front.protocol.value.as_str().to_ascii_uppercase(),
            group.id,
            behind.value
        );
        let conflict = Diagnostic::error(Code::ProtocolMismatch, arn.span, message);
        self.found
            .push(conflict.label(behind.span, "here").help(FAMILIES));
        None
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
        self.good_parts(&port, &path, &query)?;
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

    /// Whether the parts of a redirect make a URL; says so where not.
    fn good_parts(
        &mut self,
        port: &Spanned<String>,
        path: &Spanned<String>,
        query: &Spanned<String>,
    ) -> Option<()> {
        let number = port.value.parse::<u16>().is_ok_and(|port| port > 0);
        let wrong = if port.value != "#{port}" && !number {
            let message = format!("`Port` is a port or `#{{port}}`, not `{}`", port.value);
            Some((port.span, message))
        } else if !path.value.starts_with('/') {
            let message = format!("`Path` begins with a slash, and `{}` does not", path.value);
            Some((path.span, message))
        } else if query.value.starts_with('?') {
            let message = format!(
                "`Query` has no question mark at its beginning, and `{}` has",
                query.value
            );
            Some((query.span, message))
        } else {
            None
        };
        match wrong {
            Some((span, message)) => {
                self.error(Code::OutOfRange, span, message);
                None
            }
            None => Some(()),
        }
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
        let body = config.text("MessageBody");
        if let Some(body) = body.filter(|it| it.value.len() > MAX_BODY) {
            let message = format!(
                "`MessageBody` has at most {MAX_BODY} bytes, and this has {}",
                body.value.len()
            );
            let long = Diagnostic::warning(Code::OutOfRange, body.span, message);
            self.found.push(long.help("AWS refuses it; here it works"));
        }
        let body = body.map_or("", |it| it.value);
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
            if let Some(kind) = transform.text("Type") {
                let (name, there) = match kind.value {
                    "url-rewrite" => ("UrlRewriteConfig", url.is_some()),
                    _ => ("HostHeaderRewriteConfig", host.is_some()),
                };
                if !there {
                    let message = format!("the transform `{}` has no `{name}`", kind.value);
                    self.error(Code::Missing, kind.span, message);
                }
            }
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
