//! The language in which circuit breakers say when they open: that of Traefik, in its files and in the native one.
//!
//! ```text
//! NetworkErrorRatio() > 0.3 || (LatencyAtQuantileMS(50.0) > 100 && ResponseCodeRatio(500, 600, 0, 600) > 0.25)
//! ```

use crate::predicate::{self, Read, Reader, Tree};
use portway_model::circuit::{Comparison, Figure, Opens};

/// What may be written.
const HELP: &str = "such as `NetworkErrorRatio() > 0.3`; there are NetworkErrorRatio(), ResponseCodeRatio(500, 600, 0, 600) and \
     LatencyAtQuantileMS(50.0)";

/// Reads a condition.
///
/// # Errors
/// What is wrong, and what to write.
pub(crate) fn read(text: &str) -> Result<Opens, (String, String)> {
    predicate::read(text, HELP, comparison).map(opens)
}

fn opens(tree: Tree<(Figure, Comparison, f64)>) -> Opens {
    match tree {
        Tree::All(parts) => Opens::All(parts.into_iter().map(opens).collect()),
        Tree::Any(parts) => Opens::Any(parts.into_iter().map(opens).collect()),
        Tree::Is((figure, comparison, than)) => Opens::Is(figure, comparison, than),
    }
}

fn comparison(reader: &mut Reader<'_>) -> Read<(Figure, Comparison, f64)> {
    let figure = figure(reader)?;
    let comparison = reader.comparison()?;
    Ok((figure, comparison, reader.number()?))
}

fn figure(reader: &mut Reader<'_>) -> Read<Figure> {
    let figure = match reader.word() {
        "NetworkErrorRatio" => {
            reader.expect("(")?;
            Figure::NetworkErrorRatio
        }
        "LatencyAtQuantileMS" => {
            reader.expect("(")?;
            let percent = reader.number()?;
            if !(0.0..=100.0).contains(&percent) {
                let message = format!("{percent} is no quantile");
                return Err((message, "from 0 to 100, in percent".to_owned()));
            }
            Figure::LatencyAtQuantileMs(percent)
        }
        "ResponseCodeRatio" => {
            reader.expect("(")?;
            let mut codes = [0; 4];
            for (index, code) in codes.iter_mut().enumerate() {
                if index > 0 {
                    reader.expect(",")?;
                }
                let number = reader.number()?;
                if number.fract() != 0.0 || !(0.0..=1000.0).contains(&number) {
                    let message = format!("{number} is no status");
                    return Err((message, "from 0 to 1000".to_owned()));
                }
                *code = number as u16;
            }
            Figure::ResponseCodeRatio(codes)
        }
        "" => return Err(reader.wrong("a figure")),
        other => {
            let message = format!("unknown figure `{other}`");
            return Err((message, HELP.to_owned()));
        }
    };
    reader.expect(")")?;
    Ok(figure)
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
