//! What follows a value in a condition: an operator and what it is compared with.

use super::cursor::{Cursor, Parsed, Token};
use super::{write_plain, write_text};
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Matcher, NumberRange, TextMatch};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::IpAddr;

/// Operators on texts other than `==` and `in`.
pub(crate) const TEXT_WORDS: &[(&str, TextMatch)] = &[
    ("starts_with", TextMatch::Prefix),
    ("ends_with", TextMatch::Suffix),
    ("contains", TextMatch::Contains),
    ("like", TextMatch::Glob),
    ("has_segment", TextMatch::Segment),
    ("has_label", TextMatch::Label),
];

/// The other words of comparisons.
pub(crate) const OTHER_WORDS: [&str; 7] = [
    "in",
    "texts",
    "numbers",
    "addresses",
    "listed_in",
    "present",
    "ignoring_case",
];

/// What stands on the right side of an operator.
#[derive(Default)]
struct Operands {
    texts: Vec<(String, Span)>,
    numbers: Vec<NumberRange>,
    span: Option<Span>,
}

impl Cursor<'_, '_> {
    /// The comparison after a value, and whether it is negated (`!=`). Nothing there: the value must be true.
    pub(super) fn matcher(&mut self) -> Parsed<(Matcher<Named>, bool)> {
        let matcher = match self.token().clone() {
            Token::Symbol("==") => self.equal()?,
            Token::Symbol("!=") => {
                self.advance()?;
                let operands = self.operands()?;
                return Ok((self.equals(operands)?, true));
            }
            Token::Symbol("=~") => {
                self.advance()?;
                let any_of = self.texts("a regular expression")?;
                let any_of = any_of.into_iter().map(|(text, at)| Spanned::new(text, at));
                Matcher::Regex {
                    any_of: any_of.collect(),
                }
            }
            Token::Symbol(sign @ ("<" | "<=" | ">" | ">=")) => {
                self.advance()?;
                self.bound(sign)?
            }
            Token::Word("in") => {
                self.advance()?;
                self.membership()?
            }
            Token::Word("present") => {
                self.advance()?;
                Matcher::Present
            }
            Token::Word("listed_in") => {
                self.advance()?;
                Matcher::Listed {
                    list: self.reference("a map or list")?,
                }
            }
            Token::Word(word) => match TEXT_WORDS.iter().find(|(known, _)| *known == word) {
                Some((_, how)) => {
                    self.advance()?;
                    let texts = self.texts("a text")?;
                    self.compared(*how, texts)?
                }
                None => Matcher::True,
            },
            _ => Matcher::True,
        };
        Ok((matcher, false))
    }

    fn equal(&mut self) -> Parsed<Matcher<Named>> {
        self.advance()?;
        let operands = self.operands()?;
        self.equals(operands)
    }

    /// `==`: texts or numbers.
    fn equals(&mut self, operands: Operands) -> Parsed<Matcher<Named>> {
        if operands.texts.is_empty() && !operands.numbers.is_empty() {
            return Ok(Matcher::Number {
                any_of: operands.numbers,
            });
        }
        self.unmixed(&operands)?;
        self.compared(TextMatch::Exact, operands.texts)
    }

    /// `in`: what kind of set it is shows in the members, unless a word says it.
    fn membership(&mut self) -> Parsed<Matcher<Named>> {
        if self.takes_word("texts")? {
            let texts = self.texts("a text")?;
            return self.compared(TextMatch::Exact, texts);
        }
        let numbers = self.takes_word("numbers")?;
        let addresses = !numbers && self.takes_word("addresses")?;
        let operands = self.operands()?;
        self.unmixed(&operands)?;
        let networks: Vec<_> = operands
            .texts
            .iter()
            .map(|(text, span)| (network(text), *span))
            .collect();
        if numbers || !operands.numbers.is_empty() {
            if let Some((_, span)) = operands.texts.first() {
                return self.stop(wrong_member(*span, "a number"));
            }
            return Ok(Matcher::Number {
                any_of: operands.numbers,
            });
        }
        let found = networks.iter().filter(|(network, _)| network.is_some());
        if !addresses && found.count() == 0 {
            return self.compared(TextMatch::Exact, operands.texts);
        }
        if let Some((_, span)) = networks.iter().find(|(network, _)| network.is_none()) {
            let diagnostic = wrong_member(*span, "an address or a network")
                .help("where all of them are texts, write `in texts [...]`");
            return self.stop(diagnostic);
        }
        Ok(Matcher::Address {
            any_of: networks.into_iter().filter_map(|(net, _)| net).collect(),
        })
    }

    fn unmixed(&mut self, operands: &Operands) -> Parsed<()> {
        if operands.texts.is_empty() || operands.numbers.is_empty() {
            return Ok(());
        }
        let span = operands.span.unwrap_or(self.span());
        let message = "texts and numbers in one list";
        self.stop(Diagnostic::error(Code::Syntax, span, message))
    }

    fn bound(&mut self, sign: &str) -> Parsed<Matcher<Named>> {
        let span = self.span();
        let number: i64 = self.number("a number")?;
        let (min, max) = match sign {
            "<" => (Some(i64::MIN), number.checked_sub(1)),
            "<=" => (Some(i64::MIN), Some(number)),
            ">" => (number.checked_add(1), Some(i64::MAX)),
            _ => (Some(number), Some(i64::MAX)),
        };
        match (min, max) {
            (Some(min), Some(max)) => Ok(Matcher::Number {
                any_of: vec![NumberRange { min, max }],
            }),
            _ => {
                let message = format!("no number is {sign} {number}");
                self.stop(Diagnostic::error(Code::OutOfRange, span, message))
            }
        }
    }

    /// A text comparison, with `ignoring_case` where it follows.
    fn compared(&mut self, how: TextMatch, texts: Vec<(String, Span)>) -> Parsed<Matcher<Named>> {
        Ok(Matcher::Text {
            how,
            any_of: texts.into_iter().map(|(text, _)| text).collect(),
            ignore_case: self.takes_word("ignoring_case")?,
        })
    }

    /// One text or a list of them.
    fn texts(&mut self, what: &str) -> Parsed<Vec<(String, Span)>> {
        let operands = self.operands_of(what)?;
        if operands.numbers.is_empty() {
            return Ok(operands.texts);
        }
        let span = operands.span.unwrap_or(self.span());
        let message = format!("expected {what}, found a number");
        let help = "numbers are compared with == < > in; as text they stand in backticks";
        self.stop(Diagnostic::error(Code::Syntax, span, message).help(help))
    }

    fn operands(&mut self) -> Parsed<Operands> {
        self.operands_of("a text, a number or a list")
    }

    fn operands_of(&mut self, what: &str) -> Parsed<Operands> {
        let mut operands = Operands::default();
        let start = self.start();
        if !self.takes("[")? {
            self.operand(&mut operands, what)?;
        } else {
            while !self.is("]") {
                self.operand(&mut operands, what)?;
                if !self.takes(",")? && !self.is("]") {
                    return self.unexpected("`,` or `]`");
                }
            }
            self.advance()?;
        }
        operands.span = Some(self.since(start));
        Ok(operands)
    }

    fn operand(&mut self, operands: &mut Operands, what: &str) -> Parsed<()> {
        match self.token() {
            Token::Text(_) => {
                let text = self.text(what)?;
                operands.texts.push(text);
            }
            Token::Number(_) => {
                let start = self.start();
                let min = self.number("a number")?;
                let max = match self.takes("..")? {
                    true => self.number("the last number of the range")?,
                    false => min,
                };
                if self.is(".") {
                    let span = self.span();
                    let diagnostic = Diagnostic::error(Code::Syntax, span, "unexpected `.` here")
                        .help("addresses stand in backticks");
                    return self.stop(diagnostic);
                }
                if min > max {
                    let message = format!("the range {min}..{max} is empty");
                    let diagnostic =
                        Diagnostic::error(Code::OutOfRange, self.since(start), message);
                    return self.stop(diagnostic);
                }
                operands.numbers.push(NumberRange { min, max });
            }
            _ => return self.unexpected(what),
        }
        Ok(())
    }
}

fn wrong_member(span: Span, expected: &str) -> Diagnostic {
    Diagnostic::error(
        Code::WrongComparison,
        span,
        format!("this is not {expected}"),
    )
}

/// Reads a network, or an address for the network of it alone.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// The canonical text of a network: an address where it is one alone.
pub(crate) fn print_network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// Writes ` OPERATOR OPERANDS` after a value.
pub(super) fn write_matcher(out: &mut String, matcher: &Matcher<Named>) {
    match matcher {
        Matcher::True => {}
        Matcher::Present => out.push_str(" present"),
        Matcher::Listed { list } => {
            out.push_str(" listed_in ");
            write_text(out, list.value.as_str());
        }
        Matcher::Regex { any_of } => {
            out.push_str(" =~ ");
            let texts: Vec<_> = any_of
                .iter()
                .map(|pattern| pattern.value.as_str())
                .collect();
            write_texts(out, &texts);
        }
        Matcher::Text {
            how,
            any_of,
            ignore_case,
        } => {
            write_text_matcher(out, *how, any_of);
            if *ignore_case {
                out.push_str(" ignoring_case");
            }
        }
        Matcher::Number { any_of } => write_numbers(out, any_of),
        Matcher::Address { any_of } => {
            out.push_str(if any_of.is_empty() {
                " in addresses "
            } else {
                " in "
            });
            let texts: Vec<_> = any_of.iter().map(print_network).collect();
            write_texts(out, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

fn write_text_matcher(out: &mut String, how: TextMatch, any_of: &[String]) {
    let operator = match TEXT_WORDS.iter().find(|(_, known)| *known == how) {
        Some((word, _)) => word,
        None if any_of.len() == 1 => "==",
        None if any_of.is_empty() || any_of.iter().any(|text| network(text).is_some()) => {
            "in texts"
        }
        None => "in",
    };
    write_plain(out, format_args!(" {operator} "));
    write_texts(out, &any_of.iter().map(String::as_str).collect::<Vec<_>>());
}

/// One text, or a list.
fn write_texts(out: &mut String, texts: &[&str]) {
    if let [one] = texts {
        return write_text(out, one);
    }
    out.push('[');
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_text(out, text);
    }
    out.push(']');
}

fn write_numbers(out: &mut String, any_of: &[NumberRange]) {
    match any_of {
        [] => out.push_str(" in numbers []"),
        [NumberRange { min, max }] if min == max => write_plain(out, format_args!(" == {min}")),
        [NumberRange { min, max }] if *max == i64::MAX && *min != i64::MIN => {
            write_plain(out, format_args!(" >= {min}"));
        }
        [NumberRange { min, max }] if *min == i64::MIN && *max != i64::MAX => {
            write_plain(out, format_args!(" <= {max}"));
        }
        [NumberRange { min, max }] => write_plain(out, format_args!(" in {min}..{max}")),
        several => {
            let ranges: Vec<_> = several.iter().map(print_range).collect();
            write_plain(out, format_args!(" in [{}]", ranges.join(", ")));
        }
    }
}

fn print_range(range: &NumberRange) -> String {
    if range.min == range.max {
        range.min.to_string()
    } else {
        format!("{}..{}", range.min, range.max)
    }
}
