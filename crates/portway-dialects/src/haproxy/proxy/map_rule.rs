//! Rules that change a map or a list of patterns while it is in use.

use super::http_rule::Reading;
use crate::haproxy::{Word, patterns};
use portway_model::action::Action;
use portway_model::diagnostic::Code;
use portway_model::settings::MapLines;
use portway_model::stage::Named;

impl Reading<'_, '_, '_> {
    /// `add-acl(FILE) KEY`, `del-acl(FILE) KEY`, `set-map(FILE) KEY VALUE`, `del-map(FILE) KEY`.
    pub(super) fn change_map(&mut self, name: &str, file: Option<&str>) -> Option<Action<Named>> {
        let Some(file) = file.filter(|file| !file.is_empty()) else {
            let message = format!("`{name}` needs the file in parentheses, as in `{name}(FILE)`");
            self.reader.error(Code::Missing, self.word.span, message);
            return None;
        };
        let file = Word {
            text: file.to_owned(),
            span: self.word.span,
        };
        let lines = match name {
            "add-acl" | "del-acl" => MapLines::Keys,
            _ => MapLines::Pairs,
        };
        let map = patterns::changed(&file, lines, self.reader);
        let key = self.template()?;
        Some(match name {
            "del-acl" | "del-map" => Action::RemoveEntry { map, key },
            "add-acl" => Action::PutEntry {
                map,
                key,
                value: None,
            },
            _ => Action::PutEntry {
                map,
                key,
                value: Some(self.template()?),
            },
        })
    }
}
