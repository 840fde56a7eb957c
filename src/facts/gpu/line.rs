//! The lines in which a child process answers: JSON, one value in a line.
//!
//! Lines are printed as soon as they are known, so that a crash or a hang loses only what comes after them.

use serde::{Deserialize, Serialize};

use super::NvmlDevice;
use super::load::Load;

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// NVML: the driver, and how many GPUs follow.
    Driver {
        /// The driver's version.
        driver: String,
        /// The newest CUDA version that the driver supports.
        cuda: Option<String>,
        /// The number of GPUs.
        count: u32,
    },
    /// NVML: one GPU.
    Gpu(NvmlDevice),
    /// EGL: its list of devices, in EGL's order. Only the child that draws on the first device sends the list.
    Devices(Vec<Listed>),
    /// EGL: the device of this child could be initialized.
    Initialized,
    /// EGL: this child has drawn.
    Drawn(Drawn),
    /// CUDA: the version that a library offers, as the library has it: 12040 is 12.4.
    CudaVersion(i32),
    /// CUDA: the result of starting the library; 0 is success.
    CudaStarted(i32),
    /// NVML: the errors of a GPU are waited for from now on.
    Watching,
    /// NVML: the GPU reported this error.
    Xid(u64),
    /// NVML: what all GPUs do now.
    Loads(Vec<Load>),
    /// The question cannot be answered, for this reason.
    Failed(String),
    /// The answer is complete.
    Done,
}

/// One device in EGL's list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// `EGL_DRM_DEVICE_FILE_EXT`.
    pub(super) card: Option<String>,
    /// `EGL_DRM_RENDER_NODE_FILE_EXT`.
    pub(super) render: Option<String>,
    /// `EGL_CUDA_DEVICE_NV`.
    pub(super) cuda: Option<u32>,
}

/// What drawing on one device showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drawn {
    /// `GL_VENDOR`.
    pub(super) vendor: Option<String>,
    /// `GL_RENDERER`.
    pub(super) renderer: Option<String>,
    /// The pixel that came back: red, green, blue, alpha.
    pub(super) pixel: [u8; 4],
}

/// The color that is drawn. No buffer has this color by chance, as all zeros or all ones would be.
pub(super) const COLOR: [u8; 4] = [51, 102, 153, 255];

impl Drawn {
    /// Whether the pixel has the color that was drawn, as exactly as rounding allows.
    pub(super) fn is_right(&self) -> bool {
        self.pixel.iter().zip(COLOR).all(|(found, drawn)| found.abs_diff(drawn) <= 1)
    }

    /// Whether the renderer is a program on the CPU.
    pub(super) fn is_software(&self) -> bool {
        let renderer = self.renderer.as_deref().unwrap_or_default().to_lowercase();
        ["llvmpipe", "softpipe", "swrast", "software rasterizer"].iter().any(|name| renderer.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_may_differ_by_rounding_only() {
        let drawn = |pixel| Drawn { pixel, ..Drawn::default() };
        assert!(drawn(COLOR).is_right() && drawn([52, 101, 153, 254]).is_right());
        assert!(!drawn([53, 102, 153, 255]).is_right() && !drawn([0; 4]).is_right());
    }

    #[test]
    fn renderers_on_the_cpu_are_known_in_any_case() {
        for (renderer, software) in [
            (Some("llvmpipe (LLVM 19.1.7, 256 bits)"), true),
            (Some("SoftPipe"), true),
            (Some("SWRAST"), true),
            (Some("Software Rasterizer"), true),
            (Some("NVIDIA H200/PCIe/SSE2"), false),
            (Some("virgl (Mesa Intel(R) UHD)"), false),
            (None, false),
        ] {
            let drawn = Drawn { renderer: renderer.map(str::to_owned), ..Drawn::default() };
            assert_eq!(drawn.is_software(), software, "{renderer:?}");
        }
    }
}
