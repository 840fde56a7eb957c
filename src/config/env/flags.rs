//! The flags of the older images' start scripts, which templates still pass: a flag sets a variable, asks for the
//! behaviour that desktopd has anyway, or asks for something that desktopd does not do.

use std::ffi::OsStr;

/// The meaning of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// A variable with this value.
    Sets(&'static str, &'static str),
    /// No effect: desktopd behaves like this anyway, or has no such feature.
    Nothing,
    /// Something that desktopd does not do, with the text of what happens instead.
    Not(&'static str),
}

/// The known flags.
const FLAGS: [(&str, Flag); 12] = [
    ("--jupyter-override", Flag::Sets("JUPYTER_OVERRIDE", "true")),
    ("--no-activate-pyenv", Flag::Nothing),
    ("--no-agent-banner", Flag::Sets("ENABLE_AGENT_BANNER", "false")),
    ("--no-cert-gen", Flag::Nothing),
    ("--no-export-env", Flag::Not("shells see the container's environment all the same")),
    ("--no-force-jupyter", Flag::Sets("FORCE_JUPYTER", "false")),
    ("--no-forward-compat", Flag::Sets("DISABLE_FORWARD_COMPAT", "true")),
    ("--no-update-portal", Flag::Nothing),
    ("--no-update-vast", Flag::Nothing),
    ("--no-user-keys", Flag::Not("keys that let in root let in the desktop's user as well")),
    ("--sync-environment", Flag::Sets("WORKSPACE_SYNC", "true")),
    ("--sync-home", Flag::Nothing),
];

/// The meaning of an argument that is one of these flags.
pub(super) fn known(argument: &OsStr) -> Option<Flag> {
    FLAGS.iter().find(|(name, _)| argument == *name).map(|(_, flag)| *flag)
}
