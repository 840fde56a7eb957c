//! CUDA in this container: the toolkits, what the driver offers to them, and whether a library for newer drivers
//! (forward compatibility) bridges the difference.
//!
//! NVIDIA's rules: a driver runs programs of every older toolkit; of a newer toolkit of the same major version with fewer
//! functions (minor-version compatibility); of a newer major version only with the libraries of the package `cuda-compat`,
//! which work on GPUs for datacenters alone (<https://docs.nvidia.com/deploy/cuda-compatibility/>).

use std::path::Path;

use super::compute::{Compat, State, Toolkit, Version};
use super::nvidia::{self, Shown};
use super::root::Root;
use super::trial::{FILE, Trial};
use super::{Gpu, Vendor, libraries};

/// Where toolkits are installed.
const PLACE: &str = "/usr/local";

/// How many toolkits are looked at.
const MOST: usize = 64;

/// What is looked at.
pub(super) struct Machine<'a> {
    /// Whether the container has an NVIDIA GPU.
    pub(super) has_gpu: bool,
    /// The version that the driver's own library offers, or why it is not known.
    pub(super) driver: Result<Version, String>,
    /// The driver's version in the kernel.
    pub(super) module: Option<&'a str>,
    /// The toolkits, the newest first.
    pub(super) toolkits: &'a [Toolkit],
    /// The names of NVIDIA's GPUs.
    pub(super) gpus: Vec<String>,
    /// The names as the driver's files in `/proc` have them, sorted: without NVML they are the same as with it.
    pub(super) listed: Vec<String>,
    /// The library that the loader takes.
    pub(super) library: Option<&'a str>,
    /// What was tried.
    pub(super) trials: Vec<Trial>,
}

/// The toolkits, the newest first.
pub(super) fn toolkits(root: Root<'_>) -> Vec<Toolkit> {
    let version = |name: &str| name.strip_prefix("cuda-").and_then(Version::parse);
    let names = root.names(PLACE, MOST, |name| version(name).is_some()).0;
    let toolkit = |name: String| {
        let (version, path) = (version(&name)?, format!("{PLACE}/{name}"));
        let compat = format!("{path}/compat");
        let has_library = root.is_node(&format!("{compat}/libcuda.so.1"));
        root.is_folder(&path).then_some(Toolkit { version, path, compat: has_library.then_some(compat) })
    };
    let mut toolkits: Vec<Toolkit> = names.into_iter().filter_map(toolkit).collect();
    toolkits.sort_by_key(|toolkit| std::cmp::Reverse(toolkit.version));
    toolkits
}

/// What was tried here before.
pub(super) fn trials(root: Root<'_>) -> Vec<Trial> {
    Trial::read(&root.text(FILE))
}

/// The names of NVIDIA's GPUs in the driver's files, sorted.
pub(super) fn listed(shown: &Shown) -> Vec<String> {
    let mut names: Vec<String> = shown.gpus.iter().filter_map(|gpu| gpu.name.clone()).collect();
    names.sort();
    names
}

/// A trial on this machine of the library in `folder`, without a result.
pub fn own_trial(folder: &str) -> Trial {
    let root = Root::new(Path::new("/"));
    let shown = Shown::read(root);
    trial(root, shown.module.as_deref(), &listed(&shown), folder)
}

/// The driver's own library of CUDA on this machine, in the folders `first` or in those of the loader.
pub fn own_library(first: &[String]) -> Option<String> {
    let root = Root::new(Path::new("/"));
    libraries::driver_cuda(root, nvidia::module(root).as_deref(), first)
}

/// A trial of the library in `folder`, without a result.
fn trial(root: Root<'_>, module: Option<&str>, gpus: &[String], folder: &str) -> Trial {
    let library = format!("{folder}/libcuda.so.1");
    Trial {
        driver: module.unwrap_or("unknown").to_owned(),
        gpus: gpus.to_vec(),
        library: root.resolve(&library).unwrap_or(library),
        result: 0,
    }
}

/// Whether GPUs of this name are sold to players and for workstations at home: NVIDIA's forward compatibility never works
/// on them. Of all other GPUs only CUDA itself knows.
pub(super) fn is_for_consumers(name: &str) -> bool {
    name.split([' ', '-']).any(|word| ["geforce", "titan"].contains(&word.to_lowercase().as_str()))
}

/// Judges.
pub(super) fn judge(root: Root<'_>, machine: &Machine<'_>) -> Compat {
    let file = root.exists(FILE);
    let plain = |state, reason| Compat { state, folders: Vec::new(), file, reason };
    let Some(newest) = machine.toolkits.first() else {
        return plain(State::NotNeeded, format!("there is no CUDA toolkit in {PLACE}"));
    };
    if !machine.has_gpu {
        return plain(State::NotNeeded, "there is no NVIDIA GPU".to_owned());
    }
    let driver = match &machine.driver {
        Ok(driver) => *driver,
        Err(why) => {
            return plain(State::Unknown, format!("the CUDA version of the driver is not known: {why}"));
        }
    };
    let toolkit = newest.version;
    if toolkit <= driver {
        return plain(
            State::NotNeeded,
            format!("the driver offers CUDA {driver}, which is enough for the toolkit {toolkit}"),
        );
    }
    let newer = machine.toolkits.iter().filter(|toolkit| toolkit.version > driver);
    let candidates: Vec<&Toolkit> = newer.filter(|toolkit| toolkit.compat.is_some()).collect();
    let folders: Vec<String> = candidates.iter().filter_map(|toolkit| toolkit.compat.clone()).collect();
    let folder = machine.library.and_then(|library| library.rsplit_once('/')).map(|(folder, _)| folder);
    if let Some(used) = candidates.iter().find(|toolkit| toolkit.compat.as_deref() == folder) {
        let reason = format!(
            "programs get CUDA {} from {}; the driver's own library offers {driver}",
            used.version,
            folder.unwrap_or_default()
        );
        return Compat { state: State::On, folders, file, reason };
    }
    let consumers = !machine.gpus.is_empty() && machine.gpus.iter().all(|name| is_for_consumers(name));
    let known = |folder: &String| {
        let wanted = trial(root, machine.module, &machine.listed, folder);
        machine.trials.iter().find(|known| known.is_same(&wanted) && known.is_final())
    };
    let refused: Vec<&Trial> = folders.iter().map_while(known).filter(|trial| !trial.worked()).collect();
    let obstacle = if folders.is_empty() {
        Some((State::Missing, format!("{} has no libraries for older drivers", newest.path)))
    } else if consumers {
        let name = machine.gpus.first().cloned().unwrap_or_default();
        Some((State::Refused, format!("forward compatibility is for datacenter GPUs, and {name} is none")))
    } else if refused.len() == folders.len() {
        Some((State::Refused, refused.first().map(|trial| trial.refusal()).unwrap_or_default()))
    } else {
        None
    };
    let gap = format!("the toolkit is CUDA {toolkit}, the driver offers {driver}");
    let Some((state, obstacle)) = obstacle else {
        let reason = format!("{gap}: the boot step cuda tries the libraries in {}", folders.join(", "));
        return Compat { state: State::Untried, folders, file, reason };
    };
    if toolkit.major == driver.major {
        let reason = format!(
            "{gap}: programs of the toolkit run, without functions that are newer than the driver (minor-version \
             compatibility); {obstacle}"
        );
        return Compat { state: State::MinorVersion, folders, file, reason };
    }
    let reason =
        format!("{gap}, and programs of that toolkit fail: {obstacle}; {}", remedy(machine, state, driver));
    Compat { state, folders, file, reason }
}

/// What helps where programs of the newest toolkit cannot run.
fn remedy(machine: &Machine<'_>, state: State, driver: Version) -> String {
    let Some(newest) = machine.toolkits.first() else { return String::new() };
    let version = newest.version;
    let mut remedies = Vec::new();
    if state == State::Missing && !machine.gpus.iter().all(|name| is_for_consumers(name)) {
        remedies.push(format!(
            "install the package cuda-compat-{}-{} in the image, for datacenter GPUs",
            version.major, version.minor
        ));
    }
    let older = machine.toolkits.iter().find(|toolkit| toolkit.version.major <= driver.major);
    remedies.extend(older.map(|toolkit| format!("use the toolkit in {}", toolkit.path)));
    remedies.push(match needed(version.major) {
        Some(needed) => format!("use a host whose driver is {needed} or newer"),
        None => "use a host with a newer driver".to_owned(),
    });
    remedies.join(", or ")
}

/// The oldest driver for toolkits of a major version, from NVIDIA's page about minor-version compatibility.
fn needed(major: u32) -> Option<u32> {
    [(11, 450), (12, 525), (13, 580)].iter().find(|(known, _)| *known == major).map(|(_, driver)| *driver)
}

/// The branches of the driver, each with the version of CUDA that it came with, from NVIDIA's release notes of CUDA.
const BRANCHES: [(u32, u32, u32); 21] = [
    (450, 11, 0),
    (455, 11, 1),
    (460, 11, 2),
    (465, 11, 3),
    (470, 11, 4),
    (495, 11, 5),
    (510, 11, 6),
    (515, 11, 7),
    (520, 11, 8),
    (525, 12, 0),
    (530, 12, 1),
    (535, 12, 2),
    (545, 12, 3),
    (550, 12, 4),
    (555, 12, 5),
    (560, 12, 6),
    (565, 12, 7),
    (570, 12, 8),
    (575, 12, 9),
    (580, 13, 0),
    (590, 13, 1),
];

/// The version that a driver offers, by its branch: for machines whose library was not asked. A branch between two known
/// ones offers at least what the older one does.
pub(super) fn of_branch(module: &str) -> Option<Version> {
    let branch: u32 = module.split('.').next()?.parse().ok()?;
    let (_, major, minor) = BRANCHES.iter().rev().find(|(known, ..)| *known <= branch)?;
    Some(Version { major: *major, minor: *minor })
}

/// The names of the NVIDIA GPUs that the container has.
pub(super) fn names(gpus: &[Gpu]) -> Vec<String> {
    let own = gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia && gpu.nodes.nvidia.is_some());
    own.filter_map(|gpu| gpu.name.clone()).collect()
}

#[cfg(test)]
mod tests;
