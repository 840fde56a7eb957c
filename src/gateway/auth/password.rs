//! The password: bcrypt on threads of its own, few at a time, so that guessing cannot take all processors; and a
//! memory of the one pair that was right, so that Basic costs bcrypt once and not on every request.
//!
//! Invariants: a wrong user costs the same as a wrong password (both are checked against the same hash); only what
//! was right is remembered, as a keyed digest and for a limited time; bcrypt never cuts a password in silence.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Password;
use super::digest::{Digest, Keyed, Mark, mark, same};
use super::hashers::Hashers;
use crate::config::env::PASSWORD_LIMIT;

/// How long a verified pair is remembered.
const MEMORY: Duration = Duration::from_secs(10 * 60);

/// Checks user and password.
pub(super) struct Passwords {
    user: Digest,
    source: Password,
    cost: u32,
    /// Made once, when it is needed first, if the password came in plain text. `None` inside: nothing can be right.
    hash: OnceCell<Option<Arc<str>>>,
    key: Keyed,
    verified: RwLock<Option<(Digest, Instant)>>,
    hashers: Arc<Hashers>,
}

impl Passwords {
    pub(super) fn new(user: &str, source: Password, cost: u32, hashers: Arc<Hashers>) -> Self {
        let key = Keyed::random();
        Self {
            user: key.digest(&[user.as_bytes()]),
            source,
            cost,
            hash: OnceCell::new(),
            key,
            verified: RwLock::new(None),
            hashers,
        }
    }

    /// Whether exactly this pair was verified a while ago. Cheap.
    pub(super) fn remembers(&self, user: &[u8], password: &[u8]) -> bool {
        let verified = *self.verified.read().unwrap_or_else(PoisonError::into_inner);
        let Some((right, until)) = verified else { return false };
        same(&right, &self.key.digest(&[user, password])) && Instant::now() < until
    }

    /// What a pair is known by that was wrong.
    pub(super) fn mark(&self, user: &[u8], password: &[u8]) -> Mark {
        mark(self.key.digest(&[user, password]))
    }

    /// Whether the pair is right. Waits for a free thread.
    pub(super) async fn check(&self, user: &[u8], password: &[u8]) -> bool {
        // A page asks for many things at once: the first of them did the work for the others meanwhile.
        if self.remembers(user, password) {
            return true;
        }
        let possible = usable(password);
        let candidate = if possible { password.to_vec() } else { Vec::new() };
        let Some(hash) = self.hash().await else { return false };
        let pass = self.hashers.enter().await;
        let verified = self.hashers.run(move || bcrypt::verify(candidate, &hash)).await;
        drop(pass);
        let password_right = matches!(verified, Some(Ok(true)));
        let user_right = same(&self.key.digest(&[user]), &self.user);
        let right = password_right & user_right & possible;
        if right {
            let pair = self.key.digest(&[user, password]);
            let mut verified = self.verified.write().unwrap_or_else(PoisonError::into_inner);
            *verified = Some((pair, Instant::now() + MEMORY));
        }
        right
    }

    /// The hash; made on the first call.
    pub(super) async fn hash(&self) -> Option<Arc<str>> {
        let make = async || match &self.source {
            Password::Hash(hash) => {
                let hash: Arc<str> = hash.reveal().into();
                if hash.parse::<bcrypt::HashParts>().is_err() {
                    tracing::error!("the password hash is no bcrypt hash; nobody can log in with a password");
                    return None;
                }
                Some(hash)
            }
            Password::Plain(plain) if !usable(plain.reveal().as_bytes()) => {
                tracing::error!(
                    "the password is empty, longer than {PASSWORD_LIMIT} bytes or holds a zero byte; nobody can log in with it"
                );
                None
            }
            Password::Plain(plain) => {
                let (plain, cost) = (plain.clone(), self.cost);
                match self.hashers.run(move || bcrypt::hash(plain.reveal(), cost)).await {
                    Some(Ok(hash)) => Some(hash.into()),
                    Some(Err(error)) => {
                        tracing::error!("hash the password: {error}; nobody can log in with it");
                        None
                    }
                    None => None,
                }
            }
        };
        self.hash.get_or_init(make).await.clone()
    }
}

/// bcrypt would cut a longer password, and repeats a shorter one after a zero byte: `a` and `a\0a` look the same.
fn usable(password: &[u8]) -> bool {
    !password.is_empty() && password.len() <= PASSWORD_LIMIT && !password.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counts;
    use super::*;
    use crate::config::secret::Secret;

    fn passwords(source: Password) -> (Passwords, Arc<Counts>) {
        let counts = Arc::<Counts>::default();
        let hashers = Arc::new(Hashers::new(2, Arc::clone(&counts)));
        (Passwords::new("user", source, 4, hashers), counts)
    }

    fn plain(password: &str) -> Passwords {
        passwords(Password::Plain(Secret::new(password))).0
    }

    #[tokio::test]
    async fn a_wrong_user_costs_what_a_wrong_password_costs() {
        let (passwords, counts) = passwords(Password::Plain(Secret::new("password")));
        passwords.hash().await;
        let long = "x".repeat(73);
        for (user, password) in [
            ("user", "wrong"),
            ("other", "wrong"),
            ("other", "password"),
            ("", ""),
            ("user", ""),
            ("user", &long),
            ("user", "a\0b"),
            ("user", "password"),
        ] {
            let before = counts.read().hashes;
            passwords.check(user.as_bytes(), password.as_bytes()).await;
            assert_eq!(counts.read().hashes - before, 1, "{user}:{password}");
        }
        // What was right costs nothing any more; what is beside it does.
        let before = counts.read().hashes;
        assert!(passwords.check(b"user", b"password").await);
        assert_eq!(counts.read().hashes, before);
        assert!(!passwords.check(b"user", b"wrong").await);
        assert_eq!(counts.read().hashes, before + 1);
    }

    #[tokio::test]
    async fn only_the_pair_is_right() {
        let passwords = plain("pässwort 密码");
        assert!(!passwords.remembers(b"user", "pässwort 密码".as_bytes()));
        for (user, password, right) in [
            ("user", "pässwort 密码", true),
            ("user", "passwort 密码", false),
            ("User", "pässwort 密码", false),
            ("", "pässwort 密码", false),
            ("user", "", false),
            ("user", "pässwort 密码\0pässwort 密码", false),
        ] {
            assert_eq!(
                passwords.check(user.as_bytes(), password.as_bytes()).await,
                right,
                "{user}:{password}"
            );
        }
        assert!(passwords.remembers(b"user", "pässwort 密码".as_bytes()));
        assert!(!passwords.remembers(b"user", b"other"));
    }

    #[tokio::test]
    async fn nothing_is_cut() {
        let longest = "x".repeat(72);
        let passwords = plain(&longest);
        assert!(passwords.check(b"user", longest.as_bytes()).await);
        assert!(!passwords.check(b"user", format!("{longest}y").as_bytes()).await);
        let too_long = "x".repeat(73);
        let passwords = plain(&too_long);
        assert!(!passwords.check(b"user", too_long.as_bytes()).await);
        assert!(!passwords.check(b"user", longest.as_bytes()).await);
    }

    #[tokio::test]
    async fn an_empty_password_lets_nobody_in() {
        assert!(!plain("").check(b"user", b"").await);
    }

    #[tokio::test]
    async fn hashes_of_all_three_kinds_are_taken() {
        let made = bcrypt::hash("password", 4).unwrap();
        for kind in ["2a", "2b", "2y"] {
            let hash = made.replacen("2b", kind, 1);
            let (passwords, _) = passwords(Password::Hash(Secret::new(hash)));
            assert!(passwords.check(b"user", b"password").await, "{kind}");
            assert!(!passwords.check(b"user", b"wrong").await, "{kind}");
        }
        let (passwords, _) = passwords(Password::Hash(Secret::new("no hash")));
        assert!(!passwords.check(b"user", b"no hash").await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_fades() {
        let passwords = plain("password");
        assert!(passwords.check(b"user", b"password").await);
        tokio::time::advance(MEMORY).await;
        assert!(!passwords.remembers(b"user", b"password"));
    }
}
