//! Requests at a constant rate. A client that waits for an answer before its next request sends fewer requests to a
//! slow server and never sees the server's worst moments; here each request has a time at which it is due, and is timed
//! from then.
//!
//! Not on tokio, whose clock has milliseconds.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::{Many, Outcome, net, stats};

/// How long after the end the last answer may come.
const LAST: Duration = Duration::from_secs(30);

struct Line {
    stream: TcpStream,
    read: Vec<u8>,
    /// When the current request was due.
    due: Option<Instant>,
}

pub fn run(many: &Many, rate: f64) -> Outcome {
    // Sends requests when they are due, not several together 50 us later; where that may not be set, all measurements
    // have the same delay.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let request = many.head("");
    let mut lines = Vec::new();
    for _ in 0..many.connections {
        let stream = TcpStream::connect(many.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        lines.push(Line { stream, read: Vec::new(), due: None });
    }
    let gap = Duration::from_secs_f64(1.0 / rate);
    let mut next = Instant::now() + gap;
    let end = next + many.time();
    let mut due = VecDeque::new();
    let mut times = Vec::new();
    loop {
        let now = Instant::now();
        while next <= now && next < end {
            due.push_back(next);
            next += gap;
        }
        for line in lines.iter_mut().filter(|line| line.due.is_none()) {
            let Some(time) = due.pop_front() else { break };
            line.stream.write_all(request.as_bytes())?;
            line.due = Some(time);
        }
        let over = next >= end && due.is_empty();
        if over && lines.iter().all(|line| line.due.is_none()) {
            break;
        }
        if now > end + LAST {
            return Err(format!("answers are missing {LAST:?} after the end").into());
        }
        let until = if next < end { next } else { end + LAST };
        for index in readable(&lines, until)? {
            if let Some(time) = lines[index].take()? {
                times.push(time);
            }
        }
    }
    stats::print(times);
    Ok(())
}

/// The connections with something to read, at the latest at this time.
fn readable(lines: &[Line], until: Instant) -> Outcome<Vec<usize>> {
    let busy: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].due.is_some()).collect();
    let mut asked: Vec<PollFd<'_>> =
        busy.iter().map(|index| PollFd::new(lines[*index].stream.as_fd(), PollFlags::POLLIN)).collect();
    let wait = TimeSpec::from_duration(until.saturating_duration_since(Instant::now()));
    match ppoll(&mut asked, Some(wait), None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(busy
        .into_iter()
        .zip(&asked)
        .filter(|(_, fd)| fd.any() == Some(true))
        .map(|(index, _)| index)
        .collect())
}

impl Line {
    /// Reads more; the time that the answer took, once it is complete.
    fn take(&mut self) -> Outcome<Option<Duration>> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the connection was closed".into()),
            Ok(read) => self.read.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(at) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&self.read[..at + 2])?;
        net::expect(head, 200)?;
        if self.read.len() < at + 4 + net::length(head)? {
            return Ok(None);
        }
        self.read.clear();
        Ok(self.due.take().map(|due| due.elapsed()))
    }
}
