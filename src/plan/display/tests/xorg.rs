//! Where Xorg is tried.

use super::*;

#[test]
fn xorg_is_chosen_only_where_the_driver_is_complete_and_the_host_is_safe() {
    check_all(&[nvidia(0)], HOSTS);
}

const HOSTS: &[Case] = &[
    (
        "complete",
        |_, _| {},
        &[
            "* xorg 0000:01:00.0: NVIDIA's driver 570.124.06 and its module for Xorg are here, and the host \
             shows nothing on this GPU",
            "- virtualgl /dev/dri/card0: possible, but another is preferred",
            PREFERRED,
        ],
    ),
    (
        "Xorg has failed",
        |facts, _| drop(facts.display.failed.insert(Kind::Xorg, "it ended twice".into())),
        &[
            "- xorg none: it ended twice",
            "* virtualgl /dev/dri/card0: it can be used; not yet drawn on",
            PREFERRED,
        ],
    ),
    (
        "the module for Xorg is missing",
        |facts, _| facts.gpus.libraries.xorg_nvidia = None,
        &[
            "- xorg 0000:01:00.0: Xorg's module nvidia_drv.so is missing: …",
            "* virtualgl /dev/dri/card0…",
            PREFERRED,
        ],
    ),
    (
        "the module for Xorg is missing, and Xorg was asked for",
        |facts, asked| {
            facts.gpus.libraries.xorg_nvidia = None;
            asked.kind = Some(Kind::Xorg);
        },
        &[
            "* xorg 0000:01:00.0: asked for by DESKTOPD_DISPLAY and therefore tried in spite of this: Xorg's module …",
            "- virtualgl …",
            PREFERRED,
        ],
    ),
    (
        "the container has no node for modes",
        |facts, _| facts.gpus.nvidia.nodes.truncate(2),
        &["- xorg 0000:01:00.0: /dev/nvidia-modeset is missing…", "* virtualgl …", PREFERRED],
    ),
    (
        "privileged, beside the host's X server, and Xorg was asked for",
        |facts, asked| {
            facts.gpus.container.privileged = Some(true);
            facts.display.foreign = [0].into();
            asked.kind = Some(Kind::Xorg);
        },
        &[
            "- xorg none: the host's own X server has :0, and the container is privileged: …",
            "* virtualgl …",
            PREFERRED,
        ],
    ),
    (
        "perhaps privileged, beside an X server",
        |facts, _| {
            facts.gpus.container.privileged = None;
            facts.display.foreign = [0, 1].into();
        },
        &[
            "- xorg none: the host's own X server has :0, :1, and the container may be privileged: …",
            "* virtualgl …",
            PREFERRED,
        ],
    ),
    (
        "privileged, without an X server of the host",
        |facts, _| facts.gpus.container.privileged = Some(true),
        &["* xorg …", "- virtualgl …", PREFERRED],
    ),
    (
        "not privileged, beside an X server",
        |facts, _| facts.display.foreign = [0].into(),
        &["- xorg 0000:01:00.0: another X server has :0, perhaps on this GPU", "* virtualgl …", PREFERRED],
    ),
    (
        "the host shows a picture on the GPU, and Xorg was asked for",
        |facts, asked| {
            facts.display.showing.insert("0000:01:00.0".into(), "DP-1".into());
            asked.kind = Some(Kind::Xorg);
        },
        &["- xorg 0000:01:00.0: the host shows a picture on its output DP-1, …", "* virtualgl …", PREFERRED],
    ),
    (
        "the host shows a picture on another card",
        |facts, _| drop(facts.display.showing.insert("0000:00:02.0".into(), "DP-1".into())),
        &["* xorg …", "- virtualgl …", PREFERRED],
    ),
    (
        "the firmware's framebuffer shows a picture",
        |facts, _| drop(facts.display.showing.insert("card1".into(), "Unknown-1".into())),
        &["- xorg 0000:01:00.0: the host shows a picture on card1's output …", "* virtualgl …", PREFERRED],
    ),
    (
        "desktopd is not root, and Xorg was asked for",
        |facts, asked| {
            facts.daemon.uid = 1000;
            asked.kind = Some(Kind::Xorg);
        },
        &["- xorg none: Xorg runs as root here, and desktopd does not", "* virtualgl …", PREFERRED],
    ),
    (
        "the driver does not work",
        |facts, _| facts.gpus.nvidia.reason = Some("Driver/library version mismatch".into()),
        &["- xorg 0000:01:00.0: Driver/library version mismatch", "* virtualgl …", PREFERRED],
    ),
    (
        "the GPU is divided",
        |facts, _| facts.gpus.gpus[0].uuid = Some("MIG-1".into()),
        &["- xorg 0000:01:00.0: an instance of a divided GPU (MIG)…", "* virtualgl …", PREFERRED],
    ),
];

#[test]
fn no_xorg_takes_the_card_of_another_maker_whatever_was_asked() {
    for vendor in [Vendor::Amd, Vendor::Intel, Vendor::Virtual, Vendor::Display] {
        let facts = machine(vec![gpu(vendor, "0000:03:00.0")]);
        let decision = decide(&Asked { kind: Some(Kind::Xorg), ..Asked::default() }, &facts);
        assert_eq!(decision.chosen, Some(Kind::Virtualgl));
        assert!(decision.candidates[0].reason.contains("could take the host's console"), "{decision:?}");
    }
}
