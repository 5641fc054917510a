//! Conditions, expressions and templates: compared with what they can equal, read where they are known.

use super::Compiler;
use super::limits::{self, TRACK_SLOTS};
use super::matched::{have_group, written};
use super::names;
use super::never;
use super::text::{Use, check_header_name, check_text, check_token};
use super::types::{Kind, kind_of, known, lives, phase_word, transformed, value_word};
use crate::action::Phase;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::{
    CertificateField, ChunkForm, Condition, Counter, CounterEntry, Expression, HeaderPart, Matched,
    Matcher, NumberRange, Operand, Operation, Scope, Template, TemplatePart, Test, Touch,
    Transform, Value, Variable, Within,
};
use crate::first_answer::AnswerPart;
use crate::name::Name;
use crate::settings::{KeyType, MapMatch, Protocol};
use crate::span::{Span, Spanned};
use crate::stage::Named;

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// By a rule, or as a key in time for it.
    Phase(Phase),
    /// When the access record is written.
    Log,
    /// While a target is checked.
    Check,
}

/// For whom an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Listener(Protocol),
    Group(Protocol),
}

/// Where an expression stands: when it is evaluated, for whom, and the text around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) moment: Moment,
    pub(super) side: Side,
    pub(super) span: Span,
}

impl Place {
    /// The same moment, at a text of its own where it has one.
    fn at(self, span: Span) -> Self {
        Self {
            span: if span.is_none() { self.span } else { span },
            ..self
        }
    }

    fn error(self, code: Code, message: String) -> Diagnostic {
        Diagnostic::error(code, self.span, message)
    }
}

/// Whether a value is known while what a target of a stream has sent first is looked at.
fn of_answered_stream(value: &Value<Named>, group: bool) -> bool {
    match value {
        Value::WaitEnded
        | Value::GroupName
        | Value::TargetName
        | Value::TargetCertificate(_)
        | Value::TargetTls(_)
        | Value::OfAnswer(_) => true,
        Value::Variable(variable) => variable.scope != Scope::Check,
        Value::WithSource(of) => of_answered_stream(&of.value, group),
        Value::Matched(matched) => matched
            .within
            .as_ref()
            .is_none_or(|it| of_answered_stream(&it.expression.value, group)),
        other => known(other, group).0 <= Phase::Session,
    }
}

/// Most bytes of the length before a block: it is counted in 32 bits.
const MAX_LENGTH_BYTES: u8 = 4;

fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A range whose end is before its beginning.
pub(super) fn reversed(range: &NumberRange, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::OutOfRange,
        span,
        format!("the range from {} to {} is empty", range.min, range.max),
    )
    .help(format!("write {}-{}", range.max, range.min))
}

impl Compiler<'_> {
    pub(super) fn check_condition(&mut self, place: Place, condition: &Condition<Named>) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                for part in parts {
                    self.check_condition(place, part);
                }
            }
            Condition::Not(part) => self.check_condition(place, part),
            Condition::Test(test) => self.check_test(place.at(test.span), &test.value),
        }
    }

    fn check_test(&mut self, place: Place, test: &Test<Named>) {
        let Some(kind) = self.check_expression(place, &test.expression) else {
            return;
        };
        let (fits, other, help) = match &test.matcher {
            Matcher::Present => return,
            Matcher::True => (kind != Kind::Address, "true", "compare it with a network"),
            Matcher::Text { .. } => (kind.may_be_text(), "a text", helps(kind)),
            Matcher::Regex { .. } => (kind.may_be_text(), "a regular expression", helps(kind)),
            Matcher::Number { .. } => (kind.may_be_number(), "a number", helps(kind)),
            Matcher::Address { .. } => (kind.may_be_address(), "a network", helps(kind)),
            Matcher::Listed { list } => {
                let address = self.compare_of(list) == Some(MapMatch::Address);
                let fits = !address || kind.may_be_address();
                (fits, "networks", "take a list of texts")
            }
        };
        if !fits {
            let looked_at = value_word(&test.expression.value);
            let which = if test.expression.transforms.is_empty() {
                format!("{looked_at} is {}", kind.word())
            } else {
                format!("what is made of {looked_at} is {}", kind.word())
            };
            let message = format!("{which} and cannot be compared with {other}");
            self.found
                .push(place.error(Code::WrongComparison, message).help(help));
        }
        self.check_operands(place, &test.matcher);
        for never in never::of_test(test) {
            let warning = Diagnostic::warning(Code::NeverMatches, place.span, never.message);
            self.found.push(warning.help(never.help));
        }
    }

    fn check_operands(&mut self, place: Place, matcher: &Matcher<Named>) {
        let empty = match matcher {
            Matcher::Text { any_of, .. } => any_of.is_empty(),
            Matcher::Regex { any_of } => any_of.is_empty(),
            Matcher::Number { any_of } => any_of.is_empty(),
            Matcher::Address { any_of } => any_of.is_empty(),
            Matcher::Present | Matcher::True | Matcher::Listed { .. } => false,
        };
        if empty {
            let message = "a comparison with nothing".to_owned();
            self.found.push(place.error(Code::Missing, message));
        }
        if let Matcher::Number { any_of } = matcher {
            for range in any_of.iter().filter(|range| range.min > range.max) {
                self.found.push(reversed(range, place.span));
            }
        }
    }

    fn compare_of(&self, map: &Spanned<Name>) -> Option<MapMatch> {
        let index = self.names.index(names::Kind::Map, map.value.as_str())?;
        let map = self.draft.maps.get(index)?;
        Some(
            map.compare
                .map_or(defaults::MAP_COMPARE, |compare| compare.value),
        )
    }

    /// Checks an expression and says what it gives, `None` where that was an error.
    pub(super) fn check_expression(
        &mut self,
        place: Place,
        expression: &Expression<Named>,
    ) -> Option<Kind> {
        self.check_known(place, &expression.value);
        self.check_value(place, &expression.value);
        let mut kind = Some(kind_of(&expression.value));
        for transform in &expression.transforms {
            self.check_transform(place, transform);
            if let Some(before) = kind {
                kind = self.check_step(place, &expression.value, before, transform);
            }
        }
        kind
    }

    fn check_step(
        &mut self,
        place: Place,
        value: &Value<Named>,
        before: Kind,
        transform: &Transform<Named>,
    ) -> Option<Kind> {
        let takes = match transform {
            Transform::Map { map, .. }
                if self.compare_of(map) == Some(MapMatch::Address) && !before.may_be_address() =>
            {
                "an address"
            }
            _ => match transformed(before, transform) {
                Ok(kind) => return Some(kind),
                Err(takes) => takes,
            },
        };
        let message = format!(
            "{} gives {} where {takes} is needed",
            value_word(value),
            before.word()
        );
        self.found.push(place.error(Code::WrongComparison, message));
        None
    }

    /// Reports a value that is not known at this moment.
    fn check_known(&mut self, place: Place, value: &Value<Named>) {
        let (protocol, group) = match place.side {
            Side::Listener(protocol) => (protocol, false),
            Side::Group(protocol) => (protocol, true),
        };
        if let (Value::HelloSni | Value::HelloAlpn, true) = (value, protocol.is_tls() && !group) {
            let message = format!("{} is not kept where TLS is terminated", value_word(value));
            let help = "take the server name or ALPN protocol of the connection instead";
            let warning = Diagnostic::warning(Code::NeverMatches, place.span, message);
            self.found.push(warning.help(help));
        }
        let word = value_word(value);
        let wrong = match (place.moment, value) {
            (Moment::Phase(_) | Moment::Log, Value::Variable(variable))
                if variable.scope == Scope::Check =>
            {
                (
                    format!("{word} is known in health checks only"),
                    "give it the scope of the exchange".to_owned(),
                )
            }
            (Moment::Check, Value::Variable(variable))
                if !matches!(variable.scope, Scope::Check | Scope::Process) =>
            {
                (
                    format!("{word} is not known in health checks"),
                    "give it the scope of the check".to_owned(),
                )
            }
            (Moment::Check, Value::GroupName | Value::TargetName | Value::TargetAddress) => return,
            (Moment::Check, value)
                if matches!(known(value, group).0, Phase::ClientHello | Phase::Request) =>
            {
                (
                    format!("{word} is not known in health checks"),
                    "take it from the response, or from a variable of the check".to_owned(),
                )
            }
            (Moment::Log, Value::Variable(variable))
                if matches!(variable.scope, Scope::Request | Scope::Response) =>
            {
                (
                    format!("{word} is gone when the exchange ends"),
                    "give it the scope of the exchange".to_owned(),
                )
            }
            (Moment::Phase(Phase::Response), value) if group && !protocol.is_http() => {
                if of_answered_stream(value, group) {
                    return;
                }
                (
                    format!("{word} is not known in the response phase of a stream"),
                    "what the target sends first is, as in `response_hello_type`; keep what the client sent in a variable"
                        .to_owned(),
                )
            }
            (Moment::Phase(_) | Moment::Log, Value::OfAnswer(_)) => (
                format!("{word} is known in the response phase of a tcp target group alone"),
                "of an HTTP response there are `status`, `response_header` and others".to_owned(),
            ),
            (Moment::Phase(phase), value) => {
                let (from, to) = known(value, group);
                // Where requests are read, the request head is there in this phase.
                let head = phase == Phase::ClientHello && protocol.is_http();
                let reached = if head { Phase::Request } else { phase };
                if reached < from {
                    (
                        format!("{word} is not known in the {}", phase_word(phase)),
                        format!("it is known from the {} on", phase_word(from)),
                    )
                } else if phase > to {
                    (
                        format!("{word} is gone in the {}", phase_word(phase)),
                        "give it the scope of the exchange".to_owned(),
                    )
                } else {
                    return;
                }
            }
            (Moment::Log | Moment::Check, _) => return,
        };
        let found = match (place.moment, value) {
            // It is absent then, as for HAProxy.
            (Moment::Phase(_) | Moment::Log, Value::Variable(variable))
                if variable.scope != Scope::Check =>
            {
                Diagnostic::warning(Code::WrongPhase, place.span, wrong.0)
            }
            _ => place.error(Code::WrongPhase, wrong.0),
        };
        self.found.push(found.help(wrong.1));
    }

    /// Reports arguments of a fetch that cannot be.
    fn check_value(&mut self, place: Place, value: &Value<Named>) {
        let span = place.span;
        self.wanted.note(value, span);
        match value {
            Value::Header(name)
            | Value::HeaderPart { name, .. }
            | Value::HeaderCount {
                name: Some(name), ..
            }
            | Value::Bearer(Some(name))
            | Value::ResponseHeader(name) => {
                check_header_name(&mut self.found, name, span);
                if let Value::HeaderPart {
                    part: HeaderPart::Line(0) | HeaderPart::Item(Some(0)),
                    ..
                } = value
                {
                    let wrong = place.error(Code::OutOfRange, "there is no header 0".to_owned());
                    self.found
                        .push(wrong.help("count from 1, or from the end with -1"));
                }
            }
            Value::Cookie(name) | Value::ResponseCookie(name) => {
                check_token(&mut self.found, "the name of a cookie", name, span);
            }
            Value::Variable(variable) => self.check_variable_name(place, variable),
            Value::Environment(name) if name.is_empty() || name.contains(['=', '\0']) => {
                let message = format!("`{}` names no environment variable", name.escape_debug());
                self.found.push(place.error(Code::OutOfRange, message));
            }
            Value::Random(0) => {
                let message = "a random number below 0".to_owned();
                let wrong = place.error(Code::OutOfRange, message);
                self.found.push(wrong.help("say a bound of at least 1"));
            }
            Value::Counter { counter, of, touch } => {
                self.check_counter(place, *counter, of);
                self.check_touch(place, *counter, *touch);
            }
            Value::OfEntry { of, .. } => self.check_entry(place, of),
            Value::WithSource(of) => {
                self.check_expression(place, of);
            }
            Value::Matched(matched) => self.check_matched(place, matched),
            Value::ClientCertificate(
                CertificateField::SubjectPart(part) | CertificateField::IssuerPart(part),
            )
            | Value::ShownCertificate(
                CertificateField::SubjectPart(part) | CertificateField::IssuerPart(part),
            )
            | Value::TargetCertificate(
                CertificateField::SubjectPart(part) | CertificateField::IssuerPart(part),
            ) if part.occurrence == 0 || !is_attribute(&part.attribute) => {
                let message = "no attribute of a name".to_owned();
                let wrong = place.error(Code::OutOfRange, message);
                let help = "say its short name, such as `CN`, and which of several, from 1 or -1";
                self.found.push(wrong.help(help));
            }
            Value::PayloadBlock { length_bytes, .. }
            | Value::OfAnswer(AnswerPart::Block { length_bytes, .. }) => {
                let range = (1, MAX_LENGTH_BYTES);
                limits::within(&mut self.found, "a length", *length_bytes, range, span);
            }
            _ => {}
        }
    }

    fn check_matched(&mut self, place: Place, matched: &Matched<Named>) {
        let (message, help) = match &matched.within {
            None => (
                format!(
                    "`{}` is what a regular expression of a rule's condition finds, and here is none",
                    written(&matched.group)
                ),
                "compare with one in `when`, or say of what it is: matched(1, path, `^/a/(.*)$`)",
            ),
            Some(Within { expression, any_of }) => {
                self.check_expression(place, expression);
                if have_group(any_of, &matched.group) != Some(false) {
                    return;
                }
                let which = written(&matched.group);
                (
                    format!("no regular expression here has the group of `{which}`"),
                    "groups are counted from 1 by their parentheses, `(…)`, and have names as `(?<year>…)`",
                )
            }
        };
        self.found
            .push(place.error(Code::OutOfRange, message).help(help));
    }

    fn check_variable_name(&mut self, place: Place, variable: &Variable) {
        let name = variable.name.as_str();
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let message = format!("`{}` names no variable", name.escape_debug());
            let wrong = place.error(Code::OutOfRange, message);
            self.found
                .push(wrong.help("white space and control characters are not allowed"));
        }
    }

    /// Reports a variable that a rule sets to no effect at this moment.
    pub(super) fn check_variable_set(&mut self, place: Place, variable: &Variable) {
        self.check_variable_name(place, variable);
        let Moment::Phase(phase) = place.moment else {
            return;
        };
        let (from, to) = lives(variable.scope);
        if phase < from || phase > to {
            let message = format!(
                "the variable `{}` does not live in the {}",
                variable.name,
                phase_word(phase)
            );
            let found = match variable.scope {
                Scope::Check => place.error(Code::WrongPhase, message),
                _ => Diagnostic::warning(Code::WrongPhase, place.span, message),
            };
            let help = match phase {
                Phase::Connection => "give it the scope of the connection",
                _ => "give it the scope of the exchange",
            };
            self.found.push(found.help(help));
        }
    }

    fn check_touch(&mut self, place: Place, counter: Counter, touch: Touch) {
        let may = match touch {
            Touch::Read => true,
            Touch::Raise => matches!(counter, Counter::General(_) | Counter::Connections),
            Touch::Clear => matches!(counter, Counter::General(_)),
        };
        if !may {
            let message = "only general counters are changed by asking for them".to_owned();
            self.found.push(place.error(Code::OutOfRange, message));
        }
    }

    fn check_entry(&mut self, place: Place, of: &CounterEntry<Named>) {
        match of {
            CounterEntry::Tracked(slot) | CounterEntry::TrackedKey { slot, .. } => {
                self.check_slot(place, *slot);
            }
            CounterEntry::Key { table, key } => self.check_key(place, key, table),
        }
    }

    fn check_counter(&mut self, place: Place, counter: Counter, of: &CounterEntry<Named>) {
        self.check_entry(place, of);
        let (CounterEntry::Key { table, .. } | CounterEntry::TrackedKey { table, .. }) = of else {
            return;
        };
        let tables = self
            .names
            .index(names::Kind::StickTable, table.value.as_str());
        let Some(table) = tables.and_then(|index| self.draft.stick_tables.get(index)) else {
            return;
        };
        let mut stored = table.store.iter();
        if !stored.any(|stored| stored.value.counter == counter) {
            let message = format!(
                "stick table `{}` does not store this counter, so it is always absent",
                table.name.value
            );
            let wrong = Diagnostic::warning(Code::Missing, place.span, message);
            self.found.push(
                wrong
                    .label(table.name.span, "the table is here")
                    .help("add the counter to its `store`"),
            );
        }
    }

    /// Reports a slot for tracked entries that is not there.
    pub(super) fn check_slot(&mut self, place: Place, slot: u8) {
        let range = (0, TRACK_SLOTS - 1);
        limits::within(&mut self.found, "a slot", slot, range, place.span);
    }

    /// Checks the key of a stick table's entry.
    pub(super) fn check_key(
        &mut self,
        place: Place,
        key: &Expression<Named>,
        table: &Spanned<Name>,
    ) {
        let kind = self.check_expression(place, key);
        let index = self
            .names
            .index(names::Kind::StickTable, table.value.as_str());
        let table = index.and_then(|index| self.draft.stick_tables.get(index));
        let (Some(kind), Some(table)) = (kind, table) else {
            return;
        };
        let Some(wanted) = table.key else { return };
        let (fits, wanted_word) = match wanted.value {
            KeyType::Address | KeyType::Address6 => (kind.may_be_address(), "addresses"),
            KeyType::Number => (kind.may_be_number(), "numbers"),
            KeyType::Text { .. } | KeyType::Binary { .. } => (true, "texts"),
        };
        if !fits {
            let message = format!(
                "{} is {}, and the keys of stick table `{}` are {wanted_word}",
                value_word(&key.value),
                kind.word(),
                table.name.value
            );
            let wrong = place.error(Code::WrongComparison, message);
            self.found
                .push(wrong.label(wanted.span, "its keys are given here"));
        }
    }

    fn check_transform(&mut self, place: Place, transform: &Transform<Named>) {
        if let Transform::JwtVerify(verify) = transform {
            self.check_verified(place, verify);
        }
        if let Transform::Replace { pattern, with, .. } = transform {
            self.check_replaced(place, &pattern.value, with);
        }
        let (wrong, help) = match transform {
            Transform::Field { index: 0, .. } | Transform::Word { index: 0, .. } => (
                "there is no field 0",
                "count from 1, or from the end with -1",
            ),
            Transform::Field { delimiters, .. } | Transform::Word { delimiters, .. }
                if delimiters.is_empty() =>
            {
                (
                    "fields without a delimiter",
                    "say which characters are between fields",
                )
            }
            Transform::Calculate(Operation::Modulo | Operation::Divide, Operand::Number(0)) => {
                ("a division by zero", "divide by another number")
            }
            Transform::Chunks(chunks) if chunks.size == 0 => {
                ("numbers of no bytes", "say of how many bytes each is")
            }
            Transform::Chunks(chunks) if chunks.form == ChunkForm::Decimal && chunks.size > 8 => {
                ("decimal numbers of more than 8 bytes", "from 1 to 8")
            }
            Transform::MapGroups { map, .. }
                if !matches!(self.compare_of(map), Some(MapMatch::Regex) | None) =>
            {
                (
                    "groups of a map that holds no regular expressions",
                    "use `map`, or `match = \"regex\"` in the map",
                )
            }
            Transform::Json(path) | Transform::JwtHeader(path) | Transform::JwtPayload(path)
                if !path.starts_with('$') =>
            {
                ("a JSON path begins with `$`", "write it like `$.a.b`")
            }
            _ => return,
        };
        self.found
            .push(place.error(Code::OutOfRange, wrong.to_owned()).help(help));
    }

    pub(super) fn check_template(&mut self, place: Place, template: &Template<Named>) {
        for part in &template.0 {
            if let TemplatePart::Expression(inner) = part {
                self.check_expression(place.at(inner.span), &inner.value);
            }
        }
    }

    /// As [`Self::check_template`], and that its texts may stand where they are written.
    pub(super) fn check_written(
        &mut self,
        place: Place,
        what: &str,
        template: &Template<Named>,
        used: Use,
    ) {
        self.check_template(place, template);
        for part in &template.0 {
            if let TemplatePart::Text(text) = part {
                check_text(&mut self.found, what, text, used, place.span);
            }
        }
    }
}

/// What to compare a value of this kind with.
fn helps(kind: Kind) -> &'static str {
    match kind {
        Kind::Word | Kind::Text => "compare it with a text",
        Kind::Number => "compare it with a number or a range of numbers",
        Kind::Address => "compare it with an address or a network",
        Kind::Boolean => "it is true or false by itself",
    }
}
