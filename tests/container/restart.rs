//! A container that is started again, under Docker's own init: the secrets that it made for itself stay.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::docker::Spec;
use crate::scenario;
use crate::stack::{self, LIGHT, START, Stack};

/// The default user of the login.
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
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "the desktop's user is refused");
    assert!(refused.stderr.contains("root"), "why not: {}", refused.stderr);
    stack::enter(&browser, &stack, USER, password).await;

    stack.restart(Duration::from_secs(30));
    let second = stack.wait_until_up().await;
    assert!(second.started_at > first.started_at, "it is another daemon: {}", stack::units(&second));
    assert_eq!(credentials(&stack), login, "user, password and token");

    // Docker chose other ports; cookies do not depend on ports.
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

#[tokio::test]
async fn a_copied_container_makes_new_secrets() {
    let named = |spec: Spec| spec.option("--hostname=desk").env("SUPERVISOR_NO_AUTOSTART", LIGHT);
    let first = Stack::new(named(stack::spec()).start(&["init"]));
    first.wait_until_up().await;
    let copied = credentials(&first);
    let image = first.commit();
    let volume = "--mount=type=volume,target=/var/lib/desktopd";
    let second = Stack::new(named(stack::of(image.spec())).start(&["init"]));
    second.wait_until_up().await;
    let own = credentials(&second);
    assert_eq!(own["user"], copied["user"]);
    for secret in ["password", "token"] {
        assert_ne!(own[secret], copied[secret], "the {secret} of a published image would open it");
    }
    // State on a volume is kept, also for another container.
    let third = Stack::new(named(stack::spec()).option(volume).start(&["init"]));
    third.wait_until_up().await;
    let kept = credentials(&third);
    let volumes = format!("--volumes-from={}", third.inspect("{{.Name}}").trim_start_matches('/'));
    third.stop(Duration::from_secs(10));
    let fourth = Stack::new(named(stack::spec()).option(&volumes).start(&["init"]));
    fourth.wait_until_up().await;
    assert_eq!(credentials(&fourth), kept);
}
