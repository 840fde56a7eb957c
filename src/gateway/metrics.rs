//! Metrics for Prometheus: requests, connections and logins of the gateway, and the states of the units.
//!
//! Invariants: counting a request takes no lock; the number of counted ports is bounded, so that they cannot fill the
//! memory; reading changes nothing.

mod text;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use axum::http::{Request, Response, StatusCode};

use super::auth::Counters;
use super::limits::ConnectionLimits;
use super::listener::observed::{Observed, Observer};
use super::request::page;
use super::upstream::body::Reply;
use crate::observe::{Snapshot, UnitHealth};
use text::{Kind, Text};

/// The path of the metrics, on the portal's port.
pub(super) const PATH: &str = "/desktopd/metrics";

/// Number of ports that are counted separately; all further ports are counted together, as port 0.
const PORTS: usize = 64;

/// The classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All counters of the gateway.
pub(super) struct Metrics {
    /// An open-addressing hash table: the port number gives the first slot to try. Slots are never freed.
    ports: [Port; PORTS],
    others: Port,
    connections: AtomicU64,
    upgrades: AtomicU64,
    from_clients: AtomicU64,
    to_clients: AtomicU64,
    limits: ConnectionLimits,
}

#[derive(Default)]
struct Port {
    /// 0 while the slot is free.
    number: AtomicU32,
    answers: [AtomicU64; CLASSES.len()],
}

impl Metrics {
    /// The metrics of a gateway with these connection limits.
    pub(super) fn of(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            ports: std::array::from_fn(|_| Port::default()),
            others: Port::default(),
            connections: AtomicU64::default(),
            upgrades: AtomicU64::default(),
            from_clients: AtomicU64::default(),
            to_clients: AtomicU64::default(),
        }
    }
}

/// Counts in a gauge from its creation until it is dropped.
pub(super) struct Open {
    metrics: Arc<Metrics>,
    gauge: fn(&Metrics) -> &AtomicU64,
}

impl Open {
    fn new(metrics: &Arc<Metrics>, gauge: fn(&Metrics) -> &AtomicU64) -> Self {
        gauge(metrics).fetch_add(1, Relaxed);
        Self { metrics: Arc::clone(metrics), gauge }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics).fetch_sub(1, Relaxed);
    }
}

/// Counts a connection for as long as the result lives.
pub(super) fn connection(metrics: &Arc<Metrics>) -> Open {
    Open::new(metrics, |metrics| &metrics.connections)
}

/// Counts an upgraded connection and its bytes.
pub(super) struct Upgrade(Option<Open>);

impl Upgrade {
    /// For the upgraded connection that a request becomes; counted if [`Metrics::attach`] was called for the request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let metrics = request.extensions().get::<Arc<Metrics>>();
        Self(metrics.map(|metrics| Open::new(metrics, |metrics| &metrics.upgrades)))
    }

    /// Counts bytes from the client.
    pub(super) fn received(&self, bytes: usize) {
        if let Some(open) = &self.0 {
            open.metrics.from_clients.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// Counts bytes to the client.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(open) = &self.0 {
            open.metrics.to_clients.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// The client's side of the upgraded connection, with its bytes counted.
    pub(super) fn over<S>(&self, stream: S) -> Observed<S, &Self> {
        Observed::new(stream, self)
    }
}

impl Metrics {
    /// Attaches these counters to a request that may become an upgraded connection.
    pub(super) fn attach<B>(self: &Arc<Self>, request: &mut Request<B>) {
        request.extensions_mut().insert(Arc::clone(self));
    }

    /// Counts an answer on a port.
    pub(super) fn answered(&self, port: u16, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.port(u32::from(port)).answers[class].fetch_add(1, Relaxed);
    }

    fn port(&self, number: u32) -> &Port {
        let first = number as usize % PORTS;
        for place in self.ports[first..].iter().chain(&self.ports[..first]) {
            let taken = match place.number.load(Relaxed) {
                0 => place
                    .number
                    .compare_exchange(0, number, Relaxed, Relaxed)
                    .map_or_else(|by| by, |_| number),
                taken => taken,
            };
            if taken == number {
                return place;
            }
        }
        &self.others
    }

    /// All metrics in Prometheus' text format.
    pub(super) fn show(&self, snapshot: &Snapshot, auth: Counters) -> Response<Reply> {
        let mut text = Text::default();
        text.family("desktopd_info", Kind::Gauge, "the version that is running");
        text.sample("desktopd_info", &[("version", &snapshot.version)], 1);
        text.family("desktopd_up", Kind::Gauge, "whether all services that should be up are up");
        text.sample("desktopd_up", &[], u64::from(snapshot.up));
        ready(snapshot, &mut text);
        self.traffic(&mut text);
        logins(auth, &mut text);
        units(snapshot, &mut text);
        page::answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.finish())
    }

    fn traffic(&self, text: &mut Text) {
        let requests = "desktopd_requests_total";
        text.family(requests, Kind::Counter, "answers, by port and class of status");
        let mut ports: Vec<_> = self.ports.iter().chain([&self.others]).collect();
        ports.sort_by_key(|port| port.number.load(Relaxed));
        for port in ports {
            for (class, count) in CLASSES.iter().zip(&port.answers) {
                let (number, count) = (port.number.load(Relaxed).to_string(), count.load(Relaxed));
                if count > 0 {
                    text.sample(requests, &[("port", &number), ("code", class)], count);
                }
            }
        }
        text.family("desktopd_connections", Kind::Gauge, "open client connections that are not upgraded");
        text.sample("desktopd_connections", &[], self.connections.load(Relaxed));
        let sent_away = "desktopd_connections_sent_away_total";
        text.family(sent_away, Kind::Counter, "connections without a login that were closed to make room");
        text.sample(sent_away, &[], self.limits.sent_away());
        text.family("desktopd_upgrades", Kind::Gauge, "open upgraded connections, such as WebSockets");
        text.sample("desktopd_upgrades", &[], self.upgrades.load(Relaxed));
        let bytes = "desktopd_upgrade_bytes_total";
        text.family(bytes, Kind::Counter, "bytes through upgraded connections");
        text.sample(bytes, &[("from", "client")], self.from_clients.load(Relaxed));
        text.sample(bytes, &[("from", "service")], self.to_clients.load(Relaxed));
    }
}

fn logins(auth: Counters, text: &mut Text) {
    let Counters { attempts, failures, refused, bans, logins, hashes } = auth;
    for (name, meaning, number) in [
        ("desktopd_auth_attempts_total", "passwords and tokens that were checked", attempts),
        ("desktopd_auth_failures_total", "passwords and tokens that were wrong", failures),
        ("desktopd_auth_refused_total", "attempts that were refused without a check", refused),
        ("desktopd_auth_bans_total", "addresses that were banned for a while", bans),
        ("desktopd_auth_sessions_total", "sessions that were opened", logins),
        ("desktopd_auth_hashes_total", "passwords that were hashed", hashes),
    ] {
        text.family(name, Kind::Counter, meaning);
        text.sample(name, &[], number);
    }
}

fn ready(snapshot: &Snapshot, text: &mut Text) {
    text.family("desktopd_ready", Kind::Gauge, "whether users can log in and see what they should");
    text.sample("desktopd_ready", &[], u64::from(snapshot.ready));
    let way = "desktopd_route_ready";
    text.family(way, Kind::Gauge, "readiness of one port; 1 also if the configuration has it off");
    for route in &snapshot.routes {
        let well = u64::from(route.seen.sight.is_well());
        text.sample(way, &[("port", &route.port.to_string()), ("unit", &route.unit)], well);
    }
}

fn units(snapshot: &Snapshot, text: &mut Text) {
    let state = "desktopd_unit_state";
    text.family(state, Kind::Gauge, "1 for the state that a service is in");
    for unit in &snapshot.units {
        text.sample(state, &[("unit", &unit.name), ("state", unit.state.name())], 1);
    }
    let healthy = "desktopd_unit_healthy";
    text.family(healthy, Kind::Gauge, "whether a service with a health check is healthy");
    for unit in &snapshot.units {
        if let Some(health) = &unit.health {
            text.sample(healthy, &[("unit", &unit.name)], u64::from(*health == UnitHealth::Healthy));
        }
    }
    let restarts = "desktopd_unit_restarts_total";
    text.family(restarts, Kind::Counter, "restarts of a service");
    for unit in &snapshot.units {
        text.sample(restarts, &[("unit", &unit.name)], u64::from(unit.restarts));
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

    #[test]
    fn ports_are_counted_separately_up_to_a_limit() {
        let metrics = Metrics::of(ConnectionLimits::of_ports());
        // Three ports with the same first slot.
        for (port, times) in [(1111, 2), (1111 + 64, 3), (1111 + 128, 1)] {
            (0..times).for_each(|_| metrics.answered(port, StatusCode::OK));
        }
        let counted = |port| metrics.port(port).answers[1].load(Relaxed);
        assert_eq!((counted(1111), counted(1111 + 64), counted(1111 + 128)), (2, 3, 1));
        for port in 2000..3000 {
            metrics.answered(port, StatusCode::NOT_FOUND);
        }
        let all: u64 =
            metrics.ports.iter().chain([&metrics.others]).map(|p| p.answers[3].load(Relaxed)).sum();
        assert_eq!(all, 1000);
        assert!(metrics.others.answers[3].load(Relaxed) > 0);
        assert_eq!(counted(1111), 2);
    }

    #[test]
    fn open_connections_are_counted_until_dropped() {
        let metrics = Arc::new(Metrics::of(ConnectionLimits::of_ports()));
        let (one, two) = (connection(&metrics), connection(&metrics));
        drop(one);
        assert_eq!(metrics.connections.load(Relaxed), 1);
        drop(two);
        assert_eq!(metrics.connections.load(Relaxed), 0);
        let mut request = Request::new(());
        assert!(Upgrade::of(&request).0.is_none());
        metrics.attach(&mut request);
        let upgrade = Upgrade::of(&request);
        upgrade.sent(5);
        assert_eq!((metrics.upgrades.load(Relaxed), metrics.to_clients.load(Relaxed)), (1, 5));
        drop(upgrade);
        assert_eq!(metrics.upgrades.load(Relaxed), 0);
    }
}
