//! Who uses the gateway: the sessions, and the clients that send credentials with each request, that made requests
//! lately.
//!
//! Invariants: memory is bounded, whatever clients do ([`SESSIONS`], [`PROGRAMS`]): the client that has been idle longest
//! is forgotten first, and it stays logged in; only authenticated clients are recorded; a connection takes the lock at
//! most once a second; the id that is shown for a session is a digest with a key of its own, from which neither the
//! session's real id nor its cookie can be made.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::cookie::{How, SessionId};
use super::digest::Keyed;

/// How many sessions are remembered.
const SESSIONS: usize = 224;

/// How many clients without a session are remembered.
const PROGRAMS: usize = 32;

/// A session that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Visit {
    /// Names the session in requests to end it, and is good for nothing else.
    pub id: String,
    /// The address that the last request came from, as far as the gateway knows.
    pub address: IpAddr,
    /// How the session was opened.
    pub how: How,
    /// When it was opened, in milliseconds since the Unix epoch.
    pub since: i64,
    /// The last request, to within about a second, in milliseconds since the Unix epoch.
    pub last: i64,
    /// Whether the request for this list belongs to it.
    pub own: bool,
    /// What it has open now.
    pub open: Vec<OpenAt>,
}

/// Connections and streams of one session that are open now on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenAt {
    /// The port.
    pub port: u16,
    /// How many.
    pub count: usize,
}

/// A client that sends credentials with each request and has no session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Program {
    /// Its address, as far as the gateway knows.
    pub address: IpAddr,
    /// Whether the token is in a cookie. Otherwise each request has the token or the password itself.
    pub cookie: bool,
    /// The first request that is remembered, in milliseconds since the Unix epoch.
    pub since: i64,
    /// The last request, to within about a second, in milliseconds since the Unix epoch.
    pub last: i64,
}

/// An authenticated client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// A browser with a session.
    Session(SessionId),
    /// A program that sends credentials with each request.
    Program {
        /// Whether the token is in a cookie.
        cookie: bool,
    },
}

/// When a connection's requests were last recorded: the second, and for which client.
#[derive(Default)]
pub(crate) struct Recorded(AtomicU64);

impl Recorded {
    /// Whether this client's requests on this connection were recorded in this second already.
    fn covers(&self, client: Client, now: u64) -> bool {
        let client = match client {
            Client::Program { cookie } => u64::from(cookie),
            Client::Session(session) => {
                let [a, b, c, d, ..] = session.id;
                u64::from(u32::from_be_bytes([a, b, c, d]))
            }
        };
        let mark = now << 32 | client;
        self.0.swap(mark, Ordering::Relaxed) == mark
    }
}

/// Times in seconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Mark {
    address: IpAddr,
    first: u64,
    last: u64,
}

/// All clients that are remembered.
pub(super) struct Visits {
    key: Keyed,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Mark>,
    /// By the address, and whether the token is in a cookie.
    programs: HashMap<(IpAddr, bool), Mark>,
}

impl Default for Visits {
    fn default() -> Self {
        Self { key: Keyed::random(), state: Mutex::default() }
    }
}

impl Visits {
    /// Records a request. `busy` has the ids of sessions that have something open, which are forgotten last.
    pub(super) fn record(
        &self,
        client: Client,
        address: IpAddr,
        now: u64,
        on: &Recorded,
        busy: impl FnOnce() -> HashSet<[u8; 16]>,
    ) {
        if on.covers(client, now) {
            return;
        }
        let mut state = self.state();
        match client {
            Client::Session(session) => {
                if state.sessions.len() >= SESSIONS && !state.sessions.contains_key(&session) {
                    state.sessions.retain(|session, _| session.end > now);
                    let busy = busy();
                    make_room(&mut state.sessions, SESSIONS, |session| busy.contains(&session.id));
                }
                mark(&mut state.sessions, session, address, now);
            }
            Client::Program { cookie } => {
                let program = (address, cookie);
                if !state.programs.contains_key(&program) {
                    make_room(&mut state.programs, PROGRAMS, |_| false);
                }
                mark(&mut state.programs, program, address, now);
            }
        }
    }

    /// The sessions that are still valid by `is_valid`, the last used first. `holding` has what they have open.
    pub(super) fn sessions(
        &self,
        own: Option<SessionId>,
        is_valid: impl Fn(SessionId) -> bool,
        holding: &[([u8; 16], u16, usize)],
    ) -> Vec<Visit> {
        let mut state = self.state();
        state.sessions.retain(|session, _| is_valid(*session));
        let mut all: Vec<Visit> = state
            .sessions
            .iter()
            .map(|(session, mark)| {
                let here = holding.iter().filter(|(id, ..)| *id == session.id);
                let mut open: Vec<_> =
                    here.map(|(_, port, count)| OpenAt { port: *port, count: *count }).collect();
                open.sort_unstable();
                Visit {
                    id: self.shown(*session),
                    address: mark.address,
                    how: session.how(),
                    since: milliseconds(session.since()),
                    last: milliseconds(mark.last),
                    own: own == Some(*session),
                    open,
                }
            })
            .collect();
        all.sort_unstable_by(|one, other| {
            (other.own, other.last, &other.id).cmp(&(one.own, one.last, &one.id))
        });
        all
    }

    /// The clients without a session, the last used first.
    pub(super) fn programs(&self) -> Vec<Program> {
        let state = self.state();
        let mut all: Vec<Program> = state
            .programs
            .iter()
            .map(|((address, cookie), mark)| Program {
                address: *address,
                cookie: *cookie,
                since: milliseconds(mark.first),
                last: milliseconds(mark.last),
            })
            .collect();
        all.sort_unstable_by_key(|program| (std::cmp::Reverse(program.last), program.address));
        all
    }

    /// The session that is shown with this id.
    pub(super) fn named(&self, id: &str) -> Option<SessionId> {
        self.state().sessions.keys().copied().find(|session| self.shown(*session) == id)
    }

    fn shown(&self, session: SessionId) -> String {
        let digest = self.key.digest(&[&session.id]);
        URL_SAFE_NO_PAD.encode(&digest[..16])
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the client that has been idle longest, if the table is full; those that are `busy` last.
fn make_room<K: Hash + Eq + Copy>(table: &mut HashMap<K, Mark>, most: usize, busy: impl Fn(&K) -> bool) {
    if table.len() < most {
        return;
    }
    let idle = table.iter().min_by_key(|(client, mark)| (busy(client), mark.last));
    if let Some(client) = idle.map(|(client, _)| *client) {
        table.remove(&client);
    }
}

fn mark<K: Hash + Eq>(table: &mut HashMap<K, Mark>, client: K, address: IpAddr, now: u64) {
    let mark = table.entry(client).or_insert(Mark { address, first: now, last: now });
    (mark.address, mark.last) = (address, now);
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    /// Records a request on a connection of its own.
    fn record(visits: &Visits, client: Client, from: u32, now: u64, busy: &[SessionId]) {
        let busy = busy.iter().map(|session| session.id).collect();
        visits.record(client, address(from), now, &Recorded::default(), || busy);
    }

    #[test]
    fn clients_are_limited_in_number_and_the_idle_ones_are_forgotten_first() {
        let visits = Visits::default();
        let sessions: Vec<SessionId> = (0..SESSIONS + 2).map(|_| SessionId::random()).collect();
        for (now, session) in (10..).zip(&sessions[..SESSIONS]) {
            record(&visits, Client::Session(*session), 1, now, &[]);
        }
        // The oldest has a stream open, the second made a request just now: the third is forgotten.
        record(&visits, Client::Session(sessions[1]), 1, 1000, &[]);
        record(&visits, Client::Session(sessions[SESSIONS]), 1, 1001, &sessions[..1]);
        let kept = |session: &SessionId| visits.named(&visits.shown(*session)).is_some();
        assert_eq!([0, 1, 2, 3, SESSIONS].map(|at| kept(&sessions[at])), [true, true, false, true, true]);
        assert_eq!(visits.sessions(None, |_| true, &[]).len(), SESSIONS);
        for n in 0..1000 {
            record(&visits, Client::Program { cookie: n % 2 == 0 }, n, 2000 + u64::from(n), &[]);
        }
        let programs = visits.programs();
        assert_eq!((programs.len(), programs[0].address), (PROGRAMS, address(999)));
        assert_eq!(visits.sessions(None, |_| true, &[]).len(), SESSIONS, "programs push out no session");
    }

    #[test]
    fn a_visit_says_what_is_known_and_ended_sessions_are_not_shown() {
        let visits = Visits::default();
        let (one, two) = (SessionId::random(), SessionId::random());
        record(&visits, Client::Session(one), 1, 100, &[]);
        record(&visits, Client::Session(two), 2, 101, &[]);
        record(&visits, Client::Session(two), 3, 105, &[]);
        let holding = [(two.id, 6100, 2), (one.id, 1111, 1), (two.id, 1111, 1)];
        let shown = visits.sessions(Some(one), |_| true, &holding);
        assert_eq!(
            (shown[0].own, shown[0].address, shown[0].last),
            (true, address(1), 100_000),
            "its own is first"
        );
        assert_eq!((shown[1].own, shown[1].address, shown[1].last), (false, address(3), 105_000));
        assert_eq!(shown[1].open, [OpenAt { port: 1111, count: 1 }, OpenAt { port: 6100, count: 2 }]);
        assert_eq!(visits.named(&shown[1].id), Some(two));
        assert_eq!(visits.sessions(None, |session| session != two, &[]).len(), 1);
        assert_eq!(visits.named(&shown[1].id), None);
    }

    #[test]
    fn shown_ids_are_not_those_of_the_sessions() {
        let (visits, others, one) = (Visits::default(), Visits::default(), SessionId::random());
        record(&visits, Client::Session(one), 1, 1, &[]);
        let shown = visits.shown(one);
        assert_ne!(shown, URL_SAFE_NO_PAD.encode(one.id));
        assert_ne!(shown, others.shown(one), "each daemon has its own");
        for guess in ["", &URL_SAFE_NO_PAD.encode(one.id), &shown[1..], &format!("{shown}A")] {
            assert_eq!(visits.named(guess), None, "{guess}");
        }
    }

    #[test]
    fn a_connection_is_recorded_once_a_second() {
        let (connection, one, two) = (Recorded::default(), SessionId::random(), SessionId::random());
        let covers = |client, now| connection.covers(client, now);
        assert!(!covers(Client::Session(one), 7) && covers(Client::Session(one), 7));
        assert!(!covers(Client::Session(one), 8) && !covers(Client::Session(two), 8));
        assert!(
            !covers(Client::Program { cookie: false }, 8) && covers(Client::Program { cookie: false }, 8)
        );
        assert!(!covers(Client::Program { cookie: true }, 8));
    }
}
