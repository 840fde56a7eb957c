//! The figures of the machine: read only while a client looks, by one sampler for all clients.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::Value;

use crate::daemon::loss::machine as gpu_machine;
use crate::daemon::world::{PATIENCE, World, descendants, free_port, is_root, skipped, until};

/// Uses memory of its own: `tail` keeps a line that has no end.
const HOLDS: &str =
    "command = [\"sh\", \"-c\", \"{ head -c 300000000 /dev/zero; sleep 1000; } | tail -n 1\"]";

fn report(world: &World) -> Value {
    world.get("/api/machine").expect("an answer of the daemon")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Whether the sampler's thread runs.
fn is_sampling(world: &World) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", world.inner_pid())).unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.flatten().any(|task| name(task) == "machine\n")
}

fn until_at_rest(world: &World) {
    until("the sampler ends", || (!is_sampling(world)).then_some(()));
}

/// The row of a service in a report.
fn row(report: &Value, name: &str) -> Option<Value> {
    let rows = report["now"]["services"].as_array().cloned().unwrap_or_default();
    rows.into_iter().find(|row| row["name"] == name)
}

/// A stream of figures.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(world: &World) -> Self {
        let mut socket = UnixStream::connect(world.control_socket()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET /api/machine/stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        Self(BufReader::new(socket))
    }

    /// The name and the value of the next event.
    fn next(&mut self) -> (String, Value) {
        let (mut name, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream has ended");
            if let Some(text) = line.strip_prefix("event:") {
                text.trim().clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data:") {
                return (name, serde_json::from_str(text).unwrap());
            }
        }
    }

    fn sample(&mut self) -> Value {
        let (name, value) = self.next();
        assert_eq!(name, "sample");
        value
    }
}

#[test]
fn nothing_is_read_while_no_client_looks() {
    let world = World::running(&[("a", "@polite")]);
    world.until_up();
    assert!(!is_sampling(&world), "before the first client");
    let first = report(&world);
    let now = &first["now"];
    assert!(
        now["cpu_share"].is_f64() && now["cpu_cores"].is_f64() && number(&now["memory_used_bytes"]) > 0,
        "{first:#}"
    );
    assert!(
        now["network_received_bytes_per_second"].is_u64() && now["gpus"] == Value::Array(Vec::new()),
        "{first:#}"
    );
    assert_eq!(now["disks"][0]["path"], "/");
    until_at_rest(&world);
    // A sampler that went on would make three samples meanwhile.
    sleep(Duration::from_secs(3));
    let made = number(&report(&world)["now"]["seq"]) - number(&now["seq"]);
    assert!(made <= 2, "{made} samples, of which an answer needs two");
    // Commands that do not ask for figures have none read.
    until_at_rest(&world);
    world.tell(&["status"]);
    assert!(!is_sampling(&world));
}

#[test]
fn four_streams_have_one_sampler_and_end_it() {
    let world = World::running(&[]);
    let before = number(&report(&world)["now"]["seq"]);
    let mut streams: Vec<Stream> = (0..4).map(|_| Stream::open(&world)).collect();
    for stream in &mut streams {
        let (name, history) = stream.next();
        assert_eq!((name.as_str(), &history["seconds"]["step_seconds"]), ("history", &Value::from(1)));
        assert_eq!(history["minutes"]["step_seconds"], 60);
    }
    let began = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen = streams.iter_mut().map(|stream| number(&stream.sample()["seq"])).collect();
    }
    let most = began.elapsed().as_secs() + 4;
    let made = seen.iter().max().unwrap() - before;
    assert!(made <= most, "{made} samples for four streams, at most {most} for one: {seen:?}");
    let spread = seen.iter().max().unwrap() - seen.iter().min().unwrap();
    assert!(spread <= 1, "all get the same samples: {seen:?}");
    streams.truncate(1);
    assert!(is_sampling(&world));
    streams.clear();
    until_at_rest(&world);
}

#[test]
fn services_have_rows_while_they_have_processes() {
    let quick = "command = [\"sh\", \"-c\", \"while :; do /bin/true; done\"]";
    let world =
        World::running(&[("holds", HOLDS), ("quick", quick), ("contained", "@polite\ncontain = true")]);
    world.until_up();
    let mut stream = Stream::open(&world);
    assert_eq!(stream.next().0, "history");
    let found = until("all services are in a sample", || {
        let report = Value::from_iter([("now", stream.sample())]);
        let rows = ["holds", "quick", "contained", "desktopd"].map(|name| row(&report, name));
        let [Some(holds), Some(quick), Some(contained), Some(own)] = rows else { return None };
        let busy = quick["cpu_share"].as_f64()? > 0.05;
        // Memory is read at each third look.
        (busy && number(&holds["memory_bytes"]) > 250_000_000).then_some((holds, contained, own))
    });
    let (holds, contained, own) = found;
    // The shell, perhaps another one for its part of the pipe, sleep and tail; the guard, the script and its sleep.
    assert!((3..=4).contains(&number(&holds["processes"])), "{holds}");
    assert_eq!(contained["processes"], 3, "{contained}");
    assert!(number(&own["memory_bytes"]) > 1_000_000 && own["processes"] == 1, "{own}");
    assert!(number(&contained["memory_bytes"]) < 50_000_000, "{contained}");
    world.tell(&["stop", "--wait", "quick", "contained"]);
    until("the rows of stopped services are gone", || {
        let report = Value::from_iter([("now", stream.sample())]);
        let gone = row(&report, "quick").is_none() && row(&report, "contained").is_none();
        (gone && row(&report, "holds").is_some()).then_some(())
    });
    drop(stream);
    // The past still has them.
    let history = report(&world)["history"]["services"].clone();
    let names: Vec<&str> =
        history["services"].as_array().unwrap().iter().map(|chart| chart["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["contained", "desktopd", "holds", "quick"]);
}

/// A control group for memory, below which the daemon runs.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// `None` where version 1 has no files, or they may not be written.
    fn new() -> Option<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/memory/desktopd-test-{}", free_port()));
        if !is_root() || fs::create_dir(&path).is_err() {
            skipped("control groups of version 1 cannot be made here");
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        until("the control group is empty", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn the_cache_of_files_is_not_memory_in_use() {
    let Some(group) = MemoryGroup::new() else { return };
    let mut world = World::of(&[
        ("holds", HOLDS),
        (
            "writes",
            "command = [\"dd\", \"if=/dev/zero\", \"of=@D/file\", \"bs=1M\", \"count=150\"]\ntype = \"oneshot\"\nautostart = false",
        ),
    ]);
    let file = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.0.display());
    world.wrapped_in(&["sh", "-c", &file, "sh"]);
    world.start();
    let level = |report: &Value| {
        let now = &report["now"];
        (number(&now["memory_used_bytes"]), number(&now["memory_cache_bytes"]))
    };
    let mut last = 0;
    let (used, cache) = until("the service has its memory, and takes no more", || {
        let level = level(&report(&world));
        let grown = level.0.abs_diff(std::mem::replace(&mut last, level.0));
        (level.0 > 300_000_000 && grown < 1 << 20).then_some(level)
    });
    assert!(used < 1 << 30 && cache < 200 << 20, "the group's own figures: {used} used, {cache} cache");
    world.tell(&["start", "--wait", "writes"]);
    let after = level(&report(&world));
    // The kernel may have written and given up a part already.
    assert!(after.1 > cache + (64 << 20), "cache: {cache}, then {}", after.1);
    // The heads of cached blocks are memory of the kernel, up to 2.5 % of what is cached; version 1 does not tell their size.
    assert!(after.0.abs_diff(used) < used / 50, "used: {used}, then {}", after.0);
    let kernels = fs::read_to_string(group.0.join("memory.usage_in_bytes")).unwrap();
    let kernels: u64 = kernels.trim().parse().unwrap();
    assert!(kernels.abs_diff(after.0 + after.1) < kernels / 50, "{kernels} are {} and {}", after.0, after.1);
    world.end();
}

/// A GPU whose figures NVML reports. While `stuck` exists, NVML does not answer.
#[test]
fn nvml_is_asked_in_a_child_while_a_client_looks_and_may_hang() {
    let Some((mut world, _events)) = gpu_machine("llvmpipe") else { return };
    world.start();
    world.until_up();
    let children = || {
        let asks = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("__probe\0loads"))
        };
        descendants(world.pid()).into_iter().filter(asks).count()
    };
    assert_eq!(children(), 0);
    let gpu = report(&world)["now"]["gpus"][0].clone();
    assert_eq!((&gpu["name"], &gpu["place"]), (&"NVIDIA Test GPU".into(), &"0000:a1:00.0".into()), "{gpu}");
    assert_eq!((&gpu["busy_share"], &gpu["encoder_share"]), (&0.37.into(), &0.04.into()), "{gpu}");
    assert_eq!(
        (number(&gpu["memory_used_bytes"]), number(&gpu["memory_total_bytes"])),
        (3 << 30, 16 << 30),
        "{gpu}"
    );
    assert_eq!((&gpu["temperature_celsius"], &gpu["power_watts"]), (&46.0.into(), &Value::Null), "{gpu}");
    assert_eq!(gpu["reason"], Value::Null);
    until("the child ends with the client", || (children() == 0).then_some(()));
    let mut stream = Stream::open(&world);
    assert_eq!(stream.next().0, "history");
    until("the child's figures come", || (stream.sample()["gpus"][0]["busy_share"] == 0.37).then_some(()));
    assert_eq!(children(), 1);
    world.write("stuck", "");
    let began = Instant::now();
    let reason = until("the figures are gone", || {
        let gpu = stream.sample()["gpus"][0].clone();
        gpu["reason"].as_str().filter(|_| gpu["busy_share"].is_null()).map(str::to_owned)
    });
    assert!(reason.contains("does not answer") && began.elapsed() < Duration::from_secs(8), "{reason}");
    until("the child is ended", || {
        let gpu = stream.sample()["gpus"][0].clone();
        gpu["reason"].as_str()?.contains("NVML's library timed out after 5 s").then_some(())
    });
    until("no child is left", || (children() == 0).then_some(()));
}

#[test]
fn top_shows_a_sample_where_there_is_no_terminal() {
    let world = World::running(&[("a", "@polite")]);
    world.until_up();
    let text = world.tell(&["top"]);
    for line in
        ["CPU      ", "\nmemory   ", "\ndisk     /: ", "\nnetwork  ", "\nNAME", "\na  ", "\ndesktopd  "]
    {
        assert!(text.contains(line), "{line:?}: {text}");
    }
    assert!(!text.contains('\u{1b}'));
    let json: Value = serde_json::from_str(&world.tell(&["top", "--once", "-o", "json"])).unwrap();
    assert!(json["cpu_share"].is_f64() && json["services"].is_array(), "{json:#}");
    assert!(world.cli(&["top", "--sort", "name"]).code == 64);
}

#[test]
fn top_uses_a_terminal_until_a_key_and_leaves_it_as_it_was() {
    for end in [&b"q"[..], b"\x03"] {
        let mut world = World::of(&[("a", "@polite")]);
        world.env("TERM", "xterm");
        world.start();
        let size = Winsize { ws_row: 24, ws_col: 44, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let (mut keys, mut shown) = (File::from(pty.master.try_clone().unwrap()), File::from(pty.master));
        let out = Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = world.cli_command(&["top"]);
        let mut child =
            command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stdout(out).spawn().unwrap();
        let mut text = String::new();
        let mut read_until = |wanted: &str| {
            let mut chunk = [0; 4096];
            while !text.contains(wanted) {
                let length = shown.read(&mut chunk).unwrap();
                text.push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
            std::mem::take(&mut text)
        };
        let frame = read_until("desktopd ");
        assert!(frame.starts_with("\u{1b}[?1049h") && frame.contains("NAME"), "{frame:?}");
        // Refreshed from the stream.
        read_until("\u{1b}[HCPU");
        assert!(!tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ECHO));
        keys.write_all(end).unwrap();
        read_until("\u{1b}[?1049l");
        assert!(until("top ends", || child.try_wait().unwrap()).success());
        assert!(tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON));
    }
}

#[test]
fn prometheus_gets_the_figures_from_one_sample_and_no_sampler_stays() {
    let mut world = World::of(&[("a", "@polite")]);
    world.env("WEB_ENABLE_AUTH", "false");
    world.start();
    world.until_up();
    let metrics = || world.http("GET /desktopd/metrics HTTP/1.1\r\n");
    let samples = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("desktopd_machine_samples_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let first = metrics();
    for name in [
        "desktopd_cpu_seconds_total ",
        "desktopd_memory_used_bytes ",
        "desktopd_filesystem_used_bytes{path=\"/\"} ",
        "desktopd_network_receive_bytes_total ",
        "desktopd_unit_memory_bytes{unit=\"a\"} ",
        "desktopd_unit_cpu_seconds_total{unit=\"desktopd\"} ",
    ] {
        assert!(first.lines().any(|line| line.starts_with(name)), "{name}: {first}");
    }
    until_at_rest(&world);
    let second = metrics();
    let made = samples(&second) - samples(&first);
    assert!((1..=2).contains(&made), "{made} samples for one answer");
    until_at_rest(&world);
}
