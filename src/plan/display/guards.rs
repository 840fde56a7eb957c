//! Xorg with NVIDIA's driver: where it may be tried, and what protects the host.
//!
//! Xorg takes the outputs of a card. On a host that shows its own desktop or console on the card, a second Xorg leaves
//! people before a black screen, so the guards hold whatever the user asks for. Without a wish Xorg is tried only where
//! the driver is complete as well.

use crate::facts::Facts;
use crate::facts::gpu::{Gpu, Vendor};

use super::choice::Choice;
use super::considered::{Considered, Verdict};
use super::names;

/// The candidates: one a GPU of NVIDIA's, or one with the reason why there is none.
pub(super) fn candidates<'a>(gpus: &[Choice<'a>], facts: &Facts) -> Vec<Considered<'a>> {
    let obstacle = obstacle(facts);
    let own: Vec<_> = gpus.iter().filter(|choice| choice.gpu.vendor == Vendor::Nvidia).collect();
    if own.is_empty() {
        return vec![without_gpu(gpus, facts, obstacle)];
    }
    if let Some(obstacle) = obstacle {
        return vec![Considered::impossible(obstacle)];
    }
    let candidate = |choice: &&Choice<'a>| Considered {
        gpu: Some(choice.gpu),
        device: choice.gpu.pci.clone(),
        verdict: verdict(choice, facts),
    };
    own.iter().map(candidate).collect()
}

/// What makes Xorg impossible on every GPU of this machine.
pub(super) fn obstacle(facts: &Facts) -> Option<String> {
    let container = &facts.gpus.container;
    if container.privileged != Some(false) && !facts.display.foreign.is_empty() {
        let privileged = if container.privileged.is_some() { "is" } else { "may be" };
        return Some(format!(
            "the host's own X server has {}, and the container {privileged} privileged: Xorg could take the host's \
             screen",
            displays(facts)
        ));
    }
    if facts.daemon.uid != 0 {
        return Some("Xorg runs as root here, and desktopd does not".to_owned());
    }
    let missing = facts.programs.get("Xorg").err()?;
    Some(format!("{missing}: install the package xserver-xorg-core"))
}

/// The displays of other X servers.
fn displays(facts: &Facts) -> String {
    let displays = facts.display.foreign.iter().map(|number| format!(":{number}"));
    displays.collect::<Vec<_>>().join(", ")
}

/// The candidate of a machine without a GPU of NVIDIA's. With nothing to take, a wish may be tried: NVIDIA's driver
/// ends at once.
fn without_gpu(gpus: &[Choice<'_>], facts: &Facts, obstacle: Option<String>) -> Considered<'static> {
    let doubt = facts.gpus.nvidia.reason.clone().unwrap_or_else(|| "there is no NVIDIA GPU".to_owned());
    let other = gpus.iter().map(|choice| choice.gpu).find(|gpu| gpu.nodes.card.is_some());
    let verdict = match (obstacle, other) {
        (Some(obstacle), _) => Verdict::Impossible(format!("{doubt}; {obstacle}")),
        (None, Some(gpu)) => Verdict::Impossible(format!(
            "there is no NVIDIA GPU, and on {} Xorg could take the host's console: only NVIDIA's driver is used",
            names::of(gpu)
        )),
        (None, None) => Verdict::Doubtful(doubt),
    };
    Considered { gpu: None, device: None, verdict }
}

fn verdict(Choice { gpu, left_out }: &Choice<'_>, facts: &Facts) -> Verdict {
    if let Some(reason) = left_out {
        return Verdict::Impossible(reason.clone());
    }
    if let Some(output) = shown_on(gpu, facts) {
        return Verdict::Impossible(format!(
            "the host shows a picture on its output {output}, and Xorg would take that screen"
        ));
    }
    if let Some(doubt) = doubt(gpu, facts) {
        return Verdict::Doubtful(doubt);
    }
    let version = facts.gpus.nvidia.module.as_ref().or(facts.gpus.nvidia.driver.as_ref());
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    Verdict::Possible(format!(
        "NVIDIA's driver{version} and its module for Xorg are here, and the host shows nothing on this GPU"
    ))
}

/// The GPU's output on which the host shows a picture.
fn shown_on<'a>(gpu: &Gpu, facts: &'a Facts) -> Option<&'a String> {
    let card = gpu.nodes.card.as_deref().and_then(|path| path.rsplit('/').next());
    let showing = &facts.display.showing;
    [gpu.pci.as_deref(), card].into_iter().flatten().find_map(|name| showing.get(name))
}

/// What speaks against Xorg without harm for the host.
fn doubt(gpu: &Gpu, facts: &Facts) -> Option<String> {
    let gpus = &facts.gpus;
    if !gpu.usable {
        return Some(gpu.reason.clone());
    }
    if let Some(reason) = &gpus.nvidia.reason {
        return Some(reason.clone());
    }
    if let Some(driver) = gpu.driver.as_ref().filter(|driver| driver.name != "nvidia") {
        return Some(format!("the kernel drives it with {}, and Xorg needs NVIDIA's driver", driver.name));
    }
    if gpus.container.wsl {
        return Some("WSL has no outputs for Xorg".to_owned());
    }
    if gpu.uuid.as_ref().is_some_and(|uuid| uuid.starts_with("MIG-")) {
        return Some("an instance of a divided GPU (MIG) has no outputs".to_owned());
    }
    if !facts.display.foreign.is_empty() {
        return Some(format!("another X server has {}, perhaps on this GPU", displays(facts)));
    }
    // The framebuffer of the firmware belongs to no card on PCI.
    if let Some((card, output)) = facts.display.showing.iter().find(|(card, _)| card.starts_with("card")) {
        return Some(format!(
            "the host shows a picture on {card}'s output {output}, and the picture may be on this GPU"
        ));
    }
    incomplete(facts)
}

/// What Xorg lacks of NVIDIA's driver, with the remedy.
fn incomplete(facts: &Facts) -> Option<String> {
    let gpus = &facts.gpus;
    let asked = gpus.container.capabilities.as_deref().unwrap_or_default();
    let asked = asked.split(',').any(|word| ["all", "display"].contains(&word.trim()));
    if !gpus.nvidia.nodes.iter().any(|node| node == "nvidia-modeset") {
        let remedy = if asked {
            "load the module on the host (nvidia-modprobe -m) and start the container anew"
        } else {
            "start the container with NVIDIA_DRIVER_CAPABILITIES=all"
        };
        return Some(format!("/dev/nvidia-modeset is missing, which Xorg needs: {remedy}"));
    }
    let libraries = &gpus.libraries;
    let missing = [
        ("libGLX_nvidia.so.0", &libraries.glx_nvidia),
        ("Xorg's module nvidia_drv.so", &libraries.xorg_nvidia),
    ];
    let missing: Vec<&str> =
        missing.into_iter().filter(|(_, found)| found.is_none()).map(|(name, _)| name).collect();
    if missing.is_empty() {
        return None;
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let branch = gpus.nvidia.module.as_deref().and_then(|version| version.split('.').next());
    let branch = branch.map(|branch| format!("-{branch}")).unwrap_or_default();
    let remedy = if asked {
        format!(
            "install the driver's package for Xorg on the host (Ubuntu: xserver-xorg-video-nvidia{branch}, Debian: \
             xserver-xorg-video-nvidia) and start the container anew"
        )
    } else {
        "start the container with NVIDIA_DRIVER_CAPABILITIES=all".to_owned()
    };
    let told = gpus.nvidia.brought.told.as_ref().map(|told| format!("; {told}")).unwrap_or_default();
    Some(format!("{} {verb} missing: {remedy}{told}", missing.join(" and ")))
}
