//! Keyed digests over lists of fields, and comparison that takes the same time wherever two values differ.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A key; random, and never shown.
pub(super) type Key = [u8; 32];

/// What [`Keyed::digest`] makes.
pub(super) type Digest = [u8; 32];

/// HMAC-SHA256 with its key taken in already: that is half of the work, and a key serves for many digests.
#[derive(Clone)]
pub(super) struct Keyed(Hmac<Sha256>);

impl Keyed {
    pub(super) fn new(key: &Key) -> Self {
        // A key shorter than a block is filled up with zeros: that is what HMAC does, without a way to fail.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// With a key that nobody else has.
    pub(super) fn random() -> Self {
        Self::new(&rand::random())
    }

    /// The digest over the fields, each with its length before it, so that no two lists look the same.
    pub(super) fn digest(&self, fields: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Tells what was wrong from other things that are wrong, without being it.
pub(super) type Mark = u64;

/// The mark of a digest.
pub(super) fn mark(digest: Digest) -> Mark {
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
