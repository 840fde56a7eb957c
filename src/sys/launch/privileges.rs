//! Sets the priority, limits, user, groups and working directory of a service, in the process that becomes the service.
//!
//! Some settings need a capability that containers seldom have: a lower niceness, a lower `oom_score_adj`, a higher
//! limit. A missing capability must not keep a desktop from starting: the service starts with as much as is allowed,
//! and its log has a warning. A failure to set the user or the folder is always an error.

use std::collections::BTreeSet;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, chdir, getgroups, setgroups, setresgid, setresuid};

use super::failure::{Failure, at};
use super::orders::{Identity, Orders};
use crate::sys::error::describe;
use crate::sys::read;

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// How much higher the score of a service is than desktopd's, unless its file says otherwise.
const OOM_SCORE_MORE: i32 = 400;

/// Sets the priority, the `oom_score_adj` and the limits, which must be set before the user changes.
pub(super) fn apply(orders: &Orders) -> Result<(), Failure> {
    if let Some(nice) = orders.resources.nice {
        let set = rustix::process::setpriority_process(None, nice).map_err(io::Error::from);
        unless_refused(orders, &format!("setting the priority to nice = {nice}"), set)?;
    }
    oom_score(orders)?;
    for limit in &orders.resources.limits {
        let got = at(&format!("setting the limit {limit}"), limit.set())?;
        if let Some(got) = got {
            let why = Errno::EPERM.desc();
            orders.warn(&format!("setting the limit {limit}: {why}; it gets {got}"));
        }
    }
    Ok(())
}

/// When memory is short, the kernel should kill any other process before desktopd, because without desktopd nothing is
/// started again. So by default all services have a higher score than desktopd. The score of a service is relative to
/// that of desktopd, which Docker or Kubernetes may have set to any value. Raising a score is always allowed.
fn oom_score(orders: &Orders) -> Result<(), Failure> {
    let own = read::kernel_text(OOM_SCORE).trim().parse().unwrap_or(0);
    let score = (own + orders.resources.oom_score_adj.unwrap_or(OOM_SCORE_MORE)).clamp(-1000, 1000);
    let written = std::fs::write(OOM_SCORE, score.to_string());
    // If the service's file does not set a score, a failure needs no warning.
    if orders.resources.oom_score_adj.is_none() {
        return Ok(());
    }
    unless_refused(orders, &format!("setting oom-score-adj = {score}"), written)
}

/// Changes to the service's user and groups.
pub(super) fn become_user(orders: &Orders) -> Result<(), Failure> {
    match &orders.identity {
        Some(identity) => become_other(identity, &orders.groups),
        None if orders.groups.is_empty() => Ok(()),
        None => join(orders),
    }
}

/// Changes to the service's working directory.
pub(super) fn enter(orders: &Orders) -> Result<(), Failure> {
    let folder = format!("changing to the folder {}", orders.cwd.display());
    match chdir(&orders.cwd) {
        Err(error) if !orders.cwd_required => {
            orders.warn(&format!("{folder}: {}; it starts in / instead", error.desc()));
            at("changing to the folder /", chdir("/"))
        }
        result => at(&folder, result),
    }
}

fn become_other(identity: &Identity, more: &[u32]) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    at("setgroups", setgroups(&union(&identity.groups, more)))?;
    at("setgid", setresgid(gid, gid, gid))?;
    at("setuid", setresuid(uid, uid, uid))
}

/// Adds supplementary groups to those of this process.
fn join(orders: &Orders) -> Result<(), Failure> {
    let own: Vec<u32> = at("getgroups", getgroups())?.into_iter().map(Gid::as_raw).collect();
    if orders.groups.iter().all(|group| own.contains(group)) {
        return Ok(());
    }
    let groups: Vec<String> = orders.groups.iter().map(ToString::to_string).collect();
    let joined = setgroups(&union(&own, &orders.groups)).map_err(io::Error::from);
    unless_refused(orders, &format!("joining the groups {}", groups.join(", ")), joined)
}

fn union(own: &[u32], more: &[u32]) -> Vec<Gid> {
    let all: BTreeSet<u32> = own.iter().chain(more).copied().collect();
    all.into_iter().map(Gid::from_raw).collect()
}

/// A missing permission of this process or container is only a warning; an impossible operation is an error.
fn unless_refused(orders: &Orders, operation: &str, result: io::Result<()>) -> Result<(), Failure> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match result {
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            orders.warn(&format!("{operation}: {}; it starts without", describe(&error)));
            Ok(())
        }
        result => at(operation, result),
    }
}
