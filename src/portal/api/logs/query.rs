//! Reads which rows a request asks for.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use crate::config::time;
use crate::logs::{Chosen, Cursor, Filter, Level, Logs, OWN_LOG, Pattern, Reader, Start};
use crate::portal::api::problem::Problem;
use crate::portal::api::sources::Api;

/// All keys, for the message about one that is unknown.
const KEYS: &str =
    "service, since, until, grep, mark, regex, case, level, tail, row, after, follow and colour";

/// More services than any desktop has.
const MOST_SERVICES: usize = 256;

/// How many of the last rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    All,
    Rows(usize),
}

/// Which rows a request asks for.
pub(super) struct Asked {
    /// The names of the services, in order.
    pub(super) services: Vec<String>,
    /// Whether new rows are wanted as they come.
    pub(super) follow: bool,
    /// Whether a text is to have colours.
    pub(super) colours: bool,
    chosen: Chosen,
    filter: Filter,
    tail: Option<Tail>,
    /// The number of the row that the others are around.
    pub(super) row: Option<u64>,
    after: Option<Cursor>,
}

impl Asked {
    /// Reads the query. `last` is the number of the last event that a browser has seen, when it connects again.
    pub(super) fn read(api: &Api, words: &[(String, String)], last: Option<&str>) -> Result<Self, Problem> {
        let now = jiff::Timestamp::now().as_millisecond();
        let mut names = BTreeSet::new();
        let mut filter = Filter::default();
        let (mut grep, mut mark, mut regex, mut case) = ("", "", false, false);
        let (mut follow, mut colours, mut tail, mut row, mut after) = (true, true, None, None, None);
        for (key, value) in words {
            let wrong = |what: &str| refused(format!("{key}: '{value}' is not {what}"));
            let yes = || switch(value).ok_or_else(|| wrong("0 or 1"));
            match key.as_str() {
                // An empty value is what a form sends for a field without text.
                _ if value.is_empty() => {}
                "service" => {
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        names.insert(api.log_name(name)?);
                    }
                }
                "since" => filter.since = Some(time(value, now).ok_or_else(|| wrong(TIME))?),
                "until" => filter.until = Some(time(value, now).ok_or_else(|| wrong(TIME))?),
                "grep" => grep = value,
                "mark" => mark = value,
                "regex" => regex = yes()?,
                "case" => case = yes()?,
                "level" => {
                    let level = Level::named(value).ok_or_else(|| wrong("error, warn, info or debug"))?;
                    filter.level = Some(level);
                }
                "tail" if value == "all" => tail = Some(Tail::All),
                "tail" => {
                    let rows = value.parse().map_err(|_| wrong("a number of rows or 'all'"))?;
                    tail = Some(Tail::Rows(rows));
                }
                "row" => row = Some(value.parse().map_err(|_| wrong("the number of a row"))?),
                "after" => after = Some(cursor(value).ok_or_else(|| wrong("a position of an answer"))?),
                "follow" => follow = yes()?,
                "colour" => colours = yes()?,
                _ => return Err(refused(format!("'{key}' is none of the keys {KEYS}"))),
            }
        }
        if names.len() > MOST_SERVICES {
            return Err(refused(format!("at most {MOST_SERVICES} services")));
        }
        let pattern = |key: &str, text: &str| {
            let made = (!text.is_empty()).then(|| Pattern::new(text, regex, case)).transpose();
            made.map_err(|error| refused(format!("{key}: {error}")))
        };
        filter.pattern = pattern("grep", grep)?;
        filter.mark = pattern("mark", mark)?;
        // An id that is none of ours, as a client of another daemon may have, is no mistake of the user.
        after = last.and_then(cursor).or(after);
        let chosen = if names.is_empty() { Chosen::All } else { Chosen::Some(names.clone()) };
        let services = if names.is_empty() { all(api, &api.logs) } else { names };
        let services = services.into_iter().collect();
        Ok(Self { services, follow, colours, chosen, filter, tail, row, after })
    }

    /// A reader of these rows. `rows` is how many of the last ones it begins with if the request says nothing.
    pub(super) fn reader(&self, api: &Api, rows: usize) -> Reader {
        let usual =
            if self.filter.since.is_some() || rows == usize::MAX { Tail::All } else { Tail::Rows(rows) };
        let start = match (&self.after, self.row, self.tail.unwrap_or(usual)) {
            (Some(after), _, _) => Start::After(after.clone()),
            (None, _, Tail::All) => Start::Oldest,
            (None, Some(seq), Tail::Rows(rows)) => Start::Around(seq, rows),
            (None, None, Tail::Rows(rows)) => Start::Tail(rows),
        };
        api.logs.reader(self.chosen.clone(), self.filter.clone(), start)
    }
}

const TIME: &str = "a time such as 10m, 2026-01-31 or 2026-01-31T12:00:00Z, or milliseconds since 1970";

/// The names of all services, and of all other logs.
fn all(api: &Api, logs: &Logs) -> BTreeSet<String> {
    let snapshot = api.watch.borrow();
    let units = snapshot.units.iter().map(|unit| unit.name.clone());
    let others = logs.names().into_iter().map(|name| name.to_string());
    units.chain(others).chain([OWN_LOG.to_owned()]).collect()
}

fn cursor(text: &str) -> Option<Cursor> {
    text.parse().ok()
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn refused(text: String) -> Problem {
    Problem(StatusCode::BAD_REQUEST, text)
}
