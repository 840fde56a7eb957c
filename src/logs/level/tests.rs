//! Lines as programs of the desktop print them, with the level that a person would see in each.

use super::*;

const E: Option<Level> = Some(Level::Error);
const W: Option<Level> = Some(Level::Warning);
const I: Option<Level> = Some(Level::Info);
const D: Option<Level> = Some(Level::Debug);

const LINES: &[(&str, Option<Level>)] = &[
    // Xorg, and the libraries around it.
    ("[    12.345] (EE) NVIDIA(GPU-0): Failed to acquire modesetting permission.", E),
    ("(EE) Server terminated with error (1). Closing log file.", E),
    ("(EE) ", E),
    ("[   33.020] (WW) The directory \"/usr/share/fonts/X11/cyrillic\" does not exist.", W),
    ("(WW) Warning, couldn't open module nv", W),
    ("[    12.300] (II) LoadModule: \"glx\"", I),
    ("(==) Matched nvidia as autoconfigured driver 0", I),
    ("(**) NVIDIA(0): Depth 24, (--) framebuffer bpp 32", I),
    ("(II) Initializing extension X-Resource; no error: loaded", I),
    ("        (WW) warning, (EE) error, (NI) not implemented, (??) unknown.", W),
    ("Fatal server error:", E),
    ("X Error of failed request:  BadMatch (invalid parameter attributes)", None),
    ("libGL error: MESA-LOADER: failed to open swrast", E),
    ("libEGL warning: DRI2: failed to authenticate", W),
    ("MESA: error: ZINK: failed to choose pdev", E),
    ("The XKEYBOARD keymap compiler (xkbcomp) reports:", None),
    ("> Warning:          Could not resolve keysym XF86CameraAccessEnable", W),
    ("Errors from xkbcomp are not fatal to the X server", None),
    // KDE, Qt and GLib.
    ("kwin_core: Failed to initialize compositing", None),
    ("org.kde.kwin.qpa: Failed to create offscreen surface", None),
    ("QObject::connect: No such signal QPlatformNativeInterface::systemTrayWindowChanged(QScreen*)", None),
    (
        "file:///usr/share/plasma/plasmoids/org.kde.plasma.kickoff/contents/ui/main.qml:12:5: TypeError: Cannot read property 'x' of null",
        E,
    ),
    (
        "kf.service.services: The desktop entry file \"/usr/share/x.desktop\" has Type= \"Application\" but no Exec line",
        None,
    ),
    ("qt.qpa.xcb: could not connect to display :20", None),
    ("qrc:/main.qml:7: ReferenceError: plasmoid is not defined", E),
    (
        "(kded5:123): GLib-GObject-CRITICAL **: 12:00:00.123: g_object_unref: assertion 'G_IS_OBJECT (object)' failed",
        E,
    ),
    ("(process:42): Gtk-WARNING **: cannot open display: :0", W),
    ("(firefox:9): GLib-GIO-Message: 10:00:00: Using the 'memory' GSettings backend.", I),
    ("GLib-DEBUG: posix_spawn avoided (fd close requested)", D),
    ("kscreen.kded: \"no error\" was reported", None),
    // PipeWire and WirePlumber.
    ("[E][12345.678901] mod.protocol-native | [protocol-native.:  773 init_socket_name()] name too long", E),
    ("[W][00:12:01.131456] spa.alsa | [alsa-pcm.c: 1 spa_alsa_open()] 'hw:0': playback open failed", W),
    ("[I][00112.345] pw.context | [context.c: 376 pw_context_new()] 0x55: new", I),
    ("[D][00112.345] pw.core | [core.c: 1 x()] error: pending", D),
    ("E 12:00:00.123456    wp-core ../lib/wp/core.c:12:fn: Failed to connect to PipeWire", E),
    ("M 20:22:22.123456  wireplumber ../src/main.c:1: core connected", I),
    ("W: [pulseaudio] main.c: This program is not intended to be run as root", W),
    ("E: [pulseaudio] pid.c: Daemon already running.", E),
    // Selkies, and other programs in Python.
    ("INFO:main:Starting up Selkies", I),
    ("ERROR:webrtc_input:failed to connect to X server", E),
    ("2026-01-31 12:00:00,123 - selkies - WARNING - No audio device", W),
    ("2026-01-31 12:00:00,123 - data_websocket - INFO - Data WebSocket: 0 errors, 12 frames", I),
    ("[2026-01-31 12:00:00] [ERROR] aiohttp.server: Unhandled exception", E),
    ("DEBUG:asyncio:Using selector: EpollSelector", D),
    ("CRITICAL:root:cannot continue", E),
    ("Traceback (most recent call last):", E),
    ("  File \"/opt/selkies/selkies.py\", line 12, in main", E),
    ("    raise ValueError(text)", None),
    ("ValueError: invalid literal for int() with base 10: 'x'", E),
    ("websockets.exceptions.ConnectionClosedError: no close frame received or sent", E),
    ("KeyboardInterrupt", E),
    ("/usr/lib/python3/dist-packages/x.py:3: DeprecationWarning: pkg_resources is deprecated", W),
    ("AssertionError", E),
    // coturn.
    ("0: (1): ERROR: Cannot start TLS and DTLS listeners", E),
    ("0: : WARNING: cannot find certificate file: turn_server_cert.pem (1)", W),
    (
        "12: (7): INFO: session 000000000000000001: realm <x> user <>: incoming packet message processed, error 401: Unauthorized",
        I,
    ),
    ("2026-01-31T12:00:00: ERROR: bind: Address already in use", E),
    // sshd.
    ("error: Could not load host key: /etc/ssh/ssh_host_dsa_key", E),
    ("sshd[12]: error: kex_exchange_identification: Connection closed by remote host", E),
    ("fatal: Timeout before authentication for 10.0.0.1 port 4242", E),
    ("debug1: sshd version OpenSSH_10.0", D),
    ("Server listening on 0.0.0.0 port 22.", None),
    ("Accepted publickey for user from 10.0.0.1 port 4242 ssh2: ED25519 SHA256:abc", None),
    // Others: Chromium, Rust, nginx, Node, JSON, compilers, shells, desktopd itself.
    ("[12:34:0131/120000.123456:ERROR:gpu_init.cc(523)] Passthrough is not supported, GL is egl", E),
    ("[12:34:0131/120000.123456:WARNING:dns_config.cc(1)] x", W),
    ("2026-01-31T12:00:00.123Z  WARN hyper::proto: connection error: reset", W),
    ("2026-01-31T12:00:00Z ERROR app: failed", E),
    ("2026/01/31 12:00:00 [error] 12#12: *1 connect() failed", E),
    ("2026/01/31 12:00:00 [notice] 1#1: start worker processes", I),
    ("{\"level\":\"warn\",\"ts\":1,\"msg\":\"error: none\"}", W),
    ("time=\"2026-01-31\" level=error msg=\"x\"", E),
    ("E0131 12:00:00.123456    12 cuda.cc:3] failed call to cuInit", E),
    ("I0131 12:00:00.123456    12 init.cc:3] ok", I),
    ("main.c:12:0: error: expected ';'", E),
    ("thread 'main' panicked at src/main.rs:3:5:", E),
    ("Segmentation fault (core dumped)", E),
    ("error: kde is failed: it ended with code 1", E),
    ("warning: the display is slow", W),
    ("<3>error text of systemd", None),
    // No marks.
    ("terror: a film", None),
    ("0 errors: all is well", None),
    ("0 error: all is well", None),
    ("no error: all is well", None),
    ("done with 0 errors, 0 warnings", None),
    ("the error was corrected", None),
    ("mirror: synced", None),
    ("error_count: 5", None),
    ("/var/log/error.log: opened", None),
    ("http://host/error: asked", None),
    ("Information about errors is below", None),
    ("an Error handler is set", None),
    ("E", None),
    ("E5 12", None),
    ("[x] done", None),
    ("100%|##########| 10/10 [00:01<00:00,  9.9it/s]", None),
    ("", None),
    ("größe: 1", None),
];

#[test]
fn the_level_of_real_lines_is_guessed() {
    let wrong: Vec<String> = LINES
        .iter()
        .filter(|(line, expected)| Level::of(line) != *expected)
        .map(|(line, expected)| format!("{line}\n    {:?} instead of {expected:?}", Level::of(line)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn levels_are_ordered() {
    assert!(Level::Error > Level::Warning && Level::Warning > Level::Info && Level::Info > Level::Debug);
}

proptest::proptest! {
    #[test]
    fn any_text_has_at_most_one_level(text in "(error|WARN|\\[|\\]|:| |E|\\(EE\\)|ä|=|level|0){0,80}") {
        // It must not panic, wherever a character is cut.
        let _ = Level::of(&text);
    }
}
