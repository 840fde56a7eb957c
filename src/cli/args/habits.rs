//! Commands and options that users know from other programs: most work here as well; for the rest, an error message
//! names the command to use.

use std::ffi::OsString;

use clap::error::ErrorKind;

/// Commands whose arguments are not ours to interpret.
const FREE: [&str; 4] = ["init", "run", "set-web-credentials", "hash-password"];

/// Commands of other programs, and what to use here.
const HABITS: [(&[&str], &str); 7] = [
    (&["start-all", "up"], "`desktopd start '*'` starts all services"),
    (&["stop-all", "down"], "`desktopd stop '*'` stops all services; `desktopd shutdown` ends the container"),
    (&["restart-all"], "`desktopd restart '*'` restarts all services"),
    (&["kill"], "`desktopd stop NAME` ends a service, by force when it does not end by itself"),
    (&["stats", "htop"], "`desktopd top` shows what the machine and its services use"),
    (
        &["enable", "disable"],
        "`autostart = false` in /etc/desktopd/services/NAME.toml keeps a service from starting by itself",
    ),
    (
        &["passwd", "password"],
        "`desktopd credentials` shows the password, `desktopd set-web-credentials` changes it",
    ),
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
pub(super) fn told(error: clap::Error, words: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let instead = words.iter().skip(1).find_map(|word| {
        let word = word.to_str()?;
        let (_, instead) = HABITS.iter().find(|(words, _)| words.contains(&word))?;
        Some(format!("'{word}' is not a command here: {instead}\n"))
    });
    instead.map_or(error, |text| clap::Error::raw(ErrorKind::InvalidSubcommand, text))
}
