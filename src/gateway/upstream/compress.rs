//! Compresses text answers that the service has not compressed, if the client accepts it.
//!
//! Invariants: data from the service is never held back: all bytes that were read are flushed before we wait for more;
//! an answer that is not compressed is not changed, wrapped or copied; nothing is compressed for a request of a page of
//! another origin, which could guess secrets in the answer from its length (BREACH).

use std::error::Error;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Frame};

use super::body::Reply;
use super::headers::{SEC_FETCH_SITE, has_token};

/// Shorter answers gain nothing.
const SHORTEST: u64 = 1024;

/// Number of compressed bytes after which they are sent without waiting for more.
const PIECE: usize = 16 * 1024;

/// The window of zstd, as a power of two in bytes: it needs this much memory for as long as the answer lasts.
const WINDOW: u32 = 18;

/// How an answer may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

/// What a request allows about compression, kept until its answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// No compression, and no `Vary` header.
    Off,
    /// No compression for this client; another client might get it, so `Vary` is needed.
    Plain,
    /// This client accepts the coding.
    Coded(Coding),
}

impl Wish {
    pub(crate) fn of(enabled: bool, method: &Method, headers: &HeaderMap) -> Self {
        // An answer to HEAD has no body that could be compressed.
        if !enabled || *method == Method::HEAD {
            return Self::Off;
        }
        // Browsers send this header on encrypted connections; on unencrypted ones there is nothing to guess.
        let foreign = headers
            .get(SEC_FETCH_SITE)
            .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
        accepted(headers).filter(|_| !foreign).map_or(Self::Plain, Self::Coded)
    }
}

/// The best coding that a client accepts.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(f32, Coding)> = None;
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for offer in values.flat_map(|value| value.split(',')) {
        let (name, weight) = offer.split_once(';').unwrap_or((offer, "q=1"));
        let coding = match name.trim() {
            name if name.eq_ignore_ascii_case("zstd") => Coding::Zstd,
            name if name.eq_ignore_ascii_case("gzip") => Coding::Gzip,
            _ => continue,
        };
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(0.0);
        let better =
            best.is_none_or(|(most, so_far)| weight > most || (weight >= most && so_far == Coding::Gzip));
        if weight > 0.0 && better {
            best = Some((weight, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// The answer, compressed if the request allows it and it is worth the effort.
pub(crate) fn answer(wish: Wish, mut response: Response<Reply>) -> Response<Reply> {
    if wish == Wish::Off || !is_worth(&response) {
        return response;
    }
    // A cache must not give the answer to a client that cannot decode it.
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    if let Wish::Coded(coding) = wish { encode(coding, response) } else { response }
}

/// The same for our own answers. Only answers that are the same for all clients are compressed: all other answers may
/// contain both secrets and parts of the request.
pub(crate) fn asset(wish: Wish, response: Response<Reply>) -> Response<Reply> {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let same = [&b"text/css"[..], b"text/javascript"].iter().any(|asset| kind.starts_with(asset));
    if same { answer(wish, response) } else { response }
}

/// Whether an answer is uncompressed text and large enough.
fn is_worth(response: &Response<Reply>) -> bool {
    let headers = response.headers();
    let status = response.status();
    let whole = !status.is_informational()
        && ![StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    whole
        && headers.get(CONTENT_TYPE).is_some_and(is_text)
        && response.body().size_hint().exact().is_none_or(|size| size >= SHORTEST)
        && headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity")
        && !headers.contains_key(CONTENT_RANGE)
        && !headers.get_all(CACHE_CONTROL).iter().any(|value| has_token(value, "no-transform"))
        // Checksums of the bytes that the service sent.
        && !headers.keys().any(|name| matches!(name.as_str(), "content-digest" | "digest" | "content-md5"))
}

/// Types besides `text/…`, and besides those that end in `+json` and `+xml`, that compress well.
const TEXTS: [&str; 13] = [
    "application/javascript",
    "application/json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xhtml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
];

/// Whether a content type compresses well. Event streams are excluded: events are small and must arrive at once.
fn is_text(kind: &HeaderValue) -> bool {
    let Ok(kind) = kind.to_str() else { return false };
    let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind).trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let begins = |with: &str| kind.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let suffix = kind.rsplit_once('+').map_or("", |(_, suffix)| suffix);
    let structured = ["json", "xml"].iter().any(|of| suffix.eq_ignore_ascii_case(of));
    begins("text/") && !is("text/event-stream")
        || begins("application/") && structured
        || TEXTS.iter().any(|name| is(name))
}

/// The compressed answer. If there is no memory for an encoder, the answer stays as it is.
fn encode(coding: Coding, response: Response<Reply>) -> Response<Reply> {
    let Ok(encoder) = coding.encoder(response.body().size_hint().exact()) else { return response };
    let mut response = response.map(|body| {
        let body = Compressed { body, encoder: Some(encoder), unsent: false, trailers: None };
        Reply::from(Body::new(body))
    });
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    let name = match coding {
        Coding::Gzip => "gzip",
        Coding::Zstd => "zstd",
    };
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    // The content is the same but the bytes differ, so the tag becomes a weak one.
    if let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        && let Ok(tag) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, tag);
    }
    response
}

/// Compresses what is written to it into a buffer.
trait Encoder: Write + Send {
    fn out(&mut self) -> &mut Vec<u8>;

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>>;
}

impl Encoder for GzEncoder<Vec<u8>> {
    fn out(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        GzEncoder::finish(*self)
    }
}

impl Encoder for zstd::Encoder<'static, Vec<u8>> {
    fn out(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        zstd::Encoder::finish(*self)
    }
}

impl Coding {
    /// An encoder, at a level at which compression is about as fast as a network.
    fn encoder(self, size: Option<u64>) -> io::Result<Box<dyn Encoder>> {
        match self {
            Self::Gzip => Ok(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(5)))),
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
                encoder.window_log(WINDOW)?;
                encoder.set_pledged_src_size(size)?;
                Ok(Box::new(encoder))
            }
        }
    }
}

/// A body that is compressed while it passes.
struct Compressed {
    body: Reply,
    /// `None` when all was written.
    encoder: Option<Box<dyn Encoder>>,
    /// Whether the encoder holds bytes that the client cannot decode yet.
    unsent: bool,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            };
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending if !this.unsent => return Poll::Pending,
                Poll::Pending => {
                    this.unsent = false;
                    encoder.flush()?;
                    let out = std::mem::take(encoder.out());
                    return if out.is_empty() { Poll::Pending } else { data(out) };
                }
                Poll::Ready(Some(Err(error))) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        encoder.write_all(&bytes)?;
                        this.unsent = true;
                        if encoder.out().len() >= PIECE {
                            return data(std::mem::take(encoder.out()));
                        }
                        continue;
                    }
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(None) => {}
            }
            let out = this.encoder.take().map_or(Ok(Vec::new()), Encoder::finish)?;
            if !out.is_empty() {
                return data(out);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

fn data<E>(bytes: Vec<u8>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
    Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
}

#[cfg(test)]
mod tests;
