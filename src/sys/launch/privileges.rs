//! What a service may do: its priority, limits, user, groups and folder, set in the process that becomes it.
//!
//! What only a capability gives that containers seldom have (a lower niceness, a smaller chance to be ended when memory
//! is short, a higher limit) must not keep a desktop down: the service starts with as much of it as there is, and its
//! log says so. What it is about, its user and its folder, is not negotiable.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, chdir, getgroups, setgroups, setresgid, setresuid};

use super::{Failure, Identity, Orders, at};
use crate::sys::read;

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// How much higher the score of a service is than desktopd's, unless its file says otherwise.
const OOM_SCORE_MORE: i32 = 400;

/// Sets what has to be set before the user changes.
pub(super) fn apply(orders: &Orders) -> Result<(), Failure> {
    // On standard error: it is the service's log.
    let tell = |what: String| {
        if !orders.quiet {
            crate::sys::print::error(&format!("desktopd: {what}"));
        }
    };
    if let Some(nice) = orders.nice {
        let operation = format!("setting the priority to nice = {nice}");
        match rustix::process::setpriority_process(None, nice).map_err(io::Error::from) {
            Err(error) if is_refused(&error) => tell(refused(&operation, &error)),
            result => at(&operation, result)?,
        }
    }
    oom_score(orders.oom_score_adj, tell)?;
    for limit in &orders.limits {
        let got = at(&format!("setting the limit {limit}"), limit.set())?;
        if let Some(got) = got {
            tell(format!("setting the limit {limit}: {}; it gets {got}", Errno::EPERM.desc()));
        }
    }
    Ok(())
}

/// When memory is short, the kernel is to end anything before desktopd, without which nothing is started again. So what
/// desktopd starts has a higher score, and a service's own is counted from desktopd's: that may be anything in a
/// container of Docker's or Kubernetes', and raising it is always allowed.
fn oom_score(more: Option<i32>, tell: impl Fn(String)) -> Result<(), Failure> {
    let own = read::kernel_text(OOM_SCORE).trim().parse().unwrap_or(0);
    let score = (own + more.unwrap_or(OOM_SCORE_MORE)).clamp(-1000, 1000);
    let operation = format!("setting oom-score-adj = {score}");
    match std::fs::write(OOM_SCORE, score.to_string()) {
        // Where nothing was asked for, there is nothing to tell.
        Err(_) if more.is_none() => Ok(()),
        Err(error) if is_refused(&error) => {
            tell(refused(&operation, &error));
            Ok(())
        }
        result => at(&operation, result),
    }
}

/// Becomes the user.
pub(super) fn become_user(orders: &Orders) -> Result<(), Failure> {
    match &orders.identity {
        Some(identity) => become_other(identity, &orders.groups),
        None if orders.groups.is_empty() => Ok(()),
        None => join(orders),
    }
}

/// Goes to the folder that it works in.
pub(super) fn enter(orders: &Orders) -> Result<(), Failure> {
    let folder = format!("changing to the folder {}", orders.cwd.display());
    match chdir(&orders.cwd) {
        Err(error) if !orders.cwd_required => {
            if !orders.quiet {
                crate::sys::print::error(&format!(
                    "desktopd: {folder}: {}; it starts in / instead",
                    error.desc()
                ));
            }
            at("changing to the folder /", chdir("/"))
        }
        result => at(&folder, result),
    }
}

fn become_other(identity: &Identity, more: &[u32]) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    at("setgroups", setgroups(&together(identity.groups.iter().copied(), more)))?;
    at("setgid", setresgid(gid, gid, gid))?;
    at("setuid", setresuid(uid, uid, uid))
}

/// Adds groups to those that this process has.
fn join(orders: &Orders) -> Result<(), Failure> {
    let own: Vec<u32> = at("getgroups", getgroups())?.into_iter().map(Gid::as_raw).collect();
    let all = together(own.iter().copied(), &orders.groups);
    if all.len() == own.len() {
        return Ok(());
    }
    match setgroups(&all) {
        Err(error @ Errno::EPERM) => {
            if !orders.quiet {
                let groups: Vec<String> = orders.groups.iter().map(ToString::to_string).collect();
                let operation = format!("joining the groups {}", groups.join(", "));
                crate::sys::print::error(&format!("desktopd: {}", refused(&operation, &error.into())));
            }
            Ok(())
        }
        result => at("setgroups", result),
    }
}

fn together(own: impl Iterator<Item = u32>, more: &[u32]) -> Vec<Gid> {
    let mut all: Vec<u32> = own.collect();
    for group in more {
        if !all.contains(group) {
            all.push(*group);
        }
    }
    all.into_iter().map(Gid::from_raw).collect()
}

/// Whether it is this process or this container that may not, rather than that it cannot be done.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn refused(operation: &str, error: &io::Error) -> String {
    format!("{operation}: {}; it starts without", describe(error))
}

fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}
