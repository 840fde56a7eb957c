//! The portal's pages and API behind the gateway, and the control socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::world::{PASSWORD, Response, TOKEN, USER, World, ask, basic, get};
use desktopd::portal::{Api, Credentials, Login, Right, api, control_router, has_scripts, serve_unix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

#[tokio::test]
async fn own_pages_have_strict_security_headers() {
    let world = World::new().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let script = has_scripts().then_some(("/app.js", "text/javascript; charset=utf-8"));
    for (path, kind) in script.into_iter().chain([
        ("/", "text/html; charset=utf-8"),
        ("/portal.css", "text/css; charset=utf-8"),
        ("/services", "text/html; charset=utf-8"),
        ("/logs?service=desktopd", "text/html; charset=utf-8"),
        ("/boot", "text/html; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/display", "text/html; charset=utf-8"),
        ("/display.css", "text/css; charset=utf-8"),
        ("/api/status", "application/json"),
        ("/api/events", "application/json"),
        ("/api/timeline", "application/json"),
        ("/api/timeline.svg?theme=dark", "image/svg+xml"),
    ]) {
        let response = get(world.pages, path, &token).await;
        assert_eq!((response.status, response.header("content-type").unwrap()), (200, kind), "{path}");
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert_eq!(response.header("x-content-type-options").unwrap(), "nosniff");
        // Markup that the Content-Security-Policy would block, or that would load from elsewhere.
        for inline in ["<style", "onclick=", "style=\"", "https://", "<script>"] {
            assert!(!response.body.contains(inline), "{inline} in {path}");
        }
    }
    assert_eq!(get(world.pages, "/nothing", &token).await.status, 404);
}

#[tokio::test]
async fn buttons_need_our_own_origin() {
    let world = World::new().await;
    let names = r#"{"names":["selkies"]}"#;
    let headers = format!("Cookie: {}\r\nContent-Type: application/json\r\n", world.cookie().await);
    let own = format!("{headers}Origin: http://127.0.0.1:{}\r\n", world.pages);
    // 503: the request was accepted, and nothing is supervised in this test.
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &own, names).await.status, 503);
    let neighbour = format!("{headers}Origin: http://127.0.0.1:{}\r\n", world.port);
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &neighbour, names).await.status, 403);
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &headers, names).await.status, 403);
    assert_eq!(ask(world.pages, "GET", "/api/units/stop", &own, "").await.status, 405);
    let program = format!("{}Content-Type: application/json\r\n", basic(USER, PASSWORD));
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &program, names).await.status, 503);
}

async fn ask_unix(path: &std::path::Path, method: &str, target: &str, body: &str) -> Response {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let raw = format!(
        "{method} {target} HTTP/1.1\r\nHost: desktopd\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Response::parse(&answer)
}

/// The one listener of a control socket that is never made again.
fn once(listener: UnixListener) -> mpsc::Receiver<UnixListener> {
    let (listeners, listening) = mpsc::channel(1);
    listeners.try_send(listener).unwrap();
    listening
}

#[tokio::test]
async fn the_control_socket_checks_the_peers_user_id() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let names = r#"{"names":["selkies"]}"#;
    for (right, look, change) in
        [(Right::Change, 200, 503), (Right::Read, 200, 403), (Right::Nothing, 403, 403)]
    {
        let path = dir.path().join(format!("{right:?}.sock"));
        let listener = UnixListener::bind(&path).unwrap();
        let (_, handle) = tokio::sync::watch::channel(None);
        let router =
            api::router(Api::new(world.watch.clone(), world.observer.events(), world.logs.clone(), handle));
        let me = nix::unistd::getuid().as_raw();
        let rights = move |uid| if uid == me { right } else { Right::Nothing };
        tokio::spawn(serve_unix(once(listener), router, rights, world.stop.clone()));
        assert_eq!(ask_unix(&path, "GET", "/api/status", "").await.status, look, "{right:?}");
        let response = ask_unix(&path, "POST", "/api/units/stop", names).await;
        assert_eq!(response.status, change, "{right:?}");
        assert!(response.body.contains("\"error\""));
    }
}

#[tokio::test]
async fn only_clients_that_may_change_things_can_shut_down() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    for (right, status) in [(Right::Change, 202), (Right::Read, 403)] {
        let path = dir.path().join(format!("{right:?}.sock"));
        let listener = UnixListener::bind(&path).unwrap();
        let (_, handle) = tokio::sync::watch::channel(None);
        let api = Api::new(world.watch.clone(), world.observer.events(), world.logs.clone(), handle);
        let credentials = Credentials {
            user: USER.into(),
            password: None,
            token: TOKEN.into(),
            enabled: true,
            chosen: false,
        };
        let (shutdown, mut shutdowns) = mpsc::unbounded_channel();
        let router = control_router(api, Login::new(world.auth.clone(), credentials), shutdown);
        tokio::spawn(serve_unix(once(listener), router, move |_| right, world.stop.clone()));
        assert_eq!(ask_unix(&path, "POST", "/api/shutdown", "").await.status, status, "{right:?}");
        let asked = shutdowns.try_recv().is_ok();
        assert_eq!(asked, right == Right::Change);
        assert!(ask_unix(&path, "GET", "/api/shutdown", "").await.status >= 400);
    }
    // A browser cannot stop or reload the daemon.
    let program = basic(USER, PASSWORD);
    for path in ["/api/shutdown", "/api/reload", "/api/changed"] {
        assert_eq!(ask(world.pages, "POST", path, &program, "").await.status, 404);
    }
}
