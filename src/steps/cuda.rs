//! CUDA's forward compatibility: puts the library of a toolkit that is newer than the driver before the driver's own, where
//! that library works.
//!
//! The loader's configuration is used, and not `LD_LIBRARY_PATH`: programs that sudo, cron, `docker exec` or a service
//! manager start find the library as well, and no script loses it by setting the variable. Whether the library works is
//! tried in a child process, as it is for programs: `cuInit`. What came of it is remembered beside the setting
//! (`facts/gpu/trial.rs`), so that a restart of the container starts no GPU.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::command;
use crate::config::Environment;
use crate::config::service::step::Cuda;
use crate::facts::gpu::compute::{Compat, State, Version};
use crate::facts::gpu::trial::{self, Answer, FILE, Trial};
use crate::facts::gpu::{Answers, Gpus, cuda};
use crate::sys::error::unless_missing;
use crate::sys::read;
use crate::sys::replace::replace;

/// Time limit of the loader's tool.
const LINKING: Duration = Duration::from_secs(60);

/// The name by which programs get the library.
const LIBRARY: &str = "libcuda.so.1";

/// Decides, tries, and sets the loader's path.
pub(super) fn run(Cuda { disabled, limit }: &Cuda) -> Result<(), String> {
    let setting = Setting::read(*limit);
    if *disabled {
        println!("DISABLE_FORWARD_COMPAT is set: programs get the driver's own library of CUDA");
        return setting.change(&setting.trials, None);
    }
    if let Some(folder) = setting.established() {
        println!("programs get CUDA's library from {folder}, which worked here before");
        return Ok(());
    }
    let compat = setting.look()?;
    match compat.state {
        State::Untried => {}
        State::Unknown => return Err(format!("{}; nothing was changed", compat.reason)),
        State::Refused | State::MinorVersion => {
            println!("{}", compat.reason);
            return setting.change(&setting.trials, None);
        }
        State::NotNeeded | State::Missing | State::On => {
            println!("{}", compat.reason);
            return setting.change(&[], None);
        }
    }
    let (trials, found) = attempts(&compat.folders, *limit);
    match found {
        Some((folder, version)) => {
            setting.change(&trials, Some(&folder))?;
            println!("programs get CUDA {} from {folder}", shown(version));
            check(version, &folder, *limit);
        }
        None => setting.change(&trials, None)?,
    }
    Ok(())
}

/// Tries the libraries in these folders until one works. Returns what is to be remembered, and the one that works.
fn attempts(folders: &[String], limit: Duration) -> (Vec<Trial>, Option<(String, Option<Version>)>) {
    let mut trials = Vec::new();
    for folder in folders {
        let mut trial = cuda::own_trial(folder);
        println!("{}: trying whether it works with the driver {}", trial.library, trial.driver);
        let answer = ask(&format!("{folder}/{LIBRARY}"), Some(folder), true, limit);
        match answer {
            Answer { result: Some(result), version, .. } => {
                trial.result = result;
                if !trial.worked() {
                    eprintln!("{}", trial.refusal());
                }
                let worked = trial.worked();
                trials.extend(Some(trial).filter(Trial::is_final));
                if worked {
                    return (trials, Some((folder.clone(), version)));
                }
            }
            Answer { failed, .. } => {
                let why = failed.unwrap_or_else(|| "it gave no answer".to_owned());
                eprintln!("{}: {why}; desktopd restart cuda tries again", trial.library);
            }
        }
    }
    (trials, None)
}

/// Reports if programs of this desktop get another library all the same.
fn check(version: Option<Version>, folder: &str, limit: Duration) {
    let own = ask(LIBRARY, None, false, limit);
    if own.version.is_some() && own.version == version {
        return;
    }
    let path = Environment::inherited().get(OsStr::new("LD_LIBRARY_PATH")).cloned().unwrap_or_default();
    eprintln!(
        "programs of the desktop get CUDA {} all the same: LD_LIBRARY_PATH is \"{}\"; unset it, or put {folder} first",
        shown(own.version),
        path.display()
    );
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "of an unknown version".to_owned(), |version| version.to_string())
}

/// Asks a child process about a library. `first` comes first in the child's library path: a library needs others from
/// its own folder. The child is ended after `limit` without an answer.
fn ask(library: &str, first: Option<&str>, start: bool, limit: Duration) -> Answer {
    let words = trial::words(library);
    let words = if start { &words[..] } else { &words[..words.len() - 1] };
    let mut child = command::program("/proc/self/exe");
    let path = library_path();
    let folders = first.map(str::to_owned).into_iter().chain(path);
    // No other variable: an environment has secrets.
    child.args(words).env_clear().env("LD_LIBRARY_PATH", folders.collect::<Vec<_>>().join(":"));
    let mut answer = Answer::default();
    let mut complete = false;
    let ended = command::lines(&mut child, limit, |line| {
        complete |= !answer.take(line);
        true
    });
    if let Err(why) = ended {
        answer.failed.get_or_insert_with(|| format!("its process failed: {why}"));
    }
    // A result that came before a crash is none.
    Answer { result: answer.result.filter(|_| complete), ..answer }
}

/// The folders of `LD_LIBRARY_PATH`, as the services have it.
fn library_path() -> Vec<String> {
    let env = Environment::inherited();
    let path = env.get(OsStr::new("LD_LIBRARY_PATH")).and_then(|path| path.to_str()).unwrap_or_default();
    path.split(':').filter(|folder| folder.starts_with('/')).map(str::to_owned).collect()
}

/// Our file for the loader, as it was.
struct Setting {
    trials: Vec<Trial>,
    folder: Option<String>,
    /// How long a library may take.
    limit: Duration,
}

impl Setting {
    fn read(limit: Duration) -> Self {
        let text = read::text(Path::new(FILE), read::BY_HAND).unwrap_or_default();
        let folder = text.lines().find(|line| line.starts_with('/')).map(str::to_owned);
        Self { trials: Trial::read(&text), folder, limit }
    }

    /// The folder that is set, if its library worked with the same driver and the same GPUs.
    fn established(&self) -> Option<&str> {
        let folder = self.folder.as_deref()?;
        let wanted = cuda::own_trial(folder);
        self.trials.iter().any(|known| known.is_same(&wanted) && known.worked()).then_some(folder)
    }

    /// How it is on this machine without our setting, which may be from another machine.
    fn look(&self) -> Result<Compat, String> {
        if self.folder.is_some() {
            Self::write(&trial::text(&self.trials, None))?;
        }
        let library = cuda::own_library(&library_path());
        let cuda = library.map(|library| {
            let answer = ask(&library, None, false, self.limit);
            let why = || answer.failed.unwrap_or_else(|| format!("{library} told no version"));
            answer.version.ok_or_else(why)
        });
        let answers = Answers { cuda, ..Answers::default() };
        Ok(Gpus::probe(Path::new("/"), &answers).nvidia.compat)
    }

    /// Writes the file, and has the loader's list made anew if the folder changed.
    fn change(&self, trials: &[Trial], folder: Option<&str>) -> Result<(), String> {
        if trials.is_empty() && folder.is_none() {
            fs::remove_file(FILE).or_else(unless_missing).map_err(|error| format!("{FILE}: {error}"))?;
        } else {
            Self::write(&trial::text(trials, folder))?;
        }
        if self.folder.is_none() && folder.is_none() {
            return Ok(());
        }
        // The order of the files is that of their names, in any language.
        let linked = command::run(command::program("ldconfig").env("LC_ALL", "C"), LINKING);
        linked.map_err(|why| {
            // The setting would look as if it were in effect.
            let _ = Self::write(&trial::text(trials, None));
            format!("ldconfig: {why}; programs get the driver's own library of CUDA")
        })
    }

    /// Writes the file, unless it is right already.
    fn write(text: &str) -> Result<(), String> {
        let file = Path::new(FILE);
        if read::text(file, read::BY_HAND).is_ok_and(|there| there == text) {
            return Ok(());
        }
        replace(file, text.as_bytes(), 0o644)
            .map_err(|error| format!("{FILE}: {error}; the library can be named in LD_LIBRARY_PATH instead"))
    }
}
