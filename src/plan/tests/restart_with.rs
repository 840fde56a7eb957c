//! `restart-with`, and the single main unit.

use super::*;

fn plan(files: &[(&str, &str)]) -> Plan {
    let files: Vec<(&str, String)> =
        files.iter().map(|(name, text)| (*name, format!("command = [\"app\"]\n{text}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Plan::build(&config(&[], "", &files), &facts())
}

#[test]
fn a_partner_is_found_by_any_of_its_names() {
    let plan = plan(&[
        ("x-server", "aliases = [\"x\"]\nrestart-with = \"prepare\""),
        ("kde", "restart-with = \"x\""),
        ("prepare", ""),
        ("plain", ""),
    ]);
    assert_eq!(plan.problems, []);
    let partner = |name: &str| plan.unit(name).unwrap().relations.restart_with.as_deref();
    assert_eq!(partner("kde"), Some("x-server"));
    assert_eq!(partner("x-server"), Some("prepare"));
    assert_eq!(partner("plain"), None);
    assert!(plan.text().contains("restarted by hand: together with x-server"));
}

#[test]
fn a_wrong_partner_names_file_key_and_value_and_the_others_run() {
    let plan = plan(&[
        ("typo", "restart-with = \"kd\""),
        ("itself", "aliases = [\"me\"]\nrestart-with = \"me\""),
        ("many", "restart-with = [\"kde\"]"),
        ("daemon", "restart-with = \"caddy\""),
        ("a", "restart-with = \"b\""),
        ("b", "restart-with = \"c\""),
        ("c", "restart-with = \"a\""),
        ("into", "restart-with = \"a\""),
        ("kde", "restart-with = \"typo\""),
    ]);
    for (unit, expected) in [
        (
            "typo",
            "/c/services/typo.toml: restart-with: \"kd\" is not the name of a service; did you mean \"kde\"?",
        ),
        (
            "itself",
            "/c/services/itself.toml: restart-with: \"me\" is this service itself; name another or none",
        ),
        ("many", "/c/services/many.toml: restart-with: [\"kde\"] is not the name of a service, as a text"),
        ("daemon", "/c/services/daemon.toml: restart-with: \"caddy\" is not the name of a service"),
        ("a", "/c/services/a.toml: restart-with: they restart each other in a circle: a -> b -> c -> a"),
        ("b", "/c/services/b.toml: restart-with: they restart each other in a circle: a -> b -> c -> a"),
        ("c", "/c/services/c.toml: restart-with: they restart each other in a circle: a -> b -> c -> a"),
    ] {
        assert!(reason(&plan, unit).starts_with(expected), "{unit}: {}", reason(&plan, unit));
    }
    assert_eq!((reason(&plan, "into"), reason(&plan, "kde")), (String::new(), String::new()));
    assert_eq!(plan.problems.len(), 7, "{:#?}", plan.problems);
}

#[test]
fn one_unit_may_be_the_main_one_and_is_not_restarted_unless_it_says_so() {
    let one = plan(&[("app", "main = true"), ("other", "")]);
    assert_eq!(one.problems, []);
    let app = one.unit("app").unwrap();
    assert_eq!((app.main, app.last, app.restart.when), (true, false, Restart::Never));
    assert_eq!(one.unit("other").unwrap().restart.when, Restart::Always);
    let stubborn = plan(&[("app", "main = true\nrestart = \"on-failure\"")]);
    assert_eq!(stubborn.unit("app").unwrap().restart.when, Restart::OnFailure);
    let three = plan(&[("a", "main = true"), ("b", "main = true"), ("c", "main = true"), ("d", "")]);
    assert_eq!(
        reason(&three, "b"),
        "/c/services/b.toml: main: true, as in /c/services/a.toml and /c/services/c.toml; only one service can be the main one"
    );
    assert!(three.units.iter().all(|unit| !unit.main));
    assert_eq!((three.problems.len(), reason(&three, "d")), (3, String::new()));
}

#[test]
fn a_command_is_the_main_unit_regardless_of_the_files() {
    let files = [("a", "command = [\"app\"]\nmain = true"), ("b", "command = [\"app\"]\nmain = true")];
    let mut config = config(&[("SUPERVISOR_NO_AUTOSTART", "")], "", &files);
    let argv: Vec<String> = ["app", "$HOME", "${user}", "$$"].map(str::to_owned).into();
    config.services.push(Service::of_command(argv, Some("/work".into())));
    let plan = Plan::build(&config, &facts());
    assert_eq!(plan.problems, []);
    let run = plan.unit("run").unwrap();
    assert_eq!(run.launch.argv, ["/usr/bin/app", "$HOME", "${user}", "$$"]);
    assert_eq!(run.launch.cwd, Path::new("/work"));
    assert_eq!(run.launch.identity.as_ref().unwrap().uid, 1000);
    assert!(run.main && run.last);
    assert!(!plan.unit("a").unwrap().main && !plan.unit("b").unwrap().main);
}
