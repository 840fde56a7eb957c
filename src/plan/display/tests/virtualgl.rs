//! On which GPU VirtualGL draws, and by which name.

use super::*;

#[test]
fn virtualgl_draws_only_on_what_egl_drew_on() {
    check_all(&[nvidia(0)], ANSWERS);
}

const ANSWERS: &[Case] = &[
    (
        "a GPU",
        |facts, asked| {
            drawn(facts, &[("/dev/dri/card0", "NVIDIA GeForce RTX 4090/PCIe/SSE2"), ("", "llvmpipe")]);
            asked.kind = Some(Kind::Virtualgl);
        },
        &[
            "* virtualgl /dev/dri/card0: asked for by DESKTOPD_DISPLAY; NVIDIA GeForce RTX 4090/PCIe/SSE2 drew \
             on it",
            "- xorg …",
            PREFERRED,
        ],
    ),
    (
        "EGL has no path for the card",
        |facts, asked| {
            drawn(facts, &[("", "another"), ("", "RTX")]);
            facts.gpus.rendered.as_mut().unwrap().devices[1].render = Some("/dev/dri/renderD128".into());
            asked.kind = Some(Kind::Virtualgl);
        },
        &["* virtualgl egl1: asked for by DESKTOPD_DISPLAY; RTX drew on it", "- xorg …", PREFERRED],
    ),
    (
        "EGL knows the GPU by CUDA's number alone",
        |facts, asked| {
            drawn(facts, &[("", "RTX")]);
            facts.gpus.rendered.as_mut().unwrap().devices[0].cuda = Some(0);
            facts.gpus.gpus[0].cuda = Some(0);
            asked.kind = Some(Kind::Virtualgl);
        },
        &["* virtualgl egl0: …", "- xorg …", PREFERRED],
    ),
    (
        "the CPU draws on the GPU's node, and VirtualGL was asked for",
        |facts, asked| {
            drawn(facts, &[("/dev/dri/card0", "llvmpipe (LLVM 19.1.7)")]);
            asked.kind = Some(Kind::Virtualgl);
        },
        &[
            "- virtualgl /dev/dri/card0: llvmpipe (LLVM 19.1.7) draws on it, which is the CPU",
            "* xorg …",
            PREFERRED,
        ],
    ),
    (
        "another color came back",
        |facts, _| {
            facts.programs = Programs::given("", [("Xvfb", "/usr/bin/Xvfb"), ("vglrun", "/v")]);
            drawn(facts, &[("/dev/dri/card0", "RTX")]);
            facts.gpus.rendered.as_mut().unwrap().devices[0].pixel = false;
        },
        &[
            "- xorg none: \"Xorg\" is not installed …",
            "- virtualgl /dev/dri/card0: RTX drew a pixel, and another color came back",
            CPU,
        ],
    ),
    (
        "drawing failed",
        |facts, asked| {
            drawn(facts, &[("/dev/dri/card0", "RTX")]);
            let device = &mut facts.gpus.rendered.as_mut().unwrap().devices[0];
            (device.index, device.error) = (None, Some("eglInitialize: 0x3001".into()));
            asked.kind = Some(Kind::Virtualgl);
        },
        &["- virtualgl /dev/dri/card0: drawing failed: eglInitialize: 0x3001", "* xorg …", PREFERRED],
    ),
    (
        "EGL did not answer in time",
        |facts, asked| {
            let reason = Some("no answer within 2s".into());
            facts.gpus.rendered = Some(Rendered { reason, ..Rendered::default() });
            asked.kind = Some(Kind::Virtualgl);
        },
        &["- virtualgl none: nothing could be drawn: no answer within 2s", "* xorg …", PREFERRED],
    ),
    (
        "EGL does not list the GPU",
        |facts, asked| {
            drawn(facts, &[("", "llvmpipe")]);
            asked.kind = Some(Kind::Virtualgl);
        },
        &["- virtualgl none: EGL does not list it", "* xorg …", PREFERRED],
    ),
    (
        "VirtualGL is left out, also where it was asked for",
        |_, asked| (asked.no_virtualgl, asked.kind) = (true, Some(Kind::Virtualgl)),
        &["- virtualgl none: DISABLE_VGL leaves it out", "* xorg …", PREFERRED],
    ),
    (
        "VirtualGL is not installed",
        |facts, asked| {
            asked.kind = Some(Kind::Virtualgl);
            facts.programs = Programs::given("", [("Xvfb", "/usr/bin/Xvfb")]);
        },
        &["- virtualgl none: \"vglrun\" is not installed …", "- xorg none: \"Xorg\" is not …", CPU],
    ),
];

#[test]
fn without_an_answer_of_egl_files_decide() {
    let bare = |gpu: Gpu| Gpu { nodes: Nodes { card: None, ..gpu.nodes.clone() }, ..gpu };
    let asked = Asked { kind: Some(Kind::Virtualgl), ..Asked::default() };
    for (title, gpus, expected) in [
        // NVIDIA's devices come first in EGL's list.
        (
            "no card nodes",
            vec![bare(gpu(Vendor::Intel, "0000:00:02.0")), bare(nvidia(0))],
            &["* virtualgl egl0: …", "- virtualgl egl1: possible…", "- xorg …", PREFERRED][..],
        ),
        (
            "an index that is known",
            vec![Gpu { egl: Some(4), ..bare(nvidia(0)) }],
            &["* virtualgl egl4: …", "- xorg …", PREFERRED],
        ),
        (
            "a card that cannot be opened is tried by its path, which fails with an error",
            vec![unusable(gpu(Vendor::Amd, "0000:03:00.0"), "no permission for group 44")],
            &[
                "* virtualgl /dev/dri/card9: asked for by DESKTOPD_DISPLAY and therefore tried in spite of this: no permission \
                 for group 44",
                "- xorg …",
                PREFERRED,
            ],
        ),
        (
            "a GPU without a card node that cannot be used is not tried: a number would lead elsewhere",
            vec![unusable(bare(gpu(Vendor::Amd, "0000:03:00.0")), "no node")],
            &["- virtualgl none: no node", "- xorg none: there is no NVIDIA GPU", CPU],
        ),
    ] {
        check(title, &lines(&asked, &machine(gpus)), expected);
    }
}
