//! The files of certificates: those of the configuration and of the provider, and the names for a certificate of our own.

use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use crate::config::Environment;

/// Where vast.ai puts the certificate that it made for a machine.
const PROVIDERS: [&str; 2] = ["/etc/instance.crt", "/etc/instance.key"];

/// Variables in which cloud providers give the machine's public address.
const PUBLIC_ADDRESSES: [&str; 2] = ["PUBLIC_IPADDR", "RUNPOD_PUBLIC_IP"];

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
    pub(super) fn files(&self) -> Option<&Files> {
        let there = |path: &Path| path.exists();
        let provider = Some(&self.provider).filter(|files| there(&files.certificate) || there(&files.key));
        self.given.as_ref().or(provider)
    }
}
