//! Downloads NVIDIA's file, in as many attempts as the network needs: each continues where the last one ended, also one
//! of an earlier start of the container.
//!
//! A part is continued only if the server says that the file is the same (`If-Range` with the tag or the date of the
//! part). The file gets its name when it has as many bytes as the server announced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use crate::steps::fetch::{self, Limits, Miss, Source};
use crate::sys::error::unless_missing;
use crate::sys::read;
use crate::sys::replace::replace;

/// How many bytes of a file on the server are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) have: u64,
    /// `None` if the server does not say the size.
    pub(super) whole: Option<u64>,
}

/// A download into a folder.
pub(super) struct Download<'a> {
    /// The folder, which other users cannot write.
    pub(super) cache: &'a Path,
    /// The name that the file gets.
    pub(super) name: &'a str,
    pub(super) limits: &'a Limits,
    /// Gets the progress.
    pub(super) report: &'a dyn Fn(Progress),
}

/// What is known about a part.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Origin {
    url: String,
    /// The tag or the date by which the server recognizes the file.
    validator: String,
}

/// The result of a request.
enum Got {
    Whole,
    /// The server has no such file.
    Absent(StatusCode),
}

impl Download<'_> {
    /// Downloads the file from the first address that has it. Returns its path.
    pub(super) async fn get(&self, urls: &[Url]) -> Result<PathBuf, String> {
        let end = Instant::now() + self.limits.whole;
        let late = |_| {
            format!(
                "the download took longer than {:?} and was ended; `desktopd restart nvidia-driver` continues it",
                self.limits.whole
            )
        };
        timeout_at(end, self.first_of(urls)).await.map_err(late)?
    }

    async fn first_of(&self, urls: &[Url]) -> Result<PathBuf, String> {
        let client = fetch::client(self.limits)?;
        let mut absent = Vec::new();
        for url in urls {
            let shown = Source::Remote(url.clone()).shown();
            println!("{shown}");
            match self.tries(&client, url).await.map_err(|why| format!("{shown}: {why}"))? {
                Got::Whole => {
                    let file = self.cache.join(self.name);
                    fs::rename(self.part(), &file).map_err(|error| self.told(&error))?;
                    self.forget();
                    return Ok(file);
                }
                Got::Absent(status) => absent.push(format!("{shown}: {status}")),
            }
        }
        Err(format!(
            "the server does not have it ({}): NVIDIA_DRIVER_SOURCE names a mirror, or a folder with {}",
            absent.join("; "),
            self.name
        ))
    }

    /// Tries again after temporary errors, without end as long as each try brings more.
    async fn tries(&self, client: &Client, url: &Url) -> Result<Got, String> {
        let (mut wait, mut tried) = (self.limits.wait, 1);
        let mut had = 0;
        loop {
            let miss = match self.attempt(client, url).await {
                Ok(got) => return Ok(got),
                Err(miss) => miss,
            };
            let have = fs::metadata(self.part()).map_or(0, |part| part.len());
            if have > had {
                (wait, tried, had) = (self.limits.wait, 1, have);
            }
            if !miss.passing {
                return Err(miss.why);
            }
            if tried >= self.limits.tries {
                return Err(format!("{}, {tried} times", miss.why));
            }
            println!("{}; tried again in {wait:?}", miss.why);
            sleep(wait).await;
            wait *= 2;
            tried += 1;
        }
    }

    async fn attempt(&self, client: &Client, url: &Url) -> Result<Got, Miss> {
        let (have, origin) = self.kept(url);
        let mut request = client.get(url.clone());
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            request = request.header(header::IF_RANGE, origin.validator);
        }
        let response = request.send().await.map_err(fetch::missed)?;
        let status = response.status();
        if [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN, StatusCode::GONE].contains(&status) {
            return Ok(Got::Absent(status));
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            self.discard();
            return Err(passing("the server has another file than the part that is here"));
        }
        fetch::refuse(&response)?;
        let from = if status == StatusCode::PARTIAL_CONTENT { have } else { 0 };
        if from > 0 && range(response.headers()) != Some(from) {
            self.discard();
            return Err(passing("the server continued at the wrong place"));
        }
        self.receive(response, url, from).await?;
        Ok(Got::Whole)
    }

    /// Writes the body of a response behind the first `from` bytes.
    async fn receive(&self, mut response: Response, url: &Url, from: u64) -> Result<(), Miss> {
        let whole = response.content_length().map(|length| from + length);
        let text = |name: HeaderName| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        if text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(permanent("the server answered with a web page"));
        }
        self.check_size(from, whole)?;
        let validator = validator(text(header::ETAG), text(header::LAST_MODIFIED));
        let mut part = self.open(url, validator, from).map_err(|error| permanent(self.told(&error)))?;
        let mut progress = Progress { have: from, whole };
        (self.report)(progress);
        while let Some(chunk) = response.chunk().await.map_err(fetch::missed)? {
            progress.have += chunk.len() as u64;
            self.check_size(progress.have, None)?;
            part.write_all(&chunk).map_err(|error| {
                // A full disk harms the whole container: the part must not keep it full.
                self.discard();
                permanent(self.told(&error))
            })?;
            (self.report)(progress);
        }
        part.sync_all().map_err(|error| permanent(self.told(&error)))?;
        match whole {
            Some(whole) if whole != progress.have => {
                Err(passing(format!("the connection ended after {} of {whole} bytes", progress.have)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a file that is too large, or larger than the free space.
    fn check_size(&self, have: u64, whole: Option<u64>) -> Result<(), Miss> {
        let most = self.limits.size;
        if have > most || whole.is_some_and(|whole| whole > most) {
            self.discard();
            return Err(permanent(format!("it is larger than {} MiB, and no driver is", most >> 20)));
        }
        let Some(needed) = whole.map(|whole| whole.saturating_sub(have)) else { return Ok(()) };
        let free =
            statvfs(self.cache).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size());
        if needed > free {
            return Err(permanent(format!(
                "{} MiB are needed in {}, and {} MiB are free: make room, or mount a volume there",
                (needed >> 20) + 1,
                self.cache.display(),
                free >> 20
            )));
        }
        Ok(())
    }

    /// The file while it is not whole.
    fn part(&self) -> PathBuf {
        self.cache.join(format!("{}.part", self.name))
    }

    fn origin(&self) -> PathBuf {
        self.cache.join(format!("{}.origin", self.name))
    }

    /// The size of the part that can be continued from this address, and where it comes from.
    fn kept(&self, url: &Url) -> (u64, Origin) {
        let text = read::text(&self.origin(), read::BY_HAND).ok();
        let origin: Option<Origin> = text.and_then(|text| serde_json::from_str(&text).ok());
        let origin = origin.filter(|origin| origin.url == address(url) && !origin.validator.is_empty());
        let part = fs::symlink_metadata(self.part()).ok().filter(fs::Metadata::is_file);
        match (origin, part) {
            (Some(origin), Some(part)) => (part.len(), origin),
            _ => (0, Origin::default()),
        }
    }

    /// Opens the part for writing behind its first `from` bytes, which is its end or its beginning.
    fn open(&self, url: &Url, validator: Option<String>, from: u64) -> io::Result<File> {
        if from > 0 {
            return OpenOptions::new().append(true).open(self.part());
        }
        self.discard();
        if let Some(validator) = validator {
            let origin = Origin { url: address(url), validator };
            replace(&self.origin(), serde_json::to_string(&origin)?.as_bytes(), 0o600)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.part())
    }

    /// Forgets where the part comes from.
    fn forget(&self) {
        let _ = fs::remove_file(self.origin()).or_else(unless_missing);
    }

    /// Removes the part.
    fn discard(&self) {
        let _ = fs::remove_file(self.part()).or_else(unless_missing);
        self.forget();
    }

    fn told(&self, error: &io::Error) -> String {
        let shown = self.cache.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("{shown}: {error}: make room, or mount a volume there")
            }
            _ => format!("{shown}: {error}"),
        }
    }
}

/// The address without a password or a key.
fn address(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Cannot fail for addresses with a host.
    let _ = url.set_password(None);
    url.into()
}

/// What makes a continued download safe: a strong tag, or else the date.
fn validator(tag: Option<String>, date: Option<String>) -> Option<String> {
    tag.filter(|tag| tag.starts_with('"')).or(date)
}

/// The offset at which the body of a partial answer begins: `bytes 100-199/200`.
fn range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn passing(why: impl Into<String>) -> Miss {
    Miss { why: why.into(), passing: true }
}

fn permanent(why: impl Into<String>) -> Miss {
    Miss { why: why.into(), passing: false }
}
