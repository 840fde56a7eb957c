//! Ports that people may choose, ports that are there for tunnels, services that nobody here starts, and the address
//! that is looked up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::daemon_world::{PATIENCE, World, free_port, until};
use crate::gateway_world::get;

const TOKEN: &str = "Authorization: Bearer t0ken\r\n";

#[tokio::test]
async fn a_name_of_a_port_is_the_port_that_the_provider_says() {
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
    let missing = "SELKIES_PORT_HOST: 70002 stands for the port that the provider says in VAST_TCP_PORT_70002 or \
                   RUNPOD_TCP_PORT_70002, and it says none; 6100 is used";
    assert!(problems.contains(missing), "{problems}");
    assert_eq!(get(port, "/api/status", TOKEN).await.status, 200);
}

#[tokio::test]
async fn the_portal_is_also_where_tunnels_lead() {
    let mut world = World::new();
    world.env("WEB_TOKEN", "t0ken").start();
    let (port, inner) = world.ports();
    assert_eq!(get(inner, "/api/status", TOKEN).await.status, 200);
    assert_eq!(get(inner, "/api/status", "").await.status, 401, "with a login, as everywhere");
    // On loopback and nowhere else: another address of this machine has the one and not the other.
    assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", inner)).is_err());
    world.end();
    assert!(TcpStream::connect(("127.0.0.1", inner)).is_err());
}

/// With https asked for, a tunnel of somebody's own is led nowhere else; and a service may have such a port, too.
#[tokio::test]
async fn inner_ports_speak_plainly_and_services_have_them() {
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
    // It goes and comes with the file, and becomes an outer one when that is asked for.
    let swapped = format!("listen = \"{inner}\"\nupstream = \"127.0.0.1:{upstream}\"");
    world.service("app", &format!("@polite\n[route]\n{swapped}"));
    world.tell(&["reload"]);
    until("the outer port closes", || TcpStream::connect(("127.0.0.1", outer)).err());
    // The old listener may go a moment after the new one was wanted: the next reading tries it again.
    until("the inner port is an outer one", || {
        world.tell(&["reload"]);
        TcpStream::connect(("127.0.0.2", inner)).ok()
    });
}

#[test]
fn an_inner_port_that_is_taken_is_told_and_stops_nothing() {
    let mut world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    world.env("SERVICEPORTAL_PORT_LOCAL", port.to_string()).start();
    let problem = format!("port {port} is taken by another program");
    world.until("it is told", |status| status["problems"].to_string().contains(&problem));
}

#[tokio::test]
async fn who_is_not_started_yet_is_waited_for_without_a_unit() {
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
        page.body.contains("My &lt;App&gt; is an entry of PORTAL_CONFIG, and no service"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("as soon as it answers"), "nobody knows whether it ever will: {}", page.body);
    let program = get(outer, "/", TOKEN).await;
    let value: Value = serde_json::from_str(&program.body).unwrap();
    assert_eq!((program.status, &value["unit"], &value["state"]), (502, &Value::Null, &"unknown".into()));

    // The page waits; the service comes.
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
    assert!(!hear("200 OK").contains("event: enter"), "nobody is there yet");
    let service = TcpListener::bind(("127.0.0.1", inner)).unwrap();
    hear("event: enter");
    drop(service);
    let health = world.cli(&["health"]);
    assert_eq!(health.code, 0, "somebody else's service is not ours to be ill with: {health:?}");
    // Nobody made a log for nobody.
    let logs: Vec<String> = std::fs::read_dir(world.path("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(logs, ["desktopd.log"]);
}

/// Answers everybody with an address; how often.
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
fn nobody_out_there_is_asked_where_the_answer_is_known_or_not_wanted() {
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
fn a_lookup_that_fails_is_told_and_stops_nothing() {
    let nobody = free_port();
    let mut world = World::new();
    world.env("DIRECT_ADDRESS_GET_WAN", "true").env("EXTERNAL_IP_URL", format!("http://127.0.0.1:{nobody}/"));
    world.start();
    world.until_said("looking up the public address: EXTERNAL_IP_URL=http://127.0.0.1:");
    let address = world.status()["routes"][0]["address"].clone();
    assert_eq!(address, format!("http://localhost:{}/", world.ports().0));
}
