//! Tests of the test harness itself, as all other tests depend on it.

use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::cleanup::Cleanup;
use crate::docker::{self, Container};
use crate::net::http_get;
use crate::poll::{eventually, within};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_containers_exit_code_and_log_are_returned() {
    let container =
        Container::of_image().env("WORD", "heard").start(&["sh", "-c", "echo $WORD; echo twice >&2; exit 7"]);
    assert_eq!(container.wait_exit_code(SOON).await, 7);
    assert_eq!(container.logs(), "heard\ntwice");
}

#[tokio::test]
async fn a_container_takes_commands_and_signals() {
    let container = Container::of_image().option("--init").start(&["sleep", "600"]);
    assert_eq!(container.exec_ok(&["sh", "-c", "echo inside"]), "inside");
    assert_eq!(container.exec(&["sh", "-c", "echo no >&2; exit 3"]).code, Some(3));
    container.kill("TERM");
    assert_eq!(container.wait_exit_code(SOON).await, 143);
    container.start_again();
    container.stop(Duration::from_secs(5));
    assert_eq!(container.inspect("{{.State.Running}}"), "false");
}

#[tokio::test]
async fn a_container_is_removed_when_its_owner_is_dropped() {
    let container = Container::of_image().option("--init").start(&["sleep", "600"]);
    let name = container.name.clone();
    assert!(docker::exists(&name));
    drop(container);
    assert!(!docker::exists(&name));
}

#[tokio::test]
async fn a_cleanup_runs_without_its_owner() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("cleaned").to_string_lossy().into_owned();
    let cleanup = Cleanup::new(r#"echo > "$1""#, &[&file]);
    assert!(!std::path::Path::new(&file).exists(), "the clean-up ran too early");
    // The guard is not dropped: a killed process leaves nothing but a closed pipe.
    cleanup.abandon();
    eventually("the clean-up", SOON, async || std::path::Path::new(&file).exists().then_some(())).await;
}

#[tokio::test]
async fn waiting_ends_at_the_time_out_with_the_last_value() {
    let start = Instant::now();
    let seen = within(Duration::from_millis(300), async || Err::<(), _>("seven")).await;
    assert_eq!(seen, Err("seven".into()));
    let hung = within(Duration::from_millis(300), async || std::future::pending::<Option<()>>().await).await;
    assert_eq!(hung, Err("the probe itself did not answer".into()));
    assert!(start.elapsed() < Duration::from_secs(3));
}

/// A page with a form; the answer to the form greets the user by name and sets a cookie.
async fn site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let greeting = path
                .split_once("user=")
                .map(|(_, rest)| format!("Hello {}", rest.split('&').next().unwrap_or(rest)));
            let (extra, body) = match &greeting {
                Some(greeting) => ("Set-Cookie: door=open; HttpOnly; SameSite=Strict\r\n", greeting.as_str()),
                None => (
                    "",
                    "<form action=/in><input name=user><input name=password type=password><button>Log in</button></form>",
                ),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n{extra}\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_browser_fills_a_form_and_keeps_a_cookie() {
    let site = site().await;
    let page = http_get(&site, &[("Accept", "text/html")]).await.expect("the page");
    assert_eq!((page.status, page.headers["content-type"].to_str().ok()), (200, Some("text/html")));
    assert!(page.body.contains("<form"));
    let browser = Browser::start().await;
    browser.goto(&site).await;
    browser.click_on("input[name=user]").await;
    browser.submit_form("form", &[("user", "ada"), ("password", "secret")]).await;
    eventually("a greeting", SOON, async || (browser.text().await == "Hello ada").then_some(())).await;
    assert!(browser.url().await.contains("/in?user=ada"));
    let cookies = browser.cookies().await;
    let door = cookies.iter().find(|cookie| cookie.name() == "door").expect("a cookie");
    assert_eq!((door.value(), door.http_only()), ("open", Some(true)));
}

/// After a browser's end, all its processes and files are removed.
#[tokio::test]
async fn a_browser_leaves_nothing() {
    let browser = Browser::start().await;
    let files = browser.files().to_owned();
    let mentioned =
        || Command::new("pgrep").args(["-f", &files]).output().expect("run pgrep").status.success();
    assert!(mentioned() && std::path::Path::new(&files).exists());
    drop(browser);
    // A killed process may take a moment to disappear.
    eventually("the end of everything that was the browser's", SOON, async || {
        match (mentioned(), std::path::Path::new(&files).exists()) {
            (false, false) => Ok(()),
            left => Err(format!("processes and files are left: {left:?}")),
        }
    })
    .await;
}
