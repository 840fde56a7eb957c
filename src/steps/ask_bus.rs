//! Checks whether objects on a message bus answer. A frozen program keeps its name on the bus but does not answer; the
//! answer comes from the thread that owns the object, which for a desktop is the thread that draws.
//!
//! This is a process of its own, because a session bus accepts only its own user: not even root.

use tokio::runtime::Builder;
use zbus::names::BusName;

/// The interface that every object on a bus has.
const PEER: &str = "org.freedesktop.DBus.Peer";

/// Returns when all `objects`, `NAME/PATH` each, have answered. The first object must exist; the others may be missing.
/// There is no time limit here: the health check has one.
pub(super) fn run(bus: &str, objects: &[&str]) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(ask(bus, objects))
}

async fn ask(bus: &str, objects: &[&str]) -> Result<(), String> {
    let at_bus = |error: zbus::Error| format!("{bus}: {error}");
    let connection = zbus::connection::Builder::address(bus).build().await.map_err(at_bus)?;
    let proxy = zbus::fdo::DBusProxy::new(&connection).await.map_err(at_bus)?;
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
}
