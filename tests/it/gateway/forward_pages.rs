//! CORS for pages of other origins, our own pages through Cloudflare, and the metrics for Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::collections::{BTreeMap, BTreeSet};

use desktopd::gateway::Settings;
use desktopd::gateway::auth::Credentials;
use desktopd::observe::UnitState;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::forward::token;
use crate::gateway::world::{
    PASSWORD, TOKEN, USER, World, ask, basic, credentials, get, read_until, talk, unit,
};

fn settings(origins: &[&str], any: bool) -> Settings {
    Settings {
        origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        any_origin: any,
        cors_methods: "GET, PUT".parse().unwrap(),
        cors_headers: "Authorization".parse().unwrap(),
        ..Settings::default()
    }
}

const APP: &str = "Origin: https://app.example\r\n";
const EVIL: &str = "Origin: https://evil.example\r\n";
const ASKS: &str = "Access-Control-Request-Method: PUT\r\n";

#[tokio::test]
async fn preflight_requests_are_answered_without_a_login() {
    let world = World::configured(credentials(), settings(&["https://app.example"], false)).await;
    for port in [world.port, world.pages] {
        let response = ask(port, "OPTIONS", "/any", &format!("{APP}{ASKS}"), "").await;
        assert_eq!(response.status, 204);
        assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(response.header("access-control-allow-methods"), Some("GET, PUT"));
        assert_eq!(response.header("access-control-allow-headers"), Some("Authorization"));
        // Neither an origin that is not allowed nor a request without the headers of a preflight.
        for headers in [format!("{EVIL}{ASKS}"), APP.to_owned(), ASKS.to_owned()] {
            let response = ask(port, "OPTIONS", "/any", &headers, "").await;
            assert_eq!(response.status, 401, "{headers}");
            assert!(response.header("access-control-allow-methods").is_none());
        }
    }
    assert_eq!(world.service.requests(), [""; 0]);
    let response = get(world.port, "/", &format!("{APP}{}", token())).await;
    assert_eq!((response.status, response.header("vary")), (200, Some("origin")));
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
    // The page can read why the request was refused.
    let response = get(world.port, "/", APP).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
    let response = get(world.port, "/", &format!("{EVIL}{}", token())).await;
    assert!(response.header("access-control-allow-origin").is_none(), "{}", response.head);
    assert_eq!(ask(world.port, "PUT", "/", &format!("{APP}{}", token()), "x").await.status, 200);
    assert_eq!(ask(world.port, "PUT", "/", &format!("{EVIL}{}", token()), "x").await.status, 403);
}

#[tokio::test]
async fn with_any_origin_allowed_foreign_pages_need_a_token() {
    let world = World::configured(credentials(), settings(&[], true)).await;
    let response = ask(world.port, "OPTIONS", "/", &format!("{EVIL}{ASKS}"), "").await;
    assert_eq!((response.status, response.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    assert_eq!(ask(world.port, "PUT", "/", &format!("{EVIL}{}", token()), "x").await.status, 200);
    let in_address = format!("/?token={}", TOKEN.replace('+', "%2b"));
    assert_eq!(ask(world.port, "PUT", &in_address, EVIL, "x").await.status, 200);
    // Credentials that browsers send by themselves do not count as consent.
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    for automatic in [basic(USER, PASSWORD), cookie] {
        let response = ask(world.port, "PUT", "/", &format!("{EVIL}{automatic}"), "x").await;
        assert_eq!(response.status, 403, "{automatic}");
    }
}

#[tokio::test]
async fn without_configuration_no_cors_headers_are_sent() {
    let world = World::new().await;
    let response = ask(world.port, "OPTIONS", "/", &format!("{APP}{ASKS}"), "").await;
    assert_eq!(response.status, 401);
    for headers in [String::new(), token()] {
        let response = get(world.port, "/", &format!("{APP}{headers}")).await;
        assert!(!response.head.contains("access-control") && response.header("vary").is_none());
    }
}

#[tokio::test]
async fn the_waiting_page_gets_through_cloudflare_and_needs_no_script() {
    let world = World::new().await;
    world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Starting);
    let page = format!("{}Accept: text/html\r\n", token());
    let through = "CF-Ray: 8a1b2c3d4e5f-FRA\r\nCF-Connecting-IP: 192.0.2.1\r\n";
    let direct = get(world.port, "/", &page).await;
    let tunnelled = get(world.port, "/", &format!("{page}{through}")).await;
    assert_eq!((direct.status, tunnelled.status), (502, 200));
    for response in [direct, tunnelled] {
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let head = response.body.split("</head>").next().unwrap();
        assert!(head.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"), "{head}");
        // The page is complete without a script.
        assert!(response.body.contains("Desktop &lt;1&gt; is starting"), "{}", response.body);
    }
    // Programs need the status, so it is 502 for them.
    assert_eq!(get(world.port, "/", &format!("{}{through}", token())).await.status, 502);
    let upgrade = format!("{page}{through}Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let answer = talk(world.port, &format!("GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn changes_need_a_login_even_where_reading_does_not() {
    // The portal's port is chosen before it can be excluded: here all ports are open.
    let world = World::with(Credentials { enabled: false, ..credentials() }).await;
    let names = r#"{"names":["selkies"]}"#;
    let own = format!("Content-Type: application/json\r\nOrigin: http://127.0.0.1:{}\r\n", world.pages);
    assert_eq!(get(world.pages, "/api/status", "").await.status, 200);
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &own, names).await.status, 401);
    let cookie = format!("{own}Cookie: {}\r\n", world.cookie().await);
    // 503: the request was accepted, and nothing is supervised in this test.
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &cookie, names).await.status, 503);
    assert_eq!(
        ask(world.pages, "POST", "/api/units/stop", &format!("{own}{}", token()), names).await.status,
        503
    );
}

/// The samples of an exposition, by name and labels; fails where it breaks the format's rules.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let sample = regex::Regex::new(
        r#"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$"#,
    )
    .unwrap();
    let (mut families, mut current, mut samples) = (BTreeSet::new(), String::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, more) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match what {
                "HELP" => {
                    assert!(families.insert(name.to_owned()), "{name} comes twice");
                    name.clone_into(&mut current);
                }
                "TYPE" => {
                    assert!(name == current && ["counter", "gauge"].contains(&more), "{line}");
                    assert_eq!(name.ends_with("_total"), more == "counter", "{line}");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let found = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(found[1], current, "{line}");
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let value: f64 = found[3].parse().unwrap();
        assert!(samples.insert(format!("{}{labels}", &found[1]), value).is_none(), "{line} comes twice");
    }
    samples
}

#[tokio::test]
async fn prometheus_can_read_the_metrics() {
    let world = World::new().await;
    world.observer.update(|snapshot| {
        snapshot.units = vec![unit("selkies", UnitState::Ready, ""), unit("kde", UnitState::Backoff, "")];
        snapshot.units[1].restarts = 3;
    });
    for _ in 0..3 {
        assert_eq!(get(world.port, "/", &token()).await.status, 200);
    }
    assert_eq!(get(world.port, "/", "").await.status, 401);
    let wrong = "Authorization: Bearer wrong\r\n";
    assert_eq!(get(world.port, "/", wrong).await.status, 401);
    let mut upgraded = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{}\r\n",
        token()
    );
    upgraded.write_all(upgrade.as_bytes()).await.unwrap();
    read_until(&mut upgraded, "hello ").await;
    upgraded.write_all(b"12345").await.unwrap();
    read_until(&mut upgraded, "12345").await;

    assert_eq!(get(world.pages, "/desktopd/metrics", "").await.status, 401);
    assert_eq!(
        get(world.port, "/desktopd/metrics", &token()).await.status,
        404,
        "it is on the portal's port"
    );
    let response = get(world.pages, "/desktopd/metrics", &token()).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let samples = parse(&response.body);
    let port = world.port;
    for (name, value) in [
        (format!("desktopd_requests_total{{port=\"{port}\",code=\"1xx\"}}"), 1.0),
        (format!("desktopd_requests_total{{port=\"{port}\",code=\"2xx\"}}"), 3.0),
        (format!("desktopd_requests_total{{port=\"{port}\",code=\"4xx\"}}"), 3.0),
        (format!("desktopd_requests_total{{port=\"{}\",code=\"4xx\"}}", world.pages), 1.0),
        ("desktopd_auth_failures_total".to_owned(), 1.0),
        ("desktopd_auth_bans_total".to_owned(), 0.0),
        ("desktopd_upgrades".to_owned(), 1.0),
        ("desktopd_upgrade_bytes_total{from=\"client\"}".to_owned(), 5.0),
        ("desktopd_upgrade_bytes_total{from=\"service\"}".to_owned(), 11.0),
        ("desktopd_unit_state{unit=\"kde\",state=\"backoff\"}".to_owned(), 1.0),
        ("desktopd_unit_restarts_total{unit=\"kde\"}".to_owned(), 3.0),
        ("desktopd_unit_restarts_total{unit=\"selkies\"}".to_owned(), 0.0),
    ] {
        assert_eq!(samples.get(&name), Some(&value), "{name} in\n{}", response.body);
    }
    // At least the connection of this request.
    assert!(samples["desktopd_connections"] >= 1.0, "{}", response.body);
}
