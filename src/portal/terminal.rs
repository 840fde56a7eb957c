//! The portal's terminal: a shell in the browser, off unless `PORTAL_TERMINAL` asks for it.
//!
//! ```text
//! browser --POST password--> tickets --> one ticket, for one session, for a minute
//! browser --WebSocket, ticket--> relay <--bytes--> pty <--> guard > shell > programs
//!                                  |                          |
//!                                  +---- dropped ----> attend: ends every process below the guard
//! ```
//!
//! A terminal gives more than the desktop shows: an attacker who reads a cookie must not get a shell. What is done:
//!
//! - a session alone opens nothing: the password is checked again, by the login's own limits, and the ticket for it is
//!   used once, within a minute, by the same session; all other ways to log in (tokens, Basic) get no terminal;
//! - a page of another origin cannot open the WebSocket: the gateway checks the Origin before the portal is asked;
//! - the shell starts by the one fork of this program, with the user, groups and limits of the desktop, and with an
//!   environment of the plan, which has no secrets of the daemon. A shell of root takes nothing from files or folders
//!   that the desktop's user can write;
//! - the terminal ends with its session, its WebSocket or the daemon, and a guard ends all of its processes, whatever
//!   they did to their parents and sessions. Where this process crashes, the guard does the same by itself;
//! - at most [`MOST`] terminals, tickets included. A shell that prints without end waits until the page has drawn what
//!   it got; a page that does not read waits for nothing here; input that no program reads is bounded;
//! - who opened a terminal, from where, and when it ended, is logged; never what is typed or printed.

mod attend;
mod relay;
mod shell;
mod tickets;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::Session;
use crate::config::env::TerminalUser;
use crate::gateway::auth::Auth;
use crate::sys::reaper::Reaper;
use tickets::Tickets;

#[cfg(test)]
pub(in crate::portal) use wire::{Issued, Typed};
pub(in crate::portal) use wire::{socket, status, ticket};

/// How many terminals there may be at once.
const MOST: usize = 4;

/// How long all terminals together may take to end with the daemon.
const LAST: Duration = Duration::from_secs(4);

/// What the start of a shell needs.
struct Parts {
    auth: Auth,
    reaper: Reaper,
    session: watch::Receiver<Session>,
    /// Whose shells they are, or why there is no terminal.
    user: Result<TerminalUser, &'static str>,
    tickets: Tickets,
    permits: Arc<Semaphore>,
    /// The runtime on which processes are attended: those of connections end earlier.
    runtime: Handle,
    running: TaskTracker,
    stop: CancellationToken,
}

/// All terminals. Cheap to clone.
#[derive(Clone)]
pub struct Terminals {
    parts: Arc<Parts>,
}

/// Whether there is a terminal, as the API answers it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Standing {
    /// Whose shells they are; `None` if the terminal is off.
    user: Option<&'static str>,
    /// Why it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The terminals that are open, and tickets for one.
    open: usize,
    /// How many there may be.
    limit: usize,
}

impl Terminals {
    /// Terminals of this user, if they are asked for. Must be called within the daemon's own runtime.
    pub fn new(
        wanted: Option<TerminalUser>,
        auth: Auth,
        reaper: Reaper,
        session: watch::Receiver<Session>,
    ) -> Self {
        let user = allowed(wanted, auth.is_required(), Uid::effective().is_root());
        let parts = Parts {
            auth,
            reaper,
            session,
            user,
            tickets: Tickets::default(),
            permits: Arc::new(Semaphore::new(MOST)),
            runtime: Handle::current(),
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { parts: Arc::new(parts) }
    }

    /// Whose shells they are, or why there is no terminal.
    pub(in crate::portal) fn user(&self) -> Result<TerminalUser, &'static str> {
        self.parts.user
    }

    /// The user whose password is asked for.
    pub(in crate::portal) fn login(&self) -> String {
        self.parts.auth.user().0
    }

    /// Whether there is a terminal, and how many are open.
    pub(in crate::portal) fn standing(&self) -> Standing {
        let open = MOST - self.parts.permits.available_permits();
        let name = self.parts.user.map(|user| match user {
            TerminalUser::User => "user",
            TerminalUser::Root => "root",
        });
        Standing { user: name.ok(), reason: name.err(), open, limit: MOST }
    }

    /// Ends all terminals, and waits for a short time until their processes have ended.
    pub async fn close(&self) {
        self.parts.stop.cancel();
        self.parts.running.close();
        let _ = tokio::time::timeout(LAST, self.parts.running.wait()).await;
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.parts.permits).try_acquire_owned().ok()
    }
}

/// Whose shells there may be, or why there are none.
fn allowed(wanted: Option<TerminalUser>, login: bool, as_root: bool) -> Result<TerminalUser, &'static str> {
    match wanted {
        None => Err("PORTAL_TERMINAL is not set"),
        Some(_) if !login => Err("WEB_ENABLE_AUTH is false: every client could use the terminal"),
        Some(TerminalUser::Root) if !as_root => {
            Err("PORTAL_TERMINAL is root, and desktopd does not run as root")
        }
        Some(user) => Ok(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_terminal_unless_it_is_wanted_and_a_login_is_required() {
        use TerminalUser::{Root, User};
        for (wanted, login, as_root, expected) in [
            (None, true, true, Err("PORTAL_TERMINAL is not set")),
            (Some(User), true, true, Ok(User)),
            (Some(User), true, false, Ok(User)),
            (Some(Root), true, true, Ok(Root)),
            (Some(Root), true, false, Err("PORTAL_TERMINAL is root, and desktopd does not run as root")),
            (Some(User), false, true, Err("WEB_ENABLE_AUTH is false: every client could use the terminal")),
            (Some(Root), false, true, Err("WEB_ENABLE_AUTH is false: every client could use the terminal")),
        ] {
            assert_eq!(allowed(wanted, login, as_root), expected, "{wanted:?} {login} {as_root}");
        }
    }
}
