//! The encoder is tried before the stream starts: a stand-in for the Python of Selkies answers as pixelflux does, or dies
//! as a driver does. The machine has an NVIDIA GPU, of which only the nodes and the names of libraries exist.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::daemon::world::{World, find, is_root, skipped, until, works};

/// Runs Selkies, which writes down how it was told to encode, and each try, which does what the file `mode` says.
const PYTHON: &str = r#"#!/bin/sh
case "$1" in
*/selkies)
    echo "gpu=$SELKIES_GPU_ID cpu=$SELKIES_USE_CPU" >> "$D/streams"
    exec "$D/polite" stream;;
esac
shift
echo "$@" >> "$D/tries"
. "$D/mode"
"#;

const ENCODES: &str = r#"echo '{"encoder": "NVENC", "hardware": true, "reason": ""}'"#;

const NO_SESSION: &str = r#"echo '{"encoder": "x264", "hardware": false, "reason": "NVENC H264 did not open: Failed to open NVENC session"}'"#;

const GPU: &str = "NVIDIA GPU (/dev/nvidia0)";

/// The nodes and libraries of a GPU in a mount namespace of the daemon's own; a null device for each node.
const MACHINE: &str = r#"
    mkdir "$D/dev" "$D/conf" "$D/lib" && mount -t tmpfs none "$D/dev"
    cp -ax /dev/null /dev/zero /dev/random /dev/urandom "$D/dev"
    for node in nvidia0 nvidiactl; do mknod -m 666 "$D/dev/$node" c 1 3; done
    touch "$D/lib/libcuda.so.1"
    [ -e "$D/compute-only" ] || touch "$D/lib/libnvidia-encode.so.1"
    echo "$D/lib" > "$D/conf/gpu.conf"
    mount --bind "$D/dev" /dev && mount --bind "$D/conf" /etc/ld.so.conf.d
    exec "$@""#;

/// A stream on that machine, with the shipped service that tries encoders. `None` where there can be no such machine.
fn world(mode: &str) -> Option<World> {
    if !is_root() || !works(&["unshare", "--mount"]) || !fs::exists("/etc/ld.so.conf.d").unwrap() {
        skipped("only root can make another /dev");
        return None;
    }
    let mut world = World::new();
    fs::create_dir(world.path("bin")).unwrap();
    fs::create_dir(world.path("files")).unwrap();
    world.script("bin/python3", PYTHON);
    let python = world.path("bin/python3");
    world.script("bin/selkies", &format!("#!{}\n", python.display()));
    world.write("files/encoder.py", "");
    world.write("mode", mode);
    for name in ["tries", "streams"] {
        world.write(name, "");
        fs::set_permissions(world.path(name), Permissions::from_mode(0o666)).unwrap();
    }
    world.service("x-server", "@polite");
    world.write("services/encoder.toml", include_str!("../../../config/services/encoder.toml"));
    world.service(
        "selkies",
        "command = [\"selkies\"]\nready = { kind = \"fd\" }\nneeds = [\"x-server\"]\nfollows = [\"x-server\"]\n\
         after = [\"encoder\"]",
    );
    world.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display()));
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", MACHINE, "sh"]);
    Some(world)
}

fn encoder(status: &Value) -> String {
    status["encoder"].as_str().unwrap().to_owned()
}

#[test]
fn an_encoder_that_works_is_promised_after_it_has_encoded_a_picture() {
    let Some(mut world) = world(ENCODES) else { return };
    world.env("DISPLAY_SIZEW", "1280").env("DISPLAY_SIZEH", "720");
    world.start();
    let status = world.until_up();
    assert_eq!(encoder(&status), format!("NVENC (H.264) on {GPU}"));
    assert_eq!(world.read("tries"), "h264  1280 720\n");
    // The stream starts once, after the result is known.
    assert_eq!(world.read("streams"), "gpu= cpu=\n");
    assert_eq!(find(&status, "encoder")["state"], "done");
    let plan: Value = serde_json::from_str(&world.tell(&["plan", "--json"])).unwrap();
    assert_eq!(
        (plan["encoder"]["chosen"].as_str(), &plan["encoder"]["works"]),
        (Some("nvenc"), &true.into())
    );
    // A reload tries nothing again.
    world.tell(&["reload"]);
    assert_eq!((world.read("tries").lines().count(), world.read("streams").lines().count()), (1, 1));
}

#[test]
fn an_encoder_that_does_not_work_is_replaced_by_the_cpu_and_people_see_why() {
    for (mode, why) in [
        (NO_SESSION, "NVENC H264 did not open: Failed to open NVENC session: end other programs that encode"),
        (
            "kill -SEGV $$",
            "the driver crashed or hung while it encoded a picture (signal 11 ended it): see dmesg",
        ),
    ] {
        let Some(mut world) = world(mode) else { return };
        world.start();
        let status = world.until_up();
        let expected = format!("x264 (H.264) on the CPU; not NVENC on {GPU}: {why}");
        assert!(encoder(&status).starts_with(&expected), "{}", encoder(&status));
        assert_eq!(world.read("streams"), "gpu=-1 cpu=\n", "{mode}");
        let shown = world.page();
        assert!(shown.contains(&format!("\nencoder: {expected}")), "{shown}");
        let plan = world.tell(&["plan"]);
        assert!(plan.contains(&format!("  - NVENC on {GPU}: {why}")), "{plan}");
        assert!(plan.contains("  * the CPU: no GPU here can encode it\n"), "{plan}");
        let doctor = world.cli(&["doctor"]);
        let line = doctor.out.lines().find(|line| line.contains("  encoder ")).unwrap_or_default();
        assert!(line.starts_with("warning") && line.contains("not NVENC"), "{}", doctor.out);

        // A restart of the X server tries again, and the stream follows.
        world.write("mode", ENCODES);
        world.tell(&["restart", "x-server"]);
        world.until("the encoder works", |status| encoder(status) == format!("NVENC (H.264) on {GPU}"));
        until("the stream has the encoder", || {
            (world.read("streams").lines().last() == Some("gpu= cpu=")).then_some(())
        });
    }
}

#[test]
fn what_the_machine_lacks_is_not_tried() {
    let Some(mut world) = world(ENCODES) else { return };
    world.write("compute-only", "");
    world.start();
    let status = world.until_up();
    let expected = format!("x264 (H.264) on the CPU; not NVENC on {GPU}: libnvidia-encode.so.1 is missing");
    assert!(encoder(&status).starts_with(&expected), "{}", encoder(&status));
    assert_eq!((world.read("tries"), world.read("streams")), (String::new(), "gpu=-1 cpu=\n".to_owned()));
    assert_eq!(find(&status, "encoder")["state"], "skipped");
}

#[test]
fn a_try_that_is_not_possible_keeps_no_stream_from_starting() {
    let Some(mut world) = world("echo '{\"error\": \"ModuleNotFoundError: pixelflux\"}'") else { return };
    world.start();
    let failed = world.until_state("encoder", "failed");
    let log = world.log("encoder");
    assert!(log.contains("no encoder could be tried: ModuleNotFoundError: pixelflux"), "{log} {failed}");
    world.until_state("selkies", "ready");
    assert_eq!(world.read("streams"), "gpu= cpu=\n");
    assert_eq!(encoder(&world.status()), format!("NVENC (H.264) on {GPU}, not tried yet"));
}
