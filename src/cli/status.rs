//! The commands `status`, `ps` and `health`: all services and the ways in, some services in detail, and whether users can
//! log in and see the desktop.

mod page;
mod remedies;
mod watch;

use serde::Serialize;

use crate::config::own;
use crate::gateway::page as html;
use crate::logs::Line;
use crate::observe::{Snapshot, UnitStatus};
use crate::sys::print;

use super::args::{Ps, Status};
use super::client::Client;
use super::layout::wrap;
use super::{Failure, Screen, names, render};
use page::{Page, paint, plain};

/// Number of log lines that are shown with a service.
const LINES: usize = 20;

/// The column of the values of a service's details.
const VALUES: usize = 13;

/// A unit with its last log lines.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    unit: &'a UnitStatus,
    log: Vec<Line>,
}

/// Runs `desktopd status`.
pub(super) async fn status(client: &Client, args: &Status, screen: Screen) -> Result<(), Failure> {
    if args.watch {
        return watch::watch(client, args, screen).await;
    }
    let mut snapshot = client.status().await?;
    let now = jiff::Timestamp::now().as_millisecond();
    if args.names.is_empty() {
        let page = Page { snapshot: &snapshot, now: Some(now), screen, all: args.all };
        return render::print(args.json, &snapshot, || page.text());
    }
    if args.names.iter().any(|name| own::is_own(name)) {
        // First in the list: no other unit has these names.
        snapshot.units.insert(0, snapshot.own());
    }
    let mut details = Vec::new();
    for unit in names::resolve(&snapshot, &args.names, true, "status")? {
        details.push(Detail { unit, log: client.log(&format!("{}?lines={LINES}", unit.name)).await? });
    }
    render::print(args.json, &details, || {
        let texts: Vec<String> = details.iter().map(|detail| one(detail, &snapshot, now, screen)).collect();
        texts.join("\n")
    })
}

/// Runs `desktopd ps`.
pub(super) async fn ps(client: &Client, args: &Ps, screen: Screen) -> Result<(), Failure> {
    let mut snapshot = client.status().await?;
    let named = !args.names.is_empty();
    if args.names.iter().any(|name| own::is_own(name)) {
        snapshot.units.insert(0, snapshot.own());
    }
    let units: Vec<&UnitStatus> = if named {
        names::resolve(&snapshot, &args.names, true, "ps")?
    } else {
        snapshot.units.iter().collect()
    };
    if args.quiet {
        let lines: String = units.iter().flat_map(|unit| [unit.name.as_str(), "\n"]).collect();
        return Ok(print::out(&lines)?);
    }
    let now = Some(jiff::Timestamp::now().as_millisecond());
    let page = Page { snapshot: &snapshot, now, screen, all: args.all || named };
    render::print(args.json, &units, || page.services(&units))
}

/// All details of one unit.
fn one(detail: &Detail<'_>, snapshot: &Snapshot, now: i64, screen: Screen) -> String {
    let Detail { unit, log } = detail;
    let state = paint(screen, unit, unit.state.name());
    let mut text = format!("{}: {state} for {}\n", unit.name, render::age(now - unit.since));
    let with_state = |names: &[String]| {
        let shown = names.iter().map(|name| match snapshot.unit(name) {
            Some(other) => format!("{name} ({})", other.state.name()),
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
            // The name keeps its place while the words are wrapped.
            let line = format!("  {name}:{} {}", "\u{a0}".repeat(VALUES - 4 - name.len()), plain(&value));
            text += &wrap(&line, screen.columns(), VALUES).replacen('\u{a0}', " ", VALUES);
        }
    }
    for line in log {
        let line = format!("  {}\u{a0} {}", render::time(line.at), html::plain(&line.text));
        text += &wrap(&line, screen.columns(), 4).replacen('\u{a0}', " ", 1);
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
    use crate::observe::testing::{route, unit};
    use crate::observe::{Phase, UnitState};
    use std::sync::Arc;

    fn snapshot() -> Snapshot {
        let mut x = unit("x-server", UnitState::Failed);
        x.reason = "it ended with exit code 1".into();
        let mut kde = unit("kde", UnitState::Waiting);
        Arc::make_mut(&mut kde.info).needs = vec!["x-server".into()];
        kde.since = 1000;
        let routes = vec![route("kde", "Desktop", 6100)];
        Snapshot { units: vec![x, kde], routes, phase: Phase::Running, ..Snapshot::default() }
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
    fn details_fit_the_screen() {
        let mut snapshot = snapshot();
        snapshot.units[1].reason = "it ended with exit code 1, ".repeat(9);
        let line = Line { at: 0, text: "a long line ".repeat(30).into(), open: false };
        let detail = Detail { unit: &snapshot.units[1], log: vec![line] };
        let text = one(&detail, &snapshot, 6000, Screen { width: 60, ..Screen::PLAIN });
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 60).collect();
        assert_eq!(wide, [""; 0], "{text}");
        assert!(text.contains("  reason:    it ended with") && text.contains("\n             "), "{text}");
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
