//! The table `[ready]`: how a service becomes ready.

use std::time::Duration;

use crate::config::table::Reader;

use super::probe::{self, Probe};

/// The sign that a unit is ready. The texts are templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// The process runs.
    #[default]
    Started,
    /// `READY=1` on the socket in `NOTIFY_SOCKET` (systemd's protocol).
    Notify,
    /// A newline on a descriptor; the template `${ready-fd}` is its number.
    Descriptor,
    /// The unit gives no sign: a check is repeated until it succeeds.
    Probe(Probe),
    /// A file that exists.
    File(String),
    /// A line of its output that matches this regular expression.
    Log(String),
    /// Some time after its start, for programs that give no sign.
    Delay(Duration),
    /// A name that has an owner on a message bus.
    DBus {
        /// The well-known name.
        name: String,
        /// The bus's address.
        bus: String,
    },
}

#[derive(Clone, Copy)]
enum Kind {
    Started,
    Notify,
    Descriptor,
    Probe(probe::Kind),
    File,
    Log,
    Delay,
    DBus,
}

pub(super) fn read(table: &mut Reader<'_>) -> Option<Ready> {
    let own = [
        ("started", Kind::Started),
        ("notify", Kind::Notify),
        ("fd", Kind::Descriptor),
        ("file", Kind::File),
        ("log", Kind::Log),
        ("delay", Kind::Delay),
        ("dbus", Kind::DBus),
    ];
    // For a service on a bus, `dbus` means here that its name has an owner; for health it means that objects answer.
    let probes = probe::KINDS.into_iter().filter(|(name, _)| *name != "dbus");
    let kinds: Vec<_> = own.into_iter().chain(probes.map(|(name, kind)| (name, Kind::Probe(kind)))).collect();
    let kind = table.word("kind", &kinds);
    let ready = match kind {
        Some(Kind::Started) => Some(Ready::Started),
        Some(Kind::Notify) => Some(Ready::Notify),
        Some(Kind::Descriptor) => Some(Ready::Descriptor),
        Some(Kind::Probe(kind)) => probe::read(table, kind).map(Ready::Probe),
        Some(Kind::File) => table.required("path", "the path of a file").map(Ready::File),
        Some(Kind::Log) => pattern(table),
        Some(Kind::Delay) => {
            if table.untouched("time") {
                table.problem("time", "it is missing: how long after its start it counts as ready");
            }
            table.duration("time").map(Ready::Delay)
        }
        Some(Kind::DBus) => {
            let name = table.required("name", "a name on the bus");
            let bus = table.required("bus", "the bus's address");
            name.zip(bus).map(|(name, bus)| Ready::DBus { name, bus })
        }
        None => {
            // Without a kind the other keys cannot be checked.
            table.accept(probe::DETAILS.into_iter().chain(["name", "pattern", "time"]));
            None
        }
    };
    if kind.is_none() && table.untouched("kind") {
        table.problem("kind", "it is missing: how the service says that it is ready");
    }
    ready
}

fn pattern(table: &mut Reader<'_>) -> Option<Ready> {
    let pattern = table.required("pattern", "a regular expression for a line of its output")?;
    match regex::Regex::new(&pattern) {
        Ok(_) => Some(Ready::Log(pattern)),
        Err(error) => {
            let why = error.to_string().replace('\n', " ");
            table.problem("pattern", format!("\"{pattern}\" is not a regular expression: {why}"));
            None
        }
    }
}
