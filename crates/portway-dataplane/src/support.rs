//! What the data plane does not run yet, by name and place. A configuration that needs it is refused as a whole:
//! half of a configuration is never served.

use portway_core::password;
use portway_model::action::{Action, AnswerBody, NewTimeout, Phase, Rule, Service};
use portway_model::address::TargetAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::expression::{Condition, Expression, Scope, Template, TemplatePart, Value};
use portway_model::limit::Limit;
use portway_model::settings::{ErrorPageSource, Password};
use portway_model::snapshot::{
    ErrorPage, Listener, Rules, Snapshot, Target, TargetGroup, Userlist,
};
use portway_model::span::Span;
use portway_model::stage::Resolved;

/// Everything in `snapshot` that is understood but not run, as errors of [`Code::NotRun`].
pub fn not_run(snapshot: &Snapshot) -> Diagnostics {
    let mut found = Found {
        diagnostics: Diagnostics::default(),
        place: Span::NONE,
        stream: false,
        on_connection: false,
    };
    snapshot
        .listeners
        .iter()
        .for_each(|listener| found.listener(listener));
    snapshot.groups.iter().for_each(|group| found.group(group));
    for list in &snapshot.userlists {
        found.at(list.origin.0).users(list);
    }
    found.diagnostics
}

/// Collects findings; `place` is that of the object or rule being looked at.
struct Found {
    diagnostics: Diagnostics,
    place: Span,
    /// The listener or group being looked at passes bytes on.
    stream: bool,
    /// The rule being looked at is one on a connection, before requests are read.
    on_connection: bool,
}

impl Found {
    fn at(&mut self, place: Span) -> &mut Self {
        self.place = place;
        self
    }

    fn part(&mut self, what: &str) {
        let message = format!("not run yet: {what}");
        let help = "`portway convert` prints it; `portway run` refuses the whole configuration";
        self.diagnostics
            .push(Diagnostic::error(Code::NotRun, self.place, message).help(help));
    }

    fn users(&mut self, list: &Userlist) {
        for user in &list.users {
            if let Password::Crypt(hash) = &user.password
                && !password::is_known(hash)
            {
                let message = format!(
                    "the password hash of user `{}` is of a kind that is not run",
                    user.name
                );
                let help = "make one with `openssl passwd -6`; $1$, $apr1$, $2a$, $2b$, $2y$, $5$, $6$ and {SHA} are run";
                let wrong = Diagnostic::error(Code::NotRun, self.place, message);
                self.diagnostics.push(wrong.help(help));
            }
        }
    }

    fn part_if(&mut self, needed: bool, what: &str) {
        if needed {
            self.part(what);
        }
    }

    fn listener(&mut self, listener: &Listener) {
        self.stream = !listener.protocol.is_http();
        self.at(listener.origin.0);
        self.pages(&listener.error_pages);
        self.rules(&listener.rules);
    }

    fn pages(&mut self, pages: &[ErrorPage]) {
        for page in pages {
            if let ErrorPageSource::Answer(answer) = &page.page {
                self.at(page.origin.0).template(&answer.body);
                answer
                    .headers
                    .iter()
                    .for_each(|(_, value)| self.template(value));
            }
        }
    }

    fn group(&mut self, group: &TargetGroup) {
        self.stream = !group.protocol.is_http();
        self.at(group.origin.0);
        self.pages(&group.error_pages);
        if let Some(check) = &group.health_check {
            self.at(check.origin.0);
            let destination = |target: &Target| {
                let check = target.check.as_ref();
                let nowhere = check.is_some_and(|check| check.address.is_none());
                nowhere && matches!(target.address, TargetAddress::ClientDestination { .. })
            };
            let nowhere = group.targets.iter().any(destination);
            self.part_if(
                nowhere,
                "a health check of the address that the client connected to",
            );
        }
        self.rules(&group.rules);
    }

    fn rules(&mut self, rules: &Rules) {
        rules.iter().for_each(|rule| self.rule(rule));
    }

    fn rule(&mut self, rule: &Rule<Resolved>) {
        self.at(rule.origin.0);
        self.on_connection = match rule.phase {
            Phase::Connection | Phase::Session => true,
            Phase::ClientHello => self.stream,
            Phase::Request | Phase::Response | Phase::AfterResponse => false,
        };
        self.condition(&rule.condition);
        for action in &rule.actions {
            self.at(rule.origin.0).action(action);
        }
    }

    fn action(&mut self, action: &Action<Resolved>) {
        match action {
            Action::Redirect {
                location: template, ..
            }
            | Action::SetHeader {
                value: template, ..
            }
            | Action::AddHeader {
                value: template, ..
            }
            | Action::SetArgument {
                value: template, ..
            }
            | Action::SetPath(template)
            | Action::SetQuery(template)
            | Action::SetTarget(template)
            | Action::SetUrl(template)
            | Action::SetMethod(template)
            | Action::UseTarget(template)
            | Action::RemoveEntry { key: template, .. }
            | Action::SetVariable {
                value: template, ..
            } => self.template(template),
            Action::PutEntry { key, value, .. } => {
                self.template(key);
                value.iter().for_each(|value| self.template(value));
            }
            Action::ForwardByName { name, .. } => self.template(name),
            Action::Respond(response)
            | Action::Deny(response)
            | Action::Tarpit { response, .. } => {
                if let AnswerBody::Text(body) = &response.body {
                    self.template(body);
                }
                response
                    .headers
                    .iter()
                    .for_each(|(_, value)| self.template(value));
            }
            Action::Capture { value, .. }
            | Action::SetEnd { to: value, .. }
            | Action::SetPriority { to: value, .. } => {
                self.expression(value);
            }
            Action::SetTimeout {
                to: NewTimeout::Milliseconds(number),
                ..
            } => self.expression(number),
            Action::ReplaceHeader { with, .. }
            | Action::ReplacePath { with, .. }
            | Action::ReplaceTarget { with, .. }
            | Action::ReplaceUrl { with, .. } => {
                self.template(with);
            }
            Action::Authorize(asked) => {
                self.template(&asked.target);
                let headers = asked.headers.iter();
                headers.for_each(|(_, value)| self.template(value));
            }
            Action::PageFrom(pages) => {
                let targets = pages.iter().filter_map(|page| page.target.as_ref());
                targets.for_each(|target| self.template(target));
            }
            Action::Service(Service::Metrics) => {}
            Action::Service(Service::Stats(page)) => {
                if let Some(admin) = &page.admin {
                    self.condition(admin);
                }
            }
            Action::Track { key, .. }
            | Action::Stick { key, .. }
            | Action::ForwardByHash { hash: key, .. } => self.expression(key),
            Action::SetMark { to, .. } => self.expression(to),
            Action::Limit(Limit::Rate { key, .. } | Limit::Concurrency { key, .. }) => {
                self.expression(key);
            }
            Action::SetStickiness(_)
            | Action::Increment { .. }
            | Action::Forward(_)
            | Action::HandOver(_)
            | Action::Authenticate { .. }
            | Action::Accept
            | Action::DisableL7Retry
            | Action::ExpectProxy(_)
            | Action::Reject { .. }
            | Action::RemoveHeaders(_)
            | Action::WaitForBody { .. }
            | Action::Limit(Limit::Body { .. } | Limit::Circuit(_))
            | Action::Compress(_)
            | Action::Mirror(_)
            | Action::TraceContext(_)
            | Action::DigestAuth(_)
            | Action::Jwt(_)
            | Action::Cors(_)
            | Action::SecurityHeaders(_)
            | Action::RemoveArgument(_)
            | Action::SetStatus { .. }
            | Action::SetTimeout {
                to: NewTimeout::Fixed(_),
                ..
            }
            | Action::RemoveHeader { .. }
            | Action::StripPrefix(_)
            | Action::AddPrefix(_)
            | Action::Normalize(_)
            | Action::UnsetVariable(_)
            | Action::SetLog(_) => {}
        }
    }

    fn condition(&mut self, condition: &Condition<Resolved>) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| self.condition(part))
            }
            Condition::Not(part) => self.condition(part),
            Condition::Test(test) => {
                if !test.span.is_none() {
                    self.at(test.span);
                }
                self.expression(&test.value.expression);
            }
        }
    }

    fn template(&mut self, template: &Template<Resolved>) {
        for part in &template.0 {
            if let TemplatePart::Expression(expression) = part {
                self.expression(&expression.value);
            }
        }
    }

    fn expression(&mut self, expression: &Expression<Resolved>) {
        let kept = matches!(expression.value, Value::Capture(_))
            || matches!(&expression.value, Value::Variable(it) if it.scope == Scope::Connection);
        if let Some(what) = missing(&expression.value).filter(|_| !(kept && self.on_connection)) {
            self.part(what);
        }
    }
}

/// What a value needs that is not there yet.
fn missing(value: &Value<Resolved>) -> Option<&'static str> {
    match value {
        Value::TargetAddress => Some("the target's address as a value"),
        _ => None,
    }
}
