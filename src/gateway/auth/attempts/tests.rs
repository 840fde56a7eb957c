//! Tests with a paused clock, which moves only when all tasks wait.

mod floods;

use super::*;
use crate::gateway::auth::counters::Counters;
use crate::gateway::auth::failures::{BAN, NETWORKS};
use std::net::Ipv4Addr;

fn of(address: &str) -> Network {
    Network::of(address.parse().unwrap())
}

fn home() -> Network {
    of("192.168.0.1")
}

fn stranger() -> Network {
    of("203.0.113.1")
}

fn attempts(threads: usize) -> Arc<Attempts> {
    Arc::new(Attempts::new(threads, Arc::default()))
}

/// The fingerprint of a new wrong value.
fn new() -> Fingerprint {
    rand::random()
}

impl Attempts {
    fn counters(&self) -> Counters {
        self.counts.read()
    }

    fn knows(&self, from: Network, fingerprint: Fingerprint) -> bool {
        self.state().failures.knows(from, fingerprint, Instant::now())
    }

    /// How many attempts wait.
    fn waiting(&self) -> usize {
        self.state().waiting.len()
    }
}

async fn enter(attempts: &Arc<Attempts>, from: Network) -> Result<Pass, Denied> {
    attempts.enter(from, Standing::Stranger, new()).await
}

/// How long a wrong attempt takes.
async fn fail(attempts: &Arc<Attempts>, from: Network) -> Result<u128, Denied> {
    let before = Instant::now();
    enter(attempts, from).await?.end(Some(new()));
    Ok(before.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn each_failure_costs_more_up_to_a_limit_and_shared_addresses_are_never_banned() {
    let attempts = attempts(2);
    for expected in [0, 0, 0, 250, 500, 1000, 2000, 2000, 2000, 2000] {
        assert_eq!(fail(&attempts, home()).await, Ok(expected));
    }
    assert_eq!(fail(&attempts, of("192.168.0.2")).await, Ok(0));
    tokio::time::advance(BAN).await;
    assert_eq!(fail(&attempts, home()).await, Ok(0));
    let counters = attempts.counters();
    assert_eq!((counters.attempts, counters.failures, counters.bans, counters.refused), (12, 12, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_public_address_that_guesses_is_banned_for_a_while() {
    let attempts = attempts(2);
    for expected in [0, 0, 0, 250, 500] {
        assert_eq!(fail(&attempts, stranger()).await, Ok(expected));
    }
    assert_eq!(fail(&attempts, stranger()).await, Err(Denied::TooMany(BAN)));
    tokio::time::advance(BAN / 2).await;
    assert_eq!(attempts.wrong(stranger(), new()).await, Denied::TooMany(BAN / 2));
    // Another address is not banned.
    assert_eq!(fail(&attempts, of("203.0.113.2")).await, Ok(0));
    tokio::time::advance(BAN / 2).await;
    assert_eq!(fail(&attempts, stranger()).await, Ok(0));
    let counters = attempts.counters();
    assert_eq!((counters.attempts, counters.bans, counters.refused), (7, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn occasional_failures_do_not_cause_a_ban() {
    let attempts = attempts(2);
    for _ in 0..20 {
        fail(&attempts, stranger()).await.unwrap();
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    assert_eq!(attempts.counters().bans, 0);
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_count_without_taking_turns() {
    let attempts = attempts(2);
    for expected in [0, 0, 250, 500, 1000, 2000, 2000] {
        let before = Instant::now();
        assert_eq!(attempts.wrong(home(), new()).await, Denied::Wrong);
        assert_eq!(before.elapsed().as_millis(), expected);
    }
    // A password does not wait for delayed tokens.
    assert_eq!(fail(&attempts, home()).await, Ok(0));
    let held: Vec<_> = (0..WAITING).map(|_| attempts.wrong(home(), new())).collect();
    let held = futures_util::future::join_all(held);
    tokio::pin!(held);
    assert!(futures_util::poll!(&mut held).is_pending());
    assert_eq!(attempts.wrong(home(), new()).await, Denied::TooMany(Duration::from_secs(2)));
    // A client whose wrong token has no pause gets its answer.
    assert_eq!(attempts.wrong(of("203.0.113.2"), new()).await, Denied::Wrong);
    assert!(held.await.iter().all(|answer| *answer == Denied::Wrong));
    let five = futures_util::future::join_all((0..6).map(|_| attempts.wrong(stranger(), new()))).await;
    assert_eq!(five.iter().filter(|answer| **answer == Denied::TooMany(BAN)).count(), 1);
    assert_eq!(attempts.counters().bans, 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_wrong_value_is_not_counted_again() {
    let attempts = attempts(2);
    let fingerprint = new();
    assert!(!attempts.knows(stranger(), fingerprint));
    enter(&attempts, stranger()).await.ok().unwrap().end(Some(fingerprint));
    for _ in 0..20 {
        assert_eq!(attempts.wrong(stranger(), fingerprint).await, Denied::Wrong);
        let again = attempts.enter(stranger(), Standing::Stranger, fingerprint).await;
        assert_eq!(again.err(), Some(Denied::Wrong));
    }
    assert_eq!((attempts.counters().failures, attempts.counters().bans), (1, 0));
    assert!(!attempts.knows(stranger(), new()));
    assert!(!attempts.knows(home(), fingerprint), "that of another");
    for _ in 0..4 {
        fail(&attempts, stranger()).await.unwrap();
    }
    assert_eq!(attempts.wrong(stranger(), fingerprint).await, Denied::TooMany(BAN));
    tokio::time::advance(BAN).await;
    assert!(!attempts.knows(stranger(), fingerprint), "forgotten like all failures");
}

#[tokio::test(start_paused = true)]
async fn the_same_wrong_value_many_times_at_once_is_counted_once() {
    let (attempts, fingerprint) = (attempts(2), new());
    let attempt = async || {
        let pass = attempts.enter(stranger(), Standing::Stranger, fingerprint).await?;
        tokio::task::yield_now().await;
        pass.end(Some(fingerprint));
        Err::<(), _>(Denied::Wrong)
    };
    let answers = futures_util::future::join_all((0..20).map(|_| attempt())).await;
    assert!(answers.iter().all(|answer| *answer == Err(Denied::Wrong)));
    assert_eq!((attempts.counters().attempts, attempts.counters().bans), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn right_attempt_clears_the_failures() {
    let attempts = attempts(2);
    for _ in 0..4 {
        fail(&attempts, stranger()).await.unwrap();
    }
    enter(&attempts, stranger()).await.ok().unwrap().end(None);
    assert_eq!(attempts.state().failures.size(), 0);
    assert_eq!(attempts.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn single_attempt_is_not_delayed_by_hundreds_of_waiting_attempts() {
    let attempts = attempts(2);
    let guess = |attempts: Arc<Attempts>| async move { fail(&attempts, home()).await };
    let guesses: Vec<_> = (0..200).map(|_| tokio::spawn(guess(Arc::clone(&attempts)))).collect();
    // Long enough for the pauses to be as long as they get.
    tokio::time::sleep(Duration::from_millis(7900)).await;
    let before = Instant::now();
    enter(&attempts, home()).await.ok().unwrap().end(None);
    assert!(before.elapsed() <= Duration::from_secs(2), "{:?}", before.elapsed());
    let waiting = guesses.iter().filter(|guess| !guess.is_finished()).count();
    assert!(waiting > 50, "{waiting}");
    for guess in guesses {
        let _ = guess.await.unwrap();
    }
    assert_eq!(attempts.waiting(), 0);
    // Most of them were refused; few were checked.
    let counters = attempts.counters();
    assert!(counters.refused > 150 && counters.attempts < 20, "{counters:?}");
}

#[tokio::test(start_paused = true)]
async fn attempt_that_is_dropped_while_it_waits_is_not_counted() {
    let attempts = attempts(2);
    let checked = enter(&attempts, home()).await.ok().unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(enter(&attempts, home()))).collect();
    for turn in &mut waiting {
        assert!(futures_util::poll!(turn).is_pending());
    }
    // The next in turn is dropped; the turn goes to the attempt before it.
    drop(waiting.pop());
    checked.end(Some(new()));
    assert!(futures_util::poll!(&mut waiting[1]).is_ready());
    drop(waiting);
    assert_eq!(enter(&attempts, home()).await.map(|pass| pass.end(None)), Ok(()));
    assert_eq!((attempts.waiting(), attempts.counters().attempts), (0, 2));
    assert!(attempts.state().busy.is_empty() && attempts.state().free == 2);
}

#[tokio::test(start_paused = true)]
async fn oldest_waiting_attempt_is_refused_when_too_many_wait() {
    let attempts = attempts(2);
    let _checked = enter(&attempts, home()).await.ok().unwrap();
    let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(enter(&attempts, home()))).collect();
    for turn in &mut waiting {
        assert!(futures_util::poll!(turn).is_pending());
    }
    let mut one_more = std::pin::pin!(enter(&attempts, home()));
    assert!(futures_util::poll!(&mut one_more).is_pending());
    assert!(matches!(futures_util::poll!(&mut waiting[0]), std::task::Poll::Ready(Err(_))));
    assert!(futures_util::poll!(&mut waiting[1]).is_pending());
    assert_eq!(attempts.waiting(), WAITING);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_a_network_has_one_record() {
    let attempts = attempts(2);
    for n in 0..6000_u32 {
        fail(&attempts, Network::of(Ipv4Addr::from(0x0b00_0000 + n).into())).await.unwrap();
    }
    assert!(attempts.state().failures.size() <= NETWORKS);
    attempts.state().failures = Failures::default();
    for n in 0..5_u16 {
        fail(&attempts, of(&format!("2001:db8::{n}:0:0:1"))).await.unwrap();
    }
    assert_eq!((attempts.state().failures.size(), attempts.counters().bans), (1, 1));
    // Attempts of any number of networks have the same places.
    let many: Vec<Network> =
        (0..8_u32).map(|n| Network::of(Ipv4Addr::from(0x0c00_0000 + n).into())).collect();
    let mut waiting: Vec<_> = (0..2000).map(|n| Box::pin(enter(&attempts, many[n % many.len()]))).collect();
    let mut passes = Vec::new();
    for turn in &mut waiting {
        if let std::task::Poll::Ready(Ok(pass)) = futures_util::poll!(turn) {
            passes.push(pass);
        }
    }
    assert_eq!((passes.len(), attempts.waiting()), (2, WAITING));
}

#[tokio::test(start_paused = true)]
async fn shared_address_is_under_attack_until_the_ban_time_ends() {
    let attempts = attempts(2);
    for _ in 0..4 {
        fail(&attempts, home()).await.unwrap();
        fail(&attempts, stranger()).await.unwrap();
    }
    assert!(!attempts.is_under_attack(home()));
    fail(&attempts, home()).await.unwrap();
    fail(&attempts, stranger()).await.unwrap();
    // The public address is banned instead.
    assert!(attempts.is_under_attack(home()) && !attempts.is_under_attack(stranger()));
    enter(&attempts, home()).await.unwrap().end(None);
    assert!(attempts.is_under_attack(home()), "a right attempt does not end it");
    tokio::time::advance(BAN).await;
    assert!(!attempts.is_under_attack(home()));
}
