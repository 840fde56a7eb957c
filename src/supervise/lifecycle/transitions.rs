//! The life of a unit: its start, its readiness, its stop and its end.

use std::time::Duration;

use crate::config::service::{Ready, Restart};
use crate::supervise::backoff::Verdict;
use crate::supervise::status::{UnitChange, UnitState};

use super::messages::{Effect, Now, Outcome, UnitId};
use super::runtime::{
    AfterStop, Checks, Core, Phase, Run, Shutdown, State, StopStep, UnitRuntime, is_runnable,
};

/// How long the kernel may take to remove a killed process before other units continue without it.
pub(super) const KILL_BUDGET: Duration = Duration::from_millis(800);

/// How often KILL is repeated for a process that does not end.
const STUCK_PAUSE: Duration = Duration::from_secs(5);

impl Core {
    /// Makes all transitions that have become possible or due, until none is left: a timeout may be zero.
    pub(super) fn reconcile(&mut self) {
        loop {
            let mut changed = false;
            for at in self.ids() {
                changed |= self.drain_on_lost_dependency(at) | self.begin_stop(at) | self.start(at);
            }
            if changed {
                continue;
            }
            let alive = self.units.iter().any(UnitRuntime::is_alive);
            if !alive && !matches!(self.shutdown, Shutdown::NotRequested | Shutdown::Finished) {
                self.finish();
            }
            for at in self.ids() {
                changed |= self.act_on_deadline(at);
            }
            match self.shutdown {
                Shutdown::Stopping(deadline) if deadline <= self.now => self.kill_all(),
                Shutdown::Killed(deadline) if deadline <= self.now => self.finish(),
                _ if changed => {}
                _ => return,
            }
        }
    }

    /// Enters a state. The change is reported with the process that the old state had.
    pub(super) fn enter(&mut self, at: UnitId, state: State, reason: String) {
        self.cancel_check(at);
        let now = self.now;
        let unit = &mut self.units[at];
        let (from, pid) = (unit.state.shown(), unit.run().and_then(|run| run.pid));
        (unit.state, unit.reason, unit.since) = (state, reason.clone(), now);
        self.report(at, Some(from), reason, pid);
    }

    fn enter_phase(&mut self, at: UnitId, phase: Phase, reason: String) {
        let Some(Run { pid, status_text, .. }) = self.units[at].run().cloned() else { return };
        self.enter(at, State::Alive(Run { pid, status_text, phase }), reason);
    }

    pub(super) fn report(&mut self, at: UnitId, from: Option<UnitState>, reason: String, pid: Option<i32>) {
        let unit = &self.units[at];
        self.changes.push(UnitChange {
            unit: unit.spec.name.clone(),
            from,
            to: unit.state.shown(),
            reason,
            health: unit.health(),
            at: self.wall(self.now),
            pid,
            failure: false,
        });
    }

    fn start(&mut self, at: UnitId) -> bool {
        let unit = &self.units[at];
        let ended = self.shutdown != Shutdown::NotRequested;
        if ended || unit.state != State::Waiting || !self.may_start(at) {
            return false;
        }
        let deadline = unit.spec.start_timeout.map(|limit| self.now + limit);
        let uses = unit.deps.needs.clone();
        let sockets = unit.spec.launch.listen.iter().map(|socket| socket.path.clone()).collect();
        // The reason for a restart stays visible until the unit is ready.
        let reason = unit.reason.clone();
        let phase = Phase::Starting { deadline, listening: false, probe_failure: String::new() };
        self.enter(at, State::Alive(Run { pid: None, status_text: String::new(), phase }), reason);
        (self.units[at].uses, self.units[at].sockets) = (uses, sockets);
        self.effects.push(Effect::Spawn(at));
        true
    }

    pub(super) fn launched(&mut self, at: UnitId, main: i32) {
        let unit = &mut self.units[at];
        let listens = !unit.spec.launch.listen.is_empty();
        let Some(run) = unit.run_mut() else { return };
        run.pid = Some(main);
        // The sockets of a unit exist as soon as its program runs.
        if let Phase::Starting { listening, .. } = &mut run.phase
            && listens
            && !std::mem::replace(listening, true)
        {
            self.opened(at);
        }
    }

    pub(super) fn ready(&mut self, at: UnitId) {
        let unit = &mut self.units[at];
        let is_oneshot = unit.spec.oneshot;
        // A oneshot that says so by sd_notify lets others start, and works on.
        let lets_others_start = is_oneshot && matches!(unit.spec.ready, Ready::Notify);
        let Some(Phase::Starting { listening, .. }) = unit.phase_mut() else { return };
        if is_oneshot {
            if lets_others_start && !std::mem::replace(listening, true) {
                self.opened(at);
            }
            return;
        }
        let unit = &self.units[at];
        let Some(Phase::Starting { listening, .. }) = unit.phase() else { return };
        let (was_open, checks) = (*listening, unit.spec.health.as_ref().map(|it| Checks::new(it, self.now)));
        self.enter_phase(at, Phase::Ready(checks), String::new());
        if !was_open {
            self.opened(at);
        }
    }

    /// The dependents of `at` may start. If that is not the first time, the units that follow it are restarted.
    fn opened(&mut self, at: UnitId) {
        if !std::mem::replace(&mut self.units[at].was_open, true) {
            return;
        }
        let reason = format!("{} was restarted", self.units[at].spec.name);
        for follower in self.ids() {
            let unit = &self.units[follower];
            if !unit.deps.follows.contains(&at) {
                continue;
            }
            match unit.phase() {
                Some(Phase::Starting { .. } | Phase::Ready(_)) => {
                    self.drain(follower, AfterStop::Restart, reason.clone());
                }
                // The work was done for a run that has ended: it is done again.
                None if unit.state == State::Done => self.enter(follower, State::Waiting, reason.clone()),
                _ => {}
            }
        }
    }

    /// Stops a unit, to start it again, if a unit that it needs is lost.
    fn drain_on_lost_dependency(&mut self, at: UnitId) -> bool {
        let unit = &self.units[at];
        let lost = match unit.phase() {
            Some(Phase::Starting { .. } | Phase::Ready(_)) => {
                unit.deps.needs.iter().find(|need| !self.is_open(**need))
            }
            _ => None,
        };
        let Some(need) = lost else { return false };
        self.drain(at, AfterStop::Restart, format!("it needs {}", self.units[*need].spec.name));
        true
    }

    /// Makes a unit that is alive stop as soon as no unit that needs it is alive any more.
    pub(super) fn drain(&mut self, at: UnitId, then: AfterStop, reason: String) {
        self.cancel_check(at);
        let unit = &mut self.units[at];
        let (shown, health) = (unit.state.shown(), unit.health());
        if let Some(phase) = unit.phase_mut() {
            *phase = Phase::Draining { shown, health, then, reason };
        }
    }

    fn begin_stop(&mut self, at: UnitId) -> bool {
        let unit = &self.units[at];
        let Some(Run { pid, phase: Phase::Draining { .. }, .. }) = unit.run() else { return false };
        if self.users(at).next().is_some() {
            return false;
        }
        let time = unit.spec.stop.timeout;
        let kill_at = self.now + time;
        if unit.spec.stop.command.is_some() && pid.is_some() {
            self.take_stop_step(at, StopStep::Command { kill_at }, self.now + time / 3 * 2);
        } else {
            self.take_stop_step(at, StopStep::Signalled, kill_at);
        }
        true
    }

    /// Takes a step of a stop. The first one begins the stop.
    fn take_stop_step(&mut self, at: UnitId, next: StopStep, due: Now) {
        match self.units[at].phase_mut() {
            Some(Phase::Draining { then, reason, .. }) => {
                let (then, reason) = (*then, std::mem::take(reason));
                self.enter_phase(at, Phase::Stopping { step: next, deadline: due, then }, reason);
                if matches!(then, AfterStop::Fail(_)) {
                    self.mark_failure();
                }
            }
            Some(Phase::Stopping { step, deadline, .. }) => (*step, *deadline) = (next, due),
            _ => return,
        }
        self.effects.push(match next {
            StopStep::Command { .. } => Effect::RunStopCommand(at),
            StopStep::Signalled => Effect::Signal(at),
            // A process may have been started after the last KILL.
            StopStep::Killed | StopStep::Stuck => Effect::Kill(at),
        });
    }

    pub(super) fn stop_command_ended(&mut self, at: UnitId, well: bool) {
        // After success, the unit is ending and has the rest of the command's time for that.
        if let Some(Phase::Stopping { step: StopStep::Command { kill_at }, .. }) = self.units[at].phase()
            && !well
        {
            self.take_stop_step(at, StopStep::Signalled, *kill_at);
        }
    }

    pub(super) fn kill_all(&mut self) {
        for at in self.ids() {
            self.take_stop_step(at, StopStep::Killed, self.now + KILL_BUDGET);
        }
        self.shutdown = Shutdown::Killed(self.now + KILL_BUDGET);
    }

    fn finish(&mut self) {
        self.shutdown = Shutdown::Finished;
        self.effects.push(Effect::Finished);
    }

    /// When `at` needs action, if no event comes before.
    pub(super) fn deadline_of(&self, at: UnitId) -> Option<Now> {
        match &self.units[at].state {
            State::Backoff { until } => Some(*until),
            State::Alive(run) => match &run.phase {
                Phase::Starting { deadline, .. } => *deadline,
                Phase::Ready(_) => self.units[at].check_due(),
                Phase::Draining { .. } => None,
                Phase::Stopping { deadline, .. } => Some(*deadline),
            },
            _ => None,
        }
    }

    fn act_on_deadline(&mut self, at: UnitId) -> bool {
        if self.deadline_of(at).is_none_or(|deadline| deadline > self.now) {
            return false;
        }
        let unit = &self.units[at];
        let Some(run) = unit.run() else {
            self.enter(at, State::Waiting, unit.reason.clone());
            return true;
        };
        match &run.phase {
            Phase::Starting { probe_failure, .. } => {
                let why = match probe_failure.as_str() {
                    "" if run.pid.is_none() => ": its program has not begun",
                    "" => "",
                    failure => &format!(": {failure}"),
                };
                let limit = unit.spec.start_timeout.unwrap_or_default();
                let reason = format!("it was not ready within {limit:?}{why}");
                self.drain(at, AfterStop::Fail(None), reason);
            }
            Phase::Ready(_) => self.check(at),
            Phase::Draining { .. } => {}
            Phase::Stopping { step, .. } => match *step {
                // The stop command has used its share of the time; the signal gets the rest.
                StopStep::Command { kill_at } => self.take_stop_step(at, StopStep::Signalled, kill_at),
                StopStep::Signalled => self.take_stop_step(at, StopStep::Killed, self.now + KILL_BUDGET),
                StopStep::Killed | StopStep::Stuck => {
                    self.take_stop_step(at, StopStep::Stuck, self.now + STUCK_PAUSE);
                }
            },
        }
        true
    }

    /// All processes of the unit have ended.
    pub(super) fn exited(&mut self, at: UnitId, outcome: &Outcome) {
        let unit = &self.units[at];
        let Some(phase) = unit.phase() else { return };
        let (then, reason) = match phase {
            Phase::Draining { then, reason, .. } => (Some(*then), reason.clone()),
            Phase::Stopping { then, .. } => (Some(*then), unit.reason.clone()),
            _ => (None, String::new()),
        };
        let ready = matches!(phase, Phase::Ready(_)).then(|| self.now.saturating_sub(unit.since));
        let was_open = !matches!(phase, Phase::Starting { listening: false, .. });
        match (then, outcome) {
            // Its file was removed, or says that the unit does not apply any more.
            (Some(AfterStop::Stay), _) if !is_runnable(&unit.spec) => self.enter(at, State::Skipped, reason),
            (Some(AfterStop::Stay), _) => self.enter(at, State::Stopped, reason),
            (Some(AfterStop::Restart), _) => self.enter(at, State::Waiting, String::new()),
            (Some(AfterStop::Fail(worked)), _) => self.ended(at, worked, false, reason),
            (None, Outcome::Ended(exit)) if unit.spec.oneshot && exit.success() => {
                self.units[at].backoff.forget();
                self.enter(at, State::Done, String::new());
                if !was_open {
                    self.opened(at);
                }
            }
            (None, Outcome::Ended(exit)) => {
                self.ended(at, ready, exit.success(), format!("it ended with {exit}"));
            }
            (None, Outcome::NotStarted(why) | Outcome::NotFound(why)) => {
                self.ended(at, ready, false, why.clone());
            }
            (None, Outcome::HeldUp(why)) => self.held_up(at, why.clone()),
        }
        self.record_main_exit(at, outcome, then);
    }

    /// A process ended without a request.
    fn ended(&mut self, at: UnitId, ready: Option<Duration>, well: bool, why: String) {
        match self.units[at].spec.restart.when {
            Restart::Always => self.failed(at, ready, why),
            Restart::OnFailure if !well => self.failed(at, ready, why),
            Restart::Never if !well => self.enter(at, State::Failed { wanted: true }, why),
            // It has finished its work.
            Restart::OnFailure | Restart::Never => return self.enter(at, State::Stopped, why),
        }
        self.mark_failure();
    }

    /// The last change was a failure of its unit.
    fn mark_failure(&mut self) {
        if let Some(change) = self.changes.last_mut() {
            change.failure = true;
        }
    }

    /// It could not be started because the machine lacked a resource. It never ran, so this is not its failure.
    fn held_up(&mut self, at: UnitId, why: String) {
        let jitter = self.jitter();
        let unit = &mut self.units[at];
        let until = self.now + unit.backoff.held_up(unit.spec.restart, jitter);
        self.enter(at, State::Backoff { until }, why);
    }

    fn failed(&mut self, at: UnitId, ready: Option<Duration>, why: String) {
        let jitter = self.jitter();
        let unit = &mut self.units[at];
        let wait = match unit.backoff.failed(ready, unit.spec.restart, jitter) {
            Verdict::GiveUp(count) => {
                let times = if count == 1 { String::new() } else { format!(", {count} times") };
                return self.enter(at, State::Failed { wanted: true }, format!("{why}{times}"));
            }
            Verdict::Again(wait) => wait,
        };
        unit.restarts += 1;
        let until = self.now + wait;
        self.enter(at, if wait.is_zero() { State::Waiting } else { State::Backoff { until } }, why);
    }

    fn jitter(&mut self) -> f64 {
        // splitmix64: good enough to keep two units from restarting in step.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}
