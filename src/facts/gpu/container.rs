//! What the container may do, and what of the host it sees.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::statvfs::statvfs;

use super::Container;
use super::nodes::Process;
use super::root::{Root, number};

/// Numbers of capabilities.
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const SYS_ADMIN: u32 = 21;
const MKNOD: u32 = 27;

/// The last capability of Linux 5.9 and later, `CAP_CHECKPOINT_RESTORE`, where the kernel does not say which is the last.
const LAST: u32 = 40;

/// How many sockets of X servers are looked at.
const MOST: usize = 512;

/// Where X servers have their sockets: as files, and as names in the network's abstract name space.
const SOCKETS: &str = "/tmp/.X11-unix";

/// The rights of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Status {
    process: Process,
    capabilities: Option<u64>,
}

/// What was read.
pub(super) struct Read {
    pub(super) container: Container,
    /// The process of desktopd.
    pub(super) process: Process,
    /// Whether the container is part of a pod of Kubernetes.
    pub(super) in_pod: bool,
}

/// Reads all.
pub(super) fn read(root: Root<'_>) -> Read {
    let status = status(root);
    let has = |bit: u32| status.capabilities.map(|set| set >> bit & 1 == 1);
    let variable = variables(root);
    let container = Container {
        privileged: status.capabilities.map(|set| is_privileged(root, set)),
        sys_admin: has(SYS_ADMIN),
        mknod: has(MKNOD),
        other_users: has(SETUID).zip(has(SETGID)).map(|(user, group)| user && group),
        shm: shm(root),
        foreign_x: displays(root).into_iter().collect(),
        wsl: root.exists("/dev/dxg") || root.exists("/usr/lib/wsl/lib/libdxcore.so"),
        visible: variable("NVIDIA_VISIBLE_DEVICES"),
        capabilities: variable("NVIDIA_DRIVER_CAPABILITIES"),
    };
    Read { container, process: status.process, in_pod: variable("KUBERNETES_SERVICE_HOST").is_some() }
}

/// The rights of desktopd, which is the container's main process. A user's command asks about that process, not about
/// itself; as root with the host's process ids, process 1 is another's.
fn status(root: Root<'_>) -> Status {
    let own = parsed(&root.text("/proc/self/status"));
    match own {
        Some(own) if own.process.uid == 0 => own,
        own => parsed(&root.text("/proc/1/status")).or(own).unwrap_or_default(),
    }
}

fn parsed(text: &str) -> Option<Status> {
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let numbers = |key: &str| -> Vec<u32> {
        value(key).unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
    };
    let capabilities = value("CapEff").and_then(|set| u64::from_str_radix(set, 16).ok());
    // Real, effective, saved, and that for files.
    let effective = |key: &str| numbers(key).get(1).copied();
    let groups = effective("Gid").into_iter().chain(numbers("Groups")).collect();
    let process = Process { uid: effective("Uid").unwrap_or(0), groups };
    (!text.is_empty()).then_some(Status { process, capabilities })
}

fn is_privileged(root: Root<'_>, set: u64) -> bool {
    let last = root.text("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(LAST).min(63);
    let all = u64::MAX >> (63 - last);
    // In a user namespace all capabilities do no harm to the host. The host's has all ids.
    let ids = root.text("/proc/self/uid_map");
    let is_host = ids.trim().is_empty() || ids.split_whitespace().eq(["0", "0", "4294967295"]);
    // Kernels before 5.9 have two or three fewer.
    is_host && set & (all >> 3) == all >> 3
}

/// A variable that the engine gave to the container's main process: what a shell has set since does not count. Only root
/// and that process's user can read them.
fn variables(root: Root<'_>) -> impl Fn(&str) -> Option<String> {
    let all = root.text("/proc/1/environ");
    move |name| {
        let value = all.split('\0').find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.to_owned())
    }
}

/// The size of `/dev/shm`. A copy of a machine has it in its list of mounts.
fn shm(root: Root<'_>) -> Option<u64> {
    if root.is_own() {
        let place = statvfs("/dev/shm").ok()?;
        return Some(place.blocks() * place.fragment_size());
    }
    let mounts = root.list("/proc/mounts");
    // The last mount is the topmost.
    let options = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        (fields.next()? == "/dev/shm").then(|| fields.nth(1)).flatten()
    })?;
    options.split(',').find_map(|option| bytes(option.strip_prefix("size=")?))
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The X displays that are in use. With the host's network the host's are among them, by their abstract sockets; with its
/// folder of sockets, by files.
fn displays(root: Root<'_>) -> BTreeSet<u32> {
    let sockets = root.list("/proc/net/unix");
    let listening = sockets.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The flag __SO_ACCEPTCON: the connections of clients have the same name.
        let flags = u32::from_str_radix(fields.get(3)?, 16).ok()?;
        let path = fields.get(7).filter(|_| flags & 0x1_0000 != 0)?;
        number(path.trim_start_matches('@').strip_prefix(SOCKETS)?, "/X")
    });
    let mut displays: BTreeSet<u32> = listening.collect();
    for name in root.names(SOCKETS, MOST, |name| number(name, "X").is_some()).0 {
        let Some(display) = number(&name, "X") else { continue };
        if !displays.contains(&display) && (!root.is_own() || answers(&format!("{SOCKETS}/{name}"))) {
            displays.insert(display);
        }
    }
    displays
}

/// Whether a server listens at a socket. A server that was killed leaves its file.
fn answers(path: &str) -> bool {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let Ok(address) = UnixAddr::new(Path::new(path)) else { return false };
    let Ok(client) = socket(AddressFamily::Unix, SockType::Stream, flags, None) else { return true };
    let refused = [nix::errno::Errno::ECONNREFUSED, nix::errno::Errno::ENOENT];
    // A server whose queue is full answers EAGAIN.
    connect(std::os::fd::AsRawFd::as_raw_fd(&client), &address)
        .map_or_else(|error| !refused.contains(&error), |()| true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("65536k", Some(67_108_864)),
            ("1g", Some(1 << 30)),
            ("512", Some(512)),
            ("lots", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn all_capabilities_outside_of_a_user_namespace_are_privileged() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        for (capabilities, ids, expected) in [
            ("000001ffffffffff", "", true),
            ("0000003fffffffff", "0 0 4294967295\n", true),
            ("000001ffffffffff", "         0     100000      65536\n", false),
            ("00000000a80425fb", "", false),
        ] {
            fs::write(dir.path().join("proc/self/uid_map"), ids).unwrap();
            let set = u64::from_str_radix(capabilities, 16).unwrap();
            assert_eq!(is_privileged(root, set), expected, "{capabilities} {ids}");
        }
    }

    #[test]
    fn programs_of_other_users_need_both_capabilities() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        for (capabilities, expected) in [
            ("00000000a80425fb", Some(true)),
            ("0000000000000080", Some(false)),
            ("0000000000000040", Some(false)),
            ("", None),
        ] {
            let status = format!("Uid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\n");
            fs::write(dir.path().join("proc/self/status"), status).unwrap();
            let container = read(Root::new(dir.path())).container;
            assert_eq!(container.other_users, expected, "{capabilities}");
        }
    }

    #[test]
    fn a_socket_without_a_server_is_no_display() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("X0");
        let server = UnixListener::bind(&path).unwrap();
        assert!(answers(path.to_str().unwrap()));
        drop(server);
        assert!(!answers(path.to_str().unwrap()));
        assert!(!answers("/nowhere/X0"));
    }

    #[test]
    fn this_machine_is_read() {
        let container = read(Root::new(Path::new("/"))).container;
        assert!(container.sys_admin.is_some() && container.privileged.is_some());
    }
}
