//! The queue of attempts to log in: a few are checked at the same time, the other attempts wait for their turn.
//!
//! Of one network, one attempt at a time is checked, and after a failure the next one has a pause that grows
//! ([`Failures`]). A browser in which the right password was typed before is counted like a network of its own: it
//! neither waits for nor is banned with the other clients of its address.
//!
//! A flood of guesses from ever new addresses must not keep out the one user who knows the password. So the next turn
//! goes, in this order, to:
//!
//! 1. a browser in which the right password was typed before (it sends a cookie that says so),
//! 2. a network from which the right password came before,
//! 3. the network of which the fewest attempts were checked lately. Networks are compared from the widest (of a
//!    provider) to the narrowest (of one client). All addresses of one provider are one group: a client from another
//!    provider goes first.
//!
//! Among equal attempts the newest goes first: a client that has waited long has probably disconnected, or has sent
//! many attempts. So an attacker with many waiting attempts does not keep out a user who shares the address and tries
//! once. If there are several threads, one of them is never used by a group with many attempts: a check takes seconds
//! when the processors are busy, and a new client has to wait for one check only, not for two.
//!
//! Invariants: at most [`WAITING`] attempts of strangers and [`WAITING_KNOWN`] others wait, and none longer than
//! [`PATIENCE`]; when there are too many, the last in order is refused at once; an attempt whose client disconnects while it waits is neither checked nor counted; a
//! request with a valid session or token does not come here, and neither does a password that was verified from the
//! same network a short time ago, unless the network is under attack and cannot be banned
//! ([`Attempts::is_under_attack`]).

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::counters::Counts;
use super::digest::Fingerprint;
use super::failures::Failures;
use super::traffic::{Cells, Traffic, Weight};
use crate::gateway::network::Network;

/// How many attempts of strangers wait at the same time. As many responses to wrong tokens are delayed at the same time.
const WAITING: usize = 64;

/// How many attempts of known browsers and networks wait at the same time, beside those of strangers. A program that
/// sends the password with each request may have many requests open when the password has to be checked again.
const WAITING_KNOWN: usize = 256;

/// How long an attempt waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a client may try again whose attempt got no turn.
const COME_BACK: Duration = Duration::from_secs(2);

/// The priority of an attempt; the smallest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// From a browser in which the right password was typed before.
    KnownBrowser,
    /// From a network from which the right password came before.
    KnownNetwork,
    Stranger,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request has no credentials.
    Stranger,
    /// The credentials of the request are wrong.
    Wrong,
    /// Too many attempts. The client may try again after this time.
    TooMany(Duration),
}

/// All attempts.
pub(super) struct Attempts {
    state: Mutex<State>,
    delayed: Semaphore,
    counts: Arc<Counts>,
}

struct State {
    failures: Failures,
    traffic: Traffic,
    /// The waiting attempts, the newest last.
    waiting: Vec<Waiting>,
    /// Networks with an attempt that is being checked, or with a pause after one.
    busy: HashSet<Network>,
    /// Threads that check nothing now.
    free: usize,
    /// Threads that networks with many attempts cannot use.
    reserved: usize,
}

struct Waiting {
    from: Network,
    standing: Standing,
    cells: Cells,
    turn: oneshot::Sender<Pass>,
}

/// The right to have a password checked. When it is dropped, the next attempt gets its turn.
pub(super) struct Pass(Arc<Turn>);

/// The turn of one network.
struct Turn {
    attempts: Arc<Attempts>,
    from: Network,
}

impl Attempts {
    /// The queue in front of this number of threads.
    pub(super) fn new(threads: usize, counts: Arc<Counts>) -> Self {
        let state = State {
            failures: Failures::default(),
            traffic: Traffic::new(),
            waiting: Vec::new(),
            busy: HashSet::new(),
            free: threads,
            reserved: usize::from(threads > 1),
        };
        Self { state: Mutex::new(state), delayed: Semaphore::new(WAITING), counts }
    }

    /// Whether a network is under attack that cannot be banned, because all users may share its address. A password
    /// that was verified a short time ago then has to wait for its turn like all other attempts: an immediate answer
    /// would let an attacker find the right password as fast as the network allows.
    pub(super) fn is_under_attack(&self, from: Network) -> bool {
        self.state().failures.is_under_attack(from, Instant::now())
    }

    /// Waits for the turn of an attempt that is wrong if this fingerprint is known as that of a wrong value.
    pub(super) async fn enter(
        self: &Arc<Self>,
        from: Network,
        standing: Standing,
        fingerprint: Fingerprint,
    ) -> Result<Pass, Denied> {
        let (sender, turn) = oneshot::channel();
        {
            let mut state = self.state();
            self.refusal(&state, from, fingerprint)?;
            let cells = state.traffic.asked(from, Instant::now());
            state.waiting.push(Waiting { from, standing, cells, turn: sender });
        }
        self.advance();
        self.state().limit();
        let pass = timeout(PATIENCE, turn).await;
        // An earlier attempt of the network may have been the same, or have caused a ban. If the pass was given, it is
        // dropped unused.
        self.refusal(&self.state(), from, fingerprint)?;
        pass.ok().and_then(Result::ok).ok_or_else(|| self.refused(COME_BACK))
    }

    /// Counts a wrong token and delays the response. The check of a token is cheap, so it needs no turn.
    pub(super) async fn wrong(&self, from: Network, fingerprint: Fingerprint) -> Denied {
        let pause = {
            let mut state = self.state();
            if let Err(denied) = self.refusal(&state, from, fingerprint) {
                return denied;
            }
            self.fail(&mut state, from, fingerprint).0
        };
        if !pause.is_zero() {
            let Ok(_permit) = self.delayed.try_acquire() else { return self.refused(pause) };
            sleep(pause).await;
        }
        Denied::Wrong
    }

    /// Why an attempt is refused without a check.
    fn refusal(&self, state: &State, from: Network, fingerprint: Fingerprint) -> Result<(), Denied> {
        let now = Instant::now();
        if let Some(wait) = state.failures.banned(from, now) {
            return Err(self.refused(wait));
        }
        if state.failures.knows(from, fingerprint, now) { Err(Denied::Wrong) } else { Ok(()) }
    }

    fn refused(&self, wait: Duration) -> Denied {
        self.counts.add(|counts| counts.refused += 1);
        Denied::TooMany(wait)
    }

    fn fail(&self, state: &mut State, from: Network, fingerprint: Fingerprint) -> (Duration, bool) {
        let (pause, banned) = state.failures.fail(from, fingerprint, Instant::now());
        self.counts.add(|counts| {
            counts.attempts += 1;
            counts.failures += 1;
            counts.bans += u64::from(banned);
        });
        if banned {
            // They get their refusal because their senders are dropped.
            state.waiting.retain(|waiting| waiting.from != from);
        }
        (pause, banned)
    }

    /// Gives turns to waiting attempts.
    fn advance(self: &Arc<Self>) {
        for next in std::iter::from_fn(|| self.state().next()) {
            let turn = Turn { attempts: Arc::clone(self), from: next.from };
            // If the client disconnects at this moment, the pass is dropped unused, and the next attempt gets its turn.
            drop(next.turn.send(Pass(Arc::new(turn))));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the attempt that is next, if there is a thread for it.
    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.turn.is_closed());
        let all = (0..self.waiting.len()).filter(|at| !self.busy.contains(&self.waiting[*at].from));
        let at = all.min_by_key(|at| self.rank(*at))?;
        let (standing, weight, _) = self.rank(at);
        let is_of_crowd = standing == Standing::Stranger && weight[0] != (0, 0);
        // If there is no thread for the first, there is none for the other attempts.
        if self.free <= if is_of_crowd { self.reserved } else { 0 } {
            return None;
        }
        let next = self.waiting.remove(at);
        self.free -= 1;
        self.busy.insert(next.from);
        self.traffic.checked(next.cells);
        Some(next)
    }

    /// Removes the attempt that is last in order, if too many wait. It may be the attempt that was just added.
    fn limit(&mut self) {
        for (strangers, most) in [(true, WAITING), (false, WAITING_KNOWN)] {
            let is_one = |at: &usize| (self.waiting[*at].standing == Standing::Stranger) == strangers;
            let all = || (0..self.waiting.len()).filter(is_one);
            if all().count() > most
                && let Some(last) = all().max_by_key(|at| self.rank(*at))
            {
                self.waiting.remove(last);
            }
        }
    }

    fn rank(&self, at: usize) -> (Standing, Weight, Reverse<usize>) {
        let Waiting { standing, cells, .. } = &self.waiting[at];
        (*standing, self.traffic.weight(*cells), Reverse(at))
    }
}

impl Pass {
    /// Ends the attempt: it was right (`None`), or wrong with this fingerprint. After a failure the network keeps its
    /// turn for the pause, but not the thread.
    pub(super) fn end(self, wrong: Option<Fingerprint>) {
        let Turn { attempts, from } = &*self.0;
        let Some(fingerprint) = wrong else {
            attempts.counts.add(|counts| counts.attempts += 1);
            return attempts.state().failures.forgive(*from);
        };
        let (pause, banned) = attempts.fail(&mut attempts.state(), *from, fingerprint);
        if banned {
            tracing::warn!("{} is banned for a while after too many wrong passwords", from.address());
        }
        if !pause.is_zero() {
            let (pause, turn) = (sleep(pause), Arc::clone(&self.0));
            tokio::spawn(async move {
                pause.await;
                drop(turn);
            });
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.attempts.state().free += 1;
        self.0.attempts.advance();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.attempts.state().busy.remove(&self.from);
        self.attempts.advance();
    }
}

#[cfg(test)]
mod tests;
