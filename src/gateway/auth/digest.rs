//! Keyed digests over lists of fields, and comparison that takes the same time wherever two values differ.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A key; random, and never shown.
pub(super) type Key = [u8; 32];

/// What [`digest`] makes.
pub(super) type Digest = [u8; 32];

/// HMAC-SHA256 over the fields, each with its length before it, so that no two lists look the same.
pub(super) fn digest(key: &Key, fields: &[&[u8]]) -> Digest {
    // A key shorter than a block is filled up with zeros: that is what HMAC does, without a way to fail.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for field in fields {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field);
    }
    mac.finalize().into_bytes().into()
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
        let key = [7; 32];
        assert!(same(&digest(&key, &[b"a", b"bc"]), &digest(&key, &[b"a", b"bc"])));
        assert!(!same(&digest(&key, &[b"a", b"bc"]), &digest(&key, &[b"ab", b"c"])));
        assert!(!same(&digest(&key, &[b"a"]), &digest(&key, &[b"a", b""])));
        assert!(!same(&digest(&key, &[b"a"]), &digest(&[8; 32], &[b"a"])));
    }
}
