//! A terminal that pictures are drawn in, and that is left as it was.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen, a hidden cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
/// Back again.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// The terminal while pictures are drawn.
pub(super) struct Screen {
    /// How keys were read before; `None`: standard input is none.
    before: Option<Termios>,
}

impl Screen {
    /// Takes it over; `None`: standard output is no terminal.
    pub(super) fn enter() -> Option<Self> {
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let input = io::stdin();
        let before = tcgetattr(&input).ok();
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            // Keys that cannot be read are not waited for.
            let _ = tcsetattr(&input, OptionalActions::Now, &keys);
        }
        let screen = Self { before };
        screen.write(ENTER);
        Some(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => (80, 24),
        }
    }

    /// True where keys are read.
    pub(super) fn has_keys(&self) -> bool {
        self.before.is_some()
    }

    /// Draws over what is there, in one piece: nothing flickers.
    pub(super) fn draw(&self, lines: &[String]) {
        let mut text = String::from("\u{1b}[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\u{1b}[K");
        }
        text.push_str("\u{1b}[J");
        self.write(&text);
    }

    fn write(&self, text: &str) {
        let mut out = io::stdout().lock();
        // A terminal that is gone shows nothing.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
