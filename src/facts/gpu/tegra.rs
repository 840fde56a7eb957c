//! The GPU of NVIDIA's chips for boards (Tegra: Jetson). It is a part of the chip: not on PCI, without NVML's list, and
//! with a driver and nodes of its own. Its OpenGL is NVIDIA's, so Mesa draws on none of the chip's DRM devices.

use super::root::Root;

/// The names of the driver in the kernel, the newer first.
const DRIVERS: [&str; 2] = ["nvgpu", "gk20a"];

/// The nodes on which programs draw and compute, the older first: of `JetPack` 4 and 5, and of 6.
pub(super) const NODES: [&str; 2] = ["/dev/nvhost-gpu", "/dev/nvgpu/igpu0/ctrl"];

/// Where the firmware's description of the board is.
const BOARD: [&str; 2] = ["/proc/device-tree", "/sys/firmware/devicetree/base"];

/// How many devices of the bus are looked at.
const MOST: usize = 4096;

/// Whether a driver in the kernel is that of a board's GPU.
pub(super) fn is_driver(name: &str) -> bool {
    DRIVERS.contains(&name)
}

/// The GPU of a board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Board {
    /// `NVIDIA Jetson AGX Orin Developer Kit`.
    pub(super) name: Option<String>,
    /// The kernel's driver.
    pub(super) driver: String,
    /// The node, if this container has it.
    pub(super) node: Option<String>,
}

impl Board {
    /// The GPU, if the machine is such a board with NVIDIA's own driver. Other kernels drive the GPU with nouveau.
    pub(super) fn read(root: Root<'_>) -> Option<Self> {
        let text = |file: &str| {
            let texts = BOARD.iter().map(|folder| root.text(&format!("{folder}/{file}")));
            texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
        };
        let node = NODES.iter().find(|node| root.is_node(node)).map(|node| (*node).to_owned());
        let is_board = || text("compatible").split('\0').any(|name| name.starts_with("nvidia,tegra"));
        if node.is_none() && !is_board() {
            return None;
        }
        let devices = "/sys/bus/platform/drivers";
        let bound = |driver: &&&str| {
            !root.names(&format!("{devices}/{driver}"), MOST, |name| name.contains("gpu")).0.is_empty()
        };
        let driver = DRIVERS.iter().find(bound).copied().or_else(|| driver_of_device(root));
        // The nodes are made by that driver alone.
        let driver = driver.or_else(|| node.as_ref().map(|_| DRIVERS[0]))?;
        let name = text("model").trim_matches(['\0', '\n', ' ']).to_owned();
        Some(Self { name: Some(name).filter(|name| !name.is_empty()), driver: driver.to_owned(), node })
    }
}

/// The driver of the device, which is called `17000000.gpu` or `gpu.0`.
fn driver_of_device(root: Root<'_>) -> Option<&'static str> {
    let is_gpu = |name: &str| name.split('.').any(|part| part == "gpu");
    ["/sys/devices", "/sys/devices/platform", "/sys/devices/platform/bus@0", "/sys/bus/platform/devices"]
        .iter()
        .flat_map(|folder| {
            root.names(folder, MOST, is_gpu).0.into_iter().map(move |name| format!("{folder}/{name}"))
        })
        .find_map(|device| {
            let driver = root.link(&format!("{device}/driver"))?;
            DRIVERS.iter().find(|name| **name == driver).copied()
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn board(files: &[(&str, &str)]) -> Option<Board> {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Board::read(Root::new(dir.path()))
    }

    #[test]
    fn a_board_is_known_by_its_description_and_driver_or_by_its_node() {
        let compatible = ("proc/device-tree/compatible", "nvidia,p3737\0nvidia,tegra234\0");
        let driver = ("sys/bus/platform/drivers/nvgpu/17000000.gpu", "");
        let model = ("proc/device-tree/model", "NVIDIA Jetson AGX Orin\0");
        let found = board(&[compatible, driver, model]).unwrap();
        assert_eq!((found.name.as_deref(), found.driver.as_str()), (Some("NVIDIA Jetson AGX Orin"), "nvgpu"));
        assert_eq!(found.node, None);
        let found = board(&[("dev/nvhost-gpu", "")]).unwrap();
        assert_eq!((found.node.as_deref(), found.name), (Some("/dev/nvhost-gpu"), None));
        // A board whose GPU is driven by nouveau, and another board.
        assert_eq!(board(&[compatible]), None);
        assert_eq!(board(&[("proc/device-tree/compatible", "raspberrypi,5\0"), driver]), None);
        assert_eq!(board(&[]), None);
    }
}
