//! What NVML and EGL answer, joined with what the files of a machine show.

use desktopd::facts::gpu::{Answers, Gpus, Nvml, NvmlDevice, Rendered, RenderedDevice};

fn nvml(devices: &[(&str, &str, u32)]) -> Nvml {
    let device = |(name, pci, minor): &(&str, &str, u32)| NvmlDevice {
        name: Some((*name).to_owned()),
        uuid: Some(format!("GPU-{minor}")),
        pci: Some((*pci).to_owned()),
        minor: Some(*minor),
        ..NvmlDevice::default()
    };
    Nvml {
        driver: "550.54.14".to_owned(),
        cuda: Some("12.4".to_owned()),
        devices: devices.iter().map(device).collect(),
    }
}

fn said(machine: &str, text: &str) -> Gpus {
    super::probe(machine, &Answers { nvml: Some(Err(text.to_owned())), ..Answers::default() })
}

fn with(machine: &str, nvml: Nvml) -> Gpus {
    super::probe(machine, &Answers { nvml: Some(Ok(nvml)), ..Answers::default() })
}

fn drawn(machine: &str, devices: &[RenderedDevice]) -> Gpus {
    let rendered = Rendered { devices: devices.to_vec(), reason: None, millis: 70 };
    super::probe(machine, &Answers { rendered: Some(rendered), ..Answers::default() })
}

fn device(card: Option<&str>, render: Option<&str>, renderer: &str) -> RenderedDevice {
    RenderedDevice {
        card: card.map(str::to_owned),
        render: render.map(str::to_owned),
        renderer: Some(renderer.to_owned()),
        software: renderer.starts_with("llvmpipe"),
        pixel: true,
        ..RenderedDevice::default()
    }
}

#[test]
fn nvml_adds_uuid_name_and_the_index_of_cuda() {
    let found = with("nvidia-two-one-visible", nvml(&[("NVIDIA RTX A5000", "00000000:C2:00.0", 1)]));
    let [other, given] = &found.gpus[..] else { panic!("{:?}", found.gpus) };
    assert_eq!((given.uuid.as_deref(), given.cuda), (Some("GPU-1"), Some(0)));
    assert_eq!((other.cuda, other.usable, given.usable), (None, false, true));
    assert_eq!(
        (found.nvidia.driver.as_deref(), found.nvidia.cuda.as_deref()),
        (Some("550.54.14"), Some("12.4"))
    );
}

#[test]
fn unequal_gpus_have_no_index_of_cuda_until_egl_says_it() {
    let two = |second: &str| {
        let mut nvml = nvml(&[("NVIDIA RTX A5000", "0000:41:00.0", 0), (second, "0000:c2:00.0", 1)]);
        nvml.devices[0].error = None;
        with("nvidia-two-one-visible", nvml).gpus.iter().map(|gpu| gpu.cuda).collect::<Vec<_>>()
    };
    assert_eq!(two("NVIDIA RTX A5000"), [Some(0), Some(1)]);
    assert_eq!(two("NVIDIA RTX A2000"), [None, None]);
}

#[test]
fn what_nvml_says_becomes_a_reason_with_a_remedy() {
    for (text, expected) in [
        ("Driver/library version mismatch", "version mismatch: NVML says"),
        ("Unknown Error", "lost its access to the GPU"),
        ("No devices were found", "could not start the GPU"),
        ("Driver Not Loaded", "modprobe nvidia"),
        ("it did not answer within 2 s", "does not answer as it should: it did not answer within 2 s"),
    ] {
        let found = said("nvidia-complete", text);
        assert!(found.gpus[0].reason.contains(expected) && !found.gpus[0].usable, "{:?}", found.gpus[0]);
        assert_eq!(found.nvidia.reason.as_ref(), Some(&found.gpus[0].reason));
    }
    let none = with("nvidia-complete", nvml(&[]));
    assert!(none.gpus[0].reason.contains("No devices were found"), "{:?}", none.gpus[0]);
    let mut lost = nvml(&[("NVIDIA GeForce RTX 3090", "0000:01:00.0", 0)]);
    lost.devices[0].error = Some("GPU is lost".to_owned());
    let lost = with("nvidia-complete", lost);
    assert!(lost.gpus[0].reason.contains("GPU is lost") && !lost.gpus[0].usable);
}

#[test]
fn an_instance_of_a_divided_gpu_has_its_own_uuid() {
    let mut answer = nvml(&[("NVIDIA A100-SXM4-40GB", "0000:3b:00.0", 0)]);
    answer.devices[0].mig = vec!["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f".to_owned()];
    let found = with("mig", answer);
    let gpu = found.gpus.iter().find(|gpu| gpu.nodes.nvidia.is_some()).unwrap();
    assert_eq!(gpu.uuid.as_deref(), Some("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"));
    assert!(gpu.reason.contains("MIG") && !gpu.usable);
}

#[test]
fn wsl_shows_its_gpu_through_nvml() {
    let found = with("wsl", nvml(&[("NVIDIA GeForce RTX 3070", "0000:01:00.0", 0)]));
    let gpu = found.gpus.iter().find(|gpu| gpu.name.as_deref() == Some("NVIDIA GeForce RTX 3070")).unwrap();
    assert!(!gpu.usable && gpu.reason.contains("/dev/dxg"), "{gpu:?}");
}

#[test]
fn a_pixel_that_came_back_counts_more_than_what_was_read() {
    let radeon = "AMD Radeon RX 6800 XT (radeonsi, navi21, LLVM 19.1.7, DRM 3.59, 6.12.9)";
    let mut one = device(Some("/dev/dri/card0"), Some("/dev/dri/renderD128"), radeon);
    one.index = Some(0);
    let found = drawn("amd-unknown-gid", &[one]);
    assert_eq!(found.gpus[0].name.as_deref(), Some("AMD Radeon RX 6800 XT"));
    assert_eq!((found.gpus[0].egl, found.gpus[0].usable), (Some(0), true));
    assert!(found.gpus[0].reason.contains("drew a pixel"));
    // A virtio-gpu whose features say nothing.
    let found =
        drawn("virtio", &[device(Some("/dev/dri/card0"), Some("/dev/dri/renderD128"), "virgl (AMD)")]);
    assert!(found.gpus[0].usable, "{:?}", found.gpus[0]);
}

#[test]
fn a_renderer_on_the_cpu_is_refused() {
    let llvmpipe = "llvmpipe (LLVM 19.1.7, 256 bits)";
    let found = drawn("intel-xe", &[device(Some("/dev/dri/card1"), Some("/dev/dri/renderD128"), llvmpipe)]);
    assert!(!found.gpus[0].usable && found.gpus[0].reason.contains("on the CPU"), "{:?}", found.gpus[0]);
    assert_eq!(found.gpus[0].name, None);
}

#[test]
fn a_gpu_that_egl_does_not_list_is_not_usable() {
    let found = drawn("intel-xe", &[device(None, None, "llvmpipe (LLVM 19.1.7, 256 bits)")]);
    assert!(
        !found.gpus[0].usable && found.gpus[0].reason.contains("EGL does not list it"),
        "{:?}",
        found.gpus[0]
    );
}

#[test]
fn nvidia_devices_without_drm_nodes_are_joined_by_name_or_alone() {
    let mut one = device(None, None, "NVIDIA GeForce RTX 3090/PCIe/SSE2");
    (one.index, one.cuda, one.vendor) = (Some(0), Some(0), Some("NVIDIA Corporation".to_owned()));
    let software = device(None, None, "llvmpipe (LLVM 19.1.7, 256 bits)");
    let found = drawn("nvidia-complete", &[one.clone(), software]);
    assert_eq!((found.gpus[0].egl, found.gpus[0].cuda), (Some(0), Some(0)));
    // Eight equal GPUs: which is which cannot be known.
    one.renderer = Some("NVIDIA H100 80GB HBM3/PCIe/SSE2".to_owned());
    let found = drawn("eight", &vec![one; 8]);
    assert!(found.gpus.iter().all(|gpu| gpu.egl.is_none()));
    assert!(found.gpus.iter().filter(|gpu| gpu.usable).count() == 8, "{:?}", found.gpus[1]);
}
