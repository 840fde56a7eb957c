//! `desktopd run` beside a running daemon: the program runs in the desktop of that daemon.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, is_root, pid_of, skipped, until, variable};

/// A stand-in for VirtualGL's `vglrun`, which behaves as version 3.1.5 was seen to: options become variables, the
/// libraries come first in `LD_PRELOAD` and once only, the script becomes the program.
const VGLRUN: &str = include_str!("vglrun.sh");

/// The desktop's environment, as far as it matters here.
const SESSION: &str = r#"
[environment]
PATH = "@D/bin:/usr/bin:/bin"
[desktop-environment]
DISPLAY = "${display}"
VGL_DISPLAY = "${vgl-device}"
VGL_FPS = "${vgl-fps}"
"#;

/// A desktop whose programs draw on the GPU of another X server, which needs no GPU here.
fn world(display: &str) -> World {
    let mut world = World::new();
    fs::create_dir(world.path("bin")).unwrap();
    world.script(
        "bin/Xvfb",
        "#!/bin/sh\nuntil [ -e \"$D/go\" ]; do sleep 0.01; done\nexec \"$D/polite\" xvfb\n",
    );
    world.script("bin/vglrun", VGLRUN);
    let folder = world.path("").display().to_string();
    let toml = world.read("desktopd.toml") + &SESSION.replace("@D", folder.trim_end_matches('/'));
    world.write("desktopd.toml", &toml);
    world.service(
        "xvfb",
        "command = [\"Xvfb\"]\nprovides = [\"x-server\"]\nready = { kind = \"fd\" }\nrestart-limit = 1",
    );
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", path).env("DESKTOPD_DISPLAY", display).env("VGL_DISPLAY", "gpu:0").env("DISPLAY", ":7");
    if is_root() {
        world.env("USER_NAME", "root");
    }
    world
}

/// The same, running, with an X server that is ready.
fn running(display: &str) -> World {
    let mut world = world(display);
    world.write("go", "");
    world.start();
    world.until_up();
    world
}

#[test]
fn a_program_draws_as_the_desktop_does_and_its_exit_code_is_the_commands() {
    for (display, drawn) in [("virtualgl", "gpu:0 60 on"), ("llvmpipe", "- - off")] {
        let world = running(display);
        let script = "echo \"$DISPLAY ${VGL_DISPLAY:--} ${VGL_FPS:--} ${VGL_ISACTIVE:+on}${VGL_ISACTIVE:-off}\"; exit 7";
        let answer = world.cli(&["run", "--", "sh", "-c", script]);
        let expected = format!(":7 {drawn}\n").replace("on\n", "on1\n");
        assert_eq!((answer.code, &*answer.out, &*answer.err), (7, &*expected, ""), "{display}");
        // The daemon goes on.
        assert_eq!(world.status()["up"], true);
    }
}

#[test]
fn the_process_becomes_the_program_so_signals_reach_it_and_end_it() {
    let world = running("virtualgl");
    for (on_term, expected) in [("exit 9", (Some(9), None)), ("trap - TERM; kill $$", (None, Some(15)))] {
        let script = format!("trap '{on_term}' TERM; echo $$ > \"$D/pid\"; while :; do sleep 0.02; done");
        let mut program = world.cli_with(&["run", "--", "sh", "-c", &script], Stdio::null());
        let pid = Pid::from_raw(program.id().cast_signed());
        until("it listens", || (world.read("pid") == format!("{pid}\n")).then_some(()));
        kill(pid, Signal::SIGTERM).unwrap();
        let status = program.wait().unwrap();
        assert_eq!((status.code(), status.signal()), expected, "{on_term}");
    }
}

#[test]
fn a_program_that_cannot_run_is_refused_in_words() {
    let world = running("virtualgl");
    let no_interpreter = world.script("no-interpreter", "#!/no/such/interpreter\n");
    let plain = world.path("desktopd.toml").display().to_string();
    for (program, code, told) in [
        ("no-such-program-here", 127, "\"no-such-program-here\" is not installed (it is in none of /"),
        ("/no/such/file", 127, "is not installed, or not executable"),
        (&*plain, 126, "is not installed, or not executable"),
        // From here on, it is the shell of vglrun that speaks.
        (&*no_interpreter, 127, "no-interpreter"),
    ] {
        let answer = world.cli(&["run", "--", program]);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.err.contains(told), "{answer:?}");
    }
}

#[test]
fn the_desktops_variables_win_and_all_others_but_the_daemons_secrets_are_passed_on() {
    let mut world = world("virtualgl");
    world.write("go", "");
    world.env("WEB_PASSWORD", "secret-password").env("FIRST", "1").env("SECOND", "1");
    world.start();
    world.until_up();
    world.write("environment", "FIRST=edited\n");
    let mut program = world.cli_command(&["run", "--", "env"]);
    let folder = world.path("mine").display().to_string();
    let more =
        [("THIRD", "3"), ("DISPLAY", ":9"), ("SECOND", "2"), ("TERM", "xterm"), ("WAYLAND_DISPLAY", "w")];
    program.envs(more).env("PATH", format!("{folder}:/bin"));
    let output = program.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    for (name, expected) in [
        ("DISPLAY", Some(":7")),
        ("FIRST", Some("edited")),
        ("SECOND", Some("1")),
        ("THIRD", Some("3")),
        ("TERM", Some("xterm")),
        ("WEB_PASSWORD", None),
        ("WAYLAND_DISPLAY", None),
        ("PATH", Some(&*format!("{folder}:{}:/usr/bin:/bin", world.path("bin").display()))),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
}

#[test]
fn a_program_waits_for_an_x_server_that_is_starting_and_starts_without_one_that_has_failed() {
    let mut world = world("llvmpipe");
    world.start();
    let mut program = world.cli_with(&["run", "--", "sh", "-c", "echo run >> \"$D/order\""], Stdio::null());
    world.write("go", "");
    assert!(program.wait().unwrap().success());
    assert_eq!(world.order(), ["xvfb up", "run"]);

    fs::remove_file(world.path("bin/Xvfb")).unwrap();
    world.script("bin/Xvfb", "#!/bin/sh\necho 'no screens found' >&2\nexit 1\n");
    kill(Pid::from_raw(pid_of(&world.unit("xvfb"))), Signal::SIGKILL).unwrap();
    world.until_state("xvfb", "failed");
    let answer = world.cli(&["run", "--", "sh", "-c", "exit 5"]);
    assert_eq!(answer.code, 5, "{answer:?}");
    assert!(answer.err.starts_with("desktopd: warning: xvfb is failed: "), "{answer:?}");
    assert!(answer.err.contains("; the program starts without an X server\n"), "{answer:?}");
}

#[test]
fn root_becomes_the_desktops_user_and_other_users_are_refused() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let mut world = world("virtualgl");
    world.write("go", "");
    world.env("USER_NAME", "nobody");
    world.start();
    world.until_up();
    let who = "echo \"$(id -u) $(id -g) $USER $HOME $(umask)\"";
    let expected = format!("65534 65534 {} /nonexistent 0002\n", "nobody");
    let answer = world.cli(&["run", "--", "sh", "-c", who]);
    assert_eq!((answer.code, &*answer.out, &*answer.err), (0, &*expected, ""));
    // The folder that the program was started in stays.
    let mut program = world.cli_command(&["run", "--", "pwd"]);
    let output = program.current_dir("/usr/share").output().unwrap();
    assert_eq!(output.stdout, b"/usr/share\n", "{output:?}");

    // Other users may be unable to read the folder that the tests' program is in.
    let copy = world.path("desktopd");
    fs::copy(env!("CARGO_BIN_EXE_desktopd"), &copy).unwrap();
    let as_user = |uid: u32, gid: u32| {
        let known = world.cli_command(&["run", "--", "sh", "-c", who]);
        let mut program = std::process::Command::new(&copy);
        let set = known.get_envs().filter_map(|(name, value)| Some((name, value?)));
        program.args(known.get_args()).env_clear().envs(set).uid(uid).gid(gid);
        let output = program.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(as_user(65534, 65534), (Some(0), expected, String::new()));
    // In the group of the desktop's user, so that the daemon answers.
    let (code, _, told) = as_user(12345, 65534);
    assert_eq!(code, Some(126), "{told}");
    assert!(told.contains("only root and the desktop's user can start programs in the desktop"), "{told}");
    let (code, _, told) = as_user(12345, 12345);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("this needs root or the desktop's user"), "{told}");
}

#[test]
fn services_of_the_desktop_draw_under_virtualgl_and_what_they_start_does_once() {
    let mut world = world("virtualgl");
    world.write("go", "");
    let lib = world.compiled("libvglfaker.so", "int vgl;", &["-shared", "-fPIC"]);
    fs::copy(lib, world.path("libdlfaker.so")).unwrap();
    world.env("VGL_LIBDIR", world.path(""));
    world.service(
        "app",
        "command = [\"sh\", \"-c\", \"vglrun -d egl5 sleep 2001 & sleep 2002\"]\ndesktop = true",
    );
    world.start();
    let app = pid_of(&world.until_state("app", "ready"));
    let named = |name: &str| {
        let line = format!("sleep\0{name}\0");
        let is =
            |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.as_bytes());
        until(name, || world.everything().into_iter().find(is))
    };
    let (inner, outer) = (named("2001"), named("2002"));
    let get = |pid: i32, name: &str| variable(pid, name).unwrap().into_string().unwrap();
    let fakers = "libdlfaker.so:libvglfaker.so";
    for (pid, device) in [(app, "gpu:0"), (outer, "gpu:0"), (inner, "egl5")] {
        assert_eq!((get(pid, "LD_PRELOAD"), get(pid, "VGL_DISPLAY")), (fakers.to_owned(), device.to_owned()));
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        assert!(maps.contains("libvglfaker.so"), "{pid}: {maps}");
    }
}
