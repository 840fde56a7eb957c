//! Requests to services and their answers, streamed both ways: nothing is held back and nothing is collected.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::Scheme;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::auth::Lease;
use super::headers::{prepare_request, strip_hop_by_hop};
use super::tunnel;
use crate::plan::routes::Upstream;

/// Idle connections are closed before services that close theirs after 5 s (Node) could do it under a request.
const IDLE: Duration = Duration::from_secs(3);

/// Why a service gave no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nobody listens there.
    Unreachable(std::io::Error),
    /// It accepted the request and gave no proper answer.
    Broken(String),
}

impl Failed {
    pub(super) fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Connections to services.
pub(super) struct Proxy {
    client: Client<HttpConnector, Body>,
}

impl Proxy {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .set_host(false)
            .build(connector);
        Self { client }
    }

    /// Sends a request, from which our own credentials were taken, to a service.
    pub(super) async fn forward(
        &self,
        upstream: &Upstream,
        mut request: Request<Body>,
        peer: IpAddr,
        upgrade: Option<HeaderValue>,
        lease: Lease,
    ) -> Result<Response<Body>, Failed> {
        prepare_request(request.headers_mut(), peer);
        *request.version_mut() = Version::HTTP_11;
        let tunnel = upgrade.is_some();
        let mut response = if let Some(protocol) = upgrade {
            tunnel::open(upstream, request, protocol, lease).await?.map(Body::new)
        } else {
            let response = match upstream {
                Upstream::Tcp(address) => self.pooled(*address, request).await?,
                // As cheap as one that was kept.
                Upstream::Unix { .. } => tunnel::send(upstream, request).await?,
            };
            response.map(|body| super::stream::leased(Body::new(body), lease))
        };
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched && !tunnel {
            return Err(Failed::broken("the service switched protocols without being asked"));
        }
        let protocol = response.headers().get(axum::http::header::UPGRADE).cloned();
        strip_hop_by_hop(response.headers_mut());
        if let Some(protocol) = protocol.filter(|_| switched) {
            response.headers_mut().insert(axum::http::header::UPGRADE, protocol);
            let upgrade = HeaderValue::from_static("upgrade");
            response.headers_mut().insert(axum::http::header::CONNECTION, upgrade);
        }
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }

    /// Sends a request over a connection that earlier requests have left open, where there is one.
    async fn pooled(
        &self,
        upstream: SocketAddr,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, Failed> {
        *request.uri_mut() = absolute(upstream, request.uri()).map_err(Failed::broken)?;
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                Failed::Unreachable(std::io::Error::other(error))
            } else {
                Failed::broken(error)
            }
        })
    }
}

fn absolute(upstream: SocketAddr, uri: &Uri) -> Result<Uri, axum::http::Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme(Scheme::HTTP).authority(upstream.to_string()).path_and_query(path).build()
}
