//! TLS on the ports of the gateway: the choice of the certificate, and the handshake.
//!
//! Every port speaks TLS as well as plain HTTP, so there must always be a certificate: the one from the configuration,
//! the one that a provider puts into /etc, or our own self-signed one.
//!
//! Invariants: nothing here delays the first response, because files are read and keys are made in the background, and
//! only handshakes wait for that; the certificate always belongs to its key; if a certificate cannot be used, a message
//! says so and the self-signed one is used, never plain text; a new certificate is used without an effect on open
//! connections.

mod files;
mod pair;
mod reloader;
mod self_signed;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::state::State;
pub use files::{Files, Sources};
use reloader::CertificateReloader;

/// The first byte from a client that speaks TLS: a handshake record. No HTTP request line begins with it.
pub const FIRST_BYTE: u8 = 0x16;

/// The protocols that may be used inside TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS settings of a port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Current,
}

/// The certificate for new connections; none until one was read or made.
type Current = watch::Receiver<Option<Arc<CertifiedKey>>>;

impl Tls {
    /// Begins to read or make a certificate, and keeps it up to date as long as a clone of the returned value exists.
    /// Must be called within a runtime. After each check of the files, the problems with the certificate are sent to
    /// the second value as messages.
    pub fn open(sources: Sources, state: Arc<State>) -> (Self, watch::Receiver<Vec<String>>) {
        let (shown, current) = watch::channel(None);
        let (told, problems) = watch::channel(Vec::new());
        let reloader = CertificateReloader { sources, state, shown, told, watch: None, foreign: false };
        tokio::spawn(reloader.run());
        (Self { config: Arc::new(config(current.clone())), current }, problems)
    }

    /// Does the handshake on a connection whose client speaks TLS. `limit` is for the whole handshake.
    pub async fn accept<S>(&self, stream: S, limit: Duration) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut current = self.current.clone();
        let handshake = async {
            // The first client may connect before there is a certificate.
            current
                .wait_for(Option::is_some)
                .await
                .map_err(|_| io::Error::other("there is no certificate to use"))?;
            TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        tokio::time::timeout(limit, handshake).await.map_err(late)?
    }
}

/// Whether HTTP/2 was agreed on for a connection.
pub fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0])
}

fn config(current: Current) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS);
    let mut config = match builder {
        Ok(builder) => builder.with_no_client_auth().with_cert_resolver(Arc::new(Resolver { current })),
        // Always succeeds with the provider that is set above, and every test here covers it.
        Err(error) => unreachable!("TLS: {error}"),
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // A ticket stores a TLS session at the client. Without random numbers for its key there are no tickets, and no TLS
    // either.
    if let Ok(tickets) = ring::Ticketer::new() {
        config.ticketer = tickets;
    }
    config
}

/// Returns the current certificate, whatever name the client asked for: clients use names that are not known here.
#[derive(Debug)]
struct Resolver {
    current: Current,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
