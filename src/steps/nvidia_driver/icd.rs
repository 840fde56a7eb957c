//! The small files that name a driver's libraries to the loaders of `OpenCL`, Vulkan and EGL. A host that only computes
//! does not have them, so NVIDIA's container toolkit cannot bring them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys::read;

/// A file, and the library that it names.
struct Icd {
    library: &'static str,
    /// Where such a file may be already: folders, and how its name begins.
    folders: &'static [&'static str],
    name: &'static str,
    /// Where it is written, and with which content.
    path: &'static str,
    content: &'static str,
}

/// All of them.
const ICDS: [Icd; 3] = [
    Icd {
        library: "libnvidia-opencl.so.1",
        folders: &["etc/OpenCL/vendors"],
        name: "nvidia",
        path: "etc/OpenCL/vendors/nvidia.icd",
        content: "libnvidia-opencl.so.1\n",
    },
    Icd {
        library: "libGLX_nvidia.so.0",
        // The names differ: nvidia_icd.json, nvidia_icd.x86_64.json.
        folders: &["etc/vulkan/icd.d", "usr/share/vulkan/icd.d"],
        name: "nvidia_icd",
        path: "etc/vulkan/icd.d/nvidia_icd.json",
        // The loader only asks whether this version is above 1.0.
        content: "{\n    \"file_format_version\": \"1.0.1\",\n    \"ICD\": {\n        \
                  \"library_path\": \"libGLX_nvidia.so.0\",\n        \"api_version\": \"1.2.0\"\n    }\n}\n",
    },
    Icd {
        library: "libEGL_nvidia.so.0",
        folders: &["etc/glvnd/egl_vendor.d", "usr/share/glvnd/egl_vendor.d"],
        name: "10_nvidia",
        path: "usr/share/glvnd/egl_vendor.d/10_nvidia.json",
        content: "{\n    \"file_format_version\": \"1.0.0\",\n    \"ICD\": {\n        \
                  \"library_path\": \"libEGL_nvidia.so.0\"\n    }\n}\n",
    },
];

/// Writes the files that are missing although `has` finds their libraries. Never changes an existing file. Returns the
/// paths that were written, and those that could not be, with the errors.
pub(super) fn repair(root: &Path, has: impl Fn(&str) -> bool) -> Vec<(String, io::Result<()>)> {
    let missing = ICDS.iter().filter(|icd| {
        let there = |folder: &&str| {
            let (names, _) = read::names_where(&root.join(folder), 1, |name| name.starts_with(icd.name));
            !names.is_empty()
        };
        !icd.folders.iter().any(there) && has(icd.library)
    });
    missing.map(|icd| (format!("/{}", icd.path), write(&root.join(icd.path), icd.content))).collect()
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(root: &Path, libraries: &[&str]) -> Vec<String> {
        let done = repair(root, |name| libraries.contains(&name));
        done.into_iter().map(|(path, result)| result.map(|()| path).unwrap()).collect()
    }

    #[test]
    fn missing_files_are_written_where_their_library_is_there() {
        let all = ["libnvidia-opencl.so.1", "libGLX_nvidia.so.0", "libEGL_nvidia.so.0"];
        let (opencl, vulkan, egl) = (
            "/etc/OpenCL/vendors/nvidia.icd",
            "/etc/vulkan/icd.d/nvidia_icd.json",
            "/usr/share/glvnd/egl_vendor.d/10_nvidia.json",
        );
        for (libraries, there, expected) in [
            (&all[..], &[][..], vec![opencl, vulkan, egl]),
            (&all[..1], &[], vec![opencl]),
            (&[], &[], vec![]),
            (&all, &["usr/share/vulkan/icd.d/nvidia_icd.x86_64.json"], vec![opencl, egl]),
            (&all, &["etc/glvnd/egl_vendor.d/10_nvidia.json"], vec![opencl, vulkan]),
            (&all, &["etc/vulkan/icd.d/radeon_icd.json"], vec![opencl, vulkan, egl]),
            (&all, &["etc/OpenCL/vendors/nvidia.icd"], vec![vulkan, egl]),
        ] {
            let root = tempfile::tempdir().unwrap();
            for file in there {
                let file = root.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "mine").unwrap();
            }
            assert_eq!(repaired(root.path(), libraries), expected, "{libraries:?}, {there:?}");
            assert_eq!(repaired(root.path(), libraries), [""; 0], "a second time: {libraries:?}, {there:?}");
            for file in there {
                assert_eq!(fs::read_to_string(root.path().join(file)).unwrap(), "mine");
            }
        }
    }

    #[test]
    fn what_is_written_names_the_library() {
        for icd in ICDS {
            let json: Option<serde_json::Value> = serde_json::from_str(icd.content).ok();
            let named = json.map_or(icd.content.trim().to_owned(), |json| {
                json["ICD"]["library_path"].as_str().unwrap().to_owned()
            });
            assert_eq!(named, icd.library);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_reported() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("etc"), "a file").unwrap();
        let done = repair(root.path(), |name| name == "libnvidia-opencl.so.1");
        assert!(matches!(&done[..], [(path, Err(_))] if path.ends_with("nvidia.icd")), "{done:?}");
    }
}
