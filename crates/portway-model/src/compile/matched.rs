//! `matched(1)` in the actions of a rule stands for what its condition found: here it is said in which value, and by which
//! regular expression.
//!
//! The first action of a rule looks for itself. Those after it may find the request changed, so what they name is kept in
//! variables before all of them, whose names no rule sets by itself.

use super::Compiler;
use super::expressions::Place;
use crate::action::{Action, Phase, Places, Rule};
use crate::convert::{self, Convert};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::Draft;
use crate::expression::{
    Condition, Expression, MatchGroup, Matched, Matcher, Scope, Template, TemplatePart, Test,
    Value, Variable, Within,
};
use crate::name::Name;
use crate::pattern::Pattern;
use crate::replacement;
use crate::span::{Span, Spanned};
use crate::stage::Named;
use std::borrow::Cow;
use std::collections::HashSet;
use std::convert::Infallible;

/// How the names begin of the variables that are made here.
const PREFIX: &str = "matched_";

/// The same rules, where it is said for each `matched(…)` what it is of. `taken`: [`set_by_rules`] of the draft, once it is known.
pub(super) fn settle<'d>(
    draft: &Draft,
    taken: &mut Option<HashSet<Name>>,
    rules: &'d [Rule<Named>],
    found: &mut Diagnostics,
) -> Cow<'d, [Rule<Named>]> {
    if rules.iter().all(|rule| tests(&rule.condition).is_empty()) {
        return Cow::Borrowed(rules);
    }
    let taken = taken.get_or_insert_with(|| set_by_rules(draft));
    let settled = rules.iter().map(|rule| settled(rule, taken, found));
    settled.collect()
}

/// Names of variables that rules set: of any listener and group, since an exchange sees the rules of both.
fn set_by_rules(draft: &Draft) -> HashSet<Name> {
    let of_listeners = draft.listeners.iter().flat_map(|it| &it.rules);
    let rules = of_listeners.chain(draft.groups.iter().flat_map(|it| &it.rules));
    let mut unsaid = Diagnostics::default();
    let mut walk = Settling {
        tests: Vec::new(),
        scope: Scope::Exchange,
        span: Span::NONE,
        taken: &HashSet::new(),
        found: &mut unsaid,
        is_first: true,
        kept: Vec::new(),
        set: HashSet::new(),
    };
    for rule in rules {
        let Ok(_) = convert::rule(&mut walk, rule);
    }
    walk.set
}

fn settled(rule: &Rule<Named>, taken: &HashSet<Name>, found: &mut Diagnostics) -> Rule<Named> {
    let mut settling = Settling {
        tests: tests(&rule.condition),
        scope: match rule.phase {
            Phase::Connection | Phase::Session | Phase::ClientHello => Scope::Connection,
            Phase::Request | Phase::Response | Phase::AfterResponse => Scope::Exchange,
        },
        span: rule.origin.0,
        taken,
        found,
        is_first: true,
        kept: Vec::new(),
        set: HashSet::new(),
    };
    if settling.tests.is_empty() {
        return rule.clone();
    }
    let mut actions = Vec::with_capacity(rule.actions.len());
    for (index, action) in rule.actions.iter().enumerate() {
        settling.span = rule.place_of(index);
        let Ok(action) = convert::action(&mut settling, action);
        actions.push(action);
        settling.is_first = false;
    }
    let kept: Vec<_> = settling.kept.into_iter().flat_map(keep).collect();
    let own = (0..rule.actions.len()).map(|index| rule.place_of(index));
    let places = kept.iter().map(|_| Span::NONE).chain(own).collect();
    Rule {
        phase: rule.phase,
        condition: rule.condition.clone(),
        actions: kept.into_iter().chain(actions).collect(),
        origin: rule.origin,
        places: Places(places),
    }
}

/// The actions that keep a value in a variable, which is not set where the value is absent.
fn keep((variable, value): (Variable, Value<Named>)) -> [Action<Named>; 2] {
    let value = TemplatePart::Expression(Spanned::bare(value.into()));
    [
        Action::UnsetVariable(variable.clone()),
        Action::SetVariable {
            variable,
            value: Template(vec![value]),
        },
    ]
}

/// The comparisons with regular expressions of a condition that may hold where it does.
fn tests(condition: &Condition<Named>) -> Vec<&Test<Named>> {
    let mut tests = Vec::new();
    let mut conditions = vec![condition];
    while let Some(condition) = conditions.pop() {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => conditions.extend(parts),
            Condition::Not(_) => {}
            Condition::Test(test) => {
                if matches!(test.value.matcher, Matcher::Regex { .. }) {
                    tests.push(&test.value);
                }
            }
        }
    }
    tests
}

fn patterns(test: &Test<Named>) -> &[Spanned<String>] {
    match &test.matcher {
        Matcher::Regex { any_of } => any_of,
        _ => &[],
    }
}

/// Whether one of these has the group; `None` where one of them is none, which is said elsewhere.
pub(super) fn have_group(patterns: &[Spanned<String>], group: &MatchGroup) -> Option<bool> {
    let mut have = false;
    for pattern in patterns {
        have |= Pattern::new(&pattern.value).ok()?.has_group(group);
    }
    Some(have)
}

/// Whether the group goes by a number in all of these and has a name too.
fn is_named(patterns: &[Spanned<String>], group: &MatchGroup) -> bool {
    let MatchGroup::Number(number) = group else {
        return false;
    };
    let mut patterns = patterns.iter().map(|it| Pattern::new(&it.value));
    patterns.all(|it| it.is_ok_and(|it| it.is_named(*number)))
}

impl Compiler<'_> {
    /// Groups that a replacement names and that are not there: nothing would stand in their place.
    pub(super) fn check_replacement(
        &mut self,
        place: Place,
        pattern: &Spanned<String>,
        with: &Template<Named>,
    ) {
        for part in &with.0 {
            match part {
                TemplatePart::Text(text) => self.check_replaced(place, &pattern.value, text),
                TemplatePart::Expression(inner) => {
                    if let (Value::Number(number), []) =
                        (&inner.value.value, inner.value.transforms.as_slice())
                    {
                        let message =
                            format!("`${{{number}}}` is the number {number} here, and no group");
                        let help = format!(
                            "write `${number}`, or `$${{{number}}}` where letters or digits follow; for a number, {number}"
                        );
                        let place = if inner.span.is_none() {
                            place.span
                        } else {
                            inner.span
                        };
                        let wrong = Diagnostic::error(Code::OutOfRange, place, message);
                        self.found.push(wrong.help(help));
                    }
                }
            }
        }
    }

    /// The same of a text.
    pub(super) fn check_replaced(&mut self, place: Place, pattern: &str, text: &str) {
        for missing in replacement::missing_groups(pattern, text) {
            let written = text.get(missing.range.clone()).unwrap_or_default();
            let message =
                format!("`{pattern}` has no group `{written}`: nothing would stand there");
            let help = match missing.number_meant() {
                Some(number) => {
                    let rest = written.get(1 + number.len()..).unwrap_or_default();
                    format!(
                        "letters and digits behind `$` are one name: write `$${{{number}}}{rest}` in a template, \
                         `${{{number}}}{rest}` in `replace(…)`; `$$` is a dollar"
                    )
                }
                None => "groups are counted from 1 by their parentheses, `(…)`, and have names as `(?<year>…)`; `$0` is all \
                         that is found, `$$` a dollar"
                    .to_owned(),
            };
            let wrong = Diagnostic::error(Code::OutOfRange, place.span, message);
            self.found.push(wrong.help(help));
        }
    }
}

/// As it is written.
pub(super) fn written(group: &MatchGroup) -> String {
    match group {
        MatchGroup::Number(number) => format!("matched({number})"),
        MatchGroup::Name(name) => format!("matched(`{name}`)"),
    }
}

/// The walk over the actions of a rule.
struct Settling<'r> {
    tests: Vec<&'r Test<Named>>,
    scope: Scope,
    span: Span,
    taken: &'r HashSet<Name>,
    found: &'r mut Diagnostics,
    is_first: bool,
    kept: Vec<(Variable, Value<Named>)>,
    /// Names of variables that are set.
    set: HashSet<Name>,
}

impl Settling<'_> {
    /// The variable that keeps a value: of this name, with as many `_` behind it as make it nobody else's.
    fn kept_in(&mut self, name: String, value: Value<Named>) -> Variable {
        if let Some((kept, _)) = self.kept.iter().find(|(_, kept)| *kept == value) {
            return kept.clone();
        }
        let mut name = Name::new(name);
        while self.taken.contains(&name) || self.kept.iter().any(|(it, _)| it.name == name) {
            name = Name::new(format!("{}_", name.as_str()));
        }
        let variable = Variable {
            scope: self.scope,
            name,
        };
        self.kept.push((variable.clone(), value));
        variable
    }

    /// The comparison that has the group; of several one where it has a number only. What is wrong is said.
    fn test_with(&mut self, group: &MatchGroup) -> Option<&Test<Named>> {
        let mut with = Vec::new();
        for test in &self.tests {
            if have_group(patterns(test), group)? {
                with.push(*test);
            }
        }
        if with.len() > 1 {
            let named = |test: &&Test<Named>| !is_named(patterns(test), group);
            let unnamed: Vec<_> = with.iter().copied().filter(named).collect();
            with = if unnamed.is_empty() { with } else { unnamed };
        }
        let (message, help) = match with.as_slice() {
            [test] => return Some(test),
            [] => (
                format!(
                    "no regular expression of this condition has the group of `{}`",
                    written(group)
                ),
                "groups are counted from 1 by their parentheses, `(…)`, and have names as `(?<year>…)`",
            ),
            _ => (
                format!("`{}` may be of several regular expressions", written(group)),
                "give groups names, `(?<year>…)`, and say which: matched(`year`)",
            ),
        };
        let wrong = Diagnostic::error(Code::OutOfRange, self.span, message);
        self.found.push(wrong.help(help));
        None
    }
}

impl Convert for Settling<'_> {
    type Before = Named;
    type After = Named;
    type Failure = Infallible;

    fn matched(&mut self, matched: &Matched<Named>) -> Result<Value<Named>, Infallible> {
        let group = matched.group.clone();
        if matched.within.is_some() {
            return Ok(Value::Matched(Box::new(matched.clone())));
        }
        let Some(test) = self.test_with(&group) else {
            // Reported.
            return Ok(Value::Text(String::new()));
        };
        let within = Some(Within {
            expression: Expression {
                value: test.expression.value.clone(),
                transforms: test.expression.transforms.clone(),
            },
            any_of: patterns(test).to_vec(),
        });
        let name = match &group {
            MatchGroup::Number(number) => format!("{PREFIX}{number}"),
            MatchGroup::Name(name) => format!("{PREFIX}{name}"),
        };
        let value = Value::Matched(Box::new(Matched { group, within }));
        if self.is_first {
            return Ok(value);
        }
        Ok(Value::Variable(self.kept_in(name, value)))
    }

    fn sets(&mut self, variable: &Variable) {
        self.set.insert(variable.name.clone());
    }

    fn listener(&mut self, listener: &Spanned<Name>) -> Result<Spanned<Name>, Infallible> {
        Ok(listener.clone())
    }

    fn group(&mut self, group: &Spanned<Name>) -> Result<Spanned<Name>, Infallible> {
        Ok(group.clone())
    }

    fn stick_table(&mut self, table: &Spanned<Name>) -> Result<Spanned<Name>, Infallible> {
        Ok(table.clone())
    }

    fn map(&mut self, map: &Spanned<Name>) -> Result<Spanned<Name>, Infallible> {
        Ok(map.clone())
    }

    fn userlist(&mut self, userlist: &Spanned<Name>) -> Result<Spanned<Name>, Infallible> {
        Ok(userlist.clone())
    }

    fn pattern(&mut self, pattern: &Spanned<String>) -> Result<Spanned<String>, Infallible> {
        Ok(pattern.clone())
    }
}
