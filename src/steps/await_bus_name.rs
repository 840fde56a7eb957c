//! Waits until a name on a message bus has an owner.
//!
//! This is a process of its own, because a session bus accepts only its own user: not even root.

use futures_util::StreamExt;
use tokio::runtime::Builder;
use zbus::names::BusName;

/// Returns when `name` has an owner on `bus`.
pub(super) fn run(bus: &str, name: &str) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(wait(bus, name)).map_err(|error| format!("{bus}: {error}"))
}

async fn wait(bus: &str, name: &str) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let proxy = zbus::fdo::DBusProxy::new(&connection).await?;
    let mut changes = proxy.receive_name_owner_changed_with_args(&[(0, name)]).await?;
    // Subscribe first, then ask: an owner that appears between the two is seen by one of them.
    if proxy.name_has_owner(BusName::try_from(name)?).await? {
        return Ok(());
    }
    while let Some(change) = changes.next().await {
        if change.args()?.new_owner().is_some() {
            return Ok(());
        }
    }
    Err(zbus::Error::Failure("the bus closed the connection".to_owned()))
}
