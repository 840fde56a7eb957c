//! Who waits for a thread that checks passwords: a few at once, of all that there are.
//!
//! A flood of guesses from ever new addresses must not keep out the one person who knows the password. So a turn goes,
//! in this order, to:
//!
//! 1. a browser in which the right password was typed before (it shows a cookie that says so),
//! 2. a network from which the right password came before,
//! 3. the network of which the fewest attempts were checked of late, from the widest (what a provider has) to the
//!    narrowest (what one person has). All addresses of one provider are one crowd: a newcomer from elsewhere goes first.
//!
//! Of equals the last to come goes first: who has waited long has probably gone, or has sent many. Where there are
//! several threads, one of them is never a crowd's: a check takes seconds where the processors are busy, and a newcomer
//! has one check to wait for, and not two.
//!
//! Invariants: no more wait than [`WAITING`], and none longer than [`PATIENCE`]; who is one too many, or would be, hears
//! so at once; who goes away while they wait is not checked.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::network::Network;
use super::traffic::{Cells, Traffic, Weight};

/// How many wait at once.
const WAITING: usize = 64;

/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// When somebody may come back for whom there was no turn.
const COME_BACK: Duration = Duration::from_secs(5);

/// Networks from which the right password came that are known.
const KNOWN: usize = 64;

/// Whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    /// Whom the attempt is counted for.
    pub(super) from: Network,
    /// Whether it comes from a browser in which the right password was typed before.
    pub(super) known: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    free: usize,
    /// Threads that a crowd leaves to others.
    reserved: usize,
    waiting: Vec<Waiting>,
    tickets: u64,
    traffic: Traffic,
    /// The one that was right last stands last.
    known: VecDeque<Network>,
}

struct Waiting {
    standing: Standing,
    ticket: u64,
    cells: Cells,
    turn: oneshot::Sender<Pass>,
}

/// What is known of somebody; who stands first goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    KnownBrowser,
    KnownNetwork,
    Stranger,
}

/// The right to have a password checked. Dropping it lets the next one in.
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

    /// Waits for a turn. If there is none: the time after which to come back.
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

    /// The right password came from there.
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
            // Dropping the sender says it; it may be the one who has just come.
            drop(shared.waiting.swap_remove(last));
        }
        Joined::Waits(turn)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of joining.
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

    /// Whether there is a thread for somebody now.
    fn admits(&self, standing: Standing, cells: Cells) -> bool {
        let is_of_crowd = standing == Standing::Stranger && self.traffic.weight(cells)[0] != (0, 0);
        self.free > if is_of_crowd { self.reserved } else { 0 }
    }

    fn rank(&self, at: usize) -> Rank {
        let Waiting { standing, ticket, cells, .. } = &self.waiting[at];
        (*standing, self.traffic.weight(*cells), Reverse(*ticket))
    }

    /// The one of those who wait whose turn is next.
    fn first(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|at| self.rank(*at))
    }

    /// The one whose turn would be last.
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
            // Where there is none for the first, there is none for the others.
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
        // Whoever has gone in this very moment drops what was sent, which lets the next one in.
        if let Some(next) = next {
            drop(next.turn.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests;
