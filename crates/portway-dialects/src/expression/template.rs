//! Templates: text with `${ expression }` in it.
//!
//! A dollar is only special in a run of dollars directly before `{`: there, two dollars stand for a literal one,
//! and a last single one opens an expression. So `$${host}` is the literal text `${host}`.

use super::cursor::{Cursor, Parsed, Stopped};
use super::{MAX_LENGTH, Written, write_expression};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::expression::{Expression, Template, TemplatePart};
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// Reads a template. `None` where it is wrong: `found` then says why.
pub fn parse(written: Written<'_>, found: &mut Diagnostics) -> Option<Template<Named>> {
    if written.text.len() > MAX_LENGTH {
        let message = format!("this text is longer than {MAX_LENGTH} bytes");
        found.push(Diagnostic::error(Code::TooLarge, written.span, message));
        return None;
    }
    parts(written, found).ok().map(Template)
}

/// The canonical text of a template.
pub fn print(template: &Template<Named>) -> String {
    let mut out = String::new();
    // Texts side by side are one text: a dollar of one may stand before a brace of the next.
    let mut text = String::new();
    for part in &template.0 {
        match part {
            TemplatePart::Text(more) => text.push_str(more),
            TemplatePart::Expression(expression) => {
                write_literal(&mut out, &text, true);
                text.clear();
                out.push_str("${");
                write_expression(&mut out, &expression.value);
                out.push('}');
            }
        }
    }
    write_literal(&mut out, &text, false);
    out
}

fn parts(written: Written<'_>, found: &mut Diagnostics) -> Parsed<Vec<TemplatePart<Named>>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let (mut at, mut failed) = (0, false);
    while let Some(rest) = written.text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.find('$').unwrap_or(rest.len());
        text.push_str(rest.get(..plain).unwrap_or(""));
        at += plain;
        let rest = rest.get(plain..).unwrap_or("");
        let dollars = rest.len() - rest.trim_start_matches('$').len();
        let braced = rest
            .get(dollars..)
            .is_some_and(|rest| rest.starts_with('{'));
        let kept = if braced { dollars / 2 } else { dollars };
        text.extend(std::iter::repeat_n('$', kept));
        at += dollars;
        if !braced || dollars % 2 == 0 {
            continue;
        }
        if !text.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut text)));
        }
        let start = at + 1;
        let mut cursor = Cursor::starting(written, start, found)?;
        match within_braces(&mut cursor, start) {
            Ok(expression) => parts.push(TemplatePart::Expression(expression)),
            // The other expressions are looked at too.
            Err(stopped) => {
                failed = true;
                cursor.skip_from(start, &["}"])?;
                if !cursor.is("}") {
                    return Err(stopped);
                }
            }
        }
        at = cursor.after();
    }
    if failed {
        return Err(Stopped);
    }
    if !text.is_empty() {
        parts.push(TemplatePart::Text(text));
    }
    Ok(parts)
}

/// The expression at `start`, up to its brace.
fn within_braces(cursor: &mut Cursor<'_, '_>, start: usize) -> Parsed<Spanned<Expression<Named>>> {
    let expression = cursor.expression()?;
    let span = cursor.since(start);
    if !cursor.is("}") {
        return cursor.unexpected("`}` after the expression");
    }
    Ok(Spanned::new(expression, span))
}

/// Writes literal text; `opens`: an expression follows, so dollars at the end are doubled.
fn write_literal(out: &mut String, text: &str, opens: bool) {
    let mut rest = text;
    while let Some(plain) = rest.find('$') {
        out.push_str(rest.get(..plain).unwrap_or(""));
        rest = rest.get(plain..).unwrap_or("");
        let after = rest.trim_start_matches('$');
        let dollars = rest.len() - after.len();
        let special = after.starts_with('{') || (after.is_empty() && opens);
        let written = if special { dollars * 2 } else { dollars };
        out.extend(std::iter::repeat_n('$', written));
        rest = after;
    }
    out.push_str(rest);
}
