//! Pictures of the desktop: what is on the X display, without the mouse pointer.
//!
//! A picture is made by a child process, which has the desktop's user, display and key, and a limit of time and of
//! memory: this process never waits for an X server, and never holds the pixels. One child runs at a time. Its picture
//! is kept for a moment, for all clients that ask meanwhile.

mod kept;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use nix::unistd::Uid;
use tokio::sync::watch;
use tokio::time::Instant;

use super::session::Session;
use crate::observe::{Sight, Snapshot, sight};
use crate::plan::X_SERVER;
use crate::steps;
use crate::sys::launch::{Orders, Resources};
use crate::sys::limits::{Limit, Resource, inherited_open_files};
use crate::sys::reaper::Reaper;
use crate::sys::subcommands;
use crate::sys::subprocess::{self, Cause, NO_CORE, Unanswered};

use kept::Kept;

/// How long making a picture may take.
const LIMIT: Duration = Duration::from_secs(3);

/// The largest picture. Bytes.
const LARGEST: usize = 32 << 20;

/// The address space of the child: one band of pixels as it comes and as it is kept, and the program. Bytes.
const ADDRESSES: u64 = 512 << 20;

/// The variables that lead to the display.
const VARIABLES: [&str; 2] = ["DISPLAY", "XAUTHORITY"];

/// Makes pictures. Cheap to clone.
#[derive(Clone)]
pub struct Screenshots {
    reaper: Reaper,
    session: watch::Receiver<Session>,
    kept: Kept,
}

impl Screenshots {
    /// Takes pictures of the display of this session.
    pub fn new(reaper: Reaper, session: watch::Receiver<Session>) -> Self {
        Self { reaper, session, kept: Kept::default() }
    }

    /// A picture as a PNG, `width` pixels wide; 0 is the display's own width.
    pub(super) async fn take(&self, snapshot: &Snapshot, width: u16) -> Result<Bytes, String> {
        if let Some(why) = missing(snapshot) {
            return Err(why);
        }
        self.kept.get(width, self.make(width)).await
    }

    async fn make(&self, width: u16) -> Result<Bytes, String> {
        let session = self.session.borrow().clone();
        let session = session.ok_or("the daemon is still deciding what to run; try again in a moment")?;
        let orders = orders(session.as_ref().as_ref().map_err(Clone::clone)?, width)?;
        let deadline = Instant::now() + LIMIT;
        let made = subprocess::output(&self.reaper, &orders, deadline, LARGEST).await;
        made.map(Bytes::from).map_err(|unanswered| reason(&unanswered))
    }
}

/// Why there is no display, and the command that helps.
fn missing(snapshot: &Snapshot) -> Option<String> {
    let Some(unit) = snapshot.unit(X_SERVER) else {
        let planned = !snapshot.units.is_empty();
        return planned.then(|| "this desktop has no display; the reason: desktopd plan".to_owned());
    };
    let seen = sight::look(snapshot, X_SERVER, &[]);
    let name = &unit.name;
    let remedy = match seen.sight {
        Sight::Ready | Sight::Unhealthy => return None,
        Sight::Starting => format!("wait for it: desktopd start --wait {name}"),
        Sight::Off if seen.start.is_empty() => "the reason: desktopd plan".to_owned(),
        _ => format!("start it: desktopd start {}", seen.start.join(" ")),
    };
    Some(format!("there is no display to take a picture of: {}; {remedy}", seen.sentence()))
}

/// The orders for the child.
fn orders(session: &Orders, width: u16) -> Result<Orders, String> {
    let variables = VARIABLES.iter().filter_map(|name| {
        let value = session.env.get(OsStr::new(name))?;
        Some((OsString::from(name), value.clone()))
    });
    let env: BTreeMap<OsString, OsString> = variables.collect();
    if !env.contains_key(OsStr::new(VARIABLES[0])) {
        return Err("this desktop has no display; the reason: desktopd plan".to_owned());
    }
    let own = Uid::effective().as_raw();
    let width = width.to_string();
    let words = ["/proc/self/exe", subcommands::STEP, steps::SCREENSHOT, &width];
    let addresses = Limit { resource: Resource::AddressSpace, soft: ADDRESSES, hard: ADDRESSES };
    Ok(Orders {
        argv: words.map(str::to_owned).to_vec(),
        env,
        cwd: PathBuf::from("/"),
        identity: session.identity.clone().filter(|identity| identity.uid != own),
        resources: Resources {
            umask: 0o077,
            limits: inherited_open_files().into_iter().chain([NO_CORE, addresses]).collect(),
            ..Resources::default()
        },
        quiet: true,
        ..Orders::default()
    })
}

/// Why no picture was made.
fn reason(unanswered: &Unanswered) -> String {
    let said = unanswered.last_words.trim_start_matches("desktopd: ");
    match &unanswered.cause {
        Cause::Late => {
            let limit = LIMIT.as_secs();
            format!(
                "no picture came within {limit} s: the machine is busy, or the X server hangs; to restart that: \
                 desktopd restart {X_SERVER}"
            )
        }
        Cause::TooMuch => {
            format!("the picture has more than {} MiB; ask for a smaller width", LARGEST >> 20)
        }
        Cause::NotStarted(error) => format!("starting a process: {error}"),
        Cause::Ended(exit) if said.is_empty() => {
            format!("the process that makes the picture ended with {exit}")
        }
        Cause::Ended(_) => format!("the picture cannot be taken: {said}"),
    }
}
