//! The active credentials: user, password, tokens and the signer of cookies. They are replaced as a whole.

use std::sync::Arc;
use std::time::SystemTime;

use super::cookie::{Purpose, Signer};
use super::credentials::{Credentials, Password};
use super::digest::{Digest, Fingerprint, Key, Keyed, fingerprint, same};
use super::hashers::Hashers;
use super::password::Passwords;

/// The parts that do not change when the credentials are replaced.
#[derive(Clone)]
pub(super) struct Making {
    pub(super) cookie_key: Key,
    pub(super) token_key: Keyed,
    pub(super) cost: u32,
    pub(super) hashers: Arc<Hashers>,
}

impl Making {
    fn passwords(&self, user: &str, password: Password) -> Arc<Passwords> {
        Arc::new(Passwords::new(user, password, self.cost, Arc::clone(&self.hashers)))
    }

    fn signer(&self, generation: u32, generation_id: &[u8], passwords: &Passwords) -> Signer {
        let (_, source) = passwords.source.known();
        let binding = [generation_id, passwords.user.as_bytes(), source.as_bytes()];
        Signer::new(&self.cookie_key, generation, &binding)
    }
}

/// The active credentials.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) making: Making,
    /// The user and the password.
    pub(super) passwords: Arc<Passwords>,
    /// The previous user name. Browsers continue to send it with the previous password.
    former: Option<String>,
    pub(super) signer: Signer,
    tokens: Vec<Digest>,
    /// Whether the password is accepted in place of a token.
    pub(super) password_as_token: bool,
    /// The generation number: how often the credentials were changed.
    pub(super) generation: u32,
    /// The random id of the generation. It is stored: all sessions that were signed in another generation have ended.
    pub(super) generation_id: [u8; 16],
    /// Whether user and password were set at run time instead of given at the start.
    pub(super) chosen: bool,
}

impl Known {
    pub(super) fn given(credentials: &Credentials, making: Making, generation_id: [u8; 16]) -> Self {
        let tokens = credentials.tokens.iter().map(|token| token.reveal().as_bytes());
        let tokens = tokens.filter(|token| !token.is_empty());
        let tokens = tokens.map(|token| making.token_key.digest(&[token])).collect();
        let passwords = making.passwords(&credentials.user, credentials.password.clone());
        Self {
            signer: making.signer(0, &generation_id, &passwords),
            making,
            passwords,
            former: None,
            tokens,
            password_as_token: credentials.password_as_token,
            generation: 0,
            generation_id,
            chosen: false,
        }
    }

    /// The same with another user and password. Tokens remain valid, even a token that is equal to the old password.
    pub(super) fn chosen(&self, user: &str, password: Password, generation_id: [u8; 16]) -> Self {
        let passwords = self.making.passwords(user, password);
        let former = Some(self.passwords.user.clone());
        Self { passwords, former, chosen: true, ..self.clone() }.renewed(generation_id)
    }

    /// The same in a new generation, so that no existing session is valid.
    pub(super) fn renewed(self, generation_id: [u8; 16]) -> Self {
        let generation = self.generation + 1;
        let signer = self.making.signer(generation, &generation_id, &self.passwords);
        Self { signer, generation, generation_id, ..self }
    }

    /// Whether a name is the current or the previous user name.
    pub(super) fn is_user(&self, name: &[u8]) -> bool {
        let is = |user: &String| name == user.as_bytes();
        is(&self.passwords.user) || self.former.as_ref().is_some_and(is)
    }

    /// The fingerprint of a wrong token.
    pub(super) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        fingerprint(self.making.token_key.digest(&[token, b"wrong"]))
    }

    pub(super) fn is_token(&self, token: &[u8]) -> bool {
        let shown = self.making.token_key.digest(&[token]);
        self.tokens.iter().fold(false, |found, token| found | same(token, &shown))
    }

    /// Whether this value is valid in a link to https, in place of a token that came by http a short time ago.
    pub(super) fn is_crossing(&self, token: &[u8]) -> bool {
        self.signer.open(Purpose::Crossing, token, SystemTime::now(), false).is_some()
    }

    /// Whether a password is ours. The real password is recognised for authenticated clients only.
    pub(super) fn is_our_password(&self, shown: &[u8], inside: bool) -> bool {
        self.is_token(shown) || (inside && self.passwords.is_password(shown))
    }

    /// Whether a value in the place of a token is ours and must not reach a service. The password is recognised for
    /// authenticated clients only: on an open port, a client without a login could otherwise find the password by
    /// observing what a service receives.
    pub(super) fn is_ours(&self, token: &[u8], inside: bool) -> bool {
        self.is_our_password(token, inside && self.password_as_token) || self.is_crossing(token)
    }
}
