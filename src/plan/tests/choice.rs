//! Choices as data: conditions on the display, services that provide the same name, and hooks.

use super::*;

fn plan(files: &[(&str, &str)], programs: &[&str]) -> Plan {
    let files: Vec<(&str, String)> =
        files.iter().map(|(name, text)| (*name, format!("command = [\"app\"]\n{text}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let programs = Programs::given("/usr/bin", programs.iter().map(|name| (*name, "/usr/bin/x")));
    Plan::build(&config(&[], "", &files), &Facts { programs, ..facts() })
}

#[test]
fn a_condition_on_the_display_holds_for_its_server() {
    for (programs, xvfb, xorg) in [
        (&["app", "Xvfb"][..], "", "the display is Xvfb with llvmpipe"),
        (
            &["app"],
            "no display is possible: Xorg with the GPU's driver: there is no NVIDIA GPU; ",
            "no display is possible: ",
        ),
    ] {
        let files = [
            ("a", "condition = [{ display = \"xvfb\" }]"),
            ("b", "condition = [{ display = \"xorg\" }]"),
            ("c", "condition = [{ display = \"xorg\", variable = \"MINE\", else = \"neither\" }]"),
        ];
        let plan = plan(&files, programs);
        let [a, b, c] = ["a", "b", "c"].map(|name| reason(&plan, name));
        assert!(a.starts_with(xvfb) && a.is_empty() == xvfb.is_empty(), "{a}");
        assert!(b.starts_with(xorg), "{b}");
        assert_eq!(c, "neither");
    }
}

#[test]
fn the_first_service_that_may_run_provides_a_name() {
    let (xorg, xvfb) = ("the display is Xvfb with llvmpipe", "");
    for (first, second, reasons, provider) in [
        ("", "", ["", "a takes its place"], "a"),
        ("condition = [{ display = \"xorg\" }]\n", "", [xorg, xvfb], "b"),
        ("condition = [{ display = \"xorg\" }]\n", "condition = [{ display = \"xorg\" }]\n", [xorg; 2], "a"),
        ("unless-installed = [\"app\"]\n", "", ["app is installed and takes its place", ""], "b"),
    ] {
        let provides = |text: &str| format!("{text}provides = [\"screen\", \"x\"]");
        let (first, second) = (provides(first), provides(second));
        let plan = plan(&[("a", &first), ("b", &second), ("kde", "needs = [\"screen\"]")], &["app", "Xvfb"]);
        assert_eq!(plan.problems, []);
        assert_eq!(["a", "b"].map(|name| reason(&plan, name)), reasons);
        assert_eq!(plan.unit("kde").unwrap().relations.needs, [provider]);
        let runs = reasons.contains(&"");
        assert_eq!(plan.unit(provider).unwrap().aliases.len(), if runs { 2 } else { 0 });
        let skipped = format!("it needs {provider}, which is skipped");
        assert_eq!(reason(&plan, "kde"), if runs { String::new() } else { skipped });
    }
    let taken = plan(&[("a", "provides = [\"b\"]"), ("b", "")], &["app"]);
    assert_eq!(
        taken.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["/c/services/a.toml: provides: \"b\" already means b; it is left out"]
    );
    let both = plan(&[("a", "provides = [\"c\"]"), ("b", "provides = [\"c\"]"), ("c", "")], &["app"]);
    assert_eq!(["a", "b", "c"].map(|name| reason(&both, name)), [""; 3]);
}

#[test]
fn a_service_whose_place_is_taken_has_no_route() {
    let route = "provides = [\"web\"]\n[route]\nlisten = \"8080\"\nupstream = \"127.0.0.1:1\"";
    let plan = plan(&[("a", route), ("b", &route.replace("8080", "8081"))], &["app"]);
    assert_eq!(plan.routes.iter().map(|route| route.listen).collect::<Vec<_>>(), [8080]);
}

#[test]
fn a_hook_belongs_to_the_service_that_names_it() {
    for (text, expected) in [
        ("hook = \"selkies\"", ""),
        ("hook = \"selkis\"", "hook: \"selkis\" is not a hook of the plan; did you mean \"selkies\"?"),
        ("hook = true", "hook: true is not the name of a hook of the plan, as a text"),
        ("hook = \"desktop-account\"", "the desktop's user exists already and is not changed"),
    ] {
        let plan = plan(&[("mine", text)], &["app"]);
        let reason = reason(&plan, "mine");
        let place = if text.contains("desktop-account") || expected.is_empty() {
            ""
        } else {
            "/c/services/mine.toml: "
        };
        assert_eq!(reason, format!("{place}{expected}"), "{text}");
        assert_eq!(plan.problems.len(), usize::from(!place.is_empty()), "{:?}", plan.problems);
        let env = &plan.unit("mine").unwrap().launch.env;
        assert_eq!(env.contains_key(&OsString::from("SELKIES_SCALING_DPI")), expected.is_empty());
    }
    // A file that replaces one of the image's may be older than the key.
    let plan = plan(&[("selkies", "")], &["app"]);
    let env = &plan.unit("selkies").unwrap().launch.env;
    assert!(env.contains_key(&OsString::from("SELKIES_SCALING_DPI")), "{env:?}");
}

#[test]
fn a_provided_name_means_its_services_in_variables_and_before_the_hooks() {
    let files = [
        ("a", "type = \"oneshot\"\nprovides = [\"boot-hooks\"]\nafter = [\"x\"]"),
        ("b", "provides = [\"x\"]"),
        ("c", ""),
    ];
    let files = files.map(|(name, text)| (name, format!("command = [\"app\"]\n{text}")));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let config = config(&[("SUPERVISOR_NO_AUTOSTART", "X")], "", &files);
    let plan = Plan::build(&config, &facts());
    assert_eq!(["a", "b", "c"].map(|name| plan.unit(name).unwrap().autostart), [true, false, true]);
    assert_eq!(crate::plan::env_overrides::before_hooks(&config), BTreeSet::from(["a", "b"]));
}
