//! The screen's size and density: set by the configuration, or by the browser that may change them. Browsers of every
//! kind open the same desktop, by Selkies and by VNC.

use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::picture::Picture;
use crate::poll::eventually;
use crate::stack::{self, PASSWORD, START, Stack, USER};

/// The port of the desktop by VNC.
const VNC: u16 = 6200;

const SOON: Duration = Duration::from_secs(30);

/// A browser's window in its own pixels, and its scale: how many of the screen's pixels are one of these.
type Shape = (u32, u32, u32);

/// A laptop, a laptop with a high density, a phone, a large monitor, a small window, and a larger window after it.
const SHAPES: [Shape; 6] =
    [(1440, 900, 1), (1440, 900, 2), (390, 844, 3), (2560, 1440, 1), (1000, 700, 1), (1600, 1000, 1)];

/// The size of the stream and the position of its picture in the page.
const PICTURE: &str = "
    const shown = [...document.querySelectorAll('video, canvas')].map(element => {
        const box = element.getBoundingClientRect();
        return [element.videoWidth || element.width, element.videoHeight || element.height, box.width, box.height];
    });
    shown.sort((one, other) => other[2] * other[3] - one[2] * one[3]);
    return (shown[0] || []).map(Math.round);";

/// The X server's screen: its size, its largest size, and the density that programs read.
#[derive(Debug, PartialEq, Eq)]
struct Screen {
    size: String,
    most: String,
    dpi: String,
}

impl Screen {
    fn of(stack: &Stack) -> Screen {
        let seen = at_display(stack, "xrandr --current; xrdb -query");
        let after = |word: &str, end: char| {
            let rest = seen.split_once(word).map_or("", |(_, rest)| rest);
            rest.split(end).next().unwrap_or_default().trim().replace(' ', "")
        };
        Screen { size: after("current ", ','), most: after("maximum ", '\n'), dpi: after("Xft.dpi:", '\n') }
    }

    fn new(size: &str, most: &str, dpi: &str) -> Screen {
        Screen { size: size.into(), most: most.into(), dpi: dpi.into() }
    }
}

/// Runs commands of the desktop's user in its session.
fn at_display(stack: &Stack, commands: &str) -> String {
    let session = "export DISPLAY=:0 XDG_RUNTIME_DIR=/run/user/1000 XDG_CURRENT_DESKTOP=KDE \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus";
    stack.as_user(&["sh", "-c", &format!("{session}; {commands}")]).stdout
}

async fn start(variables: &[(&str, &str)]) -> Stack {
    let spec = stack::spec().publish(VNC).env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let spec = variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    let stack = Stack::new(spec.start(&["init"]));
    stack.wait_until_up().await;
    stack
}

async fn wait_for(stack: &Stack, expected: Screen) {
    eventually(&format!("{expected:?}"), SOON, async || {
        let screen = Screen::of(stack);
        if screen == expected { Ok(()) } else { Err(format!("{screen:?}")) }
    })
    .await;
}

/// Waits for a stream of this size, shown as large as the page allows.
async fn wait_for_stream(browser: &Browser, size: [u64; 2], (width, height, _): Shape) {
    let fit = |[w, h]: [u64; 2]| {
        let (page_w, page_h) = (u64::from(width), u64::from(height));
        if w * page_h > h * page_w { [page_w, page_w * h / w] } else { [page_h * w / h, page_h] }
    };
    let expected = [size[0], size[1], fit(size)[0], fit(size)[1]];
    eventually(&format!("a stream of {expected:?}"), SOON, async || {
        let seen = browser.execute(PICTURE, vec![]).await;
        let seen: Vec<u64> = seen.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let near = seen.len() == 4 && seen.iter().zip(expected).all(|(one, other)| one.abs_diff(other) <= 2);
        if near { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// The width of the window of a program that starts now.
async fn new_window(stack: &Stack) -> u32 {
    at_display(stack, "konsole --separate >/dev/null 2>&1 &");
    let mut last = 0;
    let width = eventually("a new window", START, async || {
        let seen =
            at_display(stack, "xdotool search --onlyvisible --class konsole getwindowgeometry --shell");
        let width = seen.lines().find_map(|line| line.strip_prefix("WIDTH=")?.parse().ok()).unwrap_or(0);
        // The window is small for a moment.
        let settled = width > 400 && width == last;
        last = width;
        if settled { Ok(width) } else { Err(format!("it has {width} pixels")) }
    })
    .await;
    at_display(stack, "pkill -KILL -x konsole");
    width
}

#[tokio::test]
async fn no_browser_changes_a_screen_with_a_fixed_size() {
    let stack = start(&[]).await;
    let ours = || Screen::new("1920x1080", "1920x1080", "96");
    wait_for(&stack, ours()).await;
    let usual = new_window(&stack).await;

    let (browser, other) = (Browser::start().await, Browser::start().await);
    stack::enter(&other, &stack, USER, PASSWORD).await;
    browser.shape(SHAPES[0]).await;
    stack::enter(&browser, &stack, USER, PASSWORD).await;
    for shape in SHAPES {
        // A request by a window that changes its size, and a request by a page that is opened in it.
        browser.shape(shape).await;
        wait_for_stream(&browser, [1920, 1080], shape).await;
        browser.goto(&stack.desktop()).await;
        wait_for_stream(&browser, [1920, 1080], shape).await;
        eventually("a picture", START, async || {
            let colours = browser.screenshot().await.colours();
            if colours >= 8 { Ok(()) } else { Err(format!("{colours} colours")) }
        })
        .await;
        assert_eq!(Screen::of(&stack), ours(), "{shape:?}");
        if shape.2 == 3 {
            assert_eq!(new_window(&stack).await, usual, "a program that was started after a phone came");
        }
    }

    // A new density applies to everything that people see, while the same browser watches.
    browser.shape(SHAPES[1]).await;
    let before = stack.status().expect("a status");
    stack.exec_ok(&["sh", "-c", "echo DISPLAY_DPI=144 >>/etc/environment; desktopd reload"]);
    stack.wait_until_renewed(&before).await;
    wait_for(&stack, Screen::new("1920x1080", "1920x1080", "144")).await;
    assert_eq!(panel(&stack).await, 90, "Plasma's panel, which has 60 pixels at 96 dpi");
    Desktop { browser: &browser }.wait_for_return(START).await;
    wait_for(&stack, Screen::new("1920x1080", "1920x1080", "144")).await;

    // A density that a person chooses in System Settings stays.
    let choice = "kwriteconfig6 --file kcmfonts --group General --key forceFontDPI 120";
    at_display(&stack, choice);
    let before = stack.status().expect("a status");
    stack.exec_ok(&["desktopd", "restart", "kde"]);
    stack.wait_until_renewed(&before).await;
    wait_for(&stack, Screen::new("1920x1080", "1920x1080", "120")).await;
    Desktop { browser: &browser }.wait_for_return(START).await;
    wait_for(&stack, Screen::new("1920x1080", "1920x1080", "120")).await;
}

/// The height of Plasma's panel.
async fn panel(stack: &Stack) -> u32 {
    eventually("Plasma's panel", START, async || {
        let seen = at_display(
            stack,
            "for w in $(xdotool search --onlyvisible --class plasmashell); do xdotool getwindowgeometry --shell $w; done",
        );
        let heights = seen.lines().filter_map(|line| line.strip_prefix("HEIGHT=")?.parse::<u32>().ok());
        heights.min().filter(|height| *height < 200)
    })
    .await
}

#[tokio::test]
async fn the_screen_follows_the_browser_that_may_change_it() {
    let most = "2560x1600";
    let stack = start(&[("WEBRTC_ENABLE_RESIZE", "true"), ("DISPLAY_MAX_SIZE", most)]).await;
    // The screen first has the configured size.
    wait_for(&stack, Screen::new("1920x1080", most, "96")).await;
    let usual = new_window(&stack).await;

    let browser = Browser::start().await;
    browser.shape(SHAPES[0]).await;
    stack::enter(&browser, &stack, USER, PASSWORD).await;
    // A browser that asks for more than the maximum gets the largest screen of its shape. Widths in X are
    // multiples of 8.
    let screens = [
        ([1440, 900], "96"),
        ([2560, 1600], "192"),
        ([744, 1600], "288"),
        ([2560, 1440], "96"),
        ([1000, 700], "96"),
        ([1600, 1000], "96"),
    ];
    for (shape, (size, dpi)) in SHAPES.into_iter().zip(screens) {
        browser.shape(shape).await;
        wait_for_stream(&browser, size, shape).await;
        wait_for(&stack, Screen::new(&format!("{}x{}", size[0], size[1]), most, dpi)).await;
        if shape.2 == 2 {
            let large = new_window(&stack).await;
            assert!(large > usual * 3 / 2, "a window of {large} pixels, and one of {usual} at 96 dpi");
        }
    }

    // VNC shows the same screen.
    let looker = Browser::start().await;
    looker.goto(&format!("http://localhost:{}/", stack.port(VNC))).await;
    looker.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    let seen = async |size: [u64; 2]| {
        eventually(&format!("{size:?} by VNC"), SOON, async || {
            let seen = looker.execute(PICTURE, vec![]).await;
            if seen[0] == size[0] && seen[1] == size[1] { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
    };
    seen([1600, 1000]).await;
    browser.shape((1200, 800, 1)).await;
    seen([1200, 800]).await;

    // Of two browsers the first one sets the size, as long as it is open; the other browser sees the whole screen.
    let (first, second) = ((1200, 800, 1), (1504, 700, 1));
    let other = Browser::start().await;
    other.shape(second).await;
    stack::enter(&other, &stack, USER, PASSWORD).await;
    wait_for_stream(&other, [1200, 800], second).await;
    wait_for_stream(&browser, [1200, 800], first).await;
    let second = (1400, 900, 1);
    other.shape(second).await;
    wait_for_stream(&other, [1200, 800], second).await;
    let first = (1280, 720, 1);
    browser.shape(first).await;
    wait_for_stream(&browser, [1280, 720], first).await;
    wait_for_stream(&other, [1280, 720], second).await;
    wait_for(&stack, Screen::new("1280x720", most, "96")).await;
    drop(browser);
    let second = (1440, 800, 1);
    other.shape(second).await;
    wait_for_stream(&other, [1440, 800], second).await;
    wait_for(&stack, Screen::new("1440x800", most, "96")).await;
}

/// Black and white lines, one pixel each.
const LINES: &str = r"printf '#define l_width 8\n#define l_height 8\nstatic char l_bits[] = {\n%s};\n' \
    '0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55' >/tmp/lines && xsetroot -bitmap /tmp/lines -fg white -bg black";

/// The share of a picture's pixels that is neither dark nor light.
fn grey(picture: &Picture) -> f64 {
    picture.share(|pixel| (64..192).contains(&pixel.1))
}

#[tokio::test]
async fn a_scaled_picture_is_smooth() {
    let spec = stack::spec().publish(VNC).env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.env("SUPERVISOR_NO_AUTOSTART", "kde,fcitx5").start(&["init"]));
    stack.wait_until_up().await;
    at_display(&stack, LINES);
    let browser = Browser::start().await;
    // A page as large as the screen, then a smaller page: there, every third pixel lies between two lines.
    browser.shape((1920, 1080, 1)).await;
    stack::log_in(&browser, &stack.desktop(), USER, PASSWORD).await;
    wait_for_stream(&browser, [1920, 1080], (1920, 1080, 1)).await;
    wait_for_lines(&browser, "as they are", 0.0..0.1).await;
    let shape = (1440, 810, 1);
    browser.shape(shape).await;
    wait_for_stream(&browser, [1920, 1080], shape).await;
    wait_for_lines(&browser, "that were scaled", 0.2..1.0).await;

    browser.shape((1920, 1080, 1)).await;
    browser.goto(&format!("http://localhost:{}/", stack.port(VNC))).await;
    wait_for_stream(&browser, [1920, 1080], (1920, 1080, 1)).await;
    wait_for_lines(&browser, "by VNC", 0.0..0.1).await;
    browser.shape(shape).await;
    wait_for_stream(&browser, [1920, 1080], shape).await;
    wait_for_lines(&browser, "by VNC that were scaled", 0.2..1.0).await;
}

/// Waits until that share of the picture is grey.
async fn wait_for_lines(browser: &Browser, what: &str, expected: Range<f64>) {
    eventually(&format!("lines {what}"), SOON, async || {
        let grey = grey(&browser.screenshot().await);
        if expected.contains(&grey) { Ok(()) } else { Err(format!("{grey} of the picture is grey")) }
    })
    .await;
}
