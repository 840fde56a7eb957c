//! The command `logs`: the output of units.

mod together;

use serde::Serialize;

use crate::logs::Line;
use crate::sys::print::{self, error};
use crate::sys::terminal;

use super::Failure;
use super::args::Logs;
use super::client::Client;
use super::render;
use super::screen::Screen;

/// Number of lines if neither a number nor a time is given.
const LINES: usize = 100;

/// Runs the command.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    if args.all {
        return together::logs(client, args, screen).await;
    }
    let query = query(args, jiff::Timestamp::now().as_millisecond());
    let mut rows = Rows::new(screen, args.json);
    let mut print = |line: &Line| {
        rows.print(0, line.open && args.follow, line, || format!("{} {}", render::time(line.at), line.text))
    };
    if !args.follow {
        let lines = client.log(&format!("{}?{query}", args.name)).await?;
        return lines.iter().try_for_each(print);
    }
    let mut stream = client.stream(&format!("/api/logs/{}/stream?{query}", args.name)).await?;
    while let Some((name, data)) = stream.next().await? {
        match (name.as_str(), serde_json::from_str(&data)) {
            ("line", Ok(line)) => print(&line)?,
            ("lost", _) => error(&format!("desktopd: {data} lines came too fast and are left out")),
            _ => {}
        }
    }
    Ok(())
}

fn query(args: &Logs, now: i64) -> String {
    let since = args.since.map(|since| since.before(now));
    let lines = number(args).map(|lines| format!("lines={lines}"));
    let since = since.map(|since| format!("since={since}"));
    lines.into_iter().chain(since).collect::<Vec<_>>().join("&")
}

/// The number of lines, if it is limited.
fn number(args: &Logs) -> Option<usize> {
    args.lines.or(if args.since.is_none() { Some(LINES) } else { None })
}

/// Prints lines. On a terminal, an unfinished line is overwritten by the next one. In a file or a pipe, unfinished
/// lines are left out while more follows.
struct Rows {
    moves: bool,
    json: bool,
    /// The number of the log whose unfinished line is the last one on the screen.
    open: Option<usize>,
}

impl Rows {
    fn new(screen: Screen, json: bool) -> Self {
        Self { moves: screen.terminal, json, open: None }
    }

    /// Prints a line of log number `at`.
    fn print(
        &mut self,
        at: usize,
        open: bool,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return render::print_line(true, value, text);
        }
        if open && !self.moves {
            return Ok(());
        }
        print::data(self.text(at, open, &terminal::safe_line(&text())).as_bytes())?;
        Ok(())
    }

    fn text(&mut self, at: usize, open: bool, line: &str) -> String {
        // Go back to the beginning of the line and erase it; or to a new line, if the line belongs to another log.
        let begin = match std::mem::replace(&mut self.open, open.then_some(at)) {
            Some(before) if before == at => "\r\u{1b}[K",
            Some(_) => "\n",
            None => "",
        };
        // Without wrapping, because otherwise more than one row would have to be erased.
        if open { format!("{begin}\u{1b}[?7l{line}\u{1b}[?7h") } else { format!("{begin}{line}\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Args, Command};

    #[test]
    fn an_unfinished_line_is_overwritten() {
        let mut rows = Rows { moves: true, json: false, open: None };
        let mut all = String::new();
        for (at, open, line) in [
            (0, false, "a"),
            (0, true, "10 %"),
            (0, true, "20 %"),
            (1, false, "b"),
            (0, true, "30 %"),
            (0, false, "c"),
        ] {
            all += &rows.text(at, open, line);
        }
        let [on, off, back] = ["\u{1b}[?7h", "\u{1b}[?7l", "\r\u{1b}[K"];
        assert_eq!(all, format!("a\n{off}10 %{on}{back}{off}20 %{on}\nb\n{off}30 %{on}{back}c\n"));
    }

    #[test]
    fn lines_are_limited_by_number_by_time_or_by_both() {
        for (words, expected) in [
            (&["logs"][..], "lines=100"),
            (&["logs", "-n", "7"], "lines=7"),
            (&["logs", "--since", "5s"], "since=5000"),
            (&["logs", "--since", "5s", "-n", "7"], "lines=7&since=5000"),
        ] {
            let words = ["desktopd"].iter().chain(words).map(Into::into).collect();
            match Args::read(words).unwrap().command {
                Command::Logs(args) => assert_eq!(query(&args, 10_000), expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
