//! Reasons for people: what is wrong, the remedy, and the commands in the remedy, which people copy.
//!
//! Every reason of the probe and of the plan is one text, because most readers want one sentence. Pages show the parts.

use serde::Serialize;

/// The words with which the remedies in reasons begin.
const REMEDIES: [&str; 24] = [
    "add", "allow", "ask", "bind", "choose", "docker", "enable", "give", "install", "load", "look", "mount",
    "move", "raise", "reload", "restart", "run", "see", "set", "show", "start", "turn", "unset", "use",
];

/// Programs that remedies name without quotes. All of them run on the host.
const PROGRAMS: [&str; 7] =
    ["chgrp", "chmod", "modprobe", "nvidia-modprobe", "nvidia-smi", "rmmod", "ubuntu-drivers"];

/// Characters that end a word of a sentence and are no part of a command.
const ENDS: [char; 6] = [',', ';', ':', '.', ')', '…'];

/// Where a command is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "RemedyPlace"))]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// An option of `docker run`, for the next start of the container.
    Start,
    /// A shell on the host.
    Host,
    /// A shell in the container.
    Container,
}

/// A command, or an option of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "RemedyCommand"))]
pub struct Command {
    /// Where it is typed.
    pub place: Place,
    /// The text to type.
    pub text: String,
}

/// Parts a reason of the probe or the plan into what is wrong and the remedy. The remedy begins with a verb behind a colon
/// or semicolon; a place may come before the verb: `on a machine with a GPU, start …`, `on the host run …`. A command of
/// desktopd in backquotes begins one as well.
pub fn split(reason: &str) -> (&str, Option<&str>) {
    let is_verb = |text: &str| {
        REMEDIES.contains(&text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
    };
    for (at, _) in reason.match_indices([':', ';']) {
        let Some(rest) = reason[at + 1..].strip_prefix(' ') else { continue };
        let place = rest.strip_prefix("on the host ");
        let place = place.or_else(|| {
            rest.starts_with("on a ").then(|| rest.split_once(", ").map(|(_, text)| text)).flatten()
        });
        if is_verb(rest) || place.is_some_and(is_verb) || rest.starts_with("`desktopd ") {
            return (&reason[..at], Some(rest));
        }
    }
    (reason, None)
}

/// The commands in a remedy, in the order of the text: options of `docker run`, variables of the container, programs of
/// the host, and what is in backquotes.
pub fn commands(remedy: &str) -> Vec<Command> {
    let mut found: Vec<Command> = Vec::new();
    let words: Vec<&str> = remedy.split_whitespace().collect();
    let mut at = 0;
    while let Some((command, length)) = words.get(at..).and_then(|rest| command(rest, &words[..at])) {
        at += length;
        if let Some(command) = command.filter(|command| !found.contains(command)) {
            found.push(command);
        }
    }
    found
}

/// The command that begins with the first of these words, if one does, and how many words belong to it. `None` after the
/// last word.
fn command(words: &[&str], before: &[&str]) -> Option<(Option<Command>, usize)> {
    let first = words.first()?;
    let begin = first.trim_start_matches('(');
    if begin.starts_with('`') {
        let quotes = |count: usize| words[..count].join(" ").matches('`').count();
        let length = (1..=words.len()).find(|count| quotes(*count) > 1)?;
        let text = words[..length].join(" ").split('`').nth(1).unwrap_or_default().to_owned();
        return Some((Some(Command { place: Place::Container, text }), length));
    }
    if begin.starts_with("--") && !before.ends_with(&["instead", "of"]) {
        let word = begin.trim_end_matches(ENDS);
        let is_whole = word.contains('=') || begin != word;
        let value = words.get(1).filter(|_| !is_whole).map(|value| value.trim_end_matches(ENDS));
        let text = [Some(word), value].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let length = 1 + usize::from(value.is_some());
        return Some((Some(Command { place: Place::Start, text }), length));
    }
    let name = begin.split('=').next().unwrap_or_default();
    let is_variable = begin.contains('=')
        && name.contains('_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if is_variable {
        let text = format!("-e {}", begin.trim_end_matches(ENDS));
        return Some((Some(Command { place: Place::Start, text }), 1));
    }
    if PROGRAMS.contains(&begin) {
        let length = words.iter().position(|word| word.ends_with(ENDS)).map_or(words.len(), |last| last + 1);
        let words: Vec<&str> = words[..length].iter().map(|word| word.trim_start_matches('(')).collect();
        let text = words.join(" ").trim_end_matches(ENDS).to_owned();
        return Some((Some(Command { place: Place::Host, text }), length));
    }
    Some((None, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_is_parted_from_the_reason() {
        for (reason, what, remedy) in [
            (
                "it has no node: start the container with --gpus all",
                "it has no node",
                Some("start the container with --gpus all"),
            ),
            (
                "a: b; load the driver on the host (a, b: c)",
                "a: b",
                Some("load the driver on the host (a, b: c)"),
            ),
            ("it is read-only; mount it without `:ro`", "it is read-only", Some("mount it without `:ro`")),
            ("it drew 0000:01:00.0: settings are lost", "it drew 0000:01:00.0: settings are lost", None),
            ("none; on a machine with a GPU, start it", "none", Some("on a machine with a GPU, start it")),
            ("none; on a machine without a GPU, nothing", "none; on a machine without a GPU, nothing", None),
            ("its mode is 600: on the host run chgrp", "its mode is 600", Some("on the host run chgrp")),
            (
                "it ended; `desktopd restart x` tries again",
                "it ended",
                Some("`desktopd restart x` tries again"),
            ),
            ("a:start", "a:start", None),
            ("", "", None),
        ] {
            assert_eq!(split(reason), (what, remedy), "{reason}");
        }
    }

    #[test]
    fn commands_are_found_in_the_remedies_of_the_probe() {
        use Place::{Container, Host, Start};
        for (remedy, expected) in [
            ("start the container with --gpus all, which needs the toolkit", &[(Start, "--gpus all")][..]),
            (
                "start the container with --device /dev/dri, or with --device /dev/dri/renderD128",
                &[(Start, "--device /dev/dri"), (Start, "--device /dev/dri/renderD128")],
            ),
            (
                "start the container with --gpus all, or name this GPU with --gpus device=GPU-1",
                &[(Start, "--gpus all"), (Start, "--gpus device=GPU-1")],
            ),
            (
                "restart the container; --device nvidia.com/gpu=all instead of --gpus all prevents it",
                &[(Start, "--device nvidia.com/gpu=all")],
            ),
            (
                "start the container with NVIDIA_DRIVER_CAPABILITIES=all; if that does not bring them, install it",
                &[(Start, "-e NVIDIA_DRIVER_CAPABILITIES=all")],
            ),
            ("load amdgpu on the host (modprobe amdgpu; its firmware is in a)", &[(Host, "modprobe amdgpu")]),
            (
                "reload the module there (rmmod nvidia_uvm nvidia_drm; modprobe nvidia), then start the container anew",
                &[(Host, "rmmod nvidia_uvm nvidia_drm"), (Host, "modprobe nvidia")],
            ),
            ("turn MIG off on the host (nvidia-smi -i 0 -mig 0), or", &[(Host, "nvidia-smi -i 0 -mig 0")]),
            (
                "on the host run chgrp render /dev/dri/renderD128 && chmod 660 /dev/dri/renderD128",
                &[(Host, "chgrp render /dev/dri/renderD128 && chmod 660 /dev/dri/renderD128")],
            ),
            ("install it (Ubuntu: ubuntu-drivers install, Debian: x)", &[(Host, "ubuntu-drivers install")]),
            ("`desktopd restart x-server` tries again", &[(Container, "desktopd restart x-server")]),
            ("an open `quote is no command", &[]),
            ("add --group-add keep-groups", &[(Start, "--group-add keep-groups")]),
            ("turn on 3D graphics in the settings (mks.enable3d = \"TRUE\")", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> =
                commands(remedy).into_iter().map(|command| (command.place, command.text)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(place, text)| (*place, (*text).to_owned())).collect();
            assert_eq!(found, expected, "{remedy}");
        }
    }
}
