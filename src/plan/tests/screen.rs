//! The screen's size and density: set by the server or by the browser.

use std::ffi::OsStr;

use super::*;

const RESIZE: (&str, &str) = ("WEBRTC_ENABLE_RESIZE", "true");

/// The server's screen, and the settings of Selkies for the size and the density.
fn planned(environment: &[(&str, &str)]) -> (String, Vec<(&'static str, String)>) {
    let mut facts = facts();
    facts.programs =
        Programs::given("/usr/bin", [("Xvfb", "/usr/bin/Xvfb"), ("selkies", "/usr/bin/selkies")]);
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = config(environment, "", &services);
    assert_eq!(config.problems, []);
    let plan = Plan::build(&config, &facts);
    let argv = &plan.unit("xvfb").unwrap().launch.argv;
    let screen = argv.iter().position(|word| word == "-screen").unwrap();
    let env = &plan.unit("selkies").unwrap().launch.env;
    let names = ["SELKIES_MANUAL_WIDTH", "SELKIES_MANUAL_HEIGHT", "SELKIES_SCALING_DPI"];
    let set = names.iter().filter_map(|name| {
        let value = env.get(OsStr::new(name))?;
        Some((name.strip_prefix("SELKIES_").unwrap(), value.to_str().unwrap().to_owned()))
    });
    (argv[screen + 2].clone(), set.collect())
}

#[test]
fn the_screen_is_set_by_variables_unless_browsers_may_resize_it() {
    let ours =
        |width, height, dpi| vec![("MANUAL_WIDTH", width), ("MANUAL_HEIGHT", height), ("SCALING_DPI", dpi)];
    for (environment, screen, selkies) in [
        (vec![], "1920x1080x24", ours("1920", "1080", "96")),
        (vec![("DISPLAY_DPI", "110")], "1920x1080x24", ours("1920", "1080", "110")),
        // A maximum is only for browsers.
        (
            vec![("DISPLAY_SIZEW", "800"), ("DISPLAY_MAX_SIZE", "640x480")],
            "800x1080x24",
            ours("800", "1080", "96"),
        ),
        (vec![RESIZE], "3840x2160x24", vec![]),
        (vec![RESIZE, ("DISPLAY_MAX_SIZE", "2560X1600")], "2560x1600x24", vec![]),
        // The initial size has to fit.
        (vec![RESIZE, ("SIZEW", "5120"), ("SIZEH", "1440")], "5120x2160x24", vec![]),
        // A density that was requested stays.
        (vec![RESIZE, ("DPI", "144")], "3840x2160x24", vec![("SCALING_DPI", "144")]),
        (vec![RESIZE, ("DPI", "96")], "3840x2160x24", vec![]),
        // Selkies' own variables have priority.
        (vec![RESIZE, ("SELKIES_SCALING_DPI", "120")], "3840x2160x24", vec![("SCALING_DPI", "120")]),
        (vec![("SELKIES_SCALING_DPI", "120")], "1920x1080x24", ours("1920", "1080", "120")),
    ] {
        let selkies: Vec<_> = selkies.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        assert_eq!(planned(&environment), (screen.to_owned(), selkies), "{environment:?}");
    }
}
