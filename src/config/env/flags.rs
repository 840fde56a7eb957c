//! The flags of the older images' start scripts, which templates hand on: each stands for a variable, for what happens
//! here anyway, or for what is not done here.

use std::ffi::OsStr;

/// What a flag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// A variable with this value.
    Sets(&'static str, &'static str),
    /// Nothing: it is so here, or there is no such thing.
    Nothing,
    /// Something that is not done here, and what is the case instead.
    Not(&'static str),
}

/// The flags that are known.
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

/// What an argument stands for that is a flag of theirs.
pub(super) fn known(argument: &OsStr) -> Option<Flag> {
    FLAGS.iter().find(|(name, _)| argument == *name).map(|(_, flag)| *flag)
}
