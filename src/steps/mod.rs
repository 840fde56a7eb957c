//! The boot steps. Each runs as a unit in a child process of its own, because a thread of PID 1 that hangs on a dead
//! volume could not be ended.

mod appended;
mod arguments;
mod ask_bus;
mod await_bus_name;
mod boot_script;
mod command;
mod desktop_settings;
mod environment;
mod fetch;
mod hooks;
mod hotfix;
mod opt_sync;
mod prepare;
mod provisioning;
mod replan;
mod runner;
mod script;
mod ssh_keys;
mod user;
mod workspace;
mod workspace_files;
mod x_cookie;
mod x_keys;
mod x_screen;

use crate::config::service::STEPS;

use arguments::{is_on, number, seconds};

pub use appended::collect as collect_appended;
pub use environment::own::store as store_own;
pub use environment::store;

/// The step by which the supervisor waits for a name on a bus.
pub const AWAIT_BUS_NAME: &str = "await-bus-name";

/// The step by which the supervisor checks whether objects on a bus still answer.
pub const ASK_BUS: &str = "ask-bus";

/// The steps that service files can name, and their arguments.
const USAGE: [(&str, &str); STEPS.len()] = [
    ("boot-script", "RUN_DIR COPY"),
    ("desktop-settings", "HOME LANG DPI"),
    ("environment", "RUN_DIR STATE_DIR CONFIG_DIR UID GID ZONE"),
    ("hooks", "RUN_DIR LIMIT FOLDER…"),
    ("hotfix", "RUN_DIR"),
    ("opt-sync", "FOLDER MOUNTED UID GID OPT_SYNC WORKSPACE_SYNC SECONDS_FOR_OTHERS"),
    ("prepare", "RUNTIME_DIR HOME UID GID"),
    ("provisioning", "RUN_DIR LOG_DIR USER FILE…"),
    ("ssh-keys", "RUN_DIR USER HOME KEYS KEYS KEYS"),
    ("user", "RUN_DIR NAME UID GID HOME SHELL GROUPS DEVICES WORKSPACE"),
    ("workspace", "FOLDER MOUNTED UID GID SKIP_ACL"),
    ("workspace-files", "FOLDER MOUNTED UID GID SECONDS_FOR_OTHERS"),
    ("x-cookie", "FILE DISPLAY_NUMBER"),
    ("x-keys", "DISPLAY"),
    ("x-screen", "DISPLAY WIDTH HEIGHT REFRESH DPI"),
];

/// `desktopd __step NAME ARGUMENT…`. Returns the exit code: that of the user's script where the step runs one. An error
/// is printed on standard error, which is the unit's log.
pub fn run(words: &[String]) -> Result<i32, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["boot-script", run_dir, keep] => boot_script::run(run_dir.as_ref(), keep.as_ref()),
        ["hotfix", run_dir] => hotfix::run(run_dir.as_ref()),
        ["provisioning", run_dir, log_dir, user, ref mounted @ ..] => {
            provisioning::run(run_dir.as_ref(), log_dir.as_ref(), user, mounted)
        }
        _ => own(&words).map(|()| 0),
    }
}

/// The steps that run no script of the user as their main work.
fn own(words: &[&str]) -> Result<(), String> {
    match *words {
        ["hooks", run_dir, limit, ref folders @ ..] => hooks::run(run_dir.as_ref(), limit, folders),
        ["prepare", runtime_dir, home, uid, gid] => {
            prepare::run(runtime_dir.as_ref(), home.as_ref(), number(uid)?, number(gid)?)
        }
        ["user", run_dir, name, uid, gid, home, shell, groups, devices, workspace] => {
            user::run(run_dir.as_ref(), [name, uid, gid, home, shell, groups, devices, workspace])
        }
        ["ssh-keys", run_dir, user, home, own, runpod, vast] => {
            let values = [("SSH_PUBKEY", own), ("PUBLIC_KEY", runpod), ("SSH_PUBLIC_KEY", vast)];
            ssh_keys::run(run_dir.as_ref(), user, home.as_ref(), values)
        }
        ["desktop-settings", home, lang, dpi] => {
            desktop_settings::run(home.as_ref(), lang, dpi);
            Ok(())
        }
        ["x-cookie", file, display] => x_cookie::run(file.as_ref(), display),
        ["x-keys", display] => x_keys::run(display),
        ["x-screen", display, width, height, refresh, dpi] => {
            x_screen::run(display, [number(width)?, number(height)?], number(refresh)?, number(dpi)?)
        }
        ["environment", run_dir, state_dir, config_dir, uid, gid, zone] => environment::run(
            &environment::Places::new(run_dir.as_ref(), state_dir.as_ref(), config_dir.as_ref()),
            (number(uid)?, number(gid)?),
            zone,
        ),
        [AWAIT_BUS_NAME, bus, name] => await_bus_name::run(bus, name),
        [ASK_BUS, bus, ref objects @ ..] => ask_bus::run(bus, objects),
        ["workspace", folder, mounted, uid, gid, skip_acl] => {
            workspace::run([folder, mounted, uid, gid], !is_on(skip_acl))
        }
        ["workspace-files", folder, mounted, uid, gid, patience] => workspace_files::run(
            workspace_files::BROUGHT.as_ref(),
            [folder, mounted, uid, gid],
            seconds(patience)?,
        ),
        ["opt-sync", folder, mounted, uid, gid, folders, environments, patience] => {
            let sync = opt_sync::Sync {
                root: "/".as_ref(),
                folders,
                environments: is_on(environments),
                patience: seconds(patience)?,
            };
            sync.run([folder, mounted, uid, gid])
        }
        _ => Err(match USAGE.iter().find(|(name, _)| words.first() == Some(name)) {
            Some((name, arguments)) => format!("usage: {name} {arguments}"),
            None => format!("there is no boot step '{}'", words.join(" ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_a_service_file_may_name_exists() {
        for name in STEPS {
            let told = run(&[name.to_owned()]).unwrap_err();
            assert!(told.starts_with(&format!("usage: {name} ")), "{told}");
        }
        assert!(run(&["no-step".to_owned()]).unwrap_err().contains("no boot step"));
    }
}
