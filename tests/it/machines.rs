//! The probe of GPUs on machines that are not at hand. Each is a text in `tests/machines`, with the expected answer
//! beside it; `DESKTOPD_WRITE_DOCS=1` writes the answers anew, to be read line by line.

mod answers;
pub mod display;
mod encoder;
pub mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use desktopd::facts::gpu::{Answers, Gpus};
use serde_json::Value;

fn probe(name: &str, answers: &Answers) -> Gpus {
    let root = tree::unpack(name);
    Gpus::probe(root.path(), answers)
}

#[test]
fn every_machine_has_the_expected_answer() {
    let names = tree::names();
    assert!(names.len() >= 25, "{names:?}");
    tree::compare("probe", |root| Gpus::probe(root, &Answers::default()));
}

#[test]
fn the_answer_has_all_keys_of_the_contract() {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    // The last three have GPUs without a known driver.
    for name in
        ["nvidia-complete", "amd-unknown-gid", "virtio", "hyperv", "bhyve", "sandbox-amd", "nvidia-no-driver"]
    {
        let found = serde_json::to_value(probe(name, &Answers::default())).unwrap();
        let all = keys(&found);
        for key in ["gpus", "nvidia", "kfd", "libraries", "container"] {
            assert!(all.contains(key), "{name}: {key}");
        }
        for gpu in found["gpus"].as_array().unwrap() {
            let expected = [
                "vendor",
                "name",
                "pci",
                "uuid",
                "driver",
                "nodes",
                "egl",
                "cuda",
                "encoder",
                "encoder_reason",
                "usable",
                "reason",
            ];
            assert_eq!(keys(gpu), expected.map(str::to_owned).into(), "{name}");
            assert_eq!(keys(&gpu["nodes"]), ["nvidia", "card", "render"].map(str::to_owned).into(), "{name}");
            assert_eq!(keys(&gpu["driver"]), ["name", "version"].map(str::to_owned).into(), "{name}");
            assert!(gpu["usable"].is_boolean() && gpu["reason"].as_str().is_some_and(|text| text.len() > 20));
        }
    }
}

/// Each absence names what helps.
#[test]
fn every_gpu_that_cannot_be_used_has_a_reason() {
    for name in tree::names() {
        let found = probe(&name, &Answers::default());
        for gpu in &found.gpus {
            assert!(!gpu.reason.is_empty(), "{name}: {gpu:?}");
        }
        assert!(!found.gpus.is_empty() || found.reason.is_some(), "{name}");
        let kfd = found.kfd.gpus > 0 && found.kfd.node;
        assert!(kfd || found.kfd.reason.is_some(), "{name}");
    }
}

#[test]
fn folders_with_very_many_entries_cost_little() {
    let root = tree::unpack("amd-unknown-gid");
    let at = |path: &str| root.path().join(path);
    // Links are made faster than files; those of PCI and DRM all lead to the GPU.
    let device = "../../../devices/pci0000:00/0000:00:03.1/0000:09:00.0/0000:0a:00.0/0000:0b:00.0";
    let folders = [
        ("sys/bus/pci/devices", "%:00:00.0", device),
        ("sys/class/drm", "card%", "card0"),
        ("sys/class/kfd/kfd/topology/nodes", "%", "1"),
        ("proc/driver/nvidia/gpus", "%:00:00.0", "nothing"),
        ("dev", "nvidia%", "kfd"),
        ("dev/dri", "renderD%", "renderD128"),
        ("tmp/.X11-unix", "X%", "nothing"),
        ("etc/ld.so.conf.d", "%.conf", "nothing"),
    ];
    for (folder, name, target) in folders {
        fs::create_dir_all(at(folder)).unwrap();
        for number in 10_000..32_000 {
            symlink(target, at(folder).join(name.replace('%', &number.to_string()))).unwrap();
        }
    }
    let start = Instant::now();
    let found = Gpus::probe(root.path(), &Answers::default());
    let time = start.elapsed();
    println!("{time:?}");
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert!(found.reason.unwrap().contains("not all were looked at"));
}

#[test]
fn nothing_is_drawn_for_another_machine_and_the_answer_says_so() {
    let root = tree::unpack("amd-unknown-gid");
    let command = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_desktopd"));
        let done = command.args(["probe", "--json", "--root"]).arg(root.path()).args(more).output().unwrap();
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    assert_eq!(command(&[])["rendered"], Value::Null);
    let found = command(&["--render"]);
    assert!(found["rendered"]["reason"].as_str().unwrap().contains("another machine"), "{found:#}");
    assert_eq!(found["gpus"], command(&[])["gpus"]);
}

#[test]
fn files_that_would_block_a_reader_are_not_opened() {
    let root = tree::unpack("nvidia-complete");
    let device = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
    for file in [
        &format!("{device}/vendor"),
        &format!("{device}/class"),
        "proc/driver/nvidia/version",
        "proc/1/environ",
        "proc/1/status",
        "proc/mounts",
        "etc/group",
        "etc/ld.so.conf",
        "dev/nvidia0",
    ] {
        let file = root.path().join(file);
        // Some are not among the files of this machine.
        let _ = fs::remove_file(&file);
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let found = Gpus::probe(root.path(), &Answers::default());
    assert_eq!(found.gpus.len(), 1, "{found:?}");
    assert_eq!(found.gpus[0].nodes.nvidia.as_deref(), Some("/dev/nvidia0"));
}

#[test]
fn huge_files_are_read_in_part() {
    let root = tree::unpack("nvidia-complete");
    let text = "x".repeat(64 << 20);
    for file in ["proc/driver/nvidia/version", "proc/net/unix", "etc/group", "dev/nvidia0"] {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, &text).unwrap();
    }
    let start = Instant::now();
    let found = Gpus::probe(root.path(), &Answers::default());
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(found.gpus.len(), 1);
    assert_eq!(found.nvidia.module.as_deref(), Some("550.54.14"), "from /sys/module");
}
