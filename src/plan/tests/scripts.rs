//! When users' scripts run, and their environment.

use super::*;

const SCRIPTS: [&str; 4] = ["hotfix", "boot-script", "hooks", "provisioning"];

fn planned(environment: &[(&str, &str)], found: &[&str]) -> Plan {
    let facts = Facts { files: Files::given(found.iter().copied()), ..facts() };
    let files = shipped();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = config(environment, "", &files);
    let plan = Plan::build(&config, &facts);
    assert_eq!(plan.problems, []);
    plan
}

#[test]
fn each_script_runs_if_it_is_configured_or_found() {
    let (mounted, hook) = ("/opt/ai-dock/bin/provisioning.sh", "/etc/vast_boot.d/first_boot/*.sh");
    for (environment, found, runs) in [
        (&[][..], &[][..], &[][..]),
        (&[("PROVISIONING_SCRIPT", "http://a/b")], &[], &["provisioning"]),
        (&[("PROVISIONING_SCRIPT", "")], &[mounted, hook], &["hooks", "provisioning"]),
        (&[("HOTFIX_SCRIPT", "http://a/b")], &[hook], &["hotfix", "hooks"]),
        (&[("BOOT_SCRIPT", "http://a/b")], &[mounted, hook], &["boot-script"]),
        (&[("PROVISIONING_MANIFEST", "http://a/b")], &[], &[]),
    ] {
        let plan = planned(environment, found);
        let running: Vec<&str> = SCRIPTS.into_iter().filter(|name| reason(&plan, name).is_empty()).collect();
        assert_eq!(running, runs, "{environment:?} {found:?}");
        let told =
            plan.shortcomings.iter().any(|told| told.contains("PROVISIONING_MANIFEST is not understood"));
        assert_eq!(told, environment.iter().any(|(name, _)| *name == "PROVISIONING_MANIFEST"));
    }
    let plan = planned(&[("BOOT_SCRIPT", "http://a/b")], &[mounted, hook]);
    assert_eq!([reason(&plan, "hooks"), reason(&plan, "provisioning")], ["boot-script takes its place"; 2]);
    assert!(
        reason(&planned(&[], &[]), "provisioning")
            .contains("PROVISIONING_SCRIPT is not set, and no script is mounted")
    );
}

/// Only root can run the boot script, so without root the other scripts must not be replaced by it.
#[test]
fn without_root_a_boot_script_replaces_no_other_script() {
    let mut facts = facts();
    facts.daemon.uid = 1000;
    let files = shipped();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = config(&[("BOOT_SCRIPT", "http://a/b"), ("PROVISIONING_SCRIPT", "http://a/c")], "", &files);
    let plan = Plan::build(&config, &facts);
    assert!(reason(&plan, "boot-script").contains("must run as root"));
    assert_eq!(reason(&plan, "provisioning"), "");
}

#[test]
fn root_scripts_get_the_whole_environment_and_provisioning_as_root_the_secrets() {
    let environment = [
        ("BOOT_SCRIPT", ""),
        ("HOTFIX_SCRIPT", "http://a/b"),
        ("PROVISIONING_SCRIPT", "http://a/b"),
        ("WEB_PASSWORD", "sesame"),
        ("HF_TOKEN", "mine"),
        ("DISPLAY", ":7"),
        ("TERM", "xterm"),
    ];
    let plan = planned(&environment, &["/etc/desktopd/boot.d/*.sh"]);
    for (name, whole) in [("hotfix", true), ("hooks", true), ("provisioning", false)] {
        let unit = plan.unit(name).unwrap();
        let has = |name: &str| unit.launch.env.contains_key(&OsString::from(name));
        assert_eq!(
            ["WEB_PASSWORD", "DISPLAY", "HF_TOKEN", "TERM"].map(has),
            [whole, whole, true, false],
            "{name}"
        );
        assert_eq!((unit.restart.when, unit.contain), (Restart::Never, true), "{name}");
    }
    assert_eq!(plan.unit("provisioning").unwrap().start_timeout, None);
    let vast = ("VAST_CONTAINERLABEL", "C.1");
    for (who, given) in [
        (&[vast][..], true),
        (&[vast, ("PROVISIONING_USER", "user")], false),
        (&[("PROVISIONING_USER", "user")], false),
        (&[("PROVISIONING_USER", "root")], true),
    ] {
        let plan = planned(&[&environment[1..], who].concat(), &[]);
        let env = &plan.unit("provisioning").unwrap().launch.env;
        assert_eq!(env.contains_key(&OsString::from("WEB_PASSWORD")), given, "{who:?}");
    }
}
