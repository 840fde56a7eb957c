//! Fuzzing the request handler with input of clients without a login: cookies, `Authorization`, addresses. Each search
//! computes the right result in another way, and compares.

use std::cell::Cell;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desktopd::config::secret::Secret;
use desktopd::gateway::auth::{Auth, Credentials, How, Password};
use desktopd::gateway::uri;
use proptest::prelude::*;

use crate::fuzz::search::Target;

const TOKEN: &str = "t0ken+/=";

/// The names of our cookies: for sessions, for browsers that logged in before, and for the redirect to https.
fn is_ours(name: &[u8]) -> bool {
    let names = ["ours", "__Host-ours", "ours_browser", "__Secure-ours_browser", "ours_crossing"];
    names.iter().any(|ours| name == ours.as_bytes())
}

fn auth() -> Auth {
    let credentials = Credentials {
        user: "user".into(),
        password: Password::Plain(Secret::new("password")),
        tokens: vec![Secret::new(TOKEN)],
        password_as_token: false,
        enabled: true,
        excluded: Vec::new(),
        cookie: Some("ours".into()),
    };
    Auth::new(credentials, &[7; 32], 4)
}

/// Headers of one name, one per line. Lines that cannot be a header value never reach the gateway.
fn headers(name: &'static str, text: &str) -> HeaderMap {
    text.lines()
        .filter_map(|line| Some((name.parse().ok()?, HeaderValue::from_bytes(line.as_bytes()).ok()?)))
        .collect::<Vec<_>>()
        .into_iter()
        .fold(HeaderMap::new(), |mut map, (name, value): (axum::http::HeaderName, _)| {
            map.append(name, value);
            map
        })
}

/// A request's cookies as other programs read them: the name and the whole cookie, without the white space around.
fn cookies(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = headers.get_all(COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    let all = all.map(<[u8]>::trim_ascii).filter(|cookie| !cookie.is_empty());
    all.map(|cookie| {
        let end = cookie.iter().position(|b| *b == b'=').unwrap_or(cookie.len());
        (cookie[..end].trim_ascii().to_vec(), cookie.to_vec())
    })
    .collect()
}

#[test]
fn arbitrary_cookies_neither_authenticate_nor_leak() {
    let auth = auth();
    let issued = |secure| {
        auth.log_in(How::Password, secure).unwrap().to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let (http, https) = (issued(false), issued(true));
    let corpus = vec![
        format!("a=1; {http}; b=2"),
        format!("{https};{http}"),
        format!("a=\"1;2\"\nb=2; {http}\n{https}"),
        "ours=; ours=x; __Host-ours=y".to_owned(),
    ];
    let lines: Vec<&'static str> =
        [&http, &https].map(|pair| &*Box::leak(pair.clone().into_boxed_str())).to_vec();
    let lines: &'static [&'static str] = Vec::leak(lines);
    let values =
        &["ours", "__Host-ours", "=", ";", "; ", " ", "\t", "ours=;", "\"", ",", "\u{fc}", "__host-ours=1"];
    let target = Target { name: "cookies", corpus, heads: values, values, lines, begins: "\0", seconds: 20 };
    let opened = Cell::new(0_u64);
    let count = target.search(|text| {
        let mut headers = headers("cookie", text);
        let sent = cookies(&headers);
        for (secure, name, good) in [(false, "ours", &http), (true, "__Host-ours", &https)] {
            let of_name: Vec<_> =
                sent.iter().filter(|(_, all)| all.starts_with(format!("{name}=").as_bytes())).collect();
            let shown = of_name.iter().take(32).any(|(_, all)| *all == good.as_bytes());
            prop_assert_eq!(auth.session(&headers, secure).is_some(), shown);
            opened.set(opened.get() + u64::from(shown));
        }
        auth.strip(&mut headers, true);
        let kept: Vec<_> = sent.into_iter().filter(|(name, _)| !is_ours(name)).collect();
        prop_assert_eq!(cookies(&headers), kept);
        let written = HeaderValue::from_bytes(text.as_bytes());
        if let Ok(line) = written {
            let line = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            let taken = auth.is_our_cookie(&HeaderValue::from_bytes(line).unwrap());
            let line = line.strip_prefix(b"=").unwrap_or(line);
            let name = line.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
            prop_assert_eq!(taken, is_ours(name));
        }
        Ok(())
    });
    assert!(opened.get() * 20 > count, "{} of {count} opened", opened.get());
}

#[test]
fn only_our_own_credentials_are_removed() {
    let auth = auth();
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let corpus = vec![
        basic("user:password"),
        basic("user:wrong"),
        basic("other:password"),
        basic("user"),
        format!("Bearer {TOKEN}"),
        "Bearer other".to_owned(),
        "Digest username=\"user\"".to_owned(),
    ];
    let values = &[
        "Basic ", "bearer ", "BASIC", " ", "=", "==", "dXNlcjo", "dXNlcjo6", "Og", "-_", "+/", TOKEN, ",",
        "\u{fc}",
    ];
    let lines = &["Bearer t0ken+/=", "basic dXNlcjpwYXNzd29yZA"];
    let target =
        Target { name: "authorization", corpus, heads: values, values, lines, begins: "\0", seconds: 20 };
    let stripped = Cell::new(0_u64);
    let count = target.search(|text| {
        let Ok(value) = HeaderValue::from_bytes(text.trim_end_matches('\n').as_bytes()) else {
            return Ok(());
        };
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value.clone())]);
        auth.strip(&mut headers, true);
        let ours = value.to_str().is_ok_and(|text| {
            let mut words = text.trim().splitn(2, ' ');
            let (scheme, rest) = (words.next().unwrap(), words.next().unwrap_or_default().trim_start());
            let decoded = STANDARD.decode(format!("{rest}{}", "=".repeat((4 - rest.len() % 4) % 4)));
            match scheme.to_ascii_lowercase().as_str() {
                // Our password with a mistyped user name is still our password.
                "basic" => decoded.is_ok_and(|pair| {
                    let mut pair = pair.splitn(2, |byte| *byte == b':');
                    let (name, password) = (pair.next(), pair.next());
                    password.is_some_and(|password| {
                        name == Some(b"user") || [b"password", TOKEN.as_bytes()].contains(&password)
                    })
                }),
                "bearer" => rest == TOKEN,
                _ => false,
            }
        });
        prop_assert_eq!(headers.contains_key(AUTHORIZATION), !ours, "{:?}", value);
        stripped.set(stripped.get() + u64::from(ours));
        Ok(())
    });
    assert!(stripped.get() * 20 > count, "{} of {count} were ours", stripped.get());
}

/// Whether an address on a page of `http://here` leads a browser to another host.
fn leads_elsewhere(address: &str) -> bool {
    let cleaned: String = address
        .trim_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !['\t', '\n', '\r'].contains(c))
        .map(|c| if c == '\\' { '/' } else { c })
        .collect();
    let scheme = cleaned.split(['/', '?', '#']).next().unwrap_or_default().contains(':');
    scheme || cleaned.starts_with("//")
}

#[test]
fn redirect_addresses_stay_on_this_host_and_contain_no_token() {
    let corpus = vec![
        "/a/b?c=d&token=t0ken%2B/%3D&e#f".to_owned(),
        "//evil.example/".to_owned(),
        "/\\evil".to_owned(),
        "https://evil.example/?next=/a".to_owned(),
        "next=%2Fa%3Fb&user=a+b&tok%65n=t0ken+/=".to_owned(),
        "/desktopd/login?next=/x".to_owned(),
    ];
    let values = &[
        "/",
        "//",
        "\\",
        "\t",
        ":",
        "?",
        "&",
        "=",
        "#",
        "%",
        "%2f",
        "%5c",
        "%09",
        "token=",
        "tok%65n=",
        "%74oken=",
        "t0ken+/=",
        "t0ken%2B/%3D",
        "next=",
        "@",
        "evil",
        "\u{fc}",
        "+",
    ];
    let target =
        Target { name: "address", corpus, heads: values, values, lines: &["/"], begins: "\0", seconds: 20 };
    let ours = |token: &[u8]| token == TOKEN.as_bytes();
    let found = Cell::new(0_u64);
    let count = target.search(|text| {
        let local = uri::local(text);
        prop_assert!(local.starts_with('/') && !leads_elsewhere(local), "{local:?}");
        prop_assert!(local == text || local == "/");
        prop_assert!(HeaderValue::from_str(local).is_ok());
        // A value that is written is read again, whatever else the text contains.
        if uri::field(text, "zz").is_none() {
            let form = format!("{text}&zz={}", uri::encode(text));
            prop_assert_eq!(uri::field(&form, "zz"), Some(text.as_bytes().to_vec()));
        }
        let Ok(address) = text.trim_end_matches('\n').parse::<Uri>() else { return Ok(()) };
        let pairs = |query: &str| query.split('&').map(str::to_owned).collect::<Vec<_>>();
        let shows = |pair: &String| {
            let (key, value) = pair.split_once('=')?;
            let is = uri::decode(key, true) == b"token";
            (is && [false, true].iter().any(|plus| ours(&uri::decode(value, *plus)))).then_some(())
        };
        let all = pairs(address.query().unwrap_or_default());
        match uri::without_token(&address, ours) {
            None => prop_assert!(!all.iter().any(|pair| shows(pair).is_some())),
            Some(clean) => {
                found.set(found.get() + 1);
                prop_assert!(uri::token_shown(&address).is_some());
                let kept: Vec<_> = all.into_iter().filter(|pair| shows(pair).is_none()).collect();
                let left = clean.strip_prefix(address.path()).expect("the path stays");
                prop_assert_eq!(left.strip_prefix('?').map(pairs).unwrap_or_default(), kept);
            }
        }
        if let Some(clean) = uri::referer_without_token(text.as_bytes(), ours) {
            prop_assert_eq!(uri::referer_without_token(clean.as_bytes(), ours), None);
        }
        Ok(())
    });
    assert!(found.get() * 50 > count, "{} of {count} had a token", found.get());
}
