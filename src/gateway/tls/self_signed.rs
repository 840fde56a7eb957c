//! The self-signed certificate. Browsers warn about it; after the user has accepted it, the connection is a secure
//! context.
//!
//! The certificate is stored, so that a user has to accept it in a browser only once. It is made anew when it is about
//! to expire, or when it lacks a name by which clients reach this machine.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use time::{Duration, OffsetDateTime};

use super::pair::{self, Pair};
use crate::state::State;

/// The key in the state. The value holds certificate and key in PEM form, in one value so that they always belong
/// together.
const KEPT: &str = "certificate";

/// How long it is valid. Some browsers accept no longer time.
const LIFE: Duration = Duration::days(397);

/// A new one is made when less than this time is left.
const REST: Duration = Duration::days(30);

/// It is valid from this long before it was made, because clocks differ.
const BEFORE: Duration = Duration::days(1);

/// The pair for `names`, stored or new, and why it will not survive a restart.
pub(super) fn obtain(state: &State, names: &[String]) -> Result<(Pair, Option<String>), String> {
    let now = OffsetDateTime::now_utc();
    let kept = state.get(KEPT).and_then(|kept| pair::parse(&kept, &kept).ok());
    if let Some(pair) = kept.filter(|pair| serves(pair, names, now)) {
        return Ok((pair, None));
    }
    let made = make(names, now).map_err(|error| format!("making a certificate: {error}"))?;
    let pair = pair::parse(made.as_bytes(), made.as_bytes())
        .map_err(|wrong| format!("making a certificate: {wrong:?}"))?;
    let problem = state.set(KEPT, made.into_bytes()).err().map(|error| {
        format!("state {KEPT}: {error}; browsers will ask again about the certificate after a restart")
    });
    Ok((pair, problem))
}

fn serves(pair: &Pair, names: &[String], now: OffsetDateTime) -> bool {
    let Some(Ok(certificate)) = pair.certified.cert.first().map(ParsedCertificate::try_from) else {
        return false;
    };
    let holds = |name: &String| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
    };
    pair.validity.trouble(now).is_none() && now + REST < pair.validity.until && names.iter().all(holds)
}

fn make(names: &[String], now: OffsetDateTime) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.not_before = now - BEFORE;
    params.not_after = now + LIFE;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "desktopd");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}
