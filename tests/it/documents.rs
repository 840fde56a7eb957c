//! What people read must be what the program does: the table of variables against the README, `.env.example` and the
//! compose file, and the service files that are shipped against the planner.

#![allow(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use desktopd::config::env::TABLE;
use desktopd::config::{Config, Environment};
use desktopd::facts::{Account, Facts};
use desktopd::plan::Plan;
use desktopd::sys::launch::Identity;

/// Variables that only `docker compose` reads.
const OF_COMPOSE: [&str; 6] = ["DOCKERFILE", "IMAGE", "BASE_IMAGE", "RUST_IMAGE", "DESKTOPD", "DESKTOP_LANG"];

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn is_known(name: &str) -> bool {
    TABLE.iter().any(|variable| variable.names.contains(&name))
}

/// The parts of the README's table, each with the variable that it begins with. The order is the table's.
const PARTS: [(&str, &str); 9] = [
    ("Who may come in", "WEB_ENABLE_AUTH"),
    ("Ports, links and tunnels", "SERVICEPORTAL_PORT_HOST"),
    ("Rented machines", "VAST_CONTAINERLABEL"),
    ("The screen", "DESKTOPD_DISPLAY"),
    ("WebRTC and sound", "TURN_HOST"),
    ("SSH and the user", "SSH_PORT_LOCAL"),
    ("The workspace", "WORKSPACE"),
    ("Boot", "PROVISIONING_SCRIPT"),
    ("The rest", "TZ"),
];

/// What stands around the table in README.md.
const MARKS: (&str, &str) = ("<!-- variables -->\n", "<!-- end of variables -->\n");

/// The table as README.md has it.
fn tables() -> String {
    let mut text = String::new();
    for variable in TABLE {
        if let Some((title, _)) = PARTS.iter().find(|(_, first)| *first == variable.names[0]) {
            let _ = writeln!(text, "\n**{title}**\n\n| variable | default | |\n| --- | --- | --- |");
        }
        let aliases: Vec<String> = variable.names[1..].iter().map(|name| format!("`{name}`")).collect();
        let aliases = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
        let default =
            if variable.default.is_empty() { String::new() } else { format!("`{}` ", variable.default) };
        let doc = variable.doc.replace('|', "\\|");
        let _ = writeln!(text, "| `{}`{aliases} | {default}| {doc} |", variable.names[0]);
    }
    text + "\n"
}

/// With `DESKTOPD_WRITE_DOCS` set, README.md is brought up to date instead.
#[test]
fn the_readme_s_table_is_the_program_s() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once(MARKS.0).unwrap();
    let (found, after) = rest.split_once(MARKS.1).unwrap();
    let expected = tables();
    for (title, first) in PARTS {
        assert!(expected.contains(&format!("**{title}**")), "no variable is called {first}");
    }
    if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
        let text = [before, MARKS.0, &expected, MARKS.1, after].concat();
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), text).unwrap();
    } else {
        assert!(
            found == expected,
            "README.md: DESKTOPD_WRITE_DOCS=1 cargo nextest run documents brings it up to date"
        );
    }
}

#[test]
fn the_example_and_the_compose_file_set_only_what_is_read() {
    for line in read(".env.example").lines() {
        let line = line.trim_start_matches('#');
        let Some((name, _)) = line.split_once('=') else { continue };
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            assert!(
                is_known(name) || OF_COMPOSE.contains(&name),
                ".env.example sets {name}, which nobody reads"
            );
        }
    }
    let compose = read("docker-compose.yaml");
    for line in read(".env.example").lines() {
        let name = line.trim_start_matches('#').split_once('=').map_or("", |(name, _)| name);
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            assert!(compose.contains(&format!("${{{name}")), "docker-compose.yaml does not pass {name} on");
        }
    }
    let set: Vec<&str> = compose
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("- ")?.split_once("=${")?.0))
        .collect();
    assert!(set.len() > 10, "{set:?}");
    let example = read(".env.example");
    for name in set {
        assert!(is_known(name), "docker-compose.yaml sets {name}, which nobody reads");
        let explained =
            example.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{name}=")));
        assert!(explained || name == "LANG", ".env.example does not explain {name}, which compose passes on");
    }
}

#[test]
fn the_services_that_are_shipped_have_no_mistakes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut problems = Vec::new();
    let env = Environment::new([], &[], &mut problems);
    let config = Config::read(dir, env, problems);
    assert_eq!(config.problems, []);
    let mut facts = Facts::probe(&config);
    facts.account = Ok(Account {
        name: "user".into(),
        identity: Identity { uid: 1000, gid: 1000, groups: vec![1000] },
        home: "/home/user".into(),
        shell: "/bin/bash".into(),
        stand_in: None,
    });
    let plan = Plan::build(&config, &facts);
    assert_eq!(plan.problems, []);
    for name in [
        "coturn",
        "dbus-session",
        "dbus-system",
        "fcitx5",
        "kasmvnc",
        "kasmxproxy",
        "kde",
        "pipewire",
        "pipewire-pulse",
        "selkies",
        "ssh-host-keys",
        "sshd",
        "vnc",
        "x-server",
    ] {
        assert!(plan.unit(name).is_some(), "{name}");
    }
}
