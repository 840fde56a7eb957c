//! The image's desktop, started as a person starts it: `docker run … IMAGE init`.

use std::ops::Deref;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desktopd::observe::{Snapshot, UnitState};

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::docker::{Container, Spec};
use crate::poll::eventually;

/// The image's default ports.
pub const PORTAL: u16 = 1111;
pub const DESKTOP: u16 = 6100;

pub const USER: &str = "ada";
/// An unusual text, so that a search finds it in every place where it should not be.
pub const PASSWORD: &str = "open:Sesame=73!";

/// The services through which people see a desktop.
pub const VISIBLE: [&str; 3] = ["x-server", "kde", "selkies"];

/// The services that are left out where no desktop is needed: such a boot takes a second.
pub const LIGHT: &str = "kde,x-server,selkies,vnc,fcitx5,pipewire,wireplumber,pipewire-pulse,dbus-session,x-access,x-keys,x-cookie";

/// A cold start beside other tests takes several times as long as alone.
pub const START: Duration = Duration::from_secs(90);

/// A container with the daemon in it. A test that fails prints the daemon's state.
pub struct Stack {
    container: Container,
    /// The two ports on this machine, or `None` to ask Docker for them.
    ports: Option<(u16, u16)>,
}

impl Deref for Stack {
    type Target = Container;
    fn deref(&self) -> &Container {
        &self.container
    }
}

/// The options of every desktop; a login is not among them.
pub fn spec() -> Spec {
    of(Container::of_image())
}

/// The same options for another image.
pub fn of(spec: Spec) -> Spec {
    // A test that fails should print everything.
    spec.option("--shm-size=1g").env("LOG_TO_STDOUT", "all").publish(PORTAL).publish(DESKTOP)
}

/// The usual desktop, when all its services are up.
pub async fn start() -> Stack {
    let stack = Stack::new(spec().env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD).start(&["init"]));
    stack.wait_until_up().await;
    stack
}

impl Stack {
    pub fn new(container: Container) -> Stack {
        Stack { container, ports: None }
    }

    /// A container whose ports were chosen by the test.
    pub fn with_ports(container: Container, portal: u16, desktop: u16) -> Stack {
        Stack { container, ports: Some((portal, desktop)) }
    }

    /// The addresses that a person opens; `localhost` is a secure context without a certificate.
    pub fn portal(&self) -> String {
        format!("http://localhost:{}/", self.portal_port())
    }

    pub fn desktop(&self) -> String {
        format!("http://localhost:{}/", self.desktop_port())
    }

    pub fn portal_port(&self) -> u16 {
        self.ports.map_or_else(|| self.port(PORTAL), |ports| ports.0)
    }

    pub fn desktop_port(&self) -> u16 {
        self.ports.map_or_else(|| self.port(DESKTOP), |ports| ports.1)
    }

    /// The container's own address on Docker's network.
    pub fn address(&self) -> String {
        self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").trim().to_owned()
    }

    /// The daemon's status, or why there is none.
    pub fn status(&self) -> Result<Snapshot, String> {
        let done = self.exec(&["desktopd", "status", "--json"]);
        match done.code {
            Some(0) => {
                serde_json::from_str(&done.stdout).map_err(|error| format!("{error}: {}", done.stdout))
            }
            _ => Err(format!("{:?}: {}", done.code, done.stderr)),
        }
    }

    /// Waits until every unit that should be up is.
    pub async fn wait_until_up(&self) -> Snapshot {
        eventually("a desktop that is up", START, async || {
            let status = self.status()?;
            let shut = status.routes.iter().find_map(|route| route.problem.clone());
            match shut {
                None if status.up => Ok(status),
                None => Err(units(&status)),
                Some(problem) => Err(problem),
            }
        })
        .await
    }

    /// Waits until the desktop is ready in processes that did not exist `before`.
    pub async fn wait_until_renewed(&self, before: &Snapshot) -> Snapshot {
        let same = |now: &Snapshot, name: &str| {
            let unit = now.unit(name).filter(|unit| unit.state == UnitState::Ready);
            unit.is_none_or(|unit| unit.pid == before.unit(name).and_then(|unit| unit.pid))
        };
        eventually("new processes that are ready", START, async || {
            let now = self.status()?;
            if now.up && !VISIBLE.iter().any(|name| same(&now, name)) { Ok(now) } else { Err(units(&now)) }
        })
        .await
    }

    /// Runs a command inside as the desktop's user, without the session's variables.
    pub fn as_user(&self, command: &[&str]) -> crate::docker::Done {
        self.exec(&[&["runuser", "-u", "user", "--"], command].concat())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self.exec(&["desktopd", "status"]);
            eprintln!("--- status of {}\n{}\n{}", self.name, status.stdout, status.stderr);
        }
    }
}

/// All units with their states, in a line.
pub fn units(status: &Snapshot) -> String {
    let all = status.units.iter().map(|unit| match unit.reason.as_str() {
        "" => format!("{} {}", unit.name, unit.state.name()),
        reason => format!("{} {} ({reason})", unit.name, unit.state.name()),
    });
    format!("{:?}, {}", status.phase, all.collect::<Vec<_>>().join(", "))
}

/// The header of a program that knows the password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Opens a page that asks for a login, fills the form and waits for the page.
pub async fn log_in(browser: &Browser, url: &str, user: &str, password: &str) {
    browser.goto(url).await;
    eventually("the login page", Duration::from_secs(20), async || {
        browser.mend().await;
        let asked = browser.url().await;
        if asked.contains("/desktopd/login") {
            Ok(())
        } else {
            Err(format!("{asked}: {}", browser.text().await))
        }
    })
    .await;
    browser.submit_form("form", &[("user", user), ("password", password)]).await;
    eventually("the page behind the login", Duration::from_secs(20), async || {
        let now = browser.url().await;
        if now.contains("/desktopd/login") { Err(browser.text().await) } else { Ok(()) }
    })
    .await;
}

/// Logs in at the desktop's own port and waits for its picture.
pub async fn enter<'a>(browser: &'a Browser, stack: &Stack, user: &str, password: &str) -> Desktop<'a> {
    log_in(browser, &stack.desktop(), user, password).await;
    let desktop = Desktop { browser };
    desktop.wait_for_picture(START).await;
    desktop
}
