//! The portal's file on vast.ai.

use crate::config::{Config, Provider, portal_file};
use crate::plan::Portal;

/// Makes the file that vast.ai's scripts wait for and that users edit there.
pub(super) fn make(config: &Config) {
    if !Provider::of(&config.env.raw).is_vast() {
        return;
    }
    let path = &config.settings.portal_file;
    let portal = Portal::of(config);
    match portal_file::make(path, &portal.among(&config.portal.entries)) {
        Ok(true) => tracing::info!("{} was made from PORTAL_CONFIG", path.display()),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!("{}: {error}; scripts that look for it will not find it", path.display());
        }
    }
}
