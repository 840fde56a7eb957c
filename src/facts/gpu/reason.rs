//! Why a GPU can draw in this container, or why not, with the remedy. What was drawn counts more than what was read.

use super::context::{Context, GIVE_DRI, Judgement, OF_WINDOWS, of_windows};
use super::driver;
use super::identity::Found;
use super::pci::Ids;
use super::{RenderedDevice, Vendor};

/// How a virtual machine of `VMware` gets 3D.
const VMWARE_3D: &str = "turn on 3D graphics in the virtual machine's settings (mks.enable3d = \"TRUE\")";

/// Whether a GPU can draw here, and why or why not.
pub(super) fn judge(one: &Found, context: &Context<'_>) -> Judgement {
    let read = read(one, context);
    match &one.rendered {
        Some(device) => drawn(device, read),
        // A GPU whose EGL library is missing is in no list of EGL.
        None if context.all_drawn
            && (one.vendor() != Vendor::Nvidia || context.libraries.egl_nvidia.is_some()) =>
        {
            read.and_then(|how| {
                Err(format!("EGL does not list it, although nothing else speaks against it: it {how}"))
            })
        }
        None => read,
    }
}

/// What follows from a device of EGL's list.
fn drawn(device: &RenderedDevice, read: Judgement) -> Judgement {
    let name = device.renderer.as_deref().unwrap_or("a renderer without a name");
    if device.pixel && !device.software && device.error.is_none() {
        return Ok(format!("drew a pixel as \"{name}\""));
    }
    // What was read is nearer to the cause.
    read.and_then(|_| {
        Err(match &device.error {
            Some(error) => format!("EGL lists it, but drawing failed: {error}"),
            None if device.software => format!("EGL draws for it on the CPU (\"{name}\"), not on the GPU"),
            None => format!("\"{name}\" drew a pixel of the wrong color"),
        })
    })
}

/// What follows from files.
fn read(one: &Found, context: &Context<'_>) -> Judgement {
    if one.only_node && one.nodes.nvidia.is_none() {
        return node_alone(one, context);
    }
    if one.driver.as_deref().is_some_and(|driver| ["vfio-pci", "pci-stub", "xen-pciback"].contains(&driver)) {
        return Err(format!(
            "the host keeps it for a virtual machine (driver {}): bind it to its own driver on the host, or choose another \
             GPU",
            one.driver.as_deref().unwrap_or_default()
        ));
    }
    if one.drm.is_none() && (context.container.wsl || one.driver.as_deref() == Some(OF_WINDOWS)) {
        return Err(of_windows(context));
    }
    if one.board {
        return driver::judge_board(one, context);
    }
    if one.has_nvidia_driver() {
        return driver::judge(one, context);
    }
    by_mesa(one, context)
}

/// A node in `/dev/dri` for which the kernel shows no device.
fn node_alone(one: &Found, context: &Context<'_>) -> Judgement {
    let node = one.nodes.card.as_ref().or(one.nodes.render.as_ref()).map_or("a node", String::as_str);
    Err(if context.drm.known {
        format!(
            "{node} exists, but the kernel has no device behind it: the host's driver is not loaded, or was unloaded after \
             the container's start; load the driver on the host (amdgpu, i915, nvidia_drm …) and start the container anew"
        )
    } else {
        format!(
            "{node} exists, but /sys/class/drm is hidden here, so that its GPU is not known: show /sys to the container; \
             desktopd probe --render finds out whether it draws"
        )
    })
}

/// A device that Mesa's drivers draw on, or none that draws at all.
fn by_mesa(one: &Found, context: &Context<'_>) -> Judgement {
    if one.compute.as_ref().is_some_and(|gpu| !gpu.draws) || one.ids.is_some_and(Ids::only_computes) {
        return Err(
            "it computes and has no engine for drawing: choose another GPU for the display".to_owned()
        );
    }
    let driver = has_driver(one)?;
    draws(one, driver)?;
    let Some(render) = &one.nodes.render else {
        let Some(device) = &one.drm else {
            return Err(without_device(driver, context));
        };
        let name = device.render.as_deref().or(device.card.as_deref()).unwrap_or("a node");
        return Err(if one.nodes.card.is_some() {
            format!(
                "this container has {} of it and not /dev/dri/{name}, on which programs draw: start the container with \
                 {GIVE_DRI}",
                one.nodes.card.as_deref().unwrap_or_default()
            )
        } else if context.drm.nodes.is_empty() {
            not_given(driver)
        } else {
            format!(
                "it was not given to this container, which has other nodes in /dev/dri and not {name}: start the container \
                 with {GIVE_DRI}, or with --device /dev/dri/{name}"
            )
        });
    };
    let said = context.judge.usable(render, GIVE_DRI)?;
    if context.has_libraries && context.libraries.egl.is_none() {
        return Err("libEGL.so.1 is missing: install libegl1 and libegl-mesa0 in the image".to_owned());
    }
    // VMware's driver has a render node also where the virtual machine has no 3D.
    let condition = if driver == "vmwgfx" {
        format!(", if the virtual machine has 3D: {VMWARE_3D}")
    } else {
        String::new()
    };
    let said = said.map(|said| format!("; {said}")).unwrap_or_default();
    Ok(format!("can draw with Mesa (driver {driver}) through {render}{condition}{said}"))
}

/// Why a GPU with a driver has no DRM device here.
fn without_device(driver: &str, context: &Context<'_>) -> String {
    match (context.drm.known, context.drm.nodes.is_empty()) {
        (true, _) => format!(
            "the driver {driver} is bound to it, but made no DRM device: see dmesg on the host, often a firmware file is \
             missing there (package linux-firmware, or firmware-amd-graphics of Debian)"
        ),
        (false, true) => not_given(driver),
        (false, false) => format!(
            "the host drives it with {driver}, but which node in /dev/dri is its own is not known, because /sys/class/drm \
             is hidden here: show /sys to the container; desktopd probe --render finds out whether it draws"
        ),
    }
}

fn not_given(driver: &str) -> String {
    format!(
        "the host drives it with {driver}, but this container has no /dev/dri: start the container with {GIVE_DRI}"
    )
}

/// The driver of a GPU that Mesa could draw on.
fn has_driver(one: &Found) -> Result<&str, String> {
    if let Some(driver) = one.driver.as_deref() {
        return Ok(driver);
    }
    // A copy of a machine may lack the name of the driver, but a DRM device needs one.
    let has_device = one.nodes.render.is_some() || one.drm.is_some();
    if !one.unbound && (has_device || one.compute.is_some()) {
        return Ok("unknown");
    }
    Err(match one.vendor() {
        Vendor::Amd => {
            "the host has no driver loaded for it: load amdgpu on the host (modprobe amdgpu; its firmware is in the \
             package linux-firmware, or firmware-amd-graphics of Debian)"
        }
        Vendor::Intel => {
            "the host has no driver loaded for it: load i915 or xe on the host (modprobe i915); a kernel that is older than \
             the GPU does not know it"
        }
        Vendor::Display => "it shows pictures and cannot draw 3D: drawing needs another GPU",
        Vendor::Virtual => "the virtual machine has no driver loaded for it, and only virtio-gpu and VMware's card draw 3D",
        Vendor::Nvidia | Vendor::Other => "the host has no driver loaded for it, and no driver for it is known here",
    }
    .to_owned())
}

/// Whether the device has a 3D engine.
fn draws(one: &Found, driver: &str) -> Result<(), String> {
    let device = one.drm.as_ref();
    let renders = device.is_some_and(|device| device.render.is_some());
    match (driver, device.and_then(|device| device.virgl)) {
        ("vgem" | "vkms", _) => {
            return Err(format!("{driver} is a driver for tests and has no hardware: it cannot draw 3D"));
        }
        ("NovaCore" | "nova_core" | "nova", _) => {
            return Err(format!(
                "the host drives it with {driver}, which does not draw yet: install NVIDIA's driver on the host, then start \
                 the container with --gpus all"
            ));
        }
        (_, Some(true)) => return Ok(()),
        (_, Some(false)) => {
            return Err(
                "the virtual machine's virtio-gpu has no 3D (virgl): start the machine with virtio-vga-gl or \
                 virtio-gpu-gl (libvirt: accel3d='yes'), or pass a GPU through to it"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if one.screen {
        return Err(format!(
            "it shows the pictures of the board (driver {driver}), and Mesa does not draw on it: use the board's GPU"
        ));
    }
    if renders || device.is_none() {
        return Ok(());
    }
    let needs = match driver {
        "vmwgfx" => VMWARE_3D,
        "hyperv_drm" => "assign a GPU of the host to the virtual machine (Discrete Device Assignment)",
        "bochs-drm" | "bochs" | "cirrus" | "qxl" => {
            "give the virtual machine virtio-gpu with 3D (virtio-vga-gl), or pass a GPU through to it"
        }
        _ if one.vendor() == Vendor::Virtual => "pass a GPU through to the virtual machine",
        _ => "drawing needs another GPU",
    };
    Err(format!("it shows pictures and cannot draw 3D (driver {driver}, no render node): {needs}"))
}
