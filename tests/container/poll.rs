//! Waiting for something that happens elsewhere: in a container, in a browser.
//!
//! Nothing out there tells a test when it is done, so tests ask again and again, never sleep blindly, and say
//! at a time-out what they waited for and what they saw last.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Short against anything a desktop does, long against what a probe costs on a busy machine.
const PAUSE: Duration = Duration::from_millis(100);

/// What one look gave: the value, or why it isn't there yet. `Option` and `Result` both will do.
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

/// Asks until the probe has a value; panics, naming `what` and the last answer, when `timeout` has passed.
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

/// Like [`eventually`], for a test in which the time-out is the expected end: gives the last answer back.
pub async fn within<A: Attempt>(
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> A,
) -> Result<A::Value, String> {
    let deadline = Instant::now() + timeout;
    loop {
        // A probe that hangs must not outlive the deadline either.
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
