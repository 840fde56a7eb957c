//! The provisioning script: from a server or mounted, once or at every start, successful or not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::Duration;

use desktopd::observe::{Snapshot, UnitState};

use crate::docker::Spec;
use crate::poll::eventually;
use crate::server::Server;
use crate::stack::{self, START, Stack};

/// These tests need no desktop.
const BARE: &str = "kde,x-server,selkies,vnc,fcitx5,pipewire,wireplumber,pipewire-pulse,dbus-session,dbus-system,\
                    x-access,x-keys,x-cookie";

const GRACE: Duration = Duration::from_secs(10);

/// A service file of the user.
const AFTER: &str = "description = \"mine\"\ntype = \"oneshot\"\nafter = [\"provisioning\"]\nuser = \"root\"\n\
                     command = [\"/bin/sh\", \"-c\", \"cat /tmp/stage; echo here\"]\n";

fn spec() -> Spec {
    stack::spec().env("SUPERVISOR_NO_AUTOSTART", BARE)
}

/// A folder with files to mount, each with its mode.
fn folder(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("make a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("open the folder");
    for (name, text, mode) in files {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("write a file");
        fs::set_permissions(&file, Permissions::from_mode(*mode)).expect("set a mode");
    }
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a temporary folder's name is text").to_owned()
}

async fn settled(stack: &Stack) -> Snapshot {
    eventually("the end of provisioning", START, async || {
        let status = stack.status()?;
        let unit = status.unit("provisioning").ok_or("no such unit")?;
        let over = [UnitState::Done, UnitState::Failed, UnitState::Skipped].contains(&unit.state);
        let busy = [UnitState::Waiting, UnitState::Starting];
        let rest = status.units.iter().all(|unit| !busy.contains(&unit.state));
        if over && rest { Ok(status) } else { Err(stack::units(&status)) }
    })
    .await
}

fn state(status: &Snapshot) -> (UnitState, String) {
    let unit = status.unit("provisioning").expect("a unit of the image");
    (unit.state, unit.reason.clone())
}

fn log(stack: &Stack, unit: &str) -> String {
    stack.exec_ok(&["desktopd", "logs", unit])
}

#[tokio::test]
async fn a_script_from_a_server_runs_as_the_desktops_user_and_can_be_waited_for() {
    let script = "#!/bin/false\r\necho \"as $(id -un) $HOME $USER\"\r\necho \"in $PWD\"\r\n\
                  echo \"token $HF_TOKEN:$WEB_PASSWORD:\" > /tmp/token\r\n[ -e /run/container_config ] && echo busy\r\n\
                  read line || echo nothing to read\r\nsleep 2\r\necho over > /tmp/stage\r\n";
    let server = Server::start(&[("/my/script.sh?key=hidden", 2, "text/plain", script)]).await;
    let files = folder(&[("after.toml", AFTER, 0o644)]);
    let url = server.url("/my/script.sh?key=hidden");
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "after.toml"), "/etc/desktopd/services/mine.toml")
            .env("PROVISIONING_SCRIPT", url)
            .env("HF_TOKEN", "hf_of_mine")
            .env("WEB_PASSWORD", "not-for-scripts")
            .start(&["init"]),
    );
    let status = settled(&stack).await;
    assert_eq!(state(&status), (UnitState::Done, String::new()), "{}", stack.logs());
    assert_eq!(server.asked("/my/script.sh?key=hidden"), 3, "two failed attempts, then a good one");
    let log = log(&stack, "provisioning");
    for expected in
        ["503 Service Unavailable; tried again in 2s", "as user /home/user user", "busy", "nothing to read"]
    {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(log.contains("?******") && !log.contains("hidden"), "{log}");
    assert_eq!(stack.exec_ok(&["cat", "/tmp/token"]), "token hf_of_mine::");
    let mine = self::log(&stack, "mine");
    assert!(mine.contains("over") && mine.contains("here"), "it came after the script's end: {mine}");
    assert_ne!(stack.exec(&["test", "-e", "/run/container_config"]).code, Some(0), "the boot is over");
}

#[tokio::test]
async fn on_vast_ai_the_script_runs_once_as_root_with_marker_files() {
    let script = "echo \"as $(id -un)\"\necho run >> /runs\nprintf %s \"$OPEN_BUTTON_TOKEN\" > /token\n[ -e /.provisioning ] && [ -e /good ]\n";
    let files = folder(&[("p.sh", script, 0o644)]);
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "p.sh"), "/opt/desktopd/provisioning.sh")
            .env("VAST_CONTAINERLABEL", "C.1")
            .env("OPEN_BUTTON_TOKEN", "sesame")
            .start(&["init"]),
    );
    let there = |name: &str| stack.exec(&["test", "-e", name]).code == Some(0);
    let marks =
        || [there("/.provisioning"), there("/.provisioning_complete"), there("/.provisioning_failed")];
    let status = settled(&stack).await;
    assert_eq!(state(&status), (UnitState::Failed, "it ended with exit code 1".to_owned()));
    assert_eq!(marks(), [false, false, true]);
    assert_eq!(stack.exec_ok(&["cat", "/token"]), "sesame", "as in root's shells");
    assert!(stack.exec_ok(&["cat", "/var/log/portal/provisioning.log"]).contains("as root"));
    stack.exec_ok(&["touch", "/good"]);
    stack.exec_ok(&["desktopd", "restart", "--wait", "provisioning"]);
    assert_eq!(marks(), [false, true, false]);
    assert_eq!(stack.exec_ok(&["cat", "/runs"]), "run\nrun");
    stack.restart(GRACE);
    let status = settled(&stack).await;
    assert_eq!(state(&status).0, UnitState::Done);
    assert!(log(&stack, "provisioning").contains("/.provisioning_complete exists: it was run before"));
    assert_eq!(stack.exec_ok(&["cat", "/runs"]), "run\nrun", "it does not run a third time");
}

#[tokio::test]
async fn a_mounted_script_is_not_changed_and_can_disable_its_next_runs() {
    let script =
        "echo \"as $(id -un), mask $(umask)\"\necho run >> $WORKSPACE/runs\ntouch $WORKSPACE/.update_lock\n";
    let files = folder(&[("p.sh", script, 0o444)]);
    let file = files.path().join("p.sh");
    chown(&file, Some(4321), Some(4321)).expect("give it to another user");
    let workspace = folder(&[]);
    fs::set_permissions(workspace.path(), Permissions::from_mode(0o777)).expect("a folder for all users");
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "p.sh"), "/opt/ai-dock/bin/provisioning.sh")
            .option(format!("--volume={}:/workspace", path(&workspace, "")))
            .env("WORKSPACE", "/workspace")
            .start(&["init"]),
    );
    let runs = || fs::read_to_string(workspace.path().join("runs")).unwrap_or_default();
    let status = settled(&stack).await;
    assert_eq!(state(&status), (UnitState::Done, String::new()), "{}", stack.logs());
    assert!(log(&stack, "provisioning").contains(", mask 0002"));
    assert_eq!(runs(), "run\n");
    stack.restart(GRACE);
    settled(&stack).await;
    assert!(log(&stack, "provisioning").contains("/workspace/.update_lock exists: it must not run"));
    assert_eq!(runs(), "run\n", "the lock is there");
    fs::remove_file(workspace.path().join(".update_lock")).expect("take the lock away");
    stack.restart(GRACE);
    settled(&stack).await;
    assert_eq!(runs(), "run\nrun\n", "it runs at every start");
    let left = fs::metadata(&file).expect("the script");
    assert_eq!((left.uid(), left.gid(), left.mode() & 0o7777), (4321, 4321, 0o444));
    assert_eq!(fs::read_to_string(&file).expect("the script"), script);
}

/// A failure is shown, stops nothing else and is not retried by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_script_is_reported_and_stops_nothing_else() {
    let server = Server::start(&[
        ("/page", 0, "text/html; charset=utf-8", "<!DOCTYPE html><html><body>sign in</body></html>"),
        ("/empty.sh", 0, "text/plain", " \r\n"),
        ("/bad.sh", 0, "text/plain", "#!/bin/bash\nset -e\necho one\nls /no/such/place\necho never\n"),
    ])
    .await;
    let files = folder(&[("after.toml", AFTER, 0o644)]);
    for (path_there, expected, code) in [
        ("/missing.sh", "404 Not Found", 1),
        ("/page", "it is a web page and not a script", 1),
        ("/empty.sh", "it is empty", 1),
        ("/bad.sh", "it ended with code 2", 2),
    ] {
        let stack = Stack::new(
            spec()
                .mount(&path(&files, "after.toml"), "/etc/desktopd/services/mine.toml")
                .env("PROVISIONING_SCRIPT", server.url(path_there))
                .start(&["init"]),
        );
        let status = settled(&stack).await;
        assert_eq!(state(&status), (UnitState::Failed, format!("it ended with exit code {code}")));
        // Long lines are wrapped.
        let shown = stack.exec_ok(&["desktopd", "status", "provisioning"]);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(expected), "{expected} in {shown}");
        let others = ["prepare", "mine"].map(|name| status.unit(name).map(|unit| unit.state));
        assert_eq!(others, [Some(UnitState::Done); 2], "{}", stack::units(&status));
        assert_eq!(server.asked(path_there), 1);
        assert_ne!(stack.exec(&["desktopd", "restart", "--wait", "provisioning"]).code, Some(0));
        assert_eq!(server.asked(path_there), 2, "a start by a command fetches and runs it again");
    }
}

#[tokio::test]
async fn a_missing_script_and_a_missing_user_are_reported() {
    let stack = Stack::new(spec().env("PROVISIONING_MANIFEST", "https://a.example/m.yaml").start(&["init"]));
    let status = settled(&stack).await;
    let (state_of, reason) = state(&status);
    assert_eq!(state_of, UnitState::Skipped);
    assert!(reason.contains("PROVISIONING_SCRIPT is not set"), "{reason}");
    assert!(status.problems.iter().any(|told| told.contains("PROVISIONING_MANIFEST is not understood")));
    drop(stack);
    let files = folder(&[("p.sh", "id -un\n", 0o600)]);
    for (user, expected, state_of) in
        [("nobody", "nobody", UnitState::Done), ("wrong", "there is no user \"wrong\"", UnitState::Failed)]
    {
        let stack = Stack::new(
            spec()
                .mount(&path(&files, "p.sh"), "/opt/desktopd/provisioning.sh")
                .env("PROVISIONING_USER", user)
                .start(&["init"]),
        );
        let status = settled(&stack).await;
        let log = log(&stack, "provisioning");
        assert!(state(&status).0 == state_of && log.contains(expected), "{user}: {log}");
    }
}

#[tokio::test]
async fn detached_jobs_of_the_script_run_until_it_is_stopped() {
    let script = "sleep 11111 >/dev/null 2>&1 &\necho started\n[ -e /tmp/quick ] || sleep 22222\n";
    let files = folder(&[("p.sh", script, 0o644)]);
    let stack =
        Stack::new(spec().mount(&path(&files, "p.sh"), "/opt/desktopd/provisioning.sh").start(&["init"]));
    eventually("the script's first word", START, async || {
        log(&stack, "provisioning").contains("started").then_some(())
    })
    .await;
    let running = || stack.exec(&["pgrep", "-a", "sleep"]).stdout;
    assert!(running().contains("11111") && running().contains("22222"));
    assert_eq!(
        stack.status().expect("a status").unit("provisioning").map(|unit| unit.state),
        Some(UnitState::Starting)
    );
    stack.exec_ok(&["desktopd", "stop", "--wait", "--timeout", "60s", "provisioning"]);
    assert_eq!(running(), "", "nothing of it is left");
    stack.exec_ok(&["touch", "/tmp/quick"]);
    stack.exec_ok(&["desktopd", "start", "--wait", "--timeout", "60s", "provisioning"]);
    assert!(running().contains("11111"), "its background jobs go on");
    stack.exec_ok(&["desktopd", "stop", "--wait", "--timeout", "60s", "provisioning"]);
    assert_eq!(running(), "", "a stop ends it");
}

/// Remote storage is configured by a mounted file or by the environment, and reaches scripts and shells.
#[tokio::test]
async fn rclone_finds_its_configuration() {
    let script = "rclone lsf mine:\nrclone lsf other:\n";
    let files = folder(&[
        ("p.sh", script, 0o644),
        ("rclone.conf", "[mine]\ntype = alias\nremote = /opt/data\n", 0o644),
    ]);
    let data = folder(&[("found.txt", "x", 0o644)]);
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "p.sh"), "/opt/desktopd/provisioning.sh")
            .mount(&path(&files, ""), "/etc/rclone")
            .mount(&path(&data, ""), "/opt/data")
            .env("RCLONE_CONFIG_OTHER_TYPE", "alias")
            .env("RCLONE_CONFIG_OTHER_REMOTE", "/opt/data")
            .start(&["init"]),
    );
    let status = settled(&stack).await;
    let log = log(&stack, "provisioning");
    assert_eq!((state(&status).0, log.matches("found.txt").count()), (UnitState::Done, 2), "{log}");
    let shells = stack.exec_ok(&["cat", "/etc/environment"]);
    assert!(shells.contains("RCLONE_CONFIG=") && shells.contains("RCLONE_CONFIG_OTHER_TYPE="), "{shells}");
}
