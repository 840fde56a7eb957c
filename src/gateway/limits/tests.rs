//! Small floods: which connections are closed, which stay, and that the account is empty in the end.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use super::slot::REQUESTS;
use super::state::{GRACE, MODEST, SHORT};
use super::*;

const ROOM: Limits = Limits { strangers: 8, trusted: 3, leaving: 100, bytes: 1 << 20 };

/// A connection, and whether it was told to end.
struct Client {
    slot: Arc<ConnectionSlot>,
    gone: Arc<AtomicBool>,
}

impl Client {
    fn of(limits: &ConnectionLimits, address: &str) -> Self {
        let client = Self::not_served(limits, address);
        client.slot.begin();
        client
    }

    /// A connection that no thread serves yet.
    fn not_served(limits: &ConnectionLimits, address: &str) -> Self {
        let slot = limits.enter(Peer::Address(address.parse().unwrap()));
        let gone = Arc::<AtomicBool>::default();
        let told = Arc::clone(&gone);
        slot.ended_by(move || told.store(true, SeqCst));
        Self { slot, gone }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(SeqCst)
    }
}

fn gone(clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.is_gone()).count()
}

fn is_empty(limits: &ConnectionLimits) {
    let state = limits.state();
    assert_eq!((state.slots, state.bytes, state.trusted, state.leaving_bytes), (0, 0, 0, 0));
    assert!(state.strangers.is_empty() && state.leaving.is_empty() && state.heavy.is_empty());
    assert_eq!(state.networks.each_ref().map(networks::Networks::first_to_go), [None; 2]);
}

#[tokio::test(start_paused = true)]
async fn new_connection_is_accepted_and_the_oldest_of_the_flood_is_closed() {
    let limits = ConnectionLimits::of(ROOM);
    let other = Client::of(&limits, "198.51.100.7");
    let flood: Vec<_> = (0..50).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    assert!(!other.is_gone(), "a connection of another network stays");
    assert_eq!(gone(&flood), 43);
    assert!(flood[..43].iter().all(Client::is_gone) && !flood[49].is_gone());
    let fresh = Client::of(&limits, "203.0.113.1");
    assert!(!fresh.is_gone() && flood[43].is_gone());
    assert_eq!(limits.sent_away(), 44);
    drop((other, flood, fresh));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn new_connections_are_spared_while_there_are_older_ones() {
    let limits = ConnectionLimits::of(ROOM);
    // Each has a different address, as in a flood from many networks.
    let old: Vec<_> = (1..8).map(|at| Client::of(&limits, &format!("{at}.0.2.1"))).collect();
    tokio::time::advance(GRACE).await;
    // A browser opens several connections at once, and so holds more than any other client.
    let browser: Vec<_> = (0..4).map(|_| Client::of(&limits, "203.0.113.1")).collect();
    assert_eq!((gone(&browser), gone(&old)), (0, 3));
    assert!(old[..3].iter().all(Client::is_gone), "the oldest of all are closed");
    // A connection that takes much is not spared, and after a short time none is.
    browser[0].slot.charge(isize::try_from(MODEST).unwrap());
    let fresh = Client::of(&limits, "198.51.100.1");
    assert_eq!((browser[0].is_gone(), gone(&browser), gone(&old)), (true, 1, 3));
    tokio::time::advance(GRACE).await;
    let next = Client::of(&limits, "198.51.100.2");
    assert_eq!((browser[1].is_gone(), gone(&old), next.is_gone()), (true, 3, false));
    drop((old, browser, fresh, next));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn at_the_beginning_of_a_flood_those_that_stay_silent_are_closed_first() {
    let limits = ConnectionLimits::of(ROOM);
    let flood: Vec<_> = (1..8).map(|at| Client::of(&limits, &format!("{at}.0.2.1"))).collect();
    tokio::time::advance(SHORT).await;
    // Of this network there are most, and all are new.
    let office: Vec<_> = (0..4).map(|_| Client::of(&limits, "203.0.113.1")).collect();
    assert_eq!((gone(&office), gone(&flood)), (0, 3));
    // As soon as none of the others was silent for longer, the largest network counts.
    let late: Vec<_> = (0..4).map(|_| Client::of(&limits, "198.51.100.1")).collect();
    assert_eq!((gone(&office), gone(&flood), gone(&late)), (0, 7, 0));
    let last = Client::of(&limits, "192.0.2.9");
    assert_eq!((gone(&office), gone(&late), last.is_gone()), (1, 0, false));
    drop((flood, office, late, last));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn grace_time_begins_when_a_thread_serves_the_connection() {
    let limits = ConnectionLimits::of(ROOM);
    let late = Client::not_served(&limits, "203.0.113.1");
    tokio::time::advance(GRACE).await;
    let others: Vec<_> = (1..8).map(|at| Client::of(&limits, &format!("{at}.0.2.1"))).collect();
    tokio::time::advance(GRACE).await;
    let next = Client::of(&limits, "198.51.100.1");
    assert_eq!((late.is_gone(), gone(&others)), (false, 1));
    late.slot.begin();
    tokio::time::advance(GRACE).await;
    let last = Client::of(&limits, "192.0.2.9");
    assert!(late.is_gone() && !last.is_gone());
    drop((late, others, next, last));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn heavy_connection_is_closed_before_a_new_one_even_while_it_is_answered() {
    let limits = ConnectionLimits::of(ROOM);
    let greedy: Vec<_> = (1..4).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    let permits: Vec<_> = greedy.iter().map(|client| client.slot.permit(true)).collect();
    let fresh: Vec<_> = (0..3).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    for client in &greedy {
        client.slot.charge(400 << 10);
    }
    assert_eq!((gone(&greedy), gone(&fresh)), (1, 0));
    // Their last response has just ended, so they count as the youngest.
    drop(permits);
    let more: Vec<_> = (0..4).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    assert_eq!((gone(&greedy), gone(&fresh), gone(&more)), (2, 0, 0));
    drop((greedy, fresh, more));
    // All are new, and some of them have begun to take bytes.
    let light: Vec<_> = (0..4).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    let heavier: Vec<_> = (0..4).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    for client in &heavier {
        client.slot.charge(160 << 10);
    }
    light[0].slot.charge(500 << 10);
    assert_eq!((gone(&light), gone(&heavier)), (1, 0), "the heaviest");
    heavier[3].slot.charge(500 << 10);
    assert_eq!((gone(&light), gone(&heavier)), (1, 1));
    assert!(heavier[3].is_gone());
    drop((light, heavier));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn households_of_one_provider_count_as_one_flood() {
    let limits = ConnectionLimits::of(ROOM);
    let others = ["2001:db8::1", "2a01::1", "127.0.0.1"].map(|address| Client::of(&limits, address));
    let flood: Vec<_> =
        (0..1000).map(|at| Client::of(&limits, &format!("2a00:1:{:x}:{at:x}::1", at % 7))).collect();
    assert_eq!((gone(&others), gone(&flood)), (0, 995));
}

#[tokio::test(start_paused = true)]
async fn trusted_connection_is_never_closed_for_a_new_one() {
    let limits = ConnectionLimits::of(ROOM);
    let trusted: Vec<_> = (0..3).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    for client in &trusted {
        client.slot.trust();
    }
    let flood: Vec<_> = (0..100).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    assert_eq!((gone(&trusted), gone(&flood)), (0, 92));
    // No trusted slot is left: the connection is still served, as an untrusted one.
    flood[99].slot.trust();
    assert!(!flood[99].slot.is_trusted() && !flood[99].is_gone());
    drop(trusted);
    flood[99].slot.trust();
    assert!(flood[99].slot.is_trusted());
    drop(flood);
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn busy_connections_are_closed_last() {
    let limits = ConnectionLimits::of(ROOM);
    let busy: Vec<_> = (0..8).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    let mut permits: Vec<_> = busy.iter().map(|client| client.slot.permit(true).unwrap()).collect();
    // No connection is idle: the oldest busy one is closed.
    let first = Client::of(&limits, "192.0.2.1");
    assert!(busy[0].is_gone() && gone(&busy) == 1);
    let second = Client::of(&limits, "192.0.2.1");
    assert!(first.is_gone() && gone(&busy) == 1, "an idle one is closed before them");
    // Its response has ended: it is idle now, and counts as younger than the other connections.
    drop(permits.pop());
    let third = Client::of(&limits, "192.0.2.1");
    assert!(second.is_gone() && !busy[7].is_gone(), "the one that has been idle for longer");
    let fourth = Client::of(&limits, "192.0.2.1");
    assert!(busy[7].is_gone() && !third.is_gone());
    assert_eq!(gone(&busy), 2);
    drop((busy, permits, first, second, third, fourth));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn new_connection_does_not_make_room_for_a_larger_crowd_that_is_being_answered() {
    let limits = ConnectionLimits::of(ROOM);
    let crowd: Vec<_> = (0..7).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    let answering: Vec<_> = crowd.iter().map(|client| client.slot.permit(true)).collect();
    let unread = Client::of(&limits, "203.0.113.1");
    // The next of the crowd makes room within the crowd.
    let next = Client::of(&limits, "192.0.2.1");
    let also = next.slot.permit(true);
    let last = Client::of(&limits, "198.51.100.1");
    assert_eq!((unread.is_gone(), last.is_gone(), gone(&crowd)), (false, false, 2));
    drop((answering, also));
    drop((crowd, unread, next, last));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn recently_answered_connection_is_closed_after_a_silent_one() {
    let limits = ConnectionLimits::of(ROOM);
    let clients: Vec<_> = (0..8).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    drop(clients[0].slot.permit(true));
    let _new = Client::of(&limits, "192.0.2.1");
    assert!(clients[1].is_gone() && !clients[0].is_gone());
}

#[tokio::test(start_paused = true)]
async fn bytes_have_a_limit_of_their_own() {
    let limits = ConnectionLimits::of(ROOM);
    let other = Client::of(&limits, "198.51.100.7");
    let flood: Vec<_> = (0..7).map(|_| Client::of(&limits, "192.0.2.1")).collect();
    for client in &flood {
        client.slot.charge(200 << 10);
    }
    assert_eq!((gone(&flood), other.is_gone()), (3, false), "five times 208 KiB are more than a megabyte");
    assert!(flood[..3].iter().all(Client::is_gone));
    // One connection that takes much weighs more than several normal ones.
    flood[6].slot.charge(700 << 10);
    assert!(!other.is_gone());
    assert!(limits.state().bytes <= ROOM.bytes);
    flood[6].slot.charge(-(900 << 10));
    drop((flood, other));
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_on_one_connection_take_as_much_room_as_connections() {
    let limits = ConnectionLimits::of(ROOM);
    let client = Client::of(&limits, "192.0.2.1");
    // One after the other, there is always room.
    assert!((0..20).all(|_| client.slot.forward_permit().is_some()));
    let passing: Vec<_> = (0..5).map(|_| client.slot.forward_permit().unwrap()).collect();
    assert_eq!(limits.state().slots, 5);
    client.slot.trust();
    assert!(!client.slot.is_trusted(), "five slots are more than there are for the trusted");
    drop(passing);
    client.slot.trust();
    let passing: Vec<_> = (0..3).map(|_| client.slot.forward_permit().unwrap()).collect();
    assert!(client.slot.forward_permit().is_none(), "all slots of the trusted are taken");
    drop(passing);
    assert!(client.slot.forward_permit().is_some());
    drop(client);
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn slots_taken_before_trust_are_released_from_the_trusted_ones() {
    let limits = ConnectionLimits::of(ROOM);
    let client = Client::of(&limits, "192.0.2.1");
    let (permits, passages): (Vec<_>, Vec<_>) =
        (0..2).map(|_| (client.slot.permit(true), client.slot.forward_permit())).unzip();
    client.slot.trust();
    assert!(client.slot.is_trusted());
    assert_eq!(limits.state().trusted, 2);
    drop((permits, passages));
    assert_eq!(limits.state().trusted, 1);
    drop(client);
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn untrusted_connection_has_few_concurrent_requests() {
    let limits = ConnectionLimits::of(Limits { bytes: 100 << 20, ..ROOM });
    let client = Client::of(&limits, "192.0.2.1");
    let permits: Vec<_> = (0..REQUESTS).map(|_| client.slot.permit(false).unwrap()).collect();
    assert!(client.slot.permit(false).is_none());
    drop(permits);
    assert!(client.slot.permit(false).is_some());
    drop(client);
    is_empty(&limits);
}

#[tokio::test(start_paused = true)]
async fn connection_told_to_end_before_it_was_served_ends_at_once() {
    let limits = ConnectionLimits::of(Limits { strangers: 1, ..ROOM });
    let early = limits.enter(Peer::User(Some(1)));
    let _later = limits.enter(Peer::User(Some(2)));
    let ended = Arc::<AtomicBool>::default();
    let told = Arc::clone(&ended);
    early.ended_by(move || told.store(true, SeqCst));
    assert!(ended.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn new_connections_wait_for_those_that_were_told_to_end() {
    let limits = ConnectionLimits::of(Limits { strangers: 1, leaving: 1, ..ROOM });
    let first = limits.enter(Peer::User(Some(1)));
    limits.room().await;
    let second = limits.enter(Peer::User(Some(2)));
    let waiting = tokio::spawn({
        let limits = limits.clone();
        async move { limits.room().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    waiting.await.unwrap();
    drop(second);
    is_empty(&limits);
}
