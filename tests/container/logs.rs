//! The output of `docker logs` for a start with default settings.

use crate::docker::Container;
use crate::poll::eventually;
use crate::stack::START;

/// The largest number of lines; longer logs are not read.
const MOST_LINES: usize = 24;

#[tokio::test]
async fn the_log_of_a_plain_start_is_short_and_ends_with_the_address() {
    let container = Container::of_image().option("--shm-size=1g").start(&["init"]);
    let logs = eventually("a log that says how to log in", START, async || {
        let logs = container.logs();
        if logs.contains("To see the password:") { Ok(logs) } else { Err(logs) }
    })
    .await;
    let lines: Vec<&str> = logs.lines().collect();
    assert!(lines.len() <= MOST_LINES, "{} lines:\n{logs}", lines.len());
    let begin = lines.iter().position(|line| line.contains("Open in a browser:")).expect("a headline");
    let block = lines[begin..].join("\n");
    assert!(lines[begin].contains("The desktop is up."), "{logs}");
    for (title, port) in [("Portal", 1111), ("Desktop", 6100), ("VNC", 6200)] {
        let address = format!("http://localhost:{port}/");
        assert!(lines[begin..].iter().any(|line| line.contains(title) || line.contains(&address)), "{block}");
        assert!(block.contains(&address), "{block}");
    }
    // The id in the short form that people use.
    let id = &container.inspect("{{.Id}}")[..12];
    let last = lines.last().unwrap();
    assert!(
        last.contains("User: user.") && last.ends_with(&format!("docker exec {id} desktopd credentials")),
        "{last}"
    );
    let credentials = container.exec_ok(&["desktopd", "credentials", "--json"]);
    let credentials: serde_json::Value = serde_json::from_str(&credentials).unwrap();
    for secret in ["password", "token"] {
        let secret = credentials[secret].as_str().expect("a secret that was made");
        assert!(!logs.contains(secret), "{logs}");
    }
    // Nothing is lost: the log files have the output that is not shown.
    for name in ["selkies", "kde"] {
        let size = container.exec_ok(&["stat", "--format=%s", &format!("/var/log/desktopd/{name}.log")]);
        assert_ne!(size.trim(), "0", "{name}");
    }
}
