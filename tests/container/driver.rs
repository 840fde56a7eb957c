//! chromedriver and the Chromium that it starts: processes, files and the driver's address.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cleanup::Cleanup;
use crate::poll::eventually;

/// Switches that make Chromium quiet, the same everywhere and independent of this machine.
const SWITCHES: &[&str] = &[
    "--headless=new",
    // Tests run as root in containers, where Chromium's sandbox does not work.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    // The window is higher than the page by the browser's bars, so the page has the desktop's size.
    "--window-size=1920,1223",
];

/// A running chromedriver. Dropping it kills it and every process of its Chromium, and removes their files.
pub struct Driver {
    process: Child,
    pub url: String,
    /// The folder of all its files.
    pub files: PathBuf,
    cleanup: Option<Cleanup>,
}

impl Driver {
    /// Starts a driver on a free port. Chromedriver takes a free port of IPv4 and ends if the same port of IPv6 is in use,
    /// so a driver that ends without a word about its port is started again.
    pub async fn start() -> Driver {
        let mut said = Vec::new();
        for _ in 0..3 {
            match Driver::try_start().await {
                Ok(driver) => return driver,
                Err(last) => said.push(last),
            }
        }
        panic!("chromedriver ended at once, each time: {}", said.join("\n"))
    }

    /// The error is what a driver said that has ended.
    async fn try_start() -> Result<Driver, String> {
        let files =
            TempDir::with_prefix("desktopd-test-browser-").expect("make a folder for the browser").keep();
        let said = files.join("chromedriver.log");
        let log = std::fs::File::create(&said).expect("make chromedriver's log");
        let process = Command::new(
            std::env::var_os("DESKTOPD_TEST_CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into()),
        )
        .arg("--port=0")
        // Chromium leaves sockets, crash data and caches in these folders.
        .envs(["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, &files)))
        .env_remove("DISPLAY")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share chromedriver's log"))
        .stderr(log)
        // Chromium's processes stay in the driver's group, so that one signal ends all of them.
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("start chromedriver (packages chromium and chromium-driver): {error}")
        });
        let group = process.id().to_string();
        let path = files.to_string_lossy().into_owned();
        let cleanup = Cleanup::new(
            r#"kill -s KILL -- "-$1"; for n in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$2" && break; sleep 0.3; done"#,
            &[&group, &path],
        );
        let mut driver = Driver { process, url: String::new(), files, cleanup: Some(cleanup) };
        let port: Option<u16> = eventually("chromedriver's port", Duration::from_secs(20), async || {
            // Asked before the log is read: nothing is added to it later.
            let ended = driver.process.try_wait().expect("ask for the driver's state").is_some();
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            let port = said
                .split_once("started successfully on port ")
                .and_then(|(_, rest)| rest.split_once('.')?.0.parse().ok());
            if port.is_some() || ended { Ok(port) } else { Err(said) }
        })
        .await;
        let Some(port) = port else { return Err(std::fs::read_to_string(&said).unwrap_or_default()) };
        driver.url = format!("http://127.0.0.1:{port}");
        Ok(driver)
    }

    /// The capabilities to request from the driver.
    pub fn capabilities(&self) -> serde_json::Map<String, Value> {
        let mut switches: Vec<String> = SWITCHES.iter().map(ToString::to_string).collect();
        switches.push(format!("--user-data-dir={}", self.files.join("profile").display()));
        let asked = json!({
            "browserName": "chrome",
            // A container uses a self-signed certificate.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        asked.as_object().expect("capabilities are an object").clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Without this, a failed clean-up would block the test here for ever.
        let _ = self.process.kill();
        drop(self.cleanup.take());
        let _ = self.process.wait();
    }
}
