//! The boot steps. Each runs as a unit in a child process of its own, because a thread of PID 1 that hangs on a dead
//! volume could not be ended.

mod appended;
mod boot_script;
mod bus;
mod command;
mod cuda;
mod desktop_settings;
mod device_nodes;
mod encoder;
mod environment;
mod fetch;
mod hooks;
mod hotfix;
mod nvidia_driver;
mod opt_sync;
mod prepare;
mod provisioning;
mod replan;
mod report;
mod runner;
mod screenshot;
mod script;
mod ssh_keys;
mod user;
mod workspace;
mod workspace_files;
mod x_cookie;
mod x_keys;
mod x_screen;

use crate::config::service::step::Step;

pub use appended::collect as collect_appended;
pub use environment::own::store as store_own;
pub use environment::store;

/// The step by which the supervisor waits for a name on a bus.
pub const AWAIT_BUS_NAME: &str = "await-bus-name";

/// The step by which the supervisor checks whether objects on a bus still answer.
pub const ASK_BUS: &str = "ask-bus";

/// The step that prints a picture of the display; the width of the picture follows, or 0 for the display's own.
pub const SCREENSHOT: &str = "screenshot";

/// `desktopd __step NAME ARGUMENT…`. Returns the exit code: that of the user's script where the step runs one. An error
/// is printed on standard error, which is the unit's log.
pub fn run(words: &[String]) -> Result<i32, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [AWAIT_BUS_NAME, bus, name] => bus::wait_for(bus, name).map(|()| 0),
        [ASK_BUS, bus, ref objects @ ..] => bus::ask(bus, objects).map(|()| 0),
        [SCREENSHOT, width] => screenshot::run(width).map(|()| 0),
        [name, keys, ref planned @ ..] => {
            let step = serde_json::from_str(keys).and_then(|keys| Step::new(name, keys));
            perform(step.map_err(|error| format!("{name}: {error}"))?, planned)
        }
        _ => Err("usage: __step NAME KEYS".to_owned()),
    }
}

/// Does the work of a step. `planned` is what the plan adds to the keys in the service file.
fn perform(step: Step, planned: &[&str]) -> Result<i32, String> {
    match step {
        Step::BootScript(step) => return boot_script::run(&step),
        Step::Hotfix(step) => return hotfix::run(&step),
        Step::Provisioning(step) => return provisioning::run(&step),
        Step::Cuda(step) => cuda::run(&step)?,
        Step::DeviceNodes(step) => device_nodes::run(&step, planned.first().copied().unwrap_or_default())?,
        Step::DesktopSettings(step) => desktop_settings::run(&step),
        Step::Encoder(step) => encoder::run(&step, planned.first().copied().unwrap_or_default())?,
        Step::Environment(step) => {
            let places = environment::Places::new(&step.run_dir, &step.state_dir, &step.config_dir);
            environment::run(&places, (step.uid, step.gid), &step.time_zone)?;
        }
        Step::Hooks(step) => hooks::run(&step)?,
        Step::NvidiaDriver(step) => {
            nvidia_driver::run(step, planned.first().copied().unwrap_or_default())?;
        }
        Step::OptSync(step) => opt_sync::Sync { root: "/".as_ref(), step }.run()?,
        Step::Prepare(step) => prepare::run(&step)?,
        Step::SshKeys(step) => ssh_keys::run(&step)?,
        Step::User(step) => user::run(&step, planned.first().copied().unwrap_or_default())?,
        Step::Workspace(step) => workspace::run(&step)?,
        Step::WorkspaceFiles(step) => workspace_files::run(workspace_files::BROUGHT.as_ref(), &step)?,
        Step::XCookie(step) => x_cookie::run(&step)?,
        Step::XKeys(step) => x_keys::run(&step.display)?,
        Step::XScreen(step) => x_screen::run(&step)?,
    }
    Ok(0)
}
