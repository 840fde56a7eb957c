//! The credential store: what must survive a restart, namely the credentials that were set at run time, and which
//! sessions have ended.
//!
//! Stored credentials belong to the credentials in the environment that they replaced, identified by a keyed
//! fingerprint. If the environment has changed since, its credentials are used and the stored ones are discarded; if it
//! has not changed, the stored ones are used.
//!
//! Invariants: neither a password nor the password that it replaced is written in plain text; a value is written as a
//! whole; writing does not block the threads that answer requests, and a disk that hangs delays a request for a limited
//! time only.

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

/// The keys in the state.
const CHOSEN: &str = "web-credentials";
const SESSIONS: &str = "web-sessions";
const FINGERPRINT_KEY: &str = "fingerprint-key";

/// The timeout for a write.
const PATIENCE: Duration = Duration::from_secs(5);

/// The version of the format of [`Remembered`].
const VERSION: u8 = 1;

/// Credentials that replaced those of the environment.
#[derive(Serialize, Deserialize)]
struct Chosen {
    user: String,
    hash: String,
    /// The fingerprint of the replaced credentials.
    instead_of: String,
}

/// Which sessions have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// The random id of the current session generation. All sessions that were signed in another generation have ended.
    pub(super) generation_id: [u8; 16],
    /// Sessions that were ended one by one, with their original expiry time.
    pub(super) revoked: HashMap<[u8; 16], u64>,
}

impl Remembered {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.generation_id);
        for (id, end) in &self.revoked {
            bytes.extend(id);
            bytes.extend(end.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (generation_id, rest) = rest.split_first_chunk::<16>()?;
        let (entries, []) = rest.as_chunks::<24>() else { return None };
        let revoked = entries.iter().filter_map(|entry| {
            let (id, end) = entry.split_first_chunk::<16>()?;
            Some((*id, u64::from_be_bytes(end.try_into().ok()?)))
        });
        Some(Self { generation_id: *generation_id, revoked: revoked.collect() })
    }
}

/// The storage. Without a state the values last as long as this process.
#[derive(Clone, Default)]
pub(super) struct CredentialStore {
    state: Option<Arc<State>>,
    /// The fingerprint of the credentials in the environment.
    given: String,
}

impl CredentialStore {
    pub(super) fn new(state: Arc<State>, given: &Credentials) -> Self {
        let key: Key = state.key(FINGERPRINT_KEY);
        let (kind, value) = given.password.known();
        let fields: [&[u8]; 3] = [given.user.as_bytes(), kind.as_bytes(), value.as_bytes()];
        let given = URL_SAFE_NO_PAD.encode(Keyed::new(&key).digest(&fields));
        Self { state: Some(state), given }
    }

    /// The credentials that were set at run time, unless the credentials in the environment have changed since.
    pub(super) fn chosen(&self) -> Option<(String, Password)> {
        let state = self.state.as_ref()?;
        let value = state.get(CHOSEN)?;
        let chosen: Option<Chosen> = serde_json::from_slice(&value).ok();
        let why = match chosen.filter(|chosen| chosen.hash.parse::<bcrypt::HashParts>().is_ok()) {
            None => "cannot be read",
            Some(chosen) if chosen.instead_of != self.given => {
                "are older than those of the environment, which are used instead"
            }
            Some(chosen) => return Some((chosen.user, Password::Hash(Secret::new(chosen.hash)))),
        };
        tracing::warn!("the credentials set with set-web-credentials {why}; they were discarded");
        if let Err(error) = state.remove(CHOSEN) {
            tracing::warn!("state {CHOSEN}: {error}");
        }
        None
    }

    /// Which sessions have ended. If the stored value cannot be read, all sessions have ended.
    pub(super) fn sessions(&self) -> Remembered {
        let value = self.state.as_ref().and_then(|state| state.get(SESSIONS));
        let none = |generation_id| Remembered { generation_id, revoked: HashMap::new() };
        value.map_or_else(
            || none([0; 16]),
            |value| Remembered::decode(&value).unwrap_or_else(|| none(rand::random())),
        )
    }

    /// Writes the credentials that were set and, after them, that all sessions so far have ended.
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

    /// Writes which sessions have ended.
    pub(super) async fn write_sessions(&self, sessions: &Remembered) -> Result<(), String> {
        self.write(vec![(SESSIONS, sessions.encode())]).await
    }

    async fn write(&self, values: Vec<(&'static str, Vec<u8>)>) -> Result<(), String> {
        let Some(state) = self.state.clone() else { return Ok(()) };
        let work = sys::run_on_thread(move || {
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
    async fn stored_credentials_are_used_until_the_environment_changes() {
        let hash = bcrypt::hash("chosen", 4).unwrap();
        for (user, password, wins) in [
            ("user", plain("given"), false),
            ("user", plain("changed"), true),
            ("other", plain("given"), true),
            ("user", Password::Hash(Secret::new("given")), true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let open = || Arc::new(State::open(dir.path(), "one").0);
            let store = CredentialStore::new(open(), &given("user", plain("given")));
            let sessions = Remembered { generation_id: [7; 16], revoked: HashMap::new() };
            store.write_chosen("ada", &hash, &sessions).await.unwrap();
            let store = CredentialStore::new(open(), &given(user, password));
            let chosen = store.chosen();
            assert_eq!(chosen.is_none(), wins);
            if let Some((user, Password::Hash(found))) = chosen {
                assert_eq!((&*user, found.reveal()), ("ada", &*hash));
            }
            // Discarded permanently: the original environment does not bring them back.
            let again = CredentialStore::new(open(), &given("user", plain("given")));
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
    fn unreadable_state_gives_no_credentials_and_ends_all_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(dir.path(), "one").0);
        let store = CredentialStore::new(Arc::clone(&state), &given("user", plain("given")));
        assert_eq!(store.sessions().generation_id, [0; 16]);
        for broken in [&b""[..], b"{}", b"\xff", br#"{"user":"a","hash":"x","instead_of":""}"#] {
            state.set(CHOSEN, broken.to_vec()).unwrap();
            assert!(store.chosen().is_none());
            assert_eq!(state.get(CHOSEN), None);
        }
        for broken in [&b""[..], b"\x01", &[2; 17], &[1; 18]] {
            state.set(SESSIONS, broken.to_vec()).unwrap();
            assert_ne!(store.sessions().generation_id, store.sessions().generation_id, "{broken:?}");
        }
        let whole =
            Remembered { generation_id: [3; 16], revoked: HashMap::from([([1; 16], 5), ([2; 16], 6)]) };
        assert_eq!(Remembered::decode(&whole.encode()), Some(whole));
    }
}
