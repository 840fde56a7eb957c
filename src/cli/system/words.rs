//! Parses the command lines of `reboot`, `systemctl`, `service` and similar programs, as far as they make sense in a
//! container.

use super::super::code;
use crate::supervise::Verb;

/// The parsed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// End everything.
    End(End),
    /// A request about services.
    Services(Services),
    /// To be passed to the machine's own program of that name, with or without a daemon.
    Passed,
    /// Nothing to do.
    Nothing,
    /// Not supported: the exit code and the reason.
    Refused(i32, String),
}

/// How everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Stop.
    Stop,
    /// Stop and start again.
    Reboot,
}

/// A request about services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Services {
    /// The action.
    pub(super) action: Action,
    /// The action's name on the command line.
    pub(super) word: String,
    /// Their names, without `.service`.
    pub(super) names: Vec<String>,
}

/// What to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start, stop or restart it.
    Change(Verb),
    /// Show it.
    Status,
    /// Report by the exit code whether it runs.
    IsActive,
}

/// Commands of `systemctl` that only change files, which need no running systemd.
const OF_FILES: [&str; 13] = [
    "add-requires",
    "add-wants",
    "cat",
    "disable",
    "enable",
    "get-default",
    "is-enabled",
    "is-system-running",
    "link",
    "list-unit-files",
    "mask",
    "set-default",
    "unmask",
];

/// Parses the command line of `program`.
pub(super) fn read(program: &str, words: &[&str]) -> Asked {
    match program {
        "systemctl" => systemctl(words),
        "service" => service(words),
        "shutdown" => shutdown(words),
        _ => end(program, words),
    }
}

/// `reboot`, `poweroff` and `halt`.
fn end(program: &str, words: &[&str]) -> Asked {
    let mut how = if program == "reboot" { End::Reboot } else { End::Stop };
    for word in words {
        match *word {
            "--help" => return Asked::Passed,
            // These options only write a record of the shutdown.
            "-w" | "--wtmp-only" => return Asked::Nothing,
            "--reboot" => how = End::Reboot,
            "--halt" | "-p" | "--poweroff" => how = End::Stop,
            _ => {}
        }
    }
    Asked::End(how)
}

fn shutdown(words: &[&str]) -> Asked {
    let (mut how, mut when) = (End::Stop, None);
    for word in words {
        match *word {
            "--help" => return Asked::Passed,
            "--reboot" => how = End::Reboot,
            "--show" => return failed("nothing is scheduled"),
            long if long.starts_with("--") => {}
            short if short.starts_with('-') => {
                if short.contains(['c', 'k']) {
                    return failed("nothing is scheduled: only `shutdown now` works here");
                }
                if short.contains('r') {
                    how = End::Reboot;
                }
            }
            // The words after the time are a message.
            time if when.is_none() => when = Some(time),
            _ => {}
        }
    }
    match when {
        Some("now" | "+0" | "0") => Asked::End(how),
        when => {
            let what = when.map_or_else(|| "give a time".to_owned(), |when| format!("not at '{when}'"));
            let why =
                format!("{what}: a later shutdown is not supported; `shutdown now` ends everything at once");
            Asked::Refused(code::USAGE, why)
        }
    }
}

fn systemctl(words: &[&str]) -> Asked {
    let mut plain = words.iter().filter(|word| !word.starts_with('-'));
    if words.contains(&"--user") {
        return failed("there is no systemd in this container, so there are no services of users either");
    }
    if words.iter().any(|word| ["--help", "-h", "--version"].contains(word)) {
        return Asked::Passed;
    }
    let Some(verb) = plain.next() else { return without_systemd("systemctl") };
    let now = words.contains(&"--now");
    let names = plain.map(|name| name.strip_suffix(".service").unwrap_or(name).to_owned()).collect();
    let action = match *verb {
        "reload-or-restart" | "try-reload-or-restart" => Action::Change(Verb::Restart),
        "show" => Action::Status,
        "is-active" => Action::IsActive,
        "reboot" | "kexec" | "soft-reboot" => return Asked::End(End::Reboot),
        "poweroff" | "halt" | "exit" => return Asked::End(End::Stop),
        verb => match action(verb) {
            Some(action) => action,
            // With `--now` the service would be started as well.
            None if OF_FILES.contains(&verb) && !now => return Asked::Passed,
            None => return without_systemd(verb),
        },
    };
    services(action, verb, names)
}

fn service(words: &[&str]) -> Asked {
    let (name, verb) = match *words {
        [name, "--full-restart"] => (name, "restart"),
        [name, verb, ..] if !name.starts_with('-') => (name, verb),
        _ => return Asked::Passed,
    };
    action(verb).map_or(Asked::Passed, |action| services(action, verb, vec![name.to_owned()]))
}

/// The actions that `systemctl` and `service` have in common.
fn action(verb: &str) -> Option<Action> {
    Some(match verb {
        "start" => Action::Change(Verb::Start),
        "stop" => Action::Change(Verb::Stop),
        "restart" | "reload" | "force-reload" | "try-restart" | "condrestart" => {
            Action::Change(Verb::Restart)
        }
        "status" => Action::Status,
        _ => return None,
    })
}

fn services(action: Action, word: &str, names: Vec<String>) -> Asked {
    if names.is_empty() {
        return without_systemd(word);
    }
    Asked::Services(Services { action, word: word.to_owned(), names })
}

/// Says what to use in this container instead.
fn without_systemd(what: &str) -> Asked {
    failed(&format!(
        "{what}: there is no systemd in this container; `desktopd status` shows the services; use \
         `desktopd start`, `stop`, `restart` and `logs` for them"
    ))
}

fn failed(why: &str) -> Asked {
    Asked::Refused(code::FAILED, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        let words: Vec<&str> = line.split(' ').collect();
        read(words[0], &words[1..])
    }

    #[test]
    fn a_shutdown_is_requested_in_many_ways() {
        for (line, expected) in [
            ("reboot", Asked::End(End::Reboot)),
            ("reboot -f", Asked::End(End::Reboot)),
            ("reboot --poweroff", Asked::End(End::Stop)),
            ("reboot -w", Asked::Nothing),
            ("reboot --help", Asked::Passed),
            ("poweroff", Asked::End(End::Stop)),
            ("halt -p", Asked::End(End::Stop)),
            ("halt --reboot", Asked::End(End::Reboot)),
            ("shutdown now", Asked::End(End::Stop)),
            ("shutdown -h now", Asked::End(End::Stop)),
            ("shutdown -r +0 bye all", Asked::End(End::Reboot)),
            ("shutdown -hr now", Asked::End(End::Reboot)),
            ("shutdown --reboot now", Asked::End(End::Reboot)),
            ("systemctl reboot", Asked::End(End::Reboot)),
            ("systemctl --force poweroff", Asked::End(End::Stop)),
        ] {
            assert_eq!(asked(line), expected, "{line}");
        }
        for (line, told) in [
            ("shutdown", "give a time"),
            ("shutdown -r 23:30", "not at '23:30'"),
            ("shutdown +5 bye", "not at '+5'"),
            ("shutdown -c", "nothing is scheduled"),
            ("shutdown -k now", "nothing is scheduled"),
        ] {
            match asked(line) {
                Asked::Refused(_, why) => assert!(why.contains(told), "{line}: {why}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn services_are_controlled_by_two_programs() {
        let restart = Action::Change(Verb::Restart);
        for (line, action, names) in [
            ("systemctl start kde.service", Action::Change(Verb::Start), "kde"),
            ("systemctl restart --no-block kde sshd", restart, "kde sshd"),
            ("systemctl -q is-active kde", Action::IsActive, "kde"),
            ("systemctl status kde --no-pager", Action::Status, "kde"),
            ("service kde stop", Action::Change(Verb::Stop), "kde"),
            ("service kde --full-restart", restart, "kde"),
            ("service nginx reload -v", restart, "nginx"),
        ] {
            match asked(line) {
                Asked::Services(services) => {
                    assert_eq!(
                        (services.action, services.names.join(" ").as_str()),
                        (action, names),
                        "{line}"
                    );
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        for line in [
            "systemctl --version",
            "systemctl enable nginx",
            "systemctl is-system-running",
            "service --status-all",
            "service --help",
            "service nginx",
            "service nginx configtest",
        ] {
            assert_eq!(asked(line), Asked::Passed, "{line}");
        }
        for line in [
            "systemctl list-units",
            "systemctl --failed",
            "systemctl status",
            "systemctl enable --now nginx",
            "systemctl --user restart plasma",
            "systemctl suspend",
        ] {
            assert!(matches!(asked(line), Asked::Refused(1, why) if why.contains("no systemd")), "{line}");
        }
    }
}
