//! What shells and people's files have to do with the environment of units: what the step `environment` writes for
//! shells, and which files a service reads again at its start.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::config::Config;
use crate::config::env::TABLE;
use crate::config::service::{Run, Service};
use crate::sys::launch::EnvFiles;

use super::Unit;

/// The variables of the machine, for all shells.
const MACHINE: &str = "/etc/environment";

/// Variables that each process has of its own.
const OWN: [&str; 9] =
    ["HOME", "HOSTNAME", "LOGNAME", "NOTIFY_SOCKET", "PWD", "SHELL", "SHLVL", "TERM", "USER"];

/// What units are given beside what people set, and would not be what they are without.
const GIVEN: [&str; 3] = ["LD_PRELOAD", "NSS_WRAPPER_GROUP", "NSS_WRAPPER_PASSWD"];

/// The files that a service reads at each start. Boot steps make them.
pub(super) fn files(
    config: &Config,
    service: &Service,
    env: &BTreeMap<OsString, OsString>,
) -> Option<EnvFiles> {
    if matches!(service.run, Run::Step(_)) {
        return None;
    }
    let desktop = service.desktop.then_some(&config.settings.desktop_environment).into_iter().flatten();
    let planned = desktop.chain(&service.environment).map(|(name, _)| name.clone());
    // Who nobody knows is shown by a library that has to stay.
    let given = GIVEN.into_iter().filter(|_| env.contains_key(OsStr::new("NSS_WRAPPER_PASSWD")));
    let given = given.chain(OWN).chain(own_secrets()).map(str::to_owned);
    let mut fixed: Vec<String> = planned.chain(given).collect();
    fixed.sort();
    fixed.dedup();
    Some(EnvFiles {
        machine: MACHINE.into(),
        written: config.places.state.join("environment-written"),
        workspace: config.env.vars.workspace.folder().join(".env"),
        fixed,
    })
}

/// The environment of the step is what shells see, and with our own secrets what root's see: it writes what it has.
pub(super) fn environment(unit: &mut Unit, config: &Config) {
    let env = &mut unit.launch.env;
    for name in OWN {
        env.remove(OsStr::new(name));
    }
    for name in own_secrets() {
        if let Some(value) = config.env.raw.get(OsStr::new(name)) {
            env.insert(name.into(), value.clone());
        }
    }
    // An image that is made of ours says by its own PATH what its people's programs are.
    let text = |path: Option<&OsString>| path?.to_str().map(str::to_owned);
    if let (Some(first), Some(ours)) = (config.env.text("PATH"), text(env.get(OsStr::new("PATH")))) {
        env.insert("PATH".into(), joined(first, &ours).into());
    }
}

fn own_secrets() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|variable| variable.secret).flat_map(|variable| variable.names).copied()
}

/// The folders of `first`, and then those of `more` that are not among them.
fn joined(first: &str, more: &str) -> String {
    let mut folders: Vec<&str> = first.split(':').collect();
    for folder in more.split(':') {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}
