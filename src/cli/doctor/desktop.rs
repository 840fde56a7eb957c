//! Checks of the daemon and its services, of the configuration, and of the ports. Pure, except for the question whether
//! a port is taken, which comes in as a function.

use crate::observe::{Phase, Snapshot, UnitHealth, UnitState, UnitStatus};
use crate::plan::Plan;

use super::check::{Check, Outcome};

/// What became of the question to the daemon.
pub(super) enum Daemon {
    /// Its state.
    Answers(Box<Snapshot>),
    /// None runs here; why that is known.
    Absent(String),
    /// The user of this command may not ask.
    Denied(String),
    /// It runs and does not answer.
    Silent(String),
}

impl Daemon {
    /// The state, if it answers.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::Answers(snapshot) => Some(snapshot),
            _ => None,
        }
    }
}

/// All of them. `no_port`: the configuration opens no port at all.
pub(super) fn checks(
    daemon: &Daemon,
    plan: &Plan,
    no_port: bool,
    is_taken: impl Fn(u16) -> bool,
) -> Vec<Check> {
    let mut checks = vec![self::daemon(daemon)];
    match daemon {
        Daemon::Answers(snapshot) => {
            checks.push(ready(snapshot));
            checks.extend(services(snapshot));
            checks.extend(routes(snapshot));
            checks.extend(snapshot.gpus_lost.iter().map(|lost| {
                Check::of_reason("GPU lost", Outcome::Problem, lost, "restart the container, then the host")
            }));
            checks.extend(configuration(&snapshot.mistakes));
        }
        // Another user's plan says nothing about the daemon's account and ports.
        Daemon::Denied(_) => {
            let what = "services and ports cannot be seen by this user";
            checks.push(Check::bad(
                "services",
                Outcome::Unknown,
                what,
                "docker exec -u root C desktopd doctor",
            ));
        }
        Daemon::Absent(_) | Daemon::Silent(_) => {
            checks.extend(configuration(&plan.problems.iter().map(ToString::to_string).collect::<Vec<_>>()));
            if let Err(why) = &plan.account {
                checks.push(Check::of_reason(
                    "user",
                    Outcome::Problem,
                    why,
                    "make that user (useradd -m NAME), or set USER_NAME to the name of another user",
                ));
            }
            // A daemon that is silent has its ports open.
            if matches!(daemon, Daemon::Absent(_)) && !no_port {
                checks.extend(ports(plan, is_taken));
            }
        }
    }
    let known = |text: &String| checks.iter().any(|check| text.contains(&check.what));
    let more: Vec<&String> = plan.shortcomings.iter().filter(|text| !known(text)).collect();
    let more: Vec<Check> = more
        .into_iter()
        .map(|text| {
            Check::of_reason("machine", Outcome::Warning, text, "desktopd plan shows what follows from this")
        })
        .collect();
    checks.extend(more);
    checks
}

fn daemon(daemon: &Daemon) -> Check {
    const NAME: &str = "desktopd";
    match daemon {
        Daemon::Answers(snapshot) => {
            let Snapshot { version, pid, summary, .. } = &**snapshot;
            Check::ok(NAME, format!("version {version} runs as process {pid}: {summary}"))
        }
        Daemon::Absent(why) => {
            let what = format!("{why}: nothing is known about running services");
            Check::bad(
                NAME,
                Outcome::Unknown,
                what,
                "start the container with the command init, and ask in that container",
            )
        }
        Daemon::Denied(why) => {
            Check::bad(NAME, Outcome::Unknown, why.clone(), "docker exec -u root C desktopd doctor")
        }
        Daemon::Silent(why) => {
            Check::bad(NAME, Outcome::Problem, why.clone(), "docker logs --tail 50 C, then docker restart C")
        }
    }
}

fn ready(snapshot: &Snapshot) -> Check {
    const NAME: &str = "access";
    if snapshot.ready {
        return Check::ok(NAME, "every port shows what it should");
    }
    let outcome = if snapshot.phase == Phase::Starting { Outcome::Warning } else { Outcome::Problem };
    Check::bad(
        NAME,
        outcome,
        snapshot.not_ready.join("; "),
        "desktopd status; desktopd timeline shows what the start waits for",
    )
}

/// Services that failed, do not answer, or are being started again; one line if all is well.
fn services(snapshot: &Snapshot) -> Vec<Check> {
    let wrong = |unit: &&UnitStatus| {
        matches!(unit.state, UnitState::Failed | UnitState::Backoff)
            || unit.health == Some(UnitHealth::Unhealthy)
    };
    let checks: Vec<Check> = snapshot.units.iter().filter(wrong).map(service).collect();
    if checks.is_empty() {
        let used = snapshot.units.iter().filter(|unit| unit.state != UnitState::Skipped && !unit.off).count();
        return vec![Check::ok("services", format!("none of the {used} services has failed"))];
    }
    checks
}

fn service(unit: &UnitStatus) -> Check {
    let UnitStatus { state, reason, restarts, .. } = unit;
    let name = &unit.name;
    let (outcome, what) = match state {
        UnitState::Failed => (Outcome::Problem, "has failed"),
        UnitState::Backoff => (Outcome::Warning, "ended and will be started again"),
        _ => (Outcome::Problem, "does not answer"),
    };
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let what = format!("{name} {what} (restarts: {restarts}){why}");
    let remedy = format!("desktopd logs -n 50 {name}; desktopd restart {name}");
    Check::bad(&format!("service {name}"), outcome, what, remedy)
}

fn routes(snapshot: &Snapshot) -> Vec<Check> {
    let wrong = snapshot.routes.iter().filter_map(|route| {
        let name = format!("port {}", route.port);
        let problem = format!("{}: {}", route.title, route.problem.as_ref()?);
        Some(Check::of_reason(&name, Outcome::Problem, &problem, &other_port(route.port)))
    });
    let checks: Vec<Check> = wrong.collect();
    if checks.is_empty() && !snapshot.routes.is_empty() {
        let all = list(snapshot.routes.iter().map(|route| route.port));
        return vec![Check::ok("ports", format!("open: {all}"))];
    }
    checks
}

fn ports(plan: &Plan, is_taken: impl Fn(u16) -> bool) -> Vec<Check> {
    let mut all = vec![(plan.portal.port, plan.portal.title.as_str())];
    all.extend(plan.routes.iter().map(|route| (route.listen, route.title.as_str())));
    let taken = all.iter().filter(|(port, _)| is_taken(*port)).map(|(port, title)| {
        let what = format!("another program listens on the port of {title}");
        Check::bad(&format!("port {port}"), Outcome::Problem, what, other_port(*port))
    });
    let checks: Vec<Check> = taken.collect();
    if checks.is_empty() {
        return vec![Check::ok("ports", format!("free: {}", list(all.iter().map(|(port, _)| *port))))];
    }
    checks
}

fn other_port(port: u16) -> String {
    format!(
        "ss -ltnp 'sport = :{port}' names the program; another port: SELKIES_PORT_HOST, VNC_PORT_HOST or \
         SERVICEPORTAL_PORT_HOST"
    )
}

fn list(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| port.to_string()).collect::<Vec<_>>().join(", ")
}

fn configuration(mistakes: &[String]) -> Vec<Check> {
    const NAME: &str = "configuration";
    if mistakes.is_empty() {
        return vec![Check::ok(NAME, "every variable and every file is valid")];
    }
    let otherwise = "correct the named place; desktopd env shows where a variable was set";
    mistakes.iter().map(|mistake| Check::bad(NAME, Outcome::Problem, mistake.clone(), otherwise)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};
    use crate::observe::RouteStatus;
    use crate::observe::testing::{route, unit};

    fn plan(pairs: &[(&str, &str)]) -> Plan {
        let mut problems = Vec::new();
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let env = Environment::new(pairs, &[], &mut problems);
        let config = Config::read("/nonexistent".into(), env, problems);
        let facts = crate::facts::Facts::probe(&config, "/".as_ref(), &crate::facts::gpu::Answers::default());
        Plan { shortcomings: Vec::new(), ..Plan::build(&config, &facts) }
    }

    fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
        checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name}: {checks:#?}"))
    }

    #[test]
    fn snapshot_of_a_daemon_has_its_failures_with_remedies() {
        let mut failed = unit("kde", UnitState::Failed);
        failed.reason = "it ended with exit code 1".into();
        let mut silent = unit("selkies", UnitState::Ready);
        silent.health = Some(UnitHealth::Unhealthy);
        let shut = RouteStatus { problem: Some("address in use".into()), ..route("kde", "Desktop", 6100) };
        let snapshot = Snapshot {
            units: vec![failed, silent, unit("vnc", UnitState::Backoff), unit("sshd", UnitState::Ready)],
            routes: vec![shut],
            phase: Phase::Running,
            not_ready: vec!["Desktop: kde has failed".into()],
            mistakes: vec!["environment: DISPLAY_DPI: \"many\" is not a number".into()],
            gpus_lost: vec!["A is lost: /dev/nvidia0 has vanished: restart the container".into()],
            ..Snapshot::default()
        };
        let found = checks(&Daemon::Answers(Box::new(snapshot)), &plan(&[]), false, |_| true);
        for (name, outcome, what, remedy) in [
            ("desktopd", Outcome::Ok, "runs as process", None),
            ("access", Outcome::Problem, "Desktop: kde has failed", Some("desktopd status")),
            (
                "service kde",
                Outcome::Problem,
                "has failed (restarts: 0): it ended",
                Some("desktopd restart kde"),
            ),
            ("service selkies", Outcome::Problem, "does not answer", Some("desktopd logs -n 50 selkies")),
            ("service vnc", Outcome::Warning, "will be started again", Some("desktopd logs")),
            ("port 6100", Outcome::Problem, "Desktop: address in use", Some("ss -ltnp")),
            ("GPU lost", Outcome::Problem, "/dev/nvidia0 has vanished", Some("restart the container")),
            ("configuration", Outcome::Problem, "DISPLAY_DPI", Some("desktopd env")),
        ] {
            let check = find(&found, name);
            assert_eq!(check.result, outcome, "{check:?}");
            assert!(check.what.contains(what), "{check:?}");
            match remedy {
                Some(remedy) => assert!(check.remedy.as_ref().unwrap().contains(remedy), "{check:?}"),
                None => assert_eq!(check.remedy, None),
            }
        }
        assert_eq!(found.len(), 8, "{found:#?}");
    }

    #[test]
    fn daemon_that_is_well_has_one_line_for_each_subject() {
        let snapshot = Snapshot {
            units: vec![unit("kde", UnitState::Ready), unit("sshd", UnitState::Skipped)],
            routes: vec![route("kde", "Desktop", 6100)],
            ready: true,
            ..Snapshot::default()
        };
        let found = checks(&Daemon::Answers(Box::new(snapshot)), &plan(&[]), false, |_| true);
        assert!(found.iter().all(|check| check.result == Outcome::Ok), "{found:#?}");
        assert!(find(&found, "services").what.contains("the 1 services"));
    }

    #[test]
    fn daemon_that_starts_is_a_warning() {
        let snapshot = Snapshot { not_ready: vec!["desktopd is starting".into()], ..Snapshot::default() };
        assert_eq!(ready(&snapshot).result, Outcome::Warning);
    }

    #[test]
    fn without_a_daemon_the_plan_is_checked() {
        let absent = || Daemon::Absent("the daemon does not run here".into());
        let plan = plan(&[("DISPLAY_DPI", "many")]);
        let found = checks(&absent(), &plan, false, |port| port == 1111);
        assert_eq!(find(&found, "desktopd").result, Outcome::Unknown);
        assert_eq!(find(&found, "port 1111").result, Outcome::Problem);
        assert!(found.iter().any(|check| check.what.contains("DISPLAY_DPI")), "{found:#?}");
        assert!(find(&checks(&absent(), &plan, false, |_| false), "ports").what.starts_with("free: 1111"));
        for (daemon, no_port) in [(absent(), true), (Daemon::Silent("no answer".into()), false)] {
            let found = checks(&daemon, &plan, no_port, |_| true);
            assert!(!found.iter().any(|check| check.name.starts_with("port")), "{found:#?}");
        }
        let denied = checks(&Daemon::Denied("this needs root".into()), &plan, false, |_| true);
        assert!(denied.iter().all(|check| check.result == Outcome::Unknown), "{denied:#?}");
    }
}
