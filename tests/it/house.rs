//! Checks the rules of `src/lib.rs` by reading the sources: which stage may use which, which code is pure, which calls
//! are allowed in one file only, that no files use each other in a circle, and that the words are plain.

mod circles;
mod code;
mod words;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use code::{paths, tokens, tokens_of};

/// The stages, left to right. A file imports its own and those to its left.
const ORDER: [&str; 15] = [
    "sys",
    "state",
    "logs",
    "config",
    "facts",
    "plan",
    "steps",
    "supervise",
    "observe",
    "gateway",
    "tunnels",
    "storage",
    "portal",
    "cli",
    "app",
];

/// Longer files are several things. Lines, tests included.
const LONGEST: usize = 400;

/// Files that are one thing all the same: the table of the commands, and a world of random events.
const LONGER: [&str; 2] = ["cli/args.rs", "supervise/lifecycle/tests/storm.rs"];

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let files = sources("src");
    assert!(files.len() > 50, "only {} sources were found", files.len());
    let all: Vec<String> = files.iter().flat_map(|(name, text)| faults(name, text)).collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles = circles::circles(&sources("src"));
    assert!(circles.is_empty(), "{} circles\n{}", circles.len(), circles.join("\n"));
}

#[test]
fn the_words_are_plain() {
    let mut all = Vec::new();
    for folder in ["src", "tests/it", "tests/container"] {
        for (name, text) in sources(folder).iter().filter(|(name, _)| !name.starts_with("house")) {
            all.extend(words::banned(text).iter().map(|fault| format!("{folder}/{name}: {fault}")));
        }
    }
    assert!(all.is_empty(), "{} words\n{}", all.len(), all.join("\n"));
}

/// People see services; "unit" is the word for what is planned and supervised, and a key of the API's JSON.
#[test]
fn texts_for_people_say_service_and_not_unit() {
    let mut all = Vec::new();
    for (name, text) in sources("src").iter().filter(|(name, _)| !name.contains("tests")) {
        all.extend(units_in_texts(text).iter().map(|fault| format!("src/{name}: {fault}")));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
    for (text, count) in [
        ("let text = \"the unit has failed\";", 1),
        ("let text = \"units, in order: {unit}\";", 1),
        ("/// A \"unit of work\".", 0),
        ("let key = \"unit\";", 0),
        ("let text = \"{unit} has failed\";", 0),
        ("let text = \"jq '.units[] | .unit'\";", 0),
        ("#[cfg(test)]\nlet text = \"a unit in a test\";", 0),
    ] {
        assert_eq!(units_in_texts(text).len(), count, "{text}");
    }
}

/// The lines whose texts of several words have that word.
fn units_in_texts(text: &str) -> Vec<String> {
    static LITERAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap());
    static VALUE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^}]*\}").unwrap());
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[^.\w-])[Uu]nits?(?:[^\w-]|$)").unwrap());
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
    let faults = lines.filter(|(line, _)| {
        LITERAL.find_iter(line).any(|literal| {
            let text = VALUE.replace_all(literal.as_str(), "");
            text.contains(' ') && WORD.is_match(text.trim_matches('"'))
        })
    });
    faults.map(|(line, number)| format!("line {number}: {}", line.trim())).collect()
}

/// `lib.rs` names files by their path in `src`, or by the end of it.
#[test]
fn the_map_names_files_that_exist() {
    let files = sources("src");
    let map = &files.iter().find(|(name, _)| name == "lib.rs").unwrap().1;
    let named: Vec<&str> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| Path::new(text).extension().is_some_and(|ending| ending == "rs"))
        .collect();
    assert!(named.len() > 30, "the map names only {}", named.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_file = |name: &str| {
        root.join(name).is_file()
            || files.iter().any(|(file, _)| format!("/{file}").ends_with(&format!("/{name}")))
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_file(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn circles_are_found_also_through_re_exports() {
    let files = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        circles::circles(&files).iter().map(|circle| circle.lines().count() - 1).collect::<Vec<_>>()
    };
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    for (others, expected) in [
        (vec![("b.rs", "use super::a::A; pub struct B;")], vec![2]),
        (vec![("b.rs", "pub struct B; fn f(_: crate::a::A) {}")], vec![2]),
        (vec![("b.rs", "pub struct B; fn f() { g!(1, crate::a::A) }")], vec![2]),
        (vec![("b/mod.rs", "mod c; pub use c::B;"), ("b/c.rs", "use crate::a::*; pub struct B;")], vec![]),
        (vec![("b/mod.rs", "mod c; pub use c::B;"), ("b/c.rs", "use crate::a::A; pub struct B;")], vec![2]),
        (
            vec![("b.rs", "use crate::c::C; pub struct B;"), ("c.rs", "use crate::a; pub struct C(a::A);")],
            vec![3],
        ),
        (vec![("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }")], vec![]),
        (vec![("b.rs", "pub struct B;")], vec![]),
    ] {
        assert_eq!(files(&[&[a], &others[..]].concat()), expected, "{others:?}");
    }
}

#[test]
fn banned_words_are_found_in_comments_texts_and_names() {
    for (text, count) in [
        ("// Nobody reads it.", 1),
        ("let text = \"it is told\";", 1),
        ("fn what_stands_there() {}", 1),
        ("// it is\n// told", 0),
        ("user(\"nobody\")", 0),
        ("// a standard, understands", 0),
    ] {
        assert_eq!(words::banned(text).len(), count, "{text}");
    }
}

/// A task that panics becomes a failed unit or an answer 500, never the end of PID 1.
#[test]
fn a_panic_does_not_end_the_process() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    for (name, profile) in manifest["profile"].as_table().unwrap() {
        let panic = profile.get("panic").and_then(toml::Value::as_str).unwrap_or("unwind");
        assert_eq!(panic, "unwind", "profile {name}");
    }
}

#[test]
fn every_rule_can_be_broken() {
    for (file, text, expected) in [
        ("plan/a.rs", "use crate::supervise::Unit;", "plan may not know supervise"),
        ("plan/a.rs", "use crate::{config::Config, app};", "plan may not know app"),
        ("plan/a.rs", "fn f(_: crate::steps::Work) {}", "plan may not know steps"),
        ("state.rs", "use super::logs::Logs;", "state may not know logs"),
        ("plan/a/b.rs", "use super::super::super::gateway;", "plan may not know gateway"),
        ("somewhere.rs", "", "it is none of the stages"),
        ("plan/a.rs", "use tokio::sync::watch;", "tokio is not for pure code"),
        ("plan/a.rs", "use std::{collections::BTreeMap, fs};", "std::fs is not for pure code"),
        ("plan/a.rs", "fn f() { let _ = std::process::id(); }", "std::process is not for pure code"),
        ("supervise/backoff.rs", "use std::time::{Duration, Instant};", "Instant is not for pure code"),
        ("supervise/lifecycle.rs", "use nix::unistd::Pid;", "nix is not for pure code"),
        ("supervise/lifecycle/a.rs", "fn f() { clock.now() }", "now is not for pure code"),
        ("facts/a.rs", "fn f() { std::env::var(\"A\"); }", "std::env is only for config/env.rs"),
        ("main.rs", "use std::env;", "std::env is only for config/env.rs"),
        ("app.rs", "use std::process;\nfn f() { process::exit(1) }", "process::exit is only for main.rs"),
        ("app.rs", "use std::process::{Stdio, Command as C};", "std::process::Command is only for"),
        ("app.rs", "fn f() { std::process::Command::new(\"a\"); }", "std::process::Command is only for"),
        ("app.rs", "use tokio::process::Command;", "tokio::process is only for no file"),
        ("sys/guard.rs", "fn f() { rustix::process::waitpid(); }", "waitpid is only for sys/reaper.rs"),
        ("sys/guard.rs", "use nix::sys::wait::wait;", "nix::sys::wait is only for sys/reaper.rs"),
        ("sys/guard.rs", "use nix::unistd::fork;", "fork is only for sys/reaper.rs"),
        ("facts/mod.rs", "use nvml_wrapper::Nvml;", "nvml_wrapper is only for facts/gpu/nvml.rs"),
        ("app.rs", "fn f() { unsafe { g() } }", "unsafe is only for sys/heap.rs"),
        ("app.rs", "use std::fs;\nfn f() { fs::read(p) }", "fs::read is only for sys/read.rs"),
        ("facts/a.rs", "fn f() { std::fs::read_to_string(p) }", "fs::read_to_string is only for"),
        ("steps/a.rs", "fn f() { File::open(p)?.take(9) }", "File::open is only for sys/read.rs"),
        ("steps/a.rs", "fn f() { OpenOptions::new().read(true) }", "OpenOptions::read is only for"),
        ("cli/a.rs", "fn f() { stdin.read_to_string(&mut text) }", "read_to_string is only for"),
        ("cli/a.rs", "fn f() { println!(\"a\") }", "println! is only for steps"),
    ] {
        let text = format!("//! A module.\n{text}\n");
        let found = faults(file, &text).join("\n");
        assert!(found.contains(expected), "{file}: {text}\nfound: {found:?}");
    }
    assert!(faults("app.rs", "// no module comment\n")[0].contains("begins without `//!`"));
    let long = "//! Long.\n".repeat(LONGEST + 1);
    assert!(faults("app.rs", &long)[0].contains("lines"));
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (file, text) in [
        ("app.rs", "use crate::{config::Secret, sys};\nuse crate::gateway::{self, auth::Auth};"),
        ("plan/a.rs", "use super::{Disposition, Unit};\nuse crate::config::env::TABLE;"),
        (
            "plan/a.rs",
            "// use tokio::sync;\n/* std::env */ fn f() { g(\"crate::app\", r#\"unsafe \" fork\"#, '\"') }",
        ),
        ("plan/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}"),
        ("plan/tests.rs", "use std::fs;"),
        ("config/env.rs", "fn f() { std::env::vars_os(); }"),
        ("main.rs", "fn f() { std::env::args_os(); std::process::exit(1) }"),
        ("app.rs", "fn f() { write(p) }\n#[cfg(test)]\nmod tests { fn g() { fs::read(p); println!() } }"),
        ("sys/reaper.rs", "use std::process::{Command, Stdio};\nfn f() { rustix::process::waitid(); }"),
        ("app.rs", "fn f<'a>(x: &'a str) { std::process::id(); crate::cli::Command::new(x); }"),
    ] {
        let text = format!("//! A module.\n{text}\n");
        assert_eq!(faults(file, &text), Vec::<String>::new(), "{file}: {text}");
    }
}

/// The sources in a folder of the project: their names relative to the folder, and their texts.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: std::path::PathBuf| {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(&file).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// What is wrong with the source `file` (relative to `src`).
fn faults(file: &str, text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    if !text.starts_with("//!") {
        found.insert("begins without `//!`".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST && !LONGER.contains(&file) {
        found.insert(format!("has {lines} lines, more than {LONGEST}"));
    }
    let code = tokens(text);
    let paths = paths(&code);
    for path in &paths {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        one_place(file, &path, &mut found);
    }
    order(file, &paths, &mut found);
    let code = tokens_of(&code::without_tests(text));
    if is_pure(file) {
        purity(&self::paths(&code), &mut found);
    }
    if !is_test(file) {
        reads(file, &code, &mut found);
        prints(file, &code, &mut found);
    }
    found.into_iter().map(|fault| format!("src/{file}: {fault}")).collect()
}

/// Rule 1: imports point left.
fn order(file: &str, paths: &[Vec<String>], found: &mut BTreeSet<String>) {
    let stage = file.split(['/', '.']).next().unwrap_or_default();
    if stage == "main" || stage == "lib" {
        return;
    }
    let Some(own) = ORDER.iter().position(|name| *name == stage) else {
        found.insert("it is none of the stages".to_owned());
        return;
    };
    // `super` as often as the file is deep leads out of its stage.
    let depth = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
    for path in paths {
        let supers = path.iter().take_while(|word| *word == "super").count();
        let other = match path.first().map(String::as_str) {
            Some("crate") => path.get(1),
            Some("super") if supers >= depth => path.get(supers),
            _ => None,
        };
        if let Some(other) = other
            && let Some(rank) = ORDER.iter().position(|name| name == other)
            && rank > own
        {
            found.insert(format!("{stage} may not know {other}"));
        }
    }
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

fn is_pure(file: &str) -> bool {
    let pure = file.starts_with("plan/")
        || file.starts_with("supervise/lifecycle")
        || file == "supervise/backoff.rs";
    pure && !is_test(file)
}

/// Rule 2: no system, no clock.
fn purity(paths: &[Vec<String>], found: &mut BTreeSet<String>) {
    for path in paths {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let crates = ["tokio", "nix", "rustix", "rand", "jiff", "tracing"];
        let first = path.first().filter(|first| crates.contains(first)).copied();
        let second = match path[..] {
            ["std", part @ ("fs" | "env" | "process" | "io" | "thread" | "os"), ..] => Some(part),
            _ => None,
        };
        let clock = path.iter().find(|word| ["Instant", "SystemTime", "now"].contains(word));
        // A field or a local may be called `now`: it is what comes in.
        let clock = clock.filter(|word| **word != "now" || path.len() > 1 || path[0] == ".now(");
        if let Some(name) = first {
            found.insert(format!("{name} is not for pure code"));
        }
        if let Some(name) = second {
            found.insert(format!("std::{name} is not for pure code"));
        }
        if let Some(name) = clock {
            found.insert(format!("{name} is not for pure code"));
        }
        if path == [".now("] {
            found.insert("now is not for pure code".to_owned());
        }
    }
}

/// Rules 3 and 4: calls that are allowed in one file only.
fn one_place(file: &str, path: &[&str], found: &mut BTreeSet<String>) {
    let reaper = "sys/reaper.rs";
    let mut only = |name: &str, places: &[&str]| {
        if !places.contains(&file) {
            let places = if places.is_empty() { "no file".to_owned() } else { places.join(" and ") };
            found.insert(format!("{name} is only for {places}"));
        }
    };
    match path {
        ["std", "env", "args_os"] => only("std::env", &["config/env.rs", "main.rs"]),
        ["std", "env", ..] => only("std::env", &["config/env.rs"]),
        [.., "process", "exit" | "abort"] => only("process::exit", &["main.rs"]),
        ["std", "process", "Command" | "Child", ..] => {
            only("std::process::Command", &[reaper, "sys/launch.rs", "steps/command.rs"]);
        }
        ["tokio", "process", ..] => only("tokio::process", &[]),
        ["nix", "sys", "wait", ..] => only("nix::sys::wait", &[reaper]),
        ["rustix", "process", "wait", ..] => only("rustix::process::wait", &[reaper]),
        [.., name @ ("waitpid" | "waitid" | "wait4" | "fork" | "vfork" | "posix_spawn")] => {
            only(name, &[reaper]);
        }
        ["nvml_wrapper", ..] => only("nvml_wrapper", &["facts/gpu/nvml.rs"]),
        ["unsafe"] => only("unsafe", &["sys/heap.rs", "facts/gpu/libcuda.rs", "facts/gpu/render.rs"]),
        _ => {}
    }
}

/// Rule 5: one way to read a file, with a limit and without waiting.
fn reads(file: &str, code: &[String], found: &mut BTreeSet<String>) {
    const OWN: &str = "sys/read.rs";
    let mut only = |what: &str, places: &[&str]| {
        if file != OWN && !places.contains(&file) {
            found.insert(format!("{what} is only for {OWN}"));
        }
    };
    for path in paths(code) {
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [.., "fs", name @ ("read" | "read_to_string")] => only(&format!("fs::{name}"), &[]),
            // It opens /dev/null.
            [.., "File", "open"] => only("File::open", &["sys/launch.rs"]),
            ["tokio", "fs", name @ "File"] => only(&format!("tokio::fs::{name}"), &[]),
            _ => {}
        }
    }
    for five in code.windows(5) {
        match five.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // They open the file in the same guarded way, to write as well.
            [".", "read", "(", "true", ")"] => {
                let places =
                    ["steps/workspace/room.rs", "steps/workspace/lock.rs", "steps/environment/own.rs"];
                only("OpenOptions::read", &places);
            }
            // A guard reads from the socket of its own child; a terminal's line is read with a limit.
            [".", name @ ("read_to_end" | "read_to_string" | "read_line"), "(", ..] => {
                only(name, &["sys/guard.rs", "cli/password.rs"]);
            }
            _ => {}
        }
    }
}

/// Rule 6: a macro that prints ends the process when its reader has gone.
fn prints(file: &str, code: &[String], found: &mut BTreeSet<String>) {
    // Boot steps print into a pipe of the daemon's.
    if file.starts_with("steps/") {
        return;
    }
    for two in code.windows(2) {
        if two[1] == "!" && ["print", "println", "eprint", "eprintln"].contains(&two[0].as_str()) {
            found.insert(format!("{}! is only for steps", two[0]));
        }
    }
}
