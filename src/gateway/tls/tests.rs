//! Tests: which certificates and keys are accepted, and for which names the self-signed certificate is made.

use std::ffi::OsString;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use time::{Duration, OffsetDateTime};
use yasna::{ASN1Result, BERReader, BERReaderSeq, construct_der, parse_der};

use super::pair::{Wrong, parse};
use super::*;
use crate::config::Environment;

fn certificate(key: &KeyPair) -> String {
    CertificateParams::new(["desk.example".to_owned()]).unwrap().self_signed(key).unwrap().pem()
}

fn whole(field: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    field.read_der()
}

/// The same certificate as version 1: without the version number and without the fields of version 3.
fn of_the_first_version(certificate: &rcgen::Certificate) -> String {
    let fields = |reader: &mut BERReaderSeq<'_, '_>| {
        let next = || reader.read_optional(whole).transpose();
        std::iter::from_fn(next).collect::<ASN1Result<Vec<_>>>()
    };
    let (signed, rest) = parse_der(certificate.der(), |reader| {
        reader.read_sequence(|reader| Ok((reader.next().read_sequence(fields)?, fields(reader)?)))
    })
    .unwrap();
    let [version, extensions] = [0xa0, 0xa3];
    let signed = signed.iter().filter(|field| ![version, extensions].contains(&field[0]));
    let der = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                for field in signed {
                    writer.next().write_der(field);
                }
            });
            for field in &rest {
                writer.next().write_der(field);
            }
        });
    });
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

// RSA keys and keys in other formats cannot be made here: see `tests/it/gateway_tls.rs`.
#[test]
fn keys_of_all_usual_kinds_are_accepted() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        parse(certificate(&key).as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    }
}

#[test]
fn certificate_of_version_1_is_accepted() {
    let key = KeyPair::generate().unwrap();
    let third = CertificateParams::new(["desk.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let first = of_the_first_version(&third);
    let [first, third] =
        [first, third.pem()].map(|text| parse(text.as_bytes(), key.serialize_pem().as_bytes()).unwrap());
    assert_eq!(first.validity, third.validity);
    assert!(first.certified.cert[0].len() < third.certified.cert[0].len());
}

#[test]
fn own_certificate_comes_first_whatever_the_order_in_the_file() {
    let (own, issuer) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (first, second) = (certificate(&own), certificate(&issuer));
    let alone = parse(first.as_bytes(), own.serialize_pem().as_bytes()).unwrap();
    for text in [format!("{first}{second}"), format!("note\n{second}\n{first}")] {
        // One file may hold everything.
        let text = text + &own.serialize_pem();
        let pair = parse(text.as_bytes(), text.as_bytes()).unwrap();
        assert_eq!(pair.certified.cert.len(), 2);
        assert_eq!(pair.certified.cert[0], alone.certified.cert[0]);
    }
}

#[test]
fn unusable_pair_is_refused_with_the_reason() {
    let key = KeyPair::generate().unwrap();
    let (certificate, key) = (certificate(&key), key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let of_another_kind = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let wrong = |certificate: &str, key: &str| parse(certificate.as_bytes(), key.as_bytes()).err().unwrap();
    assert_eq!(wrong(&certificate, &other), Wrong::Match);
    assert_eq!(wrong(&certificate, &of_another_kind), Wrong::Match);
    assert!(matches!(wrong(&key, &key), Wrong::Certificate(why) if why.contains("no certificate")));
    assert!(matches!(wrong("", &key), Wrong::Certificate(_)));
    assert!(matches!(wrong(&certificate, &certificate), Wrong::Key(_)));
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(matches!(wrong(&certificate, &locked), Wrong::Key(why) if why.contains("pass phrase")));
    // Truncated, and with a changed byte.
    assert!(matches!(wrong(&certificate[..certificate.len() / 2], &key), Wrong::Certificate(_)));
    let garbled = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert!(matches!(wrong(garbled, &key), Wrong::Certificate(why) if why.contains("cannot be read")));
}

#[test]
fn invalid_validity_time_gives_a_warning() {
    let key = KeyPair::generate().unwrap();
    let now = OffsetDateTime::now_utc();
    for (from, until, expected) in
        [(-2, -1, Some("expired on")), (1, 2, Some("valid from")), (-1, 1, None), (-1, 40_000, None)]
    {
        let mut params = CertificateParams::new(["desk.example".to_owned()]).unwrap();
        params.not_before = now + Duration::days(from);
        params.not_after = now + Duration::days(until);
        let certificate = params.self_signed(&key).unwrap().pem();
        let pair = parse(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let trouble = pair.validity.trouble(now);
        assert_eq!(trouble.is_some(), expected.is_some(), "{trouble:?}");
        assert!(trouble.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
}

#[test]
fn self_signed_certificate_is_kept_until_a_name_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (state, _) = State::open(dir.path(), "one");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let of = |state: &State, names: &[String]| {
        let (pair, problem) = self_signed::obtain(state, names).unwrap();
        assert_eq!(problem, None);
        pair.certified.cert[0].clone()
    };
    let first = of(&state, &names(&["localhost", "127.0.0.1", "::1", "desk.example"]));
    let (state, _) = State::open(dir.path(), "one");
    assert_eq!(of(&state, &names(&["desk.example", "::1"])), first);
    let second = of(&state, &names(&["desk.example", "192.0.2.1"]));
    assert_ne!(second, first);
    state.set("certificate", b"broken".to_vec()).unwrap();
    assert_ne!(of(&state, &names(&["desk.example"])), second);
    // The remaining time has to last until the next check.
    for (days, stays) in [(29, false), (31, true)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["desk.example".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(2);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        let old = params.self_signed(&key).unwrap();
        state.set("certificate", (old.pem() + &key.serialize_pem()).into_bytes()).unwrap();
        assert_eq!(of(&state, &names(&["desk.example"])) == *old.der(), stays, "{days} days are left");
    }
}

#[test]
fn sources_are_read_from_the_environment() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Sources::of(&Environment::new(pairs, &[], &mut Vec::new()), "host-1")
    };
    let (sources, problem) = of(&[("DIRECT_ADDRESS", "Desk.Example"), ("PUBLIC_IPADDR", "192.0.2.1")]);
    assert_eq!(problem, None);
    assert_eq!(sources.given, None);
    assert_eq!(sources.names, ["desk.example", "host-1", "localhost", "127.0.0.1", "::1", "192.0.2.1"]);
    let (sources, _) = of(&[("DIRECT_ADDRESS", "[2001:db8::1]"), ("PUBLIC_IPADDR", "http://no name/")]);
    assert_eq!(sources.names, ["2001:db8::1", "host-1", "localhost", "127.0.0.1", "::1"]);
    let (sources, _) = of(&[("WEB_TLS_CERT_FILE", "/a.pem")]);
    assert_eq!(sources.given, Some(Files { certificate: "/a.pem".into(), key: "/a.pem".into() }));
    let (sources, problem) = of(&[("WEB_TLS_KEY_FILE", "/a.key")]);
    assert_eq!(sources.given, None);
    assert!(problem.unwrap().contains("WEB_TLS_KEY_FILE"));
}
