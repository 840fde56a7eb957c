//! Checks of computing on GPUs: CUDA's toolkits, ROCm, device nodes, and the threads of libraries. Pure.

use crate::facts::gpu::compute::State;
use crate::facts::gpu::{Gpus, Vendor};
use crate::plan::Threads;

use super::check::{Check, Outcome};

/// What helps where a reason names no remedy.
const PROBE: &str = "desktopd probe --json shows what was found";

/// All of them. `disabled` is `DISABLE_FORWARD_COMPAT`.
pub(super) fn checks(gpus: &Gpus, disabled: bool, threads: Option<&Threads>) -> Vec<Check> {
    let nodes = gpus.repairs.iter().map(|repair| {
        let remedy = match &repair.action {
            Some(_) => format!("desktopd restart device-nodes; if that does not help, {}", repair.remedy),
            None => repair.remedy.clone(),
        };
        Check::bad("device node", Outcome::Warning, repair.lacks.clone(), remedy)
    });
    nodes.chain(cuda(gpus, disabled)).chain(rocm(gpus)).chain(threads.map(cores)).collect()
}

/// Nothing for a container without a toolkit.
fn cuda(gpus: &Gpus, disabled: bool) -> Option<Check> {
    const NAME: &str = "CUDA";
    let compat = &gpus.nvidia.compat;
    let has_gpu = gpus.gpus.iter().any(|gpu| gpu.vendor == Vendor::Nvidia && gpu.nodes.nvidia.is_some());
    if gpus.nvidia.toolkits.is_empty() || !has_gpu {
        return None;
    }
    let what = compat.reason.as_str();
    Some(match compat.state {
        State::NotNeeded | State::On | State::MinorVersion => Check::ok(NAME, what),
        State::Untried if disabled => {
            let gap = what.split(": ").next().unwrap_or_default();
            let what = format!("{gap}, and DISABLE_FORWARD_COMPAT leaves the library of the toolkit out");
            Check::bad(
                NAME,
                Outcome::Warning,
                what,
                "unset DISABLE_FORWARD_COMPAT and start the container anew",
            )
        }
        State::Untried => {
            let remedy = "desktopd logs cuda says what came of it, and desktopd restart cuda tries again";
            Check::bad(NAME, Outcome::Warning, what, remedy)
        }
        State::Missing | State::Refused | State::Unknown => {
            Check::of_reason(NAME, Outcome::Warning, what, PROBE)
        }
    })
}

/// Nothing for a container that has neither ROCm nor its device.
fn rocm(gpus: &Gpus) -> Option<Check> {
    const NAME: &str = "ROCm";
    let kfd = &gpus.kfd;
    let has_gpu = gpus.gpus.iter().any(|gpu| gpu.vendor == Vendor::Amd);
    let is_wanted = kfd.node || kfd.rocm.is_some() && has_gpu;
    if !is_wanted {
        return None;
    }
    if let Some(reason) = &kfd.reason {
        return Some(Check::of_reason(NAME, Outcome::Warning, reason, PROBE));
    }
    let count = if kfd.gpus == 1 { "1 GPU".to_owned() } else { format!("{} GPUs", kfd.gpus) };
    Some(Check::ok(
        NAME,
        match &kfd.rocm {
            Some(rocm) => {
                let version = rocm.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
                format!("{count} can compute, and ROCm{version} is here ({})", rocm.hsa)
            }
            None => format!("{count} can compute; ROCm is not in this image"),
        },
    ))
}

fn cores(Threads { count, reason }: &Threads) -> Check {
    let what = format!("{reason}: OMP_NUM_THREADS={count} and the like limit the threads of libraries");
    Check::ok("threads of libraries", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::gpu::compute::{Action, Compat, Repair, Rocm, Toolkit, Version};
    use crate::facts::gpu::{Gpu, Kfd, Nodes, Nvidia};

    fn gpu(vendor: Vendor) -> Gpu {
        Gpu {
            vendor,
            nodes: Nodes { nvidia: Some("/dev/nvidia0".into()), ..Nodes::default() },
            usable: true,
            ..Gpu::default()
        }
    }

    fn with(state: State, reason: &str) -> Gpus {
        let version = Version::parse("13.1").unwrap();
        let toolkit = Toolkit { version, path: "/usr/local/cuda-13.1".into(), compat: None };
        let compat = Compat { state, reason: reason.into(), ..Compat::default() };
        let nvidia = Nvidia { toolkits: vec![toolkit], compat, ..Nvidia::default() };
        Gpus { gpus: vec![gpu(Vendor::Nvidia)], nvidia, ..Gpus::default() }
    }

    #[test]
    fn each_state_of_cuda_has_its_outcome() {
        let gap = "the toolkit is CUDA 13.1, the driver offers 12.4";
        let untried = format!("{gap}: the boot step cuda tries it");
        let refused = format!("{gap}, and programs of that toolkit fail: no; use a host whose driver is 580");
        for (state, reason, disabled, outcome, remedy) in [
            (State::NotNeeded, "enough", false, Outcome::Ok, None),
            (State::On, "on", true, Outcome::Ok, None),
            (State::MinorVersion, "minor", false, Outcome::Ok, None),
            (State::Untried, &untried, false, Outcome::Warning, Some("desktopd logs cuda")),
            (State::Untried, &untried, true, Outcome::Warning, Some("unset DISABLE_FORWARD_COMPAT")),
            (State::Refused, &refused, false, Outcome::Warning, Some("use a host whose driver is 580")),
            (State::Unknown, "it crashed", false, Outcome::Warning, Some(PROBE)),
        ] {
            let found = cuda(&with(state, reason), disabled).unwrap();
            assert_eq!(found.result, outcome, "{found:?}");
            assert!(found.what.contains(reason.split(':').next().unwrap()), "{found:?}");
            assert_eq!(found.remedy.is_some(), remedy.is_some(), "{found:?}");
            assert!(remedy.is_none_or(|text| found.remedy.unwrap().starts_with(text)));
        }
        assert_eq!(cuda(&Gpus::default(), false), None);
    }

    #[test]
    fn rocm_is_named_where_it_or_its_device_is() {
        let rocm = Rocm { version: Some("6.2.0".into()), hsa: "/opt/rocm/lib/x".into(), hip: None };
        let works = Kfd { node: true, gpus: 2, ..Kfd::default() };
        let refused = Some("no node: start the container with --device /dev/kfd".to_owned());
        for (kfd, vendor, expected) in [
            (Kfd::default(), Vendor::Amd, None),
            (
                Kfd { rocm: Some(rocm.clone()), reason: refused.clone(), ..Kfd::default() },
                Vendor::Nvidia,
                None,
            ),
            (
                Kfd { rocm: Some(rocm.clone()), reason: refused, ..Kfd::default() },
                Vendor::Amd,
                Some((Outcome::Warning, "no node")),
            ),
            (works.clone(), Vendor::Amd, Some((Outcome::Ok, "2 GPUs can compute; ROCm is not"))),
            (Kfd { rocm: Some(rocm), ..works }, Vendor::Amd, Some((Outcome::Ok, "ROCm 6.2.0 is here"))),
        ] {
            let gpus = Gpus { gpus: vec![gpu(vendor)], kfd, ..Gpus::default() };
            let found = super::rocm(&gpus);
            assert_eq!(found.as_ref().map(|check| check.result), expected.map(|(outcome, _)| outcome));
            assert!(expected.is_none_or(|(_, text)| found.unwrap().what.contains(text)));
        }
    }

    #[test]
    fn a_node_has_the_hosts_command() {
        let repair = |action| Repair {
            node: "/dev/uinput".into(),
            lacks: "only root may open it".into(),
            action,
            remedy: "on the host run chmod".into(),
        };
        let repairs = vec![repair(None), repair(Some(Action::Open { group: "input".into() }))];
        let found = checks(&Gpus { repairs, ..Gpus::default() }, false, None);
        assert_eq!(found[0].remedy.as_deref(), Some("on the host run chmod"));
        assert!(found[1].remedy.as_ref().unwrap().starts_with("desktopd restart device-nodes"));
        let threads = Threads { count: 4, reason: "the container may use 4 of 64 cores".into() };
        let found = checks(&Gpus::default(), false, Some(&threads));
        assert!(found[0].what.starts_with("the container may use 4 of 64 cores: OMP_NUM_THREADS=4"));
    }
}
