//! What the front door was opened with. It stands open before any file is read, so files and hooks come too late for
//! these variables: what they say of them is told and left out, so that nobody believes in a password that is none.

use std::ffi::OsString;

use super::layers::{Layer, Layers};
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

/// Takes them out of what came later, and says so where it would have made a difference.
pub(super) fn leave_alone(layers: &mut Layers) {
    let before = layers.at_start().merged().completed();
    let mut told = Vec::new();
    let hooks = layers.hooks.as_mut().map(|hooks| &mut hooks.layer);
    for layer in layers.files.iter_mut().chain(hooks) {
        let Layer { origin, set, gone, .. } = layer;
        gone.retain(|name| !is_of_the_door(name));
        let (kept, left): (Vec<_>, Vec<_>) =
            std::mem::take(set).into_iter().partition(|(name, _)| !is_of_the_door(name));
        set.extend(kept);
        for (name, value) in left {
            if before.get(&name) != Some(&value) {
                let message = "it comes too late here, where the front door stands open already: set it with the \
                               container, or as an argument of init";
                told.push(Problem::new(origin.to_string(), name.to_string_lossy(), message));
            }
        }
    }
    layers.told.extend(told);
}

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
