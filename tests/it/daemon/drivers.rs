//! The drivers' libraries, asked in child processes: stand-ins for NVML and EGL that answer, fail, hang and crash,
//! loaded as the real ones are, and Mesa's real EGL.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::world::{World, descendants, is_root, skipped, until};

pub const NVML: &str = include_str!("drivers/nvml.c");
pub const EGL: &str = include_str!("drivers/egl.c");
const CUDA: &str = include_str!("drivers/cuda.c");

/// How long a command may take whose drivers need their whole time, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(6);

/// A world in which a stand-in is the first library in the library path.
fn with_library(name: &str, source: &str, flags: &[&str]) -> World {
    let mut world = World::new();
    let flags: Vec<&str> = ["-shared", "-fPIC"].iter().chain(flags).copied().collect();
    world.compiled(name, source, &flags);
    let folder = world.path("");
    world.env("LD_LIBRARY_PATH", folder);
    world
}

pub fn with_nvml(flags: &[&str]) -> World {
    with_library("libnvidia-ml.so.1", NVML, flags)
}

fn with_egl(devices: &str) -> World {
    with_library("libEGL.so.1", EGL, &[&format!("-DDEVICES=\"{devices}\"")])
}

/// The answer of `desktopd probe`, and how long the command took.
fn probe(world: &World, words: &[&str]) -> (Value, Duration) {
    let began = Instant::now();
    let told = world.tell(&[&["probe", "--json"], words].concat());
    (serde_json::from_str(&told).unwrap(), began.elapsed())
}

/// The lines with which the child answers about NVML.
fn lines(world: &World) -> Vec<Value> {
    lines_of(world, &["nvml"])
}

fn lines_of(world: &World, words: &[&str]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_desktopd"));
    let output = child.arg("__probe").args(words).env("LD_LIBRARY_PATH", world.path("")).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn nvml_names_each_gpu_with_address_minor_number_and_instances() {
    let world = with_nvml(&["-DGPUS=3", "-DLOST=1", "-DMIG=2"]);
    let gpu = |number: u32, mig: &[&str]| {
        json!({"gpu": {
            "name": "NVIDIA Test GPU", "uuid": format!("GPU-{number}"), "pci": format!("0000:a{}:00.0", number + 1),
            "minor": 2 - number, "mig": mig, "error": null,
        }})
    };
    let found = lines(&world);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found[0], json!({"driver": {"driver": "580.95.05", "cuda": "13.1", "count": 3}}));
    assert_eq!([&found[1], &found[3]], [&gpu(0, &[]), &gpu(2, &["MIG-100", "MIG-102", "MIG-103"])]);
    assert_eq!(found[2]["gpu"]["error"], "GPU is lost");
    assert_eq!(found[4], "done");
    // The whole program comes to the same.
    let (found, _) = probe(&world, &[]);
    assert_eq!((&found["nvidia"]["driver"], &found["nvidia"]["cuda"]), (&json!("580.95.05"), &json!("13.1")));
}

#[test]
fn no_devices_are_an_empty_list() {
    let found = lines(&with_nvml(&["-DGPUS=0"]));
    assert_eq!(
        found,
        [json!({"driver": {"driver": "580.95.05", "cuda": "13.1", "count": 0}}), json!("done")]
    );
}

#[test]
fn errors_of_a_gpu_are_reported_until_no_more_can_come() {
    for (flags, address, word, expected) in [
        (&[][..], "0000:a2:00.0", "lost", "GPU is lost"),
        // A library that does not wait must not keep the processor busy.
        (&[], "0000:a2:00.0", "late", "the provided timeout was reached"),
        (&[], "0000:a9:00.0", "", "a query to find an object was unsuccessful"),
        (
            &["-DNO_EVENTS"],
            "0000:a1:00.0",
            "",
            "the requested operation is not available on the target device",
        ),
        (&["-DINIT=999"], "0000:a1:00.0", "", "Unknown Error"),
    ] {
        let world = with_nvml(&[]);
        let events = world.path("events");
        nix::unistd::mkfifo(&events, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let named = format!("-DEVENTS=\"{}\"", events.display());
        let flags: Vec<&str> = ["-shared", "-fPIC", &named].iter().chain(flags).copied().collect();
        world.compiled("libnvidia-ml.so.1", NVML, &flags);
        // Open for both, so that no write waits for a reader.
        let mut pipe = fs::File::options().read(true).write(true).open(&events).unwrap();
        writeln!(pipe, "62\n79\n999\n{word}").unwrap();
        let found = lines_of(&world, &["xids", address]);
        let mut wanted = Vec::new();
        if !word.is_empty() {
            wanted = vec![json!("watching"), json!({"xid": 62}), json!({"xid": 79}), json!({"xid": 999})];
        }
        let last = found.last().unwrap()["failed"].as_str().unwrap();
        assert!(last.contains(expected), "{found:?}");
        assert_eq!(found[..found.len() - 1], wanted, "{flags:?}");
    }
}

#[test]
fn failed_nvml_has_its_words_in_the_reason() {
    for (flags, expected) in [
        (&["-DINIT=18"][..], "Driver/library version mismatch"),
        (&["-DINIT=9"], "Driver Not Loaded"),
        (&["-DINIT=999"], "Unknown Error"),
        (&["-DINIT=15"], "GPU is lost"),
        (&["-DCRASH"], "NVML's library crashed (signal SEGV); it printed: first; \\x1b[2Jlast words"),
        (&["-DHANG_INIT"], "NVML's library timed out after 2 s; it printed: waiting"),
        (&["-DFLOOD"], "NVML's library printed more than 1 MiB; it printed: "),
    ] {
        let world = with_nvml(flags);
        let (found, took) = probe(&world, &[]);
        let reason = found["nvidia"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(expected), "{flags:?}: {found:#}");
        assert!(took < LATE, "{flags:?}: {took:?}");
        assert!(reason.len() < 2000, "{reason}");
    }
}

#[test]
fn library_of_cuda_tells_its_version_and_how_it_starts() {
    for (flags, expected) in [
        (&["-DVERSION=12040"][..], json!([{"cuda-version": 12040}, {"cuda-started": 0}, "done"])),
        (&["-DVERSION=13010", "-DINIT=804"], json!([{"cuda-version": 13010}, {"cuda-started": 804}, "done"])),
        (&["-DVERSION=13010", "-DCRASH"], json!([{"cuda-version": 13010}])),
    ] {
        let world = with_library("libcuda.so.1", CUDA, flags);
        let mut child = Command::new(env!("CARGO_BIN_EXE_desktopd"));
        let library = world.path("libcuda.so.1");
        let output = child.args(["__probe", "cuda"]).arg(&library).arg("start").output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(Value::from(lines), expected, "{flags:?}");
    }
}

#[test]
fn damaged_nvml_is_a_reason() {
    let mut world = World::new();
    world.write("libnvidia-ml.so.1", "");
    let folder = world.path("");
    world.env("LD_LIBRARY_PATH", folder);
    let (found, _) = probe(&world, &[]);
    let reason = found["nvidia"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("libnvidia-ml.so.1 cannot be loaded: ") && reason.contains("file too short"),
        "{reason}"
    );
}

#[test]
fn probe_can_make_no_device_node_and_gets_no_secret() {
    let mut world = with_nvml(&["-DTALK"]);
    world.env("WEB_PASSWORD", "secret-of-this-test").env("HF_TOKEN", "hf_secret");
    let (found, _) = probe(&world, &[]);
    let reason = found["nvidia"]["reason"].as_str().unwrap();
    let (_, told) = reason.split_once("exit code 7 and gave no answer; it printed: ").unwrap();
    let (told, _) = told.split_once(')').unwrap();
    // What the library printed on standard output is no answer; it comes first here.
    let mut told: Vec<&str> = told.split("; ").skip(1).collect();
    let variables = told.split_off(2);
    let effective = told[0].split_ascii_whitespace().last().unwrap();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    let (mknod, sys_module) = (1 << 27, 1 << 16);
    assert_eq!(effective & (mknod | sys_module), 0, "{told:?}");
    if is_root() {
        assert_ne!(effective, 0, "{told:?}");
    }
    assert_eq!(told[1].split_ascii_whitespace().last(), Some("1"), "{told:?}");
    let names: Vec<&str> = variables.iter().map(|variable| variable.split('=').next().unwrap()).collect();
    assert_eq!(names, ["LD_LIBRARY_PATH", "MESA_SHADER_CACHE_DISABLE", "__GL_SHADER_DISK_CACHE"]);
}

#[test]
fn desktop_with_a_hanging_driver_starts_and_leaves_no_process() {
    let mut world = with_nvml(&["-DHANG_INIT"]);
    world.service("polite", "@polite");
    let began = Instant::now();
    world.spawn();
    // The portal does not wait for the driver.
    world.until("the daemon answers", |status| status["phase"] == "starting");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    world.until_up();
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    let asked = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__probe"))
    };
    until("the child has ended", || (!descendants(world.pid()).iter().any(asked)).then_some(()));
    // The same question is not asked again.
    let began = Instant::now();
    world.tell(&["reload"]);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn desktop_without_a_gpu_loads_no_driver() {
    let nodes = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia"];
    if nodes.iter().any(|node| Path::new(node).exists()) {
        return skipped("this machine has a GPU");
    }
    let mut world = World::new();
    let made = world.path("loaded");
    let flags = ["-shared", "-fPIC", "-DDEVICES=\"g\"", &format!("-DLOADED=\"{}\"", made.display())];
    world.compiled("libEGL.so.1", EGL, &flags);
    let folder = world.path("");
    world.env("LD_LIBRARY_PATH", folder);
    world.start();
    assert!(!made.exists());
    assert_eq!(world.cli(&["plan"]).code, 0);
    assert!(!made.exists());
    let (found, _) = probe(&world, &["--render"]);
    assert!(made.exists(), "{found:#}");
}

#[test]
fn devices_that_crash_or_hang_lose_only_themselves() {
    let world = with_egl("rgchxws");
    let (found, took) = probe(&world, &["--render"]);
    assert!(took < LATE, "{took:?}");
    let rendered = &found["rendered"];
    assert_eq!(rendered["reason"], Value::Null);
    let all = rendered["devices"].as_array().unwrap();
    let of = |name: &str| all.iter().map(|device| device[name].clone()).collect::<Vec<_>>();
    // VirtualGL counts only what could be initialized; that includes what fails later.
    let null = Value::Null;
    assert_eq!(
        of("index"),
        [null.clone(), json!(0), null.clone(), null.clone(), json!(1), json!(2), json!(3)]
    );
    assert_eq!(of("pixel"), [false, true, false, false, false, false, true].map(Value::from));
    assert_eq!(of("software"), [false, false, false, false, false, false, true].map(Value::from));
    assert_eq!(all[1]["renderer"], "Test GPU/PCIe");
    // An empty path is none.
    assert_eq!((&all[1]["card"], &all[1]["render"]), (&null, &json!("/dev/dri/renderD128")));
    assert_eq!((&all[1]["cuda"], &all[6]["cuda"], &all[6]["render"]), (&json!(1), &null, &null));
    for (at, expected) in [
        (0, "eglInitialize failed with 0x3001 (EGL_NOT_INITIALIZED)"),
        (2, "EGL's library crashed (signal SEGV)"),
        (3, "EGL's library timed out after 2 s"),
        (4, "EGL's library crashed (signal SEGV)"),
        (5, "came back with another color"),
    ] {
        let error = all[at]["error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{at}: {rendered:#}");
    }
    assert_eq!((&all[1]["error"], &all[6]["error"]), (&null, &null));
}

#[test]
fn egl_without_a_list_has_a_reason() {
    let reason =
        |world: &World| probe(world, &["--render"]).0["rendered"]["reason"].as_str().unwrap().to_owned();
    assert!(reason(&with_egl("")).contains("EGL lists no device: "));
    let crashing = with_library("libEGL.so.1", EGL, &["-DCRASH_IN_LIST"]);
    assert!(reason(&crashing).contains("EGL's library crashed (signal SEGV)"));
    let other = with_library("libEGL.so.1", "int nothing;", &[]);
    assert!(reason(&other).contains("libEGL.so.1 is not a library of EGL: "));
}

/// Mesa's llvmpipe: the software device that is there without any GPU.
fn is_drawn_by_mesa(world: &World) {
    let (found, _) = probe(world, &["--render"]);
    let devices = found["rendered"]["devices"].as_array().unwrap();
    let software = devices.iter().find(|device| device["render"].is_null()).unwrap();
    assert_eq!((&software["pixel"], &software["software"]), (&json!(true), &json!(true)), "{found:#}");
    assert!(software["renderer"].as_str().unwrap().contains("llvmpipe"), "{software}");
    assert_eq!(software["error"], Value::Null);
}

#[test]
fn mesa_draws_a_pixel_that_comes_back() {
    is_drawn_by_mesa(&World::new());
    if !is_root() {
        return skipped("only root can become another user");
    }
    let mut world = World::new();
    world.as_user(1000);
    is_drawn_by_mesa(&world);
    let left: Vec<_> =
        fs::read_dir(world.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name == ".cache"), "{left:?}");
}
