//! Has a picture of the screen encoded by Selkies' own encoder, pixelflux, with one hardware encoder after the other until
//! one works, and asks for a new plan with the result.
//!
//! Only pixelflux itself shows what Selkies will do: pixelflux falls back to the CPU in silence, and a driver that crashes
//! or hangs would take the stream with it. So each try is a process of its own with a time limit, as the user of Selkies
//! and with the Python of Selkies.

mod words;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::command::{self, Command};
use super::{replan, script};
use crate::config::service::step::Encoder;
use crate::facts::encoder::{self, Hardware, Trial, Trials, Tried, User};
use crate::sys::read;
use crate::sys::replace::replace;

/// How long one try may take. The program has a shorter limit of its own, and its start takes a part of the time: with
/// several GPUs, a driver needs seconds to start them.
const LIMIT: Duration = Duration::from_secs(12);

/// How long all tries may take: the stream waits for them.
const LIMIT_OF_ALL: Duration = Duration::from_secs(30);

/// What the program prints.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Error { error: String },
    Encoded { encoder: String, hardware: bool, reason: String },
}

/// Tries, writes down what became of each try, and asks for a new plan. The error says why nothing could be tried.
pub(super) fn run(step: &Encoder, planned: &str) -> Result<(), String> {
    let wrong = |error| format!("what to try: {error}");
    let Trials { selkies, user, trials } = serde_json::from_str(planned).map_err(wrong)?;
    let python = python(&selkies)?;
    let mut results: Vec<Tried> = Vec::new();
    let began = Instant::now();
    for trial in trials {
        let mut command = command_of(user.as_ref(), &python);
        command.arg(&step.script).arg(&trial.codec).arg(trial.node.as_deref().unwrap_or_default());
        command.args([step.width, step.height].map(|pixels| pixels.to_string()));
        let failure = match began.elapsed() {
            early if early < LIMIT_OF_ALL => attempt(&mut command, &trial)?,
            _ => Some(words::LATE.to_owned()),
        };
        let name = shown(&trial);
        match &failure {
            None => println!("{name} has encoded a picture of the screen"),
            Some(why) => eprintln!("{name} does not work: {why}"),
        }
        let works = failure.is_none();
        results.push(Tried { trial, failure });
        if works {
            break;
        }
    }
    let file = encoder::file(&step.run_dir);
    let text = serde_json::to_string(&results).map_err(|error| error.to_string())?;
    let written = replace(&file, text.as_bytes(), 0o600);
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    replan::ask(&step.run_dir);
    Ok(())
}

fn shown(Trial { hardware, node, codec }: &Trial) -> String {
    let node = node.as_ref().map(|node| format!(", {node}")).unwrap_or_default();
    format!("{hardware} ({codec}{node})")
}

/// The Python that runs Selkies, from the first line of its program: its environment has pixelflux.
fn python(selkies: &Path) -> Result<PathBuf, String> {
    let at = |error: String| format!("{}: {error}", selkies.display());
    let text = read::bytes(selkies, read::BY_HAND).map_err(|error| at(error.to_string()))?;
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let program = script::interpreter(first).into_iter().next().map(PathBuf::from);
    let is_python = |program: &PathBuf| {
        program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"))
    };
    program.filter(is_python).ok_or_else(|| {
        at("its first line names no Python, so its encoder cannot be tried; Selkies chooses by itself"
            .to_owned())
    })
}

/// The program as the user of Selkies, with all groups of that user: those of device nodes count.
fn command_of(user: Option<&User>, program: &Path) -> Command {
    let Some(User { identity, name, home }) = user else { return command::program(program) };
    let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() {
        "--clear-groups".to_owned()
    } else {
        format!("--groups={}", groups.join(","))
    };
    let mut command = command::program("/usr/bin/setpriv");
    command.args([format!("--reuid={}", identity.uid), format!("--regid={}", identity.gid), groups]);
    command.arg("--").arg(program);
    command.env("USER", name).env("LOGNAME", name).env("HOME", home);
    command
}

/// Has one picture encoded. Returns why the encoder does not work, if so; the error says why it could not be tried.
fn attempt(command: &mut Command, trial: &Trial) -> Result<Option<String>, String> {
    let mut answer = None;
    let ended = command::lines(command, LIMIT, |line| {
        answer = serde_json::from_str(line).ok().or(answer.take());
        true
    });
    match (answer, ended) {
        (Some(Answer::Error { error }), _) => Err(format!("no encoder could be tried: {error}")),
        (Some(Answer::Encoded { encoder, hardware, reason }), _) => {
            let expected = match trial.hardware {
                Hardware::Nvenc => "NVENC",
                Hardware::Vaapi => "VAAPI",
            };
            Ok(match (hardware, encoder == expected) {
                (true, true) => None,
                (true, false) => Some(format!("{encoder} has encoded in its place")),
                (false, _) => Some(words::with_remedy(&reason, &encoder)),
            })
        }
        (None, Err(how)) => Ok(Some(words::of_driver(&how))),
        (None, Ok(())) => Err("the program that encodes a picture has printed no answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_python_of_selkies_is_that_of_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("selkies");
        for (text, expected) in [
            ("#!/opt/selkies/bin/python3\nimport sys\n", Some("/opt/selkies/bin/python3")),
            ("#!/opt/selkies/bin/python -I", Some("/opt/selkies/bin/python")),
            ("#!/bin/bash\nexec python3 selkies\n", None),
            ("\u{7f}ELF\0", None),
            ("", None),
        ] {
            fs::write(&file, text).unwrap();
            let found = python(&file);
            assert_eq!(found.as_deref().ok(), expected.map(Path::new), "{text}: {found:?}");
        }
        assert!(python(&dir.path().join("nothing")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn each_end_of_a_try_has_its_result() {
        let trial = Trial { hardware: Hardware::Nvenc, node: None, codec: "h264".into() };
        let shell = |text: &str| {
            let mut command = command::program("/bin/sh");
            command.args(["-c", text]);
            attempt(&mut command, &trial)
        };
        let encoded = |encoder: &str, hardware: bool, reason: &str| {
            shell(&format!(
                "echo noise; echo '{{\"encoder\":\"{encoder}\",\"hardware\":{hardware},\"reason\":\"{reason}\"}}'"
            ))
        };
        assert_eq!(encoded("NVENC", true, ""), Ok(None));
        assert!(encoded("VAAPI", true, "").unwrap().unwrap().contains("VAAPI has encoded"));
        assert!(
            encoded("x264", false, "Init CUDA failed: X").unwrap().unwrap().contains("Init CUDA failed: X")
        );
        assert!(shell("kill -SEGV $$").unwrap().unwrap().contains("signal 11"));
        // An answer counts, whatever the driver does afterwards.
        let late = "echo '{\"encoder\":\"NVENC\",\"hardware\":true,\"reason\":\"\"}'; kill -SEGV $$";
        assert_eq!(shell(late), Ok(None));
        assert!(shell("echo '{\"error\":\"ImportError: pixelflux\"}'").unwrap_err().contains("ImportError"));
        assert!(shell("exit 0").unwrap_err().contains("no answer"));
    }
}
