//! The file in which vast.ai's portal keeps the value that `PORTAL_CONFIG` had at the first start, and which users edit
//! by hand: a table `applications`, each with `hostname`, `external_port`, `internal_port`, `open_path` and `name`.
//!
//! If the file exists, it wins over the variable. It is created only on vast.ai, where scripts wait for it and read it,
//! and only if it does not exist: atomically, and never in place of a user's content. A file without applications
//! counts as missing, as in vast.ai's image: users empty it so that it is created again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::env::normalize::unquoted;
use super::portal_config::{self, Entries, Entry, LONGEST, MOST};
use super::problem::Problem;
use crate::sys::error::unless_missing;
use crate::sys::read as read_file;

/// Further ports and links of the portal, and their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalConfig {
    /// The entries, in the order of the portal.
    pub entries: Vec<Entry>,
    /// The file or `environment`, for messages about mistakes.
    pub place: String,
    /// The key in that place.
    pub key: &'static str,
}

impl PortalConfig {
    /// The entries of the variable.
    pub fn of_variable(text: &str, problems: &mut Vec<Problem>) -> Self {
        let text = std::str::from_utf8(unquoted(text.as_bytes())).unwrap_or(text);
        let (place, key) = ("environment".to_owned(), "PORTAL_CONFIG");
        Self { entries: portal_config::parse(text, &place, key, problems), place, key }
    }

    /// The entries of the file, or those of the variable if the file has none.
    pub(super) fn read(file: &Path, variable: &str, problems: &mut Vec<Problem>) -> Self {
        let place = file.display().to_string();
        let text = read(file).unwrap_or_else(|error| {
            problems.push(Problem::new(&place, "", format!("{error}; PORTAL_CONFIG is used")));
            None
        });
        let entries = text.and_then(|text| parse(&text, &place, problems));
        match entries {
            Some(entries) => Self { entries, place, key: "applications" },
            None => Self::of_variable(variable, problems),
        }
    }
}

/// The text of the file; `None` if it does not exist or is empty.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    let text = read_file::text(path, u64::try_from(LONGEST).unwrap_or(u64::MAX)).or_else(unless_missing)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// The entries of the file; `None` if it has no usable table.
pub fn parse(text: &str, place: &str, problems: &mut Vec<Problem>) -> Option<Vec<Entry>> {
    let mut tell = |key: &str, message: String| problems.push(Problem::new(place, key, message));
    if is_empty(text) {
        return None;
    }
    let document: Result<Document, _> = serde_saphyr::from_str(text);
    let applications = match document {
        Ok(Document { applications: Some(applications) }) => applications.0,
        Ok(Document { applications: None }) => {
            tell("applications", "it is missing; PORTAL_CONFIG is used".to_owned());
            return None;
        }
        Err(error) => {
            let message = error.to_string();
            let line = message.lines().next().unwrap_or_default();
            tell("", format!("{line}; PORTAL_CONFIG is used"));
            return None;
        }
    };
    let mut entries = Entries::default();
    for (key, value) in applications {
        let text = |name: &str| match value.get(name) {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let name =
            Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| key.trim().to_owned());
        let parts = [text("hostname"), text("external_port"), text("internal_port"), text("open_path"), name];
        for wrong in entries.add(parts.each_ref().map(String::as_str)) {
            tell(&format!("applications.{key}"), format!("{wrong}; it is left out"));
        }
    }
    Some(entries.0)
}

/// Whether the file has an empty table of applications, which is no mistake.
pub fn is_empty(text: &str) -> bool {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let said: String = lines.collect::<String>().split_whitespace().collect();
    ["applications:", "applications:{}", "applications:null", "applications:~"].contains(&said.as_str())
}

#[derive(Deserialize)]
struct Document {
    applications: Option<Applications>,
}

/// The applications in the order of the file, which is also that of the portal.
struct Applications(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Applications {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Applications;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of applications")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Applications, M::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if all.len() <= MOST {
                        all.push(entry);
                    }
                }
                Ok(Applications(all))
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}

/// Writes the text of the file. Names are in quotes, so they may contain any characters.
pub fn text(entries: &[Entry]) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let entry = |Entry { hostname, external, internal, path, name }: &Entry| {
        format!(
            "  {name}:\n    hostname: {}\n    external_port: {external}\n    internal_port: {internal}\n    \
             open_path: {}\n    name: {name}\n",
            quoted(hostname),
            quoted(path),
            name = quoted(name),
        )
    };
    // Of several entries with the same name only the first is written: keys must be unique.
    let named = |at: usize| entries[..at].iter().all(|other| other.name != entries[at].name);
    let all: String = (0..entries.len()).filter(|at| named(*at)).map(|at| entry(&entries[at])).collect();
    if all.is_empty() { "applications: {}\n".to_owned() } else { format!("applications:\n{all}") }
}

/// Creates the file, unless it exists and is not empty. Returns whether it was created.
pub fn make(path: &Path, entries: &[Entry]) -> io::Result<bool> {
    let empty = match read(path)? {
        Some(text) if !is_empty(&text) => return Ok(false),
        found => found.is_some(),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    fs::remove_file(&temporary).or_else(unless_missing)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
    let written = file.write_all(text(entries).as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| match fs::metadata(path) {
        // An empty file is replaced: a script may have touched it, so that other programs see that it exists.
        Ok(found) if found.is_file() && (empty || found.len() == 0) => {
            fs::rename(&temporary, path).map(|()| true)
        }
        // The link fails if another process has created the file meanwhile; that file stays.
        _ => match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        },
    });
    let _ = fs::remove_file(&temporary);
    if let Some(folder) = path.parent().filter(|_| matches!(placed, Ok(true))) {
        read_file::sync(folder)?;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(text: &str) -> Vec<Entry> {
        portal_config::parse(text, "", "", &mut Vec::new())
    }

    fn parsed(text: &str) -> (Option<Vec<Entry>>, Vec<String>) {
        let mut problems = Vec::new();
        let found = parse(text, "/etc/portal.yaml", &mut problems);
        (found, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn file_that_users_edited_is_read() {
        let text = "# mine\napplications:\n  Zeta App:\n    hostname: localhost\n    external_port: 8081\n    \
                    internal_port: '18081'\n    open_path: /a?b=c\n    name: \"Zeta: App\"\n    color: red\n  Beta:\n    \
                    hostname: localhost\n    external_port: 8082\n    internal_port: 8082\n";
        let (found, problems) = parsed(text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            found.unwrap(),
            entries("localhost:8081:18081:/a?b=c:Zeta: App|localhost:8082:8082:/:Beta")
        );
        for empty in ["applications: {}", "# mine\napplications:  # none\n", "applications:\n  {}\n"] {
            assert_eq!(parsed(empty), (None, vec![]), "{empty}");
        }
    }

    #[test]
    fn mistakes_are_named_and_the_rest_is_used() {
        let text = "applications:\n  A:\n    hostname: localhost\n    external_port: many\n    internal_port: 2\n    \
                    open_path: javascript:alert(1)\n  B: 3\n  C: {hostname: localhost, external_port: 1, internal_port: 2}\n";
        let (found, problems) = parsed(text);
        assert_eq!(found.unwrap(), entries("localhost:1:2:/:C"));
        for expected in [
            "/etc/portal.yaml: applications.A: the external port \"many\" is not a port",
            "applications.A: the path \"javascript:alert(1)\" is not a path",
            "applications.B: \"\" is not a name or an address of a host",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:#?}");
        }
        for (text, expected) in [
            ("other: 1", "applications: it is missing"),
            ("applications: [1, 2]", "PORTAL_CONFIG is used"),
            ("applications: {", "PORTAL_CONFIG is used"),
            ("a: &a [x]\nb: &b [*a, *a]\napplications: *unknown", "PORTAL_CONFIG is used"),
        ] {
            let (found, problems) = parsed(text);
            assert!(
                found.is_none() && problems.len() == 1 && problems[0].contains(expected),
                "{text}: {problems:?}"
            );
        }
    }

    #[test]
    fn file_is_created_once_and_atomically() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("portal.yaml");
        let first = entries("localhost:1111:11111:/:Instance Portal|localhost:1:2:/:a \"b\": c");
        assert!(make(&path, &first).unwrap());
        assert_eq!(parse(&read(&path).unwrap().unwrap(), "", &mut Vec::new()).unwrap(), first);
        assert!(!make(&path, &[]).unwrap(), "existing content stays");
        fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap(), None, "an empty file counts as missing");
        assert!(make(&path, &first).unwrap());
        // Users empty the file so that it is created again.
        fs::write(&path, "applications: {}\n").unwrap();
        assert!(make(&path, &first).unwrap());
        assert_eq!(parse(&read(&path).unwrap().unwrap(), "", &mut Vec::new()).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(!make(&path, &first).unwrap(), "a link of a user's is not followed");
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn fifo_and_too_long_file_are_rejected_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("portal.yaml");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("expected a regular file"));
        let long = dir.path().join("long");
        fs::write(&long, "x".repeat(LONGEST + 1)).unwrap();
        assert!(read(&long).unwrap_err().to_string().contains("larger than"));
    }

    proptest! {
        #[test]
        fn written_entries_are_read_back(names in prop::collection::btree_set("\\PC{1,12}", 0..4)) {
            let entry = |(at, name): (usize, &String)| {
                let port = (at + 1).to_string();
                Entry::new(["localhost", &port, "99", "/", name.trim()]).ok()
            };
            let mut seen = std::collections::BTreeSet::new();
            let all: Vec<Entry> = names.iter().enumerate().filter_map(entry)
                .filter(|entry| seen.insert(entry.name.clone())).collect();
            let mut problems = Vec::new();
            let found = parse(&text(&all), "", &mut problems);
            let all = Some(all).filter(|all| !all.is_empty());
            prop_assert_eq!((found, problems), (all, vec![]));
        }
    }
}
