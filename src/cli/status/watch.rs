//! `desktopd status --watch`: the page again after every change. On a terminal the page fills the screen, until `q` or
//! Ctrl-C; into a file or a pipe each changed page is printed below the last one.
//!
//! The daemon says when something has changed, so nothing is asked again and again.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::args::Status;
use crate::cli::client::{Client, Stream};
use crate::cli::layout::cut;
use crate::cli::{Failure, Screen, code, names, render};
use crate::observe::{Snapshot, UnitStatus};
use crate::sys::launch::FIRST_FD;
use crate::sys::terminal;

use super::page::Page;

/// The other screen of the terminal, without a cursor, and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// To the first line; to the end of the line, and of the screen.
const HOME: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K";
const REST_OF_SCREEN: &str = "\u{1b}[J";

/// Runs until a person ends it, or the daemon ends.
pub(super) async fn watch(client: &Client, args: &Status, screen: Screen) -> Result<(), Failure> {
    let stream = client.stream("/api/status/stream").await?;
    if screen.terminal && !args.json {
        return on_screen(stream, args, screen).await;
    }
    below(stream, args, screen).await
}

/// Prints each changed page below the last one.
async fn below(mut stream: Stream, args: &Status, screen: Screen) -> Result<(), Failure> {
    let mut last = None;
    while let Some(snapshot) = next(&mut stream).await? {
        if args.json {
            let same = last.as_ref() == Some(&snapshot);
            if !same {
                render::print_line(true, &snapshot, String::new)?;
            }
            last = Some(snapshot);
            continue;
        }
        let (text, before) = (text(&snapshot, args, screen)?, last.map(|last| text(&last, args, screen)));
        if before.is_none_or(|before| before.is_err() || before.is_ok_and(|before| before != text)) {
            let now = render::time(jiff::Timestamp::now().as_millisecond());
            crate::sys::print::out(&format!("---- {now}\n{text}"))?;
        }
        last = Some(snapshot);
    }
    Err(ended())
}

/// Shows the page on the whole screen of a terminal.
async fn on_screen(mut stream: Stream, args: &Status, screen: Screen) -> Result<(), Failure> {
    // Before the terminal changes: from now on, these signals do not end the process.
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<Signal>>>()?;
    let mut sizes = signal(SignalKind::window_change())?;
    let [interrupts, terminations, hangups] = ends.as_mut_slice() else { return Ok(()) };
    let mut full = FullScreen::enter()?;
    let mut shown: Option<Snapshot> = None;
    loop {
        tokio::select! {
            snapshot = next(&mut stream) => match snapshot? {
                Some(snapshot) => shown = Some(snapshot),
                None => return Err(ended()),
            },
            _ = sizes.recv() => {}
            _ = interrupts.recv() => return Ok(()),
            _ = terminations.recv() => return Ok(()),
            _ = hangups.recv() => return Ok(()),
            quits = full.keys.quits() => {
                if quits {
                    return Ok(());
                }
                continue;
            }
        }
        if let Some(snapshot) = &shown {
            let screen = screen.resized();
            full.draw(&text(snapshot, args, screen)?, screen)?;
        }
    }
}

/// The next state. Cancel-safe: a started event stays in the stream.
async fn next(stream: &mut Stream) -> Result<Option<Snapshot>, Failure> {
    while let Some((name, data)) = stream.next().await? {
        if name == "snapshot"
            && let Ok(snapshot) = serde_json::from_str(&data)
        {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

fn ended() -> Failure {
    Failure::new(code::NOT_RUNNING, "the daemon has ended")
}

/// The page, or the rows of the named services.
fn text(snapshot: &Snapshot, args: &Status, screen: Screen) -> Result<String, Failure> {
    let page = Page { snapshot, now: None, screen, all: args.all || !args.names.is_empty() };
    if args.names.is_empty() {
        return Ok(page.text());
    }
    let units: Vec<&UnitStatus> = names::resolve(snapshot, &args.names, true, "status --watch")?;
    Ok(page.services(&units))
}

/// The terminal while the page fills it. When dropped, the terminal is as before.
struct FullScreen {
    keys: Keys,
}

impl FullScreen {
    fn enter() -> io::Result<Self> {
        let keys = Keys::take();
        let full = Self { keys };
        io::stdout().lock().write_all(ENTER.as_bytes())?;
        Ok(full)
    }

    /// Draws the page from the first line on, as far as there is room.
    fn draw(&mut self, text: &str, screen: Screen) -> io::Result<()> {
        let height = tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row)).max(2);
        let lines: Vec<&str> = text.lines().collect();
        let room = height - 1;
        let mut drawn = HOME.to_owned();
        let whole = lines.len() <= room;
        for line in lines.iter().take(if whole { room } else { room - 1 }) {
            drawn.extend([&terminal::safe_line(line), REST_OF_LINE, "\r\n"]);
        }
        if !whole {
            let more = format!("… {} more lines", lines.len() - (room - 1));
            drawn.extend([cut(&more, screen.columns()).as_str(), REST_OF_LINE, "\r\n"]);
        }
        let hint = if self.keys.input.is_some() { "q ends" } else { "Ctrl-C ends" };
        drawn.extend([cut(hint, screen.columns()).as_str(), REST_OF_LINE, REST_OF_SCREEN]);
        let mut out = io::stdout().lock();
        out.write_all(drawn.as_bytes())?;
        out.flush()
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // A terminal that is gone needs no change.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

/// The keys of the terminal, one by one and unseen. When dropped, the terminal is as before.
struct Keys {
    /// Standard input with the terminal's mode from before; `None` if it is no terminal, or has ended.
    input: Option<(AsyncFd<OwnedFd>, Termios)>,
}

impl Keys {
    fn take() -> Self {
        let input = io::stdin();
        let before = if input.is_terminal() { tcgetattr(input.as_fd()).ok() } else { None };
        let input = before.and_then(|before| {
            let mut changed = before.clone();
            changed.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(input.as_fd(), OptionalActions::Now, &changed).ok()?;
            let own = rustix::io::fcntl_dupfd_cloexec(&input, FIRST_FD).map_err(io::Error::from);
            #[expect(
                deprecated,
                reason = "sound here: no other code owns the descriptor, and it is open until it is dropped"
            )]
            if let Ok(own) = own.and_then(AsyncFd::new) {
                return Some((own, before));
            }
            let _ = tcsetattr(input.as_fd(), OptionalActions::Now, &before);
            None
        });
        Self { input }
    }

    /// Waits for a key, and says whether it ends the command. Without a terminal there is none.
    async fn quits(&mut self) -> bool {
        let Some((input, _)) = &self.input else { return std::future::pending().await };
        let Ok(mut ready) = input.readable().await else { return std::future::pending().await };
        let mut keys = [0; 64];
        // There is input, so this does not wait.
        let length = rustix::io::read(input.get_ref(), &mut keys).unwrap_or(0);
        ready.clear_ready();
        keys[..length].iter().any(|key| matches!(key, b'q' | b'Q'))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some((input, before)) = &self.input {
            let _ = tcsetattr(input.get_ref(), OptionalActions::Now, before);
        }
    }
}
