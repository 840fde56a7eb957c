//! Judges what a user sees at a route, and the overall state: the worst of what users see.
//!
//! Pure, and the only place for this judgement. The portal's tiles and header, the waiting page, `desktopd health`,
//! `/desktopd/ready`, `desktopd status` and the metrics all show these results, so that they never contradict each
//! other.

use serde::{Deserialize, Serialize};

use super::{Phase, RouteStatus, Snapshot, UnitHealth, UnitState, UnitStatus};

/// What a user sees, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// The service of the route, and all services that it shows.
    #[default]
    Ready,
    /// Nothing, as configured: the service does not apply here, or starts only on request and was not requested.
    Off,
    /// Nothing yet: a service is starting.
    Starting,
    /// Nothing: a service was stopped, or ended by itself.
    Stopped,
    /// A frozen picture or page: a service runs but does not answer.
    Unhealthy,
    /// Nothing: a service failed and will not be restarted automatically.
    Failed,
}

impl Sight {
    /// The name as it is shown and serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Unhealthy => "unhealthy",
            Self::Failed => "failed",
        }
    }

    /// Whether everything that the configuration asks for is available.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Ready | Self::Off)
    }
}

/// What a user sees at one route, and the service that is the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Seen {
    /// The kind.
    pub sight: Sight,
    /// The service that is the reason; empty if there is none.
    pub unit: String,
    /// The state of that service.
    pub state: Option<UnitState>,
    /// A message in one sentence, without the time; empty if all is well.
    pub text: String,
    /// Since when that service is in its state, in milliseconds since the Unix epoch.
    pub since: i64,
    /// The client that stopped it, if any.
    pub by: Option<String>,
    /// The services to start for a remedy: the stopped and failed ones that may be started.
    pub start: Vec<String>,
}

impl Seen {
    /// The message with the time, if `since` is the time of the event in the message.
    pub fn sentence(&self) -> String {
        let timed = matches!(self.state, Some(UnitState::Stopped | UnitState::Failed));
        match jiff::Timestamp::from_millisecond(self.since) {
            Ok(at) if timed && self.since > 0 => format!("{}, at {at:.0}", self.text),
            _ => self.text.clone(),
        }
    }
}

/// What a user sees at a route with the service `unit`, which shows the services `shows`.
pub fn look(snapshot: &Snapshot, unit: &str, shows: &[String]) -> Seen {
    let Some(own) = snapshot.unit(unit) else { return shown(snapshot, shows) };
    let needs = closure(snapshot, own.needs.iter().map(String::as_str));
    if own.state == UnitState::Skipped || own.off {
        // It may need a service that failed; otherwise it is not expected to run.
        let wrong = needs.into_iter().find(|need| need.state == UnitState::Failed);
        return match wrong.filter(|_| !own.off) {
            Some(need) => seen(Sight::Failed, need, vec![need]),
            None => seen(Sight::Off, own, vec![own]),
        };
    }
    worst(std::iter::once(own).chain(parts(snapshot, shows)).chain(needs))
}

/// The same only for the services that the route shows, with the services that they need.
pub fn shown(snapshot: &Snapshot, shows: &[String]) -> Seen {
    worst(parts(snapshot, shows))
}

/// The services of these names that are expected to run, and all that they need.
fn parts<'a>(snapshot: &'a Snapshot, names: &[String]) -> Vec<&'a UnitStatus> {
    let expected = |name: &&String| {
        snapshot.unit(name).is_some_and(|unit| unit.state != UnitState::Skipped && !unit.off)
    };
    closure(snapshot, names.iter().filter(expected).map(String::as_str))
}

/// These services and all that they need, the nearest first.
fn closure<'a, 'n>(snapshot: &'a Snapshot, names: impl Iterator<Item = &'n str>) -> Vec<&'a UnitStatus>
where
    'a: 'n,
{
    let mut all: Vec<&UnitStatus> = Vec::new();
    let mut next: Vec<&str> = names.collect();
    while !next.is_empty() {
        let units: Vec<&UnitStatus> = next.drain(..).filter_map(|name| snapshot.unit(name)).collect();
        for unit in units {
            if !all.iter().any(|known| known.name == unit.name) {
                all.push(unit);
                next.extend(unit.needs.iter().map(String::as_str));
            }
        }
    }
    all
}

fn worst<'a>(units: impl IntoIterator<Item = &'a UnitStatus>) -> Seen {
    let mut worst: Option<(Sight, &UnitStatus)> = None;
    let mut down = Vec::new();
    for unit in units {
        let sight = sight(unit);
        if matches!(unit.state, UnitState::Stopped | UnitState::Failed)
            && !down.iter().any(|known: &&UnitStatus| known.name == unit.name)
        {
            down.push(unit);
        }
        // Of two equally bad services, the one that the other needs is the cause. While services start, the nearer one
        // says what it waits for.
        let cause = sight >= Sight::Stopped;
        if worst.is_none_or(|(known, _)| sight > known || (cause && sight == known)) {
            worst = Some((sight, unit));
        }
    }
    match worst {
        Some((sight, unit)) if sight != Sight::Ready => seen(sight, unit, down),
        _ => Seen::default(),
    }
}

/// What a user sees of one service that is expected to run.
fn sight(unit: &UnitStatus) -> Sight {
    match unit.state {
        UnitState::Ready | UnitState::Done if unit.health == Some(UnitHealth::Unhealthy) => Sight::Unhealthy,
        UnitState::Ready | UnitState::Done => Sight::Ready,
        // It is being stopped, and will not be restarted.
        UnitState::Stopping if unit.stopped_by.is_some() => Sight::Stopped,
        UnitState::Waiting | UnitState::Starting | UnitState::Backoff | UnitState::Stopping => {
            Sight::Starting
        }
        UnitState::Stopped | UnitState::Skipped => Sight::Stopped,
        UnitState::Failed => Sight::Failed,
    }
}

fn seen(sight: Sight, unit: &UnitStatus, down: Vec<&UnitStatus>) -> Seen {
    let start = down.into_iter().filter(|unit| unit.state != UnitState::Skipped);
    Seen {
        sight,
        unit: unit.name.clone(),
        state: Some(unit.state),
        text: text(unit),
        since: unit.since,
        by: unit.stopped_by.clone(),
        start: start.map(|unit| unit.name.clone()).collect(),
    }
}

/// A service's state as a sentence.
fn text(unit: &UnitStatus) -> String {
    let (name, reason) = (&unit.name, &unit.reason);
    let state = match (unit.state, &unit.stopped_by) {
        (UnitState::Stopped, Some(by)) => return format!("{name} was stopped by {by}"),
        (UnitState::Stopping, Some(by)) => return format!("{name} is being stopped by {by}"),
        (UnitState::Ready | UnitState::Done, _) if unit.health == Some(UnitHealth::Unhealthy) => {
            return format!("{name} is {}", if reason.is_empty() { "unhealthy" } else { reason });
        }
        (UnitState::Waiting, _) if reason.starts_with("for ") => return format!("{name} waits {reason}"),
        (UnitState::Waiting, _) => "is waiting",
        (UnitState::Starting, _) => "is starting",
        (UnitState::Ready | UnitState::Done, _) => "is ready",
        (UnitState::Stopping, _) => "is stopping",
        (UnitState::Stopped, _) => "is stopped",
        (UnitState::Backoff, _) => "ended and will be started again",
        (UnitState::Failed, _) => "has failed",
        (UnitState::Skipped, _) => "is not available here",
    };
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("{name} {state}{colon}{reason}")
}

/// The derived fields of a snapshot. They must be computed after every change.
impl Snapshot {
    /// Computes all derived fields.
    pub(super) fn judge(&mut self) {
        let seen: Vec<Seen> = self.routes.iter().map(|route| self.of_route(route)).collect();
        for (route, seen) in self.routes.iter_mut().zip(seen) {
            route.seen = seen;
        }
        self.not_ready = self.reasons();
        self.ready = self.not_ready.is_empty();
        self.problems = self.all_problems();
        self.summary = self.summed_up();
    }

    fn of_route(&self, route: &RouteStatus) -> Seen {
        match &route.problem {
            Some(problem) => Seen { sight: Sight::Failed, text: problem.clone(), ..Seen::default() },
            None => look(self, &route.unit, &route.shows),
        }
    }

    /// Why users cannot connect, or see nothing when they do; one sentence for each cause.
    fn reasons(&self) -> Vec<String> {
        if self.phase != Phase::Running {
            return vec![format!("desktopd is {}", self.phase.name())];
        }
        let mut causes: Vec<(&Seen, Vec<&str>)> = Vec::new();
        for RouteStatus { title, seen, .. } in self.routes.iter().filter(|route| !route.seen.sight.is_well())
        {
            match causes.iter_mut().find(|(known, _)| known.text == seen.text) {
                Some((_, titles)) => titles.push(title),
                None => causes.push((seen, vec![title])),
            }
        }
        causes.sort_by_key(|(seen, _)| std::cmp::Reverse(seen.sight));
        causes.iter().map(|(seen, titles)| format!("{}: {}", titles.join(", "), seen.sentence())).collect()
    }

    /// All problems: failed services, then services that do not answer, then lost GPUs, then mistakes in the configuration.
    fn all_problems(&self) -> Vec<String> {
        let failing = |unit: &&UnitStatus| {
            let backoff = unit.state == UnitState::Backoff;
            backoff || matches!(sight(unit), Sight::Failed | Sight::Unhealthy)
        };
        let mut units: Vec<&UnitStatus> = self.units.iter().filter(failing).collect();
        units.sort_by_key(|unit| std::cmp::Reverse(sight(unit)));
        let ports = self.routes.iter().filter_map(|route| route.problem.clone());
        let mut all: Vec<String> = Vec::new();
        for problem in ports.chain(units.iter().map(|unit| text(unit))) {
            if !all.contains(&problem) {
                all.push(problem);
            }
        }
        // A service that failed because of a wrong file contains that mistake already: one line is enough.
        let new = |mistake: &&String| !all.iter().any(|known| known.contains(mistake.as_str()));
        let mistakes = self.gpus_lost.iter().chain(&self.mistakes).filter(new);
        let mistakes: Vec<String> = mistakes.cloned().collect();
        all.extend(mistakes);
        all
    }

    /// The summary in one line; problems come first.
    fn summed_up(&self) -> String {
        let expected = || self.units.iter().filter(|unit| unit.state != UnitState::Skipped && !unit.off);
        let named = |wanted: Sight| {
            let names: Vec<&str> =
                expected().filter(|unit| sight(unit) == wanted).map(|unit| unit.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{} {}: {}", names.len(), wanted.name(), names.join(", ")))
        };
        let coming = expected().any(|unit| sight(unit) == Sight::Starting);
        let whole = match self.phase {
            Phase::Running if self.ready => "ready to use",
            Phase::Running if coming => "starting",
            Phase::Running => "not ready to use",
            phase => phase.name(),
        };
        let ready = expected().filter(|unit| sight(unit) == Sight::Ready).count();
        let count = (!self.units.is_empty()).then(|| format!("{ready} of {} ready", expected().count()));
        let wrong = [Sight::Failed, Sight::Unhealthy, Sight::Stopped].into_iter().filter_map(named);
        wrong.chain([whole.to_owned()]).chain(count).collect::<Vec<_>>().join(" · ")
    }
}

#[cfg(test)]
mod tests;
