//! The sentence about what draws, and why nothing better does.

use super::*;

/// The sentence for a machine and a wish.
fn said(facts: &Facts, kind: Option<Kind>) -> String {
    decide(&Asked { kind, ..Asked::default() }, facts).sentence.to_string()
}

fn without(mut facts: Facts, programs: &[&str]) -> Facts {
    let all = [("Xvfb", "/usr/bin/Xvfb"), ("Xorg", "/usr/bin/Xorg"), ("vglrun", "/usr/bin/vglrun")];
    let left = all.into_iter().filter(|(name, _)| !programs.contains(name));
    facts.programs = Programs::given("/usr/bin", left);
    facts
}

fn failed(mut facts: Facts, failures: &[(Kind, &str)]) -> Facts {
    facts.display.failed = failures.iter().map(|(kind, reason)| (*kind, (*reason).to_owned())).collect();
    facts
}

fn no_modeset(mut facts: Facts) -> Facts {
    facts.gpus.nvidia.nodes.retain(|node| node != "nvidia-modeset");
    facts
}

const RTX: &str = "NVIDIA GeForce RTX 4090 (0000:01:00.0)";

#[test]
fn the_sentence_names_what_draws_and_the_cause_with_its_remedy() {
    use Kind::{Llvmpipe, Virtualgl, Xorg};
    let rtx = || machine(vec![nvidia(0)]);
    let amd = || machine(vec![gpu(Vendor::Amd, "0000:03:00.0")]);
    let mut none = machine(Vec::new());
    none.gpus.reason = Some("this machine has no GPU; start the container with --gpus all".into());
    let modeset = "/dev/nvidia-modeset is missing, which Xorg needs: start the container with \
                   NVIDIA_DRIVER_CAPABILITIES=all";
    let again = "`desktopd restart x-server` tries again";
    let no_vglrun = "\"vglrun\" is not installed (it is in none of /usr/bin): install VirtualGL, or build the image \
                     with VIRTUALGL_URL";
    let broken = unusable(nvidia(0), "Driver/library version mismatch: restart the host");
    let intel = gpu(Vendor::Intel, "0000:00:02.0");
    let cases = vec![
        // The best.
        (rtx(), None, format!("{RTX} draws on :0 through Xorg (not tried yet), the best display for it")),
        (amd(), None, "AMD GPU (0000:03:00.0) draws on :0 through VirtualGL (not tried yet), the best display for it".into()),
        // Something speaks against Xorg, or against every GPU.
        (no_modeset(rtx()), None, format!("{RTX} draws on :0 through VirtualGL (not tried yet), not through Xorg: {modeset}")),
        (none.clone(), None, "The CPU draws on :0 (llvmpipe): this machine has no GPU; start the container with --gpus all".into()),
        (
            machine(vec![unusable(gpu(Vendor::Amd, "0000:03:00.0"), "no node: start the container with --device /dev/dri")]),
            None,
            "The CPU draws on :0 (llvmpipe), not AMD GPU (0000:03:00.0): no node: start the container with --device /dev/dri".into(),
        ),
        // A program is missing.
        (without(amd(), &["vglrun"]), None, format!("The CPU draws on :0 (llvmpipe), not AMD GPU (0000:03:00.0): VirtualGL: {no_vglrun}")),
        (
            without(no_modeset(rtx()), &["vglrun"]),
            None,
            format!("The CPU draws on :0 (llvmpipe), not {RTX}: VirtualGL: {no_vglrun}; Xorg: {modeset}"),
        ),
        // A better GPU than the one that draws, and a worse one, which says nothing.
        (
            machine(vec![broken.clone(), intel.clone()]),
            None,
            format!("Intel GPU (0000:00:02.0) draws on :0 through VirtualGL (not tried yet), not {RTX}: {}", broken.reason),
        ),
        (
            machine(vec![nvidia(0), unusable(intel, "no permission")]),
            None,
            format!("{RTX} draws on :0 through Xorg (not tried yet), the best display for it"),
        ),
        (
            machine(vec![unusable(gpu(Vendor::Display, "0000:00:01.0"), "no 3D"), broken.clone()]),
            None,
            format!("The CPU draws on :0 (llvmpipe), not {RTX}: {}", broken.reason),
        ),
        (
            machine(vec![broken.clone(), unusable(gpu(Vendor::Amd, "0000:03:00.0"), "no node")]),
            None,
            format!("The CPU draws on :0 (llvmpipe), not {RTX}: {}; `desktopd plan` has the reason of another GPU", broken.reason),
        ),
        // What failed while the daemon ran.
        (
            failed(rtx(), &[(Xorg, "Xorg ended with exit code 1: no screens found")]),
            None,
            format!("{RTX} draws on :0 through VirtualGL (not tried yet), not through Xorg: Xorg ended with exit code 1: no screens found; {again}"),
        ),
        (
            failed(rtx(), &[(Xorg, "Xorg ended"), (Virtualgl, "kde ended, on VirtualGL")]),
            None,
            format!("The CPU draws on :0 (llvmpipe), not through Xorg or VirtualGL: Xorg ended; VirtualGL: kde ended, on VirtualGL; {again}"),
        ),
        (
            failed(without(rtx(), &["vglrun"]), &[(Xorg, "Xorg ended")]),
            None,
            format!("The CPU draws on :0 (llvmpipe), not {RTX}: Xorg ended; VirtualGL: {no_vglrun}; {again}"),
        ),
        (
            failed(rtx(), &[(Xorg, "failed on this driver version on 2026-11-30: Xorg ended; `desktopd restart x-server` tries again")]),
            None,
            format!("{RTX} draws on :0 through VirtualGL (not tried yet), not through Xorg: Xorg: failed on this driver version on 2026-11-30: Xorg ended; {again}"),
        ),
        // What was asked for.
        (rtx(), Some(Xorg), format!("{RTX} draws on :0 through Xorg (not tried yet), as DESKTOPD_DISPLAY=xorg asks")),
        (
            rtx(),
            Some(Llvmpipe),
            format!("The CPU draws on :0 (llvmpipe), as DESKTOPD_DISPLAY=llvmpipe asks: {RTX} could draw through Xorg; set DESKTOPD_DISPLAY=auto to have that"),
        ),
        (none.clone(), Some(Llvmpipe), "The CPU draws on :0 (llvmpipe), as DESKTOPD_DISPLAY=llvmpipe asks".into()),
        (none.clone(), Some(Xorg), "Xorg draws on :0, as DESKTOPD_DISPLAY=xorg asks in spite of this: there is no NVIDIA GPU".into()),
        (
            failed(none.clone(), &[(Xorg, "Xorg ended with exit code 1: no screens found")]),
            Some(Xorg),
            format!("The CPU draws on :0 (llvmpipe), although DESKTOPD_DISPLAY=xorg asks for Xorg: Xorg ended with exit code 1: no screens found; {again}"),
        ),
        (
            without(amd(), &["vglrun"]),
            Some(Virtualgl),
            format!("The CPU draws on :0 (llvmpipe), although DESKTOPD_DISPLAY=virtualgl asks for VirtualGL: {no_vglrun}"),
        ),
        // Nothing is possible.
        (
            without(none, &["vglrun", "Xvfb", "Xorg"]),
            None,
            "Nothing draws, because no display is possible: Xorg: there is no NVIDIA GPU; \"Xorg\" is not installed (it is in none of \
             /usr/bin): install the package xserver-xorg-core; VirtualGL: this machine has no GPU; start the container with --gpus all; \
             llvmpipe: \"Xvfb\" is not installed (it is in none of /usr/bin): install the package xvfb".into(),
        ),
    ];
    for (facts, wish, expected) in cases {
        assert_eq!(said(&facts, wish), expected);
    }
}

#[test]
fn the_renderer_is_the_one_that_drew() {
    let llvmpipe = "llvmpipe (LLVM 19.1.7, 256 bits)";
    let mut facts = machine(vec![nvidia(0)]);
    drawn(&mut facts, &[("/dev/dri/card0", "NVIDIA GeForce RTX 4090/PCIe/SSE2"), ("", llvmpipe)]);
    let through =
        |how| format!("{RTX} draws on :0 through {how} (renderer \"NVIDIA GeForce RTX 4090/PCIe/SSE2\"), ");
    assert_eq!(said(&facts, None), through("Xorg") + "the best display for it");
    assert!(said(&no_modeset(facts.clone()), None).starts_with(&through("VirtualGL")));
    let cpu = said(&facts, Some(Kind::Llvmpipe));
    assert!(cpu.starts_with(&format!("The CPU draws on :0 (renderer \"{llvmpipe}\"), as")), "{cpu}");
}

#[test]
fn names_of_drivers_do_not_move_the_cursor_or_turn_the_text() {
    let mut one = nvidia(0);
    one.name = Some("RTX \u{1b}[2J\u{202e}0904\r\n".into());
    assert!(
        said(&machine(vec![one]), None).starts_with("RTX [2J0904 (0000:01:00.0) draws on :0 through Xorg")
    );
}
