//! Runs `HOTFIX_SCRIPT`: the last way to repair a mistake in an image, as root and before any other step.

use std::time::Duration;

use crate::config::Environment;
use crate::config::service::step::Hotfix;

use super::command;
use super::fetch::{Limits, Source};
use super::runner::{self, Person};
use super::script::{self, Script};

/// The whole boot waits for this download.
const LIMITS: Limits = Limits {
    connection: Duration::from_secs(10),
    silence: Duration::from_secs(15),
    whole: Duration::from_secs(60),
    size: 32 << 20,
    tries: 4,
    wait: Duration::from_secs(1),
};

/// Downloads and runs the script, and returns its exit code. The time limit is in the service file.
pub(super) fn run(Hotfix { run_dir }: &Hotfix) -> Result<i32, String> {
    let env = Environment::of_process(&[], &mut Vec::new());
    let Some(address) = &env.vars.hotfix_script else { return Ok(0) };
    let source = Source::parse(address).map_err(|error| format!("HOTFIX_SCRIPT: {error}"))?;
    let shown = source.shown();
    println!("{shown}");
    command::until_told(async {
        let told = |error: String| format!("HOTFIX_SCRIPT: {shown}: {error}");
        let script = Script::get(&source, &LIMITS).await.map_err(told)?;
        let person = Person::own();
        let file = script::place(&script, &source, run_dir.join("scripts/hotfix.sh"), person.ids)?;
        runner::run(&script, &file, &person, "/".as_ref(), None).await.map_err(told)
    })
}
