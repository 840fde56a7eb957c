//! The page of `desktopd status`: what is wrong and what mends it, the services, and the ways in. No line is longer than
//! the screen, or than 100 columns where the screen is wider or not known.

use crate::cli::Screen;
use crate::cli::layout::{columns, cut, wrap};
use crate::cli::render;
use crate::cli::table::table;
use crate::gateway::page;
use crate::observe::{RouteStatus, Sight, Snapshot, UnitHealth, UnitState, UnitStatus};

use super::remedies;

/// The widest name of a service in the table. Columns.
const WIDEST_NAME: usize = 28;

/// The widest title of a way in. Columns.
const WIDEST_TITLE: usize = 24;

/// What the page shows, and how.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// The time, in milliseconds since the Unix epoch; without it, the page has times of the day instead of ages: a page
    /// that is drawn again only after a change would show old ages.
    pub(super) now: Option<i64>,
    pub(super) screen: Screen,
    /// Whether finished boot steps and services that are not in use have rows, too.
    pub(super) all: bool,
}

impl Page<'_> {
    /// The whole page.
    pub(super) fn text(self) -> String {
        let Self { snapshot, .. } = self;
        let mut text = self.wrapped(&snapshot.summary);
        text += &self.troubles();
        text += &self.services(&snapshot.units.iter().collect::<Vec<_>>());
        for (name, line) in [("display", &snapshot.drawing), ("encoder", &snapshot.encoder)] {
            if !line.is_empty() {
                // Reasons quote drivers and the logs of X servers.
                text += &self.wrapped(&format!("{name}: {line}"));
            }
        }
        text += &self.ways();
        for note in &snapshot.notes {
            text += &self.wrapped(&format!("note: {note}"));
        }
        text
    }

    /// Why users see nothing and all other problems, each with the command that mends it.
    fn troubles(self) -> String {
        let Self { snapshot, .. } = self;
        let mut text = String::new();
        let mut line = |name: &str, sentence: &str, remedy: Option<String>| {
            text += &self.wrapped(&format!("{name}: {sentence}"));
            if let Some(remedy) = remedy {
                text += &wrap(&format!("    -> {remedy}"), self.screen.columns(), 7);
            }
        };
        for sentence in &snapshot.not_ready {
            line("not ready", sentence, remedies::of_not_ready(snapshot, sentence));
        }
        for problem in &snapshot.problems {
            // Users see its effect: it has a line already.
            if !snapshot.not_ready.iter().any(|known| known.contains(problem.as_str())) {
                line("problem", problem, remedies::of_problem(snapshot, problem));
            }
        }
        text
    }

    /// The table of the services, and a line each for finished boot steps and for what is not in use.
    pub(super) fn services(self, units: &[&UnitStatus]) -> String {
        let is_unused = |unit: &&UnitStatus| unit.state == UnitState::Skipped || unit.off;
        let is_done = |unit: &&UnitStatus| unit.oneshot && unit.state == UnitState::Done;
        let (mut done, mut unused) = (Vec::new(), Vec::new());
        let mut shown: Vec<&UnitStatus> = Vec::new();
        for unit in units {
            if self.all {
                shown.push(unit);
            } else if is_unused(unit) {
                unused.push(*unit);
            } else if is_done(unit) {
                done.push(*unit);
            } else {
                shown.push(unit);
            }
        }
        let mut text = if shown.is_empty() { String::new() } else { self.rows(&shown) };
        let steps = units.iter().filter(|unit| unit.oneshot && !is_unused(unit)).count();
        let count = done.len();
        if count > 0 {
            let of = if count == steps { format!("all {count}") } else { format!("{count} of {steps}") };
            text += &cut(&format!("boot steps: {of} are done"), self.screen.columns());
            text.push('\n');
        }
        text + &self.footer(&unused)
    }

    fn rows(self, units: &[&UnitStatus]) -> String {
        let mut rows = vec![["NAME", "STATE", "SINCE", "PID", "RESTARTS", "REASON"].map(str::to_owned)];
        for unit in units {
            rows.push([
                cut(&unit.name, WIDEST_NAME),
                unit.state.name().to_owned(),
                self.since(unit.since),
                unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                unit.restarts.to_string(),
                plain(&unit.reason),
            ]);
        }
        table(&rows, Some(self.screen.columns()), |row, column, cell| match (row, column) {
            (1.., 1) => paint(self.screen, units[row - 1], &cell),
            _ => cell,
        })
    }

    /// How long ago a time was, or the time.
    pub(super) fn since(self, at: i64) -> String {
        let clock = || {
            let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
            time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M:%SZ").to_string()
        };
        self.now.map_or_else(clock, |now| render::age(now - at))
    }

    /// One line: as many names as it has room for.
    fn footer(self, unused: &[&UnitStatus]) -> String {
        if unused.is_empty() {
            return String::new();
        }
        let (width, count) = (self.screen.columns(), unused.len());
        let line = |names: &[&str], more: &str| {
            format!("not in use: {}{more} (why: desktopd ps --all)", names.join(", "))
        };
        let names: Vec<&str> = unused.iter().map(|unit| unit.name.as_str()).collect();
        let fits = (1..=count).rev().map(|shown| {
            let more = if shown < count { format!(", … {} more", count - shown) } else { String::new() };
            line(&names[..shown], &more)
        });
        let found = fits.into_iter().find(|line| columns(line) <= width);
        let short = || cut(&format!("not in use: {count} (why: desktopd ps --all)"), width);
        found.unwrap_or_else(short) + "\n"
    }

    /// Each way in, in one line.
    fn ways(self) -> String {
        let routes = &self.snapshot.routes;
        let width = routes.iter().map(|route| columns(&plain(&route.title))).max().unwrap_or(0);
        let width = width.min(WIDEST_TITLE);
        routes.iter().map(|route| self.way(route, width)).collect()
    }

    fn way(self, route: &RouteStatus, width: usize) -> String {
        let title = crate::cli::layout::filled(&cut(&plain(&route.title), width), width);
        let address =
            if route.address.is_empty() { format!("port {}", route.port) } else { plain(&route.address) };
        let line = format!("open: {title}  {address}");
        let why = match route.seen.sight {
            Sight::Ready => String::new(),
            _ => format!("  ({}: {})", route.seen.sight.name(), plain(&route.seen.text)),
        };
        let limit = self.screen.columns();
        // The address is worth more than the reason, which the services have as well.
        let left = limit.saturating_sub(columns(&line));
        let why = if columns(&why) <= left || left < 12 { why } else { cut(&why, left - 1) + ")" };
        let why = if columns(&why) <= left { why } else { String::new() };
        cut(&format!("{line}{why}"), limit) + "\n"
    }

    pub(super) fn wrapped(self, text: &str) -> String {
        wrap(&plain(text), self.screen.columns(), 4)
    }
}

/// A text of other programs as a part of a line.
pub(super) fn plain(text: &str) -> String {
    page::plain(&text.replace(['\n', '\r', '\t'], " "))
}

/// A state's name in the colour of the state, or in the colour of failures if the unit is ready but unhealthy.
pub(super) fn paint(screen: Screen, unit: &UnitStatus, text: &str) -> String {
    let unhealthy = unit.health == Some(UnitHealth::Unhealthy);
    screen.paint(if unhealthy { UnitState::Failed } else { unit.state }, text)
}

#[cfg(test)]
mod tests;
