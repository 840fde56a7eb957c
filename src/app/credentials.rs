//! Who may enter, as the environment and what was made before say it.

use crate::config::{Config, Secret};
use crate::gateway::auth::{Credentials, Password};
use crate::portal;
use crate::state::State;

/// What people log in with, as the door needs it and as root may see it.
pub(super) fn of(config: &Config, state: &State) -> (Credentials, portal::Credentials) {
    let vars = &config.env.vars;
    let user = vars.web_user.clone();
    let (password, shown) = match (&vars.web_password_hash, &vars.web_password) {
        (Some(hash), _) => (Password::Hash(hash.0.clone()), None),
        (None, Some(given)) => (Password::Plain(given.0.clone()), Some(given.0.reveal().to_owned())),
        (None, None) => {
            let made = state.word("web-password");
            if vars.web_enable_auth {
                tracing::info!(
                    "no usable WEB_PASSWORD was given: one was made for user '{user}'; `desktopd credentials` shows it to root"
                );
            }
            (Password::Plain(Secret::new(made.clone())), Some(made))
        }
    };
    let token = vars.web_token.clone().unwrap_or_else(|| Secret::new(state.word("web-token")));
    let shown = portal::Credentials {
        user: user.clone(),
        password: shown,
        token: token.reveal().to_owned(),
        enabled: vars.web_enable_auth,
    };
    let credentials = Credentials {
        user,
        password,
        tokens: vec![token],
        enabled: vars.web_enable_auth,
        excluded: Vec::new(),
        cookie: None,
    };
    (credentials, shown)
}
