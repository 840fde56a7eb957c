//! A picture of the real desktop: its size, its colours, and that it is what the browser shows.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::browser::Browser;
use crate::picture::{Picture, Rgb};
use crate::poll::eventually;
use crate::stack::{self, PASSWORD, Stack, USER};

/// The parts in which two pictures are compared, across and down.
const PARTS: (u32, u32) = (8, 6);

/// How far the average colour of a part may be off: the video is lossy, and the browser may scale it.
const OFF: u8 = 20;

#[tokio::test]
async fn a_picture_of_the_desktop_is_what_the_browser_shows() {
    let stack = stack::start().await;
    let browser = Browser::start().await;
    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    desktop.wait_until_still(Duration::from_secs(2), Duration::from_secs(90)).await;

    // The stream's page may have changed the size of the desktop.
    let picture = taken(&stack, "");
    let sizes = stack.exec_ok(&["desktopd", "run", "--", "xrandr", "--current"]);
    let size = format!("current {} x {}, ", picture.width, picture.height);
    assert!(sizes.contains(&size), "{size:?} in {sizes}");
    assert!(picture.colours() > 4, "{} colours", picture.colours());
    let small = taken(&stack, "--width 480");
    assert_eq!(
        (small.width, small.height),
        (480, (picture.height * 480 + picture.width / 2) / picture.width)
    );
    assert!(alike(&small, &picture) > 0.95, "the small picture is another one: {}", alike(&small, &picture));

    // Both are of a desktop with a clock, so a moment with a difference may come.
    let likeness = eventually("the same picture in the browser", Duration::from_secs(60), async || {
        let (shown, picture) = (desktop.picture().await, taken(&stack, ""));
        Some(alike(&shown, &picture)).filter(|likeness| *likeness >= 0.85)
    });
    let likeness = likeness.await;

    // Without a display the reason has the command that helps.
    stack.exec_ok(&["desktopd", "stop", "--wait", "x-server"]);
    let refused = stack.exec(&["desktopd", "screenshot", "/tmp/none.png"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("; start it: desktopd start "), "{}", refused.stderr);
    eprintln!("parts alike in the browser: {likeness:.2}");
}

/// How long a picture takes, and what it leaves in the memory of PID 1: printed, not judged.
#[tokio::test]
async fn time_and_memory_of_a_picture() {
    let stack = stack::start().await;
    let kilobytes = || {
        let rollup = stack.exec_ok(&["cat", "/proc/1/smaps_rollup"]);
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("a line").to_owned();
        line.split_whitespace().nth(1).expect("a number").to_owned()
    };
    let before = kilobytes();
    let mut report = format!("memory (PSS) of PID 1 before {before} kB\n");
    for width in ["", "?width=480"] {
        let url = format!("http://localhost/desktopd/screenshot.png{width}");
        for _ in 0..3 {
            // Longer than a picture is kept.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let began = Instant::now();
            let out = stack.exec_ok(&[
                "curl",
                "-sS",
                "--unix-socket",
                "/run/desktopd/control.sock",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{size_download} bytes in %{time_total} s",
                &url,
            ]);
            assert!(out.starts_with("200 "), "{out}");
            let took = began.elapsed();
            report.extend([format!("picture{width:<11} {out} ({took:.2?} with docker exec)\n")]);
        }
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    eprintln!("{report}memory (PSS) of PID 1 after  {} kB", kilobytes());
}

/// A picture, taken by the command.
fn taken(stack: &Stack, options: &str) -> Picture {
    let command = format!("desktopd screenshot {options} - | base64 -w0");
    let text = stack.exec_ok(&["bash", "-o", "pipefail", "-c", &command]);
    Picture::from_png(&STANDARD.decode(text.trim()).expect("base64"))
}

/// The share of the parts whose average colours are alike in two pictures, whatever their sizes.
fn alike(one: &Picture, other: &Picture) -> f64 {
    let (one, other) = (one.averages(PARTS), other.averages(PARTS));
    let near = |(one, other): (&Rgb, &Rgb)| {
        [(one.0, other.0), (one.1, other.1), (one.2, other.2)]
            .iter()
            .all(|(one, other)| one.abs_diff(*other) <= OFF)
    };
    let alike =
        u32::try_from(one.iter().zip(&other).filter(|pair| near(*pair)).count()).expect("a few parts");
    f64::from(alike) / f64::from(PARTS.0 * PARTS.1)
}
