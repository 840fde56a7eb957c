//! Parses addresses and queries: form fields, the token of the cloud provider, the address to return to after a login.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is in the value of a query field.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Undoes percent encoding. `plus`: a `+` means a space, as in forms and queries. Invalid escapes stay unchanged.
pub fn decode(text: &str, plus: bool) -> Vec<u8> {
    let spaced = if plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&spaced).collect()
}

/// Encodes text as a value in a query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}

/// The value of the first field with this name.
pub fn field(form: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = form.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| decode(key, true) == name.as_bytes()).map(|(_, value)| decode(value, true))
}

/// The address if it leads to a page of this host and port, otherwise `/`. Browsers drop tabs and newlines from
/// addresses and read `\` as `/`, so only visible ASCII without a backslash is accepted.
pub fn local(address: &str) -> &str {
    let rooted = address.starts_with('/') && !address.starts_with("//");
    let plain = address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if rooted && plain && !address.starts_with("/desktopd/log") { address } else { "/" }
}

/// The name of the query field that holds a token.
const TOKEN: &str = "token";

/// The address with the token, for links that log in.
pub fn with_token(url: &str, token: &str) -> String {
    let (before, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let sign = if before.contains('?') { '&' } else { '?' };
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
    format!("{before}{sign}{TOKEN}={token}{fragment}")
}

/// The token in a field of a query, still encoded.
fn token(pair: &str) -> Option<&str> {
    let (key, value) = pair.split_once('=')?;
    // Services that read the query after us also decode escapes in names.
    let escaped = key.len() > TOKEN.len() && key.contains('%') && decode(key, true) == TOKEN.as_bytes();
    (key == TOKEN || escaped).then_some(value)
}

/// The token in an address, whether it is ours or not, in all its readings: decoded as a form, and if there is a plus
/// also with the plus taken literally.
pub fn token_shown(uri: &Uri) -> Option<Vec<Vec<u8>>> {
    let shown = uri.query()?.split('&').filter_map(token).find(|token| !token.is_empty())?;
    let mut readings = vec![decode(shown, true)];
    // In a link that was written by hand, a plus may be meant literally.
    readings.extend(shown.contains('+').then(|| decode(shown, false)));
    Some(readings)
}

/// Path and query without the tokens that `ours` recognises, when there was one.
pub fn without_token(uri: &Uri, ours: impl Fn(&[u8]) -> bool) -> Option<String> {
    let rest = query_without_token(uri.query()?, ours)?;
    Some(format!("{}{rest}", uri.path()))
}

/// A `Referer` without the tokens that `ours` recognises, if there was one. Empty if the `Referer` is not ASCII,
/// because it cannot be checked.
pub fn referer_without_token(referer: &[u8], ours: impl Fn(&[u8]) -> bool) -> Option<String> {
    let Some(referer) = std::str::from_utf8(referer).ok().filter(|text| text.is_ascii()) else {
        return Some(String::new());
    };
    let (place, query) = referer.split_once('?')?;
    // The queries of our own pages contain other addresses, so the whole query is removed.
    let own = place.split('/').skip(3).any(|folder| folder == "desktopd");
    let rest = if own { String::new() } else { query_without_token(query, ours)? };
    Some(format!("{place}{rest}"))
}

/// The rest of a query, with its question mark, if there was a token in it.
fn query_without_token(query: &str, ours: impl Fn(&[u8]) -> bool) -> Option<String> {
    // In a link that was written by hand, a plus may be meant literally.
    let is_ours = |pair: &&str| {
        token(pair).is_some_and(|token| ours(&decode(token, false)) || ours(&decode(token, true)))
    };
    if !query.split('&').any(|pair| is_ours(&pair)) {
        return None;
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_ours(pair)).collect();
    Some(if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_pages_of_this_host_are_returned_to() {
        for good in ["/", "/a/b?c=d#e", "/%2f%2fevil", "/?next=https://evil"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "//evil",
            "/\\evil",
            "\\/evil",
            "https:evil",
            "https://evil",
            "javascript:alert(1)",
            "/\t/evil",
            "/\n/evil",
            " /",
            "/a b",
            "/\u{fc}",
            "/desktopd/login",
            "/desktopd/logout",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }

    #[test]
    fn our_token_is_removed_from_the_address() {
        let cases = [
            ("/?token=secret", Some("/")),
            ("/a?b=c&token=secret&d", Some("/a?b=c&d")),
            ("/a?token=secret&token=other", Some("/a?token=other")),
            ("/a?token=s%65cret", Some("/a")),
            ("/a?tok%65n=secret&b", Some("/a?b")),
            ("/a?%74%6F%6b%65%6e=secret", Some("/a")),
            ("/a?tok%2565n=secret", None),
            ("/a?Token=secret", None),
            ("//evil/?token=secret", Some("//evil/")),
            ("/a?token=other", None),
            ("/a?xtoken=secret", None),
            ("/a?token", None),
            ("/a", None),
        ];
        for (uri, clean) in cases {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(without_token(&uri, |token| token == b"secret").as_deref(), clean, "{uri}");
        }
        let uri: Uri = "/?token=a+b".parse().unwrap();
        assert!(without_token(&uri, |token| token == b"a+b").is_some());
    }

    #[test]
    fn our_token_is_removed_from_the_referer() {
        for (referer, clean) in [
            ("http://h:1/a?token=secret", Some("http://h:1/a")),
            ("http://h:1/a?b&tok%65n=secret&c=d", Some("http://h:1/a?b&c=d")),
            ("http://h:1/a?token=other", None),
            ("http://h:1/?x=/desktopd/login", None),
            ("http://h:1/a", None),
            ("", None),
            ("http://h:1/desktopd/login?next=/a%3Ftoken%3Dsecret", Some("http://h:1/desktopd/login")),
            ("http://h/a/desktopd/login?next=/a%3Ftoken%3Dsecret", Some("http://h/a/desktopd/login")),
            ("http://h/\u{fc}?token=secret", Some("")),
        ] {
            let found = referer_without_token(referer.as_bytes(), |token| token == b"secret");
            assert_eq!(found.as_deref(), clean, "{referer}");
        }
        assert_eq!(referer_without_token(b"http://h/\xff", |_| false).as_deref(), Some(""));
    }

    #[test]
    fn any_token_in_the_query_is_found() {
        for (uri, shown) in [
            ("/?token=x%20y", &["x y"][..]),
            ("/?token=x+%2By&token=z", &["x +y", "x++y"]),
            ("/?a&tok%65n=x", &["x"]),
            ("/?token=&token=x", &["x"]),
            ("/?token=", &[]),
            ("/?token", &[]),
            ("/?xtoken=x", &[]),
            ("/token=x", &[]),
        ] {
            let found = token_shown(&uri.parse().unwrap()).unwrap_or_default();
            assert_eq!(found, shown.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), "{uri}");
        }
    }

    #[test]
    fn forms_are_read() {
        let form = "user=a+b&password=%C3%BC%26%3D&next=%2F&empty=&bad=%zz";
        assert_eq!(field(form, "user").unwrap(), b"a b");
        assert_eq!(field(form, "password").unwrap(), "ü&=".as_bytes());
        assert_eq!(field(form, "empty").unwrap(), b"");
        assert_eq!(field(form, "bad").unwrap(), b"%zz");
        assert_eq!(field(form, "none"), None);
    }

    proptest! {
        #[test]
        fn encoding_is_undone(text in "\\PC{0,40}") {
            prop_assert_eq!(decode(&encode(&text), true), text.as_bytes());
        }

        #[test]
        fn local_addresses_stay_on_this_host(text in "[/\\\\a-z:.\t\n @?#%]{0,12}") {
            let local = local(&text);
            prop_assert!(local.starts_with('/') && !local.starts_with("//") && !local.starts_with("/\\"));
        }
    }
}
