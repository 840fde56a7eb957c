//! A container that is started again, under an init of Docker's own: what it made for itself stays.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::scenario;
use crate::stack::{self, START, Stack};

/// Who logs in when nothing is said.
const USER: &str = "user";

#[tokio::test]
async fn a_restart_keeps_password_and_sessions() {
    let stack = Stack::new(stack::spec().option("--init").start(&["init"]));
    let browser = Browser::start().await;
    let first = stack.wait_until_up().await;
    assert_ne!(first.pid, 1, "Docker's init is process 1");

    let login = credentials(&stack);
    assert_eq!(login["user"], USER);
    let password = login["password"].as_str().expect("a password was made");
    assert!(password.len() >= 16, "{password:?} can be guessed");
    let refused = stack.as_user(&["desktopd", "credentials"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "what the desktop's user is told");
    assert!(refused.stderr.contains("root"), "why not: {}", refused.stderr);
    stack::enter(&browser, &stack, USER, password).await;

    stack.restart(Duration::from_secs(30));
    let second = stack.wait_until_up().await;
    assert!(second.started_at > first.started_at, "it is another daemon: {}", stack::units(&second));
    assert_eq!(credentials(&stack), login, "user, password and token");

    // Docker gave it other ports; cookies don't know ports.
    browser.goto(&stack.desktop()).await;
    let here = browser.url().await;
    assert!(!here.contains("login"), "the session of before the restart is still open, not {here}");
    let desktop = Desktop { browser: &browser };
    desktop.wait_for_return(START).await;
    if let Err(why) = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", browser.keep_evidence("unpainted-after-restart").await);
    }

    let logs = stack.logs();
    let secrets = [password, login["token"].as_str().expect("a token was made")];
    assert!(!secrets.iter().any(|secret| logs.contains(secret)), "a secret is in the log:\n{logs}");
    assert_eq!(stack.exec(&["desktopd", "health"]).code, Some(0), "the health check");
}

fn credentials(stack: &Stack) -> serde_json::Value {
    let text = stack.exec_ok(&["desktopd", "credentials", "--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("credentials: {error}: {text}"))
}
