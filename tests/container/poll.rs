//! Waiting for an event elsewhere: in a container, in a browser.
//!
//! No event signals to a test that the work is done, so tests poll, never sleep for a fixed time, and report at a
//! time-out the expected event and the last value.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Short compared with anything a desktop does, long compared with the cost of a probe on a busy machine.
const PAUSE: Duration = Duration::from_millis(100);

/// The result of one probe: the value, or why there is no value yet. `Option` and `Result` both work.
pub trait Attempt {
    type Value;
    fn outcome(self) -> Result<Self::Value, String>;
}

impl<T> Attempt for Option<T> {
    type Value = T;
    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".into())
    }
}

impl<T, E: Display> Attempt for Result<T, E> {
    type Value = T;
    fn outcome(self) -> Result<T, String> {
        self.map_err(|why| why.to_string())
    }
}

/// Probes until there is a value; panics, naming `what` and the last result, when `timeout` has passed.
pub async fn eventually<A: Attempt>(
    what: &str,
    timeout: Duration,
    probe: impl AsyncFnMut() -> A,
) -> A::Value {
    match within(timeout, probe).await {
        Ok(value) => value,
        Err(last) => panic!("{what}: not within {timeout:?}; last seen: {last}"),
    }
}

/// Like [`eventually`], for a test that expects the time-out: returns the last result.
pub async fn within<A: Attempt>(
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> A,
) -> Result<A::Value, String> {
    let deadline = Instant::now() + timeout;
    loop {
        // A probe that hangs must not run past the deadline either.
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        let last = match tokio::time::timeout(left, probe()).await {
            Ok(attempt) => match attempt.outcome() {
                Ok(value) => return Ok(value),
                Err(why) => why,
            },
            Err(_) => "the probe itself did not answer".into(),
        };
        if Instant::now() >= deadline {
            return Err(last);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
