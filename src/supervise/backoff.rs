//! How long a unit waits before it is restarted, and when it is given up.
//!
//! The first failure after the unit was ready causes an immediate restart. Then the wait doubles from `restart-delay`
//! to `restart-delay-max`, with up to a tenth of jitter. The waits start over when the unit stayed ready for as long as
//! the longest wait. The limit counts failures in a window of *ready* time: neither waits nor slow starts let a failure
//! expire, so a unit that never works always reaches its limit.

use std::time::Duration;

use crate::config::service::RestartPolicy;

/// The amount of ready time after which a failure expires.
const WINDOW: Duration = Duration::from_secs(60);

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start again after this wait.
    Again(Duration),
    /// It failed too often: this many times.
    GiveUp(u32),
}

/// The failures of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    /// Failures since the unit last recovered.
    in_a_row: u32,
    /// The ready time that had passed at each failure that still counts.
    failures: Vec<Duration>,
    ready_time: Duration,
}

impl Backoff {
    /// The unit failed after it had been ready for `ready` (`None` if it never was ready). `jitter` is from 0 to 1.
    pub(super) fn failed(&mut self, ready: Option<Duration>, policy: RestartPolicy, jitter: f64) -> Verdict {
        let lasted = ready.unwrap_or_default();
        self.ready_time += lasted;
        let now = self.ready_time;
        self.failures.retain(|at| now.saturating_sub(*at) <= WINDOW);
        // Without a limit, failures are not counted: a unit may fail for years.
        if let Some(limit) = policy.limit {
            self.failures.push(now);
            let count = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
            if count >= limit {
                return Verdict::GiveUp(count);
            }
        }
        if lasted >= policy.delay_max {
            self.in_a_row = 0;
        }
        let immediate = self.in_a_row == 0 && ready.is_some();
        let doublings = if ready.is_some() { self.in_a_row.saturating_sub(1) } else { self.in_a_row };
        self.in_a_row = self.in_a_row.saturating_add(1);
        if immediate {
            return Verdict::Again(Duration::ZERO);
        }
        let wait = policy.delay.saturating_mul(1 << doublings.min(20)).min(policy.delay_max);
        Verdict::Again(wait.mul_f64(1.0 + 0.1 * jitter))
    }

    /// The machine could not start the unit. This is not a failure of the unit: the start is retried without limit,
    /// with growing waits.
    pub(super) fn held_up(&mut self, policy: RestartPolicy, jitter: f64) -> Duration {
        match self.failed(None, RestartPolicy { limit: None, ..policy }, jitter) {
            Verdict::Again(wait) => wait,
            Verdict::GiveUp(_) => policy.delay_max,
        }
    }

    /// Forgets all failures: the unit was started by hand.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(30);

    fn policy(limit: Option<u32>) -> RestartPolicy {
        RestartPolicy { limit, delay: FIRST, delay_max: LONGEST, ..RestartPolicy::default() }
    }

    fn waits(ready: &[Option<Duration>], limit: Option<u32>) -> Vec<Verdict> {
        let mut backoff = Backoff::default();
        ready.iter().map(|ready| backoff.failed(*ready, policy(limit), 0.0)).collect()
    }

    #[test]
    fn a_file_may_say_how_long_the_waits_are() {
        let mut backoff = Backoff::default();
        let ms = Duration::from_millis;
        let quick = RestartPolicy { delay: ms(10), delay_max: ms(25), ..policy(None) };
        let waits: Vec<Verdict> = (0..4).map(|_| backoff.failed(None, quick, 0.0)).collect();
        assert_eq!(waits, [10, 20, 25, 25].map(|wait| Verdict::Again(ms(wait))));
        assert_eq!(backoff.failed(Some(ms(25)), quick, 0.0), Verdict::Again(Duration::ZERO));
    }

    #[test]
    fn a_start_that_the_machine_could_not_do_is_no_failure_of_the_unit() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.held_up(policy(Some(2)), 0.0);
        }
        assert_eq!(backoff.held_up(policy(Some(2)), 0.0), LONGEST);
        assert!(matches!(backoff.failed(None, policy(Some(2)), 0.0), Verdict::Again(_)));
        assert_eq!(backoff.failed(None, policy(Some(2)), 0.0), Verdict::GiveUp(2));
    }

    #[test]
    fn the_first_failure_of_a_ready_unit_is_answered_at_once_and_then_waits_double() {
        let verdicts = waits(&[Some(S(1)); 4], None);
        let expected = [0, 250, 500, 1000].map(|ms| Verdict::Again(Duration::from_millis(ms)));
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_unit_that_never_was_ready_waits_from_the_first_time() {
        assert_eq!(waits(&[None], None), [Verdict::Again(FIRST)]);
    }

    #[test]
    fn a_unit_that_stayed_ready_long_enough_has_recovered() {
        let verdicts = waits(&[Some(S(1)), Some(S(1)), Some(LONGEST)], None);
        assert_eq!(verdicts[2], Verdict::Again(Duration::ZERO));
    }

    #[test]
    fn waits_have_a_longest() {
        assert_eq!(waits(&[None; 40], None)[39], Verdict::Again(LONGEST));
    }

    #[test]
    fn a_unit_that_never_gets_ready_reaches_the_limit_even_with_slow_starts() {
        assert_eq!(waits(&[None; 5], Some(5))[4], Verdict::GiveUp(5));
    }

    #[test]
    fn years_of_failures_take_no_memory() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            backoff.failed(None, policy(None), 0.0);
        }
        assert!(backoff.failures.is_empty());
    }

    #[test]
    fn failures_between_long_good_times_do_not_add_up() {
        let verdicts = waits(&[Some(S(61)); 50], Some(5));
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Again(Duration::ZERO)));
    }
}
