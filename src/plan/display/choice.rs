//! Which GPUs may be used, and in which order: `GPU_COUNT`, `NVIDIA_VISIBLE_DEVICES` and `VGL_DISPLAY`.
//!
//! A GPU that is left out keeps its place in the decision, with the variable that leaves the GPU out.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::env::DisplayChoice;
use crate::facts::Facts;
use crate::facts::display::Kind;
use crate::facts::gpu::{Gpu, Vendor};

use super::egl;

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The kind of display, `None` for the best.
    pub kind: Option<Kind>,
    /// The number of the X display.
    pub number: u32,
    /// How many GPUs may be used.
    pub count: Option<u32>,
    /// `NVIDIA_VISIBLE_DEVICES`, which NVIDIA's container toolkit defines.
    pub visible: Option<String>,
    /// The device of VirtualGL.
    pub device: Device,
    /// Whether VirtualGL is left out.
    pub no_virtualgl: bool,
}

/// A device by VirtualGL's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The best: `egl`, the usual value.
    #[default]
    Any,
    /// `eglN`.
    Egl(u32),
    /// The path of a node.
    Node(String),
    /// An X server with 3D, `:1`.
    Server(String),
}

impl Device {
    /// Reads `VGL_DISPLAY`. As for VirtualGL itself, a text that begins with `egl` in any case or with `/` is a device of
    /// EGL, and any other is an X server.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        match text.get(..3).filter(|start| start.eq_ignore_ascii_case("egl")) {
            Some(_) => text[3..].parse().map_or(Self::Any, Self::Egl),
            None if text.is_empty() => Self::Any,
            None if text.starts_with('/') => Self::Node(text.to_owned()),
            None => Self::Server(text.to_owned()),
        }
    }
}

impl Asked {
    /// What the variables ask for.
    pub fn of(config: &Config) -> Self {
        let vars = &config.env.vars;
        Self {
            kind: match vars.desktopd_display {
                DisplayChoice::Auto => None,
                DisplayChoice::Xorg => Some(Kind::Xorg),
                DisplayChoice::VirtualGl => Some(Kind::Virtualgl),
                DisplayChoice::Llvmpipe => Some(Kind::Llvmpipe),
            },
            number: vars.display.0,
            count: vars.gpu_count.map(|count| count.0),
            visible: config.env.text("NVIDIA_VISIBLE_DEVICES").map(str::to_owned),
            device: Device::of(&vars.vgl_display),
            no_virtualgl: vars.disable_vgl,
        }
    }
}

/// A GPU in the order of preference.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    pub(super) gpu: &'a Gpu,
    /// Why it may not be used, if so: the variable that says so.
    pub(super) left_out: Option<String>,
}

/// All GPUs, the best first.
pub(super) fn gpus<'a>(asked: &Asked, facts: &'a Facts) -> Vec<Choice<'a>> {
    // What the engine gave to the container reaches desktopd's environment, except in a plan of another machine.
    let visible = asked.visible.as_deref().or(facts.gpus.container.visible.as_deref());
    let visible = Visible::of(visible, &facts.gpus.gpus);
    let is_here = facts.gpus.gpus.iter().any(|gpu| is_at(gpu, &asked.device, facts));
    let of_device = |gpu: &Gpu| match &asked.device {
        Device::Any | Device::Server(_) => None,
        _ if !is_here => Some("VGL_DISPLAY names a device that no GPU here has".to_owned()),
        device => (!is_at(gpu, device, facts)).then(|| "VGL_DISPLAY names another GPU".to_owned()),
    };
    let mut choices: Vec<Choice<'a>> = facts
        .gpus
        .gpus
        .iter()
        .map(|gpu| {
            let left_out = visible.hides(gpu).or_else(|| of_device(gpu));
            // Why a GPU cannot be used says more than a variable.
            Choice { gpu, left_out: left_out.map(|why| if gpu.usable { why } else { gpu.reason.clone() }) }
        })
        .collect();
    // The sort keeps the order of the addresses among equals.
    choices.sort_by_key(|choice| (choice.left_out.is_some(), !choice.gpu.usable, rank(choice.gpu)));
    if let Some(count) = asked.count {
        let kept = usize::try_from(count).unwrap_or(usize::MAX);
        for choice in choices.iter_mut().filter(|choice| choice.left_out.is_none()).skip(kept) {
            choice.left_out = Some(format!("GPU_COUNT={count} leaves it out"));
        }
    }
    choices
}

/// Whether the device is this GPU's.
fn is_at(gpu: &Gpu, device: &Device, facts: &Facts) -> bool {
    match device {
        Device::Any | Device::Server(_) => true,
        Device::Node(path) => {
            [&gpu.nodes.card, &gpu.nodes.render, &gpu.nodes.nvidia].contains(&&Some(path.clone()))
        }
        Device::Egl(index) => egl::index(gpu, facts) == Some(*index),
    }
}

/// The place of a GPU in the order of preference.
pub(super) fn rank(gpu: &Gpu) -> u8 {
    match gpu.vendor {
        // Without NVIDIA's driver most of these GPUs stay at their lowest clock.
        Vendor::Nvidia if gpu.driver.as_ref().is_some_and(|driver| driver.name == "nouveau") => 4,
        Vendor::Nvidia => 0,
        Vendor::Amd => 1,
        // Intel's GPU inside the processor is a device of the first bus; a card of its own is faster.
        Vendor::Intel if gpu.pci.as_ref().is_some_and(|pci| !pci.contains(":00:")) => 2,
        Vendor::Intel => 3,
        Vendor::Other => 5,
        Vendor::Virtual => 6,
        Vendor::Display => 7,
    }
}

/// What `NVIDIA_VISIBLE_DEVICES` says about the GPUs that are here.
#[derive(Debug)]
enum Visible<'a> {
    /// Nothing: the device nodes decide.
    Silent,
    /// No GPU of NVIDIA's.
    None,
    /// Those that one of these words means, and the number that each GPU of NVIDIA's has on the host.
    Some(Vec<&'a str>, BTreeMap<&'a str, u32>),
}

impl<'a> Visible<'a> {
    /// Reads the variable. The container toolkit has read it before and made only the nodes of these GPUs, so the
    /// variable decides only where all nodes are here all the same, as in a privileged container.
    fn of(text: Option<&'a str>, gpus: &'a [Gpu]) -> Self {
        let text = text.unwrap_or_default().trim();
        match text {
            "none" => return Self::None,
            // With CDI, the toolkit itself sets `void` and passes the devices in another way; a path means that the list
            // was passed as mounts.
            "" | "all" | "void" => return Self::Silent,
            path if path.starts_with('/') => return Self::Silent,
            _ => {}
        }
        // CDI's names: `nvidia.com/gpu=0`.
        let words = text.split(',').map(|word| word.rsplit_once('=').map_or(word, |(_, name)| name).trim());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let own = || gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia && gpu.usable);
        if words.contains(&"all") || words.is_empty() {
            return Self::Silent;
        }
        let on_host = numbers(gpus);
        // A number that no GPU here has says nothing about the GPUs that are here.
        let all_numbers = words.iter().all(|word| number(word).is_some());
        if all_numbers && !own().any(|gpu| words.iter().any(|word| means(word, gpu, &on_host))) {
            return Self::Silent;
        }
        Self::Some(words, on_host)
    }

    /// Why the GPU is hidden, if so.
    fn hides(&self, gpu: &Gpu) -> Option<String> {
        match self {
            _ if gpu.vendor != Vendor::Nvidia => None,
            Self::Silent => None,
            Self::None => Some("NVIDIA_VISIBLE_DEVICES=none leaves out all GPUs of NVIDIA's".to_owned()),
            Self::Some(words, on_host) => (!words.iter().any(|word| means(word, gpu, on_host)))
                .then(|| format!("NVIDIA_VISIBLE_DEVICES={} names another GPU", words.join(","))),
        }
    }
}

/// The GPU's number in `0`, and in `0:1`, which is an instance of a divided GPU.
fn number(word: &str) -> Option<u32> {
    let (gpu, instance) = word.split_once(':').unwrap_or((word, "0"));
    instance.parse::<u32>().ok()?;
    gpu.parse().ok()
}

/// The number of each GPU on the host, by the GPU's node. NVIDIA's tools count in the order of the PCI addresses, which
/// need not be that of the nodes. Where a GPU of the host cannot be seen, the numbers of the nodes are the best guess.
fn numbers(gpus: &[Gpu]) -> BTreeMap<&str, u32> {
    let has_driver = |gpu: &&Gpu| gpu.driver.as_ref().is_none_or(|driver| driver.name == "nvidia");
    let own: Vec<&Gpu> = gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia).filter(has_driver).collect();
    let of_node = |node: &str| node.strip_prefix("/dev/nvidia")?.parse::<u32>().ok();
    let nodes = || own.iter().zip(0..).filter_map(|(gpu, place)| Some((gpu.nodes.nvidia.as_deref()?, place)));
    let all_seen = own.iter().all(|gpu| gpu.pci.is_some())
        && nodes().all(|(node, _)| of_node(node).is_some_and(|number| (number as usize) < own.len()));
    nodes().filter_map(|(node, place)| Some((node, if all_seen { place } else { of_node(node)? }))).collect()
}

/// Whether a word of `NVIDIA_VISIBLE_DEVICES` means the GPU. The beginning of a UUID is enough, as for NVIDIA's tools.
fn means(word: &str, gpu: &Gpu, on_host: &BTreeMap<&str, u32>) -> bool {
    if let Some(number) = number(word) {
        return gpu.nodes.nvidia.as_deref().and_then(|node| on_host.get(node)) == Some(&number);
    }
    let Some(uuid) = &gpu.uuid else {
        // Without NVML no UUID is known, and the toolkit has chosen already.
        return true;
    };
    let (word, uuid) = (word.to_ascii_lowercase(), uuid.to_ascii_lowercase());
    // The whole GPU and its instances have UUIDs of different forms.
    let kind = |uuid: &str| uuid.split('-').next().map(str::to_owned);
    uuid.starts_with(&word) || kind(&word) != kind(&uuid)
}
