//! `[process]`: what concerns the process as a whole.

use super::expressions::{Moment, Place, Side};
use super::types::value_word;
use super::{Compiler, Reported, control, default_admin, limits, text};
use crate::action::Phase;
use crate::convert;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::expression::{Scope, Template, TemplatePart, Value, Variable};
use crate::name::Name;
use crate::settings::Protocol;
use crate::snapshot::Process;
use crate::span::Spanned;
use crate::stage::{Named, Resolved};

impl Compiler<'_> {
    pub(super) fn process(&mut self) -> Process {
        if let Some(traces) = &self.draft.process.traces {
            self.check_traces(traces);
        }
        let draft = &self.draft.process;
        let variables = self.initial_variables();
        self.check_log_destinations(&draft.log);
        let found = &mut self.found;
        limits::given_within(found, "workers", draft.workers, (0, limits::MAX_WORKERS));
        let memory = (limits::MIN_MEMORY, limits::MAX_MEMORY);
        limits::given_within(found, "max_memory", draft.max_memory, memory);
        limits::given_within(found, "max_pipes", draft.max_pipes, (0, limits::MAX_PIPES));
        for (what, value) in [
            ("a user", &draft.user),
            ("a group", &draft.group),
            ("the name of this machine", &draft.node),
            ("the zone", &draft.zone),
            ("a description", &draft.description),
        ] {
            check_line(found, what, value.as_ref());
        }
        if let Some(file) = &draft.pid_file {
            text::check_file(found, "the pid file", &file.value, file.span);
        }
        if let Some(folder) = &draft.chroot {
            text::check_path(found, "the new root", &folder.value, folder.span);
        }
        let line = |value: &Option<Spanned<String>>| value.as_ref().map(|it| it.value.clone());
        Process {
            workers: draft.workers.map_or(0, |x| x.value),
            admin: draft.admin.map_or_else(default_admin, |x| x.value),
            max_connections: draft.max_connections.map_or(0, |x| x.value),
            max_memory: draft.max_memory.map_or(0, |x| x.value),
            max_pipes: draft.max_pipes.map_or(defaults::MAX_PIPES, |x| x.value),
            strict_limits: draft.strict_limits.is_none_or(|x| x.value),
            max_connection_rate: draft.max_connection_rate.map_or(0, |x| x.value),
            max_session_rate: draft.max_session_rate.map_or(0, |x| x.value),
            max_tls_rate: draft.max_tls_rate.map_or(0, |x| x.value),
            max_tls_connections: draft.max_tls_connections.map_or(0, |x| x.value),
            ready_delay: limits::duration_or_zero(
                found,
                "the ready delay",
                draft.ready_delay,
                defaults::READY_DELAY,
            ),
            shutdown_deadline: limits::duration_or_zero(
                found,
                "the shutdown deadline",
                draft.shutdown_deadline,
                defaults::SHUTDOWN_DEADLINE,
            ),
            drain_deadline: limits::duration_or_zero(
                found,
                "the drain deadline",
                draft.drain_deadline,
                defaults::DRAIN_DEADLINE,
            ),
            zone: line(&draft.zone),
            user: draft.user.clone(),
            group: draft.group.clone(),
            chroot: draft.chroot.clone(),
            pid_file: draft.pid_file.clone(),
            daemon: draft.daemon.is_some_and(|x| x.value),
            master: draft.master.is_some_and(|x| x.value),
            max_reloads: draft.max_reloads.map(|x| x.value),
            node: line(&draft.node),
            description: line(&draft.description),
            // What is wrong with them has been reported.
            variables: variables.unwrap_or_default(),
            log: super::log::destinations(&draft.log),
            traces: draft.traces.clone(),
            control_sockets: control::sockets(found, &draft.control_sockets),
            control_timeout: limits::duration(
                found,
                "the timeout of control sockets",
                draft.control_timeout,
                defaults::CONTROL_TIMEOUT,
            ),
            control_connections: control::connections(found, draft.control_connections),
        }
    }

    /// Variables with values that are known before anybody has come.
    fn initial_variables(&mut self) -> Result<Vec<(Name, Template<Resolved>)>, Reported> {
        let mut variables = Vec::new();
        for (name, value) in &self.draft.process.variables {
            let place = Place {
                moment: Moment::Phase(Phase::Connection),
                side: Side::Listener(Protocol::Tcp),
                span: if value.span.is_none() {
                    name.span
                } else {
                    value.span
                },
            };
            let variable = Variable {
                scope: Scope::Process,
                name: name.value.clone(),
            };
            self.check_variable_set(place, &variable);
            self.check_template(place, &value.value);
            for part in &value.value.0 {
                if let TemplatePart::Expression(expression) = part
                    && !is_known_at_start(&expression.value.value)
                {
                    let word = value_word(&expression.value.value);
                    let message = format!("{word} is not known when the process starts");
                    self.found
                        .push(Diagnostic::error(Code::WrongPhase, place.span, message));
                }
            }
            let value = convert::template(self, &value.value)?;
            variables.push((name.value.clone(), value));
        }
        Ok(variables)
    }
}

fn is_known_at_start(value: &Value<Named>) -> bool {
    match value {
        Value::Text(_)
        | Value::Number(_)
        | Value::Boolean(_)
        | Value::Address(_)
        | Value::Environment(_)
        | Value::Hostname
        | Value::Now
        | Value::NowMicroseconds
        | Value::Uuid
        | Value::Random(_) => true,
        Value::Variable(variable) => variable.scope == Scope::Process,
        _ => false,
    }
}

/// Reports a text that is empty or holds more than a line.
pub(super) fn check_line(found: &mut Diagnostics, what: &str, value: Option<&Spanned<String>>) {
    let Some(text) = value else {
        return;
    };
    if text.value.is_empty() || text.value.chars().any(char::is_control) {
        let message = format!("`{}` cannot be {what}", text.value.escape_debug());
        found.push(
            Diagnostic::error(Code::OutOfRange, text.span, message)
                .help("write one line that is not empty"),
        );
    }
}
