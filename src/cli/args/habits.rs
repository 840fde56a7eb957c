//! Commands and options that users know from other programs: most work here as well; for the rest, an error message
//! names the command to use.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands whose arguments are not ours to interpret.
const FREE: [&str; 4] = ["init", "run", "set-web-credentials", "hash-password"];

/// Commands of other programs, and the commands to use here.
pub(super) const HABITS: [(&[&str], &str); 18] = [
    (&["up", "start-all", "startup"], "desktopd start SERVICE, or desktopd start '*' for all services"),
    (
        &["down", "stop-all"],
        "desktopd stop SERVICE, or desktopd stop '*' for all services; desktopd shutdown ends the container",
    ),
    (&["restart-all", "reboot", "bounce"], "desktopd restart '*' for all services"),
    (&["try-restart", "force-restart", "respawn"], "desktopd restart SERVICE"),
    (
        &["kill", "term", "signal"],
        "desktopd stop SERVICE, which ends it by force when it does not end by itself",
    ),
    (&["stats", "htop"], "desktopd top"),
    (
        &["exec", "shell", "sh", "bash", "attach", "enter"],
        "desktopd run -- COMMAND, such as desktopd run -- bash",
    ),
    (&["info", "show", "describe", "inspect", "get"], "desktopd status SERVICE"),
    (&["enable", "disable", "mask", "unmask"], "`autostart = false` in /etc/desktopd/services/SERVICE.toml"),
    (
        &["passwd", "password", "user"],
        "desktopd credentials to see them, desktopd set-web-credentials NAME to change them",
    ),
    (&["token", "login"], "desktopd url --token, or desktopd credentials"),
    (&["open", "browse"], "desktopd url --open in the desktop, or desktopd url for the addresses"),
    (&["journal", "journalctl", "dmesg"], "desktopd logs SERVICE, or desktopd logs --all"),
    (&["watch", "monitor"], "desktopd status --watch, or desktopd events --follow"),
    (&["is-active", "ping", "ready"], "desktopd health"),
    (
        &["config", "check", "validate", "configtest", "avail"],
        "desktopd plan, desktopd env, or desktopd doctor",
    ),
    (&["exit", "quit", "halt", "poweroff"], "desktopd shutdown, which ends the container"),
    (&["capture", "picture", "scrot", "grab"], "desktopd screenshot FILE"),
];

/// Replaces other programs' spellings of the JSON option by ours.
pub(super) fn spell(words: &mut Vec<OsString>) {
    let is = |word: Option<&OsString>, any: &[&str]| {
        word.and_then(|word| word.to_str()).is_some_and(|word| any.contains(&word))
    };
    let mut at = 1;
    while at < words.len() && !is(words.get(at), &["--"]) && !is(words.get(at), &FREE) {
        let split = is(words.get(at), &["-o", "--output", "--format"]) && is(words.get(at + 1), &["json"]);
        if split {
            words.remove(at + 1);
        }
        if split || is(words.get(at), &["-ojson", "-o=json", "--output=json", "--format=json"]) {
            words[at] = "--json".into();
        }
        at += 1;
    }
}

/// The error for an unknown command. If other programs have such a command, the message names what to use here.
pub(super) fn told(error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => return error,
    };
    let instead = HABITS.iter().find(|(words, _)| words.contains(&word));
    let instead = instead.map(|(_, instead)| format!("desktopd has no '{word}': {instead}\n"));
    instead.map_or(error, |text| clap::Error::raw(ErrorKind::InvalidSubcommand, text))
}
