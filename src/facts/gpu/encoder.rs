//! Which video encoder a GPU should have in this container, or why none can be used. Only an encoded picture proves it:
//! the service `encoder` encodes one before the stream starts.

use super::context::Context;
use super::driver;
use super::identity::Found;
use super::{Gpu, Vendor};

/// GPUs that have no video encoder, by a part of their names. Letters may follow: `A100X`, `A100D` of a vGPU.
const WITHOUT_ENCODER: [&str; 17] = [
    "A100",
    "A800",
    "A30",
    "H100",
    "H800",
    "H200",
    "H20",
    "GH200",
    "B100",
    "B200",
    "GB200",
    "B300",
    "GB300",
    "CMP",
    "GeForce MX",
    "GT 1010",
    "GT 1030",
];

/// The encoder's name in the answer of the probe; or why there is none, with the remedy. `gpu` is judged already.
pub(super) fn judge(one: &Found, gpu: &Gpu, context: &Context<'_>) -> Result<&'static str, String> {
    match gpu.vendor {
        Vendor::Nvidia => nvenc(one, gpu, context).map(|()| "nvenc"),
        Vendor::Amd | Vendor::Intel if gpu.usable => Ok("vaapi"),
        // What keeps programs from the GPU's render node keeps the encoder from it.
        Vendor::Amd | Vendor::Intel => Err(gpu.reason.clone()),
        Vendor::Virtual | Vendor::Display => Err("such a card has no video encoder".to_owned()),
        Vendor::Other => Err("whether it has a video encoder is not known here".to_owned()),
    }
}

fn nvenc(one: &Found, gpu: &Gpu, context: &Context<'_>) -> Result<(), String> {
    if !one.has_nvidia_driver() {
        if !gpu.usable {
            return Err(gpu.reason.clone());
        }
        let name = one.driver.as_deref().unwrap_or("another driver");
        return Err(format!(
            "the host drives the GPU with {name}, and its encoder needs NVIDIA's own driver: install NVIDIA's driver on the \
             host"
        ));
    }
    driver::works(one, context)?;
    if let Some(name) = gpu.name.as_deref().filter(|name| !has_encoder(name)) {
        return Err(format!("{name} has no video encoder: choose another GPU for the stream"));
    }
    let libraries = context.libraries;
    let known =
        [&libraries.nvml, &libraries.cuda, &libraries.nvenc, &libraries.egl_nvidia, &libraries.glx_nvidia];
    // A copy of a machine may have no libraries at all.
    if !context.has_libraries && known.into_iter().all(Option::is_none) {
        return Err("no libraries of the driver are known here, so the encoder's is not either".to_owned());
    }
    if libraries.cuda.is_none() {
        return Err(missing("libcuda.so.1", "compute", "libcuda1", context));
    }
    if libraries.nvenc.is_none() {
        return Err(missing("libnvidia-encode.so.1", "video", "libnvidia-encode1", context));
    }
    Ok(())
}

/// Why a library of the driver is missing. NVIDIA's container toolkit brings a library only if
/// `NVIDIA_DRIVER_CAPABILITIES` has the library's part; without the variable it brings `utility` and `compute`, and not
/// `video` (NVIDIA's documentation of the toolkit).
fn missing(library: &str, part: &str, debian: &str, context: &Context<'_>) -> String {
    let major = context.shown.module.as_deref().and_then(|version| version.split('.').next());
    let ubuntu = debian.trim_end_matches('1');
    let ubuntu = major.map_or_else(|| ubuntu.to_owned(), |major| format!("{ubuntu}-{major}"));
    let ubuntu = if part == "compute" { ubuntu.replace("libcuda", "libnvidia-compute") } else { ubuntu };
    let package = format!(
        "install the driver's package with it on the host (Ubuntu: {ubuntu}, Debian: {debian}) and start the container \
         anew"
    );
    let variable = "start the container with NVIDIA_DRIVER_CAPABILITIES=all";
    match context.container.capabilities.as_deref() {
        Some(parts) if parts.split(',').any(|asked| ["all", part].contains(&asked.trim())) => format!(
            "{library} is missing, although NVIDIA_DRIVER_CAPABILITIES={parts} asks for it: {package}"
        ),
        Some(parts) => format!(
            "{library} is missing, because NVIDIA_DRIVER_CAPABILITIES={parts} lacks {part}: {variable}"
        ),
        None => format!("{library} is missing: {variable}; if that does not bring it, {package}"),
    }
}

/// Whether a GPU of this name has a video encoder.
fn has_encoder(name: &str) -> bool {
    let is_word = |part: &str| {
        let rest = |word: &str| {
            word.strip_prefix(part).map(|rest| rest.bytes().all(|byte| byte.is_ascii_uppercase()))
        };
        name.split([' ', '-']).any(|word| rest(word) == Some(true))
    };
    !WITHOUT_ENCODER.iter().any(|part| if part.contains(' ') { name.contains(part) } else { is_word(part) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_for_computing_have_no_encoder() {
        for (name, expected) in [
            ("NVIDIA A100-SXM4-40GB", false),
            ("NVIDIA H100 80GB HBM3", false),
            ("NVIDIA H200", false),
            ("NVIDIA GH200 480GB", false),
            ("NVIDIA GeForce MX450", false),
            ("NVIDIA A100X", false),
            ("GRID A100D-4C", false),
            ("NVIDIA CMP 170HX", false),
            ("NVIDIA GB10", true),
            ("NVIDIA GeForce RTX 3090", true),
            ("NVIDIA A10", true),
            ("NVIDIA RTX A3000", true),
            ("Tesla T4", true),
        ] {
            assert_eq!(has_encoder(name), expected, "{name}");
        }
    }
}
