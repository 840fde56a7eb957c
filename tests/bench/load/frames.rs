//! A stream with a login: how long its pictures take from the service to the browser.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::frame::BINARY;
use crate::net::Wire;
use crate::server::now;
use crate::{Many, Outcome, stats};

pub async fn run(many: Many) -> Outcome {
    let mut tasks = JoinSet::new();
    for _ in 0..many.connections {
        let wire = Wire::websocket(&many).await?;
        tasks.spawn(watch(wire, Instant::now() + many.time()));
    }
    let mut delays = Vec::new();
    while let Some(seen) = tasks.join_next().await {
        delays.extend(seen??);
    }
    #[allow(clippy::cast_precision_loss, reason = "counts")]
    let expected = many.seconds * 60.0 * many.connections as f64;
    #[allow(clippy::cast_precision_loss, reason = "counts")]
    if (delays.len() as f64) < expected * 0.8 {
        return Err(format!("{} pictures came instead of {expected}", delays.len()).into());
    }
    stats::print(delays);
    Ok(())
}

async fn watch(mut wire: Wire, end: Instant) -> Outcome<Vec<Duration>> {
    let mut delays = Vec::new();
    while Instant::now() < end {
        let head = wire.frame().await?;
        let arrived = now();
        if head.opcode == BINARY {
            let sent = wire.read[head.start..].first_chunk().copied().map(u64::from_be_bytes);
            let sent = sent.ok_or("a picture without a time")?;
            delays.push(Duration::from_nanos(arrived.saturating_sub(sent)));
        }
        wire.read.drain(..head.end);
    }
    Ok(delays)
}
