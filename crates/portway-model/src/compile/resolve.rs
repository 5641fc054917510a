//! From names to indices and from texts to compiled patterns.

use super::names::{self, Kind};
use super::{Compiler, Reported};
use crate::convert::Convert;
use crate::diagnostic::{Code, Diagnostic};
use crate::name::Name;
use crate::snapshot::{CertificateId, GroupId, ListenerId, MapId, StickTableId, UserlistId};
use crate::span::Spanned;
use crate::stage::{Named, Pattern, Resolved};

impl Compiler<'_> {
    /// The index of what a name refers to; reports where there is none.
    fn refer(&mut self, kind: Kind, name: &Spanned<Name>) -> Result<u32, Reported> {
        match self.names.refer(kind, name.value.as_str()) {
            Some(index) => Ok(index),
            None => {
                let mut unknown = names::unknown(kind, name);
                if !self.found.is_full() {
                    unknown = names::suggest(unknown, kind, name, self.draft);
                }
                self.found.push(unknown);
                Err(Reported)
            }
        }
    }

    /// A certificate.
    pub(super) fn certificate(&mut self, name: &Spanned<Name>) -> Result<CertificateId, Reported> {
        self.refer(Kind::Certificate, name).map(CertificateId)
    }
}

impl Convert for Compiler<'_> {
    type Before = Named;
    type After = Resolved;
    type Failure = Reported;

    fn listener(&mut self, listener: &Spanned<Name>) -> Result<ListenerId, Reported> {
        self.refer(Kind::Listener, listener).map(ListenerId)
    }

    fn group(&mut self, group: &Spanned<Name>) -> Result<GroupId, Reported> {
        self.refer(Kind::Group, group).map(GroupId)
    }

    fn stick_table(&mut self, table: &Spanned<Name>) -> Result<StickTableId, Reported> {
        self.refer(Kind::StickTable, table).map(StickTableId)
    }

    fn map(&mut self, map: &Spanned<Name>) -> Result<MapId, Reported> {
        self.refer(Kind::Map, map).map(MapId)
    }

    fn userlist(&mut self, userlist: &Spanned<Name>) -> Result<UserlistId, Reported> {
        self.refer(Kind::Userlist, userlist).map(UserlistId)
    }

    fn pattern(&mut self, pattern: &Spanned<String>) -> Result<Pattern, Reported> {
        Pattern::new(&pattern.value).map_err(|error| {
            self.found.push(
                Diagnostic::error(
                    Code::BadPattern,
                    pattern.span,
                    format!(
                        "the regular expression `{}` does not compile",
                        pattern.value
                    ),
                )
                .help(reason(&error)),
            );
            Reported
        })
    }

    fn name_pattern(&mut self, pattern: &Spanned<String>) -> Result<Pattern, Reported> {
        self.pattern(pattern).inspect(Pattern::prepare_alike)
    }
}

/// The last line of the regex crate's message, which says why; the lines before draw the place.
pub(super) fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.unwrap_or("it is not a regular expression").trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
