//! Xvfb with VirtualGL: on which GPU, and by which of VirtualGL's names.
//!
//! VirtualGL skips a device that cannot be initialized, without an error, and counts the rest: a wrong `eglN` ends
//! silently on the CPU, slower than without VirtualGL. The path of a card fails with an error instead, so the path is
//! preferred; the path of a render node never works. What EGL drew decides over all that files say.

use crate::facts::Facts;
use crate::facts::gpu::{Gpu, Rendered, Vendor};

use super::choice::{Asked, Choice, Device};
use super::considered::{Considered, Verdict};
use super::egl;

/// The candidates: one a GPU, or one with the reason why there is none.
pub(super) fn candidates<'a>(
    gpus: &[Choice<'a>],
    asked: &Asked,
    facts: &Facts,
    number: u32,
) -> Vec<Considered<'a>> {
    if asked.no_virtualgl {
        return vec![Considered::impossible("DISABLE_VGL leaves it out")];
    }
    if let Device::Server(server) = &asked.device {
        let verdict = installed(facts).map_or_else(|| on_server(server, facts, number), Verdict::Impossible);
        return vec![Considered { gpu: None, device: Some(server.clone()), verdict }];
    }
    if gpus.is_empty() {
        return vec![Considered::impossible(no_gpu(facts))];
    }
    if let Some(missing) = installed(facts) {
        return vec![Considered::impossible(missing)];
    }
    let candidate = |Choice { gpu, left_out }: &Choice<'a>| {
        let device = egl::device(gpu, facts);
        let verdict = match left_out {
            Some(reason) => Verdict::Impossible(reason.clone()),
            None => verdict(gpu, device.as_deref(), facts),
        };
        Considered { gpu: Some(gpu), device, verdict }
    };
    gpus.iter().map(candidate).collect()
}

fn no_gpu(facts: &Facts) -> String {
    facts.gpus.reason.clone().unwrap_or_else(|| "there is no GPU".to_owned())
}

/// The program that is missing.
fn installed(facts: &Facts) -> Option<String> {
    let missing = |program: &str, remedy: &str| {
        facts.programs.get(program).err().map(|reason| format!("{reason}: {remedy}"))
    };
    missing("vglrun", "install VirtualGL, or build the image with VIRTUALGL_URL")
        .or_else(|| missing("Xvfb", "install the package xvfb"))
}

/// VirtualGL's older back end draws on an X server that has a GPU.
fn on_server(server: &str, facts: &Facts, own: u32) -> Verdict {
    let there = server.rsplit_once(':').map(|(host, rest)| (host, rest.split('.').next().unwrap_or(rest)));
    match there.map(|(host, display)| (host, display.parse::<u32>())) {
        Some(("" | "unix", Ok(display))) if display == own => Verdict::Impossible(format!(
            "VGL_DISPLAY={server} is the desktop's own display, which has no GPU; egl and the path of a card mean a GPU"
        )),
        Some(("" | "unix", Ok(display)))
            if !facts.display.taken.contains(&display) && !facts.display.foreign.contains(&display) =>
        {
            Verdict::Impossible(format!("VGL_DISPLAY={server} is a display that no X server has"))
        }
        Some((_, Ok(_))) => {
            Verdict::Possible(format!("VGL_DISPLAY={server} is another X server; not yet drawn on"))
        }
        _ => Verdict::Impossible(format!(
            "VGL_DISPLAY={server} is neither egl, eglN, the path of a card nor an X display such as :1"
        )),
    }
}

fn verdict(gpu: &Gpu, device: Option<&str>, facts: &Facts) -> Verdict {
    match &facts.gpus.rendered {
        Some(answer) => drawn(gpu, device, answer),
        None if device.is_none() => Verdict::Impossible(if gpu.usable {
            "VirtualGL has no name for it: the container has no card node, and EGL was not asked".to_owned()
        } else {
            gpu.reason.clone()
        }),
        // The drawing of NVIDIA's driver without EGL is that of Xorg.
        None if gpu.usable && is_without_egl(gpu, facts) => Verdict::Doubtful(gpu.reason.clone()),
        None if gpu.usable => Verdict::Possible(format!("{}; not yet drawn on", gpu.reason)),
        // The path of a card fails with an error. A number would lead to another device.
        None if gpu.nodes.card.is_some() => Verdict::Doubtful(gpu.reason.clone()),
        None => Verdict::Impossible(gpu.reason.clone()),
    }
}

/// Whether the GPU's driver is NVIDIA's, and its EGL library is missing.
fn is_without_egl(gpu: &Gpu, facts: &Facts) -> bool {
    let own = gpu.driver.as_ref().is_some_and(|driver| driver.name == "nvidia");
    gpu.vendor == Vendor::Nvidia && own && facts.gpus.libraries.egl_nvidia.is_none()
}

/// What drawing on the GPU showed.
fn drawn(gpu: &Gpu, device: Option<&str>, answer: &Rendered) -> Verdict {
    if let Some(reason) = &answer.reason {
        return Verdict::Impossible(format!("nothing could be drawn: {reason}"));
    }
    let Some(shown) = egl::entry(gpu, answer) else {
        let why = if gpu.usable { "EGL does not list it" } else { &gpu.reason };
        return Verdict::Impossible(why.to_owned());
    };
    let renderer = shown.renderer.as_deref().unwrap_or("an unknown renderer");
    match (&shown.error, device) {
        (Some(error), _) => Verdict::Impossible(format!("drawing failed: {error}")),
        _ if shown.software => Verdict::Impossible(format!("{renderer} draws on it, which is the CPU")),
        _ if !shown.pixel => {
            Verdict::Impossible(format!("{renderer} drew a pixel, and another color came back"))
        }
        (_, None) => Verdict::Impossible("EGL lists it and cannot initialize it".to_owned()),
        (_, Some(_)) => Verdict::Possible(format!("{renderer} drew on it")),
    }
}
