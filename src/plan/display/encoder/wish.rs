//! What variables ask for: `WEBRTC_ENCODER`, and those of Selkies that choose between CPU and GPU, or one of several GPUs.

use crate::config::Config;
use crate::config::env::Maker;
use crate::facts::gpu::{Gpu, Vendor};

/// What variables ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// What has to encode.
    pub(super) maker: Maker,
    /// The variable that says so, with its value; empty if none does.
    pub(super) by: String,
    /// The GPU, if a variable of Selkies names one.
    pub(super) gpu: Option<Named>,
}

/// A GPU that a variable of Selkies names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) variable: &'static str,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// That with this render node.
    Node(String),
    /// The first of this maker.
    Of(Vendor),
    /// Selkies knows more names than are known here.
    Unknown,
}

impl Wish {
    pub(super) fn of(config: &Config) -> Self {
        let value = |name: &str| config.env.text(name).map(str::trim).filter(|value| !value.is_empty());
        let gpu = Named::of(value);
        let by_selkies = value("SELKIES_USE_CPU")
            .filter(|value| is_on(value))
            .map(|value| format!("SELKIES_USE_CPU={value}"))
            .or_else(|| {
                value("SELKIES_GPU_ID").filter(|id| *id == "-1").map(|id| format!("SELKIES_GPU_ID={id}"))
            });
        match (by_selkies, &config.env.vars.webrtc_encoder) {
            (Some(by), _) => Self { maker: Maker::Cpu, by, gpu },
            (None, Some(asked)) => {
                Self { maker: asked.maker, by: format!("WEBRTC_ENCODER={}", asked.written), gpu }
            }
            (None, None) => Self { maker: Maker::Any, by: String::new(), gpu },
        }
    }
}

impl Named {
    /// In the order in which Selkies 2.1 reads the variables.
    fn of<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let node = ["SELKIES_ENCODE_DRI", "DRI_NODE"].into_iter().find_map(|name| Some((name, value(name)?)));
        if let Some((variable, node)) = node {
            return Some(Self { variable, which: Which::Node(node.to_owned()) });
        }
        if let Some(number) = value("SELKIES_GPU_ID").and_then(|value| value.parse::<u32>().ok()) {
            let node = format!("/dev/dri/renderD{}", number.saturating_add(128));
            return Some(Self { variable: "SELKIES_GPU_ID", which: Which::Node(node) });
        }
        let name = ["SELKIES_AUTO_GPU", "AUTO_GPU"].into_iter().find_map(|name| Some((name, value(name)?)));
        let (variable, name) = name?;
        let which = match name.to_ascii_lowercase().as_str() {
            name if is_on(name) => return None,
            "nvidia" | "0x10de" => Which::Of(Vendor::Nvidia),
            "amd" | "ati" | "amdgpu" | "radeon" | "0x1002" => Which::Of(Vendor::Amd),
            "intel" | "i915" | "xe" | "0x8086" => Which::Of(Vendor::Intel),
            _ => Which::Unknown,
        };
        Some(Self { variable, which })
    }

    /// Whether the variable means this GPU.
    pub(super) fn means(&self, gpu: &Gpu) -> bool {
        match &self.which {
            Which::Node(node) => gpu.nodes.render.as_ref() == Some(node),
            Which::Of(vendor) => gpu.vendor == *vendor,
            Which::Unknown => false,
        }
    }
}

fn is_on(value: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
}
