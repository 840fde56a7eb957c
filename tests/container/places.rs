//! Compatibility with other environments: a start by vast.ai's launcher, variables that scripts of the older images
//! keep, and ports that have other numbers outside.

use std::time::Duration;

use desktopd::observe::UnitState;

use crate::browser::Browser;
use crate::poll::eventually;
use crate::stack::{self, LIGHT, PASSWORD, START, Stack, USER};

const SOON: Duration = Duration::from_secs(20);

/// The platform runs its own SSH server, and then the template's start command.
const LAUNCHER: &str = r#"
    ssh-keygen -q -t ed25519 -N '' -f /tmp/key; export SSH_PUBLIC_KEY="$(cat /tmp/key.pub)"
    mkdir -p /run/sshd; ssh-keygen -q -A; /usr/sbin/sshd
    env | grep _ >> /etc/environment
    entrypoint.sh --no-update-portal --new-flag
    echo "the launcher goes on after $?"
    sleep infinity
    exit 0
"#;

const PORTAL_CONFIG: &str = "localhost:1111:11111:/:Instance Portal|localhost:6100:16100:/:Selkies Low Latency Desktop|\
                             localhost:8080:8080:/:Jupyter|localhost:8384:18384:/:Syncthing";

#[tokio::test]
async fn vast_ais_launcher_starts_the_desktop_beside_its_own_ssh_server() {
    let mut spec = stack::spec().option("--entrypoint=bash");
    for (name, value) in [
        ("CONTAINER_ID", "12345678"),
        ("OPEN_BUTTON_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("PORTAL_CONFIG", PORTAL_CONFIG),
        ("PUBLIC_IPADDR", "203.0.113.9"),
        ("VAST_CONTAINERLABEL", "C.12345678"),
        ("VAST_TCP_PORT_1111", "40111"),
        ("VAST_TCP_PORT_22", "40022"),
        ("VAST_TCP_PORT_6100", "40610"),
        ("VAST_TCP_PORT_8384", "40838"),
    ] {
        spec = spec.env(name, value);
    }
    let stack = Stack::new(spec.start(&["-c", LAUNCHER]));
    let status = stack.wait_until_up().await;
    assert_ne!(status.pid, 1, "the launcher's shell is process 1");
    let sshd = status.unit("sshd").expect("a unit of the image");
    assert_eq!(sshd.state, UnitState::Skipped, "{}", sshd.reason);
    assert!(sshd.reason.contains("another program listens on port 22"), "{}", sshd.reason);
    for name in stack::VISIBLE {
        assert_eq!(status.unit(name).map(|unit| unit.state), Some(UnitState::Ready), "{name}");
    }
    let problems = &status.problems;
    assert!(problems.len() == 1 && problems[0].contains("--new-flag"), "{problems:#?}");

    assert!(status.display.contains(" on :20"), "{}", status.display);
    let geometry = stack.exec_ok(&["bash", "-lc", "echo $DISPLAY; xdotool getdisplaygeometry"]);
    assert_eq!(geometry, ":20\n1920 1080");

    let titles: Vec<&str> = status.routes.iter().map(|route| route.title.as_str()).collect();
    assert!(titles.contains(&"Syncthing") && !titles.contains(&"Jupyter"), "{titles:?}");
    // The lines that the launcher appended are quoted, so that shells read them and run nothing.
    let read = stack.exec_ok(&["env", "-i", "bash", "-c", ". /etc/environment && echo \"$PORTAL_CONFIG\""]);
    assert_eq!(read, PORTAL_CONFIG);

    stack.exec_ok(&["kill", "-TERM", &status.pid.to_string()]);
    eventually("the end of the daemon", START, async || {
        let logs = stack.logs();
        if logs.contains("the launcher goes on after 0") { Ok(()) } else { Err(logs) }
    })
    .await;
    assert_eq!(stack.inspect("{{.State.Running}}"), "true", "the launcher's container goes on");
}

const PROVISIONING: &str = r#"
    export STORED='by the user'; env-store STORED
    echo "export APPENDED='it is'" >> /opt/ai-dock/etc/environment.sh
    echo 'touch /tmp/ran-as-$(id -u)' >> /opt/ai-dock/etc/environment.sh
"#;

const PROBE: &str = "command = [\"sh\", \"-c\", \"echo got $$STORED:$$APPENDED:$$EDITED; exec sleep infinity\"]\nafter = [\"provisioning\"]\n";

/// Variables that the user stores never reach programs of root.
#[tokio::test]
async fn scripts_store_variables_and_cannot_affect_root() {
    let files = tempfile::tempdir().expect("make a folder");
    let write = |name: &str, text: &str| {
        let file = files.path().join(name);
        std::fs::write(&file, text).expect("write a file");
        file.to_str().expect("a temporary folder's name is text").to_owned()
    };
    let services = "/etc/desktopd/services";
    let stack = Stack::new(
        stack::spec()
            .env("SUPERVISOR_NO_AUTOSTART", LIGHT)
            .env("EDITED", "by the container")
            .env("HOTFIX_SCRIPT", "/opt/fix.sh")
            .mount(&write("fix.sh", "echo \"EDITED='by the hotfix'\" >> /etc/environment\n"), "/opt/fix.sh")
            .mount(&write("p.sh", PROVISIONING), "/opt/desktopd/provisioning.sh")
            .mount(&write("users.toml", PROBE), &format!("{services}/users.toml"))
            .mount(
                &write("roots.toml", &format!("{PROBE}user = \"root\"\n")),
                &format!("{services}/roots.toml"),
            )
            .start(&["init"]),
    );
    let got = async |name: &str, expected: &str| {
        eventually(name, START, async || {
            let log = stack.exec(&["desktopd", "logs", name]);
            if log.stdout.contains(expected) { Ok(()) } else { Err(format!("{log:?}\n{}", stack.logs())) }
        })
        .await;
    };
    got("users", "got by the user:it is:by the hotfix").await;
    got("roots", "got ::by the hotfix").await;
    let log = stack.exec_ok(&["desktopd", "logs", "provisioning"]);
    assert!(log.contains("Stored environment variable 'STORED': by the user"), "{log}");
    assert!(log.contains("line 2: it is not NAME=value; it is left out"), "{log}");

    let shell = |user: &str| {
        let script = ". /opt/ai-dock/etc/environment.sh; echo \"$STORED:$APPENDED:$EDITED\"";
        stack.exec_ok(&["runuser", "-u", user, "--", "env", "-i", "bash", "-c", script])
    };
    assert_eq!(shell("user"), "by the user:it is:by the hotfix");
    assert_eq!(shell("root"), "::by the hotfix");
    let owners = ["stat", "-c", "%a %U", "/opt/ai-dock/etc/environment.sh", "/var/lib/desktopd-user"];
    assert_eq!(stack.exec_ok(&owners), "644 root\n755 root");
    assert_eq!(stack.exec(&["sh", "-c", "ls /tmp/ran-as-*"]).stdout, "", "a line that was added was run");
    let refused = stack.as_user(&["env-store", "WEB_PASSWORD=x"]);
    assert!(refused.stderr.contains("a secret of desktopd"), "{refused:?}");
    let stranger = stack.exec(&["runuser", "-u", "nobody", "--", "env-store", "A=x"]);
    assert!(
        stranger.code == Some(1) && stranger.stderr.contains("only root and the desktop's user"),
        "{stranger:?}"
    );

    // The next boot reads both, and the user's variables do not count as edits of the machine's file.
    stack.restart(Duration::from_secs(10));
    got("users", "got by the user:it is:by the hotfix").await;
    got("roots", "got ::by the hotfix").await;
    let file = stack.exec_ok(&["cat", "/etc/environment"]);
    assert!(!file.contains("STORED") && file.contains("by the hotfix"), "{file}");
}

#[tokio::test]
async fn a_portal_on_another_port_says_that_its_links_may_lead_elsewhere() {
    let spec = stack::spec().env("SUPERVISOR_NO_AUTOSTART", LIGHT);
    let stack = Stack::new(spec.env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD).start(&["init"]));
    stack.wait_until_up().await;
    let browser = Browser::start().await;
    let same = format!("http://{}:{}/", stack.address(), stack::PORTAL);
    for (address, mapped) in [(stack.portal(), true), (same, false)] {
        stack::log_in(&browser, &address, USER, PASSWORD).await;
        eventually("the links", SOON, async || {
            browser.mend().await;
            let text = browser.text().await;
            let listed = text.contains("port 6100") && text.contains("port 6200");
            let said = text.contains("other ports may also differ outside") && text.contains("SELKIES_URL");
            let each = text.contains("port 6100, if it is the same outside");
            if listed && said == mapped && each == mapped { Ok(()) } else { Err(text) }
        })
        .await;
    }
}
