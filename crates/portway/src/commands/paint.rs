//! Colours of what commands print on a terminal.

/// Whether colours are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn in_colour(self, colour: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.in_colour("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.in_colour("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.in_colour("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.in_colour("31", text)
    }
}
