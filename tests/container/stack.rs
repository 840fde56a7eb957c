//! The desktop's programs launched by a plain script instead of our supervisor: what the tests of this folder
//! are proven against.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::docker::Container;
use crate::net::http_get;
use crate::poll::eventually;

/// Where the script is, outside this repository.
const SCRIPT: &str = "DESKTOPD_TEST_HAND_LAUNCH";

/// The port of Selkies in there, which asks for a user and a password itself.
pub const PORT: u16 = 8080;
pub const USER: &str = "user";
pub const PASSWORD: &str = "secret";

/// A cold start beside other tests takes several times what it takes alone.
const START: Duration = Duration::from_secs(60);

/// Plasma, audio, an input method and Selkies, when it answers; `settings` are more of Selkies' environment,
/// as `NAME=value NAME=value`.
pub async fn start(settings: &str) -> Container {
    let script =
        std::env::var(SCRIPT).unwrap_or_else(|_| panic!("set {SCRIPT} to the path of hand-launch.sh"));
    let spec = Container::of_image()
        .option("--init")
        .mount(&script, "/hand-launch.sh")
        .env("SCREEN", "1920x1080x24")
        .env("SELKIES_ENV", settings)
        .publish(PORT);
    let off = ["COMPOSITE", "VNC", "TURN", "SSH"];
    let container =
        off.iter().fold(spec, |spec, name| spec.env(name, "0")).start(&["bash", "/hand-launch.sh"]);
    let health = format!("http://127.0.0.1:{}/api/health", container.port(PORT));
    eventually("Selkies answers", START, async || match http_get(&health, &[]).await {
        Ok(reply) if reply.status == 200 => Ok(()),
        Ok(reply) => Err(format!("status {}", reply.status)),
        Err(error) => Err(error.to_string()),
    })
    .await;
    container
}

/// Logs in and opens the page; `fragment` is what follows the page's address.
pub async fn open<'a>(browser: &'a Browser, container: &Container, fragment: &str) -> Desktop<'a> {
    let place = format!("localhost:{}", container.port(PORT));
    // A password in the page's own address would break the page's requests; the browser remembers it from any
    // other one.
    browser.goto(&format!("http://{USER}:{PASSWORD}@{place}/icon.png")).await;
    Desktop::open(browser, &format!("http://{place}/{fragment}"), START).await
}
