//! TLS on the ports of the gateway: the choice of the certificate, and the handshake.
//!
//! Every port speaks TLS as well as plain HTTP, so there must always be a certificate: the one from the configuration,
//! the one that a provider puts into /etc, or our own self-signed one.
//!
//! Invariants: nothing here delays the first response, because files are read and keys are made in the background, and
//! only handshakes wait for that; the certificate always belongs to its key; if a certificate cannot be used, a message
//! says so and the self-signed one is used, never plain text; a new certificate is used without an effect on open
//! connections.

mod keeper;
mod pair;
mod self_signed;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Environment;
use crate::state::State;
use keeper::Keeper;

/// Where vast.ai puts the certificate that it made for a machine.
const PROVIDERS: [&str; 2] = ["/etc/instance.crt", "/etc/instance.key"];

/// Variables in which cloud providers give the machine's public address.
const PUBLIC_ADDRESSES: [&str; 2] = ["PUBLIC_IPADDR", "RUNPOD_PUBLIC_IP"];

/// The first byte from a client that speaks TLS: a handshake record. No HTTP request line begins with it.
pub const FIRST_BYTE: u8 = 0x16;

/// The protocols that may be used inside TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files of a certificate and of its key. Both may be the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and after it those of its issuers; PEM.
    pub certificate: PathBuf,
    /// The private key; PEM.
    pub key: PathBuf,
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Files from the configuration.
    pub given: Option<Files>,
    /// Files that are used if they exist.
    pub provider: Files,
    /// Names and addresses by which clients reach this machine: our self-signed certificate is made for them.
    pub names: Vec<String>,
}

impl Sources {
    /// The sources according to the environment, on the machine called `host`. The text is a problem with the
    /// variables.
    pub fn of(env: &Environment, host: &str) -> (Self, Option<String>) {
        let vars = &env.vars;
        let (certificate, key) = (vars.web_tls_cert_file.as_ref(), vars.web_tls_key_file.as_ref());
        let problem = (certificate.is_none() && key.is_some()).then(|| {
            "environment: WEB_TLS_KEY_FILE: it does nothing without WEB_TLS_CERT_FILE, which names the certificate"
                .to_owned()
        });
        let given = certificate.map(|certificate| Files {
            certificate: certificate.into(),
            key: key.unwrap_or(certificate).into(),
        });
        let [certificate, key] = PROVIDERS.map(PathBuf::from);
        let public = PUBLIC_ADDRESSES.iter().filter_map(|name| env.text(name));
        let always = ["localhost", "127.0.0.1", "::1"];
        let mut names = Vec::<String>::new();
        for name in [vars.direct_address.0.as_str(), host].into_iter().chain(always).chain(public) {
            let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
            // A value that is not a valid name (a URL, a provider's keyword) is not put into the certificate.
            if ServerName::try_from(name.as_str()).is_ok() && !names.contains(&name) {
                names.push(name);
            }
        }
        (Self { given, provider: Files { certificate, key }, names }, problem)
    }

    /// The files to use now, if there are any.
    fn files(&self) -> Option<&Files> {
        let there = |path: &Path| path.exists();
        let provider = Some(&self.provider).filter(|files| there(&files.certificate) || there(&files.key));
        self.given.as_ref().or(provider)
    }
}

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
        tokio::spawn(Keeper::new(sources, state, shown, told).run());
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

    /// The settings of all connections, for callers that do the handshake by other means.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
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
