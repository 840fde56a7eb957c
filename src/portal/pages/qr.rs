//! The address of a route as a QR code, for a phone's camera.

use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use qrcode::QrCode;
use qrcode::render::svg::Color;
use serde::Deserialize;

use crate::portal::api::Problem;

use super::view::View;
use super::ways;

#[derive(Deserialize)]
pub(super) struct Which {
    /// The port of the route.
    port: u16,
}

/// Dark on white in both themes: cameras need that.
pub(super) async fn picture(view: View, Query(which): Query<Which>) -> Response {
    let route = view.snapshot.routes.iter().find(|route| route.port == which.port);
    let Some(link) = route.and_then(|route| ways::link(route, &view.address)) else {
        let text = format!("no way in has port {}", which.port);
        return Problem(StatusCode::NOT_FOUND, text).into_response();
    };
    let Ok(code) = QrCode::new(&link) else {
        return Problem(StatusCode::NOT_FOUND, "the address is too long for a QR code".into())
            .into_response();
    };
    let svg = code
        .render::<Color<'_>>()
        .min_dimensions(180, 180)
        .dark_color(Color("#000"))
        .light_color(Color("#fff"))
        .build();
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-store")], svg).into_response()
}
