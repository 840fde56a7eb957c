//! Commands of people and scripts that expect a whole machine: `reboot`, `systemctl`, `service`.

use std::time::Duration;

use crate::stack::{self, LIGHT, Stack};

const GRACE: Duration = Duration::from_secs(20);

/// An init script, as packages install it.
const SCRIPT: &str =
    "printf '#!/bin/sh\\necho \"$1 of the script\"\\n' >/etc/init.d/thing; chmod 755 /etc/init.d/thing";

fn pid(stack: &Stack) -> Option<i32> {
    let status = stack.status().expect("a status");
    status.unit("probe").expect("the service").pid
}

#[tokio::test]
async fn systemctl_and_service_work_for_our_services_and_init_scripts() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("probe.toml");
    std::fs::write(&file, "command = [\"sleep\", \"infinity\"]\naliases = [\"other\"]\n").expect("write");
    let spec = stack::spec().env("SUPERVISOR_NO_AUTOSTART", LIGHT);
    let stack =
        Stack::new(spec.mount(&file.to_string_lossy(), "/etc/desktopd/services/probe.toml").start(&["init"]));
    stack.wait_until_up().await;
    for command in [&["systemctl", "restart", "probe.service"][..], &["service", "other", "restart"]] {
        let before = pid(&stack);
        stack.exec_ok(command);
        assert!(pid(&stack).is_some() && pid(&stack) != before, "{command:?}");
    }
    assert_eq!(stack.exec_ok(&["systemctl", "is-active", "probe"]), "active");
    assert!(stack.exec_ok(&["service", "probe", "status"]).contains("ready"));
    stack.exec_ok(&["service", "probe", "stop"]);
    let done = stack.exec(&["systemctl", "is-active", "probe"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), "inactive"));
    assert_eq!(stack.exec(&["service", "probe", "status"]).code, Some(3));
    stack.exec_ok(&["systemctl", "start", "probe"]);
    assert!(pid(&stack).is_some());

    stack.exec_ok(&["sh", "-c", SCRIPT]);
    for verb in ["start", "restart", "configtest"] {
        assert_eq!(stack.exec_ok(&["service", "thing", verb]), format!("{verb} of the script"));
    }
    assert_eq!(stack.exec_ok(&["systemctl", "start", "thing"]), "start of the script");
    assert!(stack.exec_ok(&["sh", "-c", "service --status-all 2>&1"]).contains("thing"));
    // As a package's installation script does it.
    assert!(stack.exec_ok(&["invoke-rc.d", "--force", "thing", "start"]).contains("start of the script"));
    // No key is configured, so the daemon does not run sshd.
    let ssh = stack.exec_ok(&["sh", "-c", "ssh-keygen -qA; service ssh start; pgrep -x sshd"]);
    assert!(ssh.contains("OpenBSD Secure Shell server"), "{ssh}");

    for (command, code, told) in [
        (&["service", "nosuch", "start"][..], 1, "no systemd in this container"),
        (&["systemctl", "restart", "nosuch"], 4, "desktopd status"),
        (&["systemctl", "list-units"], 1, "desktopd status"),
        (&["systemctl", "restart", "probe", "thing"], 1, "use separate commands"),
        (&["shutdown", "+5"], 64, "shutdown now"),
        (&["systemctl", "is-system-running"], 1, ""),
    ] {
        let done = stack.exec(command);
        assert!(done.code == Some(code) && done.stderr.contains(told), "{command:?}: {done:?}");
    }

    // Programs that people install in place of the image's `systemctl` keep working, in every folder.
    let instead = "mv /usr/bin/systemctl /root/; printf '#!/bin/sh\\necho instead \"$@\"\\n' >/usr/bin/systemctl; \
        chmod 755 /usr/bin/systemctl; systemctl start nosuch; systemctl list-units; systemctl is-active probe; \
        cp /usr/bin/systemctl /usr/local/sbin/systemctl; systemctl is-active probe";
    let told = stack.exec_ok(&["sh", "-c", instead]);
    assert_eq!(told, "instead start nosuch\ninstead list-units\nactive\ninstead is-active probe");
    stack.status().expect("desktopd is the same process");
}

#[tokio::test]
async fn reboot_and_similar_commands_stop_the_container() {
    let stack = Stack::new(stack::spec().env("SUPERVISOR_NO_AUTOSTART", LIGHT).start(&["init"]));
    for (command, told) in [
        ("runuser -u user -- sudo -n reboot", "its restart policy decides whether it starts again"),
        ("poweroff", "docker stop"),
        ("shutdown -h now", "the container ends"),
        ("halt", "the container ends"),
        ("systemctl reboot", "the container ends"),
    ] {
        stack.wait_until_up().await;
        let refused = stack.as_user(&["reboot"]);
        assert!(refused.code == Some(1) && refused.stderr.contains("sudo reboot"), "{refused:?}");
        let done = stack.exec(&["sh", "-c", command]);
        // The container's end may come before the end of the command.
        assert!(done.code != Some(0) || done.stdout.contains(told), "{command}: {done:?}");
        // As after `docker stop`.
        assert_eq!(stack.wait_exit_code(GRACE).await, 0, "{command}");
        stack.start_again();
    }
}
