//! The start-up variables: those that are fixed when the gateway opens its ports. Before that, only the system's file
//! is read for them; an edit there counts from the next start on. Files and hooks that are read later cannot change
//! these variables: their values are left out and reported, so that no user relies on a password that does not work.

use std::ffi::OsString;
use std::io;

use super::Raw;
use super::files::{self, Files};
use super::layers::{Layer, Layers, Origin};
use super::names::row;
use super::table::Flag;
use crate::config::problem::Problem;

/// Reads the users' edits of these variables in the system's file, before the gateway is opened.
pub(super) fn read(layers: &mut Layers, files: &Files) {
    let origin = Origin::File(files.system.clone());
    let set = files::startup(files, is_startup).unwrap_or_else(|error| {
        // Other errors are reported when the whole file is read.
        if error.kind() == io::ErrorKind::PermissionDenied {
            let message = format!("{error}; its values for the login and the gateway's ports do not count");
            layers.wrong.push(Problem::new(origin.to_string(), "", message));
        }
        Raw::new()
    });
    layers.startup = Some(Layer { edits: true, ..Layer::new(origin, set) });
}

/// Removes these variables from the later layers, and reports each value that would have changed one. `noted` is the
/// content of the system's file when the daemon first started here.
pub(super) fn reject_late(layers: &mut Layers, noted: &Raw) {
    let before = layers.at_start().merged().completed();
    let mut told = Vec::new();
    let opened = layers.startup.as_ref().map(|layer| layer.set.clone()).unwrap_or_default();
    let hooks = layers.hooks.as_mut().map(|hooks| &mut hooks.layer);
    for layer in layers.files.iter_mut().chain(hooks) {
        let Layer { origin, set, gone, edits } = layer;
        gone.retain(|name| !is_startup(name));
        let (kept, left): (Vec<_>, Vec<_>) =
            std::mem::take(set).into_iter().partition(|(name, _)| !is_startup(name));
        set.extend(kept);
        for (name, value) in left {
            // `opened` is the value from the file; an argument of init may have won over it, which `before` shows.
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

/// The message for a change that counts from the next start on.
pub const NEXT_START: &str = "it counts from the next start of the container on (`docker restart`, or Reboot at a \
                              provider): the gateway is open already";

const BEFORE_US: &str = "it was there before desktopd first started here, and an image cannot set the gateway's \
                         variables: set it with the container, or change it there and restart the container";

const TOO_LATE: &str = "it comes too late here, because the gateway is open already: set it with the container, in \
                        /etc/environment, or as an argument of init";

fn is_startup(name: &OsString) -> bool {
    name.to_str().and_then(row).is_some_and(|variable| variable.is(Flag::Startup))
}
