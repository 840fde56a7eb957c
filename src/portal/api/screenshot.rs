//! The request for a picture of the desktop.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use bytes::Bytes;
use serde::Deserialize;

use super::{Api, Problem};

/// The narrowest picture. Pixels.
const NARROWEST: u16 = 16;

/// What a client asks for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    /// The width; 0 is that of the display.
    #[serde(default)]
    width: u16,
}

/// Answers with a picture.
pub(super) async fn show(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<([(HeaderName, &'static str); 2], Bytes), Problem> {
    let width = match wanted {
        Ok(Query(Wanted { width })) if width == 0 || width >= NARROWEST => width,
        _ => {
            let text = format!("expected width={NARROWEST} to width={} (pixels), or no width", u16::MAX);
            return Err(Problem(StatusCode::BAD_REQUEST, text));
        }
    };
    api.looks.look();
    let refused = |why| Problem(StatusCode::SERVICE_UNAVAILABLE, why);
    let Some(screenshots) = &api.screenshots else {
        return Err(refused("this desktop takes no pictures".to_owned()));
    };
    let snapshot = Arc::clone(&api.watch.borrow());
    let png = screenshots.take(&snapshot, width).await.map_err(refused)?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "no-store")], png))
}
