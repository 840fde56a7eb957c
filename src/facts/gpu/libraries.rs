//! The libraries that drawing needs, found where the loader looks.

use super::Libraries;
use super::root::Root;

/// Folders of the loader after those that its configuration names. NVIDIA's container toolkit uses the usual ones, Google's
/// driver installer `/usr/local/nvidia`, and WSL a folder of its own.
const FOLDERS: [&str; 15] = [
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
    // NixOS.
    "/run/opengl-driver/lib",
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

/// How many files of a folder of libraries are looked at by their names.
const MOST_VERSIONS: usize = 8;

/// What was found.
pub(super) struct Installed {
    pub(super) libraries: Libraries,
    /// Whether all libraries are known: a copy of a machine without the C library has only some, and a library that is
    /// missing there says nothing.
    pub(super) has_all: bool,
    /// A library of NVIDIA's driver with its version in the name, where the name that programs use does not exist.
    pub(super) unlinked: Option<String>,
}

/// Looks for all libraries; `path` is the value of `LD_LIBRARY_PATH`.
pub(super) fn find(root: Root<'_>, path: Option<&str>) -> Installed {
    let folders: Vec<String> =
        folders(root, path).into_iter().filter(|folder| root.is_folder(folder)).collect();
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
    let unlinked = || {
        let mut found = folders.iter().flat_map(|folder| versions(root, folder, "libEGL_nvidia.so."));
        found.next().map(|(file, _)| file)
    };
    let unlinked = libraries.egl_nvidia.is_none().then(unlinked).flatten();
    Installed { libraries, has_all: named("libc.so.6").is_some(), unlinked }
}

/// The files in a folder whose names begin with `name` and end with a version such as `550.54.14`, and the versions.
fn versions(root: Root<'_>, folder: &str, name: &str) -> Vec<(String, String)> {
    let version = |file: &str| {
        let version = file.strip_prefix(name)?;
        let is_version =
            version.contains('.') && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_version.then(|| version.to_owned())
    };
    let files = root.names(folder, MOST_VERSIONS, |file| version(file).is_some()).0;
    files.iter().filter_map(|file| Some((format!("{folder}/{file}"), version(file)?))).collect()
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
    first.iter().chain(&folders(root, None)).find_map(own)
}

/// Whether a library is not one of a toolkit: those of `compat` are for another driver, and those of `stubs` are for
/// linking alone.
fn is_of_driver(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with("compat") || part == "stubs")
}

/// The version of a library of the driver: its file is called `libEGL_nvidia.so.550.54.14`.
pub(super) fn version(root: Root<'_>, library: &str) -> Option<String> {
    let file = root.resolve(library)?;
    let (name, version) = file.rsplit_once(".so.")?;
    if version.contains('.') {
        return Some(version.to_owned());
    }
    // A copy of a machine can have a file in the place of the link.
    let (folder, name) = name.rsplit_once('/')?;
    match &versions(root, folder, &format!("{name}.so."))[..] {
        [(_, version)] => Some(version.clone()),
        _ => None,
    }
}

pub(super) fn folders(root: Root<'_>, path: Option<&str>) -> Vec<String> {
    let folder = "/etc/ld.so.conf.d";
    // Like the loader's tool, in the order of the names.
    let files = root.names(folder, MOST, |name| name.strip_suffix(".conf").is_some()).0;
    let files = files.iter().map(|file| format!("{folder}/{file}"));
    let files = ["/etc/ld.so.conf".to_owned()].into_iter().chain(files);
    let mut folders: Vec<String> = Vec::new();
    let path = path.unwrap_or_default().replace(':', "\n");
    for line in lines(&path).into_iter().chain(files.flat_map(|file| lines(&root.text(&file)))) {
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
