//! Throughput: messages there and back, and bytes one way.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::frame::{self, BINARY};
use crate::net::{self, Wire};
use crate::{Many, Outcome};

/// Large enough for everything that a socket holds.
const SCRATCH: usize = 1024 * 1024;

/// Runs one task for each connection, all from the same moment, and adds up their counts.
async fn together<F, R>(many: Many, mut open: Vec<Wire>, task: F) -> Outcome<(u64, Duration)>
where
    F: Fn(Wire, Many, Instant) -> R,
    R: Future<Output = Outcome<u64>> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for wire in open.drain(..) {
        tasks.spawn(task(wire, many.clone(), began + many.time()));
    }
    let mut sum = 0;
    while let Some(counted) = tasks.join_next().await {
        sum += counted??;
    }
    Ok((sum, began.elapsed()))
}

async fn websockets(many: &Many) -> Outcome<Vec<Wire>> {
    let mut open = Vec::new();
    for _ in 0..many.connections {
        open.push(Wire::websocket(many).await?);
    }
    Ok(open)
}

pub async fn pingpong(many: Many) -> Outcome {
    let open = websockets(&many).await?;
    let (messages, time) = together(many, open, |mut wire, _, end| async move {
        let message = frame::build(BINARY, &[7; 1024], true);
        let mut count = 0;
        while Instant::now() < end {
            wire.stream.write_all(&message).await?;
            loop {
                let head = wire.frame().await?;
                wire.read.drain(..head.end);
                // A proxy may send pings of its own.
                if head.opcode == BINARY && head.end - head.start == 1024 {
                    break;
                }
                if head.opcode == BINARY {
                    return Err("a message came back with another length".into());
                }
            }
            count += 1;
        }
        Ok(count)
    })
    .await?;
    println!("count={messages} seconds={}", time.as_secs_f64());
    Ok(())
}

pub async fn bulk(many: Many) -> Outcome {
    let open = websockets(&many).await?;
    let (bytes, time) = together(many, open, |mut wire, _, end| async move {
        let head = wire.frame().await?;
        if head.opcode != BINARY || head.end - head.start != 64 * 1024 {
            return Err("the first message is not the source's".into());
        }
        let mut scratch = vec![0; SCRATCH];
        let mut count = 0;
        while Instant::now() < end {
            count += wire.discard(SCRATCH, &mut scratch).await? as u64;
        }
        Ok(count)
    })
    .await?;
    println!("count={bytes} seconds={}", time.as_secs_f64());
    Ok(())
}

pub async fn download(many: Many) -> Outcome {
    let mut open = Vec::new();
    for _ in 0..many.connections {
        open.push(Wire::connect(many.address, Ipv4Addr::LOCALHOST).await?);
    }
    let (bytes, time) = together(many, open, |mut wire, many, end| async move {
        let request = many.head("");
        let mut scratch = vec![0; SCRATCH];
        let mut count = 0;
        // Whole files only, otherwise a fast start would count more than a fast end.
        while Instant::now() < end {
            let head = wire.ask(&request).await?;
            net::expect(&head, 200)?;
            let mut left = net::length(&head)?;
            count += left as u64;
            while left > 0 {
                left -= wire.discard(left, &mut scratch).await?;
            }
        }
        Ok(count)
    })
    .await?;
    println!("count={bytes} seconds={}", time.as_secs_f64());
    Ok(())
}
