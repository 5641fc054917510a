//! Parameters: their types, what values they allow, and what they come to.

use super::evaluate::Evaluator;
use super::given::{Kind, Unset};
use super::template::as_text;
use super::value::{Node, Value};
use crate::tree::{Content, Entry, Item, Table};
use crate::unknown_word;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Span;
use portway_model::stage::Pattern;

/// Types of AWS whose values are texts.
const AWS_TYPES: [&str; 9] = [
    "AWS::EC2::AvailabilityZone::Name",
    "AWS::EC2::Image::Id",
    "AWS::EC2::Instance::Id",
    "AWS::EC2::KeyPair::KeyName",
    "AWS::EC2::SecurityGroup::GroupName",
    "AWS::EC2::SecurityGroup::Id",
    "AWS::EC2::Subnet::Id",
    "AWS::EC2::Volume::Id",
    "AWS::EC2::VPC::Id",
];
/// Another one, which occurs alone.
const HOSTED_ZONE: &str = "AWS::Route53::HostedZone::Id";
/// Values that lie in the Parameter Store, and names of such.
const STORED: &str = "AWS::SSM::Parameter::";
/// Shown in place of a value that is to stay secret.
const SECRET: &str = "(its value is not shown: NoEcho)";

/// What kind of values a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Type {
    list: bool,
    number: bool,
    /// It lies in the Parameter Store.
    stored: bool,
}

impl Type {
    fn of(text: &str) -> Option<Self> {
        let plain = |list, number| Type {
            list,
            number,
            stored: false,
        };
        if let Some(inner) = text.strip_prefix(STORED) {
            return match inner {
                "Name" => Some(plain(false, false)),
                _ => {
                    let inner = inner.strip_prefix("Value<")?.strip_suffix('>')?;
                    let inner = Type::of(inner).filter(|it| !it.stored)?;
                    Some(Type {
                        stored: true,
                        ..inner
                    })
                }
            };
        }
        if let Some(inner) = text.strip_prefix("List<") {
            let inner = inner.strip_suffix('>')?;
            let known = matches!(inner, "Number" | "String") || is_of_aws(inner);
            return known.then(|| plain(true, inner == "Number"));
        }
        match text {
            "String" => Some(plain(false, false)),
            "Number" => Some(plain(false, true)),
            "CommaDelimitedList" => Some(plain(true, false)),
            _ => is_of_aws(text).then(|| plain(false, false)),
        }
    }
}

fn is_of_aws(text: &str) -> bool {
    AWS_TYPES.contains(&text) || text == HOSTED_ZONE
}

impl<'t> Evaluator<'t, '_, '_> {
    /// What the parameter of this name comes to, for who refers to it at `span`; `None` where there is none.
    pub(super) fn parameter(&mut self, name: &str, span: Span) -> Option<Node> {
        let (entry, declared) = self.template.parameter(name)?;
        Some(self.value_of(entry, declared, span))
    }

    /// Looks at every parameter, also at those that nothing refers to.
    pub(super) fn check_parameters(&mut self) {
        for (entry, declared) in &self.template.parameters {
            let kind = self.type_of(entry, declared);
            self.book.one(Kind::Parameter, &entry.key);
            let stored = kind.is_some_and(|kind| kind.stored);
            if !self.book.ignores_others() && !stored {
                self.value_of(entry, declared, entry.key_span);
            }
        }
    }

    fn type_of(&mut self, entry: &'t Entry, declared: &'t Table) -> Option<Type> {
        let stated = declared.get("Type").and_then(|it| as_text(&it.item));
        let Some(stated) = stated else {
            let message = format!("parameter `{}` has no `Type`", entry.key);
            self.say_once(Diagnostic::error(Code::Missing, entry.key_span, message));
            return None;
        };
        if let Some(entry) = declared.get("AllowedValues")
            && !matches!(entry.item.content, Content::List(_))
        {
            let what = entry.item.content.kind();
            let message = format!("`AllowedValues` is a list, not {what}");
            self.say_once(Diagnostic::error(Code::WrongType, entry.item.span, message));
        }
        let kind = Type::of(stated.value);
        if kind.is_none() {
            let known = ["String", "Number", "CommaDelimitedList", "List<Number>"];
            let known = known.into_iter().chain(AWS_TYPES).chain([HOSTED_ZONE]);
            let unknown = unknown_word(stated.span, "type of a parameter", stated.value, known);
            self.say_once(unknown);
        }
        kind
    }

    fn value_of(&mut self, entry: &'t Entry, declared: &'t Table, span: Span) -> Node {
        let Some(kind) = self.type_of(entry, declared) else {
            return Node::unknown(span);
        };
        let given = self.book.one(Kind::Parameter, &entry.key);
        let default = declared.get("Default").map(|it| &it.item);
        let (text, place) = match (given, default) {
            (Some(given), _) => (given.to_owned(), entry.key_span),
            (None, Some(item)) if !kind.stored => match scalar(item) {
                Some(text) => (text, item.span),
                None => {
                    let message = format!(
                        "a default is a text or a number, not {}",
                        item.content.kind()
                    );
                    self.say_once(Diagnostic::error(Code::WrongType, item.span, message));
                    return Node::unknown(span);
                }
            },
            _ => return self.unset(entry, kind, span),
        };
        let Some(text) = self.fill(&text, place, None) else {
            return Node::unknown(span);
        };
        self.check_value(entry, declared, kind, &text, place);
        if kind.list {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            return Node::list(parts.filter(|part| !part.is_empty()), span);
        }
        Node::text(text, span)
    }

    /// Says that a parameter has no value.
    fn unset(&mut self, entry: &'t Entry, kind: Type, span: Span) -> Node {
        let name = &entry.key;
        let message = match kind.stored {
            true => format!(
                "the value of parameter `{name}` lies in the Parameter Store of AWS, which is not asked"
            ),
            false => format!("parameter `{name}` has no value"),
        };
        let unset = match self.book.unset() {
            Unset::Refused => Diagnostic::error(Code::Missing, entry.key_span, message),
            Unset::Warned => Diagnostic::warning(Code::Missing, entry.key_span, message),
        };
        self.say_once(unset.help(format!("give it one: --param {name}=…")));
        Node::unknown(span)
    }

    fn check_value(
        &mut self,
        entry: &'t Entry,
        declared: &'t Table,
        kind: Type,
        text: &str,
        place: Span,
    ) {
        let secret = declared
            .get("NoEcho")
            .and_then(|it| scalar(&it.item))
            .is_some_and(|it| it == "true");
        let whole = [text];
        let parts: Vec<&str> = match kind.list {
            true => text.split(',').map(str::trim).collect(),
            false => whole.to_vec(),
        };
        let Some(wrong) = parts
            .iter()
            .find_map(|part| wrong_with(declared, kind, part))
        else {
            return;
        };
        let shown = match secret {
            true => SECRET.to_owned(),
            false => format!("`{text}`"),
        };
        let message = format!("parameter `{}` cannot be {shown}: {wrong}", entry.key);
        let mut diagnostic = Diagnostic::error(Code::OutOfRange, place, message);
        let reason = declared.get("ConstraintDescription");
        if let Some(reason) = reason.and_then(|it| scalar(&it.item)) {
            diagnostic = diagnostic.help(reason);
        }
        self.say_once(diagnostic);
    }
}

/// What a declaration has against a value.
fn wrong_with(declared: &Table, kind: Type, text: &str) -> Option<String> {
    let stated = |key: &str| declared.get(key).and_then(|it| scalar(&it.item));
    let number = |key: &str| stated(key).and_then(|text| text.parse::<f64>().ok());
    if kind.number && text.parse::<f64>().is_err() {
        return Some("it is not a number".to_owned());
    }
    if let Some(allowed) = declared.get("AllowedValues")
        && let Content::List(items) = &allowed.item.content
    {
        let allowed: Vec<String> = items.iter().filter_map(scalar).collect();
        if !allowed.iter().any(|value| value == text) {
            return Some(format!("it is none of `{}`", allowed.join("`, `")));
        }
    }
    if let Some(pattern) = stated("AllowedPattern")
        && let Ok(compiled) = Pattern::new(&format!("^(?:{pattern})$"))
        && !compiled.is_match(text.as_bytes())
    {
        return Some(format!("it does not look like `{pattern}`"));
    }
    let length = text.chars().count() as f64;
    let value = text.parse::<f64>().ok().filter(|_| kind.number);
    let bounds = [
        (number("MinLength"), Some(length), true, "characters"),
        (number("MaxLength"), Some(length), false, "characters"),
        (number("MinValue"), value, true, ""),
        (number("MaxValue"), value, false, ""),
    ];
    bounds.into_iter().find_map(|(bound, actual, least, unit)| {
        let (bound, actual) = (bound?, actual?);
        let fits = if least {
            actual >= bound
        } else {
            actual <= bound
        };
        let words = if least { "at least" } else { "at most" };
        (!fits).then(|| format!("{words} {bound} {unit}").trim_end().to_owned() + " is allowed")
    })
}

/// The text of a text, a number or a boolean.
pub(super) fn scalar(item: &Item) -> Option<String> {
    match &item.content {
        Content::Text { text, .. } | Content::Other { text, .. } => Some(text.clone()),
        Content::Integer(number) => Some(number.to_string()),
        Content::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The text of a pseudo parameter: what is given, else a stand-in.
pub(super) fn pseudo(
    evaluator: &mut Evaluator<'_, '_, '_>,
    name: &str,
    span: Span,
) -> Option<Node> {
    let stand_in = match name {
        "AWS::NoValue" => {
            return Some(Node {
                value: Value::Nothing,
                span,
            });
        }
        "AWS::NotificationARNs" => return Some(Node::list([], span)),
        "AWS::Region" => "us-east-1",
        "AWS::AccountId" => "123456789012",
        "AWS::Partition" => "aws",
        "AWS::URLSuffix" => "amazonaws.com",
        "AWS::StackName" => "portway",
        "AWS::StackId" => {
            let text = |name: &str, evaluator: &mut Evaluator<'_, '_, '_>| {
                let node = pseudo(evaluator, name, span);
                node.and_then(|node| node.as_text().map(str::to_owned))
                    .unwrap_or_default()
            };
            let (region, account) = (
                text("AWS::Region", evaluator),
                text("AWS::AccountId", evaluator),
            );
            let stack = text("AWS::StackName", evaluator);
            let id = format!("arn:aws:cloudformation:{region}:{account}:stack/{stack}/0");
            return Some(Node::text(id, span));
        }
        _ => return None,
    };
    let given = evaluator.book.one(Kind::Parameter, name);
    Some(Node::text(given.unwrap_or(stand_in), span))
}
