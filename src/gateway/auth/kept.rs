//! What must survive a restart: the credentials that somebody chose at run time, and which sessions are over.
//!
//! Chosen credentials belong to those of the environment that they took the place of, known by a keyed fingerprint. A
//! changed environment wins, and what was chosen is forgotten; an unchanged one loses.
//!
//! Invariants: neither a password nor what it was before is written; a value is written whole; writing never holds up
//! the threads that answer, and a disk that hangs holds up nobody for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::credentials::{Credentials, Password};
use super::digest::{Key, Keyed};
use crate::config::secret::Secret;
use crate::state::State;
use crate::sys;

/// The names of the values.
const CHOSEN: &str = "web-credentials";
const SESSIONS: &str = "web-sessions";
const FINGERPRINT_KEY: &str = "fingerprint-key";

/// How long a disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The version of how sessions are written.
const VERSION: u8 = 1;

/// Credentials that took the place of others.
#[derive(Serialize, Deserialize)]
struct Chosen {
    user: String,
    hash: String,
    /// The fingerprint of those others.
    instead_of: String,
}

/// Which sessions are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// All that were signed in another one.
    pub(super) epoch: [u8; 16],
    /// Those that were ended one by one, with the time at which they would have ended.
    pub(super) revoked: HashMap<[u8; 16], u64>,
}

impl Remembered {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.epoch);
        for (id, end) in &self.revoked {
            bytes.extend(id);
            bytes.extend(end.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (entries, []) = rest.as_chunks::<24>() else { return None };
        let revoked = entries.iter().filter_map(|entry| {
            let (id, end) = entry.split_first_chunk::<16>()?;
            Some((*id, u64::from_be_bytes(end.try_into().ok()?)))
        });
        Some(Self { epoch: *epoch, revoked: revoked.collect() })
    }
}

/// Where it is kept. Without a place it lives as long as this process.
#[derive(Clone, Default)]
pub(super) struct Kept {
    state: Option<Arc<State>>,
    /// Of the credentials that the environment gave.
    given: String,
}

impl Kept {
    pub(super) fn new(state: Arc<State>, given: &Credentials) -> Self {
        let key: Key = state.key(FINGERPRINT_KEY);
        let (kind, value) = given.password.known();
        let fields: [&[u8]; 3] = [given.user.as_bytes(), kind.as_bytes(), value.as_bytes()];
        let given = URL_SAFE_NO_PAD.encode(Keyed::new(&key).digest(&fields));
        Self { state: Some(state), given }
    }

    /// What was chosen instead of what is given, unless that has changed since.
    pub(super) fn chosen(&self) -> Option<(String, Password)> {
        let state = self.state.as_ref()?;
        let value = state.get(CHOSEN)?;
        let chosen: Option<Chosen> = serde_json::from_slice(&value).ok();
        let why = match chosen {
            Some(chosen) if chosen.hash.parse::<bcrypt::HashParts>().is_err() => "cannot be read",
            None => "cannot be read",
            Some(chosen) if chosen.instead_of != self.given => {
                "are older than what the environment says now, which is taken"
            }
            Some(chosen) => return Some((chosen.user, Password::Hash(Secret::new(chosen.hash)))),
        };
        tracing::warn!("the credentials set with set-web-credentials {why}; they are forgotten");
        if let Err(error) = state.remove(CHOSEN) {
            tracing::warn!("state {CHOSEN}: {error}");
        }
        None
    }

    /// Which sessions are over. What cannot be read ends all of them.
    pub(super) fn sessions(&self) -> Remembered {
        let value = self.state.as_ref().and_then(|state| state.get(SESSIONS));
        let none = |epoch| Remembered { epoch, revoked: HashMap::new() };
        value.map_or_else(
            || none([0; 16]),
            |value| Remembered::decode(&value).unwrap_or_else(|| none(rand::random())),
        )
    }

    /// Writes which credentials were chosen and, after it, that all sessions so far are over.
    pub(super) async fn write_chosen(
        &self,
        user: &str,
        hash: &str,
        sessions: &Remembered,
    ) -> Result<(), String> {
        let chosen = Chosen { user: user.into(), hash: hash.into(), instead_of: self.given.clone() };
        let chosen = serde_json::to_vec(&chosen).map_err(|error| error.to_string())?;
        self.write(vec![(CHOSEN, chosen), (SESSIONS, sessions.encode())]).await
    }

    /// Writes which sessions are over.
    pub(super) async fn write_sessions(&self, sessions: &Remembered) -> Result<(), String> {
        self.write(vec![(SESSIONS, sessions.encode())]).await
    }

    async fn write(&self, values: Vec<(&'static str, Vec<u8>)>) -> Result<(), String> {
        let Some(state) = self.state.clone() else { return Ok(()) };
        let work = sys::apart(move || {
            for (key, value) in values {
                state.set(key, value).map_err(|error| format!("state {key}: {error}"))?;
            }
            if state.is_lasting() { Ok(()) } else { Err("the state folder cannot be written".to_owned()) }
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the disk of the state folder does not answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(user: &str, password: Password) -> Credentials {
        let (user, tokens) = (user.to_owned(), Vec::new());
        Credentials {
            user,
            password,
            tokens,
            password_as_token: false,
            enabled: true,
            excluded: Vec::new(),
            cookie: None,
        }
    }

    fn plain(password: &str) -> Password {
        Password::Plain(Secret::new(password))
    }

    #[tokio::test]
    async fn a_changed_environment_wins_and_an_unchanged_one_loses() {
        let hash = bcrypt::hash("chosen", 4).unwrap();
        for (user, password, wins) in [
            ("user", plain("given"), false),
            ("user", plain("changed"), true),
            ("other", plain("given"), true),
            ("user", Password::Hash(Secret::new("given")), true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let open = || Arc::new(State::open(dir.path(), "one").0);
            let kept = Kept::new(open(), &given("user", plain("given")));
            let sessions = Remembered { epoch: [7; 16], revoked: HashMap::new() };
            kept.write_chosen("ada", &hash, &sessions).await.unwrap();
            let kept = Kept::new(open(), &given(user, password));
            let chosen = kept.chosen();
            assert_eq!(chosen.is_none(), wins);
            if let Some((user, Password::Hash(found))) = chosen {
                assert_eq!((&*user, found.reveal()), ("ada", &*hash));
            }
            // Forgotten for good: the same environment as at first would not bring it back.
            let again = Kept::new(open(), &given("user", plain("given")));
            assert_eq!(again.chosen().is_none(), wins);
            assert_eq!(again.sessions(), sessions);
            let files = std::fs::read_dir(dir.path()).unwrap().flatten();
            for file in files.map(|entry| std::fs::read(entry.path()).unwrap()) {
                let text = String::from_utf8_lossy(&file).into_owned();
                assert!(!text.contains("given") && !text.contains("\"chosen"), "{text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_nobodys_password_and_ends_all_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(dir.path(), "one").0);
        let kept = Kept::new(Arc::clone(&state), &given("user", plain("given")));
        assert_eq!(kept.sessions().epoch, [0; 16]);
        for broken in [&b""[..], b"{}", b"\xff", br#"{"user":"a","hash":"x","instead_of":""}"#] {
            state.set(CHOSEN, broken.to_vec()).unwrap();
            assert!(kept.chosen().is_none());
            assert_eq!(state.get(CHOSEN), None);
        }
        for broken in [&b""[..], b"\x01", &[2; 17], &[1; 18]] {
            state.set(SESSIONS, broken.to_vec()).unwrap();
            assert_ne!(kept.sessions().epoch, kept.sessions().epoch, "{broken:?}");
        }
        let whole = Remembered { epoch: [3; 16], revoked: HashMap::from([([1; 16], 5), ([2; 16], 6)]) };
        assert_eq!(Remembered::decode(&whole.encode()), Some(whole));
    }
}
