//! The answer about the display. A snapshot has the sentence alone; its `display_revision` counts the changes of this
//! answer, so that pages ask again only then.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::portal::display_state::DisplayState;

use super::problem::Problem;
use super::sources::Api;

pub(super) async fn show(State(api): State<Api>) -> Result<Json<Arc<DisplayState>>, Problem> {
    api.display().map(Json).ok_or_else(|| {
        let text = "the daemon is still looking at this machine; try again in a moment";
        Problem(StatusCode::SERVICE_UNAVAILABLE, text.into())
    })
}
