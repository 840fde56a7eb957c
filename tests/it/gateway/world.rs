//! A gateway on free ports of 127.0.0.1, a small service behind it, and a client that sends exactly the given bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desktopd::config::rewrite::Rewrite;
use desktopd::config::secret::Secret;
use desktopd::gateway::auth::{Auth, Credentials, Password};
use desktopd::gateway::{Gateway, Settings};
use desktopd::logs::{Console, Limits, Logs};
use desktopd::observe::{Observer, UnitInfo, UnitState, UnitStatus, Watch};
use desktopd::plan::routes::{Route, Upstream};
use desktopd::portal::{self, Api, DisplayState, Login};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const USER: &str = "user";
pub const PASSWORD: &str = "pass word:ü";
pub const TOKEN: &str = "t0ken+/=";

pub struct World {
    pub gateway: Gateway,
    pub auth: Auth,
    pub logs: Logs,
    pub observer: Observer,
    pub watch: Watch,
    /// What the portal knows about the display.
    pub displays: tokio::sync::watch::Sender<Option<Arc<DisplayState>>>,
    /// The variables that the portal shows.
    pub variables: tokio::sync::watch::Sender<portal::Rows>,
    pub stop: CancellationToken,
    /// The port of the gateway's own pages.
    pub pages: u16,
    /// The port of the service.
    pub port: u16,
    pub service: Service,
}

pub fn credentials() -> Credentials {
    Credentials {
        user: USER.into(),
        password: Password::Plain(Secret::new(PASSWORD)),
        tokens: vec![Secret::new(""), Secret::new(TOKEN)],
        password_as_token: false,
        enabled: true,
        excluded: Vec::new(),
        cookie: None,
    }
}

pub fn unit(name: &str, state: UnitState, reason: &str) -> UnitStatus {
    UnitStatus {
        info: Arc::new(UnitInfo { name: name.into(), ..UnitInfo::default() }),
        state,
        reason: reason.into(),
        health: None,
        status_text: String::new(),
        stopped_by: None,
        off: false,
        since: 0,
        pid: None,
        restarts: 0,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(credentials()).await
    }

    pub async fn with(credentials: Credentials) -> Self {
        Self::tuned(credentials, |_| {}).await
    }

    /// Runs everything on the test's own runtime.
    pub async fn on_one_thread() -> Self {
        Self::tuned(credentials(), |settings| settings.threads = Some(0)).await
    }

    /// With the gateway's own pages on this port.
    pub async fn with_portal(credentials: Credentials, port: u16) -> Self {
        Self::made(credentials, |_| {}, port).await
    }

    /// With these settings, on loopback.
    pub async fn configured(credentials: Credentials, given: Settings) -> Self {
        Self::tuned(credentials, |settings| *settings = Settings { address: settings.address, ..given }).await
    }

    /// With other settings than the usual ones.
    pub async fn tuned(credentials: Credentials, tune: impl FnOnce(&mut Settings)) -> Self {
        Self::made(credentials, tune, 0).await
    }

    async fn made(credentials: Credentials, tune: impl FnOnce(&mut Settings), pages: u16) -> Self {
        let (observer, watch) = Observer::new(1, 0);
        observer.update(|snapshot| snapshot.units = vec![unit("selkies", UnitState::Ready, "")]);
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 100_000 }, Console::silent());
        let stop = CancellationToken::new();
        let shown = portal::Credentials {
            user: credentials.user.clone(),
            password: Some(PASSWORD.into()),
            token: TOKEN.into(),
            enabled: credentials.enabled,
            chosen: false,
        };
        let auth = Auth::new(credentials, &[7; 32], 4);
        let mut settings = Settings { address: [127, 0, 0, 1].into(), ..Settings::default() };
        tune(&mut settings);
        let gateway = Gateway::new(settings, auth.clone(), &observer, logs.clone(), stop.clone());
        let (_, handle) = tokio::sync::watch::channel(None);
        let (displays, displays_seen) = tokio::sync::watch::channel(None);
        let api = Api::new(watch.clone(), observer.events(), logs.clone(), handle);
        let login = Login::new(auth.clone(), shown);
        let (variables, rows) = tokio::sync::watch::channel(portal::Rows::default());
        let router = portal::router(api.with_displays(displays_seen).with_login(login).with_variables(rows));
        let pages = gateway.open_pages(pages, router).await.unwrap();
        let service = Service::start().await;
        let port = free_port().await;
        let problems = gateway.set_routes(&[route(port, service.address)]).await;
        assert_eq!(problems, []);
        Self { gateway, auth, logs, observer, watch, displays, variables, stop, pages, port, service }
    }

    /// A session's cookie, as `name=value`.
    pub async fn cookie(&self) -> String {
        self.cookie_at(self.port).await
    }

    /// The same, logged in at that port.
    pub async fn cookie_at(&self, port: u16) -> String {
        let response = log_in(port, USER, PASSWORD, "/").await;
        assert_eq!(response.status, 303, "{}", response.head);
        response.cookie()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn route(listen: u16, upstream: SocketAddr) -> Route {
    Route {
        unit: "selkies".into(),
        title: "Desktop <1>".into(),
        listen,
        inner: None,
        upstream: Upstream::Tcp(upstream),
        bridge: None,
        shows: Vec::new(),
        path: "/".into(),
        secure_context: false,
        webrtc: None,
        url: None,
        rewrite: Rewrite::default(),
    }
}

pub async fn free_port() -> u16 {
    crate::daemon::world::free_port()
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

pub struct Response {
    /// The path of the request; the answer's relative addresses are relative to it.
    asked: String,
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn parse(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {raw:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { asked: "/".to_owned(), status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The redirect's target on this host, as a browser understands it.
    pub fn location(&self) -> String {
        resolve(&self.asked, self.header("location").expect("a redirect"))
    }

    pub fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

/// Sends bytes and reads until the other side closes the connection.
pub async fn talk(port: u16, raw: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one request; `headers` are whole lines.
pub async fn ask(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Response {
    try_ask(port, method, path, headers, body).await.expect("the connection was closed without an answer")
}

/// The same; `None` if the gateway closes the connection without an answer, as it does with too many of one network.
pub async fn try_ask(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<Response> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: 127.0.0.1:{port}\r\n") };
    let raw = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n{body}");
    let answer = talk(port, &raw).await;
    (!answer.is_empty()).then(|| Response { asked: path.to_owned(), ..Response::parse(&answer) })
}

/// An address on a page of this host, as a browser understands it.
pub fn resolve(page: &str, address: &str) -> String {
    let page = page.split('?').next().unwrap_or_default();
    let mut folders: Vec<&str> = page.split('/').collect();
    folders.pop();
    let mut rest = address;
    if rest.starts_with('/') || rest.contains("://") {
        return rest.to_owned();
    }
    loop {
        if let Some(beside) = rest.strip_prefix("./") {
            rest = beside;
        } else if let Some(above) = rest.strip_prefix("../") {
            rest = above;
            assert!(folders.len() > 1, "{address} is outside the prefix, in {page}");
            folders.pop();
        } else {
            return format!("{}/{rest}", folders.join("/"));
        }
    }
}

pub async fn get(port: u16, path: &str, headers: &str) -> Response {
    ask(port, "GET", path, headers, "").await
}

pub async fn log_in(port: u16, user: &str, password: &str, next: &str) -> Response {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<Vec<_>>().concat();
    let form = format!("user={}&password={}&next={}", encode(user), encode(password), encode(next));
    let headers = format!("Origin: http://127.0.0.1:{port}\r\n");
    ask(port, "POST", "/desktopd/login", &headers, &form).await
}

/// Reads from a stream until `text` has arrived.
pub async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&all).contains(text) {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "ended after {:?}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&buffer[..read]);
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(done.is_ok(), "no {text:?} in {:?}", String::from_utf8_lossy(&all));
    String::from_utf8_lossy(&all).into_owned()
}

/// The service: answers with the request that it received, and switches protocols at `/ws`.
pub struct Service {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    /// The heads of the received requests, oldest first.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn last(&self) -> String {
        self.requests().pop().expect("no request arrived")
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut received = Vec::new();
    let end = loop {
        if let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let early = received.split_off(end);
    let head = String::from_utf8(received).unwrap();
    seen.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap();
    let fixed = match path {
        "/cookies" => {
            "HTTP/1.1 200 OK\r\nSet-Cookie: sid=1\r\nSet-Cookie: OURS=x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"
        }
        "/broken" => "this is not http\r\n\r\n",
        "/unasked" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "/ws" => {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: yes\r\n\r\nhello "
        }
        "/events" => {
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        }
        "/trailers" => {
            "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n"
        }
        "/upload" => "",
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nservice",
    };
    let fixed = fixed.replace(
        "OURS",
        &seen
            .lock()
            .unwrap()
            .iter()
            .find_map(|h| h.lines().find_map(|l| l.strip_prefix("x-name: ")).map(str::to_owned))
            .unwrap_or_default(),
    );
    if stream.write_all(fixed.as_bytes()).await.is_err() {
        return;
    }
    if path == "/ws" && stream.write_all(&early).await.is_ok() {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    } else if path == "/upload" {
        let mut body = early;
        while !body.ends_with(b"0\r\n\r\n") && stream.read_buf(&mut body).await.unwrap_or(0) > 0 {}
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.write_all(&body).await;
    } else if path == "/events" {
        // Stays open until the other side closes.
        while stream.read(&mut [0; 64]).await.unwrap_or(0) > 0 {}
    }
}
