//! Tests of the ring of events and of its followers.

use super::*;
use crate::observe::testing;
use crate::supervise::{UnitChange, UnitState};

fn events(kept: usize, more: u64) -> Events {
    let events = Events::keeping(kept, 0);
    for _ in 0..more {
        events.record(0, What::Up);
    }
    events
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[test]
fn the_newest_are_kept_and_found_by_their_numbers() {
    for (kept, more, since, expected) in [
        (5, 2, 0, &[1, 2, 3][..]),
        (5, 2, 2, &[3]),
        (5, 2, 3, &[]),
        // A number of an earlier daemon.
        (5, 2, 4, &[1, 2, 3]),
        (5, 2, u64::MAX, &[1, 2, 3]),
        (3, 9, 0, &[8, 9, 10]),
        (3, 9, 9, &[10]),
    ] {
        assert_eq!(numbers(&events(kept, more).since(since)), expected, "{kept} {more} {since}");
    }
}

async fn next(follower: &mut Follower) -> Option<Followed> {
    tokio::time::timeout(std::time::Duration::from_millis(20), follower.next()).await.ok().flatten()
}

fn number(followed: Option<Followed>) -> Option<u64> {
    match followed? {
        Followed::Event(event) => Some(event.seq),
        Followed::Lost(lost) => panic!("{lost} lost"),
    }
}

#[tokio::test]
async fn a_follower_gets_each_event_once() {
    let events = events(5, 2);
    let mut from_start = events.follow(Some(0));
    let mut from_now = events.follow(None);
    for expected in 1..=3 {
        assert_eq!(number(next(&mut from_start).await), Some(expected));
    }
    assert_eq!(next(&mut from_start).await, None);
    assert_eq!(next(&mut from_now).await, None);
    events.record(0, What::Down);
    assert_eq!(number(next(&mut from_start).await), Some(4));
    assert_eq!(number(next(&mut from_now).await), Some(4));
}

#[tokio::test]
async fn a_slow_follower_gets_the_number_of_lost_events() {
    let events = events(3, 0);
    let mut follower = events.follow(None);
    for _ in 0..10 {
        events.record(0, What::Up);
    }
    assert_eq!(next(&mut follower).await, Some(Followed::Lost(7)));
    for expected in 9..=11 {
        assert_eq!(number(next(&mut follower).await), Some(expected));
    }
    assert_eq!(next(&mut follower).await, None);
}

#[tokio::test]
async fn a_follower_in_another_task_is_lossless_while_it_keeps_up() {
    let events = events(KEPT, 0);
    let mut follower = events.follow(Some(0));
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last() != Some(&1500) {
            seen.push(number(follower.next().await).unwrap());
        }
        seen
    });
    for _ in 0..1499 {
        events.record(0, What::Up);
        tokio::task::yield_now().await;
    }
    assert!(reader.await.unwrap().into_iter().eq(1..=1500));
}

#[test]
fn an_event_is_flat_json() {
    let event = Event {
        seq: 7,
        at: 1,
        what: What::Unit(UnitChange {
            reason: "for x".into(),
            ..testing::change("kde", None, UnitState::Waiting)
        }),
    };
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(
        text,
        r#"{"seq":7,"at":1,"kind":"unit","unit":"kde","from":null,"to":"waiting","reason":"for x","health":null,"pid":null}"#
    );
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
}
