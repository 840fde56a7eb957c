//! The sentences about lost GPUs: what happened, and the remedy. Pure.

use crate::facts::gpu::glance::Change;
use crate::facts::gpu::xid::{self, Effect};

/// What is worse than it was. The remedies against changed device rules are those of the manual of NVIDIA's container
/// toolkit (Troubleshooting, "Containers losing access to GPUs"): nodes that the engine itself was asked for are in the
/// rules that systemd keeps, and an engine that does without systemd's control groups is not concerned.
pub(super) fn change(name: &str, change: &Change) -> String {
    match change {
        Change::Gone => {
            format!(
                "{name} has left its bus: restart the host; the lines of NVRM or pcieport in dmesg there say why"
            )
        }
        Change::Unbound(driver) => format!(
            "the host's driver {driver} does not drive {name} any more: load the driver on the host (modprobe {driver}), \
             then restart the container"
        ),
        Change::Missing(nodes) => {
            format!("{name} is lost: {} has vanished: restart the container", list(nodes, "the device node"))
        }
        Change::Refused(nodes) => format!(
            "{name} is lost: the container may no longer open {} (Operation not permitted), because the host has loaded \
             the device rules anew, as after systemctl daemon-reload: restart the container{}",
            nodes.join(" and "),
            prevention(nodes)
        ),
        Change::Unregistered(node) => format!(
            "{name} is lost: {node} exists, but the host's driver has removed the device behind it: restart the \
             container; if that does not help, dmesg on the host says why"
        ),
        Change::Denied(why) => format!("{name} is lost: {why}"),
        Change::Failed(why) => {
            format!(
                "{name} is lost: {why}: restart the container; if that does not help, dmesg on the host says why"
            )
        }
    }
}

/// An error that the GPU reported.
pub(super) fn xid(name: &str, number: u64) -> String {
    let (effect, meaning) = xid::meaning(number);
    let meaning = meaning.map(|meaning| format!(" ({meaning})")).unwrap_or_default();
    let reported = format!("{name} reported Xid {number}{meaning}");
    match effect {
        Effect::Program => format!("{reported}: one program may have failed; the GPU works on"),
        Effect::Unknown => format!("{reported}; the GPU's driver is asked whether the GPU still works"),
        Effect::Reset => format!(
            "{reported}: programs on the GPU may fail or hang: run nvidia-smi --gpu-reset on the host when no program \
             uses the GPU, or restart the host"
        ),
        Effect::Lost => format!(
            "{reported}: restart the host; if it happens again, the GPU's slot, power or card may be faulty"
        ),
    }
}

/// How the device rules stay as they are. Nodes of DRM come from the engine in any case.
fn prevention(nodes: &[String]) -> String {
    let own: Vec<String> = nodes
        .iter()
        .filter(|node| node.starts_with("/dev/nvidia"))
        .map(|node| format!("--device {node}"))
        .collect();
    if own.is_empty() {
        return String::new();
    }
    format!(
        "; to prevent this, start the container with --device nvidia.com/gpu=all instead of --gpus all, or add {} and \
         the other nodes of NVIDIA's, or have Docker use the cgroup driver cgroupfs",
        own.join(" ")
    )
}

fn list(nodes: &[String], one: &str) -> String {
    format!("{one} {}", nodes.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_its_cause_and_a_remedy() {
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (cause, expected) in [
            (Change::Gone, "GPU (1) has left its bus: restart the host; "),
            (
                Change::Unbound("amdgpu".into()),
                "driver amdgpu does not drive GPU (1) any more: load the driver",
            ),
            (
                Change::Missing(nodes(&["/dev/nvidia0"])),
                "the device node /dev/nvidia0 has vanished: restart the container",
            ),
            (
                Change::Refused(nodes(&["/dev/nvidia0", "/dev/nvidiactl"])),
                "may no longer open /dev/nvidia0 and /dev/nvidiactl (Operation not permitted), because",
            ),
            (
                Change::Refused(nodes(&["/dev/nvidia0", "/dev/nvidiactl"])),
                "restart the container; to prevent this, start the container with --device nvidia.com/gpu=all instead of \
                 --gpus all, or add --device /dev/nvidia0 --device /dev/nvidiactl and",
            ),
            (Change::Unregistered("/dev/dri/card0".into()), "/dev/dri/card0 exists, but the host's driver"),
            (Change::Denied("no permission".into()), "GPU (1) is lost: no permission"),
            (Change::Failed("/dev/a: no".into()), "GPU (1) is lost: /dev/a: no: restart"),
        ] {
            let text = change("GPU (1)", &cause);
            assert!(text.contains(expected), "{text}");
        }
        let dri = change("GPU", &Change::Refused(nodes(&["/dev/dri/card0"])));
        assert!(dri.ends_with("systemctl daemon-reload: restart the container"), "{dri}");
    }

    #[test]
    fn each_error_has_its_meaning() {
        for (number, expected) in [
            (31, "GPU reported Xid 31 (memory page fault): one program may have failed; the GPU works on"),
            (
                62,
                "(an internal micro-controller halted): programs on the GPU may fail or hang: run nvidia-smi",
            ),
            (79, "GPU reported Xid 79 (GPU has fallen off the bus): restart the host; "),
            (4711, "GPU reported Xid 4711; the GPU's driver is asked"),
        ] {
            assert!(xid("GPU", number).contains(expected), "{}", xid("GPU", number));
        }
    }
}
