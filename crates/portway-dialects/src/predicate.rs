//! Comparisons, joined by `&&`, `||` and brackets: the form of Traefik's conditions on circuit breakers and retries.
//!
//! What is compared is each language's own.

use portway_model::circuit::{Comparison, MAX_TERMS};

/// Deepest brackets: nobody writes more.
const MAX_DEPTH: usize = 32;

/// What was read, or what is wrong and what to write.
pub(crate) type Read<T> = Result<T, (String, String)>;

/// A condition of comparisons.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree<T> {
    /// All of them, two or more.
    All(Vec<Tree<T>>),
    /// Any of them, two or more.
    Any(Vec<Tree<T>>),
    /// A comparison.
    Is(T),
}

impl<T> Tree<T> {
    /// Whether it holds, where it is known of each comparison.
    pub(crate) fn holds(&self, of: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(of)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(of)),
            Self::Is(one) => of(one),
        }
    }
}

/// Reads a condition. `help`: what may be written; `comparison` reads one.
///
/// # Errors
/// What is wrong, and what to write.
pub(crate) fn read<'t, T>(
    text: &'t str,
    help: &'static str,
    mut comparison: impl FnMut(&mut Reader<'t>) -> Read<T>,
) -> Read<Tree<T>> {
    let mut reader = Reader {
        rest: text,
        terms: 0,
        help,
    };
    let tree = reader.any(0, &mut comparison)?;
    match reader.rest.trim() {
        "" => Ok(tree),
        _ => Err(reader.wrong("`&&`, `||` or the end")),
    }
}

/// What is left of a text.
pub(crate) struct Reader<'t> {
    rest: &'t str,
    terms: usize,
    help: &'static str,
}

impl<'t> Reader<'t> {
    fn any<T>(
        &mut self,
        depth: usize,
        comparison: &mut impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Tree<T>> {
        let mut parts = vec![self.all(depth, comparison)?];
        while self.take("||") {
            parts.push(self.all(depth, comparison)?);
        }
        Ok(one_or(parts, Tree::Any))
    }

    fn all<T>(
        &mut self,
        depth: usize,
        comparison: &mut impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Tree<T>> {
        let mut parts = vec![self.one(depth, comparison)?];
        while self.take("&&") {
            parts.push(self.one(depth, comparison)?);
        }
        Ok(one_or(parts, Tree::All))
    }

    fn one<T>(
        &mut self,
        depth: usize,
        comparison: &mut impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Tree<T>> {
        self.terms += 1;
        if depth > MAX_DEPTH || self.terms > MAX_TERMS {
            let help = format!("at most {MAX_TERMS} comparisons, in {MAX_DEPTH} brackets");
            return Err(("the condition is too long".to_owned(), help));
        }
        if self.take("(") {
            let inner = self.any(depth + 1, comparison)?;
            self.expect(")")?;
            return Ok(inner);
        }
        comparison(self).map(Tree::Is)
    }

    /// `>` and the like.
    pub(crate) fn comparison(&mut self) -> Read<Comparison> {
        let mut words = Comparison::ALL.into_iter();
        match words.find(|it| self.take(it.word())) {
            Some(comparison) => Ok(comparison),
            None => Err(self.wrong("a comparison such as `>`")),
        }
    }

    pub(crate) fn number(&mut self) -> Read<f64> {
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

    /// A text in double quotes or backquotes.
    pub(crate) fn text(&mut self) -> Read<&'t str> {
        for quote in ['"', '`'] {
            let inner = self.rest.trim_start().strip_prefix(quote);
            if let Some((text, rest)) = inner.and_then(|it| it.split_once(quote)) {
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(self.wrong("a text in quotes"))
    }

    /// Letters and digits; empty where there are none.
    pub(crate) fn word(&mut self) -> &'t str {
        let text = self.rest.trim_start();
        let end = text.find(|it: char| !it.is_ascii_alphanumeric());
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        word
    }

    pub(crate) fn expect(&mut self, token: &str) -> Read<()> {
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

    /// Something else stands here.
    pub(crate) fn wrong(&self, expected: &str) -> (String, String) {
        let found = match self.rest.trim() {
            "" => "the end".to_owned(),
            rest => format!("`{rest}`"),
        };
        let message = format!("expected {expected}, found {found}");
        (message, self.help.to_owned())
    }
}

fn one_or<T>(mut parts: Vec<Tree<T>>, many: fn(Vec<Tree<T>>) -> Tree<T>) -> Tree<T> {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}
