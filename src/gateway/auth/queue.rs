//! The queue in front of the hash pool: a few attempts are checked at the same time, the other attempts wait.
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
//! many attempts. If there are several threads, one of them is never used by a group with many attempts: a check takes
//! seconds when the processors are busy, and a new client has to wait for one check only, not for two.
//!
//! Invariants: at most [`WAITING`] attempts wait, and none longer than [`PATIENCE`]; when there are too many, the last
//! in order is refused at once; an attempt whose client disconnects while it waits is not checked.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::network::Network;
use super::traffic::{Cells, Traffic, Weight};

/// How many attempts wait at the same time.
const WAITING: usize = 64;

/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a client may try again whose attempt got no turn.
const COME_BACK: Duration = Duration::from_secs(5);

/// How many networks are remembered from which the right password came.
const KNOWN: usize = 64;

/// The origin of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    /// The network that the attempt is counted for.
    pub(super) from: Network,
    /// Whether it comes from a browser in which the right password was typed before.
    pub(super) known: bool,
}

/// The queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    free: usize,
    /// Threads that networks with many attempts cannot use.
    reserved: usize,
    waiting: Vec<Waiting>,
    tickets: u64,
    traffic: Traffic,
    /// Networks from which the right password came; the latest is last.
    known: VecDeque<Network>,
}

struct Waiting {
    standing: Standing,
    ticket: u64,
    cells: Cells,
    turn: oneshot::Sender<Pass>,
}

/// The priority of an attempt; the smallest goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    KnownBrowser,
    KnownNetwork,
    Stranger,
}

/// The right to have a password checked. When it is dropped, the next attempt gets its turn.
pub(super) struct Pass(Queue);

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        let shared = Shared {
            free: places,
            reserved: usize::from(places > 1),
            waiting: Vec::new(),
            tickets: 0,
            traffic: Traffic::new(),
            known: VecDeque::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Waits for a turn. The error is the time after which the client may try again.
    pub(super) async fn enter(&self, asker: Asker) -> Result<Pass, Duration> {
        let turn = match self.join(asker) {
            Joined::Inside(pass) => return Ok(pass),
            Joined::Waits(turn) => turn,
        };
        match timeout(PATIENCE, turn).await {
            Ok(Ok(pass)) => Ok(pass),
            Ok(Err(_)) | Err(_) => Err(COME_BACK),
        }
    }

    /// Records that the right password came from this network.
    pub(super) fn learn(&self, from: Network) {
        let mut shared = self.lock();
        shared.known.retain(|known| *known != from);
        if shared.known.len() >= KNOWN {
            shared.known.pop_front();
        }
        shared.known.push_back(from);
    }

    fn join(&self, asker: Asker) -> Joined {
        let mut shared = self.lock();
        let cells = shared.traffic.asked(asker.from, Instant::now());
        let standing = shared.standing(asker);
        if shared.admits(standing, cells) {
            shared.free -= 1;
            shared.traffic.checked(cells);
            return Joined::Inside(Pass(self.clone()));
        }
        let (sender, turn) = oneshot::channel();
        shared.waiting.retain(|waiting| !waiting.turn.is_closed());
        shared.tickets += 1;
        let ticket = shared.tickets;
        shared.waiting.push(Waiting { standing, ticket, cells, turn: sender });
        if shared.waiting.len() > WAITING
            && let Some(last) = shared.last()
        {
            // The attempt gets its refusal because its sender is dropped. It may be the attempt that was just added.
            drop(shared.waiting.swap_remove(last));
        }
        Joined::Waits(turn)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of joining the queue.
enum Joined {
    Inside(Pass),
    Waits(oneshot::Receiver<Pass>),
}

type Rank = (Standing, Weight, Reverse<u64>);

impl Shared {
    fn standing(&self, asker: Asker) -> Standing {
        if asker.known {
            Standing::KnownBrowser
        } else if self.known.contains(&asker.from) {
            Standing::KnownNetwork
        } else {
            Standing::Stranger
        }
    }

    /// Whether a thread is free for an attempt with this priority.
    fn admits(&self, standing: Standing, cells: Cells) -> bool {
        let is_of_crowd = standing == Standing::Stranger && self.traffic.weight(cells)[0] != (0, 0);
        self.free > if is_of_crowd { self.reserved } else { 0 }
    }

    fn rank(&self, at: usize) -> Rank {
        let Waiting { standing, ticket, cells, .. } = &self.waiting[at];
        (*standing, self.traffic.weight(*cells), Reverse(*ticket))
    }

    /// The waiting attempt that is next.
    fn first(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|at| self.rank(*at))
    }

    /// The waiting attempt that is last in order.
    fn last(&self) -> Option<usize> {
        (0..self.waiting.len()).max_by_key(|at| self.rank(*at))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let next = {
            let mut shared = self.0.lock();
            shared.waiting.retain(|waiting| !waiting.turn.is_closed());
            shared.free += 1;
            // If there is no thread for the first, there is none for the other attempts.
            let next = shared.first().filter(|at| {
                let Waiting { standing, cells, .. } = &shared.waiting[*at];
                shared.admits(*standing, *cells)
            });
            let next = next.map(|at| shared.waiting.swap_remove(at));
            if let Some(next) = &next {
                shared.free -= 1;
                shared.traffic.checked(next.cells);
            }
            next
        };
        // If the client disconnects at this moment, the pass is dropped unused, and the next attempt gets its turn.
        if let Some(next) = next {
            drop(next.turn.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests;
