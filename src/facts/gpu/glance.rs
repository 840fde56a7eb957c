//! A glance at GPUs that were found before: whether programs can still open their nodes, and whether the kernel still
//! drives them.
//!
//! Nothing is opened. `access(2)` gets the same answer from the kernel as `open` would, that of the container's device
//! rules too, and no driver takes part: a GPU that sleeps is not woken, no library is loaded, and no node is made. Of
//! sysfs only links and folders are looked at, which wake no device either.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::nodes::{Judge, Process};
use super::root::Root;
use super::{Gpu, Gpus};

/// The node over which NVIDIA's libraries reach the driver, whatever the GPU.
const NVIDIA_CONTROL: &str = "/dev/nvidiactl";

/// A GPU to glance at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The GPU for people, with its address: `NVIDIA RTX A4000 (0000:01:00.0)`.
    pub name: String,
    /// The PCI address.
    pub pci: Option<String>,
    /// The nodes that programs open to use the GPU.
    pub nodes: Vec<String>,
}

impl Watched {
    /// The GPUs that have nodes in this container.
    pub fn of(gpus: &Gpus) -> Vec<Self> {
        let control = gpus.nvidia.nodes.iter().any(|node| NVIDIA_CONTROL.ends_with(&format!("/{node}")));
        gpus.gpus.iter().map(|gpu| Self::of_gpu(gpu, control)).filter(|one| !one.nodes.is_empty()).collect()
    }

    fn of_gpu(gpu: &Gpu, control: bool) -> Self {
        let own = [&gpu.nodes.nvidia, &gpu.nodes.card, &gpu.nodes.render];
        let mut nodes: Vec<String> = own.into_iter().flatten().cloned().collect();
        if control && gpu.nodes.nvidia.is_some() {
            nodes.push(NVIDIA_CONTROL.to_owned());
        }
        let place = gpu.pci.as_ref().or(nodes.first());
        let name = place.map_or_else(|| gpu.title().to_owned(), |place| format!("{} ({place})", gpu.title()));
        Self { name, pci: gpu.pci.clone(), nodes }
    }

    /// Whether both are the same GPU.
    pub fn is_same(&self, other: &Self) -> bool {
        // Only the GPU's own node comes first; the others may belong to several.
        self.pci.is_some() && self.pci == other.pci || self.nodes.first() == other.nodes.first()
    }
}

/// What a glance shows of one GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the device is on its bus; `None` for a GPU without a PCI address.
    pub present: Option<bool>,
    /// The driver that is bound to the device.
    pub driver: Option<String>,
    /// The nodes in the order of [`Watched::nodes`].
    pub nodes: Vec<Node>,
}

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Programs can open it, as far as the kernel's rules decide.
    Open {
        /// Whether the kernel shows a device with the node's number. It shows none for NVIDIA's own nodes.
        registered: bool,
    },
    /// It does not exist.
    Missing,
    /// The container's device rules refuse it.
    Refused,
    /// Its mode or its group shuts the desktop's user out; the text says more.
    Denied(String),
    /// Another error, in the kernel's words.
    Failed(String),
}

/// What is worse than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The device has left its bus.
    Gone,
    /// The kernel's driver let the device go.
    Unbound(String),
    /// Nodes do not exist any more.
    Missing(Vec<String>),
    /// The container's device rules refuse nodes that they allowed.
    Refused(Vec<String>),
    /// A node exists, and its driver has removed the device behind it.
    Unregistered(String),
    /// The desktop's user may not open a node any more; the text says why, and what helps.
    Denied(String),
    /// A node cannot be opened any more, for another reason.
    Failed(String),
}

impl Seen {
    /// Glances at GPUs of this machine.
    pub fn look(watched: &[Watched]) -> Vec<Self> {
        Self::below(Root::new("/".as_ref()), watched)
    }

    fn below(root: Root<'_>, watched: &[Watched]) -> Vec<Self> {
        let judge = Judge::new(root, Process::default());
        watched.iter().map(|one| Self::of(root, &judge, one)).collect()
    }

    fn of(root: Root<'_>, judge: &Judge<'_>, watched: &Watched) -> Self {
        let device = watched.pci.as_ref().map(|address| format!("/sys/bus/pci/devices/{address}"));
        Self {
            present: device.as_ref().map(|device| root.is_folder(device)),
            driver: device.and_then(|device| root.link(&format!("{device}/driver"))),
            nodes: watched.nodes.iter().map(|path| node(root, judge, path)).collect(),
        }
    }

    /// What is worse now than in `self`, the cause before its effects.
    pub fn change(&self, now: &Self, watched: &Watched) -> Option<Change> {
        if self.present == Some(true) && now.present == Some(false) {
            return Some(Change::Gone);
        }
        if let (Some(driver), None) = (&self.driver, &now.driver) {
            return Some(Change::Unbound(driver.clone()));
        }
        let lost = || {
            let both = watched.nodes.iter().zip(self.nodes.iter().zip(&now.nodes));
            both.filter(|(_, (before, _))| matches!(before, Node::Open { .. }))
                .map(|(path, (before, now))| (path, before, now))
        };
        let all = |wanted: &Node| -> Vec<String> {
            lost().filter(|(.., now)| *now == wanted).map(|(path, ..)| path.clone()).collect()
        };
        for (state, change) in
            [(Node::Missing, Change::Missing as fn(Vec<String>) -> Change), (Node::Refused, Change::Refused)]
        {
            let paths = all(&state);
            if !paths.is_empty() {
                return Some(change(paths));
            }
        }
        lost().find_map(|(path, before, now)| match (before, now) {
            (_, Node::Denied(why)) => Some(Change::Denied(why.clone())),
            (_, Node::Failed(why)) => Some(Change::Failed(format!("{path}: {why}"))),
            (Node::Open { registered: true }, Node::Open { registered: false }) => {
                Some(Change::Unregistered(path.clone()))
            }
            _ => None,
        })
    }

    /// Takes over from `now` what is better there. Returns whether anything is.
    pub fn improve(&mut self, now: &Self) -> bool {
        let before = self.clone();
        if now.present == Some(true) {
            self.present = now.present;
        }
        if now.driver.is_some() {
            self.driver.clone_from(&now.driver);
        }
        for (best, now) in self.nodes.iter_mut().zip(&now.nodes) {
            match (&*best, now) {
                (Node::Open { registered: true }, _) | (_, Node::Missing) => {}
                (Node::Open { .. }, Node::Open { .. }) | (_, Node::Open { .. }) => best.clone_from(now),
                _ => {}
            }
        }
        *self != before
    }
}

fn node(root: Root<'_>, judge: &Judge<'_>, path: &str) -> Node {
    let Some(place) = root.place(path) else { return Node::Missing };
    match access(&place, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Node::Missing,
        // The kernel's answer to a device rule of the control group. EACCES is that of the mode.
        Err(Errno::PERM) => return Node::Refused,
        Err(Errno::ACCESS) => {
            let denied = judge.permitted(path).err();
            return Node::Denied(denied.unwrap_or_else(|| format!("no permission for {path}")));
        }
        Err(error) => return Node::Failed(std::io::Error::from(error).to_string()),
    }
    if let Err(why) = judge.permitted(path) {
        return Node::Denied(why);
    }
    Node::Open { registered: is_registered(root, &place) }
}

/// Whether the kernel shows a device with the node's number.
fn is_registered(root: Root<'_>, place: &std::path::Path) -> bool {
    let Ok(found) = fs::metadata(place) else { return false };
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    found.file_type().is_char_device() && root.exists(&format!("/sys/dev/char/{major}:{minor}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    const DEVICE: &str = "sys/bus/pci/devices/0000:01:00.0";

    /// A machine with one GPU: its device, its driver and two nodes.
    fn machine() -> (tempfile::TempDir, Watched) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["dev/dri", DEVICE, "sys/bus/pci/drivers/nvidia"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        symlink("../../drivers/nvidia", dir.path().join(DEVICE).join("driver")).unwrap();
        for node in ["dev/nvidia0", "dev/dri/renderD128"] {
            fs::write(dir.path().join(node), "").unwrap();
        }
        let nodes = ["/dev/nvidia0", "/dev/dri/renderD128"].map(str::to_owned).to_vec();
        (dir, Watched { name: "GPU".into(), pci: Some("0000:01:00.0".into()), nodes })
    }

    fn look(dir: &Path, watched: &Watched) -> Seen {
        Seen::below(Root::new(dir), std::slice::from_ref(watched)).remove(0)
    }

    #[test]
    fn what_is_worse_than_before_is_found_in_files() {
        type Harm = fn(&Path);
        let harms: [(Harm, Change); 5] = [
            (|dir| fs::remove_dir_all(dir.join(DEVICE)).unwrap(), Change::Gone),
            (
                |dir| fs::remove_file(dir.join(DEVICE).join("driver")).unwrap(),
                Change::Unbound("nvidia".to_owned()),
            ),
            (
                |dir| fs::remove_file(dir.join("dev/nvidia0")).unwrap(),
                Change::Missing(vec!["/dev/nvidia0".to_owned()]),
            ),
            (
                |dir| fs::write(dir.join("dev/dri/renderD128"), "crw-rw---- 1 0 0 226, 128 -").unwrap(),
                Change::Denied(String::new()),
            ),
            (
                |dir| {
                    let closed = fs::Permissions::from_mode(0o000);
                    fs::set_permissions(dir.join("dev/nvidia0"), closed).unwrap();
                },
                Change::Denied(String::new()),
            ),
        ];
        for (harm, expected) in harms {
            let (dir, watched) = machine();
            let before = look(dir.path(), &watched);
            assert_eq!(before.change(&before, &watched), None);
            harm(dir.path());
            let mut change = before.change(&look(dir.path(), &watched), &watched);
            if let Some(Change::Denied(why)) = &mut change {
                assert!(why.contains("no permission for /dev/"), "{why}");
                why.clear();
            }
            assert_eq!(change, Some(expected));
        }
    }

    #[test]
    fn only_what_was_well_can_get_worse_and_the_best_is_kept() {
        let watched = Watched { nodes: vec!["/dev/a".into(), "/dev/b".into()], ..Watched::default() };
        let open = |registered| Node::Open { registered };
        let seen = |a: Node, b: Node| Seen { nodes: vec![a, b], ..Seen::default() };
        let both = || vec!["/dev/a".to_owned(), "/dev/b".to_owned()];
        for (before, now, expected) in [
            (
                seen(open(false), open(false)),
                seen(Node::Refused, Node::Refused),
                Some(Change::Refused(both())),
            ),
            (seen(Node::Refused, Node::Missing), seen(Node::Missing, Node::Refused), None),
            (
                seen(open(true), open(false)),
                seen(open(false), open(false)),
                Some(Change::Unregistered("/dev/a".into())),
            ),
            (
                seen(open(true), open(true)),
                seen(Node::Failed("no".into()), open(true)),
                Some(Change::Failed("/dev/a: no".into())),
            ),
            // The cause before its effects.
            (
                seen(open(true), open(true)),
                seen(Node::Refused, Node::Missing),
                Some(Change::Missing(vec!["/dev/b".into()])),
            ),
        ] {
            assert_eq!(before.change(&now, &watched), expected, "{before:?} {now:?}");
        }
        let mut best = seen(Node::Refused, open(true));
        assert!(!best.improve(&seen(Node::Missing, Node::Refused)));
        assert!(best.improve(&seen(open(false), open(false))));
        assert_eq!(best, seen(open(false), open(true)));
    }

    #[test]
    fn gpu_is_known_again_by_its_address_or_its_own_node() {
        let watched = |pci: Option<&str>, nodes: &[&str]| Watched {
            name: String::new(),
            pci: pci.map(str::to_owned),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        };
        let one = watched(Some("0000:01:00.0"), &["/dev/nvidia0", NVIDIA_CONTROL]);
        assert!(one.is_same(&watched(Some("0000:01:00.0"), &["/dev/dri/card0"])));
        assert!(one.is_same(&watched(None, &["/dev/nvidia0", NVIDIA_CONTROL])));
        assert!(!one.is_same(&watched(Some("0000:02:00.0"), &["/dev/nvidia1", NVIDIA_CONTROL])));
    }
}
