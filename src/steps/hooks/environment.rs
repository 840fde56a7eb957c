//! The environment that users' scripts leave behind, and the part of it that services can be given.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::steps::command;
use crate::sys::env_file::is_name;

/// Variables of any bytes, by name.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// Variables that describe only the shell; they are reset to their values from before.
const OF_THE_SHELL: [&str; 5] = ["_", "OLDPWD", "PWD", "SHLVL", "TERM"];

/// Without these variables most programs do not work.
const WANTED: [&str; 5] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL"];

/// Returns the variables of `left` that services can use, and messages about the rest. `began` is the environment from
/// before the scripts.
pub(super) fn sane(left: Variables, began: &Variables) -> (Variables, Vec<String>) {
    let mut told = Vec::new();
    let before = |env: &mut Variables, name: &OsStr| match began.get(name) {
        Some(value) => drop(env.insert(name.to_owned(), value.clone())),
        None => drop(env.remove(name)),
    };
    let mut env = left;
    env.retain(|name, _| is_name(name));
    for name in OF_THE_SHELL {
        before(&mut env, name.as_ref());
    }
    for name in WANTED.map(OsStr::new) {
        let empty = env.get(name).is_none_or(|value| value.is_empty());
        if empty && began.contains_key(name) {
            told.push(format!("{} was unset by a script; it stays as it was", name.display()));
            before(&mut env, name);
        }
    }
    let of_linker = |name: &OsString| name.as_bytes().starts_with(b"LD_");
    let linker = |env: &Variables| env.keys().filter(|name| of_linker(name)).cloned().collect::<Vec<_>>();
    let changed = linker(&env).iter().any(|name| env.get(name) != began.get(name));
    if changed && let Err(why) = works(&env) {
        told.push(format!("programs do not start as a script left LD_…, which stay as they were: {why}"));
        for name in linker(&env).into_iter().chain(linker(began)) {
            before(&mut env, &name);
        }
    }
    (env, told)
}

/// Whether a program starts and prints no error with this environment.
fn works(env: &Variables) -> Result<(), String> {
    let output =
        command::program("/bin/true").env_clear().envs(env).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.trim().is_empty() {
        return Ok(());
    }
    Err(format!("{}; {}", command::told(output.status), said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn variables_that_break_programs_are_left_out() {
        let began =
            variables(&[("PATH", "/bin"), ("HOME", "/root"), ("PWD", "/a"), ("LD_LIBRARY_PATH", "/l")]);
        for (left, expected, words) in [
            (
                &[
                    ("PATH", "/x:/bin"),
                    ("HOME", "/root"),
                    ("NEW", "1"),
                    ("PWD", "/b"),
                    ("SHLVL", "2"),
                    ("_", "x"),
                    ("LD_LIBRARY_PATH", "/l"),
                ][..],
                &[
                    ("PATH", "/x:/bin"),
                    ("HOME", "/root"),
                    ("NEW", "1"),
                    ("PWD", "/a"),
                    ("LD_LIBRARY_PATH", "/l"),
                ][..],
                &[][..],
            ),
            (
                &[("PATH", ""), ("BASH_FUNC_f%%", "() { :; }"), ("1X", "")],
                &[("PATH", "/bin"), ("HOME", "/root"), ("PWD", "/a")],
                &["PATH was unset", "HOME was unset"],
            ),
            (
                &[
                    ("PATH", "/bin"),
                    ("HOME", "/"),
                    ("LD_PRELOAD", "/no/such/thing.so"),
                    ("LD_LIBRARY_PATH", "/m"),
                ],
                &[("PATH", "/bin"), ("HOME", "/"), ("PWD", "/a"), ("LD_LIBRARY_PATH", "/l")],
                &["/no/such/thing.so"],
            ),
            (
                &[("PATH", "/bin"), ("HOME", "/"), ("LD_LIBRARY_PATH", "/m")],
                &[("PATH", "/bin"), ("HOME", "/"), ("PWD", "/a"), ("LD_LIBRARY_PATH", "/m")],
                &[],
            ),
        ] {
            let (env, told) = sane(variables(left), &began);
            assert_eq!(env, variables(expected), "{left:?}");
            assert_eq!(told.len(), words.len(), "{told:?}");
            assert!(told.iter().zip(words).all(|(told, word)| told.contains(word)), "{told:?}");
        }
    }
}
