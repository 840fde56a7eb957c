//! The gateway's numbers among the metrics: requests, connections and logins.
//!
//! Invariant: counting a request takes no lock, except the first one of a port with its class of status.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use axum::http::{Request, StatusCode};

use super::auth::{Auth, Counters};
use super::limits::ConnectionLimits;
use super::listener::observed::{Observed, Observer};
use crate::observe::looks::LongLook;
use crate::observe::metrics::{self, Family, Number, Open};
use crate::observe::{Looks, Machine, Snapshot};

/// The path of the metrics, on the portal's port.
pub(super) const PATH: &str = "/desktopd/metrics";

/// The classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers of the gateway.
pub(super) struct Metrics {
    /// Those of the whole program.
    pub(super) all: metrics::Metrics,
    requests: Arc<Family>,
    /// Open connections that are not upgraded.
    pub(super) connections: Number,
    upgrades: Number,
    from_clients: Number,
    to_clients: Number,
    /// The figures of the machine.
    machine: Machine,
    /// Told of each request to a service, and of upgraded connections as long as they are open.
    pub(super) looks: Looks,
}

impl Metrics {
    /// Registers the numbers.
    pub(super) fn new(
        all: metrics::Metrics,
        limits: ConnectionLimits,
        looks: Looks,
        machine: Machine,
    ) -> Self {
        let requests = all.family("desktopd_requests_total", "answers, by port and class of status");
        let connections = "open client connections that are not upgraded";
        let connections = all.family("desktopd_connections", connections).number(&[]);
        let sent_away = "connections without a login that were closed to make room";
        all.read("desktopd_connections_sent_away_total", sent_away, move || limits.sent_away());
        let upgrades = "open upgraded connections, such as WebSockets";
        let upgrades = all.family("desktopd_upgrades", upgrades).number(&[]);
        let bytes = all.family("desktopd_upgrade_bytes_total", "bytes through upgraded connections");
        let of = |from| bytes.number(&[("from", from)]);
        let (from_clients, to_clients) = (of("client"), of("service"));
        let samples = machine.clone();
        let meaning = "samples of the machine's figures; they are made only while a client looks";
        all.read("desktopd_machine_samples_total", meaning, move || samples.samples());
        Self { all, requests, connections, upgrades, from_clients, to_clients, machine, looks }
    }

    /// All metrics. The figures of the machine are read now, unless another client looks anyway.
    pub(super) async fn text(&self, state: impl FnOnce() -> Arc<Snapshot>) -> String {
        self.looks.look();
        let figures = self.machine.scrape().await;
        self.all.text(&state(), figures.as_deref())
    }

    /// The counters of a port.
    pub(super) fn answers(&self, port: u16) -> Answers {
        Answers { requests: Arc::clone(&self.requests), port, classes: Default::default() }
    }

    /// Attaches these numbers to a request to a service, which may become an upgraded connection.
    pub(super) fn attach<B>(self: &Arc<Self>, request: &mut Request<B>) {
        self.looks.look();
        request.extensions_mut().insert(Arc::clone(self));
    }
}

/// Reads one of the authenticator's counters.
type ReadCounter = fn(Counters) -> u64;

/// Registers the numbers of the authenticator.
pub(super) fn register_logins(all: &metrics::Metrics, auth: &Auth) {
    let logins: [(_, _, ReadCounter); 6] = [
        ("desktopd_auth_attempts_total", "passwords and tokens that were checked", |all| all.attempts),
        ("desktopd_auth_failures_total", "passwords and tokens that were wrong", |all| all.failures),
        ("desktopd_auth_refused_total", "attempts that were refused without a check", |all| all.refused),
        ("desktopd_auth_bans_total", "addresses that were banned for a while", |all| all.bans),
        ("desktopd_auth_sessions_total", "sessions that were opened", |all| all.logins),
        ("desktopd_auth_hashes_total", "passwords that were hashed", |all| all.hashes),
    ];
    for (name, meaning, read) in logins {
        let auth = auth.clone();
        all.read(name, meaning, move || read(auth.counters()));
    }
}

/// The counters of the answers on one port.
pub(crate) struct Answers {
    requests: Arc<Family>,
    port: u16,
    classes: [OnceLock<Number>; CLASSES.len()],
}

impl Answers {
    /// Counts an answer.
    pub(super) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let new = || self.requests.number(&[("port", &self.port.to_string()), ("code", CLASSES[class])]);
        self.classes[class].get_or_init(new).add(1);
    }
}

/// Counts an upgraded connection and its bytes.
pub(super) struct Upgrade(Option<(Arc<Metrics>, Open, LongLook)>);

impl Upgrade {
    /// For the upgraded connection that a request becomes; counted if [`Metrics::attach`] was called for the request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let metrics = request.extensions().get::<Arc<Metrics>>();
        Self(metrics.map(|metrics| (Arc::clone(metrics), metrics.upgrades.open(), metrics.looks.hold())))
    }

    /// Counts bytes from the client.
    pub(super) fn received(&self, bytes: usize) {
        if let Some((metrics, ..)) = &self.0 {
            metrics.from_clients.add(bytes as u64);
        }
    }

    /// Counts bytes to the client.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some((metrics, ..)) = &self.0 {
            metrics.to_clients.add(bytes as u64);
        }
    }

    /// The client's side of the upgraded connection, with its bytes counted.
    pub(super) fn over<S>(&self, stream: S) -> Observed<S, &Self> {
        Observed::new(stream, self)
    }
}

/// Counts the bytes of an upgraded connection, on the client's side.
impl Observer for &Upgrade {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received(bytes.len());
        Ok(())
    }

    fn wrote(&mut self, written: Poll<usize>) {
        if let Poll::Ready(written) = written {
            self.sent(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        let (observer, _) = crate::observe::Observer::new(1, 0);
        let limits = ConnectionLimits::of_ports();
        Arc::new(Metrics::new(observer.metrics(), limits, observer.looks(), observer.machine()))
    }

    #[test]
    fn ports_and_classes_are_counted_separately_and_continue_when_a_port_is_opened_again() {
        let metrics = metrics();
        for (port, status, times) in [(1111, 200, 2), (6100, 200, 3), (6100, 404, 1), (1111, 204, 4)] {
            let answers = metrics.answers(port);
            (0..times).for_each(|_| answers.count(StatusCode::from_u16(status).unwrap()));
        }
        let text = metrics.all.text(&crate::observe::Snapshot::default(), None);
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("desktopd_requests_total")).collect();
        assert_eq!(
            lines,
            [
                "desktopd_requests_total{port=\"1111\",code=\"2xx\"} 6",
                "desktopd_requests_total{port=\"6100\",code=\"2xx\"} 3",
                "desktopd_requests_total{port=\"6100\",code=\"4xx\"} 1",
            ]
        );
    }

    #[test]
    fn upgraded_connections_are_counted_until_dropped() {
        let metrics = metrics();
        let mut request = Request::new(());
        assert!(Upgrade::of(&request).0.is_none());
        metrics.attach(&mut request);
        let upgrade = Upgrade::of(&request);
        upgrade.sent(5);
        assert_eq!((metrics.upgrades.get(), metrics.to_clients.get()), (1, 5));
        drop(upgrade);
        assert_eq!(metrics.upgrades.get(), 0);
    }
}
