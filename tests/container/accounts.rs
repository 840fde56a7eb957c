//! The desktop's user: ids, home and groups as volumes and variables require them, and the fallback when the user
//! cannot be set up like that.

use std::time::Duration;

use desktopd::observe::UnitState;

use crate::docker::{Container, Spec};
use crate::poll::eventually;
use crate::stack::{self, LIGHT, START, Stack};

const GRACE: Duration = Duration::from_secs(10);

/// A volume that is removed with its container.
const VOLUME: &str = "--mount=type=volume,target=/workspace";

fn light() -> Spec {
    stack::spec().env("SUPERVISOR_NO_AUTOSTART", LIGHT)
}

/// Starts it as `init` does, after `before`, a script for the shell.
fn start(spec: Spec, before: &str) -> Stack {
    Stack::new(spec.start(&["sh", "-c", &format!("{before}\nexec init")]))
}

fn sh(stack: &Stack, script: &str) -> String {
    stack.exec_ok(&["sh", "-c", script])
}

/// The desktop's user: its ids, the name that the id has, its home, and the target of its usual home.
fn who(stack: &Stack) -> String {
    sh(
        stack,
        "echo $(id -u user):$(id -g user) $(id -nu $(id -u user)) $(getent passwd user | cut -d: -f6) \
         $(realpath /home/user)",
    )
}

#[tokio::test]
async fn the_user_has_the_ids_of_the_volumes_owner_and_a_home_on_it() {
    for (owner, ids) in
        [("0:0", "1000:1000"), ("1000:1000", "1000:1000"), ("4321:4321", "4321:4321"), ("33:33", "33:33")]
    {
        let stack = start(light().option(VOLUME), &format!("chown {owner} /workspace"));
        let expected = format!("{ids} user /workspace/home/user /workspace/home/user");
        for boot in ["first", "second"] {
            let status = stack.wait_until_up().await;
            let told = format!("a volume of {owner}, {boot} boot");
            assert_eq!(who(&stack), expected, "{told}");
            let user = status.unit("user").expect("the step");
            assert_eq!((user.state, user.restarts), (UnitState::Done, 0), "{told}: {}", user.reason);
            let made = stack.as_user(&[
                "sh",
                "-c",
                "cd && touch made && echo x >>kept && stat -c %u:%g made kept .",
            ]);
            assert_eq!(made.stdout, [ids; 3].join("\n"), "{told}: {}", made.stderr);
            assert_eq!(
                sh(&stack, "cd ~user && stat -c '%a' . && ls -A1 .bash_logout .bashrc .profile"),
                "2755\n.bash_logout\n.bashrc\n.profile"
            );
            assert_eq!(sh(&stack, "stat -c %u:%g /run/user/*"), ids, "{told}");
            assert_eq!(
                sh(&stack, "ls ~user/Desktop && grep -h URL ~user/Desktop/*"),
                "Home.desktop\nWorkspace.desktop\nURL=file:///home/user\nURL=file:///workspace"
            );
            if boot == "first" {
                stack.restart(GRACE);
            }
        }
        assert_eq!(sh(&stack, "wc -l <~user/kept"), "2", "the home outlives a restart");
        let logs = stack.logs();
        assert!(!logs.lines().any(|line| line.starts_with("user |")), "no lines about {owner}:\n{logs}");
    }
}

#[tokio::test]
async fn variables_set_the_users_name_ids_and_password() {
    let spec = light()
        .env("USER_NAME", "ada")
        .env("USER_GROUPS", "lp, nobodys")
        .env("WORKSPACE_UID", "4321")
        .env("USER_PASSWORD", "pass:Word=\"19 $x");
    // A device whose group has no name here, like one of the host's.
    let before = "install -d -o 1000 /home/ada/old; mknod -m 660 /dev/kfd c 1 3; chgrp 4711 /dev/kfd";
    let stack = start(spec, before);
    let status = stack.wait_until_up().await;
    assert!(
        status.problems.iter().any(|told| told.contains("\"nobodys\" is not a group")),
        "{:?}",
        status.problems
    );
    assert_eq!(sh(&stack, "id -u ada; id -g ada; id -un 4321; echo ~ada"), "4321\n1000\nada\n/home/ada");
    let groups = sh(&stack, "id -Gn ada");
    for group in ["lp", "audio", "video", "render", "input", "render4711"] {
        assert!(groups.split(' ').any(|name| name == group), "{group} in {groups}");
    }
    // Accounts without a configured password have no password that a login accepts.
    let hashes = sh(&stack, "getent shadow ada user | cut -d: -f2 | cut -c 1-3");
    assert_eq!(hashes, "$y$\n*");
    let known = stack.exec_with_input(
        &["runuser", "-u", "ada", "--", "sh", "-c", "read p; su ada -c 'id -un' <<E\n$p\nE"],
        b"pass:Word=\"19 $x\n",
    );
    assert_eq!((known.code, known.stdout.as_str()), (Some(0), "ada"), "{}", known.stderr);
    assert!(!stack.logs().contains("pass:Word"), "the password is in the log");

    let rooted = "env A=b sudo -n sh -c 'id -u; echo $A $HOME; echo $PATH'";
    let rooted =
        stack.exec(&["runuser", "-u", "ada", "--", "env", "PATH=/opt/x:/usr/bin:/bin", "sh", "-c", rooted]);
    assert_eq!(rooted.stdout, "0\nb /root\n/opt/x:/usr/bin:/bin", "{}", rooted.stderr);
}

#[tokio::test]
async fn a_mounted_home_stays_where_it_is() {
    let spec = light().option(VOLUME).option("--mount=type=volume,target=/home/user");
    let stack = start(spec, "chown 4321:4321 /workspace; chown 0:0 /home/user");
    stack.wait_until_up().await;
    assert_eq!(who(&stack), "4321:4321 user /home/user /home/user");
    assert_eq!(sh(&stack, "stat -c %u:%g /home/user"), "4321:4321");
}

#[tokio::test]
async fn files_of_the_home_are_moved_along() {
    let spec = light().option(VOLUME);
    let before = "chown 4321:4321 /workspace; test -L /home/user || {
        install -d -o user -g user /home/user/.config; echo image >/home/user/.config/a; chown user /home/user/.config/a
        install -d -o 4321 /workspace/home /workspace/home/user; echo mine >/workspace/home/user/.profile; }";
    let stack = start(spec, before);
    stack.wait_until_up().await;
    let seen = "cd /workspace/home/user; cat .config/a .profile; stat -c %u .config/a; cat /home/user.image/.config/a";
    assert_eq!(sh(&stack, seen), "image\nmine\n4321\nimage");
}

#[tokio::test]
async fn with_lists_that_cannot_be_changed_the_existing_user_has_the_desktop() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("passwd");
    let from = Container::of_image().option("--init").start(&["sleep", "600"]);
    std::fs::write(&list, from.exec_ok(&["cat", "/etc/passwd"]) + "\n").expect("a list of users");
    let spec = light().option(VOLUME).mount(&list.to_string_lossy(), "/etc/passwd");
    let stack = start(spec, "chown 4321:4321 /workspace");
    stack.wait_until_up().await;
    assert_eq!(who(&stack), "1000:1000 user /home/user /home/user");
    assert_eq!(sh(&stack, "ls /run/user"), "1000");
    let logs = stack.logs();
    assert!(logs.contains("/etc/passwd is mounted") && logs.contains("user (4321:4321"), "{logs}");
}

#[tokio::test]
async fn after_a_failed_step_the_existing_user_has_the_desktop_until_the_next_start() {
    // Locks the lists of users as the system's own programs do.
    let lock = "test -e /tmp/once || python3 -c 'import fcntl, time
f = open(\"/etc/.pwd.lock\", \"w\"); fcntl.lockf(f, fcntl.LOCK_EX); open(\"/tmp/once\", \"w\"); time.sleep(600)' &
        until test -e /tmp/once; do sleep 0.1; done; chown 4321:4321 /workspace";
    let stack = start(light().option(VOLUME), lock);
    let status = eventually("a failed step and what comes after it", START, async || {
        let status = stack.status()?;
        let is = |name: &str, state| status.unit(name).is_some_and(|unit| unit.state == state);
        let done = is("user", UnitState::Failed) && is("prepare", UnitState::Done);
        if done { Ok(status) } else { Err(stack::units(&status)) }
    })
    .await;
    let user = status.unit("user").expect("the step");
    assert_eq!(user.restarts, 0);
    assert_eq!(who(&stack), "1000:1000 user /home/user /home/user");
    assert_eq!(sh(&stack, "ls /run/user"), "1000");
    let logs = stack.logs();
    assert!(logs.lines().any(|line| line.starts_with("user |") && line.contains("cannot lock")), "{logs}");
    stack.restart(GRACE);
    stack.wait_until_up().await;
    assert_eq!(who(&stack), "4321:4321 user /workspace/home/user /workspace/home/user");
}

/// As on a network volume that maps root to `nobody`: without this capability the kernel checks root's access like any
/// user's.
#[tokio::test]
async fn a_volume_that_refuses_root_still_gets_the_users_home() {
    let refusing = light().option(VOLUME).option("--cap-drop=DAC_OVERRIDE");
    let stack = start(refusing, "chown 4321:4321 /workspace");
    stack.wait_until_up().await;
    assert_eq!(sh(&stack, "id -u user; getent passwd user | cut -d: -f6"), "4321\n/workspace/home/user");
    let made = stack.as_user(&["sh", "-c", "cd && touch made && stat -c %u . made .bashrc"]);
    assert_eq!(made.stdout, "4321\n4321\n4321", "{}", made.stderr);
}

#[tokio::test]
async fn leftovers_of_a_kill_are_repaired_at_the_next_start() {
    let stack = start(light().option(VOLUME), "chown 4321:4321 /workspace");
    stack.wait_until_up().await;
    // Process 1 is never treated as the holder of such a lock.
    let broken = "usermod --home /nonexistent --uid 5555 user; rm -r /home/user /etc/sudoers.d/desktopd
        chown 1:1 /workspace/home/user; chown 0:0 /workspace/home/user; gpasswd --delete user video
        for list in passwd group shadow gshadow; do printf 1 >/etc/$list.lock; done";
    sh(&stack, broken);
    stack.restart(GRACE);
    stack.wait_until_up().await;
    assert_eq!(who(&stack), "4321:4321 user /workspace/home/user /workspace/home/user");
    assert_eq!(sh(&stack, "stat -c %u ~user; id -nG user | grep -cw video"), "4321\n1");
    assert_eq!(stack.as_user(&["sudo", "-n", "id", "-u"]).stdout, "0");
}

#[tokio::test]
async fn a_desktop_comes_up_for_the_owner_of_a_volume() {
    let stack = start(stack::spec().option(VOLUME), "chown 4321:4321 /workspace");
    let status = stack.wait_until_up().await;
    assert!(
        stack::VISIBLE
            .iter()
            .all(|name| status.unit(name).is_some_and(|unit| unit.state == UnitState::Ready))
    );
    eventually("a window of plasmashell", START, async || {
        let done = stack.as_user(&[
            "env",
            "DISPLAY=:0",
            "xdotool",
            "search",
            "--onlyvisible",
            "--class",
            "plasmashell",
        ]);
        if done.code == Some(0) { Ok(()) } else { Err(done.stderr) }
    })
    .await;
    let panel = "pid=$(pgrep -x plasmashell); stat -c %u /proc/$pid; tr '\\0' '\\n' </proc/$pid/environ | grep ^HOME=";
    assert_eq!(stack.as_user(&["sh", "-c", panel]).stdout, "4321\nHOME=/workspace/home/user");
    let kept = "find /workspace/home/user -not -user 4321 -o -not -group 4321; ls /workspace/home/user/.config/kdeglobals";
    eventually("settings on the volume", START, async || {
        let seen = stack.exec(&["sh", "-c", kept]);
        if seen.stdout == "/workspace/home/user/.config/kdeglobals" {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn the_desktop_can_run_as_root() {
    let stack = start(light().option(VOLUME).env("USER_NAME", "root"), "chown 4321:4321 /workspace");
    let status = stack.wait_until_up().await;
    let user = status.unit("user").expect("the step");
    assert_eq!(user.state, UnitState::Skipped, "{}", user.reason);
    assert_eq!(sh(&stack, "ls /run/user; echo ~root"), "0\n/root");
}
