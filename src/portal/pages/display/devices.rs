//! The GPUs, their drivers, and what was drawn on them.

use maud::{Markup, html};

use crate::facts::gpu::{Gpu, Gpus, Libraries, RenderedDevice, Vendor};
use crate::plan::display::Report;

use super::super::words::chip;
use super::parts::{self, terms};

pub(super) fn gpus(report: &Report) -> Markup {
    html! {
        section #gpus aria-labelledby="gpus-title" {
            h2 #gpus-title { "GPUs" }
            ul.cards {
                @for one in &report.probe.gpus { (gpu(report, one)) }
                // Without a GPU, or where the list may lack one.
                @if let Some(reason) = &report.probe.reason {
                    li { div.wide { (parts::reason(report, reason, "GPUs")) } }
                }
            }
        }
    }
}

fn gpu(report: &Report, gpu: &Gpu) -> Markup {
    let words = |parts: &[Option<&str>]| parts.iter().copied().flatten().collect::<Vec<_>>().join(" ");
    let nodes = &gpu.nodes;
    let nodes = words(&[nodes.nvidia.as_deref(), nodes.card.as_deref(), nodes.render.as_deref()]);
    let driver = gpu.driver.as_ref();
    let facts = [
        ("PCI address", gpu.pci.clone().unwrap_or_default()),
        ("Driver", driver.map(|one| words(&[Some(&one.name), one.version.as_deref()])).unwrap_or_default()),
        ("Nodes", if nodes.is_empty() { "none in this container".to_owned() } else { nodes }),
        ("Encoder", gpu.encoder.as_ref().map_or_else(|| "none known".to_owned(), |name| name.to_uppercase())),
        ("EGL index", gpu.egl.map(|index| index.to_string()).unwrap_or_default()),
        ("CUDA index", gpu.cuda.map(|index| index.to_string()).unwrap_or_default()),
        ("UUID", gpu.uuid.clone().unwrap_or_default()),
    ];
    let (class, word) = match gpu.vendor {
        _ if gpu.usable => ("ready", "can draw"),
        // A card without 3D is no failure.
        Vendor::Virtual | Vendor::Display => ("", "cannot draw"),
        _ => ("failed", "cannot draw"),
    };
    html! {
        li {
            div { h3 { bdi { (gpu.title()) } } (terms(&facts)) }
            div { (chip(class, word)) (parts::reason(report, &gpu.reason, gpu.title())) }
        }
    }
}

pub(super) fn drivers(report: &Report) -> Markup {
    let Gpus { nvidia, kfd, libraries, rendered, gpus, .. } = &report.probe;
    let drawn: Vec<String> = match rendered {
        None => vec!["not asked".to_owned()],
        Some(rendered) => match &rendered.reason {
            Some(reason) => vec![reason.clone()],
            None if rendered.devices.is_empty() => vec!["EGL lists no device".to_owned()],
            None => rendered.devices.iter().map(line).collect(),
        },
    };
    // A reason of a GPU is beside the GPU.
    let own = nvidia.reason.clone().filter(|reason| !gpus.iter().any(|gpu| gpu.reason == *reason));
    let of_nvidia: Vec<String> = [
        nvidia.module.as_ref().map(|version| format!("kernel module {version}")),
        nvidia.cuda.as_ref().map(|version| format!("CUDA up to {version}")),
        own,
    ]
    .into_iter()
    .flatten()
    .collect();
    let (found, missing) = names(libraries);
    let before = [
        ("NVIDIA", of_nvidia.join("; ")),
        ("AMD (ROCm)", kfd.reason.clone().unwrap_or_else(|| format!("{} in the topology", kfd.gpus))),
    ];
    let after = [
        ("Libraries", if found.is_empty() { "none".to_owned() } else { found.join(" ") }),
        ("Missing libraries", missing.join(" ")),
    ];
    html! {
        section #drivers aria-labelledby="drivers-title" {
            h2 #drivers-title { "Drivers and rendering" }
            (terms(&before))
            dl { dt { "Drawn on" } dd { ul { @for one in &drawn { li { bdi { (one) } } } } } }
            (terms(&after))
        }
    }
}

/// A device of EGL: what drew there, and what came back.
fn line(device: &RenderedDevice) -> String {
    let index = device.index.map_or_else(|| "not initialized".to_owned(), |index| format!("egl{index}"));
    let node = device.card.as_deref().or(device.render.as_deref()).unwrap_or("no node");
    let renderer = device.renderer.as_deref().unwrap_or("no renderer");
    let place = if device.software { ", on the CPU" } else { "" };
    let came_back = if device.pixel { "the pixel came back" } else { "the pixel did not come back" };
    format!("{index}, {node}: {renderer}{place}; {}", device.error.as_deref().unwrap_or(came_back))
}

/// The names of the libraries that are here, and of those that are not.
fn names(libraries: &Libraries) -> (Vec<&'static str>, Vec<&'static str>) {
    let all = [
        (&libraries.egl, "libEGL.so.1"),
        (&libraries.gl, "libGL.so.1"),
        (&libraries.nvml, "libnvidia-ml.so.1"),
        (&libraries.cuda, "libcuda.so.1"),
        (&libraries.egl_nvidia, "libEGL_nvidia.so.0"),
        (&libraries.glx_nvidia, "libGLX_nvidia.so.0"),
        (&libraries.nvenc, "libnvidia-encode.so.1"),
        (&libraries.xorg_nvidia, "nvidia_drv.so"),
        (&libraries.egl_icd, "10_nvidia.json"),
    ];
    let (found, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(path, _)| path.is_some());
    let names = |list: Vec<(&Option<String>, &'static str)>| list.into_iter().map(|(_, name)| name).collect();
    (names(found), names(missing))
}
