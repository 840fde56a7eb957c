//! Decides, from the events of units, that a display does not work. Pure: the times are those of the events.
//!
//! Events are used and not published states, because published states may skip what lasted no time, such as the end of
//! a server that is started again at once.

use crate::observe::events::{Event, What};
use crate::observe::{Phase, UnitChange, UnitState};
use crate::plan::display::Kind;
use crate::plan::{Disposition, Plan, X_SERVER};

/// A server that ends twice within this time, after it was ready, does not work. A desktop that was ready for this long
/// has worked. Milliseconds.
const MINUTE: i64 = 60_000;

/// What one plan says about the display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    kind: Kind,
    /// The unit of the X server.
    server: String,
    /// The name of its program.
    program: String,
    /// The units that people see: those that routes show, and that need the X server.
    desktops: Vec<String>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The display does not work.
    Failed(Failure),
    /// A desktop has come up.
    Works,
}

/// The failure of a display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Failure {
    /// The kind of display.
    pub(in crate::app) kind: Kind,
    /// The unit whose log says more.
    pub(in crate::app) unit: String,
    /// What failed, for people: the name of a program or a unit.
    pub(in crate::app) name: String,
    /// What happened, as the unit's reason.
    pub(in crate::app) reason: String,
    /// When the failed run began, in milliseconds since the Unix epoch.
    pub(in crate::app) began: i64,
    /// Whether the X server worked, and a desktop did not start on it. The cause may be elsewhere, until a desktop
    /// starts on another display.
    pub(in crate::app) of_desktop: bool,
}

/// The state of the chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    watched: Option<Watched>,
    /// Events up to this number happened under another choice.
    after: u64,
    /// The state of the X server.
    state: Option<UnitState>,
    run: Run,
    /// When the server ended after it was ready.
    ends: Vec<i64>,
    /// Since when the desktop is ready.
    desktop_ready: Option<i64>,
    /// Whether the desktop has worked on this display.
    has_worked: bool,
    /// Whether this kind has failed already: its later failures say nothing new.
    failed: bool,
    /// Whether everything is being stopped.
    over: bool,
}

/// One run of the X server.
#[derive(Debug, Default)]
struct Run {
    began: i64,
    ready: bool,
    /// Its failure was counted: a server that is killed fails a second time when it has ended.
    counted: bool,
}

impl Watched {
    /// `None` if the plan has no X server.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let mut units = plan.units.iter().filter(|unit| unit.disposition == Disposition::Run);
        let server = units
            .clone()
            .find(|unit| unit.name == X_SERVER || unit.aliases.iter().any(|alias| alias == X_SERVER))?;
        let program = server.launch.argv.first().map_or(server.name.as_str(), String::as_str);
        let shown = |name: &String| plan.routes.iter().any(|route| route.shows.contains(name));
        let desktops = units
            .by_ref()
            .filter(|unit| shown(&unit.name) && unit.relations.needs.contains(&server.name))
            .map(|unit| unit.name.clone());
        Some(Self {
            kind: plan.display.chosen?,
            server: server.name.clone(),
            program: program.rsplit('/').next().unwrap_or(program).to_owned(),
            desktops: desktops.collect(),
        })
    }
}

impl Chain {
    /// Watches by another plan, which was taken over after event number `after`.
    pub(super) fn watch(&mut self, watched: Option<Watched>, after: u64) {
        let kind = |watched: &Option<Watched>| watched.as_ref().map(|watched| watched.kind);
        if kind(&watched) != kind(&self.watched) {
            self.begin_again();
            self.after = after;
        }
        let server = |watched: &Option<Watched>| watched.as_ref().map(|watched| watched.server.clone());
        if server(&watched) != server(&self.watched) {
            self.state = None;
        }
        self.watched = watched;
    }

    /// Forgets all failures.
    pub(super) fn begin_again(&mut self) {
        self.ends.clear();
        (self.has_worked, self.failed) = (false, false);
    }

    /// Whether everything is being stopped.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the X server is ready, and a desktop on it, if the plan has one.
    pub(super) fn is_up(&self) -> bool {
        let has_desktop = self.watched.as_ref().is_some_and(|watched| !watched.desktops.is_empty());
        self.state == Some(UnitState::Ready) && (self.desktop_ready.is_some() || !has_desktop)
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event) -> Option<Verdict> {
        let change = match &event.what {
            What::Phase { phase: Phase::Stopping } => {
                self.over = true;
                return None;
            }
            What::Unit(change) => change,
            _ => return None,
        };
        let watched = self.watched.clone()?;
        let (failure, works) = if change.unit == watched.server {
            (self.server_changed(&watched, change, event.at), false)
        } else if watched.desktops.contains(&change.unit) {
            let failure = self.desktop_changed(&watched, change, event.at);
            (failure, change.to == UnitState::Ready && change.from != Some(UnitState::Ready))
        } else {
            return None;
        };
        if self.over || event.seq <= self.after {
            return None;
        }
        let is_last = watched.kind == Kind::Llvmpipe;
        match failure {
            Some(failure) if !is_last && !std::mem::replace(&mut self.failed, true) => {
                Some(Verdict::Failed(failure))
            }
            _ => works.then_some(Verdict::Works),
        }
    }

    fn server_changed(&mut self, watched: &Watched, change: &UnitChange, at: i64) -> Option<Failure> {
        self.state = Some(change.to);
        match change.to {
            UnitState::Starting if change.from != Some(UnitState::Starting) => {
                self.run = Run { began: at, ..Run::default() };
            }
            UnitState::Ready => self.run.ready = true,
            _ => {}
        }
        if !change.failure || std::mem::replace(&mut self.run.counted, true) {
            return None;
        }
        let mut reason = change.reason.clone();
        if self.run.ready {
            self.ends.retain(|end| at - end <= MINUTE);
            self.ends.push(at);
            if self.ends.len() < 2 {
                return None;
            }
            reason += ", for the second time within a minute";
        }
        Some(Failure {
            kind: watched.kind,
            unit: watched.server.clone(),
            name: watched.program.clone(),
            reason,
            began: self.run.began,
            of_desktop: false,
        })
    }

    fn desktop_changed(&mut self, watched: &Watched, change: &UnitChange, at: i64) -> Option<Failure> {
        if change.to == UnitState::Ready {
            self.desktop_ready.get_or_insert(at);
        } else if let Some(since) = self.desktop_ready.take() {
            self.has_worked |= at - since >= MINUTE;
        }
        let gave_up = change.failure && change.to == UnitState::Failed;
        let is_up = self.state == Some(UnitState::Ready);
        (gave_up && is_up && !self.has_worked).then(|| Failure {
            kind: watched.kind,
            unit: change.unit.clone(),
            name: change.unit.clone(),
            reason: change.reason.clone(),
            began: self.run.began,
            of_desktop: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing;

    fn watched(kind: Kind) -> Watched {
        let (server, program) = ("x".to_owned(), "Xorg".to_owned());
        Watched { kind, server, program, desktops: vec!["kde".to_owned()] }
    }

    fn state(word: &str) -> UnitState {
        serde_json::from_value(word.into()).unwrap_or_else(|_| panic!("{word} is no state"))
    }

    /// Events as words: `SECONDS UNIT FROM>TO REASON`, where `!` before the reason means a failure; or `stop`.
    fn event(seq: u64, line: &str) -> Event {
        let words: Vec<&str> = line.split(' ').collect();
        let what = |words: &[&str]| {
            let Some((from, to)) = words.get(2).and_then(|word| word.split_once('>')) else {
                return What::Phase { phase: Phase::Stopping };
            };
            let reason = words[3..].join(" ");
            let failure = reason.starts_with('!');
            let reason = reason.trim_start_matches('!').to_owned();
            let change = testing::change(words[1], Some(state(from)), state(to));
            What::Unit(UnitChange { reason, failure, ..change })
        };
        Event { seq, at: words[0].parse::<i64>().unwrap() * 1000, what: what(&words) }
    }

    /// The verdicts of a chain that watches `kind`, each with the line that caused it.
    fn verdicts(kind: Kind, lines: &[&str]) -> Vec<String> {
        let mut chain = Chain::default();
        chain.watch(Some(watched(kind)), 0);
        let mut found = Vec::new();
        for (seq, line) in (1..).zip(lines) {
            found.extend(chain.take(&event(seq, line)).map(|verdict| match verdict {
                Verdict::Failed(failure) => {
                    assert_eq!(failure.kind, kind);
                    let desktop = if failure.of_desktop { ", its desktop" } else { "" };
                    format!("{line}: {} {}{desktop}", failure.name, failure.reason)
                }
                Verdict::Works => format!("{line}: works"),
            }));
        }
        found
    }

    const UP: [&str; 2] = ["0 x waiting>starting ", "1 x starting>ready "];

    #[test]
    fn a_server_that_does_not_work_fails_once_and_a_request_is_no_failure() {
        let ended = "3 x starting>backoff !it ended with exit code 1";
        for (lines, expected) in [
            // It ended before it was ready, and does so again.
            (
                vec![UP[0], ended, "4 x backoff>waiting it ended", "4 x waiting>starting ", ended],
                vec!["3 x starting>backoff !it ended with exit code 1: Xorg it ended with exit code 1"],
            ),
            // It was not ready in its time, is being killed, and has ended.
            (
                vec![
                    UP[0],
                    "20 x starting>stopping !it was not ready within 20s",
                    "25 x stopping>backoff !it was not ready within 20s",
                ],
                vec!["20 x starting>stopping !it was not ready within 20s: Xorg it was not ready within 20s"],
            ),
            // The machine could not start it.
            (vec![UP[0], "1 x starting>backoff no process: out of memory"], vec![]),
            // A user stopped or restarted it, before or after it was ready; it was to be stopped when it ended.
            (vec![UP[0], "1 x starting>stopping ada asked for it", "2 x stopping>stopped ada"], vec![]),
            (
                vec![UP[0], UP[1], "1 x ready>stopping ada asked for a restart", "2 x stopping>waiting "],
                vec![],
            ),
            (vec![UP[0], UP[1], "2 x ready>waiting "], vec![]),
            // Everything is being stopped.
            (vec![UP[0], "1 stop", ended], vec![]),
            (vec!["1 stop", UP[0], ended], vec![]),
            // Another unit.
            (vec![UP[0], "3 y starting>failed !it ended with exit code 1"], vec![]),
        ] {
            assert_eq!(verdicts(Kind::Xorg, &lines), expected, "{lines:?}");
            assert_eq!(verdicts(Kind::Llvmpipe, &lines), [""; 0], "the last one is never excluded");
        }
    }

    #[test]
    fn a_server_that_was_ready_may_end_once_in_a_minute() {
        let died = |at: u64| format!("{at} x ready>waiting !it ended with signal SEGV");
        let (first, second) = (died(5), died(64));
        let twice = verdicts(Kind::Virtualgl, &[UP[0], UP[1], &first, UP[0], UP[1], &second]);
        let expected = "it ended with signal SEGV, for the second time within a minute";
        assert!(twice.len() == 1 && twice[0].ends_with(expected), "{twice:?}");
        let late = died(66);
        assert_eq!(verdicts(Kind::Xorg, &[UP[0], UP[1], &first, UP[0], UP[1], &late]), [""; 0]);
        // A restart by a user is none of the two.
        let restart = ["6 x ready>stopping ada asked for a restart", "6 x stopping>waiting "];
        let lines = [UP[0], UP[1], &first, UP[0], UP[1], restart[0], restart[1], UP[0], UP[1]];
        assert_eq!(verdicts(Kind::Xorg, &lines), [""; 0]);
    }

    #[test]
    fn a_desktop_that_gives_up_on_a_server_that_works_is_a_failure_of_the_display() {
        let gave_up = "9 kde starting>failed !it ended with exit code 1, 5 times";
        let verdict = "it ended with exit code 1, 5 times, its desktop";
        let found = verdicts(Kind::Xorg, &[UP[0], UP[1], gave_up]);
        assert!(found.len() == 1 && found[0].ends_with(verdict), "{found:?}");
        // Not while the server is missing, not for a mistake in a file, and not for a desktop that is tried again.
        assert_eq!(verdicts(Kind::Xorg, &[UP[0], gave_up]), [""; 0]);
        assert_eq!(verdicts(Kind::Xorg, &[UP[0], UP[1], "9 kde waiting>failed wrong file"]), [""; 0]);
        assert_eq!(verdicts(Kind::Xorg, &[UP[0], UP[1], "9 kde starting>backoff !it ended"]), [""; 0]);
        // A desktop that comes up and crashes has not worked; one that was there for a minute has.
        for (crash, count) in [("50 kde ready>waiting !it ended", 2), ("70 kde ready>waiting !it ended", 1)] {
            let lines = [UP[0], UP[1], "2 kde starting>ready ", crash, "80 kde starting>failed !it ended"];
            assert_eq!(verdicts(Kind::Xorg, &lines).len(), count, "{crash}");
        }
    }

    #[test]
    fn another_choice_begins_anew_and_events_of_the_old_one_say_nothing_about_it() {
        let ended = "3 x starting>backoff !it ended with exit code 1";
        let mut chain = Chain::default();
        chain.watch(Some(watched(Kind::Xorg)), 0);
        assert_eq!(chain.take(&event(1, UP[0])), None);
        assert!(matches!(chain.take(&event(2, ended)), Some(Verdict::Failed(_))));
        // Taken over after event 4.
        chain.watch(Some(watched(Kind::Virtualgl)), 4);
        assert_eq!(chain.take(&event(3, UP[0])), None);
        assert_eq!(chain.take(&event(4, ended)), None, "of the old plan");
        // A plan with the same choice changes nothing.
        chain.watch(Some(watched(Kind::Virtualgl)), 6);
        assert_eq!(chain.take(&event(5, UP[0])), None);
        let failed = chain.take(&event(6, ended));
        assert!(matches!(failed, Some(Verdict::Failed(Failure { kind: Kind::Virtualgl, .. }))), "{failed:?}");
        // Again from the top.
        chain.begin_again();
        assert_eq!(chain.take(&event(7, UP[0])), None);
        assert!(matches!(chain.take(&event(8, ended)), Some(Verdict::Failed(_))));
    }
}
