//! The account of the desktop: the one that the `user` step will have made, so that the first plan is right already and
//! nothing is restarted after the step.
//!
//! If accounts cannot be made (the daemon is not root, `/etc` is read-only, the step is left out or has failed), it is
//! the existing account.

use std::path::Path;

use crate::config::env::Mounted;
use crate::config::{Config, Problem};
use crate::facts::account::{USUAL_GROUPS, usual_home};
use crate::facts::{Account, Facts};
use crate::sys::launch::Identity;

use super::env_overrides;

/// The step that makes accounts.
const STEP: &str = "user";

/// The default user and group id.
const FIRST: u32 = 1000;

const SHELL: &str = "/bin/bash";

/// The chosen account, with warnings for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The account, or the reason if there is none.
    pub(super) account: Result<Account, String>,
    /// The account that the step should make, even if it could not: equal in all plans, or the step would run again.
    pub(super) wanted: Option<Account>,
    /// Why the account differs from the wanted one.
    pub(super) shortcoming: Option<String>,
    /// The mistakes in the user's settings.
    pub(super) problems: Vec<Problem>,
}

/// Chooses the account.
pub(super) fn decide(config: &Config, facts: &Facts) -> Decision {
    let name = &config.env.vars.user_name.0;
    let is_made = config
        .services
        .iter()
        .any(|service| service.step() == Some(STEP) && env_overrides::starts(config, service));
    let mut decision =
        Decision { account: facts.account.clone(), wanted: None, shortcoming: None, problems: Vec::new() };
    if facts.daemon.uid != 0 || !is_made || name == "root" {
        return decision;
    }
    let wanted = wanted(name, config, facts, &mut decision.problems);
    let making = &facts.making;
    let hindrance = making.fixed.as_ref().map(|why| format!("{why}, so no user can be made or changed"));
    let hindrance = hindrance.or_else(|| {
        making.trouble.as_ref().map(|why| format!("the account of {name} could not be made: {why}"))
    });
    let Some(hindrance) = hindrance else {
        decision.account = Ok(wanted.clone());
        decision.wanted = Some(wanted);
        return decision;
    };
    let existing = facts.account.as_ref().ok().or(making.usual.as_ref());
    decision.account = match existing {
        Some(existing) => {
            let mut account = existing.clone();
            // The kernel knows groups by number, independently of the lists.
            account.identity.groups = groups(&account, config, facts);
            if !same(&account, &wanted) {
                decision.shortcoming = Some(format!(
                    "{hindrance}: the desktop is that of {}, and not of {}",
                    shown(&account),
                    shown(&wanted)
                ));
            }
            Ok(account)
        }
        None => Err(hindrance),
    };
    // An account that cannot be changed is left as it is; its home is still prepared.
    decision.wanted = if making.fixed.is_some() { decision.account.clone().ok() } else { Some(wanted) };
    decision
}

/// The account as it should be made.
fn wanted(name: &str, config: &Config, facts: &Facts, problems: &mut Vec<Problem>) -> Account {
    let vars = &config.env.vars;
    let mounted = facts.workspace.is_mounted() || vars.workspace_mounted == Some(Mounted::Force);
    let owner = facts.workspace.owner.filter(|_| mounted);
    let mut id = |variable: &str, asked: Option<u32>, owner: Option<u32>| {
        if let Some(id) = asked.filter(|id| !is_a_persons(*id)) {
            let message = format!("{id} is not a person's id; USER_NAME=root makes the desktop root's");
            problems.push(Problem::new("environment", variable, message));
        }
        [asked, owner].into_iter().flatten().find(|id| is_a_persons(*id)).unwrap_or(FIRST)
    };
    let uid = id("WORKSPACE_UID", vars.workspace_uid, owner.map(|owner| owner.0));
    let gid = id("WORKSPACE_GID", vars.workspace_gid, owner.map(|owner| owner.1));
    for group in vars.user_groups().filter(|group| !facts.groups.contains_key(group)) {
        let message = format!("\"{group}\" is not a group of this machine");
        problems.push(Problem::new("environment", "USER_GROUPS", message));
    }
    let existing = facts.account.as_ref().ok();
    let usable = mounted && facts.workspace.trouble.is_none();
    let home = if usable && !facts.making.home_mounted {
        vars.workspace.folder().join("home").join(name)
    } else {
        usual_home(name)
    };
    let shell = existing.map(|account| account.shell.clone()).filter(|shell| lets_in(shell));
    let mut account = Account {
        name: name.to_owned(),
        identity: Identity {
            uid,
            gid,
            groups: existing.map_or_else(Vec::new, |a| a.identity.groups.clone()),
        },
        home,
        shell: shell.unwrap_or_else(|| SHELL.into()),
        stand_in: None,
    };
    // The main group was in the list only as the main group.
    let old = existing.map(|account| account.identity.gid);
    account.identity.groups.retain(|group| Some(*group) != old);
    account.identity.groups = groups(&account, config, facts);
    account
}

/// The main group first, then all others in order, so that the result is the same in each plan.
fn groups(account: &Account, config: &Config, facts: &Facts) -> Vec<u32> {
    let names = USUAL_GROUPS.map(str::to_owned).into_iter().chain(config.env.vars.user_groups());
    let ids = names.filter_map(|name| facts.groups.get(&name).copied());
    let own = account.identity.groups.iter().copied();
    let mut others: Vec<u32> = own.chain(ids).chain(facts.making.devices.keys().copied()).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|group| *group != account.identity.gid);
    others.insert(0, account.identity.gid);
    others
}

/// Root's ids belong to no person, and the highest number means "none" to the kernel.
fn is_a_persons(id: u32) -> bool {
    id != 0 && id != u32::MAX
}

/// System users have shells that allow no login.
fn lets_in(shell: &Path) -> bool {
    let name = shell.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !["", "nologin", "false", "sync"].contains(&name)
}

fn same(one: &Account, other: &Account) -> bool {
    let ids = |account: &Account| (account.identity.uid, account.identity.gid);
    one.name == other.name && ids(one) == ids(other) && one.home == other.home
}

fn shown(account: &Account) -> String {
    let Identity { uid, gid, .. } = account.identity;
    format!("{} ({uid}:{gid}, home {})", account.name, account.home.display())
}

#[cfg(test)]
mod tests;
