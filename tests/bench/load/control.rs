//! Requests to a control socket: each over a connection of its own, as a command does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Outcome, net, stats};

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(10);

pub fn run(socket: &Path, path: &str, time: Duration) -> Outcome {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let end = Instant::now() + time;
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        times.push(began.elapsed());
        net::expect(&answer, 200)?;
        std::thread::sleep(PAUSE);
    }
    stats::print(times);
    Ok(())
}
