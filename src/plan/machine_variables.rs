//! Variables of services and shells that follow from the machine. A variable that a person set in any way wins.
//!
//! **Threads.** Libraries for computing start a thread for each core that they count, and a container sees all cores of
//! its host: with 4 of 64 cores the threads only wait for each other, and where the number of threads is limited they
//! fail (`OpenBLAS: pthread_create failed`, `Resource temporarily unavailable`).
//!
//! **GPUs.** `GPU_COUNT` limits programs that compute to the GPUs that the desktop uses.

use crate::config::Config;
use crate::facts::Facts;
use crate::facts::gpu::Vendor;

use super::display::{self, Asked};

/// What limits the threads of each library: OpenMP, OpenBLAS, Intel's MKL, numexpr, Numba, Rust's rayon and Tokio (which
/// download models for Hugging Face), and Mesa's llvmpipe.
const THREADS: [&str; 9] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "LP_NUM_THREADS",
];

/// The GPUs that CUDA and ROCm show to a program.
const CUDA: &str = "CUDA_VISIBLE_DEVICES";
const ROCM: &str = "ROCR_VISIBLE_DEVICES";

/// What people set to choose GPUs for ROCm. The numbers of the other variables count what the first one shows, so that two
/// of them together hide all GPUs.
const OF_ROCM: [&str; 4] = [ROCM, "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", CUDA];

/// Below so many threads for each visible core, programs that start one for each core reach the limit.
const FEW_TASKS: u64 = 16;

/// The most threads of one library where the number of all threads is limited.
const MOST_THREADS: u32 = 16;

/// Whether a variable may be one of these.
pub(super) fn is_one(name: &str) -> bool {
    THREADS.contains(&name) || [CUDA, ROCM].contains(&name)
}

/// The variables. `is_set` says whether a person set a variable.
pub(super) fn of(
    config: &Config,
    facts: &Facts,
    is_set: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let threads = threads(facts).map(|limit| limit.count.to_string());
    let threads = threads.iter().flat_map(|count| THREADS.map(|name| (name, count.clone())));
    let visible = visible(config, facts);
    let hidden = |name: &str| name == ROCM && OF_ROCM.iter().any(|name| is_set(name));
    threads.chain(visible).filter(|(name, _)| !is_set(name) && !hidden(name)).collect()
}

/// A limit of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threads {
    /// How many threads one library may start.
    pub count: u32,
    /// Why.
    pub reason: String,
}

/// How many threads libraries may start here, if they would start too many.
pub fn threads(facts: &Facts) -> Option<Threads> {
    let (visible, quota) = (facts.cpus.visible?, facts.cpus.quota);
    let tasks = facts.cpus.tasks.filter(|limit| *limit < u64::from(visible) * FEW_TASKS);
    let scarce = quota.filter(|quota| quota.saturating_mul(2) <= visible);
    let count = match (tasks, scarce) {
        (Some(_), _) => quota.unwrap_or(MOST_THREADS).min(MOST_THREADS),
        (None, quota) => quota?,
    };
    let of_cores = scarce.map(|quota| format!("the container may use {quota} of {visible} cores"));
    let of_tasks = tasks.map(|tasks| format!("may have {tasks} threads, with {visible} cores in sight"));
    let reason = match (of_cores, of_tasks) {
        (Some(cores), Some(tasks)) => format!("{cores}, and {tasks}"),
        (None, Some(tasks)) => format!("the container {tasks}"),
        (cores, None) => cores.unwrap_or_default(),
    };
    (count < visible).then(|| Threads { count: count.max(1), reason })
}

/// The GPUs of `GPU_COUNT` for CUDA and ROCm. With 0 the CPU draws, and computing is left alone. On a machine with GPUs of
/// both makers nothing is set, because HIP reads CUDA's variable as well.
fn visible(config: &Config, facts: &Facts) -> Vec<(&'static str, String)> {
    let asked = Asked::of(config);
    let gpus = &facts.gpus;
    let is_nvidia = |vendor: Vendor| vendor == Vendor::Nvidia;
    let both = gpus.kfd.gpus > 0 && gpus.gpus.iter().any(|gpu| is_nvidia(gpu.vendor));
    if asked.count.is_none_or(|count| count == 0) || both {
        return Vec::new();
    }
    let (kept, left_out) = display::counted(&asked, facts);
    let mut variables = Vec::new();
    if left_out.iter().any(|gpu| is_nvidia(gpu.vendor)) {
        let uuids: Option<Vec<&str>> =
            kept.iter().filter(|gpu| is_nvidia(gpu.vendor)).map(|gpu| gpu.uuid.as_deref()).collect();
        // CUDA's own numbers follow the speed of the GPUs, so only UUIDs are sure.
        let uuids = uuids.filter(|uuids| !uuids.is_empty());
        variables.extend(uuids.map(|uuids| (CUDA, uuids.join(","))));
    }
    let position = |pci: &Option<String>| gpus.kfd.order.iter().position(|own| Some(own) == pci.as_ref());
    if left_out.iter().any(|gpu| position(&gpu.pci).is_some()) {
        let mut numbers: Vec<usize> = kept.iter().filter_map(|gpu| position(&gpu.pci)).collect();
        numbers.sort_unstable();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        variables.extend((!numbers.is_empty()).then(|| (ROCM, numbers.join(","))));
    }
    variables
}

#[cfg(test)]
mod tests;
