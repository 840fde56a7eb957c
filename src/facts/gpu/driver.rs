//! Why NVIDIA's own driver can draw on a GPU in this container, or why not.
//!
//! The checks are in the order in which their remedies have to be applied: first the host's driver, then what the
//! container was given, then the libraries.

use super::context::{Context, Judgement, of_windows};
use super::identity::Found;
use super::tegra;

/// The option that gives NVIDIA's GPUs to a container.
const GIVE: &str = "--gpus all";

/// Judges a GPU of NVIDIA.
pub(super) fn judge(one: &Found, context: &Context<'_>) -> Judgement {
    let node = works(one, context)?;
    let how = libraries(context).map_err(|reason| with_told(reason, context.told))?;
    let version = context.shown.module.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    Ok(format!("can draw with NVIDIA's driver{version} through {node} ({how})"))
}

/// Judges the GPU of a board.
pub(super) fn judge_board(one: &Found, context: &Context<'_>) -> Judgement {
    let Some(node) = &one.nodes.nvidia else {
        return Err(format!(
            "the board's GPU was not given to this container, which has no {}: start the container with --runtime nvidia \
             or --gpus all, which needs NVIDIA's container toolkit on the board",
            tegra::NODES[0]
        ));
    };
    context.judge.permitted(node)?;
    match (&context.libraries.egl_nvidia, &context.libraries.glx_nvidia) {
        (Some(_), _) => Ok(format!("can draw with NVIDIA's driver for Tegra through {node} (EGL)")),
        (None, Some(_)) => Ok(format!(
            "can draw with NVIDIA's driver for Tegra through {node} (GLX; libEGL_nvidia.so.0 is missing, which VirtualGL \
             needs)"
        )),
        (None, None) => Err(
            "the container has the nodes of the board's GPU but not its libEGL_nvidia.so.0: start the container with \
             --runtime nvidia and NVIDIA_DRIVER_CAPABILITIES=all, so that the toolkit brings the libraries of the board"
                .to_owned(),
        ),
    }
}

/// A reason about missing libraries, with what the step that brings them says.
fn with_told(reason: String, told: Option<&str>) -> String {
    match told {
        Some(told) => format!("{reason}; {told}"),
        None => reason,
    }
}

/// The node of a GPU that can be used, for computing and encoding at least; or why not.
pub(super) fn works(one: &Found, context: &Context<'_>) -> Result<String, String> {
    loaded(one, context)?;
    let node = given(one, context)?;
    if let Some(problem) = disagreement(context) {
        return Err(problem);
    }
    answers(one, context)?;
    context.judge.permitted(&node)?;
    context.judge.usable("/dev/nvidiactl", GIVE)?;
    undivided(one, context)?;
    Ok(node)
}

/// Why there is no NVIDIA GPU, with what was looked for.
pub(super) fn absence(context: &Context<'_>) -> String {
    let Context { shown, libraries, library, container, nvml, .. } = context;
    if container.wsl {
        return of_windows(context);
    }
    if let Some(module) = &shown.module {
        return format!(
            "the kernel module {module} is loaded, but no NVIDIA GPU is on PCI, in /proc/driver/nvidia/gpus or in /dev: \
             see dmesg on the host, and start the container with {GIVE}"
        );
    }
    let said = nvml.and_then(|nvml| nvml.as_ref().err());
    let said = said.map(|said| format!(" (NVML was asked: {said})")).unwrap_or_default();
    let looked = "PCI has none, and neither /proc/driver/nvidia nor /dev/nvidia0 exists";
    if libraries.nvml.is_some() || libraries.egl_nvidia.is_some() || libraries.glx_nvidia.is_some() {
        let version = library.first().map(|(_, version)| format!(" {version}")).unwrap_or_default();
        return format!(
            "NVIDIA's libraries{version} are installed, but there is no NVIDIA GPU: {looked}{said}; on a host with one, \
             start the container with {GIVE}"
        );
    }
    format!("there is no NVIDIA GPU: {looked}{said}")
}

/// Whether the host's kernel has the driver.
fn loaded(one: &Found, context: &Context<'_>) -> Result<(), String> {
    let module = context.shown.module.as_deref();
    // A node outlives its driver, and NVIDIA's tools make nodes without one.
    let node = one.nodes.nvidia.as_deref();
    let by_node = node.is_some() && (module.is_some() || !one.unbound);
    let by_list = context.shown.gpus.iter().any(|gpu| Some(&gpu.pci) == one.pci.as_ref());
    if one.driver.is_some() || by_node || by_list || one.nvml.is_some() {
        return Ok(());
    }
    match module {
        Some(module) if one.unbound => Err(format!(
            "NVIDIA's kernel module {module} is loaded but does not drive this GPU: it may be too old or too new for the \
             module, or excluded; see the lines of NVRM in dmesg on the host"
        )),
        Some(_) => Ok(()),
        None => {
            let stale = node.or_else(|| context.shown.has("nvidiactl").then_some("/dev/nvidiactl"));
            let stale =
                stale.map(|node| format!(" ({node} proves nothing: NVIDIA's libraries make such nodes)"));
            let stale = stale.unwrap_or_default();
            Err(format!(
                "the host has no driver loaded for it{stale}: install NVIDIA's driver on the host (Ubuntu: ubuntu-drivers \
                 install, Debian: nvidia-driver), then start the container with {GIVE}"
            ))
        }
    }
}

/// The GPU's node, if this container has it.
fn given(one: &Found, context: &Context<'_>) -> Result<String, String> {
    let Context { shown, container, .. } = context;
    if let Some(node) = &one.nodes.nvidia {
        if !shown.has("nvidiactl") {
            return Err(format!(
                "/dev/nvidiactl is missing beside {node}: start the container with {GIVE}, which gives all nodes that the \
                 driver needs"
            ));
        }
        return Ok(node.clone());
    }
    let node = one.minor.map_or_else(|| "node of it".to_owned(), |minor| format!("/dev/nvidia{minor}"));
    let visible = container.visible.as_deref();
    let pod = if context.in_pod {
        " (in Kubernetes: with nvidia.com/gpu in the limits of the container)"
    } else {
        ""
    };
    if shown.minors().next().is_some() {
        let asked = visible.map(|value| format!(" (NVIDIA_VISIBLE_DEVICES={value})")).unwrap_or_default();
        return Err(format!(
            "it was not given to this container, which has another NVIDIA GPU{asked} and no {node}: start the container \
             with {GIVE}{pod}, or name this GPU with --gpus device={}",
            one.uuid.as_deref().unwrap_or("INDEX")
        ));
    }
    if let Some(name) = shown.folders.first() {
        return Err(format!(
            "/dev/{name} is a folder and no node, as the engine makes for -v /dev/{name}:/dev/{name} where the host has no \
             such node: start the container with {GIVE}{pod}, and without that -v"
        ));
    }
    let version = shown.module.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    Err(match visible {
        Some("void" | "none" | "") => format!(
            "NVIDIA_VISIBLE_DEVICES={} gives this container no GPU: start the container with {GIVE}{pod}",
            visible.unwrap_or_default()
        ),
        Some(value) => format!(
            "the host drives it with NVIDIA's driver{version}, but this container has no {node}, although \
             NVIDIA_VISIBLE_DEVICES={value} asks for GPUs: nothing acts on that variable without NVIDIA's container \
             toolkit; install the toolkit on the host and start the container with {GIVE}{pod}"
        ),
        None => format!(
            "the host drives it with NVIDIA's driver{version}, but this container has no {node}: start the container \
             with {GIVE}{pod}, which needs NVIDIA's container toolkit on the host"
        ),
    })
}

/// What is wrong with the driver as a whole.
fn disagreement(context: &Context<'_>) -> Option<String> {
    let Context { shown, library, libraries, nvml, .. } = context;
    let said = match nvml {
        Some(Err(said)) if libraries.nvml.is_some() => Some(said.as_str()),
        _ => None,
    };
    let lower = said.unwrap_or_default().to_lowercase();
    let versions = shown.module.as_ref().and_then(|module| {
        let (_, version) = library.first().filter(|(_, version)| version != module)?;
        Some(format!("the kernel module is of version {module} and the libraries of {version}"))
    });
    if versions.is_some() || lower.contains("version mismatch") {
        let versions = versions.unwrap_or_else(|| format!("NVML says \"{}\"", said.unwrap_or_default()));
        return Some(format!(
            "Driver/library version mismatch: {versions}: restart the host, or reload the module there (rmmod nvidia_uvm \
             nvidia_drm nvidia_modeset nvidia; modprobe nvidia), then start the container anew; libraries that are the \
             image's own have to be removed"
        ));
    }
    let said = said?;
    Some(if lower.contains("no devices were found") {
        format!(
            "NVML says \"{said}\": the driver could not start the GPU; see the lines of NVRM and Xid in dmesg on the host, \
             and restart the host"
        )
    } else if lower.contains("unknown error") {
        format!(
            "NVML says \"{said}\": this container has lost its access to the GPU, as after systemctl daemon-reload on the \
             host: restart the container; --device nvidia.com/gpu=all instead of {GIVE} prevents it"
        )
    } else if lower.contains("driver not loaded") || lower.contains("driver is not loaded") {
        format!(
            "NVML says \"{said}\": load NVIDIA's driver on the host (modprobe nvidia), then start the container anew"
        )
    } else {
        format!("NVML does not answer as it should: {said}; see dmesg on the host, and restart the container")
    })
}

/// What NVML says about this GPU.
fn answers(one: &Found, context: &Context<'_>) -> Result<(), String> {
    if let Some(error) = one.nvml.as_ref().and_then(|device| device.error.as_ref()) {
        return Err(format!(
            "NVML says \"{error}\": see the lines of NVRM and Xid in dmesg on the host; the GPU needs a reset \
             (nvidia-smi --gpu-reset) or the host a restart"
        ));
    }
    match context.nvml {
        Some(Ok(nvml)) if nvml.devices.is_empty() => Err(
            "NVML says \"No devices were found\": the driver could not start the GPU; see the lines of NVRM and Xid in \
             dmesg on the host, and restart the host"
                .to_owned(),
        ),
        Some(Ok(_)) if one.nvml.is_none() => Err(
            "NVML does not list it, although its node is here: it was given to another container, or fell off the bus; see \
             the lines of NVRM and Xid in dmesg on the host"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn undivided(one: &Found, context: &Context<'_>) -> Result<(), String> {
    // Of these GPUs some instances draw, those with +gfx in the names of their profiles; the drawing shows which.
    let may_draw =
        one.name.as_deref().is_some_and(|name| name.contains("RTX PRO") && name.contains("Blackwell"));
    if may_draw || !one.is_divided(context) && one.nvml.as_ref().is_none_or(|device| device.mig.is_empty()) {
        return Ok(());
    }
    let minor = one.minor.map(|minor| format!(" -i {minor}")).unwrap_or_default();
    Err(format!(
        "it is divided into instances (MIG), which compute and do not draw: turn MIG off on the host (nvidia-smi{minor} \
         -mig 0), or choose another GPU"
    ))
}

/// What the libraries in this container can do.
fn libraries(context: &Context<'_>) -> Judgement {
    let Context { libraries, container, .. } = context;
    let module = context.shown.module.as_ref();
    if let Some((path, version)) =
        context.library.iter().find(|(_, version)| module.is_some_and(|own| own != version))
    {
        return Err(format!(
            "Driver/library version mismatch: the kernel module is of version {}, and {path} of {version}, which is the \
             image's own: use an image without the packages of NVIDIA's libraries, and start the container with {GIVE}, so \
             that NVIDIA's container toolkit brings those of the host",
            module.map(String::as_str).unwrap_or_default()
        ));
    }
    match (&libraries.egl_nvidia, &libraries.glx_nvidia) {
        (Some(_), Some(_)) if libraries.egl_icd.is_none() => {
            Ok("EGL and GLX; the file 10_nvidia.json, which names the EGL library to programs, is missing"
                .to_owned())
        }
        (Some(_), Some(_)) => Ok("EGL and GLX".to_owned()),
        (Some(_), None) => Ok("EGL; libGLX_nvidia.so.0 is missing, which Xorg needs".to_owned()),
        (None, Some(_)) => Ok("GLX; libEGL_nvidia.so.0 is missing, which VirtualGL needs".to_owned()),
        (None, None) if context.unlinked.is_some() => Err(format!(
            "the driver's libraries are here, but programs do not find them: {} has no link without the version: run \
             ldconfig in the container",
            context.unlinked.as_deref().unwrap_or_default()
        )),
        (None, None) if libraries.nvml.is_none() && libraries.cuda.is_none() => Err(format!(
            "the container has the nodes but none of the driver's libraries: start the container with {GIVE}, so that \
             NVIDIA's container toolkit brings the libraries of the host"
        )),
        (None, None) => {
            let missing = "libEGL_nvidia.so.0 and libGLX_nvidia.so.0 are missing";
            let major = context.shown.module.as_deref().and_then(|version| version.split('.').next());
            let gl = major.map_or_else(|| "libnvidia-gl".to_owned(), |major| format!("libnvidia-gl-{major}"));
            let package = format!(
                "install the driver's OpenGL package on the host (Ubuntu: {gl} or {gl}-server, Debian: libegl-nvidia0 and \
                 libglx-nvidia0) and start the container anew"
            );
            let variable = "start the container with NVIDIA_DRIVER_CAPABILITIES=all";
            let asked = container.capabilities.as_deref();
            Err(match asked {
                Some(parts)
                    if parts.split(',').any(|part| ["all", "graphics", "display"].contains(&part.trim())) =>
                {
                    format!(
                        "the host's driver can only compute: {missing}, although NVIDIA_DRIVER_CAPABILITIES={parts} asks for \
                     them: {package}"
                    )
                }
                Some(parts) => format!(
                    "the container has the driver's libraries for computing alone: {missing}, because \
                     NVIDIA_DRIVER_CAPABILITIES={parts} lacks graphics: {variable}"
                ),
                None => format!("{missing}: {variable}; if that does not bring them, {package}"),
            })
        }
    }
}
