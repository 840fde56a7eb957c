//! Tests of the limits of threads and of the GPUs that programs see.

use std::ffi::{OsStr, OsString};

use super::*;
use crate::facts::Cpus;
use crate::facts::gpu::{Gpu, Gpus, Kfd};
use crate::plan::tests::{config, facts};
use crate::plan::{Plan, Unit};

fn with(visible: u32, quota: Option<u32>, tasks: Option<u64>) -> Facts {
    Facts { cpus: Cpus { visible: Some(visible), quota, tasks }, ..facts() }
}

#[test]
fn threads_are_limited_where_a_thread_for_each_core_is_too_many() {
    for (visible, quota, tasks, expected) in [
        // Nothing is limited, or hardly.
        (64, None, None, None),
        (64, Some(64), Some(1024), None),
        (64, Some(48), None, None),
        (2, None, Some(4096), None),
        (2, Some(2), Some(20), None),
        // Few cores.
        (64, Some(32), None, Some(32)),
        (64, Some(4), None, Some(4)),
        (4, Some(1), None, Some(1)),
        // Few threads, with and without a limit of cores.
        (384, Some(46), Some(1024), Some(16)),
        (384, None, Some(1024), Some(16)),
        (384, Some(8), Some(1024), Some(8)),
        (64, Some(60), Some(1023), Some(16)),
    ] {
        let found = threads(&with(visible, quota, tasks));
        assert_eq!(found.as_ref().map(|limit| limit.count), expected, "{visible} {quota:?} {tasks:?}");
        assert!(found.is_none_or(|limit| limit.reason.starts_with("the container may ")));
    }
    assert_eq!(threads(&facts()), None);
    let both = threads(&with(384, Some(46), Some(1024))).unwrap().reason;
    assert_eq!(
        both,
        "the container may use 46 of 384 cores, and may have 1024 threads, with 384 cores in sight"
    );
}

fn planned(variables: &[(&str, &str)], facts: &Facts) -> Unit {
    let plan = Plan::build(&config(variables, "", &[("app", "command = [\"app\"]")]), facts);
    plan.unit("app").unwrap().clone()
}

fn value(unit: &Unit, name: &str) -> Option<String> {
    unit.launch.env.get(OsStr::new(name)).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn a_persons_variable_wins_also_in_a_file_that_is_read_at_the_start() {
    let few = with(64, Some(4), None);
    let unit = planned(&[("OMP_NUM_THREADS", "9")], &few);
    assert_eq!(value(&unit, "OMP_NUM_THREADS").as_deref(), Some("9"));
    assert_eq!(value(&unit, "MKL_NUM_THREADS").as_deref(), Some("4"));
    let fixed = &unit.launch.env_files.as_ref().unwrap().fixed;
    assert!(!fixed.iter().any(|name| is_one(name)), "{fixed:?}");
    let free = planned(&[], &with(64, None, None));
    assert!(!free.launch.env.keys().any(|name: &OsString| name.to_str().is_some_and(is_one)));
}

fn gpu(vendor: Vendor, number: u32) -> Gpu {
    Gpu {
        vendor,
        pci: Some(format!("0000:0{number}:00.0")),
        uuid: (vendor == Vendor::Nvidia).then(|| format!("GPU-{number}")),
        usable: true,
        ..Gpu::default()
    }
}

fn machine(gpus: Vec<Gpu>) -> Facts {
    let own = gpus.iter().filter(|gpu| gpu.vendor == Vendor::Amd);
    // ROCm's order is not that of the addresses.
    let order: Vec<String> = own.rev().filter_map(|gpu| gpu.pci.clone()).collect();
    let kfd = Kfd { gpus: u32::try_from(order.len()).unwrap(), order, ..Kfd::default() };
    Facts { gpus: Gpus { gpus, kfd, ..Gpus::default() }, ..facts() }
}

#[test]
fn gpu_count_limits_cuda_and_rocm_to_the_same_gpus() {
    let nvidia = |count| machine((1..=count).map(|number| gpu(Vendor::Nvidia, number)).collect());
    let amd = |count| machine((1..=count).map(|number| gpu(Vendor::Amd, number)).collect());
    let mut nameless = nvidia(2);
    nameless.gpus.gpus[0].uuid = None;
    let both = machine(vec![gpu(Vendor::Nvidia, 1), gpu(Vendor::Amd, 2)]);
    for (variables, facts, cuda, rocm) in vec![
        (&[][..], nvidia(4), None, None),
        (&[("GPU_COUNT", "2")], nvidia(4), Some("GPU-1,GPU-2"), None),
        (&[("GPU_COUNT", "4")], nvidia(4), None, None),
        (&[("GPU_COUNT", "0")], nvidia(4), None, None),
        (&[("GPU_COUNT", "1"), ("CUDA_VISIBLE_DEVICES", "3")], nvidia(4), Some("3"), None),
        // VGL_DISPLAY chooses what draws, and not what computes.
        (&[("GPU_COUNT", "1"), ("VGL_DISPLAY", "/dev/dri/card7")], nvidia(2), Some("GPU-1"), None),
        (&[("GPU_COUNT", "1")], nameless, None, None),
        (&[("GPU_COUNT", "2")], amd(3), None, Some("1,2")),
        (&[("GPU_COUNT", "2"), ("HIP_VISIBLE_DEVICES", "0")], amd(3), None, None),
        (&[("GPU_COUNT", "1")], both, None, None),
    ] {
        let unit = planned(variables, &facts);
        let found = (value(&unit, CUDA), value(&unit, ROCM));
        assert_eq!(found, (cuda.map(str::to_owned), rocm.map(str::to_owned)), "{variables:?}");
    }
}
