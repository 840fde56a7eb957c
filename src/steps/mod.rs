//! The work of boot steps. Each runs as a unit in a child of its own, because a thread of PID 1 that hangs in a dead
//! volume could not be ended.

mod await_bus_name;
mod command;
mod environment;
mod prepare;
mod replan;
mod ssh_keys;
mod user;
mod x_cookie;

pub use environment::store;

/// The step by which the supervisor learns of a name on a bus.
pub const AWAIT_BUS_NAME: &str = "await-bus-name";

/// `desktopd __step NAME ARGUMENT…`. The error is told on standard error, which is the unit's log.
pub fn run(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["prepare", runtime_dir, home, uid, gid] => {
            prepare::run(runtime_dir.as_ref(), home.as_ref(), number(uid)?, number(gid)?)
        }
        ["user", run_dir, ref account @ ..] => user::run(run_dir.as_ref(), account),
        ["ssh-keys", run_dir, user, home, own, runpod, vast] => {
            let values = [("SSH_PUBKEY", own), ("PUBLIC_KEY", runpod), ("SSH_PUBLIC_KEY", vast)];
            ssh_keys::run(run_dir.as_ref(), user, home.as_ref(), values)
        }
        ["x-cookie", file, display] => x_cookie::run(file.as_ref(), display),
        ["environment", run_dir, state_dir, config_dir, gid, zone] => environment::run(
            &environment::Places::new(run_dir.as_ref(), state_dir.as_ref(), config_dir.as_ref()),
            number(gid)?,
            zone,
        ),
        [AWAIT_BUS_NAME, bus, name] => await_bus_name::run(bus, name),
        ["prepare", ..] => Err("usage: prepare RUNTIME_DIR HOME UID GID".to_owned()),
        ["environment", ..] => Err("usage: environment RUN_DIR STATE_DIR CONFIG_DIR GID ZONE".to_owned()),
        ["user"] => Err(user::USAGE.to_owned()),
        ["ssh-keys", ..] => Err("usage: ssh-keys RUN_DIR USER HOME KEYS KEYS KEYS".to_owned()),
        ["x-cookie", ..] => Err("usage: x-cookie FILE DISPLAY_NUMBER".to_owned()),
        _ => Err(format!("there is no boot step '{}'", words.join(" "))),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("'{text}' is not an id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::STEPS;

    #[test]
    fn every_step_that_a_file_may_name_is_there() {
        for name in STEPS {
            let told = run(&[name.to_owned()]).unwrap_err();
            assert!(told.starts_with(&format!("usage: {name} ")), "{told}");
        }
        assert!(run(&["no-step".to_owned()]).unwrap_err().contains("no boot step"));
    }
}
