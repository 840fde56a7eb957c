//! Wrong passwords from one address, one at a time on each connection.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::net::{self, Wire};
use crate::{Many, Outcome};

/// The number of each kind of answer.
#[derive(Default)]
struct Answers {
    refused: u64,
    too_many: u64,
    cut: u64,
}

pub async fn run(many: Many, from: Ipv4Addr) -> Outcome {
    let end = Instant::now() + many.time();
    let mut tasks = JoinSet::new();
    for number in 0..many.connections {
        tasks.spawn(guess(many.clone(), from, number, end));
    }
    let mut all = Answers::default();
    while let Some(answers) = tasks.join_next().await {
        let answers = answers??;
        all.refused += answers.refused;
        all.too_many += answers.too_many;
        all.cut += answers.cut;
    }
    println!("refused={} too-many={} cut={}", all.refused, all.too_many, all.cut);
    Ok(())
}

async fn guess(many: Many, from: Ipv4Addr, number: usize, end: Instant) -> Outcome<Answers> {
    let mut answers = Answers::default();
    let mut wire = None;
    for attempt in 0_u64.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let guess = STANDARD.encode(format!("user:wrong-{number}-{attempt}"));
        let request = many.head(&format!("Authorization: Basic {guess}\r\n"));
        let Ok(answer) = timeout(left, ask(&mut wire, &many, from, &request)).await else { break };
        match answer {
            Ok(401 | 403) => answers.refused += 1,
            Ok(429) => answers.too_many += 1,
            Ok(status) => return Err(format!("a wrong password was answered with {status}").into()),
            // A refused connection is an answer as well, and a new attempt uses another connection.
            Err(_) => {
                answers.cut += 1;
                wire = None;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    Ok(answers)
}

async fn ask(wire: &mut Option<Wire>, many: &Many, from: Ipv4Addr, request: &str) -> Outcome<u16> {
    let wire = match wire {
        Some(wire) => wire,
        None => wire.insert(Wire::connect(many.address, from).await?),
    };
    let head = wire.ask(request).await?;
    let length = net::length(&head)?;
    while wire.read.len() < length {
        wire.more().await?;
    }
    wire.read.drain(..length);
    Ok(net::status(&head).unwrap_or(0))
}
