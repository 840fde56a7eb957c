//! The front end: the gateway with the portal behind it and the control socket; it gives both the plans, problems and
//! links that they show.

use std::collections::BTreeMap;
use std::sync::Arc;

use nix::unistd::Uid;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{credentials, fallback};
use crate::config::Config;
use crate::facts;
use crate::facts::gpu::Gpus;
use crate::facts::gpu::ask::Questions;
use crate::gateway::auth::{Auth, DEFAULT_COST};
use crate::gateway::tls::{Sources, Tls};
use crate::gateway::{self, Gateway};
use crate::logs::Logs;
use crate::observe::{Observer, RouteStatus, links};
use crate::plan::display::Kind;
use crate::plan::{Link, Plan, Portal};
use crate::portal::{
    self, Api, DisplayFailure, DisplayState, Login, Right, Rows, Screenshots, Session, Terminals,
};
use crate::state::State;
use crate::sys::reaper::Reaper;

/// How many failures of displays are shown. Each kind fails once until all are tried again.
const MOST_FAILURES: usize = 8;

/// The gateway, the portal and the control socket.
pub(super) struct Front {
    pub(super) gateway: Gateway,
    pub(super) auth: Auth,
    /// Whether a login is required.
    pub(super) asks: bool,
    /// Shells in the browser, which end before the gateway.
    pub(super) terminals: Terminals,
    control: axum::Router,
    /// The portal's port, which is open from the start.
    portal: Portal,
    /// Why it is not open, if so.
    portal_problem: Option<String>,
    /// Whether no port is opened at all.
    shut: bool,
    problems: Vec<String>,
    /// The current problems of the certificate.
    pub(super) certificate: watch::Receiver<Vec<String>>,
    /// The problems of the plan.
    planned: Vec<String>,
    /// All about the display, for pages.
    displays: watch::Sender<Option<Arc<DisplayState>>>,
    /// What programs need that users start in the desktop from outside.
    session: watch::Sender<Session>,
    observer: Observer,
    logs: Logs,
}

/// What the front is made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) state: Arc<State>,
    /// Problems from before.
    pub(super) trouble: Vec<String>,
    pub(super) observer: Observer,
    pub(super) logs: Logs,
    pub(super) api: Api,
    /// Starts the processes that take pictures of the desktop.
    pub(super) reaper: Reaper,
    /// The variables, as the portal shows them.
    pub(super) rows: watch::Receiver<Rows>,
    /// Gets all about the display, for pages.
    pub(super) displays: watch::Sender<Option<Arc<DisplayState>>>,
    /// Notified when everything is to be stopped.
    pub(super) shutdown: mpsc::UnboundedSender<()>,
    pub(super) stop: CancellationToken,
}

impl Front {
    pub(super) async fn open(
        Parts { config, state, trouble, observer, logs, api, reaper, rows, displays, shutdown, stop }: Parts<
            '_,
        >,
    ) -> Self {
        let (session, sessions) = watch::channel(None);
        let api =
            api.with_screenshots(Screenshots::new(reaper.clone(), sessions.clone())).with_variables(rows);
        let vars = &config.env.vars;
        let (credentials, shown, weak) = credentials::of(config, &state);
        logs.hide(shown.password.iter().chain([&shown.token]).cloned());
        let excluded = credentials.excluded.clone();
        let auth = Auth::stored_in(Arc::clone(&state), credentials, DEFAULT_COST);
        let terminals = Terminals::new(vars.portal_terminal, auth.clone(), reaper, sessions.clone());
        let (asks, login) = (shown.enabled, Login::new(auth.clone(), shown));
        let api = api.with_login(login.clone()).with_terminals(terminals.clone());
        let (tls, certificate, misnamed) = open_tls(config, state);
        let settings = gateway::Settings {
            names: links::names(config),
            tls: Some(tls),
            ..gateway::Settings::of(config)
        };
        let gateway = Gateway::new(settings, auth.clone(), &observer, logs.clone(), stop);
        let (portal, pages) = (Portal::of(config), portal::router(api.clone()));
        let (portal_problem, inside) = if config.env.opens_no_port() {
            tracing::info!("no port of the gateway is opened: SERVERLESS or SUPERVISOR_NO_AUTOSTART says so");
            (None, None)
        } else {
            let problem = gateway.open_pages(portal.port, pages.clone()).await.err();
            (problem, gateway.open_pages_inside(vars.serviceportal_port_local.0, pages).await.err())
        };
        let problems: Vec<String> =
            trouble.into_iter().chain(portal_problem.clone()).chain(inside).chain(misnamed).collect();
        for problem in &problems {
            tracing::error!("{problem}");
        }
        for weak in &weak {
            tracing::warn!("{weak}");
        }
        let problems: Vec<String> = problems.into_iter().chain(weak).collect();
        if !asks {
            tracing::warn!(
                "WEB_ENABLE_AUTH is false: every client that reaches the ports can use the desktop"
            );
        } else if !excluded.is_empty() {
            let ports: Vec<String> = excluded.iter().map(ToString::to_string).collect();
            let ports = ports.join(", ");
            tracing::warn!("AUTH_EXCLUDE: port {ports} of this machine can be used without a login");
        }
        Self {
            gateway,
            asks,
            control: portal::control_router(api, login, shutdown).merge(portal::session_router(sessions)),
            auth,
            portal,
            portal_problem,
            shut: config.env.opens_no_port(),
            terminals,
            problems,
            certificate,
            planned: Vec::new(),
            displays,
            session,
            observer,
            logs,
        }
    }

    /// Shows the decisions and the problems of a plan, with the displays that failed before it, and the display to which a
    /// restart of the X server leads.
    pub(super) fn show_plan(&mut self, plan: &Plan, failed: &BTreeMap<Kind, String>, next: Option<&str>) {
        let problems = plan.problems.iter().map(ToString::to_string).chain(plan.shortcomings.iter().cloned());
        self.planned = problems.map(|problem| self.logs.mask(&problem)).collect();
        self.logs.set_quiet(plan.quiet.clone());
        let drawing = self.logs.mask(&plan.report.sentence);
        self.session.send_replace(Some(Arc::new(plan.session.clone())));
        self.observer.update(|snapshot| {
            snapshot.display = fallback::shown(&plan.display.summary(), failed);
            snapshot.drawing = drawing;
            snapshot.display_failed = failed.values().cloned().collect();
            snapshot.encoder = plan.encoder.line();
            next.unwrap_or_default().clone_into(&mut snapshot.display_next);
        });
        let failures = self.displays.borrow().as_ref().map(|state| state.failures.clone());
        self.show_display(DisplayState {
            report: Arc::clone(&plan.report),
            failures: failures.unwrap_or_default(),
        });
        self.show_problems();
    }

    /// Shows that a display failed.
    pub(super) fn show_failure(&self, failure: DisplayFailure) {
        self.change_failures(|failures| {
            failures.push(failure);
            let most = failures.len().saturating_sub(MOST_FAILURES);
            failures.drain(..most);
        });
    }

    /// Shows that all displays are tried again: what failed before is over.
    pub(super) fn forget_failures(&self) {
        self.change_failures(Vec::clear);
    }

    fn change_failures(&self, change: impl FnOnce(&mut Vec<DisplayFailure>)) {
        let Some(mut state) = self.displays.borrow().as_deref().cloned() else { return };
        change(&mut state.failures);
        self.show_display(state);
    }

    /// Pages ask for the state when the snapshot's revision changes, so the state changes first.
    fn show_display(&self, state: DisplayState) {
        let is_new = self.displays.send_if_modified(|shown| {
            let is_new = shown.as_deref() != Some(&state);
            if is_new {
                *shown = Some(Arc::new(state));
            }
            is_new
        });
        if is_new {
            self.observer.update(|snapshot| snapshot.display_revision += 1);
        }
    }

    /// Has the figures of these GPUs shown to clients that look.
    pub(super) fn show_gpus(&self, gpus: &Gpus, questions: &Questions) {
        self.observer.machine().set_gpus(&gpus.gpus, questions);
    }

    /// Shows that these GPUs are lost, and no others: one sentence each.
    pub(super) fn show_lost(&self, lost: Vec<String>) {
        self.observer.update(|snapshot| snapshot.gpus_lost = lost);
    }

    pub(super) fn show_problems(&mut self) {
        let certificate = self.certificate.borrow_and_update().clone();
        let all = self.problems.iter().chain(&certificate).chain(&self.planned);
        let problems = all.cloned().collect();
        self.observer.update(|snapshot| snapshot.mistakes = problems);
    }

    /// Opens and closes the ports of the services, and shows the open ones.
    pub(super) async fn set_routes(&mut self, plan: &Plan) {
        let taken = self.gateway.set_routes(&plan.routes).await;
        for (_, problem) in &taken {
            tracing::error!("{problem}");
        }
        self.observer.set_routes(self.routes(plan, &taken));
        if plan.portal.port != self.portal.port {
            tracing::warn!("the portal stays on port {} until the next start", self.portal.port);
        }
    }

    /// The ports and links of the plan, with the problems of the ports that could not be opened.
    fn routes(&self, plan: &Plan, taken: &[(u16, String)]) -> Vec<RouteStatus> {
        let Portal { title, port, path, url } = &self.portal;
        let problem = self.portal_problem.clone();
        let portal = RouteStatus { own: true, problem, ..RouteStatus::new(title, *port, path, url.as_ref()) };
        let routes = plan.routes.iter().map(|route| RouteStatus {
            unit: route.unit.clone(),
            shows: route.shows.clone(),
            problem: taken.iter().find(|(port, _)| *port == route.listen).map(|(_, problem)| problem.clone()),
            ..RouteStatus::new(&route.title, route.listen, &route.path, route.url.as_ref())
        });
        let links =
            plan.links.iter().map(|Link { title, port, path }| RouteStatus::new(title, *port, path, None));
        (!self.shut).then_some(portal).into_iter().chain(routes).chain(links).collect()
    }

    pub(super) fn serve_control(
        &self,
        listeners: mpsc::Receiver<UnixListener>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let own = Uid::effective().as_raw();
        let right = move |uid| if uid == 0 || uid == own { Right::Change } else { Right::Read };
        tokio::spawn(portal::serve_unix(listeners, self.control.clone(), right, stop))
    }
}

/// Begins to read or make the certificate. Also returns the later problems of the certificate, and a problem of the
/// settings that ask for it.
fn open_tls(config: &Config, state: Arc<State>) -> (Tls, watch::Receiver<Vec<String>>, Option<String>) {
    let host = facts::host().unwrap_or_default();
    let (sources, problem) = Sources::of(&config.env, &host);
    let (tls, certificate) = Tls::open(sources, state);
    (tls, certificate, problem)
}
