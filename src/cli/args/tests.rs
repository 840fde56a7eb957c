//! Tests of the command line.

use super::*;
use clap::CommandFactory;

fn read(words: &[&str]) -> Result<Args, clap::Error> {
    Args::read(words.iter().map(OsString::from).collect())
}

/// The command of `desktopd` followed by these words.
fn command(words: &str) -> Result<Command, String> {
    let words: Vec<&str> = ["desktopd"].into_iter().chain(words.split_whitespace()).collect();
    read(&words).map(|args| args.command).map_err(|error| error.to_string())
}

#[test]
fn init_is_a_command_and_a_program_name() {
    for words in [
        &["desktopd", "init", "A=b", "--x"][..],
        &["/usr/local/bin/init", "A=b", "--x"],
        &["init.sh", "A=b", "--x"],
        &["/opt/instance-tools/bin/entrypoint.sh", "A=b", "--x"],
        &["entrypoint.sh", "A=b", "--x"],
        &["boot_default.sh", "A=b", "--x"],
    ] {
        match read(words).unwrap().command {
            Command::Init { variables, unless_running } => {
                assert_eq!(
                    (variables, unless_running),
                    (["A=b", "--x"].map(OsString::from).to_vec(), words[0].contains("boot"))
                );
            }
            other => panic!("{words:?}: {other:?}"),
        }
    }
}

#[test]
fn program_names_that_scripts_use_are_commands() {
    for words in [
        &["desktopd", "set-web-credentials", "ada", "-secret: x"][..],
        &["/opt/ai-dock/bin/set-web-credentials.sh", "ada", "-secret: x"],
        &["set-web-credentials", "ada", "-secret: x"],
    ] {
        match read(words).unwrap().command {
            Command::SetWebCredentials { user, password } => {
                assert_eq!((&*user, password.as_deref()), ("ada", Some("-secret: x")));
            }
            other => panic!("{words:?}: {other:?}"),
        }
    }
    match read(&["hash-password.sh", "-p", "-secret", "-r", "15"]).unwrap().command {
        Command::HashPassword { password, cost: 15 } => assert_eq!(password.as_deref(), Some("-secret")),
        other => panic!("{other:?}"),
    }
    match read(&["logtail.sh", "-n", "5"]).unwrap().command {
        Command::Logs(Logs { all: true, follow: true, lines: Some(5), .. }) => {}
        other => panic!("{other:?}"),
    }
    match read(&["/opt/ai-dock/bin/env-store", "A=b c", "B"]).unwrap().command {
        Command::EnvStore { variables } => assert_eq!(variables, ["A=b c", "B"]),
        other => panic!("{other:?}"),
    }
    match read(&["desktopd", "hash-password", "--rounds", "4"]).unwrap().command {
        Command::HashPassword { password: None, cost: 4 } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_of_the_command_line_is_valid() {
    Args::command().debug_assert();
}

#[test]
fn every_visible_command_has_an_example() {
    for command in Args::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:\n  "), "{}", command.get_name());
        assert!(help.contains(&format!(" {}", command.get_name())), "{}: {help}", command.get_name());
    }
}

#[test]
fn invalid_command_lines_are_refused() {
    for (words, told) in [
        ("", "desktopd"),
        ("stop", "<SERVICE>"),
        ("screenshot", "<FILE>"),
        ("screenshot --width 5 -", "16..=65535"),
        ("url --qr --json", "cannot be used with"),
        ("stop kde --only", "--only"),
        ("run", "<CMD>"),
        ("nothing", "unrecognized subcommand"),
        ("start kde --timeout 5s", "--wait"),
        ("start kde --wait --timeout 5", "500ms, 30s or 2m"),
        ("logs kde --since yesterday", "2026-01-31T12:00:00Z"),
        ("logs kde -n many", "many"),
        ("logs --regex kde", "--grep"),
        ("logs --level loud", "warn"),
        ("logs -f --until 5m", "cannot be used with"),
        ("logs --all kde", "cannot be used with"),
        ("timeline --json --svg", "cannot be used with"),
        ("completions tcsh", "bash"),
        ("completions", "<SHELL>"),
        ("shutdown now", "now"),
        ("set-web-credentials", "<USER>"),
        ("set-web-credentials a b c", "unexpected"),
        ("hash-password --cost 3", "4..=31"),
        ("hash-password secret", "unexpected"),
    ] {
        let error = command(words).expect_err(words);
        assert!(error.contains(told), "{words}: {error}");
    }
}

#[test]
fn options_are_parsed() {
    match command("restart a b* --wait --timeout 250ms --json").unwrap() {
        Command::Restart(Restart {
            change: Change { names, wait: true, timeout, json: true },
            only: false,
        }) => {
            assert_eq!((names.concat(), timeout), ("ab*".to_owned(), Duration::from_millis(250)));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(command("restart a --only").unwrap(), Command::Restart(Restart { only: true, .. })));
    for words in ["run -- sh -c --x", "run sh -c --x"] {
        match command(words).unwrap() {
            Command::Run { command } => assert_eq!(command, ["sh", "-c", "--x"]),
            other => panic!("{other:?}"),
        }
    }
    match command("stop a -w").unwrap() {
        Command::Stop(Change { wait: true, timeout, .. }) => assert_eq!(timeout, Duration::from_secs(60)),
        other => panic!("{other:?}"),
    }
    match command("logs -f -n 5").unwrap() {
        Command::Logs(Logs {
            names,
            all: false,
            follow: true,
            lines: Some(5),
            since: None,
            json: false,
            ..
        }) => {
            assert!(names.is_empty());
        }
        other => panic!("{other:?}"),
    }
    match command("logs a b --grep -x --regex --level warn --tail all --no-color -o json").unwrap() {
        Command::Logs(Logs {
            names, grep, regex: true, level, lines, no_colour: true, json: true, ..
        }) => {
            assert_eq!(
                (names.concat(), grep.as_deref(), level.as_deref()),
                ("ab".to_owned(), Some("-x"), Some("warn"))
            );
            assert_eq!(lines, Some(usize::MAX));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(command("events -f --json").unwrap(), Command::Events(Events { lines: 100, .. })));
    assert!(matches!(command("timeline --svg").unwrap(), Command::Timeline(Timeline { svg: true, .. })));
    assert!(
        matches!(command("status kde").unwrap(), Command::Status(Status { names, .. }) if names == ["kde"])
    );
    assert!(matches!(command("completions zsh").unwrap(), Command::Completions { shell: Shell::Zsh }));
}

#[test]
fn a_time_is_absolute_or_relative() {
    for (text, expected) in [
        ("5m", Some(1_000_000_000 - 300_000)),
        ("0s", Some(1_000_000_000)),
        ("1970-01-01T00:00:02.5Z", Some(2500)),
        ("1970-01-01T01:00:00+01:00", Some(0)),
        ("1970-01-02", Some(86_400_000)),
        ("1970-01-01T00:01", Some(60_000)),
        ("1970-01-01 00:00:02", Some(2000)),
        ("1000000000123", Some(1_000_000_000_123)),
        ("18446744073709551615ms", Some(1_000_000_000 - i64::MAX)),
        ("5", None),
        ("", None),
        ("yesterday", None),
    ] {
        assert_eq!(since_at(text, 1_000_000_000).ok(), expected, "{text}");
    }
}

#[test]
fn spellings_of_other_programs_work_here() {
    for (words, expected) in [
        ("ls", "ps"),
        ("list kde", "ps kde"),
        ("ps -o json", "ps --json"),
        ("url -o json", "url --json"),
        ("status -o json", "status --json"),
        ("status --output=json kde", "status --json kde"),
        ("events -ojson", "events --json"),
        ("log kde", "logs kde"),
        ("tail -f kde", "logs -f kde"),
        ("logs --tail 5 kde", "logs -n 5 kde"),
        ("logs --lines 5", "logs -n 5"),
        ("events --tail 3", "events -n 3"),
        ("reread", "reload"),
        ("daemon-reload", "reload"),
        ("top -o json", "top --json"),
    ] {
        let both = [words, expected].map(|words| format!("{:?}", command(words).unwrap()));
        assert_eq!(both[0], both[1], "{words}");
    }
    // The words after `run` are a command line of their own.
    match read(&["desktopd", "run", "kubectl", "-o", "json"]).unwrap().command {
        Command::Run { command } => assert_eq!(command, ["kubectl", "-o", "json"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_commands_get_a_hint() {
    for (words, expected) in [
        ("up", "desktopd has no 'up': desktopd start SERVICE, or desktopd start '*' for all services\n"),
        ("kill kde", "desktopd has no 'kill': desktopd stop SERVICE"),
        ("start-all", "desktopd start '*'"),
        ("--config /x stop-all", "desktopd has no 'stop-all': desktopd stop SERVICE, or desktopd stop '*'"),
        ("down", "desktopd shutdown ends the container"),
        ("exec glxgears", "desktopd has no 'exec': desktopd run -- COMMAND"),
        ("info", "desktopd has no 'info': desktopd status SERVICE"),
        ("watch", "desktopd has no 'watch': desktopd status --watch"),
        ("restart-all", "desktopd has no 'restart-all': desktopd restart '*'"),
        ("htop", "desktopd has no 'htop': desktopd top"),
    ] {
        let told = command(words).unwrap_err();
        assert!(told.contains(expected) && !told.contains("similar"), "{words}: {told}");
    }
    // A service may have the name of such a command.
    assert!(matches!(command("stop up"), Ok(Command::Stop(_))));
    assert!(command("statsu").unwrap_err().contains("similar"));
}

/// A tip that is itself wrong would be worse than none.
#[test]
fn the_commands_of_the_hints_exist() {
    for (words, instead) in habits::HABITS {
        let parts: Vec<&str> = instead.split("desktopd ").skip(1).collect();
        assert!(!parts.is_empty() || instead.contains(".toml"), "{words:?}");
        for part in parts {
            let part = part.split([',', ';']).next().unwrap_or_default();
            let end = part
                .find(" for ")
                .or_else(|| part.find(" to "))
                .or_else(|| part.find(" in "))
                .or_else(|| part.find(" ends "));
            let line = part[..end.unwrap_or(part.len())].replace('\'', "");
            assert!(command(line.trim()).is_ok(), "{words:?}: {line}");
        }
        for word in words {
            assert!(command(word).is_err(), "{word} is a command");
        }
    }
}

#[test]
fn help_texts_speak_of_services_not_of_units() {
    let mut all = <Args as CommandFactory>::command();
    all.build();
    for command in all.get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert_eq!(wide, [""; 0], "{}", command.get_name());
        let words = help.split(|c: char| !c.is_alphanumeric());
        // Only as keys of the JSON in examples.
        let help = words.filter(|word| ["unit", "units", "Unit", "Units"].contains(word)).count();
        let keys = usize::from(["status", "events"].contains(&command.get_name()));
        assert_eq!(help, keys, "{}", command.get_name());
    }
}
