//! Wrong settings do not prevent the desktop: it comes up, and reports every setting that it did not understand.

use std::fs;

use desktopd::observe::UnitState;

use crate::net::http_get;
use crate::stack::{self, Stack};

const SERVICES: &str = "/etc/desktopd/services";

#[tokio::test]
async fn a_desktop_starts_in_spite_of_every_mistake_and_reports_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("write a service file");
        file.to_str().expect("a temporary folder's name is text").to_owned()
    };
    let broken = write(
        "broken.toml",
        "command = [\"sleep\", \"infinity\"]\ndescriptoin = \"mine\"\nrestart = \"sometimes\"\n",
    );
    let absent = write("absent.toml", "command = [\"no-such-program\", \"--fast\"]\n");
    let long = "long-secret-".repeat(7)[..73].to_owned();
    let container = stack::spec()
        .mount(&broken, &format!("{SERVICES}/broken.toml"))
        .mount(&absent, &format!("{SERVICES}/absent.toml"))
        .env("WEB_PASSWORD", &long)
        .env("DISPLAY_SIZEW", "wide")
        .start(&["init", "no-equals-sign"]);
    let stack = Stack::new(container);
    let status = stack.wait_until_up().await;

    for name in stack::VISIBLE {
        let unit = status.unit(name).expect("a unit of the image");
        assert_eq!(unit.state, UnitState::Ready, "{}", stack::units(&status));
    }
    let problems = status.problems.join("\n");
    for words in [
        &["/etc/desktopd/services/broken.toml", "descriptoin", "description"][..],
        &["/etc/desktopd/services/broken.toml", "restart", "sometimes", "on-failure"],
        &["environment", "WEB_PASSWORD", "72 bytes"],
        &["environment", "DISPLAY_SIZEW", "wide", "1920"],
        &["arguments of init", "no-equals-sign"],
    ] {
        let told = status.problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
        assert!(told, "no problem names all of {words:?}:\n{problems}");
    }
    let reason = |name: &str| {
        let unit = status.unit(name).unwrap_or_else(|| panic!("no {name} in {}", stack::units(&status)));
        (unit.state, unit.reason.clone())
    };
    let (state, why) = reason("broken");
    assert_eq!(state, UnitState::Failed, "{why}");
    assert!(why.contains("descriptoin"), "{why}");
    let (state, why) = reason("absent");
    assert_eq!(state, UnitState::Skipped, "{why}");
    assert!(
        why.contains("absent.toml") && why.contains("command") && why.contains("no-such-program"),
        "{why}"
    );

    // A password that cannot be used is not accepted, and is never shown.
    let login = stack::basic("user", &long);
    let page = http_get(&stack.portal(), &[("Authorization", &login)]).await.expect("an answer");
    assert_eq!(page.status, 401, "the portal with a password that was refused");
    let logs = stack.logs();
    assert!(!logs.contains(&long) && !problems.contains(&long), "the refused password is shown:\n{logs}");
    assert!(
        logs.contains("descriptoin") && logs.contains("no-such-program"),
        "the log tells it too:\n{logs}"
    );
}
