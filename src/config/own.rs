//! Names that no service can have.

/// The unit that runs the command of `desktopd run`.
pub const RUN: &str = "run";

/// Why no service can be called `name`, if none can.
pub(super) fn taken(name: &str) -> Option<String> {
    (name == RUN).then(|| format!("\"{name}\" is the name of the command that `desktopd run` is given"))
}
