//! The document that describes the API to programs, as `OpenAPI` has it.
//!
//! A test makes the document from the types that the API sends, compares it with the routes of the sources and with real
//! answers, and keeps it in `assets/openapi.json`: the program has the text alone, and none of the code that makes it.
//! The same test keeps the types of the scripts (`web/src/api.d.ts`).

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

const DOCUMENT: &str = include_str!("assets/openapi.json");

/// Serves the document.
pub(super) fn router() -> Router {
    Router::new().route("/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], DOCUMENT)))
}

#[cfg(test)]
mod tests;
