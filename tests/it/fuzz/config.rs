//! Fuzzing the configuration: whatever a service file, `desktopd.toml` or the environment contains, the result is
//! either problems that name their place, or a plan that can be executed.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use desktopd::config::service::{Probe, Ready, Run};
use desktopd::config::{Config, Environment, Places, PortalConfig, Problem, Service, Settings};
use desktopd::facts::gpu::Gpus;
use desktopd::facts::{Account, Cpus, DisplayFacts, Facts, Files, Locales, Making, Programs, Workspace};
use desktopd::plan::Plan;
use desktopd::supervise::lifecycle::{Core, Effect, Event, Outcome};
use desktopd::supervise::notify::{MAX_STATUS, Message};
use desktopd::sys::launch::{Identity, Report, unframe};
use desktopd::sys::reaper::Exit;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::fuzz::search::Target;

/// Separates the files of one input.
const NEXT: &str = "#### ";

const KEYS: &[&str] = &[
    "command",
    "step",
    "step.name",
    "step.uid",
    "description",
    "aliases",
    "type",
    "user",
    "desktop",
    "unless-installed",
    "needs",
    "after",
    "follows",
    "ready",
    "start-timeout",
    "restart",
    "restart-limit",
    "restart-delay",
    "restart-delay-max",
    "stop-command",
    "stop-signal",
    "stop-timeout",
    "contain",
    "environment",
    "environment.A",
    "condition",
    "clears",
    "restart-with",
    "provides",
    "hook",
    "main",
    "folders",
    "private-tmp",
    "file",
    "listen",
    "health.xauthority",
    "secrets",
    "directory",
    "umask",
    "nice",
    "autostart",
    "log-to-stdout",
    "serverless",
    "route",
    "route.listen",
    "route.upstream",
    "route.bridge",
    "route.inner",
    "route.files",
    "route.path",
    "route.url",
    "route.title",
    "ready.kind",
    "ready.path",
    "ready.address",
    "ready.url",
    "ready.name",
    "ready.bus",
    "ready.pattern",
    "ready.command",
    "ready.time",
    "ready.display",
    "ready.xauthority",
    "health",
    "health.kind",
    "health.path",
    "health.address",
    "health.url",
    "health.command",
    "health.display",
    "health.period",
    "health.timeout",
    "health.threshold",
    "health.action",
    "open-files",
    "limits",
    "limits.core",
    "limits.cpu",
    "limits.nproc",
    "oom-score-adj",
    "groups",
    "comand",
    "a.b.c",
];

const VALUES: &[&str] = &[
    "\"\"",
    "[]",
    "{}",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "5",
    "19",
    "-20",
    "1000",
    "1001",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "nan",
    "-inf",
    "1979-05-27T07:32:00Z",
    "'''",
    "\"\"\"",
    "[\"true\"]",
    "[\"sleep\", \"1000\"]",
    "[\"\"]",
    "[[\"a\"], 1]",
    "[\"${display}\", \"$$\", \"${\", \"}\"]",
    "\"${home}/${user}\"",
    "\"${ready-fd}\"",
    "\"${TURN_HOST}\"",
    "\"${no-such}\"",
    "\"$\"",
    "{ soft = 1, hard = \"unlimited\" }",
    "{ soft = \"2MiB\", hard = 1 }",
    "{ kind = \"x11\" }",
    "{ kind = \"tcp\", address = \"127.0.0.1:1\", period = \"100ms\", threshold = 1 }",
    "\"exec\"",
    "\"8MiB\"",
    "\"18446744073709551615GiB\"",
    "[\"video\", \"4321\"]",
    "\"prepare\"",
    "[\"prepare\"]",
    "[\"x-cookie\", \"/x\"]",
    "\"service\"",
    "\"oneshot\"",
    "\"root\"",
    "\"own\"",
    "\"desktop\"",
    "\"always\"",
    "\"on-failure\"",
    "\"never\"",
    "\"none\"",
    "\"0s\"",
    "\"0ms\"",
    "\"1ms\"",
    "\"250ms\"",
    "\"5s\"",
    "\"2m\"",
    "\"1h\"",
    "\"878400h\"",
    "\"878401h\"",
    "\"18446744073709551615s\"",
    "\"307445734561825860m\"",
    "\"+5s\"",
    "\"-5s\"",
    "\"5 s\"",
    "\"5.5s\"",
    "\"٥s\"",
    "\"TERM\"",
    "\"SIGKILL\"",
    "\"SIGRTMIN\"",
    "\"40\"",
    "\"0022\"",
    "\"0777\"",
    "\"1000\"",
    "\"-1\"",
    "\"+7\"",
    "[\"x\"]",
    "[\"kde\", \"selkies\"]",
    "[\"a\", \"b\", \"c\"]",
    "[\"../etc\"]",
    "\"/\"",
    "\"//\"",
    "\"/a?b#c\"",
    "\"6901\"",
    "\"65536\"",
    "\"${kasmvnc-port}\"",
    "\"127.0.0.1:8080\"",
    "\"[::1]:1\"",
    "\"unix:/x\"",
    "\"unix:\"",
    "\"http://127.0.0.1:1/\"",
    "\"(a*)*$\"",
    "\"[\"",
    "\"(?P<x>a{1000}){1000}\"",
    "{ kind = \"started\" }",
    "{ kind = \"notify\" }",
    "{ kind = \"fd\" }",
    "{ kind = \"socket\", path = \"/x\" }",
    "{ kind = \"tcp\", address = \"x\" }",
    "{ kind = \"http\", url = \"\" }",
    "{ kind = \"log\", pattern = \"a\" }",
    "{ kind = \"exec\", command = [\"true\"] }",
    "{ kind = \"delay\", time = \"1h\" }",
    "{ kind = \"dbus\", name = \"a.b\", bus = \"unix:path=/x\" }",
    "{ kind = \"file\" }",
    "{ A = \"b\", B = \"${A}\", \"\" = \"\", \"C=D\" = \"e\" }",
    "{ A = \"a\\u0000b\" }",
    "\"\\u0000\"",
    "\"\\U0010FFFF\"",
    "\"\\ud800\"",
    "\"ü\\n\\t\\\"\"",
    "\u{feff}",
    "\r",
    "\0",
    "[[",
    "]]",
    "= =",
    "#",
    "[route]",
    "[[ready]]",
    "[environment]",
    "#### other",
    "####  ",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const LINES: &[&str] = &[
    "command = [\"true\"]",
    "command = [\"${home}/x\", \"$$\", \"${uid}\"]",
    "type = \"oneshot\"",
    "type = \"service\"",
    "user = \"root\"",
    "user = \"own\"",
    "user = \"desktop\"",
    "desktop = true",
    "unless-installed = [\"kwin_x11\"]",
    "unless-installed = [\"true\", \"\"]",
    "needs = [\"x-server\"]",
    "needs = [\"kde\", \"selkies\"]",
    "needs = [\"a\"]",
    "after = [\"b\", \"x-cookie\"]",
    "after = [\"prepare\", \"dbus-session\"]",
    "follows = [\"x-server\"]",
    "follows = [\"pipewire\", \"y\"]",
    "aliases = [\"x\", \"kde\"]",
    "ready = { kind = \"delay\", time = \"878400h\" }",
    "ready = { kind = \"fd\" }",
    "ready = { kind = \"tcp\", address = \"${port}\" }",
    "ready = { kind = \"log\", pattern = \"^a+$$\" }",
    "ready = { kind = \"exec\", command = [\"true\", \"${display}\"] }",
    "start-timeout = \"none\"",
    "start-timeout = \"0s\"",
    "start-timeout = \"878400h\"",
    "start-timeout = \"18446744073709551615s\"",
    "stop-timeout = \"0ms\"",
    "stop-timeout = \"878400h\"",
    "stop-timeout = \"18446744073709551615ms\"",
    "stop-command = [\"true\"]",
    "stop-command = []",
    "stop-signal = \"KILL\"",
    "stop-signal = \"STOP\"",
    "restart = \"never\"",
    "restart = \"on-failure\"",
    "restart-limit = \"none\"",
    "restart-limit = 1000",
    "restart-limit = 1",
    "restart-delay = \"1ms\"",
    "restart-delay = \"878400h\"",
    "restart-delay-max = \"878400h\"",
    "restart-delay-max = \"1ms\"",
    "contain = true",
    "health = { kind = \"exec\", command = [\"true\"], period = \"100ms\", threshold = 1 }",
    "condition = [{ variable = \"A\", else = \"set ${home}\" }]",
    "condition = [{ any-file = [\"${home}/x\", \"/y\"] }]",
    "clears = [\"dbus-session\"]",
    "restart-with = \"x-server\"",
    "restart-with = \"a\"",
    "main = true",
    "folders = [\"/run/x\", \"${home}/y\"]",
    "private-tmp = true",
    "file = [{ path = \"/run/x\", content = \"${WEB_PASSWORD} ${uid}\", mode = \"0644\" }]",
    "listen = [{ path = \"${runtime-dir}/s\", mode = \"0666\" }, { path = \"t\" }]",
    "health = { kind = \"tcp\", address = \"127.0.0.1:1\" }",
    "autostart = false",
    "hook = \"selkies\"",
    "provides = [\"x-server\"]",
    "condition = [{ display = \"xorg\" }]",
    "log-to-stdout = false",
    "nice = -20",
    "umask = \"0777\"",
    "directory = \"${home}\"",
    "directory = \"\"",
    "secrets = [\"WEB_PASSWORD\", \"HF_TOKEN\"]",
    "environment = { A = \"${home}\", B = \"\" }",
    "route = { listen = \"6901\", upstream = \"127.0.0.1:1\" }",
    "route = { listen = \"1111\", upstream = \"unix:/x\", bridge = \"/w\", files = \"/\" }",
];

/// The image's services, one file per input, and some in pairs.
fn shipped() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/services");
    let mut texts: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    texts.sort();
    let one = |(name, text): &(String, String)| format!("{NEXT}{name}\n{text}");
    let mut all: Vec<String> = texts.iter().map(one).collect();
    all.extend(texts.windows(3).map(|three| three.iter().map(one).collect()));
    all.push(format!("{NEXT}a\ncommand = [\"true\"]\n{NEXT}b\ncommand = [\"true\"]\nneeds = [\"a\"]\n"));
    all.push(format!("{NEXT}x\ncommand = [\"true\"]\nneeds = [\"y\"]\n{NEXT}y\nstep = {{ name = \"x-keys\", display = \":0\" }}\n"));
    all
}

/// A machine on which all programs that the services name are installed, or none: more is planned with all of them.
pub fn facts(services: &[Service], installed: bool) -> Facts {
    let words = services.iter().flat_map(|service| {
        let command = match &service.run {
            Run::Command(argv) | Run::Literal(argv) => argv.first(),
            Run::Step(_) => None,
        };
        let ready = match &service.ready {
            Ready::Probe(probe) => Some(probe),
            _ => None,
        };
        let probes = ready.into_iter().chain(service.health.as_ref().map(|health| &health.probe));
        let asked = probes.filter_map(|probe| match probe {
            Probe::Exec(argv) => argv.first(),
            _ => None,
        });
        command.into_iter().chain(asked).chain(service.stop.command.iter().flatten().take(1))
    });
    let programs: Vec<(&str, &str)> =
        words.filter(|_| installed).map(|word| (word.as_str(), "/usr/bin/x")).collect();
    let conditions = services.iter().flat_map(|service| &service.conditions);
    let asked = conditions
        .flat_map(|condition| condition.any_file.iter().chain(&condition.any_key).map(String::as_str));
    let identity = |id| Identity { uid: id, gid: id, groups: vec![id] };
    Facts {
        daemon: identity(0),
        container: true,
        account: Ok(Account {
            name: "user".into(),
            identity: identity(1000),
            home: "/home/user".into(),
            shell: "/bin/sh".into(),
            stand_in: None,
        }),
        groups: [("video".to_owned(), 44)].into(),
        programs: Programs::given("/usr/bin", programs),
        display: DisplayFacts::default(),
        gpus: Gpus::default(),
        encoders: Vec::new(),
        making: Making::default(),
        home_trouble: None,
        locales: Locales::default(),
        ssh_port_taken: false,
        workspace: Workspace { path: "/workspace".into(), ..Workspace::default() },
        files: Files::given(asked.filter(|_| installed)),
        addresses: [[172, 17, 0, 2].into()].into(),
        task_limit: None,
        cpus: Cpus::default(),
        instance: "test".into(),
    }
}

/// Every problem names its place and its subject, and says what would be right.
pub fn told(problems: &[Problem], place: &str) -> TestCaseResult {
    for problem in problems {
        prop_assert_eq!(&problem.place, place, "{}", problem);
        prop_assert!(!problem.key.is_empty() && problem.message.len() > 8, "{}", problem);
        prop_assert!(!problem.message.contains('\n'), "{}", problem);
    }
    Ok(())
}

pub fn config(
    services: Vec<Service>,
    mut problems: Vec<Problem>,
    environment: &[(OsString, OsString)],
) -> Config {
    let mut ignored = Vec::new();
    let env = Environment::new(environment.iter().cloned(), &[], &mut ignored);
    let settings = Settings::default();
    let places = Places::new(&settings, &env);
    let portal = PortalConfig::of_variable(&env.vars.portal_config, &mut problems);
    Config { dir: "/c".into(), env, settings, places, services, portal, problems }
}

/// Makes a plan and simulates it for a while: nothing panics, and every deadline is possible.
fn live(config: &Config, installed: bool) -> TestCaseResult {
    let plan = Plan::build(config, &facts(&config.services, installed));
    prop_assert!(!plan.text().is_empty() || plan.units.is_empty());
    prop_assert!(serde_json::to_string(&plan.view()).is_ok());
    let mut core = Core::new(plan.units, 7, 0);
    let mut now = Duration::ZERO;
    let mut pending = core.handle(Event::Tick, now);
    for step in 0..200_u32 {
        if step == 100 {
            pending.extend(core.handle(Event::Restart(core.ids().collect(), "ada".to_owned()), now));
        }
        if step == 150 {
            pending.extend(core.handle(Event::Shutdown, now));
        }
        let event = match pending.pop() {
            Some(Effect::Spawn(at)) if step % 3 == 0 => Event::Exited(at, Outcome::Ended(Exit::Code(1))),
            Some(Effect::Spawn(at)) if step % 3 == 1 => {
                pending.extend(core.handle(Event::Launched(at, 1000), now));
                Event::Ready(at)
            }
            Some(Effect::Spawn(at)) => Event::Ready(at),
            Some(Effect::RunStopCommand(at)) if step % 2 == 0 => Event::StopCommandEnded(at, false),
            Some(Effect::RunStopCommand(at) | Effect::Signal(at) | Effect::Kill(at)) => {
                Event::Exited(at, Outcome::Ended(Exit::Signal(15)))
            }
            Some(Effect::Check(at, number)) => {
                let told = if step % 2 == 0 { Ok(()) } else { Err("no".to_owned()) };
                Event::Checked(at, number, told)
            }
            Some(Effect::CancelCheck(_)) => Event::Tick,
            Some(Effect::Finished) => return Ok(()),
            None => match core.deadline() {
                Some(deadline) => {
                    prop_assert!(deadline >= now);
                    now = deadline;
                    Event::Tick
                }
                None => Event::Start(core.ids().collect()),
            },
        };
        pending.extend(core.handle(event, now));
    }
    Ok(())
}

/// The files of one input.
fn files(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix(NEXT), files.last_mut()) {
            (Some(name), _) => {
                let safe: String = name.trim().chars().filter(|c| *c != '/' && *c != '\0').take(40).collect();
                files.push((if safe.is_empty() { "unnamed".to_owned() } else { safe }, String::new()));
            }
            (None, Some((_, file))) => file.push_str(line),
            (None, None) => files.push(("first".to_owned(), line.to_owned())),
        }
    }
    files.sort();
    files.dedup_by(|a, b| a.0 == b.0);
    files
}

#[test]
fn no_service_file_breaks_the_plan() {
    let target = Target {
        name: "service",
        corpus: shipped(),
        heads: KEYS,
        values: VALUES,
        lines: LINES,
        begins: NEXT,
        seconds: 60,
    };
    let (sound, wrong) = (Cell::new(0_u64), Cell::new(0_u64));
    let count = target.search(|text| {
        let (mut services, mut problems) = (Vec::new(), Vec::new());
        for (name, text) in files(text) {
            let path = format!("/c/services/{name}.toml");
            let mut found = Vec::new();
            let service = Service::parse(Path::new(&path), &text, &mut found);
            prop_assert_eq!(service.is_some(), found.is_empty(), "{:?}", found);
            told(&found, &path)?;
            let counter = if service.is_some() { &sound } else { &wrong };
            counter.set(counter.get() + 1);
            services.extend(service);
            problems.extend(found);
        }
        live(&config(services.clone(), problems.clone(), &[]), false)?;
        // Here every condition is true.
        let on = |name: &str| (OsString::from(name), OsString::from("true"));
        live(&config(services, problems, &["ENABLE_COTURN", "A"].map(on)), true)
    });
    eprintln!("{count} inputs, {} sound files, {} wrong ones", sound.get(), wrong.get());
    // If all inputs were refused, or none, only one half would be tested.
    assert!(sound.get() > count / 10 && wrong.get() > count / 10);
}

const VARIABLES: &[&str] = &[
    "WEB_PASSWORD",
    "WEB_TOKEN",
    "WEB_USER",
    "WEB_ENABLE_AUTH",
    "DISPLAY",
    "DISPLAY_SIZEW",
    "SIZEW",
    "SIZEH",
    "REFRESH",
    "DPI",
    "CDEPTH",
    "SELKIES_URL",
    "SERVICEPORTAL_PORT_HOST",
    "SERVICEPORTAL_URL",
    "DIRECT_ADDRESS",
    "USER_NAME",
    "DESKTOPD_DISPLAY",
    "TURN_HOST",
    "HF_TOKEN",
    "PATH",
    "[paths]\nrun",
    "[logs]\nfile-size",
    "[logs]\nmemory",
    "[environment]\nA",
    "[desktop-environment]\nB",
    "\u{1}",
];

const SETTINGS: &[&str] = &[
    "run = \"/x\"",
    "state = \"\"",
    "log = \"relative\"",
    "ring = \"1KiB\"",
    "size = \"17179869184GiB\"",
    "files = 0",
    "PATH = \"\"",
    "WEB_USER = ü",
    "DISPLAY = :99999999999",
    "SIZEW = 0",
    "REFRESH = -1",
    "SERVICEPORTAL_PORT_HOST = 65536",
    "WEB_ENABLE_AUTH = perhaps",
];

#[test]
fn no_settings_or_environment_break_the_plan() {
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/desktopd.toml");
    let corpus = vec![
        std::fs::read_to_string(settings).unwrap(),
        "WEB_PASSWORD = hunter22\nDISPLAY = :1\nSIZEW = 1920\nREFRESH = 60\nWEB_ENABLE_AUTH = true\n"
            .to_owned(),
        "SERVICEPORTAL_PORT_HOST = 1111\nTURN_HOST = \nUSER_NAME = user\nCDEPTH = 24\nDPI = 96\n".to_owned(),
    ];
    let target = Target {
        name: "settings",
        corpus,
        heads: VARIABLES,
        values: VALUES,
        lines: SETTINGS,
        begins: "[",
        seconds: 20,
    };
    let count = target.search(|text| {
        let mut problems = Vec::new();
        Settings::parse(Path::new("/c/desktopd.toml"), text, &mut problems);
        told(&problems, "/c/desktopd.toml")?;
        let pairs: Vec<(OsString, OsString)> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().into(), value.trim().trim_matches('"').into()))
            .collect();
        live(&config(Vec::new(), Vec::new(), &pairs), true)?;
        Ok(())
    });
    eprintln!("{count} inputs");
    assert!(count > 0);
}

const NAMES: &[&str] =
    &["READY", "RELOADING", "STOPPING", "STATUS", "ERRNO", "MAINPID", "FDSTORE", "WATCHDOG", "X", "", " "];

const SAID: &[&str] = &[
    "1",
    "0",
    "-1",
    "",
    "=",
    "2147483648",
    "99999999999999999999",
    "ü\u{202e}\u{1b}[2J",
    "\u{85}\u{ff}\u{fe}\u{2028}",
    "\0",
    "\r\n",
    "{\"exited\":{\"exit\":{\"code\":7}}}",
    "\0\0\0\u{13}",
    "\u{7f}\u{ff}\u{ff}\u{ff}",
    "a long text, which goes on and on and on and on and on and on and on and on and on and on and on and on and on",
];

/// Messages of services and of the daemon's own child processes: any bytes, which may be half a message.
#[test]
fn no_message_breaks_the_parser() {
    let framed = |json: &str| format!("\0\0\0{}{json}", char::from(u8::try_from(json.len()).unwrap()));
    let corpus = vec![
        "READY=1\nSTATUS=nearly there\nMAINPID=4711\n".to_owned(),
        "STOPPING=1\nERRNO=2\nX=\nRELOADING=1".to_owned(),
        framed("{\"started\":{\"pid\":123456}}") + &framed("{\"exited\":{\"exit\":{\"signal\":11}}}"),
        framed("{\"failed\":{\"operation\":\"exec\",\"errno\":2}}"),
    ];
    let lines = &["READY=1", "STOPPING=1", "STATUS=", "MAINPID=1", "ERRNO=0", "RELOADING=2"];
    let target =
        Target { name: "message", corpus, heads: NAMES, values: SAID, lines, begins: "\0", seconds: 60 };
    let count = target.search(|text| {
        // A character below 256 becomes that byte, so that not all of the input is UTF-8.
        let mut bytes = Vec::new();
        for c in text.chars() {
            match u8::try_from(c) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.extend(c.to_string().bytes()),
            }
        }
        let message = Message::parse(&bytes);
        let status = message.status.unwrap_or_default();
        prop_assert!(
            !status.contains(char::is_control) && status.chars().count() <= MAX_STATUS + 1,
            "{:?}",
            status
        );
        prop_assert!(message.errno.is_none_or(|number| number > 0), "{:?}", message.errno);
        // A flag that was set is not cleared by later text.
        let more = Message::parse(&[&bytes[..], b"\nREADY=0\n", &bytes].concat());
        prop_assert_eq!(message.ready, more.ready);
        let mut left = bytes.len();
        while let Ok(Some(_)) = unframe::<Report>(&mut bytes) {
            prop_assert!(bytes.len() < left, "a message of no length");
            left = bytes.len();
        }
        Ok(())
    });
    eprintln!("{count} inputs");
    assert!(count > 0);
}
