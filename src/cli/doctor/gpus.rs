//! Checks of the GPUs, of drawing, and of the display that follows from them. Pure.

use crate::facts::gpu::{Gpu, Gpus, Rendered, RenderedDevice, Vendor};
use crate::plan::display::Kind;
use crate::plan::{Decision, encoder};

use super::check::{Check, Outcome};

/// What helps where a reason names no remedy.
const PROBE: &str = "desktopd probe --render shows what was found";

/// All of them. `shown` is the display that the daemon uses; empty if no daemon answers. `wanted` is the kind
/// that variables ask for.
pub(super) fn checks(gpus: &Gpus, decision: &Decision, shown: &str, wanted: Option<Kind>) -> Vec<Check> {
    let mut checks: Vec<Check> = gpus.gpus.iter().map(gpu).collect();
    // A desktop that is to be drawn by the CPU lacks nothing.
    let needs_none = wanted == Some(Kind::Llvmpipe);
    if gpus.gpus.is_empty() {
        let reason = gpus.reason.as_deref().unwrap_or("no GPU is visible here");
        checks.push(if needs_none {
            Check::ok("GPU", "no GPU is asked for")
        } else {
            let otherwise = "docker run --gpus all … for NVIDIA, --device /dev/dri for AMD and Intel";
            Check::of_reason("GPU", Outcome::Warning, reason, otherwise)
        });
    }
    let has_nvidia = gpus.nvidia.module.is_some() || gpus.gpus.iter().any(|gpu| gpu.vendor == Vendor::Nvidia);
    if let Some(reason) = gpus.nvidia.reason.as_ref().filter(|_| has_nvidia) {
        checks.push(Check::of_reason("NVIDIA", Outcome::Warning, reason, PROBE));
    }
    checks.extend(gpus.rendered.as_ref().map(|rendered| drawing(rendered, gpus)));
    checks.push(display(gpus, decision, shown, wanted));
    checks
}

fn gpu(gpu: &Gpu) -> Check {
    let name = gpu.pci.as_ref().map_or_else(|| "GPU".to_owned(), |pci| format!("GPU {pci}"));
    let what = format!("{}: {}", gpu.title(), gpu.reason);
    match (gpu.usable, gpu.vendor) {
        // No remedy makes a card without 3D draw.
        (true, _) | (false, Vendor::Display | Vendor::Virtual) => Check::ok(&name, what),
        (false, _) => Check::of_reason(&name, Outcome::Warning, &what, PROBE),
    }
}

/// What became of the pixel that was drawn on each device of EGL.
fn drawing(rendered: &Rendered, gpus: &Gpus) -> Check {
    const NAME: &str = "drawing";
    if let Some(reason) = &rendered.reason {
        return Check::of_reason(NAME, Outcome::Warning, reason, "install libegl1 and libegl-mesa0");
    }
    let drew = |device: &&RenderedDevice| device.pixel && device.error.is_none();
    let name = |device: &RenderedDevice| {
        device.renderer.clone().unwrap_or_else(|| "a renderer without a name".to_owned())
    };
    if let Some(device) = rendered.devices.iter().filter(drew).find(|device| !device.software) {
        return Check::ok(NAME, format!("{} drew a pixel, in {} ms", name(device), rendered.millis));
    }
    let failed =
        rendered.devices.iter().filter(|device| !device.software).find_map(|device| device.error.as_ref());
    if let Some(error) = failed.filter(|_| !gpus.gpus.is_empty()) {
        return Check::of_reason(NAME, Outcome::Warning, &format!("no GPU drew a pixel: {error}"), PROBE);
    }
    match rendered.devices.iter().find(drew) {
        Some(device) => {
            Check::ok(NAME, format!("{} drew a pixel on the CPU, in {} ms", name(device), rendered.millis))
        }
        None => Check::bad(NAME, Outcome::Warning, "no device of EGL drew a pixel", PROBE),
    }
}

fn display(gpus: &Gpus, decision: &Decision, shown: &str, wanted: Option<Kind>) -> Check {
    const NAME: &str = "display";
    const AGAIN: &str = "desktopd restart x-server tries again; desktopd logs x-server says what failed";
    let reasons = || {
        let candidates = decision.candidates.iter().filter(|one| !one.taken);
        let reasons: Vec<String> = candidates.map(|one| format!("{}: {}", one.kind, one.reason)).collect();
        reasons.join("; ")
    };
    let Some(chosen) = decision.candidate() else {
        if !shown.is_empty() {
            return Check::ok(NAME, shown);
        }
        let what = format!("no display is possible: {}", reasons());
        return Check::bad(NAME, Outcome::Problem, what, "install xvfb, or use the image");
    };
    let now = if shown.is_empty() { decision.summary() } else { shown.to_owned() };
    if !now.starts_with(&chosen.kind.to_string()) {
        let what = format!("the desktop is on {now}; a start now would choose {}", decision.summary());
        return Check::bad(NAME, Outcome::Warning, what, AGAIN);
    }
    if let Some(kind) = wanted.filter(|kind| *kind != chosen.kind) {
        let what = format!("{now}, although DESKTOPD_DISPLAY asks for {kind}: {}", reasons());
        return Check::bad(
            NAME,
            Outcome::Warning,
            what,
            "desktopd plan shows why; set DESKTOPD_DISPLAY=auto to end this warning",
        );
    }
    match gpus.gpus.iter().find(|gpu| gpu.usable) {
        Some(gpu) if chosen.kind == Kind::Llvmpipe && wanted.is_none() => {
            let what = format!("{now}: the CPU draws, although {} could: {}", gpu.title(), reasons());
            Check::bad(NAME, Outcome::Warning, what, "desktopd plan shows what each display lacks")
        }
        _ => Check::ok(NAME, format!("{now}: {}", chosen.reason)),
    }
}

/// What encodes the video of the stream.
pub(super) fn encoder(gpus: &Gpus, decision: &encoder::Decision) -> Check {
    const NAME: &str = "encoder";
    let line = decision.line();
    // The line of the GPU says the same.
    let is_known = |reason: &String| gpus.gpus.iter().any(|gpu| gpu.reason == *reason);
    if let Some(lost) = decision.lost().filter(|lost| !is_known(&lost.reason)) {
        let why = format!("{}; not {}: {}", decision.summary(), lost.title(), lost.reason);
        return Check::of_reason(NAME, Outcome::Warning, &why, "desktopd plan shows what each encoder lacks");
    }
    if decision.works() {
        return Check::ok(NAME, line);
    }
    Check::bad(
        NAME,
        Outcome::Unknown,
        line,
        "desktopd restart encoder tries it; desktopd logs encoder shows the result",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::display::{Candidate, Outcome as DisplayOutcome, Sentence};

    fn gpu_of(vendor: Vendor, usable: bool, reason: &str) -> Gpu {
        Gpu { vendor, pci: Some("0000:01:00.0".into()), usable, reason: reason.into(), ..Gpu::default() }
    }

    fn decided(chosen: Option<Kind>) -> Decision {
        let candidates = [Kind::Xorg, Kind::Virtualgl, Kind::Llvmpipe].map(|kind| Candidate {
            kind,
            device: None,
            gpu: None,
            taken: chosen == Some(kind),
            outcome: if chosen == Some(kind) { DisplayOutcome::Chosen } else { DisplayOutcome::Impossible },
            reason: "because".into(),
        });
        Decision { number: 20, chosen, candidates: candidates.into(), sentence: Sentence::default() }
    }

    #[test]
    fn each_machine_has_its_outcome() {
        let with = |gpu: Gpu| Gpus { gpus: vec![gpu], ..Gpus::default() };
        let none = Gpus { reason: Some("there is no GPU".into()), ..Gpus::default() };
        let amd = with(gpu_of(Vendor::Amd, true, "can draw"));
        let no_node = with(gpu_of(Vendor::Amd, false, "no node: start the container with --device /dev/dri"));
        let aspeed = with(gpu_of(Vendor::Display, false, "it cannot draw 3D"));
        let cpu = Some(Kind::Llvmpipe);
        for (gpus, chosen, shown, wanted, expected) in [
            (
                &none,
                cpu,
                "",
                None,
                &[(Outcome::Warning, "no GPU"), (Outcome::Ok, "Xvfb with llvmpipe on :20: because")][..],
            ),
            (&none, cpu, "", cpu, &[(Outcome::Ok, "asked for"), (Outcome::Ok, "llvmpipe")]),
            (
                &amd,
                Some(Kind::Virtualgl),
                "",
                None,
                &[(Outcome::Ok, "AMD GPU: can draw"), (Outcome::Ok, "VirtualGL")],
            ),
            (&amd, cpu, "", None, &[(Outcome::Ok, ""), (Outcome::Warning, "although AMD GPU could")]),
            (&amd, cpu, "", Some(Kind::Xorg), &[(Outcome::Ok, ""), (Outcome::Warning, "asks for Xorg")]),
            (
                &amd,
                Some(Kind::Xorg),
                "Xvfb with llvmpipe on :20",
                None,
                &[(Outcome::Ok, ""), (Outcome::Warning, "a start now")],
            ),
            (
                &no_node,
                cpu,
                "Xvfb with llvmpipe on :20",
                None,
                &[(Outcome::Warning, "AMD GPU: no node"), (Outcome::Ok, "")],
            ),
            (&aspeed, cpu, "", None, &[(Outcome::Ok, "3D"), (Outcome::Ok, "")]),
            (
                &aspeed,
                None,
                "",
                None,
                &[(Outcome::Ok, "3D"), (Outcome::Problem, "no display is possible: Xorg")],
            ),
        ] {
            let found = checks(gpus, &decided(chosen), shown, wanted);
            let outcomes: Vec<Outcome> = found.iter().map(|check| check.result).collect();
            let wanted: Vec<Outcome> = expected.iter().map(|(outcome, _)| *outcome).collect();
            assert_eq!(outcomes, wanted, "{found:#?}");
            for (check, (outcome, text)) in found.iter().zip(expected) {
                assert!(check.what.contains(text), "{text}: {check:?}");
                assert_eq!(check.remedy.is_none(), *outcome == Outcome::Ok, "{check:?}");
            }
        }
        assert_eq!(
            gpu(&no_node.gpus[0]).remedy.as_deref(),
            Some("start the container with --device /dev/dri")
        );
    }

    #[test]
    fn drawing_is_judged_by_the_best_device() {
        let device = |renderer: &str, software, pixel, error: Option<&str>| RenderedDevice {
            renderer: Some(renderer.into()),
            software,
            pixel,
            error: error.map(str::to_owned),
            ..RenderedDevice::default()
        };
        let with = Gpus { gpus: vec![gpu_of(Vendor::Nvidia, true, "")], ..Gpus::default() };
        let (real, cpu) = (device("RTX", false, true, None), device("llvmpipe", true, true, None));
        let broken = device("RTX", false, false, Some("it crashed"));
        for (devices, gpus, outcome, text) in [
            (vec![cpu.clone(), real], &with, Outcome::Ok, "RTX drew"),
            (vec![cpu.clone(), broken.clone()], &with, Outcome::Warning, "no GPU drew a pixel: it crashed"),
            (vec![broken, cpu], &Gpus::default(), Outcome::Ok, "llvmpipe drew a pixel on the CPU"),
            (vec![], &with, Outcome::Warning, "no device"),
        ] {
            let found = drawing(&Rendered { devices, ..Rendered::default() }, gpus);
            assert_eq!(found.result, outcome, "{found:?}");
            assert!(found.what.contains(text), "{found:?}");
        }
        let silent = Rendered {
            reason: Some("no list: install the package libegl-mesa0".into()),
            ..Rendered::default()
        };
        assert_eq!(drawing(&silent, &with).remedy.as_deref(), Some("install the package libegl-mesa0"));
    }
}
