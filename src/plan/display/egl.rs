//! A GPU among the devices of EGL, and its name there.

use crate::facts::Facts;
use crate::facts::gpu::{Gpu, Rendered, RenderedDevice, Vendor};

/// N of the `eglN` that means the GPU.
pub(super) fn index(gpu: &Gpu, facts: &Facts) -> Option<u32> {
    match &facts.gpus.rendered {
        Some(rendered) => entry(gpu, rendered).and_then(|device| device.index),
        None => gpu.egl.or_else(|| position(gpu, facts)),
    }
}

/// The GPU by VirtualGL's names.
pub(super) fn device(gpu: &Gpu, facts: &Facts) -> Option<String> {
    let card = match &facts.gpus.rendered {
        // VirtualGL compares the path with EGL's text, which is empty where the container lacks the node.
        Some(rendered) => entry(gpu, rendered).and_then(|device| device.card.clone()),
        None => gpu.nodes.card.clone(),
    };
    card.filter(|card| !card.is_empty()).or_else(|| index(gpu, facts).map(|index| format!("egl{index}")))
}

/// The device of EGL that is the GPU.
pub(super) fn entry<'a>(gpu: &Gpu, rendered: &'a Rendered) -> Option<&'a RenderedDevice> {
    let same = |one: &Option<String>, other: &Option<String>| {
        one.as_ref().is_some_and(|path| !path.is_empty() && Some(path) == other.as_ref())
    };
    let devices = || rendered.devices.iter();
    devices()
        .find(|device| same(&device.card, &gpu.nodes.card) || same(&device.render, &gpu.nodes.render))
        .or_else(|| devices().find(|device| device.index.is_some() && device.index == gpu.egl))
        .or_else(|| {
            let of_nvidia = gpu.vendor == Vendor::Nvidia && gpu.cuda.is_some();
            devices().find(|device| of_nvidia && device.cuda == gpu.cuda)
        })
}

/// The GPU's place in EGL's list as far as files tell: NVIDIA's library comes before Mesa's, because the names of their
/// files are sorted.
fn position(gpu: &Gpu, facts: &Facts) -> Option<u32> {
    let mut usable: Vec<&Gpu> = facts.gpus.gpus.iter().filter(|gpu| gpu.usable).collect();
    usable.sort_by_key(|gpu| gpu.vendor != Vendor::Nvidia);
    let place = usable.iter().position(|other| std::ptr::eq(*other, gpu))?;
    u32::try_from(place).ok()
}
