//! A service prints as fast as it can, or clients without a login send as much as they can: other requests are still
//! answered, and memory use does not grow.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::daemon::world::{World, find, is_alive, pid_of, proc_status, until};

/// The longest answer time that a person takes for immediate.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Prints lines of 100 bytes without end, and writes the number of megabytes so far into a file.
const FLOOD: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static char lines[100000];
    char text[32];
    long written = 0;
    int count = open(argv[1], O_CREAT | O_WRONLY | O_TRUNC, 0644);
    memset(lines, 'x', sizeof lines);
    for (int i = 99; i < sizeof lines; i += 100) lines[i] = '\n';
    for (;;) {
        ssize_t n = write(1, lines, sizeof lines);
        if (n < 0) return 1;
        written += n;
        pwrite(count, text, snprintf(text, sizeof text, "%ld\n", written), 0);
    }
}
"#;

fn resident(pid: i32) -> i64 {
    proc_status(pid, "VmRSS").trim_end_matches(" kB").trim().parse::<i64>().unwrap() / 1024
}

/// The median of several measurements.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The best of three tries: a busy machine can make a single one slow.
fn best(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        best = best.min(measure());
        if best < AT_ONCE {
            break;
        }
    }
    best
}

#[test]
fn a_flood_of_output_lines_does_not_delay_other_answers() {
    let mut world = World::of(&[("other", "@polite")]);
    let flood = world.compiled("flood", FLOOD, &[]);
    world.service("flood", &format!("command = [\"{flood}\", \"@D/written\"]\nautostart = false"));
    world.start();
    world.until_up();
    // Memory that is allocated once is allocated before the measurement.
    world.tell(&["start", "flood"]);
    let written = || world.read("written").trim().parse::<u64>().unwrap_or(0);
    until("the log files are full", || (written() > 20_000_000).then_some(()));
    let (before, from, began) = (resident(world.pid()), written(), Instant::now());
    let status = best(|| {
        median(
            (0..7)
                .map(|_| {
                    let asked = Instant::now();
                    assert_eq!(find(&world.status(), "flood")["state"], "ready");
                    asked.elapsed()
                })
                .collect(),
        )
    });
    let stop = best(|| {
        median(
            (0..5)
                .map(|_| {
                    let running = world.until_state("other", "ready");
                    let asked = Instant::now();
                    world.tell(&["stop", "other"]);
                    let pid = pid_of(&running);
                    until("it is gone", || (!is_alive(pid)).then_some(()));
                    let took = asked.elapsed();
                    world.tell(&["start", "other"]);
                    took
                })
                .collect(),
        )
    });
    while began.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
    }
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = (written() - from) as f64 / 1e6 / began.elapsed().as_secs_f64();
    let grown = resident(world.pid()) - before;
    let asked = Instant::now();
    let pid = pid_of(&world.unit("flood"));
    world.tell(&["stop", "flood"]);
    until("the flood is gone", || (!is_alive(pid)).then_some(()));
    let end = asked.elapsed();
    eprintln!(
        "{rate:.0} MB/s; status {status:?}, stop of another {stop:?}, of the flood {end:?}; {grown} MB more memory"
    );
    assert!(rate > 10.0, "{rate:.0} MB/s are no flood");
    assert!(status < AT_ONCE, "status took {status:?} in a flood of {rate:.0} MB/s");
    assert!(stop < AT_ONCE, "a stop took {stop:?} in a flood of {rate:.0} MB/s");
    assert!(end < Duration::from_secs(2), "the flood took {end:?} to end");
    assert!(grown < 30, "{grown} MB more memory");
    world.until_state("flood", "stopped");
    world.end();
}

#[test]
fn endless_request_heads_use_little_memory_and_free_it() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let mut world = World::of(&[("one", "@polite")]);
    world.env("WEB_TOKEN", "a-token").start();
    world.until_up();
    let ask = || {
        let asked = Instant::now();
        let answer = world.http_raw(
            "GET /api/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        asked.elapsed()
    };
    ask();
    let before = resident(world.pid());
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(62_000));
    let (mut most, mut slowest) = (before, Duration::ZERO);
    let mut strangers = Vec::new();
    for number in 0..1500 {
        let mut stranger = TcpStream::connect(("127.0.0.1", world.port())).unwrap();
        stranger.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // The gateway may have closed the connection already.
        let _ = stranger.write_all(head.as_bytes());
        strangers.push(stranger);
        if number % 50 == 0 {
            most = most.max(resident(world.pid()));
            slowest = slowest.max(best(ask));
        }
    }
    assert_eq!(world.cli(&["health"]).code, 0, "{:?}", world.cli(&["health"]));
    drop(strangers);
    until("the memory is given back", || (resident(world.pid()) < before + 16).then_some(()));
    let after = resident(world.pid());
    eprintln!("{before} MB before, {most} at most, {after} after; a token waits {slowest:?}");
    assert!(most < before + 80, "{before} MB became {most}");
    assert!(slowest < Duration::from_secs(1), "a token waited {slowest:?}");
    assert_eq!(find(&world.status(), "one")["state"], "ready");
    world.end();
}
