//! Addresses and ports: port numbers that the provider maps, inner ports for tunnels, `PORTAL_CONFIG` entries of
//! services that the daemon does not run, and the look-up of the public address.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::daemon::world::{PATIENCE, World, free_port, until};
use crate::gateway::world::get;

const TOKEN: &str = "Authorization: Bearer t0ken\r\n";

#[tokio::test]
async fn a_port_number_of_70000_or_more_is_mapped_by_the_provider() {
    let mut world = World::new();
    let port = free_port();
    world.env("VAST_TCP_PORT_70001", port.to_string()).env("PUBLIC_IPADDR", "203.0.113.9");
    world.env("SERVICEPORTAL_PORT_HOST", "70001").env("SELKIES_PORT_HOST", "70002").env("WEB_TOKEN", "t0ken");
    world.start();
    let status = world.until("there are routes", |status| !status["routes"].as_array().unwrap().is_empty());
    let portal = &status["routes"][0];
    assert_eq!(
        (&portal["port"], &portal["url"]),
        (&port.into(), &format!("http://203.0.113.9:{port}/").into())
    );
    let problems = status["problems"].to_string();
    let missing = "SELKIES_PORT_HOST: 70002 means the port that the provider sets in VAST_TCP_PORT_70002 or \
                   RUNPOD_TCP_PORT_70002, and the provider set none; 6100 is used";
    assert!(problems.contains(missing), "{problems}");
    assert_eq!(get(port, "/api/status", TOKEN).await.status, 200);
}

#[tokio::test]
async fn the_portal_also_has_an_inner_port() {
    let mut world = World::new();
    world.env("WEB_TOKEN", "t0ken").start();
    let (port, inner) = world.ports();
    assert_eq!(get(inner, "/api/status", TOKEN).await.status, 200);
    assert_eq!(get(inner, "/api/status", "").await.status, 401, "with a login, as everywhere");
    // The inner port listens on 127.0.0.1 only: 127.0.0.2 reaches the portal's outer port, but not the inner port.
    assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", inner)).is_err());
    world.end();
    assert!(TcpStream::connect(("127.0.0.1", inner)).is_err());
}

/// With `WEB_ENABLE_HTTPS`, an inner port is not redirected to https: a tunnel that the user runs connects there. A
/// service may have an inner port, too.
#[tokio::test]
async fn inner_ports_speak_plain_http_and_services_can_have_one() {
    let mut world = World::new();
    let (outer, inner, upstream) = (free_port(), free_port(), free_port());
    let route = format!("listen = \"{outer}\"\ninner = \"{inner}\"\nupstream = \"127.0.0.1:{upstream}\"");
    world.service("app", &format!("@polite\n[route]\n{route}"));
    world.env("WEB_TOKEN", "t0ken").env("WEB_ENABLE_HTTPS", "true").start();
    world.until_state("app", "ready");
    let (portal, portal_inner) = world.ports();
    for (port, status) in [(portal, 307), (outer, 307), (portal_inner, 200), (inner, 502)] {
        let answer = get(port, "/api/status", TOKEN).await;
        assert_eq!(answer.status, status, "{port}: {}", answer.head);
    }
    assert_eq!(get(inner, "/", "").await.status, 401, "with a login, as everywhere");
    assert!(TcpStream::connect(("127.0.0.2", outer)).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", inner)).is_err());
    // A reload applies a changed route: the outer port closes, and the inner port becomes an outer port.
    let swapped = format!("listen = \"{inner}\"\nupstream = \"127.0.0.1:{upstream}\"");
    world.service("app", &format!("@polite\n[route]\n{swapped}"));
    world.tell(&["reload"]);
    until("the outer port closes", || TcpStream::connect(("127.0.0.1", outer)).err());
    // The old listener may close a moment after the new listener was requested: the next reload tries it again.
    until("the inner port is an outer one", || {
        world.tell(&["reload"]);
        TcpStream::connect(("127.0.0.2", inner)).ok()
    });
}

#[test]
fn a_taken_inner_port_is_reported_and_stops_nothing() {
    let mut world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    world.env("SERVICEPORTAL_PORT_LOCAL", port.to_string()).start();
    let problem = format!("port {port} is taken by another program");
    world.until("the problem is reported", |status| status["problems"].to_string().contains(&problem));
}

#[tokio::test]
async fn the_waiting_page_works_for_a_service_that_is_not_a_unit() {
    let mut world = World::new();
    let (outer, inner) = (free_port(), free_port());
    world.env("WEB_TOKEN", "t0ken").env("PORTAL_CONFIG", format!("localhost:{outer}:{inner}:/:My <App>"));
    world.start();
    world.until("there are routes", |status| status["routes"].as_array().unwrap().len() == 2);
    let browser = format!("{TOKEN}Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n");
    let page = get(outer, "/", &browser).await;
    assert_eq!(page.status, 502, "{}", page.head);
    assert!(page.body.contains(&format!("Nothing answers at localhost:{inner}")), "{}", page.body);
    assert!(
        page.body.contains("My &lt;App&gt; is an entry of PORTAL_CONFIG, not a service"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("as soon as it answers"), "no unit says that it will start: {}", page.body);
    let program = get(outer, "/", TOKEN).await;
    let value: Value = serde_json::from_str(&program.body).unwrap();
    assert_eq!((program.status, &value["unit"], &value["state"]), (502, &Value::Null, &"unknown".into()));

    // The waiting page is open before the service listens.
    let mut waiting = TcpStream::connect(("127.0.0.1", outer)).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /desktopd/wait/events HTTP/1.1\r\nHost: 127.0.0.1:{outer}\r\n{TOKEN}\r\n");
    waiting.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    let mut hear = |until: &str| {
        while !heard.contains(until) {
            let count = waiting.read(&mut buffer).unwrap();
            assert!(count > 0, "it ended: {heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        heard.clone()
    };
    assert!(!hear("200 OK").contains("event: enter"), "nothing listens yet");
    let service = TcpListener::bind(("127.0.0.1", inner)).unwrap();
    hear("event: enter");
    drop(service);
    let health = world.cli(&["health"]);
    assert_eq!(health.code, 0, "a service outside the daemon does not count for health: {health:?}");
    // No log file is made for a service that is not a unit.
    let logs: Vec<String> = std::fs::read_dir(world.path("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(logs, ["desktopd.log"]);
}

/// A server that answers every request with `address`. Returns its URL and the number of requests so far.
fn teller(address: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ip", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            count.fetch_add(1, Ordering::SeqCst);
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", address.len());
            let _ = stream.write_all((head + address).as_bytes());
        }
    });
    (url, asked)
}

#[test]
fn the_public_address_is_looked_up_beside_the_start() {
    let (url, asked) = teller("203.0.113.77");
    let mut world = World::new();
    let port = world.ports().0;
    world.env("DIRECT_ADDRESS_GET_WAN", "true").env("EXTERNAL_IP_URL", &url).start();
    let expected = format!("http://203.0.113.77:{port}/");
    let status = world.until("it was found", |status| status["routes"][0]["address"] == expected);
    assert_eq!(
        status["routes"][0]["url"],
        Value::Null,
        "the portal knows under which address it is looked at"
    );
    world.tell(&["reload"]);
    world.tell(&["reload"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the answer is kept");
}

#[test]
fn no_lookup_where_the_public_address_is_known_or_not_wanted() {
    let (url, asked) = teller("203.0.113.77");
    let known = [
        ("VAST_CONTAINERLABEL", "C.1"),
        ("PUBLIC_IPADDR", "203.0.113.9"),
        ("DIRECT_ADDRESS_GET_WAN", "true"),
    ];
    for environment in [&known[..], &[]] {
        let mut world = World::new();
        for (name, value) in environment {
            world.env(name, value);
        }
        world.env("EXTERNAL_IP_URL", &url).start();
        world.until("there are routes", |status| !status["routes"].as_array().unwrap().is_empty());
        world.tell(&["reload"]);
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{environment:?}");
    }
}

#[test]
fn a_failed_lookup_is_reported_and_stops_nothing() {
    let closed = free_port();
    let mut world = World::new();
    world.env("DIRECT_ADDRESS_GET_WAN", "true").env("EXTERNAL_IP_URL", format!("http://127.0.0.1:{closed}/"));
    world.start();
    world.until_said("looking up the public address: EXTERNAL_IP_URL=http://127.0.0.1:");
    let address = world.status()["routes"][0]["address"].clone();
    assert_eq!(address, format!("http://localhost:{}/", world.ports().0));
}
