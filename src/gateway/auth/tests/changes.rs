//! Changes of the credentials while the gateway is open.

use super::*;

#[tokio::test]
async fn changed_credentials_end_everything_and_hold_until_the_environment_changes() {
    let dir = tempfile::tempdir().unwrap();
    let auth = restarted(dir.path(), credentials());
    let mut before = Browser::default();
    before.enter(&auth, false);
    let session = auth.session(&before.sends(false), false).unwrap();
    let (open, stranger) =
        (auth.guard(Access::Session(session), PORT), auth.guard(Access::Credentials, PORT));
    assert!(!open.ended().is_cancelled() && !stranger.ended().is_cancelled());
    assert!(knows(&auth, "user", "given").await && !knows(&auth, "ada", "chosen").await);
    assert_eq!(auth.user(), ("user".to_owned(), false));

    assert_eq!(auth.replace("ada", Secret::new("chosen")).await, Ok(None));
    assert!(open.ended().is_cancelled() && stranger.ended().is_cancelled());
    assert!(auth.guard(Access::Session(session), PORT).ended().is_cancelled(), "let in before, opened after");
    let mut after = Browser::default();
    after.enter(&auth, false);
    let again = restarted(dir.path(), credentials());
    for auth in [&auth, &again] {
        assert_eq!(auth.user(), ("ada".to_owned(), true));
        assert!(!before.is_in(auth, false) && after.is_in(auth, false));
        assert!(knows(auth, "ada", "chosen").await);
        assert!(!knows(auth, "user", "given").await && !knows(auth, "ada", "given").await);
        // The tokens stay valid. Where the password is accepted in place of a token, it is the new password.
        assert!(admit(auth, "/", &bearer("token"), PORT).await.is_ok());
        assert!(admit(auth, "/", &bearer("chosen"), PORT).await.is_ok());
        assert_eq!(admit(auth, "/", &bearer("given"), PORT).await, Err(Denied::Wrong));
        // A browser may send the old name and password: they must not reach a service.
        let mut headers = request(&[("authorization", "Basic dXNlcjpnaXZlbg==")]);
        auth.strip(&mut headers, true);
        assert!(headers.is_empty());
    }

    let changed = Credentials { password: Password::Plain(Secret::new("other")), ..credentials() };
    let auth = restarted(dir.path(), changed);
    assert_eq!(auth.user(), ("user".to_owned(), false));
    assert!(knows(&auth, "user", "other").await && !knows(&auth, "ada", "chosen").await);
    assert!(!before.is_in(&auth, false) && !after.is_in(&auth, false));
    // Back to the first environment: neither the replaced credentials nor any earlier session is valid again.
    let auth = restarted(dir.path(), credentials());
    assert!(knows(&auth, "user", "given").await && !knows(&auth, "ada", "chosen").await);
    assert!(!before.is_in(&auth, false) && !after.is_in(&auth, false));
}

#[tokio::test]
async fn setting_the_same_password_again_ends_all_sessions() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, false);
    auth.replace("user", Secret::new("given")).await.unwrap();
    assert!(!browser.is_in(&auth, false) && knows(&auth, "user", "given").await);
}

#[tokio::test]
async fn invalid_credentials_are_refused_and_change_nothing() {
    let auth = fresh();
    let mut browser = Browser::default();
    browser.enter(&auth, false);
    let error = auth.replace("a:b", Secret::new("")).await.unwrap_err();
    assert!(error.contains("colon") && error.contains("the password is empty"), "{error}");
    assert!(browser.is_in(&auth, false) && knows(&auth, "user", "given").await);
}

#[tokio::test]
async fn unwritable_state_folder_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let auth = restarted(&file, credentials());
    let note = auth.replace("ada", Secret::new("chosen")).await.unwrap().unwrap();
    assert!(note.starts_with("they do not survive a restart"), "{note}");
    assert!(knows(&auth, "ada", "chosen").await);
}

#[tokio::test]
async fn password_verified_during_a_change_is_not_accepted() {
    let auth = fresh();
    let old = auth.known();
    auth.replace("ada", Secret::new("chosen")).await.unwrap();
    let from = crate::gateway::network::Network::of(IpAddr::from([127, 0, 0, 1]));
    assert!(old.passwords.check(b"user", b"given", from).await, "right as it was");
    assert!(!auth.is_current(&old) && !knows(&auth, "user", "given").await);
}
