//! WebSocket frames (RFC 6455), as far as an open connection needs them.

/// The opcode of a binary message.
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The head of a frame.
#[derive(Clone, Copy)]
pub struct Head {
    pub opcode: u8,
    /// Where the payload begins.
    pub start: usize,
    /// Where the frame ends.
    pub end: usize,
    pub mask: Option<[u8; 4]>,
}

/// The head of the frame at the start of `bytes`, once there is enough of it.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let [first, second, ..] = *bytes else { return None };
    let (length, mut start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(*bytes.get(start..)?.first_chunk()?);
        start += 4;
    }
    Some(Head { opcode: first & 0x0f, start, end: start + length, mask })
}

/// A whole frame. A client's is masked, with a key that changes nothing.
pub fn build(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let bit: u8 = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    if let Ok(short @ ..126) = u8::try_from(payload.len()) {
        frame.push(bit | short);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        frame.push(bit + 126);
        frame.extend(length.to_be_bytes());
    } else {
        frame.push(bit + 127);
        frame.extend((payload.len() as u64).to_be_bytes());
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// Takes the mask off, or puts it on.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    if mask != [0; 4] {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
}
