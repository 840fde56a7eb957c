//! `desktopd probe`: the GPUs of this machine, and why each can or cannot be used. Asks no daemon.

use crate::facts::gpu::{Container, Gpu, Gpus, Libraries};

use super::{Failure, render};

/// Prints what the probe found.
pub fn show(gpus: &Gpus, json: bool) -> Result<(), Failure> {
    render::print(json, gpus, || text(gpus))
}

fn text(gpus: &Gpus) -> String {
    let mut text: String = gpus.gpus.iter().map(gpu).collect();
    let mut row = |name: &str, value: &str| text.extend([&format!("{name:<10} "), value, "\n"]);
    if let Some(reason) = &gpus.reason {
        row("GPUs", reason);
    }
    let module = gpus.nvidia.module.as_ref().map(|version| format!("kernel module {version}"));
    let cuda = gpus.nvidia.cuda.as_ref().map(|version| format!("CUDA up to {version}"));
    let nvidia: Vec<String> = [module, cuda, gpus.nvidia.reason.clone()].into_iter().flatten().collect();
    row("NVIDIA", &nvidia.join("; "));
    let count = format!("{} in the topology of ROCm", gpus.kfd.gpus);
    row("AMD", gpus.kfd.reason.as_ref().unwrap_or(&count));
    row("libraries", &libraries(&gpus.libraries));
    row("container", &container(&gpus.container));
    if let Some(rendered) = &gpus.rendered {
        let millis = rendered.millis;
        let reason = rendered.reason.clone();
        let count = match rendered.devices.len() {
            1 => "1 device".to_owned(),
            count => format!("{count} devices"),
        };
        row("EGL", &reason.unwrap_or_else(|| format!("{count} in {millis} ms")));
        for device in &rendered.devices {
            let index = device.index.map_or_else(|| "-".to_owned(), |index| format!("egl{index}"));
            let node = device.card.as_ref().or(device.render.as_ref()).map_or("no node", String::as_str);
            let renderer = device.renderer.as_deref().unwrap_or("no renderer");
            let result = match &device.error {
                Some(error) => error.as_str(),
                None if device.pixel => "the pixel came back",
                None => "the pixel did not come back",
            };
            row("", &format!("{index}, {node}: {renderer}; {result}"));
        }
    }
    text
}

/// The lines of one GPU.
fn gpu(gpu: &Gpu) -> String {
    let name = gpu.title();
    let at = gpu.pci.as_ref().map(|pci| format!(" at {pci}")).unwrap_or_default();
    let usable = if gpu.usable { "usable" } else { "not usable" };
    let driver = gpu.driver.as_ref().map(|driver| {
        let version = driver.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("driver {}{version}", driver.name)
    });
    let nodes: Vec<&str> = [&gpu.nodes.nvidia, &gpu.nodes.card, &gpu.nodes.render]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let nodes = if nodes.is_empty() { "no node".to_owned() } else { nodes.join(" ") };
    let more = [
        driver,
        Some(nodes),
        gpu.egl.map(|index| format!("EGL index {index}")),
        gpu.cuda.map(|index| format!("CUDA index {index}")),
        gpu.encoder.as_ref().map(|encoder| format!("encoder {encoder}")),
        gpu.uuid.clone(),
    ];
    let more: Vec<String> = more.into_iter().flatten().collect();
    // The reason of a GPU that cannot be used is often the encoder's as well.
    let encoder = gpu.encoder_reason.as_ref().filter(|reason| **reason != gpu.reason);
    let encoder = encoder.map(|reason| format!("   no encoder: {reason}\n")).unwrap_or_default();
    format!("{name}{at}: {usable}\n   {}\n   {}\n{encoder}", gpu.reason, more.join("; "))
}

fn libraries(libraries: &Libraries) -> String {
    let all = [
        ("libEGL.so.1", &libraries.egl),
        ("libGL.so.1", &libraries.gl),
        ("libnvidia-ml.so.1", &libraries.nvml),
        ("libcuda.so.1", &libraries.cuda),
        ("libEGL_nvidia.so.0", &libraries.egl_nvidia),
        ("libGLX_nvidia.so.0", &libraries.glx_nvidia),
        ("libnvidia-encode.so.1", &libraries.nvenc),
        ("nvidia_drv.so", &libraries.xorg_nvidia),
        ("10_nvidia.json", &libraries.egl_icd),
    ];
    let (found, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, path)| path.is_some());
    let names = |list: &[(&str, &Option<String>)]| {
        if list.is_empty() {
            return "none".to_owned();
        }
        list.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    };
    format!("found: {}; missing: {}", names(&found), names(&missing))
}

fn container(container: &Container) -> String {
    let known = |value: Option<bool>, name: &str| {
        value.map(|has| if has { name.to_owned() } else { format!("not {name}") })
    };
    let shm = container.shm.map(|bytes| format!("/dev/shm {} MiB", bytes >> 20));
    let displays: Vec<String> = container.foreign_x.iter().map(|number| format!(":{number}")).collect();
    let displays = (!displays.is_empty()).then(|| format!("X displays in use: {}", displays.join(" ")));
    let all =
        [known(container.privileged, "privileged"), shm, displays, container.wsl.then(|| "WSL".to_owned())];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "nothing is known".to_owned() } else { all.join("; ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::facts::gpu::Answers;

    #[test]
    fn a_folder_that_is_no_machine_is_explained_in_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let text = text(&Gpus::probe(dir.path(), &Answers::default()));
        assert!(text.contains("is not the root of a machine"), "{text}");
        let text = super::text(&Gpus::probe(Path::new("/no/such/folder"), &Answers::default()));
        assert!(text.contains("/no/such/folder cannot be read"), "{text}");
    }

    #[test]
    fn a_gpu_is_shown_with_its_reason_and_nodes() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("vendor", "0x1002\n"), ("class", "0x030000\n"), ("uevent", "DRIVER=amdgpu\n")] {
            let file = dir.path().join("sys/bus/pci/devices/0000:03:00.0").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let text = text(&Gpus::probe(dir.path(), &Answers::default()));
        assert!(text.starts_with("AMD GPU at 0000:03:00.0: not usable\n   "), "{text}");
        assert!(text.contains("driver amdgpu; no node\n"), "{text}");
    }
}
