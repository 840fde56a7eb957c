//! GPUs that are lost while the daemon runs, or answer late: noticed when the machine is used, shown everywhere, and the
//! desktop stays as long as it works. Stand-ins for NVML and EGL say what the GPU says, and the kernel's own device
//! rules take a node away.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::daemon::display::{problems, starts, until_display, world};
use crate::daemon::drivers::{EGL, NVML};
use crate::daemon::world::{World, descendants, free_port, is_root, pid_of, skipped, until, works};

const GPU: &str = "NVIDIA Test GPU (0000:a1:00.0)";
const VIRTUALGL: &str = "Xvfb with VirtualGL on NVIDIA Test GPU (0000:a1:00.0), on :0";
const XORG: &str = "Xorg with the GPU's driver on NVIDIA Test GPU (0000:a1:00.0), on :0";
const LLVMPIPE: &str = "Xvfb with llvmpipe on :0";

/// The number of NVIDIA's devices in the kernel.
const MAJOR: u32 = 195;

/// A machine with one GPU of NVIDIA's on which a desktop runs. `/dev` and the drivers' folders are the daemon's own. While
/// the file `refuses` exists, the GPU does not draw; while `gone` exists, NVML calls it lost; while `cold` exists, neither
/// library answers. What is written into `events` is what NVML's wait for events gets.
pub fn machine(display: &str) -> Option<(World, File)> {
    if !is_root() || !works(&["unshare", "--mount"]) || !Path::new("/proc/driver").exists() {
        skipped("only root can make another /dev and /proc/driver");
        return None;
    }
    let mut world = world("works");
    fs::create_dir(world.path("lib")).unwrap();
    fs::create_dir_all(world.path("driver/nvidia")).unwrap();
    world.write("driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05\n");
    let file = |name: &str| world.path(name).display().to_string();
    let named = |name: &str, path: &str| format!("-D{name}=\"{}\"", file(path));
    let nvml =
        [named("GONE", "gone"), named("COLD", "cold"), named("EVENTS", "events"), named("STUCK", "stuck")];
    let mut flags = vec!["-shared", "-fPIC", "-DGPUS=1"];
    flags.extend(nvml.iter().map(String::as_str));
    world.compiled("lib/libnvidia-ml.so.1", NVML, &flags);
    world.compiled(
        "lib/libEGL.so.1",
        EGL,
        &["-shared", "-fPIC", "-DDEVICES=\"g\"", &named("REFUSES", "refuses"), &named("COLD", "cold")],
    );
    for library in ["libEGL_nvidia.so.0", "libGLX_nvidia.so.0"] {
        world.write(&format!("lib/{library}"), "");
    }
    world.script("bin/vglrun", "#!/bin/sh\nexec \"$@\"\n");
    mkfifo(&world.path("events"), Mode::from_bits_truncate(0o600)).unwrap();
    // Open for both, so that no write waits for a reader.
    let events = File::options().read(true).write(true).open(world.path("events")).unwrap();
    // A node with NVIDIA's number cannot be opened here; the control node is opened, so it has the number of /dev/null.
    let script = format!(
        r#"
        mkdir -p "$D/dev" && mount -t tmpfs none "$D/dev" && cp -ax /dev/null /dev/zero /dev/random /dev/urandom "$D/dev"
        cp -a /dev/null "$D/dev/nvidiactl" && mknod -m 666 "$D/dev/nvidia0" c {MAJOR} 0 && mount --bind "$D/dev" /dev
        mount -t tmpfs none /usr/local && mkdir -p /usr/local/nvidia/lib64 && cp "$D"/lib/*.so.? /usr/local/nvidia/lib64
        mount --bind "$D/driver" /proc/driver
        [ -z "$GROUP" ] || echo $$ > "$GROUP/cgroup.procs"
        exec "$@""#
    );
    let library_path = file("lib");
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", &script, "sh"]);
    world.env("LD_LIBRARY_PATH", library_path).env("DESKTOPD_DISPLAY", display);
    Some((world, events))
}

/// A control group with device rules of its own, below which the daemon runs.
struct DeviceRules(PathBuf);

impl DeviceRules {
    /// `None` where the kernel's rules for devices have no files (version 2 of control groups) or may not be written.
    fn new() -> Option<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/devices/desktopd-test-{}", free_port()));
        fs::create_dir(&path).ok()?;
        let rules = Self(path);
        rules.0.join("devices.deny").exists().then_some(rules)
    }

    fn set(&self, file: &str) {
        fs::write(self.0.join(file), format!("c {MAJOR}:* rwm")).unwrap();
    }
}

impl Drop for DeviceRules {
    fn drop(&mut self) {
        // A process that was killed stays in the group until it has been collected.
        until("the control group is empty", || fs::remove_dir(&self.0).or_else(gone).ok());
    }
}

fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn lost(status: &Value) -> Vec<String> {
    serde_json::from_value(status["gpus_lost"].clone()).unwrap()
}

/// Waits until the GPU is lost for this reason.
fn until_lost(world: &World, reason: &str) -> Value {
    world.until(reason, |status| lost(status).iter().any(|lost| lost.contains(reason)))
}

fn until_back(world: &World) -> Value {
    world.until("the GPU is back", |status| lost(status).is_empty())
}

/// The processes that wait for the GPU's errors.
fn waiting(world: &World) -> Vec<i32> {
    let waits = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__probe\0xids"))
    };
    descendants(world.pid()).into_iter().filter(waits).collect()
}

#[test]
fn device_rules_that_take_the_gpu_away_are_noticed_and_the_desktop_stays() {
    let Some(rules) = DeviceRules::new() else {
        return skipped("the kernel's device rules cannot be changed by files here");
    };
    let Some((mut world, _events)) = machine("auto") else { return };
    world.env("GROUP", &rules.0).start();
    until_display(&world, VIRTUALGL);
    let server = world.unit("xvfb");

    // What systemctl daemon-reload does on the host, and what it means for programs that are started now.
    rules.set("devices.deny");
    world.write("refuses", "");
    let status =
        until_lost(&world, "the container may no longer open /dev/nvidia0 (Operation not permitted)");
    let sentence = &lost(&status)[0];
    assert!(sentence.starts_with(&format!("{GPU} is lost: ")), "{sentence}");
    assert!(
        sentence.contains("systemctl daemon-reload: restart the container; to prevent this"),
        "{sentence}"
    );
    let stays = format!("the display stays {VIRTUALGL}, so that open programs are not lost");
    let status = world.until("the drivers were asked", |status| status["display_next"] == LLVMPIPE);
    let told = problems(&status);
    assert!(told[0] == *sentence && told.iter().any(|problem| problem.starts_with(&stays)), "{told:?}");
    world.until_said(&format!("error: {sentence}"));
    world.until_said(&format!("warning: {stays}"));
    assert!(world.page().contains(&format!("\nproblem: {sentence}\n")));
    assert_eq!(world.tell(&["events"]).matches(&format!("  {sentence}\n")).count(), 1);
    let doctor = world.cli(&["doctor"]).out;
    assert!(doctor.contains("problem  GPU lost") && doctor.contains("-> restart the container"), "{doctor}");
    assert_eq!((world.unit("xvfb")["pid"].clone(), starts(&world, "Xvfb")), (server["pid"].clone(), 1));
    // A change of a file does not move the desktop either.
    world.service("other", "@polite");
    world.tell(&["reload"]);
    world.until_state("other", "ready");
    assert_eq!(world.unit("xvfb")["pid"], server["pid"]);

    // A restart leads to a display that works.
    world.tell(&["restart", "--wait", "x-server"]);
    let status = until_display(&world, LLVMPIPE);
    assert_eq!((&status["display_next"], lost(&status).len()), (&"".into(), 1));

    // The GPU comes back in the same way.
    fs::remove_file(world.path("refuses")).unwrap();
    rules.set("devices.allow");
    until_back(&world);
    world.until("the drivers were asked", |status| status["display_next"] == VIRTUALGL);
    assert!(world.tell(&["events"]).contains(&format!("  {GPU} can be used again\n")));
    world.tell(&["restart", "--wait", "x-server"]);
    assert_eq!(problems(&until_display(&world, VIRTUALGL)), [""; 0]);
    world.end();
}

#[test]
fn errors_of_the_gpu_are_reported_and_a_gpu_that_draws_is_not_lost() {
    let Some((mut world, mut events)) = machine("auto") else { return };
    world.start();
    until_display(&world, VIRTUALGL);
    writeln!(events, "31").unwrap();
    world.until_said(&format!(
        "{GPU} reported Xid 31 (memory page fault): one program may have failed; the GPU works on"
    ));
    assert_eq!(lost(&world.status()), [""; 0]);
    // It halted, and does not draw any more.
    world.write("refuses", "");
    writeln!(events, "62").unwrap();
    until_lost(&world, "reported Xid 62 (an internal micro-controller halted)");
    world.until("the drivers were asked", |status| status["display_next"] == LLVMPIPE);
    assert_eq!(starts(&world, "Xvfb"), 1);
    // After a reset it draws; the next error is the occasion to see that.
    fs::remove_file(world.path("refuses")).unwrap();
    writeln!(events, "154").unwrap();
    let status = until_back(&world);
    assert_eq!(status["display"], VIRTUALGL);
    world.until("the display stays", |status| status["display_next"] == "" && problems(status).is_empty());
    world.end();
}

#[test]
fn desktop_of_xorg_on_a_gpu_that_fell_off_the_bus_is_moved_and_the_next_start_tries_again() {
    let Some((mut world, mut events)) = machine("xorg") else { return };
    world.start();
    until_display(&world, XORG);
    for file in ["refuses", "gone"] {
        world.write(file, "");
    }
    writeln!(events, "79").unwrap();
    let why = format!("{GPU} reported Xid 79 (GPU has fallen off the bus): restart the host");
    let status = world.until("the desktop is moved", |status| {
        status["display"].as_str().is_some_and(|display| display.starts_with(LLVMPIPE))
            && status["up"] == true
    });
    assert!(status["display"].as_str().unwrap().contains(&why), "{status:#}");
    assert!(lost(&status)[0].starts_with(&why), "{status:#}");
    let event = format!("  the display is {LLVMPIPE}: {why}");
    assert!(world.tell(&["events"]).contains(&event));
    // The host's restart repairs it, so the next start must not leave Xorg out.
    assert!(!world.path("state/display-failures").exists());
    world.end();
}

#[test]
fn display_that_fails_on_a_lost_gpu_is_tried_again_at_the_next_start() {
    for is_lost in [false, true] {
        let Some((mut world, mut events)) = machine("auto") else { return };
        world.start();
        until_display(&world, VIRTUALGL);
        if is_lost {
            world.write("refuses", "");
            writeln!(events, "62").unwrap();
            world.until("the drivers were asked", |status| status["display_next"] == LLVMPIPE);
        }
        let first = world.unit("xvfb");
        kill(Pid::from_raw(pid_of(&first)), Signal::SIGKILL).unwrap();
        let second = world.until_replaced("xvfb", &first);
        kill(Pid::from_raw(pid_of(&second)), Signal::SIGKILL).unwrap();
        world.until("the next display", |status| {
            status["display"].as_str().is_some_and(|display| display.starts_with(LLVMPIPE))
                && status["up"] == true
        });
        world.end();
        // What fails on a GPU that works is left out.
        assert_eq!(world.path("state/display-failures").exists(), !is_lost);
    }
}

#[test]
fn child_that_ends_is_started_again_and_only_while_the_gpu_draws() {
    let Some((mut world, mut events)) = machine("auto") else { return };
    world.start();
    until_display(&world, VIRTUALGL);
    let mut children = Vec::new();
    for _ in 0..3 {
        let child = until("a child waits", || {
            // Looking at the state is what starts the next one.
            world.status();
            waiting(&world).into_iter().find(|pid| !children.contains(pid))
        });
        children.push(child);
        writeln!(events, "crash").unwrap();
        until("the child has ended", || (!waiting(&world).contains(&child)).then_some(()));
    }
    assert_eq!(problems(&world.status()), [""; 0]);
    world.end();

    // On another display there is none.
    world.env("DESKTOPD_DISPLAY", "llvmpipe").start();
    until_display(&world, LLVMPIPE);
    assert_eq!(waiting(&world), [0; 0]);
    world.end();
}

#[test]
fn driver_that_answers_late_is_asked_again_and_a_desktop_that_is_up_stays() {
    let Some((mut world, _events)) = machine("auto") else { return };
    world.write("cold", "");
    world.start();
    until_display(&world, LLVMPIPE);
    let server = pid_of(&world.unit("xvfb"));
    fs::remove_file(world.path("cold")).unwrap();
    world.until("the driver has answered", |status| status["display_next"] == VIRTUALGL);
    assert_eq!(pid_of(&world.unit("xvfb")), server);
    world.tell(&["restart", "--wait", "x-server"]);
    assert_eq!(problems(&until_display(&world, VIRTUALGL)), [""; 0]);
    world.end();
}

#[test]
fn driver_that_answers_before_the_desktop_is_up_decides() {
    let Some((mut world, _events)) = machine("auto") else { return };
    for file in ["cold", "hold"] {
        world.write(file, "");
    }
    world.start();
    world.until_state("xvfb", "ready");
    fs::remove_file(world.path("cold")).unwrap();
    world.until("the driver has answered", |status| status["display"] == VIRTUALGL);
    fs::remove_file(world.path("hold")).unwrap();
    let status = until_display(&world, VIRTUALGL);
    assert_eq!((&status["display_next"], problems(&status)), (&"".into(), Vec::new()));
    world.end();
}
