//! The composition root: load, listen, probe, plan, supervise, drain.
//!
//! The portal and the control socket are open before the machine is probed, so the first answer never waits for slow
//! work. Afterwards this task only forwards: signals to the supervisor, states to the observer.

mod control;
mod credentials;
mod front;
mod portal_file;
mod provisioning_marker;
mod public_links;
mod reload;
mod variables;
mod welcome;

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Gid;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cli::{Failure, code};
use crate::config::service::Run;
use crate::config::{Config, Secret, env};
use crate::facts::{self, Facts};
use crate::logs::{self, Console, Limits, Logs, OWN_LOG, QUIET};
use crate::observe::{Observer, Phase, What};
use crate::plan::{Disposition, Plan};
use crate::portal::ControlRequest;
use crate::state::State;
use crate::steps;
use crate::supervise::{self, Context, Published, Replanned, Supervisor};
use crate::sys;
use crate::sys::reaper::Reaper;
use crate::sys::signals::{Signal, Signals};
use control::Control;
use front::Front;
use provisioning_marker::ProvisioningMarker;
use reload::{PlanResult, ReloadRequest, Reloader};
use welcome::{Known, Welcome};

/// How long the last answers on the control socket may take at the end.
const LAST_ANSWER: Duration = Duration::from_millis(300);

/// Runs the desktop until a stop is requested or its main service has ended. Returns the exit code; the failure says
/// why the daemon could not start.
pub async fn run(mut config: Config) -> Result<i32, Failure> {
    let began = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let no_signals = |error| failed(format!("taking signals: {error}"));
    let (reaper, signals) = (Reaper::start().map_err(no_signals)?, Signals::new().map_err(no_signals)?);
    let (logs, no_logs) = open_logs(&config);
    if let Err(error) = sys::become_subreaper() {
        tracing::warn!("orphaned processes will not be adopted by this process: {error}");
    }
    tracing::info!("desktopd {} starts", env!("CARGO_PKG_VERSION"));
    let socket = config.places.control_socket();
    let (mut control, listener, listeners) =
        Control::bind(config.places.run.clone(), socket).await.map_err(failed)?;
    let provisioning_marker = ProvisioningMarker::begin(&config.places.run);

    let (observer, watch) = Observer::new(std::process::id().cast_signed(), began.1);
    let stop = CancellationToken::new();
    let (handle, handle_watch) = watch::channel(None);
    let seen = (watch, observer.events());
    let (state, forgetful) = State::open(&config.places.state, &facts::instance(&config));
    let state = Arc::new(state);
    make_secrets(&mut config, &state);
    let (shown, rows) = variables::Shown::new(&config.env, logs.clone());
    let trouble = [forgetful, no_logs].into_iter().flatten().collect();
    let (control_sender, control_requests) = mpsc::channel(4);
    let public_address = public_links::look_up(&config);
    let mut front = Front::open(
        (&config, &state, trouble),
        seen,
        (shown.logs(), handle_watch, control_sender, rows),
        stop.clone(),
    )
    .await;
    let answering = front.serve_control((listener, listeners), stop.clone());

    let run_dir = config.places.run.clone();
    let ready_socket = config.env.raw.get(OsStr::new("NOTIFY_SOCKET")).cloned();
    let (plan, reloader) = plan(config, shown, &mut control).await?;
    front.show_plan(&observer, &plan);
    let events = observer.events();
    events.record(jiff::Timestamp::now().as_millisecond(), What::Phase { phase: Phase::Running });
    let changes = Box::new(move |change| events.take(change));
    let context = Context { reaper, logs: logs.clone(), run_dir, began, changes };
    let supervisor = supervise::spawn(plan.units.clone(), context);
    handle.send_replace(Some(supervisor.handle.clone()));
    front.set_routes(&observer, &plan).await;
    let (reload, requests) = mpsc::unbounded_channel();
    let (results, plans) = mpsc::channel(1);
    tokio::spawn(reloader.run(requests, results));
    let mut daemon = Daemon {
        signals,
        supervisor,
        observer,
        reload,
        plans,
        control_requests,
        front,
        public_address,
        ready_socket,
        provisioning_marker,
        control,
        welcome: Welcome::default(),
        logs: logs.clone(),
    };
    let code = daemon.watch_over().await;
    let front = daemon.front;
    stop.cancel();
    front.gateway.drained().await;
    // Streams of logs and events never end by themselves and are not waited for.
    let _ = tokio::time::timeout(LAST_ANSWER, answering).await;
    tracing::info!("everything has stopped");
    logs.flush();
    Ok(code)
}

/// Everything that runs, with the channels on which requests arrive.
struct Daemon {
    signals: Signals,
    supervisor: Supervisor,
    observer: Observer,
    /// Requests that the configuration be read again.
    reload: mpsc::UnboundedSender<ReloadRequest>,
    /// The results of these requests.
    plans: mpsc::Receiver<PlanResult>,
    control_requests: mpsc::Receiver<ControlRequest>,
    front: Front,
    /// Requests a new look-up of the public address, and receives the result.
    public_address: (mpsc::Sender<()>, mpsc::Receiver<IpAddr>),
    /// The socket that gets `READY=1` once everything is up; `None` after that.
    ready_socket: Option<OsString>,
    /// Tells scripts that the machine is still being set up.
    provisioning_marker: ProvisioningMarker,
    /// The socket over which commands reach the daemon.
    control: Control,
    /// Prints where to log in.
    welcome: Welcome,
    logs: Logs,
}

impl Daemon {
    /// Forwards signals, requests and states until everything has stopped, and returns the exit code.
    async fn watch_over(&mut self) -> i32 {
        let mut states = self.supervisor.watch.clone();
        let mut supervised = true;
        let mut asked = false;
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Stop(name) => {
                        tracing::info!("stopping: got signal {name}");
                        asked = true;
                        self.supervisor.shutdown();
                        if !supervised {
                            return code::FAILED;
                        }
                    }
                    Signal::Reload => {
                        self.control.look().await;
                        self.request_reload(("got signal HUP", None));
                    }
                },
                Some(request) = self.control_requests.recv() => match request {
                    ControlRequest::Shutdown => {
                        tracing::info!("stopping: requested over the control socket");
                        asked = true;
                        self.supervisor.shutdown();
                        if !supervised {
                            return code::FAILED;
                        }
                    }
                    ControlRequest::Changed(reply) => {
                        self.request_reload(("a boot step changed inputs of the plan", Some(reply)));
                    }
                    ControlRequest::Reload(reply) => {
                        self.request_reload(("a reload was requested", Some(reply)));
                    }
                },
                () = self.control.changed() => self.control.look().await,
                Some(result) = self.plans.recv() => self.apply(result).await,
                Ok(()) = self.front.certificate.changed() => self.front.show_problems(&self.observer),
                Some(public) = self.public_address.1.recv() => self.front.found(&self.observer, public),
                changed = states.changed(), if supervised => {
                    if changed.is_err() {
                        // The daemon keeps running: if it ended, everything that still works would end with it.
                        tracing::error!("the supervisor has failed; services run on without supervision");
                        supervised = false;
                        continue;
                    }
                    let published = states.borrow_and_update().clone();
                    self.provisioning_marker.update(&published.units);
                    let (finished, code) = (published.finished, published.code);
                    if published.stopping && !asked {
                        asked = true;
                        tracing::info!("stopping: the main service has ended");
                    }
                    if published.up {
                        self.came_up();
                    }
                    if !published.stopping && !self.welcome.is_over() {
                        self.greet(&published);
                    }
                    observe(&self.observer, published);
                    if finished {
                        return code;
                    }
                }
            }
        }
    }

    /// Everything is up: reports it once to the process that started the daemon, and does the work that could wait.
    fn came_up(&mut self) {
        self.front.auth.hash_ahead();
        let Some(socket) = self.ready_socket.take() else { return };
        if let Err(error) = sys::notify::tell(&socket, "READY=1") {
            tracing::warn!("NOTIFY_SOCKET={}: {error}", socket.display());
        }
    }

    /// Prints where to log in, as soon as that is useful.
    fn greet(&mut self, published: &Published) {
        let (front, units) = (&self.front, &published.units);
        let routes = front.shown_routes();
        let stage = welcome::stage(units, &routes, published.up, self.provisioning_marker.exists());
        let lines = self.welcome.lines(stage, || {
            let (user, _) = front.auth.user();
            let container = facts::container_id();
            let known = Known { units, routes: &routes, user: &user, asked: front.asks, container };
            welcome::text(stage, &known)
        });
        for line in lines {
            self.logs.push(OWN_LOG, &line);
        }
        if self.welcome.is_over() {
            // Gives back the memory that only the start needed.
            tokio::task::spawn_blocking(sys::heap::give_back);
        }
    }

    fn request_reload(&self, request: ReloadRequest) {
        if self.reload.send(request).is_err() {
            tracing::error!("the configuration is not read any more after an internal error of desktopd");
        }
    }

    /// Applies the changes of the configuration. A configuration with a mistake changes nothing.
    async fn apply(&mut self, planned: PlanResult) {
        let (why, reply) = planned.request;
        let result = match planned.plan {
            Ok(plan) => self.replan(plan).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(changes) if *changes == Replanned::default() => tracing::debug!("{why}: {changes}"),
            Ok(changes) => tracing::info!("{why}: {changes}"),
            Err(error) => tracing::error!("{why}, but nothing was changed: {error}"),
        }
        if let Some(reply) = reply {
            // The requester may have disconnected.
            let _ = reply.send(result);
        }
    }

    async fn replan(&mut self, plan: Plan) -> Result<Replanned, String> {
        let changes =
            self.supervisor.replan(plan.units.clone()).await.ok_or("everything is being stopped")?;
        self.front.show_plan(&self.observer, &plan);
        self.front.set_routes(&self.observer, &plan).await;
        // If the public address is not looked up, the channel has no receiver.
        let _ = self.public_address.0.try_send(());
        Ok(changes)
    }
}

fn observe(observer: &Observer, published: Published) {
    observer.update(|snapshot| {
        snapshot.units = published.units;
        snapshot.seq = published.seq;
        snapshot.up = published.up;
        // The phase changes only together with the units: without units there would be nothing to wait for.
        snapshot.phase = if published.stopping { Phase::Stopping } else { Phase::Running };
    });
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
    let logs = Logs::new(limits, Console::stdout(config.env.vars.log_to_stdout.into()));
    logs.hide(config.env.secrets());
    logs::init_tracing(&logs, config.env.vars.debug.0);
    (logs, trouble)
}

/// Generates the secrets that a service needs and that were not given.
fn make_secrets(config: &mut Config, state: &State) {
    config.env.make("COTURN_PASSWORD", &Secret::new(state.word("coturn-password")));
}

/// Probes the machine and plans, off the threads that serve requests: a directory service or a disk may be slow.
async fn plan(
    config: Config,
    shown: variables::Shown,
    control: &mut Control,
) -> Result<(Plan, Reloader), Failure> {
    let (plan, facts, config, shown) = sys::run_on_thread(move || {
        // Traces of an earlier boot: no hook of this boot has run yet, and no account has failed to be made.
        let _ = std::fs::remove_file(config.env_files().hooks);
        let _ = std::fs::remove_file(config.places.run.join(facts::account::TROUBLE));
        // Before root's own scripts read what an earlier boot left there.
        for told in steps::collect_appended() {
            tracing::info!("{told}");
        }
        if let Err(error) = env::note(&config.env_files()) {
            tracing::debug!(
                "changes that scripts make in {} cannot be recognized: {error}",
                config.settings.environment_file.display()
            );
        }
        let config = config.with_files();
        shown.take(&config.env);
        portal_file::make(&config);
        let facts = Facts::probe(&config);
        (Plan::build(&config, &facts), facts, config, shown)
    })
    .await
    .map_err(|error| failed(reload::not_planned(&error)))?;
    check_command(&plan, &facts, &config)?;
    for problem in &plan.problems {
        tracing::warn!("{problem}");
    }
    for unit in &plan.units {
        if let Disposition::Skip(reason) = &unit.disposition {
            tracing::info!(target: QUIET, "{} is skipped: {reason}", unit.name);
        }
    }
    for shortcoming in &plan.shortcomings {
        tracing::warn!("{shortcoming}");
    }
    for left_out in &plan.left_out {
        tracing::info!("{left_out}");
    }
    tracing::info!("display: {}", plan.display.summary());
    // The user of the desktop may query the states of its own services.
    if let Ok(account) = &plan.account
        && facts.daemon.uid == 0
    {
        control.open_to(Gid::from_raw(account.identity.gid));
    }
    let reloader = Reloader::new(&config, &facts, &plan, shown);
    Ok((plan, reloader))
}

/// Refuses a command of `desktopd run` that cannot be executed: without it there is nothing to run.
fn check_command(plan: &Plan, facts: &Facts, config: &Config) -> Result<(), Failure> {
    let Some(service) = config.services.iter().find(|service| service.is_command()) else { return Ok(()) };
    let Some(Disposition::Skip(reason) | Disposition::Broken(reason)) =
        plan.unit(&service.name).map(|unit| &unit.disposition)
    else {
        return Ok(());
    };
    let Run::Literal(argv) = &service.run else { return Ok(()) };
    let found = argv
        .first()
        .is_some_and(|program| facts.programs.is_useless(program) || facts.programs.get(program).is_ok());
    let code = if found { code::NOT_EXECUTABLE } else { code::NOT_FOUND };
    Err(Failure::new(code, reason))
}

fn failed(message: String) -> Failure {
    Failure::new(code::FAILED, message)
}
