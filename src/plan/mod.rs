//! Plans what will run, from configuration and facts: pure, deterministic, and complete, so that no choice is left for
//! later.
//!
//! A unit that cannot run is still in the plan, with the reason; the units that need it get a reason in turn. The same
//! input gives the same plan, so a plan can also be made for another machine.

mod account;
mod adjust;
mod compose;
pub mod display;
mod env_overrides;
mod expander;
pub mod graph;
mod machine_variables;
mod main_unit;
mod mistakes;
pub mod portal;
mod probes;
mod relations;
pub mod routes;
mod shells;
pub mod show;
pub mod template;
mod unit;
mod values;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Config, Problem, Service};
use crate::facts::{Account, Facts};
use crate::sys::launch::Orders;

pub use display::{Decision, encoder};
pub use machine_variables::{Threads, threads};
pub use portal::{Link, Portal};
pub use probes::display_number;
pub use routes::{Bridge, Route, Upstream};
pub use shells::programs as folders_of_programs;
pub use unit::{Disposition, Unit, X_SERVER, ready_fd};

/// The number of processes and threads of an idle desktop.
pub const DESKTOP_TASKS: u64 = 140;

/// The whole plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All units, in the order of start.
    pub units: Vec<Unit>,
    /// The ports of the gateway.
    pub routes: Vec<Route>,
    /// The portal's own port.
    pub portal: Portal,
    /// Links of the portal other than the ports of the gateway.
    pub links: Vec<Link>,
    /// The chosen display, with reasons.
    pub display: Decision,
    /// The same for people, with what the machine has.
    pub report: Arc<display::Report>,
    /// What encodes the video of the stream, with reasons.
    pub encoder: encoder::Decision,
    /// The desktop's account, or the reason if there is none.
    pub account: Result<Account, String>,
    /// The orders for programs that users start in the desktop from outside, or the reason if that is not possible. The
    /// command line has only what comes before the program; the user is always named.
    pub session: Result<Orders, String>,
    /// All mistakes in the configuration, including those of the files.
    pub problems: Vec<Problem>,
    /// What the machine lacks; no change of a file can repair it.
    pub shortcomings: Vec<String>,
    /// Entries that are left out as in the images that users come from, so they are not reported as problems.
    pub left_out: Vec<String>,
    /// The units whose lines are not copied to the container's output.
    pub quiet: BTreeSet<String>,
}

impl Plan {
    /// Makes the plan.
    pub fn build(config: &Config, facts: &Facts) -> Self {
        let display = display::decide(&display::Asked::of(config), facts);
        let encoder = encoder::decide(config, facts);
        let mut problems = config.problems.clone();
        problems.extend(values::unknown_locale(config, facts));
        let mut who = account::decide(config, facts);
        problems.append(&mut who.problems);
        let facts = &settled(facts, &who);
        let inputs = adjust::Inputs {
            config,
            facts,
            wanted: who.wanted.as_ref(),
            display: &display,
            encoder: &encoder,
        };
        let session = Service::of_session();
        let mut composer = compose::Composer::new(inputs);
        let mut units: Vec<Unit> = Vec::new();
        let mut routes = Vec::new();
        for service in &config.services {
            let (unit, route) = composer.unit(service, &mut problems);
            units.push(unit);
            routes.extend(route);
        }
        // Its mistakes are those of all services that get the desktop's environment.
        let session = composer.unit(&session, &mut Vec::new()).0;
        units.extend(compose::broken(config));
        relations::settle(&mut units, config, &mut problems);
        env_overrides::check(&units, config, &mut problems);
        routes::name_shown(&mut routes, &units, config, &mut problems);
        if config.env.opens_no_port() {
            routes.clear();
        }
        let portal = Portal::of(config);
        let mut entries = portal::PortalEntries::new(config, &mut problems);
        entries.rename(&mut routes, &portal);
        routes::check(&mut routes, &units, portal.port, entries.problems);
        let left_out = entries.leave_out();
        let links = entries.assign(&mut routes, &portal);
        routes::ask_for_localhost(&mut routes, &config.env.vars.header_up_localhost);
        let shortcomings = shortcomings(config, facts).into_iter().chain(who.shortcoming).collect();
        let quiet = config.services.iter().filter(|service| !service.log_to_stdout);
        let quiet = quiet.map(|service| service.name.clone()).collect();
        let account = who.account;
        let report = Arc::new(display::Report::new(config, facts, &display, &encoder));
        let session = session.orders().map(|orders| {
            let identity = account.as_ref().ok().map(|account| account.identity.clone());
            Orders { identity, ..orders }
        });
        Self {
            units,
            routes,
            portal,
            links,
            display,
            report,
            encoder,
            account,
            session,
            problems,
            shortcomings,
            left_out,
            quiet,
        }
    }

    /// A unit by its name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name == name)
    }
}

/// Variables for features that this version does not have, with the alternative.
const NOT_HERE: [(&str, &str); 4] = [
    (
        "CF_QUICK_TUNNELS",
        "this version opens no Cloudflare tunnels; ports are reached directly or by `ssh -L`",
    ),
    (
        "CF_TUNNEL_TOKEN",
        "this version opens no Cloudflare tunnels; a cloudflared of your own may lead to the ports",
    ),
    ("PORTAL_UNSTOPPABLE", "this version's portal can stop every service"),
    ("VNC_PASSWORD", "this version opens no port 5900; VNC is in the browser, with the login of all pages"),
];

/// The facts as they will be after the `user` step.
fn settled(facts: &Facts, who: &account::Decision) -> Facts {
    let home = |account: &Result<Account, String>| account.as_ref().ok().map(|account| account.home.clone());
    let mut settled = Facts { account: who.account.clone(), ..facts.clone() };
    if home(&settled.account) != home(&facts.account) {
        // This trouble was about another folder.
        settled.home_trouble = None;
    }
    settled
}

/// Warnings for a machine on which not everything works.
fn shortcomings(config: &Config, facts: &Facts) -> Vec<String> {
    let manifest = config.env.is_on("PROVISIONING_MANIFEST").then(|| {
        "PROVISIONING_MANIFEST is not understood: nothing of it is done; PROVISIONING_SCRIPT names a script instead"
            .to_owned()
    });
    let asked = NOT_HERE.iter().filter(|(name, _)| config.env.is_on(name));
    let not_here = asked.map(|(name, instead)| format!("{name}: {instead}"));
    let unknown = facts
        .account
        .as_ref()
        .ok()
        .filter(|account| account.stand_in.as_ref().is_some_and(|stand_in| stand_in.library.is_none()));
    let unknown = unknown.map(|account| {
        format!(
            "user {} is not in /etc/passwd, and programs that look up their own user will not \
             run: libnss_wrapper, which would supply the entry, is not installed",
            account.identity.uid
        )
    });
    let few = facts.task_limit.filter(|limit| *limit < DESKTOP_TASKS);
    let few = few.map(|limit| {
        format!(
            "the container may have {limit} processes and threads at most, and a desktop has more than \
             {DESKTOP_TASKS}: docker update --pids-limit raises that"
        )
    });
    facts.home_trouble.iter().cloned().chain(unknown).chain(few).chain(manifest).chain(not_here).collect()
}

#[cfg(test)]
mod tests;
