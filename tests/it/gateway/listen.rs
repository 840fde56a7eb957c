//! Listening ports and client connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::gateway::world::{TOKEN, World, credentials, free_port, get, route, talk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_taken_port_does_not_affect_other_ports() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let other = free_port().await;
    let routes = [route(port, world.service.address), route(other, world.service.address)];
    let problems = world.gateway.set_routes(&routes).await;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].0, port);
    assert!(
        problems[0].1.starts_with(&format!("port {port} is taken by another program; `ss ")),
        "{problems:?}"
    );
    assert_eq!(get(other, "/desktopd/health", "").await.status, 200);
    drop(taken);
    assert_eq!(world.gateway.set_routes(&routes).await, []);
    assert_eq!(get(port, "/desktopd/health", "").await.status, 200);
}

#[tokio::test]
async fn routes_come_and_go_and_the_pages_stay() {
    let world = World::new().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut kept = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let twice = [route(world.port, world.service.address), route(world.port, world.service.address)];
    assert_eq!(world.gateway.set_routes(&twice).await.len(), 1);
    kept.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{token}\r\n").as_bytes()).await.unwrap();
    crate::gateway::world::read_until(&mut kept, "service").await;
    let problems = world.gateway.set_routes(&[route(world.pages, world.service.address)]).await;
    assert_eq!(problems, [(world.pages, format!("port {} belongs to the portal", world.pages))]);
    assert!(TcpStream::connect(("127.0.0.1", world.port)).await.is_err());
    assert!(get(world.pages, "/", &token).await.body.contains("<title>Home · "));
}

#[tokio::test]
async fn heads_are_limited_in_size() {
    let world = World::new().await;
    let raw = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let _ = stream.write_all(raw.as_bytes()).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    let many = format!("x: {}\r\n", "x".repeat(900)).repeat(60);
    assert_eq!(get(world.port, "/desktopd/health", &many).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn heads_are_limited_in_time() {
    // The clock can be paused for one runtime only.
    let world = World::on_one_thread().await;
    let before = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let waited = before.elapsed();
    assert!(waited >= Duration::from_secs(9) && waited < Duration::from_secs(20), "{waited:?}");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let world = World::new().await;
    let one = "GET /desktopd/health HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /desktopd/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = talk(world.port, &(one.repeat(20) + last)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 21);
}

#[tokio::test]
async fn every_address_is_listened_on_and_a_client_is_known_by_its_own() {
    let all = Ipv6Addr::UNSPECIFIED.into();
    let world = World::tuned(credentials(), |settings| settings.address = all).await;
    let request =
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    for address in ["127.0.0.1", "::1"] {
        let mut stream = TcpStream::connect((address, world.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        crate::gateway::world::read_until(&mut stream, "service").await;
        let seen = world.service.last().to_lowercase();
        assert!(seen.contains(&format!("\r\nx-forwarded-for: {address}\r\n")), "{seen}");
    }
    // A program that listens on the IPv4 port only keeps that port.
    let taken = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let problems = world.gateway.set_routes(&[route(port, world.service.address)]).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].1.contains("is taken by another program"), "{problems:?}");
}
