//! Floods from many networks: who gets the next turn, and who is refused when too many wait.

use super::*;
use futures_util::FutureExt;
use std::net::Ipv6Addr;
use std::pin::Pin;

type Enter<'a> = Pin<Box<dyn Future<Output = Result<Pass, Denied>> + 'a>>;

/// A client without a known browser.
const NEW: Standing = Standing::Stranger;

/// An attempt that waits, or has had its turn already.
fn ask(attempts: &Arc<Attempts>, from: Network) -> Enter<'_> {
    ask_as(attempts, from, NEW)
}

fn ask_as(attempts: &Arc<Attempts>, from: Network, standing: Standing) -> Enter<'_> {
    let mut enter: Enter<'_> = Box::pin(attempts.enter(from, standing, new()));
    assert!(look(&mut enter).is_none(), "another attempt has the thread");
    enter
}

/// The result of the attempt, if there is one yet.
fn look(enter: &mut Enter<'_>) -> Option<Result<Pass, Denied>> {
    tokio::task::unconstrained(enter.as_mut()).now_or_never()
}

/// An attempt of a flood: each one comes from another network of the same provider.
fn flood(n: u64) -> Network {
    let bits = (0x2001_0db8_u128 << 96) | (u128::from(n) << 64) | 1;
    Network::of(Ipv6Addr::from_bits(bits).into())
}

async fn full() -> (Arc<Attempts>, Pass) {
    let attempts = attempts(1);
    let pass = attempts.enter(flood(0), NEW, new()).await.unwrap();
    (attempts, pass)
}

/// Which attempts have their turn now.
fn entered(waiting: &mut [Enter<'_>]) -> Vec<bool> {
    waiting.iter_mut().map(|enter| matches!(look(enter), Some(Ok(_)))).collect()
}

#[tokio::test(start_paused = true)]
async fn newest_of_equal_attempts_goes_first_and_dropped_ones_are_skipped() {
    let attempts = attempts(2);
    let network = |n: u64| of(&format!("198.{n}.0.1"));
    let inside = [attempts.enter(network(0), NEW, new()).await, attempts.enter(network(1), NEW, new()).await];
    let mut waiting: Vec<_> = (2..6).map(|n| ask(&attempts, network(n))).collect();
    drop(waiting.pop());
    drop(inside);
    let mut passes: Vec<_> = waiting.iter_mut().map(look).collect();
    assert_eq!(passes.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    // The turn is given to an attempt that never takes it.
    passes.pop();
    drop(waiting.remove(0));
    passes.clear();
    assert_eq!(attempts.state().free, 2);
}

#[tokio::test(start_paused = true)]
async fn client_of_another_provider_goes_before_a_flood() {
    for newcomer in ["2001:db9::1", "203.0.113.1", "192.168.0.1"] {
        let (attempts, mut inside) = full().await;
        let mut crowd = Vec::new();
        for n in 1..200 {
            let mut enter: Enter<'_> = Box::pin(attempts.enter(flood(n), NEW, new()));
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
        let mut person = [ask(&attempts, of(newcomer))];
        for n in 200..600 {
            let mut enter: Enter<'_> = Box::pin(attempts.enter(flood(n), NEW, new()));
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
    let (attempts, inside) = full().await;
    let mut waiting: Vec<_> = (1..40).map(|n| ask(&attempts, flood(n))).collect();
    waiting.push(ask(&attempts, of("2001:db8:1:2::1")));
    waiting.extend((40..60).map(|n| ask(&attempts, flood(n))));
    drop(inside);
    assert_eq!(entered(&mut waiting).iter().position(|entered| *entered), Some(39));
    drop(waiting);

    // Two floods get the same number of checks, however different they are in size.
    let (attempts, mut inside) = full().await;
    let mut checked = [0, 0];
    let mut n = 1;
    for _ in 0..100 {
        let mut waiting = Vec::new();
        for _ in 0..20 {
            n += 1;
            waiting.push((0, ask(&attempts, flood(n))));
        }
        waiting.push((1, ask(&attempts, of(&format!("203.0.{}.1", n % 250)))));
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
    let attempts = attempts(2);
    let mut passes = Vec::new();
    for n in 0..10 {
        passes.clear();
        passes.push(attempts.enter(flood(n), NEW, new()).await.unwrap());
    }
    let mut crowd = ask(&attempts, flood(10));
    for newcomer in ["203.0.113.1", "2001:db9::1"] {
        let pass =
            attempts.enter(of(newcomer), NEW, new()).now_or_never().expect("there is a thread").unwrap();
        drop(pass);
        assert!(look(&mut crowd).is_none(), "the thread is not for the flood");
    }
    drop(passes);
    assert!(matches!(look(&mut crowd), Some(Ok(_))), "the thread of the flood is free");
    drop(crowd);
    assert_eq!(attempts.state().free, 2);
}

#[tokio::test(start_paused = true)]
async fn known_browser_and_known_network_go_before_other_clients() {
    let (attempts, inside) = full().await;
    let strangers = (0..20).map(|n| ask(&attempts, of(&format!("198.{n}.0.1"))));
    let mut waiting = vec![ask_as(&attempts, of("203.0.113.1"), Standing::KnownNetwork)];
    waiting.push(ask_as(&attempts, of("203.0.113.9"), Standing::KnownBrowser));
    waiting.extend(strangers);
    drop(inside);
    assert!(matches!(look(&mut waiting[1]), Some(Ok(_))), "the browser");
    assert!(matches!(look(&mut waiting[0]), Some(Ok(_))), "the network");
}

#[tokio::test(start_paused = true)]
async fn when_too_many_wait_one_of_the_flood_is_refused_at_once() {
    let (attempts, inside) = full().await;
    let mut crowd: Vec<_> = (1..=64).map(|n| ask(&attempts, flood(n))).collect();
    let mut person = ask(&attempts, of("203.0.113.1"));
    assert!(crowd.iter_mut().any(|enter| matches!(look(enter), Some(Err(Denied::TooMany(COME_BACK))))));
    assert_eq!(attempts.state().waiting.len(), WAITING);
    // More attempts of the flood replace only attempts of the flood.
    let _more: Vec<_> = (65..200)
        .map(|n| {
            let mut enter: Enter<'_> = Box::pin(attempts.enter(flood(n), NEW, new()));
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
    let (attempts, _inside) = full().await;
    let before = Instant::now();
    assert!(matches!(attempts.enter(of("203.0.113.1"), NEW, new()).await, Err(Denied::TooMany(COME_BACK))));
    assert_eq!(before.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn known_networks_have_places_beside_those_of_strangers() {
    let (attempts, inside) = full().await;
    let shared = of("172.17.0.1");
    let mut person = ask(&attempts, of("203.0.113.1"));
    let mut known: Vec<_> =
        (0..WAITING_KNOWN).map(|_| ask_as(&attempts, shared, Standing::KnownNetwork)).collect();
    assert!(look(&mut person).is_none() && known.iter_mut().all(|enter| look(enter).is_none()), "all wait");
    let _one_more = ask_as(&attempts, shared, Standing::KnownNetwork);
    assert_eq!(known.iter_mut().filter_map(look).count(), 1);
    assert_eq!(attempts.state().waiting.len(), WAITING_KNOWN + 1);
    drop(inside);
    assert!(look(&mut person).is_none(), "the known network comes first");
}
