//! The step that brings what a host for computing lacks of NVIDIA's driver, in a real daemon: on a machine with the nodes
//! of a GPU and its kernel module, whose `/opt` and `/etc` are the test's own.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::daemon::world::{World, find, is_root, skipped, until, works};

const VERSION: &str = "550.54.14";

const SERVER: &str = r#"#!/bin/sh
echo "$1" >> "$D/starts"
exec "$D/polite" "$1" 3>&4 4>&-
"#;

/// Mounts: the version of the kernel's module, the nodes, `/opt`, with little room if `SMALL` is set, and a copy of `/etc`. The probe's own files in
/// `/etc/glvnd` are there, so that the step has nothing to write in `/usr`.
const MACHINE: &str = r#"
    set -e
    mount --bind "$D/driver" /proc/driver
    mkdir -p "$D/dev" "$D/etc"
    mount -t tmpfs none "$D/dev"
    cp -ax /dev/null /dev/zero /dev/random /dev/urandom "$D/dev"
    touch "$D/dev/nvidia0" "$D/dev/nvidia-modeset"
    # The probe opens it: as /dev/null.
    mknod -m 666 "$D/dev/nvidiactl" c 1 3
    mount --bind "$D/dev" /dev
    mount --bind "$D/opt" /opt
    [ -z "$SMALL" ] || mount -t tmpfs -o size=256k none /opt
    mount -t tmpfs none "$D/etc"
    cp -a /etc/. "$D/etc" 2> "$D/copied" || true
    mkdir -p "$D/etc/glvnd/egl_vendor.d"
    echo '{}' > "$D/etc/glvnd/egl_vendor.d/10_nvidia.json"
    mount --bind "$D/etc" /etc
    exec "$@""#;

/// Whether this machine can be turned into that one.
fn is_possible() -> bool {
    is_root()
        && works(&["unshare", "--mount"])
        && ["/proc/driver", "/opt"].iter().all(|path| fs::exists(path).unwrap())
}

/// A machine with an NVIDIA GPU, whose display is Xorg as soon as the driver is complete. A library of EGL that cannot be
/// loaded keeps the EGL of the tests' own machine from having a say.
fn world(source: &str, patience: &str) -> World {
    let mut world = World::new();
    for folder in ["bin", "lib", "opt", "driver/nvidia"] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    world.write("lib/libEGL.so.1", "none");
    world.write(
        "driver/nvidia/version",
        &format!("NVRM version: NVIDIA UNIX x86_64 Kernel Module  {VERSION}  Thu Feb 22 01:44:30 UTC 2024\n"),
    );
    for (name, program) in [("xorg", "Xorg"), ("xvfb", "Xvfb")] {
        world.script(&format!("bin/{program}"), &SERVER.replace("$1", program));
        world.service(
            name,
            &format!(
                "command = [\"{program}\"]\nprovides = [\"x-server\"]\nready = {{ kind = \"fd\" }}\nafter = [\"nvidia-driver\"]\n\
                 condition = [{{ display = \"{name}\" }}]\n[[listen]]\npath = \"@D/socket\""
            ),
        );
    }
    let step = include_str!("../../../config/services/nvidia-driver.toml");
    let step = step.replace("\"/var/cache/desktopd/nvidia-driver\"", "\"@D/cache\"");
    let step = step.replace("patience = \"20s\"", &format!("patience = \"{patience}\""));
    assert!(step.contains("@D/cache") && step.contains(&format!("patience = \"{patience}\"")));
    world.service("nvidia-driver", &step);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", path).env("NVIDIA_DRIVER_SOURCE", source);
    let libraries = world.path("lib");
    world.env("LD_LIBRARY_PATH", libraries);
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", MACHINE, "sh"]);
    world
}

/// NVIDIA's file, with small libraries.
fn run_file(world: &World) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, soname) in [
        (format!("libEGL_nvidia.so.{VERSION}"), "libEGL_nvidia.so.0"),
        (format!("libGLX_nvidia.so.{VERSION}"), "libGLX_nvidia.so.0"),
        ("nvidia_drv.so".to_owned(), "nvidia_drv.so"),
        (format!("libglxserver_nvidia.so.{VERSION}"), "libglxserver_nvidia.so"),
    ] {
        let made = world.compiled("library", "", &["-shared", "-nostdlib", &format!("-Wl,-soname,{soname}")]);
        tar.append_path_with_name(made, name).unwrap();
    }
    let arch = std::env::consts::ARCH;
    let label = format!("label=\"NVIDIA Accelerated Graphics Driver for Linux-{arch} {VERSION}\"");
    let mut bytes = format!("#!/bin/sh\nskip=4\n{label}\n").into_bytes();
    bytes.extend(tar.into_inner().unwrap().finish().unwrap());
    bytes
}

/// A server that answers each request with what the test sends; the address, and where the test sends.
fn server() -> (String, Sender<Option<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, answers) = channel();
    std::thread::spawn(move || serve(&listener, &answers));
    (url, sender)
}

fn serve(listener: &TcpListener, answers: &Receiver<Option<Vec<u8>>>) {
    let mut open: Vec<TcpStream> = Vec::new();
    for mut stream in listener.incoming().flatten() {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        // Ends with the test.
        let Ok(answer) = answers.recv() else { return };
        let (status, body) = answer.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        open.push(stream);
    }
}

const CPU: &str = "Xvfb with llvmpipe on :0";

fn is_on_gpu(display: &str) -> bool {
    display.starts_with("Xorg with the GPU's driver on ")
}

fn starts(world: &World) -> Vec<String> {
    world.read("starts").lines().map(str::to_owned).collect()
}

#[test]
fn the_desktop_begins_on_the_gpu_where_the_driver_comes_in_time_and_at_the_next_start() {
    if !is_possible() {
        return skipped("only root can make another /proc/driver");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(folder.path().to_str().unwrap(), "60s");
    let file = format!("NVIDIA-Linux-{}-{VERSION}.run", std::env::consts::ARCH);
    fs::write(folder.path().join(&file), run_file(&world)).unwrap();
    world.start();
    let status = world.until_up();
    assert!(is_on_gpu(status["display"].as_str().unwrap()), "{status:#}");
    assert_eq!(
        (starts(&world), find(&status, "nvidia-driver")["state"].clone()),
        (vec!["Xorg".to_owned()], "done".into())
    );
    world.end();
    // The source is away, and not needed.
    fs::remove_file(folder.path().join(&file)).unwrap();
    world.start();
    let status = world.until_up();
    assert!(is_on_gpu(status["display"].as_str().unwrap()), "{status:#}");
    let log = world.log("nvidia-driver");
    assert!(log.contains("all of it is in /opt/nvidia-drivers"), "{log}");
    assert_eq!(starts(&world), ["Xorg", "Xorg"]);
    // Programs find the libraries.
    let pid = world.inner_pid().to_string();
    let cached = Command::new("nsenter").args(["--mount", "--target", &pid, "/sbin/ldconfig", "-p"]).output();
    let cached = String::from_utf8(cached.unwrap().stdout).unwrap();
    assert!(cached.contains("/opt/nvidia-drivers/lib64/libEGL_nvidia.so.0"), "{cached}");
}

#[test]
fn a_desktop_that_runs_already_is_moved_by_a_person_and_not_by_the_download() {
    if !is_possible() {
        return skipped("only root can make another /proc/driver");
    }
    let (url, answer) = server();
    let mut world = world(&url, "10ms");
    let file = run_file(&world);
    world.start();
    // The desktop is up while the server is silent.
    let status = world.until_up();
    assert_eq!(status["display"], CPU);
    assert_eq!(find(&status, "nvidia-driver")["state"], "starting");
    let before = world.unit("xvfb");
    let says = |world: &World, text: &str| {
        let told = world.cli(&["probe"]).out;
        assert!(told.contains(text), "{text}: {told}");
    };
    says(&world, "desktopd is bringing them now (`desktopd logs -f nvidia-driver`)");

    // Neither place has the file.
    answer.send(None).unwrap();
    answer.send(None).unwrap();
    world.until_state("nvidia-driver", "failed");
    says(&world, "desktopd could not bring them: the server does not have it");
    let doctor = world.cli(&["doctor"]).out;
    assert!(doctor.contains("NVIDIA_DRIVER_SOURCE names a mirror"), "{doctor}");
    assert_eq!(world.status()["display"], CPU);

    // Another try has it.
    answer.send(Some(file)).unwrap();
    world.tell(&["restart", "nvidia-driver"]);
    let status = world.until("the driver is there", |status| status["display_next"] != "");
    assert_eq!(status["display"], CPU);
    assert!(status["display_next"].as_str().is_some_and(is_on_gpu), "{status}");
    let drawing = status["drawing"].as_str().unwrap();
    assert!(drawing.contains("`desktopd restart x-server` moves the desktop to Xorg"), "{drawing}");
    world.until_state("nvidia-driver", "done");
    assert_eq!(
        (world.unit("xvfb")["pid"].clone(), starts(&world)),
        (before["pid"].clone(), vec!["Xvfb".to_owned()])
    );
    // Other reloads do not move the desktop either.
    world.tell(&["reload"]);
    assert_eq!(world.unit("xvfb")["pid"], before["pid"]);

    world.tell(&["restart", "x-server"]);
    world.until("the desktop is on the GPU", |status| status["display"].as_str().is_some_and(is_on_gpu));
    until("Xorg was started", || (starts(&world) == ["Xvfb", "Xorg"]).then_some(()));
}

#[test]
fn a_full_disk_or_a_missing_license_is_a_reason_and_the_desktop_runs() {
    if !is_possible() {
        return skipped("only root can make another /proc/driver");
    }
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, state, reason) in [
        (
            "SMALL",
            "yes",
            "failed",
            "a driver needs 2 GB; make room, or mount a volume at /opt/nvidia-drivers",
        ),
        (
            "ACCEPT_NVIDIA_LICENSE",
            "perhaps",
            "done",
            "ACCEPT_NVIDIA_LICENSE does not accept NVIDIA's license",
        ),
    ] {
        let mut world = world(folder.path().to_str().unwrap(), "60s");
        let tree = folder.path();
        for name in ["libGLX_nvidia", "libEGL_nvidia"] {
            fs::write(tree.join(format!("{name}.so.{VERSION}")), vec![1; 300 << 10]).unwrap();
        }
        world.env(variable, value).start();
        let status = world.until("the display is up", |status| find(status, "xvfb")["state"] == "ready");
        assert_eq!(status["display"], CPU);
        world.until_state("nvidia-driver", state);
        let told = world.cli(&["probe"]).out;
        assert!(told.contains(reason), "{reason}: {told}");
        world.end();
    }
}
