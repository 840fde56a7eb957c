//! Questions to a message bus. Each is a process of its own, because a session bus accepts only its own user: not even
//! root.

use futures_util::StreamExt;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;

use super::command::block_on;

/// The interface that every object on a bus has.
const PEER: &str = "org.freedesktop.DBus.Peer";

/// Returns when `name` has an owner on `bus`.
pub(super) fn wait_for(bus: &str, name: &str) -> Result<(), String> {
    block_on(async { wait(bus, name).await.map_err(|error| format!("{bus}: {error}")) })
}

/// Returns when all `objects`, `NAME/PATH` each, have answered. The first object must exist; the others may be missing.
/// There is no time limit here: the health check has one.
///
/// A frozen program keeps its name on the bus but does not answer; the answer comes from the thread that owns the
/// object, which for a desktop is the thread that draws.
pub(super) fn ask(bus: &str, objects: &[&str]) -> Result<(), String> {
    block_on(async {
        let (connection, proxy) = connect(bus).await.map_err(|error| format!("{bus}: {error}"))?;
        for (number, object) in objects.iter().enumerate() {
            let (name, path) = object.split_at(object.find('/').unwrap_or(object.len()));
            let known = BusName::try_from(name).map_err(|error| format!("{name}: {error}"))?;
            // A call to a missing name could start a program for it.
            let there = proxy.name_has_owner(known).await.map_err(|error| format!("{bus}: {error}"))?;
            match (there, number) {
                (true, _) => {}
                (false, 0) => return Err(format!("{name} is not on {bus}")),
                (false, _) => continue,
            }
            match connection.call_method(Some(name), path, Some(PEER), "Ping", &()).await {
                // An error reply of the object is an answer, too.
                Ok(_) | Err(zbus::Error::MethodError(..)) => {}
                Err(error) => return Err(format!("{object}: {error}")),
            }
        }
        Ok(())
    })
}

async fn connect(bus: &str) -> zbus::Result<(Connection, DBusProxy<'static>)> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let proxy = DBusProxy::new(&connection).await?;
    Ok((connection, proxy))
}

async fn wait(bus: &str, name: &str) -> zbus::Result<()> {
    let (_, proxy) = connect(bus).await?;
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
