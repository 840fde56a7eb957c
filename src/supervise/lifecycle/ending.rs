//! How units end: by themselves, on request, and by force.

use std::time::Duration;

use crate::config::service::Restart;
use crate::supervise::backoff::Verdict;
use crate::sys::reaper::Exit;

use super::unit_runtime::{AfterStop, Phase, State};
use super::{Core, Effect, Ending, Now, Outcome};

/// How long the kernel may take to remove a killed process before other units continue without it.
pub(super) const KILL_BUDGET: Duration = Duration::from_millis(800);

/// How often KILL is repeated for a process that does not end.
const STUCK_PAUSE: Duration = Duration::from_secs(5);

impl Core {
    fn jitter(&mut self) -> f64 {
        // splitmix64: good enough to keep two units from restarting in step.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// All processes of the unit have ended.
    pub(super) fn exited(&mut self, at: usize, outcome: &Outcome) {
        let runtime = &mut self.runtimes[at];
        runtime.alive = false;
        runtime.pid = None;
        runtime.status_text = String::new();
        let leaving = runtime.leaving.take();
        let ready = match runtime.state {
            State::Ready { since, .. } => Some(self.now.saturating_sub(since)),
            _ => None,
        };
        let then = match &runtime.state {
            State::Stopping { then, .. } => Some((then.clone(), runtime.reason.clone())),
            _ => leaving,
        };
        if runtime.spec.oneshot && *outcome == Outcome::Ended(Exit::Code(0)) && then.is_none() {
            runtime.backoff.forget();
            self.enter(at, State::Done, String::new());
            self.open(at);
            return;
        }
        match then {
            // Its file was removed, or says that the unit does not apply any more.
            Some((AfterStop::Stay, reason)) if !runtime.spec.runnable => {
                self.enter(at, State::Skipped, reason);
            }
            Some((AfterStop::Stay, reason)) => self.enter(at, State::Stopped, reason),
            Some((AfterStop::Restart, _)) => self.enter(at, State::Waiting, String::new()),
            Some((AfterStop::Fail { why, lasted }, _)) => self.ended(at, lasted, false, why),
            None => match outcome {
                Outcome::Ended(exit) => {
                    self.ended(at, ready, exit.success(), format!("it ended with {exit}"));
                }
                Outcome::NotStarted(why) | Outcome::NotFound(why) => {
                    self.ended(at, ready, false, why.clone());
                }
                Outcome::HeldUp(why) => self.held_up(at, why.clone()),
            },
        }
    }

    /// A process ended without a request.
    fn ended(&mut self, at: usize, ready: Option<Duration>, well: bool, why: String) {
        match self.runtimes[at].spec.restart.when {
            Restart::Always => self.failed(at, ready, why),
            Restart::OnFailure if !well => self.failed(at, ready, why),
            Restart::Never if !well => self.enter(at, State::Failed, why),
            Restart::OnFailure | Restart::Never => {
                // It has finished its work.
                self.runtimes[at].wanted = false;
                self.enter(at, State::Stopped, why);
            }
        }
    }

    /// It could not be started because the machine lacked a resource. It never ran, so this is not its failure.
    fn held_up(&mut self, at: usize, why: String) {
        let jitter = self.jitter();
        let runtime = &mut self.runtimes[at];
        if !runtime.wanted {
            self.enter(at, State::Stopped, why);
            return;
        }
        let until = self.now + runtime.backoff.held_up(runtime.spec.restart, jitter);
        self.enter(at, State::Backoff { until }, why);
    }

    fn failed(&mut self, at: usize, ready: Option<Duration>, why: String) {
        let jitter = self.jitter();
        let runtime = &mut self.runtimes[at];
        if !runtime.wanted {
            self.enter(at, State::Stopped, why);
            return;
        }
        match runtime.backoff.failed(ready, runtime.spec.restart, jitter) {
            Verdict::GiveUp(count) => {
                let times = if count == 1 { String::new() } else { format!(", {count} times") };
                self.enter(at, State::Failed, format!("{why}{times}"));
            }
            Verdict::Again(wait) => {
                runtime.restarts += 1;
                if wait.is_zero() {
                    self.enter(at, State::Waiting, why);
                } else {
                    self.enter(at, State::Backoff { until: self.now + wait }, why);
                }
            }
        }
    }

    /// The stop command ended.
    pub(super) fn asked(&mut self, at: usize, well: bool) {
        // After success, the unit is ending and has the rest of the command's time for that.
        if !well && matches!(self.runtimes[at].state, State::Stopping { phase: Phase::Asked, .. }) {
            self.signal(at);
        }
    }

    /// Acts on every deadline that has passed. Returns whether there was any.
    pub(super) fn deadlines(&mut self) -> bool {
        let mut came = false;
        for at in 0..self.runtimes.len() {
            came |= self.due(at);
        }
        if let Some(ending) = self.ending.filter(|ending| ending.deadline <= self.now && !self.finished) {
            if ending.killed {
                self.finish();
            } else {
                self.kill_all();
            }
            came = true;
        }
        came
    }

    fn due(&mut self, at: usize) -> bool {
        if self.check(at) {
            return true;
        }
        let now = self.now;
        let runtime = &mut self.runtimes[at];
        match &mut runtime.state {
            State::Backoff { until } if *until <= now => {
                let reason = std::mem::take(&mut runtime.reason);
                self.enter(at, State::Waiting, reason);
            }
            State::Starting { deadline } if deadline.is_some_and(|deadline| deadline <= now) => {
                // A deadline fires once; the stop that follows has its own.
                *deadline = None;
                let limit = runtime.spec.start_timeout.unwrap_or_default();
                let why = match runtime.probe_failure.as_str() {
                    "" if runtime.pid.is_none() => ": its program has not begun",
                    "" => "",
                    failure => &format!(": {failure}"),
                };
                let why = format!("it was not ready within {limit:?}{why}");
                runtime.leaving.get_or_insert((AfterStop::Fail { why: why.clone(), lasted: None }, why));
            }
            State::Stopping { phase, deadline, .. } if *deadline <= now => match phase {
                Phase::Asked => self.signal(at),
                Phase::Signalled => self.kill(at),
                // The state needs an exit, and a process may have been started after the last KILL.
                Phase::Killed | Phase::Stuck => {
                    self.escalate(at, Phase::Stuck, now + STUCK_PAUSE);
                    self.effects.push(Effect::Kill(at));
                }
            },
            _ => return false,
        }
        true
    }

    pub(super) fn kill_all(&mut self) {
        for at in 0..self.runtimes.len() {
            if self.runtimes[at].alive {
                self.kill(at);
            }
        }
        self.ending = Some(Ending { deadline: self.now + KILL_BUDGET, killed: true });
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
        self.effects.push(Effect::Finished);
    }

    fn signal(&mut self, at: usize) {
        // The stop command has used its share of the time; the signal gets the rest.
        let State::Stopping { end, .. } = self.runtimes[at].state else { return };
        self.escalate(at, Phase::Signalled, end);
        self.effects.push(Effect::Signal(at));
    }

    fn kill(&mut self, at: usize) {
        self.escalate(at, Phase::Killed, self.now + KILL_BUDGET);
        self.effects.push(Effect::Kill(at));
    }

    fn escalate(&mut self, at: usize, to: Phase, next: Now) {
        let runtime = &mut self.runtimes[at];
        if let State::Stopping { phase, deadline, .. } = &mut runtime.state {
            *phase = to;
            *deadline = next;
        } else {
            let (then, reason) =
                runtime.leaving.take().unwrap_or((AfterStop::Stay, "it was killed".to_owned()));
            self.enter(at, State::Stopping { phase: to, deadline: next, end: next, then }, reason);
        }
    }
}
