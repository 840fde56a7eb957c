//! Sessions: logins and logouts by http and https, over restarts and changes.

use super::*;

#[tokio::test]
async fn browser_logs_in_by_https_and_by_http_and_logs_out() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, true);
    assert!(browser.is_in(&auth, true) && !browser.is_in(&auth, false));
    browser.enter(&auth, false);
    assert!(browser.is_in(&auth, true) && browser.is_in(&auth, false), "both names beside each other");
    assert_eq!(browser.0.len(), 2);
    // A logout by http does not reach the https session, which stays valid.
    let kept = browser.clone();
    browser.leave(&auth, false).await;
    assert!(browser.is_in(&auth, true) && !browser.is_in(&auth, false));
    assert!(!kept.is_in(&auth, false), "ended, also for a copy of the cookie");
    browser.enter(&auth, false);
    let kept = browser.clone();
    // A logout by https ends all sessions whose cookies the request has.
    browser.leave(&auth, true).await;
    assert!(browser.0.is_empty() && !kept.is_in(&auth, true) && !kept.is_in(&auth, false));
}

#[tokio::test]
async fn http_cookie_is_refused_by_https_under_either_name() {
    let auth = fresh();
    let line = auth.log_in(How::Password, false).unwrap();
    let pair = line.to_str().unwrap().split(';').next().unwrap();
    assert!(pair.starts_with("C.1_auth_token="), "{pair}");
    assert!(auth.session(&request(&[("cookie", pair)]), false).is_some());
    for shown in [pair.to_owned(), format!("__Host-{pair}")] {
        assert!(auth.session(&request(&[("cookie", &shown)]), true).is_none(), "{shown}");
    }
}

#[tokio::test]
async fn log_out_survives_a_restart_and_other_sessions_stay_valid() {
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
    // Cookies of another machine are not valid here.
    let elsewhere = Auth::stored_in(Arc::new(State::open(dir.path(), "two").0), credentials(), 4);
    assert!(!browsers[1].is_in(&elsewhere, false));
}

#[tokio::test]
async fn too_many_log_outs_end_every_session() {
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
async fn browser_cookie_survives_a_restart_until_the_credentials_change() {
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
