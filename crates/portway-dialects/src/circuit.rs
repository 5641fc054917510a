//! The language in which circuit breakers say when they open: that of Traefik, in its files and in the native one.
//!
//! ```text
//! NetworkErrorRatio() > 0.3 || (LatencyAtQuantileMS(50.0) > 100 && ResponseCodeRatio(500, 600, 0, 600) > 0.25)
//! ```

use portway_model::circuit::{Comparison, Figure, MAX_TERMS, Opens};

/// The figures, as they are written.
const FIGURES: &str =
    "NetworkErrorRatio(), ResponseCodeRatio(500, 600, 0, 600) and LatencyAtQuantileMS(50.0)";
/// Deepest brackets: nobody writes more.
const MAX_DEPTH: usize = 32;

/// Reads a condition.
///
/// # Errors
/// What is wrong, and what to write.
pub(crate) fn read(text: &str) -> Result<Opens, (String, String)> {
    let mut reader = Reader {
        rest: text,
        terms: 0,
    };
    let opens = reader.any(0)?;
    match reader.peek() {
        None => Ok(opens),
        Some(_) => Err(reader.wrong("`&&`, `||` or the end")),
    }
}

struct Reader<'t> {
    rest: &'t str,
    terms: usize,
}

type Read<T> = Result<T, (String, String)>;

impl<'t> Reader<'t> {
    fn any(&mut self, depth: usize) -> Read<Opens> {
        let mut parts = vec![self.all(depth)?];
        while self.take("||") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Opens::Any))
    }

    fn all(&mut self, depth: usize) -> Read<Opens> {
        let mut parts = vec![self.one(depth)?];
        while self.take("&&") {
            parts.push(self.one(depth)?);
        }
        Ok(one_or(parts, Opens::All))
    }

    fn one(&mut self, depth: usize) -> Read<Opens> {
        self.terms += 1;
        if depth > MAX_DEPTH || self.terms > MAX_TERMS {
            let help = format!("at most {MAX_TERMS} comparisons, in {MAX_DEPTH} brackets");
            return Err(("the condition is too long".to_owned(), help));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let figure = self.figure()?;
        let words = Comparison::ALL.into_iter();
        let mut words = words.filter(|it| self.rest.trim_start().starts_with(it.word()));
        let Some(comparison) = words.next() else {
            return Err(self.wrong("a comparison such as `>`"));
        };
        self.take(comparison.word());
        let than = self.number()?;
        Ok(Opens::Is(figure, comparison, than))
    }

    fn figure(&mut self) -> Read<Figure> {
        let name = self.word();
        let figure = match name {
            "NetworkErrorRatio" => {
                self.expect("(")?;
                Figure::NetworkErrorRatio
            }
            "LatencyAtQuantileMS" => {
                self.expect("(")?;
                let percent = self.number()?;
                if !(0.0..=100.0).contains(&percent) {
                    let message = format!("{percent} is no quantile");
                    return Err((message, "from 0 to 100, in percent".to_owned()));
                }
                Figure::LatencyAtQuantileMs(percent)
            }
            "ResponseCodeRatio" => {
                self.expect("(")?;
                let mut codes = [0; 4];
                for (index, code) in codes.iter_mut().enumerate() {
                    if index > 0 {
                        self.expect(",")?;
                    }
                    let number = self.number()?;
                    if number.fract() != 0.0 || !(0.0..=1000.0).contains(&number) {
                        let message = format!("{number} is no status");
                        return Err((message, "from 0 to 1000".to_owned()));
                    }
                    *code = number as u16;
                }
                Figure::ResponseCodeRatio(codes)
            }
            "" => return Err(self.wrong("a figure")),
            other => {
                let message = format!("unknown figure `{other}`");
                return Err((message, format!("there are {FIGURES}")));
            }
        };
        self.expect(")")?;
        Ok(figure)
    }

    fn number(&mut self) -> Read<f64> {
        let text = self.rest.trim_start();
        let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
        let (number, rest) = text.split_at(end.unwrap_or(text.len()));
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.rest = rest;
                Ok(value)
            }
            _ => Err(self.wrong("a number")),
        }
    }

    fn word(&mut self) -> &'t str {
        let text = self.rest.trim_start();
        let end = text.find(|it: char| !it.is_ascii_alphanumeric());
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        word
    }

    fn expect(&mut self, token: &str) -> Read<()> {
        match self.take(token) {
            true => Ok(()),
            false => Err(self.wrong(&format!("`{token}`"))),
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.trim_start().chars().next()
    }

    fn wrong(&self, expected: &str) -> (String, String) {
        let rest = self.rest.trim();
        let found = match rest {
            "" => "the end".to_owned(),
            rest => format!("`{rest}`"),
        };
        let help = format!("such as `NetworkErrorRatio() > 0.3`; there are {FIGURES}");
        (format!("expected {expected}, found {found}"), help)
    }
}

fn one_or(mut parts: Vec<Opens>, many: fn(Vec<Opens>) -> Opens) -> Opens {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_written() {
        let check = |text: &str, expected: &str| {
            let written = read(text).map(|it| it.to_string());
            let written = written.unwrap_or_else(|(message, _)| message);
            assert_eq!(written, expected, "{text}");
            if !expected.starts_with("expected") && expected.contains("()") {
                assert_eq!(read(&written).map(|it| it.to_string()), Ok(written));
            }
        };
        check("NetworkErrorRatio() > 0.30", "NetworkErrorRatio() > 0.3");
        check(
            "NetworkErrorRatio()>0.3||LatencyAtQuantileMS( 50.0 )>=100",
            "NetworkErrorRatio() > 0.3 || LatencyAtQuantileMS(50) >= 100",
        );
        check(
            "(NetworkErrorRatio() != 0 || NetworkErrorRatio() == 1) && ResponseCodeRatio(500,600, 0, 600) < 1",
            "(NetworkErrorRatio() != 0 || NetworkErrorRatio() == 1) && ResponseCodeRatio(500, 600, 0, 600) < 1",
        );
        check(
            "((NetworkErrorRatio() <= .5) && NetworkErrorRatio() > 0) || NetworkErrorRatio() > 2",
            "NetworkErrorRatio() <= 0.5 && NetworkErrorRatio() > 0 || NetworkErrorRatio() > 2",
        );
        check("", "expected a figure, found the end");
        check("Errors() > 1", "unknown figure `Errors`");
        check("NetworkErrorRatio > 1", "expected `(`, found `> 1`");
        check(
            "NetworkErrorRatio()",
            "expected a comparison such as `>`, found the end",
        );
        check("NetworkErrorRatio() > x", "expected a number, found `x`");
        check(
            "NetworkErrorRatio() > 1 & 2",
            "expected `&&`, `||` or the end, found `& 2`",
        );
        check("(NetworkErrorRatio() > 1", "expected `)`, found the end");
        check("LatencyAtQuantileMS(101) > 1", "101 is no quantile");
        check(
            "ResponseCodeRatio(1, 2, 3) > 1",
            "expected `,`, found `) > 1`",
        );
        check("ResponseCodeRatio(1, 2, 3, 4.5) > 1", "4.5 is no status");
        check(&"(".repeat(1000), "the condition is too long");
    }
}
