//! Tests of the whole, without connections: schemes, restarts, and what services see.

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

/// After a restart with what was kept in the folder.
fn restarted(dir: &Path, credentials: Credentials) -> Auth {
    Auth::kept_in(Arc::new(State::open(dir, "one").0), credentials, 4)
}

fn request(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// A browser: what it would send of all that it was ever told to keep.
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
        self.take(&auth.log_in(secure).unwrap());
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
async fn one_browser_logs_in_by_https_and_then_by_http_and_out_again() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, true);
    assert!(browser.is_in(&auth, true) && !browser.is_in(&auth, false));
    browser.enter(&auth, false);
    assert!(browser.is_in(&auth, true) && browser.is_in(&auth, false), "both names beside each other");
    assert_eq!(browser.0.len(), 2);
    // By http the session of https cannot be reached, and goes on.
    let kept = browser.clone();
    browser.leave(&auth, false).await;
    assert!(browser.is_in(&auth, true) && !browser.is_in(&auth, false));
    assert!(!kept.is_in(&auth, false), "over, also for whoever has copied it");
    browser.enter(&auth, false);
    let kept = browser.clone();
    // By https everything that is shown is over.
    browser.leave(&auth, true).await;
    assert!(browser.0.is_empty() && !kept.is_in(&auth, true) && !kept.is_in(&auth, false));
}

#[tokio::test]
async fn a_cookie_of_http_opens_nothing_by_https_under_either_name() {
    let auth = fresh();
    let line = auth.log_in(false).unwrap();
    let pair = line.to_str().unwrap().split(';').next().unwrap();
    assert!(pair.starts_with("C.1_auth_token="), "{pair}");
    assert!(auth.session(&request(&[("cookie", pair)]), false).is_some());
    for shown in [pair.to_owned(), format!("__Host-{pair}")] {
        assert!(auth.session(&request(&[("cookie", &shown)]), true).is_none(), "{shown}");
    }
}

#[tokio::test]
async fn a_log_out_holds_over_a_restart_and_other_sessions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let auth = restarted(dir.path(), credentials());
    let mut browsers = [Browser::default(), Browser::default()];
    for browser in &mut browsers {
        browser.enter(&auth, false);
    }
    let stolen = browsers[0].clone();
    browsers[0].leave(&auth, false).await;
    for auth in [&auth, &restarted(dir.path(), credentials())] {
        assert!(!stolen.is_in(auth, false) && browsers[1].is_in(auth, false));
    }
    // Another machine's cookies are nobody's here.
    let elsewhere = Auth::kept_in(Arc::new(State::open(dir.path(), "two").0), credentials(), 4);
    assert!(!browsers[1].is_in(&elsewhere, false));
}

#[tokio::test]
async fn too_many_log_outs_end_every_session_rather_than_bring_one_back() {
    let dir = tempfile::tempdir().unwrap();
    let auth = restarted(dir.path(), credentials());
    let mut browser = Browser::default();
    browser.enter(&auth, false);
    let revoked: std::collections::HashMap<_, _> =
        (0..4096_u64).map(|n| (u128::from(n).to_be_bytes(), n)).collect();
    auth.inner.sessions.remember(revoked);
    let (mut last, stolen) = (browser.clone(), browser.clone());
    last.leave(&auth, false).await;
    assert!(!stolen.is_in(&auth, false) && !stolen.is_in(&restarted(dir.path(), credentials()), false));
    browser.enter(&auth, false);
    assert!(browser.is_in(&auth, false) && browser.is_in(&restarted(dir.path(), credentials()), false));
}

#[tokio::test]
async fn a_browser_is_known_over_a_restart_until_the_credentials_change() {
    let dir = tempfile::tempdir().unwrap();
    let auth = restarted(dir.path(), credentials());
    for secure in [false, true] {
        let line = auth.know_browser(secure).unwrap();
        let pair = line.to_str().unwrap().split(';').next().unwrap();
        let headers = request(&[("cookie", &format!("a=1; {pair}x; {pair}"))]);
        let again = restarted(dir.path(), credentials());
        assert!(
            auth.browser(&headers, secure).is_some()
                && auth.browser(&headers, secure) == again.browser(&headers, secure)
        );
        assert!(auth.browser(&headers, !secure).is_none() && auth.session(&headers, secure).is_none());
        assert_eq!(auth.replace("user", Secret::new("given")).await, Ok(None));
        assert!(auth.browser(&headers, secure).is_none(), "the same password, chosen anew");
    }
}

#[tokio::test]
async fn changed_credentials_end_everything_and_hold_until_the_environment_changes() {
    let dir = tempfile::tempdir().unwrap();
    let auth = restarted(dir.path(), credentials());
    let mut before = Browser::default();
    before.enter(&auth, false);
    let session = auth.session(&before.sends(false), false).unwrap();
    let (open, stranger) = (auth.lease(Access::Session(session)), auth.lease(Access::Credentials));
    assert!(!open.ended().is_cancelled() && !stranger.ended().is_cancelled());
    assert!(knows(&auth, "user", "given").await && !knows(&auth, "ada", "chosen").await);
    assert_eq!(auth.user(), ("user".to_owned(), false));

    assert_eq!(auth.replace("ada", Secret::new("chosen")).await, Ok(None));
    assert!(open.ended().is_cancelled() && stranger.ended().is_cancelled());
    assert!(auth.lease(Access::Session(session)).ended().is_cancelled(), "let in before, opened after");
    let mut after = Browser::default();
    after.enter(&auth, false);
    let again = restarted(dir.path(), credentials());
    for auth in [&auth, &again] {
        assert_eq!(auth.user(), ("ada".to_owned(), true));
        assert!(!before.is_in(auth, false) && after.is_in(auth, false));
        assert!(knows(auth, "ada", "chosen").await);
        assert!(!knows(auth, "user", "given").await && !knows(auth, "ada", "given").await);
        // The tokens are another matter; where the password does as well it is the new one.
        assert!(admit(auth, "/", &bearer("token"), PORT).await.is_ok());
        assert!(admit(auth, "/", &bearer("chosen"), PORT).await.is_ok());
        assert_eq!(admit(auth, "/", &bearer("given"), PORT).await, Err(Denied::Wrong));
        // A browser that remembers the old name and password shows them to us alone.
        let mut headers = request(&[("authorization", "Basic dXNlcjpnaXZlbg==")]);
        auth.strip(&mut headers, true);
        assert!(headers.is_empty());
    }

    let changed = Credentials { password: Password::Plain(Secret::new("other")), ..credentials() };
    let auth = restarted(dir.path(), changed);
    assert_eq!(auth.user(), ("user".to_owned(), false));
    assert!(knows(&auth, "user", "other").await && !knows(&auth, "ada", "chosen").await);
    assert!(!before.is_in(&auth, false) && !after.is_in(&auth, false));
    // And back: neither what was chosen nor its sessions are there any more, nor those of before it.
    let auth = restarted(dir.path(), credentials());
    assert!(knows(&auth, "user", "given").await && !knows(&auth, "ada", "chosen").await);
    assert!(!before.is_in(&auth, false) && !after.is_in(&auth, false));
}

#[tokio::test]
async fn a_token_that_is_the_password_too_costs_what_a_token_costs_and_goes_on() {
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
async fn the_password_does_for_a_token_on_the_terms_of_a_password() {
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
    // The same mistake in every form is one.
    assert_eq!(cost(there, "/", &bearer("wrong")).await, (Err(Denied::Wrong), 1, 1));
    assert_eq!(cost(there, "/?token=wrong", &nothing).await, (Err(Denied::Stranger), 0, 0));
    assert_eq!(cost(there, "/", &request(&[("authorization", "Basic dXNlcjp3cm9uZw==")])).await.2, 0);
    // What can be no password costs no bcrypt.
    let long = "x".repeat(73);
    assert_eq!(cost(there, "/", &bearer(&long)).await, (Err(Denied::Wrong), 0, 1));
    for n in 0..3 {
        assert_eq!(cost(there, &format!("/?token={n}"), &nothing).await, (Err(Denied::Stranger), 1, 1));
    }
    assert_eq!(auth.counters().bans, 1);
    // Nobody who is banned can tell the right one from the others, although it was right a moment ago elsewhere.
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
async fn a_plus_in_an_address_may_be_a_plus() {
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
async fn an_open_port_tells_strangers_nothing_about_the_password() {
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
    // Where its owner is, it is theirs.
    assert_eq!(admit(&auth, "/", &bearer("given"), PORT).await, Ok(Access::Credentials));
    assert_eq!(admit(&auth, uri, &HeaderMap::new(), 6200).await, Ok(Access::Credentials));
    assert_eq!(auth.without_token(&address, Access::Credentials).as_deref(), Some("/lab?x"));
    assert_eq!(admit_from("198.51.100.1", &auth, uri, &HeaderMap::new(), 6200).await, Ok(Access::Open));
}

#[tokio::test]
async fn the_same_password_chosen_again_ends_sessions_all_the_same() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, false);
    auth.replace("user", Secret::new("given")).await.unwrap();
    assert!(!browser.is_in(&auth, false) && knows(&auth, "user", "given").await);
}

#[tokio::test]
async fn what_cannot_be_is_refused_whole_and_changes_nothing() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, false);
    let error = auth.replace("a:b", Secret::new("")).await.unwrap_err();
    assert!(error.contains("colon") && error.contains("the password is empty"), "{error}");
    assert!(browser.is_in(&auth, false) && knows(&auth, "user", "given").await);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let auth = restarted(&file, credentials());
    let note = auth.replace("ada", Secret::new("chosen")).await.unwrap().unwrap();
    assert!(note.starts_with("they do not survive a restart"), "{note}");
    assert!(knows(&auth, "ada", "chosen").await);
}

#[tokio::test]
async fn a_password_that_is_being_checked_while_it_is_changed_lets_nobody_in() {
    let auth = fresh();
    let old = auth.known();
    auth.replace("ada", Secret::new("chosen")).await.unwrap();
    let from = network::Network::of(IpAddr::from([127, 0, 0, 1]));
    assert!(old.passwords.check(b"user", b"given", from).await, "right as it was");
    assert!(!auth.is_current(&old) && !knows(&auth, "user", "given").await);
}

#[tokio::test]
async fn a_strangers_wrong_token_is_a_guess_and_that_of_a_service_is_not() {
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
    // What cannot be guessed is never refused for where it comes from.
    assert!(admit(auth, "/?token=token", &stranger, PORT).await.is_ok());
    assert!(admit(auth, "/", &inside, PORT).await.is_ok());
    assert!(admit(auth, "/", &bearer("token"), PORT).await.is_ok());
    // Nor is a password where it was right a while ago.
    assert!(admit(auth, "/", &basic, PORT).await.is_ok());
    let other = request(&[("authorization", "Basic dXNlcjpvdGhlcg==")]);
    assert!(matches!(admit(auth, "/", &other, PORT).await, Err(Denied::TooMany(_))));
    assert!(knows(auth, "user", "given").await, "from elsewhere");
}

#[tokio::test]
async fn a_browser_that_repeats_the_old_password_does_not_keep_its_owner_out() {
    let auth = fresh();
    auth.replace("user", Secret::new("chosen")).await.unwrap();
    let old = request(&[("authorization", "Basic dXNlcjpnaXZlbg==")]);
    for _ in 0..50 {
        assert_eq!(admit(&auth, "/", &old, PORT).await, Err(Denied::Wrong));
    }
    assert_eq!((auth.counters().failures, auth.counters().bans), (1, 0));
    let peer: IpAddr = "203.0.113.1".parse().unwrap();
    assert_eq!(auth.password(b"user", b"chosen", peer, None).await, Ok(()));
    // What was wrong may be made right.
    assert_eq!(auth.password(b"user", b"later", peer, None).await, Err(Denied::Wrong));
    auth.replace("user", Secret::new("later")).await.unwrap();
    assert_eq!(auth.password(b"user", b"later", peer, None).await, Ok(()));
}

#[tokio::test]
async fn what_is_ours_is_taken_out_and_what_is_not_stays() {
    let auth = fresh();
    let ours = auth.log_in(true).unwrap();
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
async fn both_ways_to_be_wrong_cost_one_run_of_bcrypt() {
    let auth = fresh();
    auth.known().passwords.hash().await;
    for (user, password) in [("user", "wrong"), ("other", "wrong"), ("other", "given"), ("", "")] {
        let before = auth.counters();
        assert!(!knows(&auth, user, password).await);
        let after = auth.counters();
        assert_eq!((after.hashes - before.hashes, after.failures - before.failures), (1, 1), "{user}");
    }
}
