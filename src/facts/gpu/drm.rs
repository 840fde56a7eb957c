//! The devices of the kernel's Direct Rendering Manager, from `/sys/class/drm`, and the nodes in `/dev/dri`.
//!
//! Card and render node of one device are paired by the device that both belong to: their numbers do not say which
//! belong together. A card need not be on PCI: vgem, vkms, the GPUs of small boards, Hyper-V's screen.

use super::nodes;
use super::pci::{self, Ids, Pci};
use super::root::{Root, number};

/// How many entries of a folder are looked at.
const MOST: usize = 512;

/// The folders of the devices and of their nodes.
const CLASS: &str = "/sys/class/drm";
const NODES: &str = "/dev/dri";

/// The vendor of virtio's devices on PCI.
const VIRTIO: u32 = 0x1af4;

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// What card and render node have in common: the device's place in sysfs, or what else is known of it. Empty while
    /// nothing is known.
    place: String,
    /// The PCI address, for a device that is on PCI itself or by virtio.
    pub(super) pci: Option<String>,
    /// The device's own name where it is not on PCI: `vgem`, `1002000000.v3d`.
    pub(super) name: String,
    pub(super) driver: Option<String>,
    pub(super) ids: Option<Ids>,
    /// The names that the kernel has for the nodes: `card0`, `renderD128`.
    pub(super) card: Option<String>,
    pub(super) render: Option<String>,
    /// Of a virtio device: whether the host draws for it (virgl).
    pub(super) virgl: Option<bool>,
}

impl Device {
    /// The kernel's name for the device's node of the same kind as the node `name`.
    fn node(&self, name: &str) -> Option<&String> {
        if name.starts_with("card") { self.card.as_ref() } else { self.render.as_ref() }
    }
}

/// All devices, and all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Drm {
    /// Whether `/sys/class/drm` can be seen.
    pub(super) known: bool,
    pub(super) devices: Vec<Device>,
    pub(super) nodes: Vec<Node>,
    /// A folder that has more entries than were looked at.
    pub(super) crowded: Option<&'static str>,
    /// Names in `/sys/class/drm` of which nothing says what device is behind them: in a copied machine.
    unplaced: Vec<String>,
}

/// A node in `/dev/dri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// `/dev/dri/card0`.
    pub(super) path: String,
    /// The kernel's name for the device behind the node. It differs from the file's name where the engine renamed it:
    /// `docker run --device /dev/dri/renderD129:/dev/dri/renderD128`.
    pub(super) kernel: String,
}

impl Drm {
    /// Reads all; `pci` has the display devices on PCI.
    pub(super) fn read(root: Root<'_>, pci: &[Pci]) -> Self {
        let known = root.is_folder(CLASS);
        let (nodes, more_nodes) = all_nodes(root);
        let (names, more_names) = root.names(CLASS, MOST, is_name);
        let crowded = more_names.then_some(CLASS).or(more_nodes.then_some(NODES));
        let mut drm = Self { known, nodes, crowded, ..Self::default() };
        for name in names {
            let found = device(root, &format!("{CLASS}/{name}"));
            if found.place.is_empty() {
                drm.add_copied(root, found, name, pci);
            } else {
                drm.add(found, &name);
            }
        }
        // A container can hide /sys/class/drm, or a copy of a machine lack its links.
        for one in pci {
            let folder = format!("/sys/bus/pci/devices/{}", one.address);
            for name in root.names(&format!("{folder}/drm"), MOST, is_name).0 {
                if !drm.has(&name) {
                    drm.add(of_folder(root, &folder, &one.address), &name);
                }
            }
        }
        drm
    }

    /// Adds an entry of a copied machine, which has no links: its ids can name the device.
    fn add_copied(&mut self, root: Root<'_>, mut found: Device, name: String, pci: &[Pci]) {
        let Some(ids) = found.ids else {
            // One card and one render node with the same driver belong together; of more nothing is known.
            let place = found.driver.clone().unwrap_or_default();
            let other = self.devices.iter().find(|device| device.place == place);
            if place.is_empty() || other.is_some_and(|device| device.node(&name).is_some()) {
                self.unplaced.push(name);
                return;
            }
            found.place = place;
            return self.add(found, &name);
        };
        let same = |own: Ids| own.vendor == ids.vendor && (ids.device == 0 || own.device == ids.device);
        let mut equal = pci.iter().filter(|one| one.ids.is_some_and(same));
        match (equal.next(), equal.next()) {
            (Some(one), None) => {
                let folder = format!("/sys/bus/pci/devices/{}", one.address);
                self.add(of_folder(root, &folder, &one.address), &name);
            }
            // Which of several equal GPUs, cannot be known.
            (Some(_), Some(_)) => self.unplaced.push(name),
            (None, _) => {
                found.place = format!("{:x}:{:x}", ids.vendor, ids.device);
                self.add(found, &name);
            }
        }
    }

    /// Whether nothing says what device is behind a node that sysfs has.
    pub(super) fn is_unplaced(&self, path: &str) -> bool {
        let node = self.nodes.iter().find(|node| node.path == path);
        node.is_some_and(|node| self.unplaced.contains(&node.kernel))
    }

    /// The node for a name of the kernel, if this container has it.
    pub(super) fn node(&self, kernel: Option<&String>) -> Option<String> {
        let node = self.nodes.iter().find(|node| Some(&node.kernel) == kernel)?;
        Some(node.path.clone())
    }

    fn has(&self, name: &str) -> bool {
        let is = |own: &Option<String>| own.as_deref() == Some(name);
        self.devices.iter().any(|device| is(&device.card) || is(&device.render))
    }

    fn add(&mut self, found: Device, name: &str) {
        let at = self.devices.iter().position(|device| device.place == found.place);
        let at = at.unwrap_or_else(|| {
            self.devices.push(found);
            self.devices.len() - 1
        });
        let device = &mut self.devices[at];
        let slot = if name.starts_with("card") { &mut device.card } else { &mut device.render };
        slot.get_or_insert_with(|| name.to_owned());
    }
}

/// `card0` and `renderD128`, not the connectors beside them (`card0-DP-1`).
pub(super) fn is_name(name: &str) -> bool {
    number(name, "card").is_some() || number(name, "renderD").is_some()
}

/// All nodes, and whether there may be more.
fn all_nodes(root: Root<'_>) -> (Vec<Node>, bool) {
    let (names, more) = root.names(NODES, MOST, is_name);
    let nodes = names.into_iter().map(|name| (format!("{NODES}/{name}"), name));
    let nodes = nodes.filter(|(path, _)| root.is_node(path)).map(|(path, name)| {
        let minor = nodes::minor(root, &path);
        let kernel = minor.map(|minor| {
            // Render nodes begin at 128 (64 to 127 was for a kind that was given up).
            let kind = if name.starts_with("card") { "card" } else { "renderD" };
            format!("{kind}{minor}")
        });
        Node { path, kernel: kernel.unwrap_or(name) }
    });
    (nodes.collect(), more)
}

/// The device of an entry in `/sys/class/drm`.
fn device(root: Root<'_>, entry: &str) -> Device {
    let link = format!("{entry}/device");
    let Some(place) = root.resolve(&link) else {
        // The entry itself leads below the device: DEVICE/drm/card0.
        let place = root.resolve(entry).filter(|place| place != entry);
        let folder = place.as_deref().and_then(|place| Some(place.rsplit_once("/drm/")?.0.to_owned()));
        return folder.map(|folder| of_place(root, &folder)).unwrap_or_default();
    };
    if place != link {
        return of_place(root, &place);
    }
    // A plain folder instead of a link, in a copy of a machine.
    match pci::uevent(root, &link, "PCI_SLOT_NAME").and_then(|address| pci::normal(&address)) {
        Some(address) => of_folder(root, &link, &address),
        None => Device { driver: pci::driver(root, &link), ids: pci::ids(root, &link), ..Device::default() },
    }
}

/// A PCI device with its folder in sysfs.
fn of_folder(root: Root<'_>, folder: &str, address: &str) -> Device {
    let ids = pci::ids(root, folder);
    Device {
        virgl: ids.filter(|ids| ids.vendor == VIRTIO).and_then(|_| virgl_below(root, folder)),
        place: address.to_owned(),
        pci: Some(address.to_owned()),
        name: address.to_owned(),
        driver: pci::driver(root, folder),
        ids,
        ..Device::default()
    }
}

/// The device at a place below `/sys/devices`.
fn of_place(root: Root<'_>, place: &str) -> Device {
    let mut parts = place.rsplit('/');
    let name = parts.next().unwrap_or_default();
    if pci::is_address(name) {
        return of_folder(root, place, name);
    }
    // A virtio device can be below its PCI device, and so is the drawing part of nova. Others below a PCI device, such as
    // the firmware's framebuffer, are not that device.
    let virtio = number(name, "virtio").is_some();
    let is_part = virtio || name.starts_with("nova");
    if let Some(address) = parts.next().filter(|above| is_part && pci::is_address(above)) {
        let folder = place.strip_suffix(name).unwrap_or(place).trim_end_matches('/');
        return of_folder(root, folder, address);
    }
    // vgem, vkms and evdi are platform devices without a driver of another name.
    let own = name.split('.').next().filter(|name| ["vgem", "vkms", "evdi"].contains(name));
    Device {
        place: place.to_owned(),
        name: name.to_owned(),
        driver: pci::driver(root, place).or_else(|| own.map(str::to_owned)),
        ids: pci::ids(root, place),
        virgl: virtio.then(|| virgl(root, place)).flatten(),
        ..Device::default()
    }
}

/// Of a PCI device with a virtio device below it: whether the host draws.
fn virgl_below(root: Root<'_>, folder: &str) -> Option<bool> {
    let below = root.names(folder, 1, |name| number(name, "virtio").is_some()).0;
    virgl(root, &format!("{folder}/{}", below.first()?))
}

/// The first bit of a virtio GPU's features is `VIRTIO_GPU_F_VIRGL`.
fn virgl(root: Root<'_>, place: &str) -> Option<bool> {
    match root.text(&format!("{place}/features")).bytes().next()? {
        b'0' => Some(false),
        b'1' => Some(true),
        _ => None,
    }
}
