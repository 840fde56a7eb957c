//! The environment of shells and the users' variable files: what the step `environment` writes for shells, and which
//! files a service reads again at its start.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::config::Config;
use crate::config::env::{OF_SHELL, OF_USER, TABLE};
use crate::config::service::Service;
use crate::sys::launch::EnvFiles;

use super::{Unit, machine_variables};

/// Variables that each process has its own values of.
fn own() -> impl Iterator<Item = &'static str> {
    OF_SHELL.into_iter().chain(OF_USER).chain(["HOSTNAME", "NOTIFY_SOCKET"])
}

/// The step that writes the environment for shells.
const STEP: &str = "environment";

/// Sets the files that a unit reads at each start. Boot steps do not read the workspace's file: the workspace may not
/// answer, and these steps repair it.
pub(super) fn read_files(unit: &mut Unit, config: &Config, service: &Service) {
    let step = service.step();
    if step == Some(STEP) {
        return;
    }
    let passed_on = [config.env.without_edits(), config.env.before_hooks()];
    // Variables that were composed for this unit.
    let made = unit.launch.env.iter().filter(|(name, value)| {
        let usual = name.to_str().is_some_and(|name| {
            config.settings.environment.contains_key(name) || machine_variables::is_one(name)
        });
        !usual && !passed_on.iter().any(|raw| raw.get(*name) == Some(*value))
    });
    let made = made.filter_map(|(name, _)| name.to_str().map(str::to_owned));
    let desktop = service.desktop.then_some(&config.settings.desktop_environment).into_iter().flatten();
    let planned = desktop.chain(&service.environment).map(|(name, _)| name.clone());
    let own = own().chain(own_secrets()).map(str::to_owned);
    let mut fixed: Vec<String> = made.chain(planned).chain(own).collect();
    fixed.sort();
    fixed.dedup();
    let files = config.env_files();
    unit.launch.env_files = Some(EnvFiles {
        machine: files.system,
        written: files.written,
        noted: files.found,
        // Never for a unit that runs as root.
        user: config
            .places
            .user_variables()
            .filter(|_| unit.launch.identity.as_ref().is_some_and(|who| who.uid != 0)),
        workspace: step.is_none().then(|| config.env.vars.workspace.folder().join(".env")),
        fixed,
    });
}

/// Sets the environment of the step: it writes its own environment for shells, and with the daemon's secrets for root's
/// shells.
pub(super) fn environment(unit: &mut Unit, config: &Config) {
    let env = &mut unit.launch.env;
    for name in own() {
        env.remove(OsStr::new(name));
    }
    give_secrets(env, config);
    // An image that is derived from ours defines by its own PATH where its programs are.
    let text = |path: Option<&OsString>| path?.to_str().map(str::to_owned);
    if let (Some(first), Some(ours)) = (config.env.text("PATH"), text(env.get(OsStr::new("PATH")))) {
        env.insert("PATH".into(), joined(first, &ours).into());
    }
}

/// Adds the daemon's own secrets, for processes of root only.
pub(super) fn give_secrets(env: &mut BTreeMap<OsString, OsString>, config: &Config) {
    for name in own_secrets() {
        if let Some(value) = config.env.raw.get(OsStr::new(name)) {
            env.insert(name.into(), value.clone());
        }
    }
}

fn own_secrets() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|variable| variable.secret).flat_map(|variable| variable.names).copied()
}

/// The PATH of a unit: first the additional folders from a derived image, a hook or the container's settings, then
/// ours.
pub fn programs(theirs: Option<&OsString>, ours: &str) -> String {
    let Some(theirs) = theirs.and_then(|path| path.to_str()) else { return ours.to_owned() };
    let further = |folder: &&str| !folder.is_empty() && !ours.split(':').any(|own| own == *folder);
    let further: Vec<&str> = theirs.split(':').filter(further).collect();
    if further.is_empty() { ours.to_owned() } else { joined(&further.join(":"), ours) }
}

/// The folders of `first`, and then the folders of `more` that are not in `first`.
fn joined(first: &str, more: &str) -> String {
    let mut folders: Vec<&str> = first.split(':').collect();
    for folder in more.split(':') {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}
