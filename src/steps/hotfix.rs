//! Runs `HOTFIX_SCRIPT`: the last way to repair a mistake in an image, as root and before any other step.

use std::time::Duration;

use crate::config::Environment;
use crate::config::service::step::Hotfix;

use super::fetch::{self, Limits, Source};
use super::runner::{Job, Person};

/// The whole boot waits for this download.
const LIMITS: Limits = Limits {
    connection: Duration::from_secs(10),
    silence: Duration::from_secs(15),
    whole: Duration::from_secs(60),
    tries: 4,
    wait: Duration::from_secs(1),
    ..fetch::LIMITS
};

/// Downloads and runs the script, and returns its exit code. The time limit is in the service file.
pub(super) fn run(Hotfix { run_dir }: &Hotfix) -> Result<i32, String> {
    let env = Environment::of_process(&[], &mut Vec::new());
    let Some(address) = &env.vars.hotfix_script else { return Ok(0) };
    let source = Source::parse(address).map_err(|error| format!("HOTFIX_SCRIPT: {error}"))?;
    let (copy, person) = (run_dir.join("scripts/hotfix.sh"), Person::own());
    let job = Job { source: &source, limits: &LIMITS, copy, person: &person, folder: "/".as_ref() };
    job.perform("HOTFIX_SCRIPT: ", |_| None)
}
