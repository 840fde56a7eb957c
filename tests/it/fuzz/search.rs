//! Searches for inputs that break a parser: it changes good inputs at random for about a minute, and keeps the inputs
//! that fail.
//!
//! An input that fails is reduced to a small size and written to a folder under `tests/fuzz/`; every later run starts
//! with these files. `DESKTOPD_FUZZ_SECONDS` sets how long one search lasts.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseResult, TestError, TestRunner};

/// Number of inputs between two checks of the time.
const BATCH: u32 = 64;

/// No input may take longer than this, on a machine with much else to do.
const ENDLESS: Duration = Duration::from_secs(10);

/// A parser under test, and the parts of its inputs.
pub struct Target {
    /// The folder of its stored cases.
    pub name: &'static str,
    /// Good inputs.
    pub corpus: Vec<String>,
    /// Texts that may replace a line, or be put at its start.
    pub heads: &'static [&'static str],
    /// Texts that may be put at a line's end, or anywhere.
    pub values: &'static [&'static str],
    /// Lines that are correct as they are; with them, some other lines become wrong.
    pub lines: &'static [&'static str],
    /// The first line of each file, if an input may hold several files.
    pub begins: &'static str,
    /// How long to search, unless the environment sets another time.
    pub seconds: u64,
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    /// A correct line at the head of a file, where it replaces the line with the same key.
    Set(Index, Index),
    /// A new line from a head and a value.
    Add(Index, Index, Index),
    /// Replaces the text after the first `=` of a line with another value.
    Value(Index, Index),
    Remove(Index),
    Double(Index),
    /// Inserts a value, or any text, at some place.
    Insert(Index, Index),
    Type(Index, String),
    Cut(Index, Index),
    /// Replaces the rest with that of another text.
    Cross(Index, Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        8 => (at(), at()).prop_map(|(a, b)| Edit::Set(a, b)),
        2 => (at(), at(), at()).prop_map(|(a, b, c)| Edit::Add(a, b, c)),
        2 => (at(), at()).prop_map(|(a, b)| Edit::Value(a, b)),
        1 => at().prop_map(Edit::Remove),
        1 => at().prop_map(Edit::Double),
        1 => (at(), at()).prop_map(|(a, b)| Edit::Insert(a, b)),
        1 => (at(), any::<String>()).prop_map(|(a, text)| Edit::Type(a, text)),
        1 => (at(), at()).prop_map(|(a, b)| Edit::Cut(a, b)),
        1 => (at(), at(), at()).prop_map(|(a, b, c)| Edit::Cross(a, b, c)),
    ]
}

/// A position between two characters.
fn place(text: &str, at: Index) -> usize {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    *at.get(&places)
}

impl Target {
    fn apply(&self, text: &mut String, edit: &Edit) {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match edit {
            Edit::Set(file, line) => {
                let heads: Vec<usize> =
                    (0..lines.len()).filter(|at| lines[*at].starts_with(self.begins)).collect();
                let head = if heads.is_empty() { 0 } else { *file.get(&heads) + 1 };
                let end = heads.iter().copied().find(|at| *at >= head).unwrap_or(lines.len());
                let line = line.get::<&str>(self.lines);
                let key = line.split_inclusive('=').next().unwrap_or_default();
                match (head..end).find(|at| lines[*at].starts_with(key)) {
                    Some(at) => (*line).clone_into(&mut lines[at]),
                    None => lines.insert(head.min(lines.len()), (*line).to_owned()),
                }
            }
            Edit::Add(at, head, value) => {
                let line = format!("{} = {}", head.get::<&str>(self.heads), value.get::<&str>(self.values));
                lines.insert(at.index(lines.len() + 1), line);
            }
            Edit::Value(at, value) if !lines.is_empty() => {
                let at = at.index(lines.len());
                let line = &mut lines[at];
                let head = line.find('=').map_or(line.len(), |at| at + 1);
                line.truncate(head);
                line.push_str(value.get::<&str>(self.values));
            }
            Edit::Remove(at) if !lines.is_empty() => drop(lines.remove(at.index(lines.len()))),
            Edit::Double(at) if !lines.is_empty() => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at].clone());
            }
            Edit::Insert(at, value) => {
                return text.insert_str(place(text, *at), value.get::<&str>(self.values));
            }
            Edit::Type(at, typed) => return text.insert_str(place(text, *at), typed),
            Edit::Cut(from, to) => {
                let (from, to) = (place(text, *from), place(text, *to));
                return drop(text.drain(from.min(to)..from.max(to)));
            }
            Edit::Cross(at, other, from) => {
                let other = other.get(&self.corpus);
                text.truncate(place(text, *at));
                return text.push_str(&other[place(other, *from)..]);
            }
            Edit::Value(..) | Edit::Remove(..) | Edit::Double(..) => return,
        }
        *text = lines.join("\n") + "\n";
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(self.name)
    }

    fn time(&self) -> Duration {
        let seconds = std::env::var("DESKTOPD_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(self.seconds))
    }

    /// Gives `check` first the stored cases, then changed inputs until the time is over. Returns the number of inputs.
    pub fn search(&self, check: impl Fn(&str) -> TestCaseResult) -> u64 {
        let check = |text: &str| {
            let began = Instant::now();
            check(text)?;
            prop_assert!(began.elapsed() < ENDLESS, "it took {:?}", began.elapsed());
            Ok(())
        };
        for entry in fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap();
            check(&text).unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
        }
        for text in &self.corpus {
            check(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
        let made = (any::<Index>(), prop::collection::vec(edit(), 0..8)).prop_map(|(first, edits)| {
            let mut text = first.get(&self.corpus).clone();
            for edit in &edits {
                self.apply(&mut text, edit);
            }
            text
        });
        let end = Instant::now() + self.time();
        let mut count = 0;
        while Instant::now() < end {
            let config = Config { cases: BATCH, failure_persistence: None, ..Config::default() };
            match TestRunner::new(config).run(&made, |text| check(&text)) {
                Ok(()) => count += u64::from(BATCH),
                Err(TestError::Fail(reason, text)) => self.keep(&reason.to_string(), &text),
                Err(TestError::Abort(reason)) => panic!("{reason}"),
            }
        }
        count
    }

    fn keep(&self, reason: &str, text: &str) -> ! {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let file = self.folder().join(format!("{:016x}", hasher.finish()));
        let kept = fs::create_dir_all(self.folder()).and_then(|()| fs::write(&file, text));
        panic!("{reason}\nkept as {} ({kept:?}):\n{text}", file.display());
    }
}
