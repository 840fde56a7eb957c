//! The commands `status` and `health`: all units as a table, some units in detail, and whether users can log in and see
//! the desktop.

use serde::Serialize;

use crate::config::own;
use crate::gateway::page;
use crate::logs::Line;
use crate::observe::{Sight, Snapshot, UnitHealth, UnitState, UnitStatus};

use super::args::Status;
use super::client::Client;
use super::table::table;
use super::{Failure, Screen, names, render};

/// Number of log lines that are shown with a unit.
const LINES: usize = 20;

/// A unit with its last log lines.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    unit: &'a UnitStatus,
    log: Vec<Line>,
}

/// Runs `desktopd status`.
pub(super) async fn status(client: &Client, args: &Status, screen: Screen) -> Result<(), Failure> {
    let mut snapshot = client.status().await?;
    let now = jiff::Timestamp::now().as_millisecond();
    if args.names.is_empty() {
        return render::print(args.json, &snapshot, || all(&snapshot, now, screen));
    }
    if args.names.iter().any(|name| own::is_own(name)) {
        // First in the list: no other unit has these names.
        snapshot.units.insert(0, snapshot.own());
    }
    let mut details = Vec::new();
    for unit in names::resolve(&snapshot, &args.names, true)? {
        details.push(Detail { unit, log: client.log(&format!("{}?lines={LINES}", unit.name)).await? });
    }
    render::print(args.json, &details, || {
        let texts: Vec<String> = details.iter().map(|detail| one(detail, &snapshot, now, screen)).collect();
        texts.join("\n")
    })
}

/// Problems first, then a table of all services in use, then all other information.
fn all(snapshot: &Snapshot, now: i64, screen: Screen) -> String {
    let mut text = screen.wrapped(&snapshot.summary);
    for (name, lines) in [("not ready", &snapshot.not_ready), ("problem", &snapshot.problems)] {
        for line in lines {
            text.extend([name, ": ", line.as_str(), "\n"]);
        }
    }
    let unused = |unit: &&UnitStatus| unit.state == UnitState::Skipped || unit.off;
    let (unused, used): (Vec<_>, Vec<_>) = snapshot.units.iter().partition(unused);
    let mut rows = vec![["NAME", "STATE", "SINCE", "PID", "RESTARTS", "REASON"].map(str::to_owned)];
    for unit in &used {
        rows.push([
            unit.name.clone(),
            unit.state.name().to_owned(),
            render::age(now - unit.since),
            unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            unit.restarts.to_string(),
            unit.reason.clone(),
        ]);
    }
    text += &table(&rows, screen.limit, |row, column, cell| match (row, column) {
        (1.., 1) => paint(screen, used[row - 1], &cell),
        _ => cell,
    });
    if !unused.is_empty() {
        let names: Vec<&str> = unused.iter().map(|unit| unit.name.as_str()).collect();
        let line = format!("not in use: {} (desktopd status NAME says why)", names.join(", "));
        text += &screen.wrapped(&line);
    }
    if !snapshot.drawing.is_empty() {
        // Reasons quote drivers and the logs of X servers.
        text += &screen.wrapped(&format!("display: {}", page::plain(&snapshot.drawing)));
    }
    if !snapshot.encoder.is_empty() {
        text += &screen.wrapped(&format!("encoder: {}", page::plain(&snapshot.encoder)));
    }
    for route in &snapshot.routes {
        let address = if route.address.is_empty() { String::new() } else { format!(" ({})", route.address) };
        let why =
            if route.seen.sight == Sight::Ready { String::new() } else { format!(": {}", route.seen.text) };
        let port = route.port.to_string();
        text.extend(["route: ", &route.title, " on port ", &port, &address, &why, "\n"]);
    }
    for note in &snapshot.notes {
        // They quote programs of the build.
        text += &screen.wrapped(&format!("note: {}", page::plain(note)));
    }
    text
}

/// A state's name in the colour of the state, or in the colour of failures if the unit is ready but unhealthy.
fn paint(screen: Screen, unit: &UnitStatus, text: &str) -> String {
    let unhealthy = unit.health == Some(UnitHealth::Unhealthy);
    screen.paint(if unhealthy { UnitState::Failed } else { unit.state }, text)
}

/// All details of one unit.
fn one(detail: &Detail<'_>, snapshot: &Snapshot, now: i64, screen: Screen) -> String {
    let Detail { unit, log } = detail;
    let state = paint(screen, unit, unit.state.name());
    let mut text = format!("{}: {state} for {}\n", unit.name, render::age(now - unit.since));
    let with_state = |names: &[String]| {
        let shown = names.iter().map(|name| match snapshot.unit(name) {
            Some(other) => format!("{name} ({})", screen.paint(other.state, other.state.name())),
            None => name.clone(),
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let ours = own::is_own(&unit.name);
    let ways = snapshot.routes.iter().filter(|route| if ours { route.own } else { route.unit == unit.name });
    let ways: Vec<String> = ways.map(|route| format!("{} on port {}", route.title, route.port)).collect();
    for (name, value) in [
        ("reason", unit.reason.clone()),
        ("says", unit.status_text.clone()),
        ("what", unit.description.clone()),
        ("aliases", unit.aliases.join(", ")),
        ("pid", unit.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("restarts", unit.restarts.to_string()),
        ("needs", with_state(&unit.needs)),
        ("after", with_state(&unit.after)),
        ("routes", ways.join(", ")),
    ] {
        if !value.is_empty() {
            text.extend(["  ", &format!("{name}:"), &" ".repeat(10 - name.len()), &value, "\n"]);
        }
    }
    for line in log {
        text.extend(["  ", &render::time(line.at), "  ", &page::plain(&line.text), "\n"]);
    }
    text
}

/// Whether users can log in and see the desktop.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) healthy: bool,
    pub(super) reason: String,
}

impl Health {
    /// Healthy: the daemon runs, and every port shows what it should. `status` shows all other problems.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let reason = if snapshot.ready { "healthy".to_owned() } else { snapshot.not_ready.join("; ") };
        Self { healthy: snapshot.ready, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::unit;
    use crate::observe::{Phase, RouteStatus};

    fn snapshot() -> Snapshot {
        let mut x = unit("x-server", UnitState::Failed);
        x.reason = "it ended with exit code 1".into();
        x.aliases = vec!["x".into()];
        x.description = "the display".into();
        let mut kde = unit("kde", UnitState::Waiting);
        kde.needs = vec!["x-server".into()];
        kde.since = 1000;
        let route = RouteStatus {
            unit: "kde".into(),
            address: "http://localhost:6100/".into(),
            ..RouteStatus::new("Desktop", 6100, "/", None)
        };
        Snapshot { units: vec![x, kde], routes: vec![route], phase: Phase::Running, ..Snapshot::default() }
    }

    #[test]
    fn problems_come_first_and_unused_services_have_one_line() {
        let mut snapshot = snapshot();
        snapshot.units.push(unit("sshd", UnitState::Skipped));
        snapshot.units.push(UnitStatus { off: true, ..unit("vnc", UnitState::Stopped) });
        snapshot.summary = "1 failed: x-server · not ready to use · 0 of 2 ready".into();
        snapshot.not_ready = vec!["Desktop: x-server has failed".into()];
        snapshot.problems = vec!["x-server has failed".into()];
        snapshot.drawing = "The CPU draws on :0 (llvmpipe): \u{1b}[31mthis machine has no GPU".into();
        snapshot.notes = vec!["VirtualGL is not in this image: \u{1b}[1mno network".into()];
        assert_eq!(
            all(&snapshot, 61_000, Screen::PLAIN),
            "1 failed: x-server · not ready to use · 0 of 2 ready\n\
             not ready: Desktop: x-server has failed\n\
             problem: x-server has failed\n\
             NAME      STATE    SINCE  PID  RESTARTS  REASON\n\
             x-server  failed   1m1s   -    0         it ended with exit code 1\n\
             kde       waiting  1m0s   -    0\n\
             not in use: sshd, vnc (desktopd status NAME says why)\n\
             display: The CPU draws on :0 (llvmpipe): this machine has no GPU\n\
             route: Desktop on port 6100 (http://localhost:6100/)\n\
             note: VirtualGL is not in this image: no network\n"
        );
        let colourful = all(&snapshot, 61_000, Screen { colours: true, ..Screen::PLAIN });
        assert!(colourful.contains("x-server  \u{1b}[31mfailed \u{1b}[0m  1m1s"), "{colourful:?}");
    }

    #[test]
    fn a_terminal_gets_rows_that_fit() {
        let mut snapshot = snapshot();
        snapshot.units[0].reason = "it ended with exit code 1, ".repeat(9);
        snapshot.units.push(unit("a-service-of-a-long-name", UnitState::Skipped));
        snapshot.units.push(unit("another-service-of-a-long-name", UnitState::Skipped));
        let narrow = all(&snapshot, 0, Screen { limit: Some(60), ..Screen::PLAIN });
        let wide: Vec<&str> = narrow.lines().filter(|line| line.chars().count() > 60).collect();
        assert_eq!(wide, [""; 0], "{narrow}");
        assert!(narrow.contains("…\n") && narrow.contains("another-service-of-a-long-name"), "{narrow}");
        assert!(all(&snapshot, 0, Screen::PLAIN).contains(&snapshot.units[0].reason));
    }

    #[test]
    fn one_unit_is_shown_with_its_needs_and_its_log() {
        let snapshot = snapshot();
        let line = Line { at: 0, text: "\u{1b}[31mno display\u{1b}[0m".into(), open: false };
        let detail = Detail { unit: &snapshot.units[1], log: vec![line] };
        assert_eq!(
            one(&detail, &snapshot, 6000, Screen::PLAIN),
            "kde: waiting for 5s\n  restarts:  0\n  needs:     x-server (failed)\n  \
             routes:    Desktop on port 6100\n  1970-01-01T00:00:00.000Z  no display\n"
        );
        let json = serde_json::to_value(&detail).unwrap();
        assert_eq!((json["name"].as_str(), json["log"][0]["at"].as_i64()), (Some("kde"), Some(0)));
    }

    #[test]
    fn health_follows_the_snapshot() {
        let mut snapshot = snapshot();
        snapshot.not_ready = vec!["Desktop: kde is waiting".into(), "b".into()];
        let unhealthy = Health { healthy: false, reason: "Desktop: kde is waiting; b".into() };
        assert_eq!(Health::of(&snapshot), unhealthy);
        (snapshot.ready, snapshot.not_ready) = (true, Vec::new());
        assert_eq!(Health::of(&snapshot), Health { healthy: true, reason: "healthy".into() });
    }
}
