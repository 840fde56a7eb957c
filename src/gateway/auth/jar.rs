//! Our cookies among others: under which names they go, where they are found in a request, and how they are taken out
//! of what a service sees.
//!
//! There are two names. A cookie with `Secure` makes browsers refuse the same name over http, so that a login there
//! would never take hold. That of https also begins with `__Host-`: no page by http, and no other host, can plant one.
//!
//! Besides a session's there is one that a browser shows to the login page only: the right password was typed in this
//! browser before. It lets nobody in. Its path is that of the login page as the browser sees it, so it is left to the
//! browser. And one is for whoever came by http with a token to where https is needed: it takes them there for as long
//! as it takes to click, and whoever could read it on the way has read the token itself.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::cookie::{BROWSER_LIFETIME, CROSSING_LIFETIME, LIFETIME};
use super::digest::{Key, Keyed};

/// Cookies of one name that are looked at in one request: more than a browser keeps for a host, so that no neighbour can
/// plant so many beside ours that ours is not seen.
const MOST: usize = 192;

/// What browsers take only by https, without a domain and for all paths.
const PREFIX: &str = "__Host-";

/// The same, but for the path.
const SECURE_PREFIX: &str = "__Secure-";

/// What the names of those end in that say that a browser is known.
const BROWSER: &str = "_browser";

/// What the name of the one ends in that leads on to https.
const CROSSING: &str = "_crossing";

/// The names of our cookies.
pub(super) struct Jar {
    http: String,
    https: String,
    browser_http: String,
    browser_https: String,
    crossing: String,
}

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is a session.
    Session,
    /// It says that the right password was typed in this browser before.
    Browser,
    /// It leads from http to https. There is none by https.
    Crossing,
}

impl Jar {
    /// `name` is that by http, where somebody expects a certain one.
    pub(super) fn new(name: Option<&str>, key: &Key) -> Self {
        let http = name.and_then(usable).map_or_else(
            || {
                // Cookies do not know ports: two instances on one host must not take each other's.
                let [a, b, c, d, ..] = Keyed::new(key).digest(&[b"name"]);
                format!("desktopd_{:08x}", u32::from_be_bytes([a, b, c, d]))
            },
            str::to_owned,
        );
        if let Some(name) = name
            && name != http
        {
            tracing::warn!("\"{}\" cannot be a cookie's name by http; it is {http}", name.escape_debug());
        }
        Self {
            https: format!("{PREFIX}{http}"),
            browser_https: format!("{SECURE_PREFIX}{http}{BROWSER}"),
            browser_http: format!("{http}{BROWSER}"),
            crossing: format!("{http}{CROSSING}"),
            http,
        }
    }

    /// `Set-Cookie` for a session.
    pub(super) fn set(&self, value: &str, secure: bool) -> Option<HeaderValue> {
        line(self.name(Purpose::Session, secure), value, LIFETIME.as_secs(), secure)
    }

    /// `Set-Cookie` for a browser that is known, in an answer of the login page.
    pub(super) fn set_browser(&self, value: &str, secure: bool) -> Option<HeaderValue> {
        let (name, seconds) = (self.name(Purpose::Browser, secure), BROWSER_LIFETIME.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{name}={value}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
            .ok()
    }

    /// `Set-Cookie` for the way from http to https.
    pub(super) fn set_crossing(&self, value: &str) -> Option<HeaderValue> {
        line(&self.crossing, value, CROSSING_LIFETIME.as_secs(), false)
    }

    /// `Set-Cookie` for no session any more, nor a way to one. By http that of https cannot be touched, nor was it sent.
    pub(super) fn clear(&self, secure: bool) -> Vec<HeaderValue> {
        let schemes: &[bool] = if secure { &[true, false] } else { &[false] };
        let sessions =
            schemes.iter().map(|secure| line(self.name(Purpose::Session, *secure), "", 0, *secure));
        sessions.chain([line(&self.crossing, "", 0, false)]).flatten().collect()
    }

    /// The values that a request shows. Other ports of the host can plant cookies of our name beside ours, so there
    /// may be several.
    pub(super) fn values<'a>(
        &'a self,
        headers: &'a HeaderMap,
        purpose: Purpose,
        secure: bool,
    ) -> impl Iterator<Item = &'a [u8]> {
        // By bytes: what is not text in a neighbour's cookie is no reason not to find ours.
        let cookies = headers.get_all(COOKIE).into_iter().flat_map(|value| cookies(value.as_bytes()));
        let name = self.name(purpose, secure).as_bytes();
        cookies
            .filter_map(move |cookie| cookie.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
            .take(MOST)
    }

    /// Takes our cookies out of a request's headers and leaves the others byte by byte.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let ours = |cookie: &&[u8]| self.is_name(name_of(cookie));
        let shown = |value: &HeaderValue| cookies(value.as_bytes()).any(|cookie| ours(&cookie));
        if !headers.get_all(COOKIE).iter().any(shown) {
            return;
        }
        let mut kept = Vec::new();
        for value in headers.get_all(COOKIE) {
            let others: Vec<_> = cookies(value.as_bytes()).filter(|cookie| !ours(cookie)).collect();
            let others = others.join(&b';');
            let others = others.trim_ascii();
            if !others.is_empty() {
                kept.extend(HeaderValue::from_bytes(others));
            }
        }
        headers.remove(COOKIE);
        for value in kept {
            headers.append(COOKIE, value);
        }
    }

    /// Whether a service's `Set-Cookie` would replace one of ours, or stand beside it under the same name.
    pub(super) fn is_ours(&self, set_cookie: &HeaderValue) -> bool {
        let cookie = set_cookie.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        // Without a name it is sent back as its value alone, which may look like a name and a value.
        let cookie = cookie.strip_prefix(b"=").unwrap_or(cookie);
        self.is_name(name_of(cookie))
    }

    fn name(&self, purpose: Purpose, secure: bool) -> &str {
        match (purpose, secure) {
            (Purpose::Session, false) => &self.http,
            (Purpose::Session, true) => &self.https,
            (Purpose::Browser, false) => &self.browser_http,
            (Purpose::Browser, true) => &self.browser_https,
            (Purpose::Crossing, _) => &self.crossing,
        }
    }

    fn is_name(&self, name: &[u8]) -> bool {
        let ours = [&self.http, &self.https, &self.browser_http, &self.browser_https, &self.crossing];
        ours.iter().any(|ours| name == ours.as_bytes())
    }
}

fn line(name: &str, value: &str, seconds: u64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(line).ok()
}

/// The parts of a `Cookie`, with the blanks around them. By `memchr`: every request is looked through, some twice.
fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let end = memchr::memchr(b';', value);
        rest = end.map(|end| &value[end + 1..]);
        Some(end.map_or(value, |end| &value[..end]))
    })
}

fn name_of(cookie: &[u8]) -> &[u8] {
    memchr::memchr(b'=', cookie).map_or(cookie, |end| &cookie[..end]).trim_ascii()
}

/// What of a name can be one by http, where browsers refuse the prefixes of https.
fn usable(name: &str) -> Option<&str> {
    let prefix =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let length = [PREFIX, SECURE_PREFIX].into_iter().find(|p| prefix(p)).map_or(0, str::len);
    let name = &name[length..];
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (plain && !name.is_empty() && name.len() <= 128).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar() -> Jar {
        Jar::new(Some("ours"), &[1; 32])
    }

    fn request(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn names_are_what_browsers_take() {
        for (wanted, http) in [
            (Some("C.123_auth_token"), "C.123_auth_token"),
            (Some("__Secure-auth"), "auth"),
            (Some("__host-auth"), "auth"),
            (Some("a b"), "desktopd_"),
            (Some("a;b"), "desktopd_"),
            (Some("ü"), "desktopd_"),
            (Some(""), "desktopd_"),
            (None, "desktopd_"),
        ] {
            let jar = Jar::new(wanted, &[1; 32]);
            assert!(jar.http.starts_with(http), "{wanted:?}: {}", jar.http);
            assert_eq!(jar.https, format!("__Host-{}", jar.http));
        }
        assert_ne!(Jar::new(None, &[1; 32]).http, Jar::new(None, &[2; 32]).http);
    }

    #[test]
    fn each_scheme_has_its_own() {
        let jar = jar();
        let headers = request("ours=1; __Host-ours=2; xours=3; ours =4; ours=5;ours=6");
        let found =
            |secure| jar.values(&headers, Purpose::Session, secure).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(found(false), [b"1", b"5", b"6"]);
        assert_eq!(found(true), [b"2"]);
        let (http, https) = (jar.set("v", false).unwrap(), jar.set("v", true).unwrap());
        assert_eq!(http, "ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
        assert_eq!(https, "__Host-ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure");
        assert_eq!((jar.clear(true).len(), jar.clear(false).len()), (3, 2));
    }

    #[test]
    fn ours_are_stripped_and_others_stay() {
        let jar = jar();
        for (sent, left) in [
            ("ours=x", None),
            ("a=1; ours=x; b=\"2; 3\"", Some("a=1; b=\"2; 3\"")),
            ("ours=x; __Host-ours=y; ours=z; b=2", Some("b=2")),
            ("ours =x; ours; b=2", Some("b=2")),
            ("ours_browser=x; __Secure-ours_browser=y; b=2; ours_crossing=z", Some("b=2")),
            ("xours=1", Some("xours=1")),
            ("a=ours", Some("a=ours")),
        ] {
            let mut headers = request(sent);
            jar.strip(&mut headers);
            assert_eq!(headers.get(COOKIE).map(|v| v.to_str().unwrap()), left, "{sent}");
        }
    }

    #[test]
    fn services_cannot_replace_them() {
        let jar = jar();
        for line in ["ours=x; Path=/", "__Host-ours=x; Secure", " ours =x", "=ours=x", "= ours=x; Path=/"] {
            assert!(jar.is_ours(&HeaderValue::from_static(line)), "{line}");
        }
        for line in ["sid=1; Path=/", "sid=ours=1", "sid=1; ours=2", ""] {
            assert!(!jar.is_ours(&HeaderValue::from_static(line)), "{line}");
        }
    }
}
