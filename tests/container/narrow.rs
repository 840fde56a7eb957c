//! Containers with restrictions: fewer writable places, fewer rights, fewer system calls, fewer processes, another
//! user, another PID 1. Every service that can run does, the other services report why not, and the daemon stops
//! cleanly.

use std::fs;
use std::time::{Duration, Instant};

use desktopd::observe::{Snapshot, UnitState, UnitStatus};

use crate::docker::Spec;
use crate::net::http_get;
use crate::poll::eventually;
use crate::stack::{self, PASSWORD, START, Stack, USER, VISIBLE};

/// Docker's usual grace period for a stop.
const GRACE: Duration = Duration::from_secs(10);

/// Services that these tests do not need; leaving them out saves the load of a desktop.
const BARE: &str = "kde,selkies,vnc,fcitx5,pipewire,pipewire-pulse,wireplumber,dbus-system";

const SOON: Duration = Duration::from_secs(30);

fn spec() -> Spec {
    stack::spec().env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD)
}

/// Waits until the services that people see are ready and both pages answer.
async fn is_a_desktop(stack: &Stack) -> Snapshot {
    let status = stack.wait_until_up().await;
    for name in VISIBLE {
        let unit = status.unit(name).expect("a unit of the image");
        assert_eq!(unit.state, UnitState::Ready, "{}", stack::units(&status));
    }
    for url in [stack.portal(), stack.desktop()] {
        assert_eq!(answer(&url).await, 200, "{url}");
    }
    let plasma = stack.exec(&["pgrep", "-x", "plasmashell"]);
    assert_eq!(plasma.code, Some(0), "plasmashell runs");
    status
}

async fn answer(url: &str) -> u16 {
    let login = stack::basic(USER, PASSWORD);
    http_get(url, &[("Authorization", &login)]).await.unwrap_or_else(|error| panic!("{url}: {error}")).status
}

async fn stops_well(stack: &Stack) {
    // Any process is one for the moment between its end and its parent's look at it; none may stay one.
    eventually("no process that has ended and stays", SOON, async || {
        let zombies = zombies(stack);
        if zombies.is_empty() { Ok(()) } else { Err(zombies) }
    })
    .await;
    let start = Instant::now();
    stack.stop(GRACE);
    assert_eq!(stack.wait_exit_code(SOON).await, 0, "{}", stack.logs());
    assert!(start.elapsed() < GRACE, "it was asked, not killed: {:?}", start.elapsed());
}

fn zombies(stack: &Stack) -> String {
    stack.exec_ok(&["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status || true"])
}

fn problem<'a>(status: &'a Snapshot, words: &[&str]) -> &'a str {
    let found = status.problems.iter().find(|problem| words.iter().all(|word| problem.contains(word)));
    found.unwrap_or_else(|| panic!("no problem names {words:?}: {:#?}", status.problems))
}

#[tokio::test]
async fn a_read_only_root_is_enough() {
    let container = ["--read-only", "--tmpfs=/run", "--tmpfs=/tmp", "--tmpfs=/home/user"]
        .into_iter()
        .fold(spec(), Spec::option)
        .start(&["init"]);
    let stack = Stack::new(container);
    let status = is_a_desktop(&stack).await;
    problem(&status, &["/var/lib/desktopd", "will not survive a restart"]);
    problem(&status, &["/var/log/desktopd", "in memory only"]);
    assert_eq!(stack.as_user(&["test", "-w", "/home/user/.config"]).code, Some(0), "the home is the user's");
    assert_eq!(stack.exec_ok(&["cat", "/etc/machine-id"]).len(), 32, "an id of its own");
    assert!(
        stack.exec_ok(&["desktopd", "logs", "x-server"]).lines().count() > 0
            || stack.logs().contains("kde |")
    );
    stops_well(&stack).await;
}

#[tokio::test]
async fn without_a_writable_place_the_message_says_what_is_needed() {
    let container = spec().option("--read-only").start(&["init"]);
    assert_eq!(container.wait_exit_code(SOON).await, 1);
    let logs = container.logs();
    assert!(logs.contains("/run/desktopd: Read-only") && logs.contains("--tmpfs /run"), "{logs}");
}

#[tokio::test]
async fn a_home_that_is_not_writable_is_reported() {
    let container = ["--read-only", "--tmpfs=/run", "--tmpfs=/tmp"]
        .into_iter()
        .fold(spec().env("SUPERVISOR_NO_AUTOSTART", BARE), Spec::option)
        .start(&["init"]);
    let stack = Stack::new(container);
    let status = stack.wait_until_up().await;
    problem(&status, &["/home/user", "read-only", "mount a volume"]);
    stops_well(&stack).await;
}

/// The limits of a careful administrator or an old engine: no capability that is not needed, no new privileges, no
/// program in /run, and none of the newer system calls.
#[tokio::test]
async fn few_rights_and_few_system_calls_are_enough() {
    let folder = tempfile::tempdir().expect("make a folder");
    let profile = folder.path().join("seccomp.json");
    fs::write(&profile, seccomp(&["pidfd_open", "pidfd_send_signal", "clone3"], 38))
        .expect("write a profile");
    let rights = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL"]
        .map(|right| format!("--cap-add={right}"));
    let container = rights
        .into_iter()
        .fold(spec().option("--cap-drop=ALL"), Spec::option)
        .option("--security-opt=no-new-privileges")
        .option(format!("--security-opt=seccomp={}", profile.display()))
        .option("--tmpfs=/run:noexec,nosuid")
        .start(&["init"]);
    let stack = Stack::new(container);
    is_a_desktop(&stack).await;
    stops_well(&stack).await;
}

/// A seccomp profile that allows all system calls except these, which fail with this error.
fn seccomp(calls: &[&str], error: u32) -> String {
    serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": error }],
    })
    .to_string()
}

/// glibc uses the older system call only where the newer one is unknown, so no program can start threads there.
#[tokio::test]
async fn without_threads_the_message_says_why() {
    let folder = tempfile::tempdir().expect("make a folder");
    let profile = folder.path().join("seccomp.json");
    fs::write(&profile, seccomp(&["clone3"], 1)).expect("write a profile");
    let container = spec().option(format!("--security-opt=seccomp={}", profile.display())).start(&["init"]);
    assert_eq!(container.wait_exit_code(SOON).await, 1);
    let logs = container.logs();
    assert!(logs.contains("clone3") && logs.contains("20.10.10") && !logs.contains("panicked"), "{logs}");
}

/// Also without any writable place except the mounts that it is given.
#[tokio::test]
async fn a_user_without_an_account_has_a_desktop() {
    let container = ["--user=4321:4321", "--read-only", "--tmpfs=/run", "--tmpfs=/tmp"]
        .into_iter()
        .fold(spec(), Spec::option)
        .start(&["init"]);
    let stack = Stack::new(container);
    let status = is_a_desktop(&stack).await;
    let system = status.unit("dbus-system").expect("a unit of the image");
    assert_eq!(system.state, UnitState::Skipped);
    assert!(system.reason.contains("root"), "{}", system.reason);
    assert_eq!(status.problems, [""; 0]);
    let owner = stack.exec_ok(&["sh", "-c", "stat --format=%u /proc/$(pgrep -x plasmashell)"]);
    assert_eq!(owner, "4321");
    // The command line works for that user too.
    assert!(stack.exec_ok(&["desktopd", "credentials"]).contains(USER));
    stops_well(&stack).await;
}

#[tokio::test]
async fn a_user_without_an_account_gets_answers_after_tmp_was_cleaned() {
    let spec = spec().option("--user=4321:4321").env("SUPERVISOR_NO_AUTOSTART", stack::LIGHT);
    let stack = Stack::new(spec.start(&["init"]));
    let before = stack.wait_until_up().await;
    stack.exec_ok(&["sh", "-c", "rm -rf /tmp/*"]);
    assert_eq!(stack.status().expect("an answer").pid, before.pid);
}

#[tokio::test]
async fn with_too_few_processes_units_fail_and_the_daemon_runs() {
    let stack = Stack::new(spec().option("--pids-limit=20").start(&["init"]));
    let failed = eventually("a unit that failed or waits to be tried again", SOON, async || {
        let status = stack.status()?;
        let in_trouble = |unit: &UnitStatus| {
            matches!(unit.state, UnitState::Failed | UnitState::Backoff) && !unit.reason.is_empty()
        };
        if status.units.iter().any(in_trouble) { Ok(status) } else { Err(stack::units(&status)) }
    })
    .await;
    problem(&failed, &["20 processes", "--pids-limit"]);
    assert_eq!(answer(&stack.portal()).await, 200, "the portal");

    stack.update(&["--pids-limit=4000"]);
    assert_eq!(stack.exec(&["desktopd", "reload"]).code, Some(0));
    // A desktop that could not start all its processes may wait for parts of itself that never came.
    stack.exec_ok(&["desktopd", "restart", "kde"]);
    eventually("units that start when they are asked to", START, async || {
        let status = stack.status()?;
        for unit in status.units.iter().filter(|unit| unit.state == UnitState::Failed) {
            stack.exec_ok(&["desktopd", "start", &unit.name]);
        }
        if status.up { Ok(()) } else { Err(stack::units(&status)) }
    })
    .await;
    let status = is_a_desktop(&stack).await;
    assert_eq!(status.pid, failed.pid, "the same daemon");
    assert_eq!(status.problems, [""; 0]);
    stops_well(&stack).await;
}

#[tokio::test]
async fn a_full_disk_affects_only_the_log_files_of_a_container() {
    let folder = tempfile::tempdir().expect("make a folder");
    let chatty = folder.path().join("chatty.toml");
    fs::write(&chatty, "command = [\"sh\", \"-c\", \"while :; do seq 1 200; sleep 0.01; done\"]\n")
        .expect("write");
    let container = spec()
        .env("SUPERVISOR_NO_AUTOSTART", BARE)
        .option("--tmpfs=/var/log/desktopd:size=256k")
        .mount(
            chatty.to_str().expect("a temporary folder's name is text"),
            "/etc/desktopd/services/chatty.toml",
        )
        .start(&["init"]);
    let stack = Stack::new(container);
    stack.wait_until_up().await;
    eventually("a message about the full disk", SOON, async || {
        let told = stack.exec_ok(&["desktopd", "logs", "desktopd"]);
        if told.contains("log of chatty: No space left on device") { Ok(()) } else { Err(told) }
    })
    .await;
    let full = stack.exec_ok(&["desktopd", "logs", "desktopd"]);
    assert_eq!(full.matches("log of chatty").count(), 1, "said once:\n{full}");
    let status = stack.status().expect("a status");
    let chatty = status.unit("chatty").expect("the service of the test");
    assert_eq!((chatty.state, chatty.restarts), (UnitState::Ready, 0), "it goes on");
    assert!(stack.exec_ok(&["desktopd", "logs", "chatty"]).contains("200"), "memory has its lines");
    assert_eq!(answer(&stack.portal()).await, 200, "the portal");
    stops_well(&stack).await;
}

#[tokio::test]
async fn another_process_1_changes_nothing() {
    let bare = || spec().env("SUPERVISOR_NO_AUTOSTART", BARE);
    for (container, own) in [
        (bare().start(&["sh", "-c", "exec desktopd init"]), true),
        (bare().option("--init").start(&["sh", "-c", "exec desktopd init"]), false),
    ] {
        let stack = Stack::new(container);
        let status = stack.wait_until_up().await;
        assert_eq!(status.pid == 1, own, "{}", status.pid);
        assert_eq!(zombies(&stack), "");
        stops_well(&stack).await;
    }
}

/// A shell that is PID 1 does not pass signals on, so no process behind it is notified of the container's stop.
#[tokio::test]
async fn behind_a_shell_the_daemon_is_stopped_by_its_own_command() {
    let bare = spec().env("SUPERVISOR_NO_AUTOSTART", BARE);
    let stack = Stack::new(bare.start(&["sh", "-c", "desktopd init; exit $?"]));
    stack.wait_until_up().await;
    stack.exec_ok(&["desktopd", "shutdown"]);
    assert_eq!(stack.wait_exit_code(SOON).await, 0, "{}", stack.logs());
}

/// Secrets that one container made for itself are not valid in a copy of it.
#[tokio::test]
async fn a_container_of_a_snapshot_makes_its_own_secrets() {
    let bare = |spec: Spec| spec.env("SUPERVISOR_NO_AUTOSTART", BARE).start(&["init"]);
    let first = Stack::new(bare(stack::spec()));
    first.wait_until_up().await;
    let secrets = |stack: &Stack| {
        let text = stack.exec_ok(&["desktopd", "credentials", "--json"]);
        let login: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let key = stack.exec_ok(&["sha256sum", "/var/lib/desktopd/cookie-key"]);
        [login["password"].to_string(), login["token"].to_string(), key]
    };
    let of_first = secrets(&first);
    assert_eq!(first.exec(&["desktopd", "reload"]).code, Some(0));
    let image = first.commit();
    let second = Stack::new(bare(stack::of(image.spec())));
    second.wait_until_up().await;
    let of_second = secrets(&second);
    for (one, other) in of_first.iter().zip(&of_second) {
        assert!(one.len() > 10 && one != other, "{one} is in the copied container, too");
    }
    assert_eq!(secrets(&first), of_first, "the first container keeps its own");
}

/// Allocates memory as fast as it can.
const GREEDY: &str = "mkdir -p /etc/desktopd/services && cat >/etc/desktopd/services/greedy.toml <<'EOF'
user = \"own\"
command = [\"python3\", \"-c\", \"taken = []\\nwhile True: taken.append(bytearray(16 << 20))\"]
restart-limit = \"none\"
restart-delay-max = \"500ms\"
EOF
exec init";

#[tokio::test]
async fn the_kernel_kills_the_service_that_takes_all_memory() {
    let spec = spec().env("SUPERVISOR_NO_AUTOSTART", BARE);
    let spec = spec.option("--memory=500m").option("--memory-swap=500m");
    let stack = Stack::new(spec.start(&["sh", "-c", GREEDY]));
    let others = |status: &Snapshot| -> Vec<(String, Option<i32>)> {
        let others = status.units.iter().filter(|unit| unit.name != "greedy");
        others.map(|unit| (unit.name.clone(), unit.pid)).collect()
    };
    let mut before = None;
    let after = eventually("a service that was ended again and again", START, async || {
        let now = stack.status()?;
        let greedy = now.unit("greedy").ok_or("no such service")?;
        let (restarts, reason) = (greedy.restarts, greedy.reason.clone());
        if restarts >= 1 && before.is_none() {
            before = Some(now.clone());
        }
        if restarts >= 4 { Ok(now) } else { Err(format!("{restarts} restarts: {reason}")) }
    })
    .await;
    assert_eq!(others(&after), others(&before.expect("an earlier state")), "{}", stack.logs());
    assert!(stack.logs().contains("SIGKILL"), "why it ended: {}", stack.logs());
    assert_eq!(answer(&stack.portal()).await, 200, "the portal");
    stops_well(&stack).await;
}
