//! What the front door was opened with. Before that, the system's file alone is read, for these variables: what people
//! changed there counts at the next start. Files and hooks that come later are too late: what they say of these variables
//! is reported and left out, so that people do not believe in a password that does not work.

use std::ffi::OsString;
use std::io;

use super::Raw;
use super::files::{self, Files};
use super::layers::{Layer, Layers, Origin};
use super::names::row;
use crate::config::problem::Problem;

/// By their first names.
const VARIABLES: [&str; 30] = [
    "WEB_ENABLE_AUTH",
    "WEB_USER",
    "WEB_PASSWORD",
    "WEB_PASSWORD_HASH",
    "WEB_TOKEN",
    "WEB_TLS_CERT_FILE",
    "WEB_TLS_KEY_FILE",
    "OPEN_BUTTON_TOKEN",
    "CADDY_AUTH_COOKIE_NAME",
    "WEB_ENABLE_HTTPS",
    "WEB_TRUSTED_PROXIES",
    "WEB_ALLOWED_ORIGINS",
    "WEB_CORS_METHODS",
    "WEB_CORS_HEADERS",
    "WEB_ENABLE_COMPRESSION",
    "WEB_ACCESS_LOG",
    "AUTH_EXCLUDE",
    "SERVICEPORTAL_PORT_HOST",
    "SERVICEPORTAL_PORT_LOCAL",
    "SERVICEPORTAL_URL",
    "DIRECT_ADDRESS",
    "DIRECT_ADDRESS_GET_WAN",
    "EXTERNAL_IP_URL",
    "EXTERNAL_IP_CACHE_SECS",
    "VAST_CONTAINERLABEL",
    "PUBLIC_IPADDR",
    "CONTAINER_ID",
    "RUNPOD_POD_ID",
    "RUNPOD_PUBLIC_IP",
    "SERVERLESS",
];

/// Takes up what people changed of them in the system's file before the front door is opened.
pub(super) fn open(layers: &mut Layers, files: &Files) {
    let origin = Origin::File(files.system.clone());
    let set = files::door(files, is_of_the_door).unwrap_or_else(|error| {
        // Anything else is told by whoever reads all of it.
        if error.kind() == io::ErrorKind::PermissionDenied {
            let message =
                format!("{error}; what it says of the login and the front door's ports does not count");
            layers.wrong.push(Problem::new(origin.to_string(), "", message));
        }
        Raw::new()
    });
    layers.door = Some(Layer { edits: true, ..Layer::new(origin, set) });
}

/// Takes them out of what came later, and says so where it would have made a difference.
/// `noted` is what the system's file said when the daemon first started here.
pub(super) fn leave_alone(layers: &mut Layers, noted: &Raw) {
    let before = layers.at_start().merged().completed();
    let mut told = Vec::new();
    let opened = layers.door.as_ref().map(|door| door.set.clone()).unwrap_or_default();
    let hooks = layers.hooks.as_mut().map(|hooks| &mut hooks.layer);
    for layer in layers.files.iter_mut().chain(hooks) {
        let Layer { origin, set, gone, edits } = layer;
        gone.retain(|name| !is_of_the_door(name));
        let (kept, left): (Vec<_>, Vec<_>) =
            std::mem::take(set).into_iter().partition(|(name, _)| !is_of_the_door(name));
        set.extend(kept);
        for (name, value) in left {
            // An argument of init may have won over the first.
            if opened.get(&name) == Some(&value) || before.get(&name) == Some(&value) {
                continue;
            }
            let message = match (*edits, noted.get(&name) == Some(&value)) {
                (true, true) => BEFORE_US,
                (true, false) => NEXT_START,
                (false, _) => TOO_LATE,
            };
            told.push(Problem::new(origin.to_string(), name.to_string_lossy(), message));
        }
    }
    layers.told.extend(told);
}

/// What is said of a change that the next start takes up.
pub const NEXT_START: &str = "it counts from the next start of the container on (`docker restart`, or Reboot at a \
                              provider): the front door is open already";

const BEFORE_US: &str = "it was there before desktopd first started here, and an image's word about the front door does \
                         not count: set it with the container, or change it there and start the container anew";

const TOO_LATE: &str = "it comes too late here, where the front door is open already: set it with the container, in \
                        /etc/environment, or as an argument of init";

fn is_of_the_door(name: &OsString) -> bool {
    let variable = name.to_str().and_then(row);
    variable.is_some_and(|variable| VARIABLES.contains(&variable.names[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_the_table() {
        for name in VARIABLES {
            assert_eq!(row(name).map(|row| row.names[0]), Some(name));
        }
    }
}
