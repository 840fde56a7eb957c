//! The composition root: load, listen, plan, supervise, drain.
//!
//! The portal and the control socket are open before the machine is probed, so the first answer never waits for slow
//! work.

mod control;
mod credentials;
mod daemon;
mod drivers;
mod fallback;
mod front;
mod loss;
mod planner;
mod portal_file;
mod provisioning_marker;
mod reload;
mod variables;
mod welcome;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cli::{Failure, code};
use crate::config::{Config, Secret};
use crate::facts::public_address::PublicAddress;
use crate::logs::{self, Console, Limits, Logs};
use crate::observe::machine::Places;
use crate::observe::{Addresses, Observer, Phase, What};
use crate::portal::Api;
use crate::state::State;
use crate::supervise::{self, Context};
use crate::sys::reaper::Reaper;
use crate::sys::signals::Signals;
use crate::{facts, sys};
use control::Control;
use daemon::Daemon;
use fallback::{Fallback, Memory};
use front::{Front, Parts};
use loss::Loss;
use planner::Planner;
use provisioning_marker::ProvisioningMarker;
use reload::Reloader;
use welcome::Welcome;

/// How long the last answers on the control socket may take at the end.
const LAST_ANSWER: Duration = Duration::from_millis(300);

/// Runs the desktop until a stop is requested or its main service has ended. Returns the exit code; the failure says
/// why the daemon could not start.
pub async fn run(mut config: Config) -> Result<i32, Failure> {
    let failed = |message: String| Failure::new(code::FAILED, message);
    let began = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let no_signals = |error| failed(format!("taking signals: {error}"));
    let (reaper, signals) = (Reaper::start().map_err(no_signals)?, Signals::new().map_err(no_signals)?);
    let (logs, no_logs) = open_logs(&config);
    if let Err(error) = sys::become_subreaper() {
        tracing::warn!("orphaned processes will not be adopted by this process: {error}");
    }
    tracing::info!("desktopd {} starts", sys::version::line());

    // Listen.
    let (mut control, listeners) = Control::bind(&config.places).await.map_err(failed)?;
    let provisioning_marker = ProvisioningMarker::begin(&config.places.run);
    let (observer, watch) = Observer::new(std::process::id().cast_signed(), began.1);
    let events = observer.events();
    let (state, forgetful) = State::open(&config.places.state, &facts::instance(&config));
    make_secrets(&mut config, &state);
    let state = Arc::new(state);
    let (shown, rows) = variables::Shown::new(&config.env, logs.clone());
    let (handle, handle_watch) = watch::channel(None);
    let (reloads, requests) = mpsc::unbounded_channel();
    let (displays, displays_seen) = watch::channel(None);
    let (shutdown, shutdowns) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    // The look-up may have its result at once, so the other addresses come first.
    observer.update(|snapshot| {
        (snapshot.addresses, snapshot.notes) = (Addresses::of(&config), facts::missing_programs(&config));
    });
    let workspace = config.env.vars.workspace.folder().to_owned();
    observer.machine().set_places(Places { workspace, reaper: reaper.clone() });
    let look_up = look_up_public_address(&config, observer.clone());
    let mut front = Front::open(Parts {
        config: &config,
        state: Arc::clone(&state),
        trouble: [forgetful, no_logs].into_iter().flatten().collect(),
        observer: observer.clone(),
        logs: logs.clone(),
        api: Api::new(watch, events.clone(), logs.clone(), handle_watch)
            .with_reloads(reloads.clone())
            .with_displays(displays_seen)
            .with_looks(observer.looks())
            .with_machine(observer.machine()),
        reaper: reaper.clone(),
        rows,
        displays,
        shutdown,
        stop: stop.clone(),
    })
    .await;
    let answering = front.serve_control(listeners, stop.clone());

    // Plan.
    let run_dir = config.places.run.clone();
    let ready_socket = config.env.raw.get(OsStr::new("NOTIFY_SOCKET")).cloned();
    let memory = Memory::new(state);
    let (planner, plan) = Planner::start(config, shown, memory, reaper.clone()).await?;
    // The user of the desktop may query the states of its own services.
    if let Ok(account) = &plan.account
        && Uid::effective().is_root()
    {
        control.open_to(Gid::from_raw(account.identity.gid));
    }
    front.show_plan(&plan, planner.failed(), None);

    // Supervise.
    events.record(jiff::Timestamp::now().as_millisecond(), What::Phase { phase: Phase::Running });
    let fallback = Fallback::new(&events, logs.clone(), &plan);
    let changes = {
        let events = events.clone();
        Box::new(move |change| events.take(change))
    };
    let gpus = Loss::new(reaper.clone(), &observer.looks());
    let context = Context { reaper, logs: logs.clone(), run_dir, began, changes };
    let supervisor = supervise::spawn(plan.units.clone(), context);
    handle.send_replace(Some(supervisor.handle.clone()));
    front.set_routes(&plan).await;
    let (gateway, auth, asks) = (front.gateway.clone(), front.auth.clone(), front.asks);
    let terminals = front.terminals.clone();
    let reloader = Reloader::new(planner, supervisor.clone(), front, look_up, fallback, gpus, events);
    tokio::spawn(reloader.run(requests));
    let daemon = Daemon {
        signals,
        supervisor,
        observer,
        reloads,
        shutdowns,
        auth,
        asks,
        ready_socket,
        provisioning_marker,
        control,
        welcome: Welcome::default(),
        logs: logs.clone(),
    };
    let code = daemon.run().await;

    // Drain.
    terminals.close().await;
    stop.cancel();
    gateway.drained().await;
    // Streams of logs and events never end by themselves and are not waited for.
    let _ = tokio::time::timeout(LAST_ANSWER, answering).await;
    tracing::info!("everything has stopped");
    logs.flush();
    Ok(code)
}

/// Looks up the public address, if it is wanted and not configured. The result asks for another look-up.
fn look_up_public_address(config: &Config, observer: Observer) -> Arc<Notify> {
    let (again, vars) = (Arc::new(Notify::new()), &config.env.vars);
    if vars.direct_address_get_wan && Addresses::of(config).lack_the_public_address() {
        let keep = Duration::from_secs(vars.external_ip_cache_secs.into());
        let look_up = PublicAddress::new(&vars.external_ip_url, keep);
        tokio::spawn(look_up.tell(Arc::clone(&again), move |public| observer.found(public)));
    }
    again
}

/// The logs, and the reason if they are kept in memory only.
fn open_logs(config: &Config) -> (Logs, Option<String>) {
    let dir = &config.places.log;
    let trouble = logs::usable(dir)
        .err()
        .map(|error| format!("log folder {}: {error}; logs are kept in memory only", dir.display()));
    let limits = Limits {
        dir: Some(dir.clone()).filter(|_| trouble.is_none()),
        file_size: config.settings.log_file_size,
        files: config.settings.log_files,
        ring: config.settings.log_ring,
    };
    let logs = Logs::new(limits, Console::stdout(config.env.vars.log_to_stdout));
    logs.hide(config.env.secrets());
    logs::init_tracing(&logs, config.env.vars.debug.0);
    (logs, trouble)
}

/// Generates the secrets that a service needs and that were not given.
fn make_secrets(config: &mut Config, state: &State) {
    config.env.make("COTURN_PASSWORD", &Secret::new(state.word("coturn-password")));
}
