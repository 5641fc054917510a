//! Text to draft with spans, and back.
//!
//! A dialect is a pure function from a text to a [`portway_model::draft::Draft`] with every
//! [`portway_model::diagnostic::Diagnostic`] found on the way. A broken text still gives a draft of what could be
//! read. Nothing here touches disk, network or live state.
//!
//! * [`native`]: our own TOML, which can say everything the model can.
//! * [`mod@haproxy`], the file haproxy.cfg.
//! * [`cloudformation`]: templates of AWS CloudFormation.
//! * [`mod@traefik`], labels of compose files and Traefik's own files.
//! * [`expression`]: values, conditions and templates as text, shared by all dialects.

mod circuit;
pub mod cloudformation;
pub mod expression;
mod foreign;
pub mod haproxy;
mod inputs;
pub mod native;
mod predicate;
pub mod traefik;
mod tree;

pub use expression::{condition, template};
pub use inputs::{Inputs, Wanted};

use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Span;

/// At most so many known words are listed where none is near to what was written.
const MAX_LISTED: usize = 16;

/// The diagnostic for a word that is none of the known ones.
fn unknown_word<'k>(
    span: Span,
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::error(Code::Unknown, span, format!("unknown {what} `{word}`"));
    let diagnostic = match foreign::ours(word, &known) {
        Some(ours) => diagnostic.help(format!("here it is called `{ours}`")),
        None => diagnostic.nearest(word, known.iter().copied()),
    };
    match diagnostic.help {
        None if known.len() <= MAX_LISTED => {
            diagnostic.help(format!("one of: {}", known.join(", ")))
        }
        _ => diagnostic,
    }
}

/// The languages that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Our own TOML.
    Native,
    /// haproxy.cfg.
    Haproxy,
    /// Templates of AWS CloudFormation.
    CloudFormation,
    /// Compose files with labels, and Traefik's own files.
    Traefik,
}

impl Dialect {
    /// Every one.
    pub const ALL: [Dialect; 4] = [
        Dialect::Native,
        Dialect::Haproxy,
        Dialect::CloudFormation,
        Dialect::Traefik,
    ];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Native => "native",
            Dialect::Haproxy => "haproxy",
            Dialect::CloudFormation => "cloudformation",
            Dialect::Traefik => "traefik",
        }
    }
}

/// The language of a file, by its name and content. `None`: no language that we read.
pub fn detect(name: &str, text: &str) -> Option<Dialect> {
    let name = name.to_ascii_lowercase();
    let headed = text.lines().map(str::trim_start).any(|line| {
        native::SECTIONS.iter().any(|section| {
            line.strip_prefix('[')
                .and_then(|rest| rest.strip_prefix(section))
                .is_some_and(|rest| rest.starts_with(['.', ']']))
        })
    });
    if headed {
        return Some(Dialect::Native);
    }
    if traefik::is_ours(&name, text) {
        return Some(Dialect::Traefik);
    }
    if name.ends_with(".toml") {
        return Some(Dialect::Native);
    }
    if cloudformation::looks_like(text) {
        return Some(Dialect::CloudFormation);
    }
    let haproxy = name.ends_with(".cfg") || text.lines().any(haproxy::opens_a_section);
    haproxy.then_some(Dialect::Haproxy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_found() {
        for (name, text, expected) in [
            ("a.toml", "", Some(Dialect::Native)),
            (
                "web.conf",
                "# web\n[listener.web]\nbind = ':80'\n",
                Some(Dialect::Native),
            ),
            ("-", "[process]\nworkers = 2\n", Some(Dialect::Native)),
            (
                "x",
                "# x\nfrontend web\n  bind :80\n",
                Some(Dialect::Haproxy),
            ),
            ("-", "global\n", Some(Dialect::Haproxy)),
            ("haproxy.cfg", "", Some(Dialect::Haproxy)),
            (
                "compose.yaml",
                "services:\n  backend:\n    image: x\n",
                Some(Dialect::Traefik),
            ),
            (
                "dynamic.yml",
                "http:\n  routers: {}\n",
                Some(Dialect::Traefik),
            ),
            (
                "a.toml",
                "[http.routers.a]\nrule = ''\n",
                Some(Dialect::Traefik),
            ),
            ("a.toml", "[entryPoints.web]\n", Some(Dialect::Traefik)),
            ("x.yaml", "frontend:\n  image: x\nbackend: y\n", None),
            ("x", "", None),
            (
                "a",
                "AWSTemplateFormatVersion: 2010-09-09\n",
                Some(Dialect::CloudFormation),
            ),
            ("a", "{ \"Resources\": {} }", Some(Dialect::CloudFormation)),
            ("a", "Resources:\n  A:\n", Some(Dialect::CloudFormation)),
            (
                "a",
                "\u{feff}{ \"AWSTemplateFormatVersion\": 1 }",
                Some(Dialect::CloudFormation),
            ),
        ] {
            assert_eq!(detect(name, text), expected, "{name}: {text}");
        }
    }
}
