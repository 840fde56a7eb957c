//! The properties of standard output: colours and width.

use std::io::IsTerminal;

use crate::config::Environment;
use crate::observe::UnitState;

use super::layout::wrap;

/// The assumed width if the output does not report one, and the largest one of pages for people. Columns.
const WIDTH: usize = 100;

/// Standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) colours: bool,
    pub(super) width: usize,
    /// The width that tables must fit into; `None` if the output is no terminal, which gets complete lines.
    pub(super) limit: Option<usize>,
    /// How many lines a terminal has, if it reports that.
    pub(super) height: Option<usize>,
    /// Whether it is a terminal.
    pub(super) terminal: bool,
    /// Whether it is a terminal whose cursor can be moved.
    pub(super) moves: bool,
}

impl Screen {
    pub(super) fn of(env: &Environment) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        let moves = terminal && env.text("TERM").is_some_and(|kind| kind != "dumb");
        let wanted = env.text("NO_COLOR").is_none() && env.text("TERM") != Some("dumb");
        let told = env.text("COLUMNS").and_then(|text| text.parse().ok());
        let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| terminal);
        let columns = || size.map(|size| usize::from(size.ws_col));
        let height = size.map(|size| usize::from(size.ws_row)).filter(|height| *height > 0);
        let width = told.or_else(columns).filter(|width| *width > 0).unwrap_or(WIDTH);
        Self { colours: terminal && wanted, width, limit: terminal.then_some(width), height, terminal, moves }
    }

    /// The same screen, if a person has changed the terminal's size.
    pub(super) fn resized(self) -> Self {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0);
        let width = width.unwrap_or(self.width);
        Self { width, limit: self.limit.map(|_| width), ..self }
    }

    /// A state's name, or another text, in the colour of the state.
    pub(super) fn paint(self, state: UnitState, text: &str) -> String {
        let colour = match state {
            UnitState::Ready | UnitState::Done => "32",
            UnitState::Waiting | UnitState::Starting | UnitState::Stopping | UnitState::Backoff => "33",
            UnitState::Failed => "31",
            UnitState::Stopped | UnitState::Skipped => "2",
        };
        self.coloured(colour, text)
    }

    /// Wraps words into as many lines as the limit requires; all lines but the first are indented.
    pub(super) fn wrapped(self, text: &str) -> String {
        wrap(text, self.limit.unwrap_or(usize::MAX), 4)
    }

    /// The width of pages for people, on a terminal or not: lines longer than this are hard to read.
    pub(super) fn columns(self) -> usize {
        self.width.min(WIDTH)
    }

    /// A name in a colour that depends on its number.
    pub(super) fn tint(self, number: usize, text: &str) -> String {
        const TINTS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];
        self.coloured(TINTS[number % TINTS.len()], text)
    }

    fn coloured(self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
impl Screen {
    /// The screen of a file or a pipe.
    pub(super) const PLAIN: Self =
        Self { colours: false, width: WIDTH, limit: None, height: None, terminal: false, moves: false };
}
