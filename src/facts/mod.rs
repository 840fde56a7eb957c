//! What this machine has. Probing never fails: every absence is a value with a reason.

pub mod account;
mod container;
pub mod display;
pub mod files;
pub mod locales;
pub mod programs;
pub mod public_address;
pub mod ssh_keys;
pub mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::config::Config;
use crate::config::env::Mounted;
use crate::config::service::{Probe, Ready, Run};
use crate::sys::launch::Identity;
use crate::sys::{patiently, read};

pub use account::{Account, Making};
pub use container::container_id;
pub use display::DisplayFacts;
pub use files::Files;
pub use locales::Locales;
pub use programs::Programs;
pub use workspace::Workspace;

/// Who the images' own user is.
const USUAL_USER: &str = "user";

/// Everything that the plan depends on beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who the daemon is.
    pub daemon: Identity,
    /// Whether this is the only desktop on the machine, so that its usual paths and display are ours to take.
    pub container: bool,
    /// The desktop's user, or why there is none.
    pub account: Result<Account, String>,
    /// What that account could be made of, where it is not what it should be.
    pub making: Making,
    /// The ids of the groups that service files and `USER_GROUPS` name, as far as there are such groups.
    pub groups: BTreeMap<String, u32>,
    /// Why nothing can be kept in that user's home, if that is so.
    pub home_trouble: Option<String>,
    /// Where people keep their work.
    pub workspace: Workspace,
    /// Which programs there are.
    pub programs: Programs,
    /// What a display could be made of.
    pub display: DisplayFacts,
    /// The locales that programs can have.
    pub locales: Locales,
    /// Which of the files that conditions ask for say something.
    pub files: Files,
    /// The container's own addresses, those of loopback left out.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether somebody else listens on the SSH server's port.
    pub ssh_port_taken: bool,
    /// How many processes and threads there may be, if somebody set a limit for the container.
    pub task_limit: Option<u64>,
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
                Run::Command(argv) | Run::Literal(argv) => argv.first(),
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
        let vars = &config.env.vars;
        let name = &vars.user_name.0;
        let account = account::desktop_account(&daemon, name, &config.places.home);
        let asked = config.services.iter().flat_map(|service| &service.conditions);
        let own_groups = account::USUAL_GROUPS.map(str::to_owned).into_iter().chain(vars.user_groups());
        let groups: Vec<String> =
            config.services.iter().flat_map(|service| service.groups.clone()).chain(own_groups).collect();
        Self {
            container,
            groups: account::groups(&groups),
            making: Making::probe(&daemon, USUAL_USER, &account::usual_home(name), &config.places.run),
            home_trouble: account.as_ref().ok().and_then(|account| home_trouble(&account.home)),
            workspace: Workspace::probe(
                vars.workspace.folder(),
                vars.workspace_mounted == Some(Mounted::Force),
            ),
            files: Files::probe(
                account.as_ref().ok().map(|account| account.home.as_path()),
                &config.places.run,
                asked,
            ),
            addresses: addresses(),
            account,
            ssh_port_taken: port_taken(vars.ssh_port_local.0),
            task_limit: task_limit(Path::new("/")),
            programs: Programs::probe(path, words.map(String::as_str).chain(display::PROGRAMS)),
            display: DisplayFacts::probe(Path::new("/")),
            locales: Locales::probe(Path::new("/")),
            instance: instance(config),
            daemon,
        }
    }
}

/// Why nothing can be kept in `home`, if that is so. Whose folder it is can be mended, what it lies on cannot.
fn home_trouble(home: &Path) -> Option<String> {
    let (home, shown) = (home.to_owned(), home.display());
    let read_only = patiently(move || {
        let there = home.ancestors().find_map(|folder| statvfs(folder).ok());
        there.is_some_and(|place| place.flags().contains(FsFlags::ST_RDONLY))
    });
    match read_only {
        Some(false) => None,
        Some(true) => Some(format!(
            "the home folder {shown} is on a read-only file system, and programs cannot keep their settings: \
             mount a volume there, or a tmpfs"
        )),
        None => Some(format!("the home folder {shown} does not answer")),
    }
}

/// Whether a TCP port is somebody else's. That it may not be ours is another matter.
fn port_taken(port: u16) -> bool {
    let listened = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    listened.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The limit of the container's control group, in either version's folder.
fn task_limit(root: &Path) -> Option<u64> {
    let files = ["sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max"];
    let text = files.iter().find_map(|file| read::text(&root.join(file), read::BY_HAND).ok())?;
    // "max" is no limit.
    text.trim().parse().ok()
}

/// What this machine is reached by from outside. None where the kernel does not tell.
fn addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    });
    address.filter(|address| !address.is_loopback()).collect()
}

/// Container engines leave one of these files; PID 1 being us says the same where they do not.
fn in_container(root: &Path) -> bool {
    std::process::id() == 1
        || [".dockerenv", "run/.containerenv"].iter().any(|file| root.join(PathBuf::from(file)).exists())
}

/// Names this container among others of its image: the provider's id, or the host name. Where the state is kept in the
/// container and not on a volume, the engine's id follows: an image that was made of a running container holds its
/// state, and what is started from that image, perhaps under the same host name, is another instance.
pub fn instance(config: &Config) -> String {
    let name = config.env.text("CONTAINER_ID").map(str::to_owned).or_else(host);
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    let mounts = read::kernel_text("/proc/self/mountinfo");
    let state = &config.places.state;
    let place = state.canonicalize().unwrap_or_else(|_| state.clone());
    match container::of_mounts(&mounts).filter(|_| !account::is_on_volume(&mounts, &place)) {
        Some(id) => format!("{name} {id}"),
        None => name,
    }
}

/// The machine's own name.
pub fn host() -> Option<String> {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_while_somebody_listens() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        assert!(port_taken(port));
        drop(other);
        assert!(!port_taken(port));
    }

    #[test]
    fn the_limit_of_tasks_stands_in_either_place() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(task_limit(root.path()), None);
        let folder = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(folder.join("pids")).unwrap();
        std::fs::write(folder.join("pids/pids.max"), "60\n").unwrap();
        assert_eq!(task_limit(root.path()), Some(60));
        std::fs::write(folder.join("pids.max"), "max\n").unwrap();
        assert_eq!(task_limit(root.path()), None);
    }
}
