//! Measures how long a start takes and how much memory the daemon itself needs: the figures are printed, and asserted
//! only where they would make no sense.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::docker::{Container, image_config};
use crate::net::{Reply, free_port, http_get};
use crate::stack::{self, DESKTOP, PASSWORD, PORTAL, START, Stack, USER};

/// Shorter than the pauses of other probes: the time itself is measured.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn time_and_memory_of_a_start() {
    // Docker needs a moment to report the ports that it chose, so the test chooses them.
    let (portal, desktop) = (free_port(), free_port());
    let spec = Container::of_image()
        .option("--shm-size=1g")
        .option(format!("--publish=127.0.0.1:{portal}:{PORTAL}"))
        .option(format!("--publish=127.0.0.1:{desktop}:{DESKTOP}"))
        .env("WEB_USER", USER)
        .env("WEB_PASSWORD", PASSWORD);
    let start = Instant::now();
    // No request is sent before the container has its network: a first packet that is lost costs a second.
    let stack = Stack::with_ports(spec.start(&["init"]), portal, desktop);
    let pages = tokio::spawn(async move {
        let door = answers(portal, "desktopd/health", "ok").await;
        (door, answers(portal, "", "desktopd").await, answers(desktop, "", "selkies").await)
    });
    // The window is looked for inside the container, where the probe costs least.
    let name = stack.name.clone();
    let window = tokio::task::spawn_blocking(move || {
        let search = "until runuser -u user -- env DISPLAY=:0 xdotool search --onlyvisible --class plasmashell; \
                      do sleep 0.02; done >/dev/null 2>&1";
        Container::of_another(&name).exec_ok(&["timeout", "90", "bash", "-c", search]);
        Instant::now()
    });
    let (door, portal, page) = pages.await.expect("a task that asks");
    let window = window.await.expect("a task that asks");
    let status = stack.wait_until_up().await;

    let mut report = format!("image                     {} MB\n", size() / 1_000_000);
    let moments = [
        ("first answer", door),
        ("portal, after a login", portal),
        ("desktop's page", page),
        ("panel is visible", window),
    ];
    for (what, at) in moments {
        let took = at.saturating_duration_since(start);
        writeln!(report, "docker run -> {what:<23} {took:.2?}").expect("write into a text");
    }
    for (what, kilobytes) in memory(&stack) {
        writeln!(report, "memory (PSS) of {what:<19} {kilobytes} kB").expect("write into a text");
    }
    writeln!(report, "processes in the container {}", stack.exec_ok(&["bash", "-c", "pgrep -c ."]))
        .expect("write");
    eprintln!("{report}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).expect("make a folder for figures");
    std::fs::write(folder.join("figures.txt"), &report).expect("keep the figures");
    assert!(status.up && door <= page, "the gateway answers first: {report}");
}

/// The time of the first page that contains a word, after a login.
async fn answers(port: u16, path: &str, word: &str) -> Instant {
    let login = stack::basic(USER, PASSWORD);
    let url = format!("http://127.0.0.1:{port}/{path}");
    let deadline = Instant::now() + START;
    loop {
        let reply = http_get(&url, &[("Authorization", &login)]).await;
        let now = Instant::now();
        let right = |reply: Reply| reply.status == 200 && reply.body.to_lowercase().contains(word);
        if reply.is_ok_and(right) {
            return now;
        }
        assert!(now < deadline, "{url} does not answer with a page");
        tokio::time::sleep(PAUSE).await;
    }
}

fn size() -> u64 {
    image_config(".Size").as_u64().expect("an image's size is a number")
}

/// The daemon's own processes, by name.
fn memory(stack: &Stack) -> Vec<(String, u64)> {
    let script = "for process in /proc/[0-9]*; do
            [ \"$(readlink $process/exe)\" = \"$(readlink /proc/1/exe)\" ] || continue
            echo \"$(tr '\\0' ' ' <$process/cmdline)= $(awk '/^Pss:/ { print $2 }' $process/smaps_rollup)\"
        done";
    let said = stack.exec_ok(&["bash", "-c", script]);
    let parse = |line: &str| {
        let (name, kilobytes) = line.rsplit_once("= ")?;
        Some((name.trim().to_owned(), kilobytes.parse().ok()?))
    };
    let all: Vec<_> = said.lines().filter_map(parse).collect();
    assert!(all.iter().any(|(name, _)| name == "init"), "the daemon's own memory: {said}");
    all
}
