//! What desktopd brings of NVIDIA's driver where the host gives a container only the parts for computing.
//!
//! The step `nvidia-driver` fills [`FOLDER`]. Here is what the probe and the plan know about that folder: whether it
//! fits the kernel's module, what the container would lack without it, and what the step said.

use super::root::Root;
use crate::config::Config;
use crate::sys::read;

/// Where the libraries are.
pub const FOLDER: &str = "/opt/nvidia-drivers";

/// Below [`FOLDER`], the libraries of this machine's architecture. Xorg's modules are in `xorg/modules` below it.
pub const LIBRARIES: &str = "lib64";

/// Below [`FOLDER`], the file with the version, which is written last.
pub const VERSION: &str = "version";

/// A file in the daemon's folder with what the step says: that it works, or why the libraries are missing.
pub const TOLD: &str = "nvidia-driver";

/// The libraries and modules with which NVIDIA's driver draws.
pub const GRAPHICS: [&str; 4] = ["libEGL_nvidia.so.0", "libGLX_nvidia.so.0", XORG_MODULE, XORG_GLX];

/// Xorg's driver module.
pub const XORG_MODULE: &str = "nvidia_drv.so";

/// Xorg's module for OpenGL on the GPU.
pub const XORG_GLX: &str = "libglxserver_nvidia.so";

/// What surrounds the files of a machine: known on this machine alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// The folders of `LD_LIBRARY_PATH`.
    pub(super) library_path: Vec<String>,
    /// What the step `nvidia-driver` says.
    pub(super) told: Option<String>,
}

impl Given {
    /// Of this machine.
    pub(super) fn here(config: &Config) -> Self {
        let of_units = config.settings.environment.get("LD_LIBRARY_PATH").map(String::as_str);
        let path = of_units.or_else(|| config.env.text("LD_LIBRARY_PATH"));
        let told = read::text(&config.places.run.join(TOLD), read::BY_HAND).ok();
        let told = told.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self { library_path: path.map(folders).unwrap_or_default(), told }
    }

    /// Of another machine: what the engine gave to the container's main process.
    pub(super) fn below(root: Root<'_>) -> Self {
        let all = root.text("/proc/1/environ");
        let path = all.split('\0').find_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH="));
        Self { library_path: path.map(folders).unwrap_or_default(), told: None }
    }
}

/// The folders of a library path: absolute ones, without those that the loader would have to expand.
pub(super) fn folders(path: &str) -> Vec<String> {
    let folders = path.split([':', ';']).map(|folder| folder.trim_end_matches('/'));
    let named = folders.filter(|folder| folder.starts_with('/') && !folder.contains(['$', '\n']));
    named.map(str::to_owned).collect()
}

/// What is known about the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// The version of the libraries in the folder, if that is the version of the kernel's module: they are used.
    pub version: Option<String>,
    /// What of [`GRAPHICS`] the container lacks without the folder. Empty where no GPU of NVIDIA's works.
    pub lacking: Vec<&'static str>,
    /// What the step said, if it did not bring the libraries: a clause for the end of a sentence, with the remedy.
    pub told: Option<String>,
}

/// The version of the libraries in the folder, if it is that of the module: libraries of another version do not work.
pub(super) fn version(root: Root<'_>, module: Option<&str>) -> Option<String> {
    let text = root.text(&format!("{FOLDER}/{VERSION}"));
    Some(text.trim().to_owned()).filter(|version| Some(version.as_str()) == module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_folders_of_the_library_path_count() {
        assert_eq!(folders("/a/:relative::/b;/c$ORIGIN:/d"), ["/a", "/b", "/d"]);
        assert_eq!(folders(""), [""; 0]);
    }

    #[test]
    fn libraries_of_another_version_than_the_modules_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(version(root, Some("550.54.14")), None);
        let folder = dir.path().join(&FOLDER[1..]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(VERSION), "550.54.14\n").unwrap();
        assert_eq!(version(root, Some("550.54.14")).as_deref(), Some("550.54.14"));
        assert_eq!((version(root, Some("550.90")), version(root, None)), (None, None));
    }
}
