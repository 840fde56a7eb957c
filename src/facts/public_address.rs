//! The public address of this machine, from an external service that reports it. Looked up only on request
//! (`DIRECT_ADDRESS_GET_WAN`), in a task of its own, and cached for some time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sys::errno::chain;
use crate::sys::http;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer, in bytes; an address is shorter.
const LONGEST: u64 = 256;

/// The first wait before a retry, doubled each time, and the number of retries: a network that comes up late does so
/// within minutes.
const RETRY: Duration = Duration::from_secs(2);
const RETRIES: u32 = 8;

/// Looks up the address, and caches it.
pub struct PublicAddress {
    url: String,
    keep: Duration,
    known: Option<(Instant, IpAddr)>,
}

impl PublicAddress {
    /// `url` answers with the client's address; an answer is valid for the time `keep`.
    pub fn new(url: impl Into<String>, keep: Duration) -> Self {
        Self { url: url.into(), keep, known: None }
    }

    /// The cached address, or a fresh one.
    pub async fn get(&mut self) -> Result<IpAddr, String> {
        if let Some((at, address)) = self.known.filter(|(at, _)| at.elapsed() < self.keep) {
            tracing::debug!("public address {address}: known for {:?}", at.elapsed());
            return Ok(address);
        }
        let address = ask(&self.url).await.map_err(|why| format!("EXTERNAL_IP_URL={}: {why}", self.url))?;
        self.known = Some((Instant::now(), address));
        Ok(address)
    }

    /// Calls `found` as soon as the address is known, and after each notification of `again`. Never returns.
    pub async fn tell(mut self, again: Arc<Notify>, found: impl Fn(IpAddr)) {
        let mut failures = 0;
        loop {
            match self.get().await {
                Ok(address) => {
                    failures = 0;
                    found(address);
                    again.notified().await;
                }
                Err(why) => {
                    if failures == 0 {
                        tracing::warn!("looking up the public address: {why}");
                    }
                    failures += 1;
                    let retry = RETRY * 2_u32.saturating_pow(failures - 1);
                    tokio::select! {
                        () = again.notified() => {}
                        () = tokio::time::sleep(retry), if failures <= RETRIES => {}
                    }
                }
            }
        }
    }
}

async fn ask(url: &str) -> Result<IpAddr, String> {
    let client = http::client(|client| client.timeout(PATIENCE))?;
    let told = |error: reqwest::Error| chain(&error.without_url());
    let response =
        client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(told)?;
    let body = http::body(response, LONGEST).await.map_err(told)?;
    let body = body.ok_or("the answer is longer than an address")?;
    let text = String::from_utf8_lossy(&body);
    let address: Option<IpAddr> = text.trim().parse().ok();
    address
        .filter(|address| !address.is_loopback() && !address.is_unspecified() && !address.is_multicast())
        .ok_or_else(|| format!("\"{}\" is not a public address", text.trim().escape_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    /// A server that gives one answer after the other, and repeats the last one; returns its address and its number of
    /// requests.
    async fn server(answers: Vec<&'static str>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                let _ = stream.write_all(answers[at].as_bytes()).await;
            }
        });
        (url, asked)
    }

    fn answer(body: &str) -> &'static str {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak()
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time() {
        let (url, asked) = server(vec![answer(" 203.0.113.9\n"), answer("2001:db8::1")]).await;
        let mut kept = PublicAddress::new(&url, Duration::from_secs(900));
        for _ in 0..3 {
            assert_eq!(kept.get().await, Ok([203, 0, 113, 9].into()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let mut fresh = PublicAddress::new(&url, Duration::ZERO);
        for _ in 0..2 {
            assert_eq!(fresh.get().await, Ok("2001:db8::1".parse().unwrap()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_address_is_reported() {
        for (body, expected) in [
            (answer("<html>"), "\"<html>\" is not a public address"),
            (answer("127.0.0.1"), "\"127.0.0.1\" is not a public address"),
            (answer(&"1".repeat(257)), "longer than an address"),
            ("HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "503"),
            ("garbage", "EXTERNAL_IP_URL=http://127.0.0.1:"),
        ] {
            let (url, _) = server(vec![body]).await;
            let told = PublicAddress::new(url, Duration::ZERO).get().await.unwrap_err();
            assert!(told.contains(expected), "{expected}: {told}");
        }
        let told = PublicAddress::new("nothing", Duration::ZERO).get().await.unwrap_err();
        assert!(told.contains("EXTERNAL_IP_URL=nothing"), "{told}");
    }

    #[tokio::test]
    async fn failures_are_retried_and_requests_repeat_the_lookup() {
        let broken = "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let (url, asked) = server(vec![broken, answer("203.0.113.9"), answer("203.0.113.10")]).await;
        let again = Arc::new(Notify::new());
        let (found, mut told) = mpsc::unbounded_channel();
        let look_up = PublicAddress::new(url, Duration::ZERO);
        tokio::spawn(look_up.tell(Arc::clone(&again), move |address| found.send(address).unwrap()));
        // A request does not wait for the next retry.
        again.notify_one();
        assert_eq!(told.recv().await, Some([203, 0, 113, 9].into()));
        again.notify_one();
        assert_eq!(told.recv().await, Some([203, 0, 113, 10].into()));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
