//! What people read must be what the program does: the table of variables against the README, `.env.example` and the
//! compose file, and the service files that are shipped against the planner.

#![allow(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::collections::BTreeSet;
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

#[test]
fn the_readme_names_every_variable_and_no_other() {
    let readme = read("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `") && line.contains('_'));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(named.len() > 20, "the table of variables was not found: {named:?}");
    for name in &named {
        assert!(is_known(name), "README.md names {name}, which nobody reads");
    }
    for variable in TABLE {
        let name = variable.names[0];
        assert!(readme.contains(&format!("`{name}`")), "README.md does not name {name}");
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
    for name in set {
        assert!(is_known(name), "docker-compose.yaml sets {name}, which nobody reads");
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
