//! The session of the desktop on the control socket: what a program needs that a user starts in the desktop from
//! outside. All clients that may read states may read it, because the shells of the same users have the same
//! environment.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;

use super::api::Problem;
use crate::sys;
use crate::sys::launch::{Orders, edited};

/// The orders of the last plan, or why there are none; `None` before the first plan.
pub type Session = Option<Arc<Result<Orders, String>>>;

/// How long reading the users' edits may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Serves the session in `session`.
pub fn router(session: watch::Receiver<Session>) -> Router {
    let now = async move || {
        let session = session.borrow().clone();
        show(session).await
    };
    Router::new().route("/api/session", get(now))
}

async fn show(session: Session) -> Result<Json<Orders>, Problem> {
    let refused = |error: String| Problem(StatusCode::SERVICE_UNAVAILABLE, error);
    let Some(session) = session else {
        return Err(refused("the daemon is still deciding what to run; try again in a moment".to_owned()));
    };
    let orders = Result::clone(&session).map_err(refused)?;
    let read = sys::run_on_thread_within(LIMIT, move || edited(orders)).await;
    read.map(Json).map_err(|error| refused(format!("reading the variables that users changed: {error}")))
}
