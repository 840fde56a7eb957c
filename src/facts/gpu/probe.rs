//! The probe: reads everything, joins it, and judges each GPU.

use std::path::Path;

use super::amd::Topology;
use super::brought::{self, Brought, Given};
use super::context::{Context, GIVE_DRI};
use super::drm::Drm;
use super::identity::{self, Found, Sources};
use super::nodes::Judge;
use super::nvidia::{self, Shown};
use super::root::Root;
use super::{Answers, Gpu, Gpus, Kfd, Nvidia, Vendor, container, driver, libraries, pci, reason};
use crate::config::Config;

impl Gpus {
    /// Reads the files of this machine, and joins the drivers' answers.
    pub fn here(config: &Config, answers: &Answers) -> Self {
        Self::read(Root::new(Path::new("/")), &Given::here(config), answers)
    }

    /// Reads the files of the machine below `root`, and joins the drivers' answers.
    pub fn probe(root: &Path, answers: &Answers) -> Self {
        let root = Root::new(root);
        Self::read(root, &Given::below(root), answers)
    }

    fn read(root: Root<'_>, given: &Given, answers: &Answers) -> Self {
        let refusal = root.refusal();
        let (pci, more) = pci::devices(root);
        let drm = Drm::read(root, &pci);
        let shown = Shown::read(root);
        let topology = Topology::read(root);
        let brought = brought::version(root, shown.module.as_deref());
        let libraries::Found { libraries, has_folders, lacking } =
            libraries::find(root, &given.library_path, brought.is_some());
        let (container, process) = container::read(root);
        let nvml = answers.nvml.as_ref();
        let devices = nvml.and_then(|nvml| nvml.as_ref().ok()).map_or(&[][..], |nvml| &nvml.devices);
        let mut found =
            identity::join(Sources { pci, drm: &drm, nvidia: &shown, amd: &topology, nvml: devices });
        let rendered = answers.rendered.as_ref().filter(|rendered| rendered.reason.is_none());
        if let Some(rendered) = rendered {
            identity::add_rendered(&mut found, &rendered.devices);
        }
        let hardware =
            rendered.map(|rendered| rendered.devices.iter().filter(|device| !device.software).count());
        let joined =
            found.iter().filter(|one| one.rendered.as_ref().is_some_and(|device| !device.software)).count();
        // The library for management is always the driver's own; CUDA's can be a newer one for compatibility.
        let library = [&libraries.nvml, &libraries.egl_nvidia, &libraries.glx_nvidia];
        let library = library.into_iter().flatten().find_map(|path| libraries::version(root, path));
        let context = Context {
            judge: Judge::new(root, process),
            drm: &drm,
            shown: &shown,
            libraries: &libraries,
            has_libraries: has_folders,
            told: given.told.as_deref(),
            library,
            container: &container,
            nvml,
            all_drawn: hardware == Some(joined),
        };
        let mut gpus: Vec<Gpu> = found.iter().map(|one| judged(one, root, &context)).collect();
        number_cuda(&mut gpus, &found);
        let mut kfd = kfd(root, &context, &topology, &gpus);
        let mut nvidia = summary(&gpus, &context);
        let works = found.iter().any(|one| one.has_nvidia_driver() && driver::works(one, &context).is_ok());
        nvidia.brought = Brought {
            version: brought,
            lacking: if works && has_folders && !container.wsl { lacking } else { Vec::new() },
            told: given.told.clone(),
        };
        if refusal.is_some() {
            (kfd.reason, nvidia.reason) = (refusal.clone(), refusal.clone());
        }
        let reason = refusal.or_else(|| missing(root, &gpus, more));
        Self { gpus, nvidia, kfd, libraries, container, rendered: answers.rendered.clone(), reason }
    }
}

fn judged(one: &Found, root: Root<'_>, context: &Context<'_>) -> Gpu {
    let version = |driver: &str| {
        // Only drivers that are not the kernel's own have a version.
        let text = root.text(&format!("/sys/module/{driver}/version"));
        Some(text.trim().to_owned()).filter(|version| !version.is_empty())
    };
    let mut gpu = one.gpu(context.shown, version);
    let judgement = reason::judge(one, context);
    gpu.usable = judgement.is_ok();
    gpu.reason = judgement.unwrap_or_else(|reason| reason);
    gpu.encoder = encoder(one, &gpu, context);
    gpu
}

/// The encoder that the GPU should have; only an encoded picture proves it.
fn encoder(one: &Found, gpu: &Gpu, context: &Context<'_>) -> Option<String> {
    let nvenc = one.has_nvidia_driver()
        && context.libraries.nvenc.is_some()
        && gpu.name.as_deref().is_none_or(nvidia::has_encoder)
        && driver::works(one, context).is_ok();
    let vaapi = [Vendor::Amd, Vendor::Intel].contains(&gpu.vendor) && gpu.usable;
    (nvenc || vaapi).then(|| if nvenc { "nvenc" } else { "vaapi" }.to_owned())
}

/// CUDA's index where EGL did not say it. CUDA puts the fastest first, so the order is known for equal GPUs alone.
fn number_cuda(gpus: &mut [Gpu], found: &[Found]) {
    let mut known: Vec<(usize, usize)> =
        found.iter().enumerate().filter_map(|(at, one)| Some((one.nvml_index?, at))).collect();
    known.sort_unstable();
    let equal =
        known.iter().all(|(_, at)| gpus[*at].name.is_some() && gpus[*at].name == gpus[known[0].1].name);
    if known.len() == 1 || equal {
        for (index, (_, at)) in known.into_iter().enumerate() {
            gpus[at].cuda = gpus[at].cuda.or(u32::try_from(index).ok());
        }
    }
}

fn summary(gpus: &[Gpu], context: &Context<'_>) -> Nvidia {
    let nvml = context.nvml.and_then(|nvml| nvml.as_ref().ok());
    let own = gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia);
    let reason = match own.clone().next() {
        None => Some(driver::absence(context)),
        Some(first) if own.clone().any(|gpu| gpu.usable) => {
            let other = first.driver.as_ref().filter(|driver| driver.name != "nvidia");
            other.map(|driver| {
                format!("the host drives the GPU with {}, not with NVIDIA's own driver", driver.name)
            })
        }
        Some(first) => Some(first.reason.clone()),
    };
    Nvidia {
        module: context.shown.module.clone(),
        driver: nvml.map(|nvml| nvml.driver.clone()).filter(|version| !version.is_empty()),
        cuda: nvml.and_then(|nvml| nvml.cuda.clone()),
        nodes: context.shown.nodes.clone(),
        reason,
        ..Nvidia::default()
    }
}

fn kfd(root: Root<'_>, context: &Context<'_>, topology: &Topology, gpus: &[Gpu]) -> Kfd {
    let node = root.is_node("/dev/kfd");
    let count = topology.gpus.len();
    let has_amd = gpus.iter().any(|gpu| gpu.vendor == Vendor::Amd);
    let give = format!("--device /dev/kfd {GIVE_DRI}");
    let reason = match (topology.nodes, count, node) {
        (0, _, false) if !has_amd => {
            Some("there is no AMD GPU: the kernel has no topology in /sys/class/kfd".to_owned())
        }
        (0, _, _) => {
            let bound = |gpu: &Gpu| gpu.driver.as_ref().is_some_and(|driver| driver.name == "amdgpu");
            let remedy = if gpus.iter().any(bound) {
                "the host's amdgpu has no support for ROCm (CONFIG_HSA_AMD) or not for this GPU, or /sys is hidden here"
            } else {
                "load amdgpu on the host, then start the container anew"
            };
            Some(format!("the kernel has no topology in /sys/class/kfd: {remedy}"))
        }
        (_, 0, true) if has_amd => {
            Some(format!("the topology shows no GPU to this container: start the container with {give}"))
        }
        (_, 0, _) if !has_amd => Some("the topology has only CPUs: there is no AMD GPU".to_owned()),
        (.., false) => Some(format!("/dev/kfd is not in this container: start the container with {give}")),
        (.., true) => context.judge.permitted("/dev/kfd").err(),
    };
    Kfd { node, gpus: u32::try_from(count).unwrap_or(u32::MAX), reason }
}

/// Why there is no GPU, or why one may be missing.
fn missing(root: Root<'_>, gpus: &[Gpu], more: bool) -> Option<String> {
    if more {
        return Some(
            "/sys/bus/pci/devices has more entries than a machine has devices: not all were looked at, and a GPU may be \
             missing here"
                .to_owned(),
        );
    }
    if !gpus.is_empty() {
        return None;
    }
    let give = "start the container with --gpus all (NVIDIA, needs NVIDIA's container toolkit on the host) or \
                --device /dev/dri (others, with --device /dev/kfd for ROCm)";
    let hidden = ["/sys/bus/pci/devices", "/sys/class/drm"].iter().all(|folder| !root.is_folder(folder));
    Some(if hidden {
        format!("no GPU can be seen: /sys shows no devices, and /dev has no node of a GPU; {give}")
    } else {
        format!(
            "this machine has no GPU: PCI has no display device, /sys/class/drm no card, and /dev no node of a GPU; on a \
             machine with a GPU, {give}"
        )
    })
}
