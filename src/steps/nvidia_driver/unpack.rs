//! Takes out of the archive what a container needs: shared libraries and Xorg's modules, and nothing else.
//!
//! Only regular files are taken, and only by the last part of a name in one of the archive's own folders, so neither
//! `..` nor a link can lead out of the folder. Names that the kernel's module or the image own are left out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::facts::gpu::brought::FOLDER;
use crate::sys::read;

use super::archive::Limited;

/// The most entries that are looked at.
const ENTRIES: usize = 50_000;

/// The largest library. Bytes.
const LARGEST: u64 = 1 << 30;

/// Libraries that are the image's: the dispatchers of GLVND and `OpenCL`, which load NVIDIA's by their names.
const OF_THE_IMAGE: [&str; 9] = [
    "libEGL.so",
    "libGL.so",
    "libGLX.so",
    "libGLdispatch.so",
    "libGLESv1_CM.so",
    "libGLESv2.so",
    "libOpenGL.so",
    "libOpenCL.so",
    "libnvidia-gtk",
];

/// What is taken.
pub(super) struct Choice<'a> {
    /// The version of the driver.
    pub(super) version: &'a str,
    /// Whether programs of 32 bits can run here.
    pub(super) with_32: bool,
    /// Whether the container has a library of this name already, from the host.
    pub(super) has: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Choice<'_> {
    /// Where a file of the archive goes, below the folder of the driver; `None` if it is not needed.
    pub(super) fn place(&self, path: &str) -> Option<PathBuf> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let (folder, name) = match path.split_once('/') {
            None => ("lib64", path),
            Some(("32", name)) if self.with_32 => ("lib32", name),
            Some(_) => return None,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        if !name.bytes().all(plain) || name.starts_with('.') {
            return None;
        }
        if folder == "lib64" {
            if name == "nvidia_drv.so" {
                return Some("lib64/xorg/modules/drivers/nvidia_drv.so".into());
            }
            // Xorg looks for the name without the version.
            if name.strip_suffix(self.version) == Some("libglxserver_nvidia.so.") {
                return Some("lib64/xorg/modules/extensions/libglxserver_nvidia.so".into());
            }
        }
        let is_library =
            name.starts_with("lib") && (name.contains(".so.") || name.strip_suffix(".so").is_some());
        let of_the_image = OF_THE_IMAGE.iter().any(|start| name.starts_with(start));
        let there = folder == "lib64" && (self.has)(name);
        (is_library && !of_the_image && !there).then(|| Path::new(folder).join(name))
    }
}

/// Unpacks what is chosen into `target`, which must be empty. Returns the number of files.
pub(super) fn archive(archive: Limited, choice: &Choice<'_>, target: &Path) -> Result<usize, String> {
    let damaged = |error: io::Error| format!("its archive cannot be read: {error}");
    let mut archive = tar::Archive::new(archive);
    let mut count = 0;
    // Raw: without the extensions for long names, which would be kept in memory. No library has a long name.
    for (at, entry) in archive.entries().map_err(damaged)?.raw(true).enumerate() {
        let mut entry = entry.map_err(damaged)?;
        if at >= ENTRIES {
            return Err(format!("its archive has more than {ENTRIES} files, and no driver has"));
        }
        let header = entry.header();
        let regular = header.entry_type().is_file();
        let path = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let size = header.size().map_err(damaged)?;
        let Some(place) = choice.place(&path).filter(|_| regular) else { continue };
        if size > LARGEST {
            return Err(format!("{path} in its archive has {} GiB, and no library has", size >> 30));
        }
        write(&mut entry, &target.join(&place))
            .map_err(|error| format!("{path}: {}", in_words(&error, FOLDER)))?;
        count += 1;
    }
    archive.into_inner().finish().map_err(damaged)?;
    Ok(count)
}

/// The same from a folder with the content of the archive.
pub(super) fn tree(tree: &Path, choice: &Choice<'_>, target: &Path) -> Result<usize, String> {
    let mut count = 0;
    for below in ["", "32"] {
        let folder = if below.is_empty() { tree.to_owned() } else { tree.join(below) };
        for name in read::names(&folder).iter().filter_map(|name| name.to_str()) {
            let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let Some(place) = choice.place(&path) else { continue };
            // The links to libraries are made anew.
            let file = match read::open_itself(&folder.join(name)) {
                Ok(file) => file,
                Err(_) if folder.join(name).is_symlink() => continue,
                Err(error) => return Err(format!("{}: {error}", folder.join(name).display())),
            };
            let copied = write(&mut file.take(LARGEST), &target.join(place));
            copied
                .map_err(|error| format!("{}: {}", folder.join(name).display(), in_words(&error, FOLDER)))?;
            count += 1;
        }
    }
    Ok(count)
}

fn write(from: &mut impl Read, target: &Path) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o644).open(target)?;
    io::copy(from, &mut file)?;
    file.flush()
}

/// An error of writing in `folder`, with the remedy for a full disk.
pub(super) fn in_words(error: &io::Error, folder: &str) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{error}: a driver needs 2 GB; make room, or mount a volume at {folder}")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{error}: mount a volume at {folder}")
        }
        io::ErrorKind::AlreadyExists => "it is there twice".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_and_modules_of_the_driver_are_taken() {
        for (path, expected) in [
            ("./libGLX_nvidia.so.550.54.14", Some("lib64/libGLX_nvidia.so.550.54.14")),
            ("libEGL_nvidia.so.550.54.14", Some("lib64/libEGL_nvidia.so.550.54.14")),
            ("./libnvidia-egl-gbm.so.1.1.1", Some("lib64/libnvidia-egl-gbm.so.1.1.1")),
            ("./nvidia_drv.so", Some("lib64/xorg/modules/drivers/nvidia_drv.so")),
            (
                "./libglxserver_nvidia.so.550.54.14",
                Some("lib64/xorg/modules/extensions/libglxserver_nvidia.so"),
            ),
            ("./32/libGLX_nvidia.so.550.54.14", Some("lib32/libGLX_nvidia.so.550.54.14")),
            // The image's own.
            ("./libGL.so.1.7.0", None),
            ("./libEGL.so.550.54.14", None),
            ("./libGLdispatch.so.0", None),
            ("./libOpenCL.so.1.0.0", None),
            // Given by the host.
            ("./libcuda.so.550.54.14", None),
            ("./32/libcuda.so.550.54.14", Some("lib32/libcuda.so.550.54.14")),
            // No library.
            ("./nvidia-installer", None),
            ("./firmware/gsp_ga10x.bin", None),
            ("./kernel/nvidia/nv-kernel.o_binary", None),
            ("./10_nvidia.json", None),
            // Leads out.
            ("../libGLX_nvidia.so.550.54.14", None),
            ("./../libx.so", None),
            ("/etc/libx.so", None),
            ("32/../libx.so", None),
            ("./32/sub/libx.so.1", None),
            ("lib\u{0}x.so", None),
            ("lib x.so", None),
            ("..", None),
            ("", None),
        ] {
            let choice =
                Choice { version: "550.54.14", with_32: true, has: &|name| name == "libcuda.so.550.54.14" };
            assert_eq!(choice.place(path), expected.map(PathBuf::from), "{path}");
            let without = Choice { with_32: false, ..choice };
            let expected = expected.filter(|place| !place.starts_with("lib32"));
            assert_eq!(without.place(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
