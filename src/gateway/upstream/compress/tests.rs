//! Tests: which answers are compressed, and that compressed data is neither delayed nor lost.

use std::io::Read as _;

use axum::http::HeaderName;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

fn response(pairs: &[(&'static str, &'static str)], size: usize) -> Response<Reply> {
    let mut response = Response::new(Reply::from(Body::from("x".repeat(size))));
    *response.headers_mut() = headers(pairs);
    response
}

const GZIP: Wish = Wish::Coded(Coding::Gzip);

#[test]
fn coding_follows_accept_encoding() {
    for (offer, coding) in [
        ("gzip, deflate", Some(Coding::Gzip)),
        ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
        ("zstd, gzip", Some(Coding::Zstd)),
        ("zstd;q=0.5, GZIP;q=0.8", Some(Coding::Gzip)),
        ("zstd;q=0, gzip;q=0", None),
        ("gzip; q=0.0", None),
        ("gzip;q=x", None),
        ("br, identity, *", None),
        ("", None),
    ] {
        assert_eq!(accepted(&headers(&[("accept-encoding", offer)])), coding, "{offer}");
    }
    let ask = |method, pairs: &[_]| Wish::of(true, &method, &headers(pairs));
    assert_eq!(ask(Method::GET, &[("accept-encoding", "gzip")]), GZIP);
    assert_eq!(ask(Method::HEAD, &[("accept-encoding", "gzip")]), Wish::Off);
    assert_eq!(ask(Method::GET, &[]), Wish::Plain);
    for (site, wish) in
        [("same-origin", GZIP), ("none", GZIP), ("same-site", Wish::Plain), ("cross-site", Wish::Plain)]
    {
        assert_eq!(
            ask(Method::GET, &[("accept-encoding", "gzip"), ("sec-fetch-site", site)]),
            wish,
            "{site}"
        );
    }
    let accepting = headers(&[("accept-encoding", "gzip")]);
    assert_eq!(Wish::of(false, &Method::GET, &accepting), Wish::Off);
}

#[test]
fn only_large_uncompressed_texts_are_compressed() {
    let html = ("content-type", "text/html; charset=utf-8");
    for kind in [
        "text/css",
        "application/json",
        "image/svg+xml",
        "application/ld+json",
        "Text/Plain",
        "application/wasm",
    ] {
        assert!(is_worth(&response(&[("content-type", kind)], 2000)), "{kind}");
    }
    for kind in
        ["text/event-stream", "image/png", "application/octet-stream", "video/mp4", "font/woff2", "x", ""]
    {
        assert!(!is_worth(&response(&[("content-type", kind)], 2000)), "{kind}");
    }
    assert!(!is_worth(&response(&[], 2000)));
    assert!(!is_worth(&response(&[html], 1023)) && is_worth(&response(&[html], 1024)));
    for more in [
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1999/4000"),
        ("cache-control", "private, No-Transform"),
        ("content-digest", "sha-256=:x:"),
    ] {
        assert!(!is_worth(&response(&[html, more], 2000)), "{more:?}");
    }
    for status in [101, 204, 206, 304] {
        let mut response = response(&[html], 2000);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        assert!(!is_worth(&response), "{status}");
    }
}

#[test]
fn uncompressed_answer_keeps_its_body() {
    let left = answer(GZIP, response(&[("content-type", "image/png"), ("content-length", "2000")], 2000));
    assert_eq!(left.headers().len(), 2);
    assert_eq!(left.body().size_hint().exact(), Some(2000));
    let plain = answer(Wish::Plain, response(&[("content-type", "text/css")], 2000));
    assert_eq!(
        (&plain.headers()[VARY], plain.body().size_hint().exact()),
        (&HeaderValue::from_static("accept-encoding"), Some(2000))
    );
    assert_eq!(answer(Wish::Off, response(&[("content-type", "text/css")], 2000)).headers().len(), 1);
}

#[test]
fn compressed_answer_gets_matching_headers() {
    let pairs = [
        ("content-type", "text/css"),
        ("content-length", "2000"),
        ("accept-ranges", "bytes"),
        ("etag", "\"a\""),
        ("vary", "cookie"),
    ];
    let headers = answer(GZIP, response(&pairs, 2000)).into_parts().0.headers;
    assert_eq!(
        (&headers[CONTENT_ENCODING], &headers[ETAG]),
        (&HeaderValue::from_static("gzip"), &HeaderValue::from_static("W/\"a\""))
    );
    assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
    assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["cookie", "accept-encoding"]);
}

fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
        Coding::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut plain).unwrap(),
    };
    plain
}

/// The part of a text that can be decoded before its end has arrived.
fn decode_so_far(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let _ = match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
        Coding::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut plain),
    };
    plain
}

#[tokio::test]
async fn data_of_the_service_can_be_decoded_at_once() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let (mut service, body) = Channel::<Bytes, std::io::Error>::new(4);
        let mut response = Response::new(Reply::from(Body::new(body)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let mut body = answer(Wish::Coded(coding), response).into_body();
        let mut received = Vec::new();
        for said in ["{\"first\":1}\n", "{\"second\":2}\n", "{\"third\":3}\n"] {
            service.send_data(said.into()).await.unwrap();
            // The line is available now, not only when the next one comes.
            let frame = body.frame().now_or_never().expect("it was held back").unwrap().unwrap();
            received.extend_from_slice(&frame.into_data().unwrap());
            assert!(String::from_utf8(decode_so_far(coding, &received)).unwrap().ends_with(said));
            assert!(body.frame().now_or_never().is_none(), "there is nothing more");
        }
        service.send_trailers(headers(&[("x-sum", "42")])).await.unwrap();
        drop(service);
        let rest = body.collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["x-sum"], "42");
        received.extend_from_slice(&rest.to_bytes());
        assert_eq!(decode(coding, &received), b"{\"first\":1}\n{\"second\":2}\n{\"third\":3}\n");
    }
}

#[tokio::test]
async fn broken_answer_ends_with_an_error() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let (mut service, body) = Channel::<Bytes, std::io::Error>::new(4);
        let mut response = Response::new(Reply::from(Body::new(body)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let body = answer(Wish::Coded(coding), response).into_body();
        service.send_data("half".into()).await.unwrap();
        service.abort(std::io::Error::other("gone"));
        assert!(body.collect().await.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn compressed_body_decodes_to_the_original(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40_000), 0..6),
        known in any::<bool>(),
        zstd in any::<bool>(),
    ) {
        let coding = if zstd { Coding::Zstd } else { Coding::Gzip };
        let all = pieces.concat();
        let body = if known {
            Body::from(all.clone())
        } else {
            let pieces = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
            Body::from_stream(futures_util::stream::iter(pieces))
        };
        let sent = encode(coding, Response::new(Reply::from(body))).into_body().collect().now_or_never().unwrap().unwrap();
        prop_assert_eq!(decode(coding, &sent.to_bytes()), all);
    }
}
