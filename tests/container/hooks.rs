//! Hooks: the variables that they export reach all services and shells, and a failure affects only the hook itself.

use std::fs;
use std::time::Duration;

use desktopd::observe::{Snapshot, UnitState};

use crate::docker::Spec;
use crate::server::Server;
use crate::stack::{self, Stack};

/// These tests need no desktop.
const BARE: &str = "kde,x-server,selkies,vnc,fcitx5,pipewire,wireplumber,pipewire-pulse,dbus-session,dbus-system,\
                    x-access,x-keys,x-cookie";

const GRACE: Duration = Duration::from_secs(10);

/// A service that records its environment.
const LISTENER: &str = "type = \"oneshot\"\nuser = \"root\"\nneeds = [\"prepare\"]\n\
                        command = [\"/bin/sh\", \"-c\", \"echo got $$LAST:$$WEB_PASSWORD:\"]\n";

fn spec() -> Spec {
    stack::spec().env("SUPERVISOR_NO_AUTOSTART", BARE)
}

/// A folder with `files`, mounted as a whole or one by one.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("make a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("make a folder");
        fs::write(file, text).expect("write a file");
    }
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a temporary folder's name is text").to_owned()
}

fn log(stack: &Stack, unit: &str) -> String {
    stack.exec_ok(&["desktopd", "logs", unit])
}

fn state(status: &Snapshot, name: &str) -> UnitState {
    status.unit(name).expect("a unit of the image").state
}

/// Whether `text` contains `words` in this order.
fn in_order(text: &str, words: &[&str]) -> bool {
    let mut rest = text;
    words.iter().all(|word| match rest.split_once(word) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[tokio::test]
async fn hooks_of_all_folders_run_in_order_and_their_exports_reach_services() {
    let server = Server::start(&[("/p.sh", 0, "text/plain", "echo \"provisioned with $LAST\"\n")]).await;
    let export =
        format!("echo \"three $A\"; export LAST=\"$A b\" PROVISIONING_SCRIPT={}\n", server.url("/p.sh"));
    let files = folder(&[
        ("first/one.sh", "echo one\nA='x y'\n"),
        ("boot/two.sh", "echo two $A\n[ \"$WEB_PASSWORD\" = sesame ] && echo knows it\n"),
        ("boot/notes.txt", "echo never\n"),
        ("preflight/three.sh", &export),
        ("vast/first_boot/four.sh", "echo four\n"),
        ("vast/five.sh", "echo five\n"),
        ("listener.toml", LISTENER),
    ]);
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "first"), "/etc/desktopd/first_boot.d")
            .mount(&path(&files, "boot"), "/etc/desktopd/boot.d")
            .mount(&path(&files, "preflight"), "/opt/ai-dock/bin/preflight.d")
            .mount(&path(&files, "vast"), "/etc/vast_boot.d")
            .mount(&path(&files, "listener.toml"), "/etc/desktopd/services/listener.toml")
            .env("WEB_PASSWORD", "sesame")
            .start(&["init"]),
    );
    let status = stack.wait_until_up().await;
    assert_eq!(state(&status, "hooks"), UnitState::Done, "{}", stack.logs());
    let told = log(&stack, "hooks");
    assert!(
        in_order(&told, &["one.sh", "one", "two", "x y", "knows it", "three x y", "four", "five"]),
        "{told}"
    );
    assert!(!told.contains("never"), "{told}");
    assert_eq!(stack.exec_ok(&["stat", "-c", "%a", "/run/desktopd/hook-environment"]), "600");
    let listener = log(&stack, "listener");
    assert!(listener.contains("got x y b::"), "{listener}");
    let provisioning = log(&stack, "provisioning");
    assert!(provisioning.contains("provisioned with x y b"), "{provisioning}");
    assert_eq!(log(&stack, "hooks").matches("== ").count(), 5, "each of them once");

    stack.restart(GRACE);
    stack.wait_until_up().await;
    let again = log(&stack, "hooks");
    assert!(in_order(&again, &["two.sh", "three", "five"]), "{again}");
    assert!(!again.contains("one.sh") && !again.contains("four.sh"), "those run once: {again}");
}

#[tokio::test]
async fn hooks_that_exit_fail_or_never_end_do_not_block_the_boot() {
    let service = include_str!("../../config/services/hooks.toml").replace("\"5m\"", "\"3s\"");
    let files = folder(&[
        ("boot/1.sh", "export LAST=kept\nexit 7\n"),
        ("boot/2.sh", "unset PATH HOME\nexport LD_PRELOAD=/no/such/thing.so\nexec >/dev/null\nset -eu\n"),
        ("boot/3.sh", "if then\n"),
        ("boot/4.sh", "while :; do read line; sleep 1; done\n"),
        ("boot/5.sh", "echo still here\n"),
        ("hooks.toml", &service),
        ("listener.toml", LISTENER),
    ]);
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "boot"), "/etc/desktopd/boot.d")
            .mount(&path(&files, "hooks.toml"), "/etc/desktopd/services/hooks.toml")
            .mount(&path(&files, "listener.toml"), "/etc/desktopd/services/listener.toml")
            .start(&["init"]),
    );
    let status = stack.wait_until_up().await;
    assert_eq!(state(&status, "hooks"), UnitState::Done, "{}", stack.logs());
    let told = log(&stack, "hooks");
    for expected in [
        "boot.d/1.sh: it ended with code 7",
        "syntax error",
        "boot.d/4.sh: it has run for 2.4s, and is ended after 3s",
        "boot.d/4.sh: it took longer than 3s and was ended",
        "still here",
        "PATH was unset by a script",
        "/no/such/thing.so",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let left = stack.exec_ok(&["cat", "/run/desktopd/hook-environment"]);
    assert!(left.contains("LAST=kept") && left.contains("PATH=/") && !left.contains("LD_PRELOAD"), "{left}");
    assert!(log(&stack, "listener").contains("got kept::"));
}

#[tokio::test]
async fn a_boot_script_replaces_hooks_and_provisioning_and_runs_after_a_hotfix() {
    let server = Server::start(&[
        ("/boot.sh", 0, "text/plain", "echo \"booting $(cat /fixed) as $(id -un)\"\r\n# boot_default.sh\r\n"),
        ("/fix.sh", 0, "text/plain", "echo fixed >> /fixed\nexit 5\n"),
    ])
    .await;
    let files = folder(&[("boot/1.sh", "echo hook\n"), ("p.sh", "echo provisioning\n")]);
    let stack = Stack::new(
        spec()
            .mount(&path(&files, "boot"), "/etc/desktopd/boot.d")
            .mount(&path(&files, "p.sh"), "/opt/desktopd/provisioning.sh")
            .env("BOOT_SCRIPT", server.url("/boot.sh"))
            .env("HOTFIX_SCRIPT", server.url("/fix.sh"))
            .start(&["init"]),
    );
    for boots in 1..=2 {
        let status = crate::poll::eventually("the end of the boot script", stack::START, async || {
            let status = stack.status()?;
            let ended = status.unit("boot-script").is_some_and(|unit| unit.state == UnitState::Done);
            let prepared = status.unit("prepare").is_some_and(|unit| unit.state == UnitState::Done);
            if ended && prepared { Ok(status) } else { Err(stack::units(&status)) }
        })
        .await;
        let hotfix = status.unit("hotfix").expect("a unit of the image");
        assert_eq!((hotfix.state, hotfix.reason.as_str()), (UnitState::Failed, "it ended with exit code 5"));
        for name in ["hooks", "provisioning"] {
            let unit = status.unit(name).expect("a unit of the image");
            assert_eq!(
                (unit.state, unit.reason.as_str()),
                (UnitState::Skipped, "boot-script takes its place")
            );
        }
        let told = log(&stack, "boot-script");
        assert!(in_order(&told, &["booting fixed", "as root"]), "{told}");
        assert_eq!(
            (server.asked("/fix.sh"), server.asked("/boot.sh")),
            (boots, 1),
            "one each boot, one is kept"
        );
        if boots == 1 {
            assert!(stack.exec_ok(&["cat", "/opt/instance-tools/bin/boot_custom.sh"]).contains("booting"));
            stack.restart(GRACE);
        }
    }
}
