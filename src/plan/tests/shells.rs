//! The environment of shells, and the changes that users' files may make.

use std::ffi::OsStr;

use super::*;

const SETTINGS: &str = "[environment]\nPATH = \"/opt/x/bin:/usr/bin\"\nLANG = \"${LANG}\"\n\
    [desktop-environment]\nDISPLAY = \"${display}\"\n";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
    let step = &format!("{ENVIRONMENT}\nhook = \"shell-environment\"\nuser = \"root\"\ndesktop = true\n");
    let plan = Plan::build(&config(pairs, SETTINGS, &[("environment", step)]), &facts());
    let unit = plan.unit("environment").unwrap();
    assert_eq!((&unit.disposition, &unit.launch.env_files), (&Disposition::Run, &None));
    unit.launch.env.clone()
}

#[test]
fn shells_get_the_desktops_environment_and_root_the_secrets() {
    let env = environment(&[
        ("A", "1"),
        ("HOME", "/nowhere"),
        ("TERM", "vt100"),
        ("WEB_TOKEN", "secret"),
        ("PATH", "/conda/bin:/usr/bin"),
    ]);
    let expected = [
        ("A", "1"),
        ("DISPLAY", ":0"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/conda/bin:/usr/bin:/opt/x/bin"),
        ("WEB_TOKEN", "secret"),
        ("WORKSPACE", "/workspace/"),
    ];
    let expected = expected.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    assert_eq!(env.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn additional_folders_of_programs_come_first() {
    for (theirs, service, expected) in [
        (None, "", "/opt/x/bin:/usr/bin"),
        (Some("/usr/bin:/opt/x/bin"), "", "/opt/x/bin:/usr/bin"),
        (Some("/conda/bin:/usr/bin::/more"), "", "/conda/bin:/more:/opt/x/bin:/usr/bin"),
        (Some("/conda/bin"), "[environment]\nPATH = \"/own\"\n", "/own"),
    ] {
        let pairs: Vec<_> = theirs.map(|path| ("PATH", path)).into_iter().collect();
        let app = format!("command = [\"app\"]\n{service}");
        let plan = Plan::build(&config(&pairs, SETTINGS, &[("app", &app)]), &facts());
        let path = &plan.unit("app").unwrap().launch.env[OsStr::new("PATH")];
        assert_eq!(path, expected, "{theirs:?}");
    }
}

#[test]
fn services_read_files_again_except_for_fixed_variables() {
    let app = "command = [\"app\"]\ndesktop = true\n[environment]\nMINE = \"1\"\n";
    let plan = Plan::build(
        &config(&[("WORKSPACE", "/data")], SETTINGS, &[("app", app), ("prepare", PREPARE)]),
        &facts(),
    );
    // A step that repairs a dead workspace must not wait for it.
    assert_eq!(plan.unit("prepare").unwrap().launch.env_files.as_ref().unwrap().workspace, None);
    let files = plan.unit("app").unwrap().launch.env_files.clone().unwrap();
    assert_eq!(files.machine, Path::new("/etc/environment"));
    assert_eq!(files.workspace.as_deref(), Some(Path::new("/data/.env")));
    for name in ["DISPLAY", "HOME", "MINE", "WEB_PASSWORD", "OPEN_BUTTON_TOKEN", "NOTIFY_SOCKET"] {
        assert!(files.fixed.iter().any(|fixed| fixed == name), "{name}: {:?}", files.fixed);
    }
    for name in ["PATH", "LANG", "LD_PRELOAD", "HF_TOKEN"] {
        assert!(!files.fixed.iter().any(|fixed| fixed == name), "{name}: {:?}", files.fixed);
    }
}

#[test]
fn a_missing_locale_is_reported_and_replaced() {
    let app = [("app", "command = [\"app\"]\n")];
    let config = config(&[("LANG", "xx_XX.UTF-8"), ("LC_ALL", "yy")], SETTINGS, &app);
    let locales = Locales(["C.utf8", "en_US.utf8"].map(str::to_owned).into());
    let plan = Plan::build(&config, &Facts { locales, ..facts() });
    let env = &plan.unit("app").unwrap().launch.env;
    let value = |name: &str| env.get(&OsString::from(name)).and_then(|value| value.to_str());
    assert_eq!((value("LANG"), value("LC_ALL")), (Some("en_US.UTF-8"), Some("yy")));
    let told: Vec<_> = plan.problems.iter().map(ToString::to_string).collect();
    let expected =
        "\"xx_XX.UTF-8\" is not a locale of this image, which has C.utf8, en_US.utf8; en_US.UTF-8 is used";
    assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
}
