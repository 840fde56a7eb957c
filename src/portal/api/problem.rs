//! Refusals and errors, as the API answers them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::gateway::page;
use crate::supervise::RequestError;

/// The body of every error response.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// A sentence for the user.
    pub error: String,
}

/// A refusal, with its status code and message.
pub(in crate::portal) struct Problem(pub(in crate::portal) StatusCode, pub(in crate::portal) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let response = (self.0, Json(ErrorBody { error: self.1.clone() })).into_response();
        page::said(response, self.1)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let status = match error {
            RequestError::Unknown { .. } => StatusCode::NOT_FOUND,
            RequestError::Refused { .. } => StatusCode::CONFLICT,
            RequestError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}
