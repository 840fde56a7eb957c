//! The names that mean the daemon itself. Other images run a gateway and a portal as separate services, which scripts
//! restart by name; here both are part of this process, and no service can have their names.

/// The daemon's own name, and the names of its parts in other images.
pub const NAMES: [&str; 6] = ["desktopd", "caddy", "gateway", "instance_portal", "portal", "serviceportal"];

/// The unit that runs the command of `desktopd run`.
pub const RUN: &str = "run";

/// Whether `name` means the daemon itself.
pub fn is_own(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Why no service can have the name `name`, if that is so.
pub(super) fn taken(name: &str) -> Option<String> {
    if is_own(name) {
        return Some(format!("\"{name}\" is a name of desktopd itself"));
    }
    (name == RUN).then(|| format!("\"{name}\" is the name of the command that `desktopd run` is given"))
}
