//! Tests with a paused clock, which moves only when all tasks wait.

use super::table::{BAN, MEMORY, NETWORKS, WAITING, WAITING_ALL};
use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const HOME: Network = Network { address: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)), public: false };
const STRANGER: Network = Network { address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), public: true };

fn of(address: &str) -> Network {
    Network::of(address.parse().unwrap())
}

fn failures() -> Failures {
    Failures::new(Arc::default())
}

/// The fingerprint of a new wrong value.
fn new() -> Fingerprint {
    rand::random()
}

/// How long a wrong attempt takes.
async fn fail(failures: &Failures, address: Network) -> Result<u128, Duration> {
    let before = Instant::now();
    failures.turn(address).await?.end(Some(new()));
    Ok(before.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn each_failure_costs_more_up_to_a_limit_and_shared_addresses_are_never_banned() {
    let failures = failures();
    for expected in [0, 0, 0, 250, 500, 1000, 2000, 2000, 2000, 2000] {
        assert_eq!(fail(&failures, HOME).await, Ok(expected));
    }
    assert_eq!(fail(&failures, of("192.168.0.2")).await, Ok(0));
    tokio::time::advance(MEMORY).await;
    assert_eq!(fail(&failures, HOME).await, Ok(0));
    let counters = failures.counts.read();
    assert_eq!((counters.attempts, counters.failures, counters.bans, counters.refused), (12, 12, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_public_address_that_guesses_is_banned_for_a_while() {
    let failures = failures();
    for expected in [0, 0, 0, 250, 500] {
        assert_eq!(fail(&failures, STRANGER).await, Ok(expected));
    }
    assert_eq!(fail(&failures, STRANGER).await, Err(BAN));
    tokio::time::advance(BAN / 2).await;
    assert_eq!(failures.wrong(STRANGER, new()).await, Err(BAN / 2));
    // Another address is not banned.
    assert_eq!(fail(&failures, of("203.0.113.2")).await, Ok(0));
    tokio::time::advance(BAN / 2).await;
    assert_eq!(fail(&failures, STRANGER).await, Ok(0));
    let counters = failures.counts.read();
    assert_eq!((counters.attempts, counters.bans, counters.refused), (7, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn occasional_failures_do_not_cause_a_ban() {
    let failures = failures();
    for _ in 0..20 {
        fail(&failures, STRANGER).await.unwrap();
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    assert_eq!(failures.counts.read().bans, 0);
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_count_without_taking_turns() {
    let failures = failures();
    for expected in [0, 0, 250, 500, 1000, 2000, 2000] {
        let before = Instant::now();
        failures.wrong(HOME, new()).await.unwrap();
        assert_eq!(before.elapsed().as_millis(), expected);
    }
    // A password does not wait for delayed tokens.
    assert_eq!(fail(&failures, HOME).await, Ok(0));
    let held: Vec<_> = (0..HELD).map(|_| failures.wrong(HOME, new())).collect();
    let held = futures_util::future::join_all(held);
    tokio::pin!(held);
    assert!(futures_util::poll!(&mut held).is_pending());
    assert_eq!(failures.wrong(HOME, new()).await, Err(COME_BACK));
    assert!(held.await.iter().all(Result::is_ok));
    let five = futures_util::future::join_all((0..6).map(|_| failures.wrong(STRANGER, new()))).await;
    assert_eq!(five.iter().filter(|answer| answer.is_err()).count(), 1);
    assert_eq!(failures.counts.read().bans, 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_wrong_value_is_not_counted_again() {
    let failures = failures();
    let fingerprint = new();
    assert_eq!(failures.knows(STRANGER, fingerprint), Ok(false));
    failures.turn(STRANGER).await.ok().unwrap().end(Some(fingerprint));
    for _ in 0..20 {
        assert_eq!(failures.knows(STRANGER, fingerprint), Ok(true));
        failures.wrong(STRANGER, fingerprint).await.unwrap();
    }
    assert_eq!((failures.counts.read().failures, failures.counts.read().bans), (1, 0));
    assert_eq!(failures.knows(STRANGER, new()), Ok(false));
    assert_eq!(failures.knows(HOME, fingerprint), Ok(false), "that of another");
    for _ in 0..4 {
        fail(&failures, STRANGER).await.unwrap();
    }
    assert_eq!(failures.knows(STRANGER, fingerprint), Err(BAN));
    tokio::time::advance(MEMORY).await;
    assert_eq!(failures.knows(STRANGER, fingerprint), Ok(false), "forgotten like all failures");
}

#[tokio::test(start_paused = true)]
async fn right_attempt_clears_the_failures() {
    let failures = failures();
    for _ in 0..4 {
        fail(&failures, STRANGER).await.unwrap();
    }
    failures.turn(STRANGER).await.ok().unwrap().end(None);
    assert_eq!(failures.lock().size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn single_attempt_is_not_delayed_by_hundreds_of_waiting_attempts() {
    let failures = failures();
    let guess = |failures: Failures| async move { fail(&failures, HOME).await };
    let guesses: Vec<_> = (0..200).map(|_| tokio::spawn(guess(failures.clone()))).collect();
    // Long enough for the pauses to be as long as they get.
    tokio::time::sleep(Duration::from_millis(7900)).await;
    let before = Instant::now();
    failures.turn(HOME).await.ok().unwrap().end(None);
    assert!(before.elapsed() <= Duration::from_secs(2), "{:?}", before.elapsed());
    let waiting = guesses.iter().filter(|guess| !guess.is_finished()).count();
    assert!(waiting > 150, "{waiting}");
    for guess in guesses {
        let _ = guess.await.unwrap();
    }
    assert_eq!(failures.lock().size().1, 0);
    // Most of them were refused; few were checked.
    let counters = failures.counts.read();
    assert!(counters.refused > 150 && counters.attempts < 20, "{counters:?}");
}

#[tokio::test(start_paused = true)]
async fn attempt_that_is_dropped_while_it_waits_is_not_counted() {
    let failures = failures();
    let checked = failures.turn(HOME).await.ok().unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(failures.turn(HOME))).collect();
    for turn in &mut waiting {
        assert!(futures_util::poll!(turn).is_pending());
    }
    // The next in turn is dropped; the turn goes to the attempt before it.
    drop(waiting.pop());
    checked.end(Some(new()));
    assert!(futures_util::poll!(&mut waiting[1]).is_ready());
    drop(waiting);
    assert_eq!((failures.lock().size(), failures.counts.read().attempts), ((1, 0), 1));
}

#[tokio::test(start_paused = true)]
async fn oldest_waiting_attempt_is_refused_when_too_many_wait() {
    let failures = failures();
    let _checked = failures.turn(HOME).await.ok().unwrap();
    let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(failures.turn(HOME))).collect();
    for turn in &mut waiting {
        assert!(futures_util::poll!(turn).is_pending());
    }
    let mut one_more = pin!(failures.turn(HOME));
    assert!(futures_util::poll!(&mut one_more).is_pending());
    assert!(matches!(futures_util::poll!(&mut waiting[0]), std::task::Poll::Ready(Err(_))));
    assert!(futures_util::poll!(&mut waiting[1]).is_pending());
    assert_eq!(failures.lock().size().1, WAITING);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_a_network_has_one_record() {
    let failures = failures();
    for n in 0..6000_u32 {
        fail(&failures, Network::of(IpAddr::V4((0x0b00_0000 + n).into()))).await.unwrap();
    }
    assert!(failures.lock().size().0 <= NETWORKS);
    failures.lock().clear();
    for n in 0..5_u16 {
        fail(&failures, Network::of(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, n, 0, 0, 1).into())).await.unwrap();
    }
    assert_eq!((failures.lock().size().0, failures.counts.read().bans), (1, 1));
    failures.lock().clear();
    let many: Vec<Network> = (0..8_u32).map(|n| Network::of(IpAddr::V4((0x0c00_0000 + n).into()))).collect();
    let mut checked = Vec::new();
    for address in &many {
        checked.push(failures.turn(*address).await.ok().unwrap());
    }
    let mut waiting: Vec<_> = (0..2000).map(|n| Box::pin(failures.turn(many[n % many.len()]))).collect();
    for turn in &mut waiting {
        let _ = futures_util::poll!(turn);
    }
    assert_eq!(failures.lock().size().1, WAITING_ALL);
}

#[tokio::test(start_paused = true)]
async fn shared_address_is_under_attack_until_the_ban_time_ends() {
    let failures = failures();
    let (home, stranger) = (HOME, STRANGER);
    for _ in 0..4 {
        fail(&failures, HOME).await.unwrap();
        fail(&failures, STRANGER).await.unwrap();
    }
    assert!(!failures.is_under_attack(home));
    fail(&failures, HOME).await.unwrap();
    fail(&failures, STRANGER).await.unwrap();
    // The public address is banned instead.
    assert!(failures.is_under_attack(home) && !failures.is_under_attack(stranger));
    failures.turn(HOME).await.unwrap().end(None);
    assert!(failures.is_under_attack(home), "a right attempt does not end it");
    tokio::time::advance(BAN).await;
    assert!(!failures.is_under_attack(home));
}
