//! Reads the rows of any set of logs in one order, as fast as the client wants.
//!
//! A reader remembers only how many rows of each log it has passed, and fetches more from the rings when its client can
//! take more: nothing waits for a slow client, and a client costs no memory between two steps. A client that is too
//! slow finds that the ring has dropped rows; their number comes as a row of its own.

mod cursor;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::sys::lock;

use super::ring::{Batch, Open};
use super::{Filter, Logs, Row, UnitLog};

pub use cursor::Cursor;

/// How much of each log is fetched at once. Bytes.
const FETCHED: usize = 64 << 10;

/// The most text that is searched in one step. Bytes.
const SEARCHED: usize = 512 << 10;

/// A step that searches for longer ends, so that others have their turn.
const SLICE: Duration = Duration::from_millis(20);

/// A hit in an answer, about. Bytes.
const HIT: usize = 20;

/// The most unfinished rows of one log that a reader remembers.
const MOST_SHOWN: usize = 64;

/// The logs that a client wants.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// All, also those that come later.
    All,
    /// Those of these names.
    Some(BTreeSet<String>),
}

/// Where a reader begins.
#[derive(Debug)]
pub enum Start {
    /// With the oldest row.
    Oldest,
    /// With the last rows that the filter accepts, as many as this.
    Tail(usize),
    /// With rows that the filter accepts up to the row of this number, as many as this.
    Around(u64, usize),
    /// After the rows that another reader has passed.
    After(Cursor),
}

/// How far a reader is in one log.
#[derive(Clone, Debug, Default)]
struct Place {
    /// How many rows have been passed, or lost.
    passed: u64,
    /// The number of the last state of an unfinished row that has been passed.
    open: u64,
    /// The unfinished rows that the client sees.
    shown: Vec<u64>,
}

/// Reads the rows of logs.
pub struct Reader {
    logs: Logs,
    chosen: Chosen,
    filter: Filter,
    places: BTreeMap<Arc<str>, Place>,
    changed: watch::Receiver<()>,
    /// The highest number of a row so far.
    last: u64,
    /// Whether this reader continues another one, and does not know which unfinished rows the client sees.
    continued: bool,
    /// Whether the rows before are those of another daemon.
    restarted: bool,
}

/// The next rows of a reader.
#[derive(Debug, Default)]
pub struct Step {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Whether there is more already.
    pub more: bool,
}

/// Batches of one log that are to be merged with others.
struct Fetched {
    log: Arc<UnitLog>,
    batch: Batch,
}

impl Logs {
    /// A reader of the chosen logs.
    pub fn reader(&self, chosen: Chosen, filter: Filter, start: Start) -> Reader {
        let mut reader = Reader {
            logs: self.clone(),
            chosen,
            filter,
            places: BTreeMap::new(),
            changed: self.inner.changed.subscribe(),
            last: 0,
            continued: matches!(start, Start::After(_)),
            restarted: false,
        };
        match start {
            Start::Oldest => {
                for log in reader.logs() {
                    let passed = lock(&log.lines).newest.first();
                    reader.place(&log.name).passed = passed;
                }
            }
            Start::Tail(rows) => reader.go_to_tail(rows, None),
            Start::Around(seq, rows) => reader.go_to_tail(rows, Some(seq)),
            Start::After(cursor) if cursor.boot == self.inner.boot => {
                for log in reader.logs() {
                    let total = lock(&log.lines).newest.total();
                    let passed = cursor.passed.get(&*log.name).copied().unwrap_or_default();
                    reader.place(&log.name).passed = passed.min(total);
                }
            }
            Start::After(_) => reader.restarted = true,
        }
        reader
    }

    /// The names of all logs that have rows.
    pub fn names(&self) -> Vec<Arc<str>> {
        lock(&self.inner.logs).keys().cloned().collect()
    }
}

impl Reader {
    /// Where this reader is.
    pub fn cursor(&self) -> Cursor {
        let passed = self.places.iter().map(|(name, place)| (name.to_string(), place.passed)).collect();
        Cursor { boot: self.logs.inner.boot, passed }
    }

    /// Waits until there may be new rows.
    pub async fn changed(&mut self) {
        // The sender is a part of the logs that this reader has.
        let _ = self.changed.changed().await;
    }

    /// The next rows, with about `most` bytes of text and at most `rows` rows.
    pub fn step(&mut self, most: usize, rows: usize) -> Step {
        self.changed.mark_unchanged();
        let frontier = *lock(&self.logs.inner.next);
        let mut step = Step::default();
        if std::mem::take(&mut self.restarted) {
            let text = "desktopd has started again; the files in its log folder have the rows from before";
            let row = Row::new(0, self.logs.inner.boot, super::OWN_LOG.into(), text.into());
            step.rows.push(Row { restarted: true, ..row });
        }
        let (mut fetched, mut bound) = (Vec::new(), frontier);
        let logs = self.logs();
        for log in &logs {
            let lines = lock(&log.lines);
            let mut batches = Vec::new();
            let passed = self.places.get(&log.name).map_or(0, |place| place.passed);
            let first = lines.newest.first();
            let left = lines.newest.after(passed.max(first), FETCHED, &mut batches);
            drop(lines);
            bound = left.map_or(bound, |left| bound.min(left));
            if passed < first {
                let at = batches.first().map_or(self.logs.inner.boot, |batch| batch.at);
                let lost = first - passed;
                let text = format!("lost {lost} rows: they came faster than they were read");
                let row = Row::new(self.last, at, Arc::clone(&log.name), text.into());
                step.rows.push(Row { lost: Some(lost), ..row });
                self.place(&log.name).passed = first;
            }
            fetched.extend(batches.into_iter().map(|batch| Fetched { log: Arc::clone(log), batch }));
        }
        fetched.retain(|found| found.batch.seq < bound);
        fetched.sort_by_key(|found| found.batch.seq);
        let all = self.pass(&fetched, most, rows, &mut step.rows);
        step.more = !all || bound < frontier;
        if !step.more {
            self.pass_open(&logs, frontier, &mut step.rows);
        }
        step.rows.sort_by_key(|row| row.seq);
        self.last = step.rows.last().map_or(self.last, |row| row.seq);
        step
    }

    /// Passes the rows of batches; false if some are left.
    fn pass(&mut self, fetched: &[Fetched], most: usize, rows: usize, found: &mut Vec<Row>) -> bool {
        let (mut sent, mut searched, began) = (0, 0, Instant::now());
        for Fetched { log, batch } in fetched {
            let passed = self.place(&log.name).passed;
            let skipped = usize::try_from(passed.saturating_sub(batch.nth)).unwrap_or(usize::MAX);
            let timely = self.filter.accepts_time(batch.at);
            if !timely && batch.replaces.is_none() {
                self.place(&log.name).passed = batch.nth + batch.rows;
                continue;
            }
            for (seq, text) in (batch.seq..).zip(batch.text.lines()).skip(skipped) {
                let is_late = searched > 0 && began.elapsed() >= SLICE;
                if sent >= most || found.len() >= rows || searched >= SEARCHED || is_late {
                    return false;
                }
                searched += text.len() + 1;
                let accepted = timely && self.filter.accepts_text(text);
                let continued = self.continued;
                let place = self.place(&log.name);
                place.passed += 1;
                let seen = batch.replaces.is_some_and(|id| continued || place.shown.contains(&id));
                place.shown.retain(|id| Some(*id) != batch.replaces);
                if accepted || seen {
                    sent += text.len() + log.name.len();
                    let row = Row::new(seq, batch.at, Arc::clone(&log.name), text.into());
                    let row = Row { replaces: batch.replaces, ..row };
                    let row = if accepted { self.filter.described(row) } else { gone(row) };
                    sent += row.hits.len() * HIT;
                    found.push(row);
                }
            }
        }
        true
    }

    /// Passes the states of unfinished rows.
    fn pass_open(&mut self, logs: &[Arc<UnitLog>], frontier: u64, found: &mut Vec<Row>) {
        for log in logs {
            let open: Vec<Open> = lock(&log.lines).newest.open().to_vec();
            for state in open.into_iter().filter(|state| state.seq < frontier) {
                let accepted = self.accepts(&state);
                let continued = self.continued;
                let place = self.place(&log.name);
                if state.seq <= place.open {
                    continue;
                }
                let seen = place.shown.contains(&state.id) || (continued && state.id != state.seq);
                place.shown.retain(|id| *id != state.id);
                if accepted {
                    place.shown.push(state.id);
                }
                // The ends of some may be lost.
                if place.shown.len() > MOST_SHOWN {
                    place.shown.remove(0);
                }
                if accepted || seen {
                    let row = Row::new(state.seq, state.at, Arc::clone(&log.name), state.text);
                    let replaces = (state.id != state.seq).then_some(state.id);
                    let row = Row { replaces, open: true, ..row };
                    found.push(if accepted { self.filter.described(row) } else { gone(row) });
                }
            }
            // Rows that are shown now have states up to here.
            if let Some(place) = self.places.get_mut(&log.name) {
                place.open = place.open.max(frontier - 1);
            }
        }
    }

    fn accepts(&self, state: &Open) -> bool {
        self.filter.accepts_time(state.at) && self.filter.accepts_text(&state.text)
    }

    /// Goes back from the newest row, or from the one of that number, until `wanted` rows are found that the filter
    /// accepts.
    fn go_to_tail(&mut self, wanted: usize, from: Option<u64>) {
        let frontier = *lock(&self.logs.inner.next);
        let logs = self.logs();
        let mut open = Vec::new();
        for log in &logs {
            let lines = lock(&log.lines);
            let states = lines.newest.open().iter().filter(|state| from.is_none() && self.accepts(state));
            open.extend(states.map(|state| state.seq));
            let newest = from.map_or_else(|| lines.newest.total(), |seq| lines.newest.until(seq));
            self.places.entry(Arc::clone(&log.name)).or_default().passed = newest;
        }
        open.sort_unstable();
        let mut left = wanted.saturating_sub(open.len());
        let last = if wanted < open.len() { open[open.len() - wanted..].first().copied() } else { Some(1) };
        for place in self.places.values_mut() {
            place.open = last.unwrap_or(frontier) - 1;
        }
        while left > 0 {
            let (mut fetched, mut bound) = (Vec::new(), 0);
            for log in &logs {
                let mut batches = Vec::new();
                let passed = self.place(&log.name).passed;
                let oldest = lock(&log.lines).newest.before(passed, FETCHED, &mut batches);
                bound = bound.max(oldest.unwrap_or(0));
                fetched.extend(batches.into_iter().map(|batch| Fetched { log: Arc::clone(log), batch }));
            }
            fetched.retain(|found| found.batch.seq >= bound);
            fetched.sort_by_key(|found| std::cmp::Reverse(found.batch.seq));
            if fetched.is_empty() {
                return;
            }
            for Fetched { log, batch } in fetched {
                let passed = self.place(&log.name).passed;
                let rows = usize::try_from(passed.saturating_sub(batch.nth)).unwrap_or(usize::MAX);
                let timely = self.filter.accepts_time(batch.at);
                let lines: Vec<&str> = batch.text.lines().take(rows).collect();
                let mut passed = batch.nth;
                for (nth, text) in (batch.nth..).zip(lines).collect::<Vec<_>>().into_iter().rev() {
                    left -= usize::from(timely && self.filter.accepts_text(text));
                    if left == 0 {
                        passed = nth;
                        break;
                    }
                }
                self.place(&log.name).passed = passed;
                if left == 0 {
                    return;
                }
            }
        }
    }

    /// The chosen logs that exist.
    fn logs(&self) -> Vec<Arc<UnitLog>> {
        let logs = lock(&self.logs.inner.logs);
        match &self.chosen {
            Chosen::All => logs.values().cloned().collect(),
            Chosen::Some(names) => names.iter().filter_map(|name| logs.get(name.as_str()).cloned()).collect(),
        }
    }

    /// How far this reader is in a log. It has passed nothing of a log that is new.
    fn place(&mut self, name: &Arc<str>) -> &mut Place {
        self.places.entry(Arc::clone(name)).or_default()
    }
}

/// The row that takes the place of one that the filter does not accept any more.
fn gone(row: Row) -> Row {
    Row { text: "".into(), gone: true, ..row }
}

#[cfg(test)]
mod tests;
