//! A terminal whose whole screen a command uses, until the value is dropped: the screen is as it was before.

use std::io::Write;
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::cli::Failure;

/// Another screen, and no cursor.
const BEGIN: &str = "\u{1b}[?1049h\u{1b}[?25l";

/// The cursor, and the screen of before.
const END: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// How many keys may wait to be read.
const KEYS: usize = 16;

/// The terminal. Keys come one by one, and are not shown.
pub(super) struct Taken {
    keys: mpsc::Receiver<u8>,
    /// How the input was set before; `None` if it is no terminal.
    before: Option<Termios>,
}

impl Taken {
    /// Takes the terminal.
    pub(super) fn new() -> Result<Self, Failure> {
        let input = std::io::stdin();
        let before = tcgetattr(input.as_fd()).ok();
        let (sender, keys) = mpsc::channel(KEYS);
        if let Some(before) = &before {
            let mut single = before.clone();
            single.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            tcsetattr(input.as_fd(), OptionalActions::Flush, &single).map_err(std::io::Error::from)?;
            // The thread stays in its last read; the program ends without it.
            std::thread::Builder::new().name("keys".into()).spawn(move || {
                let mut key = [0];
                while let Ok(1..) = rustix::io::read(std::io::stdin(), &mut key) {
                    if sender.blocking_send(key[0]).is_err() {
                        break;
                    }
                }
            })?;
        }
        let taken = Self { keys, before };
        std::io::stdout().lock().write_all(BEGIN.as_bytes())?;
        Ok(taken)
    }

    /// The next key. Never comes where the input is no terminal. Cancel-safe.
    pub(super) async fn key(&mut self) -> u8 {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Shows a text from the upper left corner on, in place of what was shown before.
    pub(super) fn show(text: &str) -> Result<(), Failure> {
        let mut frame = String::from("\u{1b}[H");
        for line in text.lines() {
            // The rest of the old line goes. The last line must not end with a line break, which would scroll.
            if frame.len() > 3 {
                frame.push_str("\r\n");
            }
            frame.extend([line, "\u{1b}[K"]);
        }
        frame.push_str("\u{1b}[J");
        let mut out = std::io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        Ok(out.flush()?)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut out = std::io::stdout().lock();
        // A terminal that was closed needs no restoring.
        let _ = out.write_all(END.as_bytes()).and_then(|()| out.flush());
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Flush, before);
        }
    }
}
