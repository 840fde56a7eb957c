//! Decisions for simulated machines: each case changes one thing of a machine on which everything works.

mod choice;
mod sentence;
mod virtualgl;
mod xorg;

use super::*;
use crate::facts::Programs;
use crate::facts::gpu::{Container, Driver, Gpu, Nodes, Nvidia, Rendered, RenderedDevice, Vendor};
use crate::plan::tests::facts;

/// A GPU of NVIDIA's with all its nodes.
fn nvidia(number: u32) -> Gpu {
    Gpu {
        name: Some("NVIDIA GeForce RTX 4090".into()),
        uuid: Some(format!("GPU-{number}")),
        nodes: Nodes {
            nvidia: Some(format!("/dev/nvidia{number}")),
            card: Some(format!("/dev/dri/card{number}")),
            render: Some(format!("/dev/dri/renderD{}", 128 + number)),
        },
        ..gpu(Vendor::Nvidia, &format!("0000:0{}:00.0", number + 1))
    }
}

/// A GPU that has no nodes of NVIDIA's, and those of DRM with a high number.
fn gpu(vendor: Vendor, pci: &str) -> Gpu {
    Gpu {
        vendor,
        pci: Some(pci.into()),
        nodes: Nodes {
            nvidia: None,
            card: Some("/dev/dri/card9".into()),
            render: Some("/dev/dri/renderD137".into()),
        },
        usable: true,
        reason: "it can be used".into(),
        ..Gpu::default()
    }
}

fn unusable(gpu: Gpu, reason: &str) -> Gpu {
    Gpu { usable: false, reason: reason.into(), ..gpu }
}

/// A container with all programs, NVIDIA's whole driver, and these GPUs.
fn machine(gpus: Vec<Gpu>) -> Facts {
    let mut facts = facts();
    facts.programs = Programs::given(
        "/usr/bin",
        [("Xvfb", "/usr/bin/Xvfb"), ("Xorg", "/usr/bin/Xorg"), ("vglrun", "/usr/bin/vglrun")],
    );
    facts.gpus.container = Container { privileged: Some(false), ..Container::default() };
    if gpus.iter().any(|gpu| gpu.vendor == Vendor::Nvidia) {
        facts.gpus.nvidia = Nvidia {
            module: Some("570.124.06".into()),
            nodes: ["nvidia0", "nvidiactl", "nvidia-modeset"].map(str::to_owned).into(),
            ..Nvidia::default()
        };
        facts.gpus.libraries.glx_nvidia = Some("/lib/libGLX_nvidia.so.0".into());
        facts.gpus.libraries.xorg_nvidia = Some("/usr/lib/xorg/modules/drivers/nvidia_drv.so".into());
    }
    facts.gpus.gpus = gpus;
    facts
}

/// What EGL drew: on each GPU in this order, and then on the CPU.
fn drawn(facts: &mut Facts, devices: &[(&str, &str)]) {
    let device = |(index, (card, renderer)): (u32, &(&str, &str))| RenderedDevice {
        index: Some(index),
        card: (!card.is_empty()).then(|| (*card).to_owned()),
        renderer: Some((*renderer).to_owned()),
        pixel: true,
        software: renderer.contains("llvmpipe"),
        ..RenderedDevice::default()
    };
    let devices = (0..).zip(devices).map(device).collect();
    facts.gpus.rendered = Some(Rendered { devices, ..Rendered::default() });
}

/// One line a candidate: whether it was taken, its kind, its device and its reason.
fn lines(asked: &Asked, facts: &Facts) -> Vec<String> {
    let line = |one: &Candidate| {
        let mark = if one.taken { '*' } else { '-' };
        let kind = format!("{:?}", one.kind).to_lowercase();
        format!("{mark} {kind} {}: {}", one.device.as_deref().unwrap_or("none"), one.reason)
    };
    decide(asked, facts).candidates.iter().map(line).collect()
}

/// Compares with the beginnings and ends of lines: `…` is any text.
fn check(title: &str, found: &[String], expected: &[&str]) {
    let fits = |(line, pattern): (&String, &&str)| match pattern.split_once('…') {
        Some((start, end)) => line.starts_with(start) && line.ends_with(end),
        None => line == pattern,
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(fits);
    assert!(all, "{title}: {found:#?} is not {expected:#?}");
}

const PREFERRED: &str = "- llvmpipe none: possible, but another is preferred";
const CPU: &str = "* llvmpipe none: /usr/bin/Xvfb needs no GPU";

/// What one case is about, what it changes, and the candidates that come of it.
type Case = (&'static str, fn(&mut Facts, &mut Asked), &'static [&'static str]);

fn check_all(gpus: &[Gpu], cases: &[Case]) {
    for (title, change, expected) in cases {
        let (mut facts, mut asked) = (machine(gpus.to_vec()), Asked::default());
        change(&mut facts, &mut asked);
        check(title, &lines(&asked, &facts), expected);
    }
}

#[test]
fn without_a_gpu_the_cpu_draws_and_a_wish_for_xorg_is_tried() {
    check_all(
        &[],
        &[
            (
                "auto",
                |_, _| {},
                &["- xorg none: there is no NVIDIA GPU", "- virtualgl none: there is no GPU", CPU],
            ),
            (
                "Xorg was asked for",
                |_, asked| asked.kind = Some(Kind::Xorg),
                &[
                    "* xorg none: asked for by DESKTOPD_DISPLAY and therefore tried in spite of this: there is no NVIDIA GPU",
                    "- virtualgl none: there is no GPU",
                    PREFERRED,
                ],
            ),
            (
                "Xorg was asked for, and has failed",
                |facts, asked| {
                    asked.kind = Some(Kind::Xorg);
                    facts.display.failed.insert(Kind::Xorg, "no screens found".into());
                },
                &["- xorg none: no screens found", "- virtualgl none: there is no GPU", CPU],
            ),
            (
                "VirtualGL was asked for, and would draw on the CPU",
                |_, asked| asked.kind = Some(Kind::Virtualgl),
                &["- virtualgl none: there is no GPU", "- xorg none: there is no NVIDIA GPU", CPU],
            ),
            (
                "llvmpipe was asked for",
                |_, asked| asked.kind = Some(Kind::Llvmpipe),
                &[
                    "* llvmpipe none: asked for by DESKTOPD_DISPLAY; /usr/bin/Xvfb needs no GPU",
                    "- xorg none: there is no NVIDIA GPU",
                    "- virtualgl none: there is no GPU",
                ],
            ),
            (
                "Xorg was asked for, and is not installed",
                |facts, asked| {
                    asked.kind = Some(Kind::Xorg);
                    facts.programs = Programs::given("/usr/bin", [("Xvfb", "/usr/bin/Xvfb")]);
                },
                &[
                    "- xorg none: there is no NVIDIA GPU; \"Xorg\" is not installed …",
                    "- virtualgl none: there is no GPU",
                    CPU,
                ],
            ),
            (
                "Xvfb is not installed",
                |facts, _| facts.programs = Programs::given("/usr/bin", []),
                &[
                    "- xorg none: there is no NVIDIA GPU; …",
                    "- virtualgl none: there is no GPU",
                    "- llvmpipe none: \"Xvfb\" is not installed …",
                ],
            ),
        ],
    );
}

#[test]
fn the_summary_and_the_json_name_gpu_and_device() {
    let mut facts = machine(vec![nvidia(0)]);
    let wish = Asked { kind: Some(Kind::Virtualgl), ..Asked::default() };
    let decision = decide(&wish, &facts);
    let summary = "Xvfb with VirtualGL on NVIDIA GeForce RTX 4090 (0000:01:00.0), on :0";
    assert_eq!(decision.summary(), summary);
    assert_eq!(decision.virtualgl(), Some("/dev/dri/card0"));
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["chosen"], "virtualgl");
    assert_eq!(json["device"], "/dev/dri/card0");
    assert_eq!((json["number"].as_u64(), json["summary"].as_str()), (Some(0), Some(summary)));
    assert_eq!(json["candidates"][0]["kind"], "virtualgl");
    assert_eq!(json["candidates"][0]["taken"], true);
    assert_eq!(json["candidates"][2]["device"], serde_json::Value::Null);
    facts.gpus.gpus.clear();
    assert_eq!(decide(&Asked::default(), &facts).summary(), "Xvfb with llvmpipe on :0");
    facts.programs = Programs::given("", []);
    let none = decide(&Asked::default(), &facts);
    assert_eq!((none.summary().as_str(), none.virtualgl()), ("none", None));
    assert_eq!(serde_json::to_value(&none).unwrap()["chosen"], serde_json::Value::Null);
}

#[test]
fn a_display_of_another_server_is_skipped_and_a_socket_that_is_left_only_outside_of_containers() {
    let mut facts = facts();
    facts.display.taken = [0, 1].into();
    assert_eq!(decide(&Asked::default(), &facts).number, 0);
    facts.display.foreign = [0].into();
    assert_eq!(decide(&Asked::default(), &facts).number, 1);
    facts.container = false;
    assert_eq!(decide(&Asked::default(), &facts).number, 2);
}
