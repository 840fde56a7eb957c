//! A web server that containers can reach, on Docker's own bridge: it serves only the answers that a test defines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::docker::{docker, run};

/// Answers `GET`s until the test is over.
pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// The host's address on Docker's bridge: the first one of its network. An engine that has just made the bridge names
/// the network alone.
fn bridge() -> Ipv4Addr {
    let subnet = ["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"];
    let subnet = String::from_utf8(run(docker().args(subnet)).stdout).expect("a network");
    let network: Ipv4Addr = subnet.split('/').next().and_then(|text| text.parse().ok()).expect("a network");
    Ipv4Addr::from_bits(network.to_bits() + 1)
}

impl Server {
    /// `answers` by path: how often the server fails before it answers, the content type, and the content.
    pub async fn start(answers: &[(&str, usize, &str, &str)]) -> Server {
        let listener = TcpListener::bind((bridge(), 0)).await.expect("a port on Docker's bridge");
        let address = listener.local_addr().expect("its address").to_string();
        let mut answers: BTreeMap<String, (usize, String, String)> = answers
            .iter()
            .map(|(path, failures, kind, body)| ((*path).into(), (*failures, (*kind).into(), (*body).into())))
            .collect();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let list = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 8192];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]);
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, kind, body) = match answers.get_mut(&path) {
                    None => ("404 Not Found", "text/plain", "no\n"),
                    Some((failures, ..)) if *failures > 0 => {
                        *failures -= 1;
                        ("503 Service Unavailable", "text/plain", "later\n")
                    }
                    Some((_, kind, body)) => ("200 OK", kind.as_str(), body.as_str()),
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                list.lock().expect("a list").push(path);
            }
        });
        Server { address, asked }
    }

    /// The URL of `path` for a container.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The number of requests for `path`.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().expect("a list").iter().filter(|asked| *asked == path).count()
    }
}
