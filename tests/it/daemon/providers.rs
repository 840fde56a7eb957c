//! Rented machines, imitated by their environment alone: logins with vast.ai's credentials, and the addresses of links.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::daemon::world::{World, free_port};
use crate::gateway::world::{Response, ask, basic, get};

const BUTTON: &str = "button-token-of-the-instance";
const TOKEN: &str = "token-of-my-own";
const PASSWORD: &str = "chosen-password";

/// Headers that a browser sends when a person follows a link.
const BROWSER: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";

/// A service that answers with the request that it received.
fn mirror(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", head.len());
            let _ = stream.write_all(&[answer.as_bytes(), &head].concat());
        }
    });
}

/// An instance of vast.ai with a user's application behind the gateway, and the application's outer port. `@port` in a
/// value is replaced with that port.
fn vast(more: &[(&str, &str)]) -> (World, u16) {
    let mut world = World::new();
    let (outer, inner) = (free_port(), free_port());
    mirror(inner);
    let portal = world.ports().0;
    world.env("VAST_CONTAINERLABEL", "C.42").env("OPEN_BUTTON_TOKEN", BUTTON);
    world.env("PUBLIC_IPADDR", "203.0.113.9");
    world.env(format!("VAST_TCP_PORT_{portal}"), "40111").env(format!("VAST_TCP_PORT_{outer}"), "40222");
    let text = format!(
        "localhost:{portal}:11111:/:Instance Portal|localhost:{outer}:{inner}:/app?a=b:My App|localhost:8080:8080:/lab:Lab"
    );
    world.env("PORTAL_CONFIG", text);
    for (name, value) in more {
        world.env(name, value.replace("@port", &outer.to_string()));
    }
    world.start();
    world.until("there are routes", |status| !status["routes"].as_array().unwrap().is_empty());
    (world, outer)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn route(status: &Value, title: &str) -> Value {
    let routes = status["routes"].as_array().unwrap();
    routes
        .iter()
        .find(|route| route["title"] == title)
        .unwrap_or_else(|| panic!("{title}: {routes:#?}"))
        .clone()
}

/// The answer comes from the service, and the service received no credential of the gateway.
fn passed(response: &Response) {
    assert_eq!(response.status, 200, "{}\n{}", response.head, response.body);
    for secret in [BUTTON, TOKEN, PASSWORD, "auth_token", "Basic "] {
        assert!(!response.body.contains(secret), "{secret} in {}", response.body);
    }
}

#[tokio::test]
async fn the_open_button_and_every_token_are_accepted() {
    let (mut world, port) = vast(&[("WEB_PASSWORD", PASSWORD), ("WEB_TOKEN", TOKEN)]);

    // The Open button, in a browser.
    let clicked = get(port, &format!("/a?x=1&token={BUTTON}"), BROWSER).await;
    assert_eq!((clicked.status, &*clicked.location()), (303, "/a?x=1"), "{}", clicked.head);
    assert_eq!(clicked.header("referrer-policy"), Some("no-referrer"));
    let set = clicked.header("set-cookie").unwrap();
    assert!(
        set.starts_with("C.42_auth_token=") && set.contains("HttpOnly") && set.contains("SameSite=Lax"),
        "{set}"
    );
    assert!(!set.contains(BUTTON), "the cookie is not the token: {set}");
    let cookie = format!("Cookie: {}\r\n", clicked.cookie());
    let entered = get(port, "/a?x=1", &(BROWSER.to_owned() + &cookie)).await;
    passed(&entered);
    assert!(entered.body.starts_with("GET /a?x=1 HTTP/1.1\r\n"), "{}", entered.body);
    // One cookie for all ports of the host.
    assert_eq!(get(world.ports().0, "/api/status", &cookie).await.status, 200);

    // Programs get the service's answer at once, without a redirect, and may go on with a cookie.
    let direct = get(port, &format!("/a?token={BUTTON}&x=1"), "").await;
    passed(&direct);
    let cookie = format!("Cookie: {}\r\n", direct.cookie());
    assert!(
        !cookie.contains(BUTTON) && direct.header("cache-control") == Some("no-store"),
        "{}",
        direct.head
    );
    passed(&get(port, "/", &cookie).await);
    assert_eq!(
        get(port, &format!("/a?token={BUTTON}"), &cookie).await.header("set-cookie"),
        None,
        "it has one"
    );
    // The cookie may also be the token itself.
    for token in [BUTTON, TOKEN] {
        let cookie = format!("Cookie: a=1; C.42_auth_token={token}\r\n");
        passed(&get(port, "/", &cookie).await);
        // Browsers send cookies by themselves: a foreign page changes nothing with them.
        assert_eq!(ask(port, "POST", "/v1", &cookie, "{}").await.status, 403);
        let foreign = format!("{cookie}Origin: http://127.0.0.1:1\r\n");
        assert_eq!(ask(port, "POST", "/v1", &foreign, "{}").await.status, 403);
        let own = format!("{cookie}Origin: http://127.0.0.1:{port}\r\n");
        passed(&ask(port, "POST", "/v1", &own, "{}").await);
    }
    assert!(direct.body.starts_with("GET /a?x=1 HTTP/1.1\r\n"), "{}", direct.body);
    for token in [BUTTON, TOKEN, PASSWORD] {
        passed(&get(port, "/", &bearer(token)).await);
        passed(&get(port, &format!("/?token={token}"), "").await);
        passed(&ask(port, "POST", "/v1", &bearer(token), "{}").await);
    }

    // Clients without a valid login.
    for (path, headers) in [
        ("/", String::new()),
        ("/?token=wrong", String::new()),
        ("/?token=", String::new()),
        ("/", format!("Cookie: C.42_auth_token={PASSWORD}\r\n")),
        ("/", bearer("C.42")),
    ] {
        let refused = get(port, path, &headers).await;
        assert_eq!(refused.status, 401, "{path} {headers}: {}", refused.head);
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
        assert!(refused.header("set-cookie").is_none());
    }
    for path in ["/", "/?token=wrong"] {
        let led = get(port, path, BROWSER).await;
        assert_eq!(led.status, 303, "{}", led.head);
        let login = &*led.location();
        assert!(login.starts_with("/desktopd/login"), "{login}");
        let page = get(port, login, BROWSER).await;
        assert!(page.status == 200 && page.body.contains("<form"), "{}", page.body);
    }

    // No secret is shown.
    let told = world.status().to_string() + &world.tell(&["plan", "--json"]) + &world.tell(&["env"]);
    let told = told + &world.log("desktopd") + &world.read("portal");
    for secret in [BUTTON, TOKEN, PASSWORD] {
        assert!(!told.contains(secret), "{secret}");
    }
    world.end();
    let console = world.read("console");
    for secret in [BUTTON, TOKEN, PASSWORD] {
        assert!(!console.contains(secret), "{secret}: {console}");
    }
}

#[tokio::test]
async fn the_password_works_as_a_token_until_it_is_changed() {
    let (world, port) = vast(&[("WEB_PASSWORD", PASSWORD)]);
    for chosen in [PASSWORD, "chosen later"] {
        if chosen != PASSWORD {
            world.tell(&["set-web-credentials", "ada", chosen]);
        }
        let escaped = chosen.replace(' ', "%20");
        let clicked = get(port, &format!("/a?token={escaped}&x=1"), BROWSER).await;
        assert_eq!((clicked.status, &*clicked.location()), (303, "/a?x=1"), "{}", clicked.head);
        let cookie = format!("Cookie: {}\r\n", clicked.cookie());
        let referer = format!("Referer: http://127.0.0.1:{port}/a?token={escaped}\r\n");
        for (path, headers) in [
            ("/".to_owned(), bearer(chosen)),
            (format!("/?token={escaped}"), String::new()),
            (format!("/?token={escaped}"), cookie.clone()),
            ("/".to_owned(), cookie + &referer),
            ("/".to_owned(), bearer(BUTTON)),
        ] {
            let answer = get(port, &path, &headers).await;
            passed(&answer);
            assert!(!answer.body.contains("chosen"), "{}", answer.body);
        }
    }
    for (path, headers) in [("/", bearer(PASSWORD)), (&*format!("/?token={PASSWORD}"), String::new())] {
        assert_eq!(get(port, path, &headers).await.status, 401, "{path} {headers}");
    }
    // This token counts as a password.
    let metrics = get(world.ports().0, "/desktopd/metrics", &bearer(BUTTON)).await.body;
    let failures = metrics.lines().find(|line| line.starts_with("desktopd_auth_failures_total"));
    assert_eq!(failures, Some("desktopd_auth_failures_total 1"), "{metrics}");
}

#[tokio::test]
async fn basic_needs_the_configured_user() {
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let (world, port) = vast(&[("WEB_PASSWORD_HASH", &hash), ("WEB_USERNAME", "ada")]);
    passed(&get(port, "/", &basic("ada", PASSWORD)).await);
    for (user, password) in [("vastai", PASSWORD), ("ada", "wrong"), ("ada", BUTTON)] {
        let refused = get(port, "/", &basic(user, password)).await;
        assert_eq!(refused.status, 401, "{user}: {}", refused.head);
    }
    drop(world);
}

#[tokio::test]
async fn an_excluded_port_is_open_and_the_others_are_not() {
    let (world, port) = vast(&[("AUTH_EXCLUDE", "@port")]);
    passed(&get(port, "/", "").await);
    passed(&ask(port, "POST", "/v1", "", "{}").await);
    for other in [world.ports().0, world.ports().1] {
        assert_eq!(get(other, "/api/status", "").await.status, 401);
    }
    let foreign = get(port, "/", "Host: evil.example\r\n").await;
    assert_eq!(foreign.status, 421, "{}", foreign.head);
}

#[test]
fn root_can_read_vast_ais_credentials() {
    let (world, _) = vast(&[("WEB_PASSWORD", "password")]);
    let shown: Value = serde_json::from_str(&world.tell(&["credentials", "--json"])).unwrap();
    assert_eq!(
        (&shown["user"], &shown["password"], &shown["token"]),
        (&"vastai".into(), &BUTTON.into(), &BUTTON.into())
    );
}

#[test]
fn links_use_the_public_ports_and_the_portal_file_is_written() {
    let (mut world, outer) = vast(&[]);
    let status = world.status();
    let portal = route(&status, "Instance Portal");
    assert_eq!((&portal["url"], &portal["own"]), (&"http://203.0.113.9:40111/".into(), &true.into()));
    let app = route(&status, "My App");
    assert_eq!((&app["url"], &app["port"]), (&"http://203.0.113.9:40222/app?a=b".into(), &outer.into()));
    assert!(!status["routes"].to_string().contains("Lab"), "vast.ai maps no port for it: {status:#}");
    assert!(world.log("desktopd").contains("vast.ai maps no port 8080; it is left out"));
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status:#}");
    let said = world.tell(&["status"]);
    assert!(said.contains("open: My App           http://203.0.113.9:40222/app?a=b"), "{said}");
    assert_eq!(world.tell(&["url", "My App"]).lines().next(), Some("http://203.0.113.9:40222/app?a=b"));

    let file = world.read("portal");
    assert!(
        file.starts_with("applications:\n  \"Instance Portal\":\n    hostname: \"localhost\"\n"),
        "{file}"
    );
    assert!(file.contains(&format!("external_port: {outer}\n")), "{file}");
    // Changes in the file override the variable at the next reload.
    world.write("portal", &file.replace("My App", "Their App").replace("40222", "x"));
    let told = world.tell(&["reload"]);
    world.until(&told, |status| status["routes"].to_string().contains("Their App"));
    world.write("portal", "applications: [");
    let answer = world.cli(&["reload"]);
    assert!(answer.code != 0 && answer.err.contains("PORTAL_CONFIG is used"), "{answer:?}");
    assert!(world.status()["routes"].to_string().contains("Their App"), "a mistake changes nothing");
    world.end();
    assert_eq!(world.read("portal"), "applications: [", "the file is not overwritten");
}

#[test]
fn on_other_machines_no_portal_file_is_written() {
    let mut world = World::new();
    world.env("PORTAL_CONFIG", "localhost:8080:8080:/:Lab|oops");
    world.start();
    let status = world.until("there are routes", |status| status["routes"].as_array().unwrap().len() == 2);
    assert!(
        status["problems"].to_string().contains("PORTAL_CONFIG: entry 2 (\\\"oops\\\"): it has 1 of"),
        "{status:#}"
    );
    world.end();
    assert!(!world.path("portal").exists());
}

#[test]
fn runpod_has_ports_and_a_proxy() {
    let mut world = World::new();
    let (portal, other) = (world.ports().0, free_port());
    world.env("RUNPOD_POD_ID", "abc123").env("RUNPOD_PUBLIC_IP", "203.0.113.9");
    world.env(format!("RUNPOD_TCP_PORT_{portal}"), "30111");
    world.env("PORTAL_CONFIG", format!("localhost:{other}:{}:/x:App", free_port()));
    world.start();
    let status = world.until("there are routes", |status| status["routes"].as_array().unwrap().len() == 2);
    assert_eq!(route(&status, "Service portal")["url"], "http://203.0.113.9:30111/");
    assert_eq!(route(&status, "App")["url"], format!("https://abc123-{other}.proxy.runpod.net/x"));
    assert!(!world.path("portal").exists());
}

#[tokio::test]
async fn open_ports_answer_under_the_names_of_the_provider_and_no_others() {
    let mut world = World::new();
    world.env("RUNPOD_POD_ID", "abc123").env("WEB_ENABLE_AUTH", "false");
    world.env("SELKIES_URL", "https://desk.example:8443/").env("DIRECT_ADDRESS", "box.example");
    world.start();
    let port = world.ports().0;
    for (host, status) in [
        (format!("abc123-{port}.proxy.runpod.net"), 200),
        ("desk.example:8443".to_owned(), 200),
        (format!("box.example:{port}"), 200),
        (format!("203.0.113.9:{port}"), 200),
        (format!("other-{port}.proxy.runpod.net"), 421),
        ("evil.example".to_owned(), 421),
    ] {
        let answer = get(port, "/api/status", &format!("Host: {host}\r\n")).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.body);
    }
}
