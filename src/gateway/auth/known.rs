//! The active credentials: user, password, tokens and the signers of sessions. They are replaced as a whole.

use std::sync::Arc;
use std::time::SystemTime;

use super::cookie::Signer;
use super::credentials::{Credentials, Password};
use super::digest::{Digest, Fingerprint, Key, Keyed, fingerprint, same};
use super::hashers::Hashers;
use super::password::Passwords;
use crate::config::secret::Secret;

/// The parts that do not change when the credentials are replaced.
pub(super) struct Making {
    pub(super) cookie_key: Key,
    pub(super) token_key: Keyed,
    pub(super) cost: u32,
    pub(super) hashers: Arc<Hashers>,
}

impl Making {
    fn passwords(&self, user: &str, password: &Password) -> Arc<Passwords> {
        Arc::new(Passwords::new(user, password.clone(), self.cost, Arc::clone(&self.hashers)))
    }

    fn signers(&self, generation: u32, generation_id: &[u8; 16], user: &str, source: &str) -> Signers {
        let binding: &[&[u8]] = &[generation_id, user.as_bytes(), source.as_bytes()];
        let key = &self.cookie_key;
        Signers {
            sessions: Signer::new(key, generation, binding),
            browsers: Signer::of_browsers(key, generation, binding),
            crossings: Signer::of_crossings(key, generation, binding),
        }
    }
}

/// The signers of our cookies.
pub(super) struct Signers {
    pub(super) sessions: Signer,
    pub(super) browsers: Signer,
    pub(super) crossings: Signer,
}

/// The active credentials.
pub(super) struct Known {
    pub(super) user: String,
    /// The previous user name. Browsers continue to send it with the previous password.
    former: Option<String>,
    pub(super) passwords: Arc<Passwords>,
    /// The given text of the password or its hash. The signatures of sessions depend on it.
    source: Secret,
    pub(super) signers: Signers,
    token_key: Keyed,
    tokens: Vec<Digest>,
    /// Whether the password is accepted in place of a token.
    pub(super) password_as_token: bool,
    /// The generation number: how often the credentials were changed.
    pub(super) generation: u32,
    /// Whether user and password were set at run time instead of given at the start.
    pub(super) chosen: bool,
}

impl Known {
    pub(super) fn given(credentials: &Credentials, making: &Making, generation_id: &[u8; 16]) -> Self {
        let Credentials { user, password, tokens, password_as_token, .. } = credentials;
        let tokens = tokens.iter().map(|token| token.reveal().as_bytes()).filter(|token| !token.is_empty());
        let (_, source) = password.known();
        let signers = making.signers(0, generation_id, user, source);
        Self {
            user: user.clone(),
            former: None,
            passwords: making.passwords(user, password),
            signers,
            source: Secret::new(source),
            token_key: making.token_key.clone(),
            tokens: tokens.map(|token| making.token_key.digest(&[token])).collect(),
            password_as_token: *password_as_token,
            generation: 0,
            chosen: false,
        }
    }

    /// The same with another user and password. Tokens remain valid, even a token that is equal to the old password.
    pub(super) fn chosen(
        &self,
        (user, password): (&str, &Password),
        making: &Making,
        generation_id: &[u8; 16],
    ) -> Self {
        let generation = self.generation + 1;
        let (_, source) = password.known();
        let signers = making.signers(generation, generation_id, user, source);
        Self {
            user: user.to_owned(),
            former: Some(self.user.clone()),
            passwords: making.passwords(user, password),
            signers,
            source: Secret::new(source),
            token_key: self.token_key.clone(),
            tokens: self.tokens.clone(),
            password_as_token: self.password_as_token,
            generation,
            chosen: true,
        }
    }

    /// The same with another random generation id, so that no existing session is valid.
    pub(super) fn with_generation_id(&self, making: &Making, generation_id: &[u8; 16]) -> Self {
        let generation = self.generation + 1;
        let signers = making.signers(generation, generation_id, &self.user, self.source.reveal());
        Self {
            user: self.user.clone(),
            former: self.former.clone(),
            passwords: Arc::clone(&self.passwords),
            signers,
            source: self.source.clone(),
            token_key: self.token_key.clone(),
            tokens: self.tokens.clone(),
            password_as_token: self.password_as_token,
            generation,
            chosen: self.chosen,
        }
    }

    /// Whether a name is the current or the previous user name.
    pub(super) fn is_user(&self, name: &[u8]) -> bool {
        name == self.user.as_bytes() || self.former.as_ref().is_some_and(|former| name == former.as_bytes())
    }

    /// The fingerprint of a wrong token.
    pub(super) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        fingerprint(self.token_key.digest(&[token, b"wrong"]))
    }

    pub(super) fn is_token(&self, token: &[u8]) -> bool {
        let shown = self.token_key.digest(&[token]);
        self.tokens.iter().fold(false, |found, token| found | same(token, &shown))
    }

    /// Whether this value is valid in a link to https, in place of a token that came by http a short time ago.
    pub(super) fn is_crossing(&self, token: &[u8]) -> bool {
        self.signers.crossings.open(token, SystemTime::now(), false).is_some()
    }

    /// Whether a password is ours. The real password is recognised for authenticated clients only.
    pub(super) fn is_our_password(&self, shown: &[u8], inside: bool) -> bool {
        self.is_token(shown) || (inside && self.passwords.is_password(shown))
    }

    /// Whether a value in the place of a token is ours and must not reach a service. The password is recognised for
    /// authenticated clients only: on an open port, a client without a login could otherwise find the password by
    /// observing what a service receives.
    pub(super) fn is_ours(&self, token: &[u8], inside: bool) -> bool {
        self.is_token(token)
            || self.is_crossing(token)
            || (inside && self.password_as_token && self.passwords.is_password(token))
    }
}
