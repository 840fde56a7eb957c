//! The credentials of the gateway, from the environment or generated earlier. On vast.ai the Open button has a token.
//! There the token is also the password if none was chosen, and the password is also accepted as a token.

use crate::config::env::{PASSWORD_LIMIT, weak};
use crate::config::{Config, Provider, Secret};
use crate::gateway::auth::{Credentials, Password};
use crate::portal;
use crate::state::State;

/// The password of examples: it does not count as a chosen one.
const EXAMPLE: &str = "password";

/// The credentials as the authenticator needs them and as root may see them, and warnings about weak ones. A token that
/// is too weak counts as not given: templates contain a placeholder for the token that vast.ai sets.
pub(super) fn of(config: &Config, state: &State) -> (Credentials, portal::Credentials, Vec<String>) {
    let vars = &config.env.vars;
    let vast = Provider::of(&config.env.raw).is_vast();
    let user = vars.web_user.0.clone();
    let mut weak = Vec::new();
    let token = usable(("WEB_TOKEN", vars.web_token.as_ref()), &mut weak);
    let button = usable(("OPEN_BUTTON_TOKEN", vars.open_button_token.as_ref()), &mut weak);
    let chosen = vars.web_password.as_ref().map(|password| &password.0);
    let button_password = button.filter(|token| vast && token.reveal().len() <= PASSWORD_LIMIT);
    let chosen = match chosen {
        Some(password) if button_password.is_none() || password.reveal() != EXAMPLE => Some(password),
        _ => button_password,
    };
    let (password, shown) = match (&vars.web_password_hash, chosen) {
        (Some(hash), _) => (Password::Hash(hash.0.clone()), None),
        (None, Some(given)) => {
            weak.extend(weak::password(given.reveal(), &user).map(|why| {
                format!(
                    "WEB_PASSWORD can be guessed: {why}; a client that guesses it can use this desktop. \
                     `set-web-credentials` changes it; without WEB_PASSWORD a strong one is generated"
                )
            }));
            (Password::Plain(given.clone()), Some(given.reveal().to_owned()))
        }
        (None, None) => {
            let made = state.word("web-password");
            if vars.web_enable_auth {
                tracing::info!(
                    "no usable WEB_PASSWORD was given: one was generated for user '{user}'; \
                     `desktopd credentials` shows it to root"
                );
            }
            (Password::Plain(Secret::new(made.clone())), Some(made))
        }
    };
    let mut tokens: Vec<Secret> = token.into_iter().chain(button).cloned().collect();
    if tokens.is_empty() {
        tokens.push(Secret::new(state.word("web-token")));
    }
    let token = tokens[0].reveal().to_owned();
    let label = vars.vast_containerlabel.as_ref().map(|label| format!("{label}_auth_token"));
    let cookie = vars.caddy_auth_cookie_name.as_ref().map(|name| name.0.clone()).or(label);
    let enabled = vars.web_enable_auth;
    let shown = portal::Credentials { user: user.clone(), password: shown, token, enabled, chosen: false };
    let excluded = vars.auth_exclude.0.clone();
    let credentials =
        Credentials { user, password, tokens, password_as_token: vast, enabled, excluded, cookie };
    // Without a login, weak credentials do not matter.
    weak.retain(|_| enabled);
    (credentials, shown, weak)
}

/// The token, unless it is too weak to count as one.
fn usable<'a>((name, token): (&str, Option<&'a Secret>), weak: &mut Vec<String>) -> Option<&'a Secret> {
    let token = token?;
    let why = weak::token(token.reveal());
    if weak::is_worthless(token.reveal()) {
        weak.extend(why.map(|why| format!("{name} counts as not given: {why}")));
        return None;
    }
    weak.extend(why.map(|why| format!("{name} can be guessed: {why}")));
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn of(pairs: &[(&str, &str)]) -> (Credentials, portal::Credentials) {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let env = Environment::new(pairs, &[], &mut Vec::new());
        let config = Config::read("/nonexistent".into(), env, Vec::new());
        let (state, _) = State::open("/proc/nowhere".as_ref(), "test");
        let (credentials, shown, _) = super::of(&config, &state);
        (credentials, shown)
    }

    fn weak(pairs: &[(&str, &str)]) -> Vec<String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let env = Environment::new(pairs, &[], &mut Vec::new());
        let config = Config::read("/nonexistent".into(), env, Vec::new());
        super::of(&config, &State::open("/proc/nowhere".as_ref(), "test").0).2
    }

    #[test]
    fn weak_credentials_are_reported_and_worthless_tokens_count_as_not_given() {
        let label = ("VAST_CONTAINERLABEL", "C.1");
        let good = ("OPEN_BUTTON_TOKEN", "0123456789abcdef0123456789abcdef");
        for (pairs, expected) in [
            (&[][..], &[][..]),
            (&[("WEB_PASSWORD", "a longer one")], &[]),
            (&[("WEB_PASSWORD", "password")], &["WEB_PASSWORD can be guessed: it is among the first"]),
            (&[("WEB_PASSWORD", "user")], &["WEB_PASSWORD can be guessed: it is the user's name"]),
            (&[("WEB_USER", "ada"), ("WEB_PASSWORD", "ada")], &["it is the user's name"]),
            (&[("WEB_PASSWORD", "x9!z")], &["fewer than 8 characters"]),
            (&[("WEB_PASSWORD", "x9!z"), ("WEB_ENABLE_AUTH", "false")], &[]),
            (&[("WEB_TOKEN", "short")], &["WEB_TOKEN can be guessed"]),
            (&[label, good], &[]),
            (&[label, good, ("WEB_PASSWORD", "password")], &[]),
            (&[label, ("OPEN_BUTTON_TOKEN", "1")], &["OPEN_BUTTON_TOKEN counts as not given"]),
        ] {
            let found = weak(pairs);
            assert_eq!(found.len(), expected.len(), "{pairs:?}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{pairs:?}: {found}");
                assert!(!found.contains("x9!z") && !found.contains("short"), "{found}");
            }
        }
        // A copied template, on vast.ai and elsewhere: token and password are both generated, not the well-known ones.
        for pairs in [&[("OPEN_BUTTON_TOKEN", "1")][..], &[label, ("OPEN_BUTTON_TOKEN", "1")]] {
            let (credentials, shown) = of(pairs);
            assert!(tokens(&credentials)[0].len() > 20 && shown.token.len() > 20);
            assert!(shown.password.unwrap().len() > 20, "{pairs:?}");
        }
    }

    fn tokens(credentials: &Credentials) -> Vec<&str> {
        credentials.tokens.iter().map(Secret::reveal).collect()
    }

    #[test]
    fn vast_has_a_user_and_a_password_of_its_own() {
        let label = ("VAST_CONTAINERLABEL", "C.1");
        let button = ("OPEN_BUTTON_TOKEN", "button");
        for (pairs, user, password, expected) in [
            (&[label, button][..], "vastai", "button", &["button"][..]),
            (&[label, button, ("WEB_PASSWORD", "password")], "vastai", "button", &["button"]),
            (
                &[label, button, ("WEB_PASSWORD", "mine"), ("WEB_USERNAME", "ada"), ("WEB_TOKEN", "t-token")],
                "ada",
                "mine",
                &["t-token", "button"],
            ),
            (&[label, ("WEB_PASSWORD", "password")], "vastai", "password", &[""]),
            (&[button, ("WEB_PASSWORD", "password")], "user", "password", &["button"]),
            (&[("WEB_PASSWORD", "mine")], "user", "mine", &[""]),
        ] {
            let (credentials, shown) = of(pairs);
            assert_eq!((&*credentials.user, shown.password.as_deref()), (user, Some(password)), "{pairs:?}");
            let found = tokens(&credentials);
            assert_eq!(found.len(), expected.len(), "{pairs:?}");
            for (found, expected) in found.iter().zip(expected) {
                // Where nothing is expected, a token was generated.
                assert!(found == expected || (expected.is_empty() && found.len() > 20), "{pairs:?}: {found}");
            }
            let vast = pairs.contains(&label);
            assert_eq!(credentials.password_as_token, vast, "{pairs:?}");
            assert_eq!(credentials.cookie.as_deref(), vast.then_some("C.1_auth_token"), "{pairs:?}");
        }
    }

    #[test]
    fn token_that_cannot_be_a_password_is_only_a_token() {
        let long = "x9".repeat(PASSWORD_LIMIT);
        let (credentials, shown) = of(&[("VAST_CONTAINERLABEL", "C.1"), ("OPEN_BUTTON_TOKEN", &long)]);
        let made = shown.password.unwrap();
        assert_ne!(made, long);
        assert_eq!(tokens(&credentials), [&*long]);
        let hash = "$2b$04$abcdefghijklmnopqrstuuGJ/jZDjBkOjtfXJKnoNpIpl6uoIJcLa";
        let (credentials, shown) = of(&[
            ("VAST_CONTAINERLABEL", "C.1"),
            ("OPEN_BUTTON_TOKEN", "b-token"),
            ("WEB_PASSWORD_HASH", hash),
        ]);
        assert_eq!((tokens(&credentials), shown.password), (vec!["b-token"], None), "a hash is no token");
    }

    #[test]
    fn the_cookie_can_be_named() {
        let named = ("CADDY_AUTH_COOKIE_NAME", "mine");
        assert_eq!(of(&[("VAST_CONTAINERLABEL", "C.1"), named]).0.cookie.as_deref(), Some("mine"));
    }
}
