//! Rules: each action in a phase where it can be done, each rule where it can be reached, and at least one that
//! answers.

use super::expressions::{Moment, Place, Side};
use super::limits;
use super::simplify::{is_never, simplify};
use super::text::{
    Use, check_file, check_header_added, check_header_removed, check_header_written, check_path,
    check_redirect, check_status, check_text, check_token,
};
use super::types::{Kind, phase_word, value_word};
use super::words::action_word;
use super::{Compiler, Reported, matched, names};
use crate::action::{Action, AnswerBody, End, FixedResponse, NewTimeout, Phase, Rule, Weighted};
use crate::choice::StickTo;
use crate::convert;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{GroupDraft, ListenerDraft};
use crate::expression::{Counter, Expression, Template, TemplatePart};
use crate::limit::Limit;
use crate::name::Name;
use crate::settings::Protocol;
use crate::snapshot::Rules;
use crate::span::{Origin, Span, Spanned};
use crate::stage::Named;

/// Whose rules they are.
pub(super) struct Owner<'a> {
    name: &'a Spanned<Name>,
    side: Side,
    /// Where the protocol is said.
    protocol: Span,
}

impl<'a> Owner<'a> {
    pub(super) fn listener(draft: &'a ListenerDraft, protocol: Protocol) -> Self {
        Self {
            name: &draft.name,
            side: Side::Listener(protocol),
            protocol: draft.protocol.map_or(Span::NONE, |x| x.span),
        }
    }

    pub(super) fn group(draft: &'a GroupDraft, protocol: Protocol) -> Self {
        Self {
            name: &draft.name,
            side: Side::Group(protocol),
            protocol: draft.protocol.map_or(Span::NONE, |x| x.span),
        }
    }

    /// The name of the target group whose rules they are.
    pub(super) fn group_name(&self) -> Option<&'a Name> {
        match self.side {
            Side::Group(_) => Some(&self.name.value),
            Side::Listener(_) => None,
        }
    }

    /// Phases that its rules may run in.
    fn phases(&self) -> &'static [Phase] {
        match self.side {
            Side::Listener(protocol) if protocol.is_http() => &Phase::ALL,
            Side::Listener(_) => &[Phase::Connection, Phase::Session, Phase::ClientHello],
            Side::Group(protocol) if protocol.is_http() => &[
                Phase::ClientHello,
                Phase::Request,
                Phase::Response,
                Phase::AfterResponse,
            ],
            Side::Group(_) => &[Phase::ClientHello, Phase::Response],
        }
    }

    fn words(&self) -> String {
        let (kind, protocol) = match self.side {
            Side::Listener(protocol) => ("listener", protocol),
            Side::Group(protocol) => ("target group", protocol),
        };
        format!("{} {kind} `{}`", protocol.as_str(), self.name.value)
    }
}

impl Compiler<'_> {
    pub(super) fn rules(
        &mut self,
        owner: &Owner<'_>,
        drafts: &[Rule<Named>],
    ) -> Result<Rules, Reported> {
        let settled = matched::settle(self.draft, &mut self.set_by_rules, drafts, &mut self.found);
        let drafts = settled.as_ref();
        for rule in drafts {
            self.check_rule(owner, rule);
        }
        self.check_mirrors(owner, drafts);
        let rules = match self.partly {
            true => {
                let rules = drafts.iter().map(|rule| convert::rule(self, rule));
                Ok(rules.filter_map(Result::ok).collect())
            }
            false => convert::each(self, drafts, convert::rule),
        };
        self.check_answers(owner, drafts);
        let mut by_phase = Rules::default();
        for mut rule in rules? {
            rule.condition = simplify(rule.condition);
            by_phase.of_mut(rule.phase).push(rule);
        }
        give_slots(&mut by_phase);
        self.check_reached(owner, &by_phase);
        Ok(by_phase)
    }

    fn check_rule(&mut self, owner: &Owner<'_>, rule: &Rule<Named>) {
        let place = Place {
            moment: Moment::Phase(rule.phase),
            side: owner.side,
            span: rule.origin.0,
        };
        if !owner.phases().contains(&rule.phase) {
            self.wrong_phase_of_rule(owner, rule);
            return;
        }
        if rule.actions.is_empty() {
            self.found.push(
                Diagnostic::error(Code::Missing, place.span, "a rule that does nothing")
                    .help("add an action, such as `forward`"),
            );
        }
        self.check_condition(place, &rule.condition);
        for (index, action) in rule.actions.iter().enumerate() {
            let span = rule.place_of(index);
            if may_run(action, rule.phase, owner.side) {
                self.check_action(Place { span, ..place }, action);
            } else {
                self.wrong_phase_of_action(owner, (rule.phase, span), action);
            }
        }
    }

    fn wrong_phase_of_rule(&mut self, owner: &Owner<'_>, rule: &Rule<Named>) {
        let message = format!("{} has no {}", owner.words(), phase_word(rule.phase));
        let place = if owner.protocol.is_none() {
            owner.name.span
        } else {
            owner.protocol
        };
        let help = match owner.side {
            Side::Listener(_) => {
                "it reads no requests: let it speak `http`, or put the rule on an http target group"
            }
            Side::Group(protocol) if protocol.is_http() => {
                "rules of a target group run in the client-hello, request, response and after-response phases; move it to a listener"
            }
            Side::Group(_) => {
                "it reads no requests: let it speak `http`, or move the rule to the client-hello or response phase"
            }
        };
        self.found.push(
            Diagnostic::error(Code::WrongPhase, rule.origin.0, message)
                .label(place, "for this")
                .help(help),
        );
    }

    fn wrong_phase_of_action(
        &mut self,
        owner: &Owner<'_>,
        (phase, span): (Phase, Span),
        action: &Action<Named>,
    ) {
        let word = action_word(action);
        let allowed: Vec<&str> = owner
            .phases()
            .iter()
            .filter(|phase| may_run(action, **phase, owner.side))
            .map(|phase| phase_word(*phase))
            .collect();
        let help = if allowed.is_empty() {
            format!("nothing of {} can do it", owner.words())
        } else {
            format!("possible in: {}", allowed.join(", "))
        };
        self.found.push(
            Diagnostic::error(
                Code::WrongPhase,
                span,
                format!("{word} is not possible in the {}", phase_word(phase)),
            )
            .help(help),
        );
    }

    fn check_action(&mut self, place: Place, action: &Action<Named>) {
        let span = place.span;
        match action {
            Action::Forward(groups) => self.check_forward(place, groups),
            Action::ForwardByHash { hash, groups } => {
                self.check_expression(place, hash);
                self.check_forward(place, groups);
                self.check_named_once(place, groups);
            }
            Action::ForwardByName { name, fallback } => {
                self.check_template(place, name);
                self.names.any_group = true;
                if let Some(group) = fallback {
                    self.check_fits(place, group);
                }
            }
            Action::Redirect { location, status } => {
                check_redirect(&mut self.found, *status, span);
                self.check_written(place, "a location", location, Use::HeaderValue);
            }
            Action::Respond(response) | Action::Deny(response) => {
                self.check_response(place, response);
            }
            Action::Authenticate { realm, .. } => {
                check_text(&mut self.found, "a realm", realm, Use::HeaderValue, span);
            }
            Action::Service(service) => self.check_service(place, service),
            Action::Accept
            | Action::DisableL7Retry
            | Action::ExpectProxy(_)
            | Action::Reject { .. }
            | Action::SetLog(_) => {}
            Action::Tarpit { delay, response } => {
                limits::check_duration(&mut self.found, "the delay", *delay, span);
                self.check_response(place, response);
            }
            Action::SetVariable { variable, value } => {
                self.check_variable_set(place, variable);
                self.check_template(place, value);
            }
            Action::PutEntry { key, value, .. } => {
                self.check_template(place, key);
                if let Some(value) = value {
                    self.check_template(place, value);
                }
            }
            Action::RemoveEntry { key, .. } => self.check_template(place, key),
            Action::UnsetVariable(variable) => self.check_variable_set(place, variable),
            Action::UseTarget(name) => self.check_template(place, name),
            Action::Track { slot, key, table } => {
                self.check_slot(place, *slot);
                self.check_key(place, key, table);
            }
            Action::Stick { to, key, table } => self.check_stick(place, *to, key, table),
            Action::Increment { slot, counter } => {
                self.check_slot(place, *slot);
                if !matches!(counter, Counter::General(_)) {
                    let message = "only general counters are raised by rules".to_owned();
                    self.found
                        .push(place_error(place, Code::OutOfRange, message));
                }
            }
            Action::SetMark { slot, mark, to } => {
                self.check_slot(place, *slot);
                self.check_expression(place, to);
                if !matches!(mark, Counter::Mark(_)) {
                    let message = "only marks are set by rules".to_owned();
                    self.found
                        .push(place_error(place, Code::OutOfRange, message));
                }
            }
            Action::Capture {
                value,
                length,
                slot,
            } => {
                self.check_expression(place, value);
                limits::within(&mut self.found, "a length", *length, (1, u16::MAX), span);
                self.check_capture_slot(place, *slot);
            }
            Action::SetTimeout { to, .. } => match to {
                NewTimeout::Fixed(to) => {
                    limits::check_duration(&mut self.found, "the timeout", *to, span);
                }
                NewTimeout::Milliseconds(number) => {
                    self.check_expression(place, number);
                }
            },
            Action::SetPriority { to, .. } => {
                self.check_expression(place, to);
            }
            Action::Limit(limit) => self.check_limit(place, limit),
            Action::Compress(compression) => self.check_compression(place, compression),
            Action::PageFrom(pages) => self.check_pages(place, pages),
            Action::Authorize(asked) => self.check_authorize(place, asked),
            Action::DigestAuth(digest) => self.check_digest_auth(place, digest),
            Action::Jwt(jwt) => self.check_jwt(place, jwt),
            Action::Cors(cors) => self.check_cors(place, cors),
            Action::SecurityHeaders(headers) => self.check_security_headers(place, headers),
            Action::Mirror(mirror) => self.check_mirror(place, mirror),
            Action::TraceContext(sampled) => {
                limits::within(&mut self.found, "a percentage", *sampled, (0, 100), span);
            }
            Action::HandOver(listener) => self.check_hand_over(listener),
            Action::WaitForBody { time, .. } => {
                limits::check_duration(&mut self.found, "the time", *time, span);
            }
            other => self.check_rewrite(place, other),
        }
    }

    /// Actions that change a message.
    fn check_rewrite(&mut self, place: Place, action: &Action<Named>) {
        let span = place.span;
        match action {
            Action::SetHeader { name, value } => {
                check_header_written(&mut self.found, name, span);
                self.check_written(place, "a header's value", value, Use::HeaderValue);
            }
            Action::AddHeader { name, value } => {
                check_header_added(&mut self.found, name, span);
                self.check_written(place, "a header's value", value, Use::HeaderValue);
            }
            Action::RemoveHeader { name } => check_header_removed(&mut self.found, name, span),
            Action::ReplaceHeader {
                name,
                pattern,
                with,
                ..
            } => {
                check_header_written(&mut self.found, name, span);
                self.check_replacement(place, pattern, with);
                self.check_written(place, "a header's value", with, Use::HeaderValue);
            }
            Action::SetPath(path) => self.check_rooted(place, "a path", path),
            Action::SetTarget(target) => self.check_rooted(place, "a path", target),
            Action::SetArgument { value, .. } => self.check_template(place, value),
            Action::SetQuery(query) => self.check_written(place, "a query", query, Use::Target),
            Action::SetUrl(url) => self.check_url(place, url),
            Action::ReplacePath { pattern, with }
            | Action::ReplaceTarget { pattern, with }
            | Action::ReplaceUrl { pattern, with } => {
                self.check_replacement(place, pattern, with);
                self.check_written(place, "a path", with, Use::Target);
            }
            Action::StripPrefix(prefixes) => {
                if prefixes.is_empty() {
                    let message = "no prefix to take off".to_owned();
                    self.found.push(place_error(place, Code::Missing, message));
                }
                for prefix in prefixes {
                    check_path(&mut self.found, "a prefix", prefix, span);
                }
            }
            Action::AddPrefix(prefix) => check_path(&mut self.found, "a prefix", prefix, span),
            Action::SetMethod(template) => {
                self.check_template(place, template);
                let Some(method) = template.as_text() else {
                    return;
                };
                check_token(&mut self.found, "a method", method, span);
                if matches!(method, "HEAD" | "CONNECT") {
                    let message = format!("a request cannot be made a {method}");
                    let help = "the response to it ends elsewhere than the client expects";
                    self.found
                        .push(Diagnostic::error(Code::OutOfRange, span, message).help(help));
                }
            }
            Action::SetEnd { end, to } => {
                let kind = self.check_expression(place, to);
                let (fits, wanted): (fn(Kind) -> bool, _) = match end {
                    End::Source | End::Destination => (Kind::may_be_address, "an address"),
                    End::SourcePort | End::DestinationPort => (Kind::may_be_number, "a number"),
                };
                if let Some(kind) = kind.filter(|kind| !fits(*kind)) {
                    let message = format!(
                        "{} gives {} where {wanted} is needed",
                        value_word(&to.value),
                        kind.word()
                    );
                    self.found
                        .push(place_error(place, Code::WrongComparison, message));
                }
            }
            Action::SetStatus { status, reason } => {
                check_status(&mut self.found, *status, (200, 599), span);
                if let Some(reason) = reason {
                    let found = &mut self.found;
                    check_text(found, "a reason phrase", reason, Use::HeaderValue, span);
                }
                if matches!(status, 204 | 205 | 304) {
                    let message = format!("a response cannot be given the status {status}");
                    let help = "that status has no body, and the response may have one: answer with `respond` instead";
                    self.found
                        .push(Diagnostic::error(Code::OutOfRange, span, message).help(help));
                }
            }
            _ => {}
        }
    }

    /// A path that is written must begin with a slash where that can be seen.
    pub(super) fn check_rooted(&mut self, place: Place, what: &str, template: &Template<Named>) {
        self.check_written(place, what, template, Use::Target);
        let rooted = match template.0.first() {
            Some(TemplatePart::Text(text)) => text.is_empty() || text.starts_with('/'),
            Some(TemplatePart::Expression(_)) => true,
            None => false,
        };
        if !rooted {
            let message = format!("{what} does not begin with a slash");
            self.found
                .push(place_error(place, Code::OutOfRange, message));
        }
    }

    /// A URL begins with a slash, or with the scheme.
    fn check_url(&mut self, place: Place, template: &Template<Named>) {
        let absolute = |text: &str| {
            ["http://", "https://"]
                .iter()
                .any(|it| text.starts_with(it))
        };
        match template.0.first() {
            Some(TemplatePart::Text(text)) if absolute(text) => {
                self.check_written(place, "a URL", template, Use::Target);
            }
            _ => self.check_rooted(place, "a URL", template),
        }
    }

    fn check_response(&mut self, place: Place, response: &FixedResponse<Named>) {
        check_status(&mut self.found, response.status, (200, 599), place.span);
        if let Some(content_type) = &response.content_type {
            let found = &mut self.found;
            check_text(
                found,
                "a content type",
                content_type,
                Use::HeaderValue,
                place.span,
            );
        }
        match &response.body {
            AnswerBody::Text(text) => self.check_template(place, text),
            AnswerBody::File(file) | AnswerBody::ErrorPageFile(file) => {
                check_file(&mut self.found, "the body", file, place.span);
            }
            AnswerBody::ErrorPage => {}
        }
        for (name, value) in &response.headers {
            check_header_written(&mut self.found, name, place.span);
            self.check_written(place, "a header's value", value, Use::HeaderValue);
        }
    }

    /// A table by which clients are kept must remember targets.
    fn check_stick(
        &mut self,
        place: Place,
        to: StickTo,
        key: &Expression<Named>,
        table: &Spanned<Name>,
    ) {
        self.check_key(place, key, table);
        if to != StickTo::Store && place.moment == Moment::Phase(Phase::Response) {
            let message = "a target is chosen by a response";
            let help = "say `to = \"store\"`, or move the rule to the request phase";
            self.found
                .push(place_error(place, Code::WrongPhase, message.to_owned()).help(help));
        }
        let index = self
            .names
            .index(names::Kind::StickTable, table.value.as_str());
        let Some(known) = index.and_then(|index| self.draft.stick_tables.get(index)) else {
            return;
        };
        let mut store = known.store.iter();
        if !store.any(|stored| stored.value.counter == Counter::Target) {
            let message = format!("stick table `{}` remembers no targets", table.value);
            let wrong = Diagnostic::error(Code::Missing, table.span, message);
            self.found.push(
                wrong
                    .label(known.name.span, "the table is here")
                    .help("add \"target\" to what it stores"),
            );
        }
    }

    /// What is captured by a group's rules goes where its listeners' rules have left room.
    fn check_capture_slot(&mut self, place: Place, slot: Option<u16>) {
        match (slot, place.side) {
            (None, Side::Group(_)) => self.found.push(
                place_error(
                    place,
                    Code::Missing,
                    "a capture of a target group without a slot".to_owned(),
                )
                .help("say into which slot of its listeners it goes: `slot = 0`"),
            ),
            (Some(slot), _) => limits::within(
                &mut self.found,
                "a slot",
                slot,
                (0, limits::MAX_CAPTURES - 1),
                place.span,
            ),
            (None, Side::Listener(_)) => {}
        }
    }

    pub(super) fn check_forward(&mut self, place: Place, groups: &[Weighted<Named>]) {
        if groups.is_empty() {
            let message = "a rule that forwards to no target group".to_owned();
            self.found.push(place_error(place, Code::Missing, message));
        }
        self.check_weights(place, groups);
        for weighted in groups {
            self.check_fits(place, &weighted.group);
        }
    }

    /// Reports a group that cannot take what this listener gives.
    pub(super) fn check_fits(&mut self, place: Place, group: &Spanned<Name>) {
        let Side::Listener(listener) = place.side else {
            return;
        };
        let index = self.names.index(names::Kind::Group, group.value.as_str());
        let Some(index) = index else { return };
        let protocol = self.protocols.groups.get(index).copied();
        let Some(protocol) = protocol.filter(|protocol| !protocol.is_http()) else {
            return;
        };
        if !listener.is_http() {
            return;
        }
        let said = self.draft.groups.get(index).map_or(Span::NONE, |group| {
            group.protocol.map_or(group.name.span, |x| x.span)
        });
        let message = format!(
            "an {} listener forwards to target group `{}`, which speaks {}",
            listener.as_str(),
            group.value,
            protocol.as_str()
        );
        self.found.push(
            Diagnostic::error(Code::ProtocolMismatch, group.span, message)
                .label(said, "the group is here")
                .help("let the group speak `http` or `https`, or the listener `tcp` or `tls`"),
        );
    }

    /// Reports a listener of which no rule answers.
    fn check_answers(&mut self, owner: &Owner<'_>, rules: &[Rule<Named>]) {
        let Side::Listener(protocol) = owner.side else {
            return;
        };
        let ends =
            |action: &Action<Named>| action.ends_phase() && !matches!(action, Action::Accept);
        let answers = rules.iter().any(|rule| {
            (rule.phase == Phase::Request) == protocol.is_http() && rule.actions.iter().any(ends)
        });
        // What is in a phase that the listener does not have, or does nothing, is reported as such.
        let misplaced = rules
            .iter()
            .any(|rule| rule.actions.is_empty() || !owner.phases().contains(&rule.phase));
        if !answers && !misplaced {
            let name = &owner.name.value;
            let message = format!("listener `{name}` has no rule that answers");
            self.found.push(
                Diagnostic::error(Code::Missing, owner.name.span, message)
                    .help("add `forward = \"…\"` with the name of a target group"),
            );
        }
    }

    /// Warns of rules and actions that cannot run.
    fn check_reached(&mut self, owner: &Owner<'_>, rules: &Rules) {
        // What ends a stream's way through the rules, and whether it goes on to a group.
        let mut routed: Option<(Origin, bool)> = None;
        for phase in Phase::ALL {
            let mut end = None;
            let mut accepted = false;
            for rule in rules.of(phase) {
                let forwards = rule.actions.iter().any(Action::forwards);
                // What a stream is routed by is not asked again; who the client is may be known later.
                let over = routed.filter(|(_, on)| forwards || !on || phase != Phase::Session);
                let over = end.or(over.map(|(by, _)| by));
                // After `accept` it still goes where a rule forwards it.
                let asked = accepted && forwards;
                if let Some(end) = over.filter(|_| !asked) {
                    let place = rule.origin.0;
                    let warning = Diagnostic::warning(
                        Code::Unreachable,
                        if place.is_none() {
                            owner.name.span
                        } else {
                            place
                        },
                        format!("a rule of {} that never runs", owner.words()),
                    );
                    self.found
                        .push(warning.label(end.0, "this one always ends the phase"));
                    continue;
                }
                self.check_inside(owner, rule);
                accepted |= rule
                    .actions
                    .iter()
                    .any(|action| matches!(action, Action::Accept));
                let last = rule.actions.iter().find(|action| action.ends_phase());
                if let Some(last) = last.filter(|_| rule.condition.is_always()) {
                    end = Some(rule.origin);
                    let stream = matches!(owner.side, Side::Listener(p) if !p.is_http());
                    if stream && !matches!(last, Action::Accept) {
                        routed = Some((rule.origin, last.forwards()));
                    }
                }
            }
        }
    }

    /// Warns where a rule cannot hold, or has actions after one that ends the phase.
    fn check_inside(&mut self, owner: &Owner<'_>, rule: &Rule<crate::stage::Resolved>) {
        let place = rule.origin.0;
        let place = if place.is_none() {
            owner.name.span
        } else {
            place
        };
        if is_never(&rule.condition) {
            self.found.push(Diagnostic::warning(
                Code::Unreachable,
                place,
                "a rule whose condition never holds",
            ));
        }
        let ends = rule.actions.iter().position(Action::ends_phase);
        if let Some(after) = ends.filter(|ends| ends + 1 < rule.actions.len()) {
            let after = rule.place_of(after + 1);
            self.found.push(
                Diagnostic::warning(
                    Code::Unreachable,
                    if after.is_none() { place } else { after },
                    "a rule with actions after the one that ends its phase",
                )
                .help("put the action that ends the phase last"),
            );
        }
    }
}

/// Gives each capture without a slot the next one of its side.
fn give_slots(rules: &mut Rules) {
    let (mut of_requests, mut of_responses) = (0, 0);
    for phase in Phase::ALL {
        let next = match phase {
            Phase::Connection | Phase::Session | Phase::ClientHello | Phase::Request => {
                &mut of_requests
            }
            Phase::Response | Phase::AfterResponse => &mut of_responses,
        };
        for rule in rules.of_mut(phase) {
            for action in &mut rule.actions {
                if let Action::Capture { slot, .. } = action {
                    let given: u16 = *slot.get_or_insert(*next);
                    *next = given.saturating_add(1).max(*next);
                }
            }
        }
    }
}

pub(super) fn place_error(place: Place, code: Code, message: String) -> Diagnostic {
    Diagnostic::error(code, place.span, message)
}

/// What may be done once a target of a stream has sent something.
fn of_answered_stream<S: crate::stage::Stage>(action: &Action<S>) -> bool {
    matches!(
        action,
        Action::Accept
            | Action::Reject { .. }
            | Action::SetVariable { .. }
            | Action::UnsetVariable(_)
            | Action::Increment { .. }
            | Action::SetMark { .. }
            | Action::Stick { .. }
    )
}

/// Whether an action can be done in a phase. Whoever has the rules has the phase.
fn may_run<S: crate::stage::Stage>(action: &Action<S>, phase: Phase, side: Side) -> bool {
    use Phase::{AfterResponse, ClientHello, Connection, Request, Response, Session};
    if phase == Response && matches!(side, Side::Group(protocol) if !protocol.is_http()) {
        return of_answered_stream(action);
    }
    match action {
        Action::Forward(_) | Action::ForwardByHash { .. } | Action::ForwardByName { .. } => {
            match side {
                Side::Listener(protocol) if protocol.is_http() => phase == Request,
                Side::Listener(_) => matches!(phase, Connection | Session | ClientHello),
                Side::Group(_) => false,
            }
        }
        Action::Redirect { .. }
        | Action::Respond(_)
        | Action::Deny(_)
        | Action::WaitForBody { .. }
        | Action::SetTimeout { .. } => {
            matches!(phase, Request | Response)
        }
        Action::Authenticate { .. }
        | Action::Authorize(_)
        | Action::DigestAuth(_)
        | Action::Jwt(_)
        | Action::Cors(_)
        | Action::SetArgument { .. }
        | Action::RemoveArgument(_)
        | Action::Mirror(_)
        | Action::TraceContext(_)
        | Action::DisableL7Retry
        | Action::Tarpit { .. }
        | Action::Limit(Limit::Body { .. } | Limit::Circuit(_))
        | Action::Compress(_)
        | Action::Service(_)
        | Action::SetPath(_)
        | Action::ReplacePath { .. }
        | Action::ReplaceTarget { .. }
        | Action::ReplaceUrl { .. }
        | Action::StripPrefix(_)
        | Action::AddPrefix(_)
        | Action::SetQuery(_)
        | Action::SetTarget(_)
        | Action::SetUrl(_)
        | Action::Normalize(_)
        | Action::SetMethod(_) => phase == Request,
        Action::PageFrom(_) => phase == Request && matches!(side, Side::Listener(_)),
        Action::HandOver(_) => phase == ClientHello && side == Side::Listener(Protocol::Tcp),
        Action::SetPriority { .. } => {
            matches!(phase, Connection | Session | ClientHello | Request)
        }
        Action::SetEnd { .. } | Action::Limit(Limit::Rate { .. } | Limit::Concurrency { .. }) => {
            matches!(phase, Connection | Session | ClientHello | Request)
        }
        Action::SetHeader { .. }
        | Action::AddHeader { .. }
        | Action::RemoveHeader { .. }
        | Action::RemoveHeaders(_)
        | Action::ReplaceHeader { .. } => matches!(phase, Request | Response | AfterResponse),
        Action::SetStatus { .. } | Action::SecurityHeaders(_) => {
            matches!(phase, Response | AfterResponse)
        }
        Action::Reject { .. }
        | Action::Track { .. }
        | Action::Increment { .. }
        | Action::SetMark { .. } => phase != AfterResponse,
        Action::ExpectProxy(_) => phase == Connection,
        Action::PutEntry { .. } | Action::RemoveEntry { .. } => {
            matches!(phase, Request | Response)
        }
        Action::Capture { .. } => !matches!(phase, Connection | Session),
        Action::SetStickiness(_) => phase == Request && matches!(side, Side::Group(_)),
        Action::UseTarget(_) => match side {
            Side::Group(protocol) if protocol.is_http() => phase == Request,
            Side::Group(_) => phase == ClientHello,
            Side::Listener(_) => false,
        },
        Action::Stick { .. } => match side {
            Side::Group(protocol) if protocol.is_http() => matches!(phase, Request | Response),
            Side::Group(_) => phase == ClientHello,
            Side::Listener(_) => false,
        },
        Action::Accept
        | Action::SetVariable { .. }
        | Action::UnsetVariable(_)
        | Action::SetLog(_) => true,
    }
}
