//! The password check: bcrypt on a few separate threads, so that guesses cannot take all processors, and a memory of
//! verified passwords, so that Basic costs one run of bcrypt and not one for every request.
//!
//! Invariants: a wrong user costs the same as a wrong password (both are checked against the same hash); of the right
//! pair only a keyed digest is remembered, for a limited time, and only for the networks it came from: from other
//! networks every attempt has to wait for its turn, because otherwise an attacker could distinguish the right password
//! from wrong ones at the speed of the network; a password is never cut silently by bcrypt.

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Password;
use super::attempts::Standing;
use super::digest::{Digest, Fingerprint, Keyed, fingerprint, same};
use super::hashers::Hashers;
use crate::config::env::PASSWORD_LIMIT;
use crate::gateway::network::Network;

/// How long it is remembered that the right pair came from a network, and accepted from there without a check.
const MEMORY: Duration = Duration::from_secs(10 * 60);

/// How many networks are remembered: one person uses a few.
const PLACES: usize = 64;

/// Checks user and password.
pub(super) struct Passwords {
    pub(super) user: String,
    pub(super) source: Password,
    cost: u32,
    /// Made once, on first use, if the password was given in plain text. `None` inside: no password can be right.
    hash: OnceCell<Option<Arc<str>>>,
    key: Keyed,
    /// The digest of the right pair, as soon as the password is known.
    right: OnceLock<Digest>,
    /// The networks from which the right pair came, and until when it is accepted from there; the latest is last.
    places: RwLock<Vec<(Network, Instant)>>,
    hashers: Arc<Hashers>,
}

impl Passwords {
    pub(super) fn new(user: &str, source: Password, cost: u32, hashers: Arc<Hashers>) -> Self {
        let passwords = Self {
            user: user.to_owned(),
            source,
            cost,
            hash: OnceCell::new(),
            key: Keyed::random(),
            right: OnceLock::new(),
            places: RwLock::default(),
            hashers,
        };
        if let Password::Plain(plain) = &passwords.source
            && usable(plain.reveal().as_bytes())
        {
            let right = passwords.digest(user.as_bytes(), plain.reveal().as_bytes());
            passwords.right.get_or_init(|| right);
        }
        passwords
    }

    /// Whether exactly this pair was verified a short time ago, from the same network. Cheap.
    pub(super) fn remembers(&self, user: &[u8], password: &[u8], from: Network) -> bool {
        let is_recent = |(place, until): &(Network, Instant)| *place == from && Instant::now() < *until;
        self.places().iter().any(is_recent) && self.is_right(user, password)
    }

    /// The priority of attempts from this network.
    pub(super) fn standing(&self, from: Network) -> Standing {
        let known = self.places().iter().any(|(place, _)| *place == from);
        if known { Standing::KnownNetwork } else { Standing::Stranger }
    }

    fn remember(&self, user: &[u8], password: &[u8], from: Network) {
        self.right.get_or_init(|| self.digest(user, password));
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        places.retain(|(place, _)| *place != from);
        if places.len() >= PLACES {
            places.remove(0);
        }
        places.push((from, Instant::now() + MEMORY));
    }

    /// Whether this is the password; to be used for authenticated clients only. If only the hash was given, the
    /// password is recognised after the first successful login.
    pub(super) fn is_password(&self, shown: &[u8]) -> bool {
        self.is_right(self.user.as_bytes(), shown)
    }

    /// The fingerprint of a wrong pair.
    pub(super) fn fingerprint(&self, user: &[u8], password: &[u8]) -> Fingerprint {
        fingerprint(self.digest(user, password))
    }

    /// Whether the pair is right. The caller has waited for a free thread.
    pub(super) async fn check(&self, user: &[u8], password: &[u8], from: Network) -> bool {
        // A page sends many requests at once: the first of them has verified the password for the other requests in the
        // meantime.
        if self.remembers(user, password, from) {
            return true;
        }
        let possible = usable(password);
        let candidate = if possible { password.to_vec() } else { Vec::new() };
        let Some(hash) = self.hash().await else { return false };
        let verified = self.hashers.run(move || bcrypt::verify(candidate, &hash)).await;
        let password_right = matches!(verified, Some(Ok(true)));
        let user_right = same(&self.digest(user, b""), &self.digest(self.user.as_bytes(), b""));
        let right = password_right & user_right & possible;
        if right {
            self.remember(user, password, from);
        }
        right
    }

    /// The bcrypt hash; made on the first call.
    pub(super) async fn hash(&self) -> Option<Arc<str>> {
        let make = async || {
            let made = match &self.source {
                Password::Hash(hash) if hash.reveal().parse::<bcrypt::HashParts>().is_ok() => {
                    Ok(hash.reveal().to_owned())
                }
                Password::Hash(_) => {
                    Err("the password hash is not a bcrypt hash; no password is accepted".to_owned())
                }
                Password::Plain(plain) if !usable(plain.reveal().as_bytes()) => Err(format!(
                    "the password is empty, longer than {PASSWORD_LIMIT} bytes or holds a zero byte; it is not accepted"
                )),
                Password::Plain(plain) => {
                    let (plain, cost) = (plain.clone(), self.cost);
                    let made = self.hashers.run(move || bcrypt::hash(plain.reveal(), cost)).await?;
                    made.map_err(|error| format!("hash the password: {error}; no password is accepted"))
                }
            };
            made.map(Arc::<str>::from).inspect_err(|why| tracing::error!("{why}")).ok()
        };
        self.hash.get_or_init(make).await.clone()
    }

    fn is_right(&self, user: &[u8], password: &[u8]) -> bool {
        self.right.get().is_some_and(|right| same(right, &self.digest(user, password)))
    }

    fn digest(&self, user: &[u8], password: &[u8]) -> Digest {
        self.key.digest(&[user, password])
    }

    fn places(&self) -> RwLockReadGuard<'_, Vec<(Network, Instant)>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a text can be a password. bcrypt would cut a longer one, and repeats a shorter one after a zero byte: `a`
/// and `a\0a` have the same hash.
pub(super) fn usable(password: &[u8]) -> bool {
    !password.is_empty() && password.len() <= PASSWORD_LIMIT && !password.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counts;
    use super::*;
    use crate::config::secret::Secret;

    fn from(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    impl Passwords {
        async fn takes(&self, user: &str, password: &str) -> bool {
            self.check(user.as_bytes(), password.as_bytes(), from("192.0.2.1")).await
        }
    }

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
            passwords.takes(user, password).await;
            assert_eq!(counts.read().hashes - before, 1, "{user}:{password}");
        }
        // A verified pair needs no further bcrypt; any other pair does.
        let before = counts.read().hashes;
        assert!(passwords.takes("user", "password").await);
        assert_eq!(counts.read().hashes, before);
        assert!(!passwords.takes("user", "wrong").await);
        assert_eq!(counts.read().hashes, before + 1);
    }

    #[tokio::test]
    async fn only_the_exact_pair_is_accepted() {
        let passwords = plain("pässwort 密码");
        assert!(!passwords.remembers(b"user", "pässwort 密码".as_bytes(), from("192.0.2.1")));
        for (user, password, right) in [
            ("user", "pässwort 密码", true),
            ("user", "passwort 密码", false),
            ("User", "pässwort 密码", false),
            ("", "pässwort 密码", false),
            ("user", "", false),
            ("user", "pässwort 密码\0pässwort 密码", false),
        ] {
            assert_eq!(passwords.takes(user, password).await, right, "{user}:{password}");
        }
        assert!(passwords.remembers(b"user", "pässwort 密码".as_bytes(), from("192.0.2.1")));
        assert!(!passwords.remembers(b"user", b"other", from("192.0.2.1")));
    }

    #[tokio::test]
    async fn verified_pair_is_remembered_only_for_its_network() {
        let passwords = plain("password");
        let remembered = |address: &str| passwords.remembers(b"user", b"password", from(address));
        assert!(passwords.takes("user", "password").await);
        for (address, known) in
            [("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("192.0.2.2", false), ("2001:db8::1", false)]
        {
            assert_eq!(remembered(address), known, "{address}");
        }
        // More networks than are remembered: the oldest entry is removed.
        for n in 1..=PLACES {
            let address = format!("2001:db8:0:{n:x}::1");
            assert!(passwords.check(b"user", b"password", from(&address)).await);
            assert!(remembered(&address) && remembered(&format!("2001:db8:0:{n:x}::2")));
        }
        assert!(!remembered("192.0.2.1") && remembered("2001:db8:0:1::1"));
        // For how long it was not used makes no difference for the priority.
        tokio::time::pause();
        tokio::time::advance(MEMORY).await;
        assert!(!remembered("2001:db8:0:1::1"));
        assert_eq!(passwords.standing(from("2001:db8:0:1::1")), Standing::KnownNetwork);
        assert_eq!(passwords.standing(from("192.0.2.1")), Standing::Stranger);
    }

    #[tokio::test]
    async fn the_password_itself_is_recognised_as_soon_as_it_is_known() {
        assert!(plain("password").is_password(b"password"));
        assert!(!plain("password").is_password(b"user") && !plain("").is_password(b""));
        let (hashed, _) = passwords(Password::Hash(Secret::new(bcrypt::hash("password", 4).unwrap())));
        assert!(!hashed.takes("user", "other").await);
        assert!(!hashed.is_password(b"password") && !hashed.is_password(b"other"));
        assert!(hashed.takes("user", "password").await);
        assert!(hashed.is_password(b"password") && !hashed.is_password(b"other"));
    }

    #[tokio::test]
    async fn too_long_password_is_refused_instead_of_cut() {
        let longest = "x".repeat(72);
        let passwords = plain(&longest);
        assert!(passwords.takes("user", &longest).await);
        assert!(!passwords.takes("user", &format!("{longest}y")).await);
        let too_long = "x".repeat(73);
        let passwords = plain(&too_long);
        assert!(!passwords.takes("user", &too_long).await);
        assert!(!passwords.takes("user", &longest).await);
    }

    #[tokio::test]
    async fn empty_password_is_refused() {
        assert!(!plain("").takes("user", "").await);
    }

    #[tokio::test]
    async fn hashes_of_all_three_kinds_are_taken() {
        let made = bcrypt::hash("password", 4).unwrap();
        for kind in ["2a", "2b", "2y"] {
            let hash = made.replacen("2b", kind, 1);
            let (passwords, _) = passwords(Password::Hash(Secret::new(hash)));
            assert!(passwords.takes("user", "password").await, "{kind}");
            assert!(!passwords.takes("user", "wrong").await, "{kind}");
        }
        let (passwords, _) = passwords(Password::Hash(Secret::new("no hash")));
        assert!(!passwords.takes("user", "no hash").await);
    }

    #[tokio::test(start_paused = true)]
    async fn verified_pair_is_forgotten_after_a_while() {
        let passwords = plain("password");
        assert!(passwords.takes("user", "password").await);
        tokio::time::advance(MEMORY).await;
        assert!(!passwords.remembers(b"user", b"password", from("192.0.2.1")));
    }
}
