//! Whether the desktop's user can use a device node, and if not, why and what helps.
//!
//! On this machine mode, owner and device number are those of the node, and DRM nodes are opened and closed again, because
//! only that shows the container's device rules. In a copy of another machine a node is an ordinary file, whose existence
//! counts; the file may contain the line that `ls -ln` shows for the node (`crw-rw---- 1 0 992 226, 128`), which then has
//! the mode, owner and device number. Of a file without such a line two modes count, which no tool gives to a new file:
//! 000 means that no user may open the node, and 660 that mode, owner and group of the file are those of the node.
//!
//! A node is never read: a DRM node blocks its reader for ever.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::OFlags;

use super::root::Root;
use crate::facts::account;
use crate::sys::with_timeout_of;

/// How long opening a node may take: a driver that resets its device keeps the opener waiting.
const PATIENCE: Duration = Duration::from_millis(500);

/// The id that the kernel shows for groups that have no id in this user namespace.
const OVERFLOW: u32 = 65_534;

/// Mode, owner and device number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    minor: Option<u32>,
    /// Whether it is a device, and not only a file that no user may open.
    pub(super) is_device: bool,
}

/// The process whose rights count: desktopd. As root, desktopd makes the desktop's user a member of the groups of all
/// nodes; otherwise the desktop's user is that of desktopd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
}

/// Judges nodes.
pub(super) struct Judge<'a> {
    root: Root<'a>,
    process: Process,
    /// The names of groups here.
    names: BTreeMap<u32, String>,
    /// Whether a driver has kept an opener waiting; no second one waits.
    slow: std::cell::Cell<bool>,
}

impl<'a> Judge<'a> {
    /// `process` is that of a copy of a machine.
    pub(super) fn new(root: Root<'a>, process: Process) -> Self {
        let process = if root.is_own() {
            let own = account::own_identity();
            Process { uid: own.uid, groups: [vec![own.gid], own.groups].concat() }
        } else {
            process
        };
        let lines = root.text("/etc/group");
        let name = |line: &str| {
            let mut fields = line.split(':');
            let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
            Some((id, name.to_owned()))
        };
        Self { root, process, names: lines.lines().filter_map(name).collect(), slow: false.into() }
    }

    /// What is to be said about a node that can be used, or why the node cannot be used. The node is opened; `given` is
    /// the option that gives the node to a container.
    pub(super) fn usable(&self, path: &str, given: &str) -> Result<Option<String>, String> {
        let said = self.permitted(path)?;
        self.opens(path, given)?;
        Ok(said)
    }

    /// Like [`Self::usable`], for a node whose opening costs too much: NVIDIA's driver starts the GPU, which can take
    /// seconds, and AMD's keeps data for the process until the process ends.
    pub(super) fn permitted(&self, path: &str) -> Result<Option<String>, String> {
        owner(self.root, path).map_or(Ok(None), |owner| self.allowed(path, owner))
    }

    fn allowed(&self, path: &str, owner: Owner) -> Result<Option<String>, String> {
        let Owner { mode, uid, gid, .. } = owner;
        let (everyone, group) = (mode & 0o006 == 0o006, mode & 0o060 == 0o060);
        let shown = format!("{:o}", mode & 0o777);
        let named = self.group(gid);
        if everyone {
            return Ok(None);
        }
        if gid == OVERFLOW && group {
            return self.without_id(path);
        }
        if self.process.uid != 0 {
            if uid == self.process.uid && mode & 0o600 == 0o600 || group && self.process.groups.contains(&gid)
            {
                return Ok(None);
            }
            let remedy = if group && gid != 0 {
                format!("start the container with --group-add {gid}")
            } else {
                format!("on the host run chmod 666 {path}")
            };
            return Err(format!(
                "no permission for {path}: its mode is {shown}, its group is {named}, and user {} is not in that \
                 group: {remedy}",
                self.process.uid
            ));
        }
        if !group || gid == 0 {
            let name = account::group_of_device(path).unwrap_or("render");
            return Err(format!(
                "no permission for {path}: its mode is {shown} and its group is {named}, so that only root can use \
                 it: on the host run chgrp {name} {path} && chmod 660 {path}"
            ));
        }
        // As root, desktopd makes the group and the user a member.
        Ok((!self.names.contains_key(&gid)).then(|| {
            format!(
                "the group of {path} has the id {gid} and no name here; desktopd as root names it and makes the user a \
                 member, another user needs --group-add {gid}"
            )
        }))
    }

    /// A node whose group has no id in the container's user namespace. A process can have such a group only from its
    /// start (Podman's `keep-groups`): no process can add or name it.
    fn without_id(&self, path: &str) -> Result<Option<String>, String> {
        let kept = self.process.groups.contains(&OVERFLOW);
        let cause = format!("{path} belongs to a group that has no id in this container's user namespace");
        match (kept, self.process.uid) {
            // Which of the host's groups was kept, opening the node shows.
            (true, 1..) => Ok(None),
            (true, 0) => Err(format!(
                "{cause}: root here was given that group and cannot pass it on to the desktop's user: start the container \
                 with --userns keep-id as well, so that desktopd is not root, or on the host run chmod 666 {path}"
            )),
            (false, _) => Err(format!(
                "{cause}: start the container with --group-add keep-groups --userns keep-id (rootless Podman), or map the \
                 group's id (LXC: lxc.idmap, Proxmox: dev0: {path},gid=GID)"
            )),
        }
    }

    /// Whether desktopd is root.
    pub(super) fn is_root(&self) -> bool {
        self.process.uid == 0
    }

    /// A group for people.
    pub(super) fn group(&self, gid: u32) -> String {
        self.names.get(&gid).map_or_else(|| gid.to_string(), |name| format!("{name} ({gid})"))
    }

    fn opens(&self, path: &str, given: &str) -> Result<(), String> {
        if !self.root.is_own() || self.slow.get() {
            return Ok(());
        }
        let node = PathBuf::from(path);
        let opened = with_timeout_of(PATIENCE, move || {
            if !fs::metadata(&node)?.file_type().is_char_device() {
                return Err(std::io::Error::other("is not a device"));
            }
            let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
            OpenOptions::new().write(true).custom_flags(flags).open(&node).map(drop)
        });
        let Some(opened) = opened else {
            self.slow.set(true);
            return Err(format!(
                "{path} does not answer within {} ms: the driver hangs; see dmesg on the host",
                PATIENCE.as_millis()
            ));
        };
        let Err(error) = opened else { return Ok(()) };
        match (error.kind(), error.raw_os_error()) {
            // The kernel's answer to a device rule of the control group. EACCES is that of the mode.
            (ErrorKind::PermissionDenied, Some(nix::libc::EPERM)) => Err(format!(
                "the container's device rules refuse {path} ({error}): start the container with {given}; if it had \
                 {path} before, systemctl daemon-reload on the host took the node away: restart the container"
            )),
            (_, Some(nix::libc::ENXIO | nix::libc::ENODEV)) => Err(format!(
                "{path} exists, but no driver is behind it ({error}): load the driver on the host"
            )),
            // A driver may refuse a second opener; drawing shows more.
            (_, Some(nix::libc::EBUSY)) => Ok(()),
            _ => Err(format!("{path} cannot be opened: {error}")),
        }
    }
}

/// The minor number of a node, if it is known.
pub(super) fn minor(root: Root<'_>, path: &str) -> Option<u32> {
    owner(root, path)?.minor
}

/// Mode, owner and device number of a node, if they are known.
pub(super) fn owner(root: Root<'_>, path: &str) -> Option<Owner> {
    let found = fs::metadata(root.place(path)?).ok()?;
    if found.file_type().is_char_device() {
        let minor = Some(rustix::fs::minor(found.rdev()));
        let (mode, uid, gid) = (found.mode(), found.uid(), found.gid());
        return Some(Owner { mode, uid, gid, minor, is_device: true });
    }
    let listed = listed(&root.text(path));
    listed.or_else(|| match found.mode() & 0o777 {
        0 => Some(Owner { mode: 0, uid: 0, gid: 0, minor: None, is_device: false }),
        mode @ 0o660 => {
            Some(Owner { mode, uid: found.uid(), gid: found.gid(), minor: None, is_device: false })
        }
        _ => None,
    })
}

/// Reads a line of `ls -ln`: mode, number of links, uid, gid, major and minor number.
fn listed(text: &str) -> Option<Owner> {
    let mut fields = text.split_whitespace();
    let letters = fields.next()?.strip_prefix('c')?;
    let letters =
        letters.get(..9).filter(|letters| letters.bytes().all(|byte| b"rwx-sStT".contains(&byte)))?;
    let mode = letters.bytes().fold(0, |mode, byte| mode << 1 | u32::from(byte != b'-'));
    let mut number = || fields.next()?.trim_end_matches(',').parse().ok();
    let (_, uid, gid) = (number()?, number()?, number()?);
    let minor = number().and_then(|_| number());
    Some(Owner { mode, uid, gid, minor, is_device: true })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn judged(line: &str, uid: u32, groups: &[u32]) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("dev/dri/renderD128", line), ("etc/group", "root:x:0:\nrender:x:105:\n")] {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let process = Process { uid, groups: groups.to_vec() };
        Judge::new(Root::new(dir.path()), process).usable("/dev/dri/renderD128", "--device /dev/dri")
    }

    #[test]
    fn a_node_is_judged_by_its_mode_and_group() {
        let line = |mode: &str, gid: u32| format!("c{mode} 1 0 {gid} 226, 128 Nov 30 04:14 renderD128\n");
        for (line, uid, groups, expected) in [
            (line("rw-rw----", 105), 0, &[][..], "usable"),
            (line("rw-rw-rw-", 0), 1000, &[1000], "usable"),
            (line("rw-rw----", 105), 1000, &[105], "usable"),
            (String::new(), 1000, &[], "usable"),
            ("rubbish".to_owned(), 1000, &[], "usable"),
            (line("rw-rw----", 992), 0, &[], "the id 992 and no name here"),
            (line("rw-rw----", 105), 1000, &[1000], "--group-add 105"),
            (line("rw-------", 105), 0, &[], "mode is 600 and its group is render (105)"),
            (line("rw-rw----", 0), 0, &[], "only root can use it"),
            (line("rw-------", 0), 1000, &[0], "chmod 666"),
            (line("rw-rw----", 65_534), 0, &[], "--group-add keep-groups --userns keep-id"),
            (line("rw-rw----", 65_534), 0, &[0, 65_534], "cannot pass it on"),
            (line("rw-rw----", 65_534), 1000, &[1000], "lxc.idmap"),
            (line("rw-rw----", 65_534), 1000, &[1000, 65_534], "usable"),
            (line("rw-rw-rw-", 65_534), 0, &[], "usable"),
        ] {
            let found = match judged(&line, uid, groups) {
                Ok(said) => said.unwrap_or_else(|| "usable".to_owned()),
                Err(reason) => reason,
            };
            assert!(found.contains(expected), "{line:?} for {uid}: {found}");
        }
    }

    #[test]
    fn what_ls_shows_is_read() {
        let owner = listed("crw-rw----+ 1 0 992 226, 129 Nov 30 04:14 /dev/dri/renderD129").unwrap();
        assert_eq!(owner, Owner { mode: 0o660, uid: 0, gid: 992, minor: Some(129), is_device: true });
        for text in ["", "c", "drwxr-xr-x 2 0 0 60 by-path", "crw-rw---- 1 root video 226, 0"] {
            assert_eq!(listed(text), None, "{text}");
        }
    }

    #[test]
    fn nodes_of_this_machine_are_opened() {
        let judge = Judge::new(Root::new(Path::new("/")), Process::default());
        assert_eq!(judge.usable("/dev/null", "--device /dev/null"), Ok(None));
        assert!(judge.opens("/proc/version", "").unwrap_err().contains("is not a device"));
    }
}
