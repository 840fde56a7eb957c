//! The portal's pages. The server writes them as whole HTML: they show everything and their buttons work without
//! scripts. Where the build had the scripts of `portal/web`, each page also keeps itself up to date.
//!
//! All addresses in the pages are relative and without folders, because a proxy may serve the portal under a path.

mod act;
mod boot;
pub(super) mod commands;
mod display;
mod events;
mod figures;
mod go;
mod home;
mod icons;
mod logs;
mod machine;
mod qr;
mod question;
mod service;
mod services;
mod settings;
mod setup;
mod shell;
mod terminal;
mod tunnels;
mod view;
mod ways;
mod words;

use axum::Router;
use axum::routing::{get, post};

use super::api::Api;

/// All pages.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(home::page))
        .route("/services", get(services::page))
        .route("/service", get(service::page))
        .route("/logs", get(logs::page))
        .route("/boot", get(boot::page))
        .route("/display", get(display::page))
        .route("/machine", get(machine::page))
        .route("/tunnels", get(tunnels::page))
        .route("/setup", get(setup::page))
        .route("/terminal", get(terminal::page))
        .route("/qr.svg", get(qr::picture))
        .route("/act", post(act::act))
        .merge(settings::router())
        .route("/go/{name}", get(go::by_name))
        .route("/go/{name}/{kind}", get(go::by_kind))
        .route("/api/commands", get(commands::list))
        .with_state(api)
}
