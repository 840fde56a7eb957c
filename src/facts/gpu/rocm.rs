//! ROCm in this container: AMD's libraries for computing.

use super::compute::Rocm;
use super::libraries;
use super::root::Root;

/// Where AMD's packages install ROCm: `/opt/rocm`, and `/opt/rocm-6.2.0` for each of several versions.
const PLACE: &str = "/opt";

/// How many installations, and how many files of one folder, are looked at.
const MOST: usize = 512;

/// The installation that programs get first: AMD's own, else that of the distribution.
pub(super) fn find(root: Root<'_>) -> Option<Rocm> {
    let is_own = |name: &str| name == "rocm" || name.starts_with("rocm-");
    let own = root.names(PLACE, MOST, is_own).0.into_iter().map(|name| format!("{PLACE}/{name}"));
    let mut own = own.flat_map(|place| {
        let version = root.text(&format!("{place}/.info/version"));
        let version = Some(version.trim().to_owned()).filter(|version| !version.is_empty());
        ["lib", "lib64"].map(|lib| (format!("{place}/{lib}"), version.clone()))
    });
    let usual = || libraries::folders(root, &[]).into_iter().map(|folder| (folder, None));
    own.find_map(|(folder, version)| installed(root, &folder, version))
        .or_else(|| usual().find_map(|(folder, version)| installed(root, &folder, version)))
}

fn installed(root: Root<'_>, folder: &str, version: Option<String>) -> Option<Rocm> {
    let hsa = format!("{folder}/libhsa-runtime64.so.1");
    if !root.is_node(&hsa) {
        return None;
    }
    // Each major version has a name of its own, the newest comes last.
    let is_hip =
        |name: &str| name.strip_prefix("libamdhip64.so.").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let hip = root.names(folder, MOST, is_hip).0.pop().map(|name| format!("{folder}/{name}"));
    Some(Rocm { version, hsa, hip })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn amds_own_installation_comes_before_the_distributions() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let write = |path: &str, text: &str| {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(find(root), None);
        write("usr/lib/x86_64-linux-gnu/libhsa-runtime64.so.1", "");
        let found = find(root).unwrap();
        assert_eq!((found.version, found.hip), (None, None));
        write("opt/rocm-6.2.0/lib/libhsa-runtime64.so.1", "");
        write("opt/rocm-6.2.0/lib/libamdhip64.so.6", "");
        write("opt/rocm-6.2.0/lib/libamdhip64.so.6.2.60200", "");
        write("opt/rocm-6.2.0/.info/version", "6.2.0-66\n");
        let found = find(root).unwrap();
        assert_eq!(found.version.as_deref(), Some("6.2.0-66"));
        assert_eq!(found.hip.as_deref(), Some("/opt/rocm-6.2.0/lib/libamdhip64.so.6"));
        assert_eq!(found.hsa, "/opt/rocm-6.2.0/lib/libhsa-runtime64.so.1");
    }
}
