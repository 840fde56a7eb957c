//! Clients without a login use up all connection limits: requests with a session or a token are still answered at once,
//! also from the same address; and a connection that was idle for a while works as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::gateway::upstream::{Upstream, before, send, statuses, token};
use crate::gateway::world::{World, free_port, read_until, route};
use desktopd::plan::routes::Upstream as Target;
use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixListener};

/// Limits the descriptors: 300 connections, and the client side of them.
fn little_room() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 800, most).unwrap();
}

/// Raises the limit afterwards, for the clients: the connection limits stay.
fn room_for_clients() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
}

/// A thousand connections at once may cost a new client one lost SYN, which the kernel sends again after a second;
/// `tests/bench/flood` has the figures.
const SOON: Duration = Duration::from_secs(3);

async fn connect(from: &str, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
}

/// Asks over a new connection; the time that the answer took.
async fn ask(from: &str, port: u16, headers: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut stream = connect(from, port).await;
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap_or_else(|error| panic!("from {from}: {error}"));
    (statuses(&answer)[0], began.elapsed())
}

#[tokio::test]
async fn full_connection_limits_do_not_block_clients_with_a_login() {
    little_room();
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    room_for_clients();
    let session = format!("Cookie: {}\r\n", world.cookie().await);
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01", b"GET / HT", b"GET / HTTP/1.1\r\nX: "] {
        let strangers = join_all((0..1000).map(|number| async move {
            let from =
                if number % 2 == 0 { "127.0.0.2".to_owned() } else { format!("127.1.{}.9", number % 250) };
            let mut stream = connect(&from, port).await;
            // The gateway may have closed the connection already.
            let _ = stream.write_all(beginning).await;
            stream
        }))
        .await;
        for from in ["127.0.0.1", "127.0.0.2", "127.1.1.9"] {
            for headers in [&session, &token()] {
                let (status, took) = ask(from, port, headers).await;
                assert_eq!(status, 200, "from {from} among {beginning:?}");
                assert!(took < SOON, "{took:?} from {from} among {beginning:?}");
            }
        }
        drop(strangers);
    }
}

#[tokio::test]
async fn connections_with_a_login_stay_open_during_a_flood() {
    little_room();
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    room_for_clients();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
    let mut kept = connect("127.0.0.2", port).await;
    kept.write_all(request.as_bytes()).await.unwrap();
    assert!(read_until(&mut kept, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let _strangers = join_all((0..1000).map(|_| connect("127.0.0.2", port))).await;
    kept.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut kept, "HTTP/1.1 200").await;
}

#[tokio::test]
async fn an_idle_connection_works_again() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    let mut stream = connect("127.0.0.1", port).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "HTTP/1.1 200").await;
        // Longer than the time after which a connection counts as idle.
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    // The gateway waits for the rest of a head, also after an idle time.
    let (first, second) = request.split_at(20);
    stream.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    stream.write_all(second.as_bytes()).await.unwrap();
    read_until(&mut stream, "HTTP/1.1 200").await;
}

#[tokio::test]
async fn a_service_whose_queue_is_full_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_NONBLOCK | nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    nix::sys::socket::bind(fd, &nix::sys::socket::UnixAddr::new(&path).unwrap()).unwrap();
    // The backlog holds one waiting connection, and one more.
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
    let listener = UnixListener::from_std(socket.into()).unwrap();
    let owner = std::fs::metadata(&path).unwrap().uid();
    let world = World::new().await;
    let port = free_port().await;
    let mut to = route(port, world.service.address);
    to.upstream = Target::Unix { path, owner };
    assert_eq!(world.gateway.set_routes(&[to]).await, []);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", token());
    let asking = join_all((0..20).map(|_| send(port, &request)));
    let serving = async {
        // Long enough for all of them to have found the queue full.
        tokio::time::sleep(Duration::from_millis(300)).await;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    };
    let answers = tokio::select! {
        answers = asking => answers,
        () = serving => unreachable!("it goes on"),
    };
    for answer in answers {
        assert_eq!(statuses(&answer), [200], "{answer}");
    }
}
