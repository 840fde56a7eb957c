//! What the image is before and beside its desktop.

use std::time::Duration;

use crate::docker::{Container, image_config};
use crate::poll::eventually;
use crate::stack::{self, START, Stack};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn it_says_what_it_is_and_how_to_start_it() {
    assert_eq!(image_config(".Config.Cmd"), serde_json::json!(["init"]));
    assert!(image_config(".Config.Entrypoint").is_null(), "any command can be run in it");
    let check = image_config(".Config.Healthcheck");
    assert_eq!(check["Test"], serde_json::json!(["CMD", "desktopd", "health"]));
    let labels = image_config(".Config.Labels");
    for label in ["title", "description", "version", "revision"] {
        let value = &labels[format!("org.opencontainers.image.{label}")];
        assert!(value.as_str().is_some_and(|value| !value.is_empty()), "label {label} in {labels}");
    }
    let ports = image_config(".Config.ExposedPorts");
    assert!(["1111/tcp", "6100/tcp", "6200/tcp"].iter().all(|port| ports.get(port).is_some()), "{ports}");
    let variables = image_config(".Config.Env").to_string();
    assert!(!variables.contains("PASSWORD") && !variables.contains("TOKEN"), "{variables}");
}

/// Identities that every container has to make for itself: a copy of one that is baked in opens all others.
#[tokio::test]
async fn any_command_runs_in_it_and_nothing_secret_is_baked_in() {
    let script = "echo ok
        cat /etc/machine-id /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /var/lib/desktopd/* 2>/dev/null
        desktopd status; echo status $?
        desktopd health; echo health $?";
    let container = Container::of_image().start(&["bash", "-c", script]);
    assert_eq!(container.wait_exit_code(SOON).await, 0, "{}", container.logs());
    let logs = container.logs();
    // Standard error comes last.
    let said: Vec<&str> = logs.lines().collect();
    assert_eq!(said.get(..3), Some(&["ok", "status 3", "health 3"][..]), "{logs}");
    assert!(logs.contains("the daemon does not run here"), "{logs}");
}

#[tokio::test]
async fn without_a_command_it_is_the_desktop() {
    let stack = Stack::new(stack::spec().start(&[]));
    let status = eventually("the daemon's status", START, async || stack.status()).await;
    assert_eq!(status.pid, 1);
    assert!(status.unit("kde").is_some(), "{}", stack::units(&status));
}
