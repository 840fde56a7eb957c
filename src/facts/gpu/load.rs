//! What a GPU does now, as its driver reports it: busy share, memory, temperature, power. NVML says it for NVIDIA's GPUs
//! (`loads.rs`), files of sysfs for others.
//!
//! A figure that a driver does not report is `None`, never 0. A GPU that sleeps is not woken: its files are not read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Gpu;
use super::root::{Root, number};

/// How many entries of a folder are looked at.
const MOST: usize = 64;

/// Why a GPU that sleeps has no figures.
pub const SLEEPS: &str = "the GPU sleeps: no program uses it";

/// What a GPU does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The PCI address, in the kernel's form.
    pub pci: Option<String>,
    /// How much of the time the GPU worked, in percent.
    pub busy_percent: Option<u32>,
    /// How much of the time the video encoder worked, in percent. For AMD that of the whole video engine, which also
    /// decodes.
    pub encoder_percent: Option<u32>,
    /// The GPU's own memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// All of the GPU's own memory, in bytes.
    pub memory_total: Option<u64>,
    /// The temperature, in thousandths of a degree Celsius.
    pub temperature: Option<i64>,
    /// The power that the GPU draws, in microwatts.
    pub power: Option<u64>,
    /// The energy that the GPU has used so far, in microjoules, where that is reported instead of the power.
    pub energy: Option<u64>,
    /// How long the GPU has been in its sleep state so far, in milliseconds, where that is reported instead of the busy
    /// share (Intel).
    pub idle: Option<u64>,
    /// Why figures are missing, if the driver says so.
    pub reason: Option<String>,
}

impl Load {
    /// The figures that sysfs has below `root`. Some of them the driver asks its GPU for, and a sick GPU can take long to
    /// answer.
    pub fn of_sysfs(root: &Path, gpu: &Gpu) -> Self {
        let (root, pci) = (Root::new(root), gpu.pci.clone());
        let node = [&gpu.nodes.card, &gpu.nodes.render].into_iter().flatten().next();
        let folder = match (&pci, node) {
            (Some(address), _) => format!("/sys/bus/pci/devices/{address}"),
            (None, Some(node)) => {
                format!("/sys/class/drm/{}/device", node.rsplit('/').next().unwrap_or_default())
            }
            (None, None) => return Self::default(),
        };
        if root.text(&format!("{folder}/power/runtime_status")).trim() == "suspended" {
            return Self { pci, reason: Some(SLEEPS.to_owned()), ..Self::default() };
        }
        let device = |file: &str| value(root, &format!("{folder}/{file}"));
        let sensor = Sensors::of(root, &folder);
        Self {
            pci,
            busy_percent: device("gpu_busy_percent").and_then(percent),
            encoder_percent: device("vcn_busy_percent").and_then(percent),
            memory_used: device("mem_info_vram_used"),
            memory_total: device("mem_info_vram_total"),
            temperature: sensor.value("temp1_input").or_else(|| sensor.value("temp2_input")),
            power: sensor.value("power1_average").or_else(|| sensor.value("power1_input")),
            energy: sensor.value("energy1_input"),
            idle: idle(root, &folder),
            reason: None,
        }
    }
}

fn percent(value: u64) -> Option<u32> {
    u32::try_from(value).ok().filter(|percent| *percent <= 100)
}

/// The number in a file of sysfs.
fn value<T: std::str::FromStr>(root: Root<'_>, file: &str) -> Option<T> {
    root.text(file).trim().parse().ok()
}

/// The sensors of a device.
struct Sensors<'a> {
    root: Root<'a>,
    folder: Option<String>,
}

impl<'a> Sensors<'a> {
    fn of(root: Root<'a>, device: &str) -> Self {
        let folder = format!("{device}/hwmon");
        let names = root.names(&folder, 1, |name| number(name, "hwmon").is_some()).0;
        Self { root, folder: names.first().map(|name| format!("{folder}/{name}")) }
    }

    fn value<T: std::str::FromStr>(&self, file: &str) -> Option<T> {
        value(self.root, &format!("{}/{file}", self.folder.as_ref()?))
    }
}

/// How long Intel's GPU was in its sleep state: the older driver i915 has the file at the card, xe at the engine.
fn idle(root: Root<'_>, folder: &str) -> Option<u64> {
    let cards = root.names(&format!("{folder}/drm"), MOST, |name| number(name, "card").is_some()).0;
    let of_card = cards.first().into_iter().flat_map(|card| {
        let card = format!("{folder}/drm/{card}");
        [format!("{card}/gt/gt0/rc6_residency_ms"), format!("{card}/power/rc6_residency_ms")]
    });
    let xe = format!("{folder}/tile0/gt0/gtidle/idle_residency_ms");
    of_card.chain([xe]).find_map(|file| value(root, &file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = dir.path().join("sys/bus/pci/devices/0000:03:00.0").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        dir
    }

    fn load(files: &[(&str, &str)]) -> Load {
        let gpu = Gpu { pci: Some("0000:03:00.0".to_owned()), ..Gpu::default() };
        Load::of_sysfs(machine(files).path(), &gpu)
    }

    #[test]
    fn what_amds_driver_reports_is_read_and_what_it_does_not_report_is_absent() {
        let known = Load { pci: Some("0000:03:00.0".to_owned()), ..Load::default() };
        let radeon = [
            ("gpu_busy_percent", "37\n"),
            ("vcn_busy_percent", "4\n"),
            ("mem_info_vram_used", "1288490188\n"),
            ("mem_info_vram_total", "17163091968\n"),
            ("hwmon/hwmon3/temp1_input", "46000\n"),
            ("hwmon/hwmon3/power1_average", "31000000\n"),
            ("power/runtime_status", "active\n"),
        ];
        assert_eq!(
            load(&radeon),
            Load {
                busy_percent: Some(37),
                encoder_percent: Some(4),
                memory_used: Some(1_288_490_188),
                memory_total: Some(17_163_091_968),
                temperature: Some(46_000),
                power: Some(31_000_000),
                ..known.clone()
            }
        );
        assert_eq!(load(&[("gpu_busy_percent", "\n"), ("mem_info_vram_used", "no\n")]), known);
        // gfx9 APUs once reported 65535 where nothing was measured.
        assert_eq!(load(&[("gpu_busy_percent", "65535\n")]), known);
        let asleep = load(&[("power/runtime_status", "suspended\n"), ("gpu_busy_percent", "1\n")]);
        assert_eq!((asleep.busy_percent, asleep.reason.as_deref()), (None, Some(SLEEPS)));
    }

    #[test]
    fn intels_drivers_report_energy_and_time_asleep() {
        for file in [
            "drm/card1/gt/gt0/rc6_residency_ms",
            "drm/card1/power/rc6_residency_ms",
            "tile0/gt0/gtidle/idle_residency_ms",
        ] {
            let found = load(&[
                (file, "81234\n"),
                ("drm/card1/dev", "226:1\n"),
                ("hwmon/hwmon1/energy1_input", "9000\n"),
                ("hwmon/hwmon1/temp2_input", "51000\n"),
            ]);
            let figures = (found.idle, found.energy, found.temperature, found.busy_percent);
            assert_eq!(figures, (Some(81_234), Some(9000), Some(51_000), None), "{file}");
        }
    }
}
