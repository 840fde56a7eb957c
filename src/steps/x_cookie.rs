//! The authorization cookie of the X server, in the file format of `Xauthority`.

use rand::RngExt;

use crate::config::service::step::XCookie;
use crate::sys::replace::replace;

/// The family that matches every address: the host name of a container changes with its snapshots.
const FAMILY_WILD: u16 = 0xffff;

/// The only authorization protocol that local servers use.
const PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Writes a new cookie to the file, readable only for the user of this process.
pub(super) fn run(XCookie { file }: &XCookie) -> Result<(), String> {
    let cookie: [u8; 16] = rand::rng().random();
    replace(file, &entry(&cookie), 0o600).map_err(|error| format!("{}: {error}", file.display()))
}

/// One record: the family, then four fields (address, display, protocol, cookie), each preceded by its length; all
/// numbers have 16 bits, big endian. Without a display number the cookie is for all displays: KasmVNC has a display of
/// its own.
fn entry(cookie: &[u8]) -> Vec<u8> {
    let mut bytes = FAMILY_WILD.to_be_bytes().to_vec();
    for field in [b"", b"", PROTOCOL, cookie] {
        let length = u16::try_from(field.len()).unwrap_or(0);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&field[..usize::from(length)]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_format_that_xauth_reads() {
        let expected = b"\xff\xff\0\0\0\0\0\x12MIT-MAGIC-COOKIE-1\0\x02ab";
        assert_eq!(entry(b"ab"), expected);
    }
}
