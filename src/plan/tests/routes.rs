//! The ports of routes and their targets.

use super::*;
use crate::config::rewrite::Rewrite;

#[test]
fn routes_have_one_port_each_and_lead_to_loopback() {
    let route = |listen: &str, upstream: &str| {
        format!("command = [\"app\"]\n[route]\nlisten = \"{listen}\"\nupstream = \"{upstream}\"")
    };
    let config = config(
        &[("SELKIES_PORT_HOST", "7100")],
        "",
        &[
            ("a", &route("${SELKIES_PORT_HOST}", "127.0.0.1:${SELKIES_PORT_LOCAL}")),
            ("b", &route("7100", "127.0.0.1:1")),
            ("c", &route("1111", "127.0.0.1:2")),
            ("d", &route("80x", "10.0.0.1:2")),
        ],
    );
    let plan = Plan::build(&config, &facts());
    assert_eq!(plan.routes.len(), 1);
    assert_eq!(
        (plan.routes[0].listen, plan.routes[0].upstream.to_string()),
        (7100, "127.0.0.1:16100".into())
    );
    assert_eq!(plan.problems.len(), 4, "{:?}", plan.problems);
}

/// A service file with these lines in its route.
fn with_route(lines: &str) -> String {
    format!("command = [\"app\"]\n[route]\nlisten = \"80\"\n{lines}\n")
}

#[test]
fn a_route_leads_to_loopback_or_to_the_units_own_socket() {
    let socket = with_route(
        "upstream = \"unix:${runtime-dir}/app.sock\"\nbridge = \"/ws\"\nfiles = \"/usr/share/${user}\"\n\
         inner = \"8080\"\npath = \"/a.html?b\"\nsecure-context = true\nwebrtc = [\"A\", \"VNC_URL\"]\nurl = \"${VNC_URL}\"",
    );
    let plan = Plan::build(&config(&[("VNC_URL", "https://desk/")], "", &[("app", &socket)]), &facts());
    assert_eq!(plan.problems, []);
    let path = "/run/user/1000/app.sock".into();
    let expected = Route {
        unit: "app".into(),
        title: "app".into(),
        listen: 80,
        inner: Some(8080),
        upstream: Upstream::Unix { path, owner: 1000 },
        bridge: Some(Bridge { path: "/ws".into(), files: Some("/usr/share/user".into()) }),
        shows: Vec::new(),
        path: "/a.html?b".into(),
        secure_context: true,
        webrtc: Some(true),
        url: Some("https://desk/".into()),
        rewrite: Rewrite::default(),
    };
    assert_eq!(plan.routes, [expected]);
    assert!(plan.text().contains("80 -> unix:/run/user/1000/app.sock (app, service app)"), "{}", plan.text());
    let shown = serde_json::to_value(plan.view()).unwrap();
    assert_eq!(shown["routes"][0]["upstream"], "unix:/run/user/1000/app.sock");
    let plan = Plan::build(
        &config(&[], "", &[("app", &socket.replace("command", "user = \"root\"\ncommand"))]),
        &facts(),
    );
    assert_eq!(plan.routes[0].upstream, Upstream::Unix { path: "/run/user/1000/app.sock".into(), owner: 0 });
    assert_eq!(plan.routes[0].url, None);
}

#[test]
fn mistakes_in_a_route_say_what_would_be_right() {
    let upstream = "upstream = \"127.0.0.1:1\"\n";
    for (lines, expected) in [
        (
            "upstream = \"unix:app.sock\"".to_owned(),
            "\"unix:app.sock\" is neither an address on loopback such as",
        ),
        (format!("{upstream}bridge = \"ws\""), "route.bridge: \"ws\" is not a path such as \"/websockify\""),
        (format!("{upstream}bridge = \"/ws?a\""), "route.bridge: \"/ws?a\" is not a path"),
        (
            format!("{upstream}bridge = \"/ws\"\nfiles = \"pages\""),
            "route.files: \"pages\" is not an absolute path",
        ),
        (format!("{upstream}files = \"/pages\""), "route.files: it needs `bridge`"),
        (format!("{upstream}path = \"//other\""), "route.path: \"//other\" is not a path such as \"/\""),
        (format!("{upstream}inner = \"0\""), "route.inner: \"0\" is not a port from 1 to 65535"),
        (format!("{upstream}brigde = \"/ws\""), "route.brigde: unknown key; did you mean `bridge`?"),
    ] {
        let plan = Plan::build(&config(&[], "", &[("app", &with_route(&lines))]), &facts());
        let reason = reason(&plan, "app");
        assert!(reason.contains(expected), "{lines}: {reason}");
    }
}

/// The shipped files, on a machine with these programs.
fn shipped(programs: &[&str], environment: &[(&str, &str)]) -> Plan {
    let files = super::shipped();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut facts = facts();
    facts.programs = Programs::given("/usr/bin", programs.iter().map(|name| (*name, *name)));
    let plan = Plan::build(&config(environment, "", &files), &facts);
    assert_eq!(plan.problems, []);
    plan
}

#[test]
fn vnc_is_served_by_kasmvnc_where_it_is_installed_and_by_tigervnc_elsewhere() {
    let route = |plan: &Plan| {
        assert!(plan.routes.iter().all(|route| route.listen == 6200), "{:?}", plan.routes);
        plan.routes.iter().map(|route| format!("{} {}", route.unit, route.upstream)).collect::<Vec<_>>()
    };
    let tigervnc = shipped(&["Xvfb", "X0tigervnc"], &[]);
    assert_eq!(route(&tigervnc), ["vnc unix:/run/user/1000/vnc.sock"]);
    assert!(reason(&tigervnc, "kasmvnc").contains("\"Xkasmvnc\" is not installed"));
    assert_eq!(tigervnc.unit("vnc").unwrap().launch.identity.as_ref().unwrap().uid, 1000);

    let both = shipped(&["Xvfb", "X0tigervnc", "Xkasmvnc", "kasmxproxy"], &[("VNC_DISPLAY", ":5")]);
    assert_eq!(route(&both), ["kasmxproxy 127.0.0.1:16200"]);
    assert_eq!(reason(&both, "vnc"), "Xkasmvnc and kasmxproxy are installed and take its place");
    let argv = &both.unit("kasmvnc").unwrap().launch.argv;
    for words in [
        ["Xkasmvnc", ":5"],
        ["-geometry", "1920x1080"],
        ["-publicIP", "127.0.0.1"],
        ["-AcceptSetDesktopSize", "0"],
    ] {
        assert!(argv.windows(2).any(|pair| pair == words), "{words:?} in {argv:?}");
    }
    assert_eq!(both.unit("kasmxproxy").unwrap().launch.argv[1..5], ["-a", ":0", "-v", ":5"]);
    // The page scales: a window of another size gets the whole desktop.
    assert_eq!(both.routes[0].path, "/vnc.html?resize=scale");

    // One of the two programs alone is not used.
    for half in ["Xkasmvnc", "kasmxproxy"] {
        let plan = shipped(&["Xvfb", "X0tigervnc", half], &[]);
        assert_eq!(route(&plan), ["vnc unix:/run/user/1000/vnc.sock"], "{half}");
    }
    assert_eq!(route(&shipped(&["Xvfb"], &[])), [""; 0]);
}

#[test]
fn a_unit_that_cannot_run_keeps_its_port_only_if_no_other_unit_wants_it() {
    let upstream = "upstream = \"127.0.0.1:1\"";
    let behind = format!("needs = [\"gone\"]\n{}", with_route(upstream));
    let gone = ("gone", "command = [\"nothing-here\"]");
    let alone = Plan::build(&config(&[], "", &[("a", &behind), gone]), &facts());
    assert_eq!(alone.routes.iter().map(|route| &*route.unit).collect::<Vec<_>>(), ["a"]);
    let other = with_route(upstream);
    let beside = Plan::build(&config(&[], "", &[("a", &behind), gone, ("z", &other)]), &facts());
    assert_eq!(beside.routes.iter().map(|route| &*route.unit).collect::<Vec<_>>(), ["z"]);
    assert_eq!(beside.problems, []);
}

#[test]
fn the_host_is_localhost_if_the_file_or_a_variable_says_so() {
    let files = [("a", "1", "host = \"localhost\""), ("b", "2", ""), ("c", "3", "host = \"keep\"")];
    let asked = |variable: &str| {
        let files = files.map(|(name, port, lines)| {
            let upstream = format!("upstream = \"127.0.0.1:1786{port}\"\n{lines}");
            (name, with_route(&upstream).replace("\"80\"", &format!("\"8{port}\"")))
        });
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        let plan = Plan::build(&config(&[("CADDY_HEADER_UP_LOCALHOST", variable)], "", &files), &facts());
        assert_eq!(plan.problems, []);
        let local = plan.routes.iter().filter(|route| route.rewrite.localhost);
        local.map(|route| route.unit.clone()).collect::<Vec<_>>()
    };
    assert_eq!(asked(""), ["a"]);
    assert_eq!(asked("17862, 1"), ["a", "b"]);
    assert_eq!(asked("true"), ["a", "b", "c"]);
    let usual = with_route("upstream = \"127.0.0.1:1\"");
    let plan = Plan::build(&config(&[], "", &[("a", &usual)]), &facts());
    assert!(!serde_json::to_string(&plan.view()).unwrap().contains("rewrite"), "only what differs is shown");
}

#[test]
fn requests_to_kasmvnc_are_rewritten() {
    let plan = shipped(&["Xvfb", "X0tigervnc", "Xkasmvnc", "kasmxproxy"], &[]);
    let rewrite = &plan.routes[0].rewrite;
    assert!(rewrite.title_case && !rewrite.forwarded && rewrite.handshake_limit == Some(1024));
    assert_eq!(rewrite.headers.len(), 2);
}
