//! Requests by pages of other origins, to which a browser adds our cookie: other ports of the same host, other sites,
//! and host names that were made to resolve to our address (DNS rebinding).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::upstream::{Upstream, send, statuses};
use crate::gateway::world::{PASSWORD, USER, World, basic, credentials, free_port, route};
use desktopd::gateway::auth::Credentials;

const SWITCH: &str = "!HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";

async fn world(credentials: Credentials) -> (World, Upstream) {
    let upstream = Upstream::start(&[("/ws", SWITCH)]).await;
    let world = World::with(credentials).await;
    let port = free_port().await;
    let routes = [route(world.port, upstream.address), route(port, upstream.address)];
    assert_eq!(world.gateway.set_routes(&routes).await, []);
    (world, upstream)
}

fn upgrade(headers: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: desk:6100\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: a2V5a2V5a2V5a2V5a2V5a2U=\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

fn change(method: &str, headers: &str) -> String {
    format!(
        "{method} /change HTTP/1.1\r\nHost: desk:6100\r\nConnection: close\r\nContent-Length: 1\r\n{headers}\r\nx"
    )
}

#[tokio::test]
async fn foreign_pages_change_nothing_and_get_no_upgrade() {
    let (world, upstream) = world(credentials()).await;
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    // A browser adds Basic credentials to all requests to a host that once asked for them.
    let basic = basic(USER, PASSWORD);
    for foreign in [
        "Origin: http://desk:6200\r\n",
        "Origin: http://desk\r\n",
        "Origin: https://desk\r\n",
        "Origin: http://desk:61000\r\n",
        "Origin: http://desk.evil:6100\r\n",
        "Origin: http://evil.desk:6100\r\n",
        "Origin: http://evil:6100\r\n",
        "Origin: http://desk:6100.evil\r\n",
        "Origin: http://desk:6100@evil\r\n",
        "Origin: http://evil@desk:6100\r\n",
        "Origin: http://desk:6100/\r\n",
        "Origin: http://desk:6100, http://evil\r\n",
        "Origin: http://desk:+6100\r\n",
        "Origin: http://desk:06100\r\n",
        "Origin: ws://desk:6100\r\n",
        "Origin: file://desk:6100\r\n",
        "Origin: desk:6100\r\n",
        "Origin: http://\r\n",
        "Origin: null\r\n",
        "Origin:\r\n",
        "Origin: *\r\n",
        "Origin: http://desk:6100\r\nOrigin: http://evil\r\n",
        "Origin: http://evil\r\nOrigin: http://desk:6100\r\n",
        "Origin: http://evil\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: x\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
        // No other header of the client changes that.
        "Origin: http://evil\r\nX-Forwarded-Host: evil\r\n",
        "Origin: http://evil\r\nX-Forwarded-For: 127.0.0.1\r\n",
        "Origin: http://evil\r\nReferer: http://desk:6100/\r\n",
        "Sec-Fetch-Site: cross-site\r\nReferer: http://desk:6100/\r\n",
    ] {
        for shown in [&cookie, &basic] {
            let headers = format!("{shown}{foreign}");
            let mut raws = vec![upgrade(&headers)];
            raws.extend(["POST", "PUT", "PATCH", "DELETE", "X-ANY"].map(|method| change(method, &headers)));
            for raw in raws {
                for port in [world.port, world.pages] {
                    let answer = send(port, &raw).await;
                    assert_eq!(statuses(&answer), [403], "{raw:?} got {answer}");
                    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
                }
            }
            assert_eq!(upstream.requests(), [], "{foreign:?}");
        }
    }
    // A session cookie alone, without any header about the origin, does not prove a page of ours either.
    for raw in [upgrade(&cookie), change("POST", &cookie)] {
        assert_eq!(statuses(&send(world.port, raw).await), [403]);
    }
    assert_eq!(upstream.requests(), []);
    for own in
        ["Origin: http://desk:6100\r\n", "Origin: https://DESK:6100\r\nSec-Fetch-Site: same-origin\r\n"]
    {
        for shown in [&cookie, &basic] {
            let headers = format!("{shown}{own}");
            assert_eq!(statuses(&send(world.port, upgrade(&headers)).await), [101], "{headers}");
            assert_eq!(statuses(&send(world.port, change("POST", &headers)).await), [200], "{headers}");
        }
    }
    assert_eq!(upstream.requests().len(), 8);
}

#[tokio::test]
async fn a_foreign_page_neither_logs_in_nor_out() {
    let (world, upstream) = world(credentials()).await;
    let cookie = world.cookie().await;
    let form = format!("user={USER}&password=pass%20word%3A%C3%BC&next=/");
    let post = |path: &str, headers: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: desk:6100\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{form}",
            form.len()
        )
    };
    for foreign in ["Origin: http://desk:6200\r\n", "Origin: null\r\n", "Sec-Fetch-Site: same-site\r\n"] {
        for path in ["/desktopd/login", "/desktopd/logout"] {
            let answer = send(world.port, post(path, &format!("Cookie: {cookie}\r\n{foreign}"))).await;
            assert_eq!(statuses(&answer), [403], "{answer}");
            assert!(!answer.contains("set-cookie"), "{answer}");
        }
    }
    // An image or a link cannot end a session.
    for method in ["GET", "HEAD", "OPTIONS"] {
        let raw = format!(
            "{method} /desktopd/logout HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
        );
        assert_eq!(statuses(&send(world.port, raw).await), [405]);
    }
    let raw = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    assert_eq!(statuses(&send(world.port, raw).await), [200], "the session is as it was");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn foreign_pages_read_nothing_of_ours() {
    let (world, _upstream) = world(credentials()).await;
    let cookie = world.cookie().await;
    for path in [
        "/",
        "/api/status",
        "/display.css",
        "/desktopd/health",
        "/desktopd/login",
        "/desktopd/gateway.css",
        "/nothing",
    ] {
        for method in ["GET", "OPTIONS"] {
            let raw = format!(
                "{method} {path} HTTP/1.1\r\nHost: desk:6100\r\nConnection: close\r\nCookie: {cookie}\r\n\
                 Origin: http://desk:6200\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n\
                 Access-Control-Request-Method: POST\r\n\r\n"
            );
            let answer = send(world.pages, raw).await.to_lowercase();
            assert!(!answer.contains("access-control-"), "{answer}");
            for protection in [
                "cross-origin-resource-policy: same-origin\r\n",
                "x-content-type-options: nosniff\r\n",
                "x-frame-options: deny\r\n",
                "frame-ancestors 'none'",
            ] {
                assert!(answer.contains(protection), "{protection} in {answer}");
            }
        }
    }
}

#[tokio::test]
async fn an_open_port_answers_under_its_own_names_only() {
    let (world, upstream) = world(Credentials { enabled: false, ..credentials() }).await;
    let (port, pages) = (world.port, world.pages);
    for host in [
        "evil.example",
        "evil.example:6100",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.nip.io:6100",
        "0x7f.1.evil",
        "2130706433.evil",
        "a",
        "localhosts",
        "0177.0.0.1.x",
    ] {
        for headers in ["", "Origin: http://evil.example\r\n", "X-Forwarded-Host: localhost\r\n"] {
            for raw in [
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
                format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
                change("POST", headers).replace("desk:6100", host),
                upgrade(headers).replace("desk:6100", host),
                format!("GET /manifest.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
                format!("GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
                format!("GET /desktopd/login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
            ] {
                for at in [port, pages] {
                    let answer = send(at, &raw).await;
                    assert_eq!(statuses(&answer), [421], "{raw:?} got {answer}");
                }
            }
        }
        assert_eq!(upstream.requests(), [], "{host}");
    }
    // Without a Host header no name is right.
    let raw = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(&send(port, raw).await), [421]);
    for host in ["localhost:6100", "127.0.0.1", "[::1]:6100", "192.168.1.4:6100", "app.localhost"] {
        let raw = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&send(port, &raw).await), [200], "{host}");
    }
    upstream.requests();
    // The host name is right, but the page is of another origin.
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Origin: http://127.0.0.1:6200\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        for raw in [change("POST", foreign), upgrade(foreign)] {
            let raw = raw.replace("desk:6100", "127.0.0.1:6100");
            for at in [port, pages] {
                assert_eq!(statuses(&send(at, &raw).await), [403], "{raw:?}");
            }
        }
    }
    // Changes through the portal need credentials.
    for origin in ["", "Origin: http://127.0.0.1:6100\r\n"] {
        let raw = change("POST", origin)
            .replace("desk:6100", "127.0.0.1:6100")
            .replace("/change", "/api/units/stop");
        assert_eq!(statuses(&send(pages, raw).await), [401]);
    }
    assert_eq!(upstream.requests(), []);
}
