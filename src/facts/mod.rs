//! Probes this machine. Probing never fails: every absence is a value with a reason.

pub mod account;
mod container;
pub mod cpus;
pub mod display;
pub mod encoder;
pub mod files;
pub mod gpu;
mod left_out;
pub mod locales;
pub mod programs;
pub mod public_address;
pub mod remedy;
pub mod resources;
pub mod ssh_keys;
pub mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::config::env::Mounted;
use crate::config::{Config, Service};
use crate::sys::launch::Identity;
use crate::sys::{mounts, with_timeout};

pub use account::{Account, Making};
pub use container::{container_id, host};
pub use cpus::Cpus;
pub use display::DisplayFacts;
pub use files::Files;
pub use locales::Locales;
pub use programs::Programs;
pub use workspace::Workspace;

/// The images' own user.
const USUAL_USER: &str = "user";

/// All inputs of the plan besides the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The user and groups of the daemon.
    pub daemon: Identity,
    /// Whether this is the only desktop on the machine, so that it may use the usual paths and display.
    pub container: bool,
    /// The desktop's user, or the reason if there is none.
    pub account: Result<Account, String>,
    /// The facts for making that account, if it is not as it should be.
    pub making: Making,
    /// The ids of the existing groups among those that service files and `USER_GROUPS` name.
    pub groups: BTreeMap<String, u32>,
    /// Why that user's home cannot be written, if so.
    pub home_trouble: Option<String>,
    /// The folder for the user's work.
    pub workspace: Workspace,
    /// The installed programs.
    pub programs: Programs,
    /// The facts for a display.
    pub display: DisplayFacts,
    /// The GPUs.
    pub gpus: gpu::Gpus,
    /// The hardware encoders that were tried since the start.
    pub encoders: Vec<encoder::Tried>,
    /// The locales that programs can use.
    pub locales: Locales,
    /// Which of the files of conditions have content.
    pub files: Files,
    /// The container's own addresses without loopback.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether another process listens on the SSH server's port.
    pub ssh_port_taken: bool,
    /// The container's limit of processes and threads, if it has one.
    pub task_limit: Option<u64>,
    /// The cores that it sees and may use.
    pub cpus: Cpus,
    /// Names this container among others of its image: the provider's id or the host name.
    pub instance: String,
}

impl Facts {
    /// Probes the machine. `root` is `/`, except for plans of other machines: there it is the root of what is read about
    /// hardware and libraries, and about programs if it has any. A copy of a machine that has no programs is planned with
    /// those of this machine, and with those that a display needs: the image has them.
    pub fn probe(config: &Config, root: &Path, answers: &gpu::Answers) -> Self {
        let other = root != Path::new("/");
        // Another machine is planned as a container, where the daemon is root.
        let root_there = Identity { uid: 0, gid: 0, groups: vec![0] };
        let daemon = if other { root_there } else { account::own_identity() };
        let container = other || daemon.uid == 0 || in_container(Path::new("/"));
        let words = config.services.iter().flat_map(Service::programs);
        let words = words.map(String::as_str).chain(display::PROGRAMS);
        let path = search_path(config);
        let vars = &config.env.vars;
        let name = &vars.user_name.0;
        let account = account::desktop_account(&daemon, name, &config.places.home);
        let gpus = if other { gpu::Gpus::probe(root, answers) } else { gpu::Gpus::here(config, answers) };
        let mut display = DisplayFacts::probe(root);
        // The host's X server can have a socket in the network's name space, and no file here.
        display.taken.extend(&gpus.container.foreign_x);
        display.foreign = gpus.container.foreign_x.iter().copied().collect();
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
            task_limit: cpus::task_limit(Path::new("/")),
            cpus: Cpus::probe(root),
            programs: if !other {
                Programs::probe(path, words)
            } else if Programs::has_own(root, path) {
                Programs::probe_below(root, path, words)
            } else {
                Programs::probe(path, words).assuming(display::PROGRAMS)
            },
            display,
            gpus,
            // What was tried here says nothing about another machine.
            encoders: if other { Vec::new() } else { encoder::tried(&config.places.run) },
            locales: Locales::probe(Path::new("/")),
            instance: instance(config),
            daemon,
        }
    }
}

/// The folders of programs.
fn search_path(config: &Config) -> &str {
    let path = config.settings.environment.get("PATH").map(String::as_str);
    path.or_else(|| config.env.text("PATH")).unwrap_or("/usr/local/bin:/usr/bin:/bin")
}

/// One sentence for each program that could not be had when this image was built.
pub fn missing_programs(config: &Config) -> Vec<String> {
    left_out::left_out(Path::new("/"), search_path(config))
}

/// Why `home` cannot be written, if so. A wrong owner can be corrected, a read-only file system cannot.
fn home_trouble(home: &Path) -> Option<String> {
    let (home, shown) = (home.to_owned(), home.display());
    let read_only = with_timeout(move || {
        home.ancestors().find(|folder| folder.exists()).is_some_and(mounts::is_read_only)
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

/// Whether another process uses a TCP port. Missing permission for the port does not count.
pub fn port_taken(port: u16) -> bool {
    let listened = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    listened.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The addresses of this machine without loopback. Empty if the kernel does not report them.
fn addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    });
    address.filter(|address| !address.is_loopback()).collect()
}

/// Container engines create one of these files; where they do not, PID 1 is this process.
fn in_container(root: &Path) -> bool {
    std::process::id() == 1
        || [".dockerenv", "run/.containerenv"].iter().any(|file| root.join(PathBuf::from(file)).exists())
}

/// Identifies this container among others of its image: by the provider's id, or the host name. If the state is kept in
/// the container and not on a volume, the engine's id is appended: an image made from a running container contains its
/// state, and a container started from that image, perhaps with the same host name, is another instance.
pub fn instance(config: &Config) -> String {
    let name = config.env.text("CONTAINER_ID").map(str::to_owned).or_else(host);
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    let mounts = mounts::all();
    let state = &config.places.state;
    let place = state.canonicalize().unwrap_or_else(|_| state.clone());
    match container::of_mounts(&mounts).filter(|_| !mounts::is_on_volume(&mounts, &place)) {
        Some(id) => format!("{name} {id}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_while_a_process_listens() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        assert!(port_taken(port));
        drop(other);
        assert!(!port_taken(port));
    }
}
