//! What the judgement of each GPU looks at besides the GPU itself.

use super::drm::Drm;
use super::nodes::Judge;
use super::nvidia::Shown;
use super::{Container, Libraries, Nvml};

/// The machine around a GPU.
pub(super) struct Context<'a> {
    pub(super) judge: Judge<'a>,
    pub(super) drm: &'a Drm,
    pub(super) shown: &'a Shown,
    pub(super) libraries: &'a Libraries,
    /// A library of NVIDIA's driver that is here without the link by which programs find the library.
    pub(super) unlinked: Option<String>,
    /// Whether all libraries of the machine are known: a copy may have only some.
    pub(super) has_libraries: bool,
    /// NVIDIA's libraries that have a version: their paths and versions, that of management first.
    pub(super) library: Vec<(&'a str, String)>,
    pub(super) container: &'a Container,
    /// Whether the container is part of a pod of Kubernetes.
    pub(super) in_pod: bool,
    /// What the step that brings the driver's graphics libraries says.
    pub(super) told: Option<&'a str>,
    /// NVML's answer, if NVML was asked.
    pub(super) nvml: Option<&'a Result<Nvml, String>>,
    /// Whether EGL listed its devices, and each of them that draws was joined to a GPU.
    pub(super) all_drawn: bool,
}

impl<'a> Context<'a> {
    /// The instances of divided GPUs (MIG) that the container was given by name; none if it was given a whole GPU as well.
    pub(super) fn instances(&self) -> Vec<&'a str> {
        let words = self.container.visible.as_deref().unwrap_or_default().split(',').map(str::trim);
        let words: Vec<&str> = words.collect();
        if words.iter().all(|word| word.starts_with("MIG-")) { words } else { Vec::new() }
    }
}

/// Whether a GPU can draw, and why or why not.
pub(super) type Judgement = Result<String, String>;

/// The option of the engine that gives all DRM nodes to a container.
pub(super) const GIVE_DRI: &str = "--device /dev/dri";

/// The driver of the GPU of Windows in WSL.
pub(super) const OF_WINDOWS: &str = "dxgkrnl";

/// Why the GPU of Windows is of no use for a desktop.
pub(super) fn of_windows(context: &Context<'_>) -> String {
    let computes = match (context.container.wsl, &context.libraries.cuda) {
        (false, _) => ", which this container does not have (--gpus all gives it, for CUDA)",
        (true, Some(_)) => ": CUDA works",
        (true, None) => "",
    };
    format!(
        "the GPU of Windows is behind /dev/dxg{computes}, but OpenGL and EGL of a driver for Linux, which Xorg and VirtualGL \
         need, do not exist there; use a Linux host to draw on the GPU"
    )
}
