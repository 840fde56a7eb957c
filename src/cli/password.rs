//! The commands that take a password: as an argument, from a pipe, or typed on a terminal that does not show it.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::auth::{password_problems, user_problems};
use crate::portal::{Changed, NewCredentials};
use crate::sys::{self, print, read};

use super::client::Client;
use super::{Failure, code};

/// The maximum that is read; the daemon has the limit for passwords. Bytes.
const LONGEST: u64 = 64 * 1024;

/// Changes user name and password of the web services.
pub(super) async fn set(client: &Client, user: &str, password: Option<&str>) -> Result<(), Failure> {
    // Checked before the user types a password in vain.
    acceptable(&user_problems(user))?;
    let password = given(password).await?;
    acceptable(&password_problems(&password))?;
    let wanted = NewCredentials { user: user.to_owned(), password };
    let changed: Changed = client.post("/api/credentials", &wanted).await?;
    let notes: String = changed.notes.iter().flat_map(|note| [note, "\n"]).collect();
    Ok(print::out(&format!(
        "the web services now ask for user '{user}' and the new password; all sessions have ended\n{notes}"
    ))?)
}

/// Prints the hash of a password.
pub(super) async fn hash(password: Option<&str>, cost: u32) -> Result<(), Failure> {
    let password = given(password).await?;
    acceptable(&password_problems(&password))?;
    let hash = bcrypt::hash(password, cost).map_err(|error| Failure::of(error.to_string()))?;
    Ok(print::out(&(hash + "\n"))?)
}

fn acceptable(problems: &[String]) -> Result<(), Failure> {
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(code::USAGE, problems.join("; "))) }
}

/// The password, from the argument, the pipe or the terminal. On a terminal it is typed twice.
async fn given(argument: Option<&str>) -> Result<String, Failure> {
    if let Some(password) = argument {
        return Ok(password.to_owned());
    }
    if !std::io::stdin().is_terminal() {
        return piped(std::io::stdin().lock());
    }
    let first = typed("Password: ").await?;
    if typed("Once more: ").await? != first {
        return Err(Failure::of("the two passwords differ"));
    }
    Ok(first)
}

/// Reads everything, without the line end.
fn piped(from: impl Read) -> Result<String, Failure> {
    let bytes = read::all(from.take(LONGEST), LONGEST)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::new(code::USAGE, "the password is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Reads a line from the terminal, which does not show it.
async fn typed(prompt: &str) -> Result<String, Failure> {
    let mut error = std::io::stderr();
    // Before the terminal is changed: otherwise a signal would leave it changed.
    let mut ends = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        ends.push(signal(kind)?);
    }
    error.write_all(prompt.as_bytes())?;
    let unseen = Unseen::new()?;
    let line = sys::run_on_thread(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(LONGEST).read_line(&mut line).map(|_| line)
    });
    let mut ends: Vec<_> = ends.iter_mut().map(|end| Box::pin(end.recv())).collect();
    let typed = tokio::select! {
        typed = line => typed,
        _ = futures_util::future::select_all(&mut ends) => Err(std::io::Error::other("cancelled")),
    };
    drop(unseen);
    error.write_all(b"\n")?;
    piped(typed??.as_bytes())
}

/// The terminal does not show typed characters until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn new() -> Result<Self, Failure> {
        let input = std::io::stdin();
        let before = tcgetattr(input.as_fd()).map_err(std::io::Error::from)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(input.as_fd(), OptionalActions::Flush, &unseen).map_err(std::io::Error::from)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that was closed needs no restoring.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_line_end() {
        for (sent, expected) in [
            ("secret\n", Ok("secret")),
            ("secret\r\n", Ok("secret")),
            (" secret ", Ok(" secret ")),
            ("", Ok("")),
            ("a\nb\n", Ok("a\nb")),
            ("pä:ß$\n", Ok("pä:ß$")),
        ] {
            assert_eq!(
                piped(sent.as_bytes()).map_err(|failure| failure.message),
                expected.map(str::to_owned).map_err(|e: &str| e.to_owned())
            );
        }
        assert_eq!(piped(&b"\xff\n"[..]).unwrap_err().message, "the password is not UTF-8");
    }
}
