//! Where output goes: whether it may have colours, and how wide it may be.

use std::io::IsTerminal;

use crate::config::Environment;
use crate::observe::UnitState;

/// Columns of something that does not say how many it has.
const WIDTH: usize = 100;

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) colours: bool,
    pub(super) width: usize,
    /// The columns that tables have to fit into; none where no person reads, who gets everything.
    pub(super) limit: Option<usize>,
    /// Whether it is a terminal.
    pub(super) terminal: bool,
}

impl Screen {
    pub(super) fn of(env: &Environment) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        let wanted = env.text("NO_COLOR").is_none() && env.text("TERM") != Some("dumb");
        let told = env.text("COLUMNS").and_then(|text| text.parse().ok());
        let size = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let width = told.or_else(size).filter(|width| *width > 0).unwrap_or(WIDTH);
        Self { colours: terminal && wanted, width, limit: terminal.then_some(width), terminal }
    }

    /// A state's word, or anything that stands for it, in the state's colour.
    pub(super) fn paint(self, state: UnitState, text: &str) -> String {
        let colour = match state {
            UnitState::Ready | UnitState::Done => "32",
            UnitState::Waiting | UnitState::Starting | UnitState::Stopping | UnitState::Backoff => "33",
            UnitState::Failed => "31",
            UnitState::Stopped | UnitState::Skipped => "2",
        };
        self.coloured(colour, text)
    }

    /// Words behind each other, on as many lines as they need where there is a limit; all but the first are indented.
    pub(super) fn wrapped(self, text: &str) -> String {
        let limit = self.limit.unwrap_or(usize::MAX);
        let (mut lines, mut line) = (String::new(), String::new());
        for word in text.split(' ') {
            if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > limit {
                lines.extend([line.as_str(), "\n"]);
                "   ".clone_into(&mut line);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines + &line + "\n"
    }

    /// One name among others, in a colour that stays its own.
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
    /// A file, or a pipe.
    pub(super) const PLAIN: Self = Self { colours: false, width: WIDTH, limit: None, terminal: false };
}
