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

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::cookie::Purpose;
use super::digest::{Key, Keyed};

/// How many cookies of one name are examined per request: more than a browser keeps for a host, so that servers on
/// other ports of this host cannot set so many cookies that ours is not found.
const MOST: usize = 192;

/// Browsers accept this prefix only by https, without a domain and for all paths.
const PREFIX: &str = "__Host-";

/// The same, without the rule for the path.
const SECURE_PREFIX: &str = "__Secure-";

/// The names of our cookies: for each purpose, those of http and of https.
pub(super) struct CookieNames([[String; 2]; 3]);

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
        let names = |suffix, prefix| [format!("{http}{suffix}"), format!("{prefix}{http}{suffix}")];
        Self([names("", PREFIX), names("_browser", SECURE_PREFIX), names("_crossing", "")])
    }

    /// `Set-Cookie` with this value; for the browser cookie, in a response of the login page.
    pub(super) fn set(&self, purpose: Purpose, value: &str, secure: bool) -> Option<HeaderValue> {
        self.line(purpose, value, purpose.lifetime(), secure)
    }

    /// `Set-Cookie` that removes the session and crossing cookies. By http, the https cookie was not sent and cannot be
    /// removed.
    pub(super) fn clear(&self, secure: bool) -> Vec<HeaderValue> {
        let all = [(Purpose::Session, true), (Purpose::Session, false), (Purpose::Crossing, false)];
        let sent = all.into_iter().skip(usize::from(!secure));
        sent.filter_map(|(purpose, secure)| self.line(purpose, "", Duration::ZERO, secure)).collect()
    }

    fn line(&self, purpose: Purpose, value: &str, time: Duration, secure: bool) -> Option<HeaderValue> {
        let (name, seconds) = (self.name(purpose, secure), time.as_secs());
        let path = if purpose == Purpose::Browser { "" } else { "; Path=/" };
        let secure = if secure { "; Secure" } else { "" };
        let line = format!("{name}={value}{path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(line).ok()
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
        let kept = headers.get_all(COOKIE).iter().filter_map(|value| {
            let others: Vec<_> = cookies(value.as_bytes()).filter(|cookie| !ours(cookie)).collect();
            let others = others.join(&b';');
            HeaderValue::from_bytes(others.trim_ascii()).ok().filter(|value| !value.is_empty())
        });
        let kept: Vec<_> = kept.collect();
        headers.remove(COOKIE);
        headers.extend(kept.into_iter().map(|value| (COOKIE, value)));
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
        &self.0[purpose as usize][usize::from(secure)]
    }

    fn is_name(&self, name: &[u8]) -> bool {
        self.0.as_flattened().iter().any(|ours| name == ours.as_bytes())
    }
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
            let [plain, secure] = [false, true].map(|secure| names.name(Purpose::Session, secure));
            assert!(plain.starts_with(http), "{wanted:?}: {plain}");
            assert_eq!(secure, format!("__Host-{plain}"));
        }
        let http = |key| CookieNames::new(None, &[key; 32]).0[0][0].clone();
        assert_ne!(http(1), http(2));
    }

    #[test]
    fn each_scheme_has_its_own_cookie_name() {
        let names = names();
        let headers = request("ours=1; __Host-ours=2; xours=3; ours =4; ours=5;ours=6");
        let found =
            |secure| names.values(&headers, Purpose::Session, secure).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(found(false), [b"1", b"5", b"6"]);
        assert_eq!(found(true), [b"2"]);
        let set = |purpose, secure| names.set(purpose, "v", secure).unwrap();
        let (http, https) = (set(Purpose::Session, false), set(Purpose::Session, true));
        assert_eq!(http, "ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
        assert_eq!(https, "__Host-ours=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure");
        let browser = "__Secure-ours_browser=v; Max-Age=7776000; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(set(Purpose::Browser, true), browser);
        let crossing = "ours_crossing=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax";
        assert_eq!(set(Purpose::Crossing, false), crossing);
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
