//! Makes control nodes of NVIDIA's that are missing, and gives nodes that only root may open to a group, as the plan
//! decided. The plan names only nodes in a `/dev` of the container's own.
//!
//! A node that the container's device rules refuse is removed again: programs take its existence for a driver.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use nix::unistd::Group;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat};

use super::replan;
use crate::config::service::step::DeviceNodes;
use crate::facts::gpu::compute::{Action, Repair};

/// The mode of a control node: that of NVIDIA's own tool.
const MODE: u32 = 0o666;

/// Does the repairs that the plan describes as JSON. What fails is reported, with what a person can do.
pub(super) fn run(DeviceNodes { run_dir }: &DeviceNodes, planned: &str) -> Result<(), String> {
    let repairs: Vec<Repair> =
        serde_json::from_str(planned).map_err(|error| format!("the nodes: {error}"))?;
    let mut failed = 0;
    for Repair { node, action, remedy, .. } in &repairs {
        let Some(action) = action else { continue };
        match repair(Path::new(node), action) {
            Ok(done) => println!("{node}: {done}"),
            Err(error) => {
                failed += 1;
                eprintln!("{node}: {error}; {remedy}");
            }
        }
    }
    if failed < repairs.len() {
        // The nodes decide which displays are possible.
        replan::ask(run_dir);
    }
    Ok(())
}

/// Returns what was done.
fn repair(node: &Path, action: &Action) -> Result<String, String> {
    match action {
        Action::Make { major, minor } => {
            make(node, *major, *minor)?;
            Ok(format!("made, with the device number {major}:{minor}"))
        }
        Action::Open { group } => {
            let found = Group::from_name(group).map_err(|error| error.desc().to_owned())?;
            let found = found.ok_or_else(|| format!("there is no group {group} in /etc/group"))?;
            open(node, found.gid.as_raw()).map_err(|error| error.to_string())?;
            Ok(format!("the group {group} may open it now"))
        }
    }
}

fn make(node: &Path, major: u32, minor: u32) -> Result<(), String> {
    let device = FileType::CharacterDevice;
    mknodat(CWD, node, device, Mode::from_raw_mode(MODE), makedev(major, minor))
        .map_err(|error| format!("it could not be made: {error}"))?;
    let opened = fs::set_permissions(node, Permissions::from_mode(MODE)).and_then(|()| try_open(node));
    opened.map_err(|error| {
        let _ = fs::remove_file(node);
        match error.raw_os_error() {
            // The answer of a device rule of the control group.
            Some(nix::libc::EPERM) => "the container's device rules refuse it".to_owned(),
            Some(nix::libc::ENXIO | nix::libc::ENODEV) => "no driver of the host is behind it".to_owned(),
            _ => format!("it cannot be opened: {error}"),
        }
    })
}

/// Opens and closes a node, which is never read.
fn try_open(node: &Path) -> io::Result<()> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    fs::OpenOptions::new().write(true).custom_flags(flags).open(node).map(drop)
}

fn open(node: &Path, gid: u32) -> io::Result<()> {
    let mode = fs::metadata(node)?.mode() & 0o7777;
    chown(node, None, Some(gid))?;
    fs::set_permissions(node, Permissions::from_mode(mode | 0o660))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    /// The device number of `/dev/null`.
    const NULL: (u32, u32) = (1, 3);

    #[test]
    fn a_node_is_made_if_its_driver_answers() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("nvidiactl");
        match make(&node, NULL.0, NULL.1) {
            // Without the capability, or on a file system without devices.
            Err(why) if why.contains("not permitted") || why.contains("Permission denied") => return,
            made => made.unwrap(),
        }
        let found = fs::metadata(&node).unwrap();
        assert!(found.file_type().is_char_device());
        assert_eq!((found.mode() & 0o777, found.rdev()), (MODE, makedev(NULL.0, NULL.1)));
        assert!(make(&node, NULL.0, NULL.1).unwrap_err().contains("exists"));
        // No driver has this number.
        let gone = dir.path().join("nvidia-uvm");
        let why = make(&gone, 4000, 0).unwrap_err();
        assert!(why.contains("no driver") || why.contains("device rules"), "{why}");
        assert!(!gone.exists());
    }

    #[test]
    fn a_node_is_given_to_a_group_and_keeps_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("uinput");
        fs::write(&node, "").unwrap();
        fs::set_permissions(&node, Permissions::from_mode(0o600)).unwrap();
        let own = nix::unistd::getegid().as_raw();
        open(&node, own).unwrap();
        let found = fs::metadata(&node).unwrap();
        assert_eq!((found.mode() & 0o777, found.gid()), (0o660, own));
        let why = repair(&node, &Action::Open { group: "no-such-group".to_owned() }).unwrap_err();
        assert!(why.contains("no group no-such-group"), "{why}");
    }
}
