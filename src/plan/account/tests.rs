//! Accounts planned for simulated machines.

use std::collections::BTreeMap;

use super::*;
use crate::facts::{Making, Workspace};
use crate::plan::tests::{config, facts};

const STEP_FILE: (&str, &str) =
    ("user", "step = { name = \"user\", run-dir = \"${run-dir}\" }\nuser = \"root\"");

fn volume(owner: (u32, u32)) -> Workspace {
    Workspace {
        path: "/workspace".into(),
        volume: Some("ext4".into()),
        owner: Some(owner),
        ..Workspace::default()
    }
}

fn ids(decision: &Decision) -> String {
    decision.account.as_ref().map_or_else(Clone::clone, shown)
}

#[test]
fn the_ids_are_configured_or_those_of_the_volumes_owner() {
    let force = ("WORKSPACE_MOUNTED", "force");
    let unmounted = Workspace { volume: None, ..volume((4321, 4321)) };
    for (environment, workspace, expected) in [
        (&[][..], Workspace::default(), "user (1000:1000, home /home/user)"),
        (&[], unmounted.clone(), "user (1000:1000, home /home/user)"),
        (&[], volume((0, 0)), "user (1000:1000, home /workspace/home/user)"),
        (&[], volume((1000, 1000)), "user (1000:1000, home /workspace/home/user)"),
        (&[], volume((4321, 4322)), "user (4321:4322, home /workspace/home/user)"),
        (&[], volume((4321, 0)), "user (4321:1000, home /workspace/home/user)"),
        (&[], volume((33, 33)), "user (33:33, home /workspace/home/user)"),
        (&[], volume((u32::MAX, 65_534)), "user (1000:65534, home /workspace/home/user)"),
        (&[force], unmounted, "user (4321:4321, home /workspace/home/user)"),
        (&[("WORKSPACE_UID", "77")], volume((5, 6)), "user (77:6, home /workspace/home/user)"),
        (&[("WORKSPACE_UID", "77")], Workspace::default(), "user (77:1000, home /home/user)"),
        (&[("WORKSPACE_GID", "0")], volume((5, 6)), "user (5:6, home /workspace/home/user)"),
        (&[("USER_NAME", "ada"), ("WORKSPACE", "/data")], volume((9, 9)), "ada (9:9, home /data/home/ada)"),
        (&[("USER_NAME", "A b")], Workspace::default(), "user (1000:1000, home /home/user)"),
    ] {
        let told = format!("{environment:?} {workspace:?}");
        let facts = Facts { workspace, ..facts() };
        let decision = decide(&config(environment, "", &[STEP_FILE]), &facts);
        assert_eq!(ids(&decision), expected, "{told}");
        assert_eq!(decision.wanted.as_ref(), decision.account.as_ref().ok(), "{told}");
        assert_eq!(decision.shortcoming, None, "{told}");
        let mistake = environment.iter().any(|(_, value)| *value == "0");
        assert_eq!(decision.problems.len(), usize::from(mistake), "{told}: {:?}", decision.problems);
    }
}

#[test]
fn the_home_is_on_the_volume_if_it_is_usable() {
    let broken = Workspace { trouble: Some("read-only".into()), ..volume((7, 7)) };
    let mounted = Making { home_mounted: true, ..Making::default() };
    for (workspace, making, expected) in [
        (broken, Making::default(), "user (7:7, home /home/user)"),
        (volume((7, 7)), mounted.clone(), "user (7:7, home /home/user)"),
        (Workspace::default(), mounted, "user (1000:1000, home /home/user)"),
    ] {
        let decision = decide(&config(&[], "", &[STEP_FILE]), &Facts { making, workspace, ..facts() });
        assert_eq!(ids(&decision), expected);
    }
}

#[test]
fn groups_are_the_same_before_and_after_the_step() {
    let environment = [("USER_GROUPS", "lp, nobodys")];
    let config = config(&environment, "", &[STEP_FILE]);
    let mut facts = Facts { workspace: volume((4321, 4321)), ..facts() };
    facts.groups = [("audio", 29), ("video", 44), ("lp", 7)].map(|(name, id)| (name.to_owned(), id)).into();
    facts.making.devices = BTreeMap::from([(105, "render".to_owned()), (44, "video".to_owned())]);
    let before = decide(&config, &facts);
    let account = before.account.clone().unwrap();
    assert_eq!(account.identity.groups, [4321, 7, 29, 44, 105]);
    let told: Vec<_> = before.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["environment: USER_GROUPS: \"nobodys\" is not a group of this machine"]);
    // As the lists are after the step.
    facts.account = Ok(account);
    facts.groups.insert("render".to_owned(), 105);
    assert_eq!(decide(&config, &facts), before);
}

#[test]
fn an_account_that_cannot_be_made_is_left_as_it_is_and_reported() {
    let config = |environment: &[(&str, &str)]| config(environment, "", &[STEP_FILE]);
    let base = Facts { workspace: volume((4321, 4321)), ..facts() };
    let existing = "user (1000:1000, home /home/user)";

    let mut fixed = base.clone();
    fixed.making.fixed = Some("/etc is on a read-only file system".into());
    let decision = decide(&config(&[]), &fixed);
    assert_eq!(ids(&decision), existing);
    assert_eq!(decision.wanted, decision.account.clone().ok(), "nothing to change");
    let told = decision.shortcoming.unwrap();
    assert!(told.contains("read-only") && told.contains("4321:4321"), "{told}");
    fixed.workspace = Workspace::default();
    assert_eq!(decide(&config(&[]), &fixed).shortcoming, None, "it is right already");

    let mut failed = base.clone();
    failed.making.trouble = Some("usermod: it ended with code 1".into());
    let decision = decide(&config(&[]), &failed);
    assert_eq!(ids(&decision), existing);
    assert_eq!(decision.wanted, decide(&config(&[]), &base).wanted, "the step is not run again for it");
    assert!(decision.shortcoming.unwrap().contains("usermod"));

    // The requested user does not exist: the image's own user is better than none.
    let missing = |usual: Option<Account>| {
        let making = Making { usual, ..failed.making.clone() };
        let facts = Facts { account: Err("no ada".into()), making, ..base.clone() };
        ids(&decide(&config(&[("USER_NAME", "ada")]), &facts))
    };
    assert_eq!(missing(base.account.clone().ok()), existing);
    assert!(missing(None).contains("ada could not be made"));
}

#[test]
fn elsewhere_the_account_is_the_one_that_exists() {
    let with = |environment: &[(&str, &str)], file: &str, uid: u32| {
        let mut facts = Facts { workspace: volume((4321, 4321)), ..facts() };
        facts.daemon.uid = uid;
        let decision = decide(&config(environment, "", &[("user", file)]), &facts);
        assert_eq!(decision.wanted, None);
        decision.account == facts.account
    };
    assert!(with(&[], STEP_FILE.1, 1000), "an ordinary user");
    assert!(with(&[], "command = [\"app\"]", 0), "no step");
    assert!(with(&[], &format!("{}\nautostart = false", STEP_FILE.1), 0), "not started");
    assert!(with(&[("SUPERVISOR_NO_AUTOSTART", "user")], STEP_FILE.1, 0), "left out");
    assert!(with(&[("USER_NAME", "root")], STEP_FILE.1, 0), "root is root");
}

#[test]
fn shells_that_allow_no_login_are_replaced() {
    let mut facts = facts();
    facts.account.as_mut().unwrap().shell = "/usr/sbin/nologin".into();
    let shell = |facts: &Facts| decide(&config(&[], "", &[STEP_FILE]), facts).account.unwrap().shell;
    assert_eq!(shell(&facts), Path::new("/bin/bash"));
    facts.account.as_mut().unwrap().shell = "/bin/zsh".into();
    assert_eq!(shell(&facts), Path::new("/bin/zsh"));
}
