//! The probe: reads everything, joins it, and judges each GPU.

use std::path::Path;

use super::amd::Topology;
use super::brought::{self, Brought, Given};
use super::context::{Context, GIVE_DRI};
use super::drm::Drm;
use super::identity::{self, Found, Sources};
use super::libraries::Installed;
use super::nodes::Judge;
use super::nvidia::Shown;
use super::root::Root;
use super::tegra::Board;
use super::{
    Answers, Gpu, Gpus, Kfd, Nvidia, Vendor, container, cuda, driver, encoder, libraries, pci, reason,
    repair, rocm, tegra,
};
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
        let container::Read { container, process, in_pod } = container::read(root);
        let brought = brought::version(root, shown.module.as_deref());
        let Installed { libraries, has_all, unlinked, lacking } =
            libraries::find(root, &given.library_path, brought.is_some());
        let nvml = answers.nvml.as_ref();
        let devices = nvml.and_then(|nvml| nvml.as_ref().ok()).map_or(&[][..], |nvml| &nvml.devices);
        let mut found = identity::join(Sources {
            pci,
            drm: &drm,
            nvidia: &shown,
            amd: &topology,
            nvml: devices,
            board: Board::read(root),
            windows: container.wsl,
        });
        let rendered = answers.rendered.as_ref().filter(|rendered| rendered.reason.is_none());
        if let Some(rendered) = rendered {
            identity::add_rendered(&mut found, &rendered.devices);
        }
        let hardware =
            rendered.map(|rendered| rendered.devices.iter().filter(|device| !device.software).count());
        let joined =
            found.iter().filter(|one| one.rendered.as_ref().is_some_and(|device| !device.software)).count();
        // CUDA's library can be a newer one for compatibility.
        let library = [&libraries.nvml, &libraries.egl_nvidia, &libraries.glx_nvidia].into_iter().flatten();
        let library =
            library.filter_map(|path| Some((path.as_str(), libraries::version(root, path)?))).collect();
        let context = Context {
            judge: Judge::new(root, process),
            drm: &drm,
            shown: &shown,
            libraries: &libraries,
            has_libraries: has_all,
            unlinked,
            told: given.told.as_deref(),
            library,
            container: &container,
            in_pod,
            nvml,
            all_drawn: hardware == Some(joined),
        };
        let mut gpus: Vec<Gpu> = found.iter().map(|one| judged(one, root, &context)).collect();
        number_cuda(&mut gpus, &found);
        let mut kfd = kfd(root, &context, &topology, &gpus);
        let mut nvidia = summary(root, &gpus, &context, answers);
        let works = found.iter().any(|one| one.has_nvidia_driver() && driver::works(one, &context).is_ok());
        nvidia.brought = Brought {
            version: brought,
            lacking: if works && has_all && !container.wsl { lacking } else { Vec::new() },
            told: given.told.clone(),
        };
        let repairs = repair::find(root, &context);
        if refusal.is_some() {
            (kfd.reason, nvidia.reason) = (refusal.clone(), refusal.clone());
        }
        let crowded = more.then_some(pci::DEVICES).or(drm.crowded).or(shown.crowded);
        let reason = refusal.or_else(|| crowded.map(not_all)).or_else(|| missing(root, &gpus));
        let rendered = answers.rendered.clone();
        Self { gpus, nvidia, kfd, libraries, container, repairs, rendered, reason }
    }
}

fn judged(one: &Found, root: Root<'_>, context: &Context<'_>) -> Gpu {
    let version = |driver: &str| {
        // Only drivers that are not the kernel's own have a version.
        let text = root.text(&format!("/sys/module/{driver}/version"));
        Some(text.trim().to_owned()).filter(|version| !version.is_empty())
    };
    let mut gpu = one.gpu(context.shown, version);
    // Without NVML the variable alone says which instance of a divided GPU was given.
    if let ([instance], true) = (&context.instances()[..], one.is_divided(context)) {
        gpu.uuid = Some((*instance).to_owned());
    }
    let judgement = reason::judge(one, context);
    gpu.usable = judgement.is_ok();
    gpu.reason = judgement.unwrap_or_else(|reason| reason);
    match encoder::judge(one, &gpu, context) {
        Ok(encoder) => gpu.encoder = Some(encoder.to_owned()),
        Err(reason) => gpu.encoder_reason = Some(reason),
    }
    gpu
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

fn summary(root: Root<'_>, gpus: &[Gpu], context: &Context<'_>, answers: &Answers) -> Nvidia {
    let nvml = context.nvml.and_then(|nvml| nvml.as_ref().ok());
    let own = gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia);
    let reason = match own.clone().next() {
        None => Some(driver::absence(context)),
        Some(first) if own.clone().any(|gpu| gpu.usable) => {
            let other = first
                .driver
                .as_ref()
                .filter(|driver| !tegra::is_driver(&driver.name) && driver.name != "nvidia");
            other.map(|driver| {
                format!(
                    "the host drives the GPU with {}, not with NVIDIA's own driver: install that driver on the host \
                     (Ubuntu: ubuntu-drivers install, Debian: nvidia-driver)",
                    driver.name
                )
            })
        }
        Some(first) => Some(first.reason.clone()),
    };
    let module = context.shown.module.as_deref();
    let offered = match (&answers.cuda, module.and_then(cuda::of_branch)) {
        (Some(Ok(version)), _) => Ok(*version),
        (_, Some(version)) => Ok(version),
        (Some(Err(why)), None) => Err(why.clone()),
        (None, None) => {
            Err("its library libcuda.so.1 was not found: start the container with --gpus all".into())
        }
    };
    let toolkits = cuda::toolkits(root);
    let machine = cuda::Machine {
        has_gpu: gpus.iter().any(|gpu| gpu.vendor == Vendor::Nvidia && gpu.nodes.nvidia.is_some()),
        driver: offered.clone(),
        module,
        toolkits: &toolkits,
        gpus: cuda::names(gpus),
        listed: cuda::listed(context.shown),
        library: context.libraries.cuda.as_deref(),
        trials: cuda::trials(root),
    };
    Nvidia {
        module: context.shown.module.clone(),
        driver: nvml.map(|nvml| nvml.driver.clone()).filter(|version| !version.is_empty()),
        cuda: nvml.and_then(|nvml| nvml.cuda.clone()),
        cuda_driver: offered.ok(),
        compat: cuda::judge(root, &machine),
        toolkits,
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
        (0, _, true) if !root.is_folder("/sys/class") => Some(
            "the topology of the GPUs (/sys/class/kfd) is hidden here: show /sys to the container".to_owned(),
        ),
        (0, _, _) => {
            let drivers =
                gpus.iter().filter(|gpu| gpu.vendor == Vendor::Amd).filter_map(|gpu| gpu.driver.as_ref());
            let remedy = match drivers.map(|driver| driver.name.as_str()).max_by_key(|name| *name == "amdgpu") {
                Some("amdgpu") => {
                    "the host's amdgpu has no support for ROCm (CONFIG_HSA_AMD) or not for this GPU, or /sys is hidden here"
                        .to_owned()
                }
                Some(other) => format!("the host drives the GPU with {other}, and ROCm needs amdgpu"),
                None => "load amdgpu on the host, then start the container anew".to_owned(),
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
    let order = topology.gpus.iter().map(|gpu| gpu.pci.clone()).collect();
    Kfd { node, gpus: u32::try_from(count).unwrap_or(u32::MAX), order, rocm: rocm::find(root), reason }
}

/// Why a GPU may be missing in the list.
fn not_all(folder: &str) -> String {
    format!(
        "{folder} has more entries than a machine has devices: not all were looked at, and a GPU may be missing here; see \
         what made these entries"
    )
}

/// Why there is no GPU.
fn missing(root: Root<'_>, gpus: &[Gpu]) -> Option<String> {
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
