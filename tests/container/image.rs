//! The image itself: its description, other commands than the desktop, and secrets that it must not contain.

use std::time::Duration;

use crate::cleanup::Cleanup;
use crate::docker::{self, Container, image_config};
use crate::poll::eventually;
use crate::stack::{self, START, Stack};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_image_has_a_description_ports_and_a_command() {
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

/// Secret files that every container has to make for itself: one that is baked into the image would open all other
/// containers.
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

/// The files of that folder are copied over the image at the end of its build, except the README of the folder.
#[test]
fn overlay_files_reach_the_image_except_the_readme() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("Dockerfile.cpu")).expect("a Dockerfile");
    let copy =
        text.lines().find(|line| line.starts_with("COPY docker/COPY_ROOT_EXTRA")).expect("the overlay");
    let context = tempfile::tempdir().expect("make a folder");
    let write = |name: &str, text: &str| {
        let file = context.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("make a folder");
        std::fs::write(file, text).expect("write a file");
    };
    write("Dockerfile", &format!("FROM {}\n{copy}\n", docker::image()));
    write(".dockerignore", &std::fs::read_to_string(root.join(".dockerignore")).expect("read .dockerignore"));
    write("docker/COPY_ROOT_EXTRA/etc/motd", "laid over\n");
    write("docker/COPY_ROOT_EXTRA/README.md", "not this\n");
    let name = docker::new_name();
    let client = docker::docker().get_program().to_string_lossy().into_owned();
    let _cleanup = Cleanup::new(r#"exec "$1" rmi -f "$2""#, &[&client, &name]);
    let folder = context.path().to_str().expect("a temporary folder's name is text");
    let mut build = docker::docker();
    let done = docker::Done::from(docker::run(build.args(["build", "-q", "-t", &name, folder])));
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut look = docker::docker();
    let look = look.args([
        "run",
        "--rm",
        "--pull=never",
        &name,
        "sh",
        "-c",
        "cat /etc/motd; ls /README.md 2>/dev/null",
    ]);
    assert_eq!(docker::Done::from(docker::run(look)).stdout, "laid over");
}

#[tokio::test]
async fn without_a_command_the_image_starts_the_desktop() {
    let stack = Stack::new(stack::spec().start(&[]));
    // The first answers come before there is a plan.
    let planned = async || stack.status().ok().filter(|status| status.unit("kde").is_some());
    let status = eventually("the desktop among the services", START, planned).await;
    assert_eq!(status.pid, 1);
}
