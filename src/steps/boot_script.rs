//! Runs `BOOT_SCRIPT`: a script of the user that sets the machine up instead of hooks and provisioning. The supervisor,
//! the gateway and the desktop stay; services start after the script.
//!
//! As on vast.ai, the script is downloaded once and saved. From then on the saved copy runs, and users may edit the
//! copy.

use crate::config::Environment;
use crate::config::service::step::BootScript;

use super::fetch::{LIMITS, Source};
use super::runner::{Job, Person};

/// vast.ai's own boot script. Many boot scripts of users call it at their end.
const DEFAULT: &str = "/opt/instance-tools/bin/boot_default.sh";

/// Runs the kept copy, downloaded first when it does not exist. Returns the exit code.
pub(super) fn run(BootScript { run_dir, copy: keep }: &BootScript) -> Result<i32, String> {
    let env = Environment::of_process(&[], &mut Vec::new());
    let Some(address) = &env.vars.boot_script else { return Ok(0) };
    let asked = Source::parse(address).map_err(|error| format!("BOOT_SCRIPT: {error}"))?;
    let kept = Source::Local(keep.clone());
    let source = if keep.exists() { &kept } else { &asked };
    let (copy, person) = (run_dir.join("scripts/boot.sh"), Person::own());
    let job = Job { source, limits: &LIMITS, copy, person: &person, folder: "/".as_ref() };
    job.perform("BOOT_SCRIPT: ", |script| {
        if *source == asked
            && let Err(error) = script.save(keep, person.ids)
        {
            eprintln!("{error}; it is fetched again at the next boot");
        }
        if contains(&script.text, DEFAULT.as_bytes()) {
            eprintln!("it names {DEFAULT}: that is not needed, because desktopd already does its work");
        }
        keep.exists().then(|| kept.clone())
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
