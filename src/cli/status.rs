//! How the units are: all as a table, some in detail, and whether people can get in.

use serde::Serialize;

use crate::config::own;
use crate::gateway::page;
use crate::logs::Line;
use crate::observe::{Phase, Snapshot, UnitHealth, UnitState, UnitStatus};

use super::args::Status;
use super::client::Client;
use super::table::table;
use super::{Failure, Screen, names, render};

/// Last lines of a unit's log.
const LINES: usize = 20;

/// One unit with what it printed last.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    unit: &'a UnitStatus,
    log: Vec<Line>,
}

/// The command.
pub(super) async fn status(client: &Client, args: &Status, screen: Screen) -> Result<(), Failure> {
    let mut snapshot = client.status().await?;
    let now = jiff::Timestamp::now().as_millisecond();
    if args.names.is_empty() {
        return render::print(args.json, &snapshot, || all(&snapshot, now, screen));
    }
    if args.names.iter().any(|name| own::is_own(name)) {
        // Before all others: these names are nobody else's.
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

/// All units as a table.
fn all(snapshot: &Snapshot, now: i64, screen: Screen) -> String {
    let mut rows = vec![["NAME", "STATE", "SINCE", "PID", "RESTARTS", "REASON"].map(str::to_owned)];
    for unit in &snapshot.units {
        rows.push([
            unit.name.clone(),
            unit.state.name().to_owned(),
            render::age(now - unit.since),
            unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            unit.restarts.to_string(),
            unit.reason.clone(),
        ]);
    }
    let mut text = table(&rows, |row, column, cell| match (row, column) {
        (1.., 1) => paint(screen, &snapshot.units[row - 1], &cell),
        _ => cell,
    });
    let ways: Vec<String> = snapshot
        .routes
        .iter()
        .map(|route| match &route.problem {
            None if route.address.is_empty() => format!("{} on port {}", route.title, route.port),
            None => format!("{} on port {} ({})", route.title, route.port, route.address),
            Some(problem) => format!("{} on port {}: {problem}", route.title, route.port),
        })
        .collect();
    for (name, value) in [("display", &snapshot.display), ("ways in", &ways.join(", "))] {
        if !value.is_empty() {
            text.extend([name, ": ", value.as_str(), "\n"]);
        }
    }
    for problem in &snapshot.problems {
        text.extend(["problem: ", problem.as_str(), "\n"]);
    }
    text
}

/// Its state's word in that state's colour, and in that of a failure when it is ready and does not work.
fn paint(screen: Screen, unit: &UnitStatus, text: &str) -> String {
    let unhealthy = unit.health == Some(UnitHealth::Unhealthy);
    screen.paint(if unhealthy { UnitState::Failed } else { unit.state }, text)
}

/// One unit, all that is known of it.
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
        ("ways in", ways.join(", ")),
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

/// Whether people can get in.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) healthy: bool,
    pub(super) reason: String,
}

impl Health {
    /// Healthy is a daemon that runs, with every service behind the front door ready. What else is wrong is in `status`.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        if snapshot.phase != Phase::Running {
            return Self { healthy: false, reason: "the daemon is starting or stopping".to_owned() };
        }
        let not_in = snapshot.routes.iter().filter_map(|route| {
            let unit = snapshot.unit(&route.unit)?;
            let problem = route.problem.as_deref();
            let unhealthy = unit.health == Some(UnitHealth::Unhealthy);
            let well = matches!(unit.state, UnitState::Ready | UnitState::Stopped) && !unhealthy;
            (problem.is_some() || !well).then(|| {
                let state = if unhealthy { &unit.reason } else { unit.state.name() };
                let problem = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
                format!("{} is {state}{problem}", unit.name)
            })
        });
        let reasons: Vec<String> = not_in.collect();
        if reasons.is_empty() {
            Self { healthy: true, reason: "healthy".to_owned() }
        } else {
            Self { healthy: false, reason: reasons.join("; ") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::wait::tests::unit;
    use crate::observe::RouteStatus;

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
            own: false,
            title: "Desktop".into(),
            port: 6100,
            path: "/".into(),
            url: None,
            address: "http://localhost:6100/".into(),
            problem: None,
        };
        Snapshot { units: vec![x, kde], routes: vec![route], phase: Phase::Running, ..Snapshot::default() }
    }

    #[test]
    fn all_units_stand_in_a_table() {
        assert_eq!(
            all(&snapshot(), 61_000, Screen::PLAIN),
            "NAME      STATE    SINCE  PID  RESTARTS  REASON\n\
             x-server  failed   1m1s   -    0         it ended with exit code 1\n\
             kde       waiting  1m0s   -    0\n\
             ways in: Desktop on port 6100 (http://localhost:6100/)\n"
        );
        let colourful = all(&snapshot(), 61_000, Screen { colours: true, ..Screen::PLAIN });
        assert!(colourful.contains("x-server  \u{1b}[31mfailed \u{1b}[0m  1m1s"), "{colourful:?}");
    }

    #[test]
    fn one_unit_is_shown_with_what_it_needs_and_printed() {
        let snapshot = snapshot();
        let line = Line { at: 0, text: "\u{1b}[31mno display\u{1b}[0m".into(), open: false };
        let detail = Detail { unit: &snapshot.units[1], log: vec![line] };
        assert_eq!(
            one(&detail, &snapshot, 6000, Screen::PLAIN),
            "kde: waiting for 5s\n  restarts:  0\n  needs:     x-server (failed)\n  \
             ways in:   Desktop on port 6100\n  1970-01-01T00:00:00.000Z  no display\n"
        );
        let json = serde_json::to_value(&detail).unwrap();
        assert_eq!((json["name"].as_str(), json["log"][0]["at"].as_i64()), (Some("kde"), Some(0)));
    }

    #[test]
    fn healthy_is_who_lets_people_in() {
        let mut snapshot = snapshot();
        assert_eq!(Health::of(&snapshot).reason, "kde is waiting");
        snapshot.units[1].state = UnitState::Ready;
        assert!(Health::of(&snapshot).healthy);
        snapshot.units[1].health = Some(UnitHealth::Unhealthy);
        snapshot.units[1].reason = "unhealthy: port: nobody".into();
        assert_eq!(Health::of(&snapshot).reason, "kde is unhealthy: port: nobody");
        snapshot.units[1].health = Some(UnitHealth::Healthy);
        snapshot.phase = Phase::Starting;
        assert!(!Health::of(&snapshot).healthy);
    }
}
