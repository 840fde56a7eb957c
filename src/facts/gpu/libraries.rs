//! The libraries that drawing needs, found where the loader looks.

use std::path::Path;

use super::Libraries;
use super::brought::{self, GRAPHICS, XORG_GLX, XORG_MODULE};
use super::root::Root;
use crate::sys::with_timeout;

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

/// Below a folder of libraries: where Xorg looks for drivers and extensions, and where Debian and Ubuntu keep NVIDIA's.
const MODULES: [&str; 4] =
    ["xorg/modules/drivers", "xorg/modules/extensions", "nvidia/xorg", "nvidia/current"];

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
    /// What of the driver's graphics is in none of the folders, desktopd's own left out.
    pub(super) lacking: Vec<&'static str>,
}

/// Looks for all libraries: in the folders of `LD_LIBRARY_PATH`, as the loader does, then in the loader's own, and last
/// in what desktopd has brought, if that may be used.
pub(super) fn find(root: Root<'_>, library_path: &[String], with_brought: bool) -> Installed {
    let ours = format!("{}/{}", brought::FOLDER, brought::LIBRARIES);
    let mut folders = folders(root, library_path);
    // The loader's configuration names this folder, whatever is in there.
    folders.retain(|folder| !folder.starts_with(brought::FOLDER) && root.is_folder(folder));
    let there = |folders: &[String], name: &str| -> Option<String> {
        let below = if [XORG_MODULE, XORG_GLX].contains(&name) { &MODULES[..] } else { &["."] };
        let mut paths = folders.iter().flat_map(|folder| {
            below.iter().map(move |below| match *below {
                "." => format!("{folder}/{name}"),
                below => format!("{folder}/{below}/{name}"),
            })
        });
        paths.find(|path| root.is_node(path))
    };
    let lacking = GRAPHICS.into_iter().filter(|name| there(&folders, name).is_none()).collect();
    if with_brought {
        folders.push(ours);
    }
    let named = |name: &str| there(&folders, name);
    let libraries = Libraries {
        nvml: named("libnvidia-ml.so.1"),
        cuda: named("libcuda.so.1"),
        glx_nvidia: named("libGLX_nvidia.so.0"),
        egl_nvidia: named("libEGL_nvidia.so.0"),
        egl: named("libEGL.so.1"),
        gl: named("libGL.so.1"),
        nvenc: named("libnvidia-encode.so.1"),
        xorg_nvidia: named(XORG_MODULE),
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
    Installed { libraries, has_all: named("libc.so.6").is_some(), unlinked, lacking }
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
    first.iter().chain(&folders(root, &[])).find_map(own)
}

/// Whether a library is not one of a toolkit: those of `compat` are for another driver, and those of `stubs` are for
/// linking alone.
fn is_of_driver(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with("compat") || part == "stubs")
}

/// Whether the loader of this machine finds a library, in the folders of `LD_LIBRARY_PATH` or in the usual ones.
pub fn has_library(name: &str, library_path: &str) -> bool {
    let (name, path) = (name.to_owned(), brought::folders(library_path));
    let look = move || {
        let folders = folders(Root::new(Path::new("/")), &path);
        folders.iter().any(|folder| Path::new(folder).join(&name).is_file())
    };
    // A folder may be on a volume that does not answer.
    with_timeout(look).unwrap_or(false)
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

/// The folders in which the loader looks, in its order.
pub(super) fn folders(root: Root<'_>, library_path: &[String]) -> Vec<String> {
    let folder = "/etc/ld.so.conf.d";
    // Like the loader's tool, in the order of the names.
    let files = root.names(folder, MOST, |name| name.strip_suffix(".conf").is_some()).0;
    let files = files.iter().map(|file| format!("{folder}/{file}"));
    let files = ["/etc/ld.so.conf".to_owned()].into_iter().chain(files);
    let mut folders: Vec<String> = library_path.iter().take(MOST).cloned().collect();
    for line in files.flat_map(|file| lines(&root.text(&file))) {
        if folders.len() < 2 * MOST && !folders.contains(&line) {
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

    /// The host's own libraries come first, in the loader's order; what desktopd has brought comes last, and is not used
    /// in another version.
    #[test]
    fn the_library_path_comes_first_and_what_was_brought_last() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let ours = "/opt/nvidia-drivers/lib64";
        let put = |file: &str, text: &str| {
            let file = dir.path().join(&file[1..]);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        put("/etc/ld.so.conf.d/zz-nvidia-drivers.conf", ours);
        let glx = |path: &[String], with_brought| {
            let found = find(root, path, with_brought);
            (found.libraries.glx_nvidia.unwrap_or_default(), found.lacking)
        };
        put(&format!("{ours}/libGLX_nvidia.so.0"), "");
        put(&format!("{ours}/xorg/modules/drivers/nvidia_drv.so"), "");
        assert_eq!(glx(&[], true), (format!("{ours}/libGLX_nvidia.so.0"), GRAPHICS.to_vec()));
        let module = find(root, &[], true).libraries.xorg_nvidia;
        assert_eq!(module, Some(format!("{ours}/xorg/modules/drivers/nvidia_drv.so")));
        assert_eq!(glx(&[], false), (String::new(), GRAPHICS.to_vec()));
        put("/usr/lib64/libGLX_nvidia.so.0", "");
        put("/usr/lib64/xorg/modules/extensions/libglxserver_nvidia.so", "");
        let lacking = vec!["libEGL_nvidia.so.0", XORG_MODULE];
        assert_eq!(glx(&[], true), ("/usr/lib64/libGLX_nvidia.so.0".to_owned(), lacking.clone()));
        put("/driver/libGLX_nvidia.so.0", "");
        let path = ["/nothing".to_owned(), "/driver".to_owned()];
        assert_eq!(glx(&path, true), ("/driver/libGLX_nvidia.so.0".to_owned(), lacking));
    }

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
