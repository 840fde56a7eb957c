//! The credentials of the web services, for people who may see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::gateway::auth::Auth;

/// User, password and token of the web services.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The one user.
    pub user: String,
    /// The password, unless only its hash is known.
    pub password: Option<String>,
    /// The token for `Authorization: Bearer` and `?token=`.
    pub token: String,
    /// Whether a login is required.
    pub enabled: bool,
    /// Whether user and password were set while the daemon ran, with `set-web-credentials`.
    #[serde(default)]
    pub chosen: bool,
}

/// The login of the gateway: who is logged in, and with which credentials people log in. Cheap to clone.
#[derive(Clone)]
pub struct Login {
    pub(super) auth: Auth,
    /// The credentials of the start.
    given: Arc<Credentials>,
}

impl Login {
    /// `given` are the credentials of the start.
    pub fn new(auth: Auth, given: Credentials) -> Self {
        Self { auth, given: Arc::new(given) }
    }

    /// Whether a login is required.
    pub(super) fn is_required(&self) -> bool {
        self.given.enabled
    }

    /// The credentials that are valid now.
    pub(super) fn current(&self) -> Credentials {
        match self.auth.user() {
            (user, true) => {
                Credentials { user, password: None, chosen: true, ..Credentials::clone(&self.given) }
            }
            (_, false) => Credentials::clone(&self.given),
        }
    }
}
