//! Session cookies: a random id and an expiry time, with a signature. The value contains nothing about the user, and it
//! cannot be made without the key. The signing key depends on the credentials and on the random id of the session
//! generation: a change of either ends all sessions. Cookies of https and of http are signed with different keys, so
//! that a cookie that was read from an unencrypted connection is not valid by https.
//!
//! The time is the system clock, which can be changed. If the clock is set forward, sessions end earlier by the same
//! amount. If the clock is set back, sessions last longer by the same amount; a change of an hour is acceptable. A
//! cookie is never accepted if its expiry time is further in the future than the lifetime of a session plus one day,
//! whatever the clock was when the cookie was made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::digest::{Key, Keyed, same};

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Identifies a session.
    Session,
    /// Says that the right password was typed in this browser before.
    Browser,
    /// Leads from http to https after a token has come by http, and is then valid in place of the token. There is no
    /// https form of it.
    Crossing,
}

impl Purpose {
    /// How long such a cookie is valid.
    pub(super) fn lifetime(self) -> Duration {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Duration::from_secs([7 * DAY, 90 * DAY, 10 * MINUTE][self as usize])
    }
}

/// How far the clock may have been put back since a cookie was made.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Id, end and signature.
const BYTES: usize = 16 + 8 + 32;

/// The length of a cookie's value, in characters.
const CHARACTERS: usize = (BYTES * 4).div_ceil(3);

/// How a session was opened. The last byte of the session's id says so: the id is signed, so that a client cannot change
/// it, and nothing has to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum How {
    /// With user name and password.
    Password,
    /// With a link that contained the token.
    Token,
    /// By a version of desktopd that did not write it down.
    Unknown,
}

impl How {
    fn mark(self) -> u8 {
        self as u8
    }

    fn of(id: [u8; 16]) -> Self {
        match id[15] {
            mark if mark == Self::Password.mark() => Self::Password,
            mark if mark == Self::Token.mark() => Self::Token,
            _ => Self::Unknown,
        }
    }
}

/// Identifies one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(super) id: [u8; 16],
    /// The generation number of the credentials that it was opened with: how often they had been changed.
    pub(super) generation: u32,
    /// When it ends by itself, in seconds since the Unix epoch.
    pub(super) end: u64,
}

impl SessionId {
    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self { id: rand::random(), generation: 0, end: u64::MAX }
    }

    /// When it was opened, in seconds since the Unix epoch.
    pub(super) fn since(self) -> u64 {
        self.end.saturating_sub(Purpose::Session.lifetime().as_secs())
    }

    pub(super) fn how(self) -> How {
        How::of(self.id)
    }
}

/// Makes and verifies cookie values.
#[derive(Clone)]
pub(super) struct Signer {
    /// For each purpose: the keys of http and of https.
    keys: [[Keyed; 2]; 3],
    generation: u32,
}

impl Signer {
    /// A signer with `key` for cookies that belong to the credentials in `binding`.
    pub(super) fn new(key: &Key, generation: u32, binding: &[&[u8]]) -> Self {
        let key = Keyed::new(key);
        let of = |purpose: &[u8], kind: &[u8]| Keyed::new(&key.digest(&[&[purpose, kind], binding].concat()));
        let keys = [&b"session"[..], b"browser", b"crossing"];
        Self { keys: keys.map(|purpose| [of(purpose, b"http"), of(purpose, b"https")]), generation }
    }

    /// A new cookie value.
    pub(super) fn issue(&self, purpose: Purpose, now: SystemTime, secure: bool) -> String {
        self.sign(purpose, rand::random(), seconds(now + purpose.lifetime()), secure)
    }

    /// The cookie value of a new session.
    pub(super) fn open_session(&self, how: How, now: SystemTime, secure: bool) -> String {
        let mut id: [u8; 16] = rand::random();
        id[15] = how.mark();
        self.sign(Purpose::Session, id, seconds(now + Purpose::Session.lifetime()), secure)
    }

    /// A new cookie value in place of an older one: it ends when that would have ended.
    pub(super) fn renew(&self, purpose: Purpose, old: SessionId, secure: bool) -> String {
        let mut id: [u8; 16] = rand::random();
        id[15] = old.id[15];
        self.sign(purpose, id, old.end, secure)
    }

    fn sign(&self, purpose: Purpose, id: [u8; 16], end: u64, secure: bool) -> String {
        let end = end.to_be_bytes();
        let signature = self.key(purpose, secure).digest(&[&id, &end]);
        URL_SAFE_NO_PAD.encode([&id[..], &end, &signature].concat())
    }

    /// The session or browser that a value identifies.
    pub(super) fn open(
        &self,
        purpose: Purpose,
        value: &[u8],
        now: SystemTime,
        secure: bool,
    ) -> Option<SessionId> {
        if value.len() != CHARACTERS {
            return None;
        }
        // The decoder needs up to two more bytes of space.
        let mut bytes = [0; BYTES + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        let (id, rest) = bytes.get(..length)?.split_first_chunk::<16>()?;
        let (end, signature) = rest.split_first_chunk::<8>()?;
        if !same(signature.try_into().ok()?, &self.key(purpose, secure).digest(&[id, end])) {
            return None;
        }
        let (end, now) = (u64::from_be_bytes(*end), seconds(now));
        let session = SessionId { id: *id, generation: self.generation, end };
        (now < end && end - now <= (purpose.lifetime() + SLACK).as_secs()).then_some(session)
    }

    fn key(&self, purpose: Purpose, secure: bool) -> &Keyed {
        &self.keys[purpose as usize][usize::from(secure)]
    }
}

/// Whether a value has the form of our cookie values, valid or not.
pub(super) fn is_shaped(value: &[u8]) -> bool {
    value.len() == CHARACTERS && value.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::Purpose::{Browser, Session};
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn signer() -> Signer {
        Signer::new(&[1; 32], 0, &[b"user", b"password"])
    }

    #[test]
    fn value_is_valid_until_its_end_and_only_by_its_own_scheme() {
        let (signer, now) = (signer(), SystemTime::now());
        for secure in [false, true] {
            let value = signer.issue(Session, now, secure);
            let opens = |now, secure| signer.open(Session, value.as_bytes(), now, secure).is_some();
            assert!(opens(now, secure) && opens(now + Session.lifetime() - Duration::from_secs(2), secure));
            assert!(!opens(now + Session.lifetime(), secure));
            assert!(!opens(now, !secure), "signed apart");
        }
    }

    #[test]
    fn a_session_knows_how_and_when_it_was_opened() {
        let (signer, now) = (signer(), SystemTime::now());
        for how in [How::Password, How::Token, How::Unknown] {
            let value = signer.open_session(how, now, true);
            let session = signer.open(Session, value.as_bytes(), now, true).unwrap();
            assert_eq!((session.how(), session.since()), (how, seconds(now)));
        }
        assert_eq!(How::of([200; 16]), How::Unknown);
    }

    #[test]
    fn a_renewed_session_ends_when_the_old_one_would_have_ended() {
        let (signer, now) = (signer(), SystemTime::now());
        let opened = |value: &str, now| signer.open(Session, value.as_bytes(), now, true);
        let old = opened(&signer.open_session(How::Token, now - 100 * HOUR, true), now).unwrap();
        let renewed = opened(&signer.renew(Session, old, true), now).unwrap();
        assert_eq!((renewed.end, renewed.how()), (old.end, How::Token));
        assert_ne!(renewed.id, old.id);
    }

    #[test]
    fn clock_change_of_an_hour_is_accepted_and_of_years_is_refused() {
        let (signer, now) = (signer(), SystemTime::now());
        let value = signer.issue(Session, now, false);
        let opens = |now| signer.open(Session, value.as_bytes(), now, false).is_some();
        assert!(opens(now + HOUR) && opens(now - HOUR));
        // It ends at its original time, by the clock of that moment.
        assert!(!opens(now + Session.lifetime() + HOUR));
        // A cookie that was made while the clock was years ahead would last for years.
        assert!(!opens(now - 1000 * HOUR));
    }

    #[test]
    fn browser_cookie_lasts_longer_and_does_not_open_a_session() {
        let (signer, now) = (signer(), SystemTime::now());
        let value = signer.issue(Browser, now, false);
        assert!(signer.open(Browser, value.as_bytes(), now + 10 * Session.lifetime(), false).is_some());
        assert!(signer.open(Browser, value.as_bytes(), now + Browser.lifetime(), false).is_none());
        assert!(signer.open(Session, value.as_bytes(), now, false).is_none());
        assert!(signer.open(Browser, signer.issue(Session, now, false).as_bytes(), now, false).is_none());
    }

    #[test]
    fn value_is_valid_only_with_its_own_key_and_credentials() {
        let now = SystemTime::now();
        let value = signer().issue(Session, now, false);
        for other in [
            Signer::new(&[2; 32], 0, &[b"user", b"password"]),
            Signer::new(&[1; 32], 0, &[b"user", b"changed"]),
            Signer::new(&[1; 32], 0, &[b"userp", b"assword"]),
        ] {
            assert_eq!(other.open(Session, value.as_bytes(), now, false), None);
        }
        assert!(signer().open(Session, value.as_bytes(), now, false).is_some());
    }

    proptest! {
        #[test]
        fn value_with_a_changed_bit_is_refused(byte in 0_usize..BYTES, bit in 0_u8..8) {
            let (signer, now) = (signer(), SystemTime::now());
            let mut bytes = URL_SAFE_NO_PAD.decode(signer.issue(Session, now, false)).unwrap();
            bytes[byte] ^= 1_u8 << bit;
            prop_assert_eq!(signer.open(Session, URL_SAFE_NO_PAD.encode(bytes).as_bytes(), now, false), None);
        }

        #[test]
        fn garbage_does_not_open_a_session(value in "[ -~]{0,120}") {
            prop_assert_eq!(signer().open(Session, value.as_bytes(), SystemTime::now(), false), None);
        }
    }
}
