//! Floods of password guesses: from ever new networks of one provider, and from the owner's own address. The client
//! addresses are those that a trusted proxy reports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::gateway::world::{
    PASSWORD, Response, USER, World, ask, basic, credentials, get, read_until, try_ask,
};
use desktopd::config::secret::Secret;
use desktopd::gateway::auth::{Credentials, Password};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The longest time that the owner may have to wait; on an idle machine it is a tenth of that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Guesses per second.
const RATE: u64 = 200;

/// A gateway behind a trusted proxy, with a password whose check takes a while.
async fn world(cost: u32) -> World {
    let hash = Password::Hash(Secret::new(bcrypt::hash(PASSWORD, cost).unwrap()));
    let trusted = |settings: &mut desktopd::gateway::Settings| {
        settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()];
    };
    World::tuned(Credentials { password: hash, ..credentials() }, trusted).await
}

fn form(password: &str) -> String {
    let password: Vec<_> = password.bytes().map(|b| format!("%{b:02x}")).collect();
    format!("user={USER}&password={}&next=/", password.concat())
}

async fn log_in(port: u16, from: &str, headers: &str, password: &str) -> Response {
    try_log_in(port, from, headers, password).await.expect("the connection was closed without an answer")
}

/// `None` if the gateway closes the connection without an answer.
async fn try_log_in(port: u16, from: &str, headers: &str, password: &str) -> Option<Response> {
    let headers = format!("X-Forwarded-For: {from}\r\nOrigin: http://127.0.0.1:{port}\r\n{headers}");
    try_ask(port, "POST", "/desktopd/login", &headers, &form(password)).await
}

/// Guesses until it is dropped; a client that gets no answer within a second hangs up.
struct Flood {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU32>,
    guessing: tokio::task::JoinHandle<()>,
}

impl Flood {
    fn start(port: u16, from: impl Fn(u64) -> String + Send + 'static) -> Self {
        let (stop, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&refused));
        let guessing = tokio::spawn(async move {
            let mut guesses = JoinSet::new();
            let mut tick = tokio::time::interval(Duration::from_millis(1000 / RATE));
            for n in 0.. {
                tick.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (from, counted) = (from(n), Arc::clone(&counted));
                guesses.spawn(async move {
                    let guess = format!("guess {n}");
                    let answer = try_log_in(port, &from, "", &guess);
                    // A slow machine has more of them open than one network may have.
                    if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_secs(1), answer).await {
                        assert!(matches!(answer.status, 401 | 429), "{}", answer.head);
                        if answer.status == 429 {
                            assert!(answer.header("retry-after").is_some(), "{}", answer.head);
                            counted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
                while let Some(done) = guesses.try_join_next() {
                    done.unwrap();
                }
            }
            while let Some(done) = guesses.join_next().await {
                done.unwrap();
            }
        });
        Self { stop, refused, guessing }
    }

    fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.guessing.await.unwrap();
    }
}

/// Waits for an effect of the flood.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_password_works_while_one_provider_guesses_from_ever_new_networks() {
    let world = world(10).await;
    let port = world.port;
    let flood = Flood::start(port, |n| format!("2001:db8:{:x}:{:x}::1", n / 50, n));
    until("there are more guesses than the gateway can check", || flood.refused() > 50).await;
    let mut times = Vec::new();
    for from in ["2001:db9::1", "198.51.100.1", "192.168.1.1", "2001:dba:1:2::3"] {
        let before = Instant::now();
        let answer = log_in(port, from, "", PASSWORD).await;
        times.push(before.elapsed());
        assert_eq!(answer.status, 303, "{from}: {}", answer.head);
        assert!(before.elapsed() < PATIENCE, "{from}: {:?}", before.elapsed());
    }
    // A wrong password is not answered sooner than a right one.
    assert_eq!(log_in(port, "203.0.113.1", "", "wrong").await.status, 401);
    eprintln!("right passwords took {times:?}; {} guesses were refused at once", flood.refused());
    flood.end().await;
    // No password is checked any more for clients that have hung up.
    let hashed = world.auth.counters().hashes;
    assert_eq!(log_in(port, "203.0.113.2", "", PASSWORD).await.status, 303);
    assert!(world.auth.counters().hashes <= hashed + 4, "{} after {hashed}", world.auth.counters().hashes);
}

#[tokio::test]
async fn a_waiting_guess_ends_with_its_client() {
    const OWN: u64 = 6;
    let world = world(10).await;
    let mut guesses = Vec::new();
    for n in 1..=40 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        // The first answer proves that the gateway serves the connection.
        let head = format!(
            "GET /desktopd/health HTTP/1.1\r\nHost: h\r\n\r\n\
             GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.{n}\r\n{}\r\n",
            basic(USER, "wrong")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        read_until(&mut stream, "ok").await;
        guesses.push(stream);
    }
    drop(guesses);
    let before = world.auth.counters().hashes;
    for n in 0..OWN {
        let headers = format!("X-Forwarded-For: 203.0.113.{n}\r\n{}", basic(USER, PASSWORD));
        assert_eq!(get(world.port, "/", &headers).await.status, 200);
    }
    let hashed = world.auth.counters().hashes - before;
    // Checks that have begun are finished.
    assert!(hashed <= OWN + 4, "{hashed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_shared_address_known_browsers_sessions_and_tokens_still_work() {
    let world = world(8).await;
    let port = world.port;
    let first = log_in(port, "172.17.0.1", "", PASSWORD).await;
    assert_eq!(first.status, 303);
    let set = |name: &str| {
        let lines = first.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
        let of =
            lines.filter(|line| line.split('=').next().unwrap().ends_with("_browser") == (name == "browser"));
        of.map(str::to_owned).next().unwrap_or_else(|| panic!("{}", first.head))
    };
    let (session, browser) = (set("session"), set("browser"));
    assert!(!browser.contains("Path") && browser.contains("HttpOnly; SameSite=Lax"), "{browser}");
    let pair = |line: &str| format!("Cookie: {}\r\n", line.split(';').next().unwrap());

    let flood = Flood::start(port, |_| "172.17.0.1".to_owned());
    until("guesses are slowed down", || world.auth.counters().failures >= 5).await;
    let before = Instant::now();
    let again = log_in(port, "172.17.0.1", &pair(&browser), PASSWORD).await;
    assert_eq!(again.status, 303, "{}", again.head);
    assert!(before.elapsed() < PATIENCE, "{:?}", before.elapsed());
    let before = Instant::now();
    assert_eq!(get(port, "/", &pair(&session)).await.status, 200);
    assert_eq!(get(port, "/", &crate::gateway::upstream::token()).await.status, 200);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    flood.end().await;

    // This cookie does not log a client in, and guesses that send it are slowed down like all other guesses.
    assert_eq!(get(port, "/", &pair(&browser)).await.status, 401);
    let before = Instant::now();
    for n in 0..6 {
        assert_eq!(log_in(port, "10.0.0.1", &pair(&browser), &format!("guess {n}")).await.status, 401);
    }
    assert!(before.elapsed() >= Duration::from_millis(1750), "{:?}", before.elapsed());
}

/// How long the answer to one wrong pair takes.
async fn time(world: &World, from: &str, (user, password): (&str, &str)) -> Duration {
    let headers = format!("X-Forwarded-For: {from}\r\n{}", basic(user, password));
    let before = Instant::now();
    assert_eq!(get(world.port, "/", &headers).await.status, 401);
    before.elapsed()
}

#[tokio::test]
async fn a_wrong_name_takes_as_long_as_a_wrong_password() {
    const ROUNDS: usize = 15;
    let world = world(8).await;
    let kinds = [("192.0.2", USER, "wrong"), ("198.51.100", "nobody", "wrong"), ("203.0.113", "", PASSWORD)];
    // First wrong pairs that were not tried before, then the same again, which are cached and answered without a check.
    for known in [false, true] {
        let mut times = [const { Vec::new() }; 3];
        // In turn, so that other load of this machine affects all of them.
        for n in 0..ROUNDS {
            for ((from, user, password), times) in kinds.iter().zip(&mut times) {
                times.push(time(&world, &format!("{from}.{n}"), (user, &format!("{password}{n}"))).await);
            }
        }
        let medians = times.map(|mut times| {
            times.sort_unstable();
            times[ROUNDS / 2]
        });
        eprintln!("known mistakes: {known}; medians {medians:?}");
        assert!(
            known || medians.iter().max().unwrap() < &(*medians.iter().min().unwrap() * 2),
            "{medians:?}"
        );
        assert_eq!(world.auth.counters().hashes, 3 * ROUNDS as u64, "known: {known}");
    }
}

#[tokio::test]
async fn an_open_port_does_not_reveal_the_user_by_its_response_time() {
    let hash = Password::Hash(Secret::new(bcrypt::hash(PASSWORD, 4).unwrap()));
    let world = World::with(Credentials { enabled: false, password: hash, ..credentials() }).await;
    for user in [USER, "nobody"] {
        for port in [world.port, world.pages] {
            let before = world.auth.counters();
            let status = get(port, "/", &basic(user, "wrong")).await.status;
            assert_eq!(status, 200);
            assert_eq!(world.auth.counters(), before, "{user}");
        }
        // Where a change needs a login in spite of the open port, every user name costs the same.
        let headers = format!("Content-Type: application/json\r\n{}", basic(user, "wrong"));
        let before = world.auth.counters().hashes;
        let change = ask(world.pages, "POST", "/api/units/stop", &headers, r#"{"names":["selkies"]}"#).await;
        assert_eq!((change.status, world.auth.counters().hashes - before), (401, 1), "{user}");
    }
}
