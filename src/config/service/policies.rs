//! How a service is restarted, and how it is stopped.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::probe::PROGRAM;
use crate::config::table::Reader;
use crate::sys::process::signal_by_name;

/// When the service is started again after it ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After any exit code.
    Always,
    /// When it failed.
    OnFailure,
    /// Never.
    Never,
}

/// The restarts of a service that ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// When it is started again.
    pub when: Restart,
    /// The number of failures at which it is given up; `None` means never.
    pub limit: Option<u32>,
    /// The first wait before it is started again; each further wait is twice as long.
    pub delay: Duration,
    /// The longest of these waits, and how long it must stay ready before the waits begin with the first one again.
    pub delay_max: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        let (delay, delay_max) = (Duration::from_millis(250), Duration::from_secs(30));
        Self { when: Restart::Always, limit: Some(5), delay, delay_max }
    }
}

/// The stop of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// A command that runs before the stop signal, to end it more gently. Templates in a service file.
    pub command: Option<Vec<String>>,
    /// The signal that ends it.
    pub signal: Signal,
    /// How long it may take to end.
    pub timeout: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { command: None, signal: Signal::SIGTERM, timeout: Duration::from_secs(5) }
    }
}

/// Reads the keys `restart…`. `usual` is the default of `restart`.
pub(super) fn restart(file: &mut Reader<'_>, usual: Restart) -> RestartPolicy {
    let words = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    let when = file.word("restart", &words).unwrap_or(usual);
    let limit = limit(file);
    let (delay, delay_max) = delays(file);
    RestartPolicy { when, limit, delay, delay_max }
}

/// Reads the keys `stop-…`.
pub(super) fn stop(file: &mut Reader<'_>) -> StopPolicy {
    let usual = StopPolicy::default();
    let signal = file.parse("stop-signal", "the name of a signal such as \"TERM\"", signal_by_name);
    StopPolicy {
        command: file.get("stop-command", PROGRAM),
        signal: signal.unwrap_or(usual.signal),
        timeout: file.duration("stop-timeout").unwrap_or(usual.timeout),
    }
}

fn limit(file: &mut Reader<'_>) -> Option<u32> {
    let expected = "a number of failures, at least 1, or \"none\"";
    match file.get::<toml::Value>("restart-limit", expected) {
        None => RestartPolicy::default().limit,
        Some(toml::Value::String(text)) if text == "none" => None,
        Some(toml::Value::Integer(limit)) if (1..=1000).contains(&limit) => u32::try_from(limit).ok(),
        Some(other) => {
            file.problem("restart-limit", format!("{other} is not {expected}"));
            None
        }
    }
}

/// The first and the longest wait between a failure and the next start.
fn delays(file: &mut Reader<'_>) -> (Duration, Duration) {
    let mut read = |key| {
        let delay = file.duration(key);
        // Without a wait, restarts of a broken program would use the whole machine.
        if delay.is_some_and(|delay| delay < Duration::from_millis(1)) {
            file.problem(key, "it is at least \"1ms\"");
        }
        delay
    };
    let (first, longest) = (read("restart-delay"), read("restart-delay-max"));
    let usual = RestartPolicy::default();
    let delay = first.unwrap_or(usual.delay);
    if let Some(longest) = longest.filter(|longest| *longest < delay) {
        let message =
            format!("{longest:?} is shorter than the first wait, `restart-delay`, which is {delay:?}");
        file.problem("restart-delay-max", message);
    }
    (delay, longest.unwrap_or(usual.delay_max).max(delay))
}
