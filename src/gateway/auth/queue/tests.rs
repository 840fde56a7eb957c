//! Tests with a paused clock, which moves only when all tasks wait.

use super::*;
use futures_util::FutureExt;
use std::net::Ipv6Addr;
use std::pin::Pin;

type Enter<'a> = Pin<Box<dyn Future<Output = Result<Pass, Duration>> + 'a>>;

fn from(address: &str) -> Asker {
    Asker { from: Network::of(address.parse().unwrap()), known: false }
}

/// An attempt that waits, or has had its turn already.
fn ask(queue: &Queue, asker: Asker) -> Enter<'_> {
    let mut enter: Enter<'_> = Box::pin(queue.enter(asker));
    assert!(look(&mut enter).is_none(), "another attempt has the thread");
    enter
}

/// The result of the attempt, if there is one yet.
fn look(enter: &mut Enter<'_>) -> Option<Result<Pass, Duration>> {
    tokio::task::unconstrained(enter.as_mut()).now_or_never()
}

/// An attempt of a flood: each one comes from another network of the same provider.
fn flood(n: u64) -> Asker {
    let bits = (0x2001_0db8_u128 << 96) | (u128::from(n) << 64) | 1;
    Asker { from: Network::of(Ipv6Addr::from_bits(bits).into()), known: false }
}

async fn full() -> (Queue, Pass) {
    let queue = Queue::new(1);
    let pass = queue.enter(flood(0)).await.unwrap();
    (queue, pass)
}

/// Which attempts have their turn now.
fn entered(waiting: &mut [Enter<'_>]) -> Vec<bool> {
    waiting.iter_mut().map(|enter| matches!(look(enter), Some(Ok(_)))).collect()
}

#[tokio::test(start_paused = true)]
async fn newest_of_equal_attempts_goes_first_and_dropped_ones_are_skipped() {
    let queue = Queue::new(2);
    let asker = |n: u64| from(&format!("198.{n}.0.1"));
    let inside = [queue.enter(asker(0)).await, queue.enter(asker(1)).await];
    let mut waiting: Vec<_> = (2..6).map(|n| ask(&queue, asker(n))).collect();
    drop(waiting.pop());
    drop(inside);
    let mut passes: Vec<_> = waiting.iter_mut().map(look).collect();
    assert_eq!(passes.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    // The turn is given to an attempt that never takes it.
    passes.pop();
    drop(waiting.remove(0));
    passes.clear();
    assert_eq!(queue.lock().free, 2);
}

#[tokio::test(start_paused = true)]
async fn client_of_another_provider_goes_before_a_flood() {
    for newcomer in ["2001:db9::1", "203.0.113.1", "192.168.0.1"] {
        let (queue, mut inside) = full().await;
        let mut crowd = Vec::new();
        for n in 1..200 {
            let mut enter: Enter<'_> = Box::pin(queue.enter(flood(n)));
            if look(&mut enter).is_none() {
                crowd.push(enter);
            }
        }
        // Some attempts of the flood were checked, and were wrong.
        for _ in 0..10 {
            drop(inside);
            let mut next = None;
            crowd.retain_mut(|enter| match look(enter) {
                None => true,
                Some(turn) => {
                    next = next.take().or(turn.ok());
                    false
                }
            });
            inside = next.unwrap();
        }
        let mut person = [ask(&queue, from(newcomer))];
        for n in 200..600 {
            let mut enter: Enter<'_> = Box::pin(queue.enter(flood(n)));
            if look(&mut enter).is_none() {
                crowd.push(enter);
            }
        }
        drop(inside);
        assert_eq!(entered(&mut person), [true], "{newcomer}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_customer_of_one_provider_goes_first_and_two_floods_share() {
    let (queue, inside) = full().await;
    let mut waiting: Vec<_> = (1..40).map(|n| ask(&queue, flood(n))).collect();
    waiting.push(ask(&queue, from("2001:db8:1:2::1")));
    waiting.extend((40..60).map(|n| ask(&queue, flood(n))));
    drop(inside);
    assert_eq!(entered(&mut waiting).iter().position(|entered| *entered), Some(39));
    drop(waiting);

    // Two floods get the same number of checks, however different they are in size.
    let (queue, mut inside) = full().await;
    let mut checked = [0, 0];
    let mut n = 1;
    for _ in 0..100 {
        let mut waiting = Vec::new();
        for _ in 0..20 {
            n += 1;
            waiting.push((0, ask(&queue, flood(n))));
        }
        waiting.push((1, ask(&queue, from(&format!("203.0.{}.1", n % 250)))));
        drop(inside);
        let next = waiting.iter_mut().find_map(|(crowd, enter)| Some((*crowd, look(enter)?)));
        let (crowd, pass) = next.unwrap();
        checked[crowd] += 1;
        inside = pass.unwrap();
    }
    assert!(checked[1] >= 40, "{checked:?}");
}

#[tokio::test(start_paused = true)]
async fn flood_leaves_one_of_several_threads_free() {
    let queue = Queue::new(2);
    let mut passes = Vec::new();
    for n in 0..10 {
        passes.clear();
        passes.push(queue.enter(flood(n)).await.unwrap());
    }
    let mut crowd = ask(&queue, flood(10));
    for newcomer in ["203.0.113.1", "2001:db9::1"] {
        let pass = queue.enter(from(newcomer)).now_or_never().expect("there is a thread").unwrap();
        drop(pass);
        assert!(look(&mut crowd).is_none(), "the thread is not for the flood");
    }
    drop(passes);
    assert!(matches!(look(&mut crowd), Some(Ok(_))), "the thread of the flood is free");
    drop(crowd);
    assert_eq!(queue.lock().free, 2);
}

#[tokio::test(start_paused = true)]
async fn known_browser_and_known_network_go_before_other_clients() {
    let (queue, inside) = full().await;
    queue.learn(from("203.0.113.1").from);
    let strangers = (0..20).map(|n| ask(&queue, from(&format!("198.{n}.0.1"))));
    let mut waiting = vec![ask(&queue, from("203.0.113.1"))];
    waiting.push(ask(&queue, Asker { known: true, ..from("203.0.113.9") }));
    waiting.extend(strangers);
    drop(inside);
    assert!(matches!(look(&mut waiting[1]), Some(Ok(_))), "the browser");
    assert!(matches!(look(&mut waiting[0]), Some(Ok(_))), "the network");
    for n in 0..2 * KNOWN {
        queue.learn(from(&format!("198.{n}.0.1")).from);
    }
    assert_eq!(queue.lock().known.len(), KNOWN);
}

#[tokio::test(start_paused = true)]
async fn when_too_many_wait_one_of_the_flood_is_refused_at_once() {
    let (queue, inside) = full().await;
    let mut crowd: Vec<_> = (1..=64).map(|n| ask(&queue, flood(n))).collect();
    let mut person = ask(&queue, from("203.0.113.1"));
    assert!(crowd.iter_mut().any(|enter| matches!(look(enter), Some(Err(COME_BACK)))));
    assert_eq!(queue.lock().waiting.len(), WAITING);
    // More attempts of the flood replace only attempts of the flood.
    let _more: Vec<_> = (65..200)
        .map(|n| {
            let mut enter: Enter<'_> = Box::pin(queue.enter(flood(n)));
            look(&mut enter);
            enter
        })
        .collect();
    assert!(look(&mut person).is_none(), "waits still");
    drop(inside);
    assert!(matches!(look(&mut person), Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn waiting_attempt_is_refused_after_its_patience() {
    let (queue, _inside) = full().await;
    let before = Instant::now();
    assert!(matches!(queue.enter(from("203.0.113.1")).await, Err(COME_BACK)));
    assert_eq!(before.elapsed(), PATIENCE);
}
