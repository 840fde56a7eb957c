//! What the list of commands offers: services, their logs and actions, pages, and ways in. The scripts show it and search
//! in it.

use axum::Json;
use serde::Serialize;

use crate::observe::{UnitState, UnitStatus};
use crate::supervise::Verb;

use super::events::encoded;
use super::question::{Question, question};
use super::services::verbs;
use super::shell::Page;
use super::view::View;
use super::ways;

/// One thing to do.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Command {
    /// What kind of thing: the heading in the list.
    group: &'static str,
    /// What it does.
    title: String,
    /// What else there is to know.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// Where it leads, relative to every page.
    #[serde(skip_serializing_if = "Option::is_none")]
    href: Option<String>,
    /// Whether it leads out of the portal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    away: bool,
    /// What is asked of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
}

/// A request for a service.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Action {
    /// `start`, `stop` or `restart`.
    verb: &'static str,
    /// The service.
    name: String,
    /// What is asked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Question>,
}

/// All commands, in the order in which they are shown before a search.
pub(super) async fn list(view: View) -> Json<Vec<Command>> {
    let shown = Page::ALL.into_iter().filter(|page| page.is_shown(&view));
    let pages = shown.map(|page| Command {
        group: "Pages",
        title: page.title().to_owned(),
        href: Some(page.address().to_owned()),
        ..Command::default()
    });
    let used = |unit: &&UnitStatus| unit.state != UnitState::Skipped;
    let units: Vec<&UnitStatus> = view.snapshot.units.iter().filter(used).collect();
    let downloads = Command {
        group: "Actions",
        title: "Download all logs".to_owned(),
        href: Some("api/logs/download?colour=0".to_owned()),
        ..Command::default()
    };
    let all = ways_in(&view)
        .into_iter()
        .chain(pages)
        .chain(units.iter().map(|unit| service(unit)))
        .chain(units.iter().flat_map(|unit| actions(&view, unit)))
        .chain(units.iter().map(|unit| log(unit)))
        .chain([downloads]);
    Json(all.collect())
}

fn ways_in(view: &View) -> Vec<Command> {
    let (first, rest) = ways::elsewhere(&view.snapshot);
    let routes = first.into_iter().chain(rest);
    let found = routes.filter_map(|route| {
        Some(Command {
            group: "Ways in",
            title: format!("Open {}", route.title),
            detail: format!("port {}", route.port),
            href: Some(ways::link(route, &view.address)?),
            away: true,
            ..Command::default()
        })
    });
    found.collect()
}

fn service(unit: &UnitStatus) -> Command {
    Command {
        group: "Services",
        title: unit.name.clone(),
        detail: unit.state.name().to_owned(),
        href: Some(format!("service?name={}", encoded(&unit.name))),
        ..Command::default()
    }
}

fn log(unit: &UnitStatus) -> Command {
    Command {
        group: "Logs",
        title: format!("Log of {}", unit.name),
        href: Some(format!("logs?service={}", encoded(&unit.name))),
        ..Command::default()
    }
}

fn actions(view: &View, unit: &UnitStatus) -> Vec<Command> {
    let action = |verb: &Verb| {
        let question = question(&view.snapshot, *verb, unit);
        let word = match verb {
            Verb::Start => "Start",
            Verb::Stop => "Stop",
            Verb::Restart => "Restart",
        };
        Command {
            group: "Actions",
            title: format!("{word} {}", unit.name),
            action: Some(Action { verb: verb.name(), name: unit.name.clone(), question }),
            ..Command::default()
        }
    };
    verbs(unit).iter().map(action).collect()
}
