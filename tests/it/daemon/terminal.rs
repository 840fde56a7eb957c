//! The portal's terminal in the real daemon: a shell over a real WebSocket, what opens one, and what ends it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::daemon::world::{World, is_root, proc_status, skipped, until};
use crate::gateway::world::{Response, ask, get, log_in, read_until};

pub const PASSWORD: &str = "correct horse";
const SOON: Duration = Duration::from_secs(15);

/// The limit of a run of this daemon's memory: it must not grow with what a shell prints. KiB.
const GROWTH: u64 = 16 * 1024;

pub fn world(user: &str) -> World {
    let mut world = World::new();
    // A cheap hash: the tests log in often.
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    world.env("PORTAL_TERMINAL", user).env("WEB_PASSWORD_HASH", hash).env("WEB_TOKEN", "the-token");
    world.env("WEB_TRUSTED_PROXIES", "127.0.0.1");
    world.env("CONTAINER_API_KEY", "a-secret-of-the-daemon");
    if is_root() {
        world.env("USER_NAME", if user == "root" { "root" } else { "nobody" });
    }
    world.start();
    world
}

/// Whose terminals this test can have.
fn own() -> &'static str {
    if is_root() { "root" } else { "user" }
}

/// A client with a session.
struct Client {
    port: u16,
    cookie: String,
    /// The address that its proxy reports.
    from: &'static str,
}

/// An open terminal.
struct Opened {
    socket: WebSocketStream<TcpStream>,
    printed: Vec<u8>,
}

impl Client {
    async fn new(world: &World) -> Self {
        let port = world.port();
        let response = log_in(port, "user", PASSWORD, "/").await;
        assert_eq!(response.status, 303, "{}", response.head);
        Self { port, cookie: response.cookie(), from: "192.0.2.1" }
    }

    async fn typed(&self, password: &str) -> Response {
        let Self { port, cookie, from } = self;
        let headers = format!(
            "Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
             X-Forwarded-For: {from}\r\n"
        );
        ask(*port, "POST", "/api/terminal/ticket", &headers, &json!({ "password": password }).to_string())
            .await
    }

    async fn ticket(&self) -> String {
        let response = self.typed(PASSWORD).await;
        assert_eq!(response.status, 200, "{}", response.body);
        let answer: Value = serde_json::from_str(&response.body).unwrap();
        answer["ticket"].as_str().unwrap().to_owned()
    }

    /// The head of the answer to a handshake, and the connection.
    async fn shake(&self, ticket: &str, origin: &str) -> (String, TcpStream) {
        let Self { port, cookie, from } = self;
        let mut stream = TcpStream::connect(("127.0.0.1", *port)).await.unwrap();
        let request = format!(
            "GET /api/terminal/socket?ticket={ticket}&columns=91&rows=31 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\nOrigin: {origin}\r\n\
             X-Forwarded-For: {from}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        (head, stream)
    }

    async fn refused(&self, ticket: &str, origin: &str) -> String {
        self.shake(ticket, origin).await.0.split(' ').nth(1).unwrap().to_owned()
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn open(&self) -> Opened {
        let (head, stream) = self.shake(&self.ticket().await, &self.origin()).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        Opened { socket, printed: Vec::new() }
    }

    async fn log_out(&self) {
        let headers = format!("Cookie: {}\r\nOrigin: {}\r\n", self.cookie, self.origin());
        assert_eq!(ask(self.port, "POST", "/desktopd/logout", &headers, "").await.status, 303);
    }
}

impl Opened {
    async fn types(&mut self, text: &str) {
        self.socket.send(Message::binary(text.as_bytes().to_vec())).await.unwrap();
    }

    async fn says(&mut self, word: Value) {
        self.socket.send(Message::text(word.to_string())).await.unwrap();
    }

    /// The next message that is not a ping.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(SOON, self.socket.next()).await;
            match next.unwrap_or_else(|_| panic!("nothing more after {:?}", self.text())) {
                Some(Ok(Message::Ping(_))) => {}
                message => return message?.ok(),
            }
        }
    }

    /// Reads until the shell has printed this.
    async fn until(&mut self, text: &str) {
        while !self.text().contains(text) {
            let Some(Message::Binary(bytes)) = self.next().await else {
                panic!("no {text:?} in {:?}", self.text());
            };
            let drawn = bytes.len();
            self.printed.extend_from_slice(&bytes);
            self.says(json!({ "drawn": drawn })).await;
        }
    }

    /// What the server says at the end.
    async fn ended(&mut self) -> String {
        loop {
            match self.next().await {
                Some(Message::Text(text)) => {
                    let word: Value = serde_json::from_str(&text).unwrap();
                    return word["ended"].as_str().unwrap().to_owned();
                }
                Some(Message::Binary(bytes)) => self.printed.extend_from_slice(&bytes),
                other => panic!("{other:?} after {:?}", self.text()),
            }
        }
    }

    /// The number that the shell prints after `name=`.
    async fn number(&mut self, name: &str, command: &str) -> i32 {
        // In two parts, so that the echo of the command does not count.
        self.types(&format!("echo {name}''={command}=; \n")).await;
        self.until(&format!("{name}=")).await;
        loop {
            let text = self.text();
            let rest = text.split(&format!("{name}=")).nth(1).unwrap_or_default();
            if let Some((number, _)) = rest.split_once('=') {
                return number.parse().unwrap();
            }
            self.until("no such text").await;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed).into_owned()
    }
}

fn is_gone(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

/// Waits until that is true.
fn comes(what: &str, is: impl Fn() -> bool) {
    until(what, || is().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_echoes_has_the_size_of_the_page_and_no_secrets() {
    let world = world(own());
    let client = Client::new(&world).await;
    let mut terminal = client.open().await;
    terminal.types("echo he''llo; tty; stty size; env | sort; echo d''one\n").await;
    terminal.until("done").await;
    let text = terminal.text();
    assert!(text.contains("hello") && text.contains("/dev/pts/") && text.contains("31 91"), "{text}");
    assert!(text.contains("TERM=xterm-256color"), "{text}");
    for secret in [PASSWORD, "the-token", "a-secret-of-the-daemon", "CONTAINER_API_KEY", "DAEMON_TEST_MARK"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    terminal.says(json!({ "size": [120, 40] })).await;
    terminal.types("stty size; echo a''gain\n").await;
    terminal.until("again").await;
    assert!(terminal.text().contains("40 120"), "{}", terminal.text());
    terminal.types("exit 7\n").await;
    assert_eq!(terminal.ended().await, "exit code 7");
    comes("the end is logged", || world.log("desktopd").contains("exit code 7"));
    let log = world.log("desktopd");
    assert!(log.contains("was opened by user (portal, from 192.0.2.1)"), "{log}");
    assert!(!log.contains("hello"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_of_the_user_has_the_users_rights() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let world = world("user");
    let client = Client::new(&world).await;
    let mut terminal = client.open().await;
    terminal.types("id -u; id -G; cat /etc/shadow; ls -ln $(tty); echo d''one\n").await;
    terminal.until("done").await;
    let text = terminal.text();
    assert!(text.contains("65534") && text.contains("Permission denied"), "{text}");
    assert!(!text.contains("root:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_password_and_its_fresh_ticket_open_a_terminal() {
    let world = world(own());
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    assert_eq!(client.typed("wrong").await.status, 403);
    assert_eq!(client.typed("").await.status, 403);
    assert_eq!(client.refused("", &client.origin()).await, "403");
    let ticket = client.ticket().await;
    assert_eq!(client.refused(&ticket, "http://evil.example").await, "403", "another origin");
    assert_eq!(client.refused(&ticket, "null").await, "403");
    let (head, kept) = client.shake(&ticket, &client.origin()).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.refused(&ticket, &client.origin()).await, "403", "used twice");
    let ticket = client.ticket().await;
    assert_eq!(other.refused(&ticket, &client.origin()).await, "403", "of another session");
    assert_eq!(client.refused(&ticket, &client.origin()).await, "403", "void");
    drop(kept);
    // A token is a login, but no session that a terminal could end with.
    let token = "Authorization: Bearer the-token\r\nContent-Type: application/json\r\n";
    let body = json!({ "password": PASSWORD }).to_string();
    let refused = ask(client.port, "POST", "/api/terminal/ticket", token, &body).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let stranger = "Content-Type: application/json\r\n";
    assert_eq!(ask(client.port, "POST", "/api/terminal/ticket", stranger, &body).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_a_client_with_a_session_are_limited_as_at_the_login() {
    let world = world(own());
    let client = Client { from: "203.0.113.7", ..Client::new(&world).await };
    for guess in 0..5 {
        assert_eq!(client.typed(&format!("guess {guess}")).await.status, 403, "{guess}");
    }
    let banned = client.typed(PASSWORD).await;
    assert_eq!(banned.status, 429, "{}", banned.body);
    assert!(banned.body.contains("too many attempts; try again in "), "{}", banned.body);
    // The session itself, and other clients, are not banned.
    assert_eq!(Client { from: "198.51.100.9", ..client }.typed(PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_ends_with_its_session_and_leaves_no_process() {
    let world = world(own());
    let client = Client::new(&world).await;
    let mut terminal = client.open().await;
    let shell = terminal.number("shell", "$$").await;
    // A process of another session, without a terminal, that ignores signals.
    let file = world.path("hidden").display().to_string();
    let script = format!("echo $$ > {file}; trap \"\" HUP TERM INT; sleep 1000");
    terminal.types(&format!("setsid sh -c '{script}' </dev/null >/dev/null 2>&1 & \n")).await;
    let hidden = until("its number", || world.read("hidden").trim().parse::<i32>().ok());
    terminal.types("nohup sleep 2000 >/dev/null 2>&1 & \n").await;
    let detached = terminal.number("detached", "$!").await;
    assert!(![shell, hidden, detached].into_iter().any(is_gone));
    client.log_out().await;
    assert_eq!(terminal.ended().await, "the session has ended");
    comes("all processes are gone", || [shell, hidden, detached].into_iter().all(is_gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_ends_with_its_socket_and_with_the_daemon() {
    let mut world = world(own());
    let client = Client::new(&world).await;
    let mut terminal = client.open().await;
    let shell = terminal.number("shell", "$$").await;
    drop(terminal);
    comes("the shell is gone", || is_gone(shell));
    let mut terminal = client.open().await;
    let shell = terminal.number("shell", "$$").await;
    world.end();
    assert!(is_gone(shell), "the daemon does not end before its terminals");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_waits_for_the_page_and_the_daemon_answers() {
    let world = world(own());
    let client = Client::new(&world).await;
    let mut terminal = client.open().await;
    terminal.types("echo re''ady\n").await;
    terminal.until("ready").await;
    let memory = || {
        let text = proc_status(world.pid(), "VmRSS");
        text.trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    let before = memory();
    terminal.types("cat /dev/zero\n").await;
    // Nothing is confirmed: what is under way has a limit.
    let mut bytes = 0;
    while let Ok(Some(Ok(message))) =
        tokio::time::timeout(Duration::from_secs(1), terminal.socket.next()).await
    {
        bytes += message.len();
    }
    assert!((200 << 10..=400 << 10).contains(&bytes), "{bytes} bytes came");
    // Input that no program reads has a limit too, and nothing else waits for it.
    for _ in 0..64 {
        terminal.types(&"x".repeat(16 << 10)).await;
    }
    assert_eq!(get(client.port, "/desktopd/health", "").await.status, 200);
    // The page draws again, and stops the program.
    terminal.says(json!({ "drawn": bytes })).await;
    terminal.types("\u{3}").await;
    terminal.printed.clear();
    let grown = memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB more");
    drop(terminal);
    comes("the place is free", || world.log("desktopd").contains("was closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_terminal_is_refused_and_a_closed_one_makes_room() {
    let world = world(own());
    let client = Client::new(&world).await;
    let mut terminals = Vec::new();
    for _ in 0..4 {
        terminals.push(client.open().await);
    }
    let refused = client.typed(PASSWORD).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("4 terminals are open already"), "{}", refused.body);
    let mut first = terminals.remove(0);
    first.types("exit\n").await;
    assert_eq!(first.ended().await, "exit code 0");
    comes("there is room", || world.log("desktopd").contains("exit code 0"));
    client.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_messages_end_only_their_own_terminal() {
    let world = world(own());
    let client = Client::new(&world).await;
    for (message, says) in [
        (Message::text("{\"size\":[1]}"), "the page sent an unknown message"),
        (Message::text("{\"run\":\"rm\"}"), "the page sent an unknown message"),
        (Message::text("not json"), "the page sent an unknown message"),
        (Message::binary(vec![b'x'; 65 << 10]), "the message is too large"),
    ] {
        let mut terminal = client.open().await;
        terminal.socket.send(message).await.unwrap();
        assert_eq!(terminal.ended().await, says);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_off_unless_it_is_asked_for_and_a_login_is_required() {
    for (terminal, login, why) in [
        ("", "true", "PORTAL_TERMINAL is not set"),
        ("user", "false", "WEB_ENABLE_AUTH is false"),
        ("yes", "true", "PORTAL_TERMINAL is not set"),
    ] {
        let mut world = World::new();
        world.env("PORTAL_TERMINAL", terminal).env("WEB_PASSWORD", PASSWORD).env("WEB_ENABLE_AUTH", login);
        world.start();
        let status = world.get("/api/terminal").unwrap();
        assert_eq!(status["user"], Value::Null);
        assert!(status["reason"].as_str().unwrap().contains(why), "{status}");
        let (refused, _) = world.post("/api/terminal/ticket", &json!({ "password": PASSWORD }).to_string());
        assert_eq!(refused, 403);
        if terminal == "yes" {
            assert!(world.page().contains("\"yes\" is not user or root"), "{}", world.page());
        }
    }
}
