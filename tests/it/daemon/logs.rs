//! Logs of several services: merged, filtered, continued, and downloaded; and a service that prints faster than its
//! readers read.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::world::{World, proc_status, until};

/// Prints its name and a number at each change of the file `go`, and again from 0 after a restart.
const COUNTS: &str = "#!/usr/bin/env python3\nimport os, sys, time\nlast = ''\nwhile True:\n  try:\n    \
    go = open(os.environ['D'] + '/go').read()\n  except OSError:\n    go = ''\n  \
    if go != last and go.startswith(sys.argv[1]):\n    print(go, flush=True)\n  last = go\n  time.sleep(0.01)\n";

/// Prints 100,000 numbered lines a second.
const FAST: &str = "#!/usr/bin/env python3\nimport os, time\nn = 0\nnext = time.monotonic()\nwhile True:\n  \
    os.write(1, b''.join(b'%09d a line of a service that prints fast\\n' % i for i in range(n, n + 1000)))\n  \
    n += 1000\n  next += 0.01\n  time.sleep(max(0, next - time.monotonic()))\n";

/// A request on the control socket whose answer is read by hand.
fn open(world: &World, path: &str) -> BufReader<UnixStream> {
    let mut socket = UnixStream::connect(world.path("run/control.sock")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the answer has a head");
    }
    reader
}

/// The next rows of a stream, and the position after them.
fn next_rows(stream: &mut BufReader<UnixStream>) -> (Vec<Value>, String) {
    let (mut rows, mut id) = (None, String::new());
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream goes on");
        if let Some(text) = line.strip_prefix("data: [") {
            rows = Some(serde_json::from_str(&format!("[{text}")).unwrap());
        } else if let Some(text) = line.strip_prefix("id: ") {
            text.trim().clone_into(&mut id);
        } else if line == "\n" && rows.is_some() {
            return (rows.unwrap_or_default(), id);
        }
    }
}

#[test]
fn logs_of_services_are_merged_across_rotation_and_restart() {
    let mut world = World::new();
    world.script("counts", COUNTS);
    for name in ["alpha", "beta"] {
        world.service(name, &format!("command = [\"@D/counts\", \"{name}\"]"));
    }
    let settings = world.read("desktopd.toml");
    world.write("desktopd.toml", &format!("{settings}[logs]\nfile-size = \"20KiB\"\nfiles = 1\n"));
    world.start();
    world.until_up();
    let mut expected = Vec::new();
    for n in 0..8 {
        let name = ["alpha", "beta"][n % 2];
        if n == 4 {
            let before = world.unit("beta");
            world.tell(&["restart", "beta"]);
            world.until_replaced("beta", &before);
        }
        // Long enough that the files are rotated.
        let line = format!("{name} {n} {}", "x".repeat(12_000));
        world.replace("go", &line);
        until("the line is there", || world.log(name).ends_with(&format!("{line}\n")).then_some(()));
        expected.push(line);
    }
    assert!(world.path("log/alpha.log.1").exists(), "the file was rotated");
    let shown = world.tell(&["logs", "alpha", "beta", "-n", "all"]);
    let found: Vec<&str> = shown.lines().map(|line| line.split_once(" | ").unwrap().1).collect();
    assert_eq!(found, expected);
    assert!(shown.lines().next().unwrap().contains("Z alpha | alpha 0"), "{shown}");
    for (words, query) in [
        (&["-n", "3"][..], "tail=3"),
        (&["alpha", "beta", "--since", "1h"], "service=alpha&service=beta&since=1h"),
        (&["beta", "--grep", "BETA 5"], "service=beta&grep=BETA+5"),
        (
            &["--regex", "--grep", "(alpha|beta) [45] x", "-n", "all", "--no-colour"],
            "grep=(alpha%7Cbeta)+%5B45%5D+x&regex=1&colour=0",
        ),
        (&["--level", "info", "-n", "all"], "level=info"),
    ] {
        let mut text = String::new();
        open(&world, &format!("/api/logs/download?{query}")).read_to_string(&mut text).unwrap();
        let printed = world.tell(&[&["logs"], words].concat());
        assert_eq!(printed, text, "{words:?}");
        assert!(words.contains(&"info") || !text.is_empty(), "{words:?}");
    }
    let json = world.tell(&["logs", "-o", "json", "alpha", "-n", "1"]);
    let row: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((row["service"].as_str(), row["text"].as_str()), (Some("alpha"), Some(&*expected[6])));
    for (words, told) in [
        (&["logs", "alpah"][..], "did you mean 'alpha'?\ntry: desktopd logs alpha\n"),
        (
            &["logs", "-E", "--grep", "a(b"],
            "try: desktopd logs --grep 'a(b', which searches the text as it is\n",
        ),
    ] {
        let answer = world.cli(words);
        assert!(answer.code == 1 && answer.err.ends_with(told), "{answer:?}");
    }
    world.end();
}

#[test]
fn a_fast_service_and_slow_readers_lose_no_row_uncounted() {
    let mut world = World::of(&[("fast", "command = [\"@D/fast\"]\nautostart = false")]);
    world.script("fast", FAST);
    world.start();
    world.until_up();
    let mut slow = open(&world, "/api/logs/stream?service=fast");
    world.tell(&["start", "fast"]);
    next_rows(&mut slow);
    let resident =
        || proc_status(world.pid(), "VmRSS").trim_end_matches(" kB").trim().parse::<i64>().unwrap();
    let before = resident();
    let mut streams: Vec<_> = (0..8).map(|_| open(&world, "/api/logs/stream?service=fast&tail=0")).collect();
    // The first client reads nothing, and the others are continued by new connections.
    let mut expected = vec![None; streams.len()];
    let (mut lost, mut seen) = (0, 0);
    for round in 0..40 {
        for (stream, expected) in streams.iter_mut().zip(&mut expected) {
            let (rows, id) = next_rows(stream);
            for row in &rows {
                if let Some(count) = row["lost"].as_u64() {
                    lost += count;
                    *expected = expected.map(|expected: u64| expected + count);
                    continue;
                }
                let number: u64 = row["text"].as_str().unwrap()[..9].parse().unwrap();
                assert!(expected.is_none_or(|expected| expected == number), "{number} and not {expected:?}");
                *expected = Some(number + 1);
                seen += 1;
            }
            if round % 10 == 9 {
                *stream = open(&world, &format!("/api/logs/stream?service=fast&after={id}"));
            }
        }
    }
    assert!(seen > 10_000, "{seen} rows were seen, {lost} lost");
    let grown = resident() - before;
    assert!(grown < 24 * 1024, "{grown} kB more");
    // Now the first one reads: what it missed is counted, and what the ring has follows without a gap.
    let counted = (0..200).find_map(|_| {
        let (rows, _) = next_rows(&mut slow);
        rows.iter().find_map(|row| row["lost"].as_u64())
    });
    assert!(counted.is_some_and(|lost| lost > 1000), "{counted:?}");
    world.end();
}
