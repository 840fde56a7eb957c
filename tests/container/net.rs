//! Network requests without a browser: plain requests, and the first answer to a WebSocket handshake.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An unprocessed answer: redirects are not followed, and no status is an error.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

pub async fn http_get(url: &str, headers: &[(&str, &str)]) -> Result<Reply, reqwest::Error> {
    let request =
        headers.iter().fold(client().get(url), |request, (name, value)| request.header(*name, *value));
    reply(request).await
}

/// A free port from below the range that the kernel gives to outgoing connections, which could take it in the meantime.
pub fn free_port() -> u16 {
    let random = RandomState::new().build_hasher().finish();
    let mut ports = (0..1000).map(|n| 20_000 + u16::try_from((random.wrapping_add(n)) % 10_000).unwrap_or(0));
    let free = |port: &u16| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok();
    ports.find(free).expect("a thousand ports are not all in use")
}

/// Sends JSON to a server that must answer.
pub async fn http_post(url: &str, json: &str) -> Reply {
    let request = client().post(url).header("content-type", "application/json").body(json.to_owned());
    reply(request).await.unwrap_or_else(|error| panic!("post to {url}: {error}"))
}

/// Logs in as the page's form does: the session cookie, or the status of the refusal.
pub async fn log_in(page: &str, user: &str, password: &str) -> Result<String, u16> {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let form = format!("user={}&password={}&next=%2F", escaped(user), escaped(password));
    let request = client().post(format!("{page}desktopd/login")).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let sent = reply(request.header("origin", page.trim_end_matches('/'))).await;
    let answer = sent.unwrap_or_else(|error| panic!("log in at {page}: {error}"));
    match answer.headers.get("set-cookie").map(|cookie| cookie.to_str().expect("a cookie is text")) {
        Some(cookie) if answer.status == 303 => Ok(cookie.split(';').next().unwrap_or_default().to_owned()),
        _ => Err(answer.status),
    }
}

fn client() -> reqwest::Client {
    builder().timeout(TIMEOUT).build().expect("make an HTTP client")
}

/// For large transfers, which may take long: only a pause without any progress is an error.
pub fn patient_client() -> reqwest::Client {
    builder().read_timeout(TIMEOUT).build().expect("make an HTTP client")
}

fn builder() -> reqwest::ClientBuilder {
    // The daemon chooses its own provider; of two threads the second one finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    // A container uses a self-signed certificate.
    builder.tls_danger_accept_invalid_certs(true)
}

async fn reply(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.text().await? })
}

/// The status of a WebSocket handshake on a port of this machine: 101 means that the upgrade was accepted.
///
/// Raw bytes, because a client library would refuse to send some of an attacker's requests. `headers` may contain
/// `Origin`, `Cookie`, `Authorization` and so on, and a `Host` in it replaces the usual one.
pub async fn websocket_status(port: u16, path: &str, headers: &[(&str, &str)]) -> std::io::Result<u16> {
    tokio::time::timeout(TIMEOUT, handshake(port, path, headers)).await?
}

async fn handshake(port: u16, path: &str, headers: &[(&str, &str)]) -> std::io::Result<u16> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.extend(["Host: localhost:", &port.to_string(), "\r\n"]);
    }
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    // Only "HTTP/1.1 101" matters; frames may follow.
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    let status =
        std::str::from_utf8(&start).ok().and_then(|start| start.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.ok_or_else(|| std::io::Error::other(format!("not an HTTP answer: {start:?}")))
}
