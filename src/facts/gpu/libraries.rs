//! The libraries that drawing needs, found where the loader looks.

use super::Libraries;
use super::root::Root;

/// Folders of the loader after those that its configuration names. NVIDIA's container toolkit uses the usual ones, Google's
/// driver installer `/usr/local/nvidia`, and WSL a folder of its own.
const FOLDERS: [&str; 14] = [
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/wsl/lib",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    #[cfg(not(target_arch = "aarch64"))]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/lib/aarch64-linux-gnu",
    #[cfg(not(target_arch = "aarch64"))]
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/opt/nvidia-drivers/lib64",
    // The other architecture, for copies of other machines.
    OTHER[0],
    OTHER[1],
];

/// The folders of the other architecture. On this machine their libraries cannot be loaded.
#[cfg(not(target_arch = "aarch64"))]
const OTHER: [&str; 2] = ["/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu"];
#[cfg(target_arch = "aarch64")]
const OTHER: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"];

/// Below a folder of libraries: where Xorg looks for drivers, and where Debian and Ubuntu keep NVIDIA's.
const MODULES: [&str; 3] = ["xorg/modules/drivers", "nvidia/xorg", "nvidia/current"];

/// Folders of the files that name EGL libraries to the dispatcher.
const VENDORS: [&str; 2] = ["/etc/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d"];

/// How many files of the loader's configuration are read, and how many folders they may name.
const MOST: usize = 64;

/// Looks for all libraries. The second value is whether the machine has any folder of libraries: a copy of a machine may
/// lack them, and then nothing is known about libraries.
pub(super) fn find(root: Root<'_>) -> (Libraries, bool) {
    let folders: Vec<String> = folders(root).into_iter().filter(|folder| root.is_folder(folder)).collect();
    let named = |name: &str| {
        let mut paths = folders.iter().map(|folder| format!("{folder}/{name}"));
        paths.find(|path| root.is_node(path))
    };
    let module = || {
        let mut paths =
            folders.iter().flat_map(|folder| MODULES.map(|below| format!("{folder}/{below}/nvidia_drv.so")));
        paths.find(|path| root.is_node(path))
    };
    let libraries = Libraries {
        nvml: named("libnvidia-ml.so.1"),
        cuda: named("libcuda.so.1"),
        glx_nvidia: named("libGLX_nvidia.so.0"),
        egl_nvidia: named("libEGL_nvidia.so.0"),
        egl: named("libEGL.so.1"),
        gl: named("libGL.so.1"),
        nvenc: named("libnvidia-encode.so.1"),
        xorg_nvidia: module(),
        egl_icd: VENDORS
            .iter()
            .map(|folder| format!("{folder}/10_nvidia.json"))
            .find(|path| root.is_node(path)),
    };
    (libraries, !folders.is_empty())
}

/// The driver's own library of CUDA, in the folders `first` or in those of the loader. A container can have a newer one
/// beside it, so the file with the version of the kernel's module counts before the usual name.
pub(super) fn driver_cuda(root: Root<'_>, module: Option<&str>, first: &[String]) -> Option<String> {
    let is_own =
        |path: &String| root.is_node(path) && root.resolve(path).is_some_and(|file| is_of_driver(&file));
    let own = |folder: &String| {
        let names = module.into_iter().chain(["1"]);
        names.map(|version| format!("{folder}/libcuda.so.{version}")).find(is_own)
    };
    first.iter().chain(&folders(root)).find_map(own)
}

/// Whether a library is not one of a toolkit: those of `compat` are for another driver, and those of `stubs` are for
/// linking alone.
fn is_of_driver(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with("compat") || part == "stubs")
}

/// The version of a library of the driver: its file is called `libEGL_nvidia.so.550.54.14`.
pub(super) fn version(root: Root<'_>, library: &str) -> Option<String> {
    let file = root.resolve(library)?;
    let (_, version) = file.rsplit_once(".so.")?;
    version.contains('.').then(|| version.to_owned())
}

pub(super) fn folders(root: Root<'_>) -> Vec<String> {
    let folder = "/etc/ld.so.conf.d";
    // Like the loader's tool, in the order of the names.
    let files = root.names(folder, MOST, |name| name.strip_suffix(".conf").is_some()).0;
    let mut folders: Vec<String> = Vec::new();
    for line in files.iter().flat_map(|file| lines(&root.text(&format!("{folder}/{file}")))) {
        if folders.len() < MOST && !folders.contains(&line) {
            folders.push(line);
        }
    }
    let usual = FOLDERS.iter().filter(|folder| !(root.is_own() && OTHER.contains(folder)));
    for folder in usual {
        if !folders.iter().any(|named| named == folder) {
            folders.push((*folder).to_owned());
        }
    }
    folders
}

/// The folders that a configuration file of the loader names.
fn lines(text: &str) -> Vec<String> {
    let folder = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim().trim_end_matches('/');
        (line.starts_with('/') && !line.split('/').any(|part| part == "..")).then(|| line.to_owned())
    };
    text.lines().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_configuration_names_folders() {
        let text = "# a comment\n/usr/lib/wsl/lib/ # WSL\ninclude /etc/x\nrelative\n/../..\n\n/opt/a\n";
        assert_eq!(lines(text), ["/usr/lib/wsl/lib", "/opt/a"]);
    }

    #[test]
    fn libraries_of_toolkits_are_not_the_drivers() {
        for (path, expected) in [
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14", true),
            ("/usr/local/nvidia/lib64/libcuda.so.1", true),
            ("/usr/local/cuda-13.1/compat/libcuda.so.590.44.01", false),
            ("/usr/local/cuda/compat_orin/libcuda.so.1.1", false),
            ("/usr/local/cuda/lib64/stubs/libcuda.so", false),
        ] {
            assert_eq!(is_of_driver(path), expected, "{path}");
        }
    }
}
