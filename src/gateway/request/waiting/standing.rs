//! The state of a service in words, as the waiting page and its events show it.

use serde::Serialize;

/// The state of a service, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// The headline.
    pub(super) headline: String,
    /// The service that is the reason.
    pub(super) unit: String,
    /// The name of its state.
    pub(super) state: &'static str,
    /// The reason for the state.
    pub(super) reason: String,
    /// Since when, in milliseconds since the Unix epoch; 0 if unknown or meaningless.
    pub(super) since: i64,
    /// The services that it waits for, with their states.
    pub(super) needs: Vec<Need>,
    /// What happens next, and whether the user has to do something.
    pub(super) hint: &'static str,
    /// The services that the user can start with the button.
    pub(super) start: Vec<String>,
    /// Whether the service may have something to show anyway.
    pub(super) anyway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    pub(super) name: String,
    pub(super) state: &'static str,
}
