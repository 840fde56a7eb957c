//! The session cookie: a random id and an end, signed. It says nothing about who it belongs to, and nobody without
//! the key can make one. The key that signs depends on the credentials: changing them ends every session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::digest::{Key, digest, same};

/// Cookies of our name that are looked at in one request.
const MOST: usize = 32;

/// How long a session lasts.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Names one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }
}

/// Makes cookies and reads them.
pub(super) struct Cookies {
    name: String,
    key: Key,
}

impl Cookies {
    /// Cookies signed by `key` for whoever logs in with what `binding` lists.
    pub(super) fn new(name: Option<String>, key: &Key, binding: &[&[u8]]) -> Self {
        // Cookies do not know ports: two instances on one host must not take each other's.
        let own = || format!("desktopd_{:08x}", u32::from_be_bytes(first(&digest(key, &[b"name"]))));
        Self { name: name.filter(|n| is_token(n)).unwrap_or_else(own), key: digest(key, binding) }
    }

    /// A new session's cookie, as the value of `Set-Cookie`.
    pub(super) fn issue(&self, now: SystemTime) -> String {
        let id: [u8; 16] = rand::random();
        let end = seconds(now + LIFETIME).to_be_bytes();
        let signature = digest(&self.key, &[&id, &end]);
        let value = URL_SAFE_NO_PAD.encode([&id[..], &end, &signature].concat());
        format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", self.name, LIFETIME.as_secs())
    }

    /// The value of `Set-Cookie` that removes the cookie.
    pub(super) fn clear(&self) -> String {
        format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", self.name)
    }

    /// The sessions that a request shows. Other ports of the host can plant cookies of our name beside ours, so there
    /// may be several.
    pub(super) fn sessions(&self, headers: &HeaderMap, now: SystemTime) -> Vec<(SessionId, SystemTime)> {
        // By bytes: what is not text in a neighbour's cookie is no reason not to find ours.
        let cookies =
            headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
        cookies
            .filter_map(|cookie| std::str::from_utf8(cookie.trim_ascii()).ok()?.split_once('='))
            .filter(|(name, _)| *name == self.name)
            .take(MOST)
            .filter_map(|(_, value)| self.open(value, now))
            .collect()
    }

    fn open(&self, value: &str, now: SystemTime) -> Option<(SessionId, SystemTime)> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (end, signature) = rest.split_first_chunk::<8>()?;
        let signature: [u8; 32] = signature.try_into().ok()?;
        if !same(&signature, &digest(&self.key, &[id, end])) {
            return None;
        }
        let end = UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(*end));
        (now < end).then_some((SessionId(*id), end))
    }

    /// Takes our cookie out of a request's headers and leaves the others byte by byte.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(COOKIE) {
            return;
        }
        let mut kept = Vec::new();
        for value in headers.get_all(COOKIE) {
            let ours = |cookie: &&[u8]| {
                let name = cookie.split(|b| *b == b'=').next().unwrap_or_default();
                name.trim_ascii() == self.name.as_bytes()
            };
            let others: Vec<_> = value.as_bytes().split(|b| *b == b';').filter(|c| !ours(c)).collect();
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

    /// Whether a service's `Set-Cookie` would replace ours.
    pub(super) fn is_ours(&self, set_cookie: &HeaderValue) -> bool {
        let name = set_cookie.as_bytes().split(|b| *b == b'=' || *b == b';').next().unwrap_or_default();
        name.trim_ascii() == self.name.as_bytes()
    }
}

fn first(digest: &[u8; 32]) -> [u8; 4] {
    [digest[0], digest[1], digest[2], digest[3]]
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookies() -> Cookies {
        Cookies::new(None, &[1; 32], &[b"user", b"password"])
    }

    fn request(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    fn pair(cookies: &Cookies, now: SystemTime) -> String {
        cookies.issue(now).split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_opens_until_its_end() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let headers = request(&format!("other=1; {}; more=2", pair(&cookies, now)));
        assert_eq!(cookies.sessions(&headers, now).len(), 1);
        assert_eq!(cookies.sessions(&headers, now + LIFETIME - Duration::from_secs(2)).len(), 1);
        assert!(cookies.sessions(&headers, now + LIFETIME).is_empty());
    }

    #[test]
    fn only_the_key_and_the_credentials_that_made_it_open_it() {
        let now = SystemTime::now();
        let headers = request(&pair(&cookies(), now));
        for other in [
            Cookies::new(None, &[2; 32], &[b"user", b"password"]),
            Cookies::new(None, &[1; 32], &[b"user", b"changed"]),
        ] {
            let renamed = Cookies { name: cookies().name, ..other };
            assert!(renamed.sessions(&headers, now).is_empty());
        }
    }

    #[test]
    fn a_planted_cookie_does_not_hide_the_real_one() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let headers = request(&format!("{}=planted; {}", cookies.name, pair(&cookies, now)));
        assert_eq!(cookies.sessions(&headers, now).len(), 1);
    }

    #[test]
    fn ours_is_stripped_and_others_stay() {
        let cookies = cookies();
        let name = &cookies.name;
        let longer = format!("x{name}=1");
        let cases = [
            (format!("{name}=x"), None),
            (format!("a=1; {name}=x; b=\"2; 3\""), Some("a=1; b=\"2; 3\"")),
            (format!("{name}=x; {name}=y; b=2"), Some("b=2")),
            (longer.clone(), Some(&*longer)),
        ];
        for (sent, left) in cases {
            let mut headers = request(&sent);
            cookies.strip(&mut headers);
            assert_eq!(headers.get(COOKIE).map(|v| v.to_str().unwrap()), left, "{sent}");
        }
    }

    #[test]
    fn services_cannot_replace_it() {
        let cookies = cookies();
        assert!(cookies.is_ours(&HeaderValue::from_str(&cookies.clear()).unwrap()));
        assert!(!cookies.is_ours(&HeaderValue::from_static("sid=1; Path=/")));
    }

    proptest! {
        #[test]
        fn no_bit_can_be_changed(byte in 0_usize..56, bit in 0_u8..8) {
            let (cookies, now) = (cookies(), SystemTime::now());
            let pair = pair(&cookies, now);
            let (name, value) = pair.split_once('=').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(value).unwrap();
            bytes[byte] ^= 1_u8 << bit;
            let forged = request(&format!("{name}={}", URL_SAFE_NO_PAD.encode(bytes)));
            prop_assert!(cookies.sessions(&forged, now).is_empty());
        }

        #[test]
        fn garbage_is_no_session(value in "[ -~]{0,120}") {
            let cookies = cookies();
            let headers = request(&format!("{}={value}", cookies.name));
            prop_assert!(cookies.sessions(&headers, SystemTime::now()).is_empty());
        }
    }
}
