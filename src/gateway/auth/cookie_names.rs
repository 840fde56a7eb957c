//! Cookie names: the names of our cookies, how they are found in a request, and how they are removed from a request
//! that is forwarded to a service.
//!
//! There is one name for http and one for https. Browsers do not accept a cookie over http if its name is in use by a
//! cookie with `Secure`, so with one name a login by http would fail. The https name also begins with `__Host-`: no
//! page by http, and no other host, can set such a cookie.
//!
//! Besides the session cookie there are two more. The browser cookie is sent to the login page only, and says that the
//! right password was typed in this browser before. It authenticates no request. Its path is that of the login page as
//! the browser sees it, so the path is not set but left to the browser. The crossing cookie is for a client that came
//! by http with a token to a page where https is needed: it leads this client to https, and is valid for as long as the
//! click may take. An attacker who could read this cookie on the network has read the token itself.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::cookie::{BROWSER_LIFETIME, CROSSING_LIFETIME, LIFETIME};
use super::digest::{Key, Keyed};

/// How many cookies of one name are examined per request: more than a browser keeps for a host, so that servers on
/// other ports of this host cannot set so many cookies that ours is not found.
const MOST: usize = 192;

/// Browsers accept this prefix only by https, without a domain and for all paths.
const PREFIX: &str = "__Host-";

/// The same, without the rule for the path.
const SECURE_PREFIX: &str = "__Secure-";

/// The suffix of the browser cookie.
const BROWSER: &str = "_browser";

/// The suffix of the crossing cookie.
const CROSSING: &str = "_crossing";

/// The names of our cookies.
pub(super) struct CookieNames {
    http: String,
    https: String,
    browser_http: String,
    browser_https: String,
    crossing: String,
}

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Identifies a session.
    Session,
    /// Says that the right password was typed in this browser before.
    Browser,
    /// Leads from http to https. There is no https form of it.
    Crossing,
}

impl CookieNames {
    /// `name` is the http name, if a provider expects a certain one.
    pub(super) fn new(name: Option<&str>, key: &Key) -> Self {
        let http = name.and_then(usable).map_or_else(
            || {
                // Cookies do not depend on the port: two instances on one host must not use the same name.
                let [a, b, c, d, ..] = Keyed::new(key).digest(&[b"name"]);
                format!("desktopd_{:08x}", u32::from_be_bytes([a, b, c, d]))
            },
            str::to_owned,
        );
        if let Some(name) = name
            && name != http
        {
            tracing::warn!("\"{}\" cannot be a cookie name by http; using {http}", name.escape_debug());
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

    /// `Set-Cookie` for the browser cookie, in a response of the login page.
    pub(super) fn set_browser(&self, value: &str, secure: bool) -> Option<HeaderValue> {
        let (name, seconds) = (self.name(Purpose::Browser, secure), BROWSER_LIFETIME.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{name}={value}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
            .ok()
    }

    /// `Set-Cookie` for the crossing cookie.
    pub(super) fn set_crossing(&self, value: &str) -> Option<HeaderValue> {
        line(&self.crossing, value, CROSSING_LIFETIME.as_secs(), false)
    }

    /// `Set-Cookie` that removes the session and crossing cookies. By http, the https cookie was not sent and cannot be
    /// removed.
    pub(super) fn clear(&self, secure: bool) -> Vec<HeaderValue> {
        let schemes: &[bool] = if secure { &[true, false] } else { &[false] };
        let sessions =
            schemes.iter().map(|secure| line(self.name(Purpose::Session, *secure), "", 0, *secure));
        sessions.chain([line(&self.crossing, "", 0, false)]).flatten().collect()
    }

    /// The values of our cookie in a request. There may be several, because servers on other ports of the host can set
    /// cookies with our name.
    pub(super) fn values<'a>(
        &'a self,
        headers: &'a HeaderMap,
        purpose: Purpose,
        secure: bool,
    ) -> impl Iterator<Item = &'a [u8]> {
        // Compared as bytes: a cookie of another server that is not valid text must not hide ours.
        let cookies = headers.get_all(COOKIE).into_iter().flat_map(|value| cookies(value.as_bytes()));
        let name = self.name(purpose, secure).as_bytes();
        cookies
            .filter_map(move |cookie| cookie.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
            .take(MOST)
    }

    /// Removes our cookies from a request's headers, and leaves the other cookies unchanged, byte by byte.
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

    /// Whether the `Set-Cookie` of a service would replace one of our cookies, or add another cookie with the same
    /// name.
    pub(super) fn is_ours(&self, set_cookie: &HeaderValue) -> bool {
        let cookie = set_cookie.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        // A browser sends a cookie without a name as its value alone, which may look like a name and a value.
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

/// The parts of a `Cookie` header, with the blanks around them. Uses `memchr`, because every request is searched, some
/// of them twice.
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

/// The part of a name that can be used by http, where browsers refuse the prefixes of https.
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

    fn names() -> CookieNames {
        CookieNames::new(Some("ours"), &[1; 32])
    }

    fn request(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn cookie_names_are_valid_for_browsers() {
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
            let names = CookieNames::new(wanted, &[1; 32]);
            assert!(names.http.starts_with(http), "{wanted:?}: {}", names.http);
            assert_eq!(names.https, format!("__Host-{}", names.http));
        }
        assert_ne!(CookieNames::new(None, &[1; 32]).http, CookieNames::new(None, &[2; 32]).http);
    }

    #[test]
    fn each_scheme_has_its_own_cookie_name() {
        let names = names();
        let headers = request("ours=1; __Host-ours=2; xours=3; ours =4; ours=5;ours=6");
        let found =
            |secure| names.values(&headers, Purpose::Session, secure).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(found(false), [b"1", b"5", b"6"]);
        assert_eq!(found(true), [b"2"]);
        let (http, https) = (names.set("v", false).unwrap(), names.set("v", true).unwrap());
        assert_eq!(http, "ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
        assert_eq!(https, "__Host-ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure");
        assert_eq!((names.clear(true).len(), names.clear(false).len()), (3, 2));
    }

    #[test]
    fn our_cookies_are_stripped_and_other_cookies_stay() {
        let names = names();
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
            names.strip(&mut headers);
            assert_eq!(headers.get(COOKIE).map(|v| v.to_str().unwrap()), left, "{sent}");
        }
    }

    #[test]
    fn services_cannot_replace_our_cookies() {
        let names = names();
        for line in ["ours=x; Path=/", "__Host-ours=x; Secure", " ours =x", "=ours=x", "= ours=x; Path=/"] {
            assert!(names.is_ours(&HeaderValue::from_static(line)), "{line}");
        }
        for line in ["sid=1; Path=/", "sid=ours=1", "sid=1; ours=2", ""] {
            assert!(!names.is_ours(&HeaderValue::from_static(line)), "{line}");
        }
    }
}
