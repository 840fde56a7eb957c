//! What this machine has. Probing never fails: every absence is a value with a reason.

pub mod account;
pub mod display;
pub mod programs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::service::{Probe, Ready, Run};
use crate::sys::launch::Identity;

pub use account::Account;
pub use display::DisplayFacts;
pub use programs::Programs;

/// Everything that the plan depends on beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who the daemon is.
    pub daemon: Identity,
    /// Whether this is the only desktop on the machine, so that its usual paths and display are ours to take.
    pub container: bool,
    /// The desktop's user, or why there is none.
    pub account: Result<Account, String>,
    /// The ids of the groups that service files name, as far as there are such groups.
    pub groups: BTreeMap<String, u32>,
    /// Which programs there are.
    pub programs: Programs,
    /// What a display could be made of.
    pub display: DisplayFacts,
    /// Names this container among others of its image: the provider's id or the host name.
    pub instance: String,
}

impl Facts {
    /// Looks at the machine.
    pub fn probe(config: &Config) -> Self {
        let daemon = account::own_identity();
        let container = daemon.uid == 0 || in_container(Path::new("/"));
        let words = config.services.iter().flat_map(|service| {
            let command = match &service.run {
                Run::Command(argv) => argv.first(),
                Run::Step(_) => None,
            };
            let stop = service.stop_command.iter().filter_map(|argv| argv.first());
            let ready = match &service.ready {
                Ready::Probe(probe) => Some(probe),
                _ => None,
            };
            let probes = ready.into_iter().chain(service.health.as_ref().map(|health| &health.probe));
            let asked = probes.filter_map(|probe| match probe {
                Probe::Exec(argv) => argv.first(),
                _ => None,
            });
            command.into_iter().chain(stop).chain(asked).chain(&service.unless_installed)
        });
        let path = config.settings.environment.get("PATH").map(String::as_str);
        let path = path.or_else(|| config.env.text("PATH")).unwrap_or("/usr/local/bin:/usr/bin:/bin");
        Self {
            container,
            account: account::desktop_account(&daemon, &config.env.vars.user_name),
            groups: account::groups(config.services.iter().flat_map(|service| &service.groups)),
            programs: Programs::probe(path, words.map(String::as_str).chain(display::PROGRAMS)),
            display: DisplayFacts::probe(Path::new("/")),
            instance: instance(config),
            daemon,
        }
    }
}

/// Container engines leave one of these files; PID 1 being us says the same where they do not.
fn in_container(root: &Path) -> bool {
    std::process::id() == 1
        || [".dockerenv", "run/.containerenv"].iter().any(|file| root.join(PathBuf::from(file)).exists())
}

/// Names this container among others of its image: the provider's id, or the host name.
pub fn instance(config: &Config) -> String {
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    config.env.text("CONTAINER_ID").map(str::to_owned).or_else(host).unwrap_or_else(|| "unknown".to_owned())
}
