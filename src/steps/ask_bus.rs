//! Asks objects on a message bus whether they answer. One that is frozen keeps its name and says nothing; the answer
//! comes from the thread that the object belongs to, which for a desktop is the one that draws.
//!
//! A process of its own, because a session bus lets nobody in but its own user: not even root.

use tokio::runtime::Builder;
use zbus::names::BusName;

/// The interface that everything on a bus has.
const PEER: &str = "org.freedesktop.DBus.Peer";

/// Ends when all `objects`, `NAME/PATH` each, have answered. The first has to be there; the others may be missing. There
/// is no time limit here: the check has one.
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
        // To call who is not there would start it, where it can be started.
        let there = proxy.name_has_owner(known).await.map_err(|error| format!("{bus}: {error}"))?;
        match (there, number) {
            (true, _) => {}
            (false, 0) => return Err(format!("{name} is not on {bus}")),
            (false, _) => continue,
        }
        match connection.call_method(Some(name), path, Some(PEER), "Ping", &()).await {
            // An error of its own is an answer, too.
            Ok(_) | Err(zbus::Error::MethodError(..)) => {}
            Err(error) => return Err(format!("{object}: {error}")),
        }
    }
    Ok(())
}
