//! Gets a file that the user names by its address: from a server, or from this machine.
//!
//! Networks may come up late and servers may fail for a while, so temporary errors are retried, with growing waits;
//! permanent errors (a wrong address, an untrusted certificate) are reported at once. Everything has a limit. Messages
//! show neither passwords nor the query of an address.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url, header};
use tokio::time::{Instant, sleep, timeout_at};

use crate::sys::error::chain;
use crate::sys::{http, read};

/// Limits of a download.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Time limit for connecting.
    pub(super) connection: Duration,
    /// Time limit without any data.
    pub(super) silence: Duration,
    /// Time limit for everything, all tries and waits together.
    pub(super) whole: Duration,
    /// Maximum size. Bytes.
    pub(super) size: u64,
    /// Number of tries.
    pub(super) tries: u32,
    /// The first wait before another try; each further wait is twice as long.
    pub(super) wait: Duration,
}

/// The usual limits.
pub(super) const LIMITS: Limits = Limits {
    connection: Duration::from_secs(15),
    silence: Duration::from_secs(30),
    whole: Duration::from_secs(300),
    size: 32 << 20,
    tries: 5,
    wait: Duration::from_secs(2),
};

/// Maximum number of redirects.
const REDIRECTS: usize = 10;

/// The message if the address leads to a web page.
pub(super) const PAGE: &str = "it is a web page and not a script: a link to the text itself is needed, such as the one \
                               behind \"Raw\" on GitHub (raw.githubusercontent.com)";

/// Where the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// On a server.
    Remote(Url),
    /// On this machine.
    Local(PathBuf),
}

impl Source {
    /// Parses `text`. Links to web pages that show a file are replaced by links to the file itself.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Self::Local(text.into()));
        }
        let expected = "a URL that begins with http://, https:// or file://, or an absolute path";
        let url = Url::parse(text).map_err(|error| format!("it is not {expected}: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Remote(raw(&url).unwrap_or(url))),
            "file" => url.to_file_path().map(Self::Local).map_err(|()| format!("it is not {expected}")),
            other => Err(format!("it begins with \"{other}:\", and should be {expected}")),
        }
    }

    /// The address for messages, without secrets.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => {
                let mut url = url.clone();
                url.set_fragment(None);
                if !url.username().is_empty() || url.password().is_some() {
                    // Cannot fail for addresses with a host.
                    let _ = url.set_password(None);
                    let _ = url.set_username("******");
                }
                if url.query().is_some() {
                    url.set_query(Some("******"));
                }
                url.into()
            }
        }
    }

    /// Gets the content. Retries are reported with their reason.
    pub(super) async fn get(&self, limits: &Limits) -> Result<Vec<u8>, String> {
        match self {
            Self::Local(path) => local(path, limits.size),
            Self::Remote(url) => {
                let end = Instant::now() + limits.whole;
                let over = || format!("it took longer than {:?} and was given up", limits.whole);
                timeout_at(end, tries(url, limits)).await.map_err(|_| over())?
            }
        }
    }
}

/// The address of the file behind a page that shows it, if it follows from the page's address.
fn raw(url: &Url) -> Option<Url> {
    let parts: Vec<&str> = url.path_segments()?.filter(|part| !part.is_empty()).collect();
    let mut raw = url.clone();
    match (url.host_str()?, &parts[..]) {
        ("github.com" | "www.github.com", [owner, project, "blob", rest @ ..]) if rest.len() > 1 => {
            raw.set_host(Some("raw.githubusercontent.com")).ok()?;
            raw.set_path(&format!("/{owner}/{project}/{}", rest.join("/")));
        }
        ("gist.github.com", [owner, gist]) => raw.set_path(&format!("/{owner}/{gist}/raw")),
        ("huggingface.co", [.., _]) if parts.contains(&"blob") => {
            raw.set_path(&url.path().replacen("/blob/", "/resolve/", 1));
        }
        ("pastebin.com", [paste]) => raw.set_path(&format!("/raw/{paste}")),
        _ => return None,
    }
    Some(raw)
}

fn local(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    read::bytes(path, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => too_long(limit),
        _ => error.to_string(),
    })
}

fn too_long(limit: u64) -> String {
    format!("it is longer than {} KiB, and no script is", limit >> 10)
}

/// Why a try failed, and whether another try may succeed.
pub(super) struct Miss {
    pub(super) why: String,
    pub(super) passing: bool,
}

/// Whether a redirect to `next` is allowed. A redirect from https to http is not: root may run the file, and others
/// could change it.
fn may_lead(previous: &[Url], next: &Url) -> Result<(), String> {
    if previous.iter().any(|url| url.scheme() == "https") && next.scheme() != "https" {
        return Err("the server redirects from https to http, where others could change the file".to_owned());
    }
    if previous.len() > REDIRECTS {
        return Err(format!("the server redirects more than {REDIRECTS} times"));
    }
    Ok(())
}

/// A client that follows redirects, except to where others could change the file.
pub(super) fn client(limits: &Limits) -> Result<Client, String> {
    let follow = Policy::custom(|attempt| match may_lead(attempt.previous(), attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(why) => attempt.error(why),
    });
    http::client(|client| {
        client.connect_timeout(limits.connection).read_timeout(limits.silence).redirect(follow)
    })
}

async fn tries(url: &Url, limits: &Limits) -> Result<Vec<u8>, String> {
    let client = client(limits)?;
    let (mut wait, mut tried) = (limits.wait, 1);
    loop {
        match attempt(&client, url, limits.size).await {
            Ok(body) => return Ok(body),
            Err(Miss { why, passing: false }) => return Err(why),
            Err(Miss { why, .. }) if tried >= limits.tries => return Err(format!("{why}, {tried} times")),
            Err(Miss { why, .. }) => println!("{why}; tried again in {wait:?}"),
        }
        sleep(wait).await;
        wait *= 2;
        tried += 1;
    }
}

async fn attempt(client: &Client, url: &Url, limit: u64) -> Result<Vec<u8>, Miss> {
    let response = client.get(url.clone()).send().await.map_err(missed)?;
    refuse(&response)?;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let html =
        kind.is_some_and(|kind| kind.starts_with("text/html") || kind.starts_with("application/xhtml"));
    let body = http::body(response, limit).await.map_err(missed)?;
    let last = |why| Miss { why, passing: false };
    let body = body.ok_or_else(|| last(too_long(limit)))?;
    // Some servers send every file as HTML.
    if html && !body.starts_with(b"#!") { Err(last(PAGE.to_owned())) } else { Ok(body) }
}

/// Refuses a response that is not the file.
pub(super) fn refuse(response: &Response) -> Result<(), Miss> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let passing = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    let hint = match status {
        StatusCode::NOT_FOUND => ": nothing exists there, or a login is needed",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": a login is needed",
        _ => "",
    };
    Err(Miss { why: format!("the server answered {status}{hint}"), passing })
}

pub(super) fn missed(error: reqwest::Error) -> Miss {
    let error = error.without_url();
    let distrusted =
        std::iter::successors(std::error::Error::source(&error), |error| error.source()).any(is_distrust);
    let hint = if distrusted { "; SSL_CERT_FILE names a file with certificates to trust" } else { "" };
    let passing = !distrusted && !error.is_redirect() && !error.is_builder();
    Miss { why: format!("{}{hint}", chain(&error)), passing }
}

/// Whether the error says that a certificate is not trusted; a retry would not help.
fn is_distrust(error: &(dyn std::error::Error + 'static)) -> bool {
    if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
        return true;
    }
    // An I/O error may be wrapped in another one, which does not show it as its source.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| is_distrust(inner))
}

#[cfg(test)]
mod tests;
