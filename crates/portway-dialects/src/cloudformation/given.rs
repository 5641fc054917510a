//! What the caller gives beside the templates: values of placeholders, parameters and imports, targets, certificates.

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use portway_model::span::Span;
use std::collections::BTreeSet;

/// What is given. Each entry is a name and what it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// For `{{ name }}` (`--set`).
    pub placeholders: Vec<(String, String)>,
    /// For parameters, and pseudo parameters such as `AWS::Region` (`--param`).
    pub parameters: Vec<(String, String)>,
    /// For `Fn::ImportValue` (`--import`).
    pub imports: Vec<(String, String)>,
    /// Addresses of targets: the name is that of a target group, or an instance's id or logical id (`--target`).
    pub targets: Vec<(String, String)>,
    /// Files of certificates: the name is a logical id or an ARN (`--certificate`).
    pub certificates: Vec<(String, String)>,
    /// Networks of the members of a security group or prefix list (`--source-group`).
    pub source_groups: Vec<(String, String)>,
    /// The address that the listeners of a load balancer accept on: the name is its logical id (`--bind`).
    pub binds: Vec<(String, String)>,
    /// The secret with which cookies of stickiness are sealed (`--cookie-key`).
    pub cookie_key: Option<String>,
    /// What becomes of parameters and imports without a value.
    pub unset: Unset,
    /// Resources of other types are left out without a word (`--ignore-other-resources`).
    pub ignore_other_resources: bool,
}

/// What becomes of parameters and imports without a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unset {
    /// They are errors.
    #[default]
    Refused,
    /// They are warnings; what depends on them is left out.
    Warned,
}

/// Which list of [`Given`] an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Placeholder,
    Parameter,
    Import,
    Target,
    Certificate,
    SourceGroup,
    Bind,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Placeholder,
        Kind::Parameter,
        Kind::Import,
        Kind::Target,
        Kind::Certificate,
        Kind::SourceGroup,
        Kind::Bind,
    ];

    fn flag(self) -> &'static str {
        match self {
            Kind::Placeholder => "--set",
            Kind::Parameter => "--param",
            Kind::Import => "--import",
            Kind::Target => "--target",
            Kind::Certificate => "--certificate",
            Kind::SourceGroup => "--source-group",
            Kind::Bind => "--bind",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Kind::Placeholder => "placeholder `{{ … }}`",
            Kind::Parameter => "parameter",
            Kind::Import => "import",
            Kind::Target => "target group or instance",
            Kind::Certificate => "certificate",
            Kind::SourceGroup => "source of a security group's rules",
            Kind::Bind => "load balancer",
        }
    }
}

/// What is given, and which of it was asked for.
pub(super) struct Book<'g> {
    given: &'g Given,
    asked: BTreeSet<(Kind, String)>,
}

impl<'g> Book<'g> {
    pub(super) fn new(given: &'g Given) -> Self {
        Self {
            given,
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn unset(&self) -> Unset {
        self.given.unset
    }

    pub(super) fn cookie_key(&self) -> Option<&'g str> {
        self.given.cookie_key.as_deref()
    }

    pub(super) fn ignores_others(&self) -> bool {
        self.given.ignore_other_resources
    }

    /// All that is given under this name, in order.
    pub(super) fn all(&mut self, kind: Kind, name: &str) -> Vec<&'g str> {
        self.asked.insert((kind, name.to_owned()));
        let entries = self.entries(kind).iter();
        let named = entries.filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// What is given under this name; the last where it is given twice.
    pub(super) fn one(&mut self, kind: Kind, name: &str) -> Option<&'g str> {
        self.all(kind, name).pop()
    }

    /// Says which names are given two values where one counts.
    pub(super) fn say_twice(&self, found: &mut Diagnostics) {
        for kind in Kind::ALL {
            let mut seen = BTreeSet::new();
            for (name, _) in self.entries(kind) {
                let again = !seen.insert(name);
                if again && !matches!(kind, Kind::Target | Kind::SourceGroup) {
                    let message = format!("{} {name}=… is given twice", kind.flag());
                    found.push(Diagnostic::error(Code::Duplicate, Span::NONE, message));
                }
            }
        }
    }

    /// Says which entries nothing asked for.
    pub(super) fn say_unused(&self, found: &mut Diagnostics) {
        for kind in Kind::ALL {
            let known = self.asked.iter().filter(|(asked, _)| *asked == kind);
            let known: Vec<&str> = known.map(|(_, name)| name.as_str()).collect();
            for (name, _) in self.entries(kind) {
                if known.contains(&name.as_str()) {
                    continue;
                }
                let (flag, what) = (kind.flag(), kind.what());
                let message = format!("{flag} {name}=…: the templates have no {what} `{name}`");
                let unused = Diagnostic::error(Code::UnknownReference, Span::NONE, message);
                found.push(match nearest(name, known.iter().copied()) {
                    Some(near) => unused.help(format!("did you mean `{near}`?")),
                    None if known.is_empty() => unused,
                    None => unused.help(format!("known: {}", known.join(", "))),
                });
            }
        }
    }

    fn entries(&self, kind: Kind) -> &'g [(String, String)] {
        match kind {
            Kind::Placeholder => &self.given.placeholders,
            Kind::Parameter => &self.given.parameters,
            Kind::Import => &self.given.imports,
            Kind::Target => &self.given.targets,
            Kind::Certificate => &self.given.certificates,
            Kind::SourceGroup => &self.given.source_groups,
            Kind::Bind => &self.given.binds,
        }
    }
}
