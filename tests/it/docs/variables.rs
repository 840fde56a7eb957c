//! Every variable of the table has an effect: one row here for each row there, by construction.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use desktopd::config::env::{Flag, TABLE, Variable};
use desktopd::config::service::Run;
use desktopd::config::{Config, Environment, Service};
use desktopd::facts::gpu::{Answers, Gpus};
use desktopd::facts::{Account, DisplayFacts, Facts, Files, Locales, Programs, Workspace};
use desktopd::gateway::Settings;
use desktopd::plan::Plan;
use desktopd::sys::launch::Identity;

use crate::docs::documents::says_nothing_yet;

/// How a variable's effect is checked.
enum Effect {
    /// With this value, and these other variables set, the plan of the shipped services contains the text.
    Plan(&'static [(&'static str, &'static str)], &'static str, &'static str),
    /// With this value the collected facts about the machine contain the text.
    Facts(&'static str, &'static str),
    /// With this value the gateway's settings differ.
    Door(&'static str),
    /// Service files use the value: its effect is tested where that service's work is tested.
    Handed(&'static str),
    /// This test checks the effect.
    Test(&'static str),
    /// No effect, and its line of documentation says so.
    Nothing,
}

use Effect::{Door, Facts as OfFacts, Handed, Nothing, Plan as OfPlan, Test};

/// Variables that other variables need to have an effect.
const TURN: &[(&str, &str)] = &[("TURN_HOST", "turn.example")];
const RESIZE: &[(&str, &str)] = &[("WEBRTC_ENABLE_RESIZE", "true")];
const COTURN: &[(&str, &str)] = &[("ENABLE_COTURN", "true")];

#[rustfmt::skip]
const EFFECTS: &[(&str, Effect)] = &[
    ("WEB_ENABLE_AUTH", Test("open_ports_answer_under_the_names_of_the_provider_and_no_others")),
    ("WEB_USER", Test("credentials_change_at_once_and_hold_until_the_environment_changes")),
    ("WEB_PASSWORD", Test("credentials_change_at_once_and_hold_until_the_environment_changes")),
    ("WEB_PASSWORD_HASH", Test("a_printed_hash_works_in_the_variable")),
    ("WEB_TOKEN", Test("vast_has_a_user_and_a_password_of_its_own")),
    ("OPEN_BUTTON_TOKEN", Test("vast_has_a_user_and_a_password_of_its_own")),
    ("AUTH_EXCLUDE", Test("excluded_ports_are_open_with_a_warning_and_mistakes_open_nothing")),
    ("WEB_TLS_CERT_FILE", Test("a_certificate_problem_is_shown_until_it_is_corrected")),
    ("WEB_TLS_KEY_FILE", Test("a_certificate_problem_is_shown_until_it_is_corrected")),
    ("CADDY_AUTH_COOKIE_NAME", Test("the_cookie_can_be_named")),
    ("WEB_ENABLE_HTTPS", Door("true")),
    ("WEB_TRUSTED_PROXIES", Door("192.0.2.0/24")),
    ("WEB_ALLOWED_ORIGINS", Door("https://app.example")),
    ("WEB_CORS_METHODS", Door("GET")),
    ("WEB_CORS_HEADERS", Door("X-Mine")),
    ("WEB_ENABLE_COMPRESSION", Door("false")),
    ("WEB_ACCESS_LOG", Door("true")),
    ("CADDY_HEADER_UP_LOCALHOST", Test("the_host_is_localhost_if_the_file_or_a_variable_says_so")),
    ("CADDY_FLUSH_INTERVAL", Nothing),
    ("SERVICEPORTAL_PORT_HOST", OfPlan(&[], "1112", "port: 1112,")),
    ("SERVICEPORTAL_PORT_LOCAL", Door("11112")),
    ("SERVICEPORTAL_URL", OfPlan(&[], "https://a.example/", "url: Some(\"https://a.example/\")")),
    ("SELKIES_PORT_HOST", OfPlan(&[], "6101", "listen: 6101,")),
    ("SELKIES_PORT_LOCAL", OfPlan(&[], "16101", "http://127.0.0.1:16101/api/health")),
    ("SELKIES_URL", OfPlan(&[], "https://a.example/", "url: Some(\"https://a.example/\")")),
    ("VNC_PORT_HOST", OfPlan(&[], "6201", "listen: 6201,")),
    ("VNC_PORT_LOCAL", OfPlan(&[], "16201", "\"-websocketPort\", \"16201\"")),
    ("VNC_DISPLAY", OfPlan(&[], ":9", "\"/usr/bin/Xkasmvnc\", \":9\"")),
    ("VNC_URL", OfPlan(&[], "https://a.example/", "url: Some(\"https://a.example/\")")),
    ("VNC_PASSWORD", Nothing),
    ("SSH_PORT_HOST", Test("the_compose_files_and_the_example_set_only_what_is_read")),
    ("SERVICEPORTAL_METRICS_PORT", Nothing),
    ("SELKIES_METRICS_PORT", Nothing),
    ("VNC_METRICS_PORT", Nothing),
    ("SYNCTHING_UI_PORT_HOST", Nothing),
    ("SYNCTHING_UI_PORT_LOCAL", Nothing),
    ("SYNCTHING_TRANSPORT_PORT_HOST", Nothing),
    ("SYNCTHING_URL", Nothing),
    ("CF_TUNNEL_TOKEN", Door("token")),
    ("CF_QUICK_TUNNELS", Door("true")),
    ("TUNNEL_TRANSPORT_PROTOCOL", Nothing),
    ("DIRECT_ADDRESS", Test("a_preset_link_precedes_the_provider_which_precedes_the_direct_address")),
    ("DIRECT_ADDRESS_GET_WAN", Test("the_public_address_is_looked_up_beside_the_start")),
    ("EXTERNAL_IP_URL", Test("the_public_address_is_looked_up_beside_the_start")),
    ("EXTERNAL_IP_CACHE_SECS", Test("an_answer_is_kept_for_its_time")),
    ("PORTAL_CONFIG", Test("an_entry_names_any_service_of_ours_and_may_have_two")),
    ("VAST_CONTAINERLABEL", Test("provider_is_detected_from_the_environment")),
    ("PUBLIC_IPADDR", Test("links_lead_to_the_public_number_of_a_port")),
    ("CONTAINER_ID", OfFacts("7", "instance: \"7\"")),
    ("CONTAINER_API_KEY", Handed("hidden")),
    ("RUNPOD_POD_ID", Test("runpod_s_proxy_is_used_for_ports_without_a_public_number")),
    ("RUNPOD_PUBLIC_IP", Test("runpod_s_proxy_is_used_for_ports_without_a_public_number")),
    ("DESKTOPD_DISPLAY", OfPlan(&[], "llvmpipe", "asked for by DESKTOPD_DISPLAY")),
    ("VGL_DISPLAY", Test("virtualgls_names_are_read_as_virtualgl_reads_them")),
    ("DISABLE_VGL", Test("virtualgl_draws_only_on_what_egl_drew_on")),
    ("GPU_COUNT", Test("variables_choose_the_gpu")),
    ("VIDEO_PORT", Test("parts_that_the_machine_lacks_are_left_out")),
    ("ACCEPT_NVIDIA_LICENSE", Test("only_a_clear_yes_accepts_the_license")),
    ("NVIDIA_DRIVER_SOURCE", Handed("https://mirror.example")),
    ("DISABLE_FORWARD_COMPAT", Test("variable_removes_what_was_set")),
    ("DISPLAY", OfPlan(&[], ":7", "\"/usr/bin/Xvfb\", \":7\"")),
    ("DISPLAY_SIZEW", OfPlan(&[], "1234", "\"1234x1080x24\"")),
    ("DISPLAY_SIZEH", OfPlan(&[], "1234", "\"1920x1234x24\"")),
    ("DISPLAY_MAX_SIZE", OfPlan(RESIZE, "2560x1600", "\"2560x1600x24\"")),
    ("DISPLAY_REFRESH", OfPlan(&[], "61", "\"8-61\"")),
    ("DISPLAY_DPI", OfPlan(&[], "97", "\"-dpi\", \"97\"")),
    ("DISPLAY_CDEPTH", OfPlan(&[], "30", "\"1920x1080x30\"")),
    ("WEBRTC_ENCODER", OfPlan(&[], "x265enc", "\"SELKIES_ENCODER\": \"h265enc\"")),
    ("WEBRTC_ENABLE_RESIZE", OfPlan(&[], "true", "\"SELKIES_ENABLE_RESIZE\": \"true\"")),
    ("TURN_HOST", OfPlan(&[], "turn.example", "\"SELKIES_TURN_HOST\": \"turn.example\"")),
    ("TURN_PORT", OfPlan(TURN, "3479", "\"SELKIES_TURN_PORT\": \"3479\"")),
    ("TURN_USERNAME", OfPlan(TURN, "me", "\"SELKIES_TURN_USERNAME\": \"me\"")),
    ("TURN_PASSWORD", OfPlan(TURN, "hidden", "\"SELKIES_TURN_PASSWORD\": \"hidden\"")),
    ("TURN_PROTOCOL", OfPlan(TURN, "TCP", "\"SELKIES_TURN_PROTOCOL\": \"tcp\"")),
    ("TURN_SERVER", Test("providers_have_their_own_defaults")),
    ("ENABLE_COTURN", OfPlan(&[], "true", "\"SELKIES_TURN_USERNAME\": \"user\"")),
    ("COTURN_USER", OfPlan(COTURN, "me", "\"SELKIES_TURN_USERNAME\": \"me\"")),
    ("COTURN_PASSWORD", OfPlan(COTURN, "hidden", "\"SELKIES_TURN_PASSWORD\": \"hidden\"")),
    ("COTURN_PORT_HOST", OfPlan(COTURN, "3479", "\"SELKIES_TURN_PORT\": \"3479\"")),
    ("COTURN_LISTEN_ADDRESS", OfPlan(COTURN, "203.0.113.9", "\"SELKIES_TURN_HOST\": \"203.0.113.9\"")),
    ("PIPEWIRE_LATENCY", OfPlan(&[], "32/48000", "\"PIPEWIRE_LATENCY\": \"32/48000\"")),
    ("PULSE_LATENCY_MSEC", OfPlan(&[], "61", "\"PULSE_LATENCY_MSEC\": \"61\"")),
    ("SSH_PORT_LOCAL", Handed("2022")),
    ("SSH_PUBKEY", Handed("ssh-ed25519 AAAA me")),
    ("PUBLIC_KEY", Handed("ssh-ed25519 AAAA me")),
    ("SSH_PUBLIC_KEY", Handed("ssh-ed25519 AAAA me")),
    ("USER_NAME", Handed("ada")),
    ("USER_PASSWORD", Handed("hidden")),
    ("USER_GROUPS", Handed("audio,video")),
    ("WORKSPACE", OfFacts("/data", "path: \"/data\"")),
    ("WORKSPACE_MOUNTED", Handed("force")),
    ("WORKSPACE_UID", Handed("1234")),
    ("WORKSPACE_GID", Handed("1234")),
    ("WORKSPACE_SYNC", Handed("false")),
    ("OPT_SYNC", Handed("a:b")),
    ("SKIP_ACL", Handed("true")),
    ("HF_HOME", OfPlan(&[], "/data/hf", "\"HF_HOME\": \"/data/hf\"")),
    ("PROVISIONING_SCRIPT", Handed("https://a.example/set-up.sh")),
    ("PROVISIONING_MANIFEST", Nothing),
    ("PROVISIONING_USER", Handed("root")),
    ("HOTFIX_SCRIPT", Handed("https://a.example/mend.sh")),
    ("BOOT_SCRIPT", Handed("https://a.example/boot.sh")),
    ("SERVERLESS", Test("without_a_desktop_only_steps_and_requested_services_start")),
    ("PORTAL_TERMINAL", Test("the_terminal_is_off_unless_it_is_asked_for_and_a_login_is_required")),
    ("PORTAL_UNSTOPPABLE", Nothing),
    ("DISABLE_PTY", Nothing),
    ("TZ", OfPlan(&[], "Asia/Tokyo", "\"TZ\": \"Asia/Tokyo\"")),
    ("LANG", OfPlan(&[], "de_DE.UTF-8", "\"LANG\": \"de_DE.UTF-8\"")),
    ("SUPERVISOR_NO_AUTOSTART", Test("without_a_desktop_only_steps_and_requested_services_start")),
    ("DESKTOPD_CONFIG", Test("configuration_folder_comes_from_option_variable_or_default")),
    ("LOG_TO_STDOUT", Test("output_of_a_quiet_service_is_shown_when_it_fails")),
    ("DEBUG", Test("arguments_of_init_are_seen_by_commands_beside_it")),
];

#[test]
fn every_variable_has_its_documented_effect() {
    let names: Vec<&str> = EFFECTS.iter().map(|(name, _)| *name).collect();
    let rows: Vec<&str> = TABLE.iter().map(|variable| variable.names[0]).collect();
    assert_eq!(names, rows, "each row of the table has a row here, in the same order");
    let tests = tests();
    for (variable, (name, effect)) in TABLE.iter().zip(EFFECTS) {
        match effect {
            OfPlan(more, value, expected) => {
                let without = plan(more, None);
                assert!(!without.contains(expected), "{name}: {expected} is planned without it");
                for name in variable.names {
                    let with = plan(&[*more, &[(name, value)]].concat(), None);
                    assert!(with.contains(expected), "{name}={value}: no {expected} in the plan");
                }
            }
            OfFacts(value, expected) => {
                for name in variable.names {
                    let facts = format!("{:?}", probe(&config(&[(name, value)], None)));
                    assert!(facts.contains(expected), "{name}={value}: {facts}");
                }
            }
            Door(value) => {
                assert!(variable.is(Flag::Startup), "{name}: a later value would be ignored in silence");
                let usual = format!("{:?}", Settings::of(&config(&[], None)));
                for name in variable.names {
                    let told = format!("{:?}", Settings::of(&config(&[(name, value)], None)));
                    assert!(told != usual, "{name}={value}: the gateway's settings are the same: {told}");
                }
            }
            Handed(value) => variable.names.iter().for_each(|name| handed(variable, name, value)),
            Test(test) => assert!(tests.contains(&format!("fn {test}(")), "{name}: no test is called {test}"),
            Nothing => {}
        }
        let says = says_nothing_yet(variable);
        match effect {
            Nothing => assert!(says, "{name} does nothing, and does not say so: {}", variable.doc),
            // The daemon opens no tunnel yet, but these variables still have an effect, for people who open a tunnel of
            // their own.
            Door(_) if name.starts_with("CF_") => {}
            _ => assert!(!says, "{name} says that it does nothing: {}", variable.doc),
        }
    }
}

/// Checks that a service whose file names the variable gets its value.
fn handed(variable: &Variable, name: &str, value: &str) {
    let text = if variable.secret {
        format!("command = [\"app\"]\nsecrets = [\"{}\"]", variable.names[0])
    } else {
        format!("command = [\"app\", \"it is ${{{}}}\"]", variable.names[0])
    };
    let expected = if variable.secret {
        format!("\"{}\": \"{value}\"", variable.names[0])
    } else {
        format!("it is {value}")
    };
    let plan = plan(&[(name, value)], Some(&text));
    assert!(plan.contains(&expected), "{name}={value}: no {expected}");
}

/// The shipped configuration in this environment, with one more service.
fn config(environment: &[(&str, &str)], service: Option<&str>) -> Config {
    let mut problems = Vec::new();
    let pairs = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let env = Environment::new(pairs, &[], &mut problems);
    let mut config = Config::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), env, problems);
    let more = service.and_then(|text| Service::parse(Path::new("/c/app.toml"), text, &mut config.problems));
    config.services.extend(more);
    assert_eq!(config.problems, [], "{environment:?}");
    config
}

/// Its plan on a machine where everything is installed, as a text.
fn plan(environment: &[(&str, &str)], service: Option<&str>) -> String {
    let config = config(environment, service);
    let words = config.services.iter().flat_map(|service| match &service.run {
        Run::Command(argv) | Run::Literal(argv) => argv.first().into_iter().chain(&service.unless_installed),
        Run::Step(_) => None.into_iter().chain(&service.unless_installed),
    });
    let places: Vec<(String, String)> =
        words.map(|word| (word.clone(), format!("/usr/bin/{word}"))).collect();
    let places = places.iter().map(|(word, place)| (word.as_str(), place.as_str()));
    let facts = Facts {
        daemon: Identity { uid: 0, gid: 0, groups: vec![0] },
        container: true,
        account: Ok(Account {
            name: "user".into(),
            identity: Identity { uid: 1000, gid: 1000, groups: vec![1000] },
            home: "/home/user".into(),
            shell: "/bin/bash".into(),
            stand_in: None,
        }),
        groups: BTreeMap::new(),
        programs: Programs::given("/usr/bin", places),
        display: DisplayFacts::default(),
        gpus: Gpus::default(),
        files: Files::default(),
        locales: Locales::default(),
        workspace: Workspace { path: "/workspace".into(), ..Workspace::default() },
        ..probe(&config)
    };
    format!("{:?}", Plan::build(&config, &facts))
}

fn probe(config: &Config) -> Facts {
    Facts::probe(config, Path::new("/"), &Answers::default())
}

/// The names of all tests.
fn tests() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}
