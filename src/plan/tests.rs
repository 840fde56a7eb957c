//! Plans for simulated machines.

mod choice;
mod display;
mod driver;
mod encoder;
mod env_overrides;
mod places;
mod portal;
mod restart_with;
mod routes;
mod screen;
mod scripts;
mod shells;
mod streaming;
mod users;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::service::{Probe, Ready, Restart};
use crate::config::{Environment, Places, PortalConfig, Service, Settings};
use crate::facts::account::StandIn;
use crate::facts::{DisplayFacts, Files, Locales, Making, Programs, Workspace};
use crate::sys::launch::Identity;

/// What runs in the files of two steps.
const PREPARE: &str = "step = { name = \"prepare\", runtime-dir = \"${runtime-dir}\", home = \"${home}\", \
    uid = \"${uid}\", gid = \"${gid}\" }";
const ENVIRONMENT: &str = "step = { name = \"environment\", run-dir = \"${run-dir}\", state-dir = \"${state-dir}\", \
    config-dir = \"${config-dir}\", uid = \"${uid}\", gid = \"${gid}\", time-zone = \"\" }";

/// A container without a GPU, with root as the daemon and `user` as the desktop's user.
pub(super) fn facts() -> Facts {
    let identity = Identity { uid: 1000, gid: 1000, groups: vec![1000, 44] };
    Facts {
        daemon: Identity { uid: 0, gid: 0, groups: vec![0] },
        container: true,
        account: Ok(Account {
            name: "user".into(),
            identity,
            home: "/home/user".into(),
            shell: "/bin/bash".into(),
            stand_in: None,
        }),
        making: Making::default(),
        home_trouble: None,
        locales: Locales::default(),
        programs: Programs::given(
            "/usr/bin",
            [("Xvfb", "/usr/bin/Xvfb"), ("app", "/usr/bin/app"), ("bye", "/usr/bin/bye")],
        ),
        groups: BTreeMap::from([("render".to_owned(), 105)]),
        display: DisplayFacts::default(),
        gpus: crate::facts::gpu::Gpus::default(),
        encoders: Vec::new(),
        workspace: Workspace { path: "/workspace".into(), ..Workspace::default() },
        files: Files::default(),
        ssh_port_taken: false,
        task_limit: None,
        cpus: crate::facts::Cpus::default(),
        addresses: [[172, 17, 0, 2].into()].into(),
        instance: "test".into(),
    }
}

pub(super) fn config(environment: &[(&str, &str)], settings: &str, services: &[(&str, &str)]) -> Config {
    let mut problems = Vec::new();
    let pairs = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let env = Environment::new(pairs, &[], &mut problems);
    let settings = Settings::parse(Path::new("/c/desktopd.toml"), settings, &mut problems);
    let services = services
        .iter()
        .filter_map(|(name, text)| {
            Service::parse(&PathBuf::from(format!("/c/services/{name}.toml")), text, &mut problems)
        })
        .collect();
    let places = Places::new(&settings, &env);
    let portal = PortalConfig::of_variable(&env.vars.portal_config, &mut problems);
    Config { dir: "/c".into(), env, settings, places, services, portal, problems }
}

/// All service files that are shipped, with their names.
fn shipped() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/services");
    let file = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap().path())).collect();
    files.sort();
    files
}

fn reason(plan: &Plan, name: &str) -> String {
    match &plan.unit(name).unwrap().disposition {
        Disposition::Run => String::new(),
        Disposition::Skip(reason) | Disposition::Broken(reason) => reason.clone(),
    }
}

#[test]
fn a_unit_has_its_program_user_environment_and_order() {
    let settings = "[environment]\nPATH = \"/usr/bin\"\n[desktop-environment]\nDISPLAY = \"${display}\"\n";
    let config = config(
        &[
            ("WEB_PASSWORD", "hunter22"),
            ("HF_TOKEN", "keep"),
            ("DISPLAY", ":7"),
            ("NOTIFY_SOCKET", "/x"),
            ("TERM", "xterm"),
        ],
        settings,
        &[
            (
                "app",
                "command = [\"app\", \"--dpi\", \"${dpi}\"]\ndesktop = true\nneeds = [\"X\"]\n[environment]\nA = \"${width}x\"\nB = \"${TURN_HOST}\"",
            ),
            (
                "x-server",
                "command = [\"Xvfb\", \"${display}\"]\naliases = [\"X\"]\nready = { kind = \"notify\" }",
            ),
        ],
    );
    let plan = Plan::build(&config, &facts());
    assert_eq!(plan.problems, []);
    assert_eq!(plan.units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["x-server", "app"]);
    let app = plan.unit("app").unwrap();
    assert_eq!(app.relations.needs, ["x-server"]);
    assert_eq!(app.launch.argv, ["/usr/bin/app", "--dpi", "96"]);
    assert_eq!(app.launch.identity.as_ref().unwrap().groups, [1000, 44]);
    assert_eq!(app.launch.cwd, Path::new("/home/user"));
    let env: BTreeMap<_, _> =
        app.launch.env.iter().map(|(n, v)| (n.to_str().unwrap(), v.to_str().unwrap())).collect();
    assert_eq!(env["DISPLAY"], ":7");
    assert_eq!(env["A"], "1920x");
    assert_eq!(env["HOME"], "/home/user");
    assert_eq!(env["HF_TOKEN"], "keep");
    for absent in ["B", "WEB_PASSWORD", "NOTIFY_SOCKET", "TERM"] {
        assert!(!env.contains_key(absent), "{absent}");
    }
    let x = &plan.unit("x-server").unwrap().launch;
    assert_eq!(x.env[&OsString::from("NOTIFY_SOCKET")], OsString::from("/run/desktopd/notify/x-server"));
    assert!(!x.env.contains_key(&OsString::from("DISPLAY")));
}

#[test]
fn checks_and_readiness_are_expanded_and_their_programs_found() {
    let config = config(
        &[],
        "[environment]\nPATH = \"/usr/bin\"\n",
        &[
            (
                "app",
                "command = [\"app\"]\nready = { kind = \"x11\" }\ngroups = [\"render\"]\n\
                 health = { kind = \"exec\", command = [\"bye\", \"${display}\"] }",
            ),
            ("b", "command = [\"app\"]\nhealth = { kind = \"http\", url = \"https://x/\" }"),
            ("c", "command = [\"app\"]\nready = { kind = \"x11\", display = \"host${display}\" }"),
            ("d", "command = [\"app\"]\nhealth = { kind = \"exec\", command = [\"gone\"] }"),
            ("e", "command = [\"app\"]\nhealth = { kind = \"tcp\", address = \"${dispaly}\" }"),
            ("f", "command = [\"app\"]\ngroups = [\"redner\"]"),
        ],
    );
    let plan = Plan::build(&config, &facts());
    let app = plan.unit("app").unwrap();
    let xauthority = "/run/user/1000/Xauthority".to_owned();
    assert_eq!(app.ready, Ready::Probe(Probe::X11 { display: ":0".into(), xauthority }));
    assert_eq!(app.health.as_ref().unwrap().probe, Probe::Exec(vec!["/usr/bin/bye".into(), ":0".into()]));
    assert_eq!((app.launch.groups.as_slice(), app.launch.cwd_required), (&[105][..], false));
    for (name, told) in [
        ("b", "health.url: \"https://x/\" is not a URL such as \"http://127.0.0.1:80/\""),
        ("c", "ready.display: \"host:0\" is not an X display of this machine such as \":0\""),
        ("e", "health.address: "),
        ("f", "groups: \"redner\" is not a group of this machine"),
    ] {
        assert!(reason(&plan, name).contains(told), "{name}: {}", reason(&plan, name));
    }
    // Missing checks do not keep the service from running.
    assert_eq!((reason(&plan, "d").as_str(), &plan.unit("d").unwrap().health), ("", &None));
    let told = "/c/services/d.toml: health.command: \"gone\" is not installed";
    assert!(plan.problems.iter().any(|problem| problem.to_string().starts_with(told)), "{:?}", plan.problems);
    let shown = plan.text();
    assert!(
        shown.contains(
            "health: /usr/bin/bye :0 every 10s, within 3s; after 3 failures in a row it is restarted"
        ),
        "{shown}"
    );
}

#[test]
fn secrets_reach_only_units_that_name_them_and_are_never_shown() {
    let config = config(
        &[("WEB_TOKEN", "s3cr3t-value"), ("HF_TOKEN", "hf-value")],
        "",
        &[
            ("app", "command = [\"app\"]\nsecrets = [\"WEB_TOKEN\"]"),
            ("b", "command = [\"app\"]\nsecrets = [\"WEB_TOKN\"]"),
        ],
    );
    let plan = Plan::build(&config, &facts());
    assert_eq!(
        plan.unit("app").unwrap().launch.env[&OsString::from("WEB_TOKEN")],
        OsString::from("s3cr3t-value")
    );
    assert!(reason(&plan, "b").contains("did you mean WEB_TOKEN?"));
    for shown in [plan.text(), serde_json::to_string(&plan.view()).unwrap()] {
        assert!(!shown.contains("s3cr3t-value") && !shown.contains("hf-value"), "{shown}");
        assert!(shown.contains("******"));
    }
}

#[test]
fn mistakes_name_file_key_and_value_and_the_others_run() {
    let config = config(
        &[],
        "",
        &[
            ("ok", "command = [\"app\"]"),
            ("gone", "command = [\"nothing-here\"]"),
            ("behind", "command = [\"app\"]\nneeds = [\"gone\"]"),
            ("typo", "command = [\"app\"]\nneeds = [\"okk\"]"),
            ("var", "command = [\"app\", \"${displey}\"]"),
            ("a", "command = [\"app\"]\nneeds = [\"b\"]"),
            ("b", "command = [\"app\"]\nafter = [\"a\"]"),
            ("key", "commandd = [\"app\"]"),
            ("after-key", "command = [\"app\"]\nneeds = [\"key\"]"),
            ("step", "step = { name = \"prepar\" }"),
            ("bus", "command = [\"app\"]\ncontain = true"),
            ("clears", "command = [\"app\"]\nclears = [\"bus\", \"key\", \"gone\"]"),
            ("clears-typo", "command = [\"app\"]\nclears = [\"buss\"]"),
            ("clears-itself", "command = [\"app\"]\ncontain = true\nclears = [\"clears-itself\"]"),
        ],
    );
    let plan = Plan::build(&config, &facts());
    for (unit, expected) in [
        ("ok", ""),
        ("gone", "/c/services/gone.toml: command: \"nothing-here\" is not installed"),
        ("behind", "it needs gone, which is skipped"),
        ("typo", "/c/services/typo.toml: needs: \"okk\" is not the name of a service; did you mean \"ok\"?"),
        (
            "var",
            "/c/services/var.toml: command: \"${displey}\" names ${displey}, which is not defined; did you mean ${display}?",
        ),
        ("a", "in a circle: a -> b -> a"),
        ("b", "in a circle: a -> b -> a"),
        ("key", "unknown key; did you mean `command`?"),
        ("after-key", "it needs key, whose file is wrong"),
        ("step", "\"prepar\" is not a boot step; did you mean \"prepare\"?"),
        (
            "clears",
            "/c/services/clears.toml: clears: \"gone\" is not a contained service; its file has to say `contain = true`",
        ),
        (
            "clears-typo",
            "/c/services/clears-typo.toml: clears: \"buss\" is not the name of a service; did you mean \"bus\"?",
        ),
        ("clears-itself", "/c/services/clears-itself.toml: clears: it is this service itself"),
    ] {
        let reason = reason(&plan, unit);
        let ok = if expected.is_empty() { reason.is_empty() } else { reason.contains(expected) };
        assert!(ok, "{unit}: {reason}");
    }
    for unit in ["typo", "var", "a", "b", "key", "step"] {
        assert!(plan.problems.iter().any(|problem| problem.unit.as_deref() == Some(unit)), "{unit}");
    }
}

#[test]
fn some_services_can_be_left_out_by_the_environment() {
    let config = config(
        &[("SUPERVISOR_NO_AUTOSTART", "x, old-name")],
        "",
        &[("app", "command = [\"app\"]\naliases = [\"old-name\"]"), ("y", "command = [\"app\"]")],
    );
    let plan = Plan::build(&config, &facts());
    assert!(!plan.unit("app").unwrap().autostart);
    assert!(plan.unit("y").unwrap().autostart);
}

#[test]
fn a_condition_that_does_not_hold_is_the_reason_to_skip() {
    let files = [
        (
            "v",
            "command = [\"app\"]\n[[condition]]\nvariable = \"ENABLE_COTURN\"\nelse = \"for ${user}: off\"",
        ),
        ("w", "command = [\"app\"]\n[[condition]]\nvariable = \"MY_OWN\""),
        ("f", "command = [\"app\"]\n[[condition]]\nany-file = [\"/a\", \"${home}/b\"]"),
        (
            "both",
            "command = [\"app\"]\n[[condition]]\nvariable = \"MY_OWN\"\n[[condition]]\nany-file = [\"/a\"]",
        ),
        ("k", "command = [\"app\"]\n[[condition]]\nany-key = [\"${run-dir}/k\", \"${home}/b\"]"),
        ("var", "command = [\"app\"]\n[[condition]]\nany-key = [\"${SSH_PUBKEY}\", \"/k\"]"),
        ("typo", "command = [\"app\"]\n[[condition]]\nany-file = [\"${hme}/b\"]"),
        ("either", "command = [\"app\"]\n[[condition]]\nvariable = \"MY_OWN\"\nany-file = [\"${home}/b\"]"),
    ];
    let reasons = |environment: &[(&str, &str)], found: &[&str]| {
        let facts = Facts { files: Files::given(found.iter().copied()), ..facts() };
        let plan = Plan::build(&config(environment, "", &files), &facts);
        assert!(reason(&plan, "typo").contains("did you mean ${home}?"), "{}", reason(&plan, "typo"));
        files.map(|(name, _)| reason(&plan, name))
    };
    let none = reasons(&[("ENABLE_COTURN", "false"), ("MY_OWN", ""), ("SSH_PUBKEY", "rubbish")], &[]);
    assert_eq!(
        none[..6],
        [
            "for user: off",
            "MY_OWN is not set",
            "nothing is in /a or /home/user/b",
            "MY_OWN is not set",
            "no SSH key is in /run/desktopd/k or /home/user/b",
            "no SSH key is in /k"
        ]
    );
    let key = "'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvGKDzSf2AHd5qLmjAKeI+6FYif5Skmq6l+9qRingSY me'";
    let some = reasons(&[("ENABLE_COTURN", "1"), ("MY_OWN", "x"), ("SSH_PUBKEY", key)], &["${home}/b"]);
    assert_eq!(some[..6], ["", "", "", "nothing is in /a", "", ""]);
    let either = reasons(&[], &["${home}/b"]);
    assert_eq!(
        [&none[7], &some[7], &either[7]],
        ["MY_OWN is not set, and nothing is in /home/user/b", "", ""]
    );
}

#[test]
fn a_file_may_hold_the_secrets_that_its_unit_is_given_and_is_not_shown() {
    let file = |secrets: &str, value: &str| {
        let text = format!(
            "command = [\"app\"]\nsecrets = [{secrets}]\nfolders = [\"${{home}}/x\"]\n[[file]]\n\
             path = \"${{run-dir}}/app.conf\"\ncontent = \"\"\"\nwidth=${{width}}\ntoken=${{WEB_TOKEN}}\n\"\"\""
        );
        Plan::build(&config(&[("WEB_TOKEN", value)], "", &[("app", &text)]), &facts())
    };
    let plan = file("\"WEB_TOKEN\"", "s3cr3t-value");
    let launch = &plan.unit("app").unwrap().launch;
    assert_eq!(launch.folders, [Path::new("/home/user/x")]);
    assert_eq!(launch.files[0].path, Path::new("/run/desktopd/app.conf"));
    assert_eq!(
        (launch.files[0].mode, launch.files[0].content.as_str()),
        (0o600, "width=1920\ntoken=s3cr3t-value\n")
    );
    for shown in [plan.text(), serde_json::to_string(&plan.view()).unwrap(), format!("{plan:?}")] {
        let hidden = shown.replace("\"WEB_TOKEN\": \"s3cr3t-value\"", "");
        assert!(
            !hidden.contains("token=s3cr3t-value") && shown.contains("/run/desktopd/app.conf"),
            "{shown}"
        );
    }
    assert!(reason(&file("", "s3cr3t-value"), "app").contains("${WEB_TOKEN}, which is not defined"));
    let injected = file("\"WEB_TOKEN\"", "a\nadmin=yes");
    assert!(reason(&injected, "app").contains("WEB_TOKEN has a line break"), "{}", reason(&injected, "app"));
}
