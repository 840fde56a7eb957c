//! The error of a request to a service.

/// Why a service gave no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No connection to the service could be made.
    Unreachable(std::io::Error),
    /// The service accepted the request and gave no proper answer.
    Broken(String),
    /// The request was not sent: the client has reached its limit of concurrent requests.
    Crowded,
}

impl Failed {
    pub(crate) fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}
