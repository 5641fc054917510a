//! The intrinsic functions, each from its arguments to what it gives.

use super::evaluate::{Evaluator, is_function};
use super::table;
use super::template::{as_table, as_text, known_keys};
use super::value::{Node, Value};
use crate::tree::{Content, Item, Table};
use crate::unknown_word;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Span;

/// Every function, by its name without `Fn::`.
pub(super) const FUNCTIONS: [&str; 18] = [
    "Ref",
    "GetAtt",
    "Sub",
    "Join",
    "Select",
    "Split",
    "If",
    "Equals",
    "And",
    "Or",
    "Not",
    "Condition",
    "FindInMap",
    "GetAZs",
    "Base64",
    "ImportValue",
    "Cidr",
    "Transform",
];
/// Functions that need the transform `AWS::LanguageExtensions`.
const EXTENSIONS: [&str; 3] = ["ForEach", "Length", "ToJsonString"];
/// Functions that stand in `Rules` alone; the first three need an account.
pub(super) const OF_RULES: [&str; 6] = [
    "RefAll",
    "ValueOf",
    "ValueOfAll",
    "Contains",
    "EachMemberEquals",
    "EachMemberIn",
];
/// Networks that `Fn::Cidr` gives at most.
const MAX_NETWORKS: u32 = 256;
/// Conditions that `Fn::And` and `Fn::Or` take.
const CONDITIONS: std::ops::RangeInclusive<usize> = 2..=10;

impl<'t> Evaluator<'t, '_, '_> {
    /// What a function gives. `name`: without `Fn::`.
    pub(super) fn function(&mut self, name: &str, argument: &'t Item, span: Span) -> Node {
        match name {
            "Ref" => {
                match self.name_of(argument, "`Ref` takes the name of a parameter or resource") {
                    Some(name) => self.reference(&name, span),
                    None => Node::unknown(span),
                }
            }
            "GetAtt" => self.get_attribute(argument, span),
            "Sub" => self.substitute(argument, span),
            "Join" => self.join(argument, span),
            "Select" => self.select(argument, span),
            "Split" => self.split(argument, span),
            "If" => self.choose(argument, span),
            "Equals" | "And" | "Or" | "Not" | "Condition" => {
                truth_as_node(self.logic(name, argument, span), span)
            }
            "FindInMap" => self.find_in_map(argument, span),
            "GetAZs" => self.zones(argument, span),
            "Base64" => match self.text_of(argument, "`Fn::Base64` takes a text") {
                Some(text) => self.made(STANDARD.encode(text), span),
                None => Node::unknown(span),
            },
            "ImportValue" => match self.text_of(argument, "`Fn::ImportValue` takes a name") {
                Some(name) => self.import(&name, span),
                None => Node::unknown(span),
            },
            "Cidr" => self.networks(argument, span),
            "RefAll" | "ValueOf" | "ValueOfAll" if self.in_rules => Node::unknown(span),
            _ => {
                self.no_function(name, span);
                Node::unknown(span)
            }
        }
    }

    fn no_function(&mut self, name: &str, span: Span) {
        let refused = |message: String| Diagnostic::error(Code::NotRun, span, message);
        let diagnostic = if name == "Transform" {
            refused("`Fn::Transform` runs a macro, which is not run here".to_owned())
        } else if EXTENSIONS.iter().any(|known| name.starts_with(known)) {
            refused(format!(
                "`Fn::{name}` needs the transform `AWS::LanguageExtensions`"
            ))
        } else if OF_RULES.contains(&name) {
            refused(format!("`Fn::{name}` stands in `Rules` alone"))
        } else {
            unknown_word(span, "function", name, FUNCTIONS)
        };
        self.found.push(diagnostic);
    }

    fn wrong(&mut self, span: Span, message: &str) {
        self.found
            .push(Diagnostic::error(Code::WrongType, span, message));
    }

    /// A text that stands there itself, without functions.
    fn name_of(&mut self, item: &'t Item, what: &str) -> Option<String> {
        match as_text(item) {
            Some(name) => Some(name.value.to_owned()),
            None => {
                self.wrong(item.span, what);
                None
            }
        }
    }

    /// The text that something comes to; `None`: it is none, or not known.
    fn text_of(&mut self, item: &'t Item, what: &str) -> Option<String> {
        let node = self.evaluate(item);
        self.as_text(node, what)
    }

    fn as_text(&mut self, node: Node, what: &str) -> Option<String> {
        match node.value {
            Value::Text(text) => Some(text),
            Value::Unknown => None,
            _ => {
                self.wrong(node.span, what);
                None
            }
        }
    }

    /// The arguments of a function that takes so many.
    fn arguments<const N: usize>(&mut self, item: &'t Item, what: &str) -> Option<[&'t Item; N]> {
        let arguments = match &item.content {
            Content::List(items) => items.iter().collect::<Vec<_>>().try_into().ok(),
            _ => None,
        };
        if arguments.is_none() {
            self.wrong(item.span, what);
        }
        arguments
    }

    fn get_attribute(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::GetAtt` takes a logical id and an attribute: [Balancer, DNSName]";
        let (id, attribute) = match &argument.content {
            Content::Text { text, .. } => match text.split_once('.') {
                Some((id, attribute)) => (id.to_owned(), attribute.to_owned()),
                None => {
                    self.wrong(argument.span, what);
                    return Node::unknown(span);
                }
            },
            _ => {
                let Some([id, attribute]) = self.arguments(argument, what) else {
                    return Node::unknown(span);
                };
                let attribute = self.text_of(attribute, what);
                match (self.name_of(id, what), attribute) {
                    (Some(id), Some(attribute)) => (id, attribute),
                    _ => return Node::unknown(span),
                }
            }
        };
        self.of_resource(&id, Some(&attribute), span)
    }

    fn substitute(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::Sub` takes a text, or a text and an object of values";
        let (text, values) = match &argument.content {
            Content::List(_) => {
                let Some([text, values]) = self.arguments(argument, what) else {
                    return Node::unknown(span);
                };
                match &values.content {
                    Content::Table(table) => (text, Some(table)),
                    _ => {
                        self.wrong(values.span, what);
                        return Node::unknown(span);
                    }
                }
            }
            _ => (argument, None),
        };
        if !matches!(text.content, Content::Text { .. }) {
            self.wrong(text.span, what);
            return Node::unknown(span);
        }
        let Some(text) = self.text_of(text, what) else {
            return Node::unknown(span);
        };
        match self.substituted(&text, values, span) {
            Some(text) => self.made(text, span),
            None => Node::unknown(span),
        }
    }

    fn substituted(&mut self, text: &str, values: Option<&'t Table>, span: Span) -> Option<String> {
        let mut out = String::new();
        let mut complete = true;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, more)) = after.split_once('}') else {
                let message = "a `${` without `}`";
                self.found
                    .push(Diagnostic::error(Code::Syntax, span, message));
                return None;
            };
            out.push_str(before);
            rest = more;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str("${");
                out.push_str(literal);
                out.push('}');
                continue;
            }
            let name = name.trim();
            let node = match values.and_then(|values| values.get(name)) {
                Some(entry) => self.evaluate(&entry.item),
                None => match name.split_once('.') {
                    Some((id, attribute)) => self.of_resource(id, Some(attribute), span),
                    None => self.reference(name, span),
                },
            };
            match self.as_text(node, "what `Fn::Sub` puts in is a text") {
                Some(value) => out.push_str(&value),
                None => complete = false,
            }
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    /// The members of a list; `None`: it is none, or not known.
    fn members(&mut self, item: &'t Item, what: &str) -> Option<Vec<Node>> {
        let node = self.evaluate(item);
        match node.value {
            Value::List(nodes) => Some(nodes),
            Value::Unknown => None,
            _ => {
                self.wrong(node.span, what);
                None
            }
        }
    }

    fn join(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::Join` takes a delimiter and a list of texts: [\",\", [a, b]]";
        let Some([delimiter, list]) = self.arguments(argument, what) else {
            return Node::unknown(span);
        };
        let delimiter = self.text_of(delimiter, what);
        let (Some(delimiter), Some(members)) = (delimiter, self.members(list, what)) else {
            return Node::unknown(span);
        };
        let texts: Vec<Option<String>> = members
            .into_iter()
            .map(|node| self.as_text(node, what))
            .collect();
        match texts.into_iter().collect::<Option<Vec<String>>>() {
            Some(texts) => self.made(texts.join(&delimiter), span),
            None => Node::unknown(span),
        }
    }

    fn select(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::Select` takes a number from 0 and a list: [0, [a, b]]";
        let Some([index, list]) = self.arguments(argument, what) else {
            return Node::unknown(span);
        };
        let index = self.text_of(index, what);
        let (Some(index), Some(members)) = (index, self.members(list, what)) else {
            return Node::unknown(span);
        };
        let Ok(index) = index.parse::<usize>() else {
            self.wrong(span, what);
            return Node::unknown(span);
        };
        let count = members.len();
        match members.into_iter().nth(index) {
            Some(node) => node,
            None => {
                let message = format!("the list has {count} members, and {index} is none of them");
                let help = "they are counted from 0";
                let outside = Diagnostic::error(Code::OutOfRange, span, message);
                self.found.push(outside.help(help));
                Node::unknown(span)
            }
        }
    }

    fn split(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::Split` takes a delimiter and a text: [\",\", \"a,b\"]";
        let Some([delimiter, text]) = self.arguments(argument, what) else {
            return Node::unknown(span);
        };
        let delimiter = self.text_of(delimiter, what);
        let (Some(delimiter), Some(text)) = (delimiter, self.text_of(text, what)) else {
            return Node::unknown(span);
        };
        if delimiter.is_empty() {
            self.wrong(span, what);
            return Node::unknown(span);
        }
        Node::list(text.split(&delimiter).map(str::to_owned), span)
    }

    fn choose(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::If` takes a condition and two values: [IsLarge, a, b]";
        let Some([condition, first, second]) = self.arguments(argument, what) else {
            return Node::unknown(span);
        };
        let Some(name) = self.name_of(condition, what) else {
            return Node::unknown(span);
        };
        match self.condition(&name, condition.span) {
            Some(true) => self.evaluate(first),
            Some(false) => self.evaluate(second),
            None => Node::unknown(span),
        }
    }

    /// Whether something holds that stands where a condition is expected.
    pub(super) fn truth(&mut self, item: &'t Item) -> Option<bool> {
        let (name, argument) = match &item.content {
            Content::Tagged { tag, item } => (tag.as_str(), &**item),
            Content::Table(table) => match table.entries() {
                [entry] if is_function(&entry.key) || entry.key == "Condition" => {
                    let name = entry.key.strip_prefix("Fn::").unwrap_or(&entry.key);
                    (name, &entry.item)
                }
                _ => {
                    self.wrong(item.span, "a condition is one of `Fn::Equals`, `Fn::And`, `Fn::Or`, `Fn::Not` and `Condition`");
                    return None;
                }
            },
            _ => {
                let what = "a condition comes to true or false";
                let text = self.text_of(item, what)?;
                return match text.as_str() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => {
                        self.wrong(item.span, what);
                        None
                    }
                };
            }
        };
        self.logic(name, argument, item.span)
    }

    fn logic(&mut self, name: &str, argument: &'t Item, span: Span) -> Option<bool> {
        match name {
            "Condition" => {
                let name = self.name_of(argument, "`Condition` takes the name of a condition")?;
                self.condition(&name, span)
            }
            "Equals" => {
                let what = "`Fn::Equals` takes two texts: [a, b]";
                let [first, second] = self.arguments(argument, what)?;
                let first = self.text_of(first, what);
                Some(first? == self.text_of(second, what)?)
            }
            "Not" => {
                let [one] =
                    self.arguments(argument, "`Fn::Not` takes one condition: [condition]")?;
                self.truth(one).map(|holds| !holds)
            }
            "And" | "Or" => {
                let Content::List(items) = &argument.content else {
                    self.wrong(argument.span, "a list of conditions is expected");
                    return None;
                };
                if !CONDITIONS.contains(&items.len()) {
                    let message = format!("`Fn::{name}` takes 2 to 10 conditions");
                    self.wrong(argument.span, &message);
                }
                let decides = name == "Or";
                let each: Vec<Option<bool>> = items.iter().map(|item| self.truth(item)).collect();
                if each.contains(&Some(decides)) {
                    return Some(decides);
                }
                (!each.contains(&None)).then_some(!decides)
            }
            "Contains" | "EachMemberEquals" | "EachMemberIn" => self.membership(name, argument),
            "RefAll" | "ValueOf" | "ValueOfAll" if self.in_rules => None,
            _ => {
                self.no_function(name, span);
                None
            }
        }
    }

    fn membership(&mut self, name: &str, argument: &'t Item) -> Option<bool> {
        let what = "a list and what it is held against are expected";
        let [first, second] = self.arguments(argument, what)?;
        let texts = |nodes: Vec<Node>| -> Option<Vec<String>> {
            let texts = nodes.into_iter().map(|node| match node.value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            texts.collect()
        };
        let list = texts(self.members(first, what)?)?;
        if name == "EachMemberIn" {
            let allowed = texts(self.members(second, what)?)?;
            return Some(list.iter().all(|member| allowed.contains(member)));
        }
        let value = self.text_of(second, what)?;
        Some(match name {
            "Contains" => list.contains(&value),
            _ => list.iter().all(|member| *member == value),
        })
    }

    fn find_in_map(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::FindInMap` takes a mapping and two keys: [Mapping, key, key]";
        let Some([map, first, second]) = self.arguments(argument, what) else {
            return Node::unknown(span);
        };
        let keys = [map, first, second].map(|item| (self.text_of(item, what), item.span));
        let [
            (Some(map), at),
            (Some(first), at_first),
            (Some(second), at_second),
        ] = keys
        else {
            return Node::unknown(span);
        };
        let mappings = self.template.mappings;
        let Some(mapping) = self.entry_of(mappings, &map, "mapping", at) else {
            return Node::unknown(span);
        };
        let Some(keys) = self.entry_of(table_in(mapping), &first, "key", at_first) else {
            return Node::unknown(span);
        };
        let Some(value) = self.entry_of(table_in(keys), &second, "key", at_second) else {
            return Node::unknown(span);
        };
        let node = self.evaluate(value);
        Node { span, ..node }
    }

    fn entry_of(
        &mut self,
        table: Option<&'t Table>,
        key: &str,
        what: &str,
        span: Span,
    ) -> Option<&'t Item> {
        let entry = table.and_then(|table| table.get(key));
        if entry.is_none() {
            let known = table.map_or(&[][..], Table::entries).iter();
            let known = known.map(|entry| entry.key.as_str());
            self.found.push(unknown_word(span, what, key, known));
        }
        entry.map(|entry| &entry.item)
    }

    fn zones(&mut self, argument: &'t Item, span: Span) -> Node {
        let region = match &argument.content {
            Content::Null => Some(String::new()),
            _ => self.text_of(
                argument,
                "`Fn::GetAZs` takes a region, or \"\" for this one",
            ),
        };
        let Some(region) = region else {
            return Node::unknown(span);
        };
        let region = match region.is_empty() {
            true => self.env(span).region,
            false => region,
        };
        Node::list(["a", "b", "c"].map(|zone| format!("{region}{zone}")), span)
    }

    fn networks(&mut self, argument: &'t Item, span: Span) -> Node {
        let what = "`Fn::Cidr` takes a network, a count from 1 to 256 and the bits of a host: [10.0.0.0/16, 4, 8]";
        let Content::List(items) = &argument.content else {
            self.wrong(argument.span, what);
            return Node::unknown(span);
        };
        let texts: Vec<Option<String>> =
            items.iter().map(|item| self.text_of(item, what)).collect();
        let Some(texts) = texts.into_iter().collect::<Option<Vec<String>>>() else {
            return Node::unknown(span);
        };
        match networks(&texts) {
            Some(networks) => Node::list(networks, span),
            None => {
                self.wrong(span, what);
                Node::unknown(span)
            }
        }
    }

    /// Looks at the rules that parameters have to keep.
    pub(super) fn check_rules(&mut self) {
        for entry in self.template.rules.map_or(&[][..], Table::entries) {
            let Some(rule) = as_table(&entry.item, "a rule", self.found) else {
                continue;
            };
            known_keys(rule, "key of a rule", table::RULE, self.found);
            let applies = rule.get("RuleCondition");
            if applies.is_some_and(|applies| self.truth(&applies.item) != Some(true)) {
                continue;
            }
            let assertions = rule.get("Assertions").map(|it| &it.item.content);
            let Some(Content::List(assertions)) = assertions else {
                continue;
            };
            for item in assertions {
                self.assertion(item);
            }
        }
    }

    fn assertion(&mut self, item: &'t Item) {
        let Some(table) = table_in(item) else { return };
        let Some(asserted) = table.get("Assert") else {
            return;
        };
        if self.truth(&asserted.item) == Some(false) {
            let reason = table
                .get("AssertDescription")
                .and_then(|it| as_text(&it.item));
            let reason = reason.map_or("a rule of the template does not hold", |it| it.value);
            self.found
                .push(Diagnostic::error(Code::OutOfRange, item.span, reason));
        }
    }
}

fn table_in(item: &Item) -> Option<&Table> {
    match &item.content {
        Content::Table(table) => Some(table),
        _ => None,
    }
}

fn truth_as_node(holds: Option<bool>, span: Span) -> Node {
    match holds {
        Some(holds) => Node::text(holds.to_string(), span),
        None => Node::unknown(span),
    }
}

/// So many networks with so many bits for hosts within a network.
fn networks(arguments: &[String]) -> Option<Vec<String>> {
    let (network, count, bits) = match arguments {
        [network, count] => (network, count, None),
        [network, count, bits] => (network, count, Some(bits)),
        _ => return None,
    };
    let network: IpNet = network.parse().ok()?;
    let count: u32 = count
        .parse()
        .ok()
        .filter(|it| (1..=MAX_NETWORKS).contains(it))?;
    let length = match bits {
        Some(bits) => network.max_prefix_len().checked_sub(bits.parse().ok()?)?,
        None => network.prefix_len() + count.next_power_of_two().trailing_zeros() as u8,
    };
    let subnets = network.trunc().subnets(length).ok()?;
    let subnets: Vec<String> = subnets
        .take(count as usize)
        .map(|it| it.to_string())
        .collect();
    (subnets.len() == count as usize).then_some(subnets)
}
