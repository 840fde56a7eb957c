//! The documents agree with the program: the tables of variables in `config/README.md` are compared with the program, and
//! the shipped service files with the planner. The README stays short, and every link has a target.

#![allow(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use desktopd::config::env::{TABLE, Variable};
use desktopd::config::{Config, Environment};
use desktopd::facts::gpu::Answers;
use desktopd::facts::{Account, Facts};
use desktopd::plan::Plan;
use desktopd::sys::launch::Identity;

/// A file of the repository.
pub fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The document with the tables of variables.
const REFERENCE: &str = "config/README.md";

/// All documents for readers.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    REFERENCE,
    "docker/README.md",
    "docker/kubernetes/README.md",
    "tests/README.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
];

/// The largest number of lines of the README: a longer one is not read.
const LONGEST_README: usize = 180;

/// The parts of the first table, each with its first variable, in the order of the table.
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

/// The title of the second table.
const NOTHING_YET: &str = "Variables that are accepted and do nothing yet";

/// The markers around both tables.
const MARKS: (&str, &str) = ("<!-- variables -->\n", "<!-- end of variables -->\n");

/// Whether a variable's line of documentation says that the variable has no effect: the second table has these.
pub fn says_nothing_yet(variable: &Variable) -> bool {
    ["yet", "not used", "anyway"].iter().any(|word| variable.doc.contains(word))
}

/// Both tables as the document should have them.
fn tables() -> String {
    let mut text = String::new();
    let (without, with): (Vec<&Variable>, Vec<&Variable>) =
        TABLE.iter().partition(|row| says_nothing_yet(row));
    for variable in with {
        if let Some((title, _)) = PARTS.iter().find(|(_, first)| *first == variable.names[0]) {
            text += &head(title);
        }
        text += &row(variable);
    }
    text += &head(NOTHING_YET);
    for variable in without {
        text += &row(variable);
    }
    text + "\n"
}

fn head(title: &str) -> String {
    format!("\n### {title}\n\n| variable | default | |\n| --- | --- | --- |\n")
}

fn row(variable: &Variable) -> String {
    let aliases: Vec<String> = variable.names[1..].iter().map(|name| format!("`{name}`")).collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
    let default =
        if variable.default.is_empty() { String::new() } else { format!("`{}` ", variable.default) };
    let doc = variable.doc.replace('|', "\\|");
    format!("| `{}`{aliases} | {default}| {doc} |\n", variable.names[0])
}

/// With `DESKTOPD_WRITE_DOCS` set, the document is brought up to date instead.
#[test]
fn the_reference_tables_match_the_program() {
    let reference = read(REFERENCE);
    let (before, rest) = reference.split_once(MARKS.0).unwrap();
    let (found, after) = rest.split_once(MARKS.1).unwrap();
    let expected = tables();
    for (title, first) in PARTS {
        assert!(expected.contains(&head(title)), "no variable with an effect is called {first}");
    }
    if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
        let text = [before, MARKS.0, &expected, MARKS.1, after].concat();
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE), text).unwrap();
    } else {
        assert!(
            found == expected,
            "{REFERENCE}: DESKTOPD_WRITE_DOCS=1 cargo nextest run documents brings it up to date"
        );
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= LONGEST_README, "README.md has {lines} lines, more than {LONGEST_README}");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |path: &str| {
        let path = root.join(path);
        path.is_file().then(|| fs::read_to_string(path).unwrap_or_default())
    };
    let broken: Vec<String> =
        DOCUMENTS.iter().flat_map(|document| broken_links(document, &read(document), file)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    let linked = links(&read("README.md"));
    for document in &DOCUMENTS[1..] {
        assert!(linked.iter().any(|link| link == document), "README.md does not link to {document}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_named() {
    let file = |path: &str| match path {
        "a/b.md" => Some("# One `two`, three\n# Twice\n# Twice\n```\n# no heading\n```\n".to_owned()),
        "c.png" => Some(String::new()),
        _ => None,
    };
    let broken = |link: &str| broken_links("a/README.md", &format!("# Here\n[text]({link})\n"), file);
    for good in [
        "b.md",
        "b.md#one-two-three",
        "b.md#twice-1",
        "../a/b.md#twice",
        "../c.png",
        "#here",
        "https://a.example/#x",
    ] {
        assert_eq!(broken(good), [""; 0], "{good}");
    }
    for bad in [
        "c.md",
        "b.md#no-heading",
        "b.md#twice-2",
        "b.md#",
        "../../c.png",
        "/c.png",
        "#there",
        "c.png",
        "../c.png#x",
    ] {
        assert_eq!(broken(bad), [format!("a/README.md: {bad} leads nowhere")]);
    }
    let text = "`[a](b)`\n```\n[c](d)\n```\n[`e`](f), ![g](h) and [i](j#k)";
    assert_eq!(links(text), ["f", "h", "j#k"]);
}

/// Neither of these files belongs in the image.
#[test]
fn the_documents_beside_what_is_copied_stay_out_of_the_image() {
    let ignored = read(".dockerignore");
    let after =
        |line: &str| ignored.lines().position(|other| other == line).unwrap_or_else(|| panic!("{line}"));
    for (folder, document) in [("!config", REFERENCE), ("!docker", "docker/README.md")] {
        assert!(after(folder) < after(document), "the last line that fits counts: {document}");
    }
}

/// The links of a document that lead to no file, or to no heading in it. `file` returns the texts of files by their
/// paths.
fn broken_links(document: &str, text: &str, file: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let leads = |link: &str| {
        let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
        let target = if path.is_empty() {
            Some(text.to_owned())
        } else {
            beside(document, path).and_then(|path| file(&path))
        };
        target.is_some_and(|target| anchor.is_none_or(|anchor| anchors(&target).contains(anchor)))
    };
    let links = links(text).into_iter().filter(|link| !link.contains("://") && !leads(link));
    links.map(|link| format!("{document}: {link} leads nowhere")).collect()
}

/// The path, from the root, of a file that a document names; `None` for a path outside.
fn beside(document: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The lines of a text that are not in a code block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The targets of the links and pictures of a text.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Text between backticks has no links.
        let line: String = line.split('`').step_by(2).collect();
        let ends = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(ends.map(str::to_owned));
    }
    found
}

/// The anchors of a text's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text) {
        let title = line.trim_start_matches('#');
        let Some(title) = title.strip_prefix(' ').filter(|_| line.starts_with('#')) else { continue };
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{name}-{n}"));
        let free = std::iter::once(name.clone()).chain(again).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[test]
fn the_services_that_are_shipped_have_no_mistakes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut problems = Vec::new();
    let env = Environment::new([], &[], &mut problems);
    let config = Config::read(dir, env, problems);
    assert_eq!(config.problems, []);
    let mut facts = Facts::probe(&config, Path::new("/"), &Answers::default());
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
        "cron",
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
        "xorg",
        "xvfb",
    ] {
        assert!(plan.unit(name).is_some(), "{name}");
    }
}
