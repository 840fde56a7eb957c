//! What a session's cookie holds: a random id and an end, signed. It says nothing about who it belongs to, and nobody
//! without the key can make one. The key depends on the credentials and on the epoch: changing either ends every
//! session. Cookies of https and of http are signed apart, so that one that was read off a wire opens nothing by https.
//!
//! Time is the machine's, which somebody may set. A clock that is put forward ends sessions early by as much; one that
//! is put back lengthens them by as much, which an hour may do; but no cookie opens whose end is further away than a
//! session lasts and a day, whatever the clock said when it was made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::digest::{Key, Keyed, same};

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a browser is known in which the right password was typed.
pub(super) const BROWSER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long a link to https is good that stands in for a token which came by http.
pub(super) const CROSSING_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How far the clock may have been put back since a cookie was made.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Id, end and signature.
const BYTES: usize = 16 + 8 + 32;

/// What a cookie's value is long, in characters.
const CHARACTERS: usize = (BYTES * 4).div_ceil(3);

/// Names one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    id: [u8; 16],
    /// Whose credentials it was opened with: how often they had been changed.
    era: u32,
}

impl SessionId {
    pub(super) fn id(self) -> [u8; 16] {
        self.id
    }

    pub(super) fn era(self) -> u32 {
        self.era
    }

    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self { id: rand::random(), era: 0 }
    }
}

/// Makes cookies' values and reads them.
pub(super) struct Signer {
    http: Keyed,
    https: Keyed,
    era: u32,
    lifetime: Duration,
}

impl Signer {
    /// Values signed by `key` for whoever logs in with what `binding` lists.
    pub(super) fn new(key: &Key, era: u32, binding: &[&[u8]]) -> Self {
        Self::of(b"session", LIFETIME, (key, era, binding))
    }

    /// The same for values that say no more than that somebody has logged in before with what `binding` lists.
    pub(super) fn of_browsers(key: &Key, era: u32, binding: &[&[u8]]) -> Self {
        Self::of(b"browser", BROWSER_LIFETIME, (key, era, binding))
    }

    /// The same for values that open a session by https, once a token has come by http.
    pub(super) fn of_crossings(key: &Key, era: u32, binding: &[&[u8]]) -> Self {
        Self::of(b"crossing", CROSSING_LIFETIME, (key, era, binding))
    }

    fn of(purpose: &[u8], lifetime: Duration, (key, era, binding): (&Key, u32, &[&[u8]])) -> Self {
        let key = Keyed::new(key);
        let of = |kind: &[u8]| Keyed::new(&key.digest(&[&[purpose, kind], binding].concat()));
        Self { http: of(b"http"), https: of(b"https"), era, lifetime }
    }

    /// A new session.
    pub(super) fn issue(&self, now: SystemTime, secure: bool) -> String {
        let id: [u8; 16] = rand::random();
        let end = seconds(now + self.lifetime).to_be_bytes();
        let signature = self.keyed(secure).digest(&[&id, &end]);
        URL_SAFE_NO_PAD.encode([&id[..], &end, &signature].concat())
    }

    /// The session that a value stands for, and when it ends, in seconds since the epoch of Unix.
    pub(super) fn open(&self, value: &[u8], now: SystemTime, secure: bool) -> Option<(SessionId, u64)> {
        if value.len() != CHARACTERS {
            return None;
        }
        // Decoding takes what three characters may become at most.
        let mut bytes = [0; BYTES + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        let (id, rest) = bytes.get(..length)?.split_first_chunk::<16>()?;
        let (end, signature) = rest.split_first_chunk::<8>()?;
        if !same(signature.try_into().ok()?, &self.keyed(secure).digest(&[id, end])) {
            return None;
        }
        let (end, now) = (u64::from_be_bytes(*end), seconds(now));
        let session = SessionId { id: *id, era: self.era };
        (now < end && end - now <= (self.lifetime + SLACK).as_secs()).then_some((session, end))
    }

    fn keyed(&self, secure: bool) -> &Keyed {
        if secure { &self.https } else { &self.http }
    }
}

/// Whether something looks like a value of ours, be it a good one or not.
pub(super) fn is_shaped(value: &[u8]) -> bool {
    value.len() == CHARACTERS && value.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn signer() -> Signer {
        Signer::new(&[1; 32], 0, &[b"user", b"password"])
    }

    #[test]
    fn a_value_opens_until_its_end_and_by_its_own_scheme_only() {
        let (signer, now) = (signer(), SystemTime::now());
        for secure in [false, true] {
            let value = signer.issue(now, secure);
            let opens = |now, secure| signer.open(value.as_bytes(), now, secure).is_some();
            assert!(opens(now, secure) && opens(now + LIFETIME - Duration::from_secs(2), secure));
            assert!(!opens(now + LIFETIME, secure));
            assert!(!opens(now, !secure), "signed apart");
        }
    }

    #[test]
    fn an_hour_of_clock_more_or_less_ends_nothing_and_years_open_nothing() {
        let (signer, now) = (signer(), SystemTime::now());
        let value = signer.issue(now, false);
        let opens = |now| signer.open(value.as_bytes(), now, false).is_some();
        assert!(opens(now + HOUR) && opens(now - HOUR));
        // It ends when it was to end, by the clock of then.
        assert!(!opens(now + LIFETIME + HOUR));
        // Made while the clock was years ahead, it would last for years.
        assert!(!opens(now - 1000 * HOUR));
    }

    #[test]
    fn a_browser_is_known_longer_and_that_opens_no_session() {
        let (signer, now) = (signer(), SystemTime::now());
        let browsers = Signer::of_browsers(&[1; 32], 0, &[b"user", b"password"]);
        let value = browsers.issue(now, false);
        assert!(browsers.open(value.as_bytes(), now + 10 * LIFETIME, false).is_some());
        assert!(browsers.open(value.as_bytes(), now + BROWSER_LIFETIME, false).is_none());
        assert!(signer.open(value.as_bytes(), now, false).is_none());
        assert!(browsers.open(signer.issue(now, false).as_bytes(), now, false).is_none());
    }

    #[test]
    fn only_the_key_and_the_credentials_that_made_it_open_it() {
        let now = SystemTime::now();
        let value = signer().issue(now, false);
        for other in [
            Signer::new(&[2; 32], 0, &[b"user", b"password"]),
            Signer::new(&[1; 32], 0, &[b"user", b"changed"]),
            Signer::new(&[1; 32], 0, &[b"userp", b"assword"]),
        ] {
            assert_eq!(other.open(value.as_bytes(), now, false), None);
        }
        assert!(signer().open(value.as_bytes(), now, false).is_some());
    }

    proptest! {
        #[test]
        fn no_bit_can_be_changed(byte in 0_usize..BYTES, bit in 0_u8..8) {
            let (signer, now) = (signer(), SystemTime::now());
            let mut bytes = URL_SAFE_NO_PAD.decode(signer.issue(now, false)).unwrap();
            bytes[byte] ^= 1_u8 << bit;
            prop_assert_eq!(signer.open(URL_SAFE_NO_PAD.encode(bytes).as_bytes(), now, false), None);
        }

        #[test]
        fn garbage_is_no_session(value in "[ -~]{0,120}") {
            prop_assert_eq!(signer().open(value.as_bytes(), SystemTime::now(), false), None);
        }
    }
}
