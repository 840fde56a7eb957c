//! Pictures of a real X server's display, by command and by request.

use std::fs;
use std::io::Cursor;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateWindowAux, Gcontext, Rectangle, Screen, WindowClass,
};
use x11rb::rust_connection::{DefaultStream, RustConnection};
use x11rb::wrapper::ConnectionExt as _;

use crate::daemon::health::{Display, authority};
use crate::daemon::world::{World, is_root, pid_of, skipped};

/// The key of the display.
const KEY: &[u8; 16] = b"a key of 16 byte";

/// A desktop with nothing but an X server, which is ready.
struct Desktop {
    world: World,
    display: Display,
}

impl Desktop {
    fn start(depth: u8) -> Option<Self> {
        let (Some(display), true) = (Display::new(), Command::new("Xvfb").arg("-help").output().is_ok())
        else {
            skipped("Xvfb is not installed");
            return None;
        };
        let mut world = World::new();
        fs::write(world.path("authority"), authority(KEY)).unwrap();
        let number = display.number();
        let folder = world.path("").display().to_string();
        let environment =
            "\n[desktop-environment]\nDISPLAY = \"${display}\"\nXAUTHORITY = \"@D/authority\"\n";
        let toml = world.read("desktopd.toml") + &environment.replace("@D", folder.trim_end_matches('/'));
        world.write("desktopd.toml", &toml);
        world.service(
            "screen",
            &format!(
                "command = [\"Xvfb\", \":{number}\", \"-screen\", \"0\", \"640x480x{depth}\", \"-auth\", \
                 \"@D/authority\", \"-nolisten\", \"tcp\", \"-noreset\"]\nprovides = [\"x-server\"]\n\
                 ready = {{ kind = \"x11\", display = \":{number}\", xauthority = \"@D/authority\" }}"
            ),
        );
        world
            .env("DISPLAY", format!(":{number}"))
            .env("DESKTOPD_DISPLAY", "llvmpipe")
            .env("WEB_TOKEN", "a-token");
        if is_root() {
            world.env("USER_NAME", "root");
        }
        world.start();
        world.until_state("screen", "ready");
        Some(Self { world, display })
    }

    /// A client that has painted the left half blue and the rest orange; the colours stay as long as it is connected.
    fn painted(&self) -> RustConnection {
        let socket = Path::new("/tmp/.X11-unix").join(format!("X{}", self.display.number()));
        let (stream, _) = DefaultStream::from_unix_stream(UnixStream::connect(socket).unwrap()).unwrap();
        let name = b"MIT-MAGIC-COOKIE-1".to_vec();
        let server = RustConnection::connect_to_stream_with_auth_info(stream, 0, name, KEY.to_vec()).unwrap();
        let screen = server.setup().roots[0].clone();
        for (left, colour) in [(0, [0x20, 0x40, 0xff]), (320, [0xff, 0x80, 0])] {
            let window = server.generate_id().unwrap();
            let pixel = pixel(&screen, colour);
            let look = CreateWindowAux::new().background_pixel(pixel).override_redirect(1);
            let class = WindowClass::INPUT_OUTPUT;
            server.create_window(0, window, screen.root, left, 0, 320, 480, 0, class, 0, &look).unwrap();
            server.map_window(window).unwrap();
            let gc: Gcontext = server.generate_id().unwrap();
            server
                .create_gc(gc, window, &x11rb::protocol::xproto::CreateGCAux::new().foreground(pixel))
                .unwrap();
            let all = Rectangle { x: 0, y: 0, width: 320, height: 480 };
            server.poly_fill_rectangle(window, gc, &[all]).unwrap();
        }
        server.sync().unwrap();
        server
    }

    fn picture(&self, words: &[&str]) -> Picture {
        let file = self.world.path("picture.png");
        let told = self.world.tell(&[&["screenshot"], words, &[file.to_str().unwrap()]].concat());
        let picture = Picture::of(&fs::read(&file).unwrap());
        let (width, height) = picture.size;
        assert!(told.starts_with(&format!("{}: {width}x{height}, ", file.display())), "{told}");
        picture
    }
}

/// The pixel of a colour in the form of this screen.
fn pixel(screen: &Screen, colour: [u8; 3]) -> u32 {
    let visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
    let visual = visuals.into_iter().find(|visual| visual.visual_id == screen.root_visual).unwrap();
    let part = |mask: u32, value: u8| {
        let most = mask >> mask.trailing_zeros();
        (u32::from(value) * most / 255) << mask.trailing_zeros()
    };
    part(visual.red_mask, colour[0]) | part(visual.green_mask, colour[1]) | part(visual.blue_mask, colour[2])
}

struct Picture {
    size: (u32, u32),
    rgb: Vec<u8>,
}

impl Picture {
    fn of(png: &[u8]) -> Self {
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut rgb).unwrap();
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self { size: (frame.width, frame.height), rgb }
    }

    /// Whether the pixel has this colour, as far as 16 bits can tell.
    fn is(&self, x: u32, y: u32, colour: [u8; 3]) -> bool {
        let at = 3 * (y * self.size.0 + x) as usize;
        self.rgb[at..at + 3].iter().zip(colour).all(|(found, colour)| found.abs_diff(colour) <= 8)
    }
}

#[test]
fn a_picture_has_what_the_display_shows() {
    for depth in [24, 16] {
        let Some(mut desktop) = Desktop::start(depth) else { return };
        let client = desktop.painted();
        let picture = desktop.picture(&[]);
        assert_eq!(picture.size, (640, 480), "depth {depth}");
        for (x, y, colour) in [
            (0, 0, [0x20, 0x40, 0xff]),
            (319, 479, [0x20, 0x40, 0xff]),
            (320, 0, [0xff, 0x80, 0]),
            (639, 479, [0xff, 0x80, 0]),
        ] {
            assert!(picture.is(x, y, colour), "depth {depth}: {x} {y} is not {colour:?}");
        }
        let small = desktop.picture(&["--width", "64"]);
        assert_eq!(small.size, (64, 48));
        assert!(small.is(10, 10, [0x20, 0x40, 0xff]) && small.is(50, 40, [0xff, 0x80, 0]), "depth {depth}");
        drop(client);
        desktop.world.end();
    }
}

#[test]
fn the_portal_shows_the_picture_only_after_a_login() {
    let Some(mut desktop) = Desktop::start(24) else { return };
    let path = "/desktopd/screenshot.png?width=32";
    let refused = desktop.world.http(&format!("GET {path} HTTP/1.1\r\n"));
    assert!(refused.starts_with("HTTP/1.1 401 ") && !refused.contains("image/png"), "{refused}");
    let bearer = "Authorization: Bearer a-token\r\n";
    let head = |path: &str| {
        let answer = desktop.world.http(&format!("GET {path} HTTP/1.1\r\n{bearer}"));
        answer.split("\r\n\r\n").next().unwrap().to_lowercase()
    };
    let shown = head(path);
    assert!(shown.starts_with("http/1.1 200 ") && shown.contains("content-type: image/png"), "{shown}");
    assert!(shown.contains("cache-control: no-store"), "{shown}");
    for wrong in ["0x", "5", "70000", "-1"] {
        let path = format!("/desktopd/screenshot.png?width={wrong}");
        let refused = desktop.world.http(&format!("GET {path} HTTP/1.1\r\n{bearer}"));
        assert!(refused.starts_with("HTTP/1.1 400 "), "{wrong}: {refused}");
        assert!(refused.contains("expected width=16 to width=65535 (pixels), or no width"), "{refused}");
    }
    desktop.world.end();
}

#[test]
fn a_server_that_hangs_or_is_stopped_is_a_reason_with_the_command_that_helps() {
    let Some(mut desktop) = Desktop::start(24) else { return };
    let file = desktop.world.path("none.png");
    let server = Pid::from_raw(pid_of(&desktop.world.unit("screen")));
    kill(server, Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    let answer = desktop.world.cli(&["screenshot", file.to_str().unwrap()]);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let expected = "no picture came within 3 s: the machine is busy, or the X server hangs; to restart that: \
                    desktopd restart x-server\n";
    assert_eq!((answer.code, answer.err.trim_start_matches("desktopd: ")), (1, expected), "{answer:?}");
    assert!(!file.exists());
    kill(server, Signal::SIGCONT).unwrap();
    assert_eq!(desktop.picture(&["--width", "16"]).size, (16, 12));
    desktop.world.tell(&["stop", "--wait", "screen"]);
    let answer = desktop.world.cli(&["screenshot", "--width", "16", file.to_str().unwrap()]);
    assert!(
        answer.err.contains("there is no display to take a picture of: screen was stopped by "),
        "{answer:?}"
    );
    assert!(answer.err.ends_with("; start it: desktopd start screen\n"), "{answer:?}");
    assert_eq!(answer.code, 1);
    desktop.world.end();
}
