//! What encodes the video on machines that are not at hand: all machines of `tests/machines` in one file,
//! `encoders.json`, each with its candidates in their order, `*` before the one that is chosen. `DESKTOPD_WRITE_DOCS=1`
//! writes the file anew, to be read line by line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use desktopd::config::{Config, Environment};
use desktopd::facts::Facts;
use desktopd::facts::gpu::{Answers, Nvml, NvmlDevice};
use desktopd::plan::encoder::{self, Decision};

use super::tree;

fn decision(root: &Path, environment: &[(&str, &str)], answers: &Answers) -> Decision {
    let pairs = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let env = Environment::new(pairs, &[], &mut Vec::new());
    let config = Config::read(PathBuf::from("/nowhere"), env, Vec::new());
    encoder::decide(&config, &Facts::probe(&config, root, answers))
}

#[test]
fn every_machine_has_the_expected_encoder() {
    let found: BTreeMap<String, Vec<String>> = tree::names()
        .into_iter()
        .map(|name| {
            let root = tree::unpack(&name);
            let decision = decision(root.path(), &[], &Answers::default());
            let lines = decision.candidates.iter().map(|one| {
                let mark = if one.taken { '*' } else { '-' };
                format!("{mark} {}: {}", one.title(), one.reason)
            });
            (name, lines.collect())
        })
        .collect();
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    let file = tree::folder().join("encoders.json");
    if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap());
}

/// The toolkit brings the encoder's library only where it was asked for.
#[test]
fn a_driver_without_its_part_for_video_names_the_variable() {
    for (asked, expected) in [
        (
            "NVIDIA_DRIVER_CAPABILITIES=all",
            "although NVIDIA_DRIVER_CAPABILITIES=all asks for it: install the driver's",
        ),
        (
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
            "because NVIDIA_DRIVER_CAPABILITIES=compute,utility lacks video: start the container with \
             NVIDIA_DRIVER_CAPABILITIES=all",
        ),
        (
            "OTHER=1",
            "is missing: start the container with NVIDIA_DRIVER_CAPABILITIES=all; if that does not bring it",
        ),
    ] {
        let root = tree::unpack("nvidia-complete");
        let libraries = root.path().join("usr/lib/x86_64-linux-gnu");
        fs::remove_file(libraries.join("libnvidia-encode.so.1")).unwrap();
        // Only where the C library is, all libraries were copied.
        fs::write(libraries.join("libc.so.6"), "").unwrap();
        let environ = root.path().join("proc/1/environ");
        let text = fs::read_to_string(&environ).unwrap();
        fs::write(&environ, text.replace("NVIDIA_DRIVER_CAPABILITIES=all", asked)).unwrap();
        let line = decision(root.path(), &[], &Answers::default()).line();
        assert!(line.starts_with("x264 (H.264) on the CPU; not NVENC on "), "{line}");
        assert!(
            line.contains(&format!("libnvidia-encode.so.1 is missing, {expected}"))
                || line.contains(expected),
            "{line}"
        );
    }
}

#[test]
fn one_of_several_equal_gpus_is_named() {
    let root = tree::unpack("eight");
    let line = decision(root.path(), &[], &Answers::default()).line();
    assert_eq!(line.matches("has no video encoder").count(), 1, "{line}");
}

/// The name is known from NVML alone where the kernel's files are hidden.
#[test]
fn a_gpu_for_computing_has_no_encoder_whatever_is_asked_for() {
    let root = tree::unpack("nvidia-compute-only");
    let device = NvmlDevice {
        name: Some("NVIDIA H200".into()),
        pci: Some("0000:00:1e.0".into()),
        minor: Some(0),
        ..NvmlDevice::default()
    };
    let nvml = Nvml { driver: "550.127.08".into(), cuda: None, devices: vec![device] };
    let answers = Answers { nvml: Some(Ok(nvml)), ..Answers::default() };
    for wish in ["h264enc", "nvh264enc", "nvav1enc"] {
        let line = decision(root.path(), &[("WEBRTC_ENCODER", wish)], &answers).line();
        assert!(line.contains("has no video encoder: choose another GPU"), "{line}");
    }
}
