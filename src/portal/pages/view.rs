//! What every page is made from: the state at one moment, and the address that the browser uses.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;

use crate::gateway::BrowserAddress;
use crate::observe::{Snapshot, UnitStatus};
use crate::portal::api::Api;

/// The state at one moment, for one browser.
pub(super) struct View {
    /// The state of everything.
    pub(super) snapshot: Arc<Snapshot>,
    /// Where the browser found this page.
    pub(super) address: BrowserAddress,
    /// The name of the machine.
    pub(super) host: String,
    /// Milliseconds since the Unix epoch.
    pub(super) now: i64,
    /// For events and logs.
    pub(super) api: Api,
}

impl View {
    /// The service of that name or alias, or the nearest name if there is none.
    pub(super) fn service(&self, name: &str) -> Result<&UnitStatus, Option<&str>> {
        self.snapshot.unit(name).ok_or_else(|| self.snapshot.nearest(name))
    }
}

impl FromRequestParts<Api> for View {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let State(api) = State::<Api>::from_request_parts(parts, api).await?;
        let address = parts.extensions.get::<BrowserAddress>().cloned().unwrap_or_else(|| BrowserAddress {
            secure: false,
            host: "localhost".to_owned(),
            port: 80,
        });
        let snapshot = api.caught_up().await;
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let now = jiff::Timestamp::now().as_millisecond();
        Ok(Self { snapshot, address, host: host.unwrap_or_else(|| "desktopd".to_owned()), now, api })
    }
}
