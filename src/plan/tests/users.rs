//! The users that units run as, where the container decides and where it cannot.

use super::*;

#[test]
fn for_an_ordinary_user_units_without_root_run() {
    let config =
        config(&[], "", &[("r", "command = [\"app\"]\nuser = \"root\""), ("d", "command = [\"app\"]")]);
    let mut facts = facts();
    facts.daemon = facts.account.clone().unwrap().identity;
    let plan = Plan::build(&config, &facts);
    assert!(reason(&plan, "r").contains("root"));
    assert_eq!(reason(&plan, "d"), "");
    assert_eq!(plan.unit("d").unwrap().launch.identity, None);
}

#[test]
fn without_the_desktops_user_its_units_are_skipped_with_the_reason() {
    let files = [("d", "command = [\"app\"]"), ("s", PREPARE)];
    let mut facts = facts();
    facts.account = Err("there is no user named 'ada' (USER_NAME)".into());
    let plan = Plan::build(&config(&[], "", &files), &facts);
    assert_eq!(plan.problems, []);
    for unit in ["d", "s"] {
        assert_eq!(
            plan.unit(unit).unwrap().disposition,
            Disposition::Skip("there is no user named 'ada' (USER_NAME)".into())
        );
    }
}

#[test]
fn a_user_without_an_entry_gets_lists_of_users() {
    let mut facts = facts();
    facts.daemon = Identity { uid: 4321, gid: 4321, groups: vec![4321] };
    let mut stand_in = StandIn {
        library: None,
        passwd: "user4321:x:4321:".to_owned(),
        group: "user4321:x:4321:".to_owned(),
    };
    let prepare = &format!("{PREPARE}\nhook = \"user-lists\"");
    let files = [("prepare", &prepare[..]), ("app", "command = [\"app\"]")];
    let mut plan = |library: Option<&str>| {
        stand_in.library = library.map(PathBuf::from);
        let account = facts.account.as_mut().unwrap();
        account.identity.uid = 4321;
        account.stand_in = Some(stand_in.clone());
        Plan::build(&config(&[("LD_PRELOAD", "mine.so")], "", &files), &facts)
    };
    let without = plan(None);
    assert!(
        without.shortcomings[0].contains("user 4321 is not in /etc/passwd"),
        "{:?}",
        without.shortcomings
    );
    assert_eq!(without.unit("prepare").unwrap().launch.files, []);
    let with = plan(Some("/usr/lib/libnss_wrapper.so"));
    assert_eq!(with.shortcomings, [""; 0]);
    let written = &with.unit("prepare").unwrap().launch.files[0];
    let env = &with.unit("app").unwrap().launch.env;
    assert_eq!(env[&OsString::from("NSS_WRAPPER_PASSWD")], written.path);
    assert_eq!(env[&OsString::from("LD_PRELOAD")], OsString::from("mine.so:/usr/lib/libnss_wrapper.so"));
    assert_eq!(written.content, stand_in.passwd);
}

#[test]
fn cron_is_skipped_where_root_may_not_become_another_user() {
    let mut facts = facts();
    for (may, expected) in [(None, ""), (Some(true), ""), (Some(false), "SETUID and SETGID")] {
        facts.gpus.container.other_users = may;
        let text = "command = [\"app\"]\nuser = \"root\"\nhook = \"cron\"\n";
        let plan = Plan::build(&config(&[], "", &[("cron", text)]), &facts);
        let reason = reason(&plan, "cron");
        assert!(reason.contains(expected) && reason.is_empty() == expected.is_empty(), "{may:?}: {reason}");
    }
}
