//! Variables from arguments, files and hooks, as commands show them; and the environments of ai-dock's compose files,
//! vast.ai and RunPod.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;

use crate::daemon::world::{World, find, pid_of, variable};

/// One variable as `desktopd env --json` shows it.
fn shown(world: &World, name: &str) -> Value {
    let rows: Value = serde_json::from_str(&world.tell(&["env", "--json", name])).unwrap();
    rows[0].clone()
}

#[test]
fn arguments_of_init_are_seen_by_commands_beside_it() {
    let mut world = World::of(&[("stays", "@polite")]);
    world.env("WEB_USER", "ada").env("COTURN_PASSWORD", "of-the-environment");
    world.argument("WEB_USER=bob").argument("COTURN_PASSWORD=of-the-arguments").argument("DEBUG=app:*");
    let alone = shown(&world, "WEB_USER");
    assert_eq!((&alone["value"], &alone["source"]), (&"ada".into(), &"environment".into()));
    world.start();
    let row = shown(&world, "WEB_USER");
    assert_eq!((&row["value"], &row["source"]), (&"bob".into(), &"arguments of init".into()));
    assert_eq!(row["overrode"][0]["value"], "ada");
    let all = world.tell(&["env"]);
    assert!(all.contains("arguments of init; over ****** (environment)"), "{all}");
    assert!(!all.contains("of-the-"), "{all}");
    assert!(!world.tell(&["env", "--json"]).contains("of-the-"));
    // With `DEBUG`, the log has more messages.
    world.tell(&["reload"]);
    world.until_said("a reload was requested: ");
}

#[test]
fn files_are_read_at_the_start_and_again_at_a_reload() {
    let mut world = World::of(&[("stays", "@polite\nenvironment = { SEEN = \"${TZ}\" }")]);
    let folder = world.path("").to_str().unwrap().to_owned();
    world.env("WORKSPACE", &folder).env("TZ", "UTC").env("MINE", "given").env("HF_TOKEN", "old-token");
    world.write("environment", "MINE=edited\nHF_TOKEN=\"new token\"\nWEB_USER=late\n'half\n");
    world.write(".env", "TZ=Asia/Tokyo\nHOTFIX_SCRIPT=https://evil.example/\n");
    world.start();
    let unit = world.until_state("stays", "ready");
    let of =
        |unit: &Value, name: &str| variable(pid_of(unit), name).map(|value| value.into_string().unwrap());
    assert_eq!(of(&unit, "MINE").as_deref(), Some("given"), "a given variable overrides the file");
    assert_eq!(of(&unit, "SEEN").as_deref(), Some("Asia/Tokyo"));
    let row = shown(&world, "TZ");
    assert_eq!(row["source"], format!("{folder}.env"));
    let problems = world.status()["problems"].to_string();
    for told in ["WEB_USER: it was there before", "HOTFIX_SCRIPT: it is not taken from here", "line 4"] {
        assert!(problems.contains(told), "{told}: {problems}");
    }

    fs::write(world.path("state/environment-written"), b"MINE=given\0HF_TOKEN=old-token\0").unwrap();
    world.replace("environment", "MINE=again\n");
    fs::remove_file(world.path(".env")).unwrap();
    world.tell(&["reload"]);
    let unit = world.until_replaced("stays", &unit);
    assert_eq!((of(&unit, "MINE").as_deref(), of(&unit, "SEEN").as_deref()), (Some("again"), Some("UTC")));
    assert_eq!(world.status()["problems"], serde_json::json!([]));

    // For a wrong value in a file the default applies; the other values are still taken over.
    world.replace("environment", "MINE=third\nDISPLAY_SIZEW=wide\n");
    world.tell(&["reload"]);
    assert_eq!(world.unit("stays")["pid"], unit["pid"], "an edit restarts nothing");
    world.tell(&["restart", "stays"]);
    let unit = world.until_replaced("stays", &unit);
    assert_eq!(of(&unit, "MINE").as_deref(), Some("third"));
    let problems = world.status()["problems"].to_string();
    assert!(problems.contains("DISPLAY_SIZEW: \\\"wide\\\" is not a whole number"), "{problems}");
}

#[test]
fn login_variables_in_files_apply_from_the_next_start() {
    let (first, second) = ("first-pass-w0rd", "second-pass-w0rd");
    let mut world = World::of(&[("stays", "@polite")]);
    world.env("WEB_PASSWORD", first).env("WEB_USER", "ada");
    world.write("environment", "WEB_PASSWORD=of-the-image-1\n");
    world.start();
    let login = |world: &World| -> (String, String) {
        let shown: Value = serde_json::from_str(&world.tell(&["credentials", "--json"])).unwrap();
        (shown["user"].as_str().unwrap().to_owned(), shown["password"].as_str().unwrap().to_owned())
    };
    assert_eq!(login(&world), ("ada".into(), first.into()), "the given login counts");
    world.replace(
        "environment",
        &format!("WEB_PASSWORD={second}\nWEB_USERNAME=bob\nENABLE_HTTPS=true\nAUTH_EXCLUDE=6100\n"),
    );
    let told = world.tell(&["restart", "caddy"]);
    for name in ["WEB_PASSWORD", "WEB_USERNAME", "ENABLE_HTTPS", "AUTH_EXCLUDE"] {
        assert!(
            told.contains(&format!("{name}: it counts from the next start of the container on")),
            "{told}"
        );
    }
    assert_eq!(login(&world), ("ada".into(), first.into()));
    // Both at the next start and at the start after that.
    for _ in 0..2 {
        world.end();
        world.start();
        assert_eq!(login(&world), ("bob".into(), second.into()));
        let rows = ["WEB_ENABLE_HTTPS", "AUTH_EXCLUDE"].map(|name| shown(&world, name)["value"].clone());
        assert_eq!(rows, [Value::from("true"), "6100".into()]);
        assert!(!world.tell(&["restart", "caddy"]).contains("next start"));
    }
    assert!(!world.read("console").contains(second));
}

#[test]
fn variables_of_hooks_reach_all_services_after_a_new_plan() {
    let hooks = "type = \"oneshot\"\nprovides = [\"boot-hooks\"]\ncommand = [\"/bin/sh\", \"-c\", \"env -0 > $$D/before; echo ran >> $$D/runs\"]";
    let mut world =
        World::of(&[("hooks", hooks), ("after", "@polite\nafter = [\"hooks\"]"), ("before", "@polite")]);
    world.service("hooks", &format!("{hooks}\nafter = [\"before\"]"));
    // Variables that hooks of an earlier boot left are not used.
    fs::create_dir(world.path("run")).unwrap();
    fs::write(world.path("run/hook-environment"), b"STALE=1\0").unwrap();
    world.start();
    world.until_up();
    let (after, before) = (world.unit("after"), world.unit("before"));
    assert_eq!(variable(pid_of(&after), "STALE"), None);
    let mut left = fs::read(world.path("before")).unwrap();
    left.extend(b"LEFT=by a hook\0DISPLAY_SIZEW=1234\0PWD=/elsewhere\0");
    fs::write(world.path("run/hook-environment"), left).unwrap();
    world.tell(&["reload"]);
    let after = world.until_replaced("after", &after);
    assert_eq!(variable(pid_of(&after), "LEFT").unwrap(), "by a hook");
    let row = shown(&world, "DISPLAY_SIZEW");
    assert_eq!((&row["value"], &row["source"]), (&"1234".into(), &"hooks".into()));
    assert_eq!(world.unit("before")["pid"], before["pid"], "a unit from before the hooks is not restarted");
    assert_eq!(world.read("runs"), "ran\n", "hooks do not run again");
}

#[test]
fn without_a_server_no_port_is_open_and_only_requested_services_run() {
    let mut world = World::of(&[
        ("stays", "@polite"),
        ("asked", "@polite\nserverless = true"),
        ("step", "type = \"oneshot\"\ncommand = [\"/bin/sh\", \"-c\", \"echo done > $$D/step\"]"),
        ("web", "@polite\n[route]\ntitle = \"Web\"\nlisten = \"@port\"\nupstream = \"127.0.0.1:1\""),
    ]);
    let web = crate::daemon::world::free_port();
    let text = fs::read_to_string(world.path("services/web.toml")).unwrap();
    world.write("services/web.toml", &text.replace("@port", &web.to_string()));
    world.env("SERVERLESS", "TRUE");
    world.start();
    world.until_state("asked", "ready");
    world.until_written("step", "done");
    let status = world.until_up();
    assert_eq!((&find(&status, "stays")["pid"], &find(&status, "web")["pid"]), (&Value::Null, &Value::Null));
    assert_eq!((&status["routes"], &status["problems"]), (&serde_json::json!([]), &serde_json::json!([])));
    let (portal, inner) = world.ports();
    for port in [portal, inner, web] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is open");
    }
    assert_eq!(world.cli(&["health"]).code, 0);
    // A service that was left out can be started by a command.
    world.tell(&["start", "stays"]);
    world.until_state("stays", "ready");
}

/// The environment of ai-dock's two compose files with unchanged settings, those of the linux-desktop image over those
/// of the base image. The ports are this test's own.
const COMPOSE: &[(&str, &str)] = &[
    ("CADDY_AUTH_COOKIE_NAME", ""),
    ("CF_QUICK_TUNNELS", "true"),
    ("CF_TUNNEL_TOKEN", ""),
    ("COTURN_LISTEN_ADDRESS", "127.0.0.1"),
    ("COTURN_PASSWORD", ""),
    ("COTURN_PORT_HOST", "3478"),
    ("COTURN_USER", "user"),
    ("DIRECT_ADDRESS", "127.0.0.1"),
    ("DIRECT_ADDRESS_GET_WAN", "false"),
    ("ENABLE_COTURN", "false"),
    ("PIPEWIRE_LATENCY", "32/48000"),
    ("PROVISIONING_SCRIPT", ""),
    ("PULSE_LATENCY_MSEC", "60"),
    ("SELKIES_ARGS", ""),
    ("SELKIES_ENABLE_RESIZE", "false"),
    ("SELKIES_ENCODER", "nvh264enc"),
    ("SELKIES_METRICS_PORT", "26100"),
    ("SELKIES_PORT_HOST", "6100"),
    ("SELKIES_TURN_HOST", "127.0.0.1"),
    ("SELKIES_TURN_PASSWORD", ""),
    ("SELKIES_TURN_PORT", "3478"),
    ("SELKIES_TURN_PROTOCOL", "tcp"),
    ("SELKIES_TURN_USERNAME", ""),
    ("SELKIES_URL", ""),
    ("SERVERLESS", "false"),
    ("SERVICEPORTAL_METRICS_PORT", "21111"),
    ("SERVICEPORTAL_URL", ""),
    ("SSH_PORT_HOST", "2222"),
    ("SSH_PORT_LOCAL", "22"),
    ("SYNCTHING_TRANSPORT_PORT_HOST", "22999"),
    ("SYNCTHING_UI_PORT_HOST", "8384"),
    ("SYNCTHING_URL", ""),
    ("VAST_TCP_PORT_1111", ""),
    ("VAST_TCP_PORT_2222", ""),
    ("VAST_TCP_PORT_6100", ""),
    ("VAST_TCP_PORT_6200", ""),
    ("VAST_TCP_PORT_70000", ""),
    ("VAST_TCP_PORT_72299", ""),
    ("VAST_TCP_PORT_8384", ""),
    ("VNC_METRICS_PORT", "26200"),
    ("VNC_PORT_HOST", "6200"),
    ("VNC_URL", ""),
    ("WEB_ENABLE_AUTH", "true"),
    ("WEB_ENABLE_HTTPS", "false"),
    ("WEB_PASSWORD", "password"),
    ("WEB_USER", "user"),
    ("WORKSPACE", "/workspace"),
    ("WORKSPACE_SYNC", "true"),
];

/// Variables that the image itself sets, and that its init exports.
const IMAGE: &[(&str, &str)] = &[
    ("DISPLAY", ":0"),
    ("VNC_DISPLAY", ":1"),
    ("SELKIES_ENABLE_BASIC_AUTH", "false"),
    ("SUPERVISOR_NO_AUTOSTART", "cloudflared"),
    ("USER_NAME", "user"),
    ("USER_PASSWORD", "password"),
    ("VGL_DISPLAY", "egl"),
    ("WORKSPACE_MOUNTED", "false"),
    ("XDG_RUNTIME_DIR", "/tmp/runtime-user"),
    ("OPT_SYNC", ""),
    ("DISABLE_RTKIT", "y"),
    ("XPU_TARGET", "NVIDIA_GPU"),
];

/// The environment of an instance made from vast.ai's desktop template.
const VAST: &[(&str, &str)] = &[
    ("CONTAINER_API_KEY", "0123456789abcdef"),
    ("CONTAINER_ID", "12345678"),
    ("DATA_DIRECTORY", "/workspace/"),
    ("GPU_COUNT", "1"),
    ("JUPYTER_DIR", "/"),
    ("OPEN_BUTTON_PORT", "1111"),
    ("OPEN_BUTTON_TOKEN", "0123456789abcdef0123456789abcdef"),
    (
        "PORTAL_CONFIG",
        "localhost:1111:11111:/:Instance Portal|localhost:6100:16100:/:Selkies Low Latency Desktop|\
         localhost:6200:16200:/guacamole:Apache Guacamole Desktop (VNC)|localhost:8080:8080:/:Jupyter|\
         localhost:8080:8080:/terminals/1:Jupyter Terminal|localhost:8384:18384:/:Syncthing",
    ),
    ("PROVISIONING_SCRIPT", ""),
    ("PUBLIC_IPADDR", "203.0.113.9"),
    ("SELKIES_ENCODER", "x264enc"),
    ("SSH_PUBLIC_KEY", ""),
    ("VAST_CONTAINERLABEL", "C.12345678"),
    ("VAST_TCP_PORT_1111", "40111"),
    ("VAST_TCP_PORT_22", "40022"),
    ("VAST_TCP_PORT_6100", "40610"),
    ("VAST_TCP_PORT_6200", "40620"),
    ("VAST_TCP_PORT_8080", "40808"),
    ("VAST_TCP_PORT_8384", "40838"),
    ("VAST_UDP_PORT_73478", "40734"),
    ("WORKSPACE", "/workspace"),
];

/// The environment of a pod made from ai-dock's RunPod template, which can pass neither quotes nor blanks.
const RUNPOD: &[(&str, &str)] = &[
    ("COTURN_FLAGS", "--verbose___--no-rfc5780"),
    ("DIRECT_ADDRESS_GET_WAN", "false"),
    (
        "PUBLIC_KEY",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtu2Lm6nDGLIBO0uGJ3hbb8mGE7Zs3bN4QxXPBOWj9w me@home",
    ),
    ("RUNPOD_API_KEY", "rp_0123456789"),
    ("RUNPOD_CPU_COUNT", "8"),
    ("RUNPOD_POD_ID", "abcdefghij1234"),
    ("RUNPOD_PUBLIC_IP", "203.0.113.9"),
    ("RUNPOD_TCP_PORT_22", "10022"),
    ("RUNPOD_TCP_PORT_70000", "10100"),
    ("SSH_PORT_HOST", "70000"),
    ("WEB_PASSWORD", "\"quoted\""),
    ("WEB_USER", "\"user\""),
    ("WORKSPACE", "/workspace/"),
];

#[test]
fn environments_of_other_images_cause_no_unexpected_problems() {
    let both = [COMPOSE, IMAGE].concat();
    // The only problems: bad defaults of these environments, and features that are not implemented.
    let compose: &[&str] = &[
        "WEB_PASSWORD can be guessed: it is among the first that people try",
        "CF_QUICK_TUNNELS: this version opens no Cloudflare tunnels",
    ];
    for (environment, told) in [(COMPOSE, compose), (&both, compose), (VAST, &[]), (RUNPOD, &[])] {
        let mut world = World::of(&[("stays", "@polite")]);
        let (portal, inner) = world.ports();
        for (name, value) in environment {
            // The only entry with a port of this test's own.
            world.env(name, value.replace("localhost:1111:11111", &format!("localhost:{portal}:{inner}")));
        }
        world.start();
        let status = world.until_up();
        let problems = status["problems"].as_array().unwrap();
        assert_eq!(problems.len(), told.len(), "{problems:?}");
        for (problem, told) in problems.iter().zip(told) {
            assert!(problem.as_str().unwrap().starts_with(told), "{problem}");
        }
        let console = world.read("console");
        assert_eq!(console.matches("warning:").count(), told.len(), "{console}");
        assert!(!console.contains("error:"), "{console}");
        planned(environment);
    }
}

/// The shipped services have no problem with this environment either.
fn planned(environment: &[(&str, &str)]) {
    let plan = Command::new(env!("CARGO_BIN_EXE_desktopd"))
        .args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/config"), "plan", "--json"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&plan.stdout);
    let plan: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told} {plan:?}"));
    assert_eq!(plan["problems"], serde_json::json!([]), "{environment:?}");
}
