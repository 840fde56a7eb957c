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
    /// Whether the machine has folders of libraries at all.
    pub(super) has_libraries: bool,
    /// The version of NVIDIA's libraries.
    pub(super) library: Option<String>,
    pub(super) container: &'a Container,
    /// What the step that brings the driver's graphics libraries says.
    pub(super) told: Option<&'a str>,
    /// NVML's answer, if NVML was asked.
    pub(super) nvml: Option<&'a Result<Nvml, String>>,
    /// Whether EGL listed its devices, and each of them that draws was joined to a GPU.
    pub(super) all_drawn: bool,
}

/// Whether a GPU can draw, and why or why not.
pub(super) type Judgement = Result<String, String>;

/// The option of the engine that gives all DRM nodes to a container.
pub(super) const GIVE_DRI: &str = "--device /dev/dri";

/// Why the GPU of WSL is of no use for a desktop.
pub(super) const WSL: &str = "the GPU of Windows is behind /dev/dxg: CUDA works, but NVIDIA's OpenGL and EGL for Linux, \
                              which Xorg and VirtualGL need, do not exist there; use a Linux host to draw on the GPU";
