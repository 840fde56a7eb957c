//! Which GPU the variables choose.

use super::*;
use crate::plan::display::choice::Device;

#[test]
fn variables_choose_the_gpu() {
    let gpus = [gpu(Vendor::Intel, "0000:00:02.0"), nvidia(0), nvidia(1)];
    check_all(
        &gpus,
        &[
            (
                "all",
                |_, asked| asked.visible = Some("all".into()),
                &[
                    "* xorg 0000:01:00.0: …",
                    "- xorg 0000:02:00.0: possible…",
                    "- virtualgl /dev/dri/card0: possible…",
                    "- virtualgl /dev/dri/card1: possible…",
                    "- virtualgl /dev/dri/card9: possible…",
                    PREFERRED,
                ],
            ),
            (
                "the second of NVIDIA's by number, in a container that has all",
                |_, asked| asked.visible = Some("1".into()),
                &[
                    "* xorg 0000:02:00.0: …",
                    "- xorg 0000:01:00.0: NVIDIA_VISIBLE_DEVICES=1 names another GPU",
                    "- virtualgl /dev/dri/card1: possible…",
                    "- virtualgl /dev/dri/card9: possible…",
                    "- virtualgl /dev/dri/card0: NVIDIA_VISIBLE_DEVICES=1 names another GPU",
                    PREFERRED,
                ],
            ),
            (
                "one GPU at most",
                |_, asked| asked.count = Some(1),
                &[
                    "* xorg 0000:01:00.0: …",
                    "- xorg 0000:02:00.0: GPU_COUNT=1 leaves it out",
                    "- virtualgl /dev/dri/card0: possible…",
                    "- virtualgl /dev/dri/card1: GPU_COUNT=1 leaves it out",
                    "- virtualgl /dev/dri/card9: GPU_COUNT=1 leaves it out",
                    PREFERRED,
                ],
            ),
            (
                "none of NVIDIA's",
                |_, asked| asked.visible = Some("none".into()),
                &[
                    "- xorg 0000:01:00.0: NVIDIA_VISIBLE_DEVICES=none leaves out…",
                    "- xorg 0000:02:00.0: NVIDIA_VISIBLE_DEVICES=none leaves out…",
                    "* virtualgl /dev/dri/card9: …",
                    "- virtualgl /dev/dri/card0: NVIDIA_VISIBLE_DEVICES=none leaves out…",
                    "- virtualgl /dev/dri/card1: NVIDIA_VISIBLE_DEVICES=none leaves out…",
                    PREFERRED,
                ],
            ),
            (
                "Intel's by its render node",
                |_, asked| asked.device = Device::of("/dev/dri/renderD137"),
                &[
                    "- xorg 0000:01:00.0: VGL_DISPLAY names another GPU",
                    "- xorg 0000:02:00.0: VGL_DISPLAY names another GPU",
                    "* virtualgl /dev/dri/card9: …",
                    "- virtualgl /dev/dri/card0: VGL_DISPLAY names another GPU",
                    "- virtualgl /dev/dri/card1: VGL_DISPLAY names another GPU",
                    PREFERRED,
                ],
            ),
        ],
    );
}

#[test]
fn a_number_counts_the_gpus_in_the_order_of_their_addresses_where_all_of_them_are_seen() {
    let at = |number: u32, pci: &str| Gpu { pci: Some(pci.into()), ..nvidia(number) };
    let chosen = |visible: &str, gpus: Vec<Gpu>| {
        let asked = Asked { visible: Some(visible.into()), ..Asked::default() };
        decide(&asked, &machine(gpus)).candidate().and_then(|one| one.device.clone()).unwrap()
    };
    // The nodes are numbered against the order of the addresses.
    let crossed = || vec![at(1, "0000:41:00.0"), at(0, "0000:c2:00.0")];
    assert_eq!(chosen("0", crossed()), "0000:41:00.0");
    assert_eq!(chosen("1", crossed()), "0000:c2:00.0");
    // Node 1 belongs to a GPU that is not seen here: the nodes' numbers count.
    let some = || vec![at(0, "0000:41:00.0"), at(2, "0000:c2:00.0")];
    assert_eq!(chosen("2", some()), "0000:c2:00.0");
    // A GPU with another driver has no number.
    let other = Gpu { driver: Some(driver("vfio-pci")), nodes: Nodes::default(), ..at(0, "0000:01:00.0") };
    assert_eq!(chosen("0", vec![other, at(0, "0000:41:00.0"), at(1, "0000:c2:00.0")]), "0000:41:00.0");
}

fn driver(name: &str) -> Driver {
    Driver { name: name.into(), version: None }
}

#[test]
fn a_graphics_card_is_preferred_to_the_gpu_of_the_processor_and_nouveau_is_the_last() {
    let nouveau = Gpu { driver: Some(driver("nouveau")), ..nvidia(0) };
    let intel = |pci: &str, card: &str| {
        let nodes = Nodes { card: Some(card.into()), ..Nodes::default() };
        Gpu { nodes, ..gpu(Vendor::Intel, pci) }
    };
    let gpus =
        vec![intel("0000:00:02.0", "/dev/dri/card0"), intel("0000:03:00.0", "/dev/dri/card1"), nouveau];
    let asked = Asked { kind: Some(Kind::Virtualgl), ..Asked::default() };
    let devices: Vec<_> = decide(&asked, &machine(gpus))
        .candidates
        .into_iter()
        .filter_map(|one| (one.kind == Kind::Virtualgl).then_some(one.gpu).flatten())
        .collect();
    let expected =
        ["Intel GPU (0000:03:00.0)", "Intel GPU (0000:00:02.0)", "NVIDIA GeForce RTX 4090 (0000:01:00.0)"];
    assert_eq!(devices, expected);
}

#[test]
fn the_words_of_the_container_toolkit_are_understood() {
    let machines = |text: &str, gpus: Vec<Gpu>| {
        let asked = Asked { visible: Some(text.into()), ..Asked::default() };
        decide(&asked, &machine(gpus)).candidate().and_then(|one| one.device.clone())
    };
    let both = || vec![nvidia(0), nvidia(1)];
    let (first, second) = (Some("0000:01:00.0".to_owned()), Some("0000:02:00.0".to_owned()));
    for (text, expected) in [
        ("", &first),
        ("all", &first),
        // With CDI the toolkit sets this and passes the devices in another way.
        ("void", &first),
        ("/var/run/nvidia-container-devices", &first),
        ("1,0", &first),
        (" 1 ", &second),
        ("1:0", &second),
        ("GPU-1", &second),
        ("gpu-1", &second),
        ("nvidia.com/gpu=1", &second),
        ("nvidia.com/gpu=all", &first),
        // Numbers count the host's GPUs: the toolkit has made only the nodes that are meant.
        ("5", &first),
        // A GPU is divided, or an instance was asked for: the UUIDs cannot be compared.
        ("MIG-1", &first),
        ("none", &None),
        ("GPU-7", &None),
    ] {
        assert_eq!(machines(text, both()), *expected, "{text}");
    }
    // The toolkit made one node, which has the host's number.
    assert_eq!(machines("1", vec![unusable(nvidia(0), "no node"), nvidia(1)]), second);
    assert_eq!(machines("0", vec![nvidia(1)]), second);
    // Without NVML no UUID is known.
    assert_eq!(machines("GPU-7", vec![Gpu { uuid: None, ..nvidia(0) }]), first);
}

#[test]
fn virtualgls_names_are_read_as_virtualgl_reads_them() {
    for (text, expected) in [
        ("egl", Device::Any),
        ("", Device::Any),
        ("EGL", Device::Any),
        ("egl2", Device::Egl(2)),
        ("/dev/dri/card0", Device::Node("/dev/dri/card0".into())),
        (":0", Device::Server(":0".into())),
        ("host:0.0", Device::Server("host:0.0".into())),
        ("ä", Device::Server("ä".into())),
    ] {
        assert_eq!(Device::of(text), expected, "{text}");
    }
    check_all(
        &[nvidia(0)],
        &[
            (
                "a number that no GPU has",
                |_, asked| asked.device = Device::Egl(3),
                &[
                    "- xorg 0000:01:00.0: VGL_DISPLAY names a device that no GPU here has",
                    "- virtualgl /dev/dri/card0: VGL_DISPLAY names a device that no GPU here has",
                    CPU,
                ],
            ),
            (
                "the desktop's own display",
                |_, asked| (asked.device, asked.kind) = (Device::of(":0"), Some(Kind::Virtualgl)),
                &["- virtualgl :0: VGL_DISPLAY=:0 is the desktop's own display…", "* xorg …", PREFERRED],
            ),
            (
                "another X server",
                |facts, asked| {
                    (asked.device, asked.kind) = (Device::of(":5.0"), Some(Kind::Virtualgl));
                    facts.display.taken = [5].into();
                },
                &["* virtualgl :5.0: …another X server; not yet drawn on", "- xorg …", PREFERRED],
            ),
            (
                "an X server that does not run",
                |_, asked| (asked.device, asked.kind) = (Device::of(":5"), Some(Kind::Virtualgl)),
                &["- virtualgl :5: VGL_DISPLAY=:5 is a display that no X server has", "* xorg …", PREFERRED],
            ),
            (
                "no name at all",
                |_, asked| (asked.device, asked.kind) = (Device::of("card0"), Some(Kind::Virtualgl)),
                &["- virtualgl card0: VGL_DISPLAY=card0 is neither …", "* xorg …", PREFERRED],
            ),
        ],
    );
}
