//! The compose files and `.env.example` have every variable of the table, and no other.
//!
//! The list of names in `docker-compose.yaml` and the last part of `.env.example` are written by the test, with
//! `DESKTOPD_WRITE_DOCS` set.

use std::fs;
use std::path::Path;

use desktopd::config::env::{TABLE, Variable};

use crate::docs::documents::{read, says_nothing_yet};

const COMPOSE: &str = "docker-compose.yaml";
const EXAMPLE: &str = ".env.example";

/// The files that are named beside `docker-compose.yaml`, each with its folder.
const OVERRIDES: [&str; 4] = [
    "docker/compose/nvidia.yaml",
    "docker/compose/amd.yaml",
    "docker/compose/intel.yaml",
    "docker/compose/turn.yaml",
];

/// The lines around the list of names.
const NAMES: (&str, &str) = (
    "      # --- all other variables of desktopd: a test writes this list\n",
    "      # --- end of the list\n",
);

/// The lines around the last part of the example.
const REST: (&str, &str) = (
    "# --- all other variables: config/README.md has more about them ------------------------------------------------------\n",
    "# --- what compose builds and runs ---------------------------------------------------------------------------------\n",
);

/// Variables that only compose reads, or that another program reads.
const OF_OTHERS: [&str; 10] = [
    "COMPOSE_FILE",
    "DOCKERFILE",
    "IMAGE",
    "BASE_IMAGE",
    "RUST_IMAGE",
    "NODE_IMAGE",
    "APPS",
    "DESKTOPD",
    "DESKTOP_LANG",
    "NVIDIA_DRIVER_CAPABILITIES",
];

/// Variables that compose does not pass on, each with the reason.
const LEFT_OUT: [(&str, &str); 14] = [
    ("DISPLAY", "a shell of the host has one, which would win"),
    ("HF_HOME", "a shell of the host has one, with a folder of the host"),
    ("OPEN_BUTTON_TOKEN", "vast.ai sets it"),
    ("VAST_CONTAINERLABEL", "vast.ai sets it"),
    ("PUBLIC_IPADDR", "vast.ai sets it"),
    ("CONTAINER_ID", "vast.ai sets it, and so do programs that make containers"),
    ("CONTAINER_API_KEY", "vast.ai sets it"),
    ("SSH_PUBLIC_KEY", "vast.ai sets it"),
    ("TURN_SERVER", "vast.ai sets it"),
    ("RUNPOD_POD_ID", "RunPod sets it"),
    ("RUNPOD_PUBLIC_IP", "RunPod sets it"),
    ("PUBLIC_KEY", "RunPod sets it"),
    ("DESKTOPD_CONFIG", "it names a folder that nothing mounts"),
    ("LANG", "DESKTOP_LANG sets it"),
];

fn is_known(name: &str) -> bool {
    TABLE.iter().any(|variable| variable.names.contains(&name))
}

/// The rows of the table that compose passes on.
fn passed_on() -> impl Iterator<Item = &'static Variable> {
    let left_out = |name| LEFT_OUT.iter().any(|(left_out, _)| *left_out == name);
    TABLE.iter().filter(move |row| !says_nothing_yet(row) && !left_out(row.names[0]))
}

/// The variable of a line `NAME=value`, which may be commented out.
fn variable_of(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start_matches('#').split_once('=')?;
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// The entries of the lists `environment`: each with its variable and the value, if the file has one.
fn entries(text: &str) -> Vec<(&str, Option<&str>)> {
    let lists = text.split("    environment:\n").skip(1);
    let lines = lists.flat_map(|list| list.lines().take_while(|line| line.starts_with("      ")));
    let items = lines.filter_map(|line| line.trim().strip_prefix("- "));
    items.map(|item| item.split_once('=').map_or((item, None), |(name, value)| (name, Some(value)))).collect()
}

/// What is between two lines of a file, and the file with `new` in that place.
fn part(text: &str, (begin, end): (&str, &str), new: &str) -> (String, String) {
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no line {begin:?}"));
    let (found, after) = rest.split_once(end).unwrap_or_else(|| panic!("no line {end:?}"));
    (found.to_owned(), [before, begin, new, end, after].concat())
}

/// Compares the part of a file with what it should be; with `DESKTOPD_WRITE_DOCS` set, the part is written instead.
fn compare(file: &str, marks: (&str, &str), expected: &str) {
    let (found, whole) = part(&read(file), marks, expected);
    if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), whole).expect("write the file");
    } else {
        assert!(
            found == expected,
            "{file}: DESKTOPD_WRITE_DOCS=1 cargo nextest run docs::compose brings it up to date"
        );
    }
}

#[test]
fn compose_passes_every_variable_on() {
    let compose = read(COMPOSE);
    let (_, without) = part(&compose, NAMES, "");
    let by_hand: Vec<&str> = entries(&without).into_iter().map(|(name, _)| name).collect();
    let rest = passed_on().map(|row| row.names[0]).filter(|name| !by_hand.contains(name));
    let expected: String = rest.flat_map(|name| ["      - ", name, "\n"]).collect();
    compare(COMPOSE, NAMES, &expected);
}

#[test]
fn the_example_explains_every_variable_that_compose_passes_on() {
    let example = read(EXAMPLE);
    let (_, without) = part(&example, REST, "");
    let by_hand: Vec<&str> = without.lines().filter_map(variable_of).collect();
    let mut expected = String::new();
    for row in passed_on().filter(|row| !by_hand.contains(&row.names[0])) {
        expected += &["# ", row.doc, "\n#", row.names[0], "=", row.default, "\n"].concat();
    }
    compare(EXAMPLE, REST, &(expected + "\n"));
}

#[test]
fn the_compose_files_and_the_example_set_only_what_is_read() {
    let known = |name: &str| is_known(name) || OF_OTHERS.contains(&name);
    let files = || std::iter::once(COMPOSE).chain(OVERRIDES).map(|file| (file, read(file)));
    for (file, text) in files() {
        for (name, value) in entries(&text) {
            assert!(known(name), "{file} sets {name}, which desktopd does not read");
            let passed = value.is_none_or(|value| value.starts_with(&format!("${{{name}:-")));
            assert!(passed || name == "LANG", "{file} does not let people choose {name}");
        }
    }
    let all: String = files().map(|(_, text)| text).collect();
    for name in read(EXAMPLE).lines().filter_map(variable_of) {
        assert!(known(name), "{EXAMPLE} sets {name}, which desktopd does not read");
        let used = all.contains(&format!("${{{name}:-")) || all.contains(&format!("      - {name}\n"));
        assert!(used || name == "COMPOSE_FILE", "no compose file passes {name} on");
    }
    for (name, reason) in LEFT_OUT {
        assert!(is_known(name), "{name} is left out ({reason}), and desktopd does not read it");
    }
    // Where several people watch with browsers of different sizes, the size of the screen follows the browsers.
    assert!(all.contains("- WEBRTC_ENABLE_RESIZE=${WEBRTC_ENABLE_RESIZE:-true}\n"));
}

/// The defaults of ports are written in the compose files once more: as text they may differ from the table's.
#[test]
fn defaults_in_the_compose_files_are_those_of_the_table() {
    let all: String = std::iter::once(COMPOSE).chain(OVERRIDES).map(read).collect();
    let mut ports = 0;
    for text in all.split("${").skip(1) {
        let inner = text.split('}').next().unwrap_or_default();
        let Some((name, default)) = inner.split_once(":-").filter(|(name, _)| name.contains("_PORT_")) else {
            continue;
        };
        let row = TABLE.iter().find(|row| row.names[0] == name);
        assert_eq!(row.map(|row| row.default), Some(default), "{name} in the compose files");
        ports += 1;
    }
    assert_eq!(ports, 12, "two numbers each of six published ports");
}
