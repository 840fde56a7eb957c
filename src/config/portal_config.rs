//! Parser for `PORTAL_CONFIG`: further ports of the gateway, and links in the portal, in the format of vast.ai's
//! templates: `hostname:external port:internal port:path:name`, separated by `|`.
//!
//! An entry is used, or all its mistakes are reported with its number and its text; the other entries are used all the
//! same. `portal_file` reads the same entries from a file.

use std::fmt;

use super::problem::Problem;
use super::provider;

/// The longest text that is read. Bytes.
pub(super) const LONGEST: usize = 64 << 10;

/// The most entries: a provider passes on fewer ports.
pub(super) const MOST: usize = 256;

/// The longest name and path. Characters.
const LONGEST_NAME: usize = 200;
const LONGEST_PATH: usize = 2000;

/// One link in the portal, and in most cases one port of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The host of the service: a name, or an address in the form of a URL (IPv6 in brackets).
    pub hostname: String,
    /// The port to which clients connect.
    pub external: u16,
    /// The service's own port. If it is the same as the external port, clients connect to the service directly.
    pub internal: u16,
    /// The path that a link opens.
    pub path: String,
    /// The title of the link.
    pub name: String,
}

impl Entry {
    /// Whether the gateway is in front of the service.
    pub fn is_proxied(&self) -> bool {
        self.external != self.internal
    }

    /// Checks the five parts. The error lists all mistakes.
    pub(super) fn new([hostname, external, internal, path, name]: [&str; 5]) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let host = provider::host(hostname);
        if host.is_none() {
            wrong.push(format!("\"{}\" is not a name or an address of a host", short(hostname)));
        }
        let mut port = |text: &str, which: &str| {
            let port = text.parse::<u16>().ok().filter(|port| *port != 0);
            if port.is_none() {
                wrong.push(format!("the {which} port \"{}\" is not a port from 1 to 65535", short(text)));
            }
            port
        };
        let ports = (port(external, "external"), port(internal, "internal"));
        let path = if path.is_empty() { "/" } else { path };
        let plain = !path.contains(|c: char| c.is_control() || c == '\\');
        let rooted = path.starts_with('/') && !path.starts_with("//");
        if !rooted || !plain || path.chars().count() > LONGEST_PATH {
            wrong.push(format!("the path \"{}\" is not a path such as \"/\"", short(path)));
        }
        if name.is_empty() {
            wrong.push("it has no name".to_owned());
        } else if name.contains(char::is_control) || name.chars().count() > LONGEST_NAME {
            wrong.push(format!(
                "the name \"{}\" is not one line of at most {LONGEST_NAME} characters",
                short(name)
            ));
        }
        match (host, ports) {
            (Some(hostname), (Some(external), Some(internal))) if wrong.is_empty() => {
                Ok(Self { hostname, external, internal, path: path.to_owned(), name: name.to_owned() })
            }
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hostname, external, internal, path, name } = self;
        write!(f, "{hostname}:{external}:{internal}:{path}:{name}")
    }
}

/// Reads the variable. Mistakes are reported under `key` at `place`.
pub fn parse(text: &str, place: &str, key: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut tell = |message: String| problems.push(Problem::new(place, key, message));
    if text.len() > LONGEST {
        tell(format!("it has {} bytes, more than {LONGEST}; nothing of it is used", text.len()));
        return Vec::new();
    }
    let mut entries = Entries::default();
    for (at, text) in text.split('|').map(str::trim).enumerate().filter(|(_, text)| !text.is_empty()) {
        for wrong in split(text).map_or_else(|wrong| vec![wrong], |parts| entries.add(parts)) {
            tell(format!("entry {} (\"{}\"): {wrong}; it is left out", at + 1, short(text)));
        }
    }
    entries.0
}

/// Splits an entry into its five parts. The name is the rest of the text; an IPv6 address is in brackets.
fn split(text: &str) -> Result<[&str; 5], String> {
    let brackets = text.starts_with('[').then(|| text.find(']')).flatten();
    let at = brackets.map_or(0, |end| end + 1);
    let end = text[at..].find(':').map_or(text.len(), |end| at + end);
    let mut parts = vec![&text[..end]];
    parts.extend(text.get(end + 1..).into_iter().flat_map(|rest| rest.splitn(4, ':')));
    let count = parts.len();
    let parts: [&str; 5] = parts.try_into().map_err(|_| {
        format!("it has {count} of the five parts hostname:external port:internal port:path:name")
    })?;
    Ok(parts.map(str::trim))
}

/// A list of entries without contradictions.
#[derive(Default)]
pub(super) struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// Adds the entry of these parts. Returns everything that is wrong with it, alone or beside the others.
    pub(super) fn add(&mut self, parts: [&str; 5]) -> Vec<String> {
        let added = Entry::new(parts).and_then(|entry| self.push(entry).map_err(|wrong| vec![wrong]));
        added.err().unwrap_or_default()
    }

    fn push(&mut self, entry: Entry) -> Result<(), String> {
        if self.0.len() >= MOST {
            return Err(format!("there are {MOST} already"));
        }
        let other = self
            .0
            .iter()
            .find(|other| other.is_proxied() && entry.is_proxied() && other.external == entry.external);
        if let Some(other) = other
            && (&other.hostname, other.internal) != (&entry.hostname, entry.internal)
        {
            return Err(format!(
                "port {} leads to {}:{} already",
                entry.external, other.hostname, other.internal
            ));
        }
        self.0.push(entry);
        Ok(())
    }
}

/// Shortens a text for a message.
fn short(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let entries = parse(text, "environment", "PORTAL_CONFIG", &mut problems);
        let texts = entries.iter().map(ToString::to_string).collect();
        (texts, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn good_entries_are_read() {
        let usual = "localhost:1111:11111:/:Instance Portal|localhost:6100:16100:/:Selkies Low Latency Desktop|\
                     localhost:8080:8080:/:Jupyter|localhost:8080:8080:/terminals/1:Jupyter Terminal";
        assert_eq!(read(usual), (usual.split('|').map(str::to_owned).collect(), vec![]));
        for (text, entries) in [
            ("", &[][..]),
            (" | |", &[]),
            ("|localhost:1:2:/:a|", &["localhost:1:2:/:a"]),
            (" localhost : 1 : 2 : /x?y=z : a b ", &["localhost:1:2:/x?y=z:a b"]),
            ("localhost:1:2::a", &["localhost:1:2:/:a"]),
            ("localhost:1:2:/:a:b:c", &["localhost:1:2:/:a:b:c"]),
            ("[::1]:1:2:/:six", &["[::1]:1:2:/:six"]),
            ("10.0.0.7:1:2:/:a|my_box.lan:3:4:/:b", &["10.0.0.7:1:2:/:a", "my_box.lan:3:4:/:b"]),
            ("localhost:1:2:/ä:ünï", &["localhost:1:2:/ä:ünï"]),
            // Two links to one port.
            ("localhost:1:2:/:a|localhost:1:2:/b:b", &["localhost:1:2:/:a", "localhost:1:2:/b:b"]),
            ("localhost:1:2:/:a|localhost:1:1:/b:b", &["localhost:1:2:/:a", "localhost:1:1:/b:b"]),
        ] {
            let expected = entries.iter().map(|entry| (*entry).to_owned()).collect();
            assert_eq!(read(text), (expected, vec![]), "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_entry_and_the_others_are_used() {
        for (wrong, expected) in [
            ("localhost", "it has 1 of the five parts hostname:external port"),
            ("localhost:1:2:/", "it has 4 of the five parts"),
            ("localhost:1:2:/:", "it has no name"),
            (":1:2:/:a", "\"\" is not a name or an address of a host"),
            ("a b:1:2:/:a", "\"a b\" is not a name or an address of a host"),
            ("user@host:1:2:/:a", "\"user@host\" is not a name"),
            ("::1:1:2:/:a", "\"\" is not a name or an address of a host"),
            ("[::1:1:2:/:a", "\"[\" is not a name"),
            ("localhost:0:2:/:a", "the external port \"0\" is not a port from 1 to 65535"),
            ("localhost:1:65536:/:a", "the internal port \"65536\" is not a port"),
            ("localhost:70001:2:/:a", "the external port \"70001\" is not a port"),
            ("localhost:-1:2:/:a", "the external port \"-1\""),
            ("localhost:1:2:javascript:alert(1)", "the path \"javascript\" is not a path such as \"/\""),
            ("localhost:1:2:javascript%3Aalert(1):a", "the path \"javascript%3Aalert(1)\" is not a path"),
            ("localhost:1:2:https://evil:a", "the path \"https\" is not"),
            ("localhost:1:2://evil/:a", "the path \"//evil/\" is not"),
            ("localhost:1:2:/\\evil/:a", "is not a path such as"),
            ("localhost:1:2:/a\tb:a", "the path \"/a\\tb\" is not"),
            ("localhost:1:2:/:a\u{7}", "the name \"a\\u{7}\" is not one line"),
        ] {
            let (entries, problems) = read(&format!("localhost:3:4:/:before|{wrong}|localhost:5:6:/:after"));
            assert_eq!(entries, ["localhost:3:4:/:before", "localhost:5:6:/:after"], "{wrong}");
            assert!(
                problems.iter().any(|problem| problem.contains("entry 2 (\"") && problem.contains(expected)),
                "{wrong}: {problems:?}"
            );
        }
        let (_, problems) = read("a b:0:x:y:");
        assert_eq!(problems.len(), 5, "all of them: {problems:#?}");
    }

    #[test]
    fn second_target_for_a_port_is_rejected() {
        let (entries, problems) = read("localhost:1:2:/:a|localhost:1:3:/:b|10.0.0.1:1:2:/:c");
        assert_eq!(entries, ["localhost:1:2:/:a"]);
        assert!(problems[0].contains("entry 2 (\"localhost:1:3:/:b\"): port 1 leads to localhost:2 already"));
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn number_and_length_of_entries_are_limited() {
        let many = "localhost:1:2:/:a|".repeat(MOST + 2);
        let (entries, problems) = read(&many);
        assert_eq!((entries.len(), problems.len()), (MOST, 2), "{problems:?}");
        let (entries, problems) = read(&"x".repeat(LONGEST + 1));
        assert!(entries.is_empty() && problems[0].contains("more than 65536"), "{problems:?}");
        let name = "n".repeat(LONGEST_NAME + 1);
        let (entries, problems) = read(&format!("localhost:1:2:/:{name}"));
        assert!(entries.is_empty() && problems[0].len() < 600, "{problems:?}");
    }

    proptest! {
        #[test]
        fn entries_survive_writing_and_reading(text in "[a-z\\[\\]:|/ .0-9é]{0,60}") {
            let (entries, _) = read(&text);
            prop_assert_eq!(read(&entries.join("|")), (entries.clone(), vec![]));
        }

        #[test]
        fn accepted_entries_are_valid(parts in prop::collection::vec("\\PC{0,8}", 0..8)) {
            for entry in parse(&parts.join(":"), "", "", &mut Vec::new()) {
                prop_assert!(entry.path.starts_with('/') && !entry.path.starts_with("//"));
                prop_assert!(entry.external > 0 && entry.internal > 0 && !entry.name.is_empty());
                prop_assert!(provider::host(&entry.hostname).is_some());
            }
        }
    }
}
