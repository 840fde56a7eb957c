//! The reported state of the desktop agrees with what people see: when a service is stopped, fails or is frozen, the
//! port shows that instead of a black or a still picture, and so do the portal, `desktopd health` and
//! `/desktopd/ready`.

use std::time::Duration;

use desktopd::observe::Sight;

use crate::browser::{Browser, NETWORK_CHANGED};
use crate::desktop::Desktop;
use crate::net::http_get;
use crate::poll::eventually;
use crate::stack::{self, PASSWORD, START, Stack, USER};

/// Longer than the time limit for a browser that does not answer: then the test's message names the browser.
const SOON: Duration = Duration::from_secs(60);

/// The services without which people see nothing.
const SEEN: [&str; 4] = ["vnc", "selkies", "kde", "xvfb"];

/// The port of VNC's page.
const VNC: u16 = 6200;

/// The usual health checks at shorter intervals; a killed service is not restarted.
const HASTY: &str = "cd /etc/desktopd/services && for name in kde selkies xvfb vnc; do
    sed -i '/^restart = /d' $name.toml && sed -i '1i restart = \"never\"' $name.toml
    sed -i 's/^period = .*/period = \"2s\"/; s/^retry = .*/retry = \"500ms\"/; s/^timeout = .*/timeout = \"2s\"/' $name.toml
done; exec init";

#[tokio::test]
async fn the_reported_state_is_what_people_see() {
    let spec = stack::spec().publish(VNC).env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.start(&["sh", "-c", HASTY]));
    let browser = Browser::start().await;
    stack.wait_until_up().await;
    stack::log_in(&browser, &stack.portal(), USER, PASSWORD).await;
    let told = Told { stack, browser };
    told.well().await;
    for name in SEEN {
        told.stack.exec_ok(&["desktopd", "stop", "--wait", name]);
        told.not_well(name, Sight::Stopped, "was stopped by uid 0", "is stopped").await;
        if name == "kde" {
            told.a_person_starts_it().await;
        }
        told.stack.exec_ok(&["desktopd", "start", name]);
        told.well().await;

        told.signal("KILL", name);
        told.not_well(name, Sight::Failed, "has failed: it ended with signal", "has failed").await;
        // Without the X server the other services end as well, sometimes before the daemon has found the reason.
        told.stack.exec_ok(&[&["desktopd", "start"][..], &SEEN].concat());
        told.well().await;
    }
    for name in ["vnc", "kde", "xvfb"] {
        told.signal("STOP", name);
        told.not_well(name, Sight::Unhealthy, "no answer within 2s", "does not answer").await;
        told.signal("CONT", name);
        told.well().await;
    }
    // The stream is useless when its service does not answer, so the service is ended; here, nothing starts it again.
    told.signal("STOP", "selkies");
    told.not_well("selkies", Sight::Failed, "has failed: unhealthy: ", "has failed").await;
    told.stack.exec_ok(&["desktopd", "start", "selkies"]);
    told.well().await;
    told.a_person_is_asked_before_the_desktop_ends().await;
}

struct Told {
    stack: Stack,
    browser: Browser,
}

impl Told {
    /// Signals the process whose absence people would notice.
    fn signal(&self, signal: &str, name: &str) {
        let status = self.stack.status().expect("a status");
        let pid = match name {
            // The main process only waits for the session's end; the health check asks the panel.
            "kde" if signal != "KILL" => self.stack.exec_ok(&["pgrep", "-x", "plasmashell"]),
            _ => status.unit(name).and_then(|unit| unit.pid).expect("a process").to_string(),
        };
        self.stack.exec_ok(&["kill", "-s", signal, &pid]);
    }

    /// The ports that show nothing without this service.
    fn ports(&self, name: &str) -> Vec<u16> {
        match name {
            "selkies" => vec![self.stack.desktop_port()],
            "vnc" => vec![self.stack.port(VNC)],
            _ => vec![self.stack.desktop_port(), self.stack.port(VNC)],
        }
    }

    async fn well(&self) {
        eventually("a desktop that is ready", START, async || {
            let status = self.stack.status()?;
            if status.ready { Ok(()) } else { Err(format!("{}: {:?}", status.summary, status.not_ready)) }
        })
        .await;
        assert_eq!(self.stack.exec(&["desktopd", "health"]).code, Some(0), "health");
        assert_eq!(self.ready().await.0, 200, "ready");
    }

    /// The answer for a load balancer that sends a password.
    async fn ready(&self) -> (u16, String) {
        let login = stack::basic(USER, PASSWORD);
        let url = format!("{}desktopd/ready", self.stack.portal());
        let reply = http_get(&url, &[("Authorization", login.as_str())]).await.expect("an answer");
        (reply.status, reply.body)
    }

    async fn not_well(&self, name: &str, sight: Sight, words: &str, headline: &str) {
        let what = format!("{name} {}", sight.name());
        let status = eventually(&what, SOON, async || {
            let now = self.stack.status()?;
            let seen = |seen: &desktopd::observe::Seen| seen.sight == sight && seen.unit == name;
            match now.routes.iter().filter(|route| seen(&route.seen)).count() {
                ways if ways == self.ports(name).len() => Ok(now),
                ways => Err(format!("{ways} ways, {}: {:?}", now.summary, now.not_ready)),
            }
        })
        .await;
        assert!(!status.ready && status.summary.contains(&format!("{}: {name}", sight.name())), "{what}");
        let health = self.stack.exec(&["desktopd", "health"]);
        assert!(health.code == Some(1) && health.stdout.contains(words), "{what}: {health:?}");
        let (code, body) = self.ready().await;
        assert!(code == 503 && body.contains(words), "{what}: {body}");
        let shown = self.stack.exec_ok(&["desktopd", "status"]);
        assert!(shown.lines().next().is_some_and(|line| line.contains(name)), "{what}: {shown}");
        for port in self.ports(name) {
            self.sees(&format!("http://localhost:{port}/"), &what, &[headline, name, words]).await;
        }
        self.sees(&self.stack.portal(), &what, &[&status.summary, name, words, sight.name()]).await;
    }

    /// Opens a page in which a person reads these words.
    async fn sees(&self, page: &str, what: &str, words: &[&str]) {
        self.browser.goto(page).await;
        eventually(&format!("{what} on {page}"), SOON, async || {
            let text = self.browser.text().await;
            if text.contains(NETWORK_CHANGED) {
                self.browser.goto(page).await;
            }
            match words.iter().find(|word| !text.contains(*word)) {
                None => Ok(()),
                Some(word) => Err(format!("{word:?} is not in {text:?}")),
            }
        })
        .await;
    }

    /// The button on the port's own page is enough: the page opens the desktop by itself.
    async fn a_person_starts_it(&self) {
        let ways = ["Service portal on port", "(VNC) on port"];
        self.sees(&self.stack.desktop(), "the other ways in", &ways).await;
        self.browser.keep_screenshot("stopped.png").await;
        self.browser.click_on("#start button").await;
        Desktop { browser: &self.browser }.wait_for_picture(START).await;
    }

    /// Actions that end people's work need a confirmation in the portal.
    async fn a_person_is_asked_before_the_desktop_ends(&self) {
        let services = format!("{}services", self.stack.portal());
        self.sees(&services, "the portal", &["ready to use", "xvfb"]).await;
        let before = self.stack.status().expect("a status");
        let shown = "return [...document.querySelectorAll('#units button')]
            .filter(button => !button.hidden && /^(start|stop|restart) user$/.test(button.ariaLabel)).length;";
        assert_eq!(self.browser.execute(shown, vec![]).await, 0, "a boot step has no buttons");
        let question = "return document.getElementById('question').open && document.getElementById('question').innerText;";
        for (verb, answer) in [("restart", ""), ("stop", "yes")] {
            self.browser.click_on(&format!("button[aria-label='{verb} xvfb']")).await;
            let asked = self.browser.execute(question, vec![]).await.to_string();
            for words in ["xvfb?", "not saved is lost", "kde", "selkies", "vnc"] {
                assert!(asked.contains(words), "{words:?} is not in {asked}");
            }
            self.browser.keep_screenshot("question.png").await;
            let now = self.stack.status().expect("a status");
            assert_eq!(now.seq, before.seq, "nothing happens before the answer");
            self.browser.click_on(&format!("#question button[value='{answer}']")).await;
        }
        self.sees(&self.stack.portal(), "the portal", &["stopped: xvfb", "by ada (portal, from "]).await;
    }
}
