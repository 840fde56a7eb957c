//! The front end: the gateway with the portal behind it and the control socket; it gives both the plans, problems and
//! links that they show.

use std::net::IpAddr;
use std::sync::Arc;

use nix::unistd::Uid;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::credentials;
use super::public_links::{self, PublicLinks};
use crate::config::Config;
use crate::facts;
use crate::gateway::auth::{Auth, DEFAULT_COST};
use crate::gateway::tls::{Sources, Tls};
use crate::gateway::{self, Gateway};
use crate::logs::Logs;
use crate::observe::{Events, Observer, RouteStatus, Watch};
use crate::plan::{Plan, Portal};
use crate::portal::{self, Api, ControlRequest, Right, Rows};
use crate::state::State;
use crate::supervise::Handle;

/// The gateway, the portal and the control socket.
pub(super) struct Front {
    pub(super) gateway: Gateway,
    pub(super) auth: Auth,
    /// Whether a login is required.
    pub(super) asks: bool,
    control: axum::Router,
    links: PublicLinks,
    problems: Vec<String>,
    /// The current problems of the certificate.
    pub(super) certificate: watch::Receiver<Vec<String>>,
    /// The problems of the plan.
    planned: Vec<String>,
    logs: Logs,
}

impl Front {
    pub(super) async fn open(
        (config, state, trouble): (&Config, &Arc<State>, Vec<String>),
        (watch, events): (Watch, Events),
        (logs, handle, requests, rows): (
            Logs,
            watch::Receiver<Option<Handle>>,
            mpsc::Sender<ControlRequest>,
            watch::Receiver<Rows>,
        ),
        stop: CancellationToken,
    ) -> Self {
        let vars = &config.env.vars;
        let (credentials, shown, weak) = credentials::of(config, state);
        logs.hide(shown.password.iter().chain([&shown.token]).cloned());
        let excluded = credentials.excluded.clone();
        let auth = Auth::stored_in(Arc::clone(state), credentials, DEFAULT_COST);
        let (tls, certificate, misnamed) = open_tls(config, state);
        let settings = gateway::Settings {
            names: public_links::names(config),
            tls: Some(tls),
            ..gateway::Settings::of(config)
        };
        let api =
            Api::new(watch.clone(), events, logs.clone(), handle).with_control_requests(requests.clone());
        let shared = logs.clone();
        let gateway = Gateway::new(settings, auth.clone(), watch, logs, stop);
        let (own, pages) = (Portal::of(config), portal::router(api.clone()));
        let (problem, inside) = if config.env.opens_no_port() {
            tracing::info!("no port of the gateway is opened: SERVERLESS or SUPERVISOR_NO_AUTOSTART says so");
            (None, None)
        } else {
            let problem = gateway.open_pages(own.port, pages.clone()).await.err();
            (problem, gateway.open_pages_inside(vars.serviceportal_port_local.0, pages).await.err())
        };
        let problems: Vec<String> =
            trouble.into_iter().chain(problem.clone()).chain(inside).chain(misnamed).collect();
        for problem in &problems {
            tracing::error!("{problem}");
        }
        for weak in &weak {
            tracing::warn!("{weak}");
        }
        let problems: Vec<String> = problems.into_iter().chain(weak).collect();
        if !shown.enabled {
            tracing::warn!(
                "WEB_ENABLE_AUTH is false: every client that reaches the ports can use the desktop"
            );
        } else if !excluded.is_empty() {
            let ports: Vec<String> = excluded.iter().map(ToString::to_string).collect();
            let ports = ports.join(", ");
            tracing::warn!("AUTH_EXCLUDE: port {ports} of this machine can be used without a login");
        }
        let asks = shown.enabled;
        Self {
            gateway,
            asks,
            control: portal::control_router(api, auth.clone(), shown, requests)
                .merge(portal::variables_router(rows)),
            auth,
            links: PublicLinks::new(config, own, problem),
            problems,
            certificate,
            planned: Vec::new(),
            logs: shared,
        }
    }

    /// Shows the decisions and the problems of a plan.
    pub(super) fn show_plan(&mut self, observer: &Observer, plan: &Plan) {
        let problems = plan.problems.iter().map(ToString::to_string).chain(plan.shortcomings.iter().cloned());
        self.planned = problems.map(|problem| self.logs.mask(&problem)).collect();
        self.logs.set_quiet(plan.quiet.clone());
        observer.update(|snapshot| snapshot.display = plan.display.summary());
        self.show_problems(observer);
    }

    pub(super) fn show_problems(&mut self, observer: &Observer) {
        let certificate = self.certificate.borrow_and_update().clone();
        let problems = self.problems.iter().chain(&certificate).chain(&self.planned).cloned().collect();
        observer.update(|snapshot| snapshot.mistakes = problems);
    }

    /// Opens and closes the ports of the services, and shows the open ones.
    pub(super) async fn set_routes(&mut self, observer: &Observer, plan: &Plan) {
        let taken = self.gateway.set_routes(&plan.routes).await;
        for (_, problem) in &taken {
            tracing::error!("{problem}");
        }
        self.links.take(plan, &taken);
        observer.update(|snapshot| snapshot.routes = self.links.shown());
        if plan.portal.port != self.links.portal.port {
            tracing::warn!("the portal stays on port {} until the next start", self.links.portal.port);
        }
    }

    /// The ports and links, as they are shown to users.
    pub(super) fn shown_routes(&self) -> Vec<RouteStatus> {
        self.links.shown()
    }

    /// The public address was looked up.
    pub(super) fn found(&mut self, observer: &Observer, public: IpAddr) {
        if self.links.found(public) {
            tracing::info!("public address: {public}");
            observer.update(|snapshot| snapshot.routes = self.links.shown());
        }
    }

    pub(super) fn serve_control(
        &self,
        listeners: (UnixListener, mpsc::Receiver<UnixListener>),
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let own = Uid::effective().as_raw();
        let right = move |uid| if uid == 0 || uid == own { Right::Change } else { Right::Read };
        tokio::spawn(portal::serve_unix(listeners, self.control.clone(), right, stop))
    }
}

/// Begins to read or make the certificate. Also returns the later problems of the certificate, and a problem of the
/// settings that ask for it.
fn open_tls(config: &Config, state: &Arc<State>) -> (Tls, watch::Receiver<Vec<String>>, Option<String>) {
    let host = facts::host().unwrap_or_default();
    let (sources, problem) = Sources::of(&config.env, &host);
    let (tls, certificate) = Tls::open(sources, Arc::clone(state));
    (tls, certificate, problem)
}
