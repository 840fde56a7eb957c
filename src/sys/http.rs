//! Requests to servers of other people.

use reqwest::{Client, ClientBuilder, Response};

use super::errno::chain;

/// A client with the limits that `limit` sets.
pub fn client(limit: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Client, String> {
    // Fails if a provider is installed already; it is always this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().user_agent(concat!("desktopd/", env!("CARGO_PKG_VERSION")));
    limit(client).build().map_err(|error| chain(&error))
}

/// The body of a response; `None` if it is longer than `limit` bytes.
pub async fn body(mut response: Response, limit: u64) -> reqwest::Result<Option<Vec<u8>>> {
    if response.content_length().is_some_and(|length| length > limit) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > limit {
            return Ok(None);
        }
    }
    Ok(Some(body))
}
