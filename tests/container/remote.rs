//! SSH and TURN: closed by default, and open only with a key or a password.

use std::time::Duration;

use desktopd::observe::UnitState;

use crate::docker::Done;
use crate::poll::eventually;
use crate::stack::{self, Stack};

const SOON: Duration = Duration::from_secs(30);

/// The desktop's services are not needed here.
const BARE: &str =
    "kde,selkies,vnc,fcitx5,pipewire,pipewire-pulse,wireplumber,dbus-session,dbus-system,x-server";

/// An unusual text, so that a search finds it in every place where it should not be.
const TURN_PASSWORD: &str = "turn:Sesame=74!";

async fn skipped(stack: &Stack, unit: &str, words: &str) {
    let status = stack.wait_until_up().await;
    let found = status.unit(unit).unwrap_or_else(|| panic!("no {unit} in {}", stack::units(&status)));
    assert_eq!(found.state, UnitState::Skipped, "{unit}: {}", found.reason);
    assert!(found.reason.contains(words), "{unit}: {}", found.reason);
}

async fn ready(stack: &Stack, unit: &str) {
    eventually(&format!("{unit} that is ready"), SOON, async || {
        let status = stack.status()?;
        let ready = status.unit(unit).is_some_and(|unit| unit.state == UnitState::Ready);
        if ready { Ok(()) } else { Err(stack::units(&status)) }
    })
    .await;
}

fn sh(stack: &Stack, script: &str) -> Done {
    stack.exec(&["sh", "-c", script])
}

#[tokio::test]
async fn ssh_accepts_a_key_and_nothing_else() {
    let stack = Stack::new(stack::spec().env("SUPERVISOR_NO_AUTOSTART", BARE).start(&["init"]));
    skipped(&stack, "sshd", "/home/user/.ssh/authorized_keys").await;
    assert_eq!(sh(&stack, "ss -Hltn 'sport = :22'").stdout, "", "nothing listens");

    let script = "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && ssh-keygen -q -t ed25519 -N '' -f /tmp/other
        install -d -o user -g user -m 700 /home/user/.ssh
        install -o user -g user -m 600 /tmp/key.pub /home/user/.ssh/authorized_keys
        usermod --password \"$(openssl passwd -6 secret 2>/dev/null || perl -e 'print crypt(\"secret\", \"aa\")')\" user
        desktopd reload";
    let reloaded = sh(&stack, script);
    assert_eq!(reloaded.code, Some(0), "{}{}", reloaded.stdout, reloaded.stderr);
    ready(&stack, "sshd").await;

    let login = |key: &str, user: &str| {
        let options = "-o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
        sh(&stack, &format!("ssh {options} -i {key} {user}@127.0.0.1 'id -un; echo $SSH_CONNECTION'"))
    };
    let inside = login("/tmp/key", "user");
    assert_eq!((inside.code, inside.stdout.lines().next()), (Some(0), Some("user")), "{}", inside.stderr);
    for (key, user) in [("/tmp/other", "user"), ("/tmp/key", "root")] {
        let refused = login(key, user);
        assert_eq!(refused.code, Some(255), "{key} of {user}: {}", refused.stdout);
        // The server's list of methods: no passwords.
        assert!(refused.stderr.contains("Permission denied (publickey)."), "{}", refused.stderr);
    }
    let folder = stack.exec_ok(&["stat", "--format=%a %U", "/var/lib/desktopd/ssh/etc/ssh"]);
    assert_eq!(folder, "700 root", "the server's own keys");
    assert_eq!(sh(&stack, "ls /etc/ssh/ssh_host_*").stdout, "", "none where an image would have them");
}

#[tokio::test]
async fn turn_relays_to_the_container_with_the_password() {
    let bare = || stack::spec().env("SUPERVISOR_NO_AUTOSTART", BARE);
    let without = Stack::new(bare().start(&["init"]));
    skipped(&without, "coturn", "ENABLE_COTURN=true").await;
    drop(without);

    let settings = bare().env("ENABLE_COTURN", "true").env("COTURN_PASSWORD", TURN_PASSWORD);
    let stack = Stack::new(settings.start(&["init"]));
    ready(&stack, "coturn").await;
    let file = "/run/desktopd/coturn/turnserver.conf";
    assert_eq!(stack.exec_ok(&["stat", "--format=%a %U", file]), "600 root");
    assert!(stack.exec_ok(&["cat", file]).contains(TURN_PASSWORD));
    assert_eq!(stack.exec_ok(&["sh", "-c", "stat --format=%U /proc/$(pgrep -x turnserver)"]), "turnserver");
    let seen = sh(&stack, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; desktopd plan --json").stdout;
    assert!(seen.contains("turnserver -c") && !seen.contains(TURN_PASSWORD), "{seen}");

    let address = stack.address();
    let client = |password: &str, more: &str| {
        let command =
            format!("timeout 60 turnutils_uclient -u user -w '{password}' -n 1 -m 1 {more} {address}");
        sh(&stack, &format!("{command} 2>&1"))
    };
    let relayed = client(TURN_PASSWORD, "-y");
    assert!(relayed.stdout.contains("Total lost packets 0 (0.0"), "{}", relayed.stdout);
    let guessed = client("guess", "-y");
    assert!(guessed.stdout.contains("Cannot complete Allocation"), "{}", guessed.stdout);
    for peer in ["127.0.0.1", "10.1.2.3", "169.254.169.254"] {
        let elsewhere = client(TURN_PASSWORD, &format!("-e {peer}"));
        assert!(elsewhere.stdout.contains("403"), "{peer}: {}", elsewhere.stdout);
    }
    let bound = sh(&stack, &format!("timeout 10 turnutils_stunclient {address} 2>&1"));
    assert!(bound.stdout.contains(&format!("reflexive addr: {address}")), "{}", bound.stdout);
    assert!(!stack.logs().contains(TURN_PASSWORD), "the password is in the log");
}
