//! What is to be brought of NVIDIA's driver.

use super::*;
use crate::config::service::step::DriverSpec;
use crate::facts::gpu::brought::{Brought, GRAPHICS};
use crate::facts::gpu::{Container, Gpu, Gpus, Nodes, Nvidia, Vendor};
use crate::plan::display::Kind;

const LIBRARIES: [&str; 2] = ["libEGL_nvidia.so.0", "libGLX_nvidia.so.0"];

/// A GPU of which the container has the part for computing.
fn machine() -> Facts {
    let gpu = Gpu {
        vendor: Vendor::Nvidia,
        pci: Some("0000:c1:00.0".into()),
        nodes: Nodes { nvidia: Some("/dev/nvidia0".into()), ..Nodes::default() },
        usable: false,
        reason: "libraries are missing".into(),
        ..Gpu::default()
    };
    let nvidia = Nvidia {
        module: Some("550.54.14".into()),
        nodes: vec!["nvidia-modeset".into()],
        brought: Brought { lacking: GRAPHICS.to_vec(), ..Brought::default() },
        ..Nvidia::default()
    };
    let container = Container { privileged: Some(false), ..Container::default() };
    let programs = Programs::given("/usr/bin", [("Xorg", "/usr/bin/Xorg"), ("Xvfb", "/usr/bin/Xvfb")]);
    Facts { programs, gpus: Gpus { gpus: vec![gpu], nvidia, container, ..Gpus::default() }, ..facts() }
}

fn unit(environment: &[(&str, &str)], facts: &Facts) -> Unit {
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = config(environment, "", &services);
    Plan::build(&config, facts).unit("nvidia-driver").unwrap().clone()
}

fn spec(environment: &[(&str, &str)], facts: &Facts) -> DriverSpec {
    let unit = unit(environment, facts);
    assert_eq!(unit.disposition, Disposition::Run, "{environment:?}");
    serde_json::from_str(unit.launch.argv.last().unwrap()).unwrap()
}

#[test]
fn what_the_display_could_use_is_brought() {
    let change = |change: &dyn Fn(&mut Facts)| {
        let mut facts = machine();
        change(&mut facts);
        facts
    };
    let no_xorg = Programs::given("/usr/bin", [("Xvfb", "/usr/bin/Xvfb")]);
    for (environment, facts, expected) in [
        (&[][..], machine(), &GRAPHICS[..]),
        // Xorg's modules are of no use where Xorg cannot be started.
        (&[("DESKTOPD_DISPLAY", "virtualgl")], machine(), &LIBRARIES),
        (&[], change(&|facts| facts.programs = no_xorg.clone()), &LIBRARIES),
        (&[], change(&|facts| facts.gpus.nvidia.nodes.clear()), &LIBRARIES),
        (&[], change(&|facts| facts.display.foreign = [0].into()), &LIBRARIES),
        (
            &[],
            change(&|facts| facts.display.showing = [("0000:c1:00.0".into(), "DP-1".into())].into()),
            &LIBRARIES,
        ),
        (&[], change(&|facts| facts.gpus.nvidia.brought.lacking = vec![GRAPHICS[2]]), &GRAPHICS[2..3]),
        (&[], change(&|facts| facts.gpus.nvidia.brought.lacking.clear()), &[]),
    ] {
        let found = spec(environment, &facts);
        assert_eq!((&*found.version, found.refused), ("550.54.14", None));
        assert_eq!(found.lacking, expected, "{environment:?}");
    }
}

#[test]
fn variables_may_refuse_it_and_the_reason_says_which() {
    for (name, value, expected) in [
        ("ACCEPT_NVIDIA_LICENSE", "false", Some("ACCEPT_NVIDIA_LICENSE does not accept")),
        ("ACCEPT_NVIDIA_LICENSE", "perhaps", Some("ACCEPT_NVIDIA_LICENSE does not accept")),
        ("ACCEPT_NVIDIA_LICENSE", "yes", None),
        ("DESKTOPD_DISPLAY", "llvmpipe", Some("DESKTOPD_DISPLAY=llvmpipe")),
        ("DESKTOPD_DISPLAY", "xorg", None),
        ("SERVERLESS", "true", Some("SERVERLESS asks for no desktop")),
    ] {
        let refused = spec(&[(name, value)], &machine()).refused;
        assert_eq!(refused.is_some(), expected.is_some(), "{name}={value}: {refused:?}");
        assert!(refused.unwrap_or_default().contains(expected.unwrap_or_default()), "{name}={value}");
        // Without anything to bring there is nothing to refuse.
        let mut complete = machine();
        complete.gpus.nvidia.brought.lacking.clear();
        assert_eq!(spec(&[(name, value)], &complete).refused, None);
    }
}

#[test]
fn the_step_does_not_run_where_no_gpu_of_nvidia_s_is() {
    let without = |change: &dyn Fn(&mut Facts)| {
        let mut facts = machine();
        change(&mut facts);
        match unit(&[], &facts).disposition {
            Disposition::Skip(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(without(&|facts| facts.gpus = Gpus::default()), "this container has no NVIDIA GPU");
    assert!(without(&|facts| facts.gpus.nvidia.module = None).contains("/proc/driver/nvidia/version"));
    assert!(without(&|facts| facts.gpus.container.wsl = true).contains("no NVIDIA GPU"));
    let not_given = without(&|facts| {
        facts.gpus.gpus[0].nodes.nvidia = None;
        facts.gpus.nvidia.reason = Some("this container has no /dev/nvidia0".into());
    });
    assert_eq!(not_given, "this container has no /dev/nvidia0");
}

/// Otherwise the plan after the step would run the step again.
#[test]
fn what_was_brought_does_not_change_the_step() {
    let mut after = machine();
    after.gpus.nvidia.brought.version = Some("550.54.14".into());
    after.gpus.libraries.glx_nvidia = Some("/opt/nvidia-drivers/lib64/libGLX_nvidia.so.0".into());
    after.gpus.libraries.xorg_nvidia =
        Some("/opt/nvidia-drivers/lib64/xorg/modules/drivers/nvidia_drv.so".into());
    after.gpus.gpus[0].usable = true;
    assert_eq!(unit(&[], &machine()), unit(&[], &after));
    // The display moves up.
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let chosen = |facts: &Facts| Plan::build(&config(&[], "", &services), facts).display.chosen;
    assert_eq!((chosen(&machine()), chosen(&after)), (Some(Kind::Llvmpipe), Some(Kind::Xorg)));
}
