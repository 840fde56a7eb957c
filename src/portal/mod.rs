//! The portal, the web interface of the daemon: links to the services, their states, buttons and live logs. The pages
//! are small and use the same [`api`] as the command line; they load nothing from other servers.

pub mod api;
mod assets;
mod control;
mod credentials;
mod display_state;
mod openapi;
mod pages;
mod reload_request;
mod screenshot;
mod session;
mod terminal;
mod unix;

use axum::Router;
use axum::response::Response;
use tokio::sync::mpsc::UnboundedSender;
use tower_http::catch_panic::CatchPanicLayer;

pub use api::{Api, Rows};
pub use assets::has_scripts;
pub use control::{Changed, NewCredentials};
pub use credentials::{Credentials, Login};
pub use display_state::{DisplayFailure, DisplayState, Displays};
pub use reload_request::{ReloadRequest, Reloads};
pub use screenshot::Screenshots;
pub use session::{Session, router as session_router};
pub use terminal::Terminals;
pub use unix::{Right, bind_unix, serve_unix};

use crate::gateway::page;

/// Pages and API together, for the gateway, which checks the login.
pub fn router(api: Api) -> Router {
    pages::router(api.clone())
        .merge(assets::router())
        .merge(openapi::router())
        .merge(api::router(api))
        .layer(CatchPanicLayer::new())
        .layer(axum::middleware::map_response(async |mut response: Response| {
            page::protect(response.headers_mut());
            response
        }))
}

/// The API for the control socket, including the requests that only root may make. `shutdown` is notified when everything
/// is to be stopped.
pub fn control_router(api: Api, login: Login, shutdown: UnboundedSender<()>) -> Router {
    api::router(api.clone()).merge(control::router(api, login, shutdown)).layer(CatchPanicLayer::new())
}
