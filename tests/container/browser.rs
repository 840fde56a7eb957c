//! A headless Chromium that a test owns, driven over `WebDriver`.

use std::path::Path;
use std::time::Duration;

use fantoccini::actions::ActionSequence;
use fantoccini::cookies::Cookie;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::driver::Driver;
use crate::input;
use crate::net;
use crate::picture::Picture;
use crate::poll::eventually;

/// A page that reloads itself (as the stream's page does when it lost its server) answers nothing for a moment; on a
/// machine on which a whole desktop starts again beside it, for a long time.
const RELOAD: Duration = Duration::from_secs(40);

/// Chromium's error for a page that was loading when a container, and with it a network device, came or went.
pub const NETWORK_CHANGED: &str = "ERR_NETWORK_CHANGED";

/// The time limit for the check of a password on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

async fn patiently<T>(what: &str, ask: impl AsyncFnMut() -> Result<T, CmdError>) -> T {
    eventually(what, RELOAD, ask).await
}

/// Dropping it ends the browser and removes its profile.
pub struct Browser {
    client: Client,
    driver: Driver,
}

impl Browser {
    pub async fn start() -> Browser {
        let driver = Driver::start().await;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client =
            builder.capabilities(driver.capabilities()).connect(&driver.url).await.expect("start Chromium");
        Browser { client, driver }
    }

    /// The folder with all files that the browser writes; its name is found in every one of the browser's processes.
    pub fn files(&self) -> &str {
        self.driver.files.to_str().expect("a temporary folder's name is text")
    }

    /// Opens a page and waits until it's loaded.
    pub async fn goto(&self, url: &str) {
        let mut gone = self.client.goto(url).await;
        while gone.as_ref().is_err_and(|error| error.to_string().contains(NETWORK_CHANGED)) {
            gone = self.client.goto(url).await;
        }
        gone.unwrap_or_else(|error| panic!("open {url}: {error}"));
    }

    /// Opens the page again where containers of other tests have interrupted its loading.
    pub async fn mend(&self) {
        if self.text().await.contains(NETWORK_CHANGED) {
            self.client.refresh().await.unwrap_or_else(|error| eprintln!("open the page again: {error}"));
        }
    }

    pub async fn url(&self) -> String {
        self.client.current_url().await.expect("ask where the browser is").into()
    }

    /// The tab that is in front.
    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.expect("ask which tab is in front")
    }

    /// Opens a tab, which is then in front.
    pub async fn new_tab(&self) -> WindowHandle {
        let tab = self.client.new_window(true).await.expect("open a tab").handle;
        self.switch_to(&tab).await;
        tab
    }

    pub async fn switch_to(&self, tab: &WindowHandle) {
        self.client.switch_to_window(tab.clone()).await.expect("bring a tab to the front");
    }

    /// The visible part of the page, as a picture.
    pub async fn screenshot(&self) -> Picture {
        Picture::from_png(&self.screenshot_png().await)
    }

    async fn screenshot_png(&self) -> Vec<u8> {
        patiently("take a screenshot", async || self.client.screenshot().await).await
    }

    /// Keeps a screenshot for a person to look at.
    pub async fn keep_screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).expect("make a folder for screenshots");
        std::fs::write(folder.join(name), self.screenshot_png().await).expect("keep a screenshot");
    }

    /// Keeps a screenshot and the page's console messages in a folder of the build, for a person to look at after a
    /// failure.
    pub async fn keep_evidence(&self, name: &str) -> String {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(folder).expect("make a folder for evidence");
        let png = folder.join(format!("{name}.png"));
        std::fs::write(&png, self.screenshot_png().await).expect("keep a screenshot");
        let log = folder.join(format!("{name}.console.txt"));
        std::fs::write(&log, self.console().await.join("\n")).expect("keep the console's messages");
        format!("see {} and {}", png.display(), log.display())
    }

    /// Runs a script in the page and returns its result.
    pub async fn execute(&self, script: &str, arguments: Vec<Value>) -> Value {
        let what = format!("run {script:?} in the page");
        patiently(&what, async || self.client.execute(script, arguments.clone()).await).await
    }

    /// The text that the page shows.
    pub async fn text(&self) -> String {
        self.execute("return document.body ? document.body.innerText : ''", vec![])
            .await
            .as_str()
            .unwrap_or_default()
            .into()
    }

    /// Writes into the form's fields, chosen by their names, and presses its button.
    pub async fn submit_form(&self, css: &str, fields: &[(&str, &str)]) {
        let page = self.url().await;
        loop {
            for (name, value) in fields {
                let field = self.find(&format!("{css} [name={name}]")).await;
                field.clear().await.unwrap_or_else(|error| panic!("empty {name} of {css}: {error}"));
                field.send_keys(value).await.unwrap_or_else(|error| panic!("fill {name} of {css}: {error}"));
            }
            let before = self.document().await;
            self.click_on(&format!("{css} button, {css} input[type=submit]")).await;
            eventually("an answer to the form", ANSWER, async || {
                let now = self.document().await;
                (now[1] == true && now[0] != before[0]).then_some(())
            })
            .await;
            if !self.text().await.contains(NETWORK_CHANGED) {
                return;
            }
            self.goto(&page).await;
        }
    }

    /// The document's identity, by the time of its start, and whether it is loaded completely.
    async fn document(&self) -> Value {
        let which = "return [performance.timeOrigin, document.readyState === 'complete']";
        self.execute(which, vec![]).await
    }

    pub async fn click_on(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("click on {css}: {error}"));
    }

    async fn find(&self, css: &str) -> Element {
        let found = self.client.find(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("find {css} in the page: {error}"))
    }

    pub async fn click_at(&self, x: u32, y: u32) {
        self.perform(input::click(x, y)).await;
    }

    pub async fn type_text(&self, text: &str) {
        self.perform(input::typing(text)).await;
    }

    pub async fn press(&self, keys: &[char]) {
        self.perform(input::chord(keys)).await;
    }

    async fn perform(&self, actions: impl Into<ActionSequence>) {
        self.client.perform_actions(actions.into()).await.expect("use keyboard or mouse");
    }

    /// Sets the window's size in pixels of its own; each is `scale` times `scale` pixels of the screen.
    pub async fn shape(&self, (width, height, scale): (u32, u32, u32)) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &params).await;
    }

    /// Has pages believe that the person prefers this theme: `light` or `dark`.
    pub async fn theme(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features })).await;
    }

    /// A command of Chromium's developer tools.
    async fn devtools(&self, command: &str, params: &Value) {
        let session = self.client.session_id().await.ok().flatten().expect("a browser has a session");
        let url = format!("{}/session/{session}/goog/cdp/execute", self.driver.url);
        let command = json!({ "cmd": command, "params": params });
        let reply = net::http_post(&url, &command.to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    pub async fn cookies(&self) -> Vec<Cookie<'static>> {
        self.client.get_all_cookies().await.expect("read the cookies")
    }

    /// The page's console messages since the last call, including the browser's own.
    pub async fn console(&self) -> Vec<String> {
        let session = self.client.session_id().await.ok().flatten().expect("a browser has a session");
        let url = format!("{}/session/{session}/se/log", self.driver.url);
        let reply = net::http_post(&url, &json!({ "type": "browser" }).to_string()).await;
        let reply: Value = serde_json::from_str(&reply.body).expect("chromedriver speaks JSON");
        let entries = reply["value"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                format!(
                    "{} {}",
                    entry["level"].as_str().unwrap_or("?"),
                    entry["message"].as_str().unwrap_or("?")
                )
            })
            .collect()
    }
}
