//! The display that is chosen on machines that are not at hand: `tests/machines/NAME.display.json`, beside the answer of
//! the probe. `DESKTOPD_WRITE_DOCS=1` writes the decisions anew, to be read line by line.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use desktopd::config::{Config, Environment};
use desktopd::facts::gpu::Answers;
use desktopd::facts::{Facts, Programs};
use desktopd::plan::{Decision, Plan};
use serde_json::Value;

use super::tree;

/// The programs that a display needs.
const PROGRAMS: [&str; 3] = ["Xorg", "Xvfb", "vglrun"];

/// The decision for the machine below `root`, on which all programs are installed.
fn decision(root: &Path, environment: &[(&str, &str)]) -> Decision {
    made(root, environment, &PROGRAMS).display
}

/// The plan for the machine below `root`, without services, where these programs are installed.
pub fn made(root: &Path, environment: &[(&str, &str)], programs: &[&str]) -> Plan {
    let pairs = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let env = Environment::new(pairs, &[], &mut Vec::new());
    let config = Config::read(PathBuf::from("/nowhere"), env, Vec::new());
    let mut facts = Facts::probe(&config, root, &Answers::default());
    let programs: Vec<_> = programs.iter().map(|name| (*name, format!("/usr/bin/{name}"))).collect();
    facts.programs = Programs::given("/usr/bin", programs.iter().map(|(name, file)| (*name, file.as_str())));
    Plan::build(&config, &facts)
}

#[test]
fn every_machine_has_the_expected_decision() {
    tree::compare("display", |root| decision(root, &[]));
}

/// What `desktopd status` says on each machine, in one file that is read from the top to the bottom. Where the image has
/// no VirtualGL, as without its build argument, some machines have another sentence.
#[test]
fn every_machine_has_the_expected_sentence() {
    let mut text = String::new();
    for name in tree::names() {
        let root = tree::unpack(&name);
        let sentence = |programs: &[&str]| {
            let sentence = made(root.path(), &[], programs).display.sentence.to_string();
            sentence.replace(root.path().to_str().unwrap(), "ROOT")
        };
        let (whole, without) = (sentence(&PROGRAMS), sentence(&PROGRAMS[..2]));
        let _ = writeln!(text, "{name}: {whole}");
        if without != whole {
            let _ = writeln!(text, "{name}, without VirtualGL: {without}");
        }
    }
    let file = tree::folder().join("sentences.list");
    if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let wrong: Vec<&str> =
        text.lines().filter(|line| !expected.lines().any(|known| known == *line)).collect();
    assert!(wrong.is_empty() && text == expected, "{}", wrong.join("\n"));
}

/// Whatever the user asks for, on each machine.
#[test]
fn no_wish_lifts_a_guard_or_leaves_a_machine_without_a_display() {
    for name in tree::names() {
        let root = tree::unpack(&name);
        for wish in ["auto", "xorg", "virtualgl", "llvmpipe"] {
            let decision = decision(root.path(), &[("DESKTOPD_DISPLAY", wish)]);
            let json = serde_json::to_value(&decision).unwrap();
            let chosen = json["chosen"].as_str().unwrap_or_else(|| panic!("{name}, {wish}: {json:#}"));
            assert!(wish != "llvmpipe" || chosen == "llvmpipe", "{name}: {json:#}");
            assert!(name != "privileged-host-x" || chosen != "xorg", "{wish}: {json:#}");
            assert!(chosen != "virtualgl" || json["device"].is_string(), "{name}, {wish}: {json:#}");
            for one in json["candidates"].as_array().unwrap() {
                assert!(one["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{name}: {json:#}");
            }
        }
    }
}

fn plan(root: &Path, environment: &[(&str, &str)]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_desktopd"))
        .args(["plan", "--json", "--root"])
        .arg(root)
        .env_clear()
        .env("DESKTOPD_CONFIG", "/nowhere")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let json = serde_json::from_slice(&done.stdout);
    json.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn the_command_plans_for_another_machine_with_that_machines_programs() {
    let root = tree::unpack("nvidia-complete");
    let bin = root.path().join("usr/bin");
    fs::create_dir_all(&bin).unwrap();
    for (programs, chosen) in [(&["Xvfb"][..], "llvmpipe"), (&["vglrun"], "virtualgl"), (&["Xorg"], "xorg")] {
        for name in programs {
            fs::write(bin.join(name), "").unwrap();
        }
        let json = plan(root.path(), &[]);
        assert_eq!(json["display"]["chosen"], chosen, "{:#}", json["display"]);
    }
    let json = plan(root.path(), &[("DESKTOPD_DISPLAY", "virtualgl")]);
    assert_eq!(json["display"]["chosen"], "virtualgl");
    assert!(json["display"]["device"].is_string(), "{:#}", json["display"]);
}

#[test]
fn a_copy_without_programs_is_planned_with_those_of_the_image() {
    let root = tree::unpack("amd-unknown-gid");
    for file in [None, Some("usr/bin/vulkaninfo")] {
        if let Some(file) = file.map(|file| root.path().join(file)) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let json = plan(root.path(), &[]);
        assert_eq!(json["display"]["chosen"], "virtualgl", "{file:?}: {:#}", json["display"]);
    }
    // A machine that was copied with its programs has only these.
    fs::write(root.path().join("usr/bin/sh"), "").unwrap();
    let json = plan(root.path(), &[]);
    assert_eq!(json["display"]["chosen"], Value::Null, "{:#}", json["display"]);
}

/// Other tests take processor time: the fastest of several counts.
#[test]
fn the_decision_without_a_gpu_takes_less_than_30_ms() {
    let root = tree::unpack("none");
    let took = || {
        let start = Instant::now();
        decision(root.path(), &[]);
        start.elapsed()
    };
    let fastest = (0..10).map(|_| took()).min().unwrap();
    assert!(fastest < Duration::from_millis(30), "{fastest:?}");
}
