//! What the environment overrides in services.

use super::*;
use crate::config::env::Files;

const SERVICES: &[(&str, &str)] = &[
    ("prepare", PREPARE),
    ("keys", "command = [\"app\"]\nuser = \"root\"\ntype = \"oneshot\""),
    ("x-server", "command = [\"app\"]\naliases = [\"x\"]"),
    ("kde", "command = [\"app\"]\ndesktop = true\nneeds = [\"x-server\"]"),
    ("late", "command = [\"app\"]\ndesktop = true\ntype = \"oneshot\""),
    (
        "web",
        "command = [\"app\"]\n[route]\ntitle = \"Web\"\nlisten = \"8080\"\nupstream = \"127.0.0.1:18080\"",
    ),
    ("sshd", "command = [\"app\", \"-D\"]\naliases = [\"ssh\", \"my-ssh\"]"),
    ("worker", "command = [\"app\"]\nserverless = true"),
    ("off", "command = [\"app\"]\nautostart = false\nserverless = true"),
];

fn started(environment: &[(&str, &str)]) -> (Plan, Vec<String>) {
    let plan = Plan::build(&config(environment, "", SERVICES), &facts());
    let mut started: Vec<String> =
        plan.units.iter().filter(|unit| unit.autostart).map(|unit| unit.name.clone()).collect();
    started.sort();
    (plan, started)
}

#[test]
fn without_a_desktop_only_steps_and_requested_services_start() {
    let all = ["kde", "keys", "late", "prepare", "sshd", "web", "worker", "x-server"];
    for (environment, expected, routes) in [
        (&[][..], &all[..], 1),
        (&[("SERVERLESS", "false")], &all, 1),
        (&[("SERVERLESS", "True")], &["keys", "prepare", "worker"], 0),
        (
            &[("SERVERLESS", "true"), ("SUPERVISOR_NO_AUTOSTART", "caddy")],
            &["keys", "prepare", "sshd", "worker"],
            0,
        ),
        (
            &[("SERVERLESS", "true"), ("SUPERVISOR_NO_AUTOSTART", "quicktunnel")],
            &["keys", "prepare", "sshd", "worker"],
            1,
        ),
        (&[("SUPERVISOR_NO_AUTOSTART", "KDE, x ,My-SSH,keys,")], &["late", "prepare", "web", "worker"], 1),
        (&[("SUPERVISOR_NO_AUTOSTART", "ServicePortal")], &all, 0),
        (&[("SUPERVISOR_NO_AUTOSTART", "gateway")], &all, 0),
    ] {
        let (plan, started) = started(environment);
        assert_eq!(started, expected, "{environment:?}");
        assert_eq!(plan.routes.len(), routes, "{environment:?}");
        assert_eq!(plan.problems, [], "{environment:?}");
    }
}

/// Shells and scripts also exist without a desktop.
#[test]
fn of_the_services_that_are_shipped_the_boot_steps_start_without_a_desktop() {
    let files = shipped();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let plan = Plan::build(&config(&[("SERVERLESS", "true")], "", &files), &facts());
    for (name, starts) in [
        ("environment", true),
        ("user", true),
        ("ssh-keys", true),
        ("cron", true),
        ("sshd", false),
        ("x-access", false),
    ] {
        assert_eq!(plan.unit(name).unwrap().autostart, starts, "{name}");
    }
}

#[test]
fn an_unknown_name_is_reported_with_the_nearest() {
    let seeds = "caddy,cloudflared,jupyter,quicktunnel,serviceportal,sshd,syncthing,logtail,storagemonitor,\
                 tensorboard,instance_portal,tunnel_manager,kasmvnc";
    assert_eq!(started(&[("SUPERVISOR_NO_AUTOSTART", seeds)]).0.problems, []);
    let (plan, _) = started(&[("SUPERVISOR_NO_AUTOSTART", "workr,zzz")]);
    let told: Vec<String> = plan.problems.iter().map(ToString::to_string).collect();
    let place = "environment: SUPERVISOR_NO_AUTOSTART:";
    assert_eq!(
        told,
        [
            format!("{place} \"workr\" is not the name of a service; did you mean worker?"),
            format!("{place} \"zzz\" is not the name of a service"),
        ]
    );
}

#[test]
fn arguments_come_from_the_environment_split_as_a_shell_would() {
    for (environment, expected) in [
        (&[][..], &["-D"][..]),
        (&[("SSHD_ARGS", "-v 'a b' \"c\\\"d\" e\\ f")], &["-D", "-v", "a b", "c\"d", "e f"]),
        (&[("MY_SSH_FLAGS", "-x ${HOME} $(id)")], &["-D", "-x", "${HOME}", "$(id)"]),
        (&[("SSHD_ARGS", "-a"), ("SSH_ARGS", "-b"), ("SSHD_FLAGS", "-c")], &["-D", "-a"]),
        (&[("SSH_ARGS", "\"-b\" \"-c\"")], &["-D", "-b", "-c"]),
    ] {
        let plan = started(environment).0;
        assert_eq!(&plan.unit("sshd").unwrap().launch.argv[1..], expected, "{environment:?}");
        assert_eq!(plan.problems, [], "{environment:?}");
    }
    let plan = started(&[("SSHD_ARGS", "it's")]).0;
    assert_eq!(plan.unit("sshd").unwrap().launch.argv[1..], ["-D"]);
    assert_eq!(
        plan.problems[0].to_string(),
        "environment: SSHD_ARGS: its quotes are not closed; it is left out"
    );
}

#[test]
fn changes_of_hooks_are_for_the_units_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let workspace = dir.path().to_str().unwrap();
    let environment = &format!("{ENVIRONMENT}\nafter = [\"my-hooks\"]");
    let services = [
        ("first", "command = [\"app\"]"),
        ("my-hooks", "command = [\"app\"]\nprovides = [\"boot-hooks\"]\nafter = [\"second\"]"),
        ("second", "command = [\"app\"]\nneeds = [\"first\"]"),
        ("environment", environment),
        ("third", "command = [\"app\"]"),
    ];
    let mut config = config(&[("WORKSPACE", workspace), ("A", "given")], "", &services);
    std::fs::write(path("hooks"), format!("WORKSPACE={workspace}/\0A=left\0B=edited\0")).unwrap();
    std::fs::write(path("system"), "B=edited\n").unwrap();
    let files = Files {
        system: path("system"),
        written: path("written"),
        found: path("found"),
        hooks: path("hooks"),
    };
    config.env = config.env.reread(&files, &BTreeMap::new());
    let plan = Plan::build(&config, &facts());
    for (name, a) in [
        ("first", "given"),
        ("second", "given"),
        ("my-hooks", "given"),
        ("environment", "left"),
        ("third", "left"),
    ] {
        let env = &plan.unit(name).unwrap().launch.env;
        let value = |name: &str| env.get(&OsString::from(name)).and_then(|value| value.to_str());
        assert_eq!((value("A"), value("B")), (Some(a), None), "{name}: edits are read at each start");
    }
}

#[test]
fn a_turn_server_is_ours_theirs_or_none() {
    let selkies = "command = [\"app\"]\nhook = \"selkies\"\n[environment]\nSELKIES_TURN_HOST = \"${TURN_HOST}\"\n\
                   SELKIES_TURN_PORT = \"${TURN_PORT}\"\nSELKIES_TURN_USERNAME = \"${TURN_USERNAME}\"\n\
                   SELKIES_RTC_CONFIG_JSON = \"/none\"";
    // The values in a well-known compose file that was not filled in.
    let compose =
        [("SELKIES_TURN_HOST", "127.0.0.1"), ("SELKIES_TURN_PORT", "3478"), ("SELKIES_TURN_USERNAME", "")];
    for (more, host, user) in [
        (&[][..], None, None),
        (&[("ENABLE_COTURN", "true")], Some("localhost"), Some("user")),
        (
            &[("ENABLE_COTURN", "true"), ("COTURN_LISTEN_ADDRESS", "203.0.113.9")],
            Some("203.0.113.9"),
            Some("user"),
        ),
        // With a TURN server in the container, the variable is the public address of that server.
        (
            &[("ENABLE_COTURN", "true"), ("SELKIES_TURN_HOST", "203.0.113.9")],
            Some("203.0.113.9"),
            Some("user"),
        ),
        (&[("TURN_HOST", "turn.example"), ("TURN_USERNAME", "me")], Some("turn.example"), Some("me")),
        (
            &[("ENABLE_COTURN", "true"), ("TURN_HOST", "turn.example"), ("TURN_PASSWORD", "x")],
            Some("turn.example"),
            None,
        ),
    ] {
        let environment: Vec<_> = compose.iter().chain(more).copied().collect();
        let plan = Plan::build(&config(&environment, "", &[("selkies", selkies)]), &facts());
        let env = &plan.unit("selkies").unwrap().launch.env;
        let value = |name: &str| {
            env.get(&OsString::from(name)).and_then(|value| value.to_str()).filter(|v| !v.is_empty())
        };
        assert_eq!((value("SELKIES_TURN_HOST"), value("SELKIES_TURN_USERNAME")), (host, user), "{more:?}");
        assert_eq!(value("SELKIES_RTC_CONFIG_JSON").is_none(), host.is_some(), "{more:?}");
    }
}

#[test]
fn users_set_selkies_own_settings_except_those_of_the_gateway() {
    let selkies = "command = [\"app\"]\nhook = \"selkies\"\n[environment]\nSELKIES_PORT = \"16100\"\nSELKIES_FRAMERATE = \"8-60\"\n\
                   SELKIES_ENABLE_BASIC_AUTH = \"false\"\nSELKIES_ENABLE_HTTPS = \"false\"\n\
                   SELKIES_RTC_CONFIG_JSON = \"/none\"";
    let environment = [
        ("WEBRTC_FRAMERATE", "8-30"),
        ("SELKIES_VIDEO_CRF", "20"),
        ("SELKIES_RTC_CONFIG_JSON", "/mine"),
        ("SELKIES_PORT", "8080"),
        ("SELKIES_ENABLE_BASIC_AUTH", "true"),
        ("WEBRTC_ENABLE_HTTPS", "true"),
        ("SELKIES_TURN_PASSWORD", "hidden"),
    ];
    let plan = Plan::build(&config(&environment, "", &[("selkies", selkies)]), &facts());
    let env = &plan.unit("selkies").unwrap().launch.env;
    for (name, expected) in [
        ("SELKIES_FRAMERATE", Some("8-30")),
        ("SELKIES_VIDEO_CRF", Some("20")),
        ("SELKIES_RTC_CONFIG_JSON", Some("/mine")),
        ("SELKIES_PORT", Some("16100")),
        ("SELKIES_ENABLE_BASIC_AUTH", Some("false")),
        ("SELKIES_ENABLE_HTTPS", Some("false")),
        ("SELKIES_TURN_PASSWORD", None),
    ] {
        let value = env.get(&OsString::from(name)).and_then(|value| value.to_str());
        assert_eq!(value, expected, "{name}");
    }
}
