//! Tests of the authentication as a whole, without connections: schemes, restarts, and what services receive.

mod changes;
mod sessions;

use super::*;
use crate::config::secret::Secret;
use axum::http::header::COOKIE;
use std::net::IpAddr;
use std::path::Path;

const PORT: u16 = 6100;

fn credentials() -> Credentials {
    Credentials {
        user: "user".into(),
        password: Password::Plain(Secret::new("given")),
        tokens: vec![Secret::new("token")],
        password_as_token: true,
        enabled: true,
        excluded: vec![6200],
        cookie: Some("C.1_auth_token".into()),
    }
}

fn fresh() -> Auth {
    Auth::new(credentials(), &[7; 32], 4)
}

/// The authenticator after a restart with the state in this folder.
fn restarted(dir: &Path, credentials: Credentials) -> Auth {
    Auth::stored_in(Arc::new(State::open(dir, "one").0), credentials, 4)
}

fn request(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// A browser: the cookies that it would send.
#[derive(Clone, Default)]
struct Browser(Vec<(String, String)>);

impl Browser {
    fn take(&mut self, line: &HeaderValue) {
        let line = line.to_str().unwrap();
        let (name, rest) = line.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        assert_eq!(name.starts_with("__Host-"), line.ends_with("; Secure"), "{line}");
        self.0.retain(|(other, _)| other != name);
        if !line.contains("Max-Age=0") {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    fn sends(&self, secure: bool) -> HeaderMap {
        let sent = self.0.iter().filter(|(name, _)| secure || !name.starts_with("__Host-"));
        let sent: Vec<String> = sent.map(|(name, value)| format!("{name}={value}")).collect();
        if sent.is_empty() { HeaderMap::new() } else { request(&[("cookie", &sent.join("; "))]) }
    }

    fn enter(&mut self, auth: &Auth, secure: bool) {
        self.take(&auth.log_in(How::Password, secure).unwrap());
    }

    fn is_in(&self, auth: &Auth, secure: bool) -> bool {
        auth.session(&self.sends(secure), secure).is_some()
    }

    async fn leave(&mut self, auth: &Auth, secure: bool) {
        for line in auth.log_out(&self.sends(secure), secure).await {
            self.take(&line);
        }
    }
}

async fn admit(auth: &Auth, uri: &str, headers: &HeaderMap, port: u16) -> Result<Access, Denied> {
    admit_from("203.0.113.1", auth, uri, headers, port).await
}

async fn admit_from(
    peer: &str,
    auth: &Auth,
    uri: &str,
    headers: &HeaderMap,
    port: u16,
) -> Result<Access, Denied> {
    let way = Way { port, secure: false, navigation: false, changes_ours: false };
    auth.admit(&uri.parse().unwrap(), headers, peer.parse().unwrap(), way).await
}

fn bearer(token: &str) -> HeaderMap {
    request(&[("authorization", &format!("Bearer {token}"))])
}

async fn knows(auth: &Auth, user: &str, password: &str) -> bool {
    auth.password(user.as_bytes(), password.as_bytes(), IpAddr::from([127, 0, 0, 1]), None).await.is_ok()
}

#[tokio::test]
async fn token_equal_to_the_password_is_not_hashed_and_survives_a_new_password() {
    let auth = Auth::new(Credentials { tokens: vec![Secret::new("given")], ..credentials() }, &[7; 32], 4);
    for _ in 0..2 {
        for (uri, headers) in [("/", bearer("given")), ("/?token=given", HeaderMap::new())] {
            assert_eq!(admit(&auth, uri, &headers, PORT).await, Ok(Access::Credentials));
        }
        assert_eq!(auth.counters().attempts, 0);
        auth.replace("user", Secret::new("chosen")).await.unwrap();
    }
}

#[tokio::test]
async fn password_in_place_of_a_token_is_limited_like_a_password() {
    let auth = fresh();
    auth.known().passwords.hash().await;
    let cost = async |peer: &str, uri: &str, headers: &HeaderMap| {
        let before = auth.counters();
        let verdict = admit_from(peer, &auth, uri, headers, PORT).await;
        let after = auth.counters();
        (verdict, after.hashes - before.hashes, after.failures - before.failures)
    };
    let (here, there) = ("203.0.113.1", "198.51.100.1");
    let (nothing, right) = (HeaderMap::new(), Ok(Access::Credentials));
    assert_eq!(cost(here, "/", &bearer("given")).await, (right, 1, 0));
    for _ in 0..3 {
        assert_eq!(cost(here, "/", &bearer("given")).await, (right, 0, 0));
        assert_eq!(cost(here, "/?token=g%69ven", &nothing).await, (right, 0, 0));
        assert_eq!(
            cost(here, "/", &request(&[("authorization", "Basic dXNlcjpnaXZlbg==")])).await,
            (right, 0, 0)
        );
    }
    // The same wrong value in every form is counted once.
    assert_eq!(cost(there, "/", &bearer("wrong")).await, (Err(Denied::Wrong), 1, 1));
    assert_eq!(cost(there, "/?token=wrong", &nothing).await, (Err(Denied::Stranger), 0, 0));
    assert_eq!(cost(there, "/", &request(&[("authorization", "Basic dXNlcjp3cm9uZw==")])).await.2, 0);
    // A value that cannot be a password needs no bcrypt.
    let long = "x".repeat(73);
    assert_eq!(cost(there, "/", &bearer(&long)).await, (Err(Denied::Wrong), 0, 1));
    for n in 0..3 {
        assert_eq!(cost(there, &format!("/?token={n}"), &nothing).await, (Err(Denied::Stranger), 1, 1));
    }
    assert_eq!(auth.counters().bans, 1);
    // A banned client cannot distinguish the right password from others, although it was verified elsewhere before.
    for shown in ["given", "other"] {
        let (verdict, hashes, _) = cost(there, "/", &bearer(shown)).await;
        assert!(matches!(verdict, Err(Denied::TooMany(_))) && hashes == 0, "{shown}: {verdict:?}");
        let (verdict, hashes, _) = cost(there, &format!("/?token={shown}"), &nothing).await;
        assert!(matches!(verdict, Err(Denied::TooMany(_))) && hashes == 0, "{shown}: {verdict:?}");
    }
    assert_eq!(cost(there, "/", &bearer("token")).await, (right, 0, 0));
    assert_eq!(cost(here, "/", &bearer("given")).await, (right, 0, 0));

    let elsewhere = Auth::new(Credentials { password_as_token: false, ..credentials() }, &[7; 32], 4);
    assert_eq!(admit(&elsewhere, "/", &bearer("given"), PORT).await, Err(Denied::Wrong));
    assert_eq!(elsewhere.counters().hashes, 0);
}

#[tokio::test]
async fn plus_in_a_token_parameter_is_a_plus_or_a_blank() {
    let password = Password::Plain(Secret::new("a+b c"));
    let auth = Auth::new(Credentials { password, ..credentials() }, &[7; 32], 4);
    let nothing = HeaderMap::new();
    assert_eq!(admit(&auth, "/?token=a+b%20d", &nothing, PORT).await, Err(Denied::Stranger));
    assert_eq!((auth.counters().attempts, auth.counters().failures), (1, 1));
    for uri in ["/?token=a%2Bb+c", "/?token=a+b%20c"] {
        assert_eq!(admit(&auth, uri, &nothing, PORT).await, Ok(Access::Credentials), "{uri}");
        let clean = auth.without_token(&uri.parse().unwrap(), Access::Credentials);
        assert_eq!(clean.as_deref(), Some("/"), "{uri}");
    }
}

#[tokio::test]
async fn open_port_does_not_reveal_the_password_to_clients_without_a_login() {
    let auth = fresh();
    let uri = "/lab?token=given&x";
    let referer = [("referer", "http://h:6200/?token=given")];
    for _ in 0..2 {
        assert_eq!(admit(&auth, uri, &HeaderMap::new(), 6200).await, Ok(Access::Open));
        assert_eq!(admit(&auth, "/", &bearer("given"), 6200).await, Ok(Access::Open));
    }
    assert_eq!((auth.counters().attempts, auth.counters().hashes), (0, 0));
    let address = uri.parse().unwrap();
    assert_eq!(auth.without_token(&address, Access::Open), None);
    for headers in [bearer("given"), request(&referer)] {
        let mut seen = headers.clone();
        auth.strip(&mut seen, Access::Open.is_inside());
        assert_eq!(seen, headers);
    }
    // From the network of the owner the password is recognised and removed.
    assert_eq!(admit(&auth, "/", &bearer("given"), PORT).await, Ok(Access::Credentials));
    assert_eq!(admit(&auth, uri, &HeaderMap::new(), 6200).await, Ok(Access::Credentials));
    assert_eq!(auth.without_token(&address, Access::Credentials).as_deref(), Some("/lab?x"));
    assert_eq!(admit_from("198.51.100.1", &auth, uri, &HeaderMap::new(), 6200).await, Ok(Access::Open));
}

#[tokio::test]
async fn wrong_token_is_a_guess_unless_the_client_is_authenticated() {
    for password_as_token in [false, true] {
        guesses(&Auth::new(Credentials { password_as_token, ..credentials() }, &[7; 32], 4)).await;
    }
}

async fn guesses(auth: &Auth) {
    let basic = request(&[("authorization", "Basic dXNlcjpnaXZlbg==")]);
    assert!(admit(auth, "/", &basic, PORT).await.is_ok());
    let mut browser = Browser::default();
    browser.enter(auth, false);
    let (stranger, inside) = (HeaderMap::new(), browser.sends(false));
    let counted = async |uri: &str, headers: &HeaderMap, port| {
        let before = auth.counters().failures;
        let verdict = admit(auth, uri, headers, port).await;
        (verdict.is_ok(), auth.counters().failures - before)
    };
    assert_eq!(counted("/lab?token=jupyter", &inside, PORT).await, (true, 0));
    assert_eq!(counted("/lab?token=jupyter", &stranger, 6200).await, (true, 0), "an open port");
    assert_eq!(counted("/lab?token=token", &stranger, PORT).await, (true, 0));
    assert_eq!(counted("/lab?tok%65n=token", &stranger, PORT).await, (true, 0));
    assert_eq!(counted("/lab?token=", &stranger, PORT).await, (false, 0));
    assert_eq!(counted("/lab?a&tok%65n=wrong", &stranger, PORT).await, (false, 1));
    for _ in 0..10 {
        assert_eq!(
            counted("/lab?token=wrong", &stranger, PORT).await,
            (false, 0),
            "a page that asks and asks"
        );
    }
    for n in 0..4 {
        counted(&format!("/?token={n}"), &stranger, PORT).await;
    }
    assert_eq!(auth.counters().bans, 1);
    assert!(matches!(admit(auth, "/?token=wrong", &stranger, PORT).await, Err(Denied::TooMany(_))));
    // Credentials that cannot be guessed are never refused because of the client's address.
    assert!(admit(auth, "/?token=token", &stranger, PORT).await.is_ok());
    assert!(admit(auth, "/", &inside, PORT).await.is_ok());
    assert!(admit(auth, "/", &bearer("token"), PORT).await.is_ok());
    // Nor is a password from a network where it was verified a short time ago.
    assert!(admit(auth, "/", &basic, PORT).await.is_ok());
    let other = request(&[("authorization", "Basic dXNlcjpvdGhlcg==")]);
    assert!(matches!(admit(auth, "/", &other, PORT).await, Err(Denied::TooMany(_))));
    assert!(knows(auth, "user", "given").await, "from elsewhere");
}

#[tokio::test]
async fn repeated_old_password_does_not_ban_its_owner() {
    let auth = fresh();
    auth.replace("user", Secret::new("chosen")).await.unwrap();
    let old = request(&[("authorization", "Basic dXNlcjpnaXZlbg==")]);
    for _ in 0..50 {
        assert_eq!(admit(&auth, "/", &old, PORT).await, Err(Denied::Wrong));
    }
    assert_eq!((auth.counters().failures, auth.counters().bans), (1, 0));
    let peer: IpAddr = "203.0.113.1".parse().unwrap();
    assert_eq!(auth.password(b"user", b"chosen", peer, None).await, Ok(()));
    // A value that was wrong may become the right one.
    assert_eq!(auth.password(b"user", b"later", peer, None).await, Err(Denied::Wrong));
    auth.replace("user", Secret::new("later")).await.unwrap();
    assert_eq!(auth.password(b"user", b"later", peer, None).await, Ok(()));
}

#[tokio::test]
async fn our_credentials_are_stripped_and_other_headers_stay() {
    let auth = fresh();
    let ours = auth.log_in(How::Password, true).unwrap();
    let ours = ours.to_str().unwrap().split(';').next().unwrap();
    let mut headers = request(&[
        ("cookie", &format!("a=1; {ours}; C.1_auth_token=x; b=2")),
        ("authorization", "Bearer token"),
        ("referer", "http://h:6100/a?tok%65n=token&b=c"),
        ("x-other", "token"),
    ]);
    auth.strip(&mut headers, true);
    let left = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(left(COOKIE.as_str()), Some("a=1; b=2"));
    assert_eq!((left("authorization"), left("referer")), (None, Some("http://h:6100/a?b=c")));
    let mut headers = bearer("given");
    headers.extend(request(&[("referer", "http://h:6100/a?token=given")]));
    auth.strip(&mut headers, true);
    assert_eq!(headers, request(&[("referer", "http://h:6100/a")]), "the password in a token's place");
    let untouched = request(&[
        ("cookie", "sid=C.1_auth_token"),
        ("authorization", "Bearer of-the-service"),
        ("referer", "http://h:8888/lab?token=jupyter"),
    ]);
    let mut headers = untouched.clone();
    auth.strip(&mut headers, true);
    assert_eq!(headers, untouched);
}

#[tokio::test]
async fn wrong_user_and_wrong_password_each_cost_one_run_of_bcrypt() {
    let auth = fresh();
    auth.known().passwords.hash().await;
    for (user, password) in [("user", "wrong"), ("other", "wrong"), ("other", "given"), ("", "")] {
        let before = auth.counters();
        assert!(!knows(&auth, user, password).await);
        let after = auth.counters();
        assert_eq!((after.hashes - before.hashes, after.failures - before.failures), (1, 1), "{user}");
    }
}
