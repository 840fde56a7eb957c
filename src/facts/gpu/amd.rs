//! AMD's compute topology, from `/sys/class/kfd`.

use super::root::Root;

/// How many nodes are looked at.
const MOST: usize = 512;

/// AMD's vendor id on PCI. Hygon's accelerators have a topology of the same form.
const AMD: u64 = 0x1002;

/// A GPU of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compute {
    /// The PCI address.
    pub(super) pci: String,
    /// The kernel's name of the GPU's render node.
    pub(super) render: Option<String>,
    /// Whether the GPU has a 3D engine.
    pub(super) draws: bool,
}

/// The topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topology {
    /// How many nodes there are, CPUs among them.
    pub(super) nodes: usize,
    /// The GPUs that the container may use: the kernel hides the properties of others.
    pub(super) gpus: Vec<Compute>,
}

impl Topology {
    pub(super) fn read(root: Root<'_>) -> Self {
        let folder = "/sys/class/kfd/kfd/topology/nodes";
        let mut names = root.names(folder, MOST, |name| name.parse::<u32>().is_ok()).0;
        // In the order of ROCm's own list.
        names.sort_by_key(|name| name.parse::<u32>().ok());
        let properties = names.iter().map(|name| root.text(&format!("{folder}/{name}/properties")));
        Self { nodes: names.len(), gpus: properties.filter_map(|text| compute(&text)).collect() }
    }
}

/// A GPU by its properties. A node without SIMDs is a CPU.
fn compute(text: &str) -> Option<Compute> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    value("simd_count").filter(|count| *count > 0)?;
    if value("vendor_id").is_some_and(|vendor| vendor != AMD) {
        return None;
    }
    let (location, domain) = (value("location_id").unwrap_or(0), value("domain").unwrap_or(0));
    let (bus, device, function) = (location >> 8 & 0xff, location >> 3 & 0x1f, location & 7);
    Some(Compute {
        pci: format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}"),
        render: value("drm_render_minor").filter(|minor| *minor > 0).map(|minor| format!("renderD{minor}")),
        draws: value("gfx_target_version").is_none_or(|version| !WITHOUT_3D.contains(&version)),
    })
}

/// Versions of the graphics engine of GPUs that only compute: the Instinct series from MI100 on (gfx908, gfx90a, gfx940
/// to gfx942, gfx950).
const WITHOUT_3D: [u64; 6] = [90_008, 90_010, 90_400, 90_401, 90_402, 90_500];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_simds_is_a_gpu_with_a_pci_address() {
        let text = "cpu_cores_count 0\nsimd_count 144\nlocation_id 50179\ndomain 2\ndrm_render_minor 129\n";
        let gpu = compute(text).unwrap();
        assert_eq!(
            (gpu.pci.as_str(), gpu.render.as_deref(), gpu.draws),
            ("0002:c4:00.3", Some("renderD129"), true)
        );
        assert!(!compute("simd_count 1216\ngfx_target_version 90402\n").unwrap().draws);
        for text in [
            "",
            "simd_count 0\nlocation_id 768",
            "simd_count\nsimd_count x",
            "simd_counts 4",
            "simd_count 480\nvendor_id 7572\n",
        ] {
            assert_eq!(compute(text), None, "{text}");
        }
    }
}
