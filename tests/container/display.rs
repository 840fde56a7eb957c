//! The display of the image on a machine without a GPU: Xorg, where it is asked for, fails and Xvfb takes its place.
//! Once with the image alone, once with NVIDIA's own libraries and driver for Xorg.

use std::time::Duration;

use desktopd::observe::events::{Event, What};
use desktopd::observe::{Snapshot, UnitState};
use serde_json::Value;

use crate::browser::Browser;
use crate::docker;
use crate::docker::Spec;
use crate::scenario;
use crate::stack::{self, PASSWORD, Stack, USER};

/// Long for a chain that takes some seconds: the machine may be busy. The time itself is printed.
const CHAIN: Duration = Duration::from_secs(60);

/// The folder of the libraries, as some clouds name it to a container.
const LIBRARIES: &str = "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu";

const NO_GPU: &str = "this machine has no GPU";

#[tokio::test]
async fn without_a_gpu_xorg_fails_and_the_desktop_comes_up_drawn_by_the_cpu() {
    let stack = with_xorg(stack::spec());
    let status = stack.wait_until_up().await;
    the_cpu_draws_after_xorg(&stack, &status, "Failed to load module \"nvidia\"");

    for user in ["root", "user"] {
        let gpus = probe(&stack, user, &["--render"]);
        assert_eq!(gpus["gpus"], serde_json::json!([]), "{user}");
        for (reason, words) in [
            (&gpus["reason"], &[NO_GPU, "--gpus all", "--device /dev/dri"][..]),
            (&gpus["nvidia"]["reason"], &["there is no NVIDIA GPU"]),
            (&gpus["kfd"]["reason"], &["there is no AMD GPU"]),
        ] {
            let reason = reason.as_str().unwrap_or_default();
            assert!(words.iter().all(|word| reason.contains(word)), "{user}: {words:?} in {reason:?}");
        }
        the_cpu_drew_a_pixel(&gpus, user);
        let text = stack.exec_ok(&["runuser", "-u", user, "--", "desktopd", "probe"]);
        assert!(text.contains(NO_GPU) && text.contains("not privileged"), "{user}: {text}");
        let plan = stack.exec_ok(&["runuser", "-u", user, "--", "desktopd", "plan"]);
        assert!(plan.contains(NO_GPU), "{user}: the plan has the reason:\n{plan}");
    }

    let browser = Browser::start().await;
    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    if let Err(why) = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", browser.keep_evidence("unpainted-after-xorg").await);
    }
}

/// What NVIDIA's libraries do on a machine without a GPU, and what they do no harm to.
#[tokio::test]
async fn nvidias_libraries_without_a_gpu_are_a_reason_and_harm_nothing() {
    let image = docker::Snapshot::build(include_str!("nvidia.Dockerfile"));
    let stack = with_xorg(stack::of(image.spec()));
    let status = stack.wait_until_up().await;
    the_cpu_draws_after_xorg(&stack, &status, "No devices detected");

    let node = || stack.exec(&["ls", "/dev/nvidiactl"]).code == Some(0);
    for user in ["user", "root"] {
        let gpus = probe(&stack, user, &["--render"]);
        let reason = gpus["nvidia"]["reason"].as_str().unwrap_or_default();
        for words in ["libraries 550.", "NVML was asked: Driver Not Loaded", "--gpus all"] {
            assert!(reason.contains(words), "{user}: {words:?} in {reason:?}");
        }
        the_cpu_drew_a_pixel(&gpus, user);
        assert!(!node(), "the probe by {user} has made a device node");
    }
    // What the probe avoids: NVML makes the node for root, and then refuses the node.
    let init = "import ctypes; print(ctypes.CDLL('libnvidia-ml.so.1').nvmlInit_v2())";
    stack.exec_ok(&["/opt/selkies/bin/python3", "-c", init]);
    assert!(node(), "NVML makes the node");
    for user in ["user", "root"] {
        let gpus = probe(&stack, user, &[]);
        let reason = gpus["nvidia"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("there is no NVIDIA GPU"), "{user}: a node alone is no GPU: {reason:?}");
    }

    // What the service file of Xvfb avoids: Xvfb crashes with NVIDIA's EGL.
    let xvfb = "timeout 10 Xvfb :77 -screen 0 640x480x24 -nolisten tcp";
    let crashed = stack.exec(&["sh", "-c", xvfb]);
    assert_eq!(crashed.code, Some(134), "Xvfb without the variable: {}", crashed.stderr);
    let now = stack.status().expect("a status");
    let server = now.unit("x-server").expect("an X server");
    assert_eq!((server.state, server.restarts), (UnitState::Ready, 0), "{}", stack::units(&now));
}

fn with_xorg(spec: Spec) -> Stack {
    let spec = spec.env("DESKTOPD_DISPLAY", "xorg").env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    Stack::new(spec.start(&["init"]))
}

/// Xvfb runs in place of Xorg, and the status says why in one sentence, with the error of Xorg.
fn the_cpu_draws_after_xorg(stack: &Stack, status: &Snapshot, error: &str) {
    assert!(status.display.starts_with("Xvfb with llvmpipe on :0"), "{}", status.display);
    let about: Vec<_> =
        status.problems.iter().filter(|text| text.contains("DESKTOPD_DISPLAY=xorg")).collect();
    let [sentence] = about[..] else { panic!("one sentence about the display in {:?}", status.problems) };
    for words in ["Xorg ended with exit code 1", error, "llvmpipe", "desktopd restart x-server"] {
        assert!(sentence.contains(words), "{words:?} in {sentence:?}");
    }
    let server = status.unit("x-server").expect("an X server");
    assert_eq!((server.name.as_str(), server.state), ("xvfb", UnitState::Ready), "{}", stack::units(status));
    let text = stack.exec_ok(&["desktopd", "status"]).replace("\n    ", " ");
    assert!(text.contains(sentence.as_str()), "in the text, too: {text}");

    let events = events(stack);
    let first = |what: &str, is: &dyn Fn(&What) -> bool| {
        let event = events.iter().find(|event| is(&event.what));
        event.unwrap_or_else(|| panic!("no event {what} in {events:#?}")).at
    };
    let failed = first("of a failed Xorg", &|what| {
        matches!(what, What::Unit(change) if change.unit == "xorg" && change.from == Some(UnitState::Starting)
            && change.to != UnitState::Ready)
    });
    let chosen = first("of the display", &|what| matches!(what, What::Display { .. }));
    let ready = |unit: &str| {
        first(
            unit,
            &|what| matches!(what, What::Unit(change) if change.unit == unit && change.to == UnitState::Ready),
        )
    };
    for (what, at) in [
        ("Xvfb is chosen", chosen),
        ("Xvfb", ready("xvfb")),
        ("Plasma", ready("kde")),
        ("the stream", ready("selkies")),
    ] {
        let took = at - failed;
        eprintln!("Xorg's failure -> {what:<15} {took} ms");
        assert!(
            (0..=CHAIN.as_millis().try_into().unwrap_or(i64::MAX)).contains(&took),
            "{what} after {took} ms"
        );
    }
}

fn events(stack: &Stack) -> Vec<Event> {
    let text = stack.exec_ok(&["desktopd", "events", "--json", "--lines", "1000"]);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// The answer of the probe for a user.
fn probe(stack: &Stack, user: &str, arguments: &[&str]) -> Value {
    let command = ["runuser", "-u", user, "--", "env", LIBRARIES, "desktopd", "probe", "--json"];
    let text = stack.exec_ok(&[&command, arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{user}: {error}: {text}"))
}

/// EGL lists the CPU alone, and a pixel that was drawn came back.
fn the_cpu_drew_a_pixel(gpus: &Value, user: &str) {
    let rendered = &gpus["rendered"];
    let devices = rendered["devices"].as_array().unwrap_or_else(|| panic!("{user}: no devices: {gpus}"));
    let [device] = devices.as_slice() else { panic!("{user}: one device, not {devices:?}") };
    assert!(device["renderer"].as_str().is_some_and(|name| name.contains("llvmpipe")), "{user}: {device}");
    assert_eq!((&device["pixel"], &device["software"]), (&true.into(), &true.into()), "{user}: {device}");
    eprintln!("probe --render as {user}: {} ms", rendered["millis"]);
}
