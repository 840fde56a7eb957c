//! The GPUs of this machine: one identity for each, and why each can or cannot be used.
//!
//! Everything here is read from small files below a root folder, so a folder of text files can be any machine. What
//! only a driver knows (NVML, EGL) is asked in a child process with a time limit, before, and comes in as [`Answers`]:
//! a driver can hang or crash.
//!
//! Probing never fails: each absence is a value with a reason, and the reason names the remedy.

mod amd;
pub mod answer;
pub mod ask;
pub mod brought;
pub mod compute;
mod container;
mod context;
pub mod cuda;
mod driver;
mod drm;
mod encoder;
pub mod glance;
mod identity;
mod libcuda;
mod libraries;
mod line;
pub mod load;
pub mod loads;
mod node;
mod nodes;
mod nvidia;
mod nvml;
mod pci;
mod probe;
mod reason;
mod render;
mod repair;
mod rocm;
mod root;
mod tegra;
pub mod trial;
pub mod xid;
pub mod xids;

use serde::{Serialize, Serializer};

pub use libraries::has_library;

/// The maker of a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA, PCI vendor 0x10de.
    Nvidia,
    /// AMD, 0x1002.
    Amd,
    /// Intel, 0x8086.
    Intel,
    /// A card of a virtual machine (virtio, bochs, cirrus, QXL, `VMware`, Hyper-V), or a test driver without hardware
    /// (vgem, vkms). Draws no 3D, except virtio with virgl.
    Virtual,
    /// A card that shows a picture and draws no 3D, such as the ASPEED of a server's management controller.
    Display,
    /// Another maker, or one that is not known.
    #[default]
    Other,
}

/// The driver of a GPU in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// The name of the kernel module: `nvidia`, `amdgpu`, `i915`, `virtio-pci`.
    pub name: String,
    /// The version, where a driver has one that is not the kernel's.
    pub version: Option<String>,
}

/// The keys of a driver, each null where the driver is not known.
#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn driver_keys<S: Serializer>(driver: &Option<Driver>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Keys<'a> {
        name: Option<&'a str>,
        version: Option<&'a str>,
    }
    let (name, version) =
        driver.as_ref().map(|driver| (driver.name.as_str(), driver.version.as_deref())).unzip();
    Keys { name, version: version.flatten() }.serialize(serializer)
}

/// The device nodes of a GPU that exist in this container, as paths: `/dev/nvidia0`, `/dev/dri/card1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// NVIDIA's own node; of the GPU of a board (Jetson) `/dev/nvhost-gpu`, where `/dev/nvidia0` is missing.
    pub nvidia: Option<String>,
    /// The DRM node for showing pictures.
    pub card: Option<String>,
    /// The DRM node for drawing.
    pub render: Option<String>,
}

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// The maker.
    pub vendor: Vendor,
    /// The name for people, if a driver told it.
    pub name: Option<String>,
    /// The PCI address, `0000:01:00.0`. `None` for a card that is not on PCI.
    pub pci: Option<String>,
    /// NVIDIA's UUID, `GPU-…`, or that of a MIG instance, `MIG-…`.
    pub uuid: Option<String>,
    /// The kernel's driver. Its JSON has both keys also where no driver is known.
    #[serde(serialize_with = "driver_keys")]
    pub driver: Option<Driver>,
    /// The nodes.
    pub nodes: Nodes,
    /// The index of the device in EGL's list, as in `egl0` of VirtualGL.
    pub egl: Option<u32>,
    /// The index in CUDA's list.
    pub cuda: Option<u32>,
    /// The video encoder: `nvenc`, `vaapi`.
    pub encoder: Option<String>,
    /// Why there is no encoder, with the remedy; `None` if there should be one.
    pub encoder_reason: Option<String>,
    /// Whether programs in this container can draw on the GPU, as far as that is known without drawing.
    pub usable: bool,
    /// Why it is usable or why not, with the remedy.
    pub reason: String,
}

impl Gpu {
    /// The name for people; without a name, what kind of card it is.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.vendor {
            Vendor::Nvidia => "NVIDIA GPU",
            Vendor::Amd => "AMD GPU",
            Vendor::Intel => "Intel GPU",
            Vendor::Virtual => "virtual card",
            Vendor::Display => "display card",
            Vendor::Other => "device of an unknown maker",
        })
    }
}

/// What NVIDIA's driver says as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Nvidia {
    /// The version of the kernel module, from `/proc/driver/nvidia/version`.
    pub module: Option<String>,
    /// The driver's version according to NVML.
    pub driver: Option<String>,
    /// The newest CUDA version that programs get according to NVML, `12.8`: that of the library that the loader takes.
    pub cuda: Option<String>,
    /// The CUDA version that the driver's own library offers: what the library answered, or what drivers of its branch
    /// have.
    pub cuda_driver: Option<compute::Version>,
    /// The CUDA toolkits in `/usr/local`, the newest first.
    pub toolkits: Vec<compute::Toolkit>,
    /// Whether programs of a toolkit that is newer than the driver run.
    pub compat: compute::Compat,
    /// NVIDIA's nodes that exist, as names below `/dev`: `nvidia0`, `nvidiactl`, `nvidia-modeset`, `nvidia-uvm`.
    pub nodes: Vec<String>,
    /// Why the driver cannot be used, with the remedy; `None` if nothing speaks against it.
    pub reason: Option<String>,
    /// What desktopd brings of the driver. Not shown by itself: the reasons of the GPUs say it.
    #[serde(skip)]
    pub brought: brought::Brought,
}

/// AMD's compute device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kfd {
    /// Whether `/dev/kfd` exists.
    pub node: bool,
    /// How many GPUs the topology has; a node without SIMDs is a CPU.
    pub gpus: u32,
    /// The PCI addresses of these GPUs, in the order in which ROCm numbers them.
    pub order: Vec<String>,
    /// ROCm in this container.
    pub rocm: Option<compute::Rocm>,
    /// Why it cannot be used; `None` if nothing speaks against it.
    pub reason: Option<String>,
}

/// The libraries that drawing needs, each with its path, or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Libraries {
    /// NVIDIA's management library, `libnvidia-ml.so.1`.
    pub nvml: Option<String>,
    /// `libcuda.so.1`.
    pub cuda: Option<String>,
    /// NVIDIA's OpenGL for X, `libGLX_nvidia.so.0`.
    pub glx_nvidia: Option<String>,
    /// NVIDIA's EGL, `libEGL_nvidia.so.0`.
    pub egl_nvidia: Option<String>,
    /// The dispatcher `libEGL.so.1`.
    pub egl: Option<String>,
    /// The dispatcher `libGL.so.1`.
    pub gl: Option<String>,
    /// NVIDIA's encoder, `libnvidia-encode.so.1`.
    pub nvenc: Option<String>,
    /// Xorg's driver module, `nvidia_drv.so`.
    pub xorg_nvidia: Option<String>,
    /// The file that names NVIDIA's EGL to the dispatcher, `10_nvidia.json`.
    pub egl_icd: Option<String>,
}

/// What the container may do, and what of the host it sees. Unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Whether it has all capabilities, outside of a user namespace, as with `--privileged`.
    pub privileged: Option<bool>,
    /// Whether it has `CAP_SYS_ADMIN`.
    pub sys_admin: Option<bool>,
    /// Whether it has `CAP_MKNOD`.
    pub mknod: Option<bool>,
    /// Whether it has `CAP_SETUID` and `CAP_SETGID`, by which root starts programs of other users. No matter of GPUs.
    #[serde(skip)]
    pub other_users: Option<bool>,
    /// The size of `/dev/shm`, in bytes.
    pub shm: Option<u64>,
    /// X displays of others that are in use, such as the host's: numbers, from `/tmp/.X11-unix` and `/proc/net/unix`.
    pub foreign_x: Vec<u32>,
    /// Whether the machine is Windows' WSL: its GPU is behind `/dev/dxg`.
    pub wsl: bool,
    /// `NVIDIA_VISIBLE_DEVICES` of the container's main process: the GPUs that were asked for.
    pub visible: Option<String>,
    /// `NVIDIA_DRIVER_CAPABILITIES` of the container's main process: the parts of the driver that were asked for.
    pub capabilities: Option<String>,
}

/// All of it. This is the JSON of `desktopd probe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gpus {
    /// The GPUs, in the order of their PCI addresses, those without one last.
    pub gpus: Vec<Gpu>,
    /// NVIDIA's driver.
    pub nvidia: Nvidia,
    /// AMD's compute device.
    pub kfd: Kfd,
    /// Libraries.
    pub libraries: Libraries,
    /// The container.
    pub container: Container,
    /// Device nodes that are missing, or that the desktop's user may not open.
    pub repairs: Vec<compute::Repair>,
    /// Devices that were drawn on, if that was asked.
    pub rendered: Option<Rendered>,
    /// Why there is no GPU, with the remedy, or why the list may lack one.
    pub reason: Option<String>,
}

/// What drivers answered in child processes. `None`: not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// NVML's answer, or why there is none.
    pub nvml: Option<Result<Nvml, String>>,
    /// EGL's answer, or why there is none.
    pub rendered: Option<Rendered>,
    /// The version that the driver's own library of CUDA offers, or why it is not known.
    pub cuda: Option<Result<compute::Version, String>>,
    /// Whether a child had no answer in time: with more time, the same question may have another answer.
    pub late: bool,
}

impl Answers {
    /// For another machine, whose drivers cannot be asked. `render`: it was asked whether its GPUs draw.
    pub fn of_another_machine(render: bool) -> Self {
        let reason = "nothing is drawn for another machine: leave out --root, or run the command there";
        let rendered = Rendered { reason: Some(reason.to_owned()), ..Rendered::default() };
        Self { nvml: None, rendered: render.then_some(rendered), ..Self::default() }
    }

    /// Whether NVML says that the GPU at this PCI address is lost.
    pub fn is_lost(&self, address: &str) -> bool {
        let device = |nvml: &Nvml| {
            let of_gpu = |device: &&NvmlDevice| device.pci.as_deref() == Some(address);
            let known = nvml.devices.iter().find(of_gpu);
            // A GPU that is lost may not even say its address.
            let nameless = nvml.devices.iter().find(|device| device.pci.is_none());
            known.or(nameless).and_then(|device| device.error.clone())
        };
        let said = match &self.nvml {
            Some(Ok(nvml)) => device(nvml),
            Some(Err(said)) => Some(said.clone()),
            None => None,
        };
        said.is_some_and(|said| said.starts_with(GPU_IS_LOST))
    }
}

/// NVML's words for a GPU that has fallen off the bus.
pub const GPU_IS_LOST: &str = "GPU is lost";

/// The answer of NVML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Nvml {
    /// The driver's version.
    pub driver: String,
    /// The newest CUDA version that the driver supports, `12.8`.
    pub cuda: Option<String>,
    /// The GPUs that this container sees, in NVML's order.
    pub devices: Vec<NvmlDevice>,
}

/// One GPU according to NVML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct NvmlDevice {
    /// The name for people.
    pub name: Option<String>,
    /// `GPU-…`.
    pub uuid: Option<String>,
    /// The PCI address, in the kernel's form.
    pub pci: Option<String>,
    /// N of `/dev/nvidiaN`.
    pub minor: Option<u32>,
    /// The instances of a GPU that is divided (MIG), as UUIDs.
    pub mig: Vec<String>,
    /// Why the GPU does not answer, such as "GPU is lost"; `None` if it does.
    pub error: Option<String>,
}

/// What drawing showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Rendered {
    /// The devices of EGL in the order of EGL's list.
    pub devices: Vec<RenderedDevice>,
    /// Why there is no list: no library, a crash, a time limit. `None` if there is one.
    pub reason: Option<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// One device of EGL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct RenderedDevice {
    /// The position in EGL's list among the devices that could be initialized: N of VirtualGL's `eglN`. `None` for a
    /// device that could not.
    pub index: Option<u32>,
    /// `EGL_DRM_DEVICE_FILE_EXT`: `/dev/dri/card0`.
    pub card: Option<String>,
    /// `EGL_DRM_RENDER_NODE_FILE_EXT`.
    pub render: Option<String>,
    /// `EGL_CUDA_DEVICE_NV`.
    pub cuda: Option<u32>,
    /// `GL_VENDOR`.
    pub vendor: Option<String>,
    /// `GL_RENDERER`.
    pub renderer: Option<String>,
    /// Whether a pixel that was drawn came back with the right color.
    pub pixel: bool,
    /// Whether the renderer is a program on the CPU: llvmpipe, softpipe, swrast.
    pub software: bool,
    /// What failed, if something did.
    pub error: Option<String>,
}
