//! What can never do what it says, and what does nothing without something else.
//!
//! These are warnings, since other load balancers start with them: a haproxy.cfg or a file of Traefik that says such a
//! thing runs, and so does what it is converted to. Each says what to add or to change.

use super::Compiler;
use super::rules::Owner;
use crate::action::{Action, AnswerBody, Phase, Rule};
use crate::check::{CheckExpect, CheckKind, CheckStep, ComputedForm, Expectation};
use crate::choice::{CookieValues, StickyCookie};
use crate::circuit::{Comparison, Figure, Opens};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::{ErrorPageDraft, GroupDraft, TargetDraft};
use crate::limit::Limit;
use crate::pattern::Pattern;
use crate::span::{Span, Spanned};
use crate::stage::Named;
use std::collections::HashMap;

/// The first status that says that something failed.
const FIRST_FAILURE: u16 = 400;

fn never(span: Span, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(Code::NeverWorks, span, message).help(help)
}

fn no_effect(span: Span, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(Code::NoEffect, span, message).help(help)
}

impl Compiler<'_> {
    /// What of a group works only together with something else.
    pub(super) fn check_futile(&mut self, draft: &GroupDraft) {
        let found = &mut self.found;
        check_weights(found, draft);
        check_limits(found, draft);
        check_cookies(found, draft);
        let has_zone = draft.targets.iter().any(|it| it.zone.is_some());
        if let Some(share) = draft.min_zone_healthy.filter(|_| !has_zone) {
            let message = "`min_zone_healthy` does nothing: no target says its `zone`";
            let help = "add `zone` to the targets, and to `[process]`; or leave it out";
            found.push(no_effect(share.span, message, help));
        }
        let times = &draft.timeouts;
        if let (Some(total), Some(attempt)) = (times.total, times.attempt)
            && total.value < attempt.value
        {
            let message =
                "`total` ends before the first attempt may take its time: `attempt` does nothing";
            let help = "let `total` be as long as `attempt`, or longer where there are retries";
            let one = no_effect(total.span, message, help);
            found.push(one.label(attempt.span, "an attempt may take this long"));
        }
    }

    /// Pages for statuses that nothing answers.
    pub(super) fn check_pages_used(&mut self, pages: &[ErrorPageDraft]) {
        for page in pages {
            let status = page.status.value;
            if (200..FIRST_FAILURE).contains(&status) && !self.answers_with(status) {
                let message = format!("nothing is answered with the error page of {status}");
                let help = "error pages are what Portway itself answers where something fails, from 400 on, or where a rule \
                     says `error_page = true`; what targets answer is replaced by the action `page_from`";
                self.found.push(no_effect(page.status.span, message, help));
            }
        }
    }

    /// True where a rule answers with the error page of this status.
    fn answers_with(&self, status: u16) -> bool {
        let draft = self.draft;
        let of_groups = draft.groups.iter().flat_map(|it| &it.rules);
        let rules = draft.listeners.iter().flat_map(|it| &it.rules);
        let mut actions = rules.chain(of_groups).flat_map(|it| &it.actions);
        actions.any(|action| match action {
            Action::Respond(answer)
            | Action::Deny(answer)
            | Action::Tarpit {
                response: answer, ..
            } => answer.status == status && matches!(answer.body, AnswerBody::ErrorPage),
            Action::Limit(Limit::Circuit(breaker)) => breaker.status == status,
            Action::Authorize(_) | Action::Service(_) => true,
            _ => false,
        })
    }

    /// Copies of requests for the very group that serves them.
    pub(super) fn check_mirrors(&mut self, owner: &Owner<'_>, rules: &[Rule<Named>]) {
        for (index, rule) in rules.iter().enumerate() {
            for (at, action) in rule.actions.iter().enumerate() {
                let Action::Mirror(mirror) = action else {
                    continue;
                };
                let served = match owner.group_name() {
                    Some(own) => *own == mirror.group.value,
                    None => goes_only_to(rules.get(index..).unwrap_or_default(), &mirror.group),
                };
                if served {
                    let group = &mirror.group.value;
                    let message = format!(
                        "copies of requests go to the target group `{group}` that serves them"
                    );
                    let help =
                        "name another group in `mirror`: this one would get each request twice";
                    let place = match mirror.group.span.is_none() {
                        true => rule.place_of(at),
                        false => mirror.group.span,
                    };
                    self.found.push(never(place, message, help));
                }
            }
        }
    }
}

/// True where every request that the first of these rules takes ends in this group.
fn goes_only_to(rules: &[Rule<Named>], group: &Spanned<crate::name::Name>) -> bool {
    let mut any = false;
    for (index, rule) in rules.iter().enumerate() {
        if rule.phase != Phase::Request {
            continue;
        }
        for action in &rule.actions {
            match action {
                Action::Forward(groups) | Action::ForwardByHash { groups, .. } => {
                    any = true;
                    if groups.iter().any(|it| it.group != *group) {
                        return false;
                    }
                }
                Action::ForwardByName { .. } => return false,
                _ => {}
            }
        }
        // The first holds for the request; another ends its way only where it always does.
        let always = index == 0 || rule.condition.is_always();
        if always && rule.actions.iter().any(Action::ends_phase) {
            break;
        }
    }
    any
}

fn check_weights(found: &mut Diagnostics, draft: &GroupDraft) {
    let none = |it: &TargetDraft| it.weight.is_some_and(|weight| weight.value == 0);
    let first = draft.targets.first().and_then(|it| it.weight);
    if let Some(first) = first.filter(|_| draft.targets.iter().all(none)) {
        let message = format!(
            "every target of `{}` has the weight 0: no new client comes to any of them",
            draft.name.value
        );
        let help = "give one of them a weight of 1 or more; 0 is for targets that only keep the clients that they have";
        found.push(never(first.span, message, help));
    }
}

fn check_limits(found: &mut Diagnostics, draft: &GroupDraft) {
    let limit = |it: &TargetDraft| it.max_connections.map_or(0, |most| most.value);
    let of_group = draft.max_connections.map_or(0, |it| it.value);
    for target in &draft.targets {
        let (queue, least) = (target.max_queue, target.min_connections);
        let unlimited = limit(target) == 0;
        let needs = [
            (
                "max_queue",
                queue,
                unlimited && of_group == 0,
                "nobody ever waits for this target",
            ),
            (
                "min_connections",
                least,
                unlimited,
                "there is no limit that could rise",
            ),
        ];
        for (key, given, is_futile, why) in needs {
            if let Some(given) = given.filter(|it| it.value > 0 && is_futile) {
                let message = format!("`{key}` does nothing without `max_connections`: {why}");
                let help = "add `max_connections` to the target, or leave it out";
                found.push(no_effect(given.span, message, help));
            }
        }
        if let (Some(least), Some(most)) = (target.min_connections, target.max_connections)
            && most.value > 0
            && least.value > most.value
        {
            let message = format!(
                "`min_connections` is {}, and `max_connections` is less: {}",
                least.value, most.value
            );
            let help = "let `min_connections` be the smaller: the limit rises from it to `max_connections`";
            let one = no_effect(least.span, message, help);
            found.push(one.label(most.span, "the limit is here"));
        }
    }
    let limited = of_group > 0 || draft.targets.iter().any(|it| limit(it) > 0);
    if let Some(pending) = draft.max_pending.filter(|it| it.value > 0 && !limited) {
        let message = "`max_pending` does nothing: without a limit nobody waits for room";
        let help = "add `max_connections` to the group or to its targets, or leave it out";
        found.push(no_effect(pending.span, message, help));
    }
}

fn check_cookies(found: &mut Diagnostics, draft: &GroupDraft) {
    let own = |it: &TargetDraft| it.cookie.is_some();
    let Some(stickiness) = &draft.stickiness else {
        if let Some(cookie) = draft.targets.iter().find_map(|it| it.cookie.as_ref()) {
            let message = "`cookie` of a target does nothing without `stickiness` of its group";
            let help = "add for example stickiness = { cookie = \"SERVER\" } to the group, or leave it out";
            found.push(no_effect(cookie.span, message, help));
        }
        return;
    };
    let StickyCookie { values, .. } = &stickiness.value;
    if *values == CookieValues::Given && !draft.targets.is_empty() && !draft.targets.iter().any(own)
    {
        let message = "no client is kept: `values` is `given`, and no target says a `cookie`";
        let help =
            "add `cookie` to each target, or leave `values` out: then each has a value of its own";
        found.push(never(stickiness.span, message, help));
    }
    let mut first: HashMap<&str, Span> = HashMap::new();
    // The same value at a backup means that it takes over these clients.
    for target in draft
        .targets
        .iter()
        .filter(|it| !it.backup.is_some_and(|it| it.value))
    {
        let Some(cookie) = &target.cookie else {
            continue;
        };
        if let Some(first) = first.get(cookie.value.as_str()) {
            let message = format!(
                "two targets have the cookie `{}`: while the first is up, no client stays with this one",
                cookie.value
            );
            let help =
                "give each target a value of its own; one that only takes over has `backup = true`";
            let one = never(cookie.span, message, help);
            found.push(one.label(*first, "the first is here"));
        }
        first.entry(&cookie.value).or_insert(cookie.span);
    }
}

/// A check that asks for the head of an answer and waits for its body.
pub(super) fn check_head_only(found: &mut Diagnostics, kind: &CheckKind<Named>, span: Span) {
    let of_empty = |body: &Spanned<String>| {
        Pattern::new(&body.value).is_ok_and(|pattern| pattern.is_match(b""))
    };
    let of_http = |method: &str, body: Option<&Spanned<String>>| {
        method == "HEAD" && body.is_some_and(|body| !of_empty(body))
    };
    let futile = match kind {
        CheckKind::Http(http) | CheckKind::Https(http) => of_http(&http.method, http.body.as_ref()),
        CheckKind::Script(steps) => {
            let mut by_head = false;
            steps.iter().any(|step| match step {
                CheckStep::Http(http) => of_http(&http.method, http.body.as_ref()),
                CheckStep::Request(request) => {
                    by_head = request.method == "HEAD";
                    false
                }
                CheckStep::Expect(expect) => by_head && waits_for_body(expect, of_empty),
                _ => false,
            })
        }
        _ => false,
    };
    if futile {
        let message =
            "this check never passes: an answer to HEAD has no body, and one is waited for";
        let help = "ask with GET, or judge the status alone";
        found.push(never(span, message, help));
    }
}

fn waits_for_body(
    expect: &CheckExpect<Named>,
    of_empty: impl Fn(&Spanned<String>) -> bool,
) -> bool {
    let waits = match &expect.that {
        Expectation::Body(bytes) => !bytes.is_empty(),
        Expectation::BodyPattern(pattern) => !of_empty(pattern),
        Expectation::Computed { form, .. } => *form == ComputedForm::Body,
        _ => false,
    };
    waits && !expect.negated
}

/// Comparisons of shares with what no share is.
pub(super) fn check_opens(found: &mut Diagnostics, opens: &Opens, span: Span) {
    match opens {
        Opens::All(parts) | Opens::Any(parts) => {
            parts.iter().for_each(|part| check_opens(found, part, span));
        }
        Opens::Is(figure, comparison, than) => {
            if matches!(figure, Figure::LatencyAtQuantileMs(_)) || may_differ(*comparison, *than) {
                return;
            }
            let holds = if comparison.holds(0.5, *than) {
                "always"
            } else {
                "never"
            };
            let message = format!("`{opens}` {holds} holds: a ratio is from 0 to 1");
            let help = match *than > 1.0 && *than <= 100.0 {
                true => format!("for {than} percent write {}", than / 100.0),
                false => "write a number from 0 to 1, such as 0.3 for 30 percent".to_owned(),
            };
            found.push(never(span, message, help));
        }
    }
}

/// True where a share from 0 to 1 may compare so, or otherwise.
fn may_differ(comparison: Comparison, than: f64) -> bool {
    let shares = [0.0, f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON, 1.0];
    let mut all = shares
        .into_iter()
        .chain([than])
        .filter(|it| (0.0..=1.0).contains(it));
    let first = all.next().map(|it| comparison.holds(it, than));
    all.any(|it| Some(comparison.holds(it, than)) != first)
}
