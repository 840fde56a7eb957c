//! Tickets: each opens one terminal, for the session that typed the password, within a minute.
//!
//! A ticket holds its place among the terminals, so there are never more tickets than terminals. A session has one
//! ticket at most: a newer one replaces it. A ticket that is shown by another session is void.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::gateway::auth::SessionId;

/// How long a ticket is valid.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

struct Ticket {
    secret: String,
    session: SessionId,
    until: Instant,
    permit: OwnedSemaphorePermit,
}

/// The tickets that were not used yet.
#[derive(Default)]
pub(super) struct Tickets {
    unused: Mutex<Vec<Ticket>>,
}

impl Tickets {
    /// Removes the session's own ticket and all that are too old: their places are free again.
    pub(super) fn clear(&self, session: SessionId) {
        let now = Instant::now();
        self.unused().retain(|ticket| ticket.session != session && ticket.until > now);
    }

    /// A new ticket.
    pub(super) fn issue(&self, session: SessionId, permit: OwnedSemaphorePermit) -> String {
        let secret = rand::random::<[u64; 4]>().map(|word| format!("{word:016x}")).concat();
        let until = Instant::now() + LIFETIME;
        self.unused().push(Ticket { secret: secret.clone(), session, until, permit });
        secret
    }

    /// Takes a ticket. It is void from now on, also if another session shows it.
    pub(super) fn redeem(&self, shown: &str, session: SessionId) -> Option<OwnedSemaphorePermit> {
        let mut unused = self.unused();
        let is = |ticket: &Ticket| bool::from(ticket.secret.as_bytes().ct_eq(shown.as_bytes()));
        let ticket = unused.iter().position(is).map(|at| unused.swap_remove(at))?;
        (ticket.session == session && ticket.until > Instant::now()).then_some(ticket.permit)
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Ticket>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_for_one_session_once_within_a_minute() {
        let (tickets, permits) = (Tickets::default(), Arc::new(Semaphore::new(2)));
        let permit = || Arc::clone(&permits).try_acquire_owned().unwrap();
        let (one, two) = (SessionId::random(), SessionId::random());
        let ticket = tickets.issue(one, permit());
        assert_eq!(ticket.len(), 64);
        assert!(tickets.redeem("", one).is_none() && tickets.redeem(&ticket[1..], one).is_none());
        assert!(tickets.redeem(&ticket, one).is_some());
        assert!(tickets.redeem(&ticket, one).is_none(), "used");
        let ticket = tickets.issue(one, permit());
        assert!(tickets.redeem(&ticket, two).is_none(), "another session");
        assert!(tickets.redeem(&ticket, one).is_none(), "void, because another session showed it");
        let ticket = tickets.issue(one, permit());
        tokio::time::advance(LIFETIME).await;
        assert!(tickets.redeem(&ticket, one).is_none(), "too old");
        assert_eq!(permits.available_permits(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn unused_tickets_give_their_places_back() {
        let (tickets, permits) = (Tickets::default(), Arc::new(Semaphore::new(2)));
        let permit = || Arc::clone(&permits).try_acquire_owned().unwrap();
        let (one, two) = (SessionId::random(), SessionId::random());
        let first = tickets.issue(one, permit());
        tickets.clear(one);
        let second = tickets.issue(one, permit());
        assert!(tickets.redeem(&first, one).is_none(), "replaced");
        tickets.issue(two, permit());
        assert_eq!(permits.available_permits(), 0);
        tokio::time::advance(LIFETIME).await;
        tickets.clear(SessionId::random());
        assert_eq!(permits.available_permits(), 2);
        assert!(tickets.redeem(&second, one).is_none());
    }
}
