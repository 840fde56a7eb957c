//! CUDA's library for newer drivers, and device nodes: the boot steps with a machine of their own, which has a GPU of
//! NVIDIA's by its files, stand-ins for `libcuda.so.1`, and the real loader.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::world::{World, is_root, skipped, works};

const CUDA: &str = include_str!("drivers/cuda.c");

/// Mounts a machine over this one: `/etc` and `/usr/local` of its own, and the files of NVIDIA's driver. `/dev` is in
/// memory, as in a container, with what the test has put into `$D/nodes`.
const MACHINE: &str = r#"set -e
mount --make-rprivate /
mount --bind "$D/etc" /etc
mount --bind "$D/local" /usr/local
mount -t tmpfs tmpfs /proc/driver
cp -r "$D/proc/." /proc/driver
[ ! -f "$D/devices" ] || mount --bind "$D/devices" /proc/devices
mkdir -p "$D/dev"
mount -t tmpfs tmpfs "$D/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$D/dev"
. "$D/nodes"
mount --move "$D/dev" /dev
exec "$@"
"#;

/// The folder of a toolkit's library for older drivers.
fn compat(version: &str) -> String {
    format!("/usr/local/cuda-{version}/compat")
}

struct Machine {
    world: World,
}

/// A machine with a GPU of this name and a driver that offers CUDA 12.4; `None` where such a machine cannot be made.
fn machine(gpu: &str) -> Option<Machine> {
    if !is_root() {
        skipped("only root can mount a machine of its own");
        return None;
    }
    let mount = "mount -t tmpfs tmpfs /proc/driver && exec \"$@\"";
    if !works(&["unshare", "--mount", "sh", "-c", mount, "sh"]) {
        return None;
    }
    let mut world = World::new();
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", MACHINE, "sh"]);
    for folder in ["local", "driver", "proc/nvidia/gpus/0000:01:00.0"] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(world.path("etc")).status().unwrap();
    assert!(copied.success());
    let information = format!("Model: \t\t {gpu}\nGPU UUID: \t GPU-1\nDevice Minor: \t 0\n");
    world.write("proc/nvidia/gpus/0000:01:00.0/information", &information);
    world.write("nodes", "mknod -m 666 \"$D/dev/nvidia0\" c 195 0\n");
    let machine = Machine { world };
    machine.driver("550.54.14");
    // The driver's own library is in a folder that the loader knows.
    machine.world.compiled("driver/libcuda.so.1", CUDA, &["-shared", "-fPIC", "-DVERSION=12040"]);
    let folder = machine.world.path("driver").display().to_string();
    machine.world.write("etc/ld.so.conf.d/nvidia.conf", &format!("{folder}\n"));
    let (code, text) = machine.run(&[], &["ldconfig"]);
    assert_eq!(code, 0, "{text}");
    Some(machine)
}

impl Machine {
    /// Sets the version of the driver in the kernel.
    fn driver(&self, version: &str) {
        let banner = format!("NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Thu\n");
        self.world.write("proc/nvidia/version", &banner);
    }

    /// Installs a toolkit with a library for older drivers, which writes each of its starts to `starts`.
    fn toolkit(&self, version: &str, flags: &[&str]) {
        let number = version.replace('.', "0") + "0";
        let folder = format!("local/cuda-{version}/compat");
        fs::create_dir_all(self.world.path(&folder)).unwrap();
        let log = format!("-DLOG=\"{}\"", self.world.path("starts").display());
        let version = format!("-DVERSION={number}");
        let flags = [&["-shared", "-fPIC", &version, &log], flags].concat();
        self.world.compiled(&format!("{folder}/libcuda.so.590.44.01"), CUDA, &flags);
        let link = self.world.path(&format!("{folder}/libcuda.so.1"));
        let _ = std::os::unix::fs::symlink("libcuda.so.590.44.01", link);
    }

    /// Runs a program on the machine: its exit code and all of its output.
    fn run(&self, environment: &[(&str, &str)], words: &[&str]) -> (i32, String) {
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", MACHINE, "sh"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("D", self.world.path(""))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    fn step_with(&self, environment: &[(&str, &str)], disabled: bool) -> (i32, String) {
        let keys = json!({"disabled": disabled.to_string(), "limit": "1s"}).to_string();
        self.run(environment, &[env!("CARGO_BIN_EXE_desktopd"), "__step", "cuda", &keys])
    }

    /// Runs the step, which must end well; its output.
    fn step(&self) -> String {
        let (code, text) = self.step_with(&[], false);
        assert_eq!(code, 0, "{text}");
        text
    }

    /// The folder of the library that programs get by its name.
    fn loaded(&self) -> String {
        let (_, text) = self.run(&[], &["ldconfig", "-p"]);
        let line = text.lines().find(|line| line.trim().starts_with("libcuda.so.1 "));
        let path = line.and_then(|line| line.split("=> ").nth(1)).unwrap_or_default();
        path.trim().trim_end_matches("/libcuda.so.1").to_owned()
    }

    /// What the probe says about forward compatibility.
    fn probed(&self) -> Value {
        let (code, text) = self.run(&[], &[env!("CARGO_BIN_EXE_desktopd"), "probe", "--json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["nvidia"].clone()
    }

    /// The versions of the libraries that were started, in order.
    fn starts(&self) -> Vec<String> {
        self.world.read("starts").lines().map(str::to_owned).collect()
    }
}

#[test]
fn library_that_works_comes_first_and_is_not_tried_again() {
    let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &[]);
    let before = machine.probed();
    assert_eq!((&before["cuda_driver"], &before["compat"]["state"]), (&json!("12.4"), &json!("untried")));
    assert_eq!(before["toolkits"][0]["compat"], json!(compat("13.1")));
    let told = machine.step();
    assert!(told.contains("programs get CUDA 13.1 from /usr/local/cuda-13.1/compat"), "{told}");
    assert!(!told.contains("all the same"), "{told}");
    assert_eq!((machine.loaded(), machine.starts().len()), (compat("13.1"), 1));
    // The driver's own version is still known.
    let after = machine.probed();
    assert_eq!((&after["cuda_driver"], &after["compat"]["state"]), (&json!("12.4"), &json!("on")));
    let told = machine.step();
    assert!(told.contains("which worked here before"), "{told}");
    assert_eq!(machine.starts().len(), 1);
    // Another driver is another machine.
    machine.driver("560.1");
    machine.step();
    assert_eq!((machine.loaded(), machine.starts().len()), (compat("13.1"), 2));
    // A driver that offers enough, by its own library.
    machine.driver("590.1");
    machine.world.compiled("driver/libcuda.so.1", CUDA, &["-shared", "-fPIC", "-DVERSION=13010"]);
    let told = machine.step();
    assert!(told.contains("the driver offers CUDA 13.1, which is enough"), "{told}");
    assert!(!machine.world.path("etc/ld.so.conf.d/0-desktopd-cuda.conf").exists());
    assert!(machine.loaded().ends_with("/driver"), "{}", machine.loaded());
}

#[test]
fn next_toolkit_is_taken_where_the_newest_is_refused() {
    let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &["-DINIT=803"]);
    machine.toolkit("13.0", &[]);
    let told = machine.step();
    assert!(told.contains("803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"), "{told}");
    assert_eq!((machine.loaded(), machine.starts().len()), (compat("13.0"), 2));
}

#[test]
fn what_the_gpu_does_not_support_is_tried_once() {
    let Some(machine) = machine("NVIDIA RTX 6000 Ada Generation") else { return };
    machine.toolkit("13.1", &["-DINIT=804"]);
    let told = machine.step();
    assert!(told.contains("804 (CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE)"), "{told}");
    let told = machine.step();
    assert!(told.contains("use a host whose driver is 580 or newer"), "{told}");
    assert_eq!(machine.starts().len(), 1);
    assert!(machine.loaded().ends_with("/driver"), "{}", machine.loaded());
    assert_eq!(machine.probed()["compat"]["state"], "refused");
    // With another GPU it may work.
    let information = machine.world.read("proc/nvidia/gpus/0000:01:00.0/information");
    machine.world.write(
        "proc/nvidia/gpus/0000:01:00.0/information",
        &information.replace("RTX 6000 Ada Generation", "H100"),
    );
    machine.step();
    assert_eq!(machine.starts().len(), 2);
}

#[test]
fn failure_that_may_pass_is_tried_again() {
    for (flags, expected) in [
        (&["-DINIT=999"][..], "answers 999 (CUDA_ERROR_UNKNOWN)"),
        (&["-DCRASH"], "signal 11"),
        (&["-DHANG"], "printed nothing for 1s"),
    ] {
        let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
        machine.toolkit("13.1", flags);
        let told = machine.step();
        assert!(told.contains(expected), "{flags:?}: {told}");
        assert_eq!(machine.probed()["compat"]["state"], "untried");
        machine.step();
        assert_eq!(machine.starts().len(), 2, "{flags:?}");
        assert!(machine.loaded().ends_with("/driver"), "{}", machine.loaded());
    }
}

#[test]
fn gpus_of_consumers_are_never_tried() {
    let Some(machine) = machine("NVIDIA GeForce RTX 4090") else { return };
    machine.toolkit("13.1", &[]);
    let told = machine.step();
    assert!(told.contains("for datacenter GPUs, and NVIDIA GeForce RTX 4090 is none"), "{told}");
    assert_eq!(machine.starts(), [""; 0]);
}

#[test]
fn variable_removes_what_was_set() {
    let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &[]);
    machine.step();
    assert_eq!(machine.loaded(), compat("13.1"));
    let (code, told) = machine.step_with(&[], true);
    assert_eq!(code, 0, "{told}");
    assert!(machine.loaded().ends_with("/driver"), "{}", machine.loaded());
    // What was tried is still known.
    machine.step();
    assert_eq!((machine.loaded(), machine.starts().len()), (compat("13.1"), 2));
}

#[test]
fn library_path_that_names_another_library_is_reported() {
    let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &[]);
    let folder = machine.world.path("driver").display().to_string();
    let (_, told) = machine.step_with(&[("LD_LIBRARY_PATH", &folder)], false);
    assert!(told.contains("programs of the desktop get CUDA 12.4 all the same: "), "{told}");
}

#[test]
fn nothing_changes_while_the_drivers_version_is_unknown() {
    let Some(machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &[]);
    machine.world.compiled("driver/libcuda.so.1", "int nothing;", &["-shared", "-fPIC"]);
    machine.world.write("proc/nvidia/version", "");
    let (code, told) = machine.step_with(&[], false);
    assert_ne!(code, 0);
    assert!(told.contains("has no function cuDriverGetVersion: it is not CUDA's library"), "{told}");
    assert_eq!(machine.starts(), [""; 0]);
}

/// A service file that is shipped, without the services that come before it.
fn shipped(name: &str) -> String {
    let file = format!("{}/config/services/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("after = ")).collect();
    lines.join("\n")
}

#[test]
fn daemon_sets_the_library_before_what_comes_after_the_step() {
    let Some(mut machine) = machine("NVIDIA H100 80GB HBM3") else { return };
    machine.toolkit("13.1", &[]);
    machine.world.service("cuda", &shipped("cuda"));
    machine.world.service(
        "later",
        "command = [\"sh\", \"-c\", \"/sbin/ldconfig -p | grep libcuda.so.1 >@D/seen\"]\ntype = \"oneshot\"\n\
         after = [\"cuda\"]",
    );
    machine.world.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    machine.world.start();
    machine.world.until_up();
    assert!(machine.world.log("cuda").contains("programs get CUDA 13.1"), "{}", machine.world.log("cuda"));
    let seen = machine.world.read("seen");
    assert!(seen.lines().next().unwrap().ends_with("/usr/local/cuda-13.1/compat/libcuda.so.1"), "{seen}");
    let answer = machine.world.cli(&["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&answer.out).unwrap();
    let check = checks.iter().find(|check| check["check"] == "CUDA").unwrap();
    assert_eq!(check["result"], "ok", "{check}");
    machine.world.end();
}

#[test]
fn node_of_root_alone_is_opened_and_a_node_without_a_driver_is_not_left() {
    let Some(mut machine) = machine("NVIDIA GeForce RTX 4090") else { return };
    let world = &mut machine.world;
    world
        .write("nodes", "mknod -m 666 \"$D/dev/nvidia0\" c 195 0\nmknod -m 600 \"$D/dev/uinput\" c 10 223\n");
    // A number that no driver of this kernel has.
    world.write("devices", "Character devices:\n195 nvidia\n4001 nvidia-uvm\n\nBlock devices:\n");
    world.write("etc/group", "root:x:0:\nvideo:x:44:\nrender:x:109:\ninput:x:105:\n");
    world.service("device-nodes", &shipped("device-nodes"));
    world.service(
        "later",
        "command = [\"sh\", \"-c\", \"stat -c %a:%g /dev/uinput >@D/seen; ls /dev >>@D/seen\"]\n\
         type = \"oneshot\"\nafter = [\"device-nodes\"]",
    );
    world.start();
    world.until_up();
    let (seen, log) = (world.read("seen"), world.log("device-nodes"));
    assert!(seen.starts_with("660:105\n"), "{seen}{log}");
    assert!(!seen.contains("nvidia-uvm"), "{seen}{log}");
    assert!(log.contains("/dev/uinput: the group input may open it now"), "{log}");
    let refused =
        log.contains("no driver of the host is behind it") || log.contains("device rules refuse it");
    assert!(refused && log.contains("nvidia-modprobe -u -c=0"), "{log}");
    world.end();
}
