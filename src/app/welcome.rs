//! The last lines of the container's output, printed once the desktop can be used: where to log in, and how.
//!
//! They never contain a generated password: more people can read a container's log than may log in.

use crate::observe::{RouteStatus, UnitState, UnitStatus};

/// How far the start of the machine is, as users see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The desktop cannot be used yet.
    #[default]
    Starting,
    /// The desktop can be used, and scripts still set up the machine.
    Open,
    /// Nothing more will change by itself.
    Settled,
}

/// The stage that was printed last.
#[derive(Default)]
pub(super) struct Welcome {
    said: Stage,
}

/// The facts that the text is made of.
pub(super) struct Known<'a> {
    pub(super) units: &'a [UnitStatus],
    pub(super) routes: &'a [RouteStatus],
    pub(super) user: &'a str,
    /// Whether a login is required.
    pub(super) asked: bool,
    /// The container's name as its engine knows it.
    pub(super) container: Option<String>,
}

/// The stage. `up` says that everything is up that should be, `provisioning` that users' scripts still set up the
/// machine.
pub(super) fn stage(units: &[UnitStatus], routes: &[RouteStatus], up: bool, provisioning: bool) -> Stage {
    use UnitState as S;
    let moving = |unit: &UnitStatus| matches!(unit.state, S::Starting | S::Stopping | S::Backoff);
    let failed = |unit: &UnitStatus| unit.state == S::Failed;
    if up || (units.iter().any(failed) && !units.iter().any(moving)) {
        return Stage::Settled;
    }
    let of_routes = units.iter().filter(|unit| routes.iter().any(|route| route.unit == unit.name));
    let open =
        of_routes.clone().all(|unit| matches!(unit.state, S::Ready | S::Skipped | S::Stopped | S::Failed));
    let any = of_routes.clone().any(|unit| unit.state == S::Ready);
    if provisioning && open && any { Stage::Open } else { Stage::Starting }
}

impl Welcome {
    /// Whether everything has been printed.
    pub(super) fn is_over(&self) -> bool {
        self.said == Stage::Settled
    }

    /// The lines to print now, if any.
    pub(super) fn lines(&mut self, stage: Stage, known: impl FnOnce() -> Option<Vec<String>>) -> Vec<String> {
        if stage <= self.said {
            return Vec::new();
        }
        self.said = stage;
        known().unwrap_or_default()
    }
}

/// The text; `None` if no port is open.
pub(super) fn text(stage: Stage, known: &Known<'_>) -> Option<Vec<String>> {
    let open: Vec<&RouteStatus> =
        known.routes.iter().filter(|route| route.problem.is_none() && !route.address.is_empty()).collect();
    if open.is_empty() {
        return None;
    }
    let failed: Vec<&str> =
        known.units.iter().filter(|unit| unit.state == UnitState::Failed).map(|unit| &*unit.name).collect();
    let exec = |command: &str| match &known.container {
        Some(container) => format!("docker exec {container} desktopd {command}"),
        None => format!("desktopd {command} (in the container)"),
    };
    let headline = match (stage, failed.len()) {
        (Stage::Settled, 0) => "The desktop is up.".to_owned(),
        (Stage::Settled, 1) => format!("One service has failed: {} ({}).", failed[0], exec("status")),
        (Stage::Settled, count) => {
            format!("{count} services have failed: {} ({}).", failed.join(", "), exec("status"))
        }
        _ => "The desktop can be used; scripts still set up this machine.".to_owned(),
    };
    let mut lines = vec![format!("---- {headline} Open in a browser:")];
    let width = open.iter().map(|route| route.title.chars().count()).max().unwrap_or_default() + 1;
    lines.extend(open.iter().map(|route| {
        let title = format!("{}:", route.title);
        let unit = known.units.iter().find(|unit| unit.name == route.unit && unit.state != UnitState::Ready);
        let note = unit.map(|unit| format!(" ({})", unit.state.name())).unwrap_or_default();
        format!("     {title:width$} {}{note}", route.address)
    }));
    lines.push(if known.asked {
        format!("---- User: {}. To see the password: {}", known.user, exec("credentials"))
    } else {
        "---- No login is required: WEB_ENABLE_AUTH is false.".to_owned()
    });
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{route, unit};

    #[test]
    fn a_stage_follows_from_the_services() {
        use UnitState as S;
        let routes = [route("", "Portal", 1111), route("selkies", "Desktop", 6100)];
        for (selkies, script, up, provisioning, expected) in [
            (S::Starting, S::Starting, false, true, Stage::Starting),
            (S::Ready, S::Starting, false, true, Stage::Open),
            (S::Ready, S::Starting, false, false, Stage::Starting),
            (S::Ready, S::Done, true, false, Stage::Settled),
            (S::Ready, S::Failed, false, false, Stage::Settled),
            (S::Failed, S::Done, false, false, Stage::Settled),
            (S::Backoff, S::Failed, false, false, Stage::Starting),
            (S::Waiting, S::Done, false, false, Stage::Starting),
        ] {
            let units = [unit("selkies", selkies), unit("provisioning", script)];
            assert_eq!(
                stage(&units, &routes, up, provisioning),
                expected,
                "{selkies:?} {script:?} {up} {provisioning}"
            );
        }
    }

    #[test]
    fn the_text_says_where_to_log_in_and_how() {
        let units = [unit("selkies", UnitState::Ready), unit("vnc", UnitState::Failed)];
        let mut taken = route("x", "Taken", 1);
        taken.problem = Some("the port is taken".into());
        let routes =
            [route("", "Portal", 1111), route("selkies", "Desktop", 6100), route("vnc", "VNC", 6200), taken];
        let container = Some("3f2a9c1d7b6e".to_owned());
        let known = Known { units: &units, routes: &routes, user: "ada", asked: true, container };
        assert_eq!(
            text(Stage::Settled, &known).unwrap(),
            [
                "---- One service has failed: vnc (docker exec 3f2a9c1d7b6e desktopd status). Open in a browser:",
                "     Portal:  http://localhost:1111/",
                "     Desktop: http://localhost:6100/",
                "     VNC:     http://localhost:6200/ (failed)",
                "---- User: ada. To see the password: docker exec 3f2a9c1d7b6e desktopd credentials",
            ]
        );
        let known = Known { units: &units[..1], asked: false, container: None, ..known };
        let lines = text(Stage::Settled, &known).unwrap();
        assert_eq!(lines[0], "---- The desktop is up. Open in a browser:");
        assert_eq!(lines[4], "---- No login is required: WEB_ENABLE_AUTH is false.");
        assert!(text(Stage::Open, &known).unwrap()[0].contains("scripts still set up this machine"));
        assert!(text(Stage::Settled, &Known { routes: &[], ..known }).is_none());
    }

    #[test]
    fn the_text_is_printed_once_for_each_stage() {
        let mut welcome = Welcome::default();
        let mut said = |stage| welcome.lines(stage, || Some(vec!["x".into()])).len();
        let stages = [Stage::Starting, Stage::Open, Stage::Open, Stage::Settled, Stage::Open, Stage::Settled];
        assert_eq!(stages.map(&mut said), [0, 1, 0, 1, 0, 0]);
    }
}
