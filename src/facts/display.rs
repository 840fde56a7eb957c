//! The facts for a display: devices, and displays that are in use.

use std::collections::BTreeSet;
use std::path::Path;

use crate::sys::read;

/// The programs that decide which kinds of display are possible.
pub const PROGRAMS: [&str; 3] = ["Xorg", "Xvfb", "vglrun"];

/// The devices behind a display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisplayFacts {
    /// NVIDIA's device nodes: `nvidiactl`, `nvidia0`.
    pub nvidia: Vec<String>,
    /// Direct rendering nodes: `card0`, `renderD128`.
    pub dri: Vec<String>,
    /// Whether AMD's compute device exists.
    pub kfd: bool,
    /// X displays whose sockets exist.
    pub taken: BTreeSet<u32>,
}

impl DisplayFacts {
    /// Probes below `root`, which is `/` except in tests.
    pub fn probe(root: &Path) -> Self {
        let mut nvidia = names(&root.join("dev"));
        nvidia.retain(|name| {
            name.strip_prefix("nvidia").is_some_and(|rest| rest == "ctl" || rest.parse::<u32>().is_ok())
        });
        let mut dri = names(&root.join("dev/dri"));
        dri.retain(|name| name.starts_with("card") || name.starts_with("renderD"));
        let taken = names(&root.join("tmp/.X11-unix"));
        let taken = taken.iter().filter_map(|name| name.strip_prefix('X')?.parse().ok()).collect();
        Self { nvidia, dri, kfd: root.join("dev/kfd").exists(), taken }
    }
}

/// The names in a folder that are text.
fn names(folder: &Path) -> Vec<String> {
    read::names(folder).into_iter().filter_map(|name| name.into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn devices_and_displays_are_found_below_a_folder() {
        let root = tempfile::tempdir().unwrap();
        for file in
            ["dev/nvidiactl", "dev/nvidia0", "dev/nvidia-modeset", "dev/dri/renderD128", "tmp/.X11-unix/X7"]
        {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let facts = DisplayFacts::probe(root.path());
        assert_eq!(facts.nvidia, ["nvidia0", "nvidiactl"]);
        assert_eq!(facts.dri, ["renderD128"]);
        assert_eq!(facts.taken, BTreeSet::from([7]));
        assert!(!facts.kfd);
    }
}
