//! The composition root: load, listen, probe, plan, supervise, drain.
//!
//! Nothing slow stands before the first answer: the portal and the control socket are open before the machine is
//! looked at. From then on this task only passes on: signals to the reaper and the supervisor, states to the observer.

mod reload;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, chown};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failure, code};
use crate::config::Config;
use crate::config::service::Run;
use crate::facts::{self, Facts};
use crate::gateway::auth::{Auth, Credentials, DEFAULT_COST, Password};
use crate::gateway::{self, Gateway};
use crate::logs::{self, Console, Limits, Logs};
use crate::observe::{Events, Observer, Phase, RouteStatus, Watch, What};
use crate::plan::{Fate, Plan, Route};
use crate::portal::{self, Api, Right, Wish};
use crate::state::State;
use crate::supervise::{self, Context, Handle, Published, Replanned, Supervisor};
use crate::sys::reaper::Reaper;
use crate::sys::signals::{Signal, Signals};
use crate::{config::Secret, sys};
use reload::{Reading, Reloader, Wanted};

/// How long answers on the control socket may take at the end.
const LAST_ANSWER: Duration = Duration::from_millis(300);

/// Runs the desktop until it is asked to stop or its main service has ended. Answers with the exit code; the failure
/// says why it could not even begin.
pub async fn run(mut config: Config) -> Result<i32, Failure> {
    let began = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let (logs, no_logs) = open_logs(&config);
    let signals = Signals::new().map_err(|error| failed(format!("taking signals: {error}")))?;
    if let Err(error) = sys::become_subreaper() {
        tracing::warn!("orphans will not come to this process: {error}");
    }
    tracing::info!("desktopd {} starts", env!("CARGO_PKG_VERSION"));
    let socket = config.places.control_socket();
    let control = portal::bind_unix(&config.places.run, &socket).await.map_err(failed)?;

    let (observer, watch) = Observer::new(std::process::id().cast_signed(), began.1);
    let stop = CancellationToken::new();
    let (handle, handle_watch) = watch::channel(None);
    let seen = (watch, observer.events());
    let (state, forgetful) = State::open(&config.places.state, &facts::instance(&config));
    let state = Arc::new(state);
    make_secrets(&mut config, &state, &logs);
    let trouble = [forgetful, no_logs].into_iter().flatten().collect();
    let (wish, wishes) = mpsc::channel(4);
    let front =
        Front::open((&config, &state, trouble), seen, (logs.clone(), handle_watch, wish), stop.clone()).await;
    let control = front.serve_control(control, stop.clone());

    let reaper = Reaper::new();
    let run_dir = config.places.run.clone();
    let ready_socket = config.env.raw.get(OsStr::new("NOTIFY_SOCKET")).cloned();
    let (plan, reloader) = plan(config).await?;
    front.show_plan(&observer, &plan);
    let events = observer.events();
    events.record(jiff::Timestamp::now().as_millisecond(), What::Phase { phase: Phase::Running });
    let changes = Box::new(move |change| events.take(change));
    let context = Context { reaper: reaper.clone(), logs: logs.clone(), run_dir, began, changes };
    let supervisor = supervise::spawn(plan.units.clone(), context);
    handle.send_replace(Some(supervisor.handle.clone()));
    front.set_routes(&observer, &plan.routes).await;
    observer.update(|snapshot| snapshot.phase = Phase::Running);
    let (reload, wanted) = mpsc::unbounded_channel();
    let (readings_out, readings) = mpsc::channel(1);
    tokio::spawn(reloader.run(wanted, readings_out));
    let mut daemon =
        Daemon { signals, reaper, supervisor, observer, reload, readings, wishes, front, ready_socket };
    let code = daemon.watch_over().await;
    let front = daemon.front;
    stop.cancel();
    front.gateway.drained().await;
    // Followers of logs and events have no end of their own and are not waited for.
    let _ = tokio::time::timeout(LAST_ANSWER, control).await;
    tracing::info!("everything has stopped");
    logs.flush();
    Ok(code)
}

/// Everything that runs, and what may be asked of it.
struct Daemon {
    signals: Signals,
    reaper: Reaper,
    supervisor: Supervisor,
    observer: Observer,
    /// Asks for the configuration to be read again.
    reload: mpsc::UnboundedSender<Wanted>,
    /// What came of it.
    readings: mpsc::Receiver<Reading>,
    wishes: mpsc::Receiver<Wish>,
    front: Front,
    /// Where to say that everything is up, until it was said.
    ready_socket: Option<OsString>,
}

impl Daemon {
    /// Passes on what happens until everything has stopped, and answers with the exit code.
    async fn watch_over(&mut self) -> i32 {
        let mut states = self.supervisor.watch.clone();
        let mut supervised = true;
        let mut asked = false;
        // Children may have ended before their signal could be taken.
        self.reaper.reap();
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Child => self.reaper.reap(),
                    Signal::Stop(name) => {
                        tracing::info!("stopping: got signal {name}");
                        asked = true;
                        self.supervisor.shutdown();
                        if !supervised {
                            return code::FAILED;
                        }
                    }
                    Signal::Reload => self.want_reload(("got signal HUP", None)),
                },
                Some(wish) = self.wishes.recv() => match wish {
                    Wish::Shutdown => {
                        tracing::info!("stopping: somebody asked for it over the control socket");
                        asked = true;
                        self.supervisor.shutdown();
                        if !supervised {
                            return code::FAILED;
                        }
                    }
                    Wish::Reload(reply) => {
                        self.want_reload(("somebody asked to read the configuration", Some(reply)));
                    }
                },
                Some(reading) = self.readings.recv() => self.take_over(reading).await,
                changed = states.changed(), if supervised => {
                    if changed.is_err() {
                        // This process goes on: with it would go everything that still works.
                        tracing::error!("the supervisor has failed; what runs goes on, but nobody looks after it");
                        supervised = false;
                        continue;
                    }
                    let published = states.borrow_and_update().clone();
                    let (finished, code) = (published.finished, published.code);
                    if published.stopping && !asked {
                        asked = true;
                        tracing::info!("stopping: the main service has ended");
                    }
                    if published.up {
                        self.came_up();
                    }
                    observe(&self.observer, published);
                    if finished {
                        return code;
                    }
                }
            }
        }
    }

    /// Everything is up: tells whoever started us, once, and does what could wait for it.
    fn came_up(&mut self) {
        self.front.auth.hash_ahead();
        let Some(socket) = self.ready_socket.take() else { return };
        if let Err(error) = sys::notify::tell(&socket, "READY=1") {
            tracing::warn!("NOTIFY_SOCKET={}: {error}", socket.display());
        }
    }

    fn want_reload(&self, wanted: Wanted) {
        if self.reload.send(wanted).is_err() {
            tracing::error!("the configuration is not read any more after an internal error of desktopd");
        }
    }

    /// Takes over what changed in the configuration. A mistake in it changes nothing.
    async fn take_over(&mut self, reading: Reading) {
        let (why, reply) = reading.wanted;
        let result = match reading.plan {
            Ok(plan) => self.replan(plan).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(changes) if *changes == Replanned::default() => tracing::debug!("{why}: {changes}"),
            Ok(changes) => tracing::info!("{why}: {changes}"),
            Err(error) => tracing::error!("{why}, and nothing was done about it: {error}"),
        }
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            let _ = reply.send(result);
        }
    }

    async fn replan(&mut self, plan: Plan) -> Result<Replanned, String> {
        let changes =
            self.supervisor.replan(plan.units.clone()).await.ok_or("everything is being stopped")?;
        self.front.show_plan(&self.observer, &plan);
        self.front.set_routes(&self.observer, &plan.routes).await;
        Ok(changes)
    }
}

fn observe(observer: &Observer, published: Published) {
    observer.update(|snapshot| {
        snapshot.units = published.units;
        snapshot.seq = published.seq;
        snapshot.up = published.up;
        if published.stopping {
            snapshot.phase = Phase::Stopping;
        }
    });
}

/// The logs, and why they are kept in memory only, if they are.
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
    let logs = Logs::new(limits, Console::stdout());
    logs.hide(config.env.secrets());
    logs::init_tracing(&logs, config.env.vars.debug);
    (logs, trouble)
}

/// Makes the secrets that a service needs and nobody gave.
fn make_secrets(config: &mut Config, state: &State, logs: &Logs) {
    let vars = &config.env.vars;
    if vars.enable_coturn && vars.coturn_password.is_none() {
        let made = state.word("coturn-password");
        logs.hide([made.clone()]);
        config.env.make("COTURN_PASSWORD", &Secret::new(made));
    }
}

/// Looks at the machine and plans, off the threads that answer: a directory service or a disk may be slow.
async fn plan(config: Config) -> Result<(Plan, Reloader), Failure> {
    let (plan, facts, config) = sys::apart(move || {
        let facts = Facts::probe(&config);
        (Plan::build(&config, &facts), facts, config)
    })
    .await
    .map_err(|error| failed(reload::not_planned(&error)))?;
    check_command(&plan, &facts, &config)?;
    for problem in &plan.problems {
        tracing::warn!("{problem}");
    }
    for unit in &plan.units {
        if let Fate::Skip(reason) = &unit.fate {
            tracing::info!("{} is skipped: {reason}", unit.name);
        }
    }
    for shortcoming in &plan.shortcomings {
        tracing::warn!("{shortcoming}");
    }
    tracing::info!("display: {}", plan.display.summary());
    // The desktop's user may look at its own services' states.
    if let Ok(account) = &facts.account
        && facts.daemon.uid == 0
    {
        let socket = config.places.control_socket();
        if let Err(error) = chown(&socket, None, Some(Gid::from_raw(account.identity.gid))) {
            tracing::warn!("{}: {error}", socket.display());
        }
    }
    let reloader = Reloader::new(&config, &facts, &plan);
    Ok((plan, reloader))
}

/// Refuses a command of `desktopd run` that cannot run: nothing is worth starting without it.
fn check_command(plan: &Plan, facts: &Facts, config: &Config) -> Result<(), Failure> {
    let Some(service) = config.services.iter().find(|service| service.is_command()) else { return Ok(()) };
    let Some(Fate::Skip(reason) | Fate::Broken(reason)) = plan.unit(&service.name).map(|unit| &unit.fate)
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

/// Everything that answers people.
struct Front {
    gateway: Gateway,
    auth: Auth,
    control: axum::Router,
    portal: (u16, Option<String>, Option<String>),
    problems: Vec<String>,
    logs: Logs,
}

impl Front {
    async fn open(
        (config, state, trouble): (&Config, &Arc<State>, Vec<String>),
        (watch, events): (Watch, Events),
        (logs, handle, wishes): (Logs, watch::Receiver<Option<Handle>>, mpsc::Sender<Wish>),
        stop: CancellationToken,
    ) -> Self {
        let vars = &config.env.vars;
        let (credentials, shown) = credentials(config, state);
        logs.hide(shown.password.iter().chain([&shown.token]).cloned());
        let excluded = credentials.excluded.clone();
        let auth = Auth::kept_in(Arc::clone(state), credentials, DEFAULT_COST);
        let settings =
            gateway::Settings { names: vec![vars.direct_address.clone()], ..gateway::Settings::default() };
        let api = Api::new(watch.clone(), events, logs.clone(), handle).with_wishes(wishes.clone());
        let shared = logs.clone();
        let gateway = Gateway::new(settings, auth.clone(), watch, logs, stop);
        let port = vars.serviceportal_port_host.0;
        let opened = gateway.open_pages(port, portal::router(api.clone())).await;
        let problem = opened.err();
        let problems: Vec<String> = trouble.into_iter().chain(problem.clone()).collect();
        for problem in &problems {
            tracing::error!("{problem}");
        }
        if !shown.enabled {
            tracing::warn!(
                "WEB_ENABLE_AUTH is false: whoever reaches the ports of this machine uses its desktop"
            );
        } else if !excluded.is_empty() {
            let ports: Vec<String> = excluded.iter().map(ToString::to_string).collect();
            let ports = ports.join(", ");
            tracing::warn!(
                "AUTH_EXCLUDE: whoever reaches port {ports} of this machine uses what is behind it"
            );
        }
        Self {
            gateway,
            control: portal::control_router(api, auth.clone(), shown, wishes),
            auth,
            portal: (port, problem, vars.serviceportal_url.clone()),
            problems,
            logs: shared,
        }
    }

    /// Shows what was decided and what was wrong.
    fn show_plan(&self, observer: &Observer, plan: &Plan) {
        let problems = plan.problems.iter().map(ToString::to_string).chain(plan.shortcomings.iter().cloned());
        let problems = problems.map(|problem| self.logs.mask(&problem));
        observer.update(|snapshot| {
            snapshot.display = plan.display.summary();
            snapshot.problems = self.problems.iter().cloned().chain(problems).collect();
        });
    }

    /// Opens and closes the services' ports, and shows which they are.
    async fn set_routes(&self, observer: &Observer, routes: &[Route]) {
        let taken = self.gateway.set_routes(routes).await;
        for (_, problem) in &taken {
            tracing::error!("{problem}");
        }
        let (port, problem, url) = self.portal.clone();
        let portal = RouteStatus {
            unit: String::new(),
            title: "Service portal".to_owned(),
            port,
            path: "/".to_owned(),
            url,
            problem,
        };
        let services = routes.iter().map(|route| RouteStatus {
            unit: route.unit.clone(),
            title: route.title.clone(),
            port: route.listen,
            path: route.path.clone(),
            url: route.url.clone(),
            problem: taken.iter().find(|(port, _)| *port == route.listen).map(|(_, problem)| problem.clone()),
        });
        observer.update(|snapshot| snapshot.routes = std::iter::once(portal).chain(services).collect());
    }

    fn serve_control(&self, listener: UnixListener, stop: CancellationToken) -> JoinHandle<()> {
        let own = Uid::effective().as_raw();
        let right = move |uid| if uid == 0 || uid == own { Right::Change } else { Right::Read };
        tokio::spawn(portal::serve_unix(listener, self.control.clone(), right, stop))
    }
}

/// What people log in with, as the door needs it and as root may see it.
fn credentials(config: &Config, state: &State) -> (Credentials, portal::Credentials) {
    let vars = &config.env.vars;
    let user = vars.web_user.clone();
    let (password, shown) = match (&vars.web_password_hash, &vars.web_password) {
        (Some(hash), _) => (Password::Hash(hash.0.clone()), None),
        (None, Some(given)) => (Password::Plain(given.0.clone()), Some(given.0.reveal().to_owned())),
        (None, None) => {
            let made = state.word("web-password");
            if vars.web_enable_auth {
                tracing::info!(
                    "no usable WEB_PASSWORD was given: one was made for user '{user}'; `desktopd credentials` shows it to root"
                );
            }
            (Password::Plain(Secret::new(made.clone())), Some(made))
        }
    };
    let token = vars.web_token.clone().unwrap_or_else(|| Secret::new(state.word("web-token")));
    let shown = portal::Credentials {
        user: user.clone(),
        password: shown,
        token: token.reveal().to_owned(),
        enabled: vars.web_enable_auth,
        chosen: false,
    };
    let credentials = Credentials {
        user,
        password,
        tokens: vec![token],
        enabled: vars.web_enable_auth,
        excluded: vars.auth_exclude.0.clone(),
        cookie: None,
    };
    (credentials, shown)
}
