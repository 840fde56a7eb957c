//! A certificate and its key, read from PEM files.
//!
//! A pair that is accepted can be used for TLS: the key is of a supported kind and the certificate is made for it. An
//! expired certificate causes a warning, and is accepted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use time::OffsetDateTime;
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, BERReaderSeq, Tag, parse_der};

use super::Files;
use crate::sys::read;

/// The size limit. A larger file is not a certificate or key.
const LARGEST: u64 = 1 << 20;

/// A certificate with those of its issuers, and its key.
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) validity: Validity,
}

/// The time during which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

/// Reads the pair from its files. The error says which file is wrong and why.
pub(super) fn read(files: &Files) -> Result<Pair, String> {
    let certificates = contents(&files.certificate)?;
    let key = if files.key == files.certificate { certificates.clone() } else { contents(&files.key)? };
    parse(&certificates, &key).map_err(|wrong| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        match wrong {
            Wrong::Certificate(why) => format!("{certificate}: {why}"),
            Wrong::Key(why) => format!("{key}: {why}"),
            Wrong::Match => {
                format!("{certificate}: none of its certificates is made for the key in {key}")
            }
        }
    })
}

/// Why a pair cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Certificate(&'static str),
    Key(&'static str),
    Match,
}

/// Parses a pair in PEM form.
pub(super) fn parse(certificates: &[u8], key: &[u8]) -> Result<Pair, Wrong> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let mut chain = chain.map_err(|_| Wrong::Certificate("it is damaged, or not a PEM file"))?;
    if chain.is_empty() {
        return Err(Wrong::Certificate("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        Wrong::Key("it holds no private key in PEM form, PKCS#1, PKCS#8 or SEC1 and without a pass phrase")
    })?;
    let key = any_supported_type(&key).map_err(|_| {
        Wrong::Key("its key cannot be used; RSA of 2048 bits and more, P-256, P-384 and Ed25519 can")
    })?;
    let read: ASN1Result<Vec<_>> = chain.iter().map(|certificate| Contents::of(certificate)).collect();
    let read = read.map_err(|_| Wrong::Certificate("a certificate in it cannot be read"))?;
    let own = public_key(&*key).ok_or(Wrong::Key("its public key cannot be read"))?;
    let at = read.iter().position(|contents| contents.public_key == own).ok_or(Wrong::Match)?;
    // Browsers expect the machine's own certificate first, and some files have another order.
    chain[..=at].rotate_right(1);
    Ok(Pair { certified: Arc::new(CertifiedKey::new(chain, key)), validity: read[at].validity })
}

impl Validity {
    /// The warning about its validity at this time, if there is one.
    pub(super) fn trouble(self, now: OffsetDateTime) -> Option<String> {
        let day = |time: OffsetDateTime| time.date();
        if now > self.until {
            Some(format!("it expired on {}: browsers will warn", day(self.until)))
        } else if now < self.from {
            Some(format!(
                "it is valid from {} on, and today is {}: browsers will warn",
                day(self.from),
                day(now)
            ))
        } else {
            None
        }
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    read::bytes(path, LARGEST).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            format!("{}: it is larger than 1 MiB and therefore not a certificate or key", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })
}

/// The parts of a certificate that are needed. They are parsed here because libraries that verify certificates refuse
/// some that can be used, such as those of version 1, which simple tools still make.
struct Contents {
    validity: Validity,
    public_key: Vec<u8>,
}

impl Contents {
    fn of(der: &[u8]) -> ASN1Result<Self> {
        parse_der(der, |reader| {
            reader.read_sequence(|certificate| {
                let contents = certificate.next().read_sequence(Self::signed_part)?;
                let (_algorithm, _signature) = (any(certificate.next())?, any(certificate.next())?);
                Ok(contents)
            })
        })
    }

    fn signed_part(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Self> {
        let version = |tagged: BERReader<'_, '_>| tagged.read_tagged(Tag::context(0), any);
        reader.read_optional(version)?;
        for _serial_algorithm_issuer in 0..3 {
            any(reader.next())?;
        }
        let validity = reader.next().read_sequence(|validity| {
            Ok(Validity { from: time(validity.next())?, until: time(validity.next())? })
        })?;
        let _subject = any(reader.next())?;
        let public_key = key_bits(&any(reader.next())?)?;
        while reader.read_optional(any)?.is_some() {}
        Ok(Self { validity, public_key })
    }
}

/// The next element, of any type.
fn any(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_der()
}

/// The key itself, without the name of its algorithm, which can be written in more than one way.
fn key_bits(info: &[u8]) -> ASN1Result<Vec<u8>> {
    parse_der(info, |reader| {
        reader.read_sequence(|info| {
            let _algorithm = any(info.next())?;
            Ok(info.next().read_bitvec_bytes()?.0)
        })
    })
}

fn public_key(key: &dyn SigningKey) -> Option<Vec<u8>> {
    key_bits(key.public_key()?.as_ref()).ok()
}

fn time(reader: BERReader<'_, '_>) -> ASN1Result<OffsetDateTime> {
    if reader.lookahead_tag()? == TAG_UTCTIME {
        Ok(*reader.read_utctime()?.datetime())
    } else {
        Ok(*reader.read_generalized_time()?.datetime())
    }
}
