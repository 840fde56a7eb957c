//! The waiting page, shown instead of a service that is not ready.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::world::{TOKEN, World, free_port, get, read_until, route, unit};
use desktopd::observe::UnitState;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn page() -> String {
    format!("Authorization: Bearer {TOKEN}\r\nAccept: text/html\r\n")
}

#[tokio::test]
async fn the_waiting_page_shows_the_services_state() {
    let world = World::new().await;
    world.logs.push("selkies", "\u{1b}[31m<script>alert(1)</script>\u{1b}[0m & \"more\"");
    for (state, headline) in [
        (UnitState::Waiting, "Desktop &lt;1&gt; is starting"),
        (UnitState::Starting, "Desktop &lt;1&gt; is starting"),
        (UnitState::Backoff, "will be started again"),
        (UnitState::Stopping, "is stopping"),
        (UnitState::Stopped, "is stopped"),
        (UnitState::Failed, "has failed"),
        (UnitState::Skipped, "is not available here"),
    ] {
        world.observer.update(|snapshot| {
            snapshot.units = vec![
                unit("xorg", UnitState::Starting, ""),
                unit("other", UnitState::Ready, ""),
                unit("selkies", state, "waits for xorg, <b>not</b> others"),
            ];
        });
        let response = get(world.port, "/", &page()).await;
        assert_eq!(response.status, 502);
        assert!(response.header("retry-after").is_some());
        assert!(response.header("content-security-policy").unwrap().contains("script-src 'self';"));
        let body = response.body;
        assert!(body.contains(headline), "{body}");
        assert!(body.contains("waits for xorg, &lt;b&gt;not&lt;/b&gt; others"), "{body}");
        assert!(body.contains("<li>xorg <span class=\"state starting\">starting</span></li></ul>"), "{body}");
        assert!(
            body.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;\n</pre>"),
            "{body}"
        );
    }
    assert_eq!(world.service.requests(), [""; 0]);
}

#[tokio::test]
async fn programs_get_json_and_upgrades_a_refusal() {
    let world = World::new().await;
    world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Starting);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let response = get(world.port, "/", &token).await;
    assert_eq!(response.status, 502);
    let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!((&body["unit"], &body["state"]), (&"selkies".into(), &"starting".into()));
    let upgrade = format!("{}Connection: Upgrade\r\nUpgrade: websocket\r\n", page());
    let raw = format!("GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n");
    let answer = crate::gateway::world::talk(world.port, &raw).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_service_that_does_not_listen_has_the_page_too() {
    let world = World::new().await;
    let (listen, upstream) = (free_port().await, free_port().await);
    let route = route(listen, ([127, 0, 0, 1], upstream).into());
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    let response = get(listen, "/", &page()).await;
    assert_eq!(response.status, 502);
    assert!(response.body.contains("Desktop &lt;1&gt; does not answer"), "{}", response.body);
}

#[tokio::test]
async fn the_waiting_page_opens_the_service_when_it_answers() {
    let world = World::new().await;
    let (listen, upstream) = (free_port().await, free_port().await);
    let route = route(listen, ([127, 0, 0, 1], upstream).into());
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Starting);
    world.logs.push("selkies", "before");
    let mut stream = TcpStream::connect(("127.0.0.1", listen)).await.unwrap();
    let head = format!("GET /desktopd/wait/events HTTP/1.1\r\nHost: a\r\n{}\r\n", page());
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "event: lines\ndata: [\"before\"]").await;
    world.logs.push("selkies", "<b>one</b>\r\n");
    read_until(&mut stream, "event: line\ndata: \"<b>one</b>\"").await;
    world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Failed);
    read_until(&mut stream, "has failed").await;
    // The service reported that it is ready, but does not listen yet.
    world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Ready);
    world.logs.push("selkies", "two");
    let shown = read_until(&mut stream, "\"two\"").await;
    assert!(!shown.contains("event: enter"), "{shown}");
    let _listener = TcpListener::bind(("127.0.0.1", upstream)).await.unwrap();
    read_until(&mut stream, "event: enter").await;
}
