//! The GPUs and other display devices on PCI, from `/sys/bus/pci/devices`, and what their ids mean.

use super::Vendor;
use super::root::Root;

/// The folder of the devices.
pub(super) const DEVICES: &str = "/sys/bus/pci/devices";

/// How many devices are looked at; large servers have some hundred.
const MOST: usize = 4096;

/// How many display devices are taken.
const MOST_DISPLAYS: usize = 256;

/// The class "display controller".
const DISPLAY: u32 = 0x03;

/// The class "processing accelerator": Instinct from MI300 on. Processors for neural networks have the class as well.
const ACCELERATOR: u32 = 0x12;

/// The vendor of GPUs with that class.
const AMD: u32 = 0x1002;

/// A display device, or an accelerator that is a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pci {
    /// `0000:01:00.0`.
    pub(super) address: String,
    pub(super) ids: Option<Ids>,
    /// The driver that is bound to the device.
    pub(super) driver: Option<String>,
    /// Whether the entry is a link, as in sysfs, and not a folder of a copied machine.
    pub(super) linked: bool,
}

/// What the maker wrote into the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) vendor: u32,
    pub(super) device: u32,
    /// Class, subclass and interface: 0x030000.
    pub(super) class: u32,
}

/// All display devices, sorted by address, and whether there may be more.
pub(super) fn devices(root: Root<'_>) -> (Vec<Pci>, bool) {
    let (names, more) = root.names(DEVICES, MOST, is_address);
    let device = |address: String| {
        let folder = format!("{DEVICES}/{address}");
        let class = root.hex(&format!("{folder}/class"))? >> 16;
        let ids = ids(root, &folder);
        let is_gpu = class == DISPLAY || class == ACCELERATOR && ids.is_some_and(|ids| ids.vendor == AMD);
        is_gpu.then(|| Pci {
            ids,
            driver: driver(root, &folder),
            linked: root.link(&folder).is_some(),
            address,
        })
    };
    let mut devices = names.into_iter().filter_map(device);
    let mut first: Vec<Pci> = devices.by_ref().take(MOST_DISPLAYS).collect();
    first.sort_by_key(|device| order(&device.address));
    (first, more || devices.next().is_some())
}

/// The ids of the device with this folder in sysfs; `None` if they cannot be read.
pub(super) fn ids(root: Root<'_>, folder: &str) -> Option<Ids> {
    let vendor = root.hex(&format!("{folder}/vendor"))?;
    let device = root.hex(&format!("{folder}/device")).unwrap_or_default();
    Some(Ids { vendor, device, class: root.hex(&format!("{folder}/class")).unwrap_or_default() })
}

/// The driver of the device with this folder in sysfs.
pub(super) fn driver(root: Root<'_>, folder: &str) -> Option<String> {
    // Copies of a machine often lack the links; uevent has the same, or a file of text is in the place of the link.
    let link = format!("{folder}/driver");
    root.link(&link).or_else(|| uevent(root, folder, "DRIVER")).or_else(|| {
        let text = root.text(&link);
        let name = text.trim().rsplit('/').next().unwrap_or_default();
        let is_name = (1..=32).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        is_name.then(|| name.to_owned())
    })
}

/// A value of a device's file `uevent`.
pub(super) fn uevent(root: Root<'_>, folder: &str, key: &str) -> Option<String> {
    let text = root.text(&format!("{folder}/uevent"));
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Whether a name is a PCI address as sysfs has them: `0000:01:00.0`, the domain with four digits or more.
pub(super) fn is_address(name: &str) -> bool {
    parts(name).is_some()
}

/// The key by which addresses are sorted: domain, bus, device, function.
pub(super) fn order(address: &str) -> (u32, u32, u32, u32) {
    parts(address).unwrap_or((u32::MAX, 0, 0, 0))
}

fn parts(name: &str) -> Option<(u32, u32, u32, u32)> {
    let (rest, function) = name.split_once('.')?;
    let mut fields = rest.split(':');
    let (domain, bus, device) = (fields.next()?, fields.next()?, fields.next()?);
    let shape = (4..=8).contains(&domain.len()) && (bus.len(), device.len(), function.len()) == (2, 2, 1);
    let number = |text: &str| {
        let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
    };
    (shape && fields.next().is_none())
        .then(|| Some((number(domain)?, number(bus)?, number(device)?, number(function)?)))
        .flatten()
}

/// The address in sysfs's form: NVML and `/proc` print domains with eight digits or capital letters.
pub(super) fn normal(address: &str) -> Option<String> {
    let (domain, bus, device, function) = parts(&address.trim().to_lowercase())?;
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}"))
}

impl Ids {
    /// The maker. Cards of virtual machines and of management controllers are kinds of their own.
    pub(super) fn kind(self) -> Vendor {
        match self.vendor {
            0x10de => Vendor::Nvidia,
            AMD => Vendor::Amd,
            0x8086 => Vendor::Intel,
            0x1af4 | 0x1b36 | 0x1234 | 0x1013 | 0x15ad | 0x80ee | 0x1414 | 0x1d0f | 0x5853 | 0x1ab8
            | 0xfb5d => Vendor::Virtual,
            0x1a03 | 0x102b | 0x19e5 | 0x18ca => Vendor::Display,
            _ => Vendor::Other,
        }
    }

    /// Whether the device only computes: accelerators, and Intel's Data Center GPU Max, which has no 3D engine.
    pub(super) fn only_computes(self) -> bool {
        let max = self.vendor == 0x8086 && matches!(self.device, 0x0b69 | 0x0b6e | 0x0bd0..=0x0bdb);
        max || self.class >> 16 == ACCELERATOR
    }

    /// The name of a card whose driver does not tell one.
    pub(super) fn name(self) -> Option<&'static str> {
        Some(match (self.vendor, self.device) {
            (0x1af4, 0x1050) => "virtio GPU",
            (0x1234, 0x1111) => "QEMU standard VGA",
            (0x1013, 0x00b8) => "Cirrus Logic GD 5446",
            (0x1b36, 0x0100) => "QXL",
            (0x15ad, 0x0405) => "VMware SVGA II",
            (0x15ad, 0x0406) => "VMware SVGA III",
            (0x80ee, 0xbeef) => "VirtualBox",
            (0x1414, 0x5353) => "Hyper-V VGA",
            (0x1414, 0x008e) => "Microsoft Basic Render Driver",
            (0x1d0f, 0x1111) => "Amazon EC2 VGA",
            (0x1ab8, 0x4005) => "Parallels",
            (0xfb5d, 0x40fb) => "bhyve framebuffer",
            (0x1a03, _) => "ASPEED",
            (0x102b, _) => "Matrox",
            (0x19e5, _) => "Huawei iBMC",
            (0x18ca, _) => "XGI Volari",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, expected) in [
            ("0000:01:00.0", Some("0000:01:00.0")),
            ("00000000:C4:1f.7", Some("0000:c4:1f.7")),
            ("00000009:01:00.0", Some("0009:01:00.0")),
            ("10000:e1:00.0", Some("10000:e1:00.0")),
            ("01:00.0", None),
            ("0000:01:00", None),
            ("0000:1:00.0", None),
            ("0000:01:00.0:1", None),
            ("0000:+1:00.0", None),
            ("rubbish", None),
        ] {
            assert_eq!(normal(text).as_deref(), expected, "{text}");
        }
        assert!(is_address("0000:01:00.0") && !is_address("0000:C4:00.0"));
    }
}
