//! Keyed digests over lists of fields, and comparison in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A key; random, and never sent or logged.
pub(super) type Key = [u8; 32];

/// The result of [`Keyed::digest`].
pub(super) type Digest = [u8; 32];

/// HMAC-SHA256 with the key already processed: that is half of the work, and one key is used for many digests.
#[derive(Clone)]
pub(super) struct Keyed(Hmac<Sha256>);

impl Keyed {
    pub(super) fn new(key: &Key) -> Self {
        // HMAC fills a key that is shorter than a block with zeros. To do this here avoids a function that can return
        // an error.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// With a new random key.
    pub(super) fn random() -> Self {
        Self::new(&rand::random())
    }

    /// The digest over the fields. The length of each field is put before the field, so that different lists never have
    /// the same input.
    pub(super) fn digest(&self, fields: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }
}

/// A fingerprint of a wrong value. It distinguishes wrong values without storing them.
pub(super) type Fingerprint = u64;

/// The fingerprint from a digest.
pub(super) fn fingerprint(digest: Digest) -> Fingerprint {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Whether two digests are equal.
pub(super) fn same(one: &Digest, other: &Digest) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let digest = |key: u8, fields: &[&[u8]]| Keyed::new(&[key; 32]).digest(fields);
        assert!(same(&digest(7, &[b"a", b"bc"]), &digest(7, &[b"a", b"bc"])));
        assert!(!same(&digest(7, &[b"a", b"bc"]), &digest(7, &[b"ab", b"c"])));
        assert!(!same(&digest(7, &[b"a"]), &digest(7, &[b"a", b""])));
        assert!(!same(&digest(7, &[b"a"]), &digest(8, &[b"a"])));
    }
}
