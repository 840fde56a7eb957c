//! Hooks, the users' own boot scripts: *sourced* in order in one bash, so that each sees the variables and functions of
//! the scripts before it. The environment that is left at the end becomes the environment of all services, by a new
//! plan.
//!
//! A script may do anything to its shell, and many do. A script that ends the shell, breaks it or does not end is named
//! in a message, and the next scripts run in a new shell with the environment that was saved last. The boot continues
//! in any case.

mod environment;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Environment;
use crate::config::service::step::{self, HookFolder};
use crate::sys::env_file::{entries, of_entries};
use crate::sys::read;

use super::command::{self, Running};
use super::{replan, script};
use environment::Variables;

/// The script that runs in bash and talks to this step.
const DRIVER: &str = include_str!("hooks/driver.bash");

/// How long to wait for messages that a shell wrote before it ended.
const ECHO: Duration = Duration::from_millis(20);

/// Sources the scripts in the folders, each for at most the limit, and writes the environment to the run folder.
pub(super) fn run(step: &step::Hooks) -> Result<(), String> {
    let began: Variables = Environment::inherited();
    let hooks: Vec<Hook> = step.folders.iter().flat_map(scripts).collect();
    let room = step.run_dir.join("hooks");
    let left = command::until_told(async {
        let talk = prepare(&room).map_err(|error| format!("{}: {error}", room.display()))?;
        Ok(Shells {
            room: &room,
            hooks: &hooks,
            limit: step.limit,
            env: began.clone(),
            next: 0,
            current: None,
        }
        .run(talk)
        .await)
    });
    // The folder contains an environment, which may have secrets.
    let _ = fs::remove_dir_all(&room);
    let (left, told) = environment::sane(left?, &began);
    for told in told {
        eprintln!("{told}");
    }
    let file = step.run_dir.join("hook-environment");
    let bytes = entries(&left);
    let before = read::bytes(&file, MOST_LEFT).unwrap_or_else(|_| entries(&began));
    if bytes != before {
        let own = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
        script::write(&file, &bytes, 0o600, own).map_err(|error| format!("{}: {error}", file.display()))?;
        replan::ask(&step.run_dir);
    }
    Ok(())
}

/// No environment of a shell is larger. Bytes.
const MOST_LEFT: u64 = 16 << 20;

/// One script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hook {
    file: PathBuf,
    /// On the last script of a folder whose scripts run once: the file that marks that they have run.
    mark: Option<PathBuf>,
}

/// The scripts of a folder, sorted by name.
fn scripts(HookFolder { path, once }: &HookFolder) -> Vec<Hook> {
    if once.as_ref().is_some_and(|mark| mark.exists()) {
        return Vec::new();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|file| file.extension().is_some_and(|ending| ending == "sh") && file.is_file())
        .collect();
    files.sort();
    let mut hooks: Vec<Hook> = files.into_iter().map(|file| Hook { file, mark: None }).collect();
    if let Some(last) = hooks.last_mut() {
        last.mark.clone_from(once);
    }
    hooks
}

/// Creates a private folder for the messages between the shells and this step.
fn prepare(room: &Path) -> std::io::Result<Lines<BufReader<pipe::Receiver>>> {
    let _ = fs::remove_dir_all(room);
    DirBuilder::new().recursive(true).mode(0o700).create(room)?;
    let told = room.join("told");
    mkfifo(&told, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Also open for writing: otherwise the pipe would report its end between two shells.
    let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&told)?;
    Ok(BufReader::new(receiver).lines())
}

/// Runs one shell after another, until every script had its turn.
struct Shells<'a> {
    room: &'a Path,
    hooks: &'a [Hook],
    limit: Duration,
    /// The environment that is left so far.
    env: Variables,
    /// The next script to run.
    next: usize,
    /// The script that runs now.
    current: Option<usize>,
}

impl Shells<'_> {
    async fn run(mut self, mut talk: Lines<BufReader<pipe::Receiver>>) -> Variables {
        while self.next < self.hooks.len() {
            let turn = self.next;
            if let Err(error) = self.shell(&mut talk).await {
                eprintln!("{error}");
                if turn == self.next {
                    eprintln!("bash: nothing could be run");
                    break;
                }
            }
        }
        self.env
    }

    /// Runs one shell until it ends. The error says why it ended before all scripts had run.
    async fn shell(&mut self, talk: &mut Lines<BufReader<pipe::Receiver>>) -> Result<(), String> {
        let mut bash = command::in_new_session("/bin/bash");
        bash.args(["--noprofile", "--norc", "-c", DRIVER, "bash"]).arg(self.room);
        bash.arg(std::process::id().to_string());
        bash.args(self.hooks[self.next..].iter().map(|hook| &hook.file));
        bash.env_clear().envs(&self.env).env("TERM", "dumb").current_dir("/");
        let mut running = Running::start(&mut bash).map_err(|error| format!("/bin/bash: {error}"))?;
        self.current = None;
        let (warning, limit) = (self.limit / 5 * 4, self.limit);
        let (mut began, mut warned) = (Instant::now(), false);
        let status = loop {
            tokio::select! {
                line = talk.next_line() => match self.hear(&line.ok().flatten().unwrap_or_default()) {
                    Heard::Begin => (began, warned) = (Instant::now(), false),
                    Heard::Nothing => {}
                    Heard::Done => break None,
                },
                status = running.ended() => break Some(status),
                () = sleep_until(began + warning), if !warned => {
                    warned = true;
                    println!("{}: it has run for {warning:?}, and is ended after {limit:?}", self.name());
                }
                () = sleep_until(began + limit) => {
                    drop(running);
                    self.keep();
                    return Err(format!("{}: it took longer than {limit:?} and was ended", self.name()));
                }
            }
        };
        let mut done = status.is_none();
        if done {
            // Its last message has arrived; the rest takes no time, unless a script delays the end of the shell.
            let _ = timeout(limit, running.ended()).await;
        }
        while !done && let Ok(Ok(Some(line))) = timeout(ECHO, talk.next_line()).await {
            done = matches!(self.hear(&line), Heard::Done);
        }
        self.keep();
        let Some(status) = status.filter(|_| !done) else { return Ok(()) };
        let how = status.map_or_else(|error| error, command::told);
        Err(format!(
            "{}: {how}, and the shell ended with it; the next scripts run in a new shell",
            self.name()
        ))
    }

    fn hear(&mut self, line: &str) -> Heard {
        let (word, code) = line.split_once(' ').unwrap_or((line, "0"));
        match word {
            "begin" => {
                // The script before this one left the driver's loop by `continue`.
                self.mark();
                self.current = Some(self.next);
                self.next += 1;
                Heard::Begin
            }
            "end" => {
                if code != "0" {
                    eprintln!("{}: its last command ended with code {code}", self.name());
                }
                self.mark();
                self.current = None;
                Heard::Nothing
            }
            "done" => Heard::Done,
            _ => Heard::Nothing,
        }
    }

    fn hook(&self) -> Option<&Hook> {
        self.hooks.get(self.current?)
    }

    fn name(&self) -> String {
        self.hook().map_or_else(|| "bash".to_owned(), |hook| hook.file.display().to_string())
    }

    /// Marks the script that ran last, and takes over the environment that a shell saved last, if it saved any.
    fn keep(&mut self) {
        self.mark();
        let files: Vec<_> =
            (1..=self.hooks.len()).map(|turn| self.room.join(format!("left.{turn}"))).collect();
        let mut saved = files.iter().rev().filter_map(|file| read::bytes(file, MOST_LEFT).ok());
        if let Some(bytes) = saved.find(|bytes| !bytes.is_empty()) {
            self.env = of_entries(&bytes).into_iter().collect();
        }
        for file in files {
            let _ = fs::remove_file(file);
        }
    }

    fn mark(&self) {
        if let Some(mark) = self.hook().and_then(|hook| hook.mark.as_ref()) {
            script::mark(mark);
        }
    }
}

/// The meaning of a line from the shell.
enum Heard {
    Begin,
    Nothing,
    Done,
}

#[cfg(test)]
mod tests;
