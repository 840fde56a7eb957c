//! Which GPUs may be used, and in which order: `GPU_COUNT`, `NVIDIA_VISIBLE_DEVICES` and `VGL_DISPLAY`.
//!
//! A GPU that is left out keeps its place in the decision, with the variable that leaves the GPU out.

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
    let of_device = |gpu: &Gpu| match &asked.device {
        Device::Any | Device::Server(_) => None,
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
    choices.sort_by_key(|choice| (choice.left_out.is_some(), !choice.gpu.usable, rank(choice.gpu.vendor)));
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

/// The place of a maker's GPUs in the order of preference.
pub(super) fn rank(vendor: Vendor) -> u8 {
    match vendor {
        Vendor::Nvidia => 0,
        Vendor::Amd => 1,
        Vendor::Intel => 2,
        Vendor::Other => 3,
        Vendor::Virtual => 4,
        Vendor::Display => 5,
    }
}

/// What `NVIDIA_VISIBLE_DEVICES` says about the GPUs that are here.
#[derive(Debug)]
enum Visible<'a> {
    /// Nothing: the device nodes decide.
    Silent,
    /// No GPU of NVIDIA's.
    None,
    /// Those that one of these words means.
    Some(Vec<&'a str>),
}

impl<'a> Visible<'a> {
    /// Reads the variable. The container toolkit has read it before and made only the nodes of these GPUs, so the
    /// variable decides only where all nodes are here all the same, as in a privileged container.
    fn of(text: Option<&'a str>, gpus: &[Gpu]) -> Self {
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
        // Numbers count the host's GPUs, and NVML may count other than the nodes. A number without a node here says
        // nothing about the nodes that are here.
        let numbers = words.iter().all(|word| number(word).is_some());
        if numbers && !own().any(|gpu| words.iter().any(|word| means(word, gpu))) {
            return Self::Silent;
        }
        Self::Some(words)
    }

    /// Why the GPU is hidden, if so.
    fn hides(&self, gpu: &Gpu) -> Option<String> {
        match self {
            _ if gpu.vendor != Vendor::Nvidia => None,
            Self::Silent => None,
            Self::None => Some("NVIDIA_VISIBLE_DEVICES=none leaves out all GPUs of NVIDIA's".to_owned()),
            Self::Some(words) => (!words.iter().any(|word| means(word, gpu)))
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

/// Whether a word of `NVIDIA_VISIBLE_DEVICES` means the GPU. The beginning of a UUID is enough, as for NVIDIA's tools.
fn means(word: &str, gpu: &Gpu) -> bool {
    if let Some(number) = number(word) {
        return gpu.nodes.nvidia.as_deref() == Some(&format!("/dev/nvidia{number}"));
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
