//! The grammar of a request head, line by line, as strict as the standard (RFC 9112) allows a server to be. Checked
//! here: where one request ends and the next one begins, and what programs are known to parse differently. The meaning
//! of headers is checked elsewhere.

/// The size limit of a head. The parser has its own limit, and answers a head that exceeds that.
pub(super) const LARGEST: usize = 64 * 1024;

type Wrong = &'static str;

/// A head, as far as it was received. A whole one that is received at once needs no allocation.
#[derive(Default)]
pub(super) struct Head {
    /// The beginning of a line whose end has not been received.
    unfinished: Vec<u8>,
    size: usize,
    version: Option<Version>,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    switches: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// The result of one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is not complete yet.
    Unfinished,
    /// One line, and not the last one.
    Header,
    /// The end of the head, and the length of the body before the next head. `None`: chunks, or another protocol; no
    /// head is accepted after this one.
    End(Option<u64>),
}

impl Head {
    /// How many bytes of it were received.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Consumes one line of the bytes.
    pub(super) fn line(&mut self, bytes: &mut &[u8]) -> Result<Line, Wrong> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (here, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        *bytes = rest;
        self.size += here.len();
        if self.size > LARGEST {
            return Err("the head is too large");
        }
        if end.is_none() {
            self.unfinished.extend_from_slice(here);
            return Ok(Line::Unfinished);
        }
        if self.unfinished.is_empty() {
            return self.whole(here);
        }
        let mut line = std::mem::take(&mut self.unfinished);
        line.extend_from_slice(here);
        self.whole(&line)
    }

    fn whole(&mut self, line: &[u8]) -> Result<Line, Wrong> {
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err("a line ends without CR") };
        match (self.version, line) {
            // The standard asks servers to ignore an empty line before a request; some clients send one after a form.
            (None, []) => Ok(Line::Header),
            (None, _) => {
                self.version = Some(self.request(line)?);
                Ok(Line::Header)
            }
            (Some(version), []) => Ok(Line::End(self.end(version)?)),
            (Some(version), _) => {
                self.header(line, version)?;
                Ok(Line::Header)
            }
        }
    }

    fn request(&mut self, line: &[u8]) -> Result<Version, Wrong> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the request line is not a method, an address and a version");
        };
        if method.is_empty() || !method.iter().all(|byte| is(*byte, TOKEN)) {
            return Err("the method is malformed");
        }
        // Another protocol may begin after it.
        self.switches = method == b"CONNECT";
        // A fragment must not be sent to a server; the parser would drop it silently.
        let plain = |byte: &u8| is(*byte, TEXT) && !matches!(byte, b'\t' | b'#');
        if target.is_empty() || !target.iter().all(plain) {
            return Err("the address is malformed");
        }
        match version {
            b"HTTP/1.1" => Ok(Version::Http11),
            b"HTTP/1.0" => Ok(Version::Http10),
            _ => Err("the version is not HTTP/1.0 or HTTP/1.1"),
        }
    }

    fn header(&mut self, line: &[u8], version: Version) -> Result<(), Wrong> {
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err("a header continues on a second line");
        }
        let colon = line.iter().position(|byte| !is(*byte, TOKEN));
        let Some((name, [b':', value @ ..])) = colon.map(|at| line.split_at(at)) else {
            return Err("a header's name is malformed");
        };
        if name.is_empty() {
            return Err("a header has no name");
        }
        if !value.iter().all(|byte| is(*byte, TEXT)) {
            return Err("a header holds a control character");
        }
        let is_named = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is_named(b"host") => self.hosts += 1,
            7 if is_named(b"upgrade") => self.switches = true,
            14 if is_named(b"content-length") => {
                let length = length(value.trim_ascii()).ok_or("Content-Length is not a number")?;
                if self.length.replace(length).is_some() {
                    return Err("there is more than one Content-Length");
                }
            }
            17 if is_named(b"transfer-encoding") => {
                if version == Version::Http10 {
                    return Err("HTTP/1.0 has no Transfer-Encoding");
                }
                if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err("Transfer-Encoding is not chunked");
                }
                if std::mem::replace(&mut self.chunked, true) {
                    return Err("there is more than one Transfer-Encoding");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&self, version: Version) -> Result<Option<u64>, Wrong> {
        if self.hosts > 1 || (self.hosts == 0 && version == Version::Http11) {
            return Err("a request needs exactly one Host");
        }
        if self.chunked && self.length.is_some() {
            return Err("a body has one length, not both Content-Length and Transfer-Encoding");
        }
        Ok((!self.chunked && !self.switches).then_some(self.length.unwrap_or(0)))
    }
}

/// Digits only, without a leading zero, which some programs take for an octal number.
fn length(value: &[u8]) -> Option<u64> {
    let plain = value.iter().all(u8::is_ascii_digit) && !matches!(value, [b'0', _, ..]);
    if plain { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// Allowed in a method and in a header's name.
const TOKEN: u8 = 1;
/// Allowed in a header's value.
const TEXT: u8 = 2;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "a byte has 256 values")]
        let byte = at as u8;
        if byte.is_ascii_alphanumeric() {
            kinds[at] |= TOKEN;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            kinds[at] |= TEXT;
        }
        at += 1;
    }
    let signs = b"!#$%&'*+-.^_`|~";
    at = 0;
    while at < signs.len() {
        kinds[signs[at] as usize] |= TOKEN;
        at += 1;
    }
    kinds
};

fn is(byte: u8, kind: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}
