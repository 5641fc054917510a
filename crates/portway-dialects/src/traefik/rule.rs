//! Rules of routers: text to a tree of matchers, in the words of version 3 and of version 2.
//!
//! What the matchers mean is said by `matcher`. Both syntaxes have the same operators; they differ in matchers and in
//! how many values one takes.

use crate::expression::Written;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Matcher(Matcher),
}

/// One matcher with its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matcher {
    pub(super) name: String,
    pub(super) values: Vec<Spanned<String>>,
    pub(super) span: Span,
    pub(super) name_span: Span,
}

/// How deep parentheses and negations may go.
const MAX_DEPTH: u32 = 64;

/// Reads a rule. `None` where it is wrong: `found` then says why.
pub(super) fn parse(written: Written<'_>, found: &mut Diagnostics) -> Option<Rule> {
    let mut parser = Parser {
        written,
        at: 0,
        depth: 0,
        found,
    };
    let rule = parser.any()?;
    parser.blanks();
    if parser.at < written.text.len() {
        parser.wrong("expected `&&`, `||` or the end of the rule");
        return None;
    }
    Some(rule)
}

struct Parser<'t, 'd> {
    written: Written<'t>,
    at: usize,
    depth: u32,
    found: &'d mut Diagnostics,
}

impl<'t> Parser<'t, '_> {
    fn rest(&self) -> &'t str {
        self.written.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, symbol: &str) -> bool {
        self.blanks();
        let there = self.rest().starts_with(symbol);
        if there {
            self.at += symbol.len();
        }
        there
    }

    fn wrong(&mut self, message: impl Into<String>) {
        let end = (self.at + 1).min(self.written.text.len());
        let span = self.written.part(self.at.min(end)..end);
        let help = "such as Host(`a.example`) && PathPrefix(`/api`)";
        self.found
            .push(Diagnostic::error(Code::Syntax, span, message).help(help));
    }

    fn any(&mut self) -> Option<Rule> {
        let mut parts = vec![self.all()?];
        while self.takes("||") {
            parts.push(self.all()?);
        }
        Some(only_or(parts, Rule::Any))
    }

    fn all(&mut self) -> Option<Rule> {
        let mut parts = vec![self.one()?];
        while self.takes("&&") {
            parts.push(self.one()?);
        }
        Some(only_or(parts, Rule::All))
    }

    fn one(&mut self) -> Option<Rule> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.wrong(format!("more than {MAX_DEPTH} levels"));
            return None;
        }
        let rule = if self.takes("!") {
            Rule::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            if !self.takes(")") {
                self.wrong("expected `)`");
                return None;
            }
            inner
        } else {
            Rule::Matcher(self.matcher()?)
        };
        self.depth -= 1;
        Some(rule)
    }

    fn matcher(&mut self) -> Option<Matcher> {
        self.blanks();
        let start = self.at;
        let rest = self.rest();
        let end = rest
            .find(|it: char| !it.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (name, _) = rest.split_at(end);
        if name.is_empty() {
            self.wrong("expected a matcher");
            return None;
        }
        self.at += end;
        let name_span = self.written.part(start..self.at);
        if !self.takes("(") {
            self.wrong("expected `(`");
            return None;
        }
        let mut values = Vec::new();
        if !self.takes(")") {
            loop {
                values.push(self.value()?);
                if self.takes(")") {
                    break;
                }
                if !self.takes(",") {
                    self.wrong("expected `,` or `)`");
                    return None;
                }
            }
        }
        Some(Matcher {
            name: name.to_owned(),
            values,
            span: self.written.part(start..self.at),
            name_span,
        })
    }

    /// A text in backticks, where nothing is escaped, or in double quotes.
    fn value(&mut self) -> Option<Spanned<String>> {
        self.blanks();
        let rest = self.rest();
        let Some(quote) = rest
            .chars()
            .next()
            .filter(|it| matches!(it, '`' | '"' | '\''))
        else {
            self.wrong("expected a text in backticks");
            return None;
        };
        let inside = rest.get(1..).unwrap_or_default();
        let mut text = String::new();
        let mut escaped = false;
        for (at, character) in inside.char_indices() {
            if escaped {
                text.push(match character {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
                escaped = false;
            } else if character == '\\' && quote != '`' {
                escaped = true;
            } else if character == quote {
                let start = self.at + 1;
                self.at = start + at + 1;
                return Some(Spanned::new(text, self.written.part(start..start + at)));
            } else {
                text.push(character);
            }
        }
        self.wrong("a text that does not end");
        None
    }
}

fn only_or(mut parts: Vec<Rule>, many: fn(Vec<Rule>) -> Rule) -> Rule {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(rule: &Rule) -> String {
        let list = |parts: &[Rule], by: &str| {
            let parts: Vec<String> = parts.iter().map(show).collect();
            format!("({})", parts.join(by))
        };
        match rule {
            Rule::All(parts) => list(parts, " & "),
            Rule::Any(parts) => list(parts, " | "),
            Rule::Not(inner) => format!("!{}", show(inner)),
            Rule::Matcher(it) => {
                let values: Vec<&str> = it.values.iter().map(|it| it.value.as_str()).collect();
                format!("{}[{}]", it.name, values.join(","))
            }
        }
    }

    #[test]
    fn rules() {
        for (text, expected) in [
            ("Host(`a.b`)", "Host[a.b]"),
            (
                "Host(`a`) && (Path(`/x`) || PathPrefix(\"/y\\\"\"))",
                "(Host[a] & (Path[/x] | PathPrefix[/y\"]))",
            ),
            (
                "!Host(`a`)||Path( `/` , `/b` )&&Method(`GET`)",
                "(!Host[a] | (Path[/,/b] & Method[GET]))",
            ),
            ("!(Host(`a`))", "!Host[a]"),
            ("HostSNI(`*`)", "HostSNI[*]"),
        ] {
            let mut found = Diagnostics::default();
            let rule = parse(Written::bare(text), &mut found);
            assert_eq!(rule.as_ref().map(show).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "Host",
            "Host(`a`",
            "Host(`a) ",
            "Host(a)",
            "Host(`a`) Path(`/`)",
            "(Host(`a`)",
            "&& Host(`a`)",
            "Host(`a`) &&",
        ] {
            let mut found = Diagnostics::default();
            assert_eq!(parse(Written::bare(text), &mut found), None, "{text}");
            assert!(found.has_errors(), "{text}");
        }
        let deep = "!".repeat(1000);
        assert_eq!(
            parse(Written::bare(&deep), &mut Diagnostics::default()),
            None
        );
    }
}
