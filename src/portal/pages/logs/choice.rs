//! Which rows the address chooses, and the form that changes the choice.

use maud::{Markup, html};

use crate::logs::Row;

use super::super::events::encoded;
use super::super::view::View;

/// Keys and values of an address.
pub(super) type Words = Vec<(String, String)>;

/// The keys of the address, in the order in which links have them.
const KEYS: [&str; 9] = ["service", "q", "only", "regex", "case", "level", "since", "until", "row"];

/// The levels, from all rows to the worst alone.
const LEVELS: [(&str, &str); 4] =
    [("", "all levels"), ("info", "info and worse"), ("warn", "warnings and errors"), ("error", "errors")];

/// How far back.
const TIMES: [(&str, &str); 5] = [
    ("", "any time"),
    ("5m", "last 5 minutes"),
    ("30m", "last 30 minutes"),
    ("2h", "last 2 hours"),
    ("1d", "last day"),
];

/// Which rows the page shows.
pub(super) struct Choice {
    asked: Words,
    /// The names of the chosen services; all, if there are none.
    services: Vec<String>,
}

impl Choice {
    /// Reads the address. `grep` is what links of the API have: a search that shows the rows with hits alone.
    pub(super) fn read(view: &View, words: Words) -> Self {
        let mut asked: Words = Vec::new();
        for (key, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key.as_str() {
                "grep" => asked.extend([("q".to_owned(), value), ("only".to_owned(), "1".to_owned())]),
                key if KEYS.contains(&key) => asked.push((key.to_owned(), value)),
                _ => {}
            }
        }
        asked.sort_by_key(|(key, _)| KEYS.iter().position(|known| known == key));
        // A link may name a service by an alias, and several in one value.
        let named = asked.iter().filter(|(key, _)| key == "service").flat_map(|(_, value)| value.split(','));
        let services = named.filter_map(|name| view.api.log_name(name).ok()).collect();
        Self { asked, services }
    }

    fn value(&self, wanted: &str) -> &str {
        self.asked.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value.as_str())
    }

    /// Whether there is a search.
    pub(super) fn searches(&self) -> bool {
        !self.value("q").is_empty()
    }

    /// The row that a link leads to: its number and its time. A daemon that starts again counts from the beginning, so
    /// a number alone could be that of another row.
    pub(super) fn row(&self) -> Option<(u64, i64)> {
        let (seq, at) = self.value("row").split_once('-')?;
        Some((seq.parse().ok()?, at.parse().ok()?))
    }

    /// The keys of the API for these rows.
    fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        let only = self.value("only") == "1";
        self.asked.iter().flat_map(move |(key, value)| {
            let names: &[&str] = match key.as_str() {
                "q" if only => &["grep", "mark"],
                "q" => &["mark"],
                "only" | "row" => &[],
                key => std::slice::from_ref(KEYS.iter().find(|known| **known == key).unwrap_or(&"q")),
            };
            names.iter().map(move |name| (*name, value.as_str()))
        })
    }

    /// The same as words of the API, with so many of the last rows.
    pub(super) fn query(&self, rows: usize) -> Words {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let which = self
            .row()
            .map_or(("tail".to_owned(), rows.to_string()), |(seq, _)| ("row".to_owned(), seq.to_string()));
        self.keys().map(own).chain([which]).collect()
    }

    /// The same as the query of an address of the API.
    pub(super) fn filter(&self) -> String {
        joined(self.keys())
    }

    /// The query of this page's address, at this row.
    pub(super) fn address(&self, row: Option<&Row>) -> String {
        let row = row.map(|row| format!("{}-{}", row.seq, row.at));
        let asked = self.asked.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        joined(asked.filter(|(key, _)| *key != "row").chain(row.as_deref().map(|row| ("row", row))))
    }

    /// What an empty log says.
    pub(super) fn nothing(&self) -> &'static str {
        let filtered =
            self.asked.iter().any(|(key, _)| !["service", "q", "regex", "case"].contains(&key.as_str()));
        if filtered { "No rows match." } else { "Nothing was written yet." }
    }

    /// The command that prints these rows.
    pub(super) fn command(&self) -> String {
        let services = self.services.iter().fold(String::new(), |names, name| format!("{names} {name}"));
        format!("desktopd logs{services}")
    }

    /// The form that chooses services and rows.
    pub(super) fn form(&self, view: &View) -> Markup {
        let written = view.api.logs().names();
        let title = if self.services.is_empty() { "all".to_owned() } else { self.services.join(", ") };
        let switch = |name: &str, text: &str| {
            html! { label { input type="checkbox" name=(name) value="1" checked[self.value(name) == "1"]; " " (text) } }
        };
        html! {
            form #choice .choice method="get" action="logs" {
                input type="search" name="q" value=(self.value("q")) placeholder="Search, or press /"
                    aria-label="Search the rows" autocomplete="off" spellcheck="false";
                (switch("regex", "regex"))
                (switch("only", "only rows with hits"))
                (select("level", "Levels", &LEVELS, self.value("level")))
                (select("since", "Time", &TIMES, self.value("since")))
                @for key in ["case", "until"].into_iter().filter(|key| !self.value(key).is_empty()) {
                    input type="hidden" name=(key) value=(self.value(key));
                }
                button { "Show" }
                details {
                    summary { "Services: " (title) }
                    div.boxes {
                        @for name in &written {
                            label {
                                input type="checkbox" name="service" value=(name)
                                    checked[self.services.iter().any(|one| **one == **name)];
                                " " (name)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn select(name: &str, label: &str, values: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        select name=(name) aria-label=(label) {
            @for (value, text) in values { option value=(value) selected[*value == chosen] { (text) } }
            // A link may have another one.
            @if !values.iter().any(|(value, _)| *value == chosen) { option value=(chosen) selected { (chosen) } }
        }
    }
}

fn joined<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    pairs.map(|(key, value)| format!("{key}={}", encoded(value))).collect::<Vec<_>>().join("&")
}
