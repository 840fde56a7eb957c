//! The configuration: converts the environment and the TOML files to typed values, and finds every mistake in one pass.
//!
//! No mistake stops a boot: a service with a broken file does not run, and for a broken variable or a broken
//! `desktopd.toml` the defaults are used. `desktopd status`, the log and the portal show the problems.

pub mod condition;
pub mod env;
mod file;
mod files;
pub mod network;
pub mod own;
pub mod places;
pub mod portal_config;
pub mod portal_file;
pub mod problem;
pub mod provider;
mod quantity;
pub mod rewrite;
pub mod route;
pub mod secret;
pub mod service;
mod services;
pub mod settings;
mod table;
pub mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use env::Environment;
pub use places::Places;
pub use portal_file::PortalConfig;
pub use problem::{Problem, hint, nearest};
pub use provider::Provider;
pub use quantity::{duration, time};
pub use secret::Secret;
pub use service::Service;
pub use settings::Settings;

/// The file that users mount for their rclone remotes; rclone itself looks only in home directories.
const RCLONE_CONFIG: &str = "/etc/rclone/rclone.conf";

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that it was read from.
    pub dir: PathBuf,
    /// The environment.
    pub env: Environment,
    /// `desktopd.toml`.
    pub settings: Settings,
    /// The daemon's folders.
    pub places: Places,
    /// The services with valid files, by name.
    pub services: Vec<Service>,
    /// Further ports and links of the portal.
    pub portal: PortalConfig,
    /// All problems.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads the whole configuration. `dir` is the folder from the command line.
    pub fn load(dir: Option<PathBuf>, arguments: &[OsString]) -> Self {
        let mut problems = Vec::new();
        let env = Environment::of_process(arguments, &mut problems);
        Self::read(env::config_dir(dir, &env), env, problems)
    }

    /// The part that a command needs to talk to a running daemon: the settings, and none of the services.
    pub fn of_client(dir: Option<PathBuf>) -> Self {
        let mut problems = Vec::new();
        let env = Environment::of_process(&[], &mut problems);
        let dir = env::config_dir(dir, &env);
        let settings = read_settings(&dir, &mut problems);
        let places = Places::new(&settings, &env);
        let portal = PortalConfig::of_variable(&env.vars.portal_config, &mut problems);
        Self { dir, env, settings, places, services: Vec::new(), portal, problems }
    }

    /// Reads the files in `dir` for a given environment.
    pub fn read(dir: PathBuf, mut env: Environment, mut problems: Vec<Problem>) -> Self {
        if Path::new(RCLONE_CONFIG).is_file() {
            env.make("RCLONE_CONFIG", &Secret::new(RCLONE_CONFIG));
        }
        let settings = read_settings(&dir, &mut problems);
        let services = services::read(&dir.join("services"), &mut problems);
        let portal = PortalConfig::read(&settings.portal_file, &env.vars.portal_config, &mut problems);
        let places = Places::new(&settings, &env);
        Self { dir, env, settings, places, services, portal, problems }
    }
}

fn read_settings(dir: &Path, problems: &mut Vec<Problem>) -> Settings {
    let path = dir.join("desktopd.toml");
    match services::text_with_timeout(&path) {
        Ok(text) => Settings::parse(&path, &text, problems),
        Err(error) => {
            let message = format!("{error}; defaults are used");
            problems.push(Problem::new(path.display().to_string(), "", message));
            Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::service::{Ready, Run};
    use super::*;

    fn parse(text: &str) -> (Option<Service>, Vec<String>) {
        let mut problems = Vec::new();
        let service = Service::parse(Path::new("/c/services/demo.toml"), text, &mut problems);
        assert!(problems.iter().all(|p| p.unit.as_deref() == Some("demo")));
        (service, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn file_with_only_a_command_is_valid() {
        let (service, problems) = parse("command = [\"sleep\", \"9\"]");
        assert_eq!(problems, Vec::<String>::new());
        let service = service.unwrap();
        assert_eq!(service.run, Run::Command(vec!["sleep".into(), "9".into()]));
        assert_eq!(service.ready, Ready::Started);
        assert_eq!(service.stop.timeout, Duration::from_secs(5));
        assert!(service.autostart && !service.oneshot);
    }

    #[test]
    fn all_mistakes_of_a_file_are_named_with_key_and_value() {
        let (service, problems) = parse(
            "comand = [\"x\"]\nstart-timeout = \"5 sec\"\nrestart = \"alway\"\nneeds = \"x\"\numask = \"9\"\n\
             restart-limit = 0\nstop-signal = \"TERMINATE\"\n[ready]\nkind = \"http\"\n[route]\nlisten = \"1\"\n",
        );
        assert!(service.is_none());
        let expected = [
            "/c/services/demo.toml: command: it is missing",
            "/c/services/demo.toml: needs: \"x\" is not a list of texts",
            "/c/services/demo.toml: ready.url: it is missing",
            "/c/services/demo.toml: start-timeout: \"5 sec\" is not a duration such as",
            "/c/services/demo.toml: restart: \"alway\" is not one of \"always\", \"on-failure\", \"never\"; did you mean \"always\"?",
            "/c/services/demo.toml: restart-limit: 0 is not",
            "/c/services/demo.toml: stop-signal: \"TERMINATE\" is not the name of a signal",
            "/c/services/demo.toml: umask: \"9\" is not an octal mask",
            "/c/services/demo.toml: route.upstream: it is missing",
            "/c/services/demo.toml: comand: unknown key; did you mean `command`?",
        ];
        for message in expected {
            assert!(problems.iter().any(|p| p.starts_with(message)), "{message} in {problems:#?}");
        }
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    }

    #[test]
    fn each_kind_of_readiness_reports_missing_and_wrong_keys() {
        for (ready, expected) in [
            ("kind = \"fil\"", "did you mean \"file\"?"),
            ("path = \"x\"", "ready.kind: it is missing"),
            ("kind = \"file\"", "ready.path: it is missing"),
            ("kind = \"log\"\npattern = \"(\"", "ready.pattern: \"(\" is not a regular expression"),
            ("kind = \"exec\"\ncommand = []", "ready.command: it is missing"),
            ("kind = \"delay\"", "ready.time: it is missing"),
            ("kind = \"x11\"\nxauthorty = \"x\"", "ready.xauthorty: unknown key; did you mean `xauthority`?"),
            ("kind = \"delay\"\ntime = \"1\"", "ready.time: \"1\" is not a duration"),
            ("kind = \"notify\"\nurl = \"x\"", "ready.url: unknown key"),
        ] {
            let (service, problems) = parse(&format!("command = [\"x\"]\n[ready]\n{ready}"));
            assert!(service.is_none() && problems[0].contains(expected), "{ready}: {problems:?}");
        }
    }

    #[test]
    fn health_table_has_defaults_and_all_mistakes_are_reported() {
        use super::service::{Action, Health, Probe};
        let health = |text: &str| parse(&format!("command = [\"x\"]\n[health]\n{text}"));
        let (service, problems) = health("kind = \"x11\"");
        assert_eq!(problems, Vec::<String>::new());
        let probe = Probe::X11 { display: "${display}".into(), xauthority: "${xauthority}".into() };
        let seconds = Duration::from_secs;
        let expected = Health {
            probe,
            period: seconds(10),
            retry: seconds(10),
            timeout: seconds(3),
            threshold: 3,
            action: Action::Restart,
        };
        assert_eq!(service.unwrap().health, Some(expected));
        let (service, _) = health("kind = \"exec\"\ncommand = [\"y\"]\nperiod = \"1s\"\naction = \"none\"");
        let found = service.unwrap().health.unwrap();
        assert_eq!((found.timeout, found.action), (seconds(1), Action::Tell));
        for (text, expected) in [
            ("", &["health.kind: it is missing"][..]),
            (
                "kind = \"notify\"",
                &["health.kind: \"notify\" is not one of \"socket\", \"tcp\", \"http\", \"exec\", \"x11\""],
            ),
            (
                "kind = \"http\"\nperiod = \"0s\"\nthreshold = 0\naction = \"reboot\"",
                &[
                    "health.url: it is missing",
                    "health.period: 0ns is too short; the shortest is 100ms",
                    "health.threshold: 0 is not a number of failed checks from 1 to 1000",
                    "health.action: \"reboot\" is not one of \"restart\", \"none\"",
                ],
            ),
            (
                "kind = \"tcp\"\naddress = \"a:1\"\ntimeout = \"1m\"",
                &["health.timeout: 60s is longer than the period of 10s"],
            ),
            (
                "kind = \"tcp\"\naddress = \"a:1\"\nretry = \"11s\"",
                &["health.retry: 11s is longer than the period of 10s"],
            ),
            ("kind = \"banner\"", &["health.path: it is missing", "health.expect: it is missing"]),
            (
                "kind = \"dbus\"\nobjects = [\"org.kde.KWin\"]",
                &["health.bus: it is missing", "health.objects: it has to be a list of names with paths"],
            ),
            (
                "kind = \"tcp\"\naddress = \"a:1\"\nthreshold = \"many\"",
                &["health.threshold: \"many\" is not a number"],
            ),
        ] {
            let (service, problems) = health(text);
            assert!(service.is_none() && problems.len() == expected.len(), "{text}: {problems:#?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.contains(expected), "{text}: {problems:#?}");
            }
        }
        let (_, problems) = parse("command = [\"x\"]\ntype = \"oneshot\"\nhealth = { kind = \"x11\" }");
        assert!(problems[0].contains("health: a oneshot ends when its work is done"), "{problems:#?}");
    }

    #[test]
    fn limits_are_sizes_numbers_and_times() {
        use crate::sys::limits::{Limit, Resource as R, UNLIMITED};
        let (service, problems) = parse(
            "command = [\"x\"]\nopen-files = 4096\noom-score-adj = -500\ngroups = [\"render\"]\n[limits]\n\
             core = \"unlimited\"\nmemlock = \"8MiB\"\nstack = { soft = \"8MiB\", hard = \"unlimited\" }\n\
             cpu = \"10m\"\nnproc = 512\nrtprio = 20\nfsize = \"1GiB\"\nas = 1000000\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let service = service.unwrap();
        let same = |resource, amount| Limit { resource, soft: amount, hard: amount };
        assert_eq!(
            service.resources.limits,
            [
                same(R::OpenFiles, 4096),
                same(R::AddressSpace, 1_000_000),
                same(R::Core, UNLIMITED),
                same(R::Cpu, 600),
                same(R::FileSize, 1 << 30),
                same(R::LockedMemory, 8 << 20),
                same(R::Processes, 512),
                same(R::RealtimePriority, 20),
                Limit { resource: R::Stack, soft: 8 << 20, hard: UNLIMITED },
            ]
        );
        assert_eq!(
            (service.resources.oom_score_adj, service.groups),
            (Some(-500), vec!["render".to_owned()])
        );
        let (service, problems) = parse(
            "command = [\"x\"]\nopen-files = 3\noom-score-adj = 2000\nnice = 20\ngroups = \"render\"\n[limits]\n\
             core = \"8MB\"\nnproc = -1\ncpu = true\nstack = { soft = 5 }\nmemlock = { soft = 2, hard = 1 }\nnofile = 5\n",
        );
        assert!(service.is_none());
        for expected in [
            "open-files: a program needs at least 16",
            "oom-score-adj: 2000 is not a number from -1000 to 1000",
            "nice: 20 is not a number from -20 to 19",
            "groups: \"render\" is not a list of texts",
            "limits.core: \"8MB\" is not a size such as \"8MiB\"",
            "limits.nproc: -1 is not a number, \"unlimited\", or",
            "limits.cpu: true is not a time such as \"10m\"",
            "limits.stack: { soft = 5 } is not a size",
            "limits.memlock: { hard = 1, soft = 2 }: the soft limit is above the hard one",
            "limits.nofile: unknown key",
        ] {
            assert!(
                problems.iter().any(|p| p.contains(&format!(": {expected}"))),
                "{expected} in {problems:#?}"
            );
        }
        assert_eq!(problems.len(), 10, "{problems:#?}");
    }

    #[test]
    fn conditions_and_files_report_missing_and_wrong_keys() {
        for (text, expected) in [
            ("[[condition]]\nelse = \"x\"", "condition[1].variable: it is missing"),
            (
                "[[condition]]\ndisplay = \"xorgs\"",
                "condition[1].display: \"xorgs\" is not one of \"xorg\", \"xvfb\"; did you mean \"xorg\"?",
            ),
            ("[[condition]]\nany-file = []", "condition[1].any-file: it is empty"),
            (
                "[[condition]]\nvariable = \"A\"\n[[condition]]\nvariable = \"A\"\nany-file = \"/a\"",
                "condition[2].any-file: \"/a\" is not a list of paths",
            ),
            (
                "[[condition]]\nvariabel = \"A\"",
                "condition[1].variabel: unknown key; did you mean `variable`?",
            ),
            (
                "[condition]\nvariable = \"A\"",
                "condition: { variable = \"A\" } is not a list of tables, each under [[condition]]",
            ),
            ("[[file]]\npath = \"/a\"", "file[1].content: it is missing"),
            (
                "[[file]]\npath = \"/a\"\ncontent = \"\"\nmode = \"rw\"",
                "file[1].mode: \"rw\" is not an octal mode",
            ),
        ] {
            let (service, problems) = parse(&format!("command = [\"x\"]\n{text}"));
            let found = problems.iter().any(|problem| problem.contains(expected));
            assert!(service.is_none() && found, "{text}: {problems:?}");
        }
    }

    #[test]
    fn file_that_is_not_toml_is_one_mistake_with_its_line() {
        let (service, problems) = parse("description = \"x\"\ncommand = [");
        assert!(service.is_none());
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains("demo.toml: line 2: "), "{problems:#?}");
    }
}
